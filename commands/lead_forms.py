"""What may be asked of a form of the clinic's website."""

from typing import Any

from msgspec import UNSET, UnsetType

from commands.kit import Command, Creation
from domain.kit import At, Event, Text
from domain.lead_forms import AutoReply, FormSettings, LeadForm, Origins, TellClinic


class CreateLeadForm(FormSettings, Creation):
    """Create a form for the clinic's website; its token comes with the answer."""

    state = LeadForm
    permission = "leads.configure"

    def decide(self, form: LeadForm, at: At) -> list[Event]:
        return form.create(self)


class ChangeLeadForm(Command):
    """Change what a form is called, on which websites it stands, who is written to, or whether it is in use; what is left out stays as it is."""

    state = LeadForm
    permission = "leads.configure"
    label: Text | UnsetType = UNSET
    allowed_origins: Origins | UnsetType = UNSET
    auto_reply: AutoReply | UnsetType = UNSET
    tell_clinic: TellClinic | UnsetType = UNSET
    active: bool | UnsetType = UNSET

    def decide(self, form: LeadForm, at: At) -> list[Event]:
        was = form.known
        wanted = FormSettings(
            label=given(self.label, was.label), allowed_origins=given(self.allowed_origins, was.allowed_origins),
            auto_reply=given(self.auto_reply, was.auto_reply), tell_clinic=given(self.tell_clinic, was.tell_clinic))
        return form.change(wanted, active=given(self.active, form.active))


class RotateLeadFormToken(Command):
    """Give a form a fresh token; the one before is good for nothing from now on."""

    state = LeadForm
    permission = "leads.configure"

    def decide(self, form: LeadForm, at: At) -> list[Event]:
        return form.rotate()


class DisableLeadForm(Command):
    """Take nothing more by a form; what has come by it stays in the inbox. It can be enabled again."""

    state = LeadForm
    permission = "leads.configure"

    def decide(self, form: LeadForm, at: At) -> list[Event]:
        return form.disable()


def given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is UNSET else value
