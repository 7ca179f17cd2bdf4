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
    instant,
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
    held: Held
    busy: bool  # the patient, with another visit
    seats: Seats | None = None  # of the session in which a seat is offered
    group: UUID | None = None

    @property
    def wish(self) -> Wish:
        return self.entry.wish

    def possible(self, at: At) -> None:
        """Refuse what could not be booked."""
        h = self.held
        self.entry.ensure_waiting()
        self.patient.ensure_bookable()
        if self.seats is None:
            ensure_possible(self.means.circumstances(h.starts_at, h.ends_at, h.zone))
        if self.busy:
            raise PatientBusyThen
        if self.visit and (self.visit.arranged is None or self.visit.arranged.starts_at <= h.starts_at):
            raise NotEarlier

    def suits(self, at: At) -> bool:
        """Say whether the patient can make it, and may be asked just now."""
        h, rules = self.held, self.settings.rules
        notice = timedelta(minutes=rules.notice if self.wish.notice is None else self.wish.notice)
        return (
            rules.automatic and h.starts_at - at.now >= notice and self.reminders.awake(at.now, at.zone) is None
            and self.wish.takes(h.doctor_id, self.place, wall(h.starts_at, h.zone), wall(h.ends_at, h.zone), self.group))

    @property
    def place(self) -> UUID | None:
        return self.seats.session.what.place_id if self.seats else self.means.place(self.held.starts_at, self.held.ends_at, self.held.zone)

    @property
    def called(self) -> str:
        """What the visit is for, in words."""
        if self.seats:
            return self.seats.session.what.type
        return self.wish.type or (self.visit.arranged.type if self.visit and self.visit.arranged else self.means.name)

    def offer(self, offer: SlotOffer, id_: UUID, entry: UUID, minutes: int | None, at: At, *, by_hand: bool) -> Decision:
        """Offer the time, and hold it as long as the patient has to answer."""
        length = self.settings.rules.answer if minutes is None else minutes
        quiet = self.reminders.awake(at.now + timedelta(minutes=length), at.zone)
        until = answer_by(at.now, length, self.held.starts_at, quiet)
        offered = Offered(
            **only(Held, self.held), entry_id=entry, patient_id=self.entry.patient, appointment_id=self.wish.appointment_id,
            type=self.called, type_id=self.seats.session.what.type_id if self.seats else kind_of(self.wish, self.visit), place_id=self.place, group_id=self.group)
        made = offer.make(offered, until, by_hand=by_hand, written=self.reachable)
        if made and self.seats and self.group:
            kept = self.seats.session.keep(id_, self.seats.sitting, self.seats.keeping, at.now)
            return [*made, Elsewhere(state=GroupSession, id=self.group, events=kept)]
        return [*made, Elsewhere(state=Hold, id=hold_of(id_), events=Hold().hold_until(self.held, until))] if made else []


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
        patient = await look.require(Patient, entry.patient)
        reachable = getattr(await look.row(Patient, entry.patient), "email", None) is not None
        means = await means_of(look, self.doctor_id, self.room_id, kind_of(wish, visit))
        seats = await seats_of(look, self.group_id) if self.group_id else None
        if seats:
            seats.session.ensure_named(self.doctor_id, instant(self.start, look.at.zone, self.fold))
            held = Held(**only(Held, seats.session.what))
        else:
            pace = means.pace(length_of(wish, visit))
            held = Held(
                doctor_id=self.doctor_id, room_id=self.room_id, buffer_before=pace.before, buffer_after=pace.after,
                **when(self.start, pace.minutes, look.at.now, look.at.zone, self.fold))
        (others,) = await look.holders([TimeClaim(kind="patient", id=entry.patient, start=held.starts_at, end=held.ends_at)])
        return Circumstances(entry, patient, reachable, visit, means, settings, reminders, held, any(stay.owner != wish.appointment_id for stay in others), seats, self.group_id)


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
        around.possible(at)
        if already:
            raise OfferedAlready(id=str(already))
        return around.offer(offer, at.id, self.entry_id, self.minutes, at, by_hand=True)


class OfferFreeSlot(Creation, Proposal):
    """Offer a free time to whoever comes first among those whom it suits; once for each of them and each time."""

    state = SlotOffer
    permission = "house"

    def stream(self, at: At) -> UUID:
        return offer_of(self.entry_id, self.doctor_id, self.start)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"around": await self.circumstances(look)}

    def decide(self, offer: SlotOffer, at: At, *, around: Circumstances) -> Decision:
        if not around.suits(at):
            return []
        around.possible(at)
        return around.offer(offer, self.stream(at), self.entry_id, None, at, by_hand=False)


class Answer(Frozen):
    """How a patient's yes is turned into a visit."""

    async def accepted(self, look: Look) -> dict[str, Any]:
        offer = await look.require(SlotOffer, look.at.id)
        o, id_ = offer.what, visit_of(offer, look.at.id)
        entry = await look.require(WaitingEntry, o.entry_id)
        visit = await look.load(Appointment, id_)
        notes = getattr(await look.row(Appointment, id_), "notes", None) if o.appointment_id else None
        command = asked(offer, look.at.id, entry, notes)
        others = {**await command.gather(look), **({"offer": look.at.id} if o.group_id else {})}
        reachable = getattr(await look.row(Patient, entry.patient), "email", None) is not None
        hold = await look.load(Hold, hold_of(look.at.id))
        return {"entry": entry, "visit": visit, "notes": notes, "others": others, "hold": hold, "reachable": reachable}


def accepted(offer: SlotOffer, at: At, way: OfferWay, found: dict[str, Any]) -> Decision:
    """Book what was offered, or move the visit to it, by the ordinary command and its rules; and say so to the list."""
    id_ = visit_of(offer, at.id)
    entry, visit, hold = found["entry"], found["visit"], found["hold"]
    yes = offer.accept(id_, at.now, way)
    served = entry.serve(at.id, id_)
    command = asked(offer, at.id, entry, found["notes"])
    decided: Decision = [*command.decide(visit, replace(at, id=id_), **found["others"])]
    events = [one for one in decided if not isinstance(one, Elsewhere)]
    elsewhere = [one for one in decided if isinstance(one, Elsewhere)]
    if offer.what.appointment_id and not offer.what.group_id:  # a visit that is moved knows nothing of holds
        o = offer.what
        elsewhere.append(Elsewhere(
            state=Hold, id=hold_of(at.id), events=hold.use(id_, o.doctor_id, o.room_id, (o.starts_at, o.ends_at), at.now)))
    if way == "link" and found["reachable"]:
        events = told(visit, events, at)
    return [*yes, Elsewhere(state=Appointment, id=id_, events=events), *elsewhere, Elsewhere(state=WaitingEntry, id=offer.what.entry_id, events=served)]


def told(visit: Appointment, events: list[Event], at: At, language: LetterLanguage = None) -> list[Event]:
    """Have the patient, who accepted by the link, written when the visit is, unless they are anyway."""
    after = visit
    for event in events:
        after = after.evolve(event)  # type: ignore[arg-type]
    return events if visit.told else [*events, *after.ask_summary(at.now, language)]


def asked(offer: SlotOffer, id_: UUID, entry: WaitingEntry, notes: str | None) -> BookAppointment | ChangeAppointment:
    """Return the ordinary command by which an offer becomes a visit."""
    o = offer.what
    common: dict[str, Any] = {
        "doctor_id": o.doctor_id, "room_id": o.room_id, "type": o.type, "type_id": o.type_id, "start": o.starts_at,
        "group_id": o.group_id, "duration": (o.ends_at - o.starts_at) // timedelta(minutes=1)}
    if o.appointment_id:
        return ChangeAppointment(**common, notes=notes)
    return BookAppointment(**common, patient_id=entry.patient, hold_id=None if o.group_id else hold_of(id_))


def visit_of(offer: SlotOffer, id_: UUID) -> UUID:
    """Return the id of the visit that comes of an offer, or is moved by it."""
    return offer.what.appointment_id or booked_by(id_)


class AcceptSlotOffer(Command, Answer):
    """Accept an offer for its patient: the visit is booked, or moved, as it was offered."""

    state = SlotOffer
    permission = "appointments.create"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"found": await self.accepted(look)}

    def decide(self, offer: SlotOffer, at: At, *, found: dict[str, Any]) -> Decision:
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


class AnswerSlotOffer(Command, Answer):
    """Answer an offer as its patient, by the link in the letter: accept it, decline it, or leave the waiting list."""

    state = SlotOffer
    permission = "public"
    response: OfferAnswer
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        if self.response == "accept":
            return {"found": await self.accepted(look)}
        offer = await look.require(SlotOffer, look.at.id)
        return {"found": {"hold": await look.load(Hold, hold_of(look.at.id)), "entry": await look.load(WaitingEntry, offer.what.entry_id)}}

    def decide(self, offer: SlotOffer, at: At, *, found: dict[str, Any]) -> Decision:
        if self.response == "accept":
            return [] if offer.status == "accepted" else accepted(offer, at, "link", found)
        declined = offer.decline(self.reason, at.now, "link")
        entry: WaitingEntry = found["entry"]
        left = entry.remove(self.reason, "link") if self.response == "leave" and entry.status == "waiting" else []
        gone = [Elsewhere(state=WaitingEntry, id=offer.what.entry_id, events=left)] if left else []
        return [*declined, *(freed(at.id, found["hold"]) if declined else []), *gone]


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
    return (visit.arranged.ends_at - visit.arranged.starts_at) // timedelta(minutes=1)
