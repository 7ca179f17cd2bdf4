"""The patient's link: what it shows, what can be answered by it and until when, and by what it dies; and the letter that brings it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import psycopg
import pytest
import vobject
from msgspec import json
from msgspec.structs import replace

from commands.appointments import AnswerAppointment, RevokeAppointmentLink, SendAppointmentSummary, ShareAppointment
from domain.appointments import (
    LINK,
    Appointment,
    AppointmentCancelled,
    AppointmentConfirmed,
    AppointmentLinkOver,
    AppointmentLinkRevoked,
    AppointmentLinkShared,
    AppointmentReassigned,
    AppointmentRescheduled,
    AppointmentSummaryAsked,
    CancellationTooLate,
    VisitCancelled,
    VisitNotAhead,
)
from domain.clinics import Clinic, ClinicChanged
from domain.kit import PLATFORM, NotFound
from domain.kit.links import link_of
from domain.patients import Patient, PatientArchived, PatientNotActive, PatientUnreachable
from tests.kit import THIS, given, noon
from tests.mail import MailServer, Outbox, carrying, text
from tests.served import failure, served, until, working
from tests.test_appointments import OTHER, REGISTERED, arrived, booked, cancelled, completed, confirmed, missed, removed, visit

WEEK = [[{"start": "00:00", "end": "24:00"}]] * 7
shared = AppointmentLinkShared(**visit, number=1, until=booked.ends_at)
again = AppointmentLinkShared(**visit, number=2, until=booked.ends_at)
revoked = AppointmentLinkRevoked(**visit)
summary = AppointmentSummaryAsked(**visit, number=1, until=booked.ends_at)
reassigned = AppointmentReassigned(**{**visit, "patient_id": OTHER}, was_patient_id=visit["patient_id"], overlaps=False)
moved = AppointmentRescheduled(
    **visit, type="checkup", start_local="2026-01-07T11:00:00", zone="Europe/Amsterdam", fold=0, starts_at=booked.starts_at + timedelta(hours=1),
    ends_at=booked.ends_at + timedelta(hours=1), was_on=visit["on"], was_doctor_id=visit["doctor_id"])
FIRST, SECOND = link_of(THIS, 1), link_of(THIS, 2)
mine, back = AppointmentConfirmed(**visit, by="patient", way="link"), AppointmentCancelled(**visit, by="patient", late=False, way="link")
SHARE, REVOKE = ShareAppointment(), RevokeAppointmentLink()


def saying(response, link=FIRST, reason=None):
    return AnswerAppointment(response=response, link=link, reason=reason)


def answering(*events, now=noon.now, notice=0):
    clinic = Clinic.replay([ClinicChanged(name="Grachten", cancel_notice=notice)])
    return given(*events, at=replace(noon, now=now)).looking(clinic=clinic)


# --- the rules


def test_a_link_is_given_once_and_again_when_the_visit_ends_later():
    given(booked).when(SHARE).then(shared)
    given(booked, shared).when(SHARE).then()
    given(booked, confirmed, shared, moved).when(SHARE).then(AppointmentLinkShared(**visit, number=1, until=moved.ends_at))
    given(booked, shared, revoked).when(SHARE).then(again)


@pytest.mark.parametrize("over", [arrived, cancelled, missed])
def test_there_is_no_link_to_what_is_over(over):
    given(booked, over).when(SHARE).refused(VisitNotAhead)
    given(booked, at=replace(noon, now=booked.ends_at)).when(SHARE).refused(VisitNotAhead)
    given(booked, removed).when(SHARE).refused(NotFound)


def test_a_patient_confirms_and_the_event_says_so():
    answering(booked, shared).when(saying("confirm")).then(mine)
    for before in ((mine,), (confirmed,)):
        answering(booked, shared, *before).when(saying("confirm")).then()
    answering(booked, shared, cancelled).when(saying("confirm")).refused(VisitCancelled)
    answering(booked, shared, now=booked.starts_at).when(saying("confirm")).refused(VisitNotAhead)


def test_a_patient_cancels_until_the_clinic_wants_notice():
    answering(booked, shared).when(saying("cancel", reason="Ill")).then(replace(back, reason="Ill"))
    answering(booked, shared, mine).when(saying("cancel")).then(back)
    for before in (back, cancelled):
        answering(booked, shared, before).when(saying("cancel")).then()
    late = booked.starts_at - timedelta(hours=2)
    answering(booked, shared, now=late, notice=2).when(saying("cancel")).then(replace(back, late=True))
    answering(booked, shared, now=late + timedelta(seconds=1), notice=2).when(saying("cancel")).refused(CancellationTooLate)
    answering(booked, shared, now=booked.starts_at - timedelta(seconds=1)).when(saying("cancel")).then(replace(back, late=True))
    answering(booked, shared, now=booked.starts_at).when(saying("cancel")).refused(VisitNotAhead)
    for over in (arrived, missed, completed):
        answering(booked, shared, over).when(saying("cancel")).refused(VisitNotAhead)


@pytest.mark.parametrize("events", [(booked,), (booked, shared, revoked), (booked, shared, reassigned), (booked, shared, removed), (booked, shared, revoked, again)])
def test_a_link_that_was_taken_back_or_became_anothers_answers_nothing(events):
    for response in ("confirm", "cancel"):
        answering(*events).when(saying(response)).refused(AppointmentLinkOver)
    answering(booked, shared, now=booked.ends_at).when(saying("confirm")).refused(AppointmentLinkOver)
    answering(booked, shared).when(saying("confirm", SECOND)).refused(AppointmentLinkOver)


def test_a_link_is_taken_back_once():
    given(booked, shared).when(REVOKE).then(revoked)
    given(booked).when(REVOKE).then()
    given(booked, shared, revoked).when(REVOKE).then()


def test_a_patient_who_can_be_reached_is_written_to():
    here, gone = Patient.replay([REGISTERED]), Patient.replay([REGISTERED, PatientArchived()])
    ask = SendAppointmentSummary(language="es")
    given(booked).looking(patient=here, reachable=True).when(ask).then(shared, replace(summary, language="es"))
    given(booked, shared).looking(patient=here, reachable=True).when(SendAppointmentSummary()).then(summary)
    given(booked).looking(patient=here, reachable=False).when(ask).refused(PatientUnreachable)
    given(booked).looking(patient=gone, reachable=True).when(ask).refused(PatientNotActive)
    given(booked, cancelled).looking(patient=here, reachable=True).when(ask).refused(VisitNotAhead)


def test_what_is_shown_is_still_ahead():
    now = noon.now
    Appointment.replay([booked, shared]).ensure_shown(THIS, FIRST, now)
    for over in (cancelled, missed):
        with pytest.raises(AppointmentLinkOver):
            Appointment.replay([booked, shared, over]).ensure_shown(THIS, FIRST, now)


# --- over HTTP


@pytest.fixture
async def desk(module_database, nats_server):
    """A clinic with a doctor, a patient and a visit in a week."""
    async with served(module_database, nats_server, public_url="https://app.example") as web:
        yield await opened(web, module_database)


async def opened(web, database):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    details = {"name": "Grachten", "phone": "+31 20 123 4567", "address": "Singel 1"}
    assert (await admin("PUT", f"/clinics/{clinic}", details)).status_code == 200
    doctor = (await admin("POST", "/staff/create", {"name": "Dr Sam Visser", "email": f"{uuid4().hex[:8]}@clinic.example", "role": "doctor"})).json()["id"]
    await admin("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": WEEK})
    email = f"noor-{uuid4().hex[:8]}@example.org"
    noor = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg", "email": email})).json()["id"]
    desk = SimpleNamespace(web=web, clinic=clinic, admin=admin, doctor=doctor, noor=noor, email=email, details=details, database=database)
    desk.visit = await book(desk)
    return desk


async def book(desk, days=7, patient=None, hour="10:00"):
    start = (datetime.now(UTC) + timedelta(days=days)).date().isoformat() + f"T{hour}:00"
    wanted = {"patientId": patient or desk.noor, "doctorId": desk.doctor, "start": start, "type": "root canal", "notes": "Afraid of drills"}
    made = await desk.admin("POST", "/appointments", wanted)
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def link(desk, visit=None, by=None):
    answer = await (by or desk.admin)("GET", f"/appointments/{visit or desk.visit}/share-link")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def look(desk, token):
    return await desk.web.client.get(f"/api/v1/appointments/links/{token}")


async def say(desk, token, response, headers=None, **more):
    return await desk.web.client.post("/api/v1/appointments/respond", json={"token": token, "response": response, **more}, headers=headers)


def events(desk, visit=None):
    with psycopg.connect(desk.web.owner_url) as owner:
        rows = owner.execute("select topic, state from stored_events where originator_id = %s order by originator_version", [visit or desk.visit])
        return [(topic, json.decode(state)) for topic, state in rows]


async def test_the_link_shows_when_and_with_whom_and_nothing_else(desk):
    given_out = await link(desk)
    assert given_out["url"] == f"https://app.example/api/v1/appointments/links/{given_out['token']}"
    answer = await look(desk, given_out["token"])
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    assert shown["startLocal"].endswith("T10:00:00")
    asked = {"deposit": 0, "depositPaid": 0, "depositPayable": False, "currency": "EUR"}
    assert {k: v for k, v in shown.items() if k not in ("startLocal", "cancelUntil")} == asked | {
        "status": "booked", "zone": "Europe/Amsterdam", "minutes": 30, "doctorName": "Dr Sam Visser", "clinicName": "Grachten",
        "clinicPhone": "+31 20 123 4567", "clinicAddress": "Singel 1"}
    for secret in ("Noor", "Zwanenburg", "root canal", "drills", desk.noor, desk.email):
        assert secret not in answer.text


async def test_only_the_tokens_hash_is_kept(desk):
    token = (await link(desk))["token"]
    with psycopg.connect(desk.web.owner_url) as owner:
        kept = "".join(str(row) for table in ("link_codes", "stored_events") for row in owner.execute(f"select t::text from {table} t"))  # noqa: S608 - ours
    assert token.partition(".")[2] not in kept


async def test_the_patient_confirms_and_cancels_by_it(desk):
    token = (await link(desk))["token"]
    for _ in range(2):
        answer = await say(desk, token, "confirm")
        assert (answer.status_code, answer.json()["status"]) == (200, "confirmed"), answer.text
    row = (await desk.admin("PUT", f"/appointments/{desk.visit}", {"doctorId": desk.doctor, "start": answer.json()["startLocal"]})).json()
    assert (row["status"], row["confirmedBy"]) == ("confirmed", "patient")
    for _ in range(2):
        answer = await say(desk, token, "cancel", reason="Ill")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled"), answer.text
    failure(await say(desk, token, "confirm"), 409, "VISIT_CANCELLED")
    failure(await look(desk, token), 410, "APPOINTMENT_LINK_OVER")
    failure(await desk.admin("GET", f"/appointments/{desk.visit}/share-link"), 409, "VISIT_NOT_AHEAD")
    told = [(topic, body.get("by"), body.get("way")) for topic, body in events(desk) if topic in {"AppointmentConfirmed", "AppointmentCancelled"}]
    assert told == [("AppointmentConfirmed", "patient", "link"), ("AppointmentCancelled", "patient", "link")]
    assert "Ill" not in str(events(desk))  # sealed
    await book(desk)  # the time is free again


async def test_the_clinic_asks_for_notice(desk):
    await desk.admin("PUT", f"/clinics/{desk.clinic}", {**desk.details, "cancelNotice": 720})
    token = (await link(desk))["token"]
    (details,) = failure(await say(desk, token, "cancel"), 409, "CANCELLATION_TOO_LATE")
    assert datetime.fromisoformat(details["until"]) == datetime.fromisoformat((await look(desk, token)).json()["cancelUntil"]) < datetime.now(UTC)
    assert (await say(desk, token, "confirm")).status_code == 200
    failure(await desk.admin("PUT", f"/clinics/{desk.clinic}", {**desk.details, "cancelNotice": 721}), 400, "BODY_INVALID")


async def test_many_answers_at_once_are_one(desk):
    token = (await link(desk))["token"]
    answers = await asyncio.gather(*(say(desk, token, "cancel") for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert [topic for topic, _ in events(desk)].count("AppointmentCancelled") == 1


async def test_who_saw_another_time_does_not_answer_to_this_one(desk):
    token = (await link(desk))["token"]
    seen = {"if-match": (await look(desk, token)).headers["etag"]}
    await desk.admin("PUT", f"/appointments/{desk.visit}", {"doctorId": desk.doctor, "start": (await look(desk, token)).json()["startLocal"].replace("T10", "T11")})
    failure(await say(desk, token, "confirm", seen), 412, "STALE_VERSION")
    shown = await look(desk, token)
    assert shown.json()["startLocal"].endswith("T11:00:00")
    assert (await say(desk, token, "confirm", {"if-match": shown.headers["etag"]})).status_code == 200


async def test_a_link_taken_back_opens_nothing_and_the_next_is_another(desk):
    first, second = (await link(desk))["token"], (await link(desk))["token"]
    assert first != second
    assert [(await look(desk, token)).status_code for token in (first, second)] == [200, 200]
    for _ in range(2):
        assert (await desk.admin("DELETE", f"/appointments/{desk.visit}/share-link")).json()["linkedUntil"] is None
    third = (await link(desk))["token"]
    for dead in (first, second):
        failure(await look(desk, dead), 410, "APPOINTMENT_LINK_OVER")
        failure(await say(desk, dead, "cancel"), 410, "APPOINTMENT_LINK_OVER")
    assert (await look(desk, third)).status_code == 200
    assert [topic for topic, _ in events(desk)].count("AppointmentLinkShared") == 2


async def test_a_merged_patients_link_dies(desk):
    twin = (await desk.admin("POST", "/patients", {"givenName": "Noor", "familyName": "Smit"})).json()["id"]
    token = (await link(desk))["token"]
    assert (await desk.admin("POST", f"/patients/{twin}/merge", {"loserId": desk.noor})).status_code == 200
    failure(await look(desk, token), 410, "APPOINTMENT_LINK_OVER")
    failure(await say(desk, token, "confirm"), 410, "APPOINTMENT_LINK_OVER")
    assert (await look(desk, (await link(desk))["token"])).status_code == 200


async def test_wrong_tokens_all_look_alike(desk):
    token = (await link(desk))["token"]
    other = await book(desk, hour="14:00")
    name, _, secret = token.partition(".")
    expired = await desk.web.services.codes.issue(LINK, link_of(UUID(desk.visit), 1), 0, desk.clinic)
    astray = await desk.web.services.codes.issue("password-reset", link_of(UUID(desk.visit), 1), 60, desk.clinic)
    for wrong in (
        "x", ".", name, f"{name}.", f".{secret}", secret, f"{UUID(other).hex}.{secret}", f"{uuid4().hex}.{secret}", f"{name}.{expired}", f"{name}.{astray}",
        token[:-1], token + "x", token.upper(), "a" * 190, "' or 1=1", f"{UUID(desk.noor).hex}.{secret}",
    ):
        if "/" not in wrong and wrong != ".":
            failure(await look(desk, wrong), 410, "APPOINTMENT_LINK_OVER")
        failure(await say(desk, wrong, "cancel"), 410, "APPOINTMENT_LINK_OVER")
    for body in ({"token": token}, {"response": "confirm"}, {"token": token, "response": "maybe"}, {"token": token, "response": "confirm", "appointmentId": other}):
        failure(await desk.web.client.post("/api/v1/appointments/respond", json=body), 400, "BODY_INVALID")
    failure(await desk.web.client.post("/api/v1/appointments/respond", json={"token": "x" * 201, "response": "cancel"}), 400, "BODY_INVALID")
    assert (await look(desk, token)).json()["status"] == "booked"


async def test_who_may_see_it_may_give_the_link_out_and_a_patient_their_own(desk):
    stranger = (await desk.admin("POST", "/patients", {"givenName": "Jan", "familyName": "Smit"})).json()["id"]
    mine, theirs = [await desk.web.person(desk.clinic, "patient", UUID(patient)) for patient in (desk.noor, stranger)]
    far = await desk.web.person(await desk.web.clinic(), "admin")
    for someone in (await desk.web.person(desk.clinic, "receptionist"), await desk.web.person(PLATFORM, "superadmin"), mine):
        assert (await look(desk, (await link(desk, by=someone))["token"])).status_code == 200
    for someone in (theirs, far):
        for method in ("GET", "DELETE"):
            failure(await someone(method, f"/appointments/{desk.visit}/share-link"), 404, "NOT_FOUND")
    failure(await desk.admin("GET", f"/appointments/{uuid4()}/share-link"), 404, "NOT_FOUND")
    failure(await mine("POST", f"/appointments/{desk.visit}/send-summary", {}), 403, "FORBIDDEN")
    failure(await far("POST", f"/appointments/{desk.visit}/send-summary", {}), 404, "NOT_FOUND")
    assert (await mine("DELETE", f"/appointments/{desk.visit}/share-link")).status_code == 200


async def test_a_patient_without_an_address_is_not_written_to(desk):
    bare = (await desk.admin("POST", "/patients", {"givenName": "Jan", "familyName": "Smit"})).json()["id"]
    visit_ = await book(desk, patient=bare, hour="15:00")
    failure(await desk.admin("POST", f"/appointments/{visit_}/send-summary", {}), 422, "PATIENT_UNREACHABLE")
    assert [topic for topic, _ in events(desk, visit_)] == ["AppointmentBooked"]


async def test_a_closing_clinic_gives_no_link_and_takes_no_answer(desk):
    token = (await link(desk))["token"]
    closed = await desk.admin("POST", f"/clinics/{desk.clinic}/close", {"name": "Grachten", "reason": "I retire", "password": "correct horse battery staple"})
    assert closed.status_code == 200, closed.text
    assert (await desk.admin("GET", f"/appointments/{desk.visit}/share-link")).json()["code"] == "CLINIC_IS_CLOSING"
    failure(await say(desk, token, "cancel"), 410, "APPOINTMENT_LINK_OVER")


async def test_the_letter_brings_the_link_once_for_each_key(module_database, nats_server):
    with MailServer() as post:
        async with served(module_database, nats_server) as web, working(module_database, nats_server), carrying(module_database, post, public_url="https://app.example"):
            desk = await opened(web, module_database)
            path, key = f"/appointments/{desk.visit}/send-summary", {"idempotency-key": uuid4().hex}
            answers = await asyncio.gather(*(desk.admin("POST", path, {"language": "es"}, headers=key) for _ in range(4)))
            assert {answer.status_code for answer in answers} == {200}
            failure(await desk.admin("POST", path, {"language": "en"}, headers=key), 422, "KEY_REUSED")

            def sent():
                return [message for message in post.box.taken if desk.email in message["To"]]

            async def written():
                return bool(sent())

            await until(written, 20)
            last = await desk.admin("POST", path, {}, headers={"idempotency-key": uuid4().hex})
            assert last.json()["summaryAskedAt"]

            async def twice():
                return len(sent()) == 2

            await until(twice, 20)
            letters = {message["Content-Language"]: message for message in sent()}
            assert set(letters) == {"en", "es"}
            spanish, english = text(letters["es"]), text(letters["en"])
            day = (await look(desk, (await link(desk))["token"])).json()["startLocal"][:10]
            assert letters["es"]["Subject"] == f"Su cita en Grachten el {day}"
            for words in ("Noor Zwanenburg", f"{day}, 10:00 (Europe/Amsterdam), 30 minutes, with Dr Sam Visser", "Singel 1", "+31 20 123 4567"):
                assert words in english
            assert "root canal" not in spanish + english
            (token,) = re.findall(r"https://app\.example/api/v1/appointments/links/(\S+)", spanish)
            assert (await say(desk, token, "confirm")).json()["status"] == "confirmed"
            assert [topic for topic, _ in events(desk)].count("AppointmentSummaryAsked") == 2

            async def told():
                row = (await desk.admin("GET", f"/appointments/{desk.visit}")).json()
                return row["confirmedBy"] == "patient" and row["summaryAskedAt"] and row["linkedUntil"]

            await until(told)


async def test_nobody_is_written_to_about_what_was_cancelled_meanwhile(database):
    outbox = Outbox(database)
    with MailServer() as post:
        async with served(database) as web:
            desk = await opened(web, database)
            assert (await desk.admin("POST", f"/appointments/{desk.visit}/send-summary", {})).status_code == 200
            assert (await desk.admin("PATCH", f"/appointments/{desk.visit}/status", {"status": "cancelled"})).status_code == 200
            async with carrying(database, post):

                async def failed():
                    return outbox.rows("status", "error", template="appointments.summary") == [("failed", "the visit is over or cancelled, or its link was taken back")]

                await until(failed, 20)
    assert ["cancelled" in message["Subject"] for message in post.box.taken if desk.email in message["To"]] in ([], [True])


# --- others' calendars


def test_who_was_told_is_told_again_when_the_visit_is_moved_or_off():
    before = Appointment.replay([booked, shared, summary])
    after = AppointmentLinkShared(**visit, number=1, until=moved.ends_at)
    assert before.retold([moved], noon.now) == [moved, after, AppointmentSummaryAsked(**visit, number=1, until=moved.ends_at)]
    assert before.retold([], noon.now) == []
    assert before.retold([moved], moved.ends_at) == [moved]
    assert Appointment.replay([booked]).retold([moved], noon.now) == [moved]
    assert before.cancel("clinic", None, noon.now)[0].told
    assert not Appointment.replay([booked]).cancel("clinic", None, noon.now)[0].told
    assert before.remove()[0].told
    assert not Appointment.replay([booked, summary, cancelled]).remove()[0].told


def test_the_edition_rises_with_what_a_calendar_shows_and_with_nothing_else():
    editions = [Appointment.replay(events).sequence for events in (
        [booked], [booked, shared, summary], [booked, moved], [booked, moved, confirmed], [booked, moved, confirmed, cancelled], [booked, shared, moved, confirmed, removed])]
    assert editions == [0, 0, 1, 2, 3, 3]


def enclosed(message):
    (part,) = [part for part in message.walk() if part.get_content_type() == "text/calendar"]
    calendar = vobject.readOne(part.get_content())
    assert part.get_param("method") == calendar.method.value
    event = calendar.vevent
    return calendar.method.value, event.uid.value, int(event.sequence.value), event.dtstart.value.astimezone(UTC), event.status.value


async def test_a_calendar_follows_the_visit_by_letters_each_once(module_database, nats_server):
    with MailServer() as post:
        async with served(module_database, nats_server) as web, working(module_database, nats_server), carrying(module_database, post, public_url="https://app.example"):
            desk = await opened(web, module_database)
            path = f"/appointments/{desk.visit}"

            async def sent(count):
                async def come():
                    return len([1 for message in post.box.taken if desk.email in message["To"]]) >= count

                await until(come, 20)
                return [enclosed(message) for message in post.box.taken if desk.email in message["To"]]

            row = (await desk.admin("PATCH", f"{path}/status", {"status": "confirmed"})).json()
            move = {"doctorId": row["doctorId"], "start": row["startLocal"].replace("T10:", "T14:"), "duration": 30}
            assert (await desk.admin("PUT", path, {**move, "start": row["startLocal"], "notes": "untold"})).status_code == 200
            assert (await desk.admin("POST", f"{path}/send-summary", {})).status_code == 200
            first = (await sent(1))[0]
            key = {"idempotency-key": uuid4().hex}
            answers = [await desk.admin("PUT", path, move, headers=key) for _ in range(3)]
            assert {answer.status_code for answer in answers} == {200}
            second = (await sent(2))[1]
            served_file = await desk.admin("GET", f"{path}/calendar.ics")
            assert served_file.headers["content-type"] == "text/calendar; charset=utf-8"
            theirs = vobject.readOne(served_file.text)
            assert (theirs.method.value, theirs.vevent.uid.value, int(theirs.vevent.sequence.value)) == ("PUBLISH", desk.visit, second[2])
            assert "Noor" not in served_file.text
            by_link = await desk.web.client.get(f"/api/v1/appointments/links/{(await link(desk))['token']}/calendar.ics")
            assert vobject.readOne(by_link.text).vevent.dtstart.value == theirs.vevent.dtstart.value
            assert (await desk.admin("PATCH", f"{path}/status", {"status": "cancelled"})).status_code == 200
            third = (await sent(3))[2]
            assert [one[0] for one in (first, second, third)] == ["REQUEST", "REQUEST", "CANCEL"]
            assert {one[1] for one in (first, second, third)} == {desk.visit}
            assert first[2] < second[2] < third[2]
            assert second[3] - first[3] == timedelta(hours=4)
            assert third[4] == "CANCELLED"
            other = await desk.web.person(await desk.web.clinic(), "admin")
            failure(await other("GET", f"{path}/calendar.ics"), 404, "NOT_FOUND")
            failure(await desk.web.client.get("/api/v1/appointments/links/nothing/calendar.ics"), 410, "APPOINTMENT_LINK_OVER")
            assert len(await sent(3)) == 3
