"""API keys: what another program may do in a clinic, until when, and that the key itself is nowhere."""

import asyncio
import base64
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec.structs import replace

from commands.api_keys import IssueApiKey, RevokeApiKey
from commands.kit.keys import fresh, shown
from domain.api_keys import ApiKey, ApiKeyIssued, ApiKeyRevoked, ExpiryOutOfReach, ScopeNotYours
from domain.kit import NotFound
from domain.kit.grants import PermissionUnknown, granted
from projections.api_keys import api_keys
from schemas.api_keys import ApiKeyRow
from tests.kit import ACTOR, THIS, facts, given, noon
from tests.served import PROTECTED, Person, failure, served, until, working

KEYS = "/clinic/api-keys"
SECRET = UUID(int=5)
issued = ApiKeyIssued(name="Website", scopes=["patients.view", "patients.create"], hint="ak_abcdef", secret_id=SECRET, account_id=ACTOR)


def asked(**other):
    return IssueApiKey(**{"name": "Website", "scopes": ["patients.view", "patients.create"], "hint": "ak_abcdef", "secret_id": SECRET, **other})


def test_a_key_is_issued_within_what_its_issuer_may_do():
    given().when(asked()).then(issued)
    lesser = replace(noon, grants=granted("receptionist"))
    assert given(at=lesser).when(asked(scopes=["patients.view", "settings.staff.edit"])).refused(ScopeNotYours).details == {
        "permissions": ["settings.staff.edit"]}
    given().when(asked(scopes=["teeth.whiten"])).refused(PermissionUnknown)
    given().when(asked(scopes=["view_patients"])).refused(PermissionUnknown)  # keys of old are for stored overrides


def test_a_key_expires_in_the_future():
    for wrong in (noon.now, noon.now - timedelta(days=1), noon.now + timedelta(days=6 * 366)):
        given().when(asked(expires_at=wrong)).refused(ExpiryOutOfReach)
    soon = noon.now + timedelta(hours=1)
    given().when(asked(expires_at=soon)).then(replace(issued, expires_at=soon))
    key = ApiKey.replay([replace(issued, expires_at=soon)])
    assert key.opens(noon.now)
    assert not key.opens(soon)


def test_a_key_is_revoked_once():
    given(issued).when(RevokeApiKey()).then(ApiKeyRevoked())
    given(issued, ApiKeyRevoked()).when(RevokeApiKey()).refused(NotFound)
    assert not ApiKey.replay([issued, ApiKeyRevoked()]).opens(noon.now)
    assert not ApiKey().opens(noon.now)


def test_a_key_as_it_is_seen():
    (first, last) = facts(issued, ApiKeyRevoked())
    row = api_keys(None, first)
    assert row == ApiKeyRow(
        id=THIS, name="Website", hint="ak_abcdef", scopes=["patients.view", "patients.create"], issued_at=noon.now, issued_by=ACTOR, expires_at=None)
    assert api_keys(row, last) is None


def test_a_key_says_whose_it_is_and_proves_it():
    one, other = fresh(THIS), fresh(THIS)
    said = shown(one.text)
    assert said is not None
    assert (said.id, len(one.text), one.text[:9]) == (THIS, 67, one.hint)
    assert said.proves(one.hashed.encode())
    assert not said.proves(other.hashed.encode())
    for bad in ("", "ak_", one.text[:-1], one.text + "AAAA", one.text.replace("ak_", "sk_"), "ak_" + "é" * 64, "ak_" + "!" * 64):
        assert shown(bad) is None


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


@pytest.fixture
async def admin(whole):
    return await whole.person(await whole.clinic(), "admin")


async def made(admin, *scopes, **more):
    answer = await admin("POST", KEYS, {"name": "Website", "scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def program(web, key):
    """Whoever calls with a key."""
    return Person(web, {"accessToken": key, "user": {"id": str(uuid4())}})


async def test_a_key_opens_what_it_is_for_and_nothing_else(whole, admin):
    key = await made(admin, "patients.view", "patients.create", "patients.view_detail")
    site = program(whole, key["key"])
    patient = await site("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})
    assert patient.status_code == 201
    assert (await whole.client.get(f"{PROTECTED}/patients", headers={"x-api-key": key["key"]})).status_code == 200
    for method, path, body in (("GET", "/rooms", None), ("POST", "/rooms", {"name": "X"}), ("GET", KEYS, None), ("DELETE", f"{KEYS}/{key['id']}", None)):
        failure(await site(method, path, body), 403, "FORBIDDEN")
    for path in ("/sse/tickets",):  # what is a person's own
        failure(await site("POST", path), 403, "FORBIDDEN")
    failure(await whole.client.post("/api/v1/auth/logout", headers=site.headers), 403, "FORBIDDEN")
    told = await admin("GET", f"/activity/patients/{patient.json()['id']}", headers=await site.seen(patient))
    assert [step["actor"] for step in told.json()["items"]] == [key["id"]]


async def test_what_is_no_key_opens_nothing(whole, admin):
    key = await made(admin, "patients.view")
    said = base64.urlsafe_b64decode(key["key"][3:])
    others = [
        "ak_" + base64.urlsafe_b64encode(bytes(32) + said[32:]).decode(),  # the right id, another secret
        "ak_" + base64.urlsafe_b64encode(said[:32] + uuid4().bytes).decode(),  # an id that nobody has
        "ak_" + base64.urlsafe_b64encode(said[:32] + admin.id.bytes).decode(),  # a stream of another kind
        key["key"][:-4], key["key"] + "AAAA", "ak_", "ak_" + "a" * 4000,
    ]
    for text in others:
        failure(await program(whole, text)("GET", "/patients"), 401, "TOKEN_INVALID")
        failure(await whole.client.get(f"{PROTECTED}/patients", headers={"x-api-key": text}), 401, "TOKEN_INVALID")


async def test_a_key_is_shown_once_and_kept_nowhere(whole, admin):
    body, headers = {"name": "Website", "scopes": ["patients.view"]}, {"idempotency-key": uuid4().hex}
    first, again = await admin("POST", KEYS, body, headers=headers), await admin("POST", KEYS, body, headers=headers)
    assert (first.json()["id"], again.json()["key"]) == (again.json()["id"], None)
    key = first.json()["key"]
    listed = await admin("GET", KEYS, headers=await admin.seen(await admin("POST", "/rooms", {"name": uuid4().hex})))
    assert key not in listed.text
    assert first.json()["hint"] in listed.text
    assert (await program(whole, key)("GET", "/patients")).status_code == 200, "the repetition has not replaced it"
    secret = base64.urlsafe_b64decode(key[3:])[:32]
    with psycopg.connect(whole.owner_url) as owner:
        tables = [name for (name,) in owner.execute("select quote_ident(table_name) from information_schema.tables where table_schema = 'public'")]
        for table in tables:
            for (row,) in owner.execute(f"select t::text from {table} t").fetchall():  # noqa: S608 - our own names
                assert key not in row
                assert secret.hex() not in row
        bodies = [bytes(state) for (state,) in owner.execute("select state from stored_events")]
    assert not [body for body in bodies if key.encode() in body or secret.hex().encode() in body]


async def test_a_revoked_key_opens_nothing_at_once_and_lets_its_listeners_go(whole, admin, module_database, nats_server):
    key = await made(admin, "patients.view")
    async with served(module_database, nats_server) as elsewhere:
        sites = [program(whole, key["key"]), program(elsewhere, key["key"])]
        for site in sites:
            assert (await site("GET", "/patients")).status_code == 200
        stream = f"{PROTECTED}/sse/clinic-events"
        async with elsewhere.client.stream("GET", stream, headers=sites[1].headers) as listening:
            lines = listening.aiter_lines()
            await anext(lines)
            assert (await admin("DELETE", f"{KEYS}/{key['id']}")).status_code == 200
            failure(await sites[0]("GET", "/patients"), 401, "TOKEN_INVALID")
            async with asyncio.timeout(10):
                async for _ in lines:
                    pass

        async def refused():
            return (await sites[1]("GET", "/patients")).status_code == 401

        await until(refused, 2)
    failure(await admin("DELETE", f"{KEYS}/{key['id']}"), 404, "NOT_FOUND")


async def test_a_key_is_cut_by_the_plan_when_it_is_used(whole):
    clinic = await whole.clinic("Pro+")
    admin = await whole.person(clinic, "admin")
    key = await made(admin, "bridge.view", "patients.view", "reports.stats")
    site = program(whole, key["key"])
    assert (await site("GET", "/reports/stats")).status_code == 200
    root = await whole.person(UUID(int=0), "superadmin")
    answer = await root("PUT", f"/clinics/{clinic}/subscription", {"plan": "Pro"})
    assert answer.status_code == 200, answer.text
    with psycopg.connect(whole.owner_url):
        who = await whole.services.gate.admit(b"Bearer " + key["key"].encode())
    assert who.grants == {"patients.view", "reports.stats"}


async def test_a_key_goes_with_whoever_issued_it(whole, admin):
    hired = (await admin("POST", "/staff/create", {"email": f"{uuid4().hex}@clinic.example", "name": "Ada", "role": "admin"})).json()
    chief = await whole.person(UUID(admin.session["user"]["clinicId"]), "admin", UUID(hired["id"]))
    site = program(whole, (await made(chief, "patients.view", "settings.rooms.view"))["key"])
    assert (await site("GET", "/patients")).status_code == 200
    changed = await admin("PUT", f"/staff/{hired['id']}", {"email": hired["email"], "name": "Ada", "role": "receptionist"})
    assert changed.status_code == 200, changed.text
    assert (await site("GET", "/patients")).status_code == 200
    failure(await site("GET", "/rooms"), 403, "FORBIDDEN")
    assert (await admin("DELETE", f"/staff/{hired['id']}")).status_code == 200
    failure(await site("GET", "/patients"), 401, "TOKEN_INVALID")


async def test_an_expired_key_opens_nothing(whole, admin, module_database):
    key = await made(admin, "patients.view", expiresAt="2027-01-01T00:00:00Z")
    who, expires = await whole.services.members.key(key["key"])
    assert (who.role, who.actor) == ("key", UUID(key["id"]))
    assert expires == 1798761600
    failure(await admin("POST", KEYS, {"name": "Old", "scopes": ["patients.view"], "expiresAt": "2020-01-01T00:00:00Z"}), 400, "EXPIRY_OUT_OF_REACH")


async def test_when_it_was_last_used_is_told(whole, admin):
    key = await made(admin, "patients.view")
    await program(whole, key["key"])("GET", "/patients")
    await whole.services.uses.flush()

    async def listed():
        (line,) = (await admin("GET", KEYS)).json()["items"] or [{"lastUsedAt": None}]
        return line["lastUsedAt"] is not None

    await until(listed)


async def test_only_an_admin_of_the_clinic_sees_and_revokes_its_keys(whole, admin):
    key = await made(admin, "patients.view")
    far, doctor = await whole.person(await whole.clinic(), "admin"), await whole.person(admin.session["user"]["clinicId"], "doctor")
    assert key["id"] not in (await far("GET", KEYS)).text
    failure(await far("DELETE", f"{KEYS}/{key['id']}"), 404, "NOT_FOUND")
    for method, path, body in (("GET", KEYS, None), ("POST", KEYS, {"name": "X", "scopes": ["patients.view"]}), ("DELETE", f"{KEYS}/{key['id']}", None)):
        failure(await doctor(method, path, body), 403, "FORBIDDEN")
    failure(await admin("POST", KEYS, {"name": "X", "scopes": []}), 400, "BODY_INVALID")
    failure(await admin("POST", KEYS, {"name": "X", "scopes": ["patients.view"], "secretId": str(uuid4())}), 400, "BODY_INVALID")
