"""The waiting queue: one number each, called in turn, and never at odds with the calendar, whichever door somebody used."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from msgspec import json
from msgspec.structs import replace

from commands.appointments import ChangeAppointmentStatus
from commands.kit.errors import NameTaken
from commands.patients import MergePatients
from commands.queue import (
    CheckInAppointment,
    MoveQueuedAppointment,
    MoveQueueEntry,
    PlaceQueueEntry,
    QueuePatient,
    RankQueuedAppointment,
    RankQueueEntry,
)
from domain.appointments import (
    Appointment,
    AppointmentCompleted,
    ArrivalUndone,
    PatientArrived,
    PatientSeated,
    SeatingUndone,
    Turn,
    TurnRanked,
    VisitNotToday,
    WrongStatus,
)
from domain.kit import Elsewhere, Forbidden, NotFound, UniqueClaim
from domain.kit.turns import NobodyWaits, RankNeedsReason
from domain.patients import BlockNeedsReason, Patient, PatientIsBlocked, PatientNotActive
from domain.queue import (
    AlreadyQueued,
    DoctorSeesNobody,
    Patience,
    PatientQueued,
    QueueDayOver,
    QueueEntryCancelled,
    QueueEntryCompleted,
    QueueEntryPlaced,
    QueueEntryRanked,
    QueueEntryReassigned,
    QueueEntryReturned,
    QueueEntryStarted,
    QueueStepRefused,
    RoomOutOfUse,
    WalkIn,
    in_turn,
    outlooks,
)
from domain.rooms import Room
from domain.series import NumberAllotted, Series, series_of
from domain.staff import Staff
from projections.kit.rebuild import verify
from projections.queue import queue, turns
from tests.clinic import Town, handling, stored
from tests.kit import CLINIC, THIS, facts, given, noon
from tests.served import PROTECTED, ZONE, Person, Web, failure, until
from tests.test_appointments import DOCTOR, OTHER, PATIENT, ROOM, booked, confirmed, visit

MINUTE = timedelta(minutes=1)
TODAY = replace(noon, today=visit["on"], now=booked.starts_at - 10 * MINUTE)
SERIES = series_of(CLINIC, "queue/2026-01-07", 2026)
turn = Turn(number=1, due_at=booked.starts_at, minutes=30, room_id=booked.room_id)
arrived, seated, completed = PatientArrived(**visit, turn=turn), PatientSeated(**visit), AppointmentCompleted(**visit)
who = {"patient_id": PATIENT, "on": noon.today}
queued = PatientQueued(**who, number=1)
started, returned, done, left = QueueEntryStarted(**who), QueueEntryReturned(**who), QueueEntryCompleted(**who), QueueEntryCancelled(**who)
active = Patient(registered=True)
free: dict[str, Any] = {"patient": active, "doctor": None, "room": None, "numbers": Series(), "queued": False}
WALK_IN = QueuePatient(patient_id=PATIENT)


def number(n: int, on: Any = visit["on"]) -> Elsewhere:
    name = f"queue/{on}"
    return Elsewhere(state=Series, id=series_of(CLINIC, name, on.year), events=[NumberAllotted(series=name, year=on.year, number=n)])


# --- walk-ins


def test_a_walk_in_gets_the_next_number_of_the_day():
    given().looking(**free).when(WALK_IN).then(queued, number(1, noon.today))
    given().looking(**{**free, "numbers": Series(last=41)}).when(WALK_IN).then(replace(queued, number=42), number(42, noon.today))
    to_somebody = replace(WALK_IN, doctor_id=DOCTOR, room_id=ROOM, notes="Toothache")
    there = {**free, "doctor": Staff(role="doctor", active=True), "room": Room(name="Room 1", active=True)}
    given().looking(**there).when(to_somebody).then(replace(queued, doctor_id=DOCTOR, room_id=ROOM, notes="Toothache"), number(1, noon.today))


def test_who_cannot_be_queued():
    given().looking(**{**free, "queued": True}).when(WALK_IN).refused(AlreadyQueued)
    given().looking(**{**free, "patient": replace(active, archived=True)}).when(WALK_IN).refused(PatientNotActive)
    given().looking(**{**free, "doctor": Staff(role="receptionist", active=True)}).when(WALK_IN).refused(DoctorSeesNobody)
    given().looking(**{**free, "room": Room(name="Store", active=False)}).when(WALK_IN).refused(RoomOutOfUse)
    blocked = {**free, "patient": replace(active, blocked=True)}
    despite = replace(WALK_IN, despite_block=True)
    given().looking(**blocked).when(WALK_IN).refused(PatientIsBlocked)
    given().looking(**blocked).when(despite).refused(BlockNeedsReason)
    given(at=replace(noon, grants=frozenset())).looking(**blocked).when(replace(despite, reason="Bleeding")).refused(Forbidden)
    given().looking(**blocked).when(replace(despite, reason="Bleeding")).then(replace(queued, reason="Bleeding"), number(1, noon.today))


def test_whoever_comes_first_does_so_for_a_reason():
    given().looking(**free).when(replace(WALK_IN, rank="urgent")).refused(RankNeedsReason)
    given().looking(**free).when(replace(WALK_IN, rank="urgent", reason=" ")).refused(RankNeedsReason)
    given().looking(**free).when(replace(WALK_IN, rank="urgent", reason="Bleeding")).then(
        replace(queued, rank="urgent", reason="Bleeding"), number(1, noon.today))
    given(queued).when(RankQueueEntry(rank="high")).refused(RankNeedsReason)
    high = QueueEntryRanked(**who, rank="high", reason="A child")
    given(queued).when(RankQueueEntry(rank="high", reason="A child")).then(high)
    given(queued, high).when(RankQueueEntry(rank="high", reason="A child")).then()
    given(queued, high).when(RankQueueEntry(rank="normal")).then(QueueEntryRanked(**who, rank="normal"))
    for there in ((started,), (left,), (started, done)):
        given(queued, *there).when(RankQueueEntry(rank="high", reason="A child")).refused(NobodyWaits)


@pytest.mark.parametrize(("history", "status", "event"), [
    ((), "IN_PROGRESS", started), ((), "CANCELLED", left), ((started,), "COMPLETED", done), ((started,), "WAITING", returned), ((left,), "WAITING", returned)])
def test_a_walk_in_moves_along(history: Any, status: Any, event: Any):
    given(queued, *history).when(MoveQueueEntry(status=status)).then(event)


@pytest.mark.parametrize(("history", "status"), [
    ((), "WAITING"), ((), "COMPLETED"), ((started,), "IN_PROGRESS"), ((started,), "CANCELLED"), ((left,), "IN_PROGRESS"), ((left,), "COMPLETED"), ((left,), "CANCELLED"),
    *(((started, done), status) for status in ("WAITING", "IN_PROGRESS", "COMPLETED", "CANCELLED"))])
def test_and_not_otherwise(history: Any, status: Any):
    given(queued, *history).when(MoveQueueEntry(status=status)).refused(QueueStepRefused)


def test_nobody_is_called_from_yesterdays_queue_but_what_was_forgotten_can_be_noted():
    tomorrow = replace(noon, today=noon.today + timedelta(days=1))
    given(queued, at=tomorrow).when(MoveQueueEntry(status="IN_PROGRESS")).refused(QueueDayOver)
    given(queued, left, at=tomorrow).when(MoveQueueEntry(status="WAITING")).refused(QueueDayOver)
    given(queued, at=tomorrow).when(MoveQueueEntry(status="CANCELLED", reason="Went home")).then(replace(left, reason="Went home"))
    given(queued, started, at=tomorrow).when(MoveQueueEntry(status="COMPLETED")).then(done)


def test_a_walk_in_is_sent_to_another_doctor_or_room():
    ask, there = PlaceQueueEntry(doctor_id=DOCTOR), {"doctor": Staff(role="doctor", active=True), "room": None}
    placed = QueueEntryPlaced(**who, doctor_id=DOCTOR)
    given(queued).looking(**there).when(ask).then(placed)
    given(queued, placed).looking(**there).when(ask).then()
    given(queued, started).looking(**there).when(ask).then(placed)
    given(queued, left).looking(**there).when(ask).refused(NobodyWaits)
    given(queued).looking(doctor=Staff(role="receptionist", active=True), room=None).when(ask).refused(DoctorSeesNobody)
    given(queued).looking(doctor=None, room=Room(name="Store")).when(PlaceQueueEntry(room_id=ROOM)).refused(RoomOutOfUse)


def test_while_they_are_there_nobody_else_can_queue_them():
    held = {UniqueClaim(scope="queue.patient", key=f"{noon.today} {PATIENT}")}
    assert WalkIn.replay([queued]).claims() == WalkIn.replay([queued, started]).claims() == WalkIn.replay([queued, left, returned]).claims() == held
    assert WalkIn.replay([queued, left]).claims() == WalkIn.replay([queued, started, done]).claims() == frozenset()
    assert WalkIn.replay([queued, QueueEntryReassigned(patient_id=OTHER, on=noon.today, was_patient_id=PATIENT)]).claims() == held  # two that were one stay two


# --- those with an appointment


def checking(*events: Any, numbers: Series | None = None, at: Any = TODAY) -> given:
    return given(*events, at=at).looking(numbers=numbers or Series())


def test_whoever_arrives_on_the_day_gets_a_number_by_whichever_door():
    for ask in (CheckInAppointment(), ChangeAppointmentStatus(status="arrived")):
        checking(booked).when(ask).then(arrived, number(1))
        checking(booked, confirmed, numbers=Series(last=6)).when(ask).then(replace(arrived, turn=replace(turn, number=7)), number(7))
        checking(booked, arrived).when(ask).refused(WrongStatus)


def test_an_arrival_noted_for_another_day_takes_no_number():
    checking(booked, at=noon).when(CheckInAppointment()).refused(VisitNotToday)
    checking(booked, at=noon).when(ChangeAppointmentStatus(status="arrived")).then(PatientArrived(**visit))
    given(booked, PatientArrived(**visit)).looking(numbers=Series()).when(MoveQueuedAppointment(status="IN_PROGRESS")).refused(NotFound)


def test_whoever_comes_back_has_their_number_still():
    undone = ArrivalUndone(**visit, status="booked", reason="Parking")
    checking(booked, arrived).when(MoveQueuedAppointment(status="CANCELLED", reason="Parking")).then(undone)
    checking(booked, confirmed, arrived).when(MoveQueuedAppointment(status="CANCELLED")).then(ArrivalUndone(**visit, status="confirmed"))
    for ask in (MoveQueuedAppointment(status="WAITING"), CheckInAppointment(), ChangeAppointmentStatus(status="arrived")):
        checking(booked, arrived, undone, numbers=Series(last=9)).when(ask).then(arrived)
    assert Appointment.replay([booked, confirmed, arrived, replace(undone, status="confirmed")]).status == "confirmed"


def test_the_appointment_says_how_things_stand_with_whoever_has_one():
    checking(booked, arrived).when(MoveQueuedAppointment(status="IN_PROGRESS")).then(seated)
    checking(booked, arrived, seated).when(MoveQueuedAppointment(status="COMPLETED")).then(completed)
    checking(booked, arrived, seated).when(MoveQueuedAppointment(status="WAITING")).then(SeatingUndone(**visit))
    assert Appointment.replay([booked, arrived, seated, SeatingUndone(**visit)]).status == "arrived"
    for history, status in (((seated,), "CANCELLED"), ((seated, completed), "WAITING"), ((), "COMPLETED"), ((), "WAITING")):
        checking(booked, arrived, *history).when(MoveQueuedAppointment(status=status)).refused(WrongStatus)
    checking(booked).when(MoveQueuedAppointment(status="WAITING")).refused(NotFound)


def test_whoever_has_an_appointment_may_come_first_too():
    urgent = TurnRanked(**visit, rank="urgent", reason="Pain")
    given(booked, arrived).when(RankQueuedAppointment(rank="urgent", reason="Pain")).then(urgent)
    given(booked, arrived, urgent).when(RankQueuedAppointment(rank="urgent", reason="Pain")).then()
    given(booked, arrived).when(RankQueuedAppointment(rank="urgent")).refused(RankNeedsReason)
    for history in ((), (arrived, seated), (arrived, ArrivalUndone(**visit, status="booked"))):
        given(booked, *history).when(RankQueuedAppointment(rank="urgent", reason="Pain")).refused(NobodyWaits)


# --- in turn, and how long


def waits(n: int, due: int, doctor: UUID | None = DOCTOR, *, rank: Any = "normal", agreed: bool = False, minutes: int | None = None, since: int | None = None) -> Patience:
    """Number `n`, due so many minutes from noon, perhaps in the chair for so many."""
    return Patience(
        id=UUID(int=n), number=n, doctor=doctor, rank=rank, due=noon.now + due * MINUTE, agreed=agreed, minutes=minutes,
        since=None if since is None else noon.now - since * MINUTE)


def minutes_of(waiting: list[Patience], seated: list[Patience] = [], usual: dict[UUID, int] | None = None) -> dict[int, tuple[int, int]]:  # noqa: B006
    return {one.int: (outlook.before, outlook.minutes) for one, outlook in outlooks(waiting, seated, usual or {}, noon.now).items()}


def test_it_goes_by_rank_then_by_when_they_are_due_then_by_number():
    there = [waits(1, 5, agreed=True), waits(2, -30), waits(3, -3, rank="urgent"), waits(4, -30), waits(5, 0, rank="high")]
    assert [one.number for one in in_turn(there)] == [3, 5, 2, 4, 1]


def test_a_doctor_sees_one_after_another_as_long_as_usual():
    assert minutes_of([waits(1, -9), waits(2, -5), waits(3, -1)], usual={DOCTOR: 12}) == {1: (0, 0), 2: (1, 12), 3: (2, 24)}
    assert minutes_of([waits(2, -5)], [waits(1, -30, since=10)], {DOCTOR: 25}) == {2: (0, 15)}
    assert minutes_of([waits(2, -5)], [waits(1, -30, since=40)], {DOCTOR: 25}) == {2: (0, 0)}  # late already: any moment
    assert minutes_of([waits(1, -9, minutes=45), waits(2, -5), waits(3, -4)]) == {1: (0, 0), 2: (1, 45), 3: (2, 65)}  # as agreed, else twenty
    assert minutes_of([waits(1, -9), waits(2, -5, OTHER)], usual={DOCTOR: 12}) == {1: (0, 0), 2: (0, 0)}


def test_whoever_waits_for_nobody_in_particular_goes_to_the_first_to_be_free():
    seated = [waits(1, -9, since=5), waits(2, -9, OTHER, since=5)]
    assert minutes_of([waits(3, -8, None), waits(4, -7, None), waits(5, -6, OTHER)], seated, {DOCTOR: 30, OTHER: 10}) == {3: (0, 5), 4: (1, 15), 5: (2, 25)}
    assert minutes_of([waits(1, -2, None), waits(2, -1, None)]) == {1: (0, 0), 2: (1, 20)}


def test_nobody_is_called_before_their_time_but_whoever_is_ranked_higher():
    assert minutes_of([waits(1, 15, agreed=True), waits(2, -1)], usual={DOCTOR: 10}) == {2: (0, 0), 1: (1, 15)}
    assert minutes_of([waits(1, 15, agreed=True, rank="high")], usual={DOCTOR: 10}) == {1: (0, 0)}


# --- as a row


def test_a_row_follows_whichever_stream_it_is_of():
    row = None
    steps: list[tuple[Any, str]] = [
        (booked, ""), (arrived, "WAITING"), (seated, "IN_PROGRESS"), (SeatingUndone(**visit), "WAITING"), (ArrivalUndone(**visit, status="booked", reason="Gone"), "CANCELLED"),
        (arrived, "WAITING"), (seated, "IN_PROGRESS"), (completed, "COMPLETED")]
    for fact, (_, status) in zip(facts(*(event for event, _ in steps), kind="appointments"), steps, strict=True):
        row = turns(row, fact)
        assert (row.status if row else "") == status
        assert row is None or (row.id, row.number, row.appointment_id, row.due_at) == (THIS, 1, THIS, booked.starts_at)
    walk_in = None
    for fact, status in zip(facts(queued, started, returned, left, returned, started, done, kind="queue"), (
        "WAITING", "IN_PROGRESS", "WAITING", "CANCELLED", "WAITING", "IN_PROGRESS", "COMPLETED"), strict=True):
        walk_in = queue(walk_in, fact)
        assert walk_in is not None
        assert (walk_in.status, walk_in.appointment_id, walk_in.number) == (status, None, 1)


# --- on a served gateway


class Desk(NamedTuple):
    """A clinic at work: whoever sits at its desk, a doctor, a room and two patients."""

    web: Web
    clinic: UUID
    me: Person
    doctor: str
    room: str
    noor: str
    femke: str
    headers: dict[str, str]

    async def patient(self, name: str = "Smit") -> str:
        return str((await self.me("POST", "/patients", {"givenName": "Eva", "familyName": name})).json()["id"])

    async def book(self, patient: str, minutes: int = 0, **other: Any) -> str:
        """Have a patient booked today, at about this time."""
        start = (datetime.now(ZoneInfo(ZONE)) + minutes * MINUTE).replace(second=0, microsecond=0, tzinfo=None)
        wanted = {"patientId": patient, "doctorId": self.doctor, "start": start.isoformat(), "duration": 15, "overbook": True, "reason": "Test", **other}
        answer = await self.me("POST", "/appointments", wanted)
        return str(self.after(answer)["id"])

    async def queue(self, **query: Any) -> Any:
        answer = await self.me("GET", "/queue", params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def shown(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def moved(self, id_: str, status: str, **more: Any) -> Any:
        return self.after(await self.me("PATCH", f"/queue/{id_}", {"status": status, **more}))

    def after(self, answer: httpx.Response) -> Any:
        """Go on seeing at least what this answer has brought about."""
        assert answer.status_code in {200, 201}, answer.text
        position = int(answer.headers["x-position"])
        self.headers["x-position"] = str(max(position, int(self.headers.get("x-position", "0"))))
        return answer.json()


async def opened(web: Web, town: Town | None = None) -> Desk:
    town = town or await Town.open(web.services.handler, datetime.now(UTC))
    me = await web.person(town.id, "admin")
    return Desk(web, town.id, me, str(town.doctor), str(town.room), str(town.patient), str(await town.register("Mulder")), {})


@pytest.mark.asyncio(loop_scope="module")
async def test_a_morning_at_the_desk(web: Web):
    desk = await opened(web)
    visit_ = await desk.book(desk.noor, roomId=desk.room)
    first = await desk.me("POST", "/appointments/check-in", {"patientId": desk.noor}, headers=desk.headers)
    entry = desk.after(first)
    assert (entry["id"], entry["appointmentId"], entry["number"], entry["status"], entry["before"]) == (visit_, visit_, 1, "WAITING", 0)
    assert (entry["patientName"], entry["doctorName"], entry["roomName"], entry["way"]) == ("Noor Bakker", "Dr Sam Visser", "Room 1", "clinic")
    answer = await desk.me("POST", "/queue", {"patientId": desk.femke, "doctorId": desk.doctor, "notes": "Toothache"})
    walk_in = desk.after(answer)
    assert answer.headers["location"] == f"{PROTECTED}/queue/{walk_in['id']}"
    assert (walk_in["number"], walk_in["appointmentId"], walk_in["notes"]) == (2, None, "Toothache")
    failure(await desk.me("POST", "/queue", {"patientId": desk.femke}, headers=desk.headers), 409, "ALREADY_QUEUED")
    there = await desk.queue()
    assert (there["waiting"], there["inProgress"], [one["number"] for one in there["items"]]) == (2, 0, [1, 2])
    assert there["items"][1]["before"] == 1
    assert there["items"][1]["expectedWait"] >= 15  # as long as the one before was agreed to take

    # called by the queue's door, done by the calendar's: either way both say the same
    assert (await desk.moved(visit_, "IN_PROGRESS"))["status"] == "IN_PROGRESS"
    appointment = (await desk.me("GET", f"/appointments/{visit_}", headers=desk.headers)).json()
    assert (appointment["status"], appointment["queueNumber"]) == ("in-chair", 1)
    (session,) = (await desk.me("GET", "/appointments/active-session", headers=desk.headers)).json()["items"]
    assert (session["doctorId"], session["roomId"], session["now"]["patientName"], session["next"]["id"]) == (desk.doctor, desk.room, "Noor Bakker", walk_in["id"])
    assert session["since"] == session["now"]["startedAt"]
    desk.after(await desk.me("PATCH", f"/appointments/{visit_}/status", {"status": "completed"}))
    assert (await desk.me("GET", f"/queue/{visit_}", headers=desk.headers)).json()["status"] == "COMPLETED"
    assert (await desk.me("GET", "/appointments/active-session", headers=desk.headers)).json()["items"] == []
    failure(await desk.me("PATCH", f"/queue/{visit_}", {"status": "WAITING"}), 409, "WRONG_STATUS")

    assert (await desk.moved(walk_in["id"], "IN_PROGRESS"))["status"] == "IN_PROGRESS"
    done = await desk.moved(walk_in["id"], "COMPLETED")
    assert done["endedAt"] >= done["startedAt"]
    failure(await desk.me("PATCH", f"/queue/{walk_in['id']}", {"status": "WAITING"}), 409, "QUEUE_STEP_REFUSED")


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_went_away_and_comes_back_keeps_their_number(web: Web):
    desk = await opened(web)
    visit_ = await desk.book(desk.noor)
    desk.after(await desk.me("PATCH", f"/appointments/{visit_}/status", {"status": "arrived"}))  # the calendar's door
    assert (await desk.me("GET", f"/queue/{visit_}", headers=desk.headers)).json()["number"] == 1
    gone = await desk.moved(visit_, "CANCELLED", reason="Parking meter")
    assert (gone["status"], gone["cancelledBecause"]) == ("CANCELLED", "Parking meter")
    appointment = (await desk.me("GET", f"/appointments/{visit_}", headers=desk.headers)).json()
    assert (appointment["status"], appointment["arrivedAt"]) == ("booked", None)
    desk.after(await desk.me("POST", "/queue", {"patientId": desk.femke}))
    back = await desk.moved(visit_, "WAITING")
    assert (back["number"], back["status"]) == (1, "WAITING")
    await desk.moved(visit_, "IN_PROGRESS")
    too_soon = await desk.moved(visit_, "WAITING")
    assert (too_soon["status"], too_soon["startedAt"]) == ("WAITING", None)
    desk.after(await desk.me("DELETE", f"/appointments/{visit_}"))  # struck out: whoever has no visit does not wait for it
    assert (await desk.me("GET", f"/queue/{visit_}", headers=desk.headers)).json()["status"] == "CANCELLED"
    assert [one["number"] for one in (await desk.queue(active="true"))["items"]] == [2]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_queue_is_asked_for_in_parts_and_orders(web: Web):
    desk = await opened(web)
    numbered = [desk.after(await desk.me("POST", "/queue", {"patientId": await desk.patient()})) for _ in range(3)]
    last = numbered[-1]["id"]
    desk.after(await desk.me("PUT", f"/queue/{last}/rank", {"rank": "urgent", "reason": "Bleeding"}))
    desk.after(await desk.me("PUT", f"/queue/{last}/place", {"doctorId": desk.doctor, "roomId": desk.room}))
    assert [one["number"] for one in (await desk.queue())["items"]] == [3, 1, 2]
    assert [one["number"] for one in (await desk.queue(order="number"))["items"]] == [1, 2, 3]
    assert [one["rankBecause"] for one in (await desk.queue(doctorId=desk.doctor, roomId=desk.room))["items"]] == ["Bleeding"]
    await desk.moved(numbered[0]["id"], "CANCELLED")
    assert [one["number"] for one in (await desk.queue(status="WAITING"))["items"]] == [3, 2]
    assert [one["number"] for one in (await desk.queue(status="CANCELLED"))["items"]] == [1]
    assert [one["number"] for one in (await desk.queue(patientId=numbered[1]["patientId"]))["items"]] == [2]
    assert (await desk.queue(date="2020-01-01"))["items"] == []
    board = desk.shown(await desk.me("GET", "/queue/board", headers=desk.headers))
    assert [set(line) for line in board["items"]] == [{"number", "status", "roomName", "expectedWait"}] * 2
    assert [line["number"] for line in board["items"]] == [3, 2]
    for wrong in ({"status": "GONE"}, {"date": "yesterday"}, {"order": "age"}, {"active": "perhaps"}, {"colour": "red"}):
        assert (await desk.me("GET", "/queue", params=wrong)).status_code == 400, wrong
    for unknown in ({"doctorId": str(uuid4())}, {"roomId": str(uuid4())}, {"patientId": str(uuid4())}):
        failure(await desk.me("GET", "/queue", params=unknown), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_what_makes_no_sense_is_refused(web: Web):
    desk = await opened(web)
    failure(await desk.me("POST", "/appointments/check-in", {}), 400, "BODY_INVALID")
    failure(await desk.me("POST", "/appointments/check-in", {"appointmentId": str(uuid4()), "patientId": desk.noor}), 400, "BODY_INVALID")
    failure(await desk.me("POST", "/appointments/check-in", {"patientId": desk.noor}), 409, "VISIT_MISSING")
    tomorrow = await desk.book(desk.noor, 24 * 60)
    failure(await desk.me("POST", "/appointments/check-in", {"appointmentId": tomorrow}), 409, "VISIT_NOT_TODAY")
    failure(await desk.me("POST", "/queue", {"patientId": desk.noor, "rank": "first"}), 400, "BODY_INVALID")
    failure(await desk.me("POST", "/queue", {"patientId": desk.noor, "number": 1}), 400, "BODY_INVALID")
    failure(await desk.me("POST", "/queue", {"patientId": desk.noor, "rank": "urgent"}), 400, "RANK_NEEDS_REASON")
    failure(await desk.me("POST", "/queue", {"patientId": desk.noor, "notes": "x" * 4001}), 400, "BODY_INVALID")
    entry = desk.after(await desk.me("POST", "/queue", {"patientId": desk.noor}))
    failure(await desk.me("PATCH", f"/queue/{entry['id']}", {"status": "waiting"}), 400, "BODY_INVALID")
    failure(await desk.me("PATCH", f"/queue/{entry['id']}", {"status": "COMPLETED"}), 409, "QUEUE_STEP_REFUSED")
    failure(await desk.me("PATCH", f"/queue/{tomorrow}", {"status": "IN_PROGRESS"}), 404, "NOT_FOUND")  # it is in no queue
    failure(await desk.me("PATCH", f"/queue/{entry['id']}", {"status": "IN_PROGRESS"}, headers={"if-match": '"7"'}), 412, "STALE_VERSION")


@pytest.mark.asyncio(loop_scope="module")
async def test_another_clinics_queue_does_not_exist(web: Web):
    desk, other = await opened(web), await opened(web)
    entry = desk.after(await desk.me("POST", "/queue", {"patientId": desk.noor}))
    visit_ = await desk.book(desk.femke)
    desk.after(await desk.me("POST", "/appointments/check-in", {"appointmentId": visit_}))
    for id_ in (entry["id"], visit_):
        failure(await other.me("GET", f"/queue/{id_}", headers=desk.headers), 404, "NOT_FOUND")
        failure(await other.me("PATCH", f"/queue/{id_}", {"status": "IN_PROGRESS"}), 404, "NOT_FOUND")
        failure(await other.me("PUT", f"/queue/{id_}/rank", {"rank": "high", "reason": "Mine"}), 404, "NOT_FOUND")
    failure(await other.me("PUT", f"/queue/{entry['id']}/place", {}), 404, "NOT_FOUND")
    failure(await other.me("POST", "/appointments/check-in", {"appointmentId": visit_}), 404, "NOT_FOUND")
    failure(await other.me("POST", "/appointments/check-in", {"patientId": desk.noor}), 404, "NOT_FOUND")
    failure(await other.me("POST", "/queue", {"patientId": desk.noor}), 404, "NOT_FOUND")
    failure(await other.me("POST", "/queue", {"patientId": other.noor, "doctorId": desk.doctor}), 404, "NOT_FOUND")
    assert (await other.queue())["items"] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_sees_only_their_own_sees_that(web: Web):
    desk = await opened(web)
    noor = await web.person(desk.clinic, "patient", UUID(desk.noor))
    mine = desk.after(await desk.me("POST", "/queue", {"patientId": desk.femke}))
    visit_ = await desk.book(desk.noor)
    desk.after(await desk.me("POST", "/appointments/check-in", {"appointmentId": visit_}))
    seen = (await noor("GET", "/queue", headers=desk.headers)).json()
    assert [(one["id"], one["before"]) for one in seen["items"]] == [(visit_, 1)]
    assert seen["waiting"] == 1
    failure(await noor("GET", f"/queue/{mine['id']}", headers=desk.headers), 404, "NOT_FOUND")
    assert (await noor("GET", f"/queue/{visit_}", headers=desk.headers)).json()["expectedWait"] is not None
    for method, path, body in (
            ("POST", "/queue", {"patientId": desk.noor}), ("PATCH", f"/queue/{visit_}", {"status": "IN_PROGRESS"}), ("GET", "/queue/board", None),
            ("POST", "/appointments/check-in", {"appointmentId": visit_})):
        failure(await noor(method, path, body), 403, "FORBIDDEN")
    desk.after(await desk.me("PATCH", f"/queue/{visit_}", {"status": "IN_PROGRESS"}))
    (session,) = (await noor("GET", "/appointments/active-session", headers=desk.headers)).json()["items"]
    assert (session["now"]["id"], session["next"]) == (visit_, None)  # who is next is nobody's business but the staff's


@pytest.mark.asyncio(loop_scope="module")
async def test_numbers_are_given_out_once_each_and_without_a_gap(web: Web):
    desk = await opened(web)
    patients = [await desk.patient(f"Smit {n}") for n in range(12)]
    visits = [await desk.book(patient) for patient in patients[:6]]
    one = (await desk.patient("Twice"), uuid4().hex)
    asked = [
        *(desk.me("POST", "/appointments/check-in", {"appointmentId": visit_}) for visit_ in visits),
        *(desk.me("PATCH", f"/appointments/{visit_}/status", {"status": "arrived"}) for visit_ in visits),  # both doors at once: one of them is late
        *(desk.me("POST", "/queue", {"patientId": patient}) for patient in patients[6:]),
        *(desk.me("POST", "/queue", {"patientId": one[0]}) for _ in range(5)),  # and one patient at five desks
        desk.me("POST", "/queue", {"patientId": desk.noor}, headers={"idempotency-key": one[1]}),
        desk.me("POST", "/queue", {"patientId": desk.noor}, headers={"idempotency-key": one[1]}),
    ]
    answers = await asyncio.gather(*asked)
    good = [answer for answer in answers if answer.is_success]
    for answer in good:
        desk.after(answer)
    assert {answer.json()["code"] for answer in answers if not answer.is_success} <= {"WRONG_STATUS", "NAME_TAKEN", "ALREADY_QUEUED"}
    items = (await desk.queue())["items"]
    assert sorted(item["number"] for item in items) == list(range(1, 15))  # six visits, six walk-ins, one at five desks, one asked twice
    assert sum(item["patientId"] == one[0] for item in items) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_it_is_seen_as_it_happens(web: Web):
    desk = await opened(web)
    seen: list[str] = []
    async with web.client.stream("GET", f"{PROTECTED}/sse/clinic-events", headers=desk.me.headers) as stream:

        async def listening() -> None:
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    seen.append(line.removeprefix("event: "))  # noqa: PERF401 - each at once

        listener = asyncio.create_task(listening())
        visit_ = await desk.book(desk.noor)
        desk.after(await desk.me("POST", "/appointments/check-in", {"appointmentId": visit_}))
        await desk.moved(visit_, "IN_PROGRESS")
        await desk.moved(visit_, "WAITING")
        await desk.moved(visit_, "CANCELLED")
        entry = desk.after(await desk.me("POST", "/queue", {"patientId": desk.femke}))
        await desk.moved(entry["id"], "IN_PROGRESS")

        async def all_of_it() -> bool:
            return {"PatientArrived", "PatientSeated", "SeatingUndone", "ArrivalUndone", "PatientQueued", "QueueEntryStarted"} <= {*seen}

        await until(all_of_it)
        listener.cancel()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_usual_length_is_that_of_visits_that_took_place(web: Web):
    town = await Town.open(web.services.handler, datetime.now(UTC) - timedelta(days=3))
    for n, minutes in enumerate((40, 44, 48)):
        patient = await town.register(f"Smit {n}")
        town.now = began = town.now + timedelta(hours=n)
        entry = (await town(QueuePatient(patient_id=patient, doctor_id=town.doctor), now=began)).id
        await town(MoveQueueEntry(status="IN_PROGRESS"), entry, now=began)
        await town(MoveQueueEntry(status="COMPLETED"), entry, now=began + minutes * MINUTE)
    desk = await opened(web, town)
    for patient in (desk.noor, desk.femke):
        desk.after(await desk.me("POST", "/queue", {"patientId": patient, "doctorId": desk.doctor}))
    assert [one["expectedWait"] for one in (await desk.queue())["items"]] == [0, 44]


@pytest.mark.asyncio(loop_scope="module")
async def test_history_gives_the_same_queue_again(web: Web, module_database: Any):
    names = ["queue", "turns", "visits", "calendar", "appointments"]
    report = await asyncio.to_thread(verify, module_database.url("owner"), names, kek=web.services.settings.kek)
    assert report.equal, report
    assert {outcome.name for outcome in report.outcomes} == {*names}
    assert all(outcome.rows for outcome in report.outcomes)


# --- in the store


async def test_two_gateways_take_numbers_from_one_series(database: Any):
    async with handling(database) as first, handling(database) as second:
        town = await Town.open(first)
        patients = [await town.register(f"Smit {n}") for n in range(20)]
        await asyncio.gather(*(
            handler.handle(QueuePatient(patient_id=patient), town.admin, now=town.now) for patient, handler in zip(patients, [first, second] * 10, strict=True)))
        twice = await asyncio.gather(*(
            handler.handle(QueuePatient(patient_id=town.patient), town.admin, now=town.now) for handler in (first, second)), return_exceptions=True)
    assert sorted(type(one) for one in twice if isinstance(one, Exception)) == [NameTaken]
    given_out = [json.decode(event.body)["number"] for event in stored(database) if event.topic == "PatientQueued"]
    assert sorted(given_out) == list(range(1, 22))


async def test_a_place_in_the_queue_moves_with_a_merge(database: Any):
    async with handling(database) as handler:
        town = await Town.open(handler)
        double = await town.register("Bakker-Smit")
        visit_ = (await town(town.visit(datetime(2026, 1, 5, 11), patient_id=double))).id  # noqa: DTZ001 - as people say it
        await town(CheckInAppointment(), visit_)
        entries = [(await town(QueuePatient(patient_id=patient))).id for patient in (town.patient, double)]
        await town(MergePatients(loser_id=double), town.patient)
        states = [(await handler.streams.get(WalkIn, entry, town.id)).state for entry in entries]
        assert (await handler.streams.get(Appointment, visit_, town.id)).state.patient == town.patient  # type: ignore[attr-defined]
        assert {state.queued.patient_id for state in states} == {town.patient}  # type: ignore[attr-defined]
        await town(MoveQueueEntry(status="CANCELLED", reason="Twice"), entries[1])
