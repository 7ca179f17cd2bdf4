"""The waiting list: what comes free is offered to whoever comes first among those whom it suits, to one at a time, and to nobody twice."""

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from hypothesis import example
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.waiting_list import (
    AddWaitingEntry,
    ChangeWaitingEntry,
    ChangeWaitingListSettings,
    EndWaitingEntry,
    RemoveWaitingEntry,
    ReopenWaitingEntry,
)
from domain.appointments import Appointment
from domain.holds import Hold, HoldReleased, TimeHeld
from domain.kit import Elsewhere
from domain.kit.clock import WEEKDAYS
from domain.patients import Patient, PatientIsBlocked
from domain.slot_offers import SlotOffer, SlotOffered, SlotOfferWithdrawn, hold_of
from domain.waiting_list import (
    NotWaiting,
    Times,
    TimesImpossible,
    VisitNotTheirs,
    VisitNotToMove,
    WaitingAlready,
    WaitingEntryAdded,
    WaitingEntryChanged,
    WaitingEntryEnded,
    WaitingEntryReassigned,
    WaitingEntryRemoved,
    WaitingEntryReopened,
    WaitingEntryServed,
    WaitingListSettingsChanged,
    Wish,
)
from gateway.waiting_list import Tending
from tests.kit import THIS, given, noon
from tests.mail import MailServer, carrying, text
from tests.served import ZONE, failure, served, until, working
from tests.test_appointments import booked, cancelled, visit

NOOR, DOCTOR = visit["patient_id"], visit["doctor_id"]
ELSE = uuid4()
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
added = WaitingEntryAdded(patient_id=NOOR)
removed = WaitingEntryRemoved(patient_id=NOOR)
here = {"patient": Patient(registered=True), "visit": None}
theirs = Appointment.replay([booked])
ahead = replace(noon, now=booked.starts_at - DAY, today=booked.on - DAY)


# --- the rules


def test_a_patient_waits_until_they_are_served_or_taken_off_the_list():
    given().looking(**here).when(AddWaitingEntry(patient_id=NOOR)).then(added)
    given().looking(**{**here, "patient": Patient(registered=True, blocked="Owes")}).when(AddWaitingEntry(patient_id=NOOR)).refused(PatientIsBlocked)
    waiting = given(added)
    waiting.looking(visit=None).when(ChangeWaitingEntry(rank="urgent", note="In pain")).then(WaitingEntryChanged(patient_id=NOOR, rank="urgent", note="In pain"))
    waiting.looking(offers={}).when(RemoveWaitingEntry(reason="Moved away")).then(replace(removed, reason="Moved away"))
    served = WaitingEntryServed(patient_id=NOOR, offer_id=ELSE, appointment_id=THIS)
    for end in (removed, served, WaitingEntryEnded(patient_id=NOOR, why="over")):
        given(added, end).looking(offers={}).when(RemoveWaitingEntry()).refused(NotWaiting)
        given(added, end).looking(visit=None).when(ChangeWaitingEntry()).refused(NotWaiting)
        given(added, end).looking(**here).when(ReopenWaitingEntry()).then(WaitingEntryReopened(patient_id=NOOR))
    waiting.looking(**here).when(ReopenWaitingEntry()).refused(WaitingAlready)


def test_what_could_never_suit_is_refused():
    for impossible in (
        {"times": [Times(start="12:00", end="12:00")]}, {"until": noon.today - DAY}, {"earliest": noon.today + 9 * DAY, "until": noon.today + 8 * DAY},
        {"until": noon.today + 800 * DAY}, {"earliest": noon.today + 800 * DAY},
    ):
        given().looking(**here).when(AddWaitingEntry(patient_id=NOOR, **impossible)).refused(TimesImpossible)


def test_only_a_visit_of_theirs_that_is_to_come_is_moved_forward():
    wanted = AddWaitingEntry(patient_id=NOOR, appointment_id=THIS)
    given(at=ahead).looking(**{**here, "visit": theirs}).when(wanted).then(replace(added, appointment_id=THIS))
    given(at=ahead).looking(**{**here, "visit": theirs}).when(replace(wanted, patient_id=ELSE)).refused(VisitNotTheirs)
    given(at=replace(ahead, now=booked.starts_at)).looking(**{**here, "visit": theirs}).when(wanted).refused(VisitNotToMove)
    given(at=ahead).looking(**{**here, "visit": Appointment.replay([booked, cancelled])}).when(wanted).refused(VisitNotToMove)
    given(at=ahead).looking(**{**here, "visit": Appointment()}).when(wanted).refused(VisitNotToMove)


def test_an_entry_ends_by_itself_once_nothing_can_be_offered():
    end, nothing = EndWaitingEntry(), {**here, "offers": {}}
    given(added).looking(**nothing).when(end).then()
    late = replace(added, until=noon.today)
    given(late).looking(**nothing).when(end).then()
    given(late, at=replace(noon, today=noon.today + DAY)).looking(**nothing).when(end).then(WaitingEntryEnded(patient_id=NOOR, why="over"))
    moving = replace(added, appointment_id=THIS)
    given(moving, at=ahead).looking(**{**nothing, "visit": theirs}).when(end).then()
    gone = {**nothing, "visit": Appointment.replay([booked, cancelled])}
    given(moving, at=ahead).looking(**gone).when(end).then(WaitingEntryEnded(patient_id=NOOR, why="visit-gone"))
    left = {**nothing, "patient": Patient(registered=True, archived=True)}
    given(added).looking(**left).when(end).then(WaitingEntryEnded(patient_id=NOOR, why="patient-gone"))
    given(added, removed).looking(**left).when(end).then()


START = noon.now + 2 * DAY
offered = SlotOffered(
    entry_id=THIS, patient_id=NOOR, doctor_id=DOCTOR, on=START.date(), start_local="2026-01-07T13:00:00", zone=ZONE, starts_at=START, ends_at=START + 30 * MINUTE,
    type="checkup", expires_at=noon.now + HOUR)
held = TimeHeld(doctor_id=DOCTOR, on=START.date(), start_local=offered.start_local, zone=ZONE, starts_at=START, ends_at=offered.ends_at, expires_at=offered.expires_at)


def test_whoever_is_taken_off_the_list_keeps_no_time():
    offers = {ELSE: (SlotOffer.replay([offered]), Hold.replay([held]))}
    withdrawn = SlotOfferWithdrawn(entry_id=THIS, patient_id=NOOR, doctor_id=DOCTOR)
    given(added).looking(offers=offers).when(RemoveWaitingEntry()).then(
        removed, Elsewhere(state=SlotOffer, id=ELSE, events=[withdrawn]), Elsewhere(state=Hold, id=hold_of(ELSE), events=[HoldReleased(doctor_id=DOCTOR)]))
    over = {ELSE: (SlotOffer.replay([offered, withdrawn]), Hold())}
    given(added).looking(offers=over).when(RemoveWaitingEntry()).then(removed)


def test_an_entry_follows_its_patient_when_records_are_merged():
    moved = WaitingEntryReassigned(patient_id=ELSE, was_patient_id=NOOR)
    state = given(added).events
    assert AddWaitingEntry.state.replay(state).reassign(NOOR, ELSE, noon.now) == [moved]
    assert AddWaitingEntry.state.replay([*state, moved]).reassign(NOOR, ELSE, noon.now) == []
    assert AddWaitingEntry.state.replay([*state, moved]).keeper(ELSE) == NOOR


def test_a_clinic_says_how_it_offers():
    wanted = ChangeWaitingListSettings(automatic=False, answer=30)
    changed = WaitingListSettingsChanged(automatic=False, answer=30)
    given().when(wanted).then(changed)
    given(changed).when(wanted).then()
    given(changed).when(ChangeWaitingListSettings()).then(WaitingListSettingsChanged())


# --- when somebody can come: the same, minute by minute

clocks = st.integers(0, 24 * 12).map(lambda n: f"{n // 12:02}:{5 * (n % 12):02}")
days = st.dates(date(2026, 1, 1), date(2026, 1, 20))
times = st.builds(Times, dates=st.lists(days, max_size=3), weekdays=st.lists(st.sampled_from(WEEKDAYS), max_size=3), start=clocks, end=clocks)
wishes = st.builds(
    Wish, doctor_id=st.sampled_from([None, NOOR, ELSE]), place_id=st.sampled_from([None, ELSE]), times=st.lists(times, max_size=3), earliest=st.none() | days, until=st.none() | days)


def minute_suits(wish, doctor, place, moment):
    """Say of one minute, in other words than the rule's, whether somebody can be there."""
    if (wish.doctor_id and wish.doctor_id != doctor) or (wish.place_id and wish.place_id != place):
        return False
    clock = moment.hour * 60 + moment.minute

    def within(one):
        if (one.dates or one.weekdays) and moment.date() not in one.dates and f"{moment:%A}".lower() not in one.weekdays:
            return False
        (h, m), (to_h, to_m) = (map(int, edge.split(":")) for edge in (one.start, one.end))
        return h * 60 + m <= clock < to_h * 60 + to_m

    return [within(one) for one in wish.times]


@drawn(wishes, days, st.integers(0, 24 * 12 - 1), st.sampled_from([5, 30, 90]))
@example(Wish(times=[Times(start="22:00", end="24:00")]), date(2026, 1, 1), 12 * 23 + 6, 30)
def test_a_time_suits_if_every_minute_of_it_does(wish, on, five, minutes):
    start = datetime.combine(on, time(five // 12, 5 * (five % 12)))
    end = start + timedelta(minutes=minutes)
    if end.date() != start.date() and end.time() != time():
        return
    found = [minute_suits(wish, NOOR, ELSE, start + n * MINUTE) for n in range(minutes)]
    right = all(one is not False for one in found) and (not wish.times or any(all(each) for each in zip(*found, strict=True)))
    right = right and not (wish.earliest and start.date() < wish.earliest) and not (wish.until and start.date() > wish.until)
    assert wish.takes(NOOR, ELSE, start, end) == right


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(module_database, make_nats):
    """A gateway, a projector and a courier, and a mail server."""
    nats_server = make_nats()
    with MailServer() as post:
        async with (
            served(module_database, nats_server, public_url="https://app.example") as web, working(module_database, nats_server),
            carrying(module_database, post, public_url="https://app.example"),
        ):
            yield SimpleNamespace(web=web, post=post)


async def opened(town, **rules):
    """A clinic with a doctor who works from nine to ten, a week from now on for one day, and whose hour is taken."""
    clinic = await town.web.clinic()
    admin = await town.web.person(clinic, "admin")
    assert (await admin("PUT", f"/clinics/{clinic}", {"name": "Grachten", "phone": "+31 20 123 4567", "address": "Singel 1"})).status_code == 200
    await admin("PUT", "/reminders/settings", {"enabled": False, "windows": [2880], "quiet": rules.pop("quiet", None)})
    await admin("PUT", "/waiting-list/settings", {"notice": 0, **rules})
    desk = Desk(town, clinic, admin)
    desk.doctor = await desk.hire()
    desk.taken = await desk.book(await desk.patient(), duration=60)
    return desk


class Desk:
    """A clinic's front desk."""

    def __init__(self, town, clinic, admin):
        self.town, self.clinic, self.admin = town, clinic, admin
        self.day = (datetime.now(ZoneInfo(ZONE)).date() + 7 * DAY)
        self.tending = Tending()
        self.emails = {}

    async def hire(self):
        doctor = (await self.admin("POST", "/staff/create", {"name": "Dr Sam Visser", "email": f"{uuid4().hex[:8]}@clinic.example", "role": "doctor"})).json()["id"]
        await self.hours(doctor, [("09:00", "10:00")])
        return doctor

    async def hours(self, doctor, hours):
        told = {"week": [[]] * 7, "slotMinutes": 30, "exceptions": [{"on": self.day.isoformat(), "hours": [{"start": start, "end": end} for start, end in hours]}]}
        made = await self.admin("PUT", f"/appointments/doctor-schedules/{doctor}", told)
        assert made.status_code == 200, made.text
        await self.known(made)

    async def patient(self, **other):
        email = f"noor-{uuid4().hex[:8]}@example.org"
        made = (await self.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg", "email": email, **other})).json()["id"]
        self.emails[made] = email
        return made

    def at(self, clock):
        return f"{self.day}T{clock}:00"

    async def book(self, patient, clock="09:00", duration=30, **other):
        made = await self.admin("POST", "/appointments", {
            "patientId": patient, "doctorId": self.doctor, "start": self.at(clock), "duration": duration, "type": "root canal", **other})
        assert made.status_code == 201, made.text
        await self.known(made)
        return made.json()["id"]

    async def wait(self, patient, **wish):
        made = await self.admin("POST", "/waiting-list", {"patientId": patient, **wish})
        assert made.status_code == 201, made.text
        await self.known(made)
        return made.json()["id"]

    async def cancel(self, visit):
        await self.known(await self.admin("PATCH", f"/appointments/{visit}/status", {"status": "cancelled"}))

    async def known(self, made):
        """Wait until the rows know of it."""
        assert made.status_code < 300, made.text
        answer = await self.admin("GET", "/waiting-list", headers=await self.admin.seen(made))
        assert answer.status_code == 200, answer.text

    async def tend(self, later=timedelta()):
        """Let a gateway look after the line, and the rows know of what it did."""
        await self.tending(self.town.web.services, datetime.now(UTC) + later)
        head = await (await self.town.web.services.reader(self.clinic)).head()
        assert (await self.admin("GET", "/waiting-list", headers={"x-position": str(head)})).status_code == 200

    async def offers(self, **query):
        return (await self.admin("GET", "/slot-offers", params=query)).json()["items"]

    async def open(self):
        return {(one["entryId"], one["startLocal"][11:16]) for one in await self.offers(status="open")}

    async def answer(self, offer, word):
        made = await self.admin("POST" if word != "withdraw" else "DELETE", f"/slot-offers/{offer}" + (f"/{word}" if word != "withdraw" else ""))
        await self.known(made)
        return made.json()

    async def letters(self, patient, count=1):
        def mine():
            return [message for message in self.town.post.box.taken if self.emails[patient] in message["To"]]

        async def came():
            return len(mine()) >= count

        await until(came, 20)
        return mine()


async def link(desk, patient):
    """The token in the last letter that a patient got about a time."""
    found = [one for one in await desk.letters(patient) if "free" in one["Subject"]]
    return re.findall(r"/api/v1/slot-offers/(\S+)", text(found[-1]))[0]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_comes_free_is_offered_to_the_first_whom_it_suits_by_a_letter_with_a_link(town):
    desk = await opened(town)
    late, noor, urgent = [await desk.patient() for _ in range(3)]
    first, second = await desk.wait(noor), await desk.wait(late)
    picky = await desk.wait(urgent, rank="urgent", times=[{"start": "12:00", "end": "18:00"}])
    await desk.tend()
    assert await desk.open() == set(), "nothing is free"
    await desk.cancel(desk.taken)
    for _ in range(3):
        await desk.tend()
    assert await desk.open() == {(first, "09:00"), (second, "09:30")}
    (free,) = [(await desk.admin("GET", "/appointments/available-slots", params={"date": desk.day.isoformat()})).json()["items"]]
    assert free == [], "it is held"
    failure(await desk.admin("POST", "/appointments", {"patientId": urgent, "doctorId": desk.doctor, "start": desk.at("09:00")}), 409, "TIME_TAKEN")
    (letter,) = await desk.letters(noor)
    for words in ("Noor", f"{desk.day}, 09:00 (Europe/Amsterdam), 30 minutes", "Singel 1", "+31 20 123 4567"):
        assert words in text(letter)
    for secret in ("Zwanenburg", "Visser"):
        assert secret not in str(letter)
    token = await link(desk, noor)
    shown = await town.web.client.get(f"/api/v1/slot-offers/{token}")
    assert (shown.json()["status"], shown.json()["startLocal"], shown.json()["movesFrom"]) == ("open", desk.at("09:00"), None)
    for _ in range(2):
        answered = await town.web.client.post(f"/api/v1/slot-offers/{token}", json={"response": "accept"})
        assert answered.json()["status"] == "accepted", answered.text
    entry = (await desk.admin("GET", f"/waiting-list/{first}", headers={"x-position": answered.headers.get("x-position", "0")})).json()

    async def served_now():
        return (await desk.admin("GET", f"/waiting-list/{first}")).json()["status"] == "served"

    await until(served_now)
    entry = (await desk.admin("GET", f"/waiting-list/{first}")).json()
    visit = (await desk.admin("GET", f"/appointments/{entry['visitId']}")).json()
    assert (visit["patientId"], visit["startLocal"], visit["status"]) == (noor, desk.at("09:00"), "booked")
    letters = await desk.letters(noor, 2)
    assert letters[1]["Subject"].startswith("Your appointment at Grachten"), "with the visit for their calendar"
    assert (await desk.admin("GET", f"/waiting-list/{picky}")).json()["status"] == "waiting"
    failure(await town.web.client.post(f"/api/v1/slot-offers/{token}", json={"response": "decline"}), 410, "OFFER_OVER")
    failure(await town.web.client.get(f"/api/v1/slot-offers/{token[:-3]}abc"), 410, "OFFER_LINK_OVER")


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_declines_or_does_not_answer_makes_room_for_the_next_and_is_not_asked_again(town):
    desk = await opened(town, answer=60)
    people = [await desk.patient() for _ in range(4)]
    entries = [await desk.wait(one, duration=60) for one in people]
    await desk.cancel(desk.taken)
    await desk.tend()
    assert await desk.open() == {(entries[0], "09:00")}
    answered = await town.web.client.post(f"/api/v1/slot-offers/{await link(desk, people[0])}", json={"response": "decline", "reason": "Away"})
    assert answered.json()["status"] == "declined"
    await desk.tend()
    await desk.tend()
    assert await desk.open() == {(entries[1], "09:00")}
    await desk.tend(61 * MINUTE)
    assert await desk.open() == {(entries[2], "09:00")}
    gone = await town.web.client.post(f"/api/v1/slot-offers/{await link(desk, people[2])}", json={"response": "leave"})
    assert gone.json()["status"] == "declined"
    await desk.tend(62 * MINUTE)
    await desk.tend(62 * MINUTE)
    (one,) = await desk.offers(status="open")
    assert one["entryId"] == entries[3]
    accepted = await desk.answer(one["id"], "accept")
    assert (accepted["status"], accepted["way"]) == ("accepted", "clinic")
    await desk.tend(63 * MINUTE)
    listed = {one["id"]: (one["status"], one["unanswered"]) for one in (await desk.admin("GET", "/waiting-list")).json()["items"]}
    assert listed == {entries[0]: ("waiting", 0), entries[1]: ("waiting", 1), entries[2]: ("removed", 0), entries[3]: ("served", 0)}
    assert sorted(one["status"] for one in await desk.offers()) == ["accepted", "declined", "declined", "lapsed"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_visit_is_moved_forward_and_what_it_leaves_is_offered_to_the_next(town):
    desk = await opened(town)
    await desk.hours(desk.doctor, [("09:00", "10:00"), ("14:00", "14:30")])
    noor, jip = await desk.patient(), await desk.patient()
    visit = await desk.book(noor, "14:00", notes="Afraid of drills")
    earlier = await desk.wait(noor, appointmentId=visit)
    other = await desk.wait(jip, times=[{"start": "13:00", "end": "18:00"}])
    await desk.tend()
    assert await desk.open() == set()
    await desk.cancel(desk.taken)
    await desk.tend()
    assert await desk.open() == {(earlier, "09:00")}
    (letter,) = await desk.letters(noor)
    assert f"{desk.day}, 14:00" in text(letter)
    token = await link(desk, noor)
    assert (await town.web.client.get(f"/api/v1/slot-offers/{token}")).json()["movesFrom"] == desk.at("14:00")
    assert (await town.web.client.post(f"/api/v1/slot-offers/{token}", json={"response": "accept"})).json()["status"] == "accepted"
    await desk.tend()
    await desk.tend()
    moved = (await desk.admin("GET", f"/appointments/{visit}")).json()
    assert (moved["startLocal"], moved["notes"], moved["type"]) == (desk.at("09:00"), "Afraid of drills", "root canal")
    assert await desk.open() == {(other, "14:00")}


@pytest.mark.asyncio(loop_scope="module")
async def test_hours_a_block_that_is_lifted_and_a_hold_that_is_given_back_make_offers_too(town):
    desk = await opened(town)
    noor = await desk.patient()
    await desk.wait(noor, times=[{"start": "11:00", "end": "16:00"}])
    await desk.hours(desk.doctor, [("09:00", "10:00"), ("11:00", "11:30")])
    block = await desk.admin("POST", "/appointments/blocked-times", {"doctorId": desk.doctor, "start": desk.at("11:00"), "end": desk.at("11:30"), "reason": "A meeting"})
    await desk.known(block)
    await desk.tend()
    assert await desk.open() == set()
    hold = None
    await desk.known(await desk.admin("DELETE", f"/appointments/blocked-times/{block.json()['id']}"))
    hold = await desk.admin("POST", "/appointments/holds", {"doctorId": desk.doctor, "start": desk.at("11:00"), "minutes": 30})
    await desk.known(hold)
    await desk.tend()
    assert await desk.open() == set()
    await desk.known(await desk.admin("DELETE", f"/appointments/holds/{hold.json()['id']}"))
    await desk.tend()
    assert [one for _, one in await desk.open()] == ["11:00"]


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_is_asked_in_the_quiet_hours_or_by_itself_where_the_clinic_does_not_want_it(town):
    clock = datetime.now(ZoneInfo(ZONE))
    desk = await opened(town, quiet={"start": f"{clock - HOUR:%H:%M}", "end": f"{clock + 2 * HOUR:%H:%M}"})
    entry = await desk.wait(noor := await desk.patient())
    await desk.cancel(desk.taken)
    await desk.tend()
    assert await desk.open() == set()
    by_hand = await desk.admin("POST", "/slot-offers", {"entryId": entry, "doctorId": desk.doctor, "start": desk.at("09:30"), "minutes": 15})
    assert by_hand.status_code == 201, by_hand.text
    await desk.known(by_hand)
    assert (by_hand.json()["byHand"], by_hand.json()["written"]) == (True, True)
    failure(await desk.admin("POST", "/slot-offers", {"entryId": entry, "doctorId": desk.doctor, "start": desk.at("09:00")}), 409, "OFFERED_ALREADY")
    await desk.answer(by_hand.json()["id"], "withdraw")
    await desk.tend(3 * HOUR)
    assert await desk.open() == set(), "of one free hour nobody is asked twice"
    other = await desk.wait(await desk.patient())
    await desk.tend(3 * HOUR)
    assert await desk.open() == {(other, "09:00")}
    await desk.answer((await desk.offers(status="open"))[0]["id"], "decline")
    await desk.admin("PUT", "/waiting-list/settings", {"automatic": False, "notice": 0})
    await desk.wait(noor)
    await desk.tend(3 * HOUR)
    assert await desk.open() == set()
    assert (await desk.admin("GET", "/waiting-list/settings")).json()["automatic"] is False


@pytest.mark.asyncio(loop_scope="module")
async def test_the_desk_sees_whom_a_time_suits_and_which_times_suit_somebody(town):
    desk = await opened(town, automatic=False)
    noor, jip, urgent = [await desk.patient() for _ in range(3)]
    first, second = await desk.wait(noor), await desk.wait(jip, duration=60)
    third = await desk.wait(urgent, rank="urgent")
    await desk.wait(await desk.patient(), times=[{"weekdays": [WEEKDAYS[(desk.day + DAY).weekday()]]}])
    await desk.cancel(desk.taken)
    start = datetime.fromisoformat(desk.at("09:30")).replace(tzinfo=ZoneInfo(ZONE)).isoformat()
    found = await desk.admin("GET", "/waiting-list/suited", params={"doctorId": desk.doctor, "start": start})
    assert [one["id"] for one in found.json()["items"]] == [third, first], "an hour is not free then"
    start = datetime.fromisoformat(desk.at("09:00")).replace(tzinfo=ZoneInfo(ZONE)).isoformat()
    found = await desk.admin("GET", "/waiting-list/suited", params={"doctorId": desk.doctor, "start": start})
    assert [one["id"] for one in found.json()["items"]] == [third, first, second]
    assert found.json()["items"][0]["patientName"] == "Noor Zwanenburg"
    slots = (await desk.admin("GET", f"/waiting-list/{first}/slots")).json()["items"]
    assert [one["startLocal"][11:16] for one in slots] == ["09:00", "09:30"]
    failure(await desk.admin("GET", f"/waiting-list/{uuid4()}/slots"), 404, "NOT_FOUND")
    failure(await desk.admin("GET", "/waiting-list/suited", params={"doctorId": str(uuid4()), "start": start}), 404, "NOT_FOUND")
    busy = await desk.admin("POST", "/slot-offers", {"entryId": first, "doctorId": desk.doctor, "start": desk.at("10:00")})
    failure(busy, 409, "DOCTOR_NOT_WORKING")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_without_an_address_is_told_by_the_desk_and_who_is_busy_then_is_not_asked(town):
    desk = await opened(town)
    silent, busy = await desk.patient(email=None), await desk.patient()
    other = await desk.hire()
    doctor, desk.doctor = desk.doctor, other
    await desk.book(busy, "09:00", 60)
    desk.doctor = doctor
    await desk.wait(busy, rank="high")
    entry = await desk.wait(silent)
    await desk.cancel(desk.taken)
    await desk.tend()
    assert await desk.open() == {(entry, "09:00")}
    (one,) = await desk.offers(status="open", written="false")
    assert (one["entryId"], one["patientName"], one["doctorName"]) == (entry, "Noor Zwanenburg", "Dr Sam Visser")
    assert (await desk.admin("DELETE", f"/waiting-list/{entry}", params={"reason": "Called, no answer"})).json()["status"] == "removed"
    assert (await desk.admin("GET", f"/slot-offers/{one['id']}")).status_code == 200

    async def withdrawn():
        return (await desk.admin("GET", f"/slot-offers/{one['id']}")).json()["status"] == "withdrawn"

    await until(withdrawn)


@pytest.mark.asyncio(loop_scope="module")
async def test_of_many_who_offer_book_and_answer_at_once_one_has_the_time(town):
    """Gateways that look at the same moment, hands at the desk, and somebody who just books."""
    desk = await opened(town)
    people = [await desk.patient() for _ in range(6)]
    entries = [await desk.wait(one, duration=60) for one in people]
    await desk.cancel(desk.taken)
    by_hand = [desk.admin("POST", "/slot-offers", {"entryId": entry, "doctorId": desk.doctor, "start": desk.at("09:00")}) for entry in entries[1:]]
    chores = [Tending()(town.web.services, datetime.now(UTC)) for _ in range(4)]
    straight = [desk.admin("POST", "/appointments", {"patientId": people[5], "doctorId": desk.doctor, "start": desk.at("09:30")}) for _ in range(3)]
    answers = await asyncio.gather(*chores, *by_hand, *straight)
    won = [one for one in answers[4:] if one.status_code == 201]
    await desk.tend()
    open_ = await desk.offers(status="open")
    assert len(open_) + sum("entryId" not in one.json() for one in won) == 1
    assert {one.json()["code"] for one in answers[4:] if one.status_code != 201} <= {"TIME_TAKEN", "OFFERED_ALREADY", "NAME_TAKEN", "PATIENT_BUSY_THEN"}
    if not open_:
        return
    told = await asyncio.gather(*(
        desk.admin("POST", f"/slot-offers/{open_[0]['id']}/{word}") for word in ("accept", "decline", "accept", "decline", "accept")))
    assert sum(one.status_code == 200 and one.json()["status"] == "accepted" for one in told) <= 1
    assert len({one.json()["status"] for one in told if one.status_code == 200}) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_not_booked_for_any_more_keeps_nobody_waiting(town):
    desk = await opened(town)
    gone, owes, noor = [await desk.patient() for _ in range(3)]
    first = await desk.wait(gone, rank="urgent", duration=60)
    await desk.wait(owes, rank="high", duration=60)
    entry = await desk.wait(noor, duration=60)
    assert (await desk.admin("POST", f"/patients/{owes}/block", {"reason": "Owes three visits"})).status_code == 200
    archived = await desk.admin("DELETE", f"/patients/{gone}")
    assert archived.status_code == 200, archived.text
    await desk.known(archived)
    await desk.cancel(desk.taken)
    await desk.tend()
    assert await desk.open() == {(entry, "09:00")}
    ended = (await desk.admin("GET", f"/waiting-list/{first}")).json()
    assert (ended["status"], ended["ended"]) == ("ended", "patient-gone")


@pytest.mark.asyncio(loop_scope="module")
async def test_after_three_offers_without_a_word_none_comes_by_itself_until_they_say_what_they_want(town):
    desk = await opened(town, answer=5)
    await desk.cancel(desk.taken)
    await desk.hours(desk.doctor, [(f"{9 + n:02}:00", f"{9 + n:02}:30") for n in range(5)])
    entry = await desk.wait(await desk.patient())
    starts = []
    for round_ in range(5):
        await desk.tend(6 * round_ * MINUTE)
        starts.append({start for _, start in await desk.open()})
    assert starts == [{"09:00"}, {"10:00"}, {"11:00"}, set(), set()]
    assert (await desk.admin("GET", f"/waiting-list/{entry}")).json()["unanswered"] == 3
    await desk.known(await desk.admin("PUT", f"/waiting-list/{entry}", {"note": "Reached by telephone"}))
    await desk.tend(30 * MINUTE)
    assert {start for _, start in await desk.open()} == {"12:00"}
