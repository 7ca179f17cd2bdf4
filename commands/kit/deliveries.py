"""Deliveries of webhooks: what is to be sent where, who is at it, and what became of it.

How it works. `webhook_targets` is what the sending side knows of each webhook: its address, what it wants, the ids of its secrets (which lie in the vault), and how it fares.
`webhook_deliveries` has a row per event and webhook, made in the transaction that moves `webhook_cursor` past the event, so each is made once; its id follows from both.
`webhooks_claim` hands out what is due: one process at a time (an advisory lock), at most five deliveries of a webhook under way (one while it fails) and fifteen of a clinic,
and each clinic in turn, so that a slow receiver costs itself alone. A claim bears the name of the session that made it; what a process leaves behind is free again when that session is gone, or after a minute.
`webhooks_settle` writes down an attempt and what follows: delivered, due again later, or failed for good; and that a webhook is to be given up, which stops it
at once and becomes an event when a gateway looks (`webhooks_given_up`). The rows hold nothing about anybody; answers of receivers might, and are blanked when somebody
of the clinic is erased. The log reaches back thirty days.

What may go wrong. A process that dies between a receiver's yes and its own note has the same delivery sent again, with the same id: at least once. A settlement of a
claim that has meanwhile been taken from its process changes nothing.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from commands.kit.vault import Vault
from projections.kit.lanes import Lanes

KIND = "webhook"  # of secrets in the vault
LOCK = 4_210_070_334
UNDER_WAY = 5  # deliveries of one webhook
OF_A_CLINIC = 15  # of all its webhooks together

SQL = f"""
create table if not exists webhook_cursor (one boolean primary key default true check (one), position bigint not null) with (fillfactor = 10);
insert into webhook_cursor (position) select position from store_head on conflict do nothing;
create table if not exists webhook_targets (
    id uuid primary key, clinic_id uuid not null, url text not null, events text[] not null, enabled boolean not null, secrets jsonb not null,
    delivered_at timestamptz, failing_since timestamptz, stopped text check (stopped in ('gone', 'failing')), stopped_at timestamptz,
    blanked_at timestamptz
);
alter table webhook_targets add column if not exists blanked_at timestamptz;
create table if not exists webhook_deliveries (
    id uuid primary key, clinic_id uuid not null, webhook_id uuid not null, position bigint not null, type text collate "C" not null, entity_type text not null,
    entity_id uuid not null, status text not null default 'queued' check (status in ('queued', 'delivered', 'failed')), attempts bigint not null default 0,
    tries int not null default 0, queued_at timestamptz not null default clock_timestamp(), due_at timestamptz not null default clock_timestamp(),
    tried_at timestamptz, settled_at timestamptz, status_code bigint, error text, owner text, claimed_at timestamptz
);
create index if not exists webhook_deliveries_due on webhook_deliveries (webhook_id, due_at) where status = 'queued' and owner is null;
create index if not exists webhook_deliveries_owned on webhook_deliveries (clinic_id, webhook_id) where owner is not null;
create index if not exists webhook_deliveries_clinic on webhook_deliveries (clinic_id, queued_at);
create index if not exists webhook_deliveries_webhook on webhook_deliveries (webhook_id, queued_at);
create index if not exists webhook_deliveries_age on webhook_deliveries (queued_at);
create table if not exists webhook_attempts (
    delivery uuid not null references webhook_deliveries on delete cascade, number bigint not null, clinic_id uuid not null, made_at timestamptz not null, status_code bigint,
    milliseconds bigint not null, answer text, error text, primary key (delivery, number)
);
create index if not exists webhook_attempts_answers on webhook_attempts (clinic_id) where answer is not null;
do $$ declare t text; begin
    foreach t in array array['webhook_targets', 'webhook_deliveries', 'webhook_attempts'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('drop policy if exists owner on %I', t);
        execute format('create policy owner on %I to anamnesis_owner using (true) with check (true)', t);
        execute format('drop policy if exists courier on %I', t);
        execute format('create policy courier on %I to anamnesis_courier using (true) with check (true)', t);
        execute format('drop policy if exists tenant on %I', t);
        execute format('create policy tenant on %I for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting(''app.clinic'', true), '''')::uuid))', t);
        execute format('grant select, insert, update, delete on %I to anamnesis_courier', t);
        execute format('grant select on %I to anamnesis_gateway', t);
    end loop;
end $$;
grant select, update on webhook_cursor to anamnesis_courier;

create or replace function webhooks_claim(room int) returns table (
    id uuid, clinic uuid, "position" bigint, topic text, tries int, queued_at timestamptz, url text, secrets jsonb)
language plpgsql volatile set search_path = public, pg_temp as $$
begin
    if not pg_try_advisory_xact_lock({LOCK}) then return; end if;
    update webhook_deliveries d set owner = null where d.owner is not null and (
        d.claimed_at < clock_timestamp() - interval '1 minute' or not exists (select from pg_stat_activity a where a.application_name = d.owner));
    return query
        with free as materialized (
            select t.id, t.clinic_id, t.url, t.secrets, case when t.failing_since is null then {UNDER_WAY} else 1 end - coalesce(b.mine, 0) as room, coalesce(b.ours, 0) as busy
            from webhook_targets t left join lateral (
                select count(*) filter (where o.webhook_id = t.id) as mine, count(*) as ours from webhook_deliveries o where o.clinic_id = t.clinic_id and o.owner is not null) b on true
            where t.enabled and t.stopped is null
        ), ranked as (
            select w.id, f.url, f.secrets, w.due_at, f.busy + row_number() over (partition by f.clinic_id order by w.due_at) as rank from free f cross join lateral (
                select n.id, n.due_at from webhook_deliveries n
                where n.webhook_id = f.id and n.status = 'queued' and n.owner is null and n.due_at <= clock_timestamp() order by n.due_at limit greatest(f.room, 0)) w
        ), chosen as (
            select r.id, r.url, r.secrets from ranked r where r.rank <= {OF_A_CLINIC} order by r.rank, r.due_at limit $1
        )
        update webhook_deliveries d set owner = current_setting('application_name'), claimed_at = clock_timestamp(), tried_at = coalesce(d.tried_at, clock_timestamp())
        from chosen c where d.id = c.id
        returning d.id, d.clinic_id, d.position, d.type, d.tries, d.queued_at, c.url, c.secrets;
end $$;

create or replace function webhooks_settle(
    this uuid, became text, due timestamptz, made timestamptz, code bigint, took bigint, said text, why text, stop text
) returns text language plpgsql volatile set search_path = public, pg_temp as $$
declare d record; halt text := stop;
begin
    update webhook_deliveries w set status = became, due_at = coalesce(due, w.due_at), attempts = w.attempts + 1, tries = w.tries + 1, status_code = code, error = why,
        owner = null, settled_at = case when became = 'queued' then null else clock_timestamp() end
    where w.id = this and w.owner = current_setting('application_name') and w.status = 'queued' returning w.webhook_id, w.clinic_id, w.attempts, w.tried_at into d;
    if not found then return null; end if;
    insert into webhook_attempts (delivery, number, clinic_id, made_at, status_code, milliseconds, answer, error) values (this, d.attempts, d.clinic_id, made, code, took,
        case when exists (select from webhook_targets t where t.id = d.webhook_id and t.blanked_at >= made) then null else said end, why);
    if became = 'delivered' then
        update webhook_targets t set delivered_at = clock_timestamp(), failing_since = null where t.id = d.webhook_id;
        return null;
    end if;
    update webhook_targets t set failing_since = coalesce(t.failing_since, made),
        stopped = coalesce(t.stopped, halt, case when (became = 'failed' and (t.delivered_at is null or t.delivered_at < d.tried_at))
            or t.failing_since < clock_timestamp() - interval '5 days' then 'failing' end),
        stopped_at = case when t.stopped is not null then t.stopped_at else clock_timestamp() end
    where t.id = d.webhook_id and t.enabled returning t.stopped into halt;
    return halt;
end $$;

create or replace function webhook_secrets(these uuid[]) returns table (id uuid, secret bytea)
language sql stable security definer set search_path = public, pg_temp as $$
    select v.id, v.secret from vault v where v.id = any(these) and v.kind = '{KIND}';
$$;
create or replace function webhook_forget(this uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    delete from vault v where v.owner = this and v.kind = '{KIND}';
$$;
create or replace function webhooks_given_up() returns table (id uuid, clinic_id uuid, why text, since timestamptz)
language sql stable security definer set search_path = public, pg_temp as $$
    select t.id, t.clinic_id, t.stopped, t.stopped_at from webhook_targets t where t.enabled and t.stopped is not null order by t.stopped_at limit 1000;
$$;
create or replace function webhooks_health(out queued bigint, out overdue_seconds float8, out failing bigint)
language sql stable security definer set search_path = public, pg_temp as $$
    select (select count(*) from (select from webhook_deliveries d where d.status = 'queued' and d.owner is null limit 100000) w),
        coalesce((select greatest(extract(epoch from clock_timestamp() - min(w.due_at)), 0) from webhook_targets t cross join lateral (
            select d.due_at from webhook_deliveries d where d.webhook_id = t.id and d.status = 'queued' and d.owner is null order by d.due_at limit 1) w
            where t.enabled and t.stopped is null and t.failing_since is null
                and not exists (select from webhook_deliveries b where b.clinic_id = t.clinic_id and b.owner is not null)), 0)::float8,
        (select count(*) from webhook_targets t where t.enabled and t.failing_since is not null);
$$;
revoke all on function webhooks_claim, webhooks_settle, webhook_secrets, webhook_forget, webhooks_given_up, webhooks_health from public;
grant execute on function webhooks_claim, webhooks_settle, webhook_secrets, webhook_forget to anamnesis_courier;
grant execute on function webhooks_given_up, webhooks_health to anamnesis_gateway;
"""  # noqa: S608 - numbers of ours


def install(conn: Connection[Any]) -> None:
    """Make tables and functions, or bring them up to date; `conn` is the owner's."""
    with conn.transaction():
        conn.execute(SQL)


class Secrets:
    """The secrets that sign, for a process that may ask for them and has the key."""

    def __init__(self, lanes: Lanes, vault: Vault) -> None:
        self._lanes = lanes
        self._vault = vault

    async def __call__(self, these: Sequence[UUID]) -> list[bytes]:
        """Return the secrets of these ids, in that order; one that is gone is left out."""
        found: dict[UUID, bytes] = dict((await self._lanes.ask(None, "select * from webhook_secrets(%s::uuid[])", (list(these),))).rows)
        return [self._vault.opened(id_, found[id_]) for id_ in these if id_ in found]
