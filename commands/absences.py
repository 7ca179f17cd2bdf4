"""What may be asked about the visits that stand in an absence.

How it works: whoever holds the blocked time is asked of the claims, so no visit is missed; and so are those times at which the visits could be instead. Each visit has its ways, the
best first, and those of a rule that takes the first free time are found as they are needed, from day to day, on the hours, grids and rooms by which the slots are shown. All that is
wanted is settled together (`domain.kit.wishes`), earlier visits first, and saved together; the save guarantees what the look has found.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

from msgspec import Meta, field

from commands.appointments import (
    Fold,
    Holders,
    Others,
    Start,
    Then,
    Wanted,
    holders_of,
    noted,
    rearranged,
    resting_on,
    unless_held,
)
from commands.kit import Command, Creation, Decision, Holding, Look
from domain.absences import (
    MOST,
    Absence,
    AbsenceSettled,
    AbsenceUndone,
    AbsenceUnnamed,
    AbsentVisit,
    Action,
    Away,
    BlockedTimeId,
    NothingFree,
    Outcome,
    Stand,
    TooManyVisits,
    VisitNotInAbsence,
    WayContradictory,
    WaysUnnamed,
)
from domain.appointments import REACH, Appointment, Arrangement, MovedByItself, TimePast, TimeTooFar, VisitNotToCome
from domain.group_sessions import GroupSession, Planned
from domain.kit import (
    AppointmentId,
    At,
    Claim,
    Elsewhere,
    Forbidden,
    Frozen,
    NotFound,
    Reason,
    RoomId,
    StaffId,
    TimeClaim,
    code_of,
    day,
    only,
    span,
)
from domain.kit.wishes import TAKEN, Mode, Way, Wish, meet, settled
from domain.schedules import BlockedTime, Interval, Slot, merged
from schemas.calendar import CalendarRow
from schemas.group_sessions import GroupSessionRow
from schemas.rooms import RoomRow
from schemas.staff import StaffRow

A_DAY = timedelta(days=1)
BECOMES: dict[str, Outcome] = {"move": "moved", "hand-over": "handed-over", "cancel": "cancelled", "leave": "left"}

Within = Annotated[int, Meta(ge=1, le=92, description="Days within which a first free time is sought.")]


class How(Frozen, forbid_unknown_fields=True):
    """What is to become of a visit.

    Moved without `start`, it takes the doctor's first free time after its own. Handed over without `start`, it keeps its time, or with `later` takes the first
    at which somebody can; without `doctorId` whoever can gets it. Without `roomId` it keeps its room, unless that is away.
    """

    action: Action
    start: Start | None = None
    fold: Fold = None
    later: bool = False
    doctor_id: StaffId | None = None
    room_id: RoomId | None = None
    reason: Reason | None = None


Hows = Annotated[list[How], Meta(max_length=5, description="Tried one after the other, until one can be had.")]


class VisitWish(Frozen, forbid_unknown_fields=True):
    """What is to become of one visit."""

    appointment_id: AppointmentId
    ways: Annotated[Hows, Meta(min_length=1)]


class Done(NamedTuple):
    """What happens to a visit, and where it is then."""

    outcome: Outcome
    events: Then
    now: Stand | None = None


class Found(NamedTuple):
    """The visits in an absence, by their time, and what is noted about them."""

    away: Away
    visits: dict[UUID, Appointment]
    notes: dict[UUID, str | None]


Busy = dict[tuple[str, UUID], list[Holding]]
H = TypeVar("H", Appointment, GroupSession)


class SettleAbsence(Creation):
    """Move, hand over, cancel or leave the visits that stand in time which was blocked, or on a day on which their doctors do not work any more: all at once.

    `rule` is for all that are not named in `visits`; without one these are left. Those that have begun, are over or whose patient is there already are not among them.
    """

    state = Absence
    permission = "appointments.edit"
    block_id: BlockedTimeId | None = None
    on: date | None = None
    rule: Hows = field(default_factory=list)
    visits: Annotated[list[VisitWish], Meta(max_length=MOST)] = field(default_factory=list)
    since: Annotated[date | None, Meta(description="From which day on a first free time is sought; if left out, from each visit's own time.")] = None
    within: Within = 31
    mode: Mode = "all-or-nothing"

    async def gather(self, look: Look) -> dict[str, Any]:
        self.ensure_sound(look.at)
        away, visits = await self.those_away(look)
        wanted = {id_: hows for id_ in visits if (hows := self.hows(id_))}
        if len(wanted) > MOST:
            raise TooManyVisits(visits=len(wanted), most=MOST)
        asked = [how for hows in wanted.values() for how in hows]
        arranged = [one.arranged for id_, one in visits.items() if one.arranged and id_ in wanted]
        others = await resting_on(
            look, [*(a.doctor_id for a in arranged), *await self.doctors(look, asked)],
            [*(a.room_id for a in arranged), *await self.rooms(look, asked, away)], [a.type_id for a in arranged])
        busy = await busy_of(look, [*others.doctors], [*others.rooms], [a.patient_id for a in arranged], self.reach(arranged, asked, look.at))
        return {"found": Found(away, visits, await noted(look, wanted)), "others": others, "busy": busy}

    def decide(self, absence: Absence, at: At, *, found: Found, others: Others, busy: Busy) -> Decision:
        wanted = {id_: hows for id_ in found.visits if (hows := self.hows(id_))}
        search = Search(self, found, others, {key: [one for one in stays if one.owner not in wanted] for key, stays in busy.items()}, at)
        had: dict[UUID, Way[Done]] = settled([Wish(id_, found.visits[id_].claims(), [Ways(search, id_, how) for how in hows]) for id_, hows in wanted.items()])
        told = [came_of(id_, visit, had.get(id_, STAYS)) for id_, visit in found.visits.items()]
        saved = absence.settle(AbsenceSettled(**only(Away, found.away), mode=self.mode, visits=told))
        return [*saved, *(Elsewhere(state=Appointment, id=id_, events=way.done.events) for id_, way in had.items() if way.why is None and way.done.events)]

    def ensure_sound(self, at: At) -> None:
        asked = [*self.rule, *(how for one in self.visits for how in one.ways)]
        if (self.block_id is None) == (self.on is None):
            raise AbsenceUnnamed
        if not asked:
            raise WaysUnnamed
        for how in asked:
            if (how.start and (how.later or how.action not in {"move", "hand-over"})) or (how.doctor_id and how.action != "hand-over"):
                raise WayContradictory
            if how.action == "cancel" and not at.may("appointments.change_status"):
                raise Forbidden(permission="appointments.change_status")
            if how.action == "hand-over" and not at.may("appointments.view_all_doctors"):
                raise Forbidden(permission="appointments.view_all_doctors")

    def hows(self, visit: UUID) -> list[How]:
        return next((one.ways for one in self.visits if one.appointment_id == visit), self.rule)

    async def those_away(self, look: Look) -> tuple[Away, dict[UUID, Appointment]]:
        """Return who is away, and the visits in that time that are still to come, the earliest first; held fast."""
        away, visits = await (of_block(look, self.block_id) if self.block_id else of_day(look, self.on or look.at.today))
        if missing := [one.appointment_id for one in self.visits if one.appointment_id not in visits]:
            raise VisitNotInAbsence(appointments=[str(one) for one in missing])
        return away, visits

    async def doctors(self, look: Look, asked: list[How]) -> list[UUID]:
        """Return to whom something could be handed over."""
        named = [how.doctor_id for how in asked if how.doctor_id]
        if not any(how.action == "hand-over" and not how.doctor_id for how in asked):
            return named
        rows = await look.find(StaffRow, active=True)
        return [*named, *(row.id for row in sorted(rows, key=lambda row: (row.name or "", row.id)) if row.role != "receptionist")]

    async def rooms(self, look: Look, asked: list[How], away: Away) -> list[UUID]:
        """Return where something could be held instead."""
        named = [how.room_id for how in asked if how.room_id]
        if away.room_id is None or not any(how.action == "hand-over" and not how.room_id for how in asked):
            return named
        return [*named, *(row.id for row in sorted(await look.find(RoomRow, active=True, deleted=False), key=lambda row: (row.name, row.id)))]

    def first(self, visit: Arrangement, at: At) -> datetime:
        """Return from when on a first free time is sought for a visit."""
        if self.since is not None and abs(self.since - at.today) > REACH:
            raise TimeTooFar
        return max(at.now, span(self.since, self.since, at.zone)[0] if self.since else visit.starts_at)

    def reach(self, visits: list[Arrangement], asked: list[How], at: At) -> Interval:
        """Return from when until when it matters who holds a time."""
        named = [how.start.replace(tzinfo=at.now.tzinfo) for how in asked if how.start]
        starts = [*named, *(one.starts_at for one in visits), *(self.first(one, at) for one in visits)]
        sought = timedelta(days=self.within if any(seeks(how) for how in asked) else 0)
        return min(starts, default=at.now) - 2 * A_DAY, max(starts, default=at.now) + sought + 3 * A_DAY


class UndoAbsence(Command):
    """Bring back what was moved or handed over because of an absence, to where it was: whoever was away is there after all. First give the time free.

    What has been moved again since stays where it is. What was cancelled stays cancelled.
    """

    state = Absence
    permission = "appointments.edit"
    mode: Mode = "each"

    async def gather(self, look: Look) -> dict[str, Any]:
        absence = await look.require(Absence, look.at.id)
        visits = await look.those(Appointment, absence.visits)
        notes = await noted(look, visits)
        back = [one.was for one in absence.visits.values()]
        others = await resting_on(
            look, [one.doctor_id for one in back], [one.room_id for one in back], [one.arranged.type_id for one in visits.values() if one.arranged])
        wishes = [wish for id_, one in absence.visits.items() if isinstance(wish := returning(id_, one, visits, notes, look.at, others), Wish)]
        return {"visits": visits, "notes": notes, "others": others, "holders": await holders_of(look, wishes)}

    def decide(
        self, absence: Absence, at: At, *, visits: dict[UUID, Appointment], notes: dict[UUID, str | None], others: Others, holders: Holders,
    ) -> Decision:
        tried = {id_: returning(id_, one, visits, notes, at, others) for id_, one in absence.visits.items()}
        wishes = {id_: wish for id_, wish in tried.items() if isinstance(wish, Wish)}
        had = settled([unless_held(wish, holders, frozenset(wishes)) for wish in wishes.values()])
        told = []
        for id_, one in absence.visits.items():
            if id_ not in had:
                told.append(AbsentVisit(appointment_id=id_, outcome="left", was=one.now or one.was, code=str(tried[id_])))
            elif (why := had[id_].why) is not None:
                told.append(AbsentVisit(appointment_id=id_, outcome="refused", was=one.now or one.was, code=why))
            else:
                told.append(AbsentVisit(appointment_id=id_, outcome=one.outcome, was=one.now or one.was, now=one.was))
        undone = absence.undo(AbsenceUndone(**only(Away, absence.now), mode=self.mode, visits=told))
        return [*undone, *(Elsewhere(state=Appointment, id=id_, events=way.done) for id_, way in had.items() if way.why is None and way.done)]


class Search(NamedTuple):
    """Where a visit could be instead, and who holds what; those that are to be settled are in nobody's way, for they go."""

    asked: SettleAbsence
    found: Found
    others: Others
    busy: Busy
    at: At

    def by(self, id_: UUID, how: How) -> Iterator[Way[Done]]:
        """Yield the ways in which it can become so, the best first; at least one."""
        visit = self.found.visits[id_]
        match how.action:
            case "leave":
                yield Way(visit.claims(), Done("left", []))
            case "cancel":
                yield Way(frozenset(), Done("cancelled", visit.cancel("clinic", how.reason, self.at.now)))
            case _ if seeks(how):
                yield from self.first_free(id_, how)
                yield Way(visit.claims(), Done("refused", []), code_of(NothingFree))
            case _:
                now = told(visit)
                start = how.start or datetime.fromisoformat(now.start_local)
                ways = [self.at_time(id_, how, doctor, room, start, how.fold if how.start else now.fold) for doctor in self.doctors(now, how) for room in self.rooms(now, how)]
                yield from ways or [Way(visit.claims(), Done("refused", []), code_of(NothingFree))]

    def doctors(self, visit: Arrangement, how: How) -> list[UUID]:
        away = self.found.away
        if how.doctor_id:
            return [how.doctor_id]
        if how.action == "move" or (away.doctor_id is None and away.room_id is not None):
            return [visit.doctor_id]
        return [one for one, doctor in self.others.doctors.items() if doctor.treats and one != visit.doctor_id]

    def rooms(self, visit: Arrangement, how: How) -> list[UUID | None]:
        away = self.found.away.room_id
        if how.room_id:
            return [how.room_id]
        if how.action == "move" or visit.room_id is None or visit.room_id != away:
            return [visit.room_id]
        if (like := self.others.rooms.get(visit.room_id)) is None:
            return []
        return [one for one, room in self.others.rooms.items() if one != away and room.active and (room.type, room.place) == (like.type, like.place)]

    def at_time(self, id_: UUID, how: How, doctor: UUID, room: UUID | None, start: datetime, fold: int | None) -> Way[Done]:
        visit = self.found.visits[id_]
        now = told(visit)
        way = rearranged(visit, wanted_at(now, doctor, room, start, fold, self.found.notes.get(id_)), self.at, self.others)
        if way.why is not None or not self.free(way.after):
            return Way(way.after, Done("refused", []), way.why or TAKEN)
        return Way(way.after, Done(BECOMES[how.action], way.done, stand_after(visit, way.done)))

    def free(self, claims: frozenset[Claim]) -> bool:
        return not any(
            one.start < claim.end and claim.start < one.end
            for claim in claims if isinstance(claim, TimeClaim) for one in self.busy.get((claim.kind, claim.id), ()))

    def first_free(self, id_: UUID, how: How) -> Iterator[Way[Done]]:
        """Yield what is free, from day to day, in the order of time."""
        now = told(self.found.visits[id_])
        first = self.asked.first(now, self.at)
        doctors, rooms = self.doctors(now, how), self.rooms(now, how)
        for n in range(self.asked.within):
            on = day(first, self.at.zone) + n * A_DAY
            slots = sorted((slot[0], doctor) for doctor in doctors for slot in self.slots(doctor, now, on) if slot[0] > first)
            for start, doctor in slots:
                yield from (way for room in rooms if (way := self.at_time(id_, how, doctor, room, start, None)).why is None)

    def slots(self, doctor: UUID, visit: Arrangement, on: date) -> list[Slot]:
        means = self.others.means(wanted_at(visit, doctor, visit.room_id, visit.starts_at, None, None))
        if (hours := means.schedule.timetable) is None:
            return []
        taken = merged((one.start, one.end) for one in self.busy.get(("doctor", doctor), ()))
        return hours.slots([on], means.pace(minutes_of(visit)), self.at.zone, taken, means.closed)


class Ways:
    """The ways in which a visit could become so, found as they are asked for, as often as they are."""

    def __init__(self, search: Search, visit: UUID, how: How) -> None:
        self.search = search
        self.visit = visit
        self.how = how

    def __iter__(self) -> Iterator[Way[Done]]:
        return self.search.by(self.visit, self.how)


STAYS = Way[Done](frozenset(), Done("left", []))


def seeks(how: How) -> bool:
    """Say whether a first free time is sought."""
    return how.start is None and (how.action == "move" or how.later)


async def of_block(look: Look, block_id: UUID) -> tuple[Away, dict[UUID, Appointment]]:
    """Return whose time is blocked, and the visits that hold any of it."""
    if (b := (await look.require(BlockedTime, block_id)).blocked) is None:
        raise NotFound(kind="blocks", id=str(block_id))
    whose = [TimeClaim(kind=kind, id=id_, start=b.starts_at, end=b.ends_at) for kind, id_ in (("doctor", b.doctor_id), ("room", b.room_id)) if id_]
    stays = [stay for stays in await look.holders(whose) for stay in stays]
    visits = still(await look.those(Appointment, {stay.owner for stay in stays}), whose)
    groups = planned(still(await look.those(GroupSession, {stay.owner for stay in stays}), whose), look.at)
    return Away(block_id=block_id, doctor_id=b.doctor_id, room_id=b.room_id, on=b.on, last_on=b.last_on, groups=[*groups]), to_come(visits, look.at)


async def of_day(look: Look, on: date) -> tuple[Away, dict[UUID, Appointment]]:
    """Return the visits of a day at which their doctors do not work."""
    rows = await look.find(CalendarRow, date=on)
    visits = to_come(await look.those(Appointment, [row.id for row in rows]), look.at)
    groups = planned(await look.those(GroupSession, [row.id for row in await look.find(GroupSessionRow, date=on)]), look.at)
    others = await resting_on(look, [*(told(one).doctor_id for one in visits.values()), *(one.doctor_id for one in groups.values())], [], [])

    def stands(a: Arrangement | Planned) -> bool:
        return a.on == on and a.place_id not in others.schedules[a.doctor_id].covering(a.starts_at, a.ends_at, a.zone, others.closed)

    return Away(on=on, last_on=on, groups=[id_ for id_, one in groups.items() if stands(one)]), {id_: one for id_, one in visits.items() if stands(told(one))}


def still(there: dict[UUID, H], whose: list[TimeClaim]) -> dict[UUID, H]:
    """Return those that hold any of these times as they are now: between who was asked and what was found somebody may have moved them."""
    return {id_: one for id_, one in there.items() if meet(frozenset(whose), one.claims())}


def to_come(visits: dict[UUID, Appointment], at: At) -> dict[UUID, Appointment]:
    """Return those that can still be something else, the earliest first; a seat in a group session goes where the session goes."""
    ahead = {id_: one for id_, one in visits.items() if one.status in {"booked", "confirmed"} and told(one).ends_at > at.now and told(one).group_id is None}
    return dict(sorted(ahead.items(), key=lambda item: (told(item[1]).starts_at, item[0])))


def planned(sessions: dict[UUID, GroupSession], at: At) -> dict[UUID, Planned]:
    """Return the group sessions that are to come, the earliest first."""
    ahead = {id_: one.what for id_, one in sessions.items() if one.status == "planned" and one.what.ends_at > at.now}
    return dict(sorted(ahead.items(), key=lambda item: (item[1].starts_at, item[0])))


def told(visit: Appointment) -> Arrangement:
    """Return when and where a visit is."""
    if visit.arranged is None:
        raise NotFound
    return visit.arranged


async def busy_of(look: Look, doctors: list[UUID], rooms: list[UUID], patients: list[UUID], reach: Interval) -> Busy:
    """Return who holds the time of all these."""
    keys = [*(("doctor", one) for one in doctors), *(("room", one) for one in rooms), *(("patient", one) for one in set(patients))]
    found = await look.holders([TimeClaim(kind=kind, id=id_, start=reach[0], end=reach[1]) for kind, id_ in keys])
    return dict(zip(keys, found, strict=True))


def wanted_at(now: Arrangement, doctor: UUID, room: UUID | None, start: datetime, fold: int | None, notes: str | None) -> Wanted:
    """Return the same visit, elsewhere."""
    return Wanted(
        doctor_id=doctor, room_id=room, type=now.type, start=start, fold=1 if fold == 1 else 0 if fold == 0 else None, duration=minutes_of(now), notes=notes,
        type_id=now.type_id)


def minutes_of(visit: Arrangement) -> int:
    return (visit.ends_at - visit.starts_at) // timedelta(minutes=1)


def stand_of(visit: Appointment) -> Stand:
    a = told(visit)
    return Stand(doctor_id=a.doctor_id, room_id=a.room_id, start_local=a.start_local, fold=a.fold)


def stand_after(visit: Appointment, events: Then) -> Stand:
    for event in events:
        visit = visit.evolve(event)  # type: ignore[arg-type]
    return stand_of(visit)


def came_of(id_: UUID, visit: Appointment, way: Way[Done]) -> AbsentVisit:
    """Return what came of a visit."""
    if way.done.outcome == "left":  # if nothing else was had
        return AbsentVisit(appointment_id=id_, outcome="left", was=stand_of(visit))
    return AbsentVisit(appointment_id=id_, outcome="refused" if way.why else way.done.outcome, was=stand_of(visit), now=None if way.why else way.done.now, code=way.why)


def returning(
    id_: UUID, one: AbsentVisit, visits: dict[UUID, Appointment], notes: dict[UUID, str | None], at: At, others: Others,
) -> Wish[Then] | str:
    """Return a visit's wish to be where it was, or why it is left where it is."""
    visit = visits.get(id_, Appointment())
    if visit.arranged is None or visit.status not in {"booked", "confirmed"} or visit.arranged.starts_at <= at.now:
        return code_of(VisitNotToCome)
    if stand_of(visit) != one.now:
        return code_of(MovedByItself)
    wanted = wanted_at(visit.arranged, one.was.doctor_id, one.was.room_id, datetime.fromisoformat(one.was.start_local), one.was.fold, notes.get(id_))
    way = rearranged(visit, wanted, at, others)
    after = visit
    for event in way.done:
        after = after.evolve(event)  # type: ignore[arg-type]
    if way.why is None and told(after).starts_at <= at.now:
        way = way._replace(why=code_of(TimePast))
    return Wish(id_, visit.claims(), [[way]])
