"""Figures over HTTP: revenue, what is overdue, trends, profit and why, to whoever may see them; each as JSON, as a sheet and as a picture."""

import base64
import csv
import io
import xml.etree.ElementTree as ET
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from commands.appointments import ChangeAppointmentStatus
from commands.expenses import RecordExpense
from commands.invoices import CreateInvoice, CreditInvoice, RecordPayment, VoidInvoice
from commands.leads import ConvertLead, SubmitLead
from commands.patients import ChangePatient
from commands.procedure_costs import SetProcedureCost
from domain.kit.bills import Line
from tests.clinic import Town
from tests.served import failure, served, today_there, working


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clinic(module_database, make_nats):
    """A clinic in January: a crown of 121.00 paid in part, one voided, a visit seen and one cancelled late, rent, and what a crown costs."""
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        town = await Town.open(web.services.handler)
        await town(ChangePatient(given_name="Noor", family_name="Bakker", source="search"), id=town.patient)
        line = Line(description="Crown", procedure_code="D2740", doctor_id=town.doctor, quantity=2, unit_price=50_00, tax_rate=2100)
        town.owed = (await town(CreateInvoice(patient_id=town.patient, lines=[line], issue=True, due_on=town.now.date()))).id
        await town(RecordPayment(amount=21_00, method="cash"), id=town.owed)
        await town(VoidInvoice(reason="Twice"), id=await town.invoice(7_00))
        await town(CreditInvoice(reason="Chipped", amount=21_00), id=town.owed)
        await town(RecordExpense(category="rent", description="Rent", amount=30_00, spent_on=town.now.date()))
        await town(SetProcedureCost(procedure_code="D2740", material=10_00, lab=5_00))
        town.form, lead = await town.written()
        town.converted = await town(ConvertLead(gender="female"), id=lead)
        await town(SubmitLead(form_id=town.form, number=1, first_name="Bo", phone="+31 6 1234 9999"))
        visit = (await town(town.visit())).id
        await town(ChangeAppointmentStatus(status="cancelled", reason="Ill"), id=visit)
        town.web, town.boss = web, await web.person(town.id, "admin")
        town.last = await town(town.visit(town.at(60)))
        yield town


@pytest.mark.asyncio(loop_scope="module")
async def test_by_which_doors_people_wrote_and_what_became_of_them(clinic):
    (form,) = (await asked(clinic, "/analytics/lead-sources", **MONTH)).json()["items"]
    assert (form["kind"], form["id"], form["name"], form["leads"], form["open"], form["converted"], form["conversionRate"], form["received"]) == (
        "form", str(clinic.form), "Contact page", 2, 1, 1, 0.5, 0)
    assert (await asked(clinic, "/analytics/lead-sources", **{"from": "2026-02-01", "to": "2026-02-28"})).json()["items"] == []
    desk = await clinic.web.person(clinic.id, "receptionist")
    assert (await asked(clinic, "/analytics/lead-sources", desk, **MONTH)).json()["items"][0]["received"] is None


MONTH = {"from": "2026-01-01", "to": "2026-01-31"}


async def asked(town: Town, path: str, somebody: Any = None, **query: Any) -> Any:
    answer = await (somebody or town.boss)("GET", path, params=query, headers={"x-position": str(town.last.position)})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.asyncio(loop_scope="module")
async def test_revenue_over_time_and_by_what_earned_it(clinic):
    made = (await asked(clinic, "/analytics/revenue-over-time", **MONTH)).json()
    (month,) = made["items"]
    assert (month["from"], month["to"], month["billed"], month["voided"], month["collected"], month["outstanding"]) == ("2026-01-01", "2026-01-31", 128_00, 7_00, 21_00, 79_00)
    assert (made["currency"], made["groupBy"], made["revenue"], made["outstanding"]) == ("EUR", "month", 100_00, 79_00)
    (doctor,) = (await asked(clinic, "/analytics/revenue-over-time", groupBy="doctor", **MONTH)).json()["items"]
    assert (doctor["doctorId"], doctor["doctorName"], doctor["revenue"]) == (str(clinic.doctor), "Dr Sam Visser", 100_00)
    crown = (await asked(clinic, "/analytics/revenue-over-time", groupBy="week", procedureCode="D2740", **MONTH)).json()
    assert (crown["billed"], len(crown["items"]), crown["items"][0]["from"], crown["items"][1]["from"]) == (121_00, 5, "2026-01-01", "2026-01-05")
    by_source = (await asked(clinic, "/analytics/revenue-over-time", groupBy="source", **MONTH)).json()["items"]
    assert {one["source"]: one["received"] for one in by_source} == {"search": 21_00}
    by_method = (await asked(clinic, "/analytics/revenue-over-time", groupBy="method", **MONTH)).json()["items"]
    assert {one["method"]: one["received"] for one in by_method} == {"cash": 21_00}


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_overdue_and_how_old_it_is(clinic):
    (late,) = (await asked(clinic, "/analytics/overdue")).json()["items"]
    days = (today_there() - clinic.now.date()).days
    assert (late["id"], late["patientName"], late["due"], late["daysOverdue"], late["age"]) == (str(clinic.owed), "Noor Bakker", 79_00, days, "90+")
    assert (await asked(clinic, "/analytics/overdue", age="0-30")).json()["items"] == []
    now = (await asked(clinic, "/analytics/ageing", patients="true")).json()
    assert (now["due"], now["overdue"], now["ages"][-1], now["patients"][0]["daysOver90"]) == (79_00, 79_00, {"age": "90+", "invoices": 1, "due": 79_00}, 79_00)
    for on, age in ((0, "not-due"), (1, "0-30"), (30, "0-30"), (31, "31-60"), (60, "31-60"), (61, "61-90"), (90, "61-90"), (91, "90+")):
        then = (await asked(clinic, "/analytics/ageing", on=(clinic.now.date() + timedelta(days=on)).isoformat())).json()
        assert [one["age"] for one in then["ages"] if one["due"]] == [age], on
    told_ = (await asked(clinic, "/analytics/revenue-summary", **MONTH)).json()
    assert (told_["current"]["revenue"], told_["previous"]["revenue"], told_["growth"], told_["outstanding"], told_["overdue"], told_["overdueInvoices"]) == (
        100_00, 0, None, 79_00, 79_00, 1)
    assert (told_["collectionRate"], told_["averageInvoice"]) == (0.21, 64_00)
    noor = await clinic.web.person(clinic.id, "patient", clinic.patient)
    assert len((await asked(clinic, "/analytics/overdue", noor)).json()["items"]) == 1
    other = await clinic.web.person(clinic.id, "patient", await clinic.register("Smit"))
    assert (await asked(clinic, "/analytics/overdue", other)).json()["items"] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_procedures_profit_is_what_is_left(clinic):
    made = (await asked(clinic, "/analytics/procedure-profitability", **MONTH)).json()
    crown = {one["procedureCode"]: one for one in made["items"]}["D2740"]
    assert (crown["netRevenue"], crown["units"], crown["cost"], crown["profit"], crown["known"]) == (100_00 - 17_36, 2, 30_00, 52_64, True)
    put = await clinic.boss("PUT", "/analytics/procedure-costs/D2740", {"material": 11_00, "since": "2026-02-01"})
    assert put.status_code == 200, put.text
    seen = await clinic.boss.seen(put)
    listed = (await clinic.boss("GET", "/analytics/procedure-costs", headers=seen)).json()["items"]
    assert [(one["since"], one["material"], one["lab"]) for one in listed] == [("2026-01-05", 10_00, 5_00), ("2026-02-01", 11_00, 0)]
    gone = await clinic.boss("DELETE", "/analytics/procedure-costs/D2740", params={"since": "2026-02-01"})
    assert gone.status_code == 200, gone.text
    assert [one["since"] for one in (await clinic.boss("GET", "/analytics/procedure-costs", headers=await clinic.boss.seen(gone))).json()["items"]] == ["2026-01-05"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_figure_says_why_to_whoever_may_see_it(clinic):
    made = (await asked(clinic, "/analytics/why", figure="outstanding", to="2026-01-31")).json()
    assert [(line["event"], line["amount"], line["number"]) for line in made["items"]] == [
        ("InvoiceCredited", -21_00, "2026-000001"), ("InvoiceVoided", -7_00, "2026-000002"), ("InvoiceIssued", 7_00, "2026-000002"), ("PaymentRecorded", -21_00, "2026-000001"), ("InvoiceIssued", 121_00, "2026-000001")]
    assert (made["amount"], made["lines"], made["from"]) == (79_00, None, None)
    history = (await clinic.boss("GET", "/audit-logs", params={"entityId": str(clinic.owed)})).json()["items"]
    assert {line["seq"] for line in history} >= {line["position"] for line in made["items"] if line["id"] == str(clinic.owed)}
    first = min(line["position"] for line in made["items"])
    was = await asked(clinic, "/analytics/why", figure="outstanding", to="2026-01-31", asOf=str(first))
    assert (was.json()["amount"], was.json()["lines"], was.headers["x-position"]) == (121_00, 1, str(first))
    life = (await asked(clinic, "/analytics/why", figure="received", patientId=str(clinic.patient))).json()
    assert (life["amount"], life["from"], len(life["items"])) == (21_00, "1900-01-01", 1)
    visits = (await asked(clinic, "/analytics/why", figure="upcoming", **MONTH)).json()
    assert (visits["amount"], [line["event"] for line in visits["items"]]) == (1, ["AppointmentBooked", "AppointmentCancelled", "AppointmentBooked"])
    desk, doctor = await clinic.web.person(clinic.id, "receptionist"), await clinic.web.person(clinic.id, "doctor", clinic.doctor)
    failure(await desk("GET", "/analytics/why", params={"figure": "billed"}), 403, "FORBIDDEN")
    assert (await asked(clinic, "/analytics/why", desk, figure="booked", **MONTH)).json()["amount"] == 2
    assert (await asked(clinic, "/analytics/why", doctor, figure="billed", doctorId=str(clinic.doctor), **MONTH)).json()["amount"] == 128_00
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "love"}), 400, "QUERY_INVALID")
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "billed", "patientId": str(uuid4())}), 404, "NOT_FOUND")
    far = base64.urlsafe_b64encode(b'["2026-01-01",9223372036854775808,0]').decode()
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "billed", "cursor": far}), 400, "CURSOR_INVALID")
    for path in ("why?figure=billed&", "revenue-over-time?", "procedure-profitability?"):
        failure(await clinic.boss("GET", f"/analytics/{path}procedureCode=%00"), 400, "QUERY_INVALID")
        failure(await clinic.boss("GET", f"/analytics/{path}procedureCode={'x' * 41}"), 400, "QUERY_INVALID")
    failure(await clinic.boss("GET", "/analytics/why", params={"figure": "outstanding", "method": "cash"}), 400, "WHY_TOO_BROAD")
    sheet = (await asked(clinic, "/analytics/why", figure="outstanding", to="2026-01-31", limit=1, format="csv")).text
    assert sum(int(line["amount"]) for line in csv.DictReader(io.StringIO(sheet, newline=""))) == 79_00


DRAWN = [
    ("/analytics/revenue-over-time", {"groupBy": by}) for by in ("day", "month", "quarter", "year", "doctor", "procedure", "method", "source")] + [
    ("/analytics/appointment-trends", {"groupBy": by}) for by in ("week", "weekday", "hour", "lead-time", "status", "doctor")] + [
    ("/analytics/appointment-trends", {"status": "completed"}), ("/analytics/procedure-profitability", {}), ("/analytics/ageing", {}), ("/analytics/ageing", {"patients": "true"}),
    ("/analytics/doctor-performance", {}), ("/analytics/patient-growth", {}), ("/analytics/patient-ltv/summary", {}), ("/analytics/patient-ltv/summary", {"groupBy": "source"}),
    ("/analytics/cohort", {}), ("/analytics/lead-sources", {}), ("/analytics/referral-sources", {}), ("/reports/financial-statement", {}), ("/reports/financial-summary", {}), ("/reports/financial-summary", {"groupBy": "doctor"}),
    ("/analytics/financial-summary", {}), ("/analytics/revenue-summary", {}), ("/reports/stats", {}), ("/stats/revenue", {"groupBy": "month"})]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "query"), DRAWN)
async def test_every_figure_is_there_as_a_sheet_and_as_a_picture(clinic, path, query):
    days = {} if path in {"/analytics/ageing", "/analytics/patient-ltv/summary", "/analytics/cohort"} else MONTH
    told_ = await asked(clinic, path, **query, **days)
    sheet = await asked(clinic, path, **query, **days, format="csv")
    lines = list(csv.DictReader(io.StringIO(sheet.text, newline="")))
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    items = next((told_.json()[name] for name in ("periods", "patients", "ages", "items", "groups") if isinstance(told_.json().get(name), list)), None)
    if items and "months" not in items[0]:
        assert len(lines) == len(items)
    picture = await asked(clinic, path, **query, **days, format="svg")
    root = ET.fromstring(picture.text)  # noqa: S314 - our own
    assert (picture.headers["content-type"].partition(";")[0], root.attrib["role"], picture.headers["x-content-type-options"]) == ("image/svg+xml", "img", "nosniff")
    spanish = await clinic.boss("GET", path, params={**query, **days, "format": "svg"}, headers={"accept-language": "es"})
    words = {t.text for r in (root, ET.fromstring(spanish.text)) for t in r.findall("{http://www.w3.org/2000/svg}title")}  # noqa: S314 - likewise
    assert len(words) == 2
    failure(await clinic.boss("GET", path, params={**query, "format": "pdf"}), 400, "QUERY_INVALID")


@pytest.mark.asyncio(loop_scope="module")
async def test_lists_are_there_as_sheets(clinic):
    for path in ("overdue", "procedure-costs", "patient-ltv", "visits", "revenue", "appointments"):
        assert (await asked(clinic, f"/analytics/{path}", format="csv")).headers["content-type"] == "text/csv; charset=utf-8"


@pytest.mark.asyncio(loop_scope="module")
async def test_too_many_days_are_refused_and_so_are_too_many_bars(clinic):
    years = {"from": "2010-01-01", "to": "2026-01-01", "groupBy": "day"}
    for path in ("/analytics/revenue-over-time", "/analytics/appointment-trends", "/reports/financial-statement"):
        failure(await clinic.boss("GET", path, params=years), 400, "PERIOD_TOO_LONG")
        failure(await clinic.boss("GET", path, params={**years, "from": "2024-01-01", "format": "svg"}), 400, "PLOT_TOO_WIDE")
        failure(await clinic.boss("GET", path, params={"from": "2026-02-01", "to": "2026-01-01"}), 400, "PERIOD_IMPOSSIBLE")
    failure(await clinic.boss("GET", "/analytics/revenue-over-time", params={"doctorId": str(uuid4())}), 404, "NOT_FOUND")
