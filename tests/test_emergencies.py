"""Who looked at whose chart, what was refused, and how the glass is broken."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from commands.emergencies import BreakGlass, EndEmergency
from commands.kit.handling import Who
from commands.kit.sightings import ChartRead, mac_of
from commands.staff import HireStaff
from domain.emergencies import EmergencyClosed, EmergencyOpened, EmergencyOver
from domain.kit import Forbidden
from domain.kit.grants import effective
from tests.kit import ACTOR, given, noon
from tests.served import failure, until

NOOR = uuid4()
HOUR = noon.now + timedelta(hours=1)
opened = EmergencyOpened(patient_id=NOOR, account_id=ACTOR, reason="Found unconscious", until=HOUR)
glass = BreakGlass(patient_id=NOOR, reason="Found unconscious")


def test_whoever_works_here_breaks_the_glass_for_an_hour():
    given().when(glass).then(opened)
    given(opened).when(glass).then(opened)
    given(at=replace(noon, role="patient")).when(glass).refused(Forbidden)
    given(opened).when(EndEmergency()).then(EmergencyClosed(patient_id=NOOR, account_id=ACTOR))
    given(opened, at=replace(noon, now=HOUR)).when(EndEmergency()).refused(EmergencyOver)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_emergency_opens_one_chart_and_every_look_is_on_record(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    root = Who(actor=uuid4(), clinic=clinic, role="superadmin", grants=effective("superadmin").keys)
    hired = (await web.services.handler.handle(HireStaff(name="Rik", email="rik@clinic.example", role="receptionist"), root)).id
    desk = await web.person(clinic, "receptionist", hired)
    one, other = [(await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"] for _ in range(2)]
    taken = await boss("PUT", f"/staff/{hired}/permissions", {"permissions": {"patients.view_medical_history": False}})
    assert taken.status_code == 200, taken.text
    failure(await desk("GET", f"/patients/{one}/medical"), 403, "FORBIDDEN")

    broken = await desk("POST", f"/patients/{one}/break-glass", {"reason": "Found unconscious"})
    assert broken.status_code == 201, broken.text
    seen = {"x-position": broken.headers["x-position"]}
    assert (await desk("GET", f"/patients/{one}/medical", headers=seen)).status_code == 200
    failure(await desk("GET", f"/patients/{other}/medical"), 403, "FORBIDDEN")
    assert (await desk("GET", f"/patients/{one}")).status_code == 200  # which is theirs to see anyway

    looks = (await boss("GET", "/audit-logs/reads", params={"patient": one})).json()["items"]
    assert {(look["what"], look["emergency"], look["actor"]) for look in looks} == {("patients", False, str(desk.id)), ("medical_histories", True, str(desk.id))}
    assert {(look["address"], look["role"]) for look in looks} == {("127.0.0.1", "receptionist")}
    patient = await web.person(clinic, "patient", one)
    told = (await patient("GET", f"/patients/{one}/access-log")).json()["items"]
    assert sorted((look["what"], look["emergency"]) for look in told) == [("medical_histories", True), ("patients", False)]
    failure(await patient("GET", f"/patients/{other}/access-log"), 403, "FORBIDDEN")
    assert (await patient("GET", f"/patients/{one}")).status_code == 200
    assert len((await boss("GET", "/audit-logs/reads", params={"patient": one})).json()["items"]) == 2  # one's own looks are one's own

    rows = (await boss("GET", "/emergencies", headers=seen)).json()["items"]
    assert [(row["patientId"], row["accountId"], row["reason"]) for row in rows] == [(one, str(desk.id), "Found unconscious")]
    assert (await boss("DELETE", f"/emergencies/{rows[0]['id']}")).status_code == 200
    failure(await desk("GET", f"/patients/{one}/medical"), 403, "FORBIDDEN")
    failure(await boss("DELETE", f"/emergencies/{rows[0]['id']}"), 409, "EMERGENCY_OVER")

    async def noted() -> bool:
        found = (await boss("GET", "/audit-logs/denied", params={"actor": str(desk.id)})).json()["items"]
        return [(one_["route"], one_["code"]) for one_ in found] == [("GET /api/v1/protected/patients/{id}/medical", "FORBIDDEN")]

    await until(noted)


@pytest.mark.asyncio(loop_scope="module")
async def test_looks_bear_a_mac_that_nobody_can_make_up(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    patient = (await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()
    for _ in range(3):
        assert (await boss("GET", f"/activity/patients/{patient['id']}")).status_code in {200, 404}
        await boss("GET", f"/patients/{patient['id']}", params={"asOf": 10**9})
    with psycopg.connect(web.owner_url) as owner:
        lines = owner.execute(
            "select id, clinic_id, patient, actor, role, what, emergency, origin, at, encode(mac, 'hex') from chart_reads where clinic_id = %s", [clinic]).fetchall()
    reads = [ChartRead(*line) for line in lines]
    assert "patients" in {read.what for read in reads}
    assert len({(read.what, read.at.minute) for read in reads}) == len(reads)
    assert all(mac_of(web.services.settings.mac_key, read) == read.mac for read in reads)
    assert mac_of(b"x" * 32, reads[0]) != reads[0].mac
