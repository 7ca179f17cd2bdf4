"""Absences: a whole day is moved, handed over or cancelled at once; what is said beforehand is what happens; nobody is lost, and all of it can be undone."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as draws
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.absences import How, SettleAbsence, UndoAbsence, VisitWish
from commands.appointments import BookAppointment, ChangeAppointment, ChangeAppointmentStatus, SendAppointmentSummary
from commands.closed_days import SetClosedDays
from commands.group_sessions import PlanGroupSession
from commands.kit.handling import Receipt
from commands.patients import RegisterPatient
from commands.rooms import AddRoom
from commands.schedules import BlockTime, SetDoctorSchedule, UnblockTime
from domain.absences import (
    AbsenceSettledAlready,
    AbsenceUnnamed,
    NothingToUndo,
    VisitNotInAbsence,
    VisitsRefused,
    WayContradictory,
    WaysUnnamed,
)
from domain.appointments import Appointment
from domain.closed_days import ClosedDay
from domain.kit import Forbidden, NotFound, Refused
from domain.schedules import Hours
from projections.kit.rebuild import verify
from tests.clinic import Town, handling, stored, who
from tests.served import failure, served, until, working

MOVE, HAND_OVER, LATER, CANCEL, LEAVE = (
    How(action="move"), How(action="hand-over"), How(action="hand-over", later=True), How(action="cancel", reason="The doctor is ill"), How(action="leave"))
NINE_TO_FIVE = [[Hours(start="09:00", end="17:00")]] * 7


@pytest.fixture
def database(module_database: Any) -> Any:
    return module_database


class Day:
    """A day of a doctor who falls ill: visits, the block, a colleague."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.visits: list[UUID] = []

    @classmethod
    async def of(cls, town: Town, *starts: int, colleague: bool = True) -> "Day":
        """A day with visits so many minutes after nine, of half an hour each."""
        day = cls(town)
        await town(SetDoctorSchedule(doctor_id=town.doctor, week=NINE_TO_FIVE))
        if colleague:
            day.colleague = await town.hire("Dr Bo de Wit")
            await town(SetDoctorSchedule(doctor_id=day.colleague, week=NINE_TO_FIVE))
        for n, start in enumerate(starts):
            day.visits.append((await town(town.visit(town.at(start), patient_id=await town.register(f"P{n}"), notes=f"Note {n}"))).id)
        day.block = (await town(BlockTime(doctor_id=town.doctor, start=town.at(-60), end=town.at(540), reason="Ill", despite_bookings=True))).id
        return day

    colleague: UUID
    block: UUID

    async def settle(self, *rule: How, **other: Any) -> Receipt:
        return await self.town(SettleAbsence(block_id=self.block, rule=self.named(rule), **other))

    def named(self, rule: Iterable[How]) -> list[How]:
        """The rule with the colleague named, who is found by name only where somebody keeps the lists."""
        return [replace(how, doctor_id=self.colleague) if how.action == "hand-over" and not how.room_id else how for how in rule]

    async def states(self) -> list[Any]:
        return [(await self.town.handler.streams.latest(Appointment, id_, self.town.id)).state for id_ in self.visits]

    async def stand(self) -> list[tuple[str, str | None, UUID]]:
        """How each visit stands: its state, when and with whom."""
        return [(one.status, one.arranged.start_local, one.arranged.doctor_id) for one in await self.states()]


def local(town: Town, minutes: int, days: int = 0) -> str:
    return (town.at(minutes) + timedelta(days=days)).isoformat()


async def test_a_day_is_moved_to_the_first_free_times_in_order(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30, 60)
        await town(town.visit(town.at(15) + timedelta(days=1), patient_id=await town.register("Smit")))  # tomorrow is not all free
        settled = await day.settle(MOVE)
        row: Any = settled.row
        assert [(one.outcome, one.was.start_local, one.now.start_local) for one in row.visits] == [
            ("moved", local(town, 0), local(town, 45, 1)), ("moved", local(town, 30), local(town, 75, 1)), ("moved", local(town, 60), local(town, 105, 1))]
        assert [one[1] for one in await day.stand()] == [one.now.start_local for one in row.visits]
        entries = [await handler.streams.latest(Appointment, id_, town.id, row=True) for id_ in day.visits]
        assert [entry.row.notes for entry in entries] == ["Note 0", "Note 1", "Note 2"]
        assert [entry.row.id for entry in entries] == day.visits  # the same visits, with their history
        with pytest.raises(AbsenceSettledAlready):
            await day.settle(MOVE)


async def test_a_day_is_handed_over_at_the_same_times_and_else_moved(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30, 60)
        busy = town.visit(town.at(30), doctor_id=day.colleague, room_id=None, patient_id=await town.register("Smit"))
        await town(busy)
        with pytest.raises(VisitsRefused) as refused:
            await day.settle(HAND_OVER)
        assert refused.value.details == {"visits": [{"appointmentId": str(day.visits[1]), "start": local(town, 30), "code": "TIME_TAKEN"}]}
        await day.settle(HAND_OVER, LATER)
        assert await day.stand() == [
            ("booked", local(town, 0), day.colleague), ("booked", local(town, 90), day.colleague), ("booked", local(town, 60), day.colleague)]


async def test_each_visit_can_be_settled_by_itself(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30, 60, 90)
        a, b, c, d = day.visits
        wishes = [
            VisitWish(appointment_id=a, ways=[How(action="move", start=town.at(0) + timedelta(days=2))]), VisitWish(appointment_id=b, ways=[How(action="hand-over", doctor_id=day.colleague)]),
            VisitWish(appointment_id=c, ways=[CANCEL])]
        settled = await day.settle(visits=wishes)
        row: Any = settled.row
        assert [(one.appointment_id, one.outcome) for one in row.visits] == [(a, "moved"), (b, "handed-over"), (c, "cancelled"), (d, "left")]
        assert await day.stand() == [
            ("booked", local(town, 0, 2), town.doctor), ("booked", local(town, 30), day.colleague), ("cancelled", local(town, 60), town.doctor),
            ("booked", local(town, 90), town.doctor)]
        with pytest.raises(VisitNotInAbsence):
            await day.settle(visits=wishes[:1])
        await day.settle(CANCEL)
        assert [one[0] for one in await day.stand()] == ["booked", "booked", "cancelled", "cancelled"]


async def test_what_cannot_be_had_is_told_of_each_and_the_rest_is_done(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30)
        taken = How(action="move", start=town.at(0) + timedelta(days=1))
        before = len(stored(database))
        with pytest.raises(VisitsRefused):
            await day.settle(taken)
        assert len(stored(database)) == before
        row: Any = (await day.settle(taken, mode="each")).row
        assert [(one.outcome, one.code) for one in row.visits] == [("moved", None), ("refused", "TIME_TAKEN")]
        with pytest.raises(VisitsRefused):  # if nothing at all can be had, nothing is noted
            await day.settle(How(action="move", start=town.at(60)), mode="each")


async def test_what_makes_no_sense_is_refused(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0)
        senseless: list[tuple[dict[str, Any], type[Refused]]] = [
            ({"rule": [MOVE]}, AbsenceUnnamed), ({"block_id": day.block, "on": town.now.date(), "rule": [MOVE]}, AbsenceUnnamed), ({"block_id": day.block}, WaysUnnamed),
            ({"block_id": day.block, "rule": [How(action="cancel", start=town.at(0))]}, WayContradictory),
            ({"block_id": day.block, "rule": [How(action="hand-over", start=town.at(0), later=True)]}, WayContradictory),
            ({"block_id": day.block, "rule": [How(action="move", doctor_id=day.colleague)]}, WayContradictory), ({"block_id": town.doctor, "rule": [MOVE]}, NotFound)]
        for asked, why in senseless:
            with pytest.raises(why):
                await town(SettleAbsence(**asked))


async def test_whoever_is_there_already_is_not_sent_away(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30, 60)
        await town(ChangeAppointmentStatus(status="arrived"), day.visits[0])
        await town(ChangeAppointmentStatus(status="cancelled"), day.visits[1])
        row: Any = (await day.settle(MOVE)).row
        assert [one.appointment_id for one in row.visits] == day.visits[2:]


async def test_a_closed_room_is_left_for_another_of_its_kind(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30)
        await town(UnblockTime(), day.block)
        day.block = (await town(BlockTime(room_id=town.room, start=town.at(-60), end=town.at(540), reason="Flooded", despite_bookings=True))).id
        with pytest.raises(VisitsRefused) as refused:
            await town(SettleAbsence(block_id=day.block, rule=[HAND_OVER]))
        assert refused.value.details["visits"][0]["code"] == "NOTHING_FREE"
        other = (await town(AddRoom(name="Room 2"))).id
        row: Any = (await day.settle(replace(HAND_OVER, room_id=other))).row
        assert [(one.outcome, one.now.room_id, one.now.start_local, one.now.doctor_id) for one in row.visits] == [
            ("handed-over", other, local(town, 0), town.doctor), ("handed-over", other, local(town, 30), town.doctor)]


async def test_a_group_session_is_told_and_goes_as_a_whole_by_itself(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        await town(SetDoctorSchedule(doctor_id=town.doctor, week=NINE_TO_FIVE))
        group = (await town(PlanGroupSession(doctor_id=town.doctor, start=town.at(120), duration=60, capacity=3))).id
        seat = (await town(BookAppointment(patient_id=town.patient, doctor_id=town.doctor, start=town.at(120), group_id=group))).id
        day = await Day.of(town, 0)
        row: Any = (await day.settle(CANCEL)).row
        assert ([one.appointment_id for one in row.visits], row.groups) == (day.visits, [group])
        assert (await handler.streams.latest(Appointment, seat, town.id)).state.status == "booked"
        with pytest.raises(AbsenceSettledAlready) as refused:
            await day.settle(CANCEL)
        assert refused.value.details == {"groups": [str(group)]}


async def test_it_is_undone_once_the_time_is_free_again(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30, 60, 90)
        before = await day.stand()
        wishes = [VisitWish(appointment_id=day.visits[3], ways=[CANCEL])]
        settled = await day.settle(HAND_OVER, visits=wishes)
        await town(ChangeAppointment(doctor_id=day.colleague, start=town.at(300), duration=30), day.visits[2])
        with pytest.raises(VisitsRefused):  # the doctor is still away
            await town(UndoAbsence(), settled.id)
        await town(UnblockTime(), day.block)
        await town(town.visit(town.at(0), patient_id=await town.register("Smit"), room_id=None))  # somebody was quicker
        row: Any = (await town(UndoAbsence(), settled.id)).row
        assert [(one.appointment_id, one.outcome, one.code) for one in row.latest] == [
            (day.visits[0], "refused", "TIME_TAKEN"), (day.visits[1], "handed-over", None), (day.visits[2], "left", "MOVED_BY_ITSELF")]
        assert (await day.stand())[1] == before[1]
        assert (await day.stand())[3][0] == "cancelled"
        await town(ChangeAppointmentStatus(status="cancelled"), day.visits[0])
        with pytest.raises(NothingToUndo):
            await town(UndoAbsence(), settled.id)


async def test_patients_who_were_written_to_are_told(database: Any) -> None:
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0)
        reachable = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", email="noor@example.org"))).id
        for start, told in ((60, True), (120, True), (180, False)):
            await town(UnblockTime(), day.block)
            day.visits.append((await town(town.visit(town.at(start), patient_id=reachable))).id)
            day.block = (await town(BlockTime(doctor_id=town.doctor, start=town.at(-60), end=town.at(540), reason="Ill", despite_bookings=True))).id
            if told:
                await town(SendAppointmentSummary(), day.visits[-1])
        before = len(stored(database))
        await day.settle(MOVE, visits=[VisitWish(appointment_id=day.visits[2], ways=[CANCEL])])
        new = stored(database)[before:]
        assert len({one.command for one in new}) == 1  # one save
        told = {one.stream: [other.topic for other in new if other.stream == one.stream] for one in new}
        assert [told[id_][0] for id_ in day.visits] == ["AppointmentRescheduled", "AppointmentRescheduled", "AppointmentCancelled", "AppointmentRescheduled"]
        assert ["AppointmentSummaryAsked" in told[id_] for id_ in day.visits] == [False, True, False, False]
        assert [one.told for one in await day.states()] == [False, True, True, False]


async def test_of_two_who_settle_it_at_once_one_does(database: Any) -> None:
    """Over two processes: every visit is moved once."""
    async with handling(database) as handler, handling(database) as other:
        town = await Town.open(handler)
        day = await Day.of(town, *range(0, 300, 30))
        asked = [one.handle(SettleAbsence(block_id=day.block, rule=[MOVE]), town.admin, now=town.now) for one in (handler, other)]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(one).__name__ for one in got) == ["AbsenceSettledAlready", "Receipt"]
        moves = [one for one in stored(database) if one.topic == "AppointmentRescheduled" and one.clinic == town.id]
        assert sorted(one.stream for one in moves) == sorted(day.visits)


async def test_while_it_is_settled_others_book_and_nobody_meets(database: Any) -> None:
    """The first free times are wanted by others at the same moment: each is had once, and all of the day's visits or none are moved."""
    async with handling(database) as handler, handling(database) as other:
        town = await Town.open(handler)
        day = await Day.of(town, *range(0, 240, 30))
        patients = [await town.register(f"Q{n}") for n in range(8)]
        bookings = [
            other.handle(town.visit(town.at(30 * n) + timedelta(days=1), patient_id=one, room_id=None), town.admin, now=town.now) for n, one in enumerate(patients)]
        settling = [handler.handle(SettleAbsence(block_id=day.block, rule=[MOVE]), town.admin, now=town.now)]
        got = await asyncio.gather(*settling, *bookings, return_exceptions=True)
        assert {type(one).__name__ for one in got} <= {"Receipt", "TimeTaken"}
        starts = [one[1] for one in await day.stand()]
        assert len(set(starts)) == len(starts)
        assert len({(one[1] or "")[:10] > local(town, 0)[:10] for one in await day.stand()}) == 1  # all or none


async def test_who_may(database: Any) -> None:
    """A doctor who sees their own list alone settles their own absence, and hands nothing over."""
    async with handling(database) as handler:
        town = await Town.open(handler)
        day = await Day.of(town, 0, 30)
        alone = replace(who(town.id, "doctor", town.doctor), grants=frozenset({"appointments.edit", "appointments.change_status"}))
        stranger = replace(alone, subject=day.colleague)
        with pytest.raises(Forbidden):
            await town(SettleAbsence(block_id=day.block, rule=[HAND_OVER]), who=alone)
        with pytest.raises(NotFound):
            await town(SettleAbsence(block_id=day.block, rule=[MOVE]), who=stranger)
        with pytest.raises(Forbidden):
            await town(SettleAbsence(block_id=day.block, rule=[CANCEL]), who=replace(alone, grants=frozenset({"appointments.edit"})))
        row: Any = (await town(SettleAbsence(block_id=day.block, rule=[MOVE]), who=alone)).row
        assert [one.outcome for one in row.visits] == ["moved", "moved"]


WAYS = st.lists(st.sampled_from([MOVE, HAND_OVER, LATER, CANCEL, LEAVE]), min_size=1, max_size=3)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@draws(starts=st.lists(st.integers(0, 15), min_size=1, max_size=8, unique=True), others=st.lists(st.tuples(st.booleans(), st.integers(0, 15), st.integers(0, 1)), max_size=6), rule=WAYS)
def test_what_is_said_beforehand_is_what_happens_and_nobody_meets(database: Any, starts: list[int], others: list[tuple[bool, int, int]], rule: list[How]) -> None:
    """Whatever stands in the way: no visit is lost, no two meet, and a dry run says exactly what the real one does."""

    async def run() -> None:
        async with handling(database) as handler:
            town = await Town.open(handler, datetime.now(UTC))
            day = await Day.of(town, *(30 * start for start in starts))
            for mine, start, days in others:
                visit = town.visit(town.at(30 * start) + timedelta(days=days), doctor_id=town.doctor if mine else day.colleague, patient_id=await town.register("Q"), room_id=None)
                try:
                    day.visits.append((await town(visit)).id)
                except Refused:
                    continue
            command = SettleAbsence(block_id=day.block, rule=day.named(rule), mode="each")
            try:
                rehearsed: Any = (await handler.rehearse(command, town.admin, UUID(int=7)))[0]
            except VisitsRefused:
                rehearsed = None
            if rehearsed is None:
                with pytest.raises(VisitsRefused):
                    await town(command)
                return
            row: Any = (await town(command)).row
            assert rehearsed.visits == row.visits
            assert len(row.visits) == len(starts)
            stands = await day.stand()
            held = [(who_, start) for status, start, who_ in stands if status == "booked"]
            assert len(held) == len(set(held))  # all are of half an hour, on one grid of a quarter
            assert len(stands) == len(day.visits)
            for one in row.visits:
                status, start, doctor = stands[day.visits.index(one.appointment_id)]
                assert (status == "cancelled") == (one.outcome == "cancelled")
                if one.now:
                    assert (start, doctor) == (one.now.start_local, one.now.doctor_id)
                    assert one.outcome != "handed-over" or doctor == day.colleague

    asyncio.run(run())


async def test_on_the_web(database: Any, make_nats: Any) -> None:
    """Tried, done once however often it is asked, looked at, undone; and a day on which the clinic is closed after all."""
    nats = make_nats()
    async with served(database, nats) as web, working(database, nats):
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        town = Town(web.services.handler, clinic, datetime.now(UTC))
        town.doctor, town.patient, town.room = await town.hire(), await town.register(), (await town(AddRoom(name="Room 1"))).id
        day = await Day.of(town, 0, 30, 60)
        wanted = {"blockId": str(day.block), "rule": [{"action": "hand-over"}], "visits": [{"appointmentId": str(day.visits[2]), "ways": [{"action": "cancel", "reason": "Ill"}]}]}
        dry = (await admin("POST", "/appointments/absences?dryRun=true", wanted)).json()
        assert {name: dry[name] for name in ("id", "dryRun", "moved", "handedOver", "cancelled", "left", "refused")} == {
            "id": None, "dryRun": True, "moved": 0, "handedOver": 2, "cancelled": 1, "left": 0, "refused": 0}
        done = await admin("POST", "/appointments/absences", wanted, headers={"idempotency-key": "k"})
        assert {**done.json(), "id": None, "dryRun": True} == dry
        again = await admin("POST", "/appointments/absences", wanted, headers={"idempotency-key": "k"})
        assert again.json() == done.json()
        assert again.headers["idempotency-replayed"] == "true"
        failure(await admin("POST", "/appointments/absences", wanted), 409, "VISIT_NOT_IN_ABSENCE")
        id_ = done.json()["id"]
        listed = (await admin("GET", f"/appointments/absences?blockId={day.block}", headers=await admin.seen(done))).json()["items"]
        assert [one["id"] for one in listed] == [id_]
        assert (await admin("GET", f"/appointments/absences/{id_}")).json()["visits"][0]["outcome"] == "handed-over"
        taken = await admin("POST", f"/appointments/absences/{id_}/undo?dryRun=true", {}, headers={"accept-language": "es"})
        assert failure(taken, 409, "VISITS_REFUSED")[0]["visits"][0]["code"] == "TIME_TAKEN"
        await admin("DELETE", f"/appointments/blocked-times/{day.block}")
        back = (await admin("POST", f"/appointments/absences/{id_}/undo", {})).json()
        assert (back["handedOver"], [one["now"]["doctorId"] for one in back["items"]]) == (2, [str(town.doctor)] * 2)
        stranger = await web.person(await web.clinic(), "admin")
        failure(await stranger("POST", "/appointments/absences", wanted), 404, "NOT_FOUND")
        failure(await stranger("POST", f"/appointments/absences/{id_}/undo", {}), 404, "NOT_FOUND")

        on = town.at(0).date()
        closed = await town(SetClosedDays(added=[ClosedDay(on=on, name="Flood")]))
        await admin("GET", "/appointments", headers={"x-position": str(closed.position)})
        moved = (await admin("POST", "/appointments/absences", {"on": on.isoformat(), "rule": [{"action": "move"}]})).json()
        assert [(one["outcome"], one["now"]["startLocal"] > f"{on + timedelta(days=1)}") for one in moved["items"]] == [("moved", True)] * 2
        await until(lambda: level(database))


async def level(database: Any) -> bool:
    """Say whether the live rows are those of a replay."""
    report = await asyncio.to_thread(verify, database.url("owner"), ["absences", "appointments", "calendar"], kek=database.settings("gateway").kek)
    return bool(report.equal)
