"""Records that look like one person's: found for a whole clinic, graded, and dismissed once and for all."""

from datetime import date
from random import Random
from uuid import UUID

import psycopg
import pytest

from commands.duplicates import DismissDuplicate, ReopenDuplicate
from domain.duplicates import DuplicateDismissed, DuplicateNotDismissed, DuplicateReopened, PairedWithOneself, duplicate_of
from domain.patients import Patient, PatientMerged, PatientRegistered, PatientReplaced
from projections.duplicates import KEPT, Sign, compared, of_everybody, pairs, score
from projections.kit import tables
from projections.kit.rows import Change, mapper_of
from schemas.patients import PatientRow
from tests.kit import CLINIC, facts, given, noon
from tests.remembering import reading, remember
from tests.served import Web, failure

ONE, TWO = UUID(int=1), UUID(int=2)
known = Patient.replay([PatientRegistered(given_name="Noor", registered_on=noon.today)])
dismissed = DuplicateDismissed(patient_id=ONE, other_id=TWO, reason="Sisters")


def test_whichever_is_named_first_it_is_the_same_pair() -> None:
    found = {"one": known, "other": known}
    given().looking(**found).when(DismissDuplicate(patient_id=ONE, other_id=TWO, reason="Sisters")).then(dismissed)
    given().looking(**found).when(DismissDuplicate(patient_id=TWO, other_id=ONE, reason="Sisters")).then(dismissed)
    given(dismissed).looking(**found).when(DismissDuplicate(patient_id=TWO, other_id=ONE)).then()
    assert duplicate_of(ONE, TWO) == duplicate_of(TWO, ONE)


def test_nobody_is_another_one_than_themselves_and_a_record_that_is_gone_is_nobodys() -> None:
    given().looking(one=known, other=known).when(DismissDuplicate(patient_id=ONE, other_id=ONE)).refused(PairedWithOneself)
    merged = known.evolve(PatientReplaced(survivor_id=TWO, moved=[]))
    given().looking(one=merged, other=known).when(DismissDuplicate(patient_id=ONE, other_id=TWO)).refused(PatientMerged)


def test_it_is_taken_back_once() -> None:
    given(dismissed).when(ReopenDuplicate(patient_id=TWO, other_id=ONE)).then(DuplicateReopened(patient_id=ONE, other_id=TWO))
    given(dismissed, DuplicateReopened(patient_id=ONE, other_id=TWO)).when(ReopenDuplicate(patient_id=ONE, other_id=TWO)).refused(DuplicateNotDismissed)


def test_more_that_agrees_says_more() -> None:
    assert score(["phone"]) < score(["phone", "email"]) < score(["name-and-birth-date"]) < score(["name-and-birth-date", "name-and-phone"]) <= 100


def sign(number, name, born=date(1984, 3, 2), **more):
    return Sign(**{"id": UUID(int=number), "born": born, "mail": None, "phone": "", "papers": None, "name": name, **more})


def test_names_are_compared_where_only_they_are_left() -> None:
    near, far, sure = sign(1, "jansen noor", mail="n@x.nl"), sign(2, "janssen noor"), sign(3, "jonker tim", mail="n@x.nl")
    assert compared([near, far, sure]) == [(UUID(int=1), UUID(int=3)), (UUID(int=1), UUID(int=2))]


# --- on a real database

BORN = date(1984, 3, 2)
PEOPLE = {
    101: {"given_name": "Noor", "family_name": "Jansen", "birth_date": BORN, "phone": "+31 6 1234 5678"},
    102: {"given_name": "Jansen", "family_name": "Nóór", "birth_date": BORN},  # the same, the other way round
    103: {"given_name": "Noor", "family_name": "Janssen", "birth_date": BORN, "phone": "06-12345678"},  # a slip
    104: {"given_name": "Tim", "family_name": "Jansen", "birth_date": date(2014, 1, 1), "phone": "0612345678"},  # her son
    105: {"given_name": "Eva", "family_name": "Bakker", "birth_date": BORN, "national_id": "X1"},
    106: {"given_name": "Ewa", "family_name": "Bakker-Smit", "national_id": " x1"},
    107: {"given_name": "Ada", "family_name": "Kok", "birth_date": BORN, "email": "Ada@example.org"},
    108: {"given_name": "Adam", "family_name": "Kok", "email": "ada@EXAMPLE.org"},
}


@pytest.fixture(scope="module")
def books(module_database):
    told = [fact for number, who in PEOPLE.items() for fact in facts(PatientRegistered(**who, registered_on=noon.today), id=UUID(int=number), kind="patients", first=number)]
    crowd = [
        fact for number in range(200, 230)
        for fact in facts(PatientRegistered(given_name=f"Given{number}", family_name="Q", phone="00 0000 0000 1", registered_on=noon.today), id=UUID(int=number), kind="patients", first=number)]
    remember(module_database, *told, *crowd)
    return module_database


async def found(books, least="likely", limit=50, cursor=None):
    async with reading(books, CLINIC) as reader:
        return await pairs(reader, least, limit, cursor)


async def test_each_pair_is_found_by_what_agrees(books) -> None:
    listed = await found(books, "possible")
    told = {(pair.patient.id.int, pair.other.id.int): (pair.grade, pair.reasons) for pair in listed.items}
    assert told == {
        (101, 102): ("certain", ["name-and-birth-date"]),
        (101, 103): ("likely", ["name-and-phone", "similar-name-and-birth-date"]),
        (102, 103): ("likely", ["similar-name-and-birth-date"]),
        (101, 104): ("possible", ["phone"]), (103, 104): ("possible", ["phone"]),
        (105, 106): ("certain", ["national-id"]),
        (107, 108): ("certain", ["name-and-email"]),
    }
    assert listed.found == len(told)
    assert [pair.score for pair in listed.items] == sorted((pair.score for pair in listed.items if pair.grade == "certain"), reverse=True) + [
        pair.score for pair in listed.items if pair.grade != "certain"]


async def test_a_number_that_a_crowd_shares_pairs_nobody(books) -> None:
    assert all(pair.patient.id.int < 200 for pair in (await found(books, "possible")).items)


async def test_pages_join_up(books) -> None:
    whole = (await found(books, "possible")).items
    listed, cursor = [], None
    while True:
        page = await found(books, "possible", 2, cursor)
        listed += page.items
        if (cursor := page.next) is None:
            break
    assert listed == whole
    assert [pair.grade for pair in (await found(books, "certain")).items] == ["certain"] * 3


# --- on the running system


@pytest.mark.asyncio(loop_scope="module")
async def test_a_pair_is_dismissed_comes_back_and_is_merged(web: Web) -> None:
    clinic = await web.clinic()
    boss, desk, stranger = await web.person(clinic, "admin"), await web.person(clinic, "receptionist"), await web.person(await web.clinic(), "admin")
    body = {"givenName": "Noor", "familyName": "Jansen", "birthDate": "1984-03-02"}
    noor, twin = [await boss("POST", "/patients", body) for _ in range(2)]
    pair = {"patientId": twin.json()["id"], "otherId": noor.json()["id"]}
    (one,) = (await desk("GET", "/patients/duplicates", headers=await boss.seen(twin))).json()["items"]
    assert (one["patient"]["id"], one["other"]["id"], one["grade"]) == (noor.json()["id"], twin.json()["id"], "certain")
    assert (await stranger("GET", "/patients/duplicates")).json() == {"items": [], "found": 0, "next": None}
    said = await desk("POST", "/patients/duplicates/dismiss", pair | {"reason": "Sisters"})
    assert said.status_code == 200, said.text
    seen = await boss.seen(said)
    assert (await desk("GET", "/patients/duplicates", headers=seen)).json()["items"] == []
    assert [row["reason"] for row in (await desk("GET", "/patients/duplicates/dismissed", headers=seen)).json()["items"]] == ["Sisters"]
    back = await desk("POST", "/patients/duplicates/reopen", pair)
    assert (await desk("GET", "/patients/duplicates", headers=await boss.seen(back))).json()["found"] == 1
    failure(await desk("POST", "/patients/duplicates/reopen", pair), 409, "DUPLICATE_NOT_DISMISSED")
    failure(await desk("POST", "/patients/duplicates/dismiss", {"patientId": pair["patientId"], "otherId": pair["patientId"]}), 400, "PAIRED_WITH_ONESELF")
    failure(await stranger("POST", "/patients/duplicates/dismiss", pair), 404, "NOT_FOUND")
    failure(await desk("GET", "/patients/duplicates", params={"cursor": "?"}), 400, "CURSOR_INVALID")
    failure(await desk("GET", "/patients/duplicates", params={"grade": "sure"}), 400, "QUERY_INVALID")
    merged = await boss("POST", f"/patients/{pair['otherId']}/merge", {"loserId": pair["patientId"]})
    assert (await desk("GET", "/patients/duplicates", headers=await boss.seen(merged))).json()["found"] == 0


# --- as patients change


GIVEN, FAMILY = ["Noor", "Nora", "Tim", "Eva"], ["Jansen", "Janssen", "Bakker"]


def somebody(chance: Random, number: int, position: int) -> Change:
    born = date(1984, 3, chance.randint(1, 3)) if chance.random() < 0.7 else None
    row = PatientRow(
        id=UUID(int=number), registered_on=noon.today, version=position, given_name=chance.choice(GIVEN), family_name=chance.choice(FAMILY), birth_date=born,
        phone=f"06 1234 56{chance.randint(10, 40)}" if chance.random() < 0.5 else None, email=f"p{chance.randint(1, 12)}@example.org" if chance.random() < 0.5 else None,
        national_id=f"N{chance.randint(1, 30)}" if chance.random() < 0.2 else None, archived=chance.random() < 0.1,
        merged_into=UUID(int=999) if chance.random() < 0.05 else None)
    return Change((CLINIC, row.id), row, position)


async def test_what_has_changed_is_looked_at_alone_and_the_pairs_are_those_of_all(make_database) -> None:
    chance, mapper, books = Random(7), mapper_of(PatientRow), make_database()
    with psycopg.connect(books.url("owner"), autocommit=True) as owner:
        tables.install(owner)
    async with reading(books, CLINIC) as reader:
        with psycopg.connect(books.url("projector"), autocommit=True) as projector:
            first = [somebody(chance, number, number) for number in range(1, 41)]
            projector.execute(mapper.upsert_sql("patients"), mapper.encoded(first))
            await pairs(reader, "possible", 200, None)
            known = KEPT[reader.lanes][CLINIC]
            for step in range(60):
                changed = [somebody(chance, number, 100 + 10 * step + n) for n, number in enumerate(chance.sample(range(1, 46), chance.randint(1, 3)))]
                projector.execute(mapper.upsert_sql("patients"), mapper.encoded(changed))
                listed = await pairs(reader, "possible", 200, None)
                assert KEPT[reader.lanes][CLINIC] is known  # only those who changed were looked at
                assert known.pairs == {*await of_everybody(reader)}, step
                assert listed.found == len(listed.items) == len(known.pairs) > 0
