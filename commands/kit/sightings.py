"""What was looked at, and what was tried in vain: a line for each person, chart, kind of look and minute.

How it works. Whoever answers with a patient's chart calls `saw` first and waits: the line is written before the answer goes out, in one statement with those of all others
who look at that moment. Further looks of the same kind within the minute are the same line. A line has the origin of the request (account, on whose behalf, session,
address, program) and a MAC over all it says, made with a key that is not in the database, so that none can be made up or altered there. Refusals (403) are
noted afterwards, for nobody waits for them, and likewise once a minute each.

What may go wrong: the database is down: then there is nothing to look at either. A line that is deleted in the database is not missed by anybody: these are no events,
for reading would then cost what writing costs.
"""

import asyncio
import hmac
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from psycopg import Connection, Error

from commands.kit.ids import new_id
from commands.kit.walls import walled
from domain.kit import Refused
from projections.kit.lanes import Lanes

MINUTE = 60
SOME = 100_000  # looks of a minute that are remembered

log = structlog.get_logger(__name__)

SQL = """
create table if not exists chart_reads (
    id uuid primary key, clinic_id uuid not null, patient uuid not null, actor uuid not null, role text collate "C" not null, what text collate "C" not null,
    emergency boolean not null, origin uuid not null, at timestamptz not null, mac bytea not null
);
create index if not exists chart_reads_patient on chart_reads (clinic_id, patient, at desc);
create index if not exists chart_reads_age on chart_reads (clinic_id, at desc);
create table if not exists denials (
    id uuid primary key, clinic_id uuid not null, actor uuid not null, role text collate "C" not null, route text not null, path text not null,
    code text collate "C" not null, origin uuid not null, at timestamptz not null
);
create index if not exists denials_age on denials (clinic_id, at desc);
create or replace view chart_looks with (security_invoker = true) as
    select r.id, r.clinic_id, r.patient, r.actor, r.role, r.what, r.emergency, r.at, o.behalf as on_behalf_of, o.client, o.address, o.agent
    from chart_reads r left join origins o on o.id = r.origin;
create or replace view denied_requests with (security_invoker = true) as
    select d.id, d.clinic_id, d.actor, d.role, d.route, d.path, d.code, d.at, o.behalf as on_behalf_of, o.client, o.address, o.agent
    from denials d left join origins o on o.id = d.origin;
""" + walled("chart_reads", "denials") + """\
create or replace function note_reads(given json) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    insert into chart_reads select id, "clinicId", patient, actor, role, what, emergency, origin, at, decode(mac, 'hex') from json_to_recordset(given)
        as r(id uuid, "clinicId" uuid, patient uuid, actor uuid, role text, what text, emergency boolean, origin uuid, at timestamptz, mac text);
$$;
create or replace function note_denial(
    this uuid, of_clinic uuid, by_actor uuid, as_role text, on_route text, with_path text, with_code text, from_origin uuid, on_moment timestamptz
) returns void language sql volatile security definer set search_path = public, pg_temp as $$
    insert into denials values (this, of_clinic, by_actor, as_role, on_route, with_path, with_code, from_origin, on_moment);
$$;
revoke all on chart_reads, denials from public;
revoke all on function note_reads, note_denial from public;
grant select on chart_reads, denials, chart_looks, denied_requests to anamnesis_gateway;
grant execute on function note_reads, note_denial to anamnesis_gateway;
"""  # noqa: S608 - constants


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class ChartRead(msgspec.Struct, rename="camel"):
    """A look at a chart."""

    id: UUID
    clinic_id: UUID
    patient: UUID
    actor: UUID
    role: str
    what: str
    emergency: bool
    origin: UUID
    at: datetime
    mac: str = ""

    def content(self) -> bytes:
        """Return what its MAC is made over."""
        said = (self.id, self.clinic_id, self.patient, self.actor, self.role, self.what, self.emergency, self.origin, self.at.isoformat(timespec="microseconds"))
        return "\x1f".join(map(str, said)).encode()


def mac_of(mac_key: bytes, read: ChartRead) -> str:
    """Return the MAC of a look, in hexadecimal."""
    return hmac.digest(hmac.digest(mac_key, b"chart reads", "sha256"), read.content(), "sha256").hex()


class Sightings:
    """Notes looks and refusals, for one process."""

    def __init__(self, lanes: Lanes, mac_key: bytes) -> None:
        self._lanes = lanes
        self._key = mac_key
        self._minute = 0
        self._known: set[tuple[Any, ...]] = set()
        self._waiting: list[ChartRead] = []
        self._writing: asyncio.Future[None] | None = None

    async def saw(self, clinic: UUID, patient: UUID, actor: UUID, role: str, what: str, origin: UUID, *, emergency: bool = False) -> None:
        """Note a look, unless it is on record for this minute."""
        if self._noted((clinic, patient, actor, what, origin, emergency)):
            return
        read = ChartRead(new_id(), clinic, patient, actor, role, what, emergency, origin, datetime.now(UTC))
        read.mac = mac_of(self._key, read)
        self._waiting.append(read)
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write())
        await asyncio.shield(self._writing)

    async def denied(self, clinic: UUID, actor: UUID, role: str, route: str, path: str, code: str, origin: UUID) -> None:
        """Note a refusal, unless it is on record for this minute."""
        if self._noted((clinic, actor, route, code, origin)):
            return
        said = (new_id(), clinic, actor, role, route, path[:500], code, origin, datetime.now(UTC))
        try:
            await self._lanes.ask(None, "select note_denial(%s, %s, %s, %s, %s, %s, %s, %s, %s)", said)
        except (Refused, Error, OSError) as error:
            log.warning("a refusal could not be noted", error=type(error).__name__)

    def _noted(self, look: tuple[Any, ...]) -> bool:
        """Say whether this has been noted within the minute; from now on it has."""
        minute = int(time.time()) // MINUTE
        if minute != self._minute or len(self._known) > SOME:
            self._minute = minute
            self._known.clear()
        if look in self._known:
            return True
        self._known.add(look)
        return False

    async def _write(self) -> None:
        await asyncio.sleep(0)  # let this turn's other readers join
        reads, self._waiting, self._writing = self._waiting, [], None
        try:
            await self._lanes.ask(None, "select note_reads(%s::json)", (msgspec.json.encode(reads).decode(),))
        except BaseException:
            self._known.clear()  # nothing of it is on record
            raise
