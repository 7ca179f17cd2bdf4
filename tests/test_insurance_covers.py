"""Covers: one payer comes first at any time, whoever is faster; numbers are sealed; and what two records had goes on when they are one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from hypothesis import given as drawn
from hypothesis import strategies as st

from commands.insurance_covers import AddCover, ChangeCover, RemoveCover
from commands.insurance_payers import AddPayer, ArchivePayer, ChangePayer, RestorePayer
from commands.kit import NameTaken, TimeTaken
from commands.kit.handling import Receipt
from commands.patients import MergePatients, UnmergePatients
from domain.insurance_covers import (
    CoverAdded,
    CoverChanged,
    CoverDaysImpossible,
    CoverReassigned,
    CoverRemoved,
    CoverTerms,
    InsuranceCover,
    PrimaryCoverTaken,
    overlap,
    valid,
)
from domain.insurance_payers import (
    CoverageUnclear,
    Payer,
    PayerAdded,
    PayerArchived,
    PayerChanged,
    PayerNeedsName,
    PayerNotInUse,
    PayerRestored,
)
from domain.kit import NotFound, Refused, TimeClaim, only
from domain.kit.insurance import ClassCoverage
from domain.patients import Patient, PatientRegistered
from tests.clinic import Town, handling
from tests.kit import given, noon
from tests.served import failure, served, today_there, until, working

PATIENT, OTHER, PAYER = UUID(int=5), UUID(int=6), UUID(int=21)
known = Patient.replay([PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=noon.today)])
payer = Payer.replay([PayerAdded(name="VGZ")])
terms = CoverTerms(payer_id=PAYER, member_number="W1", valid_from=date(2026, 1, 1))
added = CoverAdded(patient_id=PATIENT, **only(CoverTerms, terms))


def test_a_payer_is_known_by_name_and_number_until_it_is_archived() -> None:
    given().when(AddPayer(name="VGZ")).then(PayerAdded(name="VGZ"))
    there = PayerAdded(name="VGZ", payer_number="3311")
    given(there).when(ChangePayer(name="VGZ", payer_number="3311")).then()
    given(there).when(ChangePayer(name="VGZ")).then(PayerChanged(name="VGZ"))
    given(there).when(ArchivePayer()).then(PayerArchived())
    given(there, PayerArchived()).when(RestorePayer()).then(PayerRestored())
    assert {claim.scope for claim in Payer.replay([there]).claims()} == {"insurance_payers.name", "insurance_payers.number"}  # type: ignore[union-attr]
    assert Payer.replay([there, PayerArchived()]).claims() == frozenset()
    given().when(AddPayer(name="  ")).refused(PayerNeedsName)
    half = ClassCoverage(procedure_class="basic", percent=5_000)
    given().when(AddPayer(name="VGZ", coverage=[half, half])).refused(CoverageUnclear)
    given().when(ArchivePayer()).refused(NotFound)


def test_a_cover_is_added_changed_and_taken_out() -> None:
    looking = {"patient": known, "payer": payer, "taken": False}
    given().looking(**looking).when(AddCover(patient_id=PATIENT, **only(CoverTerms, terms))).then(added)
    given().looking(**{**looking, "taken": True}).when(AddCover(patient_id=PATIENT, **only(CoverTerms, terms))).refused(PrimaryCoverTaken)
    given().looking(**{**looking, "payer": payer.evolve(PayerArchived())}).when(AddCover(patient_id=PATIENT, **only(CoverTerms, terms))).refused(PayerNotInUse)
    over = {**only(CoverTerms, terms), "valid_to": date(2025, 12, 31)}
    given().looking(**looking).when(AddCover(patient_id=PATIENT, **over)).refused(CoverDaysImpossible)
    later = {**only(CoverTerms, terms), "valid_to": date(2026, 12, 31)}
    given(added).looking(payer=payer.evolve(PayerArchived()), taken=False).when(ChangeCover(**later)).then(CoverChanged(patient_id=PATIENT, **later))
    given(added).when(RemoveCover()).then(CoverRemoved(patient_id=PATIENT))
    given(added, CoverRemoved(patient_id=PATIENT)).when(RemoveCover()).then()


def test_what_moved_is_forced_until_somebody_has_looked() -> None:
    (before,) = InsuranceCover.replay([added]).claims()
    moved = CoverReassigned(patient_id=OTHER, was_patient_id=PATIENT)
    (after,) = InsuranceCover.replay([added, moved]).claims()
    (looked,) = InsuranceCover.replay([added, moved, CoverChanged(patient_id=OTHER, **only(CoverTerms, terms))]).claims()
    assert isinstance(before, TimeClaim)
    assert [(claim.id, claim.forced) for claim in (before, after, looked)] == [(PATIENT, False), (OTHER, True), (OTHER, False)]  # type: ignore[union-attr]
    assert InsuranceCover.replay([added, CoverRemoved(patient_id=PATIENT)]).claims() == frozenset()


days = st.dates(date(2026, 1, 1), date(2026, 1, 20))


@drawn(days, st.none() | days, days)
def test_its_claim_covers_exactly_the_days_on_which_it_is_valid(first: date, last: date | None, day: date) -> None:
    if last is not None and last < first:
        first, last = last, first
    cover = InsuranceCover.replay([CoverAdded(patient_id=PATIENT, **{**only(CoverTerms, terms), "valid_from": first, "valid_to": last})])
    (claim,) = cover.claims()
    assert isinstance(claim, TimeClaim)
    assert (claim.start.date() <= day < claim.end.date()) == valid(cover, day)


spans = st.builds(lambda first, last: (min(first, last or first), last and max(first, last)), days, st.none() | days)


@drawn(spans, spans)
def test_two_covers_overlap_if_there_is_a_day_on_which_both_are_valid(one: Any, other: Any) -> None:
    first, second = [SimpleNamespace(valid_from=since, valid_to=until) for since, until in (one, other)]
    every = [date(2026, 1, 1) + timedelta(n) for n in range(25)]
    assert overlap(first, second) == overlap(second, first) == any(valid(first, day) and valid(second, day) for day in every)


# --- in the store


async def covered(town: Town, payer_id: UUID, first: date, last: date | None = None, patient: UUID | None = None, **more: Any) -> Receipt:
    return await town(AddCover(patient_id=patient or town.patient, payer_id=payer_id, member_number="W1", valid_from=first, valid_to=last, **more))


async def test_one_payer_comes_first_at_any_time(module_database: Any) -> None:
    async with handling(module_database) as handler:
        town = await Town.open(handler)
        one = (await town(AddPayer(name="VGZ"))).id
        with pytest.raises(NameTaken):
            await town(AddPayer(name="vgz "))
        await covered(town, one, date(2026, 1, 1), date(2026, 6, 30))
        after = await covered(town, one, date(2026, 7, 1))
        await covered(town, one, date(2026, 1, 1), rank="secondary")
        await covered(town, one, date(2026, 1, 1), patient=await town.register())
        for first, last in ((date(2026, 6, 30), None), (date(2025, 1, 1), date(2026, 1, 1)), (date(2030, 1, 1), date(2030, 1, 1))):
            with pytest.raises(TimeTaken):
                await covered(town, one, first, last)
        await covered(town, one, date(2025, 1, 1), date(2025, 12, 31))
        await town(ChangeCover(**{**only(CoverTerms, terms), "payer_id": one, "valid_from": date(2026, 7, 2)}), after.id)
        with pytest.raises(TimeTaken):
            await town(ChangeCover(**{**only(CoverTerms, terms), "payer_id": one, "valid_from": date(2026, 6, 30)}), after.id)
        await town(RemoveCover(), after.id)
        await covered(town, one, date(2026, 12, 1))


async def test_of_twenty_primary_covers_at_once_one_is_noted(module_database: Any) -> None:
    async with handling(module_database) as first, handling(module_database) as second:
        town = await Town.open(first)
        one = (await town(AddPayer(name="VGZ"))).id
        wishes = [AddCover(patient_id=town.patient, payer_id=one, member_number=f"W{n}", valid_from=date(2026, 1, 1) + timedelta(n)) for n in range(20)]
        asked = [(first, second)[n % 2].handle(wish, town.admin, now=town.now) for n, wish in enumerate(wishes)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert len([one for one in outcomes if isinstance(one, Receipt)]) == 1
        lost = [one for one in outcomes if not isinstance(one, Receipt)]
        assert all(isinstance(one, Refused) for one in lost)
        assert {type(one) for one in lost} <= {PrimaryCoverTaken, TimeTaken}


async def test_a_merge_takes_covers_along_and_parts_them_again(module_database: Any) -> None:
    async with handling(module_database) as handler:
        town = await Town.open(handler)
        one, loser = (await town(AddPayer(name="VGZ"))).id, await town.register("Bakker-Smit")
        mine = (await covered(town, one, date(2026, 1, 1))).id
        theirs = (await covered(town, one, date(2026, 1, 1), patient=loser)).id
        await town(MergePatients(loser_id=loser, reason="The same"), town.patient)
        entry = await handler.streams.latest(InsuranceCover, theirs, town.id)
        assert entry.state.patient_id == town.patient
        same = {**only(CoverTerms, terms), "payer_id": one}
        with pytest.raises(TimeTaken):  # whoever looks at it decides which of the two comes first
            await town(ChangeCover(**same), theirs)
        await town(ChangeCover(**{**same, "rank": "secondary"}), theirs)
        await town(ChangeCover(**same), mine)
        await town(UnmergePatients(loser_id=loser), town.patient)
        entry = await handler.streams.latest(InsuranceCover, theirs, town.id)
        assert entry.state.patient_id == loser


# --- over HTTP


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> AsyncIterator[Any]:
    nats = make_nats()
    async with served(module_database, nats) as web, working(module_database, nats):
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
        yield SimpleNamespace(web=web, database=module_database, clinic=clinic, admin=admin, patient=patient)


@pytest.mark.asyncio(loop_scope="module")
async def test_eligibility_is_told_by_day_in_the_order_of_the_payers(desk: Any) -> None:
    first, second = [(await desk.admin("POST", "/insurance-payers", {"name": name})).json()["id"] for name in ("VGZ", "Achmea")]
    today = today_there()
    covers = [
        {"payerId": second, "rank": "secondary", "memberNumber": "A-1", "validFrom": "2020-01-01"},
        {"payerId": first, "memberNumber": "V-1", "groupNumber": "G", "holder": "spouse", "holderName": "Bo", "validFrom": "2020-01-01", "validTo": str(today)},
        {"payerId": second, "memberNumber": "V-2", "validFrom": str(today + timedelta(1))}]
    for cover in covers:
        answer = await desk.admin("POST", "/insurance-covers", {"patientId": desk.patient, **cover})
        assert answer.status_code == 201, answer.text
    seen = await desk.admin.seen(answer)

    async def told(day: date | None = None) -> list[str]:
        query = f"&date={day}" if day else ""
        said = (await desk.admin("GET", f"/insurance-covers/eligibility?patientId={desk.patient}{query}", headers=seen)).json()
        assert said["insured"] == bool(said["covers"])
        return [f"{one['payerName']} {one['memberNumber']}" for one in said["covers"]]

    assert await told() == ["VGZ V-1", "Achmea A-1"]
    assert await told(today + timedelta(1)) == ["Achmea V-2", "Achmea A-1"]
    assert await told(date(2019, 12, 31)) == []
    failure(await desk.admin("POST", "/insurance-covers", {"patientId": desk.patient, **covers[1]}), 409, "PRIMARY_COVER_TAKEN")
    failure(await desk.admin("GET", f"/insurance-covers/eligibility?patientId={uuid4()}"), 404, "NOT_FOUND")
    listed = (await desk.admin("GET", f"/insurance-covers?patientId={desk.patient}&rank=primary")).json()["items"]
    assert [one["memberNumber"] for one in listed] == ["V-2", "V-1"]
    with psycopg.connect(desk.database.superuser_url) as connection:
        (log,) = connection.execute("select string_agg(convert_from(state, 'UTF8'), '') from stored_events where topic = 'CoverAdded'").fetchone() or ("",)
    assert "V-1" not in log
    gone = await desk.admin("DELETE", f"/insurance-covers/{listed[0]['id']}")
    assert gone.status_code == 200, gone.text

    async def left() -> bool:
        return (await desk.admin("GET", f"/insurance-covers/{listed[0]['id']}")).status_code == 404

    await until(left)
