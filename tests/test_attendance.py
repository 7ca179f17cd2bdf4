"""Attendance by code: whoever stands at the entrance and is expected is noted as there; nobody else, from nowhere else, at no other time."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import segno
from msgspec.structs import replace
from PIL import Image

from commands.attendance import ArriveByCode
from commands.kit.doors import ARRIVALS, ARRIVALS_OF
from domain.appointments import AppointmentCancelled, AppointmentCompleted, PatientMissed, PatientSeated
from domain.attendance import (
    CODE,
    GOOD,
    ArrivedTooEarly,
    ArrivedTooLate,
    EntranceCodeOver,
    NotExpected,
    ensure_current,
    minute_of,
    same_phone,
)
from domain.series import Series
from tests.kit import given, noon
from tests.served import Web, failure, until
from tests.test_appointments import booked, visit
from tests.test_queue import TODAY, Desk, arrived, number, opened

MINUTE = timedelta(minutes=1)
DOOR = "/api/v1/attendance"
BORN, PHONE, EMAIL = "1988-03-01", "+31 6 1234 5678", "femke@example.org"
by_code = replace(arrived, way="code")


# --- the rules


def scanning(*events: Any, at: Any = TODAY) -> given:
    return given(*events, at=at).looking(numbers=Series())


def test_whoever_is_expected_arrives_once():
    scanning(booked).when(ArriveByCode()).then(by_code, number(1))
    scanning(booked, arrived).when(ArriveByCode()).then()
    scanning(booked, arrived, PatientSeated(**visit)).when(ArriveByCode()).then()


def test_from_two_hours_before_until_the_end():
    def at(moment: datetime) -> Any:
        return replace(TODAY, now=moment)

    scanning(booked, at=at(booked.starts_at - timedelta(hours=2))).when(ArriveByCode()).then(by_code, number(1))
    scanning(booked, at=at(booked.ends_at - timedelta(seconds=1))).when(ArriveByCode()).then(by_code, number(1))
    early = scanning(booked, at=at(booked.starts_at - timedelta(hours=2, seconds=1))).when(ArriveByCode()).refused(ArrivedTooEarly)
    assert early.details == {"from": (booked.starts_at - timedelta(hours=2)).isoformat()}
    scanning(booked, at=at(booked.ends_at)).when(ArriveByCode()).refused(ArrivedTooLate)


def test_whoever_is_not_expected_today_is_sent_to_the_desk():
    over = (AppointmentCancelled(**visit, by="clinic", late=False), PatientMissed(**visit), AppointmentCompleted(**visit))
    for event in over:
        scanning(booked, event).when(ArriveByCode()).refused(NotExpected)
    scanning(booked, at=noon).when(ArriveByCode()).refused(NotExpected)
    scanning().when(ArriveByCode()).refused(NotExpected)


def test_a_code_is_good_for_five_minutes():
    number_ = minute_of(noon.now)
    for age in (*range(GOOD), -1):
        ensure_current(number_ - age, noon.now)
    for age in (GOOD, GOOD + 1, 1000, -2):
        with pytest.raises(EntranceCodeOver):
            ensure_current(number_ - age, noon.now)
    assert minute_of(noon.now + timedelta(seconds=59)) == number_ == minute_of(noon.now + MINUTE) - 1


@pytest.mark.parametrize(("given_", "known", "same"), [
    ("06 12345678", "+31 6 1234 5678", True), ("0031612345678", "+31 (6) 1234-5678", True), ("+31612345678", "0612345678", True), ("12345678", "+31612345678", True),
    ("+31 6 1234 5679", "+31 6 1234 5678", False), ("5678", "+31 6 1234 5678", False), ("0000", "00000", False), ("+31 6 1234 5678", "06", False)])
def test_a_telephone_is_known_however_it_is_written(given_: str, known: str, *, same: bool):
    assert same_phone(given_, known) == same


# --- at the entrance of a served clinic


async def ready(web: Web) -> tuple[Desk, str]:
    """A clinic that expects Femke now, and the token in the code at its entrance."""
    desk = await opened(web)
    desk.after(await desk.me("PUT", f"/patients/{desk.femke}", {
        "givenName": "Femke", "familyName": "Mulder", "birthDate": BORN, "phone": PHONE, "email": EMAIL}))
    return desk, (await desk.me("GET", "/attendance/code")).json()["token"]


async def scan(web: Web, code: str, **proof: Any) -> Any:
    return await web.client.post(DOOR, json={"code": code, **proof})


async def level(desk: Desk) -> None:
    """The read model knows of all that has been booked."""
    desk.shown(await desk.me("GET", "/queue", headers=desk.headers))


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_scans_the_code_is_noted_as_there(web: Web):
    desk, code = await ready(web)
    visit_ = await desk.book(desk.femke)
    await level(desk)
    seen = await web.client.get(f"{DOOR}/{code}")
    assert (seen.status_code, seen.json(), seen.headers["cache-control"]) == (200, {"clinicName": "Grachten"}, "no-store")
    noted = await scan(web, code, birthDate=BORN, phone="06-12345678")
    assert (noted.status_code, noted.headers["cache-control"]) == (200, "no-store"), noted.text
    assert noted.json() == {"number": 1, "status": "WAITING", "before": 0, "expectedWait": noted.json()["expectedWait"]}  # no word about anybody
    again = await scan(web, code, birthDate=BORN, email="Femke@Example.org")
    assert again.json()["number"] == 1

    async def told():  # the read models, of whose position the patient was told nothing
        appointment, entry = [(await desk.me("GET", path)).json() for path in (f"/appointments/{visit_}", f"/queue/{visit_}")]
        return (appointment["status"], appointment["queueNumber"], entry.get("way")) == ("arrived", 1, "code")

    await until(told)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patients_link_says_who_they_are(web: Web):
    desk, code = await ready(web)
    visit_, other = await desk.book(desk.noor), await opened(web)
    link = (await desk.me("GET", f"/appointments/{visit_}/share-link")).json()["token"]
    theirs = (await other.me("GET", f"/appointments/{await other.book(other.noor)}/share-link")).json()["token"]
    failure(await scan(web, code, link=theirs), 404, "NOT_EXPECTED")  # at this entrance nobody waits for that visit
    failure(await scan(web, code, link="no" * 20), 410, "APPOINTMENT_LINK_OVER")
    assert (await scan(web, code, link=link)).json()["number"] == 1
    desk.after(await desk.me("PATCH", f"/queue/{visit_}", {"status": "IN_PROGRESS"}))
    assert (await scan(web, code, link=link)).json()["status"] == "IN_PROGRESS"


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_else_is(web: Web):
    desk, code = await ready(web)
    await desk.book(desk.femke)
    await level(desk)
    for wrong in ({"birthDate": "1988-03-02", "phone": PHONE}, {"birthDate": BORN, "phone": "+31 6 8765 4321"}, {"birthDate": BORN, "email": "other@example.org"}):
        failure(await scan(web, code, **wrong), 404, "NOT_EXPECTED")
    for nothing in ({}, {"birthDate": BORN}, {"phone": PHONE}):
        failure(await scan(web, code, **nothing), 400, "PERSON_UNSAID")
    for nonsense in ({"birthDate": "yesterday", "phone": PHONE}, {"birthDate": BORN, "phone": "call me"}, {"patientId": desk.femke}, {"link": ""}):
        failure(await scan(web, code, **nonsense), 400, "BODY_INVALID")
    proof: dict[str, Any] = {"birthDate": BORN, "phone": PHONE}
    links, now = web.services.links, minute_of(datetime.now(UTC))
    old, forged = links.token(CODE, desk.clinic, now - GOOD - 1), code[:-4] + ("AAA=" if code[-4:] != "AAA=" else "BBB=")
    another = links.token("referral", desk.clinic, now)
    for token in (old, forged, another, "x", "é" * 20, links.token(CODE, desk.web.services.links.read(CODE, code).subject, now + 5)):  # type: ignore[union-attr]
        failure(await scan(web, token, **proof), 410, "ENTRANCE_CODE_OVER")
        failure(await web.client.get(f"{DOOR}/{token}"), 410, "ENTRANCE_CODE_OVER")
    tomorrow = await opened(web)
    await tomorrow.book(tomorrow.noor, 24 * 60)
    link = (await tomorrow.me("GET", f"/appointments/{await tomorrow.book(tomorrow.femke, 24 * 60)}/share-link")).json()["token"]
    failure(await scan(web, (await tomorrow.me("GET", "/attendance/code")).json()["token"], link=link), 404, "NOT_EXPECTED")


@pytest.mark.asyncio(loop_scope="module")
async def test_everybody_at_once_gets_a_number_each_and_one_patient_one(web: Web):
    desk, code = await ready(web)
    patients = [await desk.patient(f"Smit {n}") for n in range(5)]
    links = [(await desk.me("GET", f"/appointments/{await desk.book(patient)}/share-link")).json()["token"] for patient in patients]
    answers = await asyncio.gather(*(scan(web, code, link=link) for link in links * 3))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted({answer.json()["number"] for answer in answers}) == [1, 2, 3, 4, 5]
    assert [answer.json()["number"] for answer in answers[:5]] == [answer.json()["number"] for answer in answers[5:10]]


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_can_guess_who_is_expected(web: Web):
    desk, code = await ready(web)
    born = "1970-01-01"
    guesses = [await scan(web, code, birthDate=born, phone=f"+31 6 1234 {n:04}") for n in range(ARRIVALS_OF.address + 1)]
    assert [guess.status_code for guess in guesses] == [404] * ARRIVALS_OF.address + [429]
    (told,) = failure(guesses[-1], 429, "RATE_LIMITED")[:1]
    assert told
    for n in range(ARRIVALS.address):  # of whatever day of birth, and with whatever code
        last = await scan(web, "x", birthDate=f"19{n % 90 + 10}-01-01", phone=PHONE)
    failure(last, 429, "RATE_LIMITED")
    assert desk.clinic


def dark(png: bytes) -> list[list[int]]:
    """The modules of a QR code in a picture, eight pixels each, inside a border of four."""
    picture = Image.open(io.BytesIO(png)).convert("L")
    middles = range((4 * 8) + 4, picture.width - 4 * 8, 8)
    return [[int(picture.getpixel((x, y)) == 0) for x in middles] for y in middles]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_code_is_shown_as_text_and_as_a_picture(web: Web):
    desk, _ = await ready(web)
    while True:
        said = (await desk.me("GET", "/attendance/code")).json()
        painted, drawn = [await desk.me("GET", f"/attendance/code.{kind}") for kind in ("png", "svg")]
        if (await desk.me("GET", "/attendance/code")).json() == said:  # within one minute
            break
    assert said["url"].endswith(f"{DOOR}/{said['token']}")
    good = datetime.fromisoformat(said["validUntil"]) - datetime.fromisoformat(said["nextAt"])
    assert good == (GOOD - 1) * MINUTE
    assert (painted.headers["content-type"], painted.headers["cache-control"]) == ("image/png", "no-store")
    assert 1 <= int(painted.headers["refresh"]) <= 60
    assert dark(painted.content) == [[*line] for line in segno.make(said["url"], error="q", micro=False).matrix]
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert ET.fromstring(drawn.content).tag.endswith("svg")  # noqa: S314 - our own
    patient = await web.person(desk.clinic, "patient")
    failure(await patient("GET", "/attendance/code"), 403, "FORBIDDEN")
