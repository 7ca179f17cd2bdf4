"""Website leads: the door that stands open to everybody, the inbox, and how somebody becomes a patient or is forgotten."""

import asyncio
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from commands.lead_forms import ChangeLeadForm, CreateLeadForm, DisableLeadForm, RotateLeadFormToken
from commands.leads import ChangeLeadStatus, ConvertLead, SubmitLead
from domain.kit import PLATFORM, Elsewhere, NotFound
from domain.lead_forms import (
    LeadForm,
    LeadFormChanged,
    LeadFormCreated,
    LeadFormDisabled,
    LeadFormEnabled,
    LeadFormNeedsLabel,
    LeadFormNotInUse,
    LeadFormTokenRotated,
    LeadOriginForbidden,
    LeadTokenInvalid,
)
from domain.leads import (
    Lead,
    LeadBirthDateImpossible,
    LeadContactMissing,
    LeadConverted,
    LeadDeleted,
    LeadForgotten,
    LeadIsPatient,
    LeadNeedsGender,
    LeadNeedsPatient,
    LeadStatusSet,
    LeadSubmitted,
    called,
)
from domain.patients import Patient, PatientNotActive, PatientRegistered
from projections.leads import lead_traces, leads
from tests.clinic import stored
from tests.kit import THIS, facts, given, noon
from tests.mail import MailServer, carrying, text
from tests.served import PROTECTED, failure, served, until, working
from tests.test_signups import street

FORM, NOOR = uuid4(), uuid4()
PAGE, ELSEWHERE = "https://www.grachten.example", "https://elsewhere.example"
created = LeadFormCreated(label="Contact page", allowed_origins=[PAGE], auto_reply=True, number=1)
form = LeadForm.replay([created])
said = {"first_name": "Ada", "email": "ada@kok.example", "message": "A crown, please"}
submit = SubmitLead(**said, form_id=FORM, number=1)
submitted = LeadSubmitted(**said, form_id=FORM, replied=True, told=True)


# --- the rules


def test_a_form_is_created_changed_disabled_and_enabled():
    given().when(CreateLeadForm(label="Contact page", allowed_origins=[PAGE], auto_reply=True)).then(created)
    given().when(CreateLeadForm(label=" ")).refused(LeadFormNeedsLabel)
    given(created).when(ChangeLeadForm(label="Home")).then(LeadFormChanged(label="Home", allowed_origins=[PAGE], auto_reply=True))
    given(created).when(ChangeLeadForm(label="Contact page", active=True)).then()
    given(created).when(ChangeLeadForm(allowed_origins=[], active=False)).then(
        LeadFormChanged(label="Contact page", allowed_origins=[], auto_reply=True), LeadFormDisabled())
    given(created).when(ChangeLeadForm(label="\t")).refused(LeadFormNeedsLabel)
    given(created).when(DisableLeadForm()).then(LeadFormDisabled())
    given(created, LeadFormDisabled()).when(DisableLeadForm()).then()
    given(created, LeadFormDisabled()).when(ChangeLeadForm(active=True)).then(LeadFormEnabled())
    for command in (ChangeLeadForm(label="Home"), DisableLeadForm(), RotateLeadFormToken()):
        given().when(command).refused(NotFound)


def test_a_form_has_one_token_and_the_one_before_is_good_for_nothing():
    given(created).when(RotateLeadFormToken()).then(LeadFormTokenRotated(number=2))
    given(created, LeadFormDisabled()).when(RotateLeadFormToken()).refused(LeadFormNotInUse)
    for history in ([created, LeadFormTokenRotated(number=2)], [created, LeadFormDisabled()], []):
        given().looking(form=LeadForm.replay(history), earlier=None).when(submit).refused(LeadTokenInvalid)


def test_a_form_is_sent_from_its_own_websites_or_by_a_server():
    form.ensure_from(PAGE)
    form.ensure_from(None)
    for origin in (ELSEWHERE, "null", "", PAGE + "/", PAGE.replace("https", "http"), PAGE + ":8443", PAGE.upper()):
        with pytest.raises(LeadOriginForbidden):
            form.ensure_from(origin)


def test_somebody_writes():
    given().looking(form=form, earlier=None).when(submit).then(submitted)
    before = uuid4()
    quiet = LeadForm.replay([LeadFormCreated(label="Contact page", allowed_origins=[], tell_clinic=False, number=1)])
    given().looking(form=quiet, earlier=before).when(submit).then(LeadSubmitted(**said, form_id=FORM, earlier_id=before))
    given().looking(form=form, earlier=None).when(SubmitLead(**said, form_id=FORM, number=1, answer=False)).then(LeadSubmitted(**said, form_id=FORM, told=True))
    given().looking(form=form, earlier=None).when(SubmitLead(first_name="Ada", phone="020 123 4567", form_id=FORM, number=1)).then(
        LeadSubmitted(first_name="Ada", phone="020 123 4567", form_id=FORM, told=True))
    given().looking(form=form, earlier=None).when(SubmitLead(first_name="Ada", form_id=FORM, number=1)).refused(LeadContactMissing)
    for born in (date(2026, 1, 6), date(1875, 1, 1)):
        given().looking(form=form, earlier=None).when(SubmitLead(**said, date_of_birth=born, form_id=FORM, number=1)).refused(LeadBirthDateImpossible)


@pytest.mark.parametrize(("more", "suspected"), [
    ({"trapped": True}, "honeypot"), ({"message": "http://a http://b HTTPS://c www.d.example"}, "links"), ({"first_name": "Win at www.casino.example"}, "links"),
    ({"message": "See http://a http://b http://c"}, None), ({"subject": "http"}, None),
])
def test_what_looks_like_spam_is_kept_among_it_and_nobody_is_told(more, suspected):
    (event,) = SubmitLead(**{**said, **more}, form_id=FORM, number=1).decide(Lead(), noon, form=form, earlier=None)
    clean = suspected is None
    assert (event.suspected, event.replied, event.told) == (suspected, clean, clean)
    assert Lead.replay([event]).status == ("new" if clean else "spam")


def test_a_lead_is_seen_to_and_what_is_so_already_stays_so():
    given(submitted).when(ChangeLeadStatus(status="contacted", note="Monday")).then(LeadStatusSet(status="contacted", note="Monday"))
    contacted = LeadStatusSet(status="contacted")
    given(submitted, contacted).when(ChangeLeadStatus(status="contacted")).then()
    given(submitted, contacted).when(ChangeLeadStatus(status="contacted", note="Again")).then(LeadStatusSet(status="contacted", note="Again"))
    for status in ("new", "archived", "spam"):
        given(submitted, contacted).when(ChangeLeadStatus(status=status)).then(LeadStatusSet(status=status))
    given(submitted).when(ChangeLeadStatus(status="converted")).refused(LeadNeedsPatient)
    for command in (ChangeLeadStatus(status="spam"), ConvertLead(gender="female")):
        given().looking(**({} if isinstance(command, ChangeLeadStatus) else {"said": None, "patient": None})).when(command).refused(NotFound)
        given(submitted, LeadDeleted()).looking(**({} if isinstance(command, ChangeLeadStatus) else {"said": None, "patient": None})).when(command).refused(NotFound)


def test_a_lead_becomes_a_patient_once_and_a_mistake_is_undone():
    row = leads(None, facts(LeadSubmitted(**said, last_name="Kok", gender="Mujer", date_of_birth=date(1990, 5, 1), form_id=FORM))[0])
    new = Lead.replay([submitted]).patient_of(THIS)
    registered = PatientRegistered(
        given_name="Ada", family_name="Kok", email="ada@kok.example", birth_date=date(1990, 5, 1), sex="female", source="website", registered_on=noon.today)
    given(submitted).looking(said=row, patient=None).when(ConvertLead()).then(
        LeadConverted(patient_id=new, registered=True), Elsewhere(state=Patient, id=new, events=[registered]))
    given(submitted).looking(said=row, patient=Patient(registered=True)).when(ConvertLead(patient_id=NOOR)).then(LeadConverted(patient_id=NOOR, registered=False))
    given(submitted).looking(said=row, patient=Patient(registered=True, archived=True)).when(ConvertLead(patient_id=NOOR)).refused(PatientNotActive)
    plain = leads(None, facts(submitted)[0])
    given(submitted).looking(said=plain, patient=None).when(ConvertLead()).refused(LeadNeedsGender)
    forgotten = leads(None, facts(LeadSubmitted(form_id=FORM))[0])
    given(submitted).looking(said=forgotten, patient=None).when(ConvertLead(gender="other")).refused(LeadForgotten)
    done = LeadConverted(patient_id=new, registered=True)
    assert given(submitted, done).looking(said=row, patient=None).when(ConvertLead()).refused(LeadIsPatient).details == {"patientId": str(new)}
    for status in ("archived", "spam"):
        given(submitted, done).when(ChangeLeadStatus(status=status)).refused(LeadIsPatient)
    given(submitted, done).when(ChangeLeadStatus(status="converted")).then()
    back = LeadStatusSet(status="contacted")
    given(submitted, done).when(ChangeLeadStatus(status="contacted")).then(back)
    again = Lead.replay([submitted, done, back])
    assert (again.status, again.patient, again.patient_of(THIS) == new) == ("contacted", None, False)


def test_rows_follow_and_what_is_deleted_is_gone():
    told = facts(submitted, LeadStatusSet(status="contacted", note="Monday"), LeadConverted(patient_id=NOOR, registered=False), LeadStatusSet(status="new"), LeadDeleted())
    row = trace = None
    seen = []
    for fact in told:
        row, trace = leads(row, fact), lead_traces(trace, fact)
        seen.append(row and (row.status, row.note, row.patient_id, row.contacted_at is not None))
        assert (trace and trace.status) == (row and row.status)
    assert seen == [("new", None, None, False), ("contacted", "Monday", None, True), ("converted", "Monday", NOOR, True), ("new", "Monday", None, True), None]


@pytest.mark.parametrize(("typed", "name"), [
    ("Ada", "Ada"), (" José María ", "José María"), ("O’Neill-Jansen", "O’Neill-Jansen"), ("Buy pills at pills.example", None), ("x" * 41, None), ("<b>", None), (None, None),
    ("日本", "日本"), ("4da", None),
])
def test_only_what_looks_like_a_name_is_repeated_in_a_letter(typed, name):
    assert called(typed) == name


# --- on the running system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(module_database, make_nats):
    """A gateway, a projector and a courier, and a mail server."""
    nats_server = make_nats()
    with MailServer() as post:
        async with (
            served(module_database, nats_server, proxies="127.0.0.0/8", public_url="https://app.example") as web, working(module_database, nats_server),
            carrying(module_database, post, public_url="https://app.example"),
        ):
            yield SimpleNamespace(web=web, post=post, database=module_database)


@dataclass
class House:
    """A clinic with a form on its website."""

    town: Any
    clinic: UUID
    boss: Any
    form: str = ""
    token: str = ""
    seen: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def open(cls, town: Any, **settings: Any) -> "House":
        clinic = await town.web.clinic()
        house = cls(town, clinic, await town.web.person(clinic, "admin"))
        made = await house.ask("POST", "/form-configs", {"label": "Contact page", "allowedOrigins": [PAGE], **settings})
        assert made.status_code == 201, made.text
        house.form, house.token = made.json()["id"], made.json()["token"]
        return house

    async def ask(self, method: str, path: str = "", json: Any = None, person: Any = None, **more: Any) -> Any:
        headers = {**(person or self.boss).headers, **self.seen, **more.pop("headers", {})}
        answer = await self.town.web.client.request(method, f"/api/v1/leads{path}", json=json, headers=headers, **more)
        self.note(answer)
        return answer

    def note(self, answer: Any) -> None:
        if "x-position" in answer.headers:
            self.seen = {"x-position": str(max(int(answer.headers["x-position"]), int(self.seen.get("x-position", "0"))))}

    async def come(self, headers: dict[str, str] | None = None, **body: Any) -> Any:
        given_ = {"firstName": "Ada", "lastName": "Kok", "email": "ada@kok.example", "message": "A crown for Zwartbol", **body}
        told = {"X-OdontoX-Token": self.token, "Origin": PAGE, **street(), **(headers or {})}
        answer = await self.town.web.client.post("/api/v1/public/leads", json=given_, headers={k: v for k, v in told.items() if v})
        self.note(answer)
        return answer

    async def inbox(self, **query: Any) -> Any:
        return (await self.ask("GET", params=query)).json()["items"]


def here(test):
    return pytest.mark.asyncio(loop_scope="module")(test)


@here
async def test_somebody_writes_and_becomes_a_patient_in_one_step(town):
    house = await House.open(town)
    taken = await house.come(gender="female", customFields={"insurer": "Zilver", "newPatient": True, "visits": 3, "other": None}, utm={"source": "news"},
                             preferredDate="2030-01-05", preferredTimeOfDay="morning", sourceUrl=f"{PAGE}/contact", dateOfBirth="1990-05-01")
    assert taken.status_code == 201, taken.text
    id_ = taken.json()["leadId"]
    assert taken.json() == {"ok": True, "leadId": id_}
    assert not [word for word in (b"Zwartbol", b"kok.example", b"Zilver", b"1990-05-01") if word in b"".join(event.body for event in stored(town.database))]
    desk = await town.web.person(house.clinic, "receptionist")
    (entry,) = await house.inbox(status="new", formId=house.form)
    assert (entry["id"], entry["firstName"], entry["formLabel"], entry["earlierId"]) == (id_, "Ada", "Contact page", None)
    assert not {"email", "phone", "message", "customFields"} & set(entry)
    row = (await house.ask("GET", f"/{id_}", person=desk)).json()
    assert (row["email"], row["message"], row["customFields"], row["preferredTimeOfDay"]) == (
        "ada@kok.example", "A crown for Zwartbol", {"insurer": "Zilver", "newPatient": True, "visits": 3, "other": None}, "morning")
    assert (await house.ask("PATCH", f"/{id_}", {"status": "contacted", "note": "Monday"}, desk)).json()["status"] == "contacted"
    failure(await house.ask("PATCH", f"/{id_}", {"status": "converted"}, desk), 422, "LEAD_NEEDS_PATIENT")
    done = await house.ask("POST", f"/{id_}/convert", {}, desk, headers={"idempotency-key": "once"})
    assert done.status_code == 200, done.text
    patient = done.json()["patient"]
    assert {name: patient[name] for name in ("givenName", "familyName", "email", "sex", "birthDate", "source")} == {
        "givenName": "Ada", "familyName": "Kok", "email": "ada@kok.example", "sex": "female", "birthDate": "1990-05-01", "source": "website"}
    assert (done.json()["lead"]["status"], done.json()["lead"]["patientId"], done.json()["lead"]["registered"]) == ("converted", patient["id"], True)
    assert (await house.boss("GET", f"/patients/{patient['id']}", headers=house.seen)).json()["givenName"] == "Ada"
    again = await house.ask("POST", f"/{id_}/convert", {}, desk, headers={"idempotency-key": "once"})
    assert (again.status_code, again.json()["patient"]["id"]) == (200, patient["id"])
    (why,) = failure(await house.ask("POST", f"/{id_}/convert", {}, desk), 409, "LEAD_IS_PATIENT")
    assert why == {"patientId": patient["id"]}
    failure(await house.ask("GET", person=await town.web.person(house.clinic, "doctor")), 403, "FORBIDDEN")


@here
async def test_whoever_is_in_the_books_already_is_named_and_taken(town):
    house = await House.open(town)
    made = await house.boss("POST", "/patients", {"givenName": "Ada", "familyName": "Kok", "email": "ADA@kok.example"})
    house.note(made)
    known, id_ = made.json()["id"], (await house.come()).json()["leadId"]
    (why,) = failure(await house.ask("POST", f"/{id_}/convert", {"gender": "female"}), 409, "LEAD_MAY_BE_KNOWN")
    assert why == {"alike": [{"patientId": known, "grade": "certain", "reasons": ["name-and-email"]}]}
    linked = await house.ask("POST", f"/{id_}/convert", {"patientId": known})
    assert (linked.json()["patient"]["id"], linked.json()["lead"]["registered"]) == (known, False)
    assert (await house.ask("PATCH", f"/{id_}", {"status": "contacted"})).json()["patientId"] is None  # it was another Ada
    other = await house.ask("POST", f"/{id_}/convert", {"gender": "female", "despiteLikeness": True})
    assert other.json()["patient"]["id"] not in {known, None}
    child = (await house.come(firstName="Bo", lastName="Visser", message="My son")).json()["leadId"]  # by the same address: no obstacle, but told
    failure(await house.ask("POST", f"/{child}/convert", {}), 400, "LEAD_NEEDS_GENDER")
    son = (await house.ask("POST", f"/{child}/convert", {"gender": "male"})).json()
    assert {one["grade"] for one in son["alike"]} == {"possible"}
    stranger = (await (await town.web.person(await town.web.clinic(), "admin"))("POST", "/patients", {"givenName": "Ida", "familyName": "Bos"})).json()["id"]
    third = (await house.come(firstName="Cor", email="cor@example.org")).json()["leadId"]
    failure(await house.ask("POST", f"/{third}/convert", {"patientId": stranger}), 404, "NOT_FOUND")


@here
async def test_of_many_who_convert_a_lead_at_once_one_does(town):
    house = await House.open(town)
    id_ = (await house.come()).json()["leadId"]
    answers = await asyncio.gather(*(house.ask("POST", f"/{id_}/convert", {"gender": "female", "despiteLikeness": True}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert len((await house.boss("GET", "/patients", headers=house.seen)).json()["items"]) == 1


@here
async def test_the_same_sent_twice_is_one_lead_and_the_same_person_is_noted(town):
    house = await House.open(town)
    answers = await asyncio.gather(*(house.come() for _ in range(6)))
    (first,) = {answer.json()["leadId"] for answer in answers}
    assert {answer.status_code for answer in answers} == {201}
    second = (await house.come(message="And my phone", email="ADA@kok.example", phone="+31 20 765 4321")).json()["leadId"]
    assert {one["id"]: one["earlierId"] for one in await house.inbox()} == {first: None, second: first}
    third = (await house.come(firstName="A.", email=None, phone="020-7654321", message="It is me")).json()["leadId"]
    assert [one["id"] for one in await house.inbox(earlierId=second)] == [third]


@here
async def test_a_page_is_answered_by_the_forms_websites(town):
    house, client = await House.open(town), town.web.client
    house.note(await house.ask("GET"))

    async def before(origin):
        return await client.options("/api/v1/public/leads", headers={
            "origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type,x-odontox-token"})

    async def stands():
        return "access-control-allow-origin" in (await before(PAGE)).headers

    await until(stands)
    told = await before(PAGE)
    assert (told.status_code, told.headers["access-control-allow-origin"], told.headers["access-control-allow-methods"]) == (204, PAGE, "POST")
    assert "X-OdontoX-Token" in told.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in told.headers
    for origin in ("https://nobodys.example", "null", "x" * 5000, PAGE.upper(), "%", PAGE + "/"):
        nothing = await before(origin)
        assert (nothing.status_code, "access-control-allow-origin" in nothing.headers) == (204, False)
    right = await house.come()
    assert (right.status_code, right.headers["access-control-allow-origin"]) == (201, PAGE)
    wrong = await house.come(email="nobody")
    failure(wrong, 400, "BODY_INVALID")
    assert (wrong.headers["access-control-allow-origin"], wrong.headers.get_list("vary")) == (PAGE, ["Accept-Language", "Origin"])  # the page may see why
    other = await house.come({"Origin": ELSEWHERE})
    failure(other, 403, "LEAD_ORIGIN_FORBIDDEN")
    assert "access-control-allow-origin" not in other.headers
    assert (await house.come({"Origin": ""}, message="By a server")).status_code == 201
    assert (await house.come({"X-OdontoX-Token": "", "X-Form-Token": house.token}, message="By the other name")).status_code == 201
    await house.ask("PATCH", f"/form-configs/{house.form}", {"allowedOrigins": [ELSEWHERE]})
    failure(await house.come(message="Once more"), 403, "LEAD_ORIGIN_FORBIDDEN")
    assert (await house.come({"Origin": ELSEWHERE}, message="From there")).headers["access-control-allow-origin"] == ELSEWHERE


@here
async def test_a_token_counts_until_it_is_rotated_or_its_form_disabled(town):
    house = await House.open(town)
    assert (await house.come()).status_code == 201
    old = house.token
    house.token = (await house.ask("POST", f"/form-configs/{house.form}/rotate")).json()["token"]
    assert house.token != old
    for token in (old, "", "x", "A" * 48, house.token[:-1] + ("A" if house.token[-1] != "A" else "B"), "x" * 9000):
        failure(await house.come({"X-OdontoX-Token": token}, message=uuid4().hex), 401, "LEAD_TOKEN_INVALID")
    assert (await house.come(message="Fresh")).status_code == 201
    (shown,) = (await house.ask("GET", "/form-configs")).json()["items"]
    assert (shown["token"], shown["active"], shown["rotatedAt"] is not None) == (house.token, True, True)
    (unseen,) = (await house.ask("GET", "/form-configs", person=await town.web.person(house.clinic, "receptionist"))).json()["items"]
    assert (unseen["token"], unseen["label"]) == (None, "Contact page")
    gone = await house.ask("DELETE", f"/form-configs/{house.form}")
    assert (gone.status_code, gone.json()["active"]) == (200, False)
    failure(await house.come(message="Too late"), 401, "LEAD_TOKEN_INVALID")
    failure(await house.ask("POST", f"/form-configs/{house.form}/rotate"), 409, "LEAD_FORM_NOT_IN_USE")
    assert len(await house.inbox()) == 2  # what has come stays
    assert (await house.ask("PATCH", f"/form-configs/{house.form}", {"active": True})).json()["active"]
    assert (await house.come(message="Back")).status_code == 201
    assert (await house.boss("PUT", f"/clinics/{house.clinic}/modules/lead_inbox", {"on": False})).status_code == 200
    failure(await house.come(message="Off"), 401, "LEAD_TOKEN_INVALID")
    failure(await house.ask("GET"), 403, "MODULE_DISABLED")


@here
async def test_the_door_bears_whatever_is_pushed_through(town):
    house = await House.open(town)
    for wrong in ({"firstName": ""}, {"firstName": "   "}, {"firstName": None}, {"email": "nobody"}, {"phone": "call me"}, {"dateOfBirth": "soon"}, {"gender": "x" * 201},
                  {"message": "x" * 5001}, {"customFields": {str(n): "x" for n in range(31)}}, {"customFields": {"x": "x" * 2001}}, {"customFields": {"": "x"}},
                  {"customFields": {"x": {"y": 1}}}, {"customFields": []}, {"utm": {"x": 1}}, {"sourceUrl": "x" * 2001}, {"formId": str(uuid4())}, {"status": "converted"},
                  {"trapped": False}, {"website": 7}):
        failure(await house.come(**wrong), 400, "BODY_INVALID")
    failure(await house.come(email=None), 400, "LEAD_CONTACT_MISSING")
    failure(await house.come(dateOfBirth="2999-01-01"), 400, "LEAD_BIRTH_DATE_IMPOSSIBLE")
    failure(await house.come(message="A\0B"), 400, "TEXT_UNSTORABLE")
    failure(await house.come(customFields={"a": "A\0B"}), 400, "TEXT_UNSTORABLE")
    assert await house.inbox() == []
    for origins in (["https://a.example/"], ["a.example"], ["https://A.example"], ["*"], ["https://a.example"] * 21, ["https://-a"], [7]):
        failure(await house.ask("POST", "/form-configs", {"label": "Home", "allowedOrigins": origins}), 400, "BODY_INVALID")
    stranger = await town.web.person(await town.web.clinic(), "admin")
    id_ = (await house.come()).json()["leadId"]
    for method, path, body in (
        ("GET", f"/{id_}", None), ("PATCH", f"/{id_}", {"status": "spam"}), ("POST", f"/{id_}/convert", {"gender": "female"}),
        ("PATCH", f"/form-configs/{house.form}", {"label": "Mine"}), ("POST", f"/form-configs/{house.form}/rotate", None), ("DELETE", f"/form-configs/{house.form}", None),
    ):
        failure(await house.ask(method, path, body, stranger), 404, "NOT_FOUND")
    assert (await house.ask("GET", person=stranger)).json()["items"] == []
    desk = await town.web.person(house.clinic, "receptionist")
    for method, path, body in (("POST", "/form-configs", {"label": "Mine"}), ("PATCH", f"/form-configs/{house.form}", {}), ("DELETE", f"/form-configs/{house.form}", None)):
        failure(await house.ask(method, path, body, desk), 403, "FORBIDDEN")


@here
async def test_an_address_and_a_form_let_only_so_many_through(town):
    house = await House.open(town)
    where = street()
    answers = await asyncio.gather(*(house.come(where, message=str(n)) for n in range(24)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [429] * 4
    assert all(answer.headers["access-control-allow-origin"] == PAGE for answer in answers)
    late = next(answer for answer in answers if answer.status_code == 429)
    assert int(late.headers["retry-after"]) > 0
    answers = [answer for some in range(0, 184, 23) for answer in await asyncio.gather(*(house.come(message=f"by many {n}") for n in range(some, some + 23)))]
    assert sorted(answer.status_code for answer in answers) == [201] * 180 + [429] * 4


@here
async def test_letters_tell_nothing_and_strangers_cannot_have_somebody_flooded(town):
    house = await House.open(town, autoReply=True)
    await house.boss("PUT", f"/clinics/{house.clinic}", {"name": "Grachten", "email": (box := f"desk-{uuid4().hex[:8]}@grachten.example")})
    ada = f"ada-{uuid4().hex[:8]}@kok.example"
    trapped = await house.come(email=ada, message="Buy this", website="http://spam.example")
    assert trapped.status_code == 201
    for n in range(5):
        assert (await house.come(email=ada, firstName="Win at casino.example" if n == 1 else "Ada", message=f"Zwartbol {n}")).status_code == 201

    def letters(address):
        return [message for message in town.post.box.taken if address in message["To"]]

    async def written():
        return len(letters(ada)) >= 3 and len(letters(box)) >= 5

    await until(written, 20)
    await house.come(email=f"last-{uuid4().hex[:8]}@kok.example", message="The last")

    async def last():
        return len(letters(box)) >= 6

    await until(last, 20)
    assert (len(letters(ada)), len(letters(box))) == (3, 6)
    for letter in [*letters(ada), *letters(box)]:
        for part in (letter["Subject"], text(letter), text(letter, "html"), letter["To"]):
            assert not [word for word in ("Zwartbol", "casino", "spam") if word in part]
    assert {text(letter).splitlines()[0] for letter in letters(ada)} == {"Dear Ada,", f"Dear {ada},"}
    assert "Contact page" in text(letters(box)[0])
    (spam,) = await house.inbox(status="spam")
    assert (spam["id"], spam["suspected"]) == (trapped.json()["leadId"], "honeypot")
    assert (await house.ask("PATCH", f"/{spam['id']}", {"status": "new"})).json()["status"] == "new"  # it was somebody's browser


@here
async def test_the_platform_deletes_a_lead_of_any_clinic_for_good(town):
    house = await House.open(town)
    email = f"ada-{uuid4().hex[:8]}@kok.example"
    id_ = (await house.come(email=email)).json()["leadId"]
    other = (await house.come(message="Another", email="bo@kok.example")).json()["leadId"]
    root = await town.web.person(PLATFORM, "superadmin")

    async def found():
        return (await root("GET", f"/admin/admin/leads?email={email}")).json()["items"]

    await until(found)
    (trace,) = await found()
    assert (trace["id"], trace["clinic"], trace["firstName"], "message" in trace) == (id_, str(house.clinic), "Ada", False)
    for person in (house.boss, await town.web.person(house.clinic, "receptionist")):
        failure(await person("GET", "/admin/admin/leads"), 403, "FORBIDDEN")
        failure(await person("DELETE", f"/admin/admin/leads/{id_}"), 403, "FORBIDDEN")
    failure(await root("DELETE", f"/admin/admin/leads/{uuid4()}"), 404, "NOT_FOUND")
    gone = await root("DELETE", f"/admin/admin/leads/{id_}?reason=She+asked")
    assert gone.status_code == 200, gone.text
    house.note(gone)
    report = gone.json()
    assert (report["found"]["keys"], report["left"]["keys"], report["left"]["rows"], report["kind"]) == (1, 0, {}, "leads")
    assert (await root("DELETE", f"/admin/admin/leads/{id_}")).status_code == 200  # once more changes nothing
    failure(await house.ask("GET", f"/{id_}"), 404, "NOT_FOUND")
    failure(await house.ask("PATCH", f"/{id_}", {"status": "contacted"}), 404, "NOT_FOUND")
    assert [one["id"] for one in await house.inbox()] == [other]
    assert await found() == []
    (tombstone,) = (await house.boss("GET", f"/privacy/erasures?personId={id_}", headers=house.seen)).json()["items"]
    assert (tombstone["kind"], tombstone["status"], tombstone["reason"]) == ("leads", "erased", "She asked")
    log = (await house.boss("GET", f"/audit-logs?entityId={id_}", headers=house.seen)).json()["items"]
    assert {one["action"]: one["actor"] for one in log} == {"LeadSubmitted": str(PLATFORM), "LeadDeleted": str(root.id)}
    assert not (await town.web.client.get(f"{PROTECTED}/admin/admin/leads")).is_success


@here
async def test_whoever_is_forgotten_as_a_patient_is_so_as_a_lead(town):
    house = await House.open(town)
    id_ = (await house.come(gender="f")).json()["leadId"]
    patient = (await house.ask("POST", f"/{id_}/convert", {})).json()["patient"]["id"]
    done = await house.boss("POST", "/privacy/erasures", {"personId": patient, "reason": "They asked", "despiteRetention": True}, headers=house.seen)
    assert done.status_code == 200, done.text
    house.note(await house.boss("POST", "/rooms", {"name": "Attic"}))
    left = (await house.ask("GET", f"/{id_}")).json()
    assert {left[name] for name in ("firstName", "lastName", "email", "message", "gender")} == {None}
    assert (left["status"], left["patientId"]) == ("converted", patient)
