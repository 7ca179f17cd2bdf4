"""Entries of a medical history: added, amended, ended and refuted one by one; nothing that was ever said is lost."""

import asyncio
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from commands.patients import (
    AddMedicalEntry,
    AmendMedicalEntry,
    EndMedicalEntry,
    RefuteMedicalEntry,
    ReopenMedicalEntry,
)
from domain.kit import Forbidden
from domain.patients import (
    MedicalEndImpossible,
    MedicalEntry,
    MedicalEntryAdded,
    MedicalEntryAmended,
    MedicalEntryClosed,
    MedicalEntryDoubled,
    MedicalEntryEnded,
    MedicalEntryMisplaced,
    MedicalEntryOpen,
    MedicalEntryRefuted,
    MedicalEntryReopened,
    MedicalEntryUnknown,
    MedicalHistoryAmended,
    MedicalLine,
    PatientArchived,
    PatientNotActive,
    PatientRegistered,
)
from projections.patients import medical_histories
from tests.kit import facts, given, noon
from tests.served import Web, failure, today_there

registered = PatientRegistered(given_name="Noor", family_name="Jansen", registered_on=noon.today)
penicillin = MedicalEntry(name="Penicillin", severity="severe", certainty="confirmed", since=date(2001, 5, 1))
ibuprofen = MedicalEntry(name="Ibuprofen", dosage="400 mg")
ONE, TWO = UUID(int=1), UUID(int=2)
line = MedicalLine(id=ONE, what="allergies", entry=penicillin)
closed = MedicalLine(id=ONE, what="allergies", entry=penicillin, holds=False)


def told(*lines, at=noon):
    return given(registered, at=at).looking(known=list(lines), count=len(lines))


def history(*events):
    row = None
    for fact in facts(registered, *events, kind="patients"):
        row = medical_histories(row, fact)
    return row


def test_an_entry_is_added_under_an_id_of_its_own():
    (added,) = told().when(AddMedicalEntry(what="allergies", entry=penicillin)).decide()
    (other,) = told(line).when(AddMedicalEntry(what="medications", entry=ibuprofen)).decide()
    assert (added.what, added.entry, other.entry) == ("allergies", penicillin, ibuprofen)
    assert added.entry_id != other.entry_id


def test_what_is_there_already_is_amended_instead_of_added():
    again = AddMedicalEntry(what="allergies", entry=MedicalEntry(name="  penicillin "))
    assert told(line).when(again).refused(MedicalEntryDoubled).details == {"entryId": str(ONE)}
    assert told(closed).when(again).decide()
    assert told(line).when(AddMedicalEntry(what="conditions", entry=MedicalEntry(name="Penicillin"))).decide()


def test_a_medicine_may_be_taken_in_two_doses():
    taken = MedicalLine(id=ONE, what="medications", entry=ibuprofen)
    assert told(taken).when(AddMedicalEntry(what="medications", entry=MedicalEntry(name="Ibuprofen", dosage="200 mg"))).decide()
    told(taken).when(AddMedicalEntry(what="medications", entry=ibuprofen)).refused(MedicalEntryDoubled)


@pytest.mark.parametrize(("what", "entry"), [
    ("conditions", penicillin), ("medications", MedicalEntry(name="Aspirin", certainty="suspected")), ("allergies", ibuprofen), ("conditions", ibuprofen),
])
def test_severity_is_an_allergys_and_a_dosage_a_medications(what, entry):
    told().when(AddMedicalEntry(what=what, entry=entry)).refused(MedicalEntryMisplaced)


def test_an_entry_is_amended_with_a_reason_and_an_amendment_of_nothing_is_none():
    mild = MedicalEntry(name="Penicillin", severity="mild")
    told(line).when(AmendMedicalEntry(entry_id=ONE, entry=mild, reason="tested")).then(
        MedicalEntryAmended(entry_id=ONE, what="allergies", entry=mild, reason="tested"))
    told(line).when(AmendMedicalEntry(entry_id=ONE, entry=penicillin, reason="tested")).then()
    told(closed).when(AmendMedicalEntry(entry_id=ONE, entry=mild, reason="tested")).refused(MedicalEntryClosed)
    told(line).when(AmendMedicalEntry(entry_id=TWO, entry=mild, reason="tested")).refused(MedicalEntryUnknown)
    latex = MedicalLine(id=TWO, what="allergies", entry=MedicalEntry(name="Latex"))
    told(line, latex).when(AmendMedicalEntry(entry_id=TWO, entry=mild, reason="it was this")).refused(MedicalEntryDoubled)


def test_an_entry_ends_on_a_day_that_can_be():
    told(line).when(EndMedicalEntry(entry_id=ONE)).then(MedicalEntryEnded(entry_id=ONE, what="allergies", entry=penicillin, ended_on=noon.today))
    for day in (noon.today + timedelta(days=1), date(2001, 4, 30)):
        told(line).when(EndMedicalEntry(entry_id=ONE, ended_on=day)).refused(MedicalEndImpossible)
    told(closed).when(EndMedicalEntry(entry_id=ONE)).refused(MedicalEntryClosed)


def test_an_entry_is_refuted_and_comes_back():
    told(line).when(RefuteMedicalEntry(entry_id=ONE, reason="another Noor")).then(
        MedicalEntryRefuted(entry_id=ONE, what="allergies", entry=penicillin, reason="another Noor"))
    told(closed).when(RefuteMedicalEntry(entry_id=ONE, reason="again")).refused(MedicalEntryClosed)
    told(closed).when(ReopenMedicalEntry(entry_id=ONE)).then(MedicalEntryReopened(entry_id=ONE, what="allergies", entry=penicillin))
    told(line).when(ReopenMedicalEntry(entry_id=ONE)).refused(MedicalEntryOpen)
    told(closed, MedicalLine(id=TWO, what="allergies", entry=penicillin)).when(ReopenMedicalEntry(entry_id=ONE)).refused(MedicalEntryDoubled)


COMMANDS = [
    AddMedicalEntry(what="allergies", entry=penicillin), AmendMedicalEntry(entry_id=ONE, entry=ibuprofen, reason="so"), EndMedicalEntry(entry_id=ONE),
    RefuteMedicalEntry(entry_id=ONE, reason="so"), ReopenMedicalEntry(entry_id=ONE),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_only_who_sees_a_history_changes_it_and_only_while_the_patient_is_here(command):
    blind = noon.__class__(**{name: getattr(noon, name) for name in noon.__struct_fields__} | {"grants": frozenset({"patients.edit"})})
    told(line, at=blind).when(command).refused(Forbidden)
    given(registered, PatientArchived()).looking(known=[line], count=1).when(command).refused(PatientNotActive)


def test_the_row_keeps_all_that_an_entry_ever_said():
    mild = MedicalEntry(name="Penicillin", severity="mild")
    row = history(
        MedicalEntryAdded(entry_id=ONE, what="allergies", entry=penicillin),
        MedicalEntryAmended(entry_id=ONE, what="allergies", entry=mild, reason="tested"),
        MedicalEntryAdded(entry_id=TWO, what="medications", entry=ibuprofen),
        MedicalEntryEnded(entry_id=TWO, what="medications", entry=ibuprofen, ended_on=noon.today))
    assert (row.allergies, row.medications, row.conditions) == ([mild], [], [])
    first, second = row.entries
    assert [(change.step, change.entry, change.reason) for change in first.changes] == [("added", penicillin, None), ("amended", mild, "tested")]
    assert (second.status, second.ended_on, [change.step for change in second.changes]) == ("ended", noon.today, ["added", "ended"])
    back = history(
        MedicalEntryAdded(entry_id=ONE, what="allergies", entry=penicillin), MedicalEntryRefuted(entry_id=ONE, what="allergies", entry=penicillin, reason="no"),
        MedicalEntryReopened(entry_id=ONE, what="allergies", entry=penicillin))
    assert (back.allergies, back.entries[0].status) == ([penicillin], "active")


def test_the_whole_entered_anew_is_an_amendment_of_its_entries():
    before = MedicalHistoryAmended(allergies=[penicillin, MedicalEntry(name="Latex")], conditions=[], medications=[])
    noted = MedicalHistoryAmended(allergies=[MedicalEntry(name="PENICILLIN", note="rash")], conditions=[MedicalEntry(name="Asthma")], medications=[])
    row, was = history(before, noted), history(before)
    assert [entry.name for entry in row.allergies] == ["PENICILLIN"]
    by_name = {one.name: one for one in row.entries}
    assert by_name["PENICILLIN"].id == was.entries[0].id, "it is known again by its name"
    assert [change.step for change in by_name["PENICILLIN"].changes] == ["added", "amended"]
    assert (by_name["Latex"].status, [change.step for change in by_name["Latex"].changes]) == ("ended", ["added", "left-out"])
    assert history(before, noted) == row, "ids follow from the history alone"
    again = history(before, noted, before)
    assert len({one.id for one in again.entries}) == len(again.entries) == 4


def test_a_history_of_earlier_releases_has_entries_that_can_be_amended():
    old = MedicalHistoryAmended(allergies=[MedicalEntry(name="Latex")], conditions=[], medications=[])
    (known,) = history(old).lines()
    (event,) = given(registered, old).looking(known=[known], count=1).when(
        AmendMedicalEntry(entry_id=known.id, entry=MedicalEntry(name="Latex", severity="mild"), reason="seen")).decide()
    assert history(old, event).allergies == [MedicalEntry(name="Latex", severity="mild")]


def test_without_the_key_nothing_of_it_is_known():
    row = history(MedicalEntryAdded(entry_id=ONE, what="allergies", entry=None))
    assert (row.allergies, row.conditions, row.medications, row.entries) == (None, None, None, None)
    assert history(MedicalHistoryAmended(allergies=None, conditions=None, medications=None)).entries is None


# --- on the running system


on_the_system = pytest.mark.asyncio(loop_scope="module")


@on_the_system
async def test_a_history_is_amended_entry_by_entry_over_http(web: Web) -> None:
    clinic = await web.clinic()
    boss, stranger, desk = await web.person(clinic, "admin"), await web.person(await web.clinic(), "admin"), await web.person(clinic, "receptionist")
    noor = (await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"]
    at = f"/patients/{noor}/medical"
    assert (await boss("PUT", at, {"allergies": [{"name": "Latex"}], "conditions": [], "medications": []})).status_code == 200
    added = await desk("POST", f"{at}/entries", {"what": "allergies", "name": "Penicillin", "severity": "severe", "teller": "patient"})
    assert added.status_code == 201, added.text
    entry = added.json()
    assert (entry["status"], entry["severity"], entry["changes"][0]["by"]) == ("active", "severe", str(desk.id))
    failure(await boss("POST", f"{at}/entries", {"what": "allergies", "name": "penicillin"}), 409, "MEDICAL_ENTRY_DOUBLED")
    failure(await boss("POST", f"{at}/entries", {"what": "allergies", "name": "X", "severity": "terrible"}), 400, "BODY_INVALID")
    failure(await boss("PUT", f"{at}/entries/{entry['id']}", {"name": "Penicillin"}), 400, "BODY_INVALID")
    amended = await boss("PUT", f"{at}/entries/{entry['id']}", {"name": "Penicillin", "severity": "mild", "reason": "Tested"})
    assert (amended.status_code, amended.json()["severity"], len(amended.json()["changes"])) == (200, "mild", 2), amended.text
    ended = await boss("POST", f"{at}/entries/{entry['id']}/end", {"endedOn": str(today_there()), "reason": "Outgrown"})
    assert (ended.json()["status"], ended.json()["endedOn"]) == ("ended", str(today_there())), ended.text
    failure(await boss("POST", f"{at}/entries/{entry['id']}/refute", {"reason": "No"}), 409, "MEDICAL_ENTRY_CLOSED")
    assert (await boss("POST", f"{at}/entries/{entry['id']}/reopen", {})).json()["status"] == "active"
    gone = await boss("POST", f"{at}/entries/{entry['id']}/refute", {"reason": "Another Noor's"})
    shown = (await boss("GET", at, headers=await boss.seen(gone))).json()
    assert [one["name"] for one in shown["allergies"]] == ["Latex"]
    assert [(one["name"], one["status"]) for one in shown["entries"]] == [("Latex", "active"), ("Penicillin", "entered-in-error")]
    assert [change["step"] for change in shown["entries"][1]["changes"]] == ["added", "amended", "ended", "reopened", "entered-in-error"]
    for method, path, body in [
        ("POST", "/entries", {"what": "allergies", "name": "X"}), ("PUT", f"/entries/{entry['id']}", {"name": "X", "reason": "so"}),
        ("POST", f"/entries/{entry['id']}/end", {}), ("POST", f"/entries/{entry['id']}/refute", {"reason": "so"}), ("POST", f"/entries/{entry['id']}/reopen", {}),
    ]:
        failure(await stranger(method, at + path, body), 404, "NOT_FOUND")
    failure(await boss("POST", f"{at}/entries/{uuid4()}/end", {}), 404, "MEDICAL_ENTRY_UNKNOWN")


@on_the_system
async def test_of_many_who_add_the_same_at_once_one_does(web: Web) -> None:
    boss = await web.person(await web.clinic(), "admin")
    noor = (await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"]
    same, other = {"what": "allergies", "name": "Latex"}, {"what": "conditions", "name": "Asthma"}
    answers = await asyncio.gather(*(boss("POST", f"/patients/{noor}/medical/entries", body) for body in [same] * 8 + [other]))
    assert sorted(answer.status_code for answer in answers) == [201, 201, *[409] * 7], [answer.text for answer in answers]


@on_the_system
async def test_a_merged_records_entries_are_gone_on_with_under_the_one_that_stands(web: Web) -> None:
    boss = await web.person(await web.clinic(), "admin")
    noor, twin = [(await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"] for _ in range(2)]
    latex = (await boss("POST", f"/patients/{twin}/medical/entries", {"what": "allergies", "name": "Latex"})).json()
    mine = (await boss("POST", f"/patients/{noor}/medical/entries", {"what": "conditions", "name": "Asthma"})).json()
    merged = await boss("POST", f"/patients/{noor}/merge", {"loserId": twin})
    assert merged.status_code == 200, merged.text
    failure(await boss("PUT", f"/patients/{twin}/medical/entries/{latex['id']}", {"name": "Latex", "reason": "so"}), 409, "PATIENT_MERGED")
    added = await boss("POST", f"/patients/{noor}/medical/entries", {"what": "medications", "name": "Salbutamol"})
    shown = (await boss("GET", f"/patients/{noor}/medical", headers=await boss.seen(added))).json()
    assert {one["id"] for one in shown["entries"]} == {latex["id"], mine["id"], added.json()["id"]}, "one entry added takes none away"
    amended = await boss("PUT", f"/patients/{noor}/medical/entries/{latex['id']}", {"name": "Latex", "severity": "mild", "reason": "Tested"})
    assert [change["step"] for change in amended.json()["changes"]] == ["added", "amended"], amended.text
    shown = (await boss("GET", f"/patients/{noor}/medical", headers=await boss.seen(amended))).json()
    assert [(one["name"], one["severity"]) for one in shown["allergies"]] == [("Latex", "mild")]
