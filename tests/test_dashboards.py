"""Dashboards and the screens of the app: what somebody sees first, by what they are; each for themselves."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
import pytest_asyncio

from commands.appointments import ChangeAppointmentStatus
from commands.invoices import RecordPayment
from commands.patients import RegisterPatient
from domain.mobile import SCREENS
from projections.screens import LIFE, days_of
from tests.clinic import Town
from tests.served import failure, served, today_there, working

SCREEN = "/mobile/screen"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clinic(module_database, make_nats):
    """A clinic on a day of work: two doctors with visits today, one of them moved on, bills paid in part and overdue, and somebody at each desk."""
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        today = today_there()
        town = await Town.open(web.services.handler, now=datetime.now(UTC) - timedelta(minutes=1))
        town.today, town.web, town.other = today, web, await town.hire("Dr Bo Smit")
        town.ben = (await town(RegisterPatient(given_name="Ben", family_name="Aalbers"))).id
        town.seen = await booked(town, 8, 0)
        for status in ("arrived", "in-chair", "completed"):
            await town(ChangeAppointmentStatus(status=status), id=town.seen)
        town.waits = await booked(town, 10, 0)
        await town(ChangeAppointmentStatus(status="arrived"), id=town.waits)
        town.gone = await booked(town, 11, 0)
        await town(ChangeAppointmentStatus(status="cancelled", reason="Ill"), id=town.gone)
        await booked(town, 9, 0, doctor_id=town.other, patient_id=town.ben, room_id=None)
        await booked(town, 9, 1, doctor_id=town.other, patient_id=town.ben, room_id=None)
        town.due = await town.invoice(100_00)
        await town(RecordPayment(amount=40_00, method="card"), id=town.due)
        await town.quotation()
        last = await town(town.bill(7_00, issue=False))
        town.boss = await web.person(town.id, "admin")
        town.sam = await web.person(town.id, "doctor", town.doctor)
        town.desk = await web.person(town.id, "receptionist")
        town.noor = await web.person(town.id, "patient", town.patient)
        seen = await town.boss("GET", "/stats/admin", headers={"x-position": str(last.position)})  # whoever reads from here on, reads all of it
        assert seen.status_code == 200, seen.text
        yield town


async def booked(town: Town, hour: int, ahead: int, **other: Any) -> Any:
    return (await town(town.visit(datetime.combine(town.today + timedelta(days=ahead), time(hour)), **other))).id


async def got(person: Any, path: str, **query: Any) -> Any:
    answer = await person("GET", path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_admin_sees_the_day_the_month_and_what_waits(clinic):
    told = await got(clinic.boss, "/stats/admin")
    assert told["day"] == clinic.today.isoformat()
    assert {name: told["today"][name] for name in ("visits", "ahead", "waiting", "completed", "cancelled")} == {
        "visits": 4, "ahead": 1, "waiting": 1, "completed": 1, "cancelled": 1}
    assert [(one["doctorName"], one["visits"], one["completed"], one["minutes"]) for one in told["doctors"]] == [("Dr Sam Visser", 2, 1, 60), ("Dr Bo Smit", 1, 0, 30)]
    assert (told["moneyToday"]["billed"], told["moneyToday"]["collected"], told["outstanding"]) == (100_00, 40_00, 60_00)
    assert (told["month"]["newPatients"], told["lastMonth"]["newPatients"], told["month"]["revenue"]["received"]) == (2, 0, 40_00)
    waits = {one["kind"]: (one["count"], one["amount"]) for one in told["tasks"]}
    assert waits == {
        "unconfirmed-tomorrow": (1, None), "waiting": (1, None), "draft-invoices": (1, 7_00), "overdue-invoices": (0, 0), "open-quotations": (0, 0), "new-leads": (0, None),
        "recalls-due": (0, None)}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_doctor_sees_their_own_day(clinic):
    told = await got(clinic.sam, "/stats/doctor")
    assert [one["startLocal"][11:16] for one in told["visits"]] == ["08:00", "10:00", "11:00"]
    assert told["next"]["id"] == str(clinic.waits)
    assert told["next"]["patientName"] == "Noor Bakker"
    assert (told["month"]["completed"], told["month"]["newPatients"], told["month"]["booked"]) == (1, 1, 3)
    assert {one["kind"]: one["count"] for one in told["tasks"]}["unconfirmed-tomorrow"] == 0  # that is the other doctor's


@pytest.mark.asyncio(loop_scope="module")
async def test_the_desk_sees_everybodys_day_and_its_tasks(clinic):
    told = await got(clinic.desk, "/stats/receptionist")
    assert len(told["visits"]) == told["today"]["visits"] == 4
    assert {one["kind"] for one in told["tasks"]} >= {"waiting", "draft-invoices", "overdue-invoices", "open-quotations", "recalls-due"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_sees_themselves_alone(clinic):
    whole = await got(clinic.noor, "/stats/patient")
    assert whole["summary"] == await got(clinic.noor, "/stats/patient/summary")
    assert (whole["summary"]["due"], whole["summary"]["visits"], whole["summary"]["nextVisit"]["id"]) == (60_00, 1, str(clinic.waits))
    visits = await got(clinic.noor, "/stats/patient/appointments", limit=2)
    assert ([one["id"] for one in visits["items"]], visits["completed"], visits["cancelled"]) == ([str(clinic.gone), str(clinic.waits)], 1, 1)
    rest = await got(clinic.noor, "/stats/patient/appointments", limit=2, cursor=visits["next"])
    assert ([one["id"] for one in rest["items"]], rest["next"]) == ([str(clinic.seen)], None)
    assert visits["items"] + rest["items"] == whole["appointments"]["items"]
    billing = await got(clinic.noor, "/stats/patient/billing")
    assert (billing["billed"], billing["paid"], billing["due"], billing["overdue"]) == (100_00, 40_00, 60_00, 0)
    assert [one["id"] for one in billing["items"]] == [str(clinic.due)]  # a draft is not theirs yet
    assert billing == whole["billing"]
    records = await got(clinic.noor, "/stats/patient/records")
    assert records == whole["records"]
    assert [(one["doctorName"], one["visits"]) for one in records["doctors"]] == [("Dr Sam Visser", 1)]
    assert records["types"][0]["visits"] == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "role"), [("doctor", "sam"), ("receptionist", "desk"), *((f"patient{part}", "noor") for part in ("", "/summary", "/appointments", "/billing", "/records"))])
async def test_a_dashboard_is_of_one_role(clinic, path, role):
    for name in ("boss", "sam", "desk", "noor"):
        answer = await getattr(clinic, name)("GET", f"/stats/{path}")
        if name == role:
            assert answer.status_code == 200, answer.text
        else:
            failure(answer, 404, "NOT_FOUND")
    failure(await clinic.sam("GET", "/stats/admin"), 403, "FORBIDDEN")


@pytest.mark.asyncio(loop_scope="module")
async def test_every_screen_says_how_long_it_holds_and_answers_nothing_twice(clinic):
    for module, life in LIFE.items():
        answer = await clinic.boss("GET", f"{SCREEN}/{module}", params={"source": "mobile"})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        fetched, expires = (datetime.fromisoformat(told["meta"][name]) for name in ("fetchedAt", "expiresAt"))
        assert (told["success"], told["meta"]["cached"], expires - fetched) == (True, False, life)
        assert answer.headers["cache-control"] == f"private, max-age={int(life.total_seconds())}, must-revalidate"
        again = await clinic.boss("GET", f"{SCREEN}/{module}", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
        other = await clinic.boss("GET", f"{SCREEN}/{module}", headers={"if-none-match": '"another"'})
        assert other.status_code == 200
        failure(await clinic.boss("GET", f"{SCREEN}/{module}", params={"colour": "red"}), 400, "PARAMETER_UNKNOWN")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_dashboard_screen(clinic):
    data = (await got(clinic.boss, f"{SCREEN}/dashboard"))["data"]
    assert (len(data["todaysVisits"]), data["stats"]["waiting"], data["week"]["appointments"]["completed"]) == (4, 1, 1)
    assert (data["previousWeek"]["appointments"]["booked"], len(data["notifications"])) == (0, 7)
    mine = (await got(clinic.noor, f"{SCREEN}/dashboard"))["data"]
    assert ({one["patientId"] for one in mine["todaysVisits"]}, mine["stats"]["visits"], mine["week"]) == ({str(clinic.patient)}, 3, None)
    assert {one["kind"]: one["count"] for one in mine["notifications"]} == {"unconfirmed-tomorrow": 0, "overdue-invoices": 0, "open-quotations": 0}


@pytest.mark.asyncio(loop_scope="module")
async def test_the_appointments_screen_has_pages_slots_hours_and_rules(clinic):
    day = (await got(clinic.boss, f"{SCREEN}/appointments", view="day", limit=3))["data"]
    assert (day["total"], day["pages"], day["page"], len(day["visits"])) == (4, 2, 1, 3)
    rest = (await got(clinic.boss, f"{SCREEN}/appointments", view="day", limit=3, page=2))["data"]["visits"]
    assert len({one["id"] for one in day["visits"] + rest}) == 4
    assert len(day["availableSlots"]) == 20
    assert {one["doctorName"] for one in day["doctorSchedules"]} == {"Dr Sam Visser", "Dr Bo Smit"}
    assert (day["rules"]["usual"], day["rules"]["shortest"], day["rules"]["zone"]) == (30, 5, "Europe/Amsterdam")
    mine = (await got(clinic.noor, f"{SCREEN}/appointments", view="day"))["data"]
    assert {one["patientId"] for one in mine["visits"]} == {str(clinic.patient)}
    taken = {one["startLocal"] for one in mine["visits"] if one["status"] != "cancelled"}
    assert not taken & {one["startLocal"] for one in mine["availableSlots"]}  # where the patient is elsewhere, nothing is free for them


def test_what_a_view_reaches_over():
    assert days_of("day", date(2026, 2, 28)) == (date(2026, 2, 28), date(2026, 2, 28))
    assert days_of("week", date(2026, 3, 1)) == (date(2026, 2, 23), date(2026, 3, 1))
    assert days_of("month", date(2024, 2, 29)) == (date(2024, 2, 1), date(2024, 2, 29))
    assert days_of("month", date(2026, 12, 5)) == (date(2026, 12, 1), date(2026, 12, 31))


@pytest.mark.asyncio(loop_scope="module")
async def test_the_patients_screen_is_in_the_order_of_names(clinic):
    data = (await got(clinic.desk, f"{SCREEN}/patients", limit=1, page=2))["data"]
    assert (data["total"], data["pages"], [one["familyName"] for one in data["patients"]]) == (2, 2, ["Bakker"])
    (details,) = data["details"]
    assert (details["patientId"], details["visits"], details["due"]) == (str(clinic.patient), 1, 60_00)
    assert details["lastVisit"] == clinic.today.isoformat()
    failure(await clinic.noor("GET", f"{SCREEN}/patients"), 403, "FORBIDDEN")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_finance_screen_is_not_the_desks_and_a_patients_is_their_own(clinic):
    data = (await got(clinic.boss, f"{SCREEN}/finance"))["data"]
    assert {name: data["summary"][name] for name in ("billed", "paid", "due", "overdue")} == {"billed": 100_00, "paid": 40_00, "due": 60_00, "overdue": 0}
    assert (len(data["invoices"]), len(data["quotes"]), len(data["receipts"]), data["summary"]["month"]["received"]) == (2, 1, 0, 40_00)
    mine = (await got(clinic.noor, f"{SCREEN}/finance"))["data"]
    assert ([one["id"] for one in mine["invoices"]], mine["quotes"], mine["summary"]["due"], mine["summary"]["month"]) == ([str(clinic.due)], [], 60_00, None)
    failure(await clinic.desk("GET", f"{SCREEN}/finance"), 403, "FORBIDDEN")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_screen_that_a_clinic_has_switched_off_is_refused(clinic):
    switched = await clinic.boss("PATCH", f"/mobile/permissions/clinic/{clinic.id}/receptionist/patients", {"enabled": False})
    seen = await clinic.boss.seen(switched)
    failure(await clinic.desk("GET", f"{SCREEN}/patients", headers=seen), 403, "MOBILE_MODULE_OFF")
    assert (await clinic.boss("GET", f"{SCREEN}/patients", headers=seen)).status_code == 200


def test_every_screen_that_there_is_is_one_of_the_app():
    assert LIFE.keys() <= SCREENS.keys()
