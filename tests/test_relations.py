"""Who is there for a patient: other patients and persons only known by name, each to be forgotten by themselves."""

from uuid import uuid4

import pytest

from commands.relations import AddRelation, ChangeRelation, EndRelation
from domain.patients import Patient, PatientArchived, PatientNotActive, PatientRegistered
from domain.relations import RelatedToOneself, RelationAdded, RelationChanged, RelationEnded, RelationOver, RelativeUnclear
from tests.kit import given, noon
from tests.served import Web, failure

NOOR, ANNA = uuid4(), uuid4()
known = Patient.replay([PatientRegistered(given_name="Noor", family_name="Jansen", registered_on=noon.today)])
added = RelationAdded(patient_id=NOOR, relation="parent", guardian=True, name="Anna Jansen", email="anna@example.org")
ended = RelationEnded(patient_id=NOOR, reason="Of age")


def test_a_relation_is_added_changed_and_ended() -> None:
    mother = AddRelation(patient_id=NOOR, relation="parent", guardian=True, name="Anna Jansen", email="anna@example.org")
    given().looking(patient=known, other=None).when(mother).then(added)
    given(added).looking(other=known).when(ChangeRelation(relation="parent", related_id=ANNA)).then(
        RelationChanged(patient_id=NOOR, relation="parent", related_id=ANNA))
    given(added).when(EndRelation(reason="Of age")).then(ended)
    given(added, ended).when(EndRelation()).refused(RelationOver)
    given(added, ended).looking(other=None).when(ChangeRelation(relation="parent", name="Anna")).refused(RelationOver)


def test_a_relation_is_to_one_other_person() -> None:
    given().looking(patient=known, other=None).when(AddRelation(patient_id=NOOR, relation="other")).refused(RelativeUnclear)
    given().looking(patient=known, other=known).when(AddRelation(patient_id=NOOR, relation="other", related_id=ANNA, phone="020 123 4567")).refused(RelativeUnclear)
    given().looking(patient=known, other=known).when(AddRelation(patient_id=NOOR, relation="other", related_id=NOOR)).refused(RelatedToOneself)
    gone = known.evolve(PatientArchived())
    given().looking(patient=gone, other=None).when(AddRelation(patient_id=NOOR, relation="other", name="Anna")).refused(PatientNotActive)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_minor_is_reached_through_a_guardian_who_can_be_forgotten(web: Web) -> None:
    clinic = await web.clinic()
    boss, stranger = await web.person(clinic, "admin"), await web.person(await web.clinic(), "admin")
    noor, anna = [(await boss("POST", "/patients", {"givenName": name, "familyName": "Jansen", **more})).json()["id"]
                  for name, more in (("Noor", {}), ("Anna", {"email": "anna@example.org"}))]
    aunt = await boss("POST", f"/patients/{noor}/relations", {"relation": "carer", "guardian": True, "name": "Xanthippe Q", "email": "xq@example.org"})
    assert aunt.status_code == 201, aunt.text
    friend = await boss("POST", f"/patients/{noor}/relations", {"relation": "friend", "emergency": True, "name": "Piet", "phone": "020 123 4567"})
    seen = await boss.seen(friend)
    told = (await boss("GET", f"/patients/{noor}/relations", headers=seen)).json()
    assert [one["name"] for one in told["items"]] == ["Xanthippe Q", "Piet"]
    assert told["reach"] == {"name": "Xanthippe Q", "email": "xq@example.org", "phone": None, "throughId": aunt.json()["id"]}
    failure(await stranger("GET", f"/patients/{noor}/relations"), 404, "NOT_FOUND")
    failure(await stranger("DELETE", f"/patient-relations/{aunt.json()['id']}"), 404, "NOT_FOUND")
    failure(await stranger("POST", f"/patients/{noor}/relations", {"relation": "other", "name": "X"}), 404, "NOT_FOUND")

    forgotten = await boss("POST", "/privacy/erasures", {"kind": "relations", "personId": aunt.json()["id"], "reason": "She asked"})
    assert forgotten.status_code == 200, forgotten.text
    mother = await boss("POST", f"/patients/{noor}/relations", {"relation": "parent", "guardian": True, "payer": True, "relatedId": anna})
    seen = await boss.seen(mother)
    told = (await boss("GET", f"/patients/{noor}/relations", headers=seen)).json()
    assert [(one["name"], one["relatedId"]) for one in told["items"]] == [(None, None), (None, anna), ("Piet", None)]
    assert (told["reach"]["name"], told["reach"]["email"]) == ("Anna Jansen", "anna@example.org")
    assert [one["patientId"] for one in (await boss("GET", f"/patients/{anna}/relations", headers=seen)).json()["reverse"]] == [noor]

    gone = await boss("POST", "/privacy/erasures", {"kind": "patients", "personId": noor, "reason": "She asked", "despiteRetention": True})
    assert gone.status_code == 200, gone.text
    told = (await boss("GET", f"/patients/{noor}/relations", headers=await boss.seen(gone))).json()
    assert {(one["name"], one["phone"]) for one in told["items"]} == {(None, None)}
