"""Two records of one patient become one, and two again: what points at one of them, money, figures, claims, keys, and everybody who looks."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4, uuid5

import psycopg
import pytest
from msgspec.structs import replace

from commands.appointments import ChangeAppointment, ChangeAppointmentStatus, RemoveAppointment
from commands.invoices import RecordPayment, RefundPayment
from commands.kit.ids import resource
from commands.patients import MergePatients, UnmergePatients
from domain.appointments import Appointment, AppointmentBooked, AppointmentCompleted, AppointmentReassigned, Arrangement
from domain.erasures import Erasure
from domain.invoices import Invoice, InvoiceReassigned
from domain.kit import Elsewhere
from domain.kit.codec import person
from domain.patients import (
    Belonging,
    MergedWithItself,
    Patient,
    PatientArchived,
    PatientErased,
    PatientMerged,
    PatientNotActive,
    PatientRegistered,
    PatientReinstated,
    PatientReplaced,
    PatientsMerged,
    PatientsNotMerged,
    PatientsUnmerged,
    VisitsClash,
)
from projections.charts import Parts, chart_then
from projections.kit.rebuild import verify
from schemas.appointments import AppointmentRow
from schemas.calendar import CalendarRow
from schemas.invoices import InvoiceRow, PaymentRow
from schemas.lifetimes import Lifetime
from schemas.patients import PatientRow
from tests.clinic import NOW, Town, handling
from tests.kit import THIS, given, noon
from tests.served import failure

LOSER, THIRD, VISIT, OTHER_VISIT, BILL, DOCTOR = (uuid4() for _ in range(6))
registered = PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=date(2026, 1, 1))
merge = MergePatients(loser_id=LOSER, reason="Registered twice")
NOTHING = {"erasures": [Erasure(), Erasure()], "things": {}, "ahead": {}, "recalls": {}}


def arranged(patient: UUID, hours: int, *, forced: bool = False) -> Arrangement:
    start = noon.now + timedelta(hours=hours)
    return Arrangement(
        patient_id=patient, doctor_id=DOCTOR, on=start.date(), type="check-up", start_local="2026-01-05T12:00:00", zone="UTC", starts_at=start,
        ends_at=start + timedelta(hours=1), forced=forced)


def visit(patient: UUID, hours: int, *, forced: bool = False, status="booked") -> Appointment:
    return Appointment(status=status, arranged=arranged(patient, hours, forced=forced), record=patient)


def test_everything_of_the_loser_becomes_the_survivors():
    found = {**NOTHING, "things": {VISIT: visit(LOSER, 1), BILL: Invoice(stage="draft", patient_id=LOSER, record=LOSER)}}
    moved = [Belonging(kind="appointments", id=VISIT), Belonging(kind="invoices", id=BILL)]
    given(registered).looking(loser=Patient(registered=True, archived=True), **found).when(merge).then(
        PatientsMerged(loser_id=LOSER, records=[LOSER], reason="Registered twice"),
        Elsewhere(state=Patient, id=LOSER, events=[PatientReplaced(survivor_id=THIS, moved=moved)]),
        Elsewhere(state=Appointment, id=VISIT, events=[
            AppointmentReassigned(patient_id=THIS, was_patient_id=LOSER, doctor_id=DOCTOR, on=noon.today, overlaps=False)]),
        Elsewhere(state=Invoice, id=BILL, events=[InvoiceReassigned(patient_id=THIS, was_patient_id=LOSER, payments=[])]))


def test_what_was_merged_into_the_loser_comes_along_and_goes_back_with_it():
    merged = PatientsMerged(loser_id=LOSER, records=[LOSER, THIRD])
    given(registered).looking(loser=Patient(registered=True, records=(THIRD,)), **NOTHING).when(MergePatients(loser_id=LOSER)).then(
        merged, Elsewhere(state=Patient, id=LOSER, events=[PatientReplaced(survivor_id=THIS, moved=[])]))
    there = {name: value for name, value in NOTHING.items() if name != "ahead"}
    loser = Patient(registered=True, records=(THIRD,), merged_into=THIS)
    given(registered, merged).looking(loser=loser, **there).when(UnmergePatients(loser_id=LOSER)).then(
        PatientsUnmerged(loser_id=LOSER, records=[LOSER, THIRD]), Elsewhere(state=Patient, id=LOSER, events=[PatientReinstated(survivor_id=THIS, moved=[])]))
    assert Patient.replay([registered, merged, PatientsUnmerged(loser_id=LOSER, records=[LOSER, THIRD])]).records == ()


def test_what_cannot_be_merged():
    alone = Patient(registered=True)
    given(registered).looking(loser=alone, **NOTHING).when(MergePatients(loser_id=THIS)).refused(MergedWithItself)
    refused = given(registered).looking(loser=Patient(registered=True, merged_into=THIRD), **NOTHING).when(merge).refused(PatientMerged)
    assert refused.details == {"into": str(THIRD)}
    given(registered, PatientReplaced(survivor_id=LOSER, moved=[])).looking(loser=alone, **NOTHING).when(merge).refused(PatientMerged)  # a ring
    given(registered, PatientArchived()).looking(loser=alone, **NOTHING).when(merge).refused(PatientNotActive)
    given(registered).looking(loser=alone, **{**NOTHING, "erasures": [Erasure(), Erasure(erased=True)]}).when(merge).refused(PatientErased)
    given(registered).looking(loser=Patient(registered=True, merged_into=THIS), **NOTHING).when(merge).then()  # it is so already


def test_what_cannot_be_parted():
    there = {name: value for name, value in NOTHING.items() if name != "ahead"}
    part = UnmergePatients(loser_id=LOSER)
    given(registered).looking(loser=Patient(registered=True), **there).when(part).refused(PatientsNotMerged)
    given(registered).looking(loser=Patient(registered=True, merged_into=THIRD), **there).when(part).refused(PatientsNotMerged)
    given(registered, PatientReplaced(survivor_id=THIRD, moved=[])).looking(loser=Patient(registered=True, merged_into=THIS), **there).when(part).refused(PatientMerged)
    erased = {**there, "erasures": [Erasure(erased=True), Erasure()]}
    given(registered).looking(loser=Patient(registered=True, merged_into=THIS), **erased).when(part).refused(PatientErased)


@pytest.mark.parametrize(("theirs", "ours", "clash"), [
    (visit(LOSER, 1), visit(THIS, 1), True), (visit(LOSER, 1), visit(THIS, 2), False), (visit(LOSER, -3), visit(THIS, -3), False),
    (visit(LOSER, 1, forced=True), visit(THIS, 1), False), (visit(LOSER, 1, status="cancelled"), visit(THIS, 1), False),
])
def test_visits_at_the_same_time_clash_if_they_are_still_to_come(theirs, ours, clash):
    looking = given(registered).looking(loser=Patient(registered=True), **{**NOTHING, "things": {VISIT: theirs}, "ahead": {OTHER_VISIT: ours}}).when(merge)
    if clash:
        assert looking.refused(VisitsClash).details == {"pairs": [[str(OTHER_VISIT), str(VISIT)]]}
    else:
        assert len(looking.decide()) == 3


def test_what_lies_behind_may_overlap_and_what_is_moved_again_may_not():
    moved = visit(LOSER, -3).evolve(*visit(LOSER, -3).reassign(LOSER, THIS, noon.now))
    assert [claim.forced for claim in sorted(moved.claims(), key=lambda claim: claim.kind)] == [False, True]  # the doctor's, the patient's
    assert moved.patient == THIS


def test_what_is_noted_on_a_things_of_the_losers_stays_under_the_losers_key_and_name():
    booked = AppointmentBooked(**{name: getattr(arranged(LOSER, -3), name) for name in Arrangement.__struct_fields__}, notes="Afraid")
    state = Appointment.replay([booked, AppointmentReassigned(patient_id=THIS, was_patient_id=LOSER, doctor_id=DOCTOR, on=noon.today, overlaps=True)])
    later = AppointmentBooked(**{name: getattr(arranged(THIS, -3), name) for name in Arrangement.__struct_fields__}, notes="Braver")
    assert state.keeper(person(later, VISIT)) == LOSER
    seen = Appointment(status="in-chair", arranged=state.arranged, record=state.record).complete()
    assert seen == [AppointmentCompleted(patient_id=THIS, doctor_id=DOCTOR, on=state.arranged.on, record_id=LOSER)]
    assert visit(THIS, 1, status="in-chair").complete()[0].record_id is None


class Desk:
    """The front desk of a clinic: what it asks for, with every read waiting for the last change."""

    def __init__(self, web, boss, clinic):
        self.web, self.boss, self.clinic, self.position = web, boss, clinic, "0"

    @classmethod
    async def open(cls, web):
        clinic = await web.clinic()
        desk = cls(web, await web.person(clinic, "admin"), clinic)
        desk.doctor = (await desk("POST", "/staff/create", {"name": "Dr Visser", "email": f"{uuid4().hex[:8]}@clinic.example", "role": "doctor"}))["id"]
        await desk("PUT", f"/appointments/doctor-schedules/{desk.doctor}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})
        return desk

    async def __call__(self, method, path, body=None, **options):
        answer = await self.ask(method, path, body, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def ask(self, method, path, body=None, by=None, **options):
        answer = await (by or self.boss)(method, path, body, headers={"x-position": self.position}, **options)
        if method != "GET" and answer.headers.get("x-position", "0") != "0":
            self.position = answer.headers["x-position"]
        return answer

    async def patient(self, name="Bakker", **more):
        return (await self("POST", "/patients", {"givenName": "Noor", "familyName": name, **more}))["id"]

    async def visit(self, patient, hour, **more):
        on = (datetime.now(UTC) + timedelta(days=30)).date()
        wanted = {"patientId": patient, "doctorId": self.doctor, "start": f"{on}T{hour:02}:00:00", "duration": 30, **more}
        return (await self("POST", "/appointments", wanted))["id"]

    async def bill(self, patient, total=1000, **more):
        line = {"description": "Crown", "unitPrice": total, "doctorId": self.doctor}
        return (await self("POST", "/invoices", {"patientId": patient, "lines": [line], "issue": True, **more}))["id"]

    async def pay(self, invoice, amount):
        return await self("POST", f"/invoices/{invoice}/payments", {"amount": amount, "method": "cash"})

    async def done(self, visit):
        for status in ("arrived", "in-chair", "completed"):
            await self("PATCH", f"/appointments/{visit}/status", {"status": status})

    async def merge(self, survivor, loser, **how):
        return await self("POST", f"/patients/{survivor}/merge", {"loserId": loser}, **how)

    async def part(self, survivor, loser):
        return await self("POST", f"/patients/{survivor}/unmerge", {"loserId": loser})

    async def of(self, path, patient):
        return {one["id"] for one in (await self("GET", path, params={"patientId": patient}))["items"]}

    async def ltv(self):
        return {one["patientId"]: one for one in (await self("GET", "/analytics/patient-ltv"))["items"]}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_patient_registered_twice_is_one_and_then_two_again(web):
    desk = await Desk.open(web)
    one, two = await desk.patient(), await desk.patient("Bakker-Smit", email="noor@example.org")
    mine, theirs = await desk.visit(one, 9), await desk.visit(two, 10, notes="Afraid of drills")
    paid, draft = await desk.bill(two), await desk.bill(two, issue=False)
    await desk.pay(paid, 400)
    await desk.done(theirs)
    before, figures, was = desk.position, await desk.ltv(), await desk("GET", f"/patients/{one}/chart")

    rehearsed = await desk("GET", f"/patients/{one}/merge/{two}")
    assert (rehearsed["appointments"], rehearsed["invoices"], rehearsed["due"]) == (1, 2, 600)
    assert (await desk("GET", f"/patients/{two}"))["mergedInto"] is None
    row = await desk.merge(one, two)
    assert [record["id"] for record in row["mergedRecords"]] == [two]
    assert await desk.merge(one, two) == row  # once is enough

    assert (await desk("GET", f"/patients/{two}"))["mergedInto"] == one
    assert await desk.of("/appointments", one) == {mine, theirs}
    assert await desk.of("/invoices", one) == {paid, draft}
    assert await desk.of("/appointments", two) == await desk.of("/invoices", two) == set()
    assert {payment["patientId"] for payment in (await desk("GET", f"/invoices/{paid}/payments"))["items"]} == {one}
    assert {entry["patientName"] for entry in (await calendar(desk))} == {"Noor Bakker"}
    assert [found["id"] for found in (await desk("GET", "/patients/search", params={"q": "noor"}))["items"]] == [one]
    assert (await desk("GET", "/patients/search", params={"q": "noor@example.org"}))["items"] == []
    assert [found["id"] for found in (await desk("GET", "/patients"))["items"]] == [one]
    chart = await desk("GET", f"/patients/{one}/chart")
    assert ({visit["id"] for visit in chart["appointments"]}, {bill["id"] for bill in chart["invoices"]}) == ({mine, theirs}, {paid, draft})
    assert [visit["notes"] for visit in chart["appointments"] if visit["id"] == theirs] == ["Afraid of drills"]
    assert (await desk("GET", "/reports/stats"))["patients"] == 1
    together = await desk.ltv()
    assert set(together) == {one}
    assert (together[one]["visits"], together[one]["collected"], together[one]["billed"]) == (1, 400, 1000)
    assert await desk("GET", f"/patients/{one}/chart", params={"asOf": before}) == was
    assert await desk("GET", f"/patients/{one}/chart", params={"asOf": desk.position}) == chart

    await desk.pay(paid, 600)
    kept = await desk.bill(one, 50)
    steps = (await desk("GET", f"/activity/patients/{two}"))["items"]
    assert (steps[0]["action"], len(steps[0]["changes"]["moved"])) == ("PatientReplaced", 3)
    assert (await desk.part(one, two))["mergedRecords"] == []
    assert await desk.of("/appointments", one) == {mine}
    assert await desk.of("/appointments", two) == {theirs}
    assert await desk.of("/invoices", one) == {kept}
    assert await desk.of("/invoices", two) == {paid, draft}
    assert {entry["patientName"] for entry in (await calendar(desk))} == {"Noor Bakker", "Noor Bakker-Smit"}
    apart = await desk.ltv()
    assert (apart[two]["collected"], apart[two]["visits"], apart[one]["billed"]) == (1000, 1, 50)
    assert apart[two]["firstVisit"] == figures[two]["firstVisit"]
    assert (await desk("GET", "/reports/stats"))["patients"] == 2
    assert len((await desk("GET", "/patients/search", params={"q": "noor"}))["items"]) == 2
    failure(await desk.ask("POST", f"/patients/{one}/unmerge", {"loserId": two}), 409, "PATIENTS_NOT_MERGED")
    level(web)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_record_that_was_merged_is_closed_and_the_ones_time_is_the_others(web):
    desk = await Desk.open(web)
    one, two = await desk.patient(), await desk.patient()
    await desk.visit(two, 10)
    await desk.merge(one, two)
    details = failure(await desk.ask("PUT", f"/patients/{two}", {"givenName": "Noor", "familyName": "B"}), 409, "PATIENT_MERGED")
    assert details == [{"into": one}]
    on = (datetime.now(UTC) + timedelta(days=30)).date()
    booking = {"patientId": two, "doctorId": desk.doctor, "start": f"{on}T15:00:00"}
    for method, path, body in [
        ("POST", f"/patients/{two}/restore", None), ("DELETE", f"/patients/{two}", None), ("POST", "/appointments", booking),
        ("POST", "/invoices", {"patientId": two, "lines": [{"description": "Crown", "unitPrice": 1}]}), ("POST", f"/patients/{two}/merge", {"loserId": one}),
        ("POST", f"/patients/{await desk.patient()}/merge", {"loserId": two}),
    ]:
        failure(await desk.ask(method, path, body), 409, "PATIENT_MERGED")
    elsewhere = {"patientId": one, "doctorId": await another(desk), "start": f"{on}T10:15:00"}
    failure(await desk.ask("POST", "/appointments", elsewhere), 409, "TIME_TAKEN")
    await desk.part(one, two)
    await desk("POST", "/appointments", elsewhere)


async def calendar(desk):
    on = (datetime.now(UTC) + timedelta(days=30)).date()
    return (await desk("GET", "/appointments/calendar", params={"from": str(on), "to": str(on)}))["appointments"]


async def another(desk):
    doctor = (await desk("POST", "/staff/create", {"name": "Dr Two", "email": f"{uuid4().hex[:8]}@clinic.example", "role": "doctor"}))["id"]
    await desk("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})
    return doctor


def level(web):
    """What a replay makes of history is what stands in the rows."""
    names = ["patients", "appointments", "calendar", "visits", "invoices", "payments", "lifetimes", "trails", "medical_histories"]
    compared = verify(web.database.url("owner"), names, kek=web.services.settings.kek)
    assert compared.equal, compared


@pytest.mark.asyncio(loop_scope="module")
async def test_two_visits_at_one_time_still_to_come_must_be_settled_first(web):
    desk = await Desk.open(web)
    one, two = await desk.patient(), await desk.patient()
    mine, theirs = await desk.visit(one, 9), await desk.visit(two, 9, doctorId=await another(desk))
    details = failure(await desk.ask("POST", f"/patients/{one}/merge", {"loserId": two}), 409, "VISITS_CLASH")
    assert details == [{"pairs": [[mine, theirs]]}]
    failure(await desk.ask("GET", f"/patients/{one}/merge/{two}"), 409, "VISITS_CLASH")
    assert (await desk("GET", f"/patients/{two}"))["mergedInto"] is None
    await desk("PATCH", f"/appointments/{mine}/status", {"status": "cancelled"})
    await desk.merge(one, two)
    assert await desk.of("/appointments", one) == {mine, theirs}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_allergy_that_was_noted_on_the_other_record_is_shown(web):
    desk = await Desk.open(web)
    one, two, three = [await desk.patient() for _ in range(3)]

    async def note(patient, *allergies):
        await desk("PUT", f"/patients/{patient}/medical", {"allergies": [{"name": name} for name in allergies], "conditions": [], "medications": []})

    async def noted(patient, **params):
        found = [one["name"] for one in (await desk("GET", f"/patients/{patient}/medical", params=params))["allergies"]]
        chart = (await desk("GET", f"/patients/{patient}/chart", params=params))["medicalHistory"]
        assert [one["name"] for one in chart["allergies"]] == found
        return found

    await note(one, "Latex")
    await note(two, "Penicillin", "Latex")
    await desk.merge(two, three)
    before = desk.position
    await desk.merge(one, two)
    assert await noted(one) == ["Latex", "Penicillin"]
    assert await noted(one, asOf=before) == ["Latex"]
    assert await noted(one, asOf=desk.position) == ["Latex", "Penicillin"]
    assert await noted(two) == ["Penicillin", "Latex"]
    merged = desk.position
    await note(one, "Latex", "Nickel")  # the whole, as it now stands
    assert await noted(one) == ["Latex", "Nickel"]
    assert await noted(one, asOf=merged) == ["Latex", "Penicillin"]
    failure(await desk.ask("PUT", f"/patients/{two}/medical", {"allergies": [], "conditions": [], "medications": []}), 409, "PATIENT_MERGED")
    await desk.part(one, two)
    assert (await noted(one), await noted(two)) == (["Latex", "Nickel"], ["Penicillin", "Latex"])
    assert await noted(one, asOf=merged) == ["Latex", "Penicillin"]
    assert (await desk("GET", f"/patients/{three}"))["mergedInto"] == two


@pytest.mark.asyncio(loop_scope="module")
async def test_both_portal_accounts_go_on_with_the_one_record_and_with_their_own_afterwards(web):
    desk = await Desk.open(web)
    one, two = await desk.patient(), await desk.patient("Bakker-Smit")
    mine, theirs = await desk.visit(one, 9), await desk.visit(two, 10)
    first, second = [await web.person(desk.clinic, "patient", UUID(patient)) for patient in (one, two)]

    async def seen(by):
        answer = await desk.ask("GET", "/appointments", by=by)
        return {visit["id"] for visit in answer.json()["items"]}

    assert (await seen(first), await seen(second)) == ({mine}, {theirs})
    await desk.merge(one, two)
    assert await seen(first) == await seen(second) == {mine, theirs}
    assert (await desk.ask("GET", f"/patients/{one}", by=second)).status_code == 200
    failure(await desk.ask("GET", f"/patients/{two}", by=second), 404, "NOT_FOUND")
    own = await desk.ask("GET", f"/patients/{one}/export", by=second)
    assert own.json().get("patientId") == one, own.text
    await desk.part(one, two)
    assert (await seen(first), await seen(second)) == ({mine}, {theirs})
    failure(await desk.ask("GET", f"/patients/{one}", by=second), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_forgotten_is_under_all_their_records_and_whoever_was_parted_is_alone(web):
    desk = await Desk.open(web)
    one, two, other = await desk.patient("Quirrenbach"), await desk.patient("Xanthippe"), await desk.patient("Zwanenburg")
    theirs, parted = await desk.visit(two, 9, notes="Afraid of drills"), await desk.visit(other, 11, notes="Humming")
    await desk.merge(one, two)
    await desk.merge(one, other)
    await desk("PUT", f"/appointments/{parted}", {"doctorId": desk.doctor, "start": await start_of(desk, parted), "notes": "Humming loudly"})
    exported = await desk("GET", f"/patients/{two}/export")
    assert exported["patientId"] == one
    assert {"Quirrenbach", "Xanthippe", "Zwanenburg"} <= {event["said"].get("familyName") for event in exported["events"]}
    await desk.part(one, other)

    exported = (await desk("GET", f"/patients/{one}/export"), await desk("GET", f"/patients/{other}/export"))
    assert ["Zwanenburg" in str(each) for each in exported] == ["Humming" in str(each) for each in exported] == [False, True]
    assert ["Xanthippe" in str(each) for each in exported] == ["Afraid of drills" in str(each) for each in exported] == [True, False]
    ask = {"kind": "patients", "reason": "They asked to be forgotten", "despiteRetention": True}
    failure(await desk.ask("POST", "/privacy/erasures", {**ask, "personId": two}), 409, "PATIENT_MERGED")
    hold = await desk("POST", f"/clinics/{desk.clinic}/holds", {"patientId": two, "reason": "A lawsuit"})
    failure(await desk.ask("POST", "/privacy/erasures", {**ask, "personId": one}), 409, "RECORDS_MUST_STAY")
    await desk("DELETE", f"/clinics/{desk.clinic}/holds/{hold['holds'][0]}", params={"reason": "Settled"})
    report = await desk("POST", "/privacy/erasures", {**ask, "personId": one})
    assert (report["found"]["keys"], report["left"]["keys"], report["left"]["rows"], report["left"]["events"]) == (2, 0, {}, {})
    assert [(await desk("GET", f"/patients/{patient}"))["familyName"] for patient in (one, two, other)] == [None, None, "Zwanenburg"]
    assert [(await desk("GET", f"/appointments/{visit}"))["notes"] for visit in (theirs, parted)] == [None, "Humming loudly"]
    failure(await desk.ask("POST", f"/patients/{one}/unmerge", {"loserId": two}), 409, "PATIENT_ERASED")
    assert set(await desk.ltv()) == {other}

    report = await desk("POST", "/privacy/erasures", {**ask, "personId": other})  # what was noted while it was another record's goes with its own key
    assert (report["left"]["keys"], report["left"]["rows"], report["left"]["events"]) == (0, {}, {})
    assert (await desk("GET", f"/appointments/{parted}"))["notes"] is None
    failure(await desk.ask("POST", f"/patients/{await desk.patient()}/merge", {"loserId": other}), 409, "PATIENT_ERASED")
    level(web)


async def start_of(desk, visit):
    return (await desk("GET", f"/appointments/{visit}"))["startLocal"]


class MergeInterrupted(MergePatients):
    """Waits for something when it has looked and before it is decided, the first time it looks."""

    async def gather(self, look):
        found = await super().gather(look)
        if MEANWHILE:
            await MEANWHILE.pop()()
        return found


MEANWHILE: list[Any] = []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_booking_that_another_process_stores_between_look_and_decision_is_not_left_behind(web):
    """It changes nothing that the merge has read; only the store, which knows who has been named since, can tell."""
    town = await Town.open(web.services.handler)
    loser = await town.register()
    async with handling(web.database) as elsewhere:
        booked: list[Any] = []

        async def book():
            booked.append(await elsewhere.handle(town.visit(patient_id=loser), town.admin, now=NOW))

        MEANWHILE.append(book)
        merged = await town(MergeInterrupted(loser_id=loser), town.patient)
    reader = await web.services.reader(town.id, merged.position)
    assert [(row.id, row.patient_id) for row in await reader.find(AppointmentRow)] == [(booked[0].id, town.patient)]


@pytest.mark.asyncio(loop_scope="module")
async def test_five_hundred_things_move_in_one_save(web):
    town = await Town.open(web.services.handler)
    loser = await town.register()
    await asyncio.gather(*(town(town.visit(town.at(5 * n), 5, patient_id=loser)) for n in range(250)))
    bills = await asyncio.gather(*(town(replace(town.bill(100, issue=False), patient_id=loser)) for _ in range(250)))
    merged = await town(MergePatients(loser_id=loser), town.patient)
    assert merged.position - max(bill.position for bill in bills) == 502
    row = await web.services.reader(town.id, merged.position)
    assert len(await row.find(AppointmentRow, patient_id=town.patient)) == len(await row.find(InvoiceRow, patient_id=town.patient)) == 250


class Story:
    """What happens in a clinic by chance, and beside it what anybody would say of it who knows one thing only: into which record each was merged."""

    def __init__(self, town, seed):
        self.town, self.dice = town, Random(seed)
        self.into: dict[UUID, UUID] = {}
        self.visits: dict[UUID, list[Any]] = {}  # whose at the beginning, the day, how far
        self.bills: dict[UUID, UUID] = {}
        self.payments: dict[UUID, tuple[UUID, int, int]] = {}  # of which invoice, how much, how much of it was given back
        self.then: list[tuple[int, dict[UUID, UUID]]] = []

    def root(self, record):
        while record in self.into:
            record = self.into[record]
        return record

    def owners(self):
        standing = {visit: whose for visit, (whose, _, how) in self.visits.items() if how != "removed"}
        return {thing: self.root(whose) for thing, whose in {**standing, **self.bills}.items()}

    async def ask(self, command, id_, expected):
        """Have something decided, and see that it is refused if it should be, and only then."""
        if expected is not None:
            with pytest.raises(expected):
                await self.town(command, id_)
            return None
        return await self.town(command, id_)

    async def book(self):
        whose, start = self.dice.choice(self.records), self.town.at(60 * len(self.visits))
        made = await self.ask(self.town.visit(start, patient_id=whose, notes="Afraid"), None, PatientMerged if whose in self.into else None)
        if made:
            self.visits[made.id] = [whose, start.date(), "booked"]

    async def bill(self):
        whose = self.dice.choice(self.records)
        made = await self.ask(replace(self.town.bill(100), patient_id=whose), None, PatientMerged if whose in self.into else None)
        if made:
            self.bills[made.id] = whose

    async def go_on(self):
        """Something happens to a visit."""
        waiting = [visit for visit, (_, _, how) in self.visits.items() if how == "booked"]
        if not waiting:
            return
        visit = self.dice.choice(waiting)
        match self.dice.choice(["seen", "seen", "cancelled", "removed", "noted"]):
            case "seen":
                for status in ("arrived", "in-chair", "completed"):
                    await self.town(ChangeAppointmentStatus(status=status), visit)
                self.visits[visit][2] = "seen"
            case "cancelled":
                await self.town(ChangeAppointmentStatus(status="cancelled"), visit)
                self.visits[visit][2] = "cancelled"
            case "removed":
                await self.town(RemoveAppointment(), visit)
                self.visits[visit][2] = "removed"
            case _:
                row = (await self.town.handler.find(AppointmentRow, self.town.id, {"id": visit}))
                if row:
                    await self.town(ChangeAppointment(doctor_id=self.town.doctor, room_id=self.town.room, start=row[0].starts_at, notes="Braver"), visit)

    async def pay(self):
        if self.bills:
            bill = self.dice.choice(list(self.bills))
            if sum(amount - back for of, amount, back in self.payments.values() if of == bill) <= 70:
                made = await self.town(RecordPayment(amount=30, method="cash"), bill)
                number = 1 + sum(of == bill for of, *_ in self.payments.values())
                self.payments[uuid5(made.id, f"payments/{number}")] = (bill, 30, 0)

    async def refund(self):
        if whole := [payment for payment, (_, _, back) in self.payments.items() if not back]:
            payment = self.dice.choice(whole)
            bill, amount, _ = self.payments[payment]
            await self.town(RefundPayment(payment_id=payment, amount=10, reason="Kindness"), bill)
            self.payments[payment] = (bill, amount, 10)

    async def merge(self):
        one, two = self.dice.choice(self.records), self.dice.choice(self.records)
        expected = MergedWithItself if one == two else None if self.into.get(two) == one else PatientMerged if one in self.into or two in self.into else None
        await self.ask(MergePatients(loser_id=two), one, expected)
        if expected is None:
            self.into[two] = one

    async def part(self):
        two, one = self.dice.choice([*self.into.items(), (self.dice.choice(self.records), self.dice.choice(self.records))])
        expected = PatientMerged if one in self.into else None if self.into.get(two) == one else PatientsNotMerged
        await self.ask(UnmergePatients(loser_id=two), one, expected)
        if expected is None:
            del self.into[two]

    async def tell(self, steps):
        self.records = [await self.town.register(f"Bakker {n}") for n in range(5)]
        for n in range(steps):
            await self.dice.choice([self.book, self.bill, self.go_on, self.go_on, self.pay, self.refund, self.merge, self.part])()
            if n % (steps // 3) == steps // 4:
                self.then.append((await self.head(), self.owners()))
        return self

    async def head(self):
        return (await self.town.handler.lanes.ask(None, "select position from store_head")).rows[0][0]

    def lives(self):
        """What each patient has come to, by hand."""
        found = {record: Counter[str]() for record in self.records if record not in self.into}
        for whose, _, how in self.visits.values():
            if how == "seen":
                found[self.root(whose)] += Counter(visits=1)
        for bill, whose in self.bills.items():
            found[self.root(whose)] += Counter(billed=100, invoices=1)
            for of, amount, back in self.payments.values():
                if of == bill:
                    found[self.root(whose)] += Counter(collected=amount, refunded=back, payments=1)
        return found


@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_happens_everything_is_the_record_that_stands_for_the_one_it_was_begun_under(web):
    for seed in range(5):
        story = await Story(await Town.open(web.services.handler), seed).tell(80)
        reader = await web.services.reader(story.town.id, await story.head())
        owners = story.owners()
        visits = {visit: owner for visit, owner in owners.items() if visit in story.visits}
        for row in (AppointmentRow, CalendarRow):
            assert {one.id: one.patient_id for one in await reader.find(row)} == visits
        assert {one.id: one.patient_id for one in await reader.find(InvoiceRow)} == {bill: owners[bill] for bill in story.bills}
        assert {one.id: one.patient_id for one in await reader.find(PaymentRow)} == {payment: owners[bill] for payment, (bill, *_) in story.payments.items()}
        assert {one.id: one.merged_into for one in await reader.find(PatientRow) if one.merged_into} == story.into
        told = {one.patient_id: one for one in await reader.find(Lifetime) if one.patient_id in story.records}
        lives = story.lives()
        sums = ("visits", "billed", "invoices", "collected", "refunded", "payments")
        assert {who: {name: getattr(one, name) for name in sums} for who, one in told.items()} == {who: {name: life[name] for name in sums} for who, life in lives.items()}
        days = {who: [day for whose, day, how in story.visits.values() if how == "seen" and story.root(whose) == who] for who in lives}
        assert {who: (one.first_visit, one.last_visit) for who, one in told.items()} == {who: (min(on, default=None), max(on, default=None)) for who, on in days.items()}
        for position, then in story.then:
            for record in story.records:
                was = await chart_then(reader, web.services.handler.keys, record, Parts(medical=True, appointments={}, invoices={}), position)
                assert {one.id for one in (*was.appointments, *was.invoices)} == {thing for thing, owner in then.items() if owner == record}
        claimed = await claims(web, story.town.id, story.records)
        assert claimed == Counter(owners[visit] for visit, (_, _, how) in story.visits.items() if how in {"booked", "seen"})
    level(web)


async def claims(web, clinic, patients):
    """How often each patient's time is claimed."""
    with psycopg.connect(web.database.url("owner")) as owner:
        found = Counter(thing for (thing,) in owner.execute("select resource from time_claims"))
    return Counter({patient: found[resource(clinic, "patient", patient.bytes)] for patient in patients if found[resource(clinic, "patient", patient.bytes)]})
