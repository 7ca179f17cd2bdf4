"""The list of appointments goes out as a sheet, by the list's own filters, and a day of it on paper."""

import asyncio
import csv
import io
from datetime import date
from uuid import uuid4

import psycopg
import pytest

from gateway.appointment_sheets import paper_of
from gateway.kit.pdf import laid_out
from projections import appointment_sheets
from schemas.appointment_sheets import AppointmentLine
from tests.clinic import Town
from tests.served import failure

PATH, PRINT = "/appointments/export.csv", "/appointments/export.pdf"
DAY = "2026-03-02"  # a Monday, on which `Town` books


@pytest.fixture
def few(monkeypatch):
    """Pages of a few lines."""
    monkeypatch.setattr(appointment_sheets, "SOME", 3)


class House:
    def __init__(self, web, town, boss, headers):
        self.web, self.town, self.boss, self.headers = web, town, boss, headers

    async def sheet(self, who=None, **query):
        answer = await (who or self.boss)("GET", PATH, params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


async def opened(web, visits=8):
    """A clinic with visits of two doctors on two days."""
    town = await Town.open(web.services.handler)
    other = await town.hire("=Dr Formula")
    patients = [await town.register(f"Family {n}") for n in range(visits)]
    for n, patient in enumerate(patients):
        last = await town(town.visit(town.at(60 * n if n < visits // 2 else 1440 + 60 * n), patient_id=patient, doctor_id=other if n % 2 else town.doctor, room_id=None))
    return House(web, town, await web.person(town.id, "admin"), {"x-position": str(last.position)}), other, patients


on_the_system = pytest.mark.asyncio(loop_scope="module")


@on_the_system
async def test_the_sheet_is_the_list_whole_and_in_the_order_of_time(web, few):
    house, other, patients = await opened(web)
    lines = await house.sheet()
    listed = (await house.boss("GET", "/appointments", params={"sort": "startsAt", "limit": 200}, headers=house.headers)).json()["items"]
    assert [line["id"] for line in lines] == [one["id"] for one in listed]
    assert len(lines) == len(patients)
    assert [(line["date"], line["start"], line["minutes"]) for line in lines] == [(one["date"], one["startLocal"][11:16], "30") for one in listed]
    assert {line["doctorName"] for line in lines} == {"Dr Sam Visser", "'=Dr Formula"}
    assert {line["id"] for line in await house.sheet(doctorId=str(other))} == {one["id"] for one in listed if one["doctorId"] == str(other)}
    assert len(await house.sheet(doctorId=[str(other), str(house.town.doctor)])) == len(patients)
    assert {line["date"] for line in await house.sheet(dateTo=listed[0]["date"])} == {listed[0]["date"]}
    assert await house.sheet(status="cancelled") == []
    assert len(await house.sheet(status=["booked", "cancelled"], bom="true")) == len(patients)
    assert [line["patientId"] for line in await house.sheet(patientId=str(patients[0]))] == [str(patients[0])]


@on_the_system
async def test_each_patient_on_it_was_looked_at(web):
    house, _, patients = await opened(web, 4)
    await house.sheet(patientId=str(patients[0]))
    with psycopg.connect(web.owner_url) as conn:
        looked = {one for (one,) in conn.execute("select patient from chart_reads where what = 'export' and actor = %s", (house.boss.id,))}
    assert looked == {patients[0]}


@on_the_system
async def test_a_day_is_printed(web):
    house, other, _ = await opened(web, 4)
    first = (await house.sheet())[0]["date"]
    answer = await house.boss("GET", PRINT, params={"date": first, "doctorId": str(other), "language": "es"}, headers=house.headers)
    assert (answer.status_code, answer.headers["content-type"], answer.content[:5]) == (200, "application/pdf", b"%PDF-"), answer.text[:200]
    assert f"appointments-{first}.pdf" in answer.headers["content-disposition"]
    empty = await house.boss("GET", PRINT, params={"date": "2001-01-01"}, headers=house.headers)
    assert (empty.status_code, empty.content[:5]) == (200, b"%PDF-")


def test_the_paper_says_who_comes_when_and_to_whom():
    line = AppointmentLine(
        id=uuid4(), date=date(2026, 3, 2), start="09:00", end="09:30", minutes=30, status="no-show", type="Crown", patient_id=uuid4(), patient_name="Noor Bakker",
        doctor_name="Dr Visser", room_name=None, place_name="Noord", overbooked=False)
    found = paper_of([line], line.date, "Grachten", "", "es")
    assert found.rows == [["09:00-09:30", "Noor Bakker", "Crown", "Dr Visser", "Noord", "no se presentó"]]
    assert (found.title, found.receiver, found.facts, found.sums) == ("Citas", "lunes, 2 de marzo de 2026", [("Profesional", "todos")], [("Citas", "1")])
    assert laid_out(found) == laid_out(found)


@on_the_system
async def test_who_may_and_what_cannot_be(web):
    house, other, _ = await opened(web, 2)
    desk = await web.person(house.town.id, "receptionist")
    stranger = await web.person(await web.clinic(), "admin")
    for path, query in ((PATH, {}), (PRINT, {"date": DAY})):
        failure(await desk("GET", path, params=query), 403, "FORBIDDEN")
        failure(await stranger("GET", path, params={**query, "doctorId": str(other)}), 404, "NOT_FOUND")
        failure(await house.boss("GET", path, params={**query, "shoe": "38"}), 400, "PARAMETER_UNKNOWN")
    failure(await house.boss("GET", PATH, params={"dateFrom": "soon"}), 400, "QUERY_INVALID")
    failure(await house.boss("GET", PATH, params={"status": "happy"}), 400, "QUERY_INVALID")
    failure(await house.boss("GET", PRINT), 400, "BAD_REQUEST")
    assert await house.sheet(stranger) == []
    assert await asyncio.gather(house.sheet(), house.sheet())
