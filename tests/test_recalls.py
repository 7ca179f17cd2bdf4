"""Recalls: of each kind a patient has one that is open, whoever asks for it and how often; a visit answers it, and opens it again if it comes to nothing."""

import asyncio
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec.structs import replace

from commands.appointments import ChangeAppointmentStatus, RemoveAppointment
from commands.kit.errors import NameTaken
from commands.kit.handling import Receipt
from commands.patients import MergePatients, UnmergePatients
from commands.recalls import (
    BookRecall,
    CancelRecall,
    ChangeRecall,
    DeclineRecall,
    NoteRecallAttempt,
    RefuseRecalls,
    ReopenRecall,
    ScheduleRecall,
    WelcomeRecalls,
)
from domain.appointments import Appointment, Arrangement
from domain.kit import Elsewhere, NotFound
from domain.patients import Patient, PatientMerged, PatientNotActive
from domain.recalls import (
    Recall,
    RecallAlreadyOpen,
    RecallAnsweredElsewhere,
    RecallAttempted,
    RecallBooked,
    RecallCancelled,
    RecallDateOutOfRange,
    RecallDeclined,
    RecallNotOpen,
    RecallNotSettled,
    RecallRearranged,
    RecallReassigned,
    RecallReopened,
    RecallReworded,
    RecallScheduled,
    RecallsRefused,
    RecallsUnwanted,
    RecallSuperseded,
    RecallsWelcomed,
    RecallVisitOver,
    RecallWish,
    wish_of,
)
from gateway.recalls import Tending, months_before
from projections.kit.rebuild import verify
from schemas.recalls import RecallRow
from tests.clinic import Town, handling, stored
from tests.kit import facts, given, noon
from tests.served import failure, today_there, until

NOOR, VISIT, DOCTOR = uuid4(), uuid4(), uuid4()
DUE = noon.today + timedelta(days=30)
active = Patient(registered=True)
free = {"patient": active, "wishes": [RecallWish()], "opened": None}
scheduled = RecallScheduled(patient_id=NOOR, kind="hygiene", date=DUE, message="Time to clean")
booked = RecallBooked(patient_id=NOOR, appointment_id=VISIT)
declined = RecallDeclined(patient_id=NOOR, reason="Not now")
schedule = ScheduleRecall(patient_id=NOOR, kind="hygiene", date=DUE, message="Time to clean")


def visit(patient: UUID = NOOR, status: Any = "booked") -> Appointment:
    start = noon.now + timedelta(days=20)
    return Appointment(status=status, arranged=Arrangement(
        patient_id=patient, doctor_id=DOCTOR, on=start.date(), type="check-up", start_local="2026-01-25T12:00:00", zone="UTC", starts_at=start,
        ends_at=start + timedelta(hours=1)))


def test_a_patient_is_called_back_if_nothing_forbids_it():
    given().looking(**free).when(schedule).then(scheduled)
    given().looking(**{**free, "patient": Patient(registered=True, archived=True)}).when(schedule).refused(PatientNotActive)
    given().looking(**{**free, "patient": Patient(registered=True, merged_into=VISIT)}).when(schedule).refused(PatientMerged)
    given().looking(**{**free, "wishes": [RecallWish(), RecallWish(refused=True)]}).when(schedule).refused(RecallsUnwanted)
    assert given().looking(**{**free, "opened": VISIT}).when(schedule).refused(RecallAlreadyOpen).details == {"id": str(VISIT)}
    for wrong in (noon.today - timedelta(days=1), date(2040, 1, 1), date.max):
        given().looking(**free).when(replace(schedule, date=wrong)).refused(RecallDateOutOfRange)


def test_what_is_left_out_of_a_change_stays():
    later = DUE + timedelta(days=7)
    given(scheduled).when(ChangeRecall(date=later)).then(RecallRearranged(patient_id=NOOR, date=later))
    given(scheduled).when(ChangeRecall(message=None)).then(RecallReworded(patient_id=NOOR))
    given(scheduled).when(ChangeRecall(channel="sms", message="Come")).then(
        RecallRearranged(patient_id=NOOR, date=DUE, channel="sms"), RecallReworded(patient_id=NOOR, message="Come"))
    given(scheduled).when(ChangeRecall(date=DUE)).then()
    given(scheduled).when(ChangeRecall(date=noon.today - timedelta(days=1))).refused(RecallDateOutOfRange)
    given(scheduled, declined).when(ChangeRecall(message="Come")).refused(RecallNotOpen)
    overdue = replace(noon, today=DUE + timedelta(days=3))
    given(scheduled, at=overdue).when(ChangeRecall(channel="email")).then(RecallRearranged(patient_id=NOOR, date=DUE, channel="email"))


def test_somebody_calls_and_notes_what_came_of_it():
    tried = RecallAttempted(patient_id=NOOR, channel="phone", outcome="no-answer", note="Voicemail")
    calling = given(scheduled).looking(patient=active)
    calling.when(NoteRecallAttempt(outcome="no-answer", note="Voicemail")).then(tried)
    again = noon.today + timedelta(days=2)
    calling.when(NoteRecallAttempt(outcome="no-answer", note="Voicemail", next_date=again)).then(tried, RecallRearranged(patient_id=NOOR, date=again))
    assert Recall.replay([scheduled, tried]).status == "contacted"
    given(scheduled).looking(patient=Patient(registered=True, archived=True)).when(NoteRecallAttempt(outcome="reached")).refused(PatientNotActive)
    given(scheduled, booked).looking(patient=active).when(NoteRecallAttempt(outcome="reached")).refused(RecallNotOpen)


def test_a_visit_of_that_patient_answers_it():
    answer = BookRecall(appointment_id=VISIT)
    given(scheduled).looking(appointment=visit()).when(answer).then(booked)
    given(scheduled, booked).looking(appointment=visit()).when(answer).then()
    given(scheduled).looking(appointment=visit(DOCTOR)).when(answer).refused(RecallAnsweredElsewhere)
    given(scheduled).looking(appointment=visit(status="cancelled")).when(answer).refused(RecallVisitOver)
    given(scheduled).looking(appointment=Appointment()).when(answer).refused(NotFound)
    given(scheduled, declined).looking(appointment=visit()).when(answer).refused(RecallNotOpen)


def test_whoever_declines_may_do_so_for_ever_and_think_again():
    given(scheduled).looking(wish=RecallWish()).when(DeclineRecall(reason="Not now")).then(declined)
    refused = RecallsRefused(patient_id=NOOR, reason="Not now")
    given(scheduled).looking(wish=RecallWish()).when(DeclineRecall(reason="Not now", never=True)).then(
        declined, Elsewhere(state=RecallWish, id=wish_of(NOOR), events=[refused]))
    given(scheduled).looking(wish=RecallWish(refused=True)).when(DeclineRecall(reason="Not now", never=True)).then(declined)
    given().when(RefuseRecalls(patient_id=NOOR, reason="Not now")).then(refused)
    given(refused).when(RefuseRecalls(patient_id=NOOR)).then()
    given(refused).when(WelcomeRecalls(patient_id=NOOR)).then(RecallsWelcomed(patient_id=NOOR))
    given().when(WelcomeRecalls(patient_id=NOOR)).then()


def test_what_is_settled_may_be_opened_again():
    cancelled = RecallCancelled(patient_id=NOOR, reason=None)
    given(scheduled).when(CancelRecall()).then(cancelled)
    given(scheduled, cancelled).when(CancelRecall()).refused(RecallNotOpen)
    for end in (booked, declined, cancelled):
        given(scheduled, end).looking(**free).when(ReopenRecall()).then(RecallReopened(patient_id=NOOR, status="scheduled", date=DUE))
    tried = RecallAttempted(patient_id=NOOR, channel="phone", outcome="reached")
    past = replace(noon, today=DUE + timedelta(days=3))
    given(scheduled, tried, declined, at=past).looking(**free).when(ReopenRecall()).then(RecallReopened(patient_id=NOOR, status="contacted", date=past.today))
    given(scheduled).looking(**free).when(ReopenRecall()).refused(RecallNotSettled)
    given(scheduled, declined).looking(**{**free, "opened": VISIT}).when(ReopenRecall()).refused(RecallAlreadyOpen)
    given(scheduled, declined).looking(**{**free, "wishes": [RecallWish(refused=True)]}).when(ReopenRecall()).refused(RecallsUnwanted)


def test_one_that_is_open_holds_its_kind_and_one_that_gives_way_does_not():
    assert len(Recall.replay([scheduled]).claims()) == 1
    assert not Recall.replay([scheduled, booked]).claims()
    here = Recall.replay([scheduled])
    (moved,) = here.reassign(NOOR, DOCTOR, noon.now, doubled=True)
    assert moved == RecallReassigned(patient_id=DOCTOR, was_patient_id=NOOR, status="superseded")
    there = Recall.replay([scheduled, moved])
    assert (there.claims(), there.wanted, there.keeper(DOCTOR)) == (frozenset(), True, NOOR)
    with pytest.raises(RecallSuperseded):
        there.cancel(None)
    (back,) = there.reassign(DOCTOR, NOOR, noon.now)
    assert Recall.replay([scheduled, moved, back]) == here


@pytest.mark.parametrize(("today", "months", "then"), [
    (date(2026, 3, 31), 1, date(2026, 2, 28)), (date(2026, 3, 31), 13, date(2025, 2, 28)), (date(2024, 3, 31), 1, date(2024, 2, 29)),
    (date(2026, 1, 15), 12, date(2025, 1, 15)), (date(2026, 12, 1), 12, date(2025, 12, 1)), (date(2026, 1, 31), 2, date(2025, 11, 30)),
])
def test_so_many_months_before(today, months, then):
    assert months_before(today, months) == then


@pytest.fixture
def database(module_database):
    return module_database


async def test_of_many_who_schedule_the_same_at_once_one_does(database):
    async with handling(database) as one, handling(database) as other:
        town = await Town.open(one)
        call = ScheduleRecall(patient_id=town.patient, kind="hygiene", date=town.now.date())
        asked = [handler.handle(call, town.admin, now=town.now) for handler in (one, other) * 10]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        mine = [outcome.id for outcome in outcomes if isinstance(outcome, Receipt)]
        assert (len(mine), {type(outcome) for outcome in outcomes} <= {Receipt, RecallAlreadyOpen, NameTaken}) == (1, True)
        await town(replace(call, kind="check-up"))  # of another kind there may be one
        await town(CancelRecall(), mine[0])
        await town(call)
        with pytest.raises(RecallAlreadyOpen):
            await town(ReopenRecall(), mine[0])


async def test_of_merged_records_one_recall_of_a_kind_stands_for_all_and_gives_way_again(database):
    async with handling(database) as handler:
        town = await Town.open(handler)
        first, second = await town.register(), await town.register()
        kept, other = await town.recall(patient_id=first), await town.recall(patient_id=second)
        lone = await town.recall(patient_id=second, kind="check-up")
        await town(MergePatients(loser_id=first), town.patient)
        await town(MergePatients(loser_id=second), town.patient)
        assert await standing(town, kept, other, lone) == ["scheduled", "superseded", "scheduled"]
        assert {(await state(town, id_)).patient for id_ in (kept, other, lone)} == {town.patient}
        await town(UnmergePatients(loser_id=first), town.patient)  # the one that gave way stands in
        assert await standing(town, kept, other, lone) == ["scheduled", "scheduled", "scheduled"]
        assert [(await state(town, id_)).patient for id_ in (kept, other, lone)] == [first, town.patient, town.patient]
        await town(UnmergePatients(loser_id=second), town.patient)
        assert {(await state(town, id_)).patient for id_ in (other, lone)} == {second}


async def state(town: Town, recall: UUID) -> Any:
    return (await town.handler.streams.latest(Recall, recall, town.id)).state


async def standing(town: Town, *recalls: UUID) -> list[str]:
    return [(await state(town, recall)).status for recall in recalls]


def test_the_row_tells_the_whole_story():
    from projections.recalls import recalls  # noqa: PLC0415 - only this test folds by hand
    tried = RecallAttempted(patient_id=NOOR, channel="phone", outcome="no-answer", note="Voicemail")
    row: RecallRow | None = None
    for fact in facts(scheduled, tried, booked, RecallReopened(patient_id=NOOR, status="contacted", date=DUE), declined):
        row = recalls(row, fact)
    assert row is not None
    assert (row.status, row.attempts, row.outcome, row.appointment_id, row.closed_because) == ("declined", 1, "no-answer", None, "Not now")
    assert [one.note for one in row.tries] == ["Voicemail"]


class House:
    """A clinic with patients who came long ago."""

    def __init__(self, web, town, boss):
        self.web, self.town, self.boss = web, town, boss

    @classmethod
    async def open(cls, web):
        long_ago = datetime.fromisoformat("2024-03-04T09:00:00+00:00")
        town = await Town.open(web.services.handler, long_ago)
        town.now = None
        return cls(web, town, await web.person(town.id, "admin"))

    async def came(self, on: datetime, patient: UUID | None = None) -> UUID:
        """Somebody came at nine o'clock of a day; their id."""
        patient = patient or await self.town.register()
        visit = (await self.town(self.town.visit(on, patient_id=patient), now=on.replace(tzinfo=noon.now.tzinfo))).id
        for status in ("arrived", "in-chair", "completed"):
            last = await self.town(ChangeAppointmentStatus(status=status), visit)
        self.seen = {"x-position": str(last.position)}
        return patient

    async def batch(self, **said):
        answer = await self.boss("POST", "/patient-recalls/batch-generate", {"kind": "check-up", "months": 12, **said}, headers=self.seen)
        assert answer.status_code == 200, answer.text
        self.seen = {"x-position": answer.headers.get("x-position", self.seen["x-position"])}
        return answer.json()

    async def queue(self, **query):
        return (await self.boss("GET", "/patient-recalls", params=query, headers=self.seen)).json()["items"]

    async def done(self, method, path, body=None, status=200):
        answer = await self.boss(method, path, body, headers=self.seen)
        assert answer.status_code == status, answer.text
        self.seen = {"x-position": answer.headers.get("x-position", self.seen["x-position"])}
        return answer.json()


LONG_AGO = datetime(2024, 3, 11, 9)  # noqa: DTZ001 - as people say it


@pytest.mark.asyncio(loop_scope="module")
async def test_a_cohort_is_generated_once_however_often_and_by_however_many(web):
    house = await House.open(web)
    people = [await house.came(LONG_AGO + timedelta(hours=n)) for n in range(6)]
    archived, unwanted, has_one, comes, declines = people[1:]
    await house.done("DELETE", f"/patients/{archived}")
    await house.done("PUT", f"/patient-recalls/patient/{unwanted}/wish", {"reason": "Enough"})
    today = today_there()
    await house.done("POST", "/patient-recalls", {"patientId": str(has_one), "kind": "check-up", "date": str(today)}, 201)
    ahead = datetime.combine(today + timedelta(days=3), LONG_AGO.time())
    await house.town(house.town.visit(ahead, patient_id=comes))
    no = (await house.done("POST", "/patient-recalls", {"patientId": str(declines), "kind": "check-up", "date": str(today)}, 201))["id"]
    await house.done("POST", f"/patient-recalls/{no}/decline", {"reason": "Not now"})
    recent = await house.came(datetime.combine(today - timedelta(days=7), LONG_AGO.time()))

    dry = await house.batch(dryRun=True)
    assert (dry["found"], dry["created"], [one["patientId"] for one in dry["items"]]) == (1, 0, [str(people[0])])
    assert await house.queue(patientId=str(people[0])) == []
    assert (await house.batch(dryRun=True, doctorId=str(await house.town.hire())))["found"] == 0
    batches = await asyncio.gather(*(house.batch() for _ in range(8)))
    assert sum(batch["created"] for batch in batches) == 1
    assert {one["skipped"] for batch in batches for one in batch["items"]} <= {None, "RECALL_ALREADY_OPEN"}
    made = next(batch for batch in batches if batch["created"])
    (row,) = await house.queue(batchId=made["batchId"])
    assert (row["patientId"], row["status"], row["date"], row["patientName"]) == (str(people[0]), "scheduled", str(today), "Noor Bakker")
    assert (await house.batch())["found"] == 0
    assert str(recent) not in {one["patientId"] for one in (await house.batch(kind="screening", months=1))["items"]}
    keyed = [await house.boss("POST", "/patient-recalls/batch-generate", {"kind": "treatment", "months": 12}, headers={**house.seen, "idempotency-key": "b"}) for _ in range(2)]
    assert [answer.status_code for answer in keyed] == [200, 200]
    assert {answer.json()["batchId"] for answer in keyed} == {keyed[0].json()["batchId"]}
    with psycopg.connect(web.owner_url) as owner:
        doubles = owner.execute("select patient_id, kind from recalls where status in ('scheduled', 'contacted') group by 1, 2 having count(*) > 1").fetchall()
    assert doubles == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_large_cohort_comes_in_portions(web):
    house = await House.open(web)
    for n in range(5):
        await house.came(LONG_AGO + timedelta(hours=n))
    first = await house.batch(limit=3)
    assert (first["found"], first["created"], len(first["items"])) == (5, 3, 3)
    second = await house.batch(limit=3)
    assert (second["found"], second["created"]) == (2, 2)
    page = (await house.boss("GET", "/patient-recalls", params={"limit": 2, "sort": "-date"}, headers=house.seen)).json()
    rest = (await house.boss("GET", "/patient-recalls", params={"limit": 200, "sort": "-date", "cursor": page["next"]}, headers=house.seen)).json()
    assert len({one["id"] for one in [*page["items"], *rest["items"]]}) == 5


@pytest.mark.asyncio(loop_scope="module")
async def test_a_booked_visit_answers_a_recall_and_opens_it_again_when_it_comes_to_nothing(web):
    house, tending = await House.open(web), Tending()
    await tending(web.services)
    patient = await house.came(LONG_AGO)
    today = today_there()
    soon = (await house.done("POST", "/patient-recalls", {"patientId": str(patient), "kind": "check-up", "date": str(today)}, 201))["id"]
    far = (await house.done("POST", "/patient-recalls", {"patientId": str(patient), "kind": "hygiene", "date": str(today + timedelta(days=90))}, 201))["id"]
    start = datetime.combine(today + timedelta(days=3), LONG_AGO.time())
    visit = (await house.town(house.town.visit(start, patient_id=patient))).id
    assert await stands(web, tending, house, soon, "booked") == str(visit)
    assert (await house.boss("GET", f"/patient-recalls/{far}")).json()["status"] == "scheduled"  # the visit lies more than a month before its day
    await Tending()(web.services)  # another gateway finds it done
    await house.town(ChangeAppointmentStatus(status="cancelled"), visit)
    assert await stands(web, tending, house, soon, "scheduled") is None
    second = (await house.town(house.town.visit(start, patient_id=patient))).id
    assert await stands(web, Tending(), house, soon, "booked") == str(second)  # one that has just started looks at all
    await house.town(RemoveAppointment(), second)
    assert await stands(web, Tending(), house, soon, "scheduled") is None
    told = [event.topic for event in stored(web.database) if str(event.stream) == soon]
    assert told == ["RecallScheduled", "RecallBooked", "RecallReopened", "RecallBooked", "RecallReopened"]


async def stands(web, tending, house, recall, wanted):
    """Look again and again until a recall stands as wanted; by which visit it is answered."""
    found = {}

    async def so() -> bool:
        await tending(web.services)
        found.update((await house.boss("GET", f"/patient-recalls/{recall}")).json())
        return found.get("status") == wanted  # the list may not have heard of it yet

    await until(so)
    return found["appointmentId"]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_may_and_what_is_odd(web):
    house = await House.open(web)
    patient = await house.came(LONG_AGO)
    today = str(today_there())
    call = {"patientId": str(patient), "kind": "hygiene", "date": today}
    recall = (await house.done("POST", "/patient-recalls", call, 201))["id"]
    told = failure(await house.boss("POST", "/patient-recalls", call, headers=house.seen), 409, "RECALL_ALREADY_OPEN")
    assert told == [{"id": recall}]
    for body in ({**call, "kind": "teeth"}, {**call, "date": "soon"}, {**call, "message": "x" * 4001}, {**call, "more": 1}, {**call, "doctorId": "me"}):
        failure(await house.boss("POST", "/patient-recalls", body), 400, "BODY_INVALID")
    for body in ({"kind": "hygiene", "months": 0}, {"kind": "hygiene", "limit": 201}, {"months": 3}, {"kind": "hygiene", "dryRun": "yes"}):
        failure(await house.boss("POST", "/patient-recalls/batch-generate", body), 400, "BODY_INVALID")
    failure(await house.boss("POST", "/patient-recalls/batch-generate", {"kind": "hygiene", "date": "2020-01-01"}), 400, "RECALL_DATE_OUT_OF_RANGE")
    failure(await house.boss("POST", "/patient-recalls/batch-generate", {"kind": "hygiene", "doctorId": str(uuid4())}), 404, "NOT_FOUND")
    stranger = await web.person(await web.clinic(), "admin")
    for method, path, body in (
        ("GET", f"/patient-recalls/{recall}", None), ("PUT", f"/patient-recalls/{recall}", {"date": today}), ("DELETE", f"/patient-recalls/{recall}", None),
        ("GET", f"/patient-recalls/patient/{patient}", None), ("POST", f"/patient-recalls/{recall}/decline", {}), ("POST", "/patient-recalls", call),
    ):
        failure(await stranger(method, path, body), 404, "NOT_FOUND")
    reader = await web.person(house.town.id, "patient", patient)
    failure(await reader("GET", "/patient-recalls"), 403, "FORBIDDEN")
    etag = (await house.boss("GET", f"/patient-recalls/{recall}", headers=house.seen)).headers["etag"]
    await house.done("PUT", f"/patient-recalls/{recall}", {"message": "Come"})
    failure(await house.boss("PUT", f"/patient-recalls/{recall}", {"message": "Go"}, headers={"if-match": etag}), 412, "STALE_VERSION")
    shown = (await house.boss("GET", f"/patient-recalls/patient/{patient}", headers=house.seen)).json()
    assert ([one["message"] for one in shown["items"]], shown["unwanted"]) == (["Come"], False)
    steps = (await house.boss("GET", f"/activity/recalls/{recall}", headers=house.seen)).json()["items"]
    assert [step["action"] for step in steps] == ["RecallReworded", "RecallScheduled"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_said_of_somebody_goes_with_their_key_and_live_rows_are_the_rebuilt_ones(web):
    house = await House.open(web)
    patient = await house.came(LONG_AGO)
    call = {"patientId": str(patient), "kind": "hygiene", "date": str(today_there()), "message": "About the abscess"}
    recall = (await house.done("POST", "/patient-recalls", call, 201))["id"]
    await house.done("POST", f"/patient-recalls/{recall}/attempts", {"outcome": "reached", "note": "Is afraid"})
    assert b"abscess" not in b"".join(event.body for event in stored(web.database))
    exported = (await house.boss("GET", f"/patients/{patient}/export", headers=house.seen)).json()
    assert exported["rows"]["recalls"][0]["message"] == "About the abscess"
    ask = {"personId": str(patient), "reason": "They asked", "despiteRetention": True}
    report = await house.boss("POST", "/privacy/erasures", ask, headers=house.seen)
    assert report.status_code == 200, report.text
    assert report.json()["left"]["rows"] == {}
    row = (await house.boss("GET", f"/patient-recalls/{recall}", headers=house.seen)).json()
    assert (row["message"], row["tries"][0]["note"], row["attempts"]) == (None, None, 1)
    models = ["recalls", "recall_wishes"]
    checked = await asyncio.to_thread(verify, web.owner_url, models, kek=web.services.settings.kek)
    assert checked.equal
