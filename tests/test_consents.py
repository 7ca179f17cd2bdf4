"""What people agree to: forms whose words have versions, and consents that are given, run out and are taken back, and are never overwritten."""

import asyncio
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest

from commands.consents import (
    DefineConsentForm,
    RecordConsent,
    RestoreConsentForm,
    RetireConsentForm,
    ReviseConsentForm,
    WithdrawConsent,
)
from domain.consents import (
    Consent,
    ConsentDayImpossible,
    ConsentForm,
    ConsentFormDefined,
    ConsentFormInUse,
    ConsentFormIsRetired,
    ConsentFormRestored,
    ConsentFormRetired,
    ConsentFormRevised,
    ConsentGiven,
    ConsentNotGiven,
    ConsentVersionUnknown,
    ConsentWithdrawn,
    GuardianUnclear,
    consent_of,
    later,
)
from domain.kit import Elsewhere, UniqueClaim
from domain.patients import Patient, PatientArchived, PatientNotActive, PatientRegistered
from domain.relations import Relation, RelationAdded, RelationEnded
from projections.consents import consents, status_of
from tests.kit import facts, given, noon
from tests.served import Web, failure

NOOR, TWIN, FORM, MOTHER = uuid4(), uuid4(), uuid4(), uuid4()
WORDS = {"name": "Photos", "purpose": "photos", "text": "Photos are taken."}
defined = ConsentFormDefined(**WORDS)
form = ConsentForm.replay([defined])
yearly = ConsentForm.replay([ConsentFormDefined(**WORDS, valid_months=12)])
known = Patient.replay([PatientRegistered(given_name="Noor", registered_on=noon.today)])
mother = Relation.replay([RelationAdded(patient_id=NOOR, relation="parent", guardian=True, name="Anna")])
agreed = ConsentGiven(patient_id=NOOR, form_id=FORM, way="paper", version=1, given_on=noon.today)
asked = RecordConsent(patient_id=NOOR, form_id=FORM, way="paper")
taken = WithdrawConsent(patient_id=NOOR, form_id=FORM, way="phone", reason="Changed my mind")
withdrawn = ConsentWithdrawn(patient_id=NOOR, form_id=FORM, way="phone", withdrawn_on=noon.today, reason="Changed my mind")


def test_other_words_are_another_version_and_another_name_is_none() -> None:
    given().when(DefineConsentForm(**WORDS)).then(defined)
    given(defined).when(ReviseConsentForm(**WORDS)).then()
    given(defined).when(ReviseConsentForm(**WORDS | {"name": "Pictures"})).then(ConsentFormRevised(**WORDS | {"name": "Pictures"}, version=1))
    given(defined).when(ReviseConsentForm(**WORDS | {"text": "And shown."})).then(ConsentFormRevised(**WORDS | {"text": "And shown."}, version=2))
    assert form.claims() == {UniqueClaim(scope="consent_forms.name", key="photos")}


def test_a_form_is_retired_and_comes_back() -> None:
    retired = ConsentFormRetired(reason="Old")
    given(defined).when(RetireConsentForm(reason="Old")).then(retired)
    given(defined, retired).when(RestoreConsentForm()).then(ConsentFormRestored())
    given(defined).when(RestoreConsentForm()).refused(ConsentFormInUse)
    for command in (RetireConsentForm(), ReviseConsentForm(**WORDS)):
        given(defined, retired).when(command).refused(ConsentFormIsRetired)
    assert form.evolve(retired).claims() == frozenset(), "its name is free"


def test_a_consent_is_to_words_and_for_a_while() -> None:
    found = {"patient": known, "form": form, "relation": None}
    given().looking(**found).when(asked).then(agreed)
    (event,) = given().looking(**found | {"form": yearly}).when(asked).decide()
    assert event.valid_until == date(2027, 1, 5)
    given().looking(**found).when(RecordConsent(patient_id=NOOR, form_id=FORM, way="paper", version=2)).refused(ConsentVersionUnknown)
    given().looking(**found | {"form": form.evolve(ConsentFormRetired())}).when(asked).refused(ConsentFormIsRetired)
    given().looking(**found | {"patient": known.evolve(PatientArchived())}).when(asked).refused(PatientNotActive)
    for more in ({"given_on": noon.today + timedelta(days=1)}, {"valid_until": noon.today - timedelta(days=1)}):
        given().looking(**found).when(RecordConsent(patient_id=NOOR, form_id=FORM, way="paper", **more)).refused(ConsentDayImpossible)
    given(agreed).looking(**found).when(asked).then(agreed)


def test_a_guardian_answers_for_a_patient_and_nobody_elses_does() -> None:
    def by(relation: Relation | None, **more: object) -> given:
        command = RecordConsent(patient_id=NOOR, form_id=FORM, way="verbal", **{"by": "guardian", "relation_id": MOTHER} | more)  # type: ignore[arg-type]
        return given().looking(patient=known, form=form, relation=relation).when(command)

    (event,) = by(mother).decide()
    assert (event.by, event.relation_id) == ("guardian", MOTHER)
    friend = Relation.replay([RelationAdded(patient_id=NOOR, relation="friend", name="Piet")])
    other = Relation.replay([RelationAdded(patient_id=TWIN, relation="parent", guardian=True, name="Anna")])
    for relation in (friend, other, mother.evolve(RelationEnded(patient_id=NOOR))):
        by(relation).refused(GuardianUnclear)
    by(None, relation_id=None).refused(GuardianUnclear)
    by(mother, by="patient").refused(GuardianUnclear)


def test_what_was_agreed_to_is_taken_back_wherever_it_was_noted() -> None:
    given(agreed).looking(patient=known, others={}, relation=None).when(taken).then(withdrawn)
    given().looking(patient=known, others={}, relation=None).when(taken).refused(ConsentNotGiven)
    given(agreed, withdrawn).looking(patient=known, others={}, relation=None).when(taken).refused(ConsentNotGiven)
    theirs = Consent.replay([ConsentGiven(patient_id=TWIN, form_id=FORM, way="paper", version=1, given_on=noon.today)])
    given().looking(patient=known, others={TWIN: theirs}, relation=None).when(taken).then(Elsewhere(
        state=Consent, id=consent_of(TWIN, FORM),
        events=[ConsentWithdrawn(patient_id=TWIN, form_id=FORM, way="phone", withdrawn_on=noon.today, reason="Changed my mind")]))
    early = WithdrawConsent(patient_id=NOOR, form_id=FORM, way="phone", withdrawn_on=noon.today - timedelta(days=1))
    given(agreed).looking(patient=known, others={}, relation=None).when(early).refused(ConsentDayImpossible)


def test_a_row_keeps_all_that_was_said() -> None:
    row = None
    for fact in facts(agreed, withdrawn, ConsentGiven(patient_id=NOOR, form_id=FORM, way="portal", version=2, given_on=noon.today, valid_until=noon.today)):
        row = consents(row, fact)
    assert row is not None
    assert [(step.status, step.way, step.version) for step in row.history] == [("given", "paper", 1), ("withdrawn", "phone", None), ("given", "portal", 2)]
    assert (status_of(row, noon.today), status_of(row, noon.today + timedelta(days=1))) == ("given", "expired")


@pytest.mark.parametrize(("day", "months", "then"), [
    (date(2026, 1, 31), 1, date(2026, 2, 28)), (date(2024, 2, 29), 12, date(2025, 2, 28)), (date(2026, 12, 5), 1, date(2027, 1, 5)), (date(2026, 11, 30), 3, date(2027, 2, 28)),
    (date(2026, 12, 31), 12, date(2027, 12, 31)),
])
def test_months_end_where_the_month_does(day: date, months: int, then: date) -> None:
    assert later(day, months) == then


# --- on the running system

on_the_system = pytest.mark.asyncio(loop_scope="module")


@on_the_system
async def test_consents_are_recorded_listed_and_missed(web: Web) -> None:
    clinic = await web.clinic()
    boss, desk, stranger = await web.person(clinic, "admin"), await web.person(clinic, "receptionist"), await web.person(await web.clinic(), "admin")
    noor, tim, eva = [(await boss("POST", "/patients", {"givenName": name, "familyName": "Jansen"})).json()["id"] for name in ("Noor", "Tim", "Eva")]
    made = await boss("POST", "/consent-forms", WORDS)
    assert made.status_code == 201, made.text
    photos = made.json()["id"]
    failure(await desk("POST", "/consent-forms", WORDS | {"name": "Mine"}), 403, "FORBIDDEN")
    failure(await boss("POST", "/consent-forms", WORDS | {"name": " PHOTOS "}), 409, "NAME_TAKEN")
    body = {"patientId": noor, "formId": photos, "way": "paper"}
    first = await desk("POST", "/consents", body)
    assert first.status_code == 201, first.text
    short = await desk("POST", "/consents", body | {"patientId": tim, "givenOn": "2020-01-01", "validUntil": "2020-02-01"})
    seen = await boss.seen(short)
    lacking = (await desk("GET", "/consents/missing", params={"formId": photos}, headers=seen)).json()
    assert [(one["givenName"], one["status"]) for one in lacking["items"]] == [("Eva", "none"), ("Tim", "expired")]
    page = (await desk("GET", "/consents/missing", params={"formId": photos, "limit": 1}, headers=seen)).json()
    after = (await desk("GET", "/consents/missing", params={"formId": photos, "limit": 1, "cursor": page["next"]}, headers=seen)).json()
    assert [one["givenName"] for one in page["items"] + after["items"]] == ["Eva", "Tim"]
    assert after["next"] is None
    failure(await desk("GET", "/consents/missing", params={"formId": photos, "cursor": "x"}), 400, "CURSOR_INVALID")
    revised = await boss("PUT", f"/consent-forms/{photos}", WORDS | {"text": "Photos are taken, and shown to students."})
    assert revised.json()["version"] == 2
    seen = await boss.seen(revised)
    told = (await desk("GET", f"/consents/patient/{noor}", headers=seen)).json()["items"][0]
    assert (told["status"], told["outdated"], told["text"], told["version"], told["formVersion"]) == ("given", True, "Photos are taken.", 1, 2)
    assert len((await desk("GET", "/consents/missing", params={"formId": photos, "current": True}, headers=seen)).json()["items"]) == 3
    back = await desk("POST", "/consents/withdraw", {"patientId": noor, "formId": photos, "way": "phone"})
    assert back.status_code == 200, back.text
    failure(await desk("POST", "/consents/withdraw", {"patientId": noor, "formId": photos, "way": "phone"}), 409, "CONSENT_NOT_GIVEN")
    told = (await desk("GET", f"/consents/patient/{noor}", headers=await boss.seen(back))).json()["items"][0]
    assert (told["status"], [step["status"] for step in told["history"]]) == ("withdrawn", ["given", "withdrawn"])
    rows = (await desk("GET", "/consents", params={"formId": photos, "withdrawn": True}, headers=await boss.seen(back))).json()["items"]
    assert [row["patientId"] for row in rows] == [noor]
    for method, path, json in [
        ("GET", f"/consents/patient/{noor}", None), ("GET", f"/consents/missing?formId={photos}", None), ("POST", "/consents", body), ("PUT", f"/consent-forms/{photos}", WORDS),
        ("DELETE", f"/consent-forms/{photos}", None), ("POST", "/consents/withdraw", {"patientId": eva, "formId": photos, "way": "phone"}),
    ]:
        failure(await stranger(method, path, json), 404, "NOT_FOUND")


@on_the_system
async def test_a_patient_sees_gives_and_withdraws_their_own(web: Web) -> None:
    clinic = await web.clinic()
    boss = await web.person(clinic, "admin")
    noor = (await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"]
    other = (await boss("POST", "/patients", {"givenName": "Tim", "familyName": "Bakker"})).json()["id"]
    me = await web.person(clinic, "patient", UUID(noor))
    photos = (await boss("POST", "/consent-forms", WORDS)).json()["id"]
    last = await boss("POST", "/consents", {"patientId": other, "formId": photos, "way": "paper"})
    mine = (await me("GET", "/consents/own", headers=await boss.seen(last))).json()
    assert [(one["name"], one["status"]) for one in mine["items"]] == [("Photos", "none")]
    failure(await me("POST", f"/consents/own/{photos}", {"version": 2}), 400, "CONSENT_VERSION_UNKNOWN")
    agreed = await me("POST", f"/consents/own/{photos}", {"version": 1})
    assert (agreed.status_code, agreed.json()["way"]) == (200, "portal"), agreed.text
    answers = await asyncio.gather(*(me("POST", f"/consents/own/{photos}/withdraw", {}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409], [answer.text for answer in answers]
    seen = await me.seen(next(answer for answer in answers if answer.status_code == 200))
    mine = (await me("GET", "/consents/own", headers=seen)).json()
    assert [step["status"] for step in mine["items"][0]["history"]] == ["given", "withdrawn"]
    assert [row["patientId"] for row in (await me("GET", "/consents", headers=seen)).json()["items"]] == [noor], "and nobody else's"
    failure(await me("GET", f"/consents/patient/{other}"), 404, "NOT_FOUND")
    failure(await me("GET", "/consents/missing", params={"formId": photos}), 404, "NOT_FOUND")
    failure(await me("POST", "/consents", {"patientId": noor, "formId": photos, "way": "portal"}), 403, "FORBIDDEN")
    failure(await boss("GET", "/consents/own"), 404, "NOT_FOUND")


@on_the_system
async def test_a_consent_to_a_record_that_was_merged_counts_and_is_taken_back_with_it(web: Web) -> None:
    boss = await web.person(await web.clinic(), "admin")
    noor, twin = [(await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"] for _ in range(2)]
    photos = (await boss("POST", "/consent-forms", WORDS)).json()["id"]
    await boss("POST", "/consents", {"patientId": twin, "formId": photos, "way": "paper"})
    merged = await boss("POST", f"/patients/{noor}/merge", {"loserId": twin})
    seen = await boss.seen(merged)
    assert (await boss("GET", f"/consents/patient/{noor}", headers=seen)).json()["items"][0]["status"] == "given"
    assert (await boss("GET", "/consents/missing", params={"formId": photos}, headers=seen)).json()["items"] == []
    back = await boss("POST", "/consents/withdraw", {"patientId": noor, "formId": photos, "way": "verbal"})
    assert back.status_code == 200, back.text
    seen = await boss.seen(back)
    assert (await boss("GET", f"/consents/patient/{noor}", headers=seen)).json()["items"][0]["status"] == "withdrawn"
    assert [one["patientId"] for one in (await boss("GET", "/consents/missing", params={"formId": photos}, headers=seen)).json()["items"]] == [noor]


@on_the_system
async def test_what_a_patient_likes_best_is_noted_by_the_desk_and_by_themselves(web: Web) -> None:
    clinic = await web.clinic()
    boss, stranger = await web.person(clinic, "admin"), await web.person(await web.clinic(), "admin")
    noor, other = [(await boss("POST", "/patients", {"givenName": name, "familyName": "Jansen"})).json()["id"] for name in ("Noor", "Tim")]
    me = await web.person(clinic, "patient", UUID(noor))
    assert (await boss("GET", f"/patients/{noor}/preferences")).json()["language"] is None
    doctor = (await boss("POST", "/staff/create", {"name": "Dr Smit", "email": f"{uuid4()}@example.org", "role": "doctor"})).json()["id"]
    noted = await boss("PUT", f"/patients/{noor}/preferences", {
        "language": "nl", "ways": ["phone", "email", "phone"], "times": ["morning"], "doctorId": doctor, "needs": ["interpreter"]})
    assert noted.status_code == 200, noted.text
    told = (await boss("GET", f"/patients/{noor}/preferences", headers=await boss.seen(noted))).json()
    assert (told["language"], told["ways"], told["doctorId"], told["changedBy"]) == ("nl", ["phone", "email"], doctor, str(boss.id))
    said = await me("PUT", "/patients/profile/preferences", {"language": "pt-BR", "ways": ["email"]})
    assert said.status_code == 200, said.text
    told = (await me("GET", "/patients/profile/preferences", headers=await me.seen(said))).json()
    assert (told["language"], told["times"]) == ("pt-BR", None)
    for wrong in ({"language": "Dutch!"}, {"ways": ["pigeon"]}, {"needs": "chair"}):
        failure(await boss("PUT", f"/patients/{noor}/preferences", wrong), 400, "BODY_INVALID")
    failure(await boss("PUT", f"/patients/{noor}/preferences", {"doctorId": noor}), 404, "NOT_FOUND")
    failure(await stranger("PUT", f"/patients/{noor}/preferences", {}), 404, "NOT_FOUND")
    failure(await stranger("GET", f"/patients/{noor}/preferences"), 404, "NOT_FOUND")
    failure(await me("GET", f"/patients/{other}/preferences"), 404, "NOT_FOUND")
