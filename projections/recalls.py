"""Patients who are to be called back, as rows; who belongs to a cohort; and which recalls a visit answers."""

import datetime as dt
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact
from domain.recalls import (
    LEAD_DAYS,
    RecallAttempted,
    RecallBooked,
    RecallCancelled,
    RecallDeclined,
    RecallEvent,
    RecallKind,
    RecallRearranged,
    RecallReassigned,
    RecallReopened,
    RecallReworded,
    RecallScheduled,
    RecallsRefused,
    RecallsWelcomed,
    RecallWishEvent,
)
from projections.erasures import records_of
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from projections.kit.reading import Reader
from projections.kit.tables import LIVE
from schemas.recalls import RecallCandidate, RecallRow, RecallTry, RecallWishRow


@projects(RecallRow, of=RecallEvent)
def recalls(row: RecallRow | None, fact: Fact) -> RecallRow | None:  # noqa: PLR0911 - one case per event
    at, by = fact.recorded_at, fact.actor
    match fact.event:
        case RecallScheduled() as e:
            return RecallRow(
                id=fact.id, patient_id=e.patient_id, kind=e.kind, status="scheduled", date=e.date, channel=e.channel, doctor_id=e.doctor_id,
                message=e.message, batch_id=e.batch_id, scheduled_at=at, scheduled_by=by, opened_at=at)
        case RecallRearranged() as e if row:
            return replace(row, date=e.date, channel=e.channel, doctor_id=e.doctor_id)
        case RecallReworded(message=message) if row:
            return replace(row, message=message)
        case RecallAttempted() as e if row:
            tried = RecallTry(at=at, by=by, channel=e.channel, outcome=e.outcome, note=e.note)
            return replace(row, status="contacted", attempts=row.attempts + 1, attempted_at=at, outcome=e.outcome, tries=[*row.tries, tried])
        case RecallBooked(appointment_id=appointment) if row:
            return replace(row, status="booked", appointment_id=appointment, closed_at=at, closed_by=by)
        case RecallDeclined(reason=reason) if row:
            return replace(row, status="declined", closed_at=at, closed_by=by, closed_because=reason)
        case RecallCancelled(reason=reason) if row:
            return replace(row, status="cancelled", closed_at=at, closed_by=by, closed_because=reason)
        case RecallReopened(status=status, date=date) if row:
            return replace(row, status=status, date=date, opened_at=at, appointment_id=None, closed_at=None, closed_by=None, closed_because=None)
        case RecallReassigned(patient_id=patient, status=status) if row:
            return replace(row, patient_id=patient, status=status)
    return row


@projects(RecallWishRow, of=RecallWishEvent)
def recall_wishes(row: RecallWishRow | None, fact: Fact) -> RecallWishRow | None:
    match fact.event:
        case RecallsRefused(patient_id=patient, reason=reason):
            return RecallWishRow(id=fact.id, patient_id=patient, unwanted=True, reason=reason, noted_at=fact.recorded_at, noted_by=fact.actor)
        case RecallsWelcomed(patient_id=patient):
            return RecallWishRow(id=fact.id, patient_id=patient, unwanted=False, reason=None, noted_at=fact.recorded_at, noted_by=fact.actor)
    return row


# Names are joined when they are read. The second function looks at all clinics for the program itself, past row-level security, and gives ids alone: of open recalls for whose patient a visit
# has been booked since, and of answered ones whose visit came to nothing; `since` null looks at all of them, else at those whom an event after that position is about, up to `upto`,
# which the rows must have reached.
installs(f"""
create or replace view recall_entries with (security_invoker = true) as
select r.*, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, s.name as doctor_name,
    r.status in ('scheduled', 'contacted') and r.date < (now() at time zone coalesce(c.zone, 'UTC'))::date as overdue
from recalls r
left join patients p on p.clinic_id = r.clinic_id and p.id = r.patient_id
left join staff s on s.clinic_id = r.clinic_id and s.id = r.doctor_id
left join clinics c on c.clinic_id = r.clinic_id and c.id = r.clinic_id;
grant select on recall_entries to anamnesis_gateway;

create or replace function recalls_to_settle(since bigint, upto bigint) returns table (clinic uuid, recall uuid, appointment uuid, lost boolean)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        with touched as (
            select distinct v.clinic_id, v.patient_id from stored_events e join visits v on v.clinic_id = e.clinic_id and v.id = e.originator_id
            where e.notification_id > since and e.notification_id <= upto and e.topic in ('AppointmentBooked', 'AppointmentRescheduled')
        )
        select r.clinic_id, r.id, answer.id, false from recalls r cross join lateral (
            select v.id from visits v join appointments a on a.clinic_id = v.clinic_id and a.id = v.id
            where v.clinic_id = r.clinic_id and v.patient_id = r.patient_id and a.status not in ('cancelled', 'no-show')
                and a.booked_at >= r.opened_at and v.day >= r.date - {LEAD_DAYS}
            order by v.starts_at, v.id limit 1
        ) answer
        where r.status in ('scheduled', 'contacted')
            and (since is null or exists (select from touched t where t.clinic_id = r.clinic_id and t.patient_id = r.patient_id));
    return query
        with touched as (
            select distinct e.clinic_id, e.originator_id as id from stored_events e
            where e.notification_id > since and e.notification_id <= upto and e.topic in ('AppointmentCancelled', 'PatientMissed', 'AppointmentRemoved')
        )
        select r.clinic_id, r.id, r.appointment_id, true from recalls r left join appointments a on a.clinic_id = r.clinic_id and a.id = r.appointment_id
        where r.status = 'booked' and (a.id is null or a.status in ('cancelled', 'no-show'))
            and (since is null or exists (select from touched t where t.clinic_id = r.clinic_id and t.id = r.appointment_id));
end $$;
revoke all on function recalls_to_settle from public;
grant execute on function recalls_to_settle to anamnesis_gateway;
""")  # noqa: S608 - a constant

REACHED = f"select coalesce(min(position), 0) from projector_tracking where grp = '{LIVE}'"  # noqa: S608
SETTLE = "select clinic, recall, appointment, lost from recalls_to_settle(%s::bigint, %s::bigint)"


class ToSettle(NamedTuple):
    """A recall, and the visit by which it is answered or, `lost`, was."""

    clinic: UUID
    recall: UUID
    appointment: UUID
    lost: bool


async def to_settle(lanes: Lanes, since: int | None) -> tuple[list[ToSettle], int]:
    """Return what visits have done to recalls since a position, or at all, and up to which position that is."""
    upto = (await lanes.ask(None, REACHED)).rows[0][0]
    return [ToSettle(*line) for line in (await lanes.ask(None, SETTLE, (since, upto))).rows], upto


class Cohort(NamedTuple):
    """Who came last before a day, not before another one, to whom and where, how old they are and in which groups, as far as any of it matters; and today.

    A recall of the `campaign` that asks is in nobody's way, but a call that it has made in this `window`.
    """

    kind: RecallKind
    before: dt.date
    today: dt.date
    doctor: UUID | None = None
    since: dt.date | None = None
    place: UUID | None = None
    age_from: int | None = None
    age_to: int | None = None
    groups: list[str] | None = None
    campaign: UUID | None = None
    window: int | None = None


COHORT = """
with asked as (
    select %s::uuid as clinic, %s::text as kind, %s::date as before, %s::date as today, %s::uuid as doctor, %s::date as since, %s::uuid as place, %s::int as age_from, %s::int as age_to,
        %s::text[] as groups, %s::uuid as campaign, %s::int as round
), last as (
    select distinct on (v.patient_id) v.patient_id, v.day, v.doctor_id, v.id from asked join visits v on v.clinic_id = asked.clinic and v.status = 'completed'
    order by v.patient_id, v.day desc, v.starts_at desc, v.id
)
select l.patient_id, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, l.day as last_visit, l.doctor_id, count(*) over () as found,
    count(*) filter (where p.email is not null) over () as reachable, count(*) filter (where {refused}) over () as refused
from asked cross join last l join patients p on p.clinic_id = asked.clinic and p.id = l.patient_id
where l.day < asked.before and (asked.since is null or l.day >= asked.since) and (asked.doctor is null or l.doctor_id = asked.doctor) and not p.archived and p.merged_into is null
    and (asked.place is null or exists (select from appointments a where a.clinic_id = asked.clinic and a.id = l.id and a.place_id = asked.place))
    and (asked.age_from is null or extract(year from age(asked.today, p.birth_date)) >= asked.age_from)
    and (asked.age_to is null or extract(year from age(asked.today, p.birth_date)) <= asked.age_to)
    and (asked.groups is null or p.groups ?| asked.groups)
    and not exists (
        select from campaign_calls k where k.clinic_id = asked.clinic and k.campaign_id = asked.campaign and k.patient_id = l.patient_id and k.round = asked.round)
    and not exists (
        select from visits v where v.clinic_id = asked.clinic and v.patient_id = l.patient_id and v.day >= asked.today
            and v.status in ('booked', 'confirmed', 'arrived', 'in-chair'))
    and not exists (
        select from recalls r where r.clinic_id = asked.clinic and r.patient_id = l.patient_id and r.kind = asked.kind
            and (r.status in ('scheduled', 'contacted') and (asked.campaign is null or r.batch_id is distinct from asked.campaign) or r.status = 'declined' and r.closed_at >= asked.before))
    and not exists (
        select from recall_wishes w where w.clinic_id = asked.clinic and w.unwanted and (w.patient_id = l.patient_id or w.patient_id in (
            select (one ->> 'id')::uuid from jsonb_array_elements(p.merged_records) one)))
order by l.day, l.patient_id limit %s
""".replace("{refused}", """exists (
        select from message_wishes m where m.clinic_id = asked.clinic and m.unwanted ? 'recalls' and (m.patient_id = l.patient_id or m.patient_id in (
            select (one ->> 'id')::uuid from jsonb_array_elements(p.merged_records) one)))""")


class Meant(NamedTuple):
    """The first patients of a cohort, how many it has, of how many of them there is an e-mail address, and how many do not want to be written about it."""

    items: list[RecallCandidate]
    found: int
    reachable: int
    refused: int


async def cohort(reader: Reader, wanted: Cohort, most: int) -> Meant:
    """Return the first patients of a cohort, and how many it has.

    Their last visit that took place lies before the day, none is to come, no recall of the kind is open, none was declined since that day, and they want to be called.
    """
    found = (await reader.ask(COHORT, (reader.clinic, *wanted, most))).rows
    items = [RecallCandidate(patient_id=patient, patient_name=name, last_visit=day, doctor_id=doctor) for patient, name, day, doctor, *_ in found]
    return Meant(items, *found[0][4:]) if found else Meant([], 0, 0, 0)


async def unwanted(reader: Reader, patient: UUID) -> bool:
    """Say whether a patient, under whichever of their records, does not want to be called back."""
    return any(row.unwanted for row in await reader.find(RecallWishRow, patient_id=await records_of(reader, patient)))
