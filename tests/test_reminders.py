"""Reminders: once for each visit and window, at the time it has by then, never at night, and never to whom does not want them."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from msgspec.structs import replace

from commands.message_wishes import ChangeMessageWishes, RefuseMessages, WelcomeMessages
from commands.reminders import ChangeReminderSettings, Remind, SendReminder
from domain.appointments import Appointment, AppointmentLinkShared, AppointmentRescheduled
from domain.kit import Elsewhere, NotFound
from domain.message_wishes import MessageWishes, MessageWishesChanged, message_wishes_of
from domain.patients import Patient, PatientMerged, PatientUnreachable
from domain.reminders import (
    Going,
    Quiet,
    QuietHoursEndless,
    ReminderQueued,
    ReminderRules,
    ReminderSettings,
    ReminderSettingsChanged,
    ReminderSkipped,
    ReminderUnwanted,
)
from gateway.reminders import tend
from projections.appointments import appointments
from tests.kit import THIS, facts, given, noon
from tests.mail import MailServer, Outbox, carrying, text
from tests.served import PROTECTED, ZONE, failure, served, until, working
from tests.test_appointments import booked, cancelled, confirmed, visit

ELSE = uuid4()
NOOR = visit["patient_id"]
DAY = timedelta(days=1)
STARTS = booked.starts_at
here = {"visit": Appointment.replay([booked]), "arranged_at": STARTS - 9 * DAY, "patient": Patient(registered=True), "reachable": True, "wishes": [MessageWishes()]}
on = ReminderSettings(rules=ReminderRules(enabled=True, quiet=None))
told = {"patient_id": NOOR, "appointment_id": THIS, "starts_at": STARTS}
shared = Elsewhere(state=Appointment, id=THIS, events=[AppointmentLinkShared(**visit, number=1, until=booked.ends_at)])
queued = ReminderQueued(**told, window=120, due_at=STARTS - timedelta(hours=2), number=1, until=booked.ends_at)
unwilling = MessageWishes(unwanted=("reminders",))


def remind(window=120, starts_at=STARTS):
    return Remind(appointment_id=THIS, starts_at=starts_at, window=window)


def at(before, *events, **other):
    """So long before the visit, as things are there."""
    return given(*events, at=replace(noon, now=STARTS - before)).looking(**{**here, "settings": on, **other})


def skipped(why, window=120, due=None):
    return ReminderSkipped(**told, window=window, due_at=due or STARTS - timedelta(minutes=window), why=why)


HOUR = timedelta(hours=1)


# --- the rules


def test_a_patient_is_reminded_once_it_is_time_and_once_only():
    at(3 * HOUR).when(remind()).then()
    at(2 * HOUR).when(remind()).then(queued, shared)
    at(1 * HOUR, queued).when(remind()).then()
    at(1 * HOUR, skipped("unwanted")).when(remind()).then()
    at(-HOUR).when(remind()).then()
    linked = Appointment.replay([booked, confirmed, shared.events[0]])
    at(1 * HOUR, visit=linked).when(remind()).then(queued)


def test_nobody_is_reminded_of_what_is_not_to_come_or_not_then():
    at(1 * HOUR, visit=Appointment.replay([booked, cancelled])).when(remind()).then()
    at(1 * HOUR).when(remind(starts_at=STARTS - HOUR)).then()
    at(1 * HOUR, settings=ReminderSettings()).when(remind()).then()
    at(1 * HOUR).when(remind(90)).then()


def test_what_was_over_when_the_visit_was_booked_is_not_sent_and_neither_is_what_another_one_says_as_well():
    at(1 * HOUR, arranged_at=STARTS - 2 * HOUR).when(remind()).then(queued, shared)
    late = STARTS - timedelta(minutes=119)
    at(1 * HOUR, arranged_at=late).when(remind()).then(skipped("short-notice"))
    at(1 * HOUR, arranged_at=late).when(remind(2880)).then(skipped("short-notice", 2880))
    at(1 * HOUR).when(remind(2880)).then(skipped("overtaken", 2880))
    at(1 * HOUR).when(remind()).then(queued, shared)


def test_who_cannot_or_does_not_want_to_be_written_to_is_not():
    at(1 * HOUR, reachable=False).when(remind()).then(skipped("unreachable"))
    at(1 * HOUR, wishes=[MessageWishes(), unwilling]).when(remind()).then(skipped("unwanted"))
    at(1 * HOUR, patient=Patient(registered=True, archived=True)).when(remind()).then(skipped("inactive"))


def test_quiet_hours_put_a_reminder_off_and_what_would_come_too_late_is_dropped():
    """The visit is at ten in the clinic, an hour before UTC's."""
    assert booked.zone == ZONE
    nine = STARTS.astimezone(ZoneInfo(ZONE)).replace(hour=9, minute=0)
    quiet = replace(on, rules=replace(on.rules, quiet=Quiet(start="21:00", end="09:00"), windows=[120]))
    end = nine.astimezone(UTC)
    at(2 * HOUR, settings=quiet).when(remind()).then()
    at(STARTS - end, settings=quiet).when(remind()).then(replace(queued, due_at=end), shared)
    late = replace(quiet, rules=replace(quiet.rules, quiet=Quiet(start="21:00", end="11:00")))
    at(2 * HOUR, settings=late).when(remind()).then(skipped("quiet-hours"))
    noon_rest = replace(quiet, rules=replace(quiet.rules, quiet=Quiet(start="07:30", end="08:30")))
    at(2 * HOUR, settings=noon_rest).when(remind()).then()
    at(90 * timedelta(minutes=1), settings=noon_rest).when(remind()).then(replace(queued, due_at=STARTS - 90 * timedelta(minutes=1)), shared)


@pytest.mark.parametrize(("moment", "end"), [
    ("2026-03-28T22:00", "2026-03-29T08:00"), ("2026-10-24T22:00", "2026-10-25T08:00"), ("2026-01-05T00:30", "2026-01-05T08:00"), ("2026-01-05T20:59", None),
    ("2026-01-05T08:00", None), ("2026-01-05T21:00", "2026-01-06T08:00")])
def test_the_quiet_hours_are_the_clinics_whatever_its_clocks_do(moment, end):
    zone = ZoneInfo(ZONE)
    found = ReminderSettings().awake(datetime.fromisoformat(moment).replace(tzinfo=zone).astimezone(UTC), ZONE)
    assert found == (datetime.fromisoformat(end).replace(tzinfo=zone) if end else None)


def test_what_would_become_of_a_reminder_is_foretold():
    going = Going(starts_at=STARTS, arranged_at=STARTS - 9 * DAY, active=True, wanted=True, reachable=True)
    night = ReminderSettings(rules=ReminderRules(enabled=True, quiet=Quiet(start="07:00", end="12:00")))
    for settings, changed, why in (
        (on, {}, None), (on, {"wanted": False}, "unwanted"), (on, {"arranged_at": STARTS}, "short-notice"), (night, {}, "quiet-hours"),
    ):
        assert settings.expected(120, replace(going, **changed), STARTS - DAY, ZONE) == why


def test_a_clinic_says_how_it_reminds():
    wanted = ChangeReminderSettings(enabled=True, windows=[60, 2880, 60])
    changed = ReminderSettingsChanged(enabled=True, windows=[2880, 60])
    given().when(wanted).then(changed)
    given(changed).when(wanted).then()
    given().when(ChangeReminderSettings(quiet=Quiet(start="09:00", end="09:00"))).refused(QuietHoursEndless)
    given(changed).when(ChangeReminderSettings()).then(ReminderSettingsChanged())


def test_by_hand_a_patient_is_reminded_whenever_somebody_asks_for_it():
    send = SendReminder(appointment_id=THIS)
    asked = given(at=replace(noon, now=STARTS - 9 * DAY))
    asked.looking(**here).when(send).then(replace(queued, window=None, due_at=STARTS - 9 * DAY), shared)
    asked.looking(**{**here, "wishes": [unwilling]}).when(send).refused(ReminderUnwanted)
    asked.looking(**{**here, "reachable": False}).when(send).refused(PatientUnreachable)
    asked.looking(**{**here, "visit": Appointment()}).when(send).refused(NotFound)


def test_a_wish_counts_for_all_records_of_a_patient():
    no, yes = MessageWishesChanged(patient_id=NOOR, unwanted=["reminders"]), MessageWishesChanged(patient_id=NOOR, unwanted=[])
    there = {"patient": Patient(registered=True), "others": {}}
    given().looking(**there).when(ChangeMessageWishes(patient_id=NOOR, unwanted=["reminders"])).then(no)
    given(no).looking(**there).when(ChangeMessageWishes(patient_id=NOOR, unwanted=["reminders"])).then()
    lifted = MessageWishesChanged(patient_id=ELSE, unwanted=[])
    given(no).looking(**{**there, "others": {ELSE: unwilling}}).when(ChangeMessageWishes(patient_id=NOOR, unwanted=[])).then(
        yes, Elsewhere(state=MessageWishes, id=message_wishes_of(ELSE), events=[lifted]))
    given(no).looking(others={ELSE: unwilling}).when(WelcomeMessages(patient_id=NOOR, topic="reminders")).then(
        replace(yes, way="link"), Elsewhere(state=MessageWishes, id=message_wishes_of(ELSE), events=[replace(lifted, way="link")]))
    given().when(RefuseMessages(patient_id=NOOR, topic="reminders")).then(replace(no, way="link"))
    given(no).when(RefuseMessages(patient_id=NOOR, topic="reminders")).then()
    given().looking(**{**there, "patient": Patient(registered=True, merged_into=ELSE)}).when(
        ChangeMessageWishes(patient_id=NOOR, unwanted=[])).refused(PatientMerged)


def test_only_another_time_begins_the_windows_anew():
    moved = AppointmentRescheduled(
        **visit, type="checkup", start_local=booked.start_local, zone=booked.zone, fold=0, starts_at=STARTS, ends_at=booked.ends_at + HOUR,
        was_on=visit["on"], was_doctor_id=ELSE)
    first, same, later = facts(booked, moved, replace(moved, starts_at=STARTS + HOUR))
    row = appointments(appointments(None, first), same)
    assert row.moved_at is None
    assert appointments(row, later).moved_at == later.recorded_at


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
            yield SimpleNamespace(web=web, post=post, database=module_database)


async def opened(town, *, rules=None, **details):
    """A clinic that reminds two days and two hours before, at any hour."""
    clinic = await town.web.clinic()
    admin = await town.web.person(clinic, "admin")
    told = {"name": "Grachten", "phone": "+31 20 123 4567", "address": "Singel 1", **details}
    assert (await admin("PUT", f"/clinics/{clinic}", told)).status_code == 200
    doctor = (await admin("POST", "/staff/create", {"name": "Dr Sam Visser", "email": f"{uuid4().hex[:8]}@clinic.example", "role": "doctor"})).json()["id"]
    await admin("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})
    desk = Desk(town, clinic, admin, doctor)
    changed = await admin("PUT", "/reminders/settings", {"enabled": True, "windows": [2880, 120], "quiet": None, **(rules or {})})
    assert changed.status_code == 200, changed.text
    return desk


class Desk:
    """A clinic's front desk."""

    def __init__(self, town, clinic, admin, doctor):
        self.town, self.clinic, self.admin, self.doctor = town, clinic, admin, doctor

    async def patient(self, **other):
        email = f"noor-{uuid4().hex[:8]}@example.org"
        made = await self.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg", "email": email, **other})
        return made.json()["id"], email

    async def book(self, patient, days=7, hour=10):
        start = (datetime.now(ZoneInfo(ZONE)).date() + timedelta(days=days)).isoformat() + f"T{hour:02}:00:00"
        made = await self.admin("POST", "/appointments", {
            "patientId": patient, "doctorId": self.doctor, "start": start, "type": "root canal", "notes": "Afraid of drills"})
        assert made.status_code == 201, made.text
        await self.known(made)
        return made.json()

    async def move(self, visit, start):
        """Have it at another time."""
        moved = await self.admin("PUT", f"/appointments/{visit['id']}", {"start": start, "duration": 30, "doctorId": self.doctor})
        assert moved.status_code == 200, moved.text
        return moved

    async def known(self, made):
        """Wait until the rows know of it."""
        answer = await self.admin("GET", "/reminders", headers=await self.admin.seen(made))
        assert answer.status_code == 200, answer.text

    async def tend(self, visit, before):
        """Let every gateway look after what is due, so long before a visit."""
        await tend(self.town.web.services, datetime.fromisoformat(visit["startsAt"]) - before)

    async def about(self, visit):
        return (await self.admin("GET", f"/reminders/appointment/{visit['id']}")).json()

    async def until_settled(self, visit, count=1):
        async def settled():
            items = (await self.about(visit))["items"]
            return len(items) >= count and all(one["status"] != "queued" for one in items)

        await until(settled, 20)
        return (await self.about(visit))["items"]

    def letters(self, email):
        return [message for message in self.town.post.box.taken if email in message["To"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_gets_one_letter_that_says_when_and_where_and_nothing_else(town):
    desk = await opened(town)
    noor, email = await desk.patient()
    visit = await desk.book(noor)
    assert [(one["minutes"], one["because"]) for one in (await desk.about(visit))["planned"]] == [(2880, None), (120, None)]
    for _ in range(3):
        await desk.tend(visit, 47 * HOUR)
    (one,) = await desk.until_settled(visit)
    assert {k: one[k] for k in ("status", "minutes", "skipped", "error", "patientId", "startsAt")} == {
        "status": "sent", "minutes": 2880, "skipped": None, "error": None, "patientId": noor, "startsAt": visit["startsAt"]}
    assert [(each["minutes"]) for each in (await desk.about(visit))["planned"]] == [120]
    assert (await desk.admin("GET", f"/reminders/{one['id']}")).json() == one
    for query in ({"status": "sent"}, {"patientId": noor}, {"appointmentId": visit["id"]}):
        assert (await desk.admin("GET", "/reminders", params=query)).json()["items"] == [one]
    assert (await desk.admin("GET", "/reminders", params={"status": "failed"})).json()["items"] == []
    await desk.tend(visit, HOUR)
    await desk.until_settled(visit, 2)
    first, second = desk.letters(email)
    assert first["Message-ID"] != second["Message-ID"]
    said = text(first)
    assert first["To"] == f"Noor <{email}>"
    assert first["Subject"] == f"{visit['startLocal'][:10]}, 10:00: your appointment at Grachten"
    for words in ("Noor", "10:00 (Europe/Amsterdam)", "Singel 1", "+31 20 123 4567"):
        assert words in said
    for secret in ("Zwanenburg", "root canal", "drills", "Visser"):
        assert secret not in str(first)
    (token,) = re.findall(r"appointments/links/(\S+)", said)
    answered = await town.web.client.post("/api/v1/appointments/respond", json={"token": token, "response": "confirm"})
    assert answered.json()["status"] == "confirmed"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_moved_visit_is_reminded_of_at_its_new_time_and_a_cancelled_one_never(town):
    desk = await opened(town)
    noor, email = await desk.patient()
    visit, off = await desk.book(noor), await desk.book(noor, hour=12)
    later = visit["startLocal"][:11] + "16:00:00"
    moved = await desk.move(visit, later)
    gone = await desk.admin("PATCH", f"/appointments/{off['id']}/status", {"status": "cancelled"})
    await desk.known(gone)
    await desk.tend(visit, 47 * HOUR)
    assert (await desk.about(visit))["items"] == []
    await desk.tend(moved.json(), 47 * HOUR)
    await desk.until_settled(visit)
    assert (await desk.about(off)) == {"appointmentId": off["id"], "enabled": True, "items": [], "planned": []}
    again = await desk.move(visit, visit["startLocal"][:11] + "18:00:00")
    await desk.known(again)
    await desk.tend(again.json(), 46 * HOUR)
    items = await desk.until_settled(visit, 2)
    assert [(one["startsAt"], one["status"]) for one in items] == [(again.json()["startsAt"], "sent"), (moved.json()["startsAt"], "sent")]
    assert [message["Subject"][12:17] for message in desk.letters(email) if "your appointment" in message["Subject"]] == ["16:00", "18:00"]


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_is_not_sent_says_why(town):
    desk = await opened(town)
    (silent, _), (noor, _) = await desk.patient(email=None), await desk.patient()
    unreachable, soon = await desk.book(silent), await desk.book(noor, days=1)
    await desk.tend(soon, HOUR)
    items = await desk.until_settled(soon, 2)
    assert [(one["minutes"], one["status"], one["skipped"]) for one in sorted(items, key=lambda one: one["minutes"])] == [
        (120, "sent", None), (2880, "skipped", "short-notice")]
    assert [one["because"] for one in (await desk.about(unreachable))["planned"]] == ["unreachable"] * 2
    await desk.tend(unreachable, HOUR)
    items = await desk.until_settled(unreachable, 2)
    assert {one["minutes"]: one["skipped"] for one in items} == {2880: "overtaken", 120: "unreachable"}
    failure(await desk.admin("POST", "/reminders", {"appointmentId": unreachable["id"]}), 422, "PATIENT_UNREACHABLE")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_letter_waits_for_the_end_of_the_quiet_hours(town):
    clock = datetime.now(ZoneInfo(ZONE))
    night = {"start": f"{clock - HOUR:%H:%M}", "end": f"{clock + 2 * HOUR:%H:%M}"}
    desk = await opened(town, rules={"quiet": night})
    noor, email = await desk.patient()
    visit = await desk.book(noor, hour=(clock.hour + 8) % 24)  # its window opens well after the quiet hours, the courier's clock says that they last
    await desk.tend(visit, HOUR)
    outbox = Outbox(town.database)

    async def put_off():
        return outbox.rows("status", "error", clinic_id=desk.clinic, template="appointments.reminder") == [("queued", "these are the clinic's quiet hours")]

    await until(put_off, 20)
    assert desk.letters(email) == []
    assert {one["status"] for one in (await desk.about(visit))["items"]} == {"queued", "skipped"}
    await desk.admin("PUT", "/reminders/settings", {"enabled": True, "quiet": None})
    await outbox.hurry()
    await desk.until_settled(visit, 2)
    assert len(desk.letters(email)) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_at_night_nothing_is_chosen_but_what_would_come_too_late(town):
    desk = await opened(town, rules={"windows": [120], "quiet": {"start": "21:00", "end": "09:00"}})
    noor, _ = await desk.patient()
    soon, later = await desk.book(noor, hour=8), await desk.book(noor, hour=10)
    await desk.tend(later, timedelta(hours=3, minutes=30))  # half past six: the one at eight is due, and over before nine
    await desk.tend(later, timedelta(hours=1, minutes=30))  # half past eight: the one at ten is due, and waits
    (one,) = await desk.until_settled(soon)
    assert one["skipped"] == "quiet-hours"
    assert (await desk.about(later))["items"] == []
    await desk.tend(later, HOUR)

    async def noted():
        return [one["skipped"] for one in (await desk.about(later))["items"]] == [None]

    await until(noted)


@pytest.mark.asyncio(loop_scope="module")
async def test_who_does_not_want_reminders_says_so_by_one_click_and_may_think_again(town):
    desk = await opened(town, language="es")
    noor, email = await desk.patient()
    visit = await desk.book(noor)
    sent = await desk.admin("POST", "/reminders", {"appointmentId": visit["id"]})
    assert (sent.status_code, sent.json()["minutes"]) == (201, None)
    await desk.until_settled(visit)
    (letter,) = desk.letters(email)
    assert letter["Content-Language"] == "es"
    assert letter["Subject"].endswith("su cita en Grachten")
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = letter["List-Unsubscribe"].strip("<>")
    assert url in text(letter)
    path, web = url.removeprefix("https://app.example"), town.web.client
    shown = await web.get(path)
    assert (shown.status_code, shown.json(), shown.headers["cache-control"]) == (200, {"topic": "reminders", "clinicName": "Grachten", "wanted": True}, "no-store")
    page = await web.get(path, headers={"accept": "text/html,*/*"})
    assert "No enviarme más recordatorios" in page.text
    assert f'action="{url}"' in page.text
    assert "Noor" not in page.text + shown.text
    for _ in range(2):
        clicked = await web.post(path, content="List-Unsubscribe=One-Click", headers={"content-type": "application/x-www-form-urlencoded"})
        assert (clicked.status_code, clicked.json()["wanted"]) == (200, False)
    assert "Volver a enviarme recordatorios" in (await web.get(path, headers={"accept": "text/html"})).text

    async def noted():
        return (await desk.admin("GET", f"/message-wishes/patient/{noor}")).json() == {"patientId": noor, "unwanted": ["reminders"]}

    await until(noted)
    (wish,) = (await desk.admin("GET", "/message-wishes", params={"patientId": noor})).json()["items"]
    assert (wish["way"], wish["unwanted"]) == ("link", ["reminders"])
    failure(await desk.admin("POST", "/reminders", {"appointmentId": visit["id"]}), 409, "REMINDER_UNWANTED")
    await desk.tend(visit, 47 * HOUR)
    assert (await desk.until_settled(visit, 2))[0]["skipped"] == "unwanted"
    assert (await web.post(f"{path}/undo")).json()["wanted"] is True
    changed = await desk.admin("PUT", f"/message-wishes/patient/{noor}", {"unwanted": ["reminders"]})
    assert changed.status_code == 200, changed.text
    assert (await web.get(path)).json()["wanted"] is False
    assert (await desk.admin("PUT", f"/message-wishes/patient/{noor}", {"unwanted": []})).json()["unwanted"] == []
    assert (await web.get(path)).json()["wanted"] is True
    assert len(desk.letters(email)) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_is_reminded_in_the_language_that_they_like_best_under_whichever_record_they_said_so(town):
    desk = await opened(town)

    async def tongue(patient, email):
        visit = await desk.book(patient, hour=8 + len(desk.letters(email)))
        await desk.admin("POST", "/reminders", {"appointmentId": visit["id"]})
        await desk.until_settled(visit)
        return desk.letters(email)[-1]["Content-Language"]

    async def likes(patient, **said):
        assert (await desk.admin("PUT", f"/patients/{patient}/preferences", said)).status_code == 200

    (noor, email), (twin, _) = await desk.patient(), await desk.patient()
    assert await tongue(noor, email) == "en"
    await likes(noor, language="es-MX")
    assert await tongue(noor, email) == "es"
    await likes(noor, times=["morning"])  # said as a whole: no language any more
    assert await tongue(noor, email) == "en"
    await likes(twin, language="es")
    await desk.admin("POST", f"/patients/{noor}/merge", {"loserId": twin})
    assert await tongue(noor, email) == "es"  # as it was noted last
    await desk.admin("POST", f"/patients/{noor}/unmerge", {"loserId": twin})
    assert await tongue(noor, email) == "en"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_link_is_made_by_nobody_else(town):
    desk = await opened(town)
    noor, email = await desk.patient()
    visit = await desk.book(noor)
    await desk.admin("POST", "/reminders", {"appointmentId": visit["id"]})
    await desk.until_settled(visit)
    path = desk.letters(email)[0]["List-Unsubscribe"].strip("<>").removeprefix("https://app.example")
    token = path.rpartition("/")[2]
    web = town.web.client
    for wrong in ("x" * 48, token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB"), "é", token[1:], "a" * 2000):
        for method in ("GET", "POST"):
            failure(await web.request(method, f"/api/v1/message-wishes/reminders/{wrong}"), 404, "MESSAGE_LINK_OVER")
    assert (await web.get(f"/api/v1/message-wishes/invoices/{token}")).status_code in {400, 404, 422}


@pytest.mark.asyncio(loop_scope="module")
async def test_settings_are_checked_and_an_admins(town):
    desk = await opened(town)
    same = {"enabled": True, "windows": [2880, 120], "quiet": {"start": "20:00", "end": "07:00"}}
    changed = await desk.admin("PUT", "/reminders/settings", same)
    shown = (await desk.admin("GET", "/reminders/settings", headers=await desk.admin.seen(changed))).json()
    assert {k: shown[k] for k in ("enabled", "windows", "quiet")} == same
    fresh = await town.web.person(await town.web.clinic(), "admin")
    assert (await fresh("GET", "/reminders/settings")).json()["enabled"] is False
    for wrong in ({"windows": []}, {"windows": [4]}, {"windows": [60] * 6}, {"windows": [10**9]}, {"quiet": {"start": "25:00", "end": "07:00"}}, {"quiet": {}},
                  {"quiet": {"start": "09:00", "end": "09:00"}}, {"enabled": "yes"}, {"enabled": True, "channels": ["sms"]}):
        assert (await desk.admin("PUT", "/reminders/settings", wrong)).status_code in {400, 422}, wrong
    reception = await town.web.person(desk.clinic, "receptionist")
    failure(await reception("PUT", "/reminders/settings", {"enabled": False}), 403, "FORBIDDEN")
    assert (await reception("GET", "/reminders")).status_code == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_another_clinics_visits_and_patients_are_not_there(town):
    desk, other = await opened(town), await opened(town)
    noor, _ = await desk.patient()
    visit = await desk.book(noor)
    sent = (await desk.admin("POST", "/reminders", {"appointmentId": visit["id"]})).json()
    await desk.until_settled(visit)
    for method, path, body in (
        ("GET", f"/reminders/appointment/{visit['id']}", None), ("GET", f"/reminders/{sent['id']}", None), ("POST", "/reminders", {"appointmentId": visit["id"]}),
        ("GET", f"/message-wishes/patient/{noor}", None), ("PUT", f"/message-wishes/patient/{noor}", {"unwanted": ["reminders"]}),
    ):
        failure(await other.admin(method, path, body), 404, "NOT_FOUND")
    assert (await other.admin("GET", "/reminders")).json()["items"] == []
    assert (await town.web.client.get(f"{PROTECTED}/reminders")).status_code == 401


async def test_what_was_moved_or_cancelled_before_the_letter_was_written_is_not_sent(database):
    outbox = Outbox(database)
    with MailServer() as post:
        async with served(database) as web:
            town = SimpleNamespace(web=web, post=post, database=database)
            desk = await opened(town)
            noor, email = await desk.patient()
            desk.known = nothing
            visits = [await desk.book(noor, hour=hour) for hour in (8, 10, 12)]
            for visit in visits:
                assert (await desk.admin("POST", "/reminders", {"appointmentId": visit["id"]})).status_code == 201
            moved, off, stays = visits
            await desk.move(moved, moved["startLocal"][:11] + "18:00:00")
            assert (await desk.admin("PATCH", f"/appointments/{off['id']}/status", {"status": "cancelled"})).status_code == 200
            async with carrying(database, post):
                await until(lambda: all_settled(outbox, 3), 20)
    assert sorted(outbox.rows("status", template="appointments.reminder")) == [("failed",), ("failed",), ("sent",)]
    (letter,) = [message for message in post.box.taken if email in message["To"] and "your appointment" in message["Subject"]]
    assert letter["Subject"].startswith(f"{stays['startLocal'][:10]}, 12:00")


async def nothing(_):
    """There are no rows here to wait for."""


async def all_settled(outbox, count):
    return [state for (state,) in outbox.rows("status", template="appointments.reminder")].count("queued") == 0 and len(
        outbox.rows("id", template="appointments.reminder")) == count
