"""Reminders as rows, what became of their letters, and which are due."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.kit import Fact, only
from domain.reminders import (
    Going,
    ReminderEvent,
    ReminderQueued,
    ReminderRules,
    ReminderSettings,
    ReminderSettingsChanged,
    ReminderSettingsEvent,
    ReminderSkipped,
    reminder_settings_of,
)
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from projections.kit.outbox import BECAME, ITS_LETTER
from projections.kit.reading import Reader
from projections.message_wishes import unwanted_of
from schemas.appointments import AppointmentRow
from schemas.clinics import ClinicRow
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
            return noted(fact, e, letter_position=fact.position)
        case ReminderSkipped() as e:
            return noted(fact, e, skipped=e.why)
    return row


def noted(fact: Fact, event: ReminderQueued | ReminderSkipped, **told: object) -> ReminderRow:
    return ReminderRow(
        id=fact.id, appointment_id=event.appointment_id, patient_id=event.patient_id, starts_at=event.starts_at, minutes=event.window, due_at=event.due_at,
        noted_at=fact.recorded_at, noted_by=fact.actor, **told)  # type: ignore[arg-type]


# The last function looks at all clinics for the program itself, past row-level security, and gives ids and times alone. What is due is only chosen here: the rule itself
# (`ReminderSettings.verdict`) is asked again before anything is sent.
installs(f"""
create or replace view reminder_entries with (security_invoker = true) as
select t.*, {BECAME}, l.error, l.settled_at from reminders t {ITS_LETTER};
grant select on reminder_entries to anamnesis_gateway;
""")  # noqa: S608 - ours
installs("""
create or replace function quiet_left(quiet jsonb, zone text, at_moment timestamptz) returns interval
language sql stable set search_path = public, pg_temp as $$
    select case when begins < ends and here >= begins and here < ends or begins > ends and here < ends then ends - here
            when begins > ends and here >= begins then ends - here + interval '1 day' end
    from (select (quiet ->> 'start')::time as begins, (quiet ->> 'end')::time as ends, (at_moment at time zone zone)::time as here) clock
$$;

create or replace function reminders_due(at_moment timestamptz, most int) returns table (clinic uuid, appointment uuid, starts_at timestamptz, minutes int)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        select a.clinic_id, a.id, a.starts_at, w.minutes
        from reminder_settings s join clinics h on h.clinic_id = s.clinic_id and h.id = s.clinic_id
        cross join lateral (select value::int as minutes from jsonb_array_elements_text(s.windows)) w
        cross join lateral (select quiet_left(s.quiet, h.zone, at_moment) as pending) q
        join appointments a on a.clinic_id = s.clinic_id and a.starts_at > at_moment and a.starts_at <= at_moment + make_interval(mins => w.minutes)
        where s.enabled and h.active and h.closing_until is null and a.status in ('booked', 'confirmed')
            and (q.pending is null or a.starts_at <= at_moment + q.pending)
            and not exists (
                select from reminders r where r.clinic_id = a.clinic_id and r.appointment_id = a.id and r.starts_at = a.starts_at and r.minutes = w.minutes)
        order by a.starts_at limit most;
end $$;
revoke all on function reminders_due from public;
grant execute on function reminders_due to anamnesis_gateway;
""")

DUE = "select clinic, appointment, starts_at, minutes from reminders_due(%s::timestamptz, %s::int)"


class Due(NamedTuple):
    """A reminder that may be due: of which visit, at which time of it, how long before."""

    clinic: UUID
    appointment: UUID
    starts_at: datetime
    window: int


async def due(lanes: Lanes, now: datetime, most: int) -> list[Due]:
    """Return the reminders of all clinics that may be due, those of the next visits first."""
    return [Due(*line) for line in (await lanes.ask(None, DUE, (now, most))).rows]


async def of_appointment(reader: Reader, appointment: UUID, now: datetime) -> RemindersOfAppointment | None:
    """Return what a patient was written about a visit, and what is to come as things stand; None if there is no such visit."""
    if (visit := await reader.one(AppointmentRow, appointment)) is None:
        return None
    items = sorted(await reader.find(ReminderEntry, appointment_id=appointment), key=lambda one: (one.noted_at, one.due_at, one.id), reverse=True)
    row, clinic = await reader.one(ReminderSettingsRow, reminder_settings_of(reader.clinic)), await reader.one(ClinicRow, reader.clinic)
    settings = ReminderSettings(rules=ReminderRules(**only(ReminderRules, row))) if row else ReminderSettings()
    planned: list[PlannedReminder] = []
    if settings.rules.enabled and visit.status in {"booked", "confirmed"} and visit.starts_at > now and clinic is not None:
        done, going = {one.minutes for one in items if one.starts_at == visit.starts_at}, await going_of(reader, visit)
        planned = [
            PlannedReminder(minutes=window, due_at=settings.due(window, visit.starts_at, clinic.zone), because=settings.expected(window, going, now, clinic.zone))
            for window in settings.rules.windows if window not in done]
    return RemindersOfAppointment(appointment_id=appointment, enabled=settings.rules.enabled, items=items, planned=sorted(planned, key=lambda one: one.due_at))


async def going_of(reader: Reader, visit: AppointmentRow) -> Going:
    """Return a visit as a reminder sees it, from the rows."""
    patient = await reader.one(PatientRow, visit.patient_id)
    return Going(
        starts_at=visit.starts_at, arranged_at=visit.moved_at or visit.booked_at, active=patient is not None and not patient.archived,
        wanted="reminders" not in await unwanted_of(reader, visit.patient_id), reachable=patient is not None and patient.email is not None)
