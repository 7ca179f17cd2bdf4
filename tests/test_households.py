"""A patient's household, as their relations tell it."""

from uuid import uuid4

import pytest

from projections.households import shared
from schemas.kit import fold
from tests.served import Person, Web, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_is_shared_is_what_two_have() -> None:
    assert shared(["Singel 1", "singel  1", "Dam 2"], fold) == "Singel 1"
    assert shared(["Singel 1", "Dam 2", None], fold) is None
    assert shared([], fold) is None


async def registered(boss: Person, name: str, **more: str) -> str:
    answer = await boss("POST", "/patients", {"givenName": name, "familyName": "Jansen", **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_family_is_whom_relations_join_step_by_step(web: Web) -> None:
    clinic = await web.clinic()
    boss, stranger = await web.person(clinic, "admin"), await web.person(await web.clinic(), "admin")
    home = {"address": "Singel 1, Delft", "phone": "+31 15 123 4567"}
    noor, tim, anna, piet = [await registered(boss, name, **more) for name, more in (
        ("Noor", home | {"birthDate": "2014-01-01"}), ("Tim", {"address": "Singel 1, Delft", "birthDate": "2016-01-01"}),
        ("Anna", home | {"birthDate": "1985-01-01"}), ("Piet", {"address": "Dam 2"}))]
    await boss("POST", f"/patients/{noor}/relations", {"relation": "parent", "relatedId": anna, "guardian": True, "payer": True})
    await boss("POST", f"/patients/{tim}/relations", {"relation": "parent", "relatedId": anna, "guardian": True})
    await boss("POST", f"/patients/{noor}/relations", {"relation": "friend", "relatedId": piet, "emergency": True})
    last = await boss("POST", f"/patients/{tim}/relations", {"relation": "carer", "name": "Oma", "phone": "020 555 0102", "payer": True})
    seen = await boss.seen(last)
    for asked in (noor, tim, anna):
        told = (await boss("GET", f"/patients/{asked}/household", headers=seen)).json()
        assert [member["patientId"] for member in told["members"]] == [anna, noor, tim], "a friend is no family"
        assert (told["patientId"], told["address"], told["phone"], told["email"]) == (asked, "Singel 1, Delft", "+31 15 123 4567", None)
        assert {(payer["patientId"], payer["relatedId"], payer["name"]) for payer in told["payers"]} == {(noor, anna, None), (tim, None, "Oma")}
        assert len(told["ties"]) == 4
    assert [one["patientId"] for one in (await boss("GET", f"/patients/{piet}/household", headers=seen)).json()["members"]] == [piet]
    failure(await stranger("GET", f"/patients/{noor}/household"), 404, "NOT_FOUND")
    failure(await boss("GET", f"/patients/{uuid4()}/household"), 404, "NOT_FOUND")


async def test_records_that_were_merged_are_one_member(web: Web) -> None:
    boss = await web.person(await web.clinic(), "admin")
    noor, anna, twin = [await registered(boss, name) for name in ("Noor", "Anna", "Anna")]
    await boss("POST", f"/patients/{noor}/relations", {"relation": "parent", "relatedId": twin})
    merged = await boss("POST", f"/patients/{anna}/merge", {"loserId": twin})
    seen = await boss.seen(merged)
    for asked in (noor, anna, twin):
        told = (await boss("GET", f"/patients/{asked}/household", headers=seen)).json()
        assert {member["patientId"] for member in told["members"]} == {noor, anna}
        assert [tie["relatedId"] for tie in told["ties"]] == [anna]
