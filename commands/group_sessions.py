"""What may be asked of a group session."""

from typing import Any
from uuid import UUID

from commands.appointments import OPEN, Fold, Length, Means, Seats, Start, TypeName, means_of, seats_of
from commands.kit import Command, Creation, Decision, Look
from domain.appointment_types import AppointmentType
from domain.appointments import Appointment, Arrangement, ensure_possible, when
from domain.closed_days import ClosedDays
from domain.group_sessions import (
    GroupBegun,
    GroupNotes,
    GroupSession,
    ParticipantsBusy,
    Planned,
    SeatNumber,
    SeatsUnsaid,
)
from domain.kit import AppointmentTypeId, At, Elsewhere, Event, Frozen, Reason, RoomId, StaffId, TimeClaim, only
from domain.rooms import Room
from domain.schedules import Schedule
from domain.slot_offers import SlotOffer
from domain.staff import Staff

TO_COME = {"booked", "confirmed"}


class GroupWanted(Frozen):
    """When a session is to take place, with whom and where, and for how many; where it is not said, of its kind."""

    doctor_id: StaffId
    room_id: RoomId | None = None
    type: TypeName = None
    type_id: AppointmentTypeId | None = None
    start: Start
    fold: Fold = None
    duration: Length = None
    capacity: SeatNumber | None = None
    notes: GroupNotes | None = None

    def planned(self, at: At, means: Means) -> Planned:
        """Return the session as it is to be; refuse what cannot be."""
        pace = means.pace(self.duration)
        time = when(self.start, pace.minutes, at.now, at.zone, self.fold)
        return Planned(
            doctor_id=self.doctor_id, room_id=self.room_id, type=self.type or means.name, type_id=self.type_id, buffer_before=pace.before, buffer_after=pace.after,
            place_id=means.place(time["starts_at"], time["ends_at"], at.zone), **time)

    def seats(self, kind: AppointmentType | None) -> int:
        """Return for how many it is."""
        found = self.capacity or (kind.seats if kind else 1)
        if found < 2:  # noqa: PLR2004 - one alone is no group
            raise SeatsUnsaid
        return found


class PlanGroupSession(Creation, GroupWanted):
    """Plan a session for several patients at one time: a course, a group therapy. Patients are booked into it as into any visit, with `groupId`."""

    state = GroupSession
    permission = "appointments.create"

    async def gather(self, look: Look) -> dict[str, Any]:
        return (await means_of(look, self.doctor_id, self.room_id, self.type_id))._asdict()

    def decide(
        self, session: GroupSession, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None, kind: AppointmentType | None = None, closed: ClosedDays = OPEN,
    ) -> list[Event]:
        means = Means(schedule, doctor, room, kind, closed)
        planned = self.planned(at, means)
        ensure_possible(means.for_group(planned.starts_at, planned.ends_at, planned.zone))
        return session.plan(planned, self.seats(kind), self.notes)


class ChangeGroupSession(Command, GroupWanted):
    """Change a session; what is left out is cleared, but for the number of seats. At another time, with another doctor or in another room all who take part are moved along, or nobody is.

    Patients who were sent a summary are written anew. A seat that is on offer is taken back when the session is moved.
    """

    state = GroupSession
    permission = "appointments.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        means = await means_of(look, self.doctor_id, self.room_id, self.type_id)
        found = await participants(look)
        planned = self.planned(look.at, means)
        others = await look.holders([
            TimeClaim(kind="patient", id=visit.patient, start=planned.starts_at, end=planned.ends_at) for visit in found["visits"].values()])
        busy = [id_ for id_, theirs in zip(found["visits"], others, strict=True) if any(stay.owner != id_ for stay in theirs)]
        return {**found, "means": means, "busy": busy}

    def decide(
        self, session: GroupSession, at: At, *, seats: Seats, visits: dict[UUID, Appointment], notes: dict[UUID, str | None], offers: dict[UUID, SlotOffer],
        means: Means, busy: list[UUID],
    ) -> Decision:
        session.ensure_planned()
        planned = self.planned(at, means)
        capacity = self.capacity or session.capacity
        moved = session.move(planned)
        taken = len(seats.sitting) + (0 if moved else len(seats.keeping))
        changed = session.change(capacity, self.notes, taken)
        if not moved:
            return [*changed]
        ensure_possible(means.for_group(planned.starts_at, planned.ends_at, planned.zone))
        ensure_not_begun(visits)
        if busy:
            raise ParticipantsBusy(appointments=[str(id_) for id_ in busy])
        along = [
            Elsewhere(state=Appointment, id=id_, events=visit.move_along(
                Arrangement(patient_id=visit.patient, group_id=at.id, **only(Planned, planned)), notes[id_], at.now))
            for id_, visit in visits.items()]
        return [*moved, *changed, *along, *taken_back(offers)]


class CancelGroupSession(Command):
    """Cancel a session, and with it the visits of all who take part; whoever was sent a summary is told."""

    state = GroupSession
    permission = "appointments.change_status"
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await participants(look)

    def decide(
        self, session: GroupSession, at: At, *, seats: Seats, visits: dict[UUID, Appointment], notes: dict[UUID, str | None], offers: dict[UUID, SlotOffer],
    ) -> Decision:
        cancelled = session.cancel(self.reason)
        ensure_not_begun(visits)
        off = [Elsewhere(state=Appointment, id=id_, events=visit.cancel("clinic", self.reason, at.now)) for id_, visit in visits.items()]
        return [*cancelled, *off, *taken_back(offers)]


async def participants(look: Look) -> dict[str, Any]:
    """Return who has a seat, with what is noted for each, and the seats on offer, held fast."""
    seats = await seats_of(look, look.at.id)
    visits = {id_: await look.load(Appointment, id_) for id_ in seats.sitting}
    notes = {id_: getattr(await look.row(Appointment, id_), "notes", None) for id_ in visits}
    return {"seats": seats, "visits": visits, "notes": notes, "offers": {id_: await look.load(SlotOffer, id_) for id_ in seats.keeping}}


def ensure_not_begun(visits: dict[UUID, Appointment]) -> None:
    """Refuse to move or cancel what somebody has come to."""
    if any(visit.status not in TO_COME for visit in visits.values()):
        raise GroupBegun


def taken_back(offers: dict[UUID, SlotOffer]) -> list[Elsewhere]:
    return [Elsewhere(state=SlotOffer, id=id_, events=offer.withdraw(None)) for id_, offer in offers.items()]
