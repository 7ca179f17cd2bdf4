"""What may be asked of an appointment."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from commands.kit import Command, Creation, Decision, Look
from commands.patients import addressee
from commands.queue import arrival, numbers
from domain.appointment_types import AppointmentType
from domain.appointments import USUAL, Appointment, Arrangement, Circumstances, ClocksBeingSet, Party, Response, forced, when
from domain.clinics import Clinic
from domain.closed_days import ClosedDays, closed_days_of
from domain.group_sessions import GroupSession, Planned
from domain.holds import Hold
from domain.kit import (
    AppointmentTypeId,
    At,
    Elsewhere,
    Event,
    Frozen,
    GroupSessionId,
    HoldId,
    Minutes,
    Note,
    PatientId,
    Reason,
    Refused,
    RoomId,
    StaffId,
    Text,
TimeClaim,
    code_of,
        only,
)
from domain.kit.letters import LetterLanguage
from domain.kit.paces import Pace
from domain.kit.wishes import TAKEN, Way, Wish
from domain.patients import Patient
from domain.rooms import Room
from domain.schedules import Schedule, schedule_of
from domain.series import Series
from domain.slot_offers import SlotOffer
from domain.staff import Staff

T = TypeVar("T")

Start = Annotated[datetime, Meta(description="Wall-clock time in the clinic's zone, or with an offset.", examples=["2026-03-02T09:00:00"])]
Fold = Annotated[Literal[0, 1] | None, Meta(description="Which one, where the clocks going back make that time happen twice.")]


OPEN = ClosedDays()  # always
TypeName = Annotated[Text | None, Meta(description="What the visit is for, in words; if left out, what its kind is called, or a checkup.")]
Length = Annotated[Minutes | None, Meta(description="Minutes; if left out, as long as visits of its kind are, or half an hour.")]


class Wanted(Frozen):
    """The time and place that is asked for.

    With `typeId` it is a visit of a kind that the clinic offers: in a room of the kind that it needs, and at one of its available slots. The place is the room's, or
    where the doctor is by then. With `groupId` it is a seat in that group session, whose doctor and start are named and which says everything else.
    """

    doctor_id: StaffId
    room_id: RoomId | None = None
    type: TypeName = None
    start: Start
    fold: Fold = None
    duration: Length = None
    notes: Note | None = None
    overbook: bool = False
    reason: Reason | None = None
    type_id: AppointmentTypeId | None = None
    group_id: GroupSessionId | None = None

    async def others(self, look: Look) -> dict[str, Any]:
        means = (await means_of(look, self.doctor_id, self.room_id, self.type_id))._asdict()
        return {**means, "seats": await seats_of(look, self.group_id)} if self.group_id else means

    def seated(self, patient: UUID, at: At, seats: "Seats") -> Arrangement:
        """Return the arrangement of a seat in the session that is named."""
        planned = seats.session.what
        named = when(self.start, (planned.ends_at - planned.starts_at) // timedelta(minutes=1), at.now, at.zone, self.fold)
        seats.session.ensure_named(self.doctor_id, named["starts_at"])
        return Arrangement(patient_id=patient, group_id=self.group_id, **only(Planned, planned))

    def arranged(self, patient: UUID, at: At, means: "Means") -> Arrangement:
        ensure_clocks(at)
        pace = means.pace(self.duration)
        time = when(self.start, pace.minutes, at.now, at.zone, self.fold)
        return Arrangement(
            patient_id=patient, doctor_id=self.doctor_id, room_id=self.room_id, type=self.type or means.name, buffer_before=pace.before, buffer_after=pace.after,
            forced=forced(overbook=self.overbook, may=at.may("appointments.overbook"), reason=self.reason), type_id=self.type_id,
            place_id=means.place(time["starts_at"], time["ends_at"], at.zone), **time)


class Seats(NamedTuple):
    """A group session with the appointments that have a seat by now, and the offers for which one is kept."""

    session: GroupSession
    sitting: list[UUID]
    keeping: list[UUID]

    def take(self, group: UUID, appointment: UUID, at: At, offer: UUID | None = None) -> Elsewhere:
        """Give a seat to an appointment."""
        return Elsewhere(state=GroupSession, id=group, events=self.session.take(appointment, self.sitting, self.keeping, at.now, offer))


async def seats_of(look: Look, group: UUID) -> Seats:
    """Return who has a seat in a session, held fast."""
    session = await look.require(GroupSession, group)
    return Seats(
        session, [id_ for id_ in sorted(session.seats) if (await look.load(Appointment, id_)).sits_in(group)],
        [id_ for id_ in sorted(session.kept) if (await look.load(SlotOffer, id_)).status == "open"])


SEATED = Circumstances(working=True, treats=True)  # whether a session is possible was asked when it was planned


def ensure_clocks(at: At) -> None:
    """Refuse to put anything anywhere while what is to come is being put elsewhere."""
    if at.setting_clocks:
        raise ClocksBeingSet


class Means(NamedTuple):
    """What a visit rests on: the doctor and their hours, the room, the kind of visit, and the days on which the clinic is closed."""

    schedule: Schedule
    doctor: Staff
    room: Room | None = None
    kind: AppointmentType | None = None
    closed: ClosedDays = OPEN

    @property
    def name(self) -> str:
        return self.kind.offer.name if self.kind and self.kind.offer else "checkup"

    @property
    def deposit(self) -> int:
        """What the patient is asked to pay beforehand."""
        return self.kind.offered.deposit if self.kind and self.kind.offered else 0

    def pace(self, minutes: int | None = None) -> Pace:
        """Return how the visit follows others; it takes so many minutes, or as many as its kind."""
        usual = self.kind.offer.minutes if self.kind and self.kind.offer else USUAL
        pace = self.schedule.pace(usual if minutes is None else minutes)
        return self.kind.pace(pace) if self.kind else pace

    def place(self, start: datetime, end: datetime, zone: str) -> UUID | None:
        """Return where the visit is: where its room is, or else the doctor by then."""
        return self.room.place if self.room else next(iter(self.schedule.covering(start, end, zone, self.closed)), None)

    def for_group(self, start: datetime, end: datetime, zone: str) -> Circumstances:
        """Say how they stand for a session of several patients."""
        return replace(self.circumstances(start, end, zone), single=True)

    def circumstances(self, start: datetime, end: datetime, zone: str) -> Circumstances:
        """Say how those whom a visit needs stand, at its time."""
        kind, place = self.kind, self.place(start, end, zone)
        return Circumstances(
            working=place in self.schedule.covering(start, end, zone, self.closed), treats=self.doctor.treats,
            usable=self.room is None or self.room.active, offered=kind is None or kind.offered is not None,
            fits=kind is None or kind.fits(self.room.type if self.room else None), single=kind is None or kind.seats == 1,
            on_grid=kind is None or self.schedule.offers(start, self.pace().grid, place, zone, self.closed))


class Others(NamedTuple):
    """What several visits rest on, by the ids of doctors, rooms and kinds of visit."""

    schedules: dict[UUID, Schedule]
    doctors: dict[UUID, Staff]
    rooms: dict[UUID, Room]
    kinds: dict[UUID, AppointmentType]
    closed: ClosedDays

    def means(self, wanted: Wanted) -> Means:
        return Means(
            self.schedules.get(wanted.doctor_id, Schedule()), self.doctors.get(wanted.doctor_id, Staff()), self.rooms.get(wanted.room_id) if wanted.room_id else None,
            self.kinds.get(wanted.type_id) if wanted.type_id else None, self.closed)


async def resting_on(look: Look, doctors: Iterable[UUID], rooms: Iterable[UUID | None], kinds: Iterable[UUID | None]) -> Others:
    """Return the doctors with their hours, the rooms and the kinds of visit, held fast."""
    doctors = set(doctors)
    return Others(
        {one: await look.load(Schedule, schedule_of(one)) for one in doctors}, {one: await look.require(Staff, one) for one in doctors},
        {one: await look.require(Room, one) for one in set(rooms) if one is not None},
        {one: await look.require(AppointmentType, one) for one in set(kinds) if one is not None}, await look.load(ClosedDays, closed_days_of(look.at.clinic)))


async def noted(look: Look, ids: Iterable[UUID]) -> dict[UUID, str | None]:
    """Return what is noted about appointments, which goes along wherever they go; held fast."""
    ids = [*ids]
    rows = await asyncio.gather(*(look.row(Appointment, id_) for id_ in ids))
    return {id_: getattr(row, "notes", None) for id_, row in zip(ids, rows, strict=True)}


Then = list[Event]


def rearranged(visit: Appointment, wanted: Wanted, at: At, others: Others) -> Way[Then]:
    """Return a visit as it would be at another time or place, or the code of the rule that forbids it."""

    def events(arranged: Arrangement, things: Circumstances) -> Then:
        return visit.retold(visit.rearrange(arranged, things, notes=wanted.notes, reason=None), at.now)

    return attempted(visit, wanted, visit.patient, at, others, events)


def attempted(
    visit: Appointment, wanted: Wanted, patient: UUID, at: At, others: Others, decided: Callable[[Arrangement, Circumstances], Then],
) -> Way[Then]:
    """Return a visit as it would be, or the code of the rule that forbids it."""
    try:
        means = others.means(wanted)
        arranged = wanted.arranged(patient, at, means)
        events = decided(arranged, means.circumstances(arranged.starts_at, arranged.ends_at, arranged.zone))
    except Refused as refused:
        return Way(visit.claims(), [], code_of(type(refused)))
    after = visit
    for event in events:
        after = after.evolve(event)  # type: ignore[arg-type]
    return Way(after.claims(), events)


Holders = dict[UUID, set[UUID]]


async def holders_of(look: Look, wishes: list[Wish[T]]) -> Holders:
    """Return for each visit that wants something in one way who holds any of that time."""
    wanted = [(one.id, claim) for one in wishes for ways in one.ways for way in ways for claim in way.after if isinstance(claim, TimeClaim) and not claim.forced]
    found: Holders = {}
    for (id_, _), stays in zip(wanted, await look.holders([claim for _, claim in wanted]), strict=True):
        found.setdefault(id_, set()).update(stay.owner for stay in stays)
    return found


def unless_held(wish: Wish[T], holders: Holders, ours: frozenset[UUID]) -> Wish[T]:
    """Return the wish as it is if somebody else than `ours` holds the time."""
    taken = not ours.issuperset(holders.get(wish.id, ()))
    return wish._replace(ways=[[way._replace(why=way.why or TAKEN) for way in ways] for ways in wish.ways]) if taken else wish


async def means_of(look: Look, doctor: UUID, room: UUID | None, kind: UUID | None) -> Means:
    """Return what a visit rests on, held fast."""
    return Means(
        await look.load(Schedule, schedule_of(doctor)), await look.require(Staff, doctor), await look.require(Room, room) if room else None,
        await look.require(AppointmentType, kind) if kind else None, await look.load(ClosedDays, closed_days_of(look.at.clinic)))


class BookAppointment(Creation, Wanted):
    """Book a patient with a doctor. Overbooking takes a permission and a reason, and so does booking for a patient who is blocked (`despiteBlock`).

    With `holdId` the time is that of a hold, which ends with it: nobody comes in between.
    """

    state = Appointment
    permission = "appointments.create"
    patient_id: PatientId
    despite_block: bool = False
    hold_id: HoldId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        hold = {"hold": await look.require(Hold, self.hold_id)} if self.hold_id else {}
        return {**await self.others(look), "patient": await look.require(Patient, self.patient_id), **hold}

    def decide(
        self, appointment: Appointment, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None, patient: Patient, kind: AppointmentType | None = None,
        closed: ClosedDays = OPEN, hold: Hold | None = None, seats: Seats | None = None, offer: UUID | None = None,
    ) -> Decision:
        patient.ensure_bookable(despite=self.despite_block, may=at.may("appointments.overbook"), reason=self.reason)
        means = Means(schedule, doctor, room, kind, closed)
        wanted = self.seated(self.patient_id, at, seats) if seats else self.arranged(self.patient_id, at, means)
        past_block = patient.blocked
        things = SEATED if seats else means.circumstances(wanted.starts_at, wanted.ends_at, wanted.zone)
        booked = appointment.book(wanted, things, notes=self.notes, reason=self.reason, past_block=past_block, deposit=means.deposit)
        if seats and self.group_id:
            return [*booked, seats.take(self.group_id, at.id, at, offer)]
        if hold is None or self.hold_id is None:
            return [*booked]
        used = hold.use(at.id, self.doctor_id, self.room_id, (wanted.starts_at, wanted.ends_at), at.now)
        return [*booked, Elsewhere(state=Hold, id=self.hold_id, events=used)]


class ChangeAppointment(Command, Wanted):
    """Move an appointment to another time, doctor or room, or change its type and notes; what is left out is cleared.

    A seat in a group session that is moved to another time leaves the session, and one can be moved into a session (`groupId`).

    A patient who was sent a summary is written anew when the appointment is moved.
    """

    state = Appointment
    permission = "appointments.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await self.others(look)

    def decide(
        self, appointment: Appointment, at: At, *, schedule: Schedule, doctor: Staff, room: Room | None, kind: AppointmentType | None = None,
        closed: ClosedDays = OPEN, seats: Seats | None = None, offer: UUID | None = None,
    ) -> Decision:
        means = Means(schedule, doctor, room, kind, closed)
        wanted = self.seated(appointment.patient, at, seats) if seats else self.arranged(appointment.patient, at, means)
        things = SEATED if seats else means.circumstances(wanted.starts_at, wanted.ends_at, wanted.zone)
        changes = appointment.rearrange(wanted, things, notes=self.notes, reason=self.reason)
        taken = [seats.take(self.group_id, at.id, at, offer)] if seats and self.group_id and not appointment.sits_in(self.group_id) else []
        return [*appointment.retold(changes, at.now), *taken]


class UndoMissedAppointment(Command):
    """Expect a patient after all who was said not to have come: the visit stands as before, if its time is still free, and costs no fee for having been missed."""

    state = Appointment
    permission = "appointments.change_status"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.undo_miss()


class ChangeAppointmentStatus(Command):
    """Move an appointment along its life. Whoever arrives on the day of the visit gets the next number of the waiting queue."""

    state = Appointment
    permission = "appointments.change_status"
    status: Literal["confirmed", "arrived", "in-chair", "completed", "cancelled", "no-show"]
    reason: Reason | None = None
    cancelled_by: Party = "clinic"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await numbers(look) if self.status == "arrived" else {}

    def decide(self, appointment: Appointment, at: At, *, numbers: Series = Series()) -> Decision:  # noqa: B008 - frozen
        match self.status:
            case "confirmed":
                return [*appointment.confirm()]
            case "arrived":
                return arrival(appointment, at, numbers)
            case "in-chair":
                return [*appointment.seat()]
            case "completed":
                return [*appointment.complete()]
            case "cancelled":
                return [*appointment.cancel(self.cancelled_by, self.reason, at.now)]
            case "no-show":
                return [*appointment.miss()]


class RemoveAppointment(Command):
    """Cancel an appointment and take it off the lists; its history stays."""

    state = Appointment
    permission = "appointments.delete"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.remove()


class ShareAppointment(Command):
    """Give out a link by which the patient looks at their appointment, confirms it or cancels it.

    It is good until the appointment is over, cancelled or another patient's, or the link is taken back. Each time the address is another one, for none is
    kept; those before stay good beside it.
    """

    state = Appointment
    permission = "appointments.view_detail"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.share(at.now)


class RevokeAppointmentLink(Command):
    """Take the patient's link back: none of its addresses opens anything any more."""

    state = Appointment
    permission = "appointments.view_detail"

    def decide(self, appointment: Appointment, at: At) -> list[Event]:
        return appointment.revoke_link()


class SendAppointmentSummary(Command):
    """Write to the patient when and with whom the appointment is, with a link to confirm or cancel it."""

    state = Appointment
    permission = "appointments.send_summary"
    language: LetterLanguage = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await addressee(look, (await look.require(Appointment, look.at.id)).patient)

    def decide(self, appointment: Appointment, at: At, *, patient: Patient, reachable: bool) -> list[Event]:
        patient.ensure_reachable(reachable=reachable)
        return appointment.ask_summary(at.now, self.language)


class AnswerAppointment(Command):
    """Confirm or cancel an appointment as its patient, by the link of that id."""

    state = Appointment
    permission = "public"
    response: Response
    reason: Reason | None = None
    link: UUID

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.load(Clinic, look.at.clinic)}

    def decide(self, appointment: Appointment, at: At, *, clinic: Clinic) -> list[Event]:
        return appointment.answer(at.id, self.link, self.response, self.reason, at.now, timedelta(hours=clinic.cancel_notice))
