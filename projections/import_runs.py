"""Lists of patients that were taken in, as rows; how far each is; and what taking one back would do."""

from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.import_runs import (
    ImportCancelled,
    ImportFinished,
    ImportRunEvent,
    ImportStarted,
    ImportUndone,
    ImportUndoStarted,
)
from domain.kit import Fact
from projections.kit import PROJECTIONS, installs, projects
from projections.kit.lanes import Lanes
from projections.kit.reading import Reader
from schemas.import_runs import ImportRunRow


@projects(ImportRunRow, of=ImportRunEvent)
def import_runs(row: ImportRunRow | None, fact: Fact) -> ImportRunRow | None:
    at, by = fact.recorded_at, fact.actor
    match fact.event:
        case ImportStarted(rows=rows):
            return ImportRunRow(id=fact.id, status="running", rows=rows, started_at=at, started_by=by)
        case ImportCancelled() if row:
            return replace(row, status="cancelled", cancelled_at=at, cancelled_by=by)
        case ImportFinished() as e if row:
            return replace(
                row, status="cancelled" if row.cancelled_at else "finished", ended_at=at, created=e.created, changed=e.changed, unchanged=e.unchanged,
                duplicates=e.duplicates, rejected=e.rejected, left=e.left)
        case ImportUndoStarted() if row:
            return replace(row, status="undoing", undo_started_at=at, undo_started_by=by)
        case ImportUndone() as e if row:
            return replace(row, status="undone", undone_at=at, archived=e.archived, set_back=e.set_back, kept=e.kept)
    return row


# The lines are a table of the command side's, which is there before these. The function looks at all clinics for the program itself, and gives ids alone: of runs that are not at their end,
# with nobody at work on them.
installs("""
create or replace view import_run_entries with (security_invoker = true) as
select r.*, case when r.status = 'undoing' then r.created + r.changed - p.pending when r.ended_at is null then r.rows - p.pending else r.rows - r.left end as done, p.pending as remaining
from import_runs r left join import_leases w on w.clinic_id = r.clinic_id and w.run = r.id
cross join lateral (select case
    when r.ended_at is not null and r.status <> 'undoing' then 0
    when w.remaining is not null then w.remaining
    when r.status = 'undoing' then (select count(*) from import_lines i where i.run = r.id and i.clinic_id = r.clinic_id and i.done and i.step in ('created', 'changed') and i.undone is null)
    else (select count(*) from import_lines i where i.run = r.id and i.clinic_id = r.clinic_id and not i.done) end as pending) p;
grant select on import_run_entries to anamnesis_gateway;

create or replace view import_line_entries with (security_invoker = true) as
select i.clinic_id, 0::bigint as position, i.run as run_id, i.line, i.step, i.done, i.patient as patient_id, i.problem ->> 'column' as "column", i.problem ->> 'code' as code,
    i.problem ->> 'reason' as reason, i.undone, i.kept_because
from import_lines i;
grant select on import_line_entries to anamnesis_gateway;

create or replace function imports_waiting(most int) returns table (clinic uuid, run uuid)
language sql stable security definer set search_path = public, pg_temp as $$
    select r.clinic_id, r.id from import_runs r join clinics c on c.clinic_id = r.clinic_id and c.id = r.clinic_id
    where (r.ended_at is null or r.status = 'undoing') and c.active
        and not exists (select from import_leases l where l.run = r.id and l.until > clock_timestamp())
    order by r.started_at limit most
$$;
revoke all on function imports_waiting from public;
grant execute on function imports_waiting to anamnesis_gateway;
""")

PREVIEW = """
with mine as (
    select l.line, l.patient, w.last, l.step = 'created' and (w.first = 1 or l.returns) as fresh, (select max(s.originator_version) from stored_events s where s.originator_id = l.patient and s.clinic_id = l.clinic_id) as now,
        p.archived
    from import_lines l join patients p on p.clinic_id = l.clinic_id and p.id = l.patient
    join lateral (select min(s.originator_version) as first, max(s.originator_version) as last from stored_events s
        where s.originator_id = l.patient and s.clinic_id = l.clinic_id and s.correlation_id = l.run) w on w.first is not null
    where l.run = %s and l.clinic_id = %s and l.step in ('created', 'changed') and l.done)
select case when m.now <> m.last or m.archived or (m.fresh and ({used})) then 'kept' when m.fresh then 'archived' else 'setBack' end as what, count(*) from mine m group by 1
"""
USED = "exists (select from {table} t where t.clinic_id = %s and t.{column} = m.patient)"


class Waiting(NamedTuple):
    """A run that somebody should go on with."""

    clinic: UUID
    run: UUID


async def waiting(lanes: Lanes, most: int) -> list[Waiting]:
    """Return the runs of all clinics that are not at their end, and with which nobody is at work."""
    return [Waiting(*line) for line in (await lanes.ask(None, "select clinic, run from imports_waiting(%s)", (most,))).rows]


async def preview(reader: Reader, run: UUID, uses: dict[str, str]) -> dict[str, int]:
    """Return what taking a run back would do, by what the rows say; `uses` are read models that say who is used, each with its column."""
    sql = PREVIEW.replace("{used}", " or ".join(USED.format(table=PROJECTIONS[kind].row.table, column=column) for kind, column in uses.items()))
    return dict((await reader.ask(sql, (run, reader.clinic, *[reader.clinic] * len(uses)))).rows)
