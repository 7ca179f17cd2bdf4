"""Whoever is to be forgotten is: in the store, the stream, the read models, the house tables and every process; and the figures stay."""

import asyncio
import base64
import subprocess
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidTag

from anamnesis import privacy
from anamnesis.installation import Installation
from anamnesis.trouble import Trouble
from commands.erasures import ErasePatient, ErasePerson
from commands.kit.vault import Vault, reseal
from domain.erasures import ErasureRefused, PersonErased, PersonStillActive
from domain.kit import PLATFORM, Elsewhere
from domain.leads import Lead, LeadDeleted
from domain.patients import Patient, PatientArchived
from domain.retention import Hold, Retention
from projections.kit import PROJECTIONS, replays
from projections.kit.erasing import about, blank
from projections.kit.keys import KeyRing, rewrap
from projections.kit.rebuild import verify
from schemas.accounts import PasskeyShown
from tests.kit import given
from tests.served import failure, served, until, working

PLANTED = {
    "givenName": "Xanthippe", "familyName": "Quirrenbach", "email": "xq@zwaluwstraat.example", "phone": "+31 6 8190 4427",
    "address": "Zwaluwstraat 118, 1016 ZZ", "nationalId": "BSN-190284417", "notes": "Fears thunderstorms", "birthDate": "1983-07-29", "sex": "female",
}
SECRETS = [str(value) for name, value in PLANTED.items() if name not in {"sex", "birthDate"}] + ["Aspidospermine"]
NOTHING = {"keys": 0, "events": {}, "rows": {}, "replays": 0, "sessions": 0, "secrets": 0, "links": 0, "addresses": 0}
NOOR = uuid4()
erased = PersonErased(person_id=NOOR, kind="patients", persons=[NOOR], reason="She asked")
wish = ErasePatient(patient_id=NOOR, reason="She asked")


def test_a_patient_is_erased_and_archived_at_once():
    given().looking(patient=Patient(registered=True), visited=date(1990, 1, 5), billed=None, retention=Retention(), leads=[], relations=[]).when(wish).then(
        erased, Elsewhere(state=Patient, id=NOOR, events=[PatientArchived()]))
    given().looking(patient=Patient(registered=True, archived=True), visited=date(1990, 1, 5), billed=None, retention=Retention(), leads=[], relations=[]).when(wish).then(erased)
    given(erased).looking(patient=Patient(registered=True, archived=True), visited=date(1990, 1, 5), billed=None, retention=Retention(), leads=[], relations=[]).when(wish).then()


def test_what_forbids_it_is_put_on_record():
    given().looking(patient=Patient(registered=True), visited=None, billed=date(2025, 1, 5), retention=Retention(), leads=[], relations=[]).when(wish).then(
        ErasureRefused(person_id=NOOR, kind="patients", reason="She asked", because="RetentionBinds", until=date(2046, 1, 5)))
    held = Retention(holds={uuid4(): Hold(patient=NOOR)})
    despite = ErasePatient(patient_id=NOOR, reason="She asked", despite_retention=True)
    given().looking(patient=Patient(registered=True), visited=None, billed=date(2025, 1, 5), retention=held, leads=[], relations=[]).when(despite).then(
        ErasureRefused(person_id=NOOR, kind="patients", reason="She asked", because="LegalHoldBinds"))


def test_whoever_still_works_here_is_not_erased():
    forget = ErasePerson(kind="staff", person_id=NOOR, reason="They left")
    given().looking(active=True, lead=None).when(forget).refused(PersonStillActive)
    given().looking(active=False, lead=None).when(forget).then(PersonErased(person_id=NOOR, kind="staff", persons=[NOOR], reason="They left"))


def test_a_lead_of_the_website_leaves_the_inbox_with_its_key():
    forget, gone = ErasePerson(kind="leads", person_id=NOOR, reason="They asked"), PersonErased(person_id=NOOR, kind="leads", persons=[NOOR], reason="They asked")
    given().looking(active=False, lead=Lead(status="new")).when(forget).then(gone, Elsewhere(state=Lead, id=NOOR, events=[LeadDeleted()]))
    given(gone).looking(active=False, lead=Lead()).when(forget).then()


def test_every_row_that_holds_something_personal_says_about_whom():
    for projection in PROJECTIONS.values():
        if (column := about(projection.row)) is not None:
            assert column in projection.row.__struct_fields__, projection.name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(module_database, make_nats):
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as running:
        running.nats_home, running.database = nats.home.path, module_database
        yield running


def dump(web) -> bytes:
    """Everything in the database as a dump tells it, and every file of the stream's store."""
    program = web.database.postgres._program("pg_dump")
    dumped = subprocess.run([program, "--no-owner", "--statistics", "-d", web.database.superuser_url], capture_output=True, check=True).stdout
    return dumped + b"".join(path.read_bytes() for path in web.nats_home.rglob("*") if path.is_file())


def forms(text: str) -> list[bytes]:
    """A text as it might lie somewhere: plain, in hexadecimal, in base64 at each offset."""
    raw = text.encode()
    bases = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0: -4] for shift in range(3)]
    return [raw, raw.lower(), raw.hex().encode(), text.encode("utf-16-le"), *bases]


def found_in(everything: bytes) -> set[str]:
    folded = everything.lower()
    return {secret for secret in SECRETS if any(form.lower() in folded for form in forms(secret))}


@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_of_a_person_is_left_anywhere_and_the_figures_stay(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    made = await boss("POST", "/patients", PLANTED)
    patient = made.json()["id"]
    sick = {"allergies": [{"name": "Aspidospermine"}], "conditions": [], "medications": []}
    assert (await boss("PUT", f"/patients/{patient}/medical", sick)).status_code == 200
    bill = {"patientId": patient, "issue": True, "lines": [{"description": "Check-up", "quantity": 1, "unitPrice": 8500, "taxRate": 0}], "notes": "For Xanthippe"}
    invoice = (await boss("POST", "/invoices", bill)).json()["id"]
    paid = await boss("POST", f"/invoices/{invoice}/payments", {"amount": 8500, "method": "card"})
    seen = {"x-position": paid.headers["x-position"]}
    sums = (await boss("GET", "/reports/financial-summary", headers=seen)).json()
    assert (await boss("GET", f"/patients/{patient}", headers=seen)).json()["givenName"] == "Xanthippe"
    _plant(web, patient)
    replayed = ["patients", "medical_histories", "invoices"]
    await asyncio.to_thread(
        replays.build, web.database.url("owner"), "kept", replayed, int(seen["x-position"]), kek=web.services.settings.kek, by="an analyst", progress=lambda *_: None)
    assert found_in(dump(web)) >= {"Xanthippe", "Quirrenbach", "xq@zwaluwstraat.example", "Aspidospermine", "Zwaluwstraat 118, 1016 ZZ", "+31 6 8190 4427"}

    known = (await boss("GET", f"/patients/{patient}/export")).json()
    assert {"patients", "medical_histories", "invoices"} <= set(known["rows"])
    assert [source["event"] for source in known["events"]][:2] == ["PatientRegistered", "MedicalHistoryAmended"]
    assert known["events"][0]["said"]["familyName"] == "Quirrenbach"

    ask = {"kind": "patients", "personId": patient, "reason": "She asked to be forgotten"}
    rehearsed = (await boss("POST", "/privacy/erasures", {**ask, "dryRun": True}, headers=seen)).json()
    assert (rehearsed["found"]["keys"], rehearsed["found"]["replays"], rehearsed["found"]["rows"]) == (1, 3, {"invoices": 1, "medical_histories": 1, "patients": 1})
    assert rehearsed["left"] == rehearsed["found"]
    failure(await boss("POST", "/privacy/erasures", ask), 409, "RECORDS_MUST_STAY")
    refused = (await boss("GET", "/privacy/erasures", params={"status": "refused"})).json()["items"]
    report = await boss("POST", "/privacy/erasures", {**ask, "despiteRetention": True})
    assert report.status_code == 200, report.text
    assert report.json()["found"]["events"] == {"PatientRegistered": 1, "MedicalHistoryAmended": 1, "InvoiceDrafted": 1}
    assert report.json()["left"] == NOTHING
    assert report.json()["sealedEvents"] == 3
    assert report.json()["erasedAt"]
    privacy._scour(web.database.url("owner"))
    assert found_in(dump(web)) == set()

    row = (await boss("GET", f"/patients/{patient}")).json()
    assert (row["givenName"], row["archived"]) == (None, True)
    past = (await boss("GET", f"/patients/{patient}", params={"asOf": made.headers["x-position"]})).json()
    assert past["familyName"] is None
    assert "Xanthippe" not in (await boss("GET", f"/patients/{patient}/export")).text
    assert (await boss("GET", "/patients/search", params={"q": "Quirrenbach"})).json()["items"] == []
    assert (await boss("GET", "/reports/financial-summary")).json() == sums
    failure(await boss("PUT", f"/patients/{patient}", {"givenName": "Xanthippe", "familyName": "Q"}), 409, "PATIENT_NOT_ACTIVE")
    assert refused == [] or refused[0]["because"] == "RetentionBinds"
    again = await boss("POST", "/privacy/erasures", {**ask, "despiteRetention": True})
    assert (again.status_code, again.json()["left"]["keys"]) == (200, 0)
    compared = verify(web.database.url("owner"), ["patients", "medical_histories", "invoices", "erasures"], kek=web.services.settings.kek)
    assert compared.equal, compared


def _plant(web, patient) -> None:
    """An error of a parked event that quotes the name."""
    with psycopg.connect(web.database.url("owner"), autocommit=True) as owner:
        owner.execute(
            "insert into parked_events (projection, stream, position, partition, clinic_id, topic, error, state) values ('x', %s, 1, 0, %s, 'X', 'Xanthippe!', 'discarded')",
            (patient, patient))


@pytest.mark.asyncio(loop_scope="module")
async def test_another_gateway_forgets_though_nobody_tells_it(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    patient = (await boss("POST", "/patients", PLANTED)).json()["id"]
    async with served(web.database) as other:  # without NATS
        here = type(boss)(other, boss.session)
        changed = await here("PUT", f"/patients/{patient}", {**PLANTED, "notes": "Moved"})
        assert changed.json()["givenName"] == "Xanthippe"  # it has the key now
        await boss("POST", "/privacy/erasures", {"personId": patient, "reason": "She asked", "despiteRetention": True})

        async def forgotten() -> bool:
            return (await here("GET", f"/patients/{patient}", params={"asOf": changed.headers["x-position"]})).json()["givenName"] is None

        await until(forgotten)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_account_that_is_deleted_can_be_forgotten_with_its_sessions_and_secrets(web):
    root = await web.person(PLATFORM, "superadmin")
    clinic = await web.clinic()
    gone = await web.person(clinic, "doctor")
    ask = {"kind": "accounts", "personId": str(gone.id), "reason": "They asked"}
    failure(await root("POST", "/privacy/erasures", ask), 409, "PERSON_STILL_ACTIVE")
    failure(await (await web.person(clinic, "admin"))("POST", "/privacy/erasures", ask), 403, "FORBIDDEN")
    assert (await root("DELETE", f"/admin/users/{gone.id}")).status_code in {200, 204}
    report = (await root("POST", "/privacy/erasures", ask)).json()
    assert report["found"]["keys"] == 1
    assert report["left"] == NOTHING


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_line_forgets_and_says_what_was_there(web, capsys):
    home = web.database.postgres.home
    roles = ("owner", "notary", "gateway", "relay", "projector", "courier")
    installation = Installation(home.path, home.secrets(), {role: web.database.url(role) for role in roles}, dict.fromkeys(roles, "nats://nowhere:1"))
    boss = await web.person(await web.clinic(), "admin")
    made = await boss("POST", "/patients", PLANTED)
    patient = UUID(made.json()["id"])
    assert (await boss("GET", f"/patients/{patient}", headers={"x-position": made.headers["x-position"]})).status_code == 200
    def run(**how):
        privacy.erase(installation, patient, "patients", "She asked", **{"dry_run": False, "despite_retention": False, **how})

    await asyncio.to_thread(run, dry_run=True)
    with pytest.raises(Trouble, match="must stay until"):
        await asyncio.to_thread(run)
    await asyncio.to_thread(run, despite_retention=True)
    assert '"what": "rows of patients", "found": 1, "left": 0' in capsys.readouterr().out


def test_blank_takes_everything_personal_out_of_a_row():
    assert blank(PasskeyShown(id=NOOR, name="Noor's telephone", registered_at=datetime(2026, 1, 1, tzinfo=UTC))).name is None


@pytest.mark.asyncio(loop_scope="module")
async def test_the_key_encryption_key_is_changed_without_touching_an_event(web):
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    patient = UUID((await boss("POST", "/patients", PLANTED)).json()["id"])
    old, fresh = web.services.settings.kek, bytes(range(32))
    secret = await web.services.vault.put_sealed(patient, b"seed", "totp")
    codes = await web.services.vault.put_codes(patient, ["one"], "recovery")
    with psycopg.connect(web.database.url("owner"), autocommit=True) as owner:
        events = owner.execute("select md5(string_agg(state, '' order by notification_id)) from stored_events").fetchone()
        assert rewrap(owner, KeyRing(fresh + old)) > 0
        assert rewrap(owner, KeyRing(fresh + old)) == 0
        both = Vault(web.services.reading.lanes, fresh + old)
        assert reseal(owner, both) > 0
        try:
            assert (await Vault(web.services.reading.lanes, fresh).unsealed(secret)).secret == b"seed"
            assert await both.spend(codes, "one") == 0  # hashed with the one before, which is still read
            ring = KeyRing(fresh)
            ring.warm_sync(owner, [patient])
            assert len(ring.key_of(patient)) == 32
            with pytest.raises(InvalidTag):
                KeyRing(old).warm_sync(owner, [patient])
            assert owner.execute("select md5(string_agg(state, '' order by notification_id)) from stored_events").fetchone() == events
        finally:
            rewrap(owner, KeyRing(old + fresh))
            reseal(owner, Vault(web.services.reading.lanes, old + fresh))
