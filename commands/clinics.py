"""What may be asked of a clinic."""

from commands.kit import Command, Creation
from domain.clinics import Clinic, Currency, Details, Plan, Zone
from domain.kit import At, Event


class OpenClinic(Creation, Details):
    """Open a clinic. Its time zone and currency stay what they are now: every appointment and amount rests on them."""

    state = Clinic
    permission = "superadmin"
    zone: Zone
    currency: Currency
    plan: Plan = "Pro"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.open(self, self.zone, self.currency, self.plan)


class ChangeClinic(Command, Details):
    """Change what a clinic says about itself."""

    state = Clinic
    permission = "settings.branding.edit"

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.change(self)


class ChangeClinicPlan(Command):
    """Put a clinic on another plan."""

    state = Clinic
    permission = "superadmin"
    plan: Plan

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.change_plan(self.plan)
