"""Lead forms: the contact forms of a clinic's own website, each with a token by which what visitors write finds its way here."""

from typing import Annotated, ClassVar, Self

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Event, Forbidden, Frozen, Invalid, NotFound, Refused, State, Text, only

WebOrigin = Annotated[str, Meta(
    max_length=260, pattern=r"^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$", examples=["https://www.grachten.example"],
    description="A website as browsers name it: scheme and host in small letters, a port if it is an odd one, no path.")]
Origins = Annotated[list[WebOrigin], Meta(max_length=20, description="The websites whose pages may send the form; without any, only servers may.")]
TokenNumber = Annotated[int, Meta(ge=1, description="Which of its tokens: the first, the second, ...")]
AutoReply = Annotated[bool, Meta(description="Whether whoever leaves an e-mail address is written at once that the clinic has heard them; its words are the template `lead.received`.")]
TellClinic = Annotated[bool, Meta(description="Whether the clinic is sent a letter when somebody has written; it tells nothing about them.")]


class FormSettings(Frozen):
    """What a form is called among the staff, where it stands, and who is written to when it is sent."""

    label: Text
    allowed_origins: Origins = field(default_factory=list)
    auto_reply: AutoReply = False
    tell_clinic: TellClinic = True


class LeadFormCreated(Event, FormSettings):
    number: TokenNumber


class LeadFormChanged(Event, FormSettings):
    """The settings as they stand from now on."""


class LeadFormTokenRotated(Event):
    """Its token is this one from now on; the one before is good for nothing."""

    number: TokenNumber


class LeadFormDisabled(Event): ...


class LeadFormEnabled(Event): ...


LeadFormEvent = LeadFormCreated | LeadFormChanged | LeadFormTokenRotated | LeadFormDisabled | LeadFormEnabled


class LeadFormNeedsLabel(Invalid):
    """A form has a label, by which the staff tell it from others."""


class LeadFormNotInUse(Refused):
    """This form is disabled. Enable it first."""


class LeadTokenInvalid(Refused):
    """This token opens no form, or not any more. The clinic's settings show the one that does."""

    status = 401


class LeadOriginForbidden(Forbidden):
    """This form may not be sent from that website. The clinic's settings say from which it may."""


class LeadForm(State):
    """A form; `number` is that of its token."""

    kind: ClassVar[str] = "lead_forms"
    settings: FormSettings | None = None
    number: int = 0
    active: bool = False

    def evolve(self, event: LeadFormEvent) -> Self:
        match event:
            case LeadFormCreated(number=number):
                return replace(self, settings=FormSettings(**only(FormSettings, event)), number=number, active=True)
            case LeadFormChanged():
                return replace(self, settings=FormSettings(**only(FormSettings, event)))
            case LeadFormTokenRotated(number=number):
                return replace(self, number=number)
            case LeadFormDisabled():
                return replace(self, active=False)
            case LeadFormEnabled():
                return replace(self, active=True)

    def create(self, settings: FormSettings) -> list[Event]:
        ensure_labelled(settings)
        return [LeadFormCreated(**only(FormSettings, settings), number=1)]

    def change(self, settings: FormSettings, *, active: bool) -> list[Event]:
        """Take other settings, and be in use or not; what is so already stays so."""
        known = self.known
        ensure_labelled(settings)
        changed = [LeadFormChanged(**only(FormSettings, settings))] if settings != known else []
        turned = [] if active == self.active else [LeadFormEnabled() if active else LeadFormDisabled()]
        return [*changed, *turned]

    def disable(self) -> list[Event]:
        """Take nothing more; whoever has written before stays in the inbox."""
        return self.change(self.known, active=False)

    def rotate(self) -> list[Event]:
        if self.known and not self.active:
            raise LeadFormNotInUse
        return [LeadFormTokenRotated(number=self.number + 1)]

    @property
    def known(self) -> FormSettings:
        """The settings; refuses a form that there is not."""
        if self.settings is None:
            raise NotFound(kind=self.kind)
        return self.settings

    def ensure_open(self, number: int) -> None:
        """Refuse a token that does not count any more, or a form that takes nothing."""
        if not self.active or self.number != number:
            raise LeadTokenInvalid

    def ensure_from(self, origin: str | None) -> None:
        """Refuse the page of a website that the form does not stand on; a server says none."""
        if origin is not None and not self.stands_on(origin):
            raise LeadOriginForbidden

    def stands_on(self, origin: str) -> bool:
        """Is it one of the form's websites?"""
        return self.settings is not None and origin in self.settings.allowed_origins


def ensure_labelled(settings: FormSettings) -> None:
    if not settings.label.strip():
        raise LeadFormNeedsLabel
