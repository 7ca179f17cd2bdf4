"""A clinic leaves: closed by its admin, looked at and taken along, kept after all or gone for good; and what keeps it from going."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.clinics import CloseClinic
from domain.clinics import GRACE, REMINDER
from domain.kit import PLATFORM
from gateway import clinics
from gateway.clinics import tend
from tests.mail import MailServer, carrying, text
from tests.served import PASSWORD, failure, served, until, working

CLOSE = {"name": "Grachten", "reason": "I retire", "password": PASSWORD}
LOGO = b"GIF89a\1\0\1\0\0\0\0;"


@pytest.fixture
async def web(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


async def seat(web, clinic):
    """Somebody works there: records there are."""
    boss = await web.person(clinic, "admin")
    assert (await boss("POST", "/staff/create", {"name": "Sam", "email": f"{uuid4().hex[:8]}@clinic.example", "role": "doctor"})).status_code == 201
    return boss


def topics(web, stream):
    with psycopg.connect(web.owner_url) as owner:
        return [t for (t,) in owner.execute("select topic from stored_events where originator_id = %s order by originator_version", [stream])]


async def closed_before(web, boss, clinic, ago):
    """Close a clinic, so long ago; the events bear that time as an import's do."""
    await web.services.handler.handle(
        CloseClinic(name="Grachten", reason="I retire"), (await web.services.gate.admit(boss.headers["authorization"].encode())), id=clinic,
        now=datetime.now(UTC) - ago)


async def seen(web, clinic, **wanted):
    """Wait until the platform's list says so of a clinic."""
    async def there():
        with psycopg.connect(web.owner_url) as owner:
            row = owner.execute("select closing_until is not null, taken, deleted from clinics where id = %s", [clinic]).fetchone()
        return dict(zip(("closing", "taken", "deleted"), row, strict=True)).items() >= wanted.items()

    await until(there)


async def test_a_closed_clinic_is_looked_at_taken_along_and_kept_and_nothing_in_it_changes(web):
    clinic = await web.clinic()
    boss = await seat(web, clinic)
    path = f"/clinics/{clinic}"
    failure(await boss("POST", path + "/close", {**CLOSE, "password": "wrong"}), 403, "PASSWORD_WRONG")
    failure(await boss("POST", path + "/close", {**CLOSE, "name": "Kanal"}), 400, "CLINIC_NAME_DIFFERS")
    assert topics(web, clinic)[-1] != "ClinicClosing"
    asked = (await boss("POST", "/staff/invite", {"email": "kim@clinic.example", "role": "doctor"})).json()["id"]
    invited = await web.services.codes.issue("staff-invitation", UUID(asked), 600)
    assert (await web.client.get(f"/api/v1/auth/invitation/{invited}")).status_code == 200
    done = await boss("POST", path + "/close", CLOSE)
    assert done.status_code == 200, done.text
    assert datetime.fromisoformat(done.json()["closingUntil"]) - datetime.now(UTC) > GRACE - timedelta(minutes=1)
    failure(await boss("POST", path + "/close", CLOSE), 403, "CLINIC_IS_CLOSING")
    room = {"name": "Attic"}
    failure(await boss("POST", "/rooms", room), 403, "CLINIC_IS_CLOSING")
    failure(await boss("PUT", path, {"name": "Kanal"}), 403, "CLINIC_IS_CLOSING")
    assert (await boss("GET", "/rooms")).status_code == 200
    assert (await boss("POST", path + "/export", {})).status_code == 200
    assert (await boss("POST", "/staff/invite", {"email": "a@b.example", "role": "doctor"})).status_code == 403
    failure(await web.client.get(f"/api/v1/auth/invitation/{invited}"), 410, "INVITATION_OVER")
    assert (await boss("DELETE", path + "/close")).json()["closingUntil"] is None
    assert (await boss("POST", "/rooms", room)).status_code == 201
    failure(await boss("DELETE", path + "/close"), 409, "CLINIC_NOT_CLOSING")
    assert topics(web, clinic)[-3:] == ["ClinicClosing", "ClinicExported", "ClinicKept"]


async def test_closing_is_the_admins_own_word(web):
    clinic, other = await web.clinic(), await web.clinic()
    await seat(web, clinic)
    for person in (await web.person(clinic, "doctor"), await web.person(clinic, "receptionist")):
        failure(await person("POST", f"/clinics/{clinic}/close", CLOSE), 403, "FORBIDDEN")
        failure(await person("DELETE", f"/clinics/{clinic}/close"), 403, "FORBIDDEN")
    stranger = await web.person(other, "admin")
    failure(await stranger("POST", f"/clinics/{clinic}/close", CLOSE), 404, "NOT_FOUND")
    failure(await stranger("DELETE", f"/clinics/{clinic}/close"), 404, "NOT_FOUND")
    boss, root = await web.person(clinic, "admin"), await web.person(PLATFORM, "superadmin")
    acting = (await root("POST", f"/admin/users/{boss.id}/impersonate", {"clinicId": str(clinic), "reason": "Help"})).json()["accessToken"]
    answer = await web.client.post(f"/api/v1/protected/clinics/{clinic}/close", json=CLOSE, headers={"authorization": f"Bearer {acting}"})
    failure(answer, 403, "NOT_WHILE_IMPERSONATING")
    assert "ClinicClosing" not in topics(web, clinic)


async def test_closing_and_keeping_at_once_come_one_after_the_other(web):
    clinic = await web.clinic()
    boss = await seat(web, clinic)
    for _ in range(5):
        answers = await asyncio.gather(*(boss("POST", f"/clinics/{clinic}/close", CLOSE) for _ in range(4)))
        assert [a.status_code for a in answers].count(200) == 1
        kept = await asyncio.gather(*(boss("DELETE", f"/clinics/{clinic}/close") for _ in range(4)))
        assert sorted(a.status_code for a in kept) == [200, 409, 409, 409]
    assert topics(web, clinic).count("ClinicClosing") == topics(web, clinic).count("ClinicKept") == 5


async def test_when_its_time_is_over_it_is_deleted_once_and_only_if_it_was_taken_along(web, monkeypatch):
    clinic = await web.clinic()
    boss = await seat(web, clinic)
    assert (await boss("POST", f"/clinics/{clinic}/branding", None, params={"type": "logo"}, content=LOGO, headers={"content-type": "image/gif"})).status_code == 200
    digest = (await web.services.handler.clinic(clinic)).assets["logo"].digest
    await closed_before(web, boss, clinic, GRACE + timedelta(minutes=1))
    await seen(web, clinic, closing=True)
    await tend(web.services)
    assert topics(web, clinic)[-1] == "ClinicClosing", "nobody has taken anything along"
    assert (await boss("POST", f"/clinics/{clinic}/export", {})).status_code == 200
    monkeypatch.setattr(clinics, "MANY", 1)  # another is looked at, and kept, before and after it
    for _ in range(2):
        bound = await web.clinic()
        await closed_before(web, await seat(web, bound), bound, GRACE + timedelta(minutes=5))
        await seen(web, bound, closing=True)
    await asyncio.gather(*(tend(web.services) for _ in range(6)))
    assert topics(web, clinic).count("ClinicDeleted") == 1
    failure(await boss("GET", "/rooms"), 403, "CLINIC_INACTIVE")
    await seen(web, clinic, deleted=True)
    await tend(web.services)
    assert topics(web, clinic)[-1] == "ClinicDeleted"
    assert await web.services.objects.get(f"clinics/{clinic}/branding/{digest}") is None


async def test_a_legal_hold_keeps_a_clinic_whatever_is_asked_until_it_is_lifted(web):
    clinic = await web.clinic()
    boss, root = await seat(web, clinic), await web.person(PLATFORM, "superadmin")
    assert (await root("POST", f"/clinics/{clinic}/holds", {"reason": "An inspection"})).status_code == 200
    await closed_before(web, boss, clinic, GRACE + timedelta(minutes=1))
    assert (await boss("POST", f"/clinics/{clinic}/export", {})).status_code == 200
    await seen(web, clinic, closing=True, taken=True)
    await tend(web.services)
    delete = {"name": "Grachten", "reason": "Over"}
    (bound,) = failure(await root("DELETE", f"/clinics/{clinic}", params=delete), 409, "LEGAL_HOLD_BINDS")
    (hold,) = bound["holds"]
    failure(await boss("DELETE", f"/clinics/{clinic}/holds/{hold}", params={"reason": "I want to go"}), 403, "LEGAL_HOLD_NOT_YOURS")
    assert (await root("DELETE", f"/clinics/{clinic}/holds/{hold}", params={"reason": "Closed"})).status_code == 200
    failure(await root("DELETE", f"/clinics/{clinic}/holds/{hold}", params={"reason": "Twice"}), 404, "LEGAL_HOLD_UNKNOWN")
    await tend(web.services)
    assert topics(web, clinic)[-1] == "ClinicDeleted"


async def test_records_bind_a_clinic_that_was_not_closed_first(web):
    clinic = await web.clinic()
    await seat(web, clinic)
    root = await web.person(PLATFORM, "superadmin")
    (bound,) = failure(await root("DELETE", f"/clinics/{clinic}", params={"name": "Grachten", "reason": "Over"}), 409, "RETENTION_BINDS")
    assert int(bound["until"][:4]) == datetime.now(UTC).year + 20
    stranger = await web.person(await web.clinic(), "admin")
    failure(await stranger("PUT", f"/clinics/{clinic}/retention", {"periods": {}}), 404, "NOT_FOUND")
    failure(await stranger("POST", f"/clinics/{clinic}/holds", {"reason": "Mischief"}), 404, "NOT_FOUND")
    failure(await stranger("GET", f"/clinics/{clinic}/holds"), 404, "NOT_FOUND")


async def test_whoever_closes_a_clinic_is_written_to_and_reminded_once(database, nats_server):
    with MailServer() as server:
        async with served(database, nats_server) as web, working(database, nats_server), carrying(database, server):
            clinic = await web.clinic()
            boss = await seat(web, clinic)
            assert (await boss("POST", f"/clinics/{clinic}/close", CLOSE)).status_code == 200
            await seen(web, clinic, closing=True)
            await tend(web.services)  # nothing is due
            other = await web.clinic()
            late = await seat(web, other)
            await closed_before(web, late, other, GRACE - REMINDER + timedelta(minutes=1))
            await seen(web, other, closing=True)
            await asyncio.gather(*(tend(web.services) for _ in range(4)))
            assert topics(web, other).count("ClinicClosingReminded") == 1

            def subjects():
                return [m["Subject"] for m in server.box.taken if "account" not in m["Subject"]]

            async def written():
                return set(subjects()) == {"Grachten is being closed", "Grachten is deleted soon"}

            await until(written, 20)
            assert subjects().count("Grachten is deleted soon") == 1
            words = next(text(m) for m in server.box.taken if m["Subject"] == "Grachten is deleted soon")
            assert any(f"{datetime.now(UTC) + REMINDER + timedelta(minutes=n):%Y-%m-%d}" in words for n in (0, 1))
