"""A front desk at work, by chance: whatever it asks in whatever order, the product does what a simple book says, which shares nothing with it (`tests/desk.py`).

How it works: one gateway with relay and projector serves all runs, each in a clinic of its own, in the nights around a change of the clocks. After each step the calendar that the API shows is
the book's, and no two visits overlap that nobody forced; what is shown as free is what a second computation finds (`tests/reckoning.py`), and can be booked. Whoever waits for a time would
come in here as one more rule: what they are offered is a hold in the book.
"""

import ast
import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from commands.patients import RegisterPatient
from commands.rooms import AddRoom
from commands.schedules import SetDoctorSchedule
from commands.staff import HireStaff
from domain.schedules import Hours
from tests import desk as second
from tests.clinic import Town
from tests.desk import MINUTE, Block, Book, Doctor, Hold, Series, Visit
from tests.reckoning import reckon
from tests.served import ZONE, served, working

HOURS = [Doctor("00:30", "05:00", 0, 0, 15), Doctor("01:30", "04:30", 5, 10, 20)]
FEW = 2  # blocks at a time, or there is no room for anything else
STAGE: "Stage"

SLOT = st.integers(0, 59)  # a quarter of an hour of one of three nights
WHO, WHICH, LONG, YES = st.integers(0, 9), st.integers(0, 30), st.sampled_from([15, 30, 45]), st.booleans()
SCOPE, MODE = st.sampled_from(["one", "following", "all"]), st.sampled_from(["each", "all-or-nothing"])


class Stage:
    """A gateway, relay and projector, on a thread of their own: a machine is not asynchronous, and they must not stand still while it thinks."""

    def __init__(self, database: Any, nats: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        self.stack = AsyncExitStack()
        self.web = self.do(self._open(database, nats))

    async def _open(self, database: Any, nats: Any) -> Any:
        web = await self.stack.enter_async_context(served(database, nats))
        await self.stack.enter_async_context(working(database, nats))
        return web

    def do(self, asked: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result()

    def close(self) -> None:
        self.do(self.stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def the_night() -> date:
    """The day of next year on which Amsterdam's clocks go back."""
    year = datetime.now(UTC).year + 1
    return next(date(year, 10, n) for n in range(31, 24, -1) if date(year, 10, n).weekday() == 6)


class FrontDesk(RuleBasedStateMachine):
    """Two doctors, two rooms, four patients, three nights."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        self.done: list[tuple[str, dict[str, tuple[Visit, Visit]]]] = []  # absences that were settled: each visit as it was, and as it was then

    @initialize()
    def open(self) -> None:
        STAGE.do(self._open())

    async def _open(self) -> None:
        web = STAGE.web
        clinic = await web.clinic()
        self.admin, town = await web.person(clinic, "admin"), Town(web.services.handler, clinic, datetime.now(UTC))
        names = [(await town(HireStaff(name=f"Dr {n}", email="sam@example.org", role="doctor"))).id for n in "AB"]
        for doctor, hours in zip(names, HOURS, strict=True):
            week = [[Hours(start=hours.first, end=hours.last)]] * 7
            await town(SetDoctorSchedule(doctor_id=doctor, week=week, buffer_before=hours.before, buffer_after=hours.after, slot_minutes=hours.grid))
        self.rooms = [str((await town(AddRoom(name=f"Room {n}"))).id) for n in "12"]
        self.patients = [str((await town(RegisterPatient(given_name="Noor", family_name=n))).id) for n in "WXYZ"]
        self.doctors = [str(one) for one in names]
        sunday = the_night()
        self.dusk = datetime.combine(sunday - timedelta(days=1), time(), ZoneInfo(ZONE)).astimezone(UTC) + 15 * MINUTE
        self.first = sunday - timedelta(days=3)
        self.last = sunday + timedelta(days=40)
        self.book = Book(ZONE, dict(zip(self.doctors, HOURS, strict=True)), (self.first, self.last))

    # --- how it is asked

    def ask(self, method: str, path: str, body: Any = None, why: str | None = None) -> Any:
        """Ask for something that must be had, or refused with that code; return the answer's JSON."""
        answer = STAGE.do(self.admin(method, path, body, headers={"x-position": str(self.position)} if method == "GET" else {}))
        if why is not None:
            assert (answer.status_code >= 400, answer.json().get("code")) == (True, why), (method, path, body, answer.text)
            return answer.json()
        assert answer.status_code < 300, (method, path, body, answer.text)
        self.position = max(self.position, int(answer.headers.get("x-position", 0)))
        return answer.json()

    def moment(self, slot: int) -> datetime:
        quarter, night = divmod(slot, 3)
        return self.dusk + timedelta(days=night) + 15 * quarter * MINUTE

    def visit(self, which: int, statuses: set[str] | None = None) -> Visit | None:
        found = [one for one in self.book.visits.values() if statuses is None or one.status in statuses]
        return found[which % len(found)] if found else None

    # --- what a desk does

    @rule(patient=WHO, doctor=WHO, room=WHO, slot=SLOT, minutes=LONG, force=st.sampled_from([False, False, False, True]))
    def book_a_visit(self, patient: int, doctor: int, room: int, slot: int, minutes: int, force: bool) -> None:
        wanted = self.book.visit("", self.patients[patient % 4], self.doctors[doctor % 2], [*self.rooms, None][room % 3], self.moment(slot), minutes, forced=force)
        self.put("POST", "/appointments", wanted, {"patientId": wanted.patient})

    @rule(patient=WHO, doctor=WHO, which=st.integers(0, 1000), minutes=LONG)
    def book_a_free_time(self, patient: int, doctor: int, which: int, minutes: int) -> None:
        """Which the book knows to be free for the patient as well, so it must be had."""
        whose, whom, others = self.doctors[doctor % 2], self.patients[patient % 4], self.book.others()
        tried = (self.book.visit("", whom, whose, None, start, minutes) for start in self.book.starts(whose)[:60])
        if free := [one for one in tried if self.book.worked(one) and others.free(one)]:
            assert self.put("POST", "/appointments", free[which % len(free)], {"patientId": whom})

    def put(self, method: str, path: str, wanted: Visit, more: dict[str, Any], without: tuple[str, ...] = ()) -> Visit | None:
        """Put a visit into the book, if the book has room for it."""
        body = {
            "doctorId": wanted.doctor, "roomId": wanted.room, "start": wanted.start.isoformat(), "duration": wanted.minutes, "overbook": wanted.forced,
            "reason": "Pain" if wanted.forced else None, **more}
        why = self.book.why_not(wanted, without)
        said = self.ask(method, path, body, why)
        if why is not None:
            return None
        made = second.replace(wanted, id=said["id"])
        self.book.visits[made.id] = made
        return made

    @rule(which=WHICH, doctor=WHO, room=WHO, slot=SLOT, minutes=LONG, force=st.sampled_from([False, False, False, True]), stay=YES)
    def move_a_visit(self, which: int, doctor: int, room: int, slot: int, minutes: int, force: bool, stay: bool) -> None:
        if (now := self.visit(which)) is None:
            return
        start = now.start if stay else self.moment(slot)
        wanted = second.replace(
            self.book.visit(now.id, now.patient, self.doctors[doctor % 2], [*self.rooms, None][room % 3], start, minutes, forced=force), status=now.status)
        same = (wanted.doctor, wanted.start, wanted.minutes) == (now.doctor, now.start, now.minutes)
        if same:  # then nobody is asked anew, but whoever has the room
            wanted = second.replace(wanted, forced=now.forced or force)
            why = None if wanted.forced or self.book.others({now.id}).free(wanted) or wanted.room == now.room else "TIME_TAKEN"
        else:
            why = self.book.why_not(wanted, {now.id}) if now.status in second.TAKES else "WRONG_STATUS"
        body = {
            "doctorId": wanted.doctor, "roomId": wanted.room, "start": start.isoformat(), "duration": minutes, "overbook": force, "reason": "Pain" if force else None}
        self.ask("PUT", f"/appointments/{now.id}", body, why)
        if why is None:
            self.book.visits[now.id] = wanted

    @rule(which=WHICH, status=st.sampled_from(["confirmed", "cancelled", "no-show"]))
    def mark_a_visit(self, which: int, status: str) -> None:
        if (now := self.visit(which)) is None:
            return
        fits = now.status in (second.TAKES if status != "confirmed" else {"booked"})
        self.ask("PATCH", f"/appointments/{now.id}/status", {"status": status}, None if fits else "WRONG_STATUS")
        if fits:
            self.book.visits[now.id] = second.replace(now, status=status)

    @rule(which=WHICH)
    def strike_a_visit_out(self, which: int) -> None:
        if (now := self.visit(which)) is not None:
            self.ask("DELETE", f"/appointments/{now.id}")
            del self.book.visits[now.id]

    # --- time that is held

    @rule(doctor=WHO, room=WHO, slot=SLOT, minutes=LONG)
    def hold_a_time(self, doctor: int, room: int, slot: int, minutes: int) -> None:
        like = self.book.visit("", "", self.doctors[doctor % 2], [*self.rooms, None][room % 3], self.moment(slot), minutes)
        hold = Hold(like.doctor, like.room, like.start, minutes, like.held)
        why = self.book.why_not(hold)
        said = self.ask("POST", "/appointments/holds", {
            "doctorId": hold.doctor, "roomId": hold.room, "start": hold.start.isoformat(), "duration": minutes, "minutes": 30}, why)
        if why is None:
            self.book.holds[said["id"]] = hold

    @precondition(lambda self: self.book.holds)
    @rule(which=WHICH, patient=WHO)
    def book_what_is_held(self, which: int, patient: int) -> None:
        id_, hold = [*self.book.holds.items()][which % len(self.book.holds)]
        wanted = self.book.visit("", self.patients[patient % 4], hold.doctor, hold.room, hold.start, hold.minutes)
        if self.put("POST", "/appointments", wanted, {"patientId": wanted.patient, "holdId": id_}, (id_,)):
            del self.book.holds[id_]

    @precondition(lambda self: self.book.holds)
    @rule(which=WHICH)
    def give_a_hold_back(self, which: int) -> None:
        id_ = [*self.book.holds][which % len(self.book.holds)]
        self.ask("DELETE", f"/appointments/holds/{id_}")
        del self.book.holds[id_]

    # --- series

    @rule(patient=WHO, doctor=WHO, slot=SLOT, count=st.integers(1, 3), mode=MODE)
    def book_a_series(self, patient: int, doctor: int, slot: int, count: int, mode: str) -> None:
        """Every day at the same time on the wall, of which one night has some twice."""
        start = self.book.wall(self.moment(slot))
        others, outcome, made = self.book.others(), [], {}
        for n in range(count):
            wall = start + timedelta(days=n)
            readings = {wall.replace(tzinfo=ZoneInfo(ZONE), fold=fold).astimezone(UTC) for fold in (0, 1)}
            visit = self.book.visit(str(n + 1), self.patients[patient % 4], self.doctors[doctor % 2], None, min(readings), 15)
            why = "TIME_REPEATED" if len(readings) > 1 else "DOCTOR_NOT_WORKING" if not self.book.worked(visit) else None if others.free(visit) else "TIME_TAKEN"
            outcome.append(why or "booked")
            if why is None:
                others.spans += visit.takes()
                made[n + 1] = visit
        asked = {
            "patientId": self.patients[patient % 4], "doctorId": self.doctors[doctor % 2], "start": start.isoformat(), "duration": 15, "rule": {"unit": "days", "count": count},
            "mode": mode}
        fails = not made or (mode == "all-or-nothing" and len(made) < count)
        said = self.ask("POST", "/appointment-series", asked, "OCCURRENCES_REFUSED" if fails else None)
        if fails:
            return
        assert [one["code"] or one["outcome"] for one in said["items"]] == outcome
        ids = {one["number"]: one["appointmentId"] for one in said["items"] if one["appointmentId"]}
        for number, visit in made.items():
            self.book.visits[ids[number]] = second.replace(visit, id=ids[number])
        self.book.series[said["id"]] = Series(ids, {n: self.book.wall(one.start).isoformat() for n, one in made.items()})

    def meant(self, series: Series, scope: str, which: int) -> tuple[int, list[int]]:
        number = [*series.visits][which % len(series.visits)]
        return number, [n for n in series.visits if scope == "all" or n == number or (scope == "following" and n > number)]

    @precondition(lambda self: self.book.series)
    @rule(which=WHICH, scope=SCOPE, mode=MODE, slot=SLOT, of=WHICH)
    def change_a_series(self, which: int, scope: str, mode: str, slot: int, of: int) -> None:
        """To another time; what was moved by itself is left."""
        id_, series = [*self.book.series.items()][of % len(self.book.series)]
        number, meant = self.meant(series, scope, which)
        clock = self.book.wall(self.moment(slot)).time()
        wishes: dict[str, Any] = {}
        for n in meant:
            visit = self.book.visits.get(series.visits[n])
            if visit is None or visit.status not in second.TAKES or (scope != "one" and self.book.wall(visit.start).isoformat() != series.planned[n]):
                continue
            now = self.book.wall(visit.start)
            fold = visit.start.astimezone(ZoneInfo(ZONE)).fold
            start = datetime.combine(now.date(), clock, ZoneInfo(ZONE)).replace(fold=fold).astimezone(UTC)
            wishes[visit.id] = [self.stay if (start, visit.minutes) == (visit.start, visit.minutes) else self.book.at(None, start)]
        had = self.book.settled(wishes)
        some = any(had.values())
        why = "NOTHING_TO_COME" if not wishes else "OCCURRENCES_REFUSED" if not some or (mode == "all-or-nothing" and not all(had.values())) else None
        self.ask("PUT", f"/appointment-series/{id_}", {"scope": scope, "occurrence": number, "time": f"{clock:%H:%M}", "mode": mode}, why)
        if why is None:
            for n in meant:
                if moved := had.get(series.visits[n]):
                    self.book.visits[moved.id] = moved
                    series.planned[n] = self.book.wall(moved.start).isoformat()

    @staticmethod
    def stay(visit: Visit, _: Any) -> Visit | None:
        """What is there already is asked for nothing new."""
        return visit

    @precondition(lambda self: self.book.series)
    @rule(which=WHICH, scope=SCOPE, of=WHICH)
    def cancel_a_series(self, which: int, scope: str, of: int) -> None:
        id_, series = [*self.book.series.items()][of % len(self.book.series)]
        number, meant = self.meant(series, scope, which)
        there = [visit for n in meant if (visit := self.book.visits.get(series.visits[n])) and visit.status in second.TAKES]
        self.ask("POST", f"/appointment-series/{id_}/cancel", {"scope": scope, "occurrence": number}, None if there else "NOTHING_TO_COME")
        for visit in there:
            self.book.visits[visit.id] = second.replace(visit, status="cancelled")

    # --- absences

    @precondition(lambda self: len(self.book.blocks) < FEW)
    @rule(doctor=WHO, slot=SLOT, hours=st.integers(1, 8))
    def block_time(self, doctor: int, slot: int, hours: int) -> None:
        block = Block(self.doctors[doctor % 2], start := self.moment(slot), start + timedelta(hours=hours))
        self.away(block, None if self.book.others().free(self.whole(block)) else "TIME_TAKEN", despite=False)

    @staticmethod
    def whole(block: Block) -> Hold:
        return Hold(block.doctor, None, block.start, 0, (block.start, block.end))

    def away(self, block: Block, why: str | None, *, despite: bool) -> str | None:
        said = self.ask("POST", "/appointments/blocked-times", {
            "doctorId": block.doctor, "start": block.start.isoformat(), "end": block.end.isoformat(), "reason": "Ill", "despiteBookings": despite}, why)
        if why is None:
            self.book.blocks[said["id"]] = block
        return None if why else said["id"]

    @precondition(lambda self: len(self.book.blocks) < FEW and any(one.status in second.TAKES for one in self.book.visits.values()))
    @rule(which=WHICH, early=st.integers(0, 8), hours=st.integers(1, 30), ways=st.lists(st.sampled_from(["move", "hand-over", "cancel"]), min_size=1, max_size=3, unique=True), mode=MODE)
    def fall_ill(self, which: int, early: int, hours: int, ways: list[str], mode: str) -> None:
        """A doctor is away whatever was booked, and all of it is settled at once: tried first, which says the same."""
        ill = self.visit(which, second.TAKES)
        assert ill is not None
        start, other = ill.start - 15 * early * MINUTE, next(one for one in self.doctors if one != ill.doctor)
        block = Block(ill.doctor, start, start + timedelta(hours=hours))
        id_ = self.away(block, None, despite=True)
        there = self.book.away(block)
        said = {"move": {"action": "move"}, "hand-over": {"action": "hand-over", "doctorId": other}, "cancel": {"action": "cancel", "reason": "Ill"}}
        does: dict[str, Any] = {"move": self.book.first_free, "hand-over": self.book.at(other), "cancel": lambda visit, _: second.replace(visit, status="cancelled")}
        had = self.book.settled({visit: [does[way] for way in ways] for visit in there})
        fails = not any(had.values()) or (mode == "all-or-nothing" and not all(had.values()))
        why = "ABSENCE_SETTLED_ALREADY" if not there else "VISITS_REFUSED" if fails else None
        asked = {"blockId": id_, "rule": [said[way] for way in ways], "mode": mode}
        tried, done = (self.ask("POST", f"/appointments/absences{query}", asked, why) for query in ("?dryRun=true", ""))
        if why is not None:
            return
        assert {**tried, "id": done["id"], "dryRun": False} == done
        assert [one["appointmentId"] for one in done["items"]] == there
        self.done.append((done["id"], {v: (self.book.visits[v], to) for v, to in had.items() if to and to.status in second.TAKES}))
        self.book.visits |= {v: to for v, to in had.items() if to}

    @precondition(lambda self: self.book.blocks)
    @rule(which=WHICH)
    def be_there_after_all(self, which: int) -> None:
        id_ = [*self.book.blocks][which % len(self.book.blocks)]
        self.ask("DELETE", f"/appointments/blocked-times/{id_}")
        del self.book.blocks[id_]

    @precondition(lambda self: self.done)
    @rule(which=WHICH)
    def bring_everything_back(self, which: int) -> None:
        """As far as it is still free, and has not been moved again since."""
        id_, before = self.done[which % len(self.done)]
        wishes: dict[str, Any] = {}
        for visit, (was, to) in before.items():
            now = self.book.visits.get(visit)
            if now and now.status in second.TAKES and (now.doctor, now.room, now.start) == (to.doctor, to.room, to.start):
                wishes[visit] = [self.book.at(was.doctor, was.start)]
        had = self.book.settled(wishes)
        why = "NOTHING_TO_UNDO" if not wishes else "VISITS_REFUSED" if not any(had.values()) else None
        self.ask("POST", f"/appointments/absences/{id_}/undo", {}, why)
        if why is None:
            for visit, back in had.items():
                if back is not None:
                    self.book.visits[visit] = back
                    del before[visit]

    # --- what is shown

    @rule(night=st.integers(0, 3), which=WHICH, patient=WHO)
    def look_at_what_is_free(self, night: int, which: int, patient: int) -> None:
        """What is shown is what the minutes say, all of it; one of it is booked, and what is not shown is refused."""
        on = the_night() + timedelta(days=night - 1)
        shown = self.ask("GET", f"/appointments/available-slots?date={on}")["items"]
        found = {(one["startsAt"], one["doctorId"], one["placeId"], frozenset(room["id"] for room in one["rooms"])) for one in shown}
        assert found == reckon(self.clinic(on), on)
        free = {(one["doctorId"], datetime.fromisoformat(one["startsAt"])) for one in shown}
        for doctor in self.doctors:
            for start in self.book.starts(doctor):
                if self.book.wall(start).date() == on:
                    visit = self.book.visit("", "nobody", doctor, None, start, 30)
                    assert ((doctor, start) in free) == (self.book.why_not(visit) is None)
        if shown:
            one = shown[which % len(shown)]
            wanted = self.book.visit("", self.patients[patient % 4], one["doctorId"], one["rooms"][0]["id"] if one["rooms"] else None, datetime.fromisoformat(one["startsAt"]), 30)
            if self.put("POST", "/appointments", wanted, {"patientId": wanted.patient}) is None:
                assert not self.book.others().free(second.replace(wanted, doctor="nobody", room=None))  # the patient is elsewhere then

    def clinic(self, on: date) -> dict[str, Any]:
        """What the API shows of the clinic around a day, and what the book knows to be held."""
        shown = self.shown(on - timedelta(days=2), on + timedelta(days=3))
        held = [{"doctorId": one.doctor, "roomId": one.room, "startsAt": one.span[0].isoformat(), "endsAt": one.span[1].isoformat()} for one in self.book.holds.values()]
        return {
            "zone": ZONE, "closed": [], "rooms": [{"id": id_, "active": True, "placeId": None, "type": "operatory"} for id_ in self.rooms],
            "visits": shown["appointments"], "blocks": [*shown["blocks"], *held],
            "schedules": {id_: {
                "week": [[{"start": one.first, "end": one.last}]] * 7, "exceptions": [], "bufferBefore": one.before, "bufferAfter": one.after, "slotMinutes": one.grid,
            } for id_, one in self.book.doctors.items()}}

    def shown(self, first: date, last: date) -> dict[str, Any]:
        return dict(self.ask("GET", f"/appointments/calendar?from={first}&to={last}"))

    @invariant()
    def the_calendar_is_the_book(self) -> None:
        if not hasattr(self, "book"):
            return
        shown = self.shown(self.first, self.last)
        assert {
            (one["id"], one["patientId"], one["doctorId"], one["roomId"], datetime.fromisoformat(one["startsAt"]), datetime.fromisoformat(one["endsAt"]), one["status"], one["overbooked"])
            for one in shown["appointments"]
        } == {(one.id, one.patient, one.doctor, one.room, one.start, one.end, one.status, one.forced) for one in self.book.visits.values()}
        assert {one["id"] for one in shown["blocks"]} == set(self.book.blocks)

    @invariant()
    def no_two_overlap_but_by_force(self) -> None:
        if hasattr(self, "book"):
            assert [*self.book.overlaps()] == []


@pytest.fixture(scope="module")
def stage(module_database: Any, make_nats: Any) -> Any:
    global STAGE  # noqa: PLW0603 - a machine is made by Hypothesis, and can be given nothing
    STAGE = Stage(module_database, make_nats())
    yield STAGE
    STAGE.close()


CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def test_a_desk_of_a_few_hundred_steps(stage: Any) -> None:
    run_state_machine_as_test(FrontDesk, settings=settings(max_examples=6, stateful_step_count=40, deadline=None, suppress_health_check=CALM))


def test_a_desk_whose_book_is_wrong_would_be_noticed(stage: Any) -> None:
    """By what is free, by what is booked, and by the calendar."""
    desk = FrontDesk()
    desk.open()
    desk.look_at_what_is_free(night=1, which=3, patient=0)
    desk.the_calendar_is_the_book()
    (visit,) = desk.book.visits.values()
    right, desk.book = desk.book, Book(ZONE, {id_: second.replace(one, first="00:00", last="06:00") for id_, one in desk.book.doctors.items()}, desk.book.days)
    for wrong in (desk.the_calendar_is_the_book, partial(desk.look_at_what_is_free, night=1, which=0, patient=0)):
        with pytest.raises(AssertionError):
            wrong()
    desk.book = right
    right.visits[visit.id] = second.replace(visit, status="cancelled")
    with pytest.raises(AssertionError):
        desk.mark_a_visit(which=0, status="no-show")


@pytest.mark.soak
def test_a_desk_of_thousands_of_steps(stage: Any) -> None:
    run_state_machine_as_test(FrontDesk, settings=settings(max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=CALM))


def test_the_book_shares_nothing_with_the_product() -> None:
    tree = ast.parse(Path(second.__file__).read_text("utf-8"))
    names = {node.module if isinstance(node, ast.ImportFrom) else alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    assert names <= {"collections.abc", "dataclasses", "datetime", "zoneinfo"}
