"""Payers: the insurers that a clinic sends claims to, how much they usually bear, and by which rule a difference with their fees is written off."""

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Claim, Email, Event, Frozen, Invalid, Note, NotFound, Phone, Refused, State, Text, UniqueClaim, only
from domain.kit.insurance import ClassCoverage
from domain.kit.money import BASIS

WriteOffRule = Literal["none", "contractual"]
"""Whether the clinic has agreed to the payer's fees: what it bills beyond them may then be written off, by somebody who asks for it."""
PayerNumber = Annotated[str, Meta(min_length=1, max_length=40, description="By which clearing houses and the insurer itself know it.", examples=["60054"])]


class PayerDetails(Frozen):
    """An insurer, as the clinic knows it."""

    name: Text
    payer_number: PayerNumber | None = None
    email: Email | None = None
    phone: Phone | None = None
    address: Text | None = None
    notes: Note | None = None
    write_off: WriteOffRule = "none"
    coverage: Annotated[list[ClassCoverage], Meta(max_length=20, description="For estimates alone; of a class that is not in it, nothing is known.")] = field(default_factory=list)


class PayerAdded(PayerDetails, Event): ...


class PayerChanged(PayerDetails, Event): ...


class PayerArchived(Event): ...


class PayerRestored(Event): ...


PayerEvent = PayerAdded | PayerChanged | PayerArchived | PayerRestored


class PayerNeedsName(Invalid):
    """A payer needs a name."""


class CoverageUnclear(Invalid):
    """A class of procedures is named once, with 0 to 100 %."""


class PayerNotInUse(Refused):
    """That payer is archived. Restore it, or choose another one."""


class Payer(State):
    kind: ClassVar[str] = "insurance_payers"
    details: PayerDetails | None = None
    archived: bool = False

    def evolve(self, event: PayerEvent) -> Self:
        match event:
            case PayerAdded() | PayerChanged():
                return replace(self, details=PayerDetails(**only(PayerDetails, event)))
            case PayerArchived():
                return replace(self, archived=True)
            case PayerRestored():
                return replace(self, archived=False)

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written, and its number; of one that is archived, neither."""
        if self.details is None or self.archived:
            return frozenset()
        name = UniqueClaim(scope="insurance_payers.name", key=" ".join(self.details.name.casefold().split()))
        number = self.details.payer_number
        return frozenset({name, *([UniqueClaim(scope="insurance_payers.number", key=number.casefold())] if number else [])})

    @property
    def contractual(self) -> bool:
        """Whether what is billed beyond its fees may be written off."""
        return self.details is not None and self.details.write_off == "contractual"

    def add(self, details: PayerDetails) -> list[Event]:
        ensure_sound(details)
        return [PayerAdded(**only(PayerDetails, details))]

    def change(self, details: PayerDetails) -> list[Event]:
        there = self.ensure_there()
        ensure_sound(details)
        return [] if only(PayerDetails, details) == only(PayerDetails, there) else [PayerChanged(**only(PayerDetails, details))]

    def archive(self) -> list[Event]:
        self.ensure_there()
        return [] if self.archived else [PayerArchived()]

    def restore(self) -> list[Event]:
        self.ensure_there()
        return [PayerRestored()] if self.archived else []

    def ensure_there(self) -> PayerDetails:
        if self.details is None:
            raise NotFound
        return self.details

    def ensure_in_use(self) -> None:
        self.ensure_there()
        if self.archived:
            raise PayerNotInUse


def ensure_sound(details: PayerDetails) -> None:
    if not details.name.strip():
        raise PayerNeedsName
    classes = [one.procedure_class for one in details.coverage]
    if len(set(classes)) < len(classes) or not all(0 <= one.percent <= BASIS for one in details.coverage):
        raise CoverageUnclear
