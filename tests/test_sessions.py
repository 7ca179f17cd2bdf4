"""Signing in, going on and signing out, on a real database, with several gateways and with the feed silent."""

import asyncio
import time
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import jwt
import nats
import psycopg
import pytest

from commands.accounts import GivePlace, WithdrawPlace
from commands.kit.receipt import house
from commands.kit.vault import Vault
from gateway.sessions import sweep
from projections.kit.lanes import Lanes
from tests.served import PASSWORD, PROTECTED, Person, failure, served, until

SIGN_IN, REFRESH, LOGOUT = "/api/v1/auth/signin", "/api/v1/auth/refresh", "/api/v1/auth/logout"


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


@asynccontextmanager
async def heartbeat(nats_server):
    """The relay's heartbeat, without the relay."""
    connection = await nats.connect(nats_server.url("relay"))

    async def beat():
        while True:
            await connection.publish("control.heartbeat", b"{}")
            await asyncio.sleep(0.2)

    task = asyncio.create_task(beat())
    try:
        yield task
    finally:
        task.cancel()
        await connection.close()


async def rooms(web, headers):
    return await web.client.get(f"{PROTECTED}/rooms", headers=headers)


async def test_signing_in_says_who_one_is_and_what_one_may(web):
    clinic, staff = await web.clinic(), uuid4()
    email = await web.account(clinic, "receptionist", staff)
    answer = await web.sign_in(f"  {email.upper()} ")
    assert answer.status_code == 200
    session = answer.json()
    assert set(session) == {"accessToken", "refreshToken", "expiresIn", "user"}
    assert session["expiresIn"] == 900
    user = session["user"]
    assert (user["role"], user["clinicId"], user["subjectId"], user["name"]) == ("receptionist", str(clinic), str(staff), "Sam")
    assert "patients.create" in user["permissions"]
    assert "reports.financial" not in user["permissions"]
    assert PASSWORD not in answer.text


async def test_anybody_can_check_a_token_with_the_public_key(web):
    session = (await web.person(await web.clinic(), "doctor")).session
    (key,) = (await web.client.get("/.well-known/jwks.json")).json()["keys"]
    assert key.keys() == {"crv", "kty", "x", "y", "kid", "use", "alg"}, "no private part"
    header = jwt.get_unverified_header(session["accessToken"])
    assert (header["alg"], header["kid"]) == ("ES256", key["kid"])
    said = jwt.decode(session["accessToken"], jwt.PyJWK(key).key, ["ES256"], audience="anamnesis-api", issuer="anamnesis")
    assert said.keys() >= {"iss", "aud", "sub", "clinic", "role", "sid", "iat", "exp", "jti"}
    assert said["exp"] - said["iat"] == 900


async def test_wrong_passwords_and_unknown_addresses_look_alike(web):
    email = await web.account(await web.clinic(), "admin")
    wrong = await web.sign_in(email, "wrong")
    unknown = await web.sign_in("nobody@clinic.example", "wrong")
    failure(wrong, 401, "CREDENTIALS_WRONG")
    failure(unknown, 401, "CREDENTIALS_WRONG")
    assert {k: v for k, v in wrong.json().items() if k != "requestId"} == {k: v for k, v in unknown.json().items() if k != "requestId"}


async def test_an_unknown_address_costs_as_much_time_as_a_known_one(module_database):
    lanes = Lanes(module_database.url("gateway"))
    await lanes.open()
    vault = Vault(lanes, b"k" * 32)
    secret = await vault.put_password(uuid4(), PASSWORD)

    async def cost(id_):
        spent = []
        for _ in range(7):
            start = time.process_time()
            assert not await vault.right(id_, "wrong")
            spent.append(time.process_time() - start)
        return sorted(spent)[3]

    known, unknown, nobody = await cost(secret), await cost(uuid4()), await cost(None)
    assert await vault.right(secret, PASSWORD)
    assert not await vault.right(None, "nobody")
    vault.close()
    await lanes.close()
    assert known > 0.005, "a real hash costs something"
    assert 0.5 < unknown / known < 2
    assert 0.5 < nobody / known < 2


async def test_ten_failures_lock_an_account_and_say_for_how_long(web):
    email = await web.account(await web.clinic(), "admin")
    for _ in range(10):
        failure(await web.sign_in(email, "wrong"), 401, "CREDENTIALS_WRONG")
    answer = await web.sign_in(email)
    (detail,) = failure(answer, 423, "ACCOUNT_LOCKED")
    assert 800 < detail["retryAfter"] <= 900
    assert answer.headers["retry-after"] == str(detail["retryAfter"])
    with psycopg.connect(web.owner_url, autocommit=True) as owner:
        owner.execute("update door_attempts set at = at - interval '15 minutes'")
    assert (await web.sign_in(email)).status_code == 200


async def test_the_right_password_wipes_the_slate(web):
    email = await web.account(await web.clinic(), "admin")
    for _ in range(3):
        for _ in range(6):
            failure(await web.sign_in(email, "wrong"), 401, "CREDENTIALS_WRONG")
        assert (await web.sign_in(email)).status_code == 200


async def test_a_hundred_guesses_at_once_are_still_ten(web):
    email = await web.account(await web.clinic(), "admin")
    answers = await asyncio.gather(*(web.sign_in(email, f"guess {n}") for n in range(60)))
    codes = [a.status_code for a in answers]
    assert codes.count(401) == 10
    assert set(codes) == {401, 423}


async def test_many_can_sign_in_at_once(web):
    email = await web.account(await web.clinic(), "admin")
    answers = await asyncio.gather(*(web.sign_in(email) for _ in range(40)))
    assert [a.status_code for a in answers] == [200] * 40


async def test_an_account_with_two_clinics_chooses_and_one_without_a_place_does_not_come_in(web):
    first, second = await web.clinic(), await web.clinic()
    email = await web.account(first, "doctor")
    assert await web.account(second, "admin", email=email) == email
    assert (await web.sign_in(email)).json()["user"]["clinicId"] == str(first)
    assert (await web.sign_in(email, clinicId=str(second))).json()["user"]["role"] == "admin"
    failure(await web.sign_in(email, clinicId=str(uuid4())), 403, "NO_MEMBER")
    account = UUID((await web.sign_in(email)).json()["user"]["id"])
    await web.services.handler.handle(WithdrawPlace(clinic_id=first), house(account), id=account)
    assert (await web.sign_in(email)).json()["user"]["clinicId"] == str(second)
    failure(await web.sign_in(email, clinicId=str(first)), 403, "NO_MEMBER")


async def test_the_gateway_cannot_read_passwords(module_database):
    with psycopg.connect(module_database.url("gateway"), autocommit=True) as gateway:
        for table in ("vault", "vault_codes", "stays", "stay_tickets", "door_attempts", "door_homes", "rate_debts"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                gateway.execute(f"select * from {table}")  # noqa: S608
    with psycopg.connect(module_database.url("projector"), autocommit=True) as projector, pytest.raises(psycopg.errors.InsufficientPrivilege):
        projector.execute("select * from vault_get(gen_random_uuid())")


async def test_a_refresh_token_turns_and_is_stored_as_a_hash_only(web):
    session = (await web.person(await web.clinic(), "doctor")).session
    seen = [session["refreshToken"]]
    for _ in range(3):
        answer = await web.client.post(REFRESH, json={"refreshToken": seen[-1]})
        assert answer.status_code == 200
        seen.append(answer.json()["refreshToken"])
        assert answer.json()["user"] == session["user"]
        assert (await rooms(web, {"authorization": f"Bearer {answer.json()['accessToken']}"})).status_code == 403
    assert len(set(seen)) == 4
    with psycopg.connect(web.owner_url) as owner:
        everything = str(owner.execute("select * from stays").fetchall())
    assert not any(token in everything for token in seen)


async def test_the_same_token_twice_in_a_moment_gives_the_same_successor(web):
    token = (await web.person(await web.clinic(), "doctor")).session["refreshToken"]
    answers = await asyncio.gather(*(web.client.post(REFRESH, json={"refreshToken": token}) for _ in range(8)))
    assert [a.status_code for a in answers] == [200] * 8
    assert len({a.json()["refreshToken"] for a in answers}) == 1


async def test_a_token_used_again_later_ends_the_session(web):
    person = await web.person(await web.clinic(), "admin")
    old = person.session["refreshToken"]
    fresh = (await web.client.post(REFRESH, json={"refreshToken": old})).json()
    with psycopg.connect(web.owner_url, autocommit=True) as owner:
        owner.execute("update stays set turned_at = turned_at - interval '11 seconds'")
    assert (await rooms(web, person.headers)).status_code == 200
    failure(await web.client.post(REFRESH, json={"refreshToken": old}), 401, "REFRESH_REUSED")
    failure(await rooms(web, person.headers), 401, "SESSION_ENDED")
    failure(await rooms(web, {"authorization": f"Bearer {fresh['accessToken']}"}), 401, "SESSION_ENDED")
    failure(await web.client.post(REFRESH, json={"refreshToken": fresh["refreshToken"]}), 401, "REFRESH_INVALID")


async def test_a_token_two_turns_old_ends_the_session_at_once(web):
    old = (await web.person(await web.clinic(), "admin")).session["refreshToken"]
    token = old
    for _ in range(2):
        token = (await web.client.post(REFRESH, json={"refreshToken": token})).json()["refreshToken"]
    failure(await web.client.post(REFRESH, json={"refreshToken": old}), 401, "REFRESH_REUSED")
    failure(await web.client.post(REFRESH, json={"refreshToken": token}), 401, "REFRESH_INVALID")


async def test_a_forged_refresh_token_ends_nothing(web):
    person = await web.person(await web.clinic(), "admin")
    token = person.session["refreshToken"]
    for forged in ("x", token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "B" + token[1:], token * 2, "é"):
        failure(await web.client.post(REFRESH, json={"refreshToken": forged}), 401, "REFRESH_INVALID")
    assert (await web.client.post(REFRESH, json={"refreshToken": token})).status_code == 200


async def test_a_changed_role_holds_from_the_next_request(web):
    clinic = await web.clinic()
    person = await web.person(clinic, "receptionist")
    failure(await rooms(web, person.headers), 403, "FORBIDDEN")
    await web.services.handler.handle(GivePlace(clinic_id=clinic, role="admin"), house(person.id), id=person.id)
    web.services.gate.forget()  # what a message does
    assert (await rooms(web, person.headers)).status_code == 200
    answer = await web.client.post(REFRESH, json={"refreshToken": person.session["refreshToken"]})
    assert answer.json()["user"]["role"] == "admin"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_signing_out_ends_everything_of_the_session_and_nothing_else(web, method):
    clinic = await web.clinic()
    email = await web.account(clinic, "admin")
    first, second = [Person(web, (await web.sign_in(email)).json()) for _ in range(2)]
    assert (await rooms(web, first.headers)).status_code == 200
    answer = await web.client.request(method, LOGOUT, headers=first.headers)
    assert (answer.status_code, answer.content) == (204, b"")
    failure(await rooms(web, first.headers), 401, "SESSION_ENDED")
    failure(await web.client.post(REFRESH, json={"refreshToken": first.session["refreshToken"]}), 401, "REFRESH_INVALID")
    failure(await web.client.request(method, LOGOUT, headers=first.headers), 401, "SESSION_ENDED")
    assert (await rooms(web, second.headers)).status_code == 200


async def test_an_end_that_nobody_told_is_told_once_by_whoever_sweeps(web):
    """As a process leaves it that dies between ending a session and saying so."""
    person = await web.person(await web.clinic(), "admin")
    session = web.services.keys.read(person.session["accessToken"]).session
    with psycopg.connect(web.owner_url, autocommit=True) as owner:
        owner.execute("update stays set ended_at = now() - interval '1 minute', ended_why = 'signed-out', told = false where id = %s", [session])
        await asyncio.gather(*(sweep(web.services) for _ in range(5)))
        said = owner.execute("select topic, convert_from(state, 'UTF8')::json ->> 'reason' from stored_events where originator_id = %s", [session]).fetchall()
        left = owner.execute("select count(*) from stays where not told").fetchone()
    assert (said[1:], left) == ([("SessionClosed", "signed-out")], (0,))
    failure(await rooms(web, person.headers), 401, "SESSION_ENDED")


async def test_signing_out_is_known_everywhere_within_a_tenth_of_a_second(module_database, nats_server):
    async with heartbeat(nats_server), served(module_database, nats_server) as here, served(module_database, nats_server) as there:
        async def listening():
            return here.services.gate.listening and there.services.gate.listening

        await until(listening)
        person = await here.person(await here.clinic(), "admin")
        assert (await rooms(there, person.headers)).status_code == 200
        header = person.headers["authorization"].encode()
        assert there.services.gate.known(header) is not None, "remembered, so it is not looked up"
        await here.client.post(LOGOUT, headers=person.headers)
        start = time.monotonic()

        async def forgotten():
            return there.services.gate.known(header) is None

        await until(forgotten)
        assert time.monotonic() - start < 0.1
        failure(await rooms(there, person.headers), 401, "SESSION_ENDED")


async def test_while_the_feed_is_silent_every_request_asks_the_database(module_database, nats_server):
    async with served(module_database, nats_server) as web:
        person = await web.person(await web.clinic(), "admin")
        async with heartbeat(nats_server):
            async def listening():
                return web.services.gate.listening

            await until(listening)
            assert (await rooms(web, person.headers)).status_code == 200
            assert web.services.gate.known(person.headers["authorization"].encode()) is not None

        async def silent():
            return not web.services.gate.listening

        await until(silent)
        assert (await rooms(web, person.headers)).status_code == 200
        with psycopg.connect(web.owner_url, autocommit=True) as owner:  # ended by somebody we cannot hear
            owner.execute("update stays set ended_at = now() where account = %s", [person.id])
        failure(await rooms(web, person.headers), 401, "SESSION_ENDED")


async def test_what_was_missed_during_a_silence_is_not_believed_afterwards(module_database, nats_server):
    async with served(module_database, nats_server) as web:
        gate = web.services.gate
        person = await web.person(await web.clinic(), "admin")

        async def listening():
            return gate.listening

        async def silent():
            return not gate.listening

        async with heartbeat(nats_server):
            await until(listening)
            assert (await rooms(web, person.headers)).status_code == 200
        await until(silent)
        with psycopg.connect(web.owner_url, autocommit=True) as owner:
            owner.execute("update stays set ended_at = now() where account = %s", [person.id])
        async with heartbeat(nats_server):
            await until(listening)
            failure(await rooms(web, person.headers), 401, "SESSION_ENDED")


@pytest.mark.parametrize(("body", "code", "field"), [
    ({"email": "a@b.example"}, "BODY_INVALID", "password"), ({"email": 1, "password": "x"}, "BODY_INVALID", "email"),
    ({"email": "a@b.example", "password": "x", "clinicId": "y"}, "BODY_INVALID", "clinicId"),
    ({"email": "a@b.example", "password": "x" * 2000}, "BODY_INVALID", "password"),
    ({"email": "a@b.example", "password": "x", "role": "admin"}, "BODY_INVALID", "role"),
])
async def test_bad_requests_to_sign_in(web, body, code, field):
    (detail,) = failure(await web.client.post(SIGN_IN, json=body), 400, code)
    assert detail["field"] == field


async def test_malformed_json_on_litestars_own_way(web):
    answer = await web.client.post(SIGN_IN, content=b'{"email": ', headers={"content-type": "application/json"})
    (detail,) = failure(answer, 400, "JSON_MALFORMED")
    assert detail["offset"] == 10


async def test_an_account_that_is_made_again_keeps_its_id(web):
    clinic, email = await web.clinic(), f"{uuid4().hex}@clinic.example"
    for spelling in (email, email.upper(), f" {email}"):
        await web.account(clinic, "admin", email=spelling)
    ids = {(await web.sign_in(e)).json()["user"]["id"] for e in (email, email.upper(), f" {email}")}
    assert len(ids) == 1
