"""Doctors' calendars on their own telephones: under a secret address, read alike by programs of other makes, with no word about anybody."""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
import vobject
from ical.calendar_stream import IcsCalendarStream
from icalendar import Calendar
from msgspec.structs import replace

from commands.calendar_feeds import CloseCalendarFeed, OpenCalendarFeed
from domain.appointments import AppointmentLinkShared
from domain.calendar_feeds import CalendarFeed, CalendarFeedClosed, CalendarFeedOpened, CalendarFeedOver
from domain.kit import Forbidden, NotFound
from domain.kit.grants import granted
from domain.staff import Staff, StaffDeactivated, StaffHired
from projections.appointments import appointments
from tests.kit import facts, given, noon
from tests.served import ZONE, failure, served, working
from tests.test_appointments import booked, cancelled, confirmed, visit

DOCTOR = UUID(int=3)
HIRED = StaffHired(name="Dr Visser", email="v@example.org", role="doctor")
there = {"doctor": Staff.replay([HIRED])}
opened = CalendarFeedOpened(doctor_id=DOCTOR, number=1)
own = replace(noon, subject=DOCTOR, grants=granted("doctor"))
FEEDS = "/calendar-feeds"


# --- the rules


def test_a_doctor_opens_an_address_and_a_new_one_kills_the_one_before():
    given(at=own).looking(**there).when(OpenCalendarFeed(doctor_id=DOCTOR)).then(opened)
    given(opened, at=own).looking(**there).when(OpenCalendarFeed(doctor_id=DOCTOR)).then(replace(opened, number=2))
    given(opened, at=own).when(CloseCalendarFeed(doctor_id=DOCTOR)).then(CalendarFeedClosed(doctor_id=DOCTOR))
    given(at=own).when(CloseCalendarFeed(doctor_id=DOCTOR)).then()
    closed = [opened, CalendarFeedClosed(doctor_id=DOCTOR)]
    given(*closed, at=own).looking(**there).when(OpenCalendarFeed(doctor_id=DOCTOR)).then(replace(opened, number=2))
    for feed, number in ((CalendarFeed(), 1), (CalendarFeed.replay(closed), 1), (CalendarFeed.replay([opened, replace(opened, number=2)]), 1)):
        with pytest.raises(CalendarFeedOver):
            feed.ensure_open(number)


def test_only_the_doctor_and_who_sees_to_everybodys_hours_may():
    given(at=replace(own, subject=UUID(int=4))).looking(**there).when(OpenCalendarFeed(doctor_id=DOCTOR)).refused(Forbidden)
    given(at=replace(own, subject=UUID(int=4))).when(CloseCalendarFeed(doctor_id=DOCTOR)).refused(Forbidden)
    given().looking(**there).when(OpenCalendarFeed(doctor_id=DOCTOR)).then(opened)
    given().looking(doctor=Staff.replay([HIRED, StaffDeactivated()])).when(OpenCalendarFeed(doctor_id=DOCTOR)).refused(NotFound)


def test_the_edition_of_a_visit_rises_with_what_calendars_show():
    row = None
    for fact, edition in zip(facts(booked, AppointmentLinkShared(**visit, number=1, until=booked.ends_at), confirmed, cancelled), (0, 0, 1, 2), strict=True):
        row = appointments(row, fact)
        assert row.sequence == edition


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(module_database, make_nats):
    nats_server = make_nats()
    async with served(module_database, nats_server, public_url="https://app.example") as town, working(module_database, nats_server):
        yield town


def by_icalendar(text):
    return {
        str(event["uid"]): (event["dtstart"].dt.astimezone(ZoneInfo("UTC")), event["dtend"].dt.astimezone(ZoneInfo("UTC")), str(event["summary"]), str(event["status"]), int(event["sequence"]))
        for event in Calendar.from_ical(text).walk("VEVENT")}


def by_ical(text):
    return {
        event.uid: (event.dtstart.astimezone(ZoneInfo("UTC")), event.dtend.astimezone(ZoneInfo("UTC")), event.summary, event.status.value, event.sequence)
        for event in IcsCalendarStream.calendar_from_ics(text).events}


def by_vobject(text):
    return {
        event.uid.value: (event.dtstart.value.astimezone(ZoneInfo("UTC")), event.dtend.value.astimezone(ZoneInfo("UTC")), event.summary.value, event.status.value, int(event.sequence.value))
        for event in vobject.readOne(text).vevent_list}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_calendar_program_reads_a_doctors_visits_and_blocked_time(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    hired = await admin("POST", "/staff/create", {"name": "Dr Sam Visser", "email": "sam@clinic.example", "role": "doctor"})
    doctor = hired.json()["id"]
    await admin("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})
    room = (await admin("POST", "/rooms", {"name": "Room 1; the large, bright one"})).json()["id"]
    noor = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg"})).json()["id"]
    day = datetime.now(ZoneInfo(ZONE)).date() + timedelta(days=7)

    async def book(clock, **other):
        answer = await admin("POST", "/appointments", {"patientId": noor, "doctorId": doctor, "start": f"{day}T{clock}:00", "type": "root canal", "notes": "Drills", **other})
        assert answer.status_code == 201, answer.text
        return answer.json()

    stays, moves, off = await book("09:00", roomId=room), await book("11:00"), await book("13:00")
    moved = (await admin("PUT", f"/appointments/{moves['id']}", {"start": f"{day}T15:00:00", "duration": 45, "doctorId": doctor, "type": "crown"})).json()
    await admin("PATCH", f"/appointments/{off['id']}/status", {"status": "cancelled", "reason": "She is ill"})
    block = await admin("POST", "/appointments/blocked-times", {"doctorId": doctor, "start": f"{day}T17:00:00", "end": f"{day}T18:00:00", "reason": "Divorce"})
    assert (await admin("GET", f"{FEEDS}/{doctor}")).json() == {"doctorId": doctor, "url": None, "openedAt": None}
    url = (await admin("PUT", f"{FEEDS}/{doctor}")).json()["url"]
    assert (await admin("GET", f"{FEEDS}/{doctor}")).json()["url"] == url
    assert url.startswith("https://app.example/api/v1/calendar-feeds/")
    await admin("GET", "/appointments", headers=await admin.seen(block))
    path = url.removeprefix("https://app.example")
    answer = await web.client.get(path)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/calendar")
    at = lambda told, name: datetime.fromisoformat(told[name])  # noqa: E731
    expected = {
        stays["id"]: (at(stays, "startsAt"), at(stays, "endsAt"), "root canal", "CONFIRMED", 0),
        moves["id"]: (at(moved, "startsAt"), at(moved, "endsAt"), "crown", "CONFIRMED", 1),
        off["id"]: (at(off, "startsAt"), at(off, "endsAt"), "root canal", "CANCELLED", 1),
        block.json()["id"]: (at(block.json(), "startsAt"), at(block.json(), "endsAt"), "Busy", "CONFIRMED", 0)}
    for read in (by_icalendar, by_ical, by_vobject):
        assert read(answer.text) == expected, read.__name__
    for secret in ("Noor", "Zwanenburg", "Drills", "Divorce", "ill", noor):
        assert secret not in answer.text
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT15M" in answer.text
    assert r"LOCATION:Room 1\; the large\, bright one" in answer.text
    assert all(len(line.encode()) <= 75 for line in answer.text.split("\r\n"))
    same = await web.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_address_that_was_taken_back_opens_nothing(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    doctor = (await admin("POST", "/staff/create", {"name": "Dr Berg", "email": "berg@clinic.example", "role": "doctor"})).json()["id"]
    other = await web.person(await web.clinic(), "admin")
    for method in ("GET", "PUT", "DELETE"):
        failure(await other(method, f"{FEEDS}/{doctor}"), 404, "NOT_FOUND")
        failure(await (await web.person(clinic, "doctor"))(method, f"{FEEDS}/{doctor}"), 403, "FORBIDDEN")

    async def path():
        return (await admin("PUT", f"{FEEDS}/{doctor}")).json()["url"].removeprefix("https://app.example")

    first, second = await path(), await path()
    assert first != second
    assert (await web.client.get(second)).status_code == 200
    forged = second.replace(second.split("/")[4], "A" * 48)
    for gone in (first, forged, second.replace("feeds/", "feeds/x")):
        failure(await web.client.get(gone), 410, "CALENDAR_FEED_OVER")
    assert (await admin("DELETE", f"{FEEDS}/{doctor}")).json()["url"] is None
    failure(await web.client.get(second), 410, "CALENDAR_FEED_OVER")
    third = await path()
    assert (await admin("DELETE", f"/staff/{doctor}")).status_code == 200
    failure(await web.client.get(third), 410, "CALENDAR_FEED_OVER")
