"""A patient's numbers: the clinic's own, which rise and are never given twice; and another program's, which is theirs alone."""

import asyncio

import pytest

from commands.patients import ChangePatient, RegisterPatient
from domain.kit import UniqueClaim
from domain.patients import Patient, PatientChanged, PatientRegistered
from projections.patients import asked, by_numbers
from schemas.patients import PatientRow, numbers
from tests.kit import THIS, given, noon
from tests.served import Web, failure

NOOR = {"given_name": "Noor", "family_name": "Jansen"}


def test_a_patient_is_registered_with_a_number_and_claims_it() -> None:
    (event,) = given().looking(key="k", number=12).when(RegisterPatient(**NOOR, external_id="NL-4711")).decide()
    assert (event.number, event.external_id, event.external_key) == (12, "NL-4711", "k")
    patient = Patient.replay([event])
    assert patient.claims() == {UniqueClaim(scope="patients.number", key="12"), UniqueClaim(scope="patients.external", key="k")}
    assert patient.evolve(PatientChanged(**NOOR)).claims() == {UniqueClaim(scope="patients.number", key="12")}


def test_whoever_was_registered_before_there_were_numbers_claims_none() -> None:
    old = PatientRegistered(**NOOR, registered_on=noon.today)
    assert Patient.replay([old]).claims() == frozenset()
    given(old).looking(key="k").when(ChangePatient(**NOOR, external_id="A1")).then(PatientChanged(**NOOR, external_id="A1", external_key="k"))


@pytest.mark.parametrize("question", ["12", "#12", "0012", "nl-4711", "NL-4711", "jansen 12", "X1"])
def test_a_line_may_hold_a_number(question: str) -> None:
    row = PatientRow(id=THIS, **NOOR, national_id="X1", external_id="NL-4711", number=12, registered_on=noon.today, version=1)
    held = {*numbers(row), "^jansen", "!x1"}
    assert all(held & set(term) for term in by_numbers(question).terms)


@pytest.mark.parametrize("question", ["noor", "", "noor1@example.org", "1984-03-02"])
def test_what_is_no_number_is_looked_for_as_ever(question: str) -> None:
    assert by_numbers(question) is None
    assert asked(question).terms or not question


on_the_system = pytest.mark.asyncio(loop_scope="module")


@on_the_system
async def test_many_registered_at_once_have_numbers_of_their_own(web: Web) -> None:
    here, there = await web.clinic(), await web.clinic()
    boss, other = await web.person(here, "admin"), await web.person(there, "admin")
    body = {"givenName": "Noor", "familyName": "Jansen"}
    answers = await asyncio.gather(*(boss("POST", "/patients", body) for _ in range(30)))
    given_out = [answer.json()["number"] for answer in answers]
    assert len(set(given_out)) == 30
    later = (await boss("POST", "/patients", body)).json()["number"]
    assert later > max(given_out)
    assert (await other("POST", "/patients", body)).json()["number"] == 1, "each clinic counts for itself"


@on_the_system
async def test_another_programs_number_is_one_patients(web: Web) -> None:
    boss, stranger = await web.person(await web.clinic(), "admin"), await web.person(await web.clinic(), "admin")
    body = {"givenName": "Noor", "familyName": "Jansen", "externalId": "NL-4711"}
    answers = await asyncio.gather(*(boss("POST", "/patients", body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    noor = next(answer for answer in answers if answer.status_code == 201).json()
    await boss("GET", "/patients", headers=await boss.seen(next(answer for answer in answers if answer.status_code == 201)))
    taken = failure(await boss("POST", "/patients", body), 409, "EXTERNAL_ID_TAKEN")
    assert noor["id"] in str(taken)
    failure(await boss("POST", "/patients", {**body, "externalId": "nl-4711"}), 409, "NAME_TAKEN")
    assert (await stranger("POST", "/patients", body)).status_code == 201, "another clinic's is another one"
    assert (await boss("PUT", f"/patients/{noor['id']}", {**body, "familyName": "de Vries"})).status_code == 200, "it stays their own"
    assert (await boss("PUT", f"/patients/{noor['id']}", {"givenName": "Noor", "familyName": "Jansen"})).json()["externalId"] is None
    assert (await boss("POST", "/patients", body)).status_code == 201, "and is free again"
    for wrong in (" x", "", "x" * 101):
        failure(await boss("POST", "/patients", {**body, "externalId": wrong}), 400, "BODY_INVALID")


@on_the_system
async def test_a_number_finds_its_patient_also_after_a_merge(web: Web) -> None:
    boss = await web.person(await web.clinic(), "admin")
    noor, twin = [(await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen", "externalId": name})).json() for name in ("A-1", "B-2")]
    await boss("POST", "/patients", {"givenName": "Tim", "familyName": "Bakker", "phone": f"020 555 00{twin['number']:02}"})
    merged = await boss("POST", f"/patients/{noor['id']}/merge", {"loserId": twin["id"]})
    seen = await boss.seen(merged)
    for question in ("b-2", f"#{twin['number']}", str(twin["number"]), "A-1", f"noor {noor['number']}"):
        found = (await boss("GET", "/patients/search", params={"q": question}, headers=seen)).json()["items"]
        assert found[0]["id"] == noor["id"], question
    assert [one["id"] for one in (await boss("GET", "/patients", params={"number": noor["number"]}, headers=seen)).json()["items"]] == [noor["id"]]
    sheet = (await boss("GET", "/patients/export.csv", headers=seen)).text
    assert "ourNumber,otherId" in sheet
    assert f",{noor['number']},A-1" in sheet
