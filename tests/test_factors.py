"""Second factors: set up, asked for, lost and got back; a code counts once, and nothing that was shown lies in the store."""

import asyncio
import hmac
import struct
import time
from base64 import b32decode, b32encode
from uuid import uuid4

import psycopg
import pytest
from pyotp import TOTP

from commands.factors import (
    CODES,
    AskSecondFactorReset,
    DisableSecondFactor,
    EnableSecondFactor,
    ForceSecondFactorOff,
    OfferTotp,
)
from commands.kit.receipt import PLATFORMER
from domain.accounts import (
    Account,
    AccountDeleted,
    AccountOpened,
    RecoveryCodesAsked,
    RecoveryCodesMade,
    RecoveryCodeUsed,
    SecondFactorCodeAsked,
    SecondFactorDisabled,
    SecondFactorEnabled,
    SecondFactorOff,
    SecondFactorOn,
    SecondFactorResetAsked,
    SetupNotBegun,
    TotpOffered,
)
from domain.kit.letters import TEMPLATES
from gateway import factors
from tests.kit import THIS, facts, given
from tests.served import PASSWORD, Person, failure, served, until
from workers.factors import PURPOSES
from workers.kit.policies import POLICIES

AUTH = "/api/v1/auth"
OPENED = AccountOpened(email="kim@example.org", address_key="0123456789abcdef" * 2, name="Kim")
SEED, CODES_ID = uuid4(), uuid4()
OFFERED = TotpOffered(secret_id=SEED)
ON = [SecondFactorEnabled(method="totp", secret_id=SEED), RecoveryCodesMade(secret_id=CODES_ID, count=CODES)]


# --- the rules


def test_a_factor_counts_once_it_was_set_up_and_there_is_one_at_a_time():
    enable = EnableSecondFactor(method="totp", recovery_id=CODES_ID)
    given(OPENED).when(enable).refused(SetupNotBegun)
    given(OPENED, OFFERED).when(enable).then(*ON)
    given(OPENED, OFFERED, *ON).when(enable).refused(SecondFactorOn)
    given(OPENED, OFFERED, *ON).when(OfferTotp(secret_id=uuid4())).refused(SecondFactorOn)
    given(OPENED).when(EnableSecondFactor(method="email", recovery_id=CODES_ID)).then(SecondFactorEnabled(method="email"), ON[1])


def test_it_is_switched_off_with_all_that_belongs_to_it():
    given(OPENED).when(DisableSecondFactor(way="own")).refused(SecondFactorOff)
    given(OPENED, OFFERED, *ON).when(ForceSecondFactorOff()).then(SecondFactorDisabled(way="forced"))
    for end in (SecondFactorDisabled(way="own"), AccountDeleted()):
        state = Account.replay([OPENED, OFFERED, *ON, end])
        assert (state.second_factors, state.totp, state.offered, state.recovery) == ((), None, None, None)


def test_the_last_recovery_code_is_no_way_in_any_more():
    assert Account.replay([OPENED, *ON]).second_factors == ("totp", "recovery")
    assert Account.replay([OPENED, *ON, RecoveryCodeUsed(left=0)]).second_factors == ("totp",)


def test_a_reset_is_for_those_who_have_something_to_lose():
    given(OPENED).when(AskSecondFactorReset()).then()
    given(OPENED, *ON).when(AskSecondFactorReset()).then(SecondFactorResetAsked())


@pytest.mark.parametrize("event", [
    SecondFactorCodeAsked(purpose="sign-in"), SecondFactorCodeAsked(purpose="setup"), RecoveryCodesAsked(), SecondFactorResetAsked(),
    SecondFactorDisabled(way="own"),
])
def test_letters_bring_what_their_words_promise(event):
    (letter,) = POLICIES[f"when_{type(event).__name__}"](facts(event, kind="accounts")[0])
    promised = TEMPLATES[letter.template].samples
    assert letter.to == ("accounts", THIS)
    assert (bool(letter.link), bool(letter.digits)) == ("link" in promised, "code" in promised)


# --- at the door


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


def rfc6238(secret, now):
    """The six digits as the RFC computes them, by code that shares nothing with the library."""
    mac = hmac.digest(b32decode(secret), struct.pack(">Q", int(now) // 30), "sha1")
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at:at + 4]) & 0x7FFFFFFF) % 10**6:06}"


async def post(web, path, body, person=None):
    return await web.client.post(AUTH + path, json=body, headers=person.headers if person else {})


async def half(web, email):
    """The token of a sign-in that lacks its second proof."""
    (details,) = failure(await web.sign_in(email), 401, "SECOND_FACTOR_REQUIRED")
    return details["mfaToken"]


async def with_app(web):
    """Somebody with an authenticator app: the address, the session, the secret, the recovery codes."""
    email = await web.account(await web.clinic(), "doctor")
    person = Person(web, (await web.sign_in(email)).json())
    begun = (await post(web, "/2fa/setup/init", {}, person)).json()
    answer = await post(web, "/2fa/setup/verify", {"code": rfc6238(begun["secret"], time.time())}, person)
    assert answer.status_code == 200, answer.text
    return email, person, begun, answer.json()["codes"]


def test_rfc_6238_itself():
    secret = b32encode(b"12345678901234567890").decode()
    for moment, digits in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")):
        assert rfc6238(secret, moment) == TOTP(secret).at(moment) == digits


async def test_an_app_is_set_up_and_asked_for_from_then_on(web):
    email, person, begun, codes = await with_app(web)
    assert begun["uri"].startswith("otpauth://totp/Anamnesis:")
    assert (len(codes), len(set(codes))) == (10, 10)
    token = await half(web, email)
    failure(await person("GET", "/appointments/doctor-schedules", headers={"authorization": f"Bearer {token}"}), 401, "TOKEN_INVALID")
    failure(await post(web, "/2fa/verify", {"mfaToken": person.session["accessToken"], "code": "123456"}), 401, "TOKEN_INVALID")
    code = rfc6238(begun["secret"], time.time() + 30)
    answer = await post(web, "/2fa/verify", {"mfaToken": token, "code": code})
    assert answer.status_code == 200, answer.text
    assert (await Person(web, answer.json())("GET", "/appointments/doctor-schedules")).status_code == 200
    (session,) = [s for s in (await web.client.get(AUTH + "/sessions", headers=person.headers)).json()["items"] if not s["current"]]
    assert session["proofs"] == ["password", "totp"]
    assert (await web.client.get(AUTH + "/2fa/status", headers=person.headers)).json() == {
        "enabled": True, "type": "totp", "methods": ["totp", "recovery"], "recoveryCodesLeft": 10}


async def test_a_code_counts_once_and_none_before_it_afterwards(web):
    email, _, begun, _ = await with_app(web)
    token = await half(web, email)
    now = time.time()
    failure(await post(web, "/mfa/verify", {"mfaToken": token, "code": rfc6238(begun["secret"], now)}), 401, "SECOND_CODE_WRONG")
    code = {"mfaToken": token, "code": rfc6238(begun["secret"], now + 30)}
    answers = await asyncio.gather(*(post(web, "/mfa/verify", code) for _ in range(5)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 4
    failure(await post(web, "/mfa/verify", {"mfaToken": token, "code": rfc6238(begun["secret"], now)}), 401, "SECOND_CODE_WRONG")


async def test_codes_of_another_time_or_by_guessing_open_nothing(web):
    email, _, begun, _ = await with_app(web)
    token = await half(web, email)
    for moment in (time.time() - 120, time.time() + 120):
        failure(await post(web, "/2fa/verify", {"mfaToken": token, "code": rfc6238(begun["secret"], moment)}), 401, "SECOND_CODE_WRONG")
    answers = await asyncio.gather(*(post(web, "/2fa/verify", {"mfaToken": token, "code": "000000"}) for _ in range(20)))
    assert {a.status_code for a in answers} == {401, 423}
    assert [a.status_code for a in answers].count(401) == 8
    right = {"mfaToken": token, "code": rfc6238(begun["secret"], time.time() + 30)}
    failure(await post(web, "/2fa/verify", right), 423, "ACCOUNT_LOCKED")


async def test_a_recovery_code_opens_once_and_fresh_ones_make_the_old_void(web):
    email, person, _, codes = await with_app(web)
    token = await half(web, email)
    used = {"mfaToken": token, "recoveryCode": codes[0].upper().replace("-", " ")}
    answers = await asyncio.gather(*(post(web, "/2fa/recovery", used) for _ in range(5)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 4
    assert (await web.client.get(AUTH + "/2fa/status", headers=person.headers)).json()["recoveryCodesLeft"] == 9
    failure(await post(web, "/2fa/regenerate-codes", {}, person), 403, "PROOF_MISSING")
    failure(await post(web, "/2fa/regenerate-codes", {"password": "wrong"}, person), 403, "PASSWORD_WRONG")
    fresh = (await post(web, "/2fa/regenerate-codes", {"password": PASSWORD}, person)).json()["codes"]
    failure(await post(web, "/2fa/recovery", {"mfaToken": token, "recoveryCode": codes[1]}), 401, "SECOND_CODE_WRONG")
    assert (await post(web, "/2fa/recovery", {"mfaToken": token, "recoveryCode": fresh[1]})).status_code == 200


async def test_fresh_codes_are_seen_by_a_link_that_serves_its_owner_once(web):
    _, person, _, _ = await with_app(web)
    assert (await post(web, "/2fa/backup-codes/request-email", {"password": PASSWORD}, person)).status_code == 202
    token = await web.services.codes.issue(factors.LINK, person.id, 60)  # as the courier does
    stranger = await web.person(await web.clinic(), "doctor")
    failure(await post(web, "/2fa/backup-codes/view", {"token": token}, stranger), 400, "CODE_WRONG")
    assert len((await post(web, "/2fa/backup-codes/view", {"token": token}, person)).json()["codes"]) == 10
    failure(await post(web, "/2fa/backup-codes/view", {"token": token}, person), 400, "CODE_WRONG")


async def test_switching_it_on_or_off_ends_other_sessions_and_takes_more_than_a_session(web):
    email = await web.account(await web.clinic(), "doctor")
    here, there = [Person(web, (await web.sign_in(email)).json()) for _ in range(2)]
    begun = (await post(web, "/mfa/setup/init-totp", {}, here)).json()
    failure(await post(web, "/mfa/setup/verify", {"code": "000000"}, here), 401, "SECOND_CODE_WRONG")
    assert (await post(web, "/mfa/setup/verify", {"code": rfc6238(begun["secret"], time.time())}, here)).status_code == 200
    failure(await there("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    failure(await post(web, "/2fa/setup/init", {}, here), 409, "SECOND_FACTOR_ON")

    async def off(body):
        return await web.client.request("DELETE", AUTH + "/2fa/disable", json=body, headers=here.headers)

    failure(await off({}), 403, "PROOF_MISSING")
    assert (await off({"code": rfc6238(begun["secret"], time.time() + 30)})).status_code == 204
    failure(await off({"password": PASSWORD}), 409, "SECOND_FACTOR_OFF")
    assert (await web.sign_in(email)).status_code == 200


async def test_codes_by_mail(web):
    email = await web.account(await web.clinic(), "doctor")
    person = Person(web, (await web.sign_in(email)).json())
    assert (await post(web, "/mfa/setup/send-otp", {}, person)).json() == {"method": "email", "secret": None, "uri": None}
    digits = await web.services.codes.issue_digits(PURPOSES["setup"], person.id, 60)  # as the courier does
    assert (await post(web, "/2fa/setup/verify", {"method": "email", "code": digits}, person)).status_code == 200
    token = await half(web, email)
    assert (await post(web, "/2fa/email/send", {"mfaToken": token})).status_code == 202
    digits = await web.services.codes.issue_digits(PURPOSES["sign-in"], person.id, 60)
    assert (await post(web, "/2fa/verify", {"mfaToken": token, "code": digits})).status_code == 200
    failure(await post(web, "/2fa/verify", {"mfaToken": token, "code": digits}), 401, "SECOND_CODE_WRONG")
    by_app, _, _, _ = await with_app(web)
    failure(await post(web, "/2fa/email/send", {"mfaToken": await half(web, by_app)}), 409, "FACTOR_METHOD_WRONG")


async def test_whoever_is_locked_out_needs_both_the_mailbox_and_the_password(web):
    email, person, _, _ = await with_app(web)
    known, unknown = [await post(web, "/2fa/reset/request", {"email": who}) for who in (email, "nobody@clinic.example")]
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json()) == (202, {"accepted": True})

    async def asked():
        with psycopg.connect(web.owner_url) as owner:
            return owner.execute("select from stored_events where originator_id = %s and topic = 'SecondFactorResetAsked'", [person.id]).fetchone() is not None

    await until(asked)
    token = await web.services.codes.issue(factors.RESET, person.id, 60)
    failure(await post(web, "/2fa/reset/verify", {"token": token, "email": email, "password": "wrong"}), 401, "CREDENTIALS_WRONG")
    other = await web.account(await web.clinic(), "doctor")
    failure(await post(web, "/2fa/reset/verify", {"token": token, "email": other, "password": PASSWORD}), 400, "CODE_WRONG")
    assert (await post(web, "/2fa/reset/verify", {"token": token, "email": email, "password": PASSWORD})).status_code == 204
    failure(await person("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    assert (await web.sign_in(email)).status_code == 200


async def test_the_platform_switches_it_off_for_somebody_and_nobody_else_does(web):
    email, person, _, _ = await with_app(web)
    clinic = await web.clinic()
    admin, root = await web.person(clinic, "admin"), await web.person(clinic, "superadmin")
    failure(await admin("POST", f"/admin/users/{person.id}/disable-2fa"), 403, "FORBIDDEN")
    answer = await root("POST", f"/admin/users/{person.id}/disable-2fa")
    assert (answer.status_code, answer.json()["secondFactor"]) == (200, None)
    failure(await person("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    assert (await web.sign_in(email)).status_code == 200


async def test_half_a_sign_in_sets_up_a_first_factor_but_never_another(web):
    email, person, _, _ = await with_app(web)
    token = await half(web, email)
    failure(await post(web, "/mfa/setup/init-totp", {"mfaToken": token}), 409, "SECOND_FACTOR_ON")
    failure(await post(web, "/mfa/setup/init-totp", {}), 401, "SIGN_IN_REQUIRED")
    await web.services.handler.handle(ForceSecondFactorOff(), PLATFORMER, id=person.id)
    begun = (await post(web, "/mfa/setup/init-totp", {"mfaToken": token})).json()
    assert (await post(web, "/mfa/setup/verify", {"mfaToken": token, "code": rfc6238(begun["secret"], time.time())})).status_code == 200


async def test_half_a_sign_in_is_worth_nothing_once_the_password_is_another(web):
    email, person, _, codes = await with_app(web)
    token = await half(web, email)
    changed = {"currentPassword": PASSWORD, "newPassword": "a wholly different sentence"}
    assert (await post(web, "/change-password", changed, person)).status_code == 204
    failure(await post(web, "/2fa/recovery", {"mfaToken": token, "recoveryCode": codes[0]}), 401, "TOKEN_INVALID")


async def test_no_seed_and_no_recovery_code_lies_open_in_the_store(web):
    _, _, begun, codes = await with_app(web)
    secrets = [begun["secret"], b32decode(begun["secret"]).hex(), *codes, *(code.replace("-", "") for code in codes)]
    with psycopg.connect(web.owner_url) as owner:
        everything = str(owner.execute("select convert_from(state, 'UTF8') from stored_events").fetchall())
        everything += str(owner.execute("select encode(secret, 'hex'), encode(secret, 'escape') from vault").fetchall())
        everything += str(owner.execute("select encode(hash, 'hex') from vault_codes").fetchall())
    assert not [secret for secret in secrets if secret in everything]


async def test_a_page_with_its_session_in_cookies_proves_and_sets_up_as_well(web):
    email, _, _, codes = await with_app(web)
    used = {"mfaToken": await half(web, email), "recoveryCode": codes[0]}
    answer = await web.client.post(AUTH + "/2fa/recovery", json=used, headers={"x-session": "cookies"})
    assert (answer.status_code, answer.json()["accessToken"]) == (200, None)
    failure(await post(web, "/mfa/setup/init-totp", {}), 403, "CSRF_TOKEN_WRONG")
    csrf = next(value for name, value in web.client.cookies.items() if name.endswith("csrf"))
    failure(await web.client.post(AUTH + "/mfa/setup/init-totp", json={}, headers={"x-csrf-token": csrf}), 409, "SECOND_FACTOR_ON")
