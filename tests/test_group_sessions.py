"""Group sessions: as many as there are seats see a doctor at one time, each with an appointment of their own."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
import pytest_asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from commands.appointments import BookAppointment, ChangeAppointment, ChangeAppointmentStatus
from commands.group_sessions import CancelGroupSession, ChangeGroupSession, PlanGroupSession
from commands.kit.errors import TimeTaken
from commands.slot_offers import AcceptSlotOffer, DeclineSlotOffer, OfferSlot
from commands.waiting_list import AddWaitingEntry
from domain.appointments import Appointment, DoctorNotWorking
from domain.group_sessions import (
    GroupBegun,
    GroupDiffers,
    GroupFull,
    GroupOver,
    GroupSession,
    ParticipantsBusy,
    SeatsTaken,
    SeatsUnsaid,
)
from domain.kit import Refused
from domain.patients import Patient
from domain.schedules import schedule_of
from domain.slot_offers import SlotOffer
from tests.clinic import Town, handling
from tests.served import failure, served, working
from tests.test_slot_offers import DOCTOR, MINUTE, NINE, House, apart
from tests.test_waiting_list import Desk as WaitingDesk
from tests.test_waiting_list import opened

PEOPLE = [UUID(int=700 + n) for n in range(6)]


def house(capacity=2):
    """A doctor who works from nine to eleven, with a session at nine."""
    here = House()
    here.streams |= {one: Patient(registered=True) for one in PEOPLE}
    return here, here.do(PlanGroupSession(doctor_id=DOCTOR, start=NINE, duration=60, capacity=capacity, type="Back school"))


def seat(group, patient, **other):
    return BookAppointment(patient_id=patient, doctor_id=DOCTOR, start=NINE, group_id=group, **other)


def test_as_many_are_booked_as_there_are_seats_and_a_seat_that_is_given_up_is_free():
    here, group = house()
    first = here.do(seat(group, PEOPLE[0]))
    here.do(seat(group, PEOPLE[1], notes="Brings a mat"))
    visit = here.streams[first].arranged
    assert (visit.group_id, visit.type, visit.ends_at - visit.starts_at, visit.buffer_after) == (group, "Back school", 60 * MINUTE, 5)
    with pytest.raises(GroupFull):
        here.do(seat(group, PEOPLE[2]))
    here.do(ChangeAppointmentStatus(status="cancelled"), first)
    third = here.do(seat(group, PEOPLE[2]))
    here.do(ChangeAppointmentStatus(status="no-show"), third)
    here.do(seat(group, PEOPLE[2]))
    assert here.streams[group].seats == {id_ for id_, one in here.of(Appointment) if one.sits_in(group)}
    with pytest.raises(GroupFull):
        here.do(seat(group, PEOPLE[3]))


def test_a_seat_is_nobody_elses_time_and_no_patient_has_two():
    here, group = house()
    here.do(seat(group, PEOPLE[0]))
    with pytest.raises(TimeTaken):
        here.do(seat(group, PEOPLE[0]))
    with pytest.raises(TimeTaken):
        here.do(BookAppointment(patient_id=PEOPLE[1], doctor_id=DOCTOR, start=NINE + 30 * MINUTE))
    with pytest.raises(GroupDiffers):
        here.do(BookAppointment(patient_id=PEOPLE[1], doctor_id=DOCTOR, start=NINE + 30 * MINUTE, group_id=group))


def test_a_session_is_planned_where_a_visit_could_be_and_says_for_how_many():
    here, _ = house()
    with pytest.raises(DoctorNotWorking):
        here.do(PlanGroupSession(doctor_id=DOCTOR, start=NINE - 60 * MINUTE, capacity=3))
    with pytest.raises(SeatsUnsaid):
        here.do(PlanGroupSession(doctor_id=DOCTOR, start=NINE + 65 * MINUTE))
    with pytest.raises(TimeTaken):
        here.do(PlanGroupSession(doctor_id=DOCTOR, start=NINE + 30 * MINUTE, capacity=3))


def test_all_who_take_part_are_moved_along_or_nobody_is():
    here, group = house(3)
    visits = [here.do(seat(group, one, notes=f"Number {n}")) for n, one in enumerate(PEOPLE[:2])]
    later = ChangeGroupSession(doctor_id=DOCTOR, start=NINE + 15 * MINUTE, duration=60, type="Back school")
    here.do(later, group)
    assert [here.streams[id_].arranged.starts_at for id_ in (*visits,)] == [NINE + 15 * MINUTE] * 2
    assert all(here.streams[id_].arranged.group_id == group for id_ in visits)
    other = UUID(int=502)
    here.streams |= {other: here.streams[DOCTOR]}
    here.streams |= {schedule_of(other): here.streams[schedule_of(DOCTOR)]}
    busy = here.do(BookAppointment(patient_id=PEOPLE[1], doctor_id=other, start=NINE + 80 * MINUTE, duration=30))
    with pytest.raises(ParticipantsBusy) as refused:
        here.do(ChangeGroupSession(doctor_id=DOCTOR, start=NINE + 45 * MINUTE, duration=60, type="Back school"), group)
    assert refused.value.details == {"appointments": [str(visits[1])]}
    assert here.streams[visits[0]].arranged.starts_at == NINE + 15 * MINUTE
    here.do(ChangeAppointmentStatus(status="cancelled"), busy)
    here.do(ChangeAppointmentStatus(status="cancelled"), visits[0])
    here.do(ChangeGroupSession(doctor_id=DOCTOR, start=NINE + 45 * MINUTE, duration=60, type="Back school"), group)
    assert here.streams[visits[0]].arranged.starts_at == NINE + 15 * MINUTE, "whoever gave the seat up is not moved"
    here.do(CancelGroupSession(reason="Ill"), group)
    assert here.streams[visits[1]].status == "cancelled"
    for late in (CancelGroupSession(), later):
        with pytest.raises(GroupOver):
            here.do(late, group)
    with pytest.raises(GroupOver):
        here.do(BookAppointment(patient_id=PEOPLE[3], doctor_id=DOCTOR, start=NINE + 45 * MINUTE, group_id=group))


def test_a_session_to_which_somebody_has_come_stays_and_seats_are_not_taken_from_under_anybody():
    here, group = house(3)
    visits = [here.do(seat(group, one)) for one in PEOPLE[:3]]
    with pytest.raises(SeatsTaken):
        here.do(ChangeGroupSession(doctor_id=DOCTOR, start=NINE, duration=60, type="Back school", capacity=2), group)
    here.do(ChangeGroupSession(doctor_id=DOCTOR, start=NINE, duration=60, type="Back school", capacity=4, notes="Mats"), group)
    assert (here.streams[group].capacity, here.streams[group].notes) == (4, "Mats")
    here.streams[visits[0]] = here.streams[visits[0]].evolve(here.streams[visits[0]].arrive()[0])
    for late in (CancelGroupSession(), ChangeGroupSession(doctor_id=DOCTOR, start=NINE + 15 * MINUTE, duration=60)):
        with pytest.raises(GroupBegun):
            here.do(late, group)


def test_a_visit_leaves_a_session_joins_one_and_what_it_is_for_stays_the_sessions_to_say():
    here, group = house()
    visit = here.do(seat(group, PEOPLE[0]))
    here.do(ChangeAppointment(doctor_id=DOCTOR, start=NINE, notes="Late"), visit)
    assert here.streams[visit].sits_in(group), "the same time, whatever length was said"
    assert here.streams[visit].arranged.type == "Back school"
    here.do(ChangeAppointment(doctor_id=DOCTOR, start=NINE + 65 * MINUTE), visit)
    assert not here.streams[visit].sits_in(group)
    assert {one.kind for one in here.streams[visit].claims()} == {"doctor", "patient"}
    here.do(ChangeAppointment(doctor_id=DOCTOR, start=NINE, group_id=group), visit)
    assert here.streams[visit].sits_in(group)
    assert {one.kind for one in here.streams[visit].claims()} == {"patient"}
    here.do(ChangeAppointment(doctor_id=DOCTOR, start=NINE, group_id=group, notes="Late again"), visit)
    here.do(seat(group, PEOPLE[1]))


def test_a_seat_on_offer_is_kept_until_the_offer_is_over():
    here, group = house()
    here.do(seat(group, PEOPLE[0]))
    entry, other = (here.do(AddWaitingEntry(patient_id=one, group_id=group)) for one in PEOPLE[1:3])
    offer = here.do(OfferSlot(entry_id=entry, doctor_id=DOCTOR, start=NINE, group_id=group))
    for late in (seat(group, PEOPLE[3]), OfferSlot(entry_id=other, doctor_id=DOCTOR, start=NINE, group_id=group)):
        with pytest.raises(GroupFull):
            here.do(late)
    here.do(DeclineSlotOffer(), offer)
    second = here.do(OfferSlot(entry_id=other, doctor_id=DOCTOR, start=NINE, group_id=group))
    here.do(AcceptSlotOffer(), second)
    assert len(here.streams[group].seats) == 2
    assert here.streams[other].status == "served"
    with pytest.raises(GroupFull):
        here.do(seat(group, PEOPLE[3]))


class Course(RuleBasedStateMachine):
    """Seats are taken, given up, offered, accepted and refused in any order; the session is moved, made smaller and greater."""

    visits, offers = Bundle("visits"), Bundle("offers")
    people = st.sampled_from(PEOPLE)

    def __init__(self):
        super().__init__()
        self.house, self.group = house(3)
        self.entries = {one: self.house.do(AddWaitingEntry(patient_id=one, group_id=self.group)) for one in PEOPLE}

    @property
    def start(self):
        return self.house.streams[self.group].what.starts_at

    def left(self):
        sitting = sum(one.sits_in(self.group) for _, one in self.house.of(Appointment))
        return self.house.streams[self.group].capacity - sitting - sum(one.status == "open" for _, one in self.house.of(SlotOffer))

    def tried(self, command, id_=None):
        try:
            return self.house.do(command, id_)
        except Refused:
            return None

    @rule(target=visits, patient=people)
    def book(self, patient):
        """Whoever has no visit then gets a seat if one is left, and none if not."""
        busy = any(one.sits_in(self.group) and one.patient == patient for _, one in self.house.of(Appointment))
        left = self.left()
        made = self.tried(BookAppointment(patient_id=patient, doctor_id=DOCTOR, start=self.start, group_id=self.group))
        assert (made is not None) == (left > 0 and not busy)
        return made or UUID(int=0)

    @rule(visit=visits)
    def cancel(self, visit):
        if visit in self.house.streams:
            self.tried(ChangeAppointmentStatus(status="cancelled"), visit)

    @rule(visit=visits)
    def leave(self, visit):
        if visit in self.house.streams:
            self.tried(ChangeAppointment(doctor_id=DOCTOR, start=NINE + 90 * MINUTE), visit)

    @rule(visit=visits)
    def come_back(self, visit):
        if visit in self.house.streams:
            self.tried(ChangeAppointment(doctor_id=DOCTOR, start=self.start, group_id=self.group), visit)

    @rule(target=offers, patient=people)
    def offer(self, patient):
        return self.tried(OfferSlot(entry_id=self.entries[patient], doctor_id=DOCTOR, start=self.start, group_id=self.group)) or UUID(int=0)

    @rule(offer=offers, word=st.sampled_from([AcceptSlotOffer(), DeclineSlotOffer()]))
    def answer(self, offer, word):
        if offer in self.house.streams:
            self.tried(word, offer)

    @rule(minutes=st.sampled_from([0, 15]), capacity=st.integers(2, 4))
    def change(self, minutes, capacity):
        self.tried(ChangeGroupSession(doctor_id=DOCTOR, start=NINE + minutes * MINUTE, duration=60, type="Back school", capacity=capacity), self.group)

    @invariant()
    def never_more_than_there_are_seats(self):
        assert self.left() >= 0

    @invariant()
    def all_who_take_part_are_there_when_it_is(self):
        session = self.house.streams[self.group].what
        for _, one in self.house.of(Appointment):
            if one.sits_in(self.group):
                assert (one.arranged.starts_at, one.arranged.ends_at, one.arranged.doctor_id) == (session.starts_at, session.ends_at, session.doctor_id)

    @invariant()
    def beside_the_session_the_doctor_sees_one_at_a_time(self):
        others = [one.arranged for _, one in self.house.of(Appointment) if one.status in {"booked", "confirmed"} and not one.sits_in(self.group)]
        apart([self.house.streams[self.group].what, *others])


TestCourse = Course.TestCase
TestCourse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- on the real store


async def test_of_many_who_want_the_last_seats_as_many_get_one_as_there_are(database):
    """Two gateways, thirty patients, five seats, and somebody who gives theirs up meanwhile."""
    async with handling(database) as first, handling(database) as second:
        town = await Town.open(first, datetime.now(UTC))
        group = (await town(PlanGroupSession(doctor_id=town.doctor, room_id=town.room, start=town.at(0), duration=60, capacity=5))).id
        early = (await town(BookAppointment(patient_id=town.patient, doctor_id=town.doctor, start=town.at(0), group_id=group))).id
        people = [await town.register(f"Bakker {n}") for n in range(30)]

        async def take(patient, handler):
            try:
                await handler.handle(BookAppointment(patient_id=patient, doctor_id=town.doctor, start=town.at(0), group_id=group), town.admin, now=town.now)
            except GroupFull:
                return False
            return True

        took = await asyncio.gather(
            *(take(one, (first, second)[n % 2]) for n, one in enumerate(people)), town(ChangeAppointmentStatus(status="cancelled"), early))
        assert sum(took[:-1]) in {4, 5}, "four, or five where the seat was given up in time"
        await asyncio.gather(*(take(one, second) for one in people[:10]), return_exceptions=True)
        left = [await take(await town.register(), first) for _ in range(2)]
        assert left == [False, False]
        state = (await first.streams.get(GroupSession, group, town.id)).state
        sitting = [(await first.streams.get(Appointment, id_, town.id)).state.sits_in(group) for id_ in state.seats]
        assert sum(sitting) == 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(module_database, make_nats):
    nats_server = make_nats()
    async with served(module_database, nats_server, public_url="https://app.example") as web, working(module_database, nats_server):
        yield SimpleNamespace(web=web)


async def course(town, capacity=2):
    """A kind of visit for several, and a session of it at nine."""
    desk: WaitingDesk = await opened(town)
    await desk.cancel(desk.taken)
    kind = await desk.admin("POST", "/appointment-types", {"name": "Back school", "minutes": 60, "capacity": capacity})
    assert kind.status_code == 201, kind.text
    made = await desk.admin("POST", "/group-sessions", {"doctorId": desk.doctor, "typeId": kind.json()["id"], "start": desk.at("09:00"), "notes": "Mats"})
    assert made.status_code == 201, made.text
    await desk.known(made)
    return desk, kind.json()["id"], made.json()["id"]


async def join(desk, group, patient, **other):
    return await desk.admin("POST", "/appointments", {"patientId": patient, "doctorId": desk.doctor, "start": desk.at("09:00"), "groupId": group, **other})


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session_with_free_seats_is_among_the_slots_with_how_many_are_left(town):
    desk, kind, group = await course(town)

    async def left():
        found = (await desk.admin("GET", "/appointments/available-slots", params={"date": desk.day.isoformat(), "typeId": kind})).json()["items"]
        return [(one["groupId"], one["seatsLeft"], one["startLocal"][11:16]) for one in found]

    assert await left() == [(group, 2, "09:00")]
    single = await desk.admin("POST", "/appointments", {"patientId": await desk.patient(), "doctorId": desk.doctor, "start": desk.at("09:00"), "typeId": kind})
    failure(single, 409, "TYPE_NEEDS_GROUP")
    plain = await desk.admin("GET", "/appointments/available-slots", params={"date": desk.day.isoformat()})
    assert plain.json()["items"] == [], "the session takes the doctor's time"
    noor, jip = await desk.patient(), await desk.patient()
    first = await join(desk, group, noor)
    assert (first.status_code, first.json()["groupId"], first.json()["type"]) == (201, group, "Back school")
    await desk.known(first)
    assert await left() == [(group, 1, "09:00")]
    shown = (await desk.admin("GET", f"/group-sessions/{group}")).json()
    assert {key: shown[key] for key in ("capacity", "taken", "offered", "seatsLeft", "doctorName", "notes")} == {
        "capacity": 2, "taken": 1, "offered": 0, "seatsLeft": 1, "doctorName": "Dr Sam Visser", "notes": "Mats"}
    await desk.known(await join(desk, group, jip))
    assert await left() == []
    failure(await join(desk, group, await desk.patient()), 409, "GROUP_FULL")
    assert {one["patientId"] for one in (await desk.admin("GET", "/appointments", params={"groupId": group})).json()["items"]} == {noor, jip}
    days = {"from": desk.day.isoformat(), "to": desk.day.isoformat()}
    calendar = await desk.admin("GET", "/appointments/calendar", params=days)
    assert ([one["id"] for one in calendar.json()["groupSessions"]], len([one for one in calendar.json()["appointments"] if one["status"] == "booked"])) == ([group], 2)
    head = await (await town.web.services.reader(desk.clinic)).head()
    assert (await desk.admin("GET", "/appointments/calendar", params={**days, "asOf": str(head)})).json() == calendar.json()
    assert (await desk.admin("GET", "/appointments/conflicts", params=days)).json()["items"] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_full_session_is_waited_for_and_a_seat_that_is_given_up_is_offered(town):
    desk, kind, group = await course(town)
    noor, jip, waits, later = [await desk.patient() for _ in range(4)]
    first = await join(desk, group, noor)
    await desk.known(await join(desk, group, jip))
    entry, other = await desk.wait(waits, groupId=group), await desk.wait(later, typeId=kind)
    await desk.tend()
    assert await desk.open() == set()
    link = (await desk.admin("GET", f"/appointments/{first.json()['id']}/share-link")).json()["token"]
    gone = await town.web.client.post("/api/v1/appointments/respond", json={"token": link, "response": "cancel"})
    assert gone.json()["status"] == "cancelled", "as for any visit"
    head = await (await town.web.services.reader(desk.clinic)).head()
    await desk.admin("GET", "/waiting-list", headers={"x-position": str(head)})
    await desk.tend()
    assert await desk.open() == {(entry, "09:00")}
    assert (await desk.admin("GET", f"/group-sessions/{group}")).json()["seatsLeft"] == 0
    failure(await join(desk, group, noor), 409, "GROUP_FULL")
    accepted = await desk.answer((await desk.offers(status="open"))[0]["id"], "accept")
    visit = (await desk.admin("GET", f"/appointments/{accepted['appointmentId']}")).json()
    assert (visit["groupId"], visit["patientId"]) == (group, waits)
    await desk.tend()
    assert await desk.open() == set()
    assert (await desk.admin("GET", f"/waiting-list/{other}")).json()["status"] == "waiting"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session_is_moved_and_cancelled_with_all_who_take_part_and_a_doctors_calendar_shows_it_once(town):
    desk, kind, group = await course(town)
    await desk.hours(desk.doctor, [("09:00", "12:00")])
    visits = [(await join(desk, group, await desk.patient())).json()["id"] for _ in range(2)]
    moved = await desk.admin("PUT", f"/group-sessions/{group}", {"doctorId": desk.doctor, "typeId": kind, "start": desk.at("10:30")})
    assert moved.status_code == 200, moved.text
    await desk.known(moved)
    assert [(await desk.admin("GET", f"/appointments/{id_}")).json()["startLocal"] for id_ in visits] == [desk.at("10:30")] * 2
    url = (await desk.admin("PUT", f"/calendar-feeds/{desk.doctor}")).json()
    feed = await town.web.client.get(url["url"][url["url"].index("/api/"):])
    assert feed.text.count("SUMMARY:Back school") == 1
    off = await desk.admin("DELETE", f"/group-sessions/{group}", params={"reason": "Ill"})
    assert off.json()["status"] == "cancelled"
    await desk.known(off)
    assert [(await desk.admin("GET", f"/appointments/{id_}")).json()["status"] for id_ in visits] == ["cancelled"] * 2
    assert (await desk.admin("GET", "/group-sessions", params={"status": "planned"})).json()["items"] == []
    again = await desk.admin("POST", "/appointments", {"patientId": await desk.patient(), "doctorId": desk.doctor, "start": desk.at("10:30")})
    assert again.status_code == 201, "the time is free"
