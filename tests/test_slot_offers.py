"""Offers, over any sequence of what can happen at the front desk: a time is on offer to one, whoever waits has one offer, and what is on offer can be had."""

from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from uuid import UUID, uuid5

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from msgspec.structs import replace

from commands.appointments import BookAppointment, ChangeAppointmentStatus
from commands.kit import Holding
from commands.kit.errors import NameTaken, TimeTaken
from commands.slot_offers import (
    AcceptSlotOffer,
    AnswerSlotOffer,
    DeclineSlotOffer,
    OfferFreeSlot,
    OfferSlot,
    SettleSlotOffer,
    WithdrawSlotOffer,
)
from commands.waiting_list import AddWaitingEntry, RemoveWaitingEntry
from domain.appointments import BUSY, Appointment
from domain.kit import Elsewhere, NotFound, Refused, TimeClaim
from domain.patients import Patient
from domain.reminders import ReminderRules, ReminderSettings, reminder_settings_of
from domain.schedules import Hours, Schedule, ScheduleSet, schedule_of
from domain.slot_offers import OfferOver, PatientBusyThen, SlotOffer, answer_by
from domain.staff import Staff
from domain.waiting_list import NotWaiting, WaitingEntry
from schemas.slot_offers import SlotOfferRow
from tests.kit import CLINIC, noon

DOCTOR = UUID(int=500)
PATIENTS = [UUID(int=600 + n) for n in range(3)]
MINUTE = timedelta(minutes=1)
NINE = noon.now.replace(hour=8) + timedelta(days=1)  # nine o'clock there, on the next day
WEEK = [[Hours(start="09:00", end="11:00")]] * 7


class House:
    """A store in memory that decides as the real one does: on states, with claims, all of a save or nothing."""

    def __init__(self):
        self.now, self.count = noon.now, 0
        self.streams = {
            DOCTOR: Staff(role="doctor", active=True), schedule_of(DOCTOR): Schedule.replay([ScheduleSet(doctor_id=DOCTOR, week=WEEK, buffer_after=5)]),
            reminder_settings_of(CLINIC): ReminderSettings(rules=ReminderRules(quiet=None)), **{one: Patient(registered=True) for one in PATIENTS}}

    def do(self, command, id_=None):
        """Decide a command and keep what follows; return the id of its stream."""
        self.count += 1
        fresh = id_ or uuid5(CLINIC, str(self.count))
        self.at = replace(noon, id=fresh, now=self.now, today=self.now.date())
        stream = command.stream(self.at) if hasattr(command, "stream") else fresh
        plans = command.decide(self.streams.get(stream, command.state()), self.at, **self.run(command.gather(self)))
        self.save(command.state, stream, plans)
        return stream

    def run(self, found):
        """Run what awaits nothing but this store."""
        try:
            found.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("it waits for something else")

    def save(self, state, stream, plans):
        moves = {stream: (state, [one for one in plans if not isinstance(one, Elsewhere)])}
        moves |= {one.id: (one.state, one.events) for one in plans if isinstance(one, Elsewhere)}
        after = {id_: self.streams.get(id_, state()) for id_, (state, _) in moves.items()}
        for id_, (_, events) in moves.items():
            for event in events:
                after[id_] = after[id_].evolve(event)
        taken = [claim for id_, one in self.streams.items() for claim in (after.get(id_, one)).claims() if id_ not in after]
        for id_, one in after.items():
            new = one.claims() - (self.streams[id_].claims() if id_ in self.streams else frozenset())
            for claim in new:
                self.ensure_free(claim, [*taken, *(other for there, state in after.items() if there != id_ for other in state.claims())])
        self.streams |= after

    def ensure_free(self, claim, taken):
        if not isinstance(claim, TimeClaim) and claim in taken:
            raise NameTaken
        if isinstance(claim, TimeClaim) and self.standing(claim) and any(self.meets(claim, other) for other in taken if isinstance(other, TimeClaim)):
            raise TimeTaken

    def meets(self, claim, other):
        return (claim.kind, claim.id) == (other.kind, other.id) and self.standing(other) and claim.start < other.end and other.start < claim.end

    def standing(self, claim):
        return claim.expires is None or claim.expires > self.now

    # what a command may look at

    async def load(self, state, id_):
        return self.streams.get(id_, state())

    async def require(self, state, id_):
        if not isinstance(self.streams.get(id_), state):
            raise NotFound
        return self.streams[id_]

    async def row(self, state, id_):
        return SimpleNamespace(email="noor@example.org", notes=None)

    async def find(self, row, **equals):
        assert row is SlotOfferRow
        return [SimpleNamespace(id=id_) for id_, one in self.of(SlotOffer) if one.status == equals["status"] and one.what.entry_id == equals["entry_id"]]

    async def holders(self, claims):
        return [
            [Holding(id_, other.start, other.end) for id_, one in self.streams.items() for other in one.claims() if isinstance(other, TimeClaim) and self.meets(claim, other)]
            for claim in claims]

    @property
    def look(self):
        return self

    def of(self, state):
        return [(id_, one) for id_, one in self.streams.items() if isinstance(one, state)]


class FrontDesk(RuleBasedStateMachine):
    """People wait, are offered times, answer or do not, and others just book; time goes by."""

    entries, offers, visits = Bundle("entries"), Bundle("offers"), Bundle("visits")
    starts = st.integers(0, 5).map(lambda n: NINE + 20 * n * MINUTE)
    patients = st.sampled_from(PATIENTS)

    def __init__(self):
        super().__init__()
        self.house = House()

    def tried(self, command, id_=None):
        """Do it; None if a rule, the claims or a clock forbid it."""
        with suppress(Refused):
            return self.house.do(command, id_)
        return None

    @rule(target=entries, patient=patients)
    def wait(self, patient):
        return self.house.do(AddWaitingEntry(patient_id=patient, duration=30))

    @rule(target=offers, entry=entries, start=starts, by_hand=st.booleans())
    def offer(self, entry, start, by_hand):
        made = self.tried((OfferSlot if by_hand else OfferFreeSlot)(entry_id=entry, doctor_id=DOCTOR, start=start))
        return made or UUID(int=0)

    @rule(offer=offers, by_link=st.booleans())
    def accept(self, offer, by_link):
        """An offer that stands can be accepted, unless its patient is busy then by now."""
        before = self.house.streams.get(offer)
        if before is None:
            return
        stands = before.status == "open" and before.expires_at > self.house.now and self.house.streams[before.what.entry_id].status == "waiting"
        busy = self.house.run(self.house.holders([TimeClaim(
            kind="patient", id=self.house.streams[before.what.entry_id].patient, start=before.what.starts_at, end=before.what.ends_at)]))[0]
        self.tried(AnswerSlotOffer(response="accept") if by_link else AcceptSlotOffer(), offer)
        after = self.house.streams[offer]
        assert (after.status == "accepted") == (before.status == "accepted" or (stands and not busy)), (before, after)

    @rule(offer=offers, how=st.sampled_from([DeclineSlotOffer(), WithdrawSlotOffer(), SettleSlotOffer(), AnswerSlotOffer(response="decline"), AnswerSlotOffer(response="leave")]))
    def end(self, offer, how):
        if offer in self.house.streams:
            self.tried(how, offer)

    @rule(entry=entries)
    def remove(self, entry):
        self.tried(RemoveWaitingEntry(), entry)

    @rule(target=visits, patient=patients, start=starts)
    def book(self, patient, start):
        return self.tried(BookAppointment(patient_id=patient, doctor_id=DOCTOR, start=start, duration=30)) or UUID(int=0)

    @rule(visit=consumes(visits))
    def cancel(self, visit):
        if visit in self.house.streams:
            self.tried(ChangeAppointmentStatus(status="cancelled"), visit)

    @rule(minutes=st.sampled_from([1, 45, 120]))
    def tick(self, minutes):
        self.house.now += minutes * MINUTE

    @invariant()
    def a_time_is_on_offer_to_one_and_whoever_waits_has_one_offer(self):
        open_ = [one.what for _, one in self.house.of(SlotOffer) if one.status == "open"]
        assert len({one.entry_id for one in open_}) == len(open_)
        apart(open_)

    @invariant()
    def a_doctor_sees_one_patient_at_a_time(self):
        apart([one.arranged for _, one in self.house.of(Appointment) if one.status in BUSY])

    @invariant()
    def what_is_on_offer_is_held_and_nobody_is_booked_then(self):
        booked = [one.arranged for _, one in self.house.of(Appointment) if one.status in BUSY]
        for _, one in self.house.of(SlotOffer):
            if one.status == "open" and one.expires_at > self.house.now:
                apart([one.what, *booked])

    @invariant()
    def whoever_accepted_has_the_visit(self):
        for id_, one in self.house.of(SlotOffer):
            if one.status == "accepted":
                assert self.house.streams[one.what.entry_id].status == "served", id_
        served = [id_ for id_, one in self.house.of(WaitingEntry) if one.status == "served"]
        assert sorted(one.what.entry_id for _, one in self.house.of(SlotOffer) if one.status == "accepted") == sorted(served)


def apart(spans):
    ordered = sorted(spans, key=lambda one: one.starts_at)
    assert all(left.ends_at + 5 * MINUTE <= right.starts_at for left, right in pairwise(ordered)), ordered


TestFrontDesk = FrontDesk.TestCase
TestFrontDesk.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_the_time_to_answer_never_ends_in_the_quiet_hours_nor_after_the_visit_begins():
    start, morning = NINE, NINE - 60 * MINUTE
    assert answer_by(noon.now, 120, start, None) == noon.now + 120 * MINUTE
    assert answer_by(noon.now, 120, start, morning - 60 * MINUTE) == morning
    assert answer_by(noon.now, 120, start, morning + 30 * MINUTE) == start
    assert answer_by(start - 5 * MINUTE, 120, start, None) == start


def test_a_time_that_is_over_is_answered_no_more():
    house = House()
    entry = house.do(AddWaitingEntry(patient_id=PATIENTS[0]))
    offer = house.do(OfferSlot(entry_id=entry, doctor_id=DOCTOR, start=NINE, minutes=30))
    house.now += 30 * MINUTE
    for late in (AcceptSlotOffer(), AnswerSlotOffer(response="accept"), AnswerSlotOffer(response="decline")):
        with pytest.raises(OfferOver):
            house.do(late, offer)
    house.do(SettleSlotOffer(), offer)
    assert house.streams[offer].status == "lapsed"
    assert house.do(OfferFreeSlot(entry_id=entry, doctor_id=DOCTOR, start=NINE)) != offer
    assert len(house.of(SlotOffer)) == 2


def test_whoever_does_not_wait_or_is_busy_is_offered_nothing():
    house = House()
    entry = house.do(AddWaitingEntry(patient_id=PATIENTS[0]))
    house.do(BookAppointment(patient_id=PATIENTS[0], doctor_id=DOCTOR, start=NINE, duration=30))
    house.streams[UUID(int=501)] = Staff(role="doctor", active=True)
    house.streams[schedule_of(UUID(int=501))] = house.streams[schedule_of(DOCTOR)]
    with pytest.raises(PatientBusyThen):
        house.do(OfferSlot(entry_id=entry, doctor_id=UUID(int=501), start=NINE))
    house.do(RemoveWaitingEntry(), entry)
    with pytest.raises(NotWaiting):
        house.do(OfferSlot(entry_id=entry, doctor_id=DOCTOR, start=NINE + 40 * MINUTE))
