"""What may be asked about offering a time to somebody on the waiting list."""

from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from commands.appointments import (
    BookAppointment,
    ChangeAppointment,
    Fold,
    Means,
    Seats,
    Start,
    means_of,
    seats_of,
)
from commands.kit import Command, Creation, Decision, Look
from commands.patients import addressee
from commands.waiting_list import freed
from domain.appointments import Appointment, ensure_possible, when
from domain.group_sessions import GroupSession
from domain.holds import Held, Hold
from domain.kit import (
    At,
    Elsewhere,
    Event,
    Frozen,
    GroupSessionId,
    Reason,
    RoomId,
    StaffId,
    TimeClaim,
    WaitingEntryId,
    only,
    wall,
)
from domain.kit.letters import LetterLanguage
from domain.patients import Patient
from domain.reminders import ReminderSettings, reminder_settings_of
from domain.slot_offers import (
    NotEarlier,
    OfferAnswer,
    Offered,
    OfferedAlready,
    OfferWay,
    PatientBusyThen,
    SlotOffer,
    answer_by,
    booked_by,
    hold_of,
    offer_of,
)
from domain.waiting_list import AnswerMinutes, WaitingEntry, WaitingListSettings, Wish, waiting_list_settings_of
from schemas.slot_offers import SlotOfferRow

Instant = Annotated[datetime, Meta(tz=True)]


class Circumstances(NamedTuple):
    """All that an offer rests on, held fast."""

    entry: WaitingEntry
    patient: Patient
    reachable: bool
    visit: Appointment | None
    means: Means
    settings: WaitingListSettings
    reminders: ReminderSettings
    busy: bool  # the patient, with another visit
    seats: Seats | None = None  # of the session in which a seat is offered


class Proposal(Frozen):
    """Which time, to whom; with `groupId` a seat in that session, whose doctor and start are named."""

    entry_id: WaitingEntryId
    doctor_id: StaffId
    room_id: RoomId | None = None
    start: Start
    fold: Fold = None
    group_id: GroupSessionId | None = None

    async def circumstances(self, look: Look) -> Circumstances:
        entry = await look.require(WaitingEntry, self.entry_id)
        wish = entry.wish
        visit = await look.load(Appointment, wish.appointment_id) if wish.appointment_id else None
        settings = await look.load(WaitingListSettings, waiting_list_settings_of(look.at.clinic))
        reminders = await look.load(ReminderSettings, reminder_settings_of(look.at.clinic))
        to = await addressee(look, entry.patient)
        means = await means_of(look, self.doctor_id, self.room_id, kind_of(wish, visit))
        seats = await seats_of(look, self.group_id) if self.group_id else None
        found = Circumstances(entry, visit=visit, means=means, settings=settings, reminders=reminders, busy=False, seats=seats, **to)
        held = self.held(look.at, found)
        (others,) = await look.holders([TimeClaim(kind="patient", id=entry.patient, start=held.starts_at, end=held.ends_at)])
        return found._replace(busy=any(stay.owner != wish.appointment_id for stay in others))

    def held(self, at: At, found: Circumstances) -> Held:
        """Return the time as it is to be held."""
        if found.seats:
            session = found.seats.session
            named = when(self.start, minutes_of(session.what), at.now, at.zone, self.fold)
            session.ensure_named(self.doctor_id, named["starts_at"])
            return Held(**only(Held, session.what))
        pace = found.means.pace(length_of(found.entry.wish, found.visit))
        return Held(
            doctor_id=self.doctor_id, room_id=self.room_id, buffer_before=pace.before, buffer_after=pace.after,
            **when(self.start, pace.minutes, at.now, at.zone, self.fold))

    def ensure_possible(self, found: Circumstances, held: Held) -> None:
        """Refuse what could not be booked."""
        found.entry.ensure_waiting()
        found.patient.ensure_bookable()
        if found.seats is None:
            ensure_possible(found.means.circumstances(held.starts_at, held.ends_at, held.zone))
        if found.busy:
            raise PatientBusyThen
        if found.visit and (found.visit.arranged is None or found.visit.arranged.starts_at <= held.starts_at):
            raise NotEarlier

    def suits(self, found: Circumstances, held: Held, at: At) -> bool:
        """Say whether the patient can make it, and may be asked just now."""
        rules, wish = found.settings.rules, found.entry.wish
        notice = timedelta(minutes=rules.notice if wish.notice is None else wish.notice)
        return (
            rules.automatic and held.starts_at - at.now >= notice and found.reminders.awake(at.now, at.zone) is None and wish.takes(
                held.doctor_id, place_of(found, held), wall(held.starts_at, held.zone), wall(held.ends_at, held.zone), self.group_id))

    def offered(self, found: Circumstances, held: Held) -> Offered:
        """Return what is offered."""
        wish, visit = found.entry.wish, found.visit.arranged if found.visit else None
        told: dict[str, Any] = {
            **only(Held, held), "entry_id": self.entry_id, "patient_id": found.entry.patient, "appointment_id": wish.appointment_id, "group_id": self.group_id,
            "place_id": place_of(found, held)}
        if found.seats:
            return Offered(**told, type=found.seats.session.what.type, type_id=found.seats.session.what.type_id)
        return Offered(**told, type=wish.type or (visit.type if visit else found.means.name), type_id=kind_of(wish, found.visit))

    def offer(self, offer: SlotOffer, id_: UUID, found: Circumstances, at: At, minutes: int | None = None, *, by_hand: bool) -> Decision:
        """Offer the time, and hold it, or keep the seat, as long as the patient has to answer."""
        held = self.held(at, found)
        length = found.settings.rules.answer if minutes is None else minutes
        until = answer_by(at.now, length, held.starts_at, found.reminders.awake(at.now + timedelta(minutes=length), at.zone))
        made = offer.make(self.offered(found, held), until, by_hand=by_hand, written=found.reachable)
        if not made:
            return []
        if found.seats and self.group_id:
            kept = found.seats.session.keep(id_, found.seats.sitting, found.seats.keeping, at.now)
            return [*made, Elsewhere(state=GroupSession, id=self.group_id, events=kept)]
        return [*made, Elsewhere(state=Hold, id=hold_of(id_), events=Hold().hold_until(held, until))]


def place_of(found: Circumstances, held: Held) -> UUID | None:
    """Return where it would be."""
    return found.seats.session.what.place_id if found.seats else found.means.place(held.starts_at, held.ends_at, held.zone)


class OfferSlot(Creation, Proposal):
    """Offer a time to somebody on the waiting list by hand: any that can be booked, whatever they said and at any hour.

    It is held for them until they answer or their time to answer is over; then whoever comes next is asked. Who has an e-mail address is written to.
    """

    state = SlotOffer
    permission = "appointments.create"
    minutes: AnswerMinutes | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        open_ = [row for row in await look.find(SlotOfferRow, entry_id=self.entry_id, status="open") if (await look.load(SlotOffer, row.id)).status == "open"]
        return {"around": await self.circumstances(look), "already": open_[0].id if open_ else None}

    def decide(self, offer: SlotOffer, at: At, *, around: Circumstances, already: UUID | None) -> Decision:
        self.ensure_possible(around, self.held(at, around))
        if already:
            raise OfferedAlready(id=str(already))
        return self.offer(offer, at.id, around, at, self.minutes, by_hand=True)


class OfferFreeSlot(Creation, Proposal):
    """Offer a free time to whoever comes first among those whom it suits; once for each of them and each time."""

    state = SlotOffer
    permission = "house"

    def stream(self, at: At) -> UUID:
        return offer_of(self.entry_id, self.doctor_id, self.start)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"around": await self.circumstances(look)}

    def decide(self, offer: SlotOffer, at: At, *, around: Circumstances) -> Decision:
        held = self.held(at, around)
        if not self.suits(around, held, at):
            return []
        self.ensure_possible(around, held)
        return self.offer(offer, self.stream(at), around, at, by_hand=False)


class Acceptance(NamedTuple):
    """All that it takes to make a visit of what was offered, held fast."""

    entry: WaitingEntry
    visit: Appointment
    notes: str | None
    means: Means
    patient: Patient
    reachable: bool
    hold: Hold
    seats: Seats | None = None


async def acceptance(look: Look) -> Acceptance:
    """Return what the visit rests on that is to be booked, or moved."""
    offer = await look.require(SlotOffer, look.at.id)
    o, id_ = offer.what, visit_of(offer, look.at.id)
    entry = await look.require(WaitingEntry, o.entry_id)
    notes = getattr(await look.row(Appointment, id_), "notes", None) if o.appointment_id else None
    return Acceptance(
        entry, await look.load(Appointment, id_), notes, await means_of(look, o.doctor_id, o.room_id, o.type_id), hold=await look.load(Hold, hold_of(look.at.id)),
        seats=await seats_of(look, o.group_id) if o.group_id else None, **await addressee(look, entry.patient))


def accepted(offer: SlotOffer, at: At, way: OfferWay, found: Acceptance) -> Decision:
    """Book what was offered, or move the visit to it, by the ordinary command and its rules; and say so to the list."""
    o, id_ = offer.what, visit_of(offer, at.id)
    yes = offer.accept(id_, at.now, way)
    served = found.entry.serve(at.id, id_)
    decided = booked(offer, at, found)
    events = [one for one in decided if not isinstance(one, Elsewhere)]
    elsewhere = [one for one in decided if isinstance(one, Elsewhere)]
    if way == "link" and found.reachable:
        events = told(found.visit, events, at)
    return [*yes, Elsewhere(state=Appointment, id=id_, events=events), *elsewhere, Elsewhere(state=WaitingEntry, id=o.entry_id, events=served)]


def booked(offer: SlotOffer, at: At, found: Acceptance) -> Decision:
    """Return what follows from the ordinary command by which an offer becomes a visit."""
    o, there = offer.what, replace(at, id=visit_of(offer, at.id))
    asked: dict[str, Any] = {
        "doctor_id": o.doctor_id, "room_id": o.room_id, "type": o.type, "type_id": o.type_id, "start": datetime.fromisoformat(o.start_local), "fold": o.fold, "group_id": o.group_id,
        "duration": minutes_of(o)}
    rests: dict[str, Any] = {**found.means._asdict(), "seats": found.seats, "offer": at.id if o.group_id else None}
    if o.appointment_id is None:
        hold: dict[str, Any] = {} if o.group_id else {"hold": found.hold}
        booking = BookAppointment(**asked, patient_id=found.entry.patient, hold_id=None if o.group_id else hold_of(at.id))
        return booking.decide(found.visit, there, patient=found.patient, **rests, **hold)
    moved = ChangeAppointment(**asked, notes=found.notes).decide(found.visit, there, **rests)
    if o.group_id:
        return moved
    used = found.hold.use(there.id, o.doctor_id, o.room_id, (o.starts_at, o.ends_at), at.now)  # a visit that is moved knows nothing of holds
    return [*moved, Elsewhere(state=Hold, id=hold_of(at.id), events=used)]


def told(visit: Appointment, events: list[Event], at: At, language: LetterLanguage = None) -> list[Event]:
    """Have the patient, who accepted by the link, written when the visit is, unless they are anyway."""
    after = visit
    for event in events:
        after = after.evolve(event)  # type: ignore[arg-type]
    return events if visit.told else [*events, *after.ask_summary(at.now, language)]


def visit_of(offer: SlotOffer, id_: UUID) -> UUID:
    """Return the id of the visit that comes of an offer, or is moved by it."""
    return offer.what.appointment_id or booked_by(id_)


class AcceptSlotOffer(Command):
    """Accept an offer for its patient: the visit is booked, or moved, as it was offered."""

    state = SlotOffer
    permission = "appointments.create"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"found": await acceptance(look)}

    def decide(self, offer: SlotOffer, at: At, *, found: Acceptance) -> Decision:
        return accepted(offer, at, "clinic", found)


class DeclineSlotOffer(Command):
    """Decline an offer for its patient, who stays on the list; whoever comes next is asked."""

    state = SlotOffer
    permission = "appointments.edit"
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"hold": await look.load(Hold, hold_of(look.at.id))}

    def decide(self, offer: SlotOffer, at: At, *, hold: Hold) -> Decision:
        declined = offer.decline(self.reason, at.now, "clinic")
        return [*declined, *freed(at.id, hold)] if declined else []


class WithdrawSlotOffer(Command):
    """Take an offer back; its link opens nothing any more, and the time is free."""

    state = SlotOffer
    permission = "appointments.edit"
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"hold": await look.load(Hold, hold_of(look.at.id))}

    def decide(self, offer: SlotOffer, at: At, *, hold: Hold) -> Decision:
        return [*offer.withdraw(self.reason), *freed(at.id, hold)]


class AnswerSlotOffer(Command):
    """Answer an offer as its patient, by the link in the letter: accept it, decline it, or leave the waiting list."""

    state = SlotOffer
    permission = "public"
    response: OfferAnswer
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        offer = await look.require(SlotOffer, look.at.id)
        if self.response == "accept" and offer.status != "accepted":
            return {"found": await acceptance(look)}
        return {"hold": await look.load(Hold, hold_of(look.at.id)), "entry": await look.load(WaitingEntry, offer.what.entry_id)}

    def decide(
        self, offer: SlotOffer, at: At, *, found: Acceptance | None = None, hold: Hold = Hold(), entry: WaitingEntry = WaitingEntry(),  # noqa: B008 - frozen
    ) -> Decision:
        if self.response == "accept":
            return accepted(offer, at, "link", found) if found else []
        declined = offer.decline(self.reason, at.now, "link")
        left = entry.remove(self.reason, "link") if self.response == "leave" and entry.status == "waiting" else []
        gone = [Elsewhere(state=WaitingEntry, id=offer.what.entry_id, events=left)] if left else []
        return [*declined, *(freed(at.id, hold) if declined else []), *gone]


class SettleSlotOffer(Command):
    """Note that an offer has lapsed because nobody answered in time, or take it back because its patient waits no longer."""

    state = SlotOffer
    permission = "house"

    async def gather(self, look: Look) -> dict[str, Any]:
        offer = await look.require(SlotOffer, look.at.id)
        return {"entry": await look.load(WaitingEntry, offer.what.entry_id), "hold": await look.load(Hold, hold_of(look.at.id))}

    def decide(self, offer: SlotOffer, at: At, *, entry: WaitingEntry, hold: Hold) -> Decision:
        if offer.status != "open":
            return []
        settled = offer.lapse(at.now) or (offer.withdraw(None) if entry.status != "waiting" else [])
        return [*settled, *freed(at.id, hold)] if settled else []


def kind_of(wish: Wish, visit: Appointment | None) -> UUID | None:
    """Return of which kind the visit is to be."""
    return wish.type_id or (visit.arranged.type_id if visit and visit.arranged else None)


def length_of(wish: Wish, visit: Appointment | None) -> int | None:
    """Return how long the visit is to be, if that is said or is the length that it has."""
    if wish.duration or visit is None or visit.arranged is None:
        return wish.duration
    return minutes_of(visit.arranged)


def minutes_of(span: Any) -> int:
    minutes: int = (span.ends_at - span.starts_at) // timedelta(minutes=1)
    return minutes
