"""Notes about a patient: amended, pinned and removed, and never overwritten."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from commands.kit.handling import Who
from commands.patient_notes import AmendPatientNote, PinPatientNote, RemovePatientNote, UnpinPatientNote, WritePatientNote
from commands.staff import HireStaff
from domain.kit.grants import effective
from domain.patient_notes import (
    NoteEmpty,
    NoteGone,
    PatientNoteAmended,
    PatientNotePinned,
    PatientNoteRemoved,
    PatientNoteUnpinned,
    PatientNoteWritten,
)
from domain.patients import Patient, PatientArchived, PatientNotActive, PatientRegistered
from projections.patient_notes import patient_notes
from tests.kit import ACTOR, facts, given, noon
from tests.served import Web, failure

NOOR = uuid4()
known = Patient.replay([PatientRegistered(given_name="Noor", family_name="Jansen", registered_on=noon.today)])
gone = known.evolve(PatientArchived())
written = PatientNoteWritten(patient_id=NOOR, text="Prefers the morning")
amended = PatientNoteAmended(patient_id=NOOR, text="Prefers the afternoon")
removed = PatientNoteRemoved(patient_id=NOOR, reason="Moved")


def test_a_note_is_written_amended_pinned_and_removed() -> None:
    given().looking(patient=known).when(WritePatientNote(patient_id=NOOR, text="Prefers the morning")).then(written)
    given(written).looking(patient=known).when(AmendPatientNote(text="Prefers the afternoon")).then(amended)
    given(written).when(PinPatientNote()).then(PatientNotePinned(patient_id=NOOR))
    given(written, PatientNotePinned(patient_id=NOOR)).when(PinPatientNote()).then()
    given(written, PatientNotePinned(patient_id=NOOR)).when(UnpinPatientNote()).then(PatientNoteUnpinned(patient_id=NOOR))
    given(written).when(UnpinPatientNote()).then()
    given(written).looking(patient=known).when(RemovePatientNote(reason="Moved")).then(removed)


def test_a_note_says_something_about_somebody_who_is_with_the_clinic() -> None:
    given().looking(patient=known).when(WritePatientNote(patient_id=NOOR, text=" \n")).refused(NoteEmpty)
    given().looking(patient=gone).when(WritePatientNote(patient_id=NOOR, text="Hello")).refused(PatientNotActive)
    given(written).looking(patient=gone).when(AmendPatientNote(text="Hello")).refused(PatientNotActive)
    given(written, removed).looking(patient=known).when(AmendPatientNote(text="Hello")).refused(NoteGone)
    given(written, removed).when(PinPatientNote()).refused(NoteGone)


def test_what_a_note_said_before_stays_with_it() -> None:
    row = None
    for fact in facts(written, amended, removed, kind="patient_notes"):
        row = patient_notes(row, fact)
    assert row is not None
    assert row.earlier is not None
    assert (row.text, [(one.text, one.written_by) for one in row.earlier]) == ("Prefers the afternoon", [("Prefers the morning", ACTOR)])
    assert (row.removed, row.removed_by, row.remove_reason) == (True, ACTOR, "Moved")


async def registered(boss: Any, given_name: str = "Noor", family_name: str = "Jansen", **more: Any) -> str:
    made = await boss("POST", "/patients", {"givenName": given_name, "familyName": family_name, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


@pytest.mark.asyncio(loop_scope="module")
async def test_notes_are_listed_with_those_of_a_merged_record_and_gone_with_the_patient(web: Web) -> None:
    clinic = await web.clinic()
    boss, stranger = await web.person(clinic, "admin"), await web.person(await web.clinic(), "admin")
    noor, twin = await registered(boss), await registered(boss)
    first = (await boss("POST", f"/patients/{noor}/notes", {"text": "Zwanenburg calls her mother"})).json()
    second = (await boss("POST", f"/patients/{twin}/notes", {"text": "Afraid of drills"})).json()
    failure(await stranger("GET", f"/patient-notes/{first['id']}"), 404, "NOT_FOUND")
    failure(await stranger("GET", f"/patients/{noor}/notes"), 404, "NOT_FOUND")
    failure(await stranger("PUT", f"/patient-notes/{first['id']}", {"text": "x"}), 404, "NOT_FOUND")
    failure(await boss("POST", f"/patients/{noor}/notes", {"text": ""}), 400, "BODY_INVALID")
    stale = await boss("PUT", f"/patient-notes/{first['id']}", {"text": "x"}, headers={"if-match": '"9"'})
    assert stale.status_code == 412, stale.text
    merged = await boss("POST", f"/patients/{noor}/merge", {"loserId": twin})
    assert merged.status_code == 200, merged.text
    amended_ = await boss("PUT", f"/patient-notes/{second['id']}", {"text": "Not afraid any more"})
    assert amended_.status_code == 200, amended_.text
    pinned = await boss("PUT", f"/patient-notes/{first['id']}/pin", {})
    listed = (await boss("GET", f"/patients/{noor}/notes", headers=await boss.seen(pinned))).json()["items"]
    assert [(one["id"], one["pinned"]) for one in listed] == [(first["id"], True), (second["id"], False)]
    assert listed[1]["earlier"][0]["text"] == "Afraid of drills"
    off = await boss("DELETE", f"/patient-notes/{first['id']}", params={"reason": "Not so"})
    seen = await boss.seen(off)
    assert [one["id"] for one in (await boss("GET", f"/patients/{noor}/notes", headers=seen)).json()["items"]] == [second["id"]]
    assert len((await boss("GET", f"/patients/{noor}/notes", headers=seen, params={"removed": "true"})).json()["items"]) == 2

    erased = await boss("POST", "/privacy/erasures", {"kind": "patients", "personId": noor, "reason": "Asked", "despiteRetention": True})
    assert erased.status_code in {200, 201}, erased.text
    for note in (first, second):
        forgotten = (await boss("GET", f"/patient-notes/{note['id']}", headers=await boss.seen(erased))).json()
        assert (forgotten["text"], forgotten["earlier"], forgotten["removeReason"]) == (None, None, None)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_blocked_patient_is_not_booked_unless_somebody_says_why(web: Web) -> None:
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    noor = await registered(boss)
    root = Who(actor=uuid4(), clinic=clinic, role="superadmin", grants=effective("superadmin").keys)
    doctor = (await web.services.handler.handle(HireStaff(name="Dr Sam Visser", email="sam@clinic.example", role="doctor"), root)).id
    week = [[{"start": "00:00", "end": "24:00"}]] * 7
    assert (await boss("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": week})).status_code == 200
    start = (datetime.now(UTC) + timedelta(days=7)).replace(hour=10, minute=0, second=0, microsecond=0, tzinfo=None).isoformat()
    visit = {"patientId": noor, "doctorId": str(doctor), "start": start, "duration": 30}
    blocked = await boss("POST", f"/patients/{noor}/block", {"reason": "Owes three visits"})
    assert (blocked.json()["blocked"], blocked.json()["blockReason"]) == (True, "Owes three visits")
    failure(await boss("POST", "/appointments", visit), 409, "PATIENT_IS_BLOCKED")
    failure(await boss("POST", "/appointments", {**visit, "despiteBlock": True}), 400, "BLOCK_NEEDS_REASON")
    booked = await boss("POST", "/appointments", {**visit, "despiteBlock": True, "reason": "An emergency"})
    assert booked.status_code == 201, booked.text
    twin = await registered(boss, "Ada")
    merged = (await boss("POST", f"/patients/{twin}/merge", {"loserId": noor})).json()
    assert merged["blocked"]  # a block is not got rid of by merging
    free = await boss("DELETE", f"/patients/{twin}/block", params={"reason": "Has paid"})
    assert (free.json()["blocked"], free.json()["blockReason"]) == (False, None)
    failure(await boss("DELETE", f"/patients/{twin}/block"), 409, "PATIENT_NOT_BLOCKED")


@pytest.mark.asyncio(loop_scope="module")
async def test_patients_are_found_by_group_favourite_birth_and_source_and_counted(web: Web) -> None:
    clinic = await web.clinic()
    boss, other = await web.person(clinic, "admin"), await web.person(clinic, "receptionist")
    today = datetime.now(UTC).date()
    noor = await registered(boss, birthDate="1990-05-17", sex="female", source="event")
    ada = await registered(boss, "Ada", birthDate=f"{today.year - 10}-01-01", sex="female")
    tom = await registered(boss, "Tom")
    left = await registered(boss, "Leo")
    assert (await boss("DELETE", f"/patients/{left}")).status_code == 200
    failure(await boss("POST", "/patients/groups", {"patientIds": [noor, str(uuid4())], "add": ["VIP"]}), 404, "NOT_FOUND")
    many = (await boss("POST", "/patients/groups", {"patientIds": [noor, ada, left], "add": ["VIP", "Braces"]})).json()["items"]
    assert [one["skipped"] for one in many] == [None, None, "PATIENT_NOT_ACTIVE"]
    await boss("POST", f"/patients/{ada}/groups", {"remove": ["VIP"]})
    failure(await boss("POST", f"/patients/{ada}/groups", {"add": [" "]}), 400, "BODY_INVALID")
    marked = await boss("PUT", f"/patients/{tom}/favourite", {})
    assert (await boss("PUT", f"/patients/{tom}/favourite", {})).status_code == 200  # twice is once
    seen = await boss.seen(marked)

    async def names(who: Any, **params: Any) -> list[str]:
        found = await who("GET", "/patients", headers=seen, params=params)
        assert found.status_code == 200, found.text
        return [one["givenName"] for one in found.json()["items"]]

    assert await names(boss, group="Braces") == ["Ada", "Noor"]
    assert await names(boss, group="VIP") == ["Noor"]
    assert await names(boss, favouritesOnly="true") == ["Tom"]
    assert await names(other, favouritesOnly="true") == []
    assert await names(boss, favouritesOnly="false", archived="false") == ["Ada", "Noor", "Tom"]
    assert await names(boss, birthDateFrom="1990-01-01", birthDateTo="1990-12-31") == ["Noor"]
    assert await names(boss, source="event") == ["Noor"]
    failure(await boss("GET", "/patients", params={"favouritesOnly": "perhaps"}), 400, "QUERY_INVALID")
    assert (await boss("GET", "/patients/groups", headers=seen)).json()["items"] == [{"name": "Braces", "patients": 2}, {"name": "VIP", "patients": 1}]
    figures = (await boss("GET", "/patients/statistics", headers=seen)).json()
    assert (figures["total"], figures["newThisMonth"], figures["favourites"], figures["archived"]) == (3, 4, 1, 1)
    assert figures["bySex"] == {"female": 2, "unknown": 1}
    assert (figures["byAge"]["6-11"], sum(figures["byAge"].values())) == (1, 2)
    merged = await boss("POST", f"/patients/{ada}/merge", {"loserId": tom})
    seen = await boss.seen(merged)
    assert await names(boss, favouritesOnly="true") == ["Ada"]  # the mark follows to the record that stands for it


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_in_the_books_already_is_told_before_somebody_is_registered_twice(web: Web) -> None:
    boss = await web.person(await web.clinic(), "admin")
    noor = await registered(boss, birthDate="1990-05-17", email="noor@example.org", phone="+31 6 1234 5678", nationalId="AB-123")
    made = await boss("POST", "/patients", {"givenName": "Ada", "familyName": "Smit"})
    seen = await boss.seen(made)

    async def told(**person: Any) -> list[tuple[str, str, list[str]]]:
        answer = await boss("POST", "/patients/duplicates/check", person, headers=seen)
        assert answer.status_code == 200, answer.text
        return [(one["patient"]["id"], one["grade"], one["reasons"]) for one in answer.json()["items"]]

    assert await told(givenName="Jansen", familyName="Noor", birthDate="1990-05-17") == [(noor, "certain", ["name-and-birth-date"])]
    assert await told(givenName="Nor", familyName="Janssen", birthDate="1990-05-17") == [(noor, "likely", ["similar-name-and-birth-date"])]
    assert await told(givenName="Noor", familyName="Jansen", phone="0031612345678") == [(noor, "certain", ["name-and-phone"])]
    assert await told(givenName="Piet", familyName="Jansen", email="NOOR@example.org") == [(noor, "possible", ["email"])]
    assert await told(nationalId="ab-123") == [(noor, "certain", ["national-id"])]
    assert await told(givenName="Noor", familyName="Jansen") == []
    assert await told(givenName="Piet", familyName="Bakker", birthDate="1990-05-17") == []
