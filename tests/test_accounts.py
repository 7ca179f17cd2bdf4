"""Accounts: passwords and how they are changed and got back, sessions and how they end, other people's hands on one's account."""

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.accounts import (
    DeleteAccount,
    GivePlace,
    OpenAccount,
    ReinstateAccount,
    SetPassword,
    SuspendAccount,
    WithdrawPlace,
)
from commands.kit.receipt import PLATFORMER, house
from domain.accounts import (
    Account,
    AccountDeleted,
    AccountNotSuspended,
    AccountOpened,
    AccountSuspended,
    PasswordChanged,
    PlaceGiven,
    PlaceOccupied,
    PlaceUnknown,
    PlaceWithdrawn,
)
from domain.kit import NotFound, UniqueClaim, UserInactive
from gateway.kit.proxies import Proxies
from tests.kit import given
from tests.served import PASSWORD, Person, failure, served, until

AUTH = "/api/v1/auth"
KEY = "0123456789abcdef" * 2
CLINIC, STAFF, SECRET = uuid4(), uuid4(), uuid4()
OPENED = AccountOpened(email="kim@example.org", address_key=KEY, name="Kim")
PLACE = PlaceGiven(clinic_id=CLINIC, role="doctor", subject_id=STAFF)
NEW = "a quieter horse"


# --- the rules


def test_an_open_account_holds_its_address_and_a_closed_one_gives_it_back():
    claim = UniqueClaim(scope="accounts.email", key=KEY)
    assert Account.replay([OPENED]).claims() == {claim}
    assert Account.replay([OPENED, AccountSuspended()]).claims() == {claim}
    assert Account.replay([OPENED, AccountDeleted()]).claims() == set()


def test_a_place_is_given_once_and_withdrawn():
    given(OPENED).when(GivePlace(clinic_id=CLINIC, role="doctor", subject_id=STAFF)).then(PLACE)
    given(OPENED, PLACE).when(GivePlace(clinic_id=CLINIC, role="doctor", subject_id=STAFF)).then()
    given(OPENED, PLACE).when(GivePlace(clinic_id=CLINIC, role="doctor", subject_id=uuid4())).refused(PlaceOccupied)
    given(OPENED, PLACE).when(WithdrawPlace(clinic_id=CLINIC)).then(PlaceWithdrawn(clinic_id=CLINIC))
    given(OPENED).when(WithdrawPlace(clinic_id=CLINIC)).refused(PlaceUnknown)


def test_a_first_password_is_called_so():
    given(OPENED).when(SetPassword(secret_id=SECRET, way="changed")).then(PasswordChanged(secret_id=SECRET, way="first"))
    given(OPENED, PasswordChanged(secret_id=uuid4(), way="first")).when(
        SetPassword(secret_id=SECRET, way="changed")).then(PasswordChanged(secret_id=SECRET, way="changed"))
    given(OPENED, AccountSuspended()).when(SetPassword(secret_id=SECRET, way="reset")).refused(UserInactive)


def test_what_is_gone_is_gone():
    given(OPENED, AccountDeleted()).looking(entitled=True).when(SuspendAccount()).refused(NotFound)
    given(OPENED).when(ReinstateAccount()).refused(AccountNotSuspended)


# --- at the door


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


async def post(web, path, body, person=None, **options):
    return await web.client.post(AUTH + path, json=body, headers={**(person.headers if person else {}), **options.pop("headers", {})})


async def events(web, stream, topic=None):
    """What stands in the store of a stream: the names, the latest last."""
    with psycopg.connect(web.owner_url) as owner:
        rows = owner.execute("select topic from stored_events where originator_id = %s order by originator_version", [stream]).fetchall()
    return [name for (name,) in rows if topic in (None, name)]


async def test_a_changed_password_ends_all_other_sessions_and_is_told(web):
    email = await web.account(await web.clinic(), "doctor")
    here, there = [Person(web, (await web.sign_in(email)).json()) for _ in range(2)]
    failure(await post(web, "/change-password", {"currentPassword": "wrong", "newPassword": NEW}, here), 403, "PASSWORD_WRONG")
    (poor,) = failure(await post(web, "/change-password", {"currentPassword": PASSWORD, "newPassword": "password123"}, here), 400, "PASSWORD_POOR")
    assert poor == {"least": 10}
    assert (await post(web, "/change-password", {"currentPassword": PASSWORD, "newPassword": NEW}, here)).status_code == 204
    assert (await here("GET", "/appointments/doctor-schedules")).status_code == 200
    failure(await there("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    failure(await web.sign_in(email), 401, "CREDENTIALS_WRONG")
    assert (await web.sign_in(email, NEW)).status_code == 200
    assert await events(web, here.id, "PasswordChanged") == ["PasswordChanged"] * 2


async def test_whoever_forgot_it_is_answered_alike_known_or_not(web):
    email = await web.account(await web.clinic(), "admin")
    known, unknown = [await post(web, "/forgot-password", {"email": address}) for address in (email, "nobody@clinic.example")]
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json()) == (202, {"accepted": True})
    account = UUID((await web.sign_in(email)).json()["user"]["id"])

    async def asked():
        return await events(web, account, "PasswordResetAsked") == ["PasswordResetAsked"]

    await until(asked)


async def test_a_link_sets_a_password_once_and_other_links_die_with_it(web):
    person = await web.person(await web.clinic(), "admin")
    first, second = [await web.services.codes.issue("password-reset", person.id, 60) for _ in range(2)]
    failure(await post(web, "/reset-password", {"token": first, "newPassword": "short"}), 400, "PASSWORD_POOR")
    answers = await asyncio.gather(*(post(web, "/reset-password", {"token": first, "newPassword": NEW}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 7
    failure(await post(web, "/reset-password", {"token": second, "newPassword": NEW}), 400, "CODE_WRONG")
    failure(await person("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")


async def test_six_digits_bear_five_tries(web):
    email = await web.account(await web.clinic(), "admin")
    account = UUID((await web.sign_in(email)).json()["user"]["id"])
    digits = await web.services.codes.issue_digits("password-code", account, 60)
    wrong = f"{(int(digits) + 1) % 1_000_000:06}"
    for _ in range(4):
        failure(await post(web, "/verify-otp", {"email": email, "otp": wrong}), 400, "CODE_WRONG")
    assert (await post(web, "/verify-otp", {"email": email, "otp": digits})).json() == {"valid": True}
    failure(await post(web, "/confirm-password-reset", {"email": email, "otp": digits, "newPassword": NEW}), 400, "CODE_WRONG")
    failure(await post(web, "/verify-otp", {"email": "nobody@clinic.example", "otp": digits}), 400, "CODE_WRONG")


async def test_sessions_are_listed_with_where_they_came_from_and_ended_from_elsewhere(web):
    web.services.proxies, before = Proxies("127.0.0.1"), web.services.proxies
    email = await web.account(await web.clinic(), "doctor")
    body = {"email": email, "password": PASSWORD}
    far = await post(web, "/signin", body, headers={"x-forwarded-for": "198.51.100.7", "user-agent": "Telephone/1"})
    web.services.proxies = before
    here, far = Person(web, (await web.sign_in(email)).json()), Person(web, far.json())
    items = (await web.client.get(AUTH + "/sessions", headers=here.headers)).json()["items"]
    assert [(one["address"], one["agent"], one["current"]) for one in items][1] == ("198.51.100.7", "Telephone/1", False)
    assert items[0]["current"]
    assert (await web.client.delete(f"{AUTH}/sessions/{items[1]['id']}", headers=here.headers)).status_code == 204
    failure(await far("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    assert await events(web, items[1]["id"]) == ["SessionStarted", "SessionClosed"]
    stranger = await web.person(await web.clinic(), "doctor")
    failure(await web.client.delete(f"{AUTH}/sessions/{items[0]['id']}", headers=stranger.headers), 404, "NOT_FOUND")


async def test_a_copied_refresh_token_ends_the_session_though_it_comes_at_once(web):
    person = await web.person(await web.clinic(), "doctor")
    body = {"refreshToken": person.session["refreshToken"]}
    assert (await post(web, "/refresh", body, headers={"user-agent": "mine"})).status_code == 200
    assert (await post(web, "/refresh", body, headers={"user-agent": "mine"})).status_code == 200, "an answer was lost"
    failure(await post(web, "/refresh", body, headers={"user-agent": "theirs"}), 401, "REFRESH_REUSED")
    failure(await person("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    session = web.services.keys.read(person.session["accessToken"]).session
    assert await events(web, session) == ["SessionStarted", "SessionClosed"]


async def test_a_one_time_token_opens_one_session_and_dies_with_its_own(web):
    person = await web.person(await web.clinic(), "doctor")
    token = (await post(web, "/generate-ott", None, person)).json()["token"]
    answers = await asyncio.gather(*(post(web, "/exchange", {"token": token}) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [200] + [400] * 5
    token = (await post(web, "/generate-ott", None, person)).json()["token"]
    await post(web, "/logout", None, person)
    failure(await post(web, "/exchange", {"token": token}), 400, "CODE_WRONG")
    failure(await post(web, "/generate-ott", None), 401, "SIGN_IN_REQUIRED")


async def test_a_person_of_two_clinics_switches_and_nobody_else_does(web):
    first, second, third = [await web.clinic() for _ in range(3)]
    email = await web.account(first, "doctor")
    await web.account(second, "receptionist", email=email)
    person = Person(web, (await web.sign_in(email)).json())
    failure(await person("POST", "/clinics/context/switch", {"clinicId": str(third)}), 403, "NO_MEMBER")
    switched = await person("POST", "/clinics/context/switch", {"clinicId": str(second)})
    assert (switched.json()["user"]["clinicId"], switched.json()["user"]["role"]) == (str(second), "receptionist")
    failure(await person("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")


async def test_whoever_is_suspended_is_out_at_once_and_may_come_back(web):
    person = await web.person(await web.clinic(), "doctor")
    await web.services.handler.handle(SuspendAccount(reason="Left the keys in the lock"), PLATFORMER, id=person.id)
    web.services.gate.forget()  # what a message does
    failure(await person("GET", "/appointments/doctor-schedules"), 403, "USER_INACTIVE")
    failure(await post(web, "/refresh", {"refreshToken": person.session["refreshToken"]}), 403, "USER_INACTIVE")
    await web.services.handler.handle(ReinstateAccount(), PLATFORMER, id=person.id)
    web.services.gate.forget()
    assert (await person("GET", "/appointments/doctor-schedules")).status_code == 200


async def test_too_many_guesses_are_told_to_the_owner_once(web):
    email = await web.account(await web.clinic(), "doctor")
    account = UUID((await web.sign_in(email)).json()["user"]["id"])
    for _ in range(14):
        await web.sign_in(email, "wrong")

    async def told():
        return await events(web, account, "AccountLockedOut") == ["AccountLockedOut"]

    await until(told)


async def test_a_shared_device_is_taken_over_by_digits(web):
    clinic = await web.clinic()
    desk = await web.account(clinic, "receptionist")
    colleague = await web.person(clinic, "doctor")
    pin = {"pin": "2580", "password": PASSWORD}
    assert (await web.client.put(AUTH + "/pin", json=pin, headers=colleague.headers)).status_code == 204
    wanted = {"accountId": str(colleague.id), "pin": "2580"}
    browser = Person(web, (await web.sign_in(desk)).json())
    failure(await post(web, "/quick-switch", wanted, browser), 409, "DEVICE_SHARED")
    device = Person(web, (await web.sign_in(desk, client="device")).json())
    failure(await post(web, "/quick-switch", {**wanted, "pin": "0000"}, device), 401, "PIN_WRONG")
    taken = Person(web, (await post(web, "/quick-switch", wanted, device)).json())
    assert taken.id == colleague.id
    failure(await device("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    stranger = await web.person(await web.clinic(), "doctor")
    await web.client.put(AUTH + "/pin", json=pin, headers=stranger.headers)
    failure(await post(web, "/quick-switch", {**wanted, "accountId": str(stranger.id)}, taken), 401, "PIN_WRONG")


async def test_who_acts_for_somebody_is_named_everywhere_and_cannot_take_the_account(web):
    clinic = await web.clinic()
    doctor, root = await web.person(clinic, "doctor"), await web.person(clinic, "superadmin")
    answer = await root("POST", f"/admin/users/{doctor.id}/impersonate", {"clinicId": str(clinic), "reason": "They called for help"})
    acting = Person(web, answer.json())
    assert answer.json()["user"]["impersonatorId"] == str(root.id)
    assert web.services.keys.read(acting.session["accessToken"]).impersonator == root.id
    patient = await acting("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})
    with psycopg.connect(web.owner_url) as owner:
        (actor, behalf) = owner.execute(
            "select e.actor, o.behalf from stored_events e join origins o on o.id = e.causation_id where e.originator_id = %s", [patient.json()["id"]],
        ).fetchone()
    assert (actor, behalf) == (root.id, doctor.id)
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    failure(await post(web, "/change-password", body, acting), 403, "NOT_WHILE_IMPERSONATING")
    failure(await post(web, "/generate-ott", None, acting), 403, "NOT_WHILE_IMPERSONATING")
    back = await post(web, "/impersonation/exit", None, acting)
    assert back.json()["user"]["role"] == "superadmin"
    failure(await acting("GET", "/appointments/doctor-schedules"), 401, "SESSION_ENDED")
    failure(await doctor("POST", f"/admin/users/{root.id}/impersonate", {"reason": "Mischief"}), 403, "FORBIDDEN")


async def test_one_address_is_one_account_however_many_open_it_at_once(web):
    clinic, email = await web.clinic(), f"{uuid4().hex}@clinic.example"
    await asyncio.gather(*(web.account(clinic, "doctor", email=email) for _ in range(10)))
    with psycopg.connect(web.owner_url) as owner:
        key = web.services.handler.address_key(email)
        found = owner.execute(
            "select count(*) from stored_events where topic = 'AccountOpened' and convert_from(state, 'UTF8') like %s", [f"%{key}%"]).fetchone()
    assert found == (1,)


async def test_a_deleted_accounts_address_is_free_again(web):
    email = await web.account(await web.clinic(), "doctor")
    first = UUID((await web.sign_in(email)).json()["user"]["id"])
    await web.services.handler.handle(DeleteAccount(), PLATFORMER, id=first)
    failure(await web.sign_in(email), 401, "CREDENTIALS_WRONG")
    second = (await web.services.handler.handle(OpenAccount(email=email), house(first))).id
    assert second != first


async def test_no_secret_and_no_address_lies_open_in_the_store(web):
    email = await web.account(await web.clinic(), "doctor")
    person = Person(web, (await web.sign_in(email)).json())
    await post(web, "/change-password", {"currentPassword": PASSWORD, "newPassword": NEW}, person)
    with psycopg.connect(web.owner_url) as owner:
        bodies = " ".join(body for (body,) in owner.execute("select convert_from(state, 'UTF8') from stored_events").fetchall())
    for secret in (PASSWORD, NEW, email, "argon2", person.session["refreshToken"], person.session["accessToken"]):
        assert secret not in bodies


