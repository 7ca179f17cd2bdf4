"""Where requests come from: the session, who acts in it and for whom, the network address, the program.

How it works: every event that a request causes has the request's origin as its causation (an event of a policy has the event that it answers). An origin is an ordinary
row, written before the first command that comes from there; its id follows from its content, so each process writes it once and then only
remembers. It is kept apart from the events because addresses are personal: an origin can be erased, and the chain still holds.

What may go wrong: agents are long and chosen by strangers, hence the cut. An origin without its row reads as unknown.
"""

from collections import OrderedDict
from typing import Any
from uuid import UUID

from psycopg import Connection

from commands.kit.ids import derived
from commands.kit.receipt import Who
from projections.kit.lanes import Lanes

REMEMBERED = 20_000
AGENT = 200  # characters

SQL = """
create table if not exists origins (
    id uuid primary key, clinic_id uuid not null, account uuid, behalf uuid, session uuid, client text, address text not null, agent text not null,
    first_at timestamptz not null default now()
);
alter table origins enable row level security;
alter table origins force row level security;
drop policy if exists owner on origins;
create policy owner on origins to anamnesis_owner using (true) with check (true);
drop policy if exists tenant on origins;
create policy tenant on origins for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));

create or replace function origin_note(
    this uuid, of_clinic uuid, of_account uuid, for_behalf uuid, of_session uuid, with_client text, from_address text, from_agent text
) returns void language sql volatile security definer set search_path = public, pg_temp as $$
    insert into origins (id, clinic_id, account, behalf, session, client, address, agent)
    values (this, of_clinic, of_account, for_behalf, of_session, with_client, from_address, from_agent) on conflict do nothing;
$$;
revoke all on origins from public;
revoke all on function origin_note from public;
grant select on origins to anamnesis_gateway;
grant execute on function origin_note to anamnesis_gateway;
"""
NOTE = "select origin_note(%s, %s, %s, %s, %s, %s, %s, %s)"


def install(conn: Connection[Any]) -> None:
    """Make the table and its function, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Origins:
    """Origins as one process knows them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._known: OrderedDict[tuple[Any, ...], UUID] = OrderedDict()

    async def of(self, clinic: UUID, who: Who, account: UUID | None, address: str, agent: bytes) -> UUID:
        """Return the id of an origin, which is noted by then; `account` says whose it is where nobody is signed in yet."""
        said = (who.session, account, clinic, address, agent)
        if (known := self._known.get(said)) is not None:
            return known
        program = agent[:AGENT].decode("latin-1").replace("\0", "")
        actor = account or (who.actor if who.session or who.role == "key" else None)
        parts = (clinic, actor, who.behalf, who.session, who.client, address, program)
        id_ = derived(b"origin", *(b"" if part is None else part.bytes if isinstance(part, UUID) else part.encode() for part in parts))
        await self._lanes.ask(clinic, NOTE, (id_, *parts))
        self._known[said] = id_
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return id_
