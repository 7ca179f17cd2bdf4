"""People across clinics: what the platform's people do about them, what the operator's key opens, and that neither is anybody else's."""

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.accounts import ChangeAccount, ChangePlatformRole, DeleteAccount, InviteAccount, SuspendAccount
from commands.kit.receipt import PLATFORMER
from domain.accounts import (
    AccountAddressChanged,
    AccountChanged,
    AccountDeleted,
    AccountInvited,
    AccountOpened,
    AccountSetUp,
    AccountSuspended,
    PasswordChanged,
    PlatformRoleChanged,
)
from domain.kit import PLATFORM, Forbidden, NotFound
from tests.kit import given
from tests.served import PASSWORD, PROTECTED, Person, failure, served, working

KEY = "an operator's key of more than thirty-two characters"
OPENED = AccountOpened(email="sam@example.org", address_key="0" * 32)


@pytest.fixture
async def web(module_database, nats_server):
    async with served(module_database, nats_server, admin_key=KEY) as serving, working(module_database, nats_server):
        yield serving


@pytest.fixture
async def root(web):
    return await web.person(PLATFORM, "superadmin")


def by_key(web, method, path, json=None, key=KEY):
    return web.client.request(method, PROTECTED + path, json=json, headers={"x-admin-key": key})


def test_only_one_of_the_platforms_people_decides_about_accounts():
    for command, event in (
        (ChangePlatformRole(superadmin=True), PlatformRoleChanged(superadmin=True)),
        (SuspendAccount(reason="Left"), AccountSuspended(reason="Left")),
        (DeleteAccount(), AccountDeleted()),
    ):
        given(OPENED).looking(entitled=True).when(command).then(event)
        given(OPENED).looking(entitled=False).when(command).refused(Forbidden)


def test_whoever_has_a_password_is_not_invited_again():
    given(OPENED).when(InviteAccount()).then(AccountInvited())
    given(OPENED, PasswordChanged(secret_id=uuid4(), way="first")).when(InviteAccount()).refused(AccountSetUp)
    given(OPENED, AccountDeleted()).when(InviteAccount()).refused(NotFound)


def test_what_is_left_out_of_a_change_stays():
    moved = AccountAddressChanged(email="bo@example.org", address_key="1" * 32)
    asked = ChangeAccount(email="bo@example.org", name="Bo")
    given(OPENED).looking(address="1" * 32).when(asked).then(AccountChanged(name="Bo"), moved)
    given(OPENED).looking(address="0" * 32).when(ChangeAccount(email="SAM@example.org")).then()
    given(OPENED).looking(address=None).when(ChangeAccount()).then()


async def test_a_superadmin_is_made_invited_and_unmade(web, root):
    email = f"{uuid4().hex[:8]}@platform.example"
    made = await root("POST", "/admin/create-superadmin", {"email": email, "name": "Pat"})
    assert (made.status_code, made.json()["superadmin"], made.json()["hasPassword"]) == (201, True, False)
    pat = made.json()["id"]
    token = await web.services.codes.issue("password-setup", UUID(pat), 600)
    assert (await root("POST", f"/admin/users/{pat}/resend-invite", {})).status_code == 200
    gone = await web.client.post("/api/v1/auth/verify-setup-token", json={"token": token})
    failure(gone, 400, "CODE_WRONG")  # the link before
    token = await web.services.codes.issue("password-setup", UUID(pat), 600)
    assert (await web.client.post("/api/v1/auth/set-password", json={"token": token, "password": PASSWORD})).status_code == 204
    failure(await root("POST", f"/admin/users/{pat}/resend-invite", {}), 409, "ACCOUNT_SET_UP")
    person = Person(web, (await web.sign_in(email)).json())
    assert (await person("GET", "/admin/users")).status_code == 200
    assert (await root("PUT", "/users/role", {"accountId": pat, "role": "none"})).json()["superadmin"] is False
    failure(await person("GET", "/admin/users"), 401, "SESSION_ENDED")
    failure(await root("PUT", "/users/role", {"accountId": str(root.id), "role": "none"}), 409, "ACCOUNT_NOT_SUSPENDABLE")


async def test_of_two_who_remove_each_other_at_once_one_stays(web):
    for _ in range(5):
        one, two = [await web.person(PLATFORM, "superadmin") for _ in range(2)]
        answers = await asyncio.gather(
            one("PUT", "/users/role", {"accountId": str(two.id), "role": "none"}), two("PUT", "/users/role", {"accountId": str(one.id), "role": "none"}))
        assert sorted(answer.status_code // 100 for answer in answers) == [2, 4], [answer.text for answer in answers]
        left = [bool((await web.services.members.account(person.id)).superadmin) for person in (one, two)]
        assert sorted(left) == [False, True]


async def test_somebody_is_added_to_a_clinic_takes_a_seat_and_leaves_it(web, root):
    clinic, other = await web.clinic(), await web.clinic()
    sam = Person(web, (await web.sign_in(await web.account(other, "doctor"))).json())
    boss = await web.person(clinic, "admin")
    hired = await root("POST", f"/users/{sam.id}/clinics", {"clinicId": str(clinic), "role": "doctor"})
    assert (hired.status_code, hired.json()["role"], hired.json()["accountId"]) == (201, "doctor", str(sam.id))
    failure(await root("POST", f"/users/{sam.id}/clinics", {"clinicId": str(clinic), "role": "admin"}), 409, "PLACE_OCCUPIED")
    failure(await root("POST", f"/users/{sam.id}/clinics", {"clinicId": str(uuid4()), "role": "admin"}), 404, "NOT_FOUND")
    mine = (await sam("GET", "/users/me/clinics")).json()["items"]
    assert {(one["clinicId"], one["role"], one["current"]) for one in mine} == {(str(clinic), "doctor", False), (str(other), "doctor", True)}
    assert (await root("GET", f"/users/{sam.id}/clinics")).json()["items"] == [{**one, "current": False} for one in mine]
    several = await root("GET", "/admin/users/multi-clinic", params={"limit": 200, "position": hired.headers["x-position"]})
    assert [one["clinics"] for one in several.json()["items"] if one["id"] == str(sam.id)] == [2]
    there = Person(web, (await sam("POST", "/clinics/context/switch", {"clinicId": str(clinic)})).json())
    grants = await root("PATCH", f"/admin/users/{sam.id}/clinics/{clinic}/permissions", {"permissions": {"patients.edit": False}})
    assert grants.json()["overrides"] == {"patients.edit": False}
    failure(await there("PUT", f"/patients/{uuid4()}", {"givenName": "A", "familyName": "B"}), 403, "FORBIDDEN")
    left = await root("DELETE", f"/users/{sam.id}/clinics/{clinic}")
    assert [one["clinicId"] for one in left.json()["items"]] == [str(other)]
    assert (await there("GET", "/patients")).status_code in {401, 403}  # the place or the session is looked at first
    failure(await root("DELETE", f"/users/{sam.id}/clinics/{clinic}"), 404, "PLACE_UNKNOWN")
    failure(await root("PATCH", f"/admin/users/{sam.id}/clinics/{clinic}/permissions", {"permissions": {}}), 404, "PLACE_UNKNOWN")
    assert (await boss("GET", f"/licenses/{clinic}/usage", params={"position": left.headers["x-position"]})).json()["doctors"]["used"] == 0


async def test_an_account_is_suspended_reset_moved_and_deleted(web, root):
    clinic = await web.clinic()
    email = await web.account(clinic, "receptionist")
    sam = Person(web, (await web.sign_in(email)).json())
    path = f"/admin/users/{sam.id}"
    assert (await root("PATCH", path + "/status", {"status": "suspended", "reason": "Keys in the lock"})).json()["status"] == "suspended"
    assert (await sam("GET", "/rooms")).status_code in {401, 403}  # the account or the session is looked at first
    failure(await web.sign_in(email), 403, "USER_INACTIVE")
    assert (await root("PATCH", path + "/status", {"status": "active"})).json()["status"] == "active"
    failure(await root("PATCH", path + "/status", {"status": "active"}), 409, "ACCOUNT_NOT_SUSPENDED")
    assert (await root("POST", path + "/reset-password", {})).json()["hasPassword"] is False
    failure(await web.sign_in(email), 401, "CREDENTIALS_WRONG")
    link = await web.services.codes.issue("password-reset", sam.id, 600)
    new = f"{uuid4().hex[:8]}@clinic.example"
    assert (await root("PATCH", f"/users/{sam.id}", {"email": new})).json()["email"] == new
    failure(await web.client.post("/api/v1/auth/reset-password", json={"token": link, "newPassword": PASSWORD}), 400, "CODE_WRONG")
    taken = await web.account(clinic, "admin")
    failure(await root("PATCH", f"/users/{sam.id}", {"email": taken}), 409, "NAME_TAKEN")
    link = await web.services.codes.issue("password-reset", sam.id, 600)
    assert (await web.client.post("/api/v1/auth/reset-password", json={"token": link, "newPassword": PASSWORD})).status_code == 204
    assert (await web.sign_in(new)).status_code == 200
    hired = (await root("POST", f"/users/{sam.id}/clinics", {"clinicId": str(await web.clinic()), "role": "doctor"})).json()
    assert (await root("DELETE", path)).json()["status"] == "deleted"
    failure(await web.sign_in(new), 401, "CREDENTIALS_WRONG")
    failure(await root("DELETE", path), 404, "NOT_FOUND")
    failure(await root("DELETE", f"/admin/users/{root.id}"), 409, "ACCOUNT_NOT_SUSPENDABLE")
    with psycopg.connect(web.owner_url) as owner:
        last = owner.execute("select topic from stored_events where originator_id = %s order by originator_version desc limit 1", [hired["id"]]).fetchone()
    assert last == ("StaffDeactivated",)


async def test_the_platform_invites_in_a_clinics_name_wherever_it_works_just_now(web):
    clinic, elsewhere = await web.clinic(), await web.clinic()
    root = await web.person(elsewhere, "superadmin")
    email = f"{uuid4().hex[:8]}@clinic.example"
    asked = await root("POST", "/admin/invitations", {"clinicId": str(clinic), "email": email, "name": "Kim", "role": "doctor"})
    assert (asked.status_code, asked.json()["status"]) == (201, "invited")
    assert (await root("POST", f"/admin/invitations/{asked.json()['id']}/resend", {"language": "es"})).status_code == 200
    failure(await root("POST", f"/admin/invitations/{uuid4()}/resend", {}), 404, "NOT_FOUND")
    assert (await (await web.person(clinic, "admin"))("GET", "/staff/invitations", params={"position": asked.headers["x-position"]})).json()["items"][0]["sent"] >= 1


async def test_a_patient_gets_a_fresh_link_and_the_one_before_opens_nothing(web):
    clinic = await web.clinic()
    boss, stranger = await web.person(clinic, "admin"), await web.person(await web.clinic(), "admin")
    email = f"{uuid4().hex[:8]}@example.org"
    noor = (await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker", "email": email})).json()["id"]
    made = await boss("POST", "/patients", {"givenName": "Jan", "familyName": "Smit"})
    seen, bare = await boss.seen(made), made.json()["id"]
    done = await boss("POST", "/staff/refresh-patient-access", {"patientId": noor}, headers=seen)
    assert done.status_code == 202, done.text
    account = UUID(done.json()["accountId"])
    link = await web.services.codes.issue("password-setup", account, 600)
    assert (await boss("POST", "/staff/refresh-patient-access", {"patientId": noor})).status_code == 202
    failure(await web.client.post("/api/v1/auth/set-password", json={"token": link, "password": PASSWORD}), 400, "CODE_WRONG")
    link = await web.services.codes.issue("password-setup", account, 600)
    assert (await web.client.post("/api/v1/auth/set-password", json={"token": link, "password": PASSWORD})).status_code == 204
    patient = Person(web, (await web.sign_in(email)).json())
    assert (patient.session["user"]["role"], patient.session["user"]["subjectId"]) == ("patient", noor)
    failure(await boss("POST", "/staff/refresh-patient-access", {"patientId": bare}), 422, "PATIENT_UNREACHABLE")
    failure(await stranger("POST", "/staff/refresh-patient-access", {"patientId": noor}), 404, "NOT_FOUND")
    failure(await patient("POST", "/staff/refresh-patient-access", {"patientId": noor}), 403, "FORBIDDEN")
    assert (await boss("POST", "/staff/refresh-patient-access", {"patientId": noor})).status_code == 202
    failure(await patient("GET", "/users/me/clinics"), 401, "SESSION_ENDED")


async def test_nobody_but_the_platforms_people_comes_near_accounts(web):
    clinic = await web.clinic()
    sam = await web.person(clinic, "doctor")
    for role in ("admin", "doctor", "receptionist"):
        person = await web.person(clinic, role)
        for method, path, body in (
            ("POST", "/admin/create-superadmin", {"email": "a@b.example", "name": "A"}), ("GET", "/admin/users", None), ("GET", "/users/clinics", None),
            ("PUT", "/users/role", {"accountId": str(person.id), "role": "superadmin"}), ("PATCH", f"/users/{sam.id}", {"name": "Mallory"}),
            ("POST", f"/users/{person.id}/clinics", {"clinicId": str(clinic), "role": "admin"}), ("DELETE", f"/admin/users/{sam.id}", None),
            ("POST", "/admin/invitations", {"clinicId": str(clinic), "email": "a@b.example", "name": "A", "role": "admin"}),
        ):
            answer = await person(method, path, body)
            failure(answer, 403, "FORBIDDEN")
            assert str(sam.id) not in answer.text


async def test_the_operators_key_opens_what_takes_a_superadmin_and_nothing_of_ones_own(web):
    email = f"{uuid4().hex[:8]}@platform.example"
    made = await by_key(web, "POST", "/admin/create-superadmin", {"email": email, "name": "First"})
    assert (made.status_code, made.json()["superadmin"]) == (201, True)
    assert (await by_key(web, "GET", "/clinics")).status_code == 200
    for method, path in (("GET", "/rooms"), ("GET", "/users/me/clinics"), ("GET", "/patients"), ("GET", "/audit")):
        assert (await by_key(web, method, path)).status_code in {403, 404}, path
    failure(await web.client.get("/api/v1/auth/me", headers={"x-admin-key": KEY}), 403, "FORBIDDEN")
    failure(await web.client.get("/api/v1/auth/sessions", headers={"x-admin-key": KEY}), 403, "FORBIDDEN")
    sam = await web.person(await web.clinic(), "doctor")
    failure(await by_key(web, "POST", f"/admin/users/{sam.id}/impersonate", {"reason": "Curious"}), 401, "SIGN_IN_REQUIRED")
    failure(await by_key(web, "GET", "/admin/users", key=KEY[:-1] + "!"), 401, "ADMIN_KEY_WRONG")
    failure(await by_key(web, "GET", "/admin/users", key=""), 401, "ADMIN_KEY_WRONG")
    with psycopg.connect(web.owner_url) as owner:
        client = owner.execute(
            "select o.client from stored_events e join origins o on o.id = e.causation_id where e.originator_id = %s and e.topic = 'PlatformRoleChanged'",
            [made.json()["id"]]).fetchone()
    assert client == ("admin-key",)
    assert KEY not in str((await web.services.reading.lanes.ask(PLATFORM, "select o::text from origins o", ())).rows)


async def test_without_a_key_in_the_settings_none_opens_anything(module_database):
    async with served(module_database) as web:
        for key in ("", KEY, "None"):
            failure(await by_key(web, "GET", "/admin/users", key=key), 401, "ADMIN_KEY_WRONG")


async def test_guessing_the_operators_key_ends_soon(database):
    async with served(database, admin_key=KEY) as web:
        codes = [(await by_key(web, "GET", "/admin/users", key=f"{KEY}{n}")).status_code for n in range(52)]
        assert codes == [401] * 50 + [429] * 2
        assert (await by_key(web, "GET", "/admin/users")).status_code == 200, "whoever has it is not locked out by others"


def test_the_installation_itself_needs_no_account():
    assert PLATFORMER.actor == PLATFORM
