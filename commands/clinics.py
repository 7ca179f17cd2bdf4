"""What may be asked of a clinic."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.clinics import Asset, AssetType, Clinic, Currency, Details, Zone
from domain.kit import At, ClinicId, Elsewhere, Email, Event, Phone, Reason, Text, only
from domain.kit.grants import OptionalModule, Plan
from domain.kit.licences import Licence
from domain.plans import PlanOffer, plan_of
from domain.retention import Retention, retention_of
from domain.seats import Seats, seats_of
from domain.staff import Staff, founder_of

USUAL_TRIAL = 90  # days, if the plan does not say
TrialDays = Annotated[int, Meta(ge=1, le=366)]
TypedName = Annotated[Text, Meta(description="The clinic's name exactly as it is, typed again.")]


class OpenClinic(Creation, Details):
    """Open a clinic. Its currency stays what it is now: every amount rests on it."""

    state = Clinic
    permission = "superadmin"
    zone: Zone
    currency: Currency
    plan: Plan = "Pro"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.open(self, self.zone, self.currency, self.plan)


class FoundClinic(Creation, Details):
    """Open a clinic with a trial and its first admin, all at once; one that is open already stays what it is."""

    state = Clinic
    permission = "house"
    zone: Zone
    currency: Currency
    trial: Licence
    days: TrialDays
    admin_name: Text
    admin_email: Email
    admin_phone: Phone | None = None

    def stream(self, at: At) -> UUID:
        return at.clinic

    def decide(self, clinic: Clinic, at: At) -> Decision:
        if not (opened := clinic.found(self, self.zone, self.currency, self.trial, self.days, at.now)):
            return []
        hired = Staff().found(self.admin_name, self.admin_email, self.admin_phone)
        founder = founder_of(at.clinic)
        return [*opened, Elsewhere(state=Staff, id=founder, events=hired), *Seats().take(at, founder, "admin", self.trial)]


class ChangeClinic(Command, Details):
    """Change what a clinic says about itself."""

    state = Clinic
    permission = "admin"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.change(self)


class ChangeClinicPlan(Command):
    """Put a clinic on another plan; seats and dates of its licence stay."""

    state = Clinic
    permission = "superadmin"
    plan: Plan

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.change_plan(self.plan)


class LicenseClinic(Command, Licence):
    """Give a clinic another licence: its plan, its seats and until when. What is left out is unlimited."""

    state = Clinic
    permission = "superadmin"
    plan: Plan
    reason: Reason | None = None

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.license(self, self.reason)


class CreateProTrial(Creation):
    """Let a clinic try Pro, once: with the seats and for as long as the plan says, or for as many days as you say."""

    state = Clinic
    permission = "superadmin"
    clinic_id: ClinicId
    days: TrialDays | None = None

    def stream(self, at: At) -> UUID:
        return self.clinic_id

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"plan": await look.load(PlanOffer, plan_of("Pro"))}

    def decide(self, clinic: Clinic, at: At, *, plan: PlanOffer) -> list[Event]:
        offer = plan.now
        return clinic.start_trial("Pro", at.today, self.days or offer.trial_days or USUAL_TRIAL, offer.users, offer.doctors)


class ToggleClinicModule(Command):
    """Switch one of a clinic's optional modules on or off, whatever the clinic itself has chosen."""

    state = Clinic
    permission = "superadmin"
    module: OptionalModule
    on: bool

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.switch(self.module, on=self.on, by="platform")


class SyncClinicModules(Command):
    """Have a clinic's optional modules as its plan has them: all that it reaches are on."""

    state = Clinic
    permission = "superadmin"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.reset_modules()


class SwitchModule(Command):
    """Switch one of your clinic's optional modules on or off. What the platform has switched off stays off."""

    state = Clinic
    permission = "settings.modules.manage"
    module: OptionalModule
    on: bool

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.switch(self.module, on=self.on, by="clinic")


class SetClinicBranding(Command, Asset):
    """Upload a clinic's logo or favicon."""

    state = Clinic
    permission = "settings.branding.edit"
    type: AssetType

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.brand(self.type, Asset(**only(Asset, self)))


class RemoveClinicBranding(Command):
    """Remove a clinic's logo or favicon."""

    state = Clinic
    permission = "settings.branding.edit"
    type: AssetType

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.remove_branding(self.type)


class DeactivateClinic(Command):
    """Deactivate a clinic: nobody of it can sign in until it is reactivated; nothing is lost."""

    state = Clinic
    permission = "superadmin"
    reason: Reason

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.deactivate(self.reason)


class ExportClinic(Command):
    """Take everything along; that it was taken is noted."""

    state = Clinic
    permission = "admin"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.export()


class ExportEvidence(Command):
    """Take an auditor's export of the clinic's history; that it was taken is noted."""

    state = Clinic
    permission = "audit.logs.export"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.give_evidence()


class ReactivateClinic(Command):
    """Reactivate a clinic."""

    state = Clinic
    permission = "superadmin"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.reactivate()


class DeleteClinic(Command):
    """Delete a clinic for good, and with it whatever is personal in it. Type its name again to show that you mean this one."""

    state = Clinic
    permission = "superadmin"
    name: TypedName
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        return {**await keeping(look, look.at.id), "seats": await look.load(Seats, seats_of(look.at.id))}

    def decide(self, clinic: Clinic, at: At, *, retention: Retention, seats: Seats) -> list[Event]:
        deleted = clinic.delete(self.name, self.reason)
        since = clinic.keeps_since(at.today) if seats.used_ever else None  # where nobody ever worked there is nothing to keep
        retention.ensure_all_deletable(at.today, since)
        return deleted


class CloseClinic(Command):
    """Close your clinic: from now on it can only be looked at and taken along; in thirty days it is deleted, unless you take that back."""

    state = Clinic
    permission = "admin"
    name: TypedName
    reason: Reason

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.close(self.name, self.reason, at.actor, at.now)


class KeepClinic(Command):
    """Keep a clinic that is being closed, after all: everything is as it was."""

    state = Clinic
    permission = "admin"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.keep()


class RemindClosing(Command):
    """Tell whoever closes a clinic that it is about to be deleted, once."""

    state = Clinic
    permission = "house"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.remind(at.now)


class FinishClosing(Command):
    """Delete a clinic whose thirty days are over, unless something binds its records."""

    state = Clinic
    permission = "house"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await keeping(look, look.at.id)

    def decide(self, clinic: Clinic, at: At, *, retention: Retention) -> list[Event]:
        if deleted := clinic.finish(at.now):
            retention.ensure_all_deletable(at.today, clinic.keeps_since(at.today))
        return deleted


async def keeping(look: Look, clinic: UUID) -> dict[str, Any]:
    """Return what a clinic must keep, held fast."""
    return {"retention": await look.load(Retention, retention_of(clinic))}
