"""Signing up: a clinic asks, is approved, and opens by the letter's link; through real HTTP, and once with real letters."""

import asyncio
import re
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.accounts import GivePlace, OpenAccount, SetPassword, opened
from commands.clinics import FoundClinic
from commands.kit.receipt import house
from commands.signups import (
    ApproveSignup,
    BeginOnboarding,
    RejectSignup,
    ResendActivation,
    SendOnboardingCode,
    SubmitSignup,
    UseInviteCode,
)
from commands.staff import AdmitFounder
from domain.clinics import Clinic
from domain.invite_codes import InviteCodeMinted, InviteCodeOver, InviteCodeRevoked, InviteCodeUsed, signup_of
from domain.kit import PLATFORM, Elsewhere, NotFound, ZoneUnknown
from domain.kit.licences import Licence
from domain.plans import PlanOffer
from domain.signups import (
    ONBOARDING,
    ONBOARDING_CODE,
    OnboardingBegun,
    OnboardingCodeAsked,
    OnboardingIncomplete,
    OnboardingOver,
    Premises,
    Signup,
    SignupActivationResent,
    SignupApproved,
    SignupCompleted,
    SignupNotApproved,
    SignupRejected,
    SignupSettled,
    SignupSubmitted,
    clinic_of,
)
from domain.staff import StaffDeactivated, StaffHired, StaffJoined, StaffNotActive, founder_of
from projections.signups import signups
from tests.kit import THIS, facts, given, noon
from tests.mail import MailServer, carrying, text
from tests.served import PASSWORD, failure, served, until, working

DOOR = "/api/v1/auth"
STRONG = "seven purple herons wade"
WEEK = noon.now + timedelta(days=7)
AMSTERDAM = {"zone": "Europe/Amsterdam", "currency": "EUR", "country": "NL"}
submitted = SignupSubmitted(name="Ada", email="ada@example.org", clinic_name="Grachten", **AMSTERDAM)
bare = SignupSubmitted(name="Ada", email="ada@example.org", clinic_name="Grachten")
approved = SignupApproved(days=90, users=10, doctors=3, way="superadmin", expires_at=WEEK)
rejected = SignupRejected(reason="Not there yet")
done = SignupCompleted(clinic_id=clinic_of(THIS), account_id=uuid4())
asking = SubmitSignup(name="Ada", email="ada@example.org", clinic_name="Grachten", **AMSTERDAM)
offer = {"offer": PlanOffer()}


def test_a_request_waits_for_one_of_us_unless_a_code_or_the_installation_says_otherwise():
    given().looking(**offer).when(asking).then(submitted)
    direct = SubmitSignup(name="Ada", email="ada@example.org", clinic_name="Grachten", direct=True, **AMSTERDAM)
    given().looking(**offer).when(direct).then(submitted, SignupApproved(days=90, users=10, doctors=3, way="direct", expires_at=WEEK))
    given().looking(**offer).when(SubmitSignup(name="A", email="a@b.example", clinic_name="G", direct=True)).refused(OnboardingIncomplete)
    given().looking(**offer).when(SubmitSignup(name="A", email="a@b.example", clinic_name="G", zone="Mars/Olympus")).refused(ZoneUnknown)


def test_an_invite_code_approves_so_often_and_so_long_as_it_says():
    with_code = UseInviteCode(name="Ada", email="ada@example.org", clinic_name="Grachten", **AMSTERDAM)
    minted, signup = InviteCodeMinted(uses=1, expires_at=WEEK), signup_of(THIS, 1)
    let_in = SignupApproved(days=90, users=10, doctors=3, way="invite", invite_id=THIS, expires_at=WEEK)
    used = InviteCodeUsed(signup_id=signup)
    given(minted).looking(**offer).when(with_code).then(used, Elsewhere(state=Signup, id=signup, events=[submitted, let_in]))
    for over in ((), (minted, used), (minted, InviteCodeRevoked()), (InviteCodeMinted(uses=1, expires_at=noon.now),)):
        given(*over).looking(**offer).when(with_code).refused(InviteCodeOver)


def test_it_is_decided_and_until_the_clinic_is_open_thought_over():
    given(submitted).looking(**offer).when(ApproveSignup()).then(approved)
    given(submitted, rejected).looking(**offer).when(ApproveSignup(days=30)).then(
        SignupApproved(days=30, users=10, doctors=3, way="superadmin", expires_at=WEEK))
    given(submitted, approved).when(RejectSignup(reason="Not there yet")).then(rejected)
    given(submitted, approved).looking(**offer).when(ApproveSignup()).refused(SignupSettled)
    given(submitted, rejected).when(RejectSignup(reason="x")).refused(SignupSettled)
    for history in ((submitted, approved, done),):
        given(*history).looking(**offer).when(ApproveSignup()).refused(SignupSettled)
        given(*history).when(RejectSignup(reason="x")).refused(SignupSettled)
    given().looking(**offer).when(ApproveSignup()).refused(NotFound)


def test_the_link_is_good_for_a_week_and_can_be_sent_again():
    late = SignupApproved(days=90, way="superadmin", expires_at=noon.now)
    given(submitted, late).when(BeginOnboarding()).refused(OnboardingOver)
    given(submitted, late).when(ResendActivation()).then(SignupActivationResent(expires_at=WEEK))
    given(submitted, late, SignupActivationResent(expires_at=WEEK)).when(BeginOnboarding()).then(OnboardingBegun())
    given(submitted, approved, OnboardingBegun()).when(BeginOnboarding()).then()
    given(submitted, approved).when(SendOnboardingCode()).then(OnboardingCodeAsked())
    for history in ((submitted,), (submitted, rejected), (submitted, approved, rejected), (submitted, approved, done)):
        given(*history).when(ResendActivation()).refused(SignupNotApproved)
        given(*history).when(SendOnboardingCode()).refused(OnboardingOver)


def test_the_admin_has_the_last_word_about_the_clinic():
    state = Signup.replay([submitted, approved])
    assert state.settled(Premises(clinic_name="Singel", currency="USD")) == Premises(clinic_name="Singel", country="NL", zone="Europe/Amsterdam", currency="USD")
    with pytest.raises(OnboardingIncomplete) as lacking:
        Signup.replay([bare, approved]).settled(Premises(zone="UTC"))
    assert lacking.value.details == {"missing": ["currency"]}


def test_a_clinic_is_founded_once_with_its_trial_and_its_admin():
    found = FoundClinic(
        name="Grachten", zone="Europe/Amsterdam", currency="EUR", trial=Licence(users=10, doctors=3, trial=True), days=90, admin_name="Ada",
        admin_email="ada@example.org")
    decided = given().when(found).decide()
    began, licensed, hired, seat = decided
    clinic = Clinic.replay([began, licensed])
    assert (clinic.name, clinic.tried, clinic.licence.trial, clinic.licence.until) == ("Grachten", True, True, noon.today + timedelta(days=89))
    assert (hired.id, hired.events) == (founder_of(noon.clinic), [StaffHired(name="Ada", email="ada@example.org", role="admin")])
    assert seat.events[0].holder == founder_of(noon.clinic)
    given(began, licensed).when(found).then()
    account = uuid4()
    given(*hired.events).when(AdmitFounder(account_id=account)).then(StaffJoined(account_id=account))
    given(*hired.events, StaffJoined(account_id=account)).when(AdmitFounder(account_id=account)).then()
    given(*hired.events, StaffDeactivated()).when(AdmitFounder(account_id=account)).refused(StaffNotActive)


def test_the_row_tells_how_it_stands():
    row = None
    for fact in facts(submitted, approved, SignupActivationResent(expires_at=WEEK), OnboardingBegun(), OnboardingCodeAsked(), done):
        row = signups(row, fact)
    assert (row.status, row.sent, row.way, row.clinic, row.account_id, row.trial_days) == ("active", 2, "superadmin", clinic_of(THIS), done.account_id, 90)
    row = None
    for fact in facts(submitted, approved, rejected):
        row = signups(row, fact)
    assert (row.status, row.reason, row.expires_at) == ("rejected", "Not there yet", None)


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server, proxies="127.0.0.0/8") as serving, working(module_database, nats_server):
        yield serving


@pytest.fixture
async def door(module_database):
    """Without read models: what is decided is known at once."""
    async with served(module_database, proxies="127.0.0.0/8") as serving:
        yield serving


def somebody():
    return f"ada-{uuid4().hex[:8]}@clinic.example"


def street():
    """An address from which nobody has come yet."""
    return {"x-forwarded-for": f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"}


async def sign_up(web, email, **more):
    said = {"name": "Ada Kok", "email": email, "clinicName": "Grachten Dental", **more}
    return await web.client.post(f"{DOOR}/signup", json=said, headers=street())


async def asked(web, email, **more):
    answer = await sign_up(web, email, **more)
    assert answer.status_code == 202, answer.text
    return answer.json()["requestId"]


async def root(web):
    return await web.person(PLATFORM, "superadmin")


async def link(web, signup):
    """The token as the courier would write it into the letter."""
    return await web.services.codes.issue(ONBOARDING, UUID(signup), 60)


async def digits(web, signup):
    return await web.services.codes.issue_digits(ONBOARDING_CODE, UUID(signup), 60)


async def post(web, path, **body):
    return await web.client.post(f"{DOOR}/{path}", json=body)


async def status(web, signup):
    return (await web.client.get(f"{DOOR}/check-status/{signup}")).json()["status"]


async def test_a_clinic_signs_up_is_approved_opens_and_invites_a_doctor_by_letters(whole, module_database, nats_server):
    """The whole way, with the letters that really went out, in the language that was asked for."""
    with MailServer() as server:
        async with carrying(module_database, server, nats_server):
            email, doctor = somebody(), somebody()
            signup = await asked(whole, email, language="es", phone="+31 20 123 4567", **AMSTERDAM)
            boss = await root(whole)
            assert await status(whole, signup) == "pending"
            assert (await boss("POST", f"/users/{signup}/approve", {})).json()["status"] == "approved"
            message = await letter(server, email, "Abra su clínica")
            token = re.search(r"/auth/onboarding/validate/(\S+)", text(message))[1]
            shown = (await whole.client.get(f"{DOOR}/onboarding/validate/{token}")).json()
            assert (shown["clinicName"], shown["email"], shown["zone"], shown["hasAccount"], shown["trialDays"]) == (
                "Grachten Dental", email, "Europe/Amsterdam", False, 90)
            assert (await post(whole, "onboarding", token=token)).json() == shown
            assert (await post(whole, "onboarding/send-otp", token=token)).status_code == 202
            code = (await letter(server, email, r"\d{6} abre su clínica"))["Subject"][:6]
            founded = await post(whole, "onboarding/complete", token=token, code=code, password=STRONG, clinicName="Grachten", currency="USD")
            assert founded.status_code == 201, founded.text
            session = (await whole.sign_in(email, STRONG)).json()
            clinic = founded.json()["clinicId"]
            assert (session["user"]["role"], session["user"]["clinicId"]) == ("admin", clinic)
            headers = {"authorization": f"Bearer {session['accessToken']}"}
            context = (await whole.client.get("/api/v1/protected/clinics/context", headers=headers)).json()
            assert (context["name"], context["zone"], context["currency"], context["plan"]) == ("Grachten", "Europe/Amsterdam", "USD", "Pro")
            invited = await whole.client.post("/api/v1/protected/staff/invite", json={"email": doctor, "role": "doctor"}, headers=headers)
            assert invited.status_code == 201
            invitation = re.search(r"/invitation/(\S+)", text(await letter(server, doctor, "Grachten invites you")))[1]
            assert (await post(whole, f"invitation/{invitation}/accept", password=STRONG)).status_code == 200
            assert (await whole.sign_in(doctor, STRONG)).json()["user"]["clinicId"] == clinic
            assert {message["Subject"] for message in server.box.taken if email in message["To"]} == {"Abra su clínica", f"{code} abre su clínica"}
    failure(await whole.client.get(f"{DOOR}/onboarding/validate/{token}"), 410, "ONBOARDING_OVER")
    assert await status(whole, signup) == "active"
    with psycopg.connect(module_database.url("owner")) as owner:
        kept = owner.execute("select convert_from(state, 'UTF8') from stored_events").fetchall() + owner.execute("select l::text from letters l").fetchall()
        about = owner.execute("select convert_from(state, 'UTF8') from stored_events where originator_id = %s", [signup]).fetchall()
    assert not any(secret in line for (line,) in kept for secret in (token, STRONG))
    assert len(about) == 5
    assert not any(said in line for (line,) in about for said in (email, "Ada Kok", "123 4567")), "what is said of a person is sealed"


async def letter(server, email, subject):
    """Wait for a letter to that address."""
    def found():
        return [one for one in server.box.taken if email in one["To"] and re.fullmatch(subject, one["Subject"])]

    async def there():
        return bool(found())

    await until(there)
    return found()[0]


async def test_of_many_completions_one_opens_the_clinic_and_all_else_stays_single(door, module_database):
    email = somebody()
    signup = await asked(door, email, **AMSTERDAM)
    await (await root(door))("POST", f"/users/{signup}/approve", {})
    tokens = [await link(door, signup) for _ in range(8)]
    code = await digits(door, signup)
    answers = await asyncio.gather(*(post(door, "onboarding/complete", token=token, code=code, password=f"{STRONG} {n}") for n, token in enumerate(tokens)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7
    assert count(module_database, signup) == [("ClinicLicensed", 1), ("ClinicOpened", 1), ("SeatTaken", 1), ("StaffHired", 1), ("StaffJoined", 1)]
    for token in tokens:
        failure(await post(door, "onboarding/complete", token=token, code=code, password=STRONG), 410, "ONBOARDING_OVER")


def count(database, signup):
    with psycopg.connect(database.url("owner")) as owner:
        return owner.execute(
            "select topic, count(*) from stored_events where clinic_id = %s and topic not like 'Session%%' group by 1 order by 1",
            [clinic_of(UUID(signup))]).fetchall()


STEPS = ("account", "clinic", "staff", "place", "password")


@pytest.mark.parametrize("last", STEPS)
async def test_what_a_crash_left_half_done_is_finished_by_asking_again(door, module_database, last):
    """It ended after that step, and nobody was told: other digits, the same link, and all is well, once."""
    email = somebody()
    signup = await asked(door, email, **AMSTERDAM)
    await (await root(door))("POST", f"/users/{signup}/approve", {})
    await crashed(door, email, clinic := clinic_of(UUID(signup)), STEPS[: STEPS.index(last) + 1])
    token = await link(door, signup)
    failure(await post(door, "onboarding/complete", token=token, code="000000", password=STRONG), 400, "CODE_WRONG")
    again = await post(door, "onboarding/complete", token=token, code=await digits(door, signup), password=STRONG)
    assert (again.status_code, again.json()) == (201, {"clinicId": str(clinic), "email": email})
    assert (await door.sign_in(email, STRONG)).json()["user"]["subjectId"] == str(founder_of(clinic))
    assert count(module_database, signup) == [("ClinicLicensed", 1), ("ClinicOpened", 1), ("SeatTaken", 1), ("StaffHired", 1), ("StaffJoined", 1)]
    assert await status(door, signup) == "active"


async def crashed(web, email, clinic, steps):
    """Do some of the steps of a completion, as the handler does them."""
    handler, founder = web.services.handler, founder_of(clinic)
    account = await opened(handler, OpenAccount(email=email, name="Ada Kok"))
    if "clinic" in steps:
        trial = Licence(users=10, doctors=3, trial=True)
        found = FoundClinic(name="Grachten Dental", zone="Europe/Amsterdam", currency="EUR", trial=trial, days=90, admin_name="Ada Kok", admin_email=email)
        await handler.handle(found, house(account, clinic))
    if "staff" in steps:
        await handler.handle(AdmitFounder(account_id=account), house(account, clinic), id=founder)
    if "place" in steps:
        await handler.handle(GivePlace(clinic_id=clinic, role="admin", subject_id=founder), house(account), id=account)
    if "password" in steps:
        secret = await web.services.vault.put_password(account, STRONG)
        await handler.handle(SetPassword(secret_id=secret, way="changed"), house(account), id=account)


async def test_onboarding_asks_for_all_it_needs_before_it_spends_the_digits(door):
    signup = await asked(door, somebody())
    await (await root(door))("POST", f"/users/{signup}/approve", {})
    token, code = await link(door, signup), await digits(door, signup)
    whole_ = {"token": token, "code": code, "password": STRONG, "zone": "UTC", "currency": "EUR"}
    for lacking, named in (("zone", "ONBOARDING_INCOMPLETE"), ("currency", "ONBOARDING_INCOMPLETE"), ("password", "PASSWORD_NEEDED")):
        failure(await post(door, "onboarding/complete", **{k: v for k, v in whole_.items() if k != lacking}), 400, named)
    for wrong, named in (({"zone": "Mars/Olympus"}, "ZONE_UNKNOWN"), ({"password": "password12"}, "PASSWORD_POOR"), ({"clinicId": str(uuid4())}, "BODY_INVALID")):
        failure(await post(door, "onboarding/complete", **{**whole_, **wrong}), 400, named)
    assert (await post(door, "onboarding/complete", **whole_)).status_code == 201


async def test_whoever_has_an_account_keeps_its_password_and_has_one_more_clinic(door):
    email = await door.account(await door.clinic(), "doctor")
    answers = [await sign_up(door, address, **AMSTERDAM) for address in (email, somebody())]
    assert [(answer.status_code, answer.json()["status"], set(answer.json())) for answer in answers] == [(202, "pending", {"requestId", "status"})] * 2
    signup = answers[0].json()["requestId"]
    await (await root(door))("POST", f"/users/{signup}/approve", {})
    token = await link(door, signup)
    assert (await door.client.get(f"{DOOR}/onboarding/validate/{token}")).json()["hasAccount"] is True
    answer = await post(door, "onboarding/complete", token=token, code=await digits(door, signup), password=STRONG)
    failure(await door.sign_in(email, STRONG), 401, "CREDENTIALS_WRONG")
    here = await door.sign_in(email, PASSWORD, clinicId=answer.json()["clinicId"])
    assert here.json()["user"]["role"] == "admin"


async def test_a_rejection_is_told_and_opens_nothing(whole):
    signup, boss = await asked(whole, somebody(), **AMSTERDAM), await root(whole)
    await boss("POST", f"/users/{signup}/approve", {})
    token = await link(whole, signup)
    failure(await boss("POST", f"/users/{signup}/reject", {}), 400, "BODY_INVALID")
    done = await boss("POST", f"/users/{signup}/reject", {"reason": "Not there yet"})
    told = (await whole.client.get(f"{DOOR}/check-status/{signup}")).json()
    assert (told["status"], told["reason"], "email" in told) == ("rejected", "Not there yet", False)
    failure(await whole.client.get(f"{DOOR}/onboarding/validate/{token}"), 410, "ONBOARDING_OVER")
    failure(await post(whole, f"check-status/{signup}/resend-activation"), 409, "SIGNUP_NOT_APPROVED")
    assert (await boss("GET", f"/users/pending/{signup}", headers=await boss.seen(done))).json()["status"] == "rejected"
    failure(await whole.client.get(f"{DOOR}/check-status/{uuid4()}"), 404, "NOT_FOUND")


async def test_a_letter_sent_again_kills_the_link_before(door):
    signup = await asked(door, somebody(), **AMSTERDAM)
    failure(await post(door, f"check-status/{signup}/resend-activation"), 409, "SIGNUP_NOT_APPROVED")
    await (await root(door))("POST", f"/users/{signup}/approve", {})
    old = await link(door, signup)
    assert (await post(door, f"check-status/{signup}/resend-activation")).status_code == 202
    failure(await post(door, "onboarding", token=old), 410, "ONBOARDING_OVER")
    answers = [(await post(door, f"check-status/{signup}/resend-activation")).status_code for _ in range(12)]
    assert set(answers[:8]) == {202}
    assert answers[-1] == 423, "nobody is flooded with letters"


async def test_only_the_platform_sees_and_decides(whole):
    signup, clinic = await asked(whole, somebody(), **AMSTERDAM), await whole.clinic()
    people = [await whole.person(clinic, role) for role in ("admin", "doctor")]
    for method, path, body in (
        ("GET", "/users/pending", None), ("GET", f"/users/pending/{signup}", None), ("GET", "/signups", None),
        ("POST", f"/users/{signup}/approve", {}), ("POST", f"/users/{signup}/reject", {"reason": "x"}),
    ):
        for person in people:
            failure(await person(method, path, body), 403, "FORBIDDEN")
    boss = await root(whole)

    async def listed():
        found = (await boss("GET", "/users/pending?limit=200")).json()["items"]
        return signup in {one["id"] for one in found} and {one["status"] for one in found} == {"pending"}

    await until(listed)
    approved_ = await boss("POST", f"/users/{signup}/approve", {"days": 30})
    seen = await boss.seen(approved_)
    assert signup not in (await boss("GET", "/users/pending?limit=200", headers=seen)).text
    assert signup in (await boss("GET", "/signups?status=approved&limit=200", headers=seen)).text


async def test_a_street_signs_up_ten_an_hour(door):
    headers, said = street(), {"name": "Ada", "email": somebody(), "clinicName": "Grachten"}
    answers = await asyncio.gather(*(door.client.post(f"{DOOR}/signup", json=said, headers=headers) for _ in range(13)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [429] * 3
    failure(await sign_up(door, somebody(), direct=True), 400, "BODY_INVALID")
    failure(await sign_up(door, somebody(), inviteId=str(uuid4())), 400, "BODY_INVALID")


async def test_where_registration_is_direct_the_clinic_is_open_at_once_and_the_link_lets_its_admin_in(module_database, nats_server):
    async with served(module_database, nats_server, proxies="127.0.0.0/8", registration="direct") as web, working(module_database, nats_server):
        failure(await sign_up(web, somebody()), 400, "ONBOARDING_INCOMPLETE")
        email = somebody()
        answer = (await sign_up(web, email, **AMSTERDAM)).json()
        assert answer["status"] == "approved"
        boss, clinic = await root(web), clinic_of(UUID(answer["requestId"]))

        async def trying():
            row = (await boss("GET", f"/clinics/{clinic}")).json()
            return (row.get("name"), row.get("trial"), row.get("country")) == ("Grachten Dental", True, "NL")

        await until(trying)
        failure(await web.sign_in(email, STRONG), 401, "CREDENTIALS_WRONG")
        token = await link(web, answer["requestId"])
        done = await post(web, "onboarding/complete", token=token, code=await digits(web, answer["requestId"]), password=STRONG)
        assert done.json() == {"clinicId": str(clinic), "email": email}
        assert (await web.sign_in(email, STRONG)).json()["user"]["clinicId"] == str(clinic)
