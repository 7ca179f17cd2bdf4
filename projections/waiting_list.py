"""The waiting list as rows, and which free time suits whom: `projections.slots` says what is free, and nothing else is offered."""

import asyncio
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact, day, only, wall
from domain.kit.turns import RANKS
from domain.reminders import ReminderRules, ReminderSettings, reminder_settings_of
from domain.schedules import Interval, meets, merged
from domain.slot_offers import UNANSWERED
from domain.waiting_list import (
    WaitingEntryAdded,
    WaitingEntryChanged,
    WaitingEntryEnded,
    WaitingEntryReassigned,
    WaitingEntryRemoved,
    WaitingEntryReopened,
    WaitingEntryServed,
    WaitingListEvent,
    WaitingListRules,
    WaitingListSettingsChanged,
    WaitingListSettingsEvent,
    Wish,
    waiting_list_settings_of,
)
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from projections.kit.reading import Reader
from projections.kit.tables import LIVE
from projections.slots import Sought, available
from schemas.appointments import AppointmentRow
from schemas.clinics import ClinicRow
from schemas.reminders import ReminderSettingsRow
from schemas.slots import AvailableSlot
from schemas.waiting_list import WaitingListEntry, WaitingListRow, WaitingListSettingsRow

AHEAD = 92  # days that are looked at for a time that suits
STRIDE = 14  # days that are looked at together
Stretches = dict[UUID, list[Interval]]  # of free time, by doctor


@projects(WaitingListRow, of=WaitingListEvent)
def waiting_list(row: WaitingListRow | None, fact: Fact) -> WaitingListRow | None:  # noqa: PLR0911 - one case per event
    at, by = fact.recorded_at, fact.actor
    match fact.event:
        case WaitingEntryAdded() as e:
            return WaitingListRow(id=fact.id, patient_id=e.patient_id, status="waiting", **only(Wish, e), note=e.note, added_at=at, added_by=by, changed_at=at)
        case WaitingEntryChanged() as e if row:
            return replace(row, **only(Wish, e), note=e.note, changed_at=at)
        case WaitingEntryRemoved(reason=reason) if row:
            return replace(row, status="removed", closed_at=at, closed_by=by, closed_because=reason)
        case WaitingEntryServed(offer_id=offer, appointment_id=visit) if row:
            return replace(row, status="served", closed_at=at, closed_by=by, served_by=offer, visit_id=visit)
        case WaitingEntryEnded(why=why) if row:
            return replace(row, status="ended", closed_at=at, closed_by=by, ended=why)
        case WaitingEntryReopened() if row:
            return replace(
                row, status="waiting", changed_at=at, closed_at=None, closed_by=None, closed_because=None, ended=None, served_by=None, visit_id=None)
        case WaitingEntryReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row


@projects(WaitingListSettingsRow, of=WaitingListSettingsEvent)
def waiting_list_settings(row: WaitingListSettingsRow | None, fact: Fact) -> WaitingListSettingsRow | None:
    match fact.event:
        case WaitingListSettingsChanged() as event:
            return WaitingListSettingsRow(id=fact.id, **only(WaitingListRules, event))
    return row


# The function looks at all clinics for the program itself, past row-level security, and gives ids alone: of clinics where somebody waits, each with the position of its last event.
installs("""
create or replace view waiting_entries with (security_invoker = true) as
select w.*, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, s.name as doctor_name,
    (select o.id from slot_offers o where o.clinic_id = w.clinic_id and o.entry_id = w.id and o.status = 'open' limit 1) as offer_id,
    (select count(*) from slot_offers o where o.clinic_id = w.clinic_id and o.entry_id = w.id and o.status = 'lapsed' and o.offered_at > w.changed_at) as unanswered
from waiting_list w
left join patients p on p.clinic_id = w.clinic_id and p.id = w.patient_id
left join staff s on s.clinic_id = w.clinic_id and s.id = w.doctor_id;
grant select on waiting_entries to anamnesis_gateway;

create or replace function clinics_waiting() returns table (clinic uuid, head bigint)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        select w.clinic_id, (select max(e.notification_id) from stored_events e where e.clinic_id = w.clinic_id)
        from (select distinct l.clinic_id from waiting_list l where l.status = 'waiting') w join clinics c on c.clinic_id = w.clinic_id and c.id = w.clinic_id
        where c.active and c.closing_until is null;
end $$;
revoke all on function clinics_waiting from public;
grant execute on function clinics_waiting to anamnesis_gateway;
""")

CLINICS = "select clinic, head from clinics_waiting()"
REACHED = f"select coalesce(min(position), 0) from projector_tracking where grp = '{LIVE}'"  # noqa: S608
NEXT_HOLD = "select min(expires_at) from holds where clinic_id = %s and expires_at > %s"
# in the order in which they are asked, so that of a line that is too long the last are left out; how many offers somebody let pass is told by the view
LINE = """
select w.id, p.archived or p.merged_into is not null, p.blocked from waiting_list w join patients p on p.clinic_id = w.clinic_id and p.id = w.patient_id
where w.clinic_id = %s and w.status = 'waiting' and (%s::uuid is null or w.id = %s::uuid)
order by case w.rank when 'urgent' then 0 when 'high' then 1 else 2 end, w.added_at, w.id limit 1000"""
PASSED = """
select o.entry_id, o.doctor_id, o.starts_at, o.ends_at from slot_offers o
where o.clinic_id = %s and o.entry_id = any(%s::uuid[]) and o.status <> 'open' and o.ends_at > %s"""
VISITS = """
select c.id, c.patient_id, c.starts_at, c.ends_at from calendar c
where c.clinic_id = %s and c.patient_id = any(%s::uuid[]) and c.ends_at > %s and c.status in ('booked', 'confirmed', 'arrived', 'in-chair', 'completed')"""


async def clinics_waiting(lanes: Lanes) -> tuple[dict[UUID, int], int]:
    """Return the clinics where somebody waits, with the position of their last event, and up to which position the rows know of everything."""
    reached = (await lanes.ask(None, REACHED)).rows[0][0]
    return dict((await lanes.ask(None, CLINICS)).rows), reached


class Proposed(NamedTuple):
    """A free time for somebody who waits."""

    entry: WaitingListEntry
    slot: AvailableSlot
    room: UUID | None


class Asked(NamedTuple):
    """What somebody wants, when they have other visits, and which times they can make, as far as it has been asked."""

    wish: Wish
    theirs: list[Interval]
    answers: dict[Interval, bool]


class Line:
    """Those who wait at a clinic, in the order in which they are asked, and what is free for them."""

    def __init__(self, reader: Reader, now: datetime, zone: str, rules: WaitingListRules, reminders: ReminderSettings, entries: list[WaitingListEntry]) -> None:
        self.reader = reader
        self.now = now
        self.zone = zone
        self.rules = rules
        self.reminders = reminders
        self.gone: set[UUID] = set()  # entries whose patient has left the clinic
        self.blocked: set[UUID] = set()  # or is not booked for
        self.asked: dict[UUID, Asked] = {}
        self.walls: dict[datetime, datetime] = {}
        self.entries = sorted(entries, key=lambda one: (RANKS[one.rank], one.unanswered, one.added_at, one.id))
        self.visits: dict[UUID, AppointmentRow] = {}  # that are to be moved forward
        self.taken: defaultdict[UUID, list[tuple[UUID, Interval]]] = defaultdict(list)  # by the patients' own visits
        self.passed: defaultdict[UUID, defaultdict[UUID, list[Interval]]] = defaultdict(lambda: defaultdict(list))  # by entry and doctor
        self.free: dict[tuple[object, ...], tuple[list[AvailableSlot], Stretches]] = {}
        self.given: list[Proposed] = []  # in this round

    @classmethod
    async def of(cls, reader: Reader, now: datetime, entry: UUID | None = None) -> "Line | None":
        """Return a clinic's line, or that of one entry; None where there is no such clinic."""
        clinic = await reader.one(ClinicRow, reader.clinic)
        if clinic is None:
            return None
        settings = await reader.one(WaitingListSettingsRow, waiting_list_settings_of(reader.clinic))
        reminders = await reader.one(ReminderSettingsRow, reminder_settings_of(reader.clinic))
        found = (await reader.ask(LINE, [reader.clinic, entry, entry])).rows
        line = cls(
            reader, now, clinic.zone, WaitingListRules(**only(WaitingListRules, settings)) if settings else WaitingListRules(),
            ReminderSettings(rules=ReminderRules(**only(ReminderRules, reminders))) if reminders else ReminderSettings(),
            await reader.find(WaitingListEntry, id=[one for one, _, _ in found]) if found else [])
        line.gone = {one for one, gone, _ in found if gone}
        line.blocked = {one for one, _, blocked in found if blocked}
        await line._known()
        return line

    async def _known(self) -> None:
        """Read what concerns all of them: their visits, and what they were offered."""
        moved = [one.appointment_id for one in self.entries if one.appointment_id]
        self.visits = {row.id: row for row in await self.reader.find(AppointmentRow, id=moved)} if moved else {}
        patients = [one.patient_id for one in self.entries]
        for id_, patient, start, end in (await self.reader.ask(VISITS, [self.reader.clinic, patients, self.now])).rows:
            self.taken[patient].append((id_, (start, end)))
        for entry, doctor, start, end in (await self.reader.ask(PASSED, [self.reader.clinic, [one.id for one in self.entries], self.now])).rows:
            self.passed[entry][doctor].append((start, end))

    @property
    def awake(self) -> bool:
        """Is anybody written to just now?"""
        return self.rules.automatic and self.reminders.awake(self.now, self.zone) is None

    def over(self, entry: WaitingListEntry) -> bool:
        """Say whether nothing can be offered to them any more, as far as the rows know."""
        visit = self.visits.get(entry.appointment_id) if entry.appointment_id else None
        gone = entry.appointment_id is not None and (visit is None or visit.status not in {"booked", "confirmed"} or visit.starts_at <= self.now)
        return gone or entry.id in self.gone or (entry.until is not None and entry.until < day(self.now, self.zone))

    async def first(self, entry: WaitingListEntry) -> Proposed | None:
        """Return the first free time that suits somebody who has no offer, and was not among what they let pass."""
        if entry.offer_id or entry.unanswered >= UNANSWERED or entry.id in self.blocked or self.over(entry):
            return None
        found = await self.suiting(entry, 1, fresh=True)
        return found[0] if found else None

    async def suiting(self, entry: WaitingListEntry, most: int, *, fresh: bool = False) -> list[Proposed]:
        """Return the first times that suit somebody; only such as lie in no stretch of free time of which they have let a part pass, if they are to be `fresh`."""
        found: list[Proposed] = []
        first, last = self.span(entry)
        while first <= last and len(found) < most:
            days = min(STRIDE, (last - first).days + 1)
            slots, stretches = await self.open(entry, first, days)
            await asyncio.sleep(0)  # whoever is at the desk does not wait for the list
            for slot in slots:
                if len(found) < most and self.suits(entry, slot) and not (fresh and self.stale(entry, slot, stretches)):
                    found.append(Proposed(entry, slot, self.room(entry, slot)))
            first += timedelta(days=days)
        return found

    def span(self, entry: WaitingListEntry) -> tuple[date, date]:
        """Return the first and the last day on which a time may suit them."""
        today = day(self.now, self.zone)
        visit = self.visits.get(entry.appointment_id) if entry.appointment_id else None
        ends = [today + timedelta(days=AHEAD - 1), *([entry.until] if entry.until else []), *([visit.date] if visit else [])]
        return max(today, entry.earliest or today), min(ends)

    async def open(self, entry: WaitingListEntry, first: date, days: int) -> tuple[list[AvailableSlot], Stretches]:
        """Return what is free for visits such as theirs, and in which stretches; asked once for all who want the like."""
        kind, minutes = self.what(entry)
        key = entry.doctor_id, kind, minutes, entry.place_id, entry.group_id, first, days
        if key not in self.free:
            slots = await available(self.reader, Sought(
                first=first, days=days, doctor=entry.doctor_id, kind=kind, minutes=minutes, place=entry.place_id, group=entry.group_id), self.now)
            by_doctor: defaultdict[UUID, list[Interval]] = defaultdict(list)
            for slot in slots:
                by_doctor[slot.doctor_id].append((slot.starts_at, slot.ends_at))
            self.free[key] = slots, {doctor: merged(times) for doctor, times in by_doctor.items()}
        return self.free[key]

    def what(self, entry: WaitingListEntry) -> tuple[UUID | None, int | None]:
        """Return the kind and the length of the visit that they want."""
        visit = self.visits.get(entry.appointment_id) if entry.appointment_id else None
        length = (visit.ends_at - visit.starts_at) // timedelta(minutes=1) if visit else None
        return entry.type_id or (visit.type_id if visit else None), entry.duration or length

    def suits(self, entry: WaitingListEntry, slot: AvailableSlot) -> bool:
        """Say whether they can make it: at their times, not at short notice, beside no other visit of theirs, and earlier than the one that is to be moved."""
        if entry.id not in self.asked:
            theirs = merged(time for id_, time in self.taken[entry.patient_id] if id_ != entry.appointment_id)
            self.asked[entry.id] = Asked(Wish(**only(Wish, entry)), theirs, {})
        asked, when = self.asked[entry.id], (slot.starts_at, slot.ends_at)
        if when not in asked.answers:  # the same for all doctors who are free then
            asked.answers[when] = self.can(entry, asked, when)
        return asked.answers[when] and asked.wish.there(slot.doctor_id, slot.place_id, slot.group_id) and self.left(entry, slot, when)

    def can(self, entry: WaitingListEntry, asked: Asked, when: Interval) -> bool:
        """Say whether they can make that time, wherever it is."""
        notice = self.rules.notice if entry.notice is None else entry.notice
        visit = self.visits.get(entry.appointment_id) if entry.appointment_id else None
        if when[0] - self.now < timedelta(minutes=notice) or (visit and when[0] >= visit.starts_at) or meets(when, asked.theirs):
            return False
        return asked.wish.then(self.wall(when[0]), self.wall(when[1]))

    def wall(self, moment: datetime) -> datetime:
        """Return what the clinic's clocks show."""
        if moment not in self.walls:
            self.walls[moment] = wall(moment, self.zone)
        return self.walls[moment]

    def left(self, entry: WaitingListEntry, slot: AvailableSlot, when: Interval) -> bool:
        """Say whether it is still there after what was offered in this round."""
        if not self.given:
            return True
        if slot.group_id:
            return sum(one.slot.group_id == slot.group_id for one in self.given) < (slot.seats_left or 0)
        room = self.room(entry, slot)
        return not meets(when, merged(
            (one.slot.starts_at, one.slot.ends_at) for one in self.given if one.slot.doctor_id == slot.doctor_id or (room and room == one.room)))

    def stale(self, entry: WaitingListEntry, slot: AvailableSlot, stretches: Stretches) -> bool:
        """Say whether it is free in one with a time that they let pass: they are not asked again and again about one free afternoon."""
        passed = merged(self.passed[entry.id][slot.doctor_id])
        return any(meets(stretch, passed) for stretch in stretches[slot.doctor_id] if meets((slot.starts_at, slot.ends_at), [stretch]))

    def room(self, entry: WaitingListEntry, slot: AvailableSlot) -> UUID | None:
        """Return the room for it: the one that the visit is in by now if that is free, or else the first that is."""
        visit = self.visits.get(entry.appointment_id) if entry.appointment_id else None
        free = [room.id for room in slot.rooms]
        return visit.room_id if visit and visit.room_id in free else next(iter(free), None)

    def give(self, proposed: Proposed) -> None:
        """Remember what was offered a moment ago, which the rows do not know yet."""
        self.given.append(proposed)

    async def whom(self, doctor: UUID, start: datetime) -> list[WaitingListEntry]:
        """Return those whom a doctor's time suits that starts then, as long as what each of them wants takes; whoever has an offer is not among them."""
        on = day(start, self.zone)
        found: list[WaitingListEntry] = []
        for entry in self.entries:
            first, last = self.span(entry)
            if entry.offer_id or entry.id in self.blocked or entry.doctor_id not in {None, doctor} or self.over(entry) or not first <= on <= last:
                continue
            slots, _ = await self.open(replace(entry, doctor_id=doctor), on, 1)
            if any(slot.starts_at == start and self.suits(entry, slot) for slot in slots):
                found.append(entry)
        return found

    async def waking(self) -> datetime:
        """Return when something may come free or be offered by itself, though nothing happens: a hold runs out, the quiet hours or the day end."""
        ends: list[datetime] = [one for (one,) in (await self.reader.ask(NEXT_HOLD, [self.reader.clinic, self.now])).rows if one]
        quiet = self.reminders.awake(self.now, self.zone)
        return min([self.now + timedelta(hours=1), *ends, *([quiet] if quiet else [])])

