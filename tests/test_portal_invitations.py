"""Patients are asked into the portal: who may be, what the letter's link opens and for how long, and what whoever comes sees and says of themselves."""

import asyncio
import re
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec.structs import replace

from commands.kit.codes import bearing
from commands.kit.doors import CHECKS
from commands.patients import ChangeOwnRecord, ReportMedicalHistory
from commands.portal_invitations import CancelPortalInvitation, InvitePatient, JoinPortal, ResendPortalInvitation
from domain.kit import PLATFORM, NotFound
from domain.kit.links import link_of
from domain.patients import (
    MedicalEntry,
    MedicalHistoryAmended,
    MedicalHistoryReported,
    Patient,
    PatientArchived,
    PatientContactChanged,
    PatientNotActive,
    PatientRegistered,
    PatientUnreachable,
)
from domain.portal_invitations import (
    INVITED_FOR,
    PORTAL,
    PatientHasPortal,
    PatientInvitedAlready,
    PortalAddressTaken,
    PortalInvitationCancelled,
    PortalInvitationOver,
    PortalInvited,
    PortalJoined,
    invitation_of,
)
from projections.patients import medical_histories, patients
from tests.kit import ACTOR, THIS, facts, given, noon
from tests.mail import MailServer, carrying, text
from tests.served import PASSWORD, Person, failure, served, until, working

DOOR, STRONG = "/api/v1/auth/portal-invitation", "seven purple herons wade"
NOOR, ACCOUNT = UUID(int=2), UUID(int=3)
KEY, OTHER_KEY = "0" * 32, "f" * 32
REGISTERED = PatientRegistered(given_name="Noor", family_name="Bakker", email="noor@example.org", phone="+31 6 1234", registered_on=noon.today)
here = {"patient": Patient.replay([REGISTERED]), "address": KEY}
asked = PortalInvited(patient_id=NOOR, address_key=KEY, number=1, expires_at=noon.now + INVITED_FOR)
cancelled, joined = PortalInvitationCancelled(patient_id=NOOR), PortalJoined(patient_id=NOOR, account_id=ACCOUNT)
INVITE = InvitePatient(patient_id=NOOR)


# --- the rules


def test_a_patient_is_asked_in_once_until_it_is_taken_back():
    given().looking(**here).when(INVITE).then(asked)
    given(asked).looking(**here).when(INVITE).refused(PatientInvitedAlready)
    given(asked, cancelled).looking(**here).when(INVITE).then(replace(asked, number=2))
    given(asked, joined).looking(**here).when(INVITE).then(replace(asked, number=2))  # whose account is gone again
    for standing, why in (("joined", PatientHasPortal), ("taken", PortalAddressTaken)):
        given().looking(**here).when(replace(INVITE, standing=standing)).refused(why)
    given().looking(**{**here, "address": None}).when(INVITE).refused(PatientUnreachable)
    given().looking(**{**here, "patient": Patient.replay([REGISTERED, PatientArchived()])}).when(INVITE).refused(PatientNotActive)


def test_an_open_invitation_is_sent_again_even_when_it_has_run_out():
    later = replace(noon, now=noon.now + timedelta(days=30))
    found = {**here, "address": OTHER_KEY}
    given(asked, at=later).looking(**found).when(ResendPortalInvitation()).then(
        replace(asked, number=2, address_key=OTHER_KEY, expires_at=later.now + INVITED_FOR))
    for events in ((asked, cancelled), (asked, joined)):
        given(*events).looking(**here).when(ResendPortalInvitation()).refused(NotFound)
        given(*events).when(CancelPortalInvitation()).refused(NotFound)
    given(asked).when(CancelPortalInvitation()).then(cancelled)


def test_the_last_letters_link_at_the_same_address_opens_the_door_once():
    join = JoinPortal(account_id=ACCOUNT, link=link_of(THIS, 1))
    given(asked).looking(**here).when(join).then(joined)
    for events in ((asked, joined), (asked, cancelled), (asked, replace(asked, number=2))):
        given(*events).looking(**here).when(join).refused(PortalInvitationOver)
    given(asked).looking(**{**here, "address": OTHER_KEY}).when(join).refused(PortalInvitationOver)
    given(asked, at=replace(noon, now=asked.expires_at)).looking(**here).when(join).refused(PortalInvitationOver)
    given(asked).looking(**{**here, "patient": Patient.replay([REGISTERED, PatientArchived()])}).when(join).refused(PatientNotActive)


def test_a_patients_own_word_leaves_the_rest_alone():
    given(REGISTERED).when(ChangeOwnRecord(phone="+31 6 5678")).then(PatientContactChanged(phone="+31 6 5678"))
    given(REGISTERED).when(ChangeOwnRecord()).then()
    given(REGISTERED, PatientArchived()).when(ChangeOwnRecord(phone="+31 6 5678")).refused(PatientNotActive)
    row = None
    for fact in facts(REGISTERED, PatientContactChanged(phone="+31 6 5678")):
        row = patients(row, fact)
    assert row is not None
    assert (row.phone, row.email, row.given_name) == ("+31 6 5678", "noor@example.org", "Noor")


def test_what_a_patient_reports_stands_beside_what_the_clinic_noted():
    latex, penicillin = MedicalEntry(name="Latex"), MedicalEntry(name="Penicillin")
    said = MedicalHistoryReported(allergies=[latex], conditions=[], medications=[])
    given(REGISTERED).when(ReportMedicalHistory(allergies=[latex], conditions=[], medications=[])).then(said)
    row = None
    for fact in facts(REGISTERED, MedicalHistoryAmended(allergies=[penicillin], conditions=[], medications=[]), said):
        row = medical_histories(row, fact)
    assert row is not None
    assert row.reported is not None
    assert (row.allergies, row.reported.allergies, row.amended_by) == ([penicillin], [latex], ACTOR)
    row = medical_histories(row, facts(MedicalHistoryAmended(allergies=[], conditions=[], medications=[]))[0])
    assert row is not None
    assert row.reported is not None
    assert (row.allergies, row.reported.allergies) == ([], [latex])


# --- over HTTP


@pytest.fixture
async def desk(module_database, nats_server):
    async with served(module_database, nats_server) as web, working(module_database, nats_server):
        yield await opened(web)


async def opened(web):
    clinic = await web.clinic()
    desk = SimpleNamespace(web=web, clinic=clinic, admin=await web.person(clinic, "admin"), email=f"noor-{uuid4().hex[:8]}@example.org")
    desk.noor = await register(desk, desk.email)
    return desk


async def register(desk, email=None, by=None):
    made = await (by or desk.admin)("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker", **({"email": email} if email else {})})
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def invite(desk, patient=None, by=None, **more):
    return await (by or desk.admin)("POST", "/patients/invite", {"patientId": patient or desk.noor, **more})


async def link(desk, number, patient=None, seconds=60):
    """The token as the courier would write it into the letter."""
    id_ = invitation_of(UUID(patient or desk.noor))
    return bearing(id_, await desk.web.services.codes.issue(PORTAL, link_of(id_, number), seconds, desk.clinic))


async def accept(desk, token, **body):
    return await desk.web.client.post(f"{DOOR}/{token}/accept", json=body)


async def test_a_patient_is_asked_in_comes_and_sees_their_own(desk):
    made = await invite(desk)
    assert (made.status_code, made.json()["status"], made.json()["patientId"]) == (201, "invited", desk.noor)
    seats = (await desk.admin("GET", f"/licenses/{desk.clinic}/usage")).json()
    token = await link(desk, 1)
    shown = (await desk.web.client.get(f"{DOOR}/{token}")).json()
    assert {k: shown[k] for k in ("clinicName", "email", "name", "hasAccount")} == {
        "clinicName": "Grachten", "email": desk.email, "name": "Noor Bakker", "hasAccount": False}
    failure(await accept(desk, token), 400, "PASSWORD_NEEDED")
    failure(await accept(desk, token, password="password12"), 400, "PASSWORD_POOR")
    failure(await accept(desk, token, password=STRONG, role="admin"), 400, "BODY_INVALID")
    came = await accept(desk, token, password=STRONG)
    assert (came.status_code, came.json()) == (200, {"clinicId": str(desk.clinic), "email": desk.email})
    session = (await desk.web.sign_in(desk.email, STRONG)).json()
    assert (session["user"]["role"], session["user"]["subjectId"]) == ("patient", desk.noor)
    failure(await accept(desk, token, password=STRONG), 410, "PORTAL_INVITATION_OVER")
    guest = Person(desk.web, session)
    other = await register(desk)
    assert (await guest("GET", f"/patients/{desk.noor}", headers=await desk.admin.seen(came))).json()["id"] == desk.noor
    failure(await guest("GET", f"/patients/{other}"), 404, "NOT_FOUND")
    failure(await invite(desk), 409, "PATIENT_HAS_PORTAL")
    assert (await desk.admin("GET", f"/licenses/{desk.clinic}/usage")).json() == seats

    async def listed():
        (row,) = (await desk.admin("GET", "/patients/invitations", params={"patientId": desk.noor})).json()["items"]
        return row["status"] == "joined" and row["accountId"] == session["user"]["id"]

    await until(listed)


async def test_only_one_of_many_acceptances_counts(desk):
    await invite(desk)
    token = await link(desk, 1)
    answers = await asyncio.gather(*(accept(desk, token, password=f"{STRONG} {n}") for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7


async def test_of_many_who_ask_at_once_one_does(desk):
    answers = await asyncio.gather(*(invite(desk) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"PATIENT_INVITED_ALREADY"}


async def test_a_repeated_request_is_answered_as_the_first_even_when_the_patient_has_come(desk):
    key = {"idempotency-key": uuid4().hex}
    first = await desk.admin("POST", "/patients/invite", {"patientId": desk.noor}, headers=key)
    assert (await accept(desk, await link(desk, 1), password=STRONG)).status_code == 200
    again = await desk.admin("POST", "/patients/invite", {"patientId": desk.noor}, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, first.json(), "true")


async def test_an_account_that_is_there_keeps_its_password(desk):
    await desk.web.account(await desk.web.clinic(), "doctor", email=desk.email)
    await invite(desk)
    token = await link(desk, 1)
    assert (await desk.web.client.get(f"{DOOR}/{token}")).json()["hasAccount"] is True
    assert (await accept(desk, token, password=STRONG)).status_code == 200
    failure(await desk.web.sign_in(desk.email, STRONG), 401, "CREDENTIALS_WRONG")
    session = (await desk.web.sign_in(desk.email, PASSWORD, clinicId=str(desk.clinic))).json()
    assert (session["user"]["role"], session["user"]["subjectId"]) == ("patient", desk.noor)


async def test_a_link_dies_when_the_invitation_is_sent_again_or_taken_back(desk):
    id_ = (await invite(desk)).json()["id"]
    first = await link(desk, 1)
    again = await desk.admin("POST", f"/patients/invitations/{id_}/resend", {"language": "es"})
    assert (again.status_code, again.json()["sent"]) == (200, 2)
    failure(await accept(desk, first, password=STRONG), 410, "PORTAL_INVITATION_OVER")
    second = await link(desk, 2)
    assert (await desk.web.client.get(f"{DOOR}/{second}")).status_code == 200
    assert (await desk.admin("DELETE", f"/patients/invitations/{id_}")).json()["status"] == "cancelled"
    failure(await desk.web.client.get(f"{DOOR}/{second}"), 410, "PORTAL_INVITATION_OVER")
    root = await desk.web.person(PLATFORM, "superadmin")
    failure(await root("POST", f"/patients/invitations/{id_}/resend", {}), 404, "NOT_FOUND")
    failure(await desk.admin("DELETE", f"/patients/invitations/{id_}"), 404, "NOT_FOUND")
    failure(await desk.admin("POST", f"/patients/invitations/{id_}/resend", {}), 404, "NOT_FOUND")
    assert (await invite(desk)).json()["sent"] == 1
    failure(await accept(desk, second, password=STRONG), 410, "PORTAL_INVITATION_OVER")
    assert (await accept(desk, await link(desk, 3), password=STRONG)).status_code == 200


async def test_a_link_proves_the_address_it_was_sent_to_and_no_other(desk):
    """Whoever changes the record after the letter went out cannot have an account made for somebody else's address."""
    await invite(desk)
    token = await link(desk, 1)
    victim = f"{uuid4().hex[:8]}@example.org"
    person = {"givenName": "Noor", "familyName": "Bakker", "email": victim}
    assert (await desk.admin("PUT", f"/patients/{desk.noor}", person)).status_code == 200
    failure(await accept(desk, token, password=STRONG), 410, "PORTAL_INVITATION_OVER")
    failure(await desk.web.sign_in(victim, STRONG), 401, "CREDENTIALS_WRONG")


async def test_who_cannot_be_asked_in_is_told_why(desk):
    failure(await invite(desk, await register(desk)), 422, "PATIENT_UNREACHABLE")
    gone = await register(desk, f"{uuid4().hex[:8]}@example.org")
    await desk.admin("DELETE", f"/patients/{gone}")
    failure(await invite(desk, gone), 409, "PATIENT_NOT_ACTIVE")
    failure(await invite(desk, str(uuid4())), 404, "NOT_FOUND")
    colleague = await desk.web.account(desk.clinic, "receptionist")
    failure(await invite(desk, await register(desk, colleague)), 409, "PORTAL_ADDRESS_TAKEN")
    await invite(desk)
    assert (await desk.admin("DELETE", f"/patients/{desk.noor}")).status_code == 200
    failure(await accept(desk, await link(desk, 1), password=STRONG), 410, "PORTAL_INVITATION_OVER")


async def test_whoever_was_let_in_otherwise_is_not_asked_again_under_another_address(desk):
    assert (await desk.admin("POST", "/staff/refresh-patient-access", {"patientId": desk.noor})).status_code == 202
    failure(await invite(desk), 409, "PATIENT_HAS_PORTAL")
    person = {"givenName": "Noor", "familyName": "Bakker", "email": f"{uuid4().hex[:8]}@example.org"}
    assert (await desk.admin("PUT", f"/patients/{desk.noor}", person)).status_code == 200
    failure(await invite(desk), 409, "PATIENT_HAS_PORTAL")


async def test_whoever_has_come_to_work_here_meanwhile_is_no_patient_by_the_same_account(desk):
    await invite(desk)
    token = await link(desk, 1)
    await desk.web.account(desk.clinic, "receptionist", uuid4(), email=desk.email)
    failure(await accept(desk, token), 409, "PLACE_OCCUPIED")
    assert (await desk.web.client.get(f"{DOOR}/{token}")).status_code == 200  # the link is not used up by it


async def test_links_that_are_wrong_look_alike(desk):
    await invite(desk)
    good = await link(desk, 1)
    name, _, secret = good.partition(".")
    for wrong in ("x", name, f".{secret}", f"{uuid4().hex}.{secret}", await link(desk, 1, seconds=0), await link(desk, 2), await link(desk, 1, str(uuid4()))):
        failure(await desk.web.client.get(f"{DOOR}/{wrong}"), 410, "PORTAL_INVITATION_OVER")
        failure(await accept(desk, wrong, password=STRONG), 410, "PORTAL_INVITATION_OVER")


async def test_another_clinic_knows_nothing_of_it(desk):
    id_ = (await invite(desk)).json()["id"]
    far = await desk.web.person(await desk.web.clinic(), "admin")
    failure(await invite(desk, by=far), 404, "NOT_FOUND")
    failure(await far("POST", f"/patients/invitations/{id_}/resend", {}), 404, "NOT_FOUND")
    failure(await far("DELETE", f"/patients/invitations/{id_}"), 404, "NOT_FOUND")
    assert (await far("GET", "/patients/invitations")).json()["items"] == []
    doctor = await desk.web.person(desk.clinic, "doctor")
    assert (await doctor("GET", "/patients/invitations", headers=await desk.admin.seen(await desk.admin("POST", f"/patients/invitations/{id_}/resend", {})))).status_code == 200
    patient = await desk.web.person(desk.clinic, "patient", UUID(desk.noor))
    failure(await invite(desk, by=patient), 403, "FORBIDDEN")


async def test_whose_address_is_in_the_portal_is_told_of_ones_own_clinic_alone(desk):
    far = await desk.web.person(await desk.web.clinic(), "admin")
    colleague, elsewhere = await desk.web.account(desk.clinic, "doctor"), await desk.web.account(await desk.web.clinic(), "patient", uuid4())
    await desk.web.account(desk.clinic, "patient", UUID(desk.noor), email=desk.email)

    async def exists(email, by=None):
        answer = await (by or desk.admin)("GET", f"/patients/check-account/{email}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await exists(desk.email) == await exists(desk.email.upper()) == {"exists": True}
    for email, by in ((desk.email, far), (colleague, None), (elsewhere, None), ("nobody@example.org", None)):
        assert await exists(email, by) == {"exists": False}
    failure(await desk.admin("GET", "/patients/check-account/nobody"), 400, "QUERY_INVALID")
    patient = await desk.web.person(desk.clinic, "patient", UUID(desk.noor))
    failure(await patient("GET", f"/patients/check-account/{desk.email}"), 403, "FORBIDDEN")


async def test_nobody_goes_through_a_list_of_addresses(desk):
    answers = [await desk.admin("GET", f"/patients/check-account/{n}@example.org") for n in range(CHECKS.address + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {200}
    failure(answers[-1], 429, "RATE_LIMITED")
    other = await desk.web.person(desk.clinic, "admin")
    assert (await other("GET", "/patients/check-account/1@example.org")).status_code == 200


async def test_the_letter_brings_the_link(module_database, nats_server):
    with MailServer() as post:
        async with served(module_database, nats_server) as web, carrying(module_database, post):
            desk = await opened(web)
            assert (await invite(desk, language="es")).status_code == 201

            def letters():
                return [message for message in post.box.taken if desk.email in message["To"]]

            async def written():
                return bool(letters())

            await until(written, 20)
            (message,) = letters()
            assert message["Subject"] == "Grachten le invita a su portal"
            (token,) = re.findall(r"/portal-invitation/(\S+)", text(message))
            assert (await accept(desk, token, password=STRONG)).status_code == 200
            assert (await desk.web.sign_in(desk.email, STRONG)).status_code == 200


# --- patients about themselves


async def test_a_patient_sees_and_changes_their_own_record(desk):
    guest = await desk.web.person(desk.clinic, "patient", UUID(desk.noor))
    before = await desk.admin("PUT", f"/patients/{desk.noor}", {
        "givenName": "Noor", "familyName": "Bakker", "email": desk.email, "nationalId": "123", "notes": "Talks a lot"})
    own = (await guest("GET", "/patients/profile", headers=await desk.admin.seen(before))).json()
    assert (own["id"], own["givenName"], own["email"], own["nationalId"], own["reported"]) == (desk.noor, "Noor", desk.email, "123", None)
    assert "Talks" not in str(own)
    changed = await guest("PUT", "/patients/profile", {"phone": "+31 6 8765 4321", "address": "Singel 2"})
    assert (changed.json()["phone"], changed.json()["address"], changed.json()["email"]) == ("+31 6 8765 4321", "Singel 2", desk.email)
    row = (await desk.admin("GET", f"/patients/{desk.noor}", headers=await guest.seen(changed))).json()
    assert (row["phone"], row["notes"], row["nationalId"]) == ("+31 6 8765 4321", "Talks a lot", "123")
    for body in ({"givenName": "Eve"}, {"nationalId": "9"}, {"notes": "x"}, {"email": "x"}, {"id": desk.noor}, {"archived": True}):
        failure(await guest("PUT", "/patients/profile", body), 400, "BODY_INVALID")
    with psycopg.connect(desk.web.owner_url) as owner:
        told = owner.execute("select topic, actor from stored_events where originator_id = %s order by originator_version", [desk.noor]).fetchall()
        assert told[-1] == ("PatientContactChanged", guest.id)
        assert b"8765" not in b"".join(line[0] for line in owner.execute("select state from stored_events where originator_id = %s", [desk.noor]))


async def test_what_a_patient_says_of_their_health_takes_nothing_away(desk):
    noted = {"allergies": [{"name": "Penicillin"}], "conditions": [], "medications": []}
    await desk.admin("PUT", f"/patients/{desk.noor}/medical", noted)
    guest = await desk.web.person(desk.clinic, "patient", UUID(desk.noor))
    said = {"allergies": [], "conditions": [], "medications": [{"name": "Aspirin", "note": "daily", "since": None}]}
    done = await guest("PUT", "/patients/profile/medical", said)
    assert done.status_code == 200, done.text
    assert done.json()["medications"][0]["name"] == "Aspirin"
    seen = await guest.seen(done)
    row = (await desk.admin("GET", f"/patients/{desk.noor}/medical", headers=seen)).json()
    assert ([one["name"] for one in row["allergies"]], [one["name"] for one in row["reported"]["medications"]]) == (["Penicillin"], ["Aspirin"])
    assert row["reportedAt"] > row["amendedAt"]
    assert (await guest("GET", "/patients/profile", headers=seen)).json()["reported"]["medications"][0]["name"] == "Aspirin"
    failure(await guest("GET", f"/patients/{desk.noor}/medical"), 403, "FORBIDDEN")
    failure(await guest("PUT", f"/patients/{desk.noor}/medical", noted), 403, "FORBIDDEN")
    failure(await guest("PUT", "/patients/profile/medical", {"allergies": []}), 400, "BODY_INVALID")
    twin = await register(desk)
    merged = await desk.admin("POST", f"/patients/{twin}/merge", {"loserId": desk.noor})
    row = (await desk.admin("GET", f"/patients/{twin}/medical", headers=await desk.admin.seen(merged))).json()
    assert row["reported"]["medications"][0]["name"] == "Aspirin"
    own = (await guest("GET", "/patients/profile", headers=await desk.admin.seen(merged))).json()
    assert (own["id"], own["reported"]["medications"][0]["name"]) == (twin, "Aspirin")


async def test_what_a_patient_said_goes_with_them(desk):
    guest = await desk.web.person(desk.clinic, "patient", UUID(desk.noor))
    said = {"allergies": [{"name": "Quincke"}], "conditions": [], "medications": []}
    seen = await guest.seen(await guest("PUT", "/patients/profile/medical", said))
    assert "Quincke" in (await desk.admin("GET", f"/patients/{desk.noor}/medical", headers=seen)).text
    ask = {"kind": "patients", "personId": desk.noor, "reason": "They asked", "despiteRetention": True}
    report = await desk.admin("POST", "/privacy/erasures", ask)
    assert report.status_code in {200, 201}, report.text
    assert report.json()["left"]["rows"] == {}
    assert (await desk.admin("GET", f"/patients/{desk.noor}/medical")).json()["reported"] is None
    failure(await invite(desk), 409, "PATIENT_NOT_ACTIVE")


async def test_whoever_is_no_patient_has_no_such_record(desk):
    body = {"allergies": [], "conditions": [], "medications": []}
    for someone in (desk.admin, await desk.web.person(desk.clinic, "doctor"), await desk.web.person(PLATFORM, "superadmin")):
        failure(await someone("GET", "/patients/profile"), 404, "NOT_FOUND")
        failure(await someone("PUT", "/patients/profile", {"phone": "+31 6 8765"}), 404, "NOT_FOUND")
        failure(await someone("PUT", "/patients/profile/medical", body), 404, "NOT_FOUND")
    assert (await desk.web.client.get("/api/v1/protected/patients/profile")).status_code == 401


async def test_nobody_speaks_for_a_patient_in_their_name(desk):
    guest = await desk.web.person(desk.clinic, "patient", UUID(desk.noor))
    root = await desk.web.person(PLATFORM, "superadmin")
    answer = await root("POST", f"/admin/users/{guest.id}/impersonate", {"clinicId": str(desk.clinic), "reason": "They asked for help"})
    assert answer.status_code == 200, answer.text
    as_guest = Person(desk.web, answer.json())
    assert (await as_guest("GET", "/patients/profile")).json()["id"] == desk.noor
    failure(await as_guest("PUT", "/patients/profile", {"phone": "+31 6 8765"}), 403, "NOT_WHILE_IMPERSONATING")
    failure(await as_guest("PUT", "/patients/profile/medical", {"allergies": [], "conditions": [], "medications": []}), 403, "NOT_WHILE_IMPERSONATING")
