"""What may be asked of a kind of visit."""

from commands.kit import Command, Creation
from domain.appointment_types import AppointmentType, Offer
from domain.kit import At, Event


class AddAppointmentType(Creation, Offer):
    """Offer a kind of visit."""

    state = AppointmentType
    permission = "settings.appointment_types.manage"

    def decide(self, kind: AppointmentType, at: At) -> list[Event]:
        return kind.add(self)


class ChangeAppointmentType(Command, Offer):
    """Change a kind of visit, or take it out of what is offered; visits that are booked stay as they are."""

    state = AppointmentType
    permission = "settings.appointment_types.manage"

    def decide(self, kind: AppointmentType, at: At) -> list[Event]:
        return kind.change(self)


class DeleteAppointmentType(Command):
    """Delete a kind of visit; visits that are booked keep its name."""

    state = AppointmentType
    permission = "settings.appointment_types.manage"

    def decide(self, kind: AppointmentType, at: At) -> list[Event]:
        return kind.delete()
