"""Fee schedules: what counts on which day, what comes in as a sheet, and an estimate that adds up to the price, whoever bears it."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import date
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from hypothesis import given as drawn
from hypothesis import strategies as st

from commands.fee_schedules import RemoveFees, SetFees
from domain.fee_schedules import (
    Contract,
    Fee,
    FeeDaysImpossible,
    FeeFlaw,
    FeeHeadersUnclear,
    FeeKey,
    FeeSchedule,
    FeesDoubled,
    FeesRemoved,
    FeesSet,
    amount_of,
    beyond_fees,
    estimated,
    read,
)
from domain.insurance_payers import Payer, PayerAdded, PayerArchived, PayerNotInUse
from tests.kit import given, noon
from tests.served import failure, served, until, working

CROWN = Fee(procedure_code="D2740", price=80_000, valid_from=date(2026, 1, 1), procedure_class="major")
LATER = Fee(procedure_code="D2740", price=90_000, valid_from=date(2026, 7, 1), valid_to=date(2026, 12, 31))
CHECK = Fee(procedure_code="D0120", price=4_000, valid_from=date(2026, 1, 1))


def test_a_fee_counts_until_the_next_one_or_its_last_day() -> None:
    schedule = FeeSchedule.replay([FeesSet(fees=[LATER, CROWN])])
    days = {"2025-12-31": None, "2026-01-01": CROWN, "2026-06-30": CROWN, "2026-07-01": LATER, "2026-12-31": LATER, "2027-01-01": None}
    assert {day: schedule.on("D2740", date.fromisoformat(day)) for day in days} == days
    assert schedule.on("D9999", noon.today) is schedule.on(None, noon.today) is None


def test_only_what_changes_is_said_and_a_code_has_one_fee_a_day() -> None:
    there = given(FeesSet(fees=[CROWN, CHECK])).looking(payer=None)
    dearer = Fee(procedure_code="D0120", price=4_500, valid_from=CHECK.valid_from)
    there.when(SetFees(fees=[CROWN, dearer, LATER])).then(FeesSet(fees=[dearer, LATER]))
    there.when(SetFees(fees=[CROWN, CHECK])).then()
    there.when(SetFees(fees=[CHECK, dearer])).refused(FeesDoubled)
    there.when(SetFees(fees=[Fee(procedure_code="X", price=1, valid_from=date(2026, 1, 2), valid_to=date(2026, 1, 1))])).refused(FeeDaysImpossible)
    gone = FeeKey(procedure_code="D0120", valid_from=CHECK.valid_from)
    given(FeesSet(fees=[CROWN, CHECK])).when(RemoveFees(fees=[gone, gone])).then(FeesRemoved(fees=[gone]))
    given(FeesSet(fees=[CROWN, CHECK]), FeesRemoved(fees=[gone])).when(RemoveFees(fees=[gone])).then()
    given().looking(payer=Payer.replay([PayerAdded(name="VGZ"), PayerArchived()])).when(SetFees(fees=[CROWN])).refused(PayerNotInUse)


amounts = st.integers(0, 10**7)
contracts = st.builds(
    Contract, payer_id=st.uuids(), contractual=st.booleans(), coverage=st.dictionaries(st.just("basic"), st.integers(0, 10_000)), fee=st.none() | amounts,
    procedure_class=st.sampled_from(["basic", "major", None]))


@drawn(amounts, st.integers(1, 20), st.lists(contracts, max_size=3))
def test_an_estimate_adds_up_to_the_price(price: int, quantity: int, known: list[Contract]) -> None:
    line = estimated("D1", quantity, price, known)
    assert line.patient_share + line.write_off + sum(share.bears for share in line.payers) == line.price == quantity * price
    assert min(line.patient_share, line.write_off, *(share.bears for share in line.payers), 0) == 0
    for share, one in zip(line.payers, known, strict=True):
        assert share.allowed <= line.price
        assert share.bears <= share.allowed
        assert share.percent is not None or share.bears == 0
        assert share.percent == (one.coverage.get("basic") if one.procedure_class == "basic" else None)
    assert not line.write_off or known[0].contractual


def test_an_estimate_of_two_payers() -> None:
    first = Contract(payer_id=UUID(int=1), contractual=True, coverage={"major": 5_000}, fee=60_000, procedure_class="major")
    second = Contract(payer_id=first.payer_id, contractual=False, coverage={"major": 8_000}, fee=None, procedure_class="major")
    line = estimated("D2740", 1, 80_000, [first, second])
    assert (line.write_off, [share.bears for share in line.payers], line.patient_share) == (20_000, [30_000, 30_000], 0)  # the second bears what is left
    alone = estimated("D2740", 1, 80_000, [first])
    assert (alone.write_off, alone.payers[0].bears, alone.patient_share) == (20_000, 30_000, 30_000)
    assert estimated("D2740", 2, 80_000, []).patient_share == 160_000


@drawn(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_is_beyond_a_fee_has_its_part_of_the_tax(net: int, tax: int, fee: int) -> None:
    found = beyond_fees({1: (net, net + tax), 2: (net, net)}, {1: fee})
    assert 2 not in found
    assert found.get(1, 0) == (0 if fee >= net else (net + tax) - (net + tax) * fee // net)
    assert 0 <= found.get(1, 0) <= net + tax


@pytest.mark.parametrize(("text", "digits", "amount"), [
    ("125.00", 2, 12_500), ("125", 2, 12_500), ("125.5", 2, 12_550), ("1,250.00", 2, 125_000), ("1.250,00", 2, 125_000), ("1 250,00 €", 2, 125_000), ("EUR 80", 2, 8_000),
    ("1,250", 2, 125_000), ("12,500", 3, None), ("12.5", 3, 12_500), ("1,012.500", 3, 1_012_500), ("1'250.50", 2, 125_050), ("1250", 0, 1_250), ("0", 2, 0), ("", 2, None), ("12.345.6", 2, None), ("12.3456", 2, None),
    ("-5", 2, None), ("free", 2, None), ("1.2.3", 2, None), ("1,250.00.1", 2, None), ("1.5", 0, None), ("1,23.45", 2, None), ("9" * 30, 2, None)])
def test_amounts_are_read_as_people_write_them_or_refused(text: str, digits: int, amount: int | None) -> None:
    if amount is None:
        with pytest.raises(Exception, match="FEE_UNREADABLE"):
            amount_of(text, digits)
    else:
        assert amount_of(text, digits) == amount


def test_a_sheet_is_read_whichever_program_wrote_it_and_every_row_counts() -> None:
    sheet = "Code;Description;Class;Fee;Effective\r\nD2740;Crown, 'gold';Major;1.250,00;2026-01-01\r\nD0120;Check;;40;\r\nD0120;Twice;;41;\r\nD3;;;x;\r\n;None;;1;\r\nD4;;wrong;1;\r\nD5;;;1;soon\r\n"
    table = read(sheet.encode("utf-16"), "EUR", noon.today)
    good = [row[1] for row in table.rows if not isinstance(row, FeeFlaw)]
    assert [(fee.procedure_code, fee.price, fee.procedure_class, fee.valid_from) for fee in good] == [
        ("D2740", 125_000, "major", date(2026, 1, 1)), ("D0120", 4_000, "other", noon.today)]
    flaws = [row for row in table.rows if isinstance(row, FeeFlaw)]
    assert [(row.line, row.column, row.code) for row in flaws] == [
        (4, "", "DUPLICATE"), (5, "Fee", "FEE_UNREADABLE"), (6, "Code", "FEE_INVALID"), (7, "Class", "FEE_INVALID"), (8, "Effective", "DATE_UNREADABLE")]
    for wrong in ("Code;Name\nD1;x\n", "Fee\n1\n", "Code;Fee;Price\nD1;1;1\n", "Code;Code;Fee\n1;1;1\n", "\n"):
        with pytest.raises(FeeHeadersUnclear):
            read(wrong.encode(), "EUR", noon.today)


# --- over HTTP


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> AsyncIterator[Any]:
    nats = make_nats()
    async with served(module_database, nats) as web, working(module_database, nats):
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
        coverage = [{"procedureClass": "major", "percent": 5_000}, {"procedureClass": "preventive", "percent": 10_000}]
        payer = (await admin("POST", "/insurance-payers", {"name": "VGZ", "writeOff": "contractual", "coverage": coverage})).json()["id"]
        cover = (await admin("POST", "/insurance-covers", {"patientId": patient, "payerId": payer, "memberNumber": "W1", "validFrom": "2026-01-01"})).json()["id"]
        yield SimpleNamespace(web=web, clinic=clinic, admin=admin, patient=patient, payer=payer, cover=cover)


async def sent(desk: Any, path: str, sheet: bytes, status: int = 200) -> Any:
    answer = await desk.admin("POST", path, content=sheet, headers={"content-type": "text/csv"})
    assert answer.status_code == status, answer.text
    return answer.json()


def counts(report: Any) -> list[int]:
    return [report[name] for name in ("rows", "created", "changed", "unchanged", "rejected")]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_schedule_comes_in_once_however_often_it_is_sent_and_goes_out_as_it_came(desk: Any) -> None:
    whole = "procedureCode,description,procedureClass,fee,validFrom\n" + "".join(f"D{n:04},Thing {n},basic,{n}.50,2026-01-01\n" for n in range(1, 1_201))
    sheet = (whole + "D9999,Broken,basic,a lot,2026-01-01\n").encode()
    path = f"/fee-schedules/import/{{}}?payerId={desk.payer}"
    assert counts(await sent(desk, path.format("validate"), sheet)) == [1_201, 1_200, 0, 0, 1]
    report = await sent(desk, path.format("run"), sheet)
    assert counts(report) == [1_201, 1_200, 0, 0, 1]
    assert report["problems"] == [
        {"line": 1_202, "column": "fee", "code": "FEE_UNREADABLE", "reason": "Expected an amount with at most 2 decimals, such as 125.00", "patientId": None}]
    assert counts(await sent(desk, path.format("run"), sheet)) == [1_201, 0, 0, 1_200, 1]

    async def all_there() -> bool:
        return (await desk.admin("GET", f"/fee-schedules?payerId={desk.payer}&format=csv")).text.count("\n") == 1_201

    await until(all_there)
    out = (await desk.admin("GET", f"/fee-schedules?payerId={desk.payer}&format=csv")).text
    first = next(csv.DictReader(io.StringIO(out)))
    assert (first["procedureCode"], first["price"], first["validFrom"]) == ("D0001", "150", "2026-01-01")
    assert counts(await sent(desk, path.format("validate"), out.encode())) == [1_200, 0, 0, 1_200, 0]
    assert counts(await sent(desk, "/fee-schedules/import/validate", out.encode())) == [1_200, 1_200, 0, 0, 0]  # the clinic's own has none of it
    dearer = out.replace(",150,", ",151,", 1).encode()
    assert counts(await sent(desk, path.format("validate"), dearer)) == [1_200, 0, 1, 1_199, 0]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_price_is_suggested_by_cover_and_day_and_an_estimate_says_that_it_is_one(desk: Any) -> None:
    payers = {"payerId": desk.payer, "fees": [{"procedureCode": "CROWN", "price": 60_000, "validFrom": "2026-01-01", "procedureClass": "major"}]}
    assert (await desk.admin("PUT", "/fee-schedules", payers)).status_code == 200
    own = [{"procedureCode": code, "price": price, "validFrom": "2020-01-01", "procedureClass": "preventive"} for code, price in (("CROWN", 80_000), ("CHECK", 4_000))]
    answer = await desk.admin("PUT", "/fee-schedules", {"fees": own})
    seen = await desk.admin.seen(answer)

    async def suggested(code: str, on: str = "2026-06-01") -> list[Any]:
        told = (await desk.admin("GET", f"/fee-schedules/suggested?patientId={desk.patient}&procedureCode={code}&date={on}", headers=seen)).json()
        return [told["price"], told["schedule"]]

    assert await suggested("CROWN") == [60_000, "payer"]
    assert await suggested("CROWN", "2025-12-31") == [80_000, "standard"]  # before there was a cover
    assert await suggested("CHECK") == [4_000, "standard"]
    assert await suggested("NOTHING") == [None, None]
    wanted = {"patientId": desk.patient, "date": "2026-06-01", "lines": [{"procedureCode": "CROWN"}, {"procedureCode": "CHECK", "quantity": 2}]}
    told = (await desk.admin("POST", "/fee-schedules/estimate", wanted, headers=seen)).json()
    assert told["estimate"] is True
    assert {name: told[name] for name in ("price", "payersBear", "writeOff", "patientShare")} == {"price": 88_000, "payersBear": 38_000, "writeOff": 20_000, "patientShare": 30_000}
    unknown = {**wanted, "lines": [{"procedureCode": "NOTHING"}]}
    failure(await desk.admin("POST", "/fee-schedules/estimate", unknown), 400, "PRICE_UNKNOWN")
    elsewhere = await desk.web.person(await desk.web.clinic(), "admin")
    failure(await elsewhere("POST", "/fee-schedules/estimate", wanted), 404, "NOT_FOUND")
    failure(await elsewhere("PUT", "/fee-schedules", payers), 404, "NOT_FOUND")
    key = {"payerId": desk.payer, "fees": [{"procedureCode": "CROWN", "validFrom": "2026-01-01"}]}
    seen = await desk.admin.seen(await desk.admin("POST", "/fee-schedules/removals", key))
    assert await suggested("CROWN") == [80_000, "standard"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_write_off_is_previewed_and_happens_once(desk: Any) -> None:
    fees = {"payerId": desk.payer, "fees": [{"procedureCode": "IMPLANT", "price": 60_000, "validFrom": "2020-01-01"}]}
    assert (await desk.admin("PUT", "/fee-schedules", fees)).status_code == 200
    lines = [{"description": "Implant", "procedureCode": "IMPLANT", "unitPrice": 80_000}]
    invoice = (await desk.admin("POST", "/invoices", {"patientId": desk.patient, "lines": lines, "issue": True})).json()["id"]
    claim = (await desk.admin("POST", "/insurance-claims", {"invoiceId": invoice, "coverId": desk.cover, "submit": True})).json()["id"]
    failure(await desk.admin("GET", f"/insurance-claims/{claim}/write-off"), 409, "CLAIM_NOT_ANSWERED")
    answer = {"lines": [{"line": 1, "approved": 30_000, "adjustments": [{"group": "CO", "code": "45", "amount": 50_000}]}]}
    await desk.admin("POST", f"/insurance-claims/{claim}/answer", answer)
    preview = (await desk.admin("GET", f"/insurance-claims/{claim}/write-off")).json()
    assert preview == {"amount": 20_000, "lines": [{"line": 1, "billed": 80_000, "allowed": 60_000, "amount": 20_000}]}
    failure(await desk.admin("POST", f"/insurance-claims/{claim}/write-off", {"amount": 20_001}), 409, "WRITE_OFF_UNCONFIRMED")
    done = await desk.admin("POST", f"/insurance-claims/{claim}/write-off", {"amount": 20_000})
    assert (done.status_code, done.json()["writtenOff"], done.json()["patientShare"]) == (200, 20_000, 30_000)
    seen = await desk.admin.seen(done)
    bill = (await desk.admin("GET", f"/invoices/{invoice}", headers=seen)).json()
    assert (bill["writtenOff"], bill["due"]) == (20_000, 60_000)
    failure(await desk.admin("GET", f"/insurance-claims/{claim}/write-off"), 409, "WRITTEN_OFF_ALREADY")
