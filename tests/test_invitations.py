"""Invitations, through real HTTP: who may ask whom, what the letter's link opens, and for how long."""

import asyncio
import re
from uuid import UUID, uuid4

import pytest

from commands.clinics import LicenseClinic
from commands.kit.handling import Who
from domain.kit import PLATFORM
from domain.staff import INVITATION, SETUP
from tests.mail import MailServer, carrying, text
from tests.served import PASSWORD, failure, served, until, working

STAFF, DOOR = "/staff", "/api/v1/auth"
STRONG = "seven purple herons wade"


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


@pytest.fixture
async def admin(whole):
    return await whole.person(await whole.clinic(), "admin")


def clinic_of(person):
    return UUID(person.session["user"]["clinicId"])


def somebody():
    return f"bo-{uuid4().hex[:8]}@clinic.example"


async def invite(admin, email, role="doctor", **more):
    answer = await admin("POST", f"{STAFF}/invite", {"email": email, "name": "Bo Smit", "role": role, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def link(web, staff, seconds=60, purpose=INVITATION):
    """The token as the courier would write it into the letter."""
    return await web.services.codes.issue(purpose, UUID(staff), seconds)


async def accept(web, token, **body):
    return await web.client.post(f"{DOOR}/invitation/{token}/accept", json=body)


async def test_somebody_is_invited_accepts_and_works_here(whole, admin):
    email = somebody()
    staff = await invite(admin, email)
    token = await link(whole, staff)
    shown = (await whole.client.get(f"{DOOR}/invitation/{token}")).json()
    assert {k: shown[k] for k in ("clinicName", "email", "role", "name", "hasAccount")} == {
        "clinicName": "Grachten", "email": email, "role": "doctor", "name": "Bo Smit", "hasAccount": False}
    failure(await accept(whole, token), 400, "PASSWORD_NEEDED")
    failure(await accept(whole, token, password="password12"), 400, "PASSWORD_POOR")
    joined = await accept(whole, token, password=STRONG, name="Dr Bo Smit")
    assert (joined.status_code, joined.json()) == (200, {"clinicId": str(clinic_of(admin)), "email": email})
    session = (await whole.sign_in(email, STRONG)).json()
    assert (session["user"]["role"], session["user"]["subjectId"], session["user"]["clinicId"]) == ("doctor", staff, str(clinic_of(admin)))
    failure(await accept(whole, token, password=STRONG), 410, "INVITATION_OVER")
    failure(await whole.client.get(f"{DOOR}/invitation/{token}"), 410, "INVITATION_OVER")

    async def listed():
        (await admin("GET", f"{STAFF}/{staff}"))
        row = (await admin("GET", f"{STAFF}/{staff}")).json()
        return row.get("status") == "active" and row["name"] == "Dr Bo Smit" and row["accountId"] == session["user"]["id"]

    await until(listed)


async def test_role_and_clinic_are_the_invitations_whatever_is_sent(whole, admin):
    staff = await invite(admin, somebody(), "receptionist")
    token = await link(whole, staff)
    for more in ({"role": "admin"}, {"clinicId": str(uuid4())}, {"email": "eve@clinic.example"}, {"accountId": str(admin.id)}, {"superadmin": True}):
        failure(await accept(whole, token, password=STRONG, **more), 400, "BODY_INVALID")
    assert (await accept(whole, token, password=STRONG)).status_code == 200
    for path, body in (("invite", {"accountId": str(admin.id)}), ("invite", {"status": "active"}), ("create", {"accountId": str(admin.id)})):
        failure(await admin("POST", f"{STAFF}/{path}", {"email": somebody(), "name": "Eve", "role": "doctor", **body}), 400, "BODY_INVALID")


async def test_an_account_that_is_there_gains_a_place_and_keeps_its_password(whole, admin):
    email = await whole.account(await whole.clinic(), "admin")
    staff = await invite(admin, email, "receptionist")
    token = await link(whole, staff)
    assert (await whole.client.get(f"{DOOR}/invitation/{token}")).json()["hasAccount"] is True
    assert (await accept(whole, token, password=STRONG)).status_code == 200
    failure(await whole.sign_in(email, STRONG), 401, "CREDENTIALS_WRONG")
    here = await whole.sign_in(email, PASSWORD, clinicId=str(clinic_of(admin)))
    assert here.json()["user"]["role"] == "receptionist"
    there = await whole.sign_in(email, PASSWORD)
    assert there.json()["user"]["role"] == "admin", "elsewhere it is what it was"


async def test_only_one_of_many_acceptances_counts(whole, admin):
    token = await link(whole, await invite(admin, somebody()))
    answers = await asyncio.gather(*(accept(whole, token, password=f"{STRONG} {n}") for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7


async def test_an_invitation_sent_again_kills_the_link_before(whole, admin):
    email = somebody()
    staff = await invite(admin, email)
    old = await link(whole, staff)
    resent = await admin("POST", f"{STAFF}/invitations/{staff}/resend", {})
    assert (resent.status_code, resent.json()["status"]) == (200, "invited")
    failure(await whole.client.get(f"{DOOR}/invitation/{old}"), 410, "INVITATION_OVER")
    assert (await accept(whole, await link(whole, staff), password=STRONG)).status_code == 200
    failure(await admin("POST", f"{STAFF}/invitations/{staff}/resend", {}), 404, "NOT_FOUND")


async def test_a_cancelled_invitation_opens_nothing_and_leaves_the_list(whole, admin):
    staff = await invite(admin, somebody())
    token = await link(whole, staff)
    cancelled = await admin("DELETE", f"{STAFF}/invitations/{staff}")
    seen = await admin.seen(cancelled)
    assert staff not in (await admin("GET", f"{STAFF}/invitations", headers=seen)).text
    assert (await admin("GET", f"{STAFF}/{staff}", headers=seen)).status_code == 404
    failure(await accept(whole, token, password=STRONG), 410, "INVITATION_OVER")
    failure(await admin("DELETE", f"{STAFF}/invitations/{staff}"), 404, "NOT_FOUND")


async def test_open_invitations_are_listed(whole, admin):
    email = somebody()
    asked = await admin("POST", f"{STAFF}/invite", {"email": email, "role": "doctor", "language": "es"})
    (line,) = (await admin("GET", f"{STAFF}/invitations", headers=await admin.seen(asked))).json()["items"]
    assert (line["id"], line["email"], line["role"], line["sent"], line["invitedBy"]) == (asked.json()["id"], email, "doctor", 1, str(admin.id))
    failure(await admin("POST", f"{STAFF}/invite", {"email": email, "role": "doctor"}), 409, "STAFF_INVITED_ALREADY")


async def test_links_that_are_wrong_or_too_old_look_alike(whole, admin):
    staff = await invite(admin, somebody())
    for token in ("x", "a" * 43, await link(whole, staff, seconds=0), await link(whole, str(uuid4())), await link(whole, str(admin.id))):
        failure(await whole.client.get(f"{DOOR}/invitation/{token}"), 410, "INVITATION_OVER")
        failure(await accept(whole, token, password=STRONG), 410, "INVITATION_OVER")


async def test_the_letters_bring_the_links(whole, admin, module_database):
    """From the event to a mailbox, and from the letter back to the door; in the language that was asked for."""
    with MailServer() as post:
        async with carrying(module_database, post):
            email, other = somebody(), somebody()
            staff = await invite(admin, email, language="es")
            hired = await admin("POST", f"{STAFF}/create", {"email": other, "name": "Lou Kok", "role": "receptionist"})
            assert hired.status_code == 201

            async def arrived():
                return {f"Bo Smit <{email}>", f"Lou Kok <{other}>"} <= {message["To"] for message in post.box.taken}

            await until(arrived)

            def sent():
                return [message for message in post.box.taken if message["To"] == f"Bo Smit <{email}>"]

            letters = {message["To"]: message for message in post.box.taken}
            asked = letters[f"Bo Smit <{email}>"]
            assert asked["Subject"] == "Grachten le invita"
            first = re.search(r"/invitation/(\S+)", text(asked))[1]
            await admin("POST", f"{STAFF}/invitations/{staff}/resend", {"language": "en"})

            async def again():
                return len(sent()) == 2

            await until(again)
            second = re.search(r"/invitation/(\S+)", text(sent()[1]))[1]
    failure(await accept(whole, first, password=STRONG), 410, "INVITATION_OVER")
    assert (await accept(whole, second, password=STRONG)).status_code == 200
    setup = re.search(r"token=(\S+)", text(letters[f"Lou Kok <{other}>"]))[1]
    assert (await whole.client.post(f"{DOOR}/set-password", json={"token": setup, "password": STRONG})).status_code == 204
    assert (await whole.sign_in(other, STRONG)).status_code == 200


async def test_an_invitation_takes_a_seat_until_it_is_cancelled(whole):
    clinic = await whole.clinic()
    admin = await whole.person(clinic, "admin")
    root = Who(actor=uuid4(), clinic=clinic, role="superadmin", grants=frozenset())
    await whole.services.handler.handle(LicenseClinic(plan="Pro+", users=3, reason="A test"), root, id=clinic)
    answers = await asyncio.gather(*(
        admin("POST", f"{STAFF}/invite", {"email": somebody(), "role": "receptionist"}) for _ in range(12)))
    won = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(won) == 3
    for answer in answers:
        if answer.status_code != 201:
            failure(answer, 403, "USER_LIMIT_REACHED")
    failure(await admin("POST", f"{STAFF}/create", {"email": somebody(), "name": "Bo", "role": "receptionist"}), 403, "USER_LIMIT_REACHED")
    await admin("DELETE", f"{STAFF}/invitations/{won[0]}")
    assert (await admin("POST", f"{STAFF}/create", {"email": somebody(), "name": "Bo", "role": "receptionist"})).status_code == 201
    assert (await accept(whole, await link(whole, won[1]), password=STRONG)).status_code == 200, "a seat that is kept is there"


async def test_who_is_taken_on_directly_gets_an_account_and_sets_its_password(whole, admin):
    email = somebody()
    hired = await admin("POST", f"{STAFF}/create", {"email": email, "name": "Bo Smit", "role": "receptionist"})
    assert (hired.status_code, hired.json()["active"]) == (201, True)
    account = hired.json()["accountId"]
    failure(await whole.sign_in(email, STRONG), 401, "CREDENTIALS_WRONG")
    token = await link(whole, account, purpose=SETUP)
    shown = await whole.client.post(f"{DOOR}/verify-setup-token", json={"token": token})
    assert shown.json() == {"email": email, "name": "Bo Smit"}
    failure(await whole.client.post(f"{DOOR}/set-password", json={"token": token, "password": "password12"}), 400, "PASSWORD_POOR")
    answers = await asyncio.gather(*(whole.client.post(f"{DOOR}/set-password", json={"token": token, "password": STRONG}) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 5
    session = (await whole.sign_in(email, STRONG)).json()
    assert session["user"]["subjectId"] == hired.json()["id"]
    for path, body in (("verify-setup-token", {}), ("set-password", {"password": STRONG})):
        failure(await whole.client.post(f"{DOOR}/{path}", json={"token": await link(whole, account, purpose=SETUP), **body}), 400, "CODE_WRONG")


async def test_taking_on_somebody_who_has_an_account_tells_nothing_about_it(whole, admin):
    known, unknown = await whole.account(await whole.clinic(), "doctor"), somebody()
    answers = [(await admin("POST", f"{STAFF}/create", {"email": email, "name": "Bo", "role": "receptionist"})).json() for email in (known, unknown)]
    varying = {"id", "email", "accountId"}
    assert {k: v for k, v in answers[0].items() if k not in varying} == {k: v for k, v in answers[1].items() if k not in varying}
    here = await whole.sign_in(known, PASSWORD, clinicId=str(clinic_of(admin)))
    assert here.json()["user"]["role"] == "receptionist"


async def test_whoever_was_given_the_key_asks_nobody_above_himself(whole, admin):
    wishes = {"settings.staff.create": True, "settings.staff.edit": True, "settings.staff.remove": True}
    assert (await admin("PUT", "/clinic/permission-templates/doctor", {"permissions": wishes})).status_code == 200
    doctor = await whole.person(clinic_of(admin), "doctor")
    clerk = await invite(doctor, somebody(), "receptionist")
    failure(await doctor("POST", f"{STAFF}/invite", {"email": somebody(), "role": "admin"}), 403, "GRANT_BEYOND_YOUR_OWN")
    failure(await doctor("POST", f"{STAFF}/create", {"email": somebody(), "name": "Eve", "role": "admin"}), 403, "GRANT_BEYOND_YOUR_OWN")
    boss = (await admin("POST", f"{STAFF}/create", {"email": somebody(), "name": "Ada", "role": "admin"})).json()["id"]
    failure(await doctor("DELETE", f"{STAFF}/{boss}"), 403, "GRANT_BEYOND_YOUR_OWN")
    assert (await doctor("DELETE", f"{STAFF}/invitations/{clerk}")).status_code == 200


async def test_another_clinic_knows_nothing_of_it(whole, admin):
    staff = await invite(admin, somebody())
    far = await whole.person(await whole.clinic(), "admin")
    for method, path, body in (
        ("POST", f"{STAFF}/invitations/{staff}/resend", {}), ("DELETE", f"{STAFF}/invitations/{staff}", None), ("GET", f"{STAFF}/{staff}", None),
        ("PUT", f"{STAFF}/{staff}/permissions", {"permissions": {}}), ("GET", f"{STAFF}/{staff}/permissions", None),
    ):
        failure(await far(method, path, body), 404, "NOT_FOUND")
    token = await link(whole, staff)
    await far("POST", f"{STAFF}/invitations/{staff}/resend", {})
    assert (await whole.client.get(f"{DOOR}/invitation/{token}")).status_code == 200, "nor can they kill its link"
    assert staff not in (await far("GET", f"{STAFF}/invitations")).text


async def test_the_users_of_a_clinic_are_its_admins_and_the_platforms_to_see(whole, admin):
    clinic = clinic_of(admin)
    hired = await admin("POST", f"{STAFF}/create", {"email": somebody(), "name": "Bo", "role": "receptionist"})
    seen = await admin.seen(hired)
    root = await whole.person(PLATFORM, "superadmin")
    for person in (admin, root):
        users = (await person("GET", f"/clinics/{clinic}/users", headers=seen)).json()["items"]
        assert [(user["id"], user["accountId"], user["status"]) for user in users] == [(hired.json()["id"], hired.json()["accountId"], "active")]
    failure(await (await whole.person(await whole.clinic(), "admin"))("GET", f"/clinics/{clinic}/users"), 404, "NOT_FOUND")
    failure(await (await whole.person(clinic, "doctor"))("GET", f"/clinics/{clinic}/users"), 403, "FORBIDDEN")
