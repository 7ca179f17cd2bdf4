"""Passkeys: made, used, renamed, removed; a challenge counts once, a copied device is noticed, and nothing else opens."""

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.passkeys import RegisterPasskey, RemovePasskey, RenamePasskey
from domain.accounts import (
    MOST_PASSKEYS,
    Account,
    AccountDeleted,
    AccountOpened,
    PasskeyKnown,
    PasskeyRegistered,
    PasskeyRemoved,
    PasskeyRenamed,
    PasskeysTooMany,
    PasskeyUnknown,
)
from domain.kit import UniqueClaim
from domain.kit.letters import TEMPLATES
from gateway.kit.passkeys import PasskeysUnavailable, Relying
from tests.authenticator import PRESENT, Authenticator
from tests.kit import facts, given
from tests.served import PASSWORD, Person, failure, served
from workers.passkeys import when_PasskeyRegistered

AUTH = "/api/v1/auth"
HOME = "https://clinics.example"
OPENED = AccountOpened(email="kim@example.org", address_key="0123456789abcdef" * 2, name="Kim")
KEY, SECRET = uuid4(), uuid4()
REGISTERED = PasskeyRegistered(passkey_id=KEY, secret_id=SECRET, name="Telephone")


# --- the rules


def test_a_passkey_is_held_by_one_account_until_it_is_removed():
    register = RegisterPasskey(passkey_id=KEY, secret_id=SECRET, name="Telephone")
    given(OPENED).when(register).then(REGISTERED)
    given(OPENED, REGISTERED).when(register).refused(PasskeyKnown)
    claim = UniqueClaim(scope="accounts.passkeys", key=KEY.hex)
    assert claim in Account.replay([OPENED, REGISTERED]).claims()
    for end in (PasskeyRemoved(passkey_id=KEY), AccountDeleted()):
        assert claim not in Account.replay([OPENED, REGISTERED, end]).claims()


def test_it_is_renamed_and_removed_if_there_is_one():
    given(OPENED, REGISTERED).when(RenamePasskey(passkey_id=KEY, name="Old one")).then(PasskeyRenamed(passkey_id=KEY, name="Old one"))
    given(OPENED, REGISTERED).when(RemovePasskey(passkey_id=KEY)).then(PasskeyRemoved(passkey_id=KEY))
    for command in (RenamePasskey(passkey_id=KEY, name="x"), RemovePasskey(passkey_id=KEY)):
        given(OPENED).when(command).refused(PasskeyUnknown)


def test_twenty_are_enough():
    many = [PasskeyRegistered(passkey_id=uuid4(), secret_id=uuid4()) for _ in range(MOST_PASSKEYS)]
    given(OPENED, *many).when(RegisterPasskey(passkey_id=KEY, secret_id=SECRET, name="One more")).refused(PasskeysTooMany)


def test_its_owner_is_told():
    letter = when_PasskeyRegistered(facts(REGISTERED, kind="accounts")[0], REGISTERED)
    assert set(letter.values) == set(TEMPLATES[letter.template].samples)


def test_the_relying_party_is_the_public_urls_host():
    class At:
        public_url = "https://app.clinics.example:8443"

    assert Relying.of(At()) == ("app.clinics.example", "https://app.clinics.example:8443")
    At.public_url = "http://192.0.2.7:8000"
    with pytest.raises(PasskeysUnavailable):
        Relying.of(At())


# --- at the door


@pytest.fixture
async def web(module_database):
    async with served(module_database, public_url=HOME) as serving:
        yield serving


async def post(web, path, body=None, person=None):
    return await web.client.post(AUTH + "/passkeys" + path, json=body, headers=person.headers if person else {})


async def options(web, person):
    answer = await post(web, "/register/options", {"password": PASSWORD}, person)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def registered(web, device=None, email=None):
    """Somebody with a device that is registered: the person, the device."""
    email = email or await web.account(await web.clinic(), "doctor")
    person, device = Person(web, (await web.sign_in(email)).json()), device or Authenticator(HOME)
    answer = await post(web, "/register", {"credential": device.create(await options(web, person)), "name": "Telephone"}, person)
    assert answer.status_code == 201, answer.text
    return person, device


async def asked(web):
    return (await post(web, "/authenticate/options")).json()


async def test_a_device_opens_the_account_without_password_and_without_a_name(web):
    person, device = await registered(web)
    for _ in range(2):
        answer = await post(web, "/authenticate", {"credential": device.get(await asked(web))})
        assert answer.status_code == 200, answer.text
        assert UUID(answer.json()["user"]["id"]) == person.id
    sessions = (await web.client.get(AUTH + "/sessions", headers=person.headers)).json()["items"]
    assert [s["proofs"] for s in sessions if not s["current"]] == [["passkey"]] * 2


async def test_what_a_browser_is_asked_for(web):
    person = await web.person(await web.clinic(), "doctor")
    told = await options(web, person)
    assert told["rp"] == {"id": "clinics.example", "name": "Anamnesis"}
    assert told["authenticatorSelection"]["residentKey"] == told["authenticatorSelection"]["userVerification"] == "required"
    assert told["attestation"] == "none"
    assert (await asked(web)).keys() == {"challenge", "rpId", "timeout", "userVerification"}, "it names nobody"


async def test_a_challenge_counts_once_for_its_purpose_and_person(web):
    person, device = await registered(web)
    used = {"credential": device.get(await asked(web))}
    answers = await asyncio.gather(*(post(web, "/authenticate", used) for _ in range(5)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 4
    stranger = await web.person(await web.clinic(), "doctor")
    theirs = Authenticator(HOME).create(await options(web, stranger))
    failure(await post(web, "/register", {"credential": theirs}, person), 401, "PASSKEY_WRONG")
    mixed = device.get({**await asked(web), "challenge": (await options(web, person))["challenge"]})
    failure(await post(web, "/authenticate", {"credential": mixed}), 401, "PASSKEY_WRONG")
    late = device.get(await asked(web))
    with psycopg.connect(web.owner_url, autocommit=True) as owner:
        owner.execute("update link_codes set expires_at = now()")
    failure(await post(web, "/authenticate", {"credential": late}), 401, "PASSKEY_WRONG")


async def test_a_copied_device_is_noticed_and_one_that_does_not_count_is_let_in(web):
    _, device = await registered(web)
    for _ in range(3):
        assert (await post(web, "/authenticate", {"credential": device.get(await asked(web))})).status_code == 200
    device.count -= 1  # a copy made before the last time
    failure(await post(web, "/authenticate", {"credential": device.get(await asked(web))}), 401, "PASSKEY_WRONG")
    _, synced = await registered(web, Authenticator(HOME, counts=False))
    for _ in range(2):
        assert (await post(web, "/authenticate", {"credential": synced.get(await asked(web))})).status_code == 200


def elsewhere(device):
    device.origin = "https://clinics.example.evil"


def unverified(device):
    device.flags = PRESENT


def another_key(device):
    device.key = Authenticator(HOME).key


def another_name(device):
    device.user = uuid4().bytes


def unknown(device):
    device.id = Authenticator(HOME).id


@pytest.mark.parametrize("change", [elsewhere, unverified, another_key, another_name, unknown])
async def test_what_is_not_quite_right_opens_nothing(web, change):
    _, device = await registered(web)
    change(device)
    failure(await post(web, "/authenticate", {"credential": device.get(await asked(web))}), 401, "PASSKEY_WRONG")


async def test_garbage_is_refused_politely(web):
    _, device = await registered(web)
    good = device.get(await asked(web))
    for field, value in (("clientDataJSON", "e30"), ("clientDataJSON", "é"), ("clientDataJSON", "W10"), ("authenticatorData", "AAAA"), ("signature", "")):
        answer = await post(web, "/authenticate", {"credential": {**good, "response": {**good["response"], field: value}}})
        failure(answer, 401, "PASSKEY_WRONG")
    person = await web.person(await web.clinic(), "doctor")
    made = Authenticator(HOME).create(await options(web, person))
    made["response"]["attestationObject"] = "oA"
    failure(await post(web, "/register", {"credential": made}, person), 401, "PASSKEY_WRONG")


async def test_a_found_session_makes_no_passkey_and_a_device_is_one_persons(web):
    person, device = await registered(web)
    failure(await post(web, "/register/options", {}, person), 403, "PROOF_MISSING")
    failure(await post(web, "/register/options", {"password": "wrong"}, person), 403, "PASSWORD_WRONG")
    (known,) = (await options(web, person))["excludeCredentials"]
    assert known["id"] == device.get(await asked(web))["id"]
    failure(await post(web, "/register", {"credential": device.create(await options(web, person))}, person), 409, "PASSKEY_KNOWN")
    other = await web.person(await web.clinic(), "doctor")
    failure(await post(web, "/register", {"credential": device.create(await options(web, other))}, other), 409, "NAME_TAKEN")


async def test_it_is_listed_renamed_and_removed_by_its_owner_alone(web):
    person, device = await registered(web)
    stranger = await web.person(await web.clinic(), "doctor")
    (item,) = (await web.client.get(AUTH + "/passkeys", headers=person.headers)).json()["items"]
    where = f"{AUTH}/passkeys/{item['id']}"
    assert item["name"] == "Telephone"
    failure(await web.client.patch(where, json={"name": "Mine"}, headers=stranger.headers), 404, "PASSKEY_UNKNOWN")
    failure(await web.client.delete(where, headers=stranger.headers), 404, "PASSKEY_UNKNOWN")
    assert (await web.client.patch(where, json={"name": "Old one"}, headers=person.headers)).json()["items"][0]["name"] == "Old one"
    assert (await web.client.delete(where, headers=person.headers)).status_code == 204
    assert (await web.client.get(AUTH + "/passkeys", headers=person.headers)).json() == {"items": []}
    failure(await post(web, "/authenticate", {"credential": device.get(await asked(web))}), 401, "PASSKEY_WRONG")
