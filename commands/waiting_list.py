"""What may be asked of the waiting list."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.appointments import Appointment
from domain.holds import Hold
from domain.kit import AppointmentId, At, Elsewhere, Event, Note, PatientId, Reason
from domain.patients import Patient
from domain.slot_offers import SlotOffer, hold_of
from domain.waiting_list import (
    VisitNotTheirs,
    VisitNotToMove,
    WaitingEntry,
    WaitingListRules,
    WaitingListSettings,
    Wish,
    waiting_list_settings_of,
)
from schemas.slot_offers import SlotOfferRow

WaitingNote = Annotated[Note | None, Meta(description="What else is to be known; for the clinic alone.")]


class AddWaitingEntry(Creation, Wish):
    """Put a patient on the waiting list.

    What is free and fits is offered to them by itself, in their turn, unless the clinic offers by hand alone. With `appointmentId` they want that visit earlier.
    """

    state = WaitingEntry
    permission = "appointments.create"
    patient_id: PatientId
    note: WaitingNote = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id), "visit": await to_move(look, self.appointment_id)}

    def decide(self, entry: WaitingEntry, at: At, *, patient: Patient, visit: Appointment | None) -> list[Event]:
        patient.ensure_bookable()
        ensure_theirs(visit, self.patient_id, at)
        return entry.add(self.patient_id, self, self.note, at.today)


class ChangeWaitingEntry(Command, Wish):
    """Say anew what a patient on the waiting list wants; what is left out is cleared. They keep their place, and are offered times again if they had let some pass."""

    state = WaitingEntry
    permission = "appointments.edit"
    note: WaitingNote = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"visit": await to_move(look, self.appointment_id)}

    def decide(self, entry: WaitingEntry, at: At, *, visit: Appointment | None) -> list[Event]:
        ensure_theirs(visit, entry.patient, at)
        return entry.change(self, self.note, at.today)


class RemoveWaitingEntry(Command):
    """Take a patient off the waiting list; a time that is on offer to them comes free."""

    state = WaitingEntry
    permission = "appointments.edit"
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"offers": await open_offers(look, look.at.id)}

    def decide(self, entry: WaitingEntry, at: At, *, offers: dict[UUID, tuple[SlotOffer, Hold]]) -> Decision:
        return [*entry.remove(self.reason), *taken_back(offers)]


class ReopenWaitingEntry(Command):
    """Have a patient wait again who was taken off the list, was served or whose entry has ended; they stand where they stood."""

    state = WaitingEntry
    permission = "appointments.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        entry = await look.require(WaitingEntry, look.at.id)
        return {"patient": await look.require(Patient, entry.patient), "visit": await to_move(look, entry.wish.appointment_id)}

    def decide(self, entry: WaitingEntry, at: At, *, patient: Patient, visit: Appointment | None) -> list[Event]:
        patient.ensure_bookable()
        ensure_theirs(visit, entry.patient, at)
        return entry.reopen(at.today)


class EndWaitingEntry(Command):
    """End an entry for which nothing can be offered any more: its last day is over, or its visit or its patient is gone."""

    state = WaitingEntry
    permission = "house"

    async def gather(self, look: Look) -> dict[str, Any]:
        entry = await look.require(WaitingEntry, look.at.id)
        return {
            "patient": await look.require(Patient, entry.patient), "visit": await to_move(look, entry.wish.appointment_id),
            "offers": await open_offers(look, look.at.id)}

    def decide(self, entry: WaitingEntry, at: At, *, patient: Patient, visit: Appointment | None, offers: dict[UUID, tuple[SlotOffer, Hold]]) -> Decision:
        here = not patient.archived and patient.merged_into is None
        ended = entry.end(entry.over(at.today, stands=visit is None or to_come(visit, at), here=here))
        return [*ended, *taken_back(offers)] if ended else []


class ChangeWaitingListSettings(WaitingListRules, Creation):
    """Say whether free times are offered by themselves, and how long a patient has to answer; what is left out is as it was in the beginning.

    When nobody is written to is said for reminders, and counts here as well.
    """

    state = WaitingListSettings
    permission = "settings.reminders.manage"

    def stream(self, at: At) -> UUID:
        return waiting_list_settings_of(at.clinic)

    def decide(self, settings: WaitingListSettings, at: At) -> list[Event]:
        return settings.change(self)


async def to_move(look: Look, appointment: AppointmentId | None) -> Appointment | None:
    """Return the visit that is to be moved forward, held fast."""
    return await look.load(Appointment, appointment) if appointment else None


def ensure_theirs(visit: Appointment | None, patient: UUID, at: At) -> None:
    """Refuse to move forward what is another patient's, or is not to come."""
    if visit is None:
        return
    if not to_come(visit, at):
        raise VisitNotToMove
    if visit.patient != patient:
        raise VisitNotTheirs


def to_come(visit: Appointment, at: At) -> bool:
    return visit.status in {"booked", "confirmed"} and visit.arranged is not None and visit.arranged.starts_at > at.now


async def open_offers(look: Look, entry: UUID) -> dict[UUID, tuple[SlotOffer, Hold]]:
    """Return what is on offer to somebody, as far as it has come to be known: if there is more, it is taken back within a minute."""
    ids = [row.id for row in await look.find(SlotOfferRow, entry_id=entry, status="open")]
    return {id_: (await look.load(SlotOffer, id_), await look.load(Hold, hold_of(id_))) for id_ in ids}


def taken_back(offers: dict[UUID, tuple[SlotOffer, Hold]]) -> list[Elsewhere]:
    """Return how offers are taken back, and what they held comes free."""
    found: list[Elsewhere] = []
    for id_, (offer, hold) in offers.items():
        if offer.status == "open":
            found.append(Elsewhere(state=SlotOffer, id=id_, events=offer.withdraw(None)))
            found += freed(id_, hold)
    return found


def freed(offer: UUID, hold: Hold) -> list[Elsewhere]:
    """Return how the time comes free that was held for an offer."""
    return [Elsewhere(state=Hold, id=hold_of(offer), events=released)] if (released := hold.let_go()) else []
