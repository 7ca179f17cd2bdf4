"""Reminders as rows, what became of their letters, and which are due."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.message_wishes import MessageWishes
from domain.reminders import (
    BEFORE_QUIET,
    Going,
    ReminderEvent,
    ReminderQueued,
    ReminderRepeated,
    ReminderRules,
    ReminderSettings,
    ReminderSettingsChanged,
    ReminderSettingsEvent,
    ReminderSkipped,
    SkipReason,
    reminder_settings_of,
    unwritten,
)
from projections.erasures import records_of
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from projections.kit.reading import Reader
from schemas.appointments import AppointmentRow
from schemas.clinics import ClinicRow
from schemas.message_wishes import MessageWishesRow
from schemas.patients import PatientRow
from schemas.reminders import PlannedReminder, ReminderEntry, ReminderRow, ReminderSettingsRow, RemindersOfAppointment


@projects(ReminderSettingsRow, of=ReminderSettingsEvent)
def reminder_settings(row: ReminderSettingsRow | None, fact: Fact) -> ReminderSettingsRow | None:
    match fact.event:
        case ReminderSettingsChanged() as event:
            return ReminderSettingsRow(id=fact.id, **only(ReminderRules, event))
    return row


@projects(ReminderRow, of=ReminderEvent)
def reminders(row: ReminderRow | None, fact: Fact) -> ReminderRow | None:
    match fact.event:
        case ReminderQueued() as e:
            return begun(fact, e, letter_position=fact.position)
        case ReminderSkipped() as e:
            return begun(fact, e, skipped=e.why)
        case ReminderRepeated() as e if row:
            return replace(row, patient_id=e.patient_id, again=row.again + (e.why == "asked"), letter_position=fact.position)  # the time stays the one it was for
    return row


def begun(fact: Fact, event: ReminderQueued | ReminderSkipped, **told: object) -> ReminderRow:
    return ReminderRow(
        id=fact.id, appointment_id=event.appointment_id, patient_id=event.patient_id, starts_at=event.starts_at, minutes=event.window, channel=event.channel,
        due_at=event.due_at, noted_at=fact.recorded_at, noted_by=fact.actor, **told)  # type: ignore[arg-type]


# The outbox is another layer's, and made later than these; so it is asked by functions, which look for it when they run. The last two look at all clinics for the program itself, past row-level
# security, and give ids and times alone. What is due is only chosen here: the rule itself (`ReminderSettings.verdict`) is asked again before anything is sent. In the two nights of a year when the
# clocks change both may differ by an hour: then it is found an hour later.
installs(f"""
create or replace function letter_of(of_clinic uuid, at_position bigint) returns table (status text, error text, settled_at timestamptz)
language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query select l.status, l.error, l.settled_at from letters l where l.clinic_id = of_clinic and l.position = at_position order by l.queued_at desc limit 1;
end $$;
grant execute on function letter_of to anamnesis_gateway;

create or replace view reminder_entries with (security_invoker = true) as
select r.*, case when r.letter_position is null then 'skipped' when l.status = 'delivered' then 'sent' when l.status is not null then l.status
        when r.noted_at < now() - interval '89 days' then 'unknown' else 'queued' end as status,
    l.error, l.settled_at
from reminders r left join lateral letter_of(r.clinic_id, r.letter_position) l on r.letter_position is not null;
grant select on reminder_entries to anamnesis_gateway;

create or replace function reminder_due(starts timestamptz, minutes int, quiet jsonb, zone text) returns timestamptz
language plpgsql stable set search_path = public, pg_temp as $$
declare
    due timestamptz := starts - make_interval(mins => minutes);
    here timestamp := due at time zone zone;
    begins time := (quiet ->> 'start')::time;
    ends time := (quiet ->> 'end')::time;
    first date := here::date;
    last timestamptz;
begin
    if begins is null or (begins < ends and not (here::time >= begins and here::time < ends)) or (begins > ends and here::time >= ends and here::time < begins) then
        return due;
    end if;
    if here::time < begins then
        first := first - 1;
    end if;
    last := ((first + case when begins < ends then 0 else 1 end) + ends) at time zone zone;
    return case when last < starts then last else ((first + begins) at time zone zone) - interval '{BEFORE_QUIET.seconds} seconds' end;
end $$;

create or replace function reminders_due(most int) returns table (clinic uuid, appointment uuid, starts_at timestamptz, minutes int, channel text)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        select a.clinic_id, a.id, a.starts_at, w.minutes, c.channel
        from reminder_settings s join clinics h on h.clinic_id = s.clinic_id and h.id = s.clinic_id
        cross join lateral (select value::int as minutes from jsonb_array_elements_text(s.windows)) w
        cross join lateral (select value as channel from jsonb_array_elements_text(s.channels)) c
        join appointments a on a.clinic_id = s.clinic_id and a.starts_at > now()
            and a.starts_at <= now() + make_interval(mins => w.minutes) + case when s.quiet is null then interval '0' else interval '1 day' end
        where s.enabled and h.active and h.closing_until is null and a.status in ('booked', 'confirmed')
            and not exists (
                select from reminders r where r.clinic_id = a.clinic_id and r.appointment_id = a.id and r.starts_at = a.starts_at
                    and r.minutes = w.minutes and r.channel = c.channel)
            and reminder_due(a.starts_at, w.minutes, s.quiet, h.zone) <= now()
        order by a.starts_at limit most;
end $$;

create or replace function reminders_astray(most int) returns table (clinic uuid, reminder uuid)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        select r.clinic_id, r.id from reminders r join appointments a on a.clinic_id = r.clinic_id and a.id = r.appointment_id
        join letters l on l.clinic_id = r.clinic_id and l.position = r.letter_position
        where r.starts_at > now() and r.starts_at = a.starts_at and r.patient_id <> a.patient_id and a.status in ('booked', 'confirmed') and l.status = 'failed'
        order by r.starts_at limit most;
end $$;
revoke all on function reminders_due, reminders_astray from public;
grant execute on function reminders_due, reminders_astray to anamnesis_gateway;
""")  # noqa: S608 - a constant

DUE = "select clinic, appointment, starts_at, minutes, channel from reminders_due(%s::int)"
ASTRAY = "select clinic, reminder from reminders_astray(%s::int)"


class Due(NamedTuple):
    """A reminder that may be due: of which visit, at which time of it, how long before, by which way."""

    clinic: UUID
    appointment: UUID
    starts_at: datetime
    window: int
    channel: str


class Astray(NamedTuple):
    """A reminder that failed because its visit is another record's by now."""

    clinic: UUID
    reminder: UUID


async def due(lanes: Lanes, most: int) -> list[Due]:
    """Return the reminders of all clinics that may be due, those of the next visits first."""
    return [Due(*line) for line in (await lanes.ask(None, DUE, (most,))).rows]


async def astray(lanes: Lanes, most: int) -> list[Astray]:
    """Return the reminders of all clinics that went to a record which was merged into another one."""
    return [Astray(*line) for line in (await lanes.ask(None, ASTRAY, (most,))).rows]


async def of_appointment(reader: Reader, appointment: UUID, now: datetime) -> RemindersOfAppointment | None:
    """Return what a patient was written about a visit, and what is to come as things stand; None if there is no such visit."""
    if (visit := await reader.one(AppointmentRow, appointment)) is None:
        return None
    items = sorted(await reader.find(ReminderEntry, appointment_id=appointment), key=lambda one: (one.noted_at, one.due_at, one.id), reverse=True)
    row = await reader.one(ReminderSettingsRow, reminder_settings_of(reader.clinic))
    settings = ReminderSettings(rules=ReminderRules(**only(ReminderRules, row))) if row else ReminderSettings()
    done = {(one.minutes, one.channel) for one in items if one.starts_at == visit.starts_at}
    planned: list[PlannedReminder] = []
    if settings.rules.enabled and visit.status in {"booked", "confirmed"} and visit.starts_at > now:
        wishes = [
            MessageWishes(unwanted=tuple(one.unwanted))
            for one in await reader.find(MessageWishesRow, patient_id=await records_of(reader, visit.patient_id))]
        patient = await reader.one(PatientRow, visit.patient_id)
        for channel in settings.rules.channels:
            going = Going(
                starts_at=visit.starts_at, arranged_at=visit.moved_at or visit.booked_at, active=patient is not None and not patient.archived,
                wanted=all(one.wanted("reminders", channel) for one in wishes), reachable=patient is not None and patient.email is not None)
            for window in settings.rules.windows:
                if (window, channel) not in done:
                    at = settings.due(window, visit.starts_at, visit.zone)
                    because: SkipReason | None = "short-notice" if at < going.arranged_at else unwritten(going)
                    planned.append(PlannedReminder(minutes=window, channel=channel, due_at=at, because=because))
    return RemindersOfAppointment(appointment_id=appointment, enabled=settings.rules.enabled, items=items, planned=sorted(planned, key=lambda one: one.due_at))


async def particulars(reader: Reader, appointment: UUID) -> dict[str, str] | None:
    """Return what a reminder of a visit says, and in which language the clinic writes if it has said so; None if there is no such visit."""
    if (visit := await reader.one(AppointmentRow, appointment)) is None:
        return None
    patient, clinic = await reader.one(PatientRow, visit.patient_id), await reader.one(ClinicRow, reader.clinic)
    date, _, time = visit.start_local.partition("T")
    name = (patient and patient.given_name) or ""
    told = {"name": name, "date": date, "time": time[:5], "zone": visit.zone}
    if clinic is None:
        return told
    return {**told, "clinic": clinic.name, "address": clinic.address, "phone": clinic.phone, **({"language": clinic.language} if clinic.language else {})}
