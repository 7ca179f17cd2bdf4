"""What is staged of a list while it is taken in, and what became of each of its rows.

How it works. Each row that is to be taken lies here sealed under the key of the person whom it is about, who has one before they are registered: so destroying the key takes what is
staged along, and an erasure removes the bytes too. When a run ends nothing of what the file said is left, but for the number of each row's line, whose it was, and what became of it; that
goes after `KEPT_DAYS` as well. No note waits for the disk, for what is lost with the machine the log still says. Who works on a run holds a lease, which ends by itself; whoever has it goes on where the other one was.

What may go wrong. A worker dies between a save and its note that the rows are taken, or the store is set back behind the notes: so whoever begins asks the log, whose events bear the
run's id, which rows were taken, and that counts. Two may work at once, if one was away for longer than its lease: what each row says is decided once all the same.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection

from commands.kit.walls import walled
from projections.kit.keys import KeyRing
from projections.kit.lanes import Lanes

LEASE_SECONDS = 30
KEPT_DAYS = 90
STAGED_DAYS = 2  # for which a run that never began lies here
_NONCE = 12

SQL = """
create table if not exists import_lines (
    clinic_id uuid not null, run uuid not null, line bigint not null, step text collate "C" not null, patient uuid, sealed bytea, done boolean not null default false,
    returns boolean not null default false, problem jsonb, undone text collate "C", kept_because text collate "C", staged_at timestamptz not null default now(),
    primary key (run, line)
);
create index if not exists import_lines_left on import_lines (run, line) where not done;
create index if not exists import_lines_undone on import_lines (clinic_id, patient) where undone = 'archived';
create index if not exists import_lines_patient on import_lines (patient) where sealed is not null;
create index if not exists import_lines_age on import_lines (staged_at);
create table if not exists import_leases (run uuid primary key, clinic_id uuid not null, worker uuid not null, until timestamptz not null, remaining bigint);
""" + walled("import_lines", "import_leases") + f"""\
revoke all on import_lines, import_leases from public;
grant select on import_lines, import_leases to anamnesis_gateway;

create or replace function import_clinic() returns uuid language sql stable set search_path = public, pg_temp as $$
    select nullif(current_setting('app.clinic', true), '')::uuid $$;

create or replace function import_stage(of_run uuid, lines bigint[], steps text[], patients uuid[], bodies bytea[], back boolean[], problems jsonb[]) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    insert into import_lines (clinic_id, run, line, step, patient, sealed, returns, problem, done)
    select import_clinic(), of_run, l, s, p, b, r, q, s in ('unchanged', 'duplicates', 'rejected') from unnest(lines, steps, patients, bodies, back, problems) t(l, s, p, b, r, q)
    where import_clinic() is not null on conflict (run, line) do nothing;
$$;
create or replace function import_lease(of_run uuid, by_worker uuid) returns boolean
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    insert into import_leases as l (run, clinic_id, worker, until) select of_run, import_clinic(), by_worker, clock_timestamp() + interval '{LEASE_SECONDS} seconds' where import_clinic() is not null
    on conflict (run) do update set worker = excluded.worker, until = excluded.until where l.clinic_id = import_clinic() and (l.worker = by_worker or l.until < clock_timestamp())
    returning true;
$$;
create or replace function import_release(of_run uuid, by_worker uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    delete from import_leases l where l.run = of_run and l.worker = by_worker and l.clinic_id = import_clinic();
$$;
create or replace function import_recall(of_run uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    update import_lines l set done = not l.done
    where l.run = of_run and l.clinic_id = import_clinic() and l.step in ('created', 'changed') and l.problem is null and l.done is distinct from exists (
        select from stored_events e where e.originator_id = l.patient and e.clinic_id = l.clinic_id and e.correlation_id = of_run);
$$;
create or replace function import_note(of_run uuid, lines bigint[]) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    update import_lines l set done = true where l.run = of_run and l.line = any(lines) and l.clinic_id = import_clinic();
    update import_leases l set remaining = remaining - cardinality(lines) where l.run = of_run and l.clinic_id = import_clinic();
$$;
create or replace function import_begin(of_run uuid, back boolean) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    update import_leases l set remaining = (
        select count(*) from import_lines i where i.run = of_run and case when back then i.done and i.step in ('created', 'changed') and i.undone is null else not i.done end)
    where l.run = of_run and l.clinic_id = import_clinic();
$$;
create or replace function import_reject(of_run uuid, at_line bigint, why jsonb) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    update import_lines l set done = true, step = 'rejected', problem = why, sealed = null where l.run = of_run and l.line = at_line and l.clinic_id = import_clinic();
    update import_leases l set remaining = remaining - 1 where l.run = of_run and l.clinic_id = import_clinic();
$$;
create or replace function import_clear(of_run uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    update import_lines l set sealed = null where l.run = of_run and l.sealed is not null and l.clinic_id = import_clinic();
$$;
create or replace function import_undo_note(of_run uuid, at_line bigint, what text, why text) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    update import_lines l set undone = what, kept_because = why where l.run = of_run and l.line = at_line and l.clinic_id = import_clinic();
    update import_leases l set remaining = remaining - 1 where l.run = of_run and l.clinic_id = import_clinic();
$$;
create or replace function import_sweep() returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    select set_config('synchronous_commit', 'off', true);
    delete from import_lines l where l.staged_at < now() - interval '{KEPT_DAYS} days';
    delete from import_lines l where l.staged_at < now() - interval '{STAGED_DAYS} days' and l.sealed is not null
        and not exists (select from stored_events e where e.originator_id = l.run);
$$;
revoke all on function import_stage, import_lease, import_release, import_recall, import_note, import_begin, import_reject, import_clear, import_undo_note, import_sweep from public;
grant execute on function import_stage, import_lease, import_release, import_recall, import_note, import_begin, import_reject, import_clear, import_undo_note, import_sweep, import_clinic to anamnesis_gateway;
"""  # noqa: S608 - constants of ours
STAGE = "select import_stage(%s::uuid, %s::bigint[], %s::text[], %s::uuid[], %s::bytea[], %s::boolean[], %s::jsonb[])"
LEFT = "select line, step, patient, sealed, returns from import_lines where run = %s and clinic_id = %s and not done and line > %s order by line limit %s"
COUNTS = "select case when done then step else 'left' end, count(*) from import_lines where run = %s and clinic_id = %s group by 1"
PROBLEMS = "select problem::text from import_lines where run = %s and clinic_id = %s and problem is not null order by line"
TO_UNDO = """
select l.line, l.patient, e.first, e.last, coalesce(e.listed, false), l.step = 'created' and coalesce(e.first = 1 or l.returns, false) from (
    select * from import_lines where run = %s and clinic_id = %s and step in ('created', 'changed') and done and undone is null and line > %s order by line limit %s) l
left join lateral (
    select min(s.originator_version) as first, max(s.originator_version) as last, bool_or(s.topic = 'MedicalHistoryAmended') as listed from stored_events s
    where s.originator_id = l.patient and s.clinic_id = l.clinic_id and s.correlation_id = l.run) e on true order by l.line
"""
UNDONE = "select undone, count(*) from import_lines where run = %s and clinic_id = %s and undone is not null group by 1"
POSITION = "select notification_id from stored_events where originator_id = %s and clinic_id = %s and originator_version = %s"
RETURNING = "select distinct patient from import_lines where clinic_id = %s and undone = 'archived' and patient = any(%s::uuid[])"


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


Learn = Callable[[UUID, set[UUID]], Awaitable[None]]


class Staged(NamedTuple):
    """A row on its way in: of which line, what is to be done, about whom, and what it says; `body` is None if it is not to be taken, or nobody can open it any more."""

    line: int
    step: str
    patient: UUID | None
    body: bytes | None = None
    returns: bool = False
    problem: Any = None


class Done(NamedTuple):
    """What a run has done about a row's patient: the versions of their history that it wrote, None if it wrote none; whether in their medical lists as well, and whether it brought them into the books."""

    line: int
    patient: UUID
    first: int | None
    last: int | None
    listed: bool
    fresh: bool


class Staging:
    """What is staged of runs, for one process."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def stage(self, clinic: UUID, run: UUID, rows: Sequence[Staged], keys: KeyRing) -> None:
        """Put rows down, sealed; those that are there already stay as they are."""
        sealed = [None if row.body is None or row.patient is None else _seal(run, row, keys) for row in rows]
        problems = [None if row.problem is None else msgspec.json.encode(row.problem).decode() for row in rows]
        await self._lanes.ask(clinic, STAGE, (
            run, [row.line for row in rows], [row.step for row in rows], [row.patient for row in rows], sealed, [row.returns for row in rows], problems))

    async def lease(self, clinic: UUID, run: UUID, worker: UUID) -> bool:
        """Take a run in hand, or go on having it; say whether it is this worker's."""
        return bool((await self._lanes.ask(clinic, "select import_lease(%s, %s)", (run, worker))).rows[0][0])

    async def release(self, clinic: UUID, run: UUID, worker: UUID) -> None:
        """Let somebody else have it."""
        await self._lanes.ask(clinic, "select import_release(%s, %s)", (run, worker))

    async def recall(self, clinic: UUID, run: UUID) -> None:
        """Note of each row what the log says of it."""
        await self._lanes.ask(clinic, "select import_recall(%s)", (run,))

    async def begin(self, clinic: UUID, run: UUID, *, back: bool) -> None:
        """Count what is before the worker, in taking in or in taking back."""
        await self._lanes.ask(clinic, "select import_begin(%s, %s)", (run, back))

    async def left(self, clinic: UUID, run: UUID, after: int, most: int, learn: Learn, keys: KeyRing) -> list[Staged]:
        """Return rows that are still to be taken, opened with keys that are learned for it."""
        lines = (await self._lanes.ask(clinic, LEFT, (run, clinic, after, most))).rows
        await learn(clinic, {line[2] for line in lines if line[2] is not None})
        return [Staged(line, step, patient, _open(run, line, patient, sealed, keys), returns) for line, step, patient, sealed, returns in lines]

    async def note(self, clinic: UUID, run: UUID, lines: Sequence[int]) -> None:
        """Note that rows are taken."""
        await self._lanes.ask(clinic, "select import_note(%s, %s::bigint[])", (run, list(lines)))

    async def reject(self, clinic: UUID, run: UUID, line: int, problem: Any) -> None:
        """Note why a row is not taken."""
        await self._lanes.ask(clinic, "select import_reject(%s, %s::bigint, %s::jsonb)", (run, line, msgspec.json.encode(problem).decode()))

    async def clear(self, clinic: UUID, run: UUID) -> None:
        """Let go of what the file said."""
        await self._lanes.ask(clinic, "select import_clear(%s)", (run,))

    async def counts(self, clinic: UUID, run: UUID) -> dict[str, int]:
        """Return how many rows there are of each step; `left` are those that were not come to."""
        return dict((await self._lanes.ask(clinic, COUNTS, (run, clinic))).rows)

    async def problems(self, clinic: UUID, run: UUID) -> list[str]:
        """Return why rows are not taken, as JSON, in the order of their lines."""
        return [line[0] for line in (await self._lanes.ask(clinic, PROBLEMS, (run, clinic))).rows]

    async def to_undo(self, clinic: UUID, run: UUID, after: int, most: int) -> list[Done]:
        """Return what is still to be taken back."""
        return [Done(*line) for line in (await self._lanes.ask(clinic, TO_UNDO, (run, clinic, after, most))).rows]

    async def position_of(self, clinic: UUID, stream: UUID, version: int) -> int:
        """Return where in the log a version of a stream is."""
        return int((await self._lanes.ask(clinic, POSITION, (stream, clinic, version))).rows[0][0])

    async def undone(self, clinic: UUID, run: UUID, line: int, what: str, because: str | None = None) -> None:
        """Note what became of a row that was to be taken back."""
        await self._lanes.ask(clinic, "select import_undo_note(%s, %s::bigint, %s, %s)", (run, line, what, because))

    async def undone_counts(self, clinic: UUID, run: UUID) -> dict[str, int]:
        """Return how many rows were taken back, and how."""
        return dict((await self._lanes.ask(clinic, UNDONE, (run, clinic))).rows)

    async def returning(self, clinic: UUID, patients: Sequence[UUID]) -> set[UUID]:
        """Return which of these patients are archived because the import that registered them was taken back."""
        return {line[0] for line in (await self._lanes.ask(clinic, RETURNING, (clinic, list(patients)))).rows}

    async def sweep(self) -> None:
        """Let go of what is old, and of runs that never began."""
        await self._lanes.ask(None, "select import_sweep()")


def _bound(run: UUID, line: int, patient: UUID) -> bytes:
    return run.bytes + line.to_bytes(8, "big") + patient.bytes


def _seal(run: UUID, row: Staged, keys: KeyRing) -> bytes:
    assert row.patient is not None
    assert row.body is not None
    key = keys.key_of(row.patient)
    assert key is not None
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, row.body, _bound(run, row.line, row.patient))


def _open(run: UUID, line: int, patient: UUID | None, sealed: bytes | None, keys: KeyRing) -> bytes | None:
    if patient is None or sealed is None or (key := keys.key_of(patient)) is None:
        return None
    return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(run, line, patient))
