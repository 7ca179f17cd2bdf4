"""Fees for visits that were missed or cancelled late: by the clinic's rule, once, whoever looks and how often; forgiven with a reason; gone with the visit."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import given as such
from hypothesis import strategies as some

from commands.visit_fees import ChangeFeeSettings, ChargeVisitFee, WaiveVisitFee
from domain.appointments import Appointment, AppointmentBooked, PatientMissed, when
from domain.invoices import Invoice
from domain.kit import Elsewhere, NotFound
from domain.patients import Patient, PatientArchived, PatientRegistered
from domain.series import Series
from domain.visit_fees import (
    FeeRule,
    FeeRules,
    FeeRuleTwice,
    FeeSettings,
    FeeSettingsChanged,
    VisitFeeCharged,
    VisitFeeSettled,
    VisitFeeSpared,
    VisitFeeWaived,
    fee_invoice_of,
    fee_settings_of,
    visit_fee_of,
)
from gateway import visit_fees
from schemas.visit_fees import VisitEndingRow
from tests.kit import CLINIC, THIS, given, noon
from tests.served import failure, served, today_there, working

PATIENT, DOCTOR, VISIT, IMPLANT = UUID(int=5), UUID(int=6), UUID(int=7), UUID(int=8)
RULES = FeeRules(enabled=True, grace=0, rules=[FeeRule(no_show=5_000, late_cancellation=2_500, notice=24), FeeRule(type_id=IMPLANT, no_show=20_000, tax_rate=2100)])
CHARGE = ChargeVisitFee(appointment_id=VISIT)
known = Patient.replay([PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=noon.today)])


def visit(kind: UUID | None = None, hours: int = -1) -> Appointment:
    """One that was to begin so many hours after noon."""
    start = (noon.now + timedelta(hours=hours)).astimezone(UTC).replace(tzinfo=None)
    booked = AppointmentBooked(patient_id=PATIENT, doctor_id=DOCTOR, type="check-up", type_id=kind, **when(start, 30, noon.now, "UTC"))
    return Appointment.replay([booked, PatientMissed(patient_id=PATIENT, doctor_id=DOCTOR, on=booked.on)])


def looking(seen: Appointment, cause: Any = "no-show", rules: FeeRules = RULES, before: tuple[Any, ...] = (), patient: Patient = known, ago: int = 0) -> Any:
    ending = VisitEndingRow(id=VISIT, cause=cause, ended_at=noon.now - timedelta(minutes=ago)) if cause else None
    return given(*before).looking(
        visit=seen, ending=ending, settings=FeeSettings(rules=rules), patient=patient, invoice=Invoice(), series=Series(), credits={}, deposited=0)


def charged(decided: Any) -> VisitFeeCharged:
    first = decided.decide()[0]
    assert isinstance(first, VisitFeeCharged)
    return first


def test_a_missed_visit_costs_what_the_rule_for_its_kind_says() -> None:
    first = looking(visit()).when(CHARGE)
    assert (charged(first).amount, charged(first).invoice_id) == (5_000, fee_invoice_of(VISIT))
    draft = next(one for one in first.decide() if isinstance(one, Elsewhere))
    assert (draft.state, Invoice.replay(draft.events).stage) == (Invoice, "draft")
    assert charged(looking(visit(IMPLANT)).when(CHARGE)).amount == 20_000
    assert charged(looking(visit(UUID(int=9))).when(CHARGE)).amount == 5_000
    issued = looking(visit(), rules=FeeRules(enabled=True, grace=0, issue=True, rules=RULES.rules)).when(CHARGE).decide()
    assert [Invoice.replay(one.events).stage for one in issued if isinstance(one, Elsewhere) and one.state is Invoice] == ["issued"]


def test_what_costs_nothing_says_why_and_what_is_settled_stays_so() -> None:
    def spared(why: Any, cause: Any = "no-show") -> VisitFeeSpared:
        return VisitFeeSpared(appointment_id=VISIT, cause=cause, why=why)

    looking(visit(hours=25), "late-cancellation").when(CHARGE).then(spared("in-time", "late-cancellation"))
    looking(visit(hours=24), "late-cancellation").when(CHARGE).then(spared("in-time", "late-cancellation"))
    assert charged(looking(visit(hours=23), "late-cancellation").when(CHARGE)).amount == 2_500
    looking(visit(IMPLANT, 1), "late-cancellation").when(CHARGE).then(spared("no-rule", "late-cancellation"))
    gone = Patient.replay([PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=noon.today), PatientArchived()])
    looking(visit(), patient=gone).when(CHARGE).then(spared("inactive"))
    looking(visit(), before=(spared("no-rule"),)).when(CHARGE).then()
    looking(visit(), cause=None).when(CHARGE).then()
    looking(visit(), rules=FeeRules()).when(CHARGE).then()
    looking(visit(), rules=FeeRules(enabled=True, grace=30, rules=RULES.rules), ago=29).when(CHARGE).then()
    assert charged(looking(visit(), rules=FeeRules(enabled=True, grace=30, rules=RULES.rules), ago=30).when(CHARGE))


def test_a_fee_is_forgiven_once_and_its_invoice_with_it() -> None:
    fee = VisitFeeCharged(appointment_id=VISIT, cause="no-show", invoice_id=fee_invoice_of(VISIT), amount=5_000, currency="EUR")
    waived = VisitFeeWaived(appointment_id=VISIT, reason="Was in hospital")
    waive = WaiveVisitFee(reason="Was in hospital")
    draft = Invoice.replay(next(one for one in looking(visit()).when(CHARGE).decide() if isinstance(one, Elsewhere)).events)
    from domain.credits import Credit  # noqa: PLC0415

    def forgiving(*before: Any, invoice: Invoice = draft) -> Any:
        return given(*before).looking(invoice=invoice, series=Series(), credit=Credit()).when(waive)

    forgiving(fee).then(waived, Elsewhere(state=Invoice, id=fee_invoice_of(VISIT), events=draft.discard()))
    forgiving(fee, invoice=Invoice.replay([])).then(waived)
    forgiving(fee, waived).refused(VisitFeeSettled)
    forgiving().refused(NotFound)


@such(rules=some.lists(some.builds(FeeRule, type_id=some.sampled_from([None, IMPLANT, DOCTOR]), no_show=some.integers(0, 3)), max_size=4))
def test_there_is_one_rule_for_a_kind(rules: list[FeeRule]) -> None:
    kinds = [rule.type_id for rule in rules]
    wanted = ChangeFeeSettings(enabled=True, rules=rules)
    if len({*kinds}) < len(kinds):
        given().when(wanted).refused(FeeRuleTwice)
        return
    (event,) = FeeSettings().change(wanted)
    assert isinstance(event, FeeSettingsChanged)
    state = FeeSettings().evolve(event)
    assert state.change(wanted) == []
    for kind in (IMPLANT, DOCTOR, None):
        found = state.rule_for(kind)
        assert (found.type_id if found else "none") == (kind if kind in kinds else None if None in kinds else "none")
    assert wanted.stream(noon) == fee_settings_of(CLINIC)
    assert THIS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> Any:
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        hired = await admin("POST", "/staff/create", {"name": "Dr Sam Visser", "email": "sam@clinic.example", "role": "doctor"})
        assert hired.status_code == 201, hired.text
        doctor = hired.json()["id"]
        week = [[{"start": "00:00", "end": "24:00"}]] * 7
        set_ = await admin("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": week})
        assert set_.status_code in {200, 201}, set_.text
        yield SimpleNamespace(web=web, clinic=clinic, admin=admin, doctor=doctor, hour=0)


async def patient(desk: Any) -> str:
    return str((await desk.admin("POST", "/patients", {"givenName": "Noor", "familyName": f"B{uuid4().hex[:5]}"})).json()["id"])


async def booked(desk: Any, who: str, days: int = 0) -> str:
    desk.hour += 1
    start = datetime.combine(today_there() + timedelta(days=days), datetime.min.time()) + timedelta(minutes=40 * desk.hour)
    made = await desk.admin("POST", "/appointments", {"patientId": who, "doctorId": desk.doctor, "start": start.isoformat(), "duration": 30})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def status(desk: Any, visit_: str, to: str, **more: Any) -> Any:
    answer = await desk.admin("PATCH", f"/appointments/{visit_}/status", {"status": to, **more})
    assert answer.status_code == 200, answer.text
    return answer


async def rules(desk: Any, **more: Any) -> None:
    body = {"enabled": True, "grace": 0, "rules": [{"noShow": 5_000, "lateCancellation": 2_500}], **more}
    answer = await desk.admin("PUT", "/visit-fees/settings", body)
    assert answer.status_code == 200, answer.text
    await desk.admin("GET", "/visit-fees/settings", headers=await desk.admin.seen(answer))


async def tended(desk: Any, answer: Any, times: int = 1) -> list[Any]:
    """The fees after so many gateways have looked at once."""
    await desk.admin("GET", "/visit-fees", headers=await desk.admin.seen(answer))
    await asyncio.gather(*(visit_fees.tend(desk.web.services) for _ in range(times)))
    head = await (await desk.web.services.reader(desk.clinic)).head()
    return (await desk.admin("GET", "/visit-fees?limit=200", headers={"x-position": str(head)})).json()["items"]  # type: ignore[no-any-return]


@pytest.mark.asyncio(loop_scope="module")
async def test_of_a_missed_visit_there_is_one_fee_however_many_look_and_it_is_forgiven(desk: Any) -> None:
    who = await patient(desk)
    early = await status(desk, await booked(desk, who), "no-show")
    assert await tended(desk, early) == []  # nobody wants fees yet, and what was missed by then stays free
    await rules(desk)
    visit_ = await booked(desk, who)
    fees = await tended(desk, await status(desk, visit_, "no-show"), 6)
    (fee,) = fees
    assert (fee["appointmentId"], fee["cause"], fee["status"], fee["amount"], fee["id"]) == (visit_, "no-show", "charged", 5_000, str(visit_fee_of(UUID(visit_))))
    bill = (await desk.admin("GET", f"/invoices/{fee['invoiceId']}")).json()
    assert (bill["status"], bill["total"], bill["patientId"], bill["lines"][0]["description"]) == ("draft", 5_000, who, "Missed appointment")
    answers = await asyncio.gather(*(desk.admin("POST", f"/visit-fees/{fee['id']}/waive", {"reason": "Was in hospital"}) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [200] + [409] * 3
    (fee,) = await tended(desk, max(answers, key=lambda one: int(one.headers.get("x-position", "0"))))
    assert (fee["status"], fee["waiveReason"]) == ("waived", "Was in hospital")
    failure(await desk.admin("GET", f"/invoices/{fee['invoiceId']}"), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_visit_that_is_struck_out_takes_its_fee_along_and_what_was_paid_is_credit(desk: Any) -> None:
    await rules(desk, issue=True)
    who = await patient(desk)
    visits = [await booked(desk, who) for _ in range(2)]
    for visit_ in visits:
        last = await status(desk, visit_, "no-show")
    fees = {fee["appointmentId"]: fee for fee in await tended(desk, last)}
    bills = [fees[visit_]["invoiceId"] for visit_ in visits]
    assert {(await desk.admin("GET", f"/invoices/{bill}")).json()["status"] for bill in bills} == {"issued"}
    assert (await desk.admin("POST", f"/invoices/{bills[0]}/mark-paid", {"method": "cash"})).status_code == 200
    for visit_ in visits:
        last = await desk.admin("DELETE", f"/appointments/{visit_}")
        assert last.status_code == 200, last.text
    fees = {fee["appointmentId"]: fee for fee in await tended(desk, last, 3)}
    assert [fees[visit_]["status"] for visit_ in visits] == ["withdrawn"] * 2
    assert (await desk.admin("GET", f"/invoices/{bills[1]}")).json()["status"] == "void"
    (credit,) = (await desk.admin("GET", f"/credits?patientId={who}")).json()["items"]
    assert credit["balance"] == 5_000


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_comes_after_all_pays_nothing_unless_they_miss_it_again(desk: Any) -> None:
    await rules(desk, issue=True)
    visit_ = await booked(desk, await patient(desk))
    fee = next(one for one in await tended(desk, await status(desk, visit_, "no-show")) if one["appointmentId"] == visit_)
    back = await desk.admin("POST", f"/appointments/{visit_}/undo-no-show", {})
    assert back.json()["status"] == "booked", back.text
    failure(await desk.admin("POST", f"/appointments/{visit_}/undo-no-show", {}), 409, "WRONG_STATUS")
    after = next(one for one in await tended(desk, back, 3) if one["appointmentId"] == visit_)
    assert (after["status"], (await desk.admin("GET", f"/invoices/{fee['invoiceId']}")).json()["status"]) == ("withdrawn", "void")
    again = next(one for one in await tended(desk, await status(desk, visit_, "no-show"), 3) if one["appointmentId"] == visit_)
    assert (again["status"], again["invoiceId"] != fee["invoiceId"]) == ("charged", True)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_visit_whose_time_was_given_away_cannot_be_expected_again(desk: Any) -> None:
    visit_ = await booked(desk, await patient(desk))
    missed = await status(desk, visit_, "no-show")
    start = (await desk.admin("GET", f"/appointments/{visit_}", headers=await desk.admin.seen(missed))).json()
    taken = await desk.admin("POST", "/appointments", {"patientId": await patient(desk), "doctorId": desk.doctor, "start": start["startLocal"], "duration": 30})
    assert taken.status_code == 201, taken.text
    answer = await desk.admin("POST", f"/appointments/{visit_}/undo-no-show", {})
    assert answer.status_code == 409, answer.text


@pytest.mark.asyncio(loop_scope="module")
async def test_who_cancels_late_pays_and_a_deposit_pays_for_it(desk: Any) -> None:
    await rules(desk, issue=True)
    who = await patient(desk)
    late, early, by_us = await booked(desk, who), await booked(desk, who, 5), await booked(desk, who)
    paid = await desk.admin("POST", f"/patients/{who}/deposits", {"amount": 1_500, "method": "cash", "appointmentId": late})
    assert paid.status_code in {200, 201}, paid.text
    for visit_, by in ((late, "patient"), (early, "patient"), (by_us, "clinic")):
        last = await status(desk, visit_, "cancelled", cancelledBy=by)
    fees = {fee["appointmentId"]: fee for fee in await tended(desk, last)}
    assert by_us not in fees
    assert (fees[early]["status"], fees[early]["spared"]) == ("spared", "in-time")
    assert (fees[late]["status"], fees[late]["cause"], fees[late]["amount"], fees[late]["fromDeposit"]) == ("charged", "late-cancellation", 2_500, 1_500)
    bill = (await desk.admin("GET", f"/invoices/{fees[late]['invoiceId']}")).json()
    assert (bill["status"], bill["due"]) == ("partly-paid", 1_000)


@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_the_clinics_own_affair(desk: Any) -> None:
    other = await desk.web.person(await desk.web.clinic(), "admin")
    fee = (await desk.admin("GET", "/visit-fees")).json()["items"][0]["id"]
    failure(await other("GET", f"/visit-fees/{fee}"), 404, "NOT_FOUND")
    failure(await other("POST", f"/visit-fees/{fee}/waive", {"reason": "x"}), 404, "NOT_FOUND")
    assert (await other("GET", "/visit-fees")).json()["items"] == []
    assert (await other("GET", "/visit-fees/settings")).json()["enabled"] is False
    reception = await desk.web.person(desk.clinic, "receptionist")
    failure(await reception("PUT", "/visit-fees/settings", {"enabled": False}), 403, "FORBIDDEN")
