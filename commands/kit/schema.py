"""The event store's tables and its one function.

How it works. `append_events` takes a batch of saves and decides each of them exactly, in one round trip and one transaction:

1. It takes the append lock as a statement of its own, so that every later statement sees all that was committed before. From here on it is alone.
2. The hopeful way: if no command was seen before and every expected version stands, take all claims with one statement, guarded by the constraints.
3. If that fails, or a save rests on somebody not having been named since a position (`n_id`), the careful way: decide save by save, in the order they came, by probing indexes, never by catching exceptions. A refused save
   leaves nothing behind, and takes with it the later saves of the batch that rest on it; a slot that an earlier save of the batch freed is free.
4. Insert the events of the accepted saves with dense positions, a recording time that never decreases within a clinic, and a SHA-256 chain per
   clinic over the previous hash, the envelope and the stored bytes; move the heads.

What may go wrong: taking claims before the lock deadlocks; letting one bad claim fail a set makes it knock out good ones; a hashed sub-plan over
the whole table makes every call slower as the store grows, hence scalar sub-queries with `limit 1` and the planner settings on the function.
A command is remembered for a day if it came with an Idempotency-Key, else for a month: longer than any policy is told again of an event. `forget_commands` takes
away what is older, a portion at a time and without the append lock.
Unforced claims on one resource never overlap, so the one that starts last before a new one ends is the only one that can be in its way: one probe of a
btree. (An exclusion constraint over GiST guarantees the same at 3-4 times the cost; DECISIONS.md has the figures.)
"""

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal

ROLES = ("anamnesis_gateway", "anamnesis_relay", "anamnesis_projector")

TABLES = """
create table if not exists stored_events (
    originator_id uuid not null,
    originator_version bigint not null,
    topic text collate "C" not null,
    state bytea not null,
    notification_id bigint not null,
    clinic_id uuid not null default '00000000-0000-0000-0000-000000000000',
    stream_kind text collate "C" not null default '',
    partition smallint not null default 0,
    event_id uuid not null default '00000000-0000-0000-0000-000000000000',
    command_id uuid not null default '00000000-0000-0000-0000-000000000000',
    correlation_id uuid not null default '00000000-0000-0000-0000-000000000000',
    causation_id uuid,
    actor uuid not null default '00000000-0000-0000-0000-000000000000',
    person uuid,
    recorded_at timestamptz not null default clock_timestamp(),
    mac bytea not null default '',
    hash bytea not null default '',
    primary key (originator_id, originator_version)
) with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
create unique index if not exists stored_events_position on stored_events (notification_id);
create index if not exists stored_events_clinic on stored_events (clinic_id, notification_id);
create index if not exists stored_events_topic on stored_events (topic, notification_id);

create table if not exists store_head (one boolean primary key default true check (one), position bigint not null default 0)
    with (fillfactor = 10);
insert into store_head default values on conflict do nothing;
create table if not exists store_settings (one boolean primary key default true check (one), partitions int not null);
create table if not exists chain_heads (clinic_id uuid primary key, position bigint not null, hash bytea not null, recorded_at timestamptz not null)
    with (fillfactor = 50);

create table if not exists command_log (
    command_id uuid primary key, request_hash bytea, stream uuid not null, version bigint not null, position bigint not null,
    saved_at timestamptz not null default clock_timestamp()
);
drop index if exists command_log_age;
create index if not exists command_log_keyed on command_log (saved_at) where request_hash is not null;
create index if not exists command_log_bare on command_log (saved_at) where request_hash is null;

create table if not exists unique_claims (claim uuid primary key, owner uuid not null);
create table if not exists time_claims (
    resource uuid not null, starting timestamptz not null, ending timestamptz not null, owner uuid not null, forced boolean not null,
    expires timestamptz, check (starting < ending)
);
create unique index if not exists time_claims_alone on time_claims (resource, starting) where not forced;
create index if not exists time_claims_forced on time_claims (resource, starting) where forced;
create index if not exists time_claims_holds on time_claims (resource, starting) where expires is not null;

create table if not exists snapshots (
    originator_id uuid not null, originator_version bigint not null, topic text not null, state bytea not null,
    clinic_id uuid not null, primary key (originator_id, originator_version)
);

create table if not exists person_keys (
    person uuid primary key, clinic_id uuid not null, kek text not null, wrapped bytea, created_at timestamptz not null default now(),
    destroyed_at timestamptz
);
"""

# what the chain covers of an event, in this order; tests and benchmarks compute the same in Python
DIGEST = """
create or replace function event_content(
    pos bigint, stream uuid, version bigint, topic text, clinic uuid, kind text, event_id uuid, command uuid, correlation uuid, causation uuid,
    actor uuid, person uuid, recorded_us bigint, mac bytea, body bytea
) returns bytea language sql immutable parallel safe as $$
    select int8send(pos) || uuid_send(stream) || int8send(version) || int4send(octet_length(topic)) || convert_to(topic, 'UTF8')
        || uuid_send(clinic) || int4send(octet_length(kind)) || convert_to(kind, 'UTF8') || uuid_send(event_id) || uuid_send(command)
        || uuid_send(correlation) || coalesce(uuid_send(causation), ''::bytea) || '|'::bytea || uuid_send(actor)
        || coalesce(uuid_send(person), ''::bytea) || '|'::bytea || int8send(recorded_us) || mac || body
$$;
create or replace function chain_step(state bytea, start bytea, content bytea) returns bytea language plpgsql immutable parallel safe as $$
begin
    return sha256(coalesce(state, start) || content);
end $$;
do $$ begin
    create aggregate chain(bytea, bytea) (sfunc = chain_step, stype = bytea);
exception when duplicate_function then null;
end $$;
"""

APPEND = """
do $$ declare former regprocedure; begin
    for former in select f.oid::regprocedure from pg_proc f where f.proname = 'append_events' and not ('n_since' = any(f.proargnames)) loop
        execute format('drop function %s', former);
    end loop;
end $$;
create or replace function append_events(
    hopeful boolean, entangled boolean,
    s_command uuid[], s_hash bytea[], s_clinic uuid[], s_actor uuid[], s_correlation uuid[], s_causation uuid[], s_recorded timestamptz[],
    s_e int[], s_x int[], s_u int[], s_v int[], s_t int[], s_r int[],
    e_save int[], e_stream uuid[], e_version bigint[], e_topic text[], e_kind text[], e_id uuid[], e_person uuid[], e_mac bytea[], e_body bytea[],
    x_save int[], x_stream uuid[], x_before bigint[], x_after bigint[], x_rests int[],
    u_claim uuid[], u_owner uuid[],
    v_claim uuid[], v_owner uuid[],
    t_resource uuid[], t_start timestamptz[], t_end timestamptz[], t_owner uuid[], t_forced boolean[], t_expires timestamptz[],
    r_resource uuid[], r_start timestamptz[], r_owner uuid[],
    n_save int[] default '{}', n_id uuid[] default '{}', n_since bigint[] default '{}'
) returns table (outcome smallint, first_position bigint, recorded_us bigint, stream uuid, version bigint, last_position bigint, detail int)
language plpgsql volatile security definer
set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
    n int := cardinality(s_command);
    outcomes smallint[] := array_fill(0::smallint, array[n]);
    details int[] := array_fill(0, array[n]);
    streams uuid[] := array_fill(null::uuid, array[n]);
    versions bigint[] := array_fill(null::bigint, array[n]);
    positions bigint[] := array_fill(null::bigint, array[n]);
    good boolean := hopeful and cardinality(n_save) = 0;
    top bigint;
    parts int;
    clashing int;
    before int;
    x int[2]; u int[2]; v int[2]; t int[2]; r int[2];
    logged record;
    moment timestamptz;
begin
    perform pg_advisory_xact_lock(7020041);
    moment := clock_timestamp();
    select h.position into top from store_head h for update;
    select s.partitions into parts from store_settings s;

    if good then
        perform 1 from unnest(s_command) c(id) where (select 1 from command_log l where l.command_id = c.id limit 1) is not null limit 1;
        good := not found;
    end if;
    if good then
        perform 1 from (
            select w.before, coalesce(
                lag(w.after) over (partition by w.stream order by w.ord),
                (select e.originator_version from stored_events e where e.originator_id = w.stream order by e.originator_version desc limit 1),
                0) as now
            from unnest(x_stream, x_before, x_after) with ordinality w(stream, before, after, ord)) q
        where q.before <> q.now limit 1;
        good := not found;
    end if;
    if good then
        begin
            if cardinality(v_claim) > 0 then
                delete from unique_claims c using unnest(v_claim, v_owner) w(claim, owner) where c.claim = w.claim and c.owner = w.owner;
            end if;
            if cardinality(r_resource) > 0 then
                delete from time_claims c using unnest(r_resource, r_start, r_owner) w(resource, start_at, owner)
                where c.resource = w.resource and c.starting = w.start_at and c.owner = w.owner and not c.forced;
                delete from time_claims c using unnest(r_resource, r_start, r_owner) w(resource, start_at, owner)
                where c.resource = w.resource and c.starting = w.start_at and c.owner = w.owner and c.forced;
            end if;
            if cardinality(u_claim) > 0 then
                insert into unique_claims (claim, owner) select * from unnest(u_claim, u_owner);
            end if;
            if cardinality(t_resource) > 0 then
                perform 1 from (
                    select w.*, lag(w.end_at) over (partition by w.resource, w.forced order by w.start_at) as neighbour
                    from unnest(t_resource, t_start, t_end, t_forced) w(resource, start_at, end_at, forced)) q
                where not q.forced and (q.neighbour > q.start_at
                    or (select c.ending from time_claims c where c.resource = q.resource and not c.forced and c.starting < q.end_at
                        order by c.starting desc limit 1) > q.start_at
                    or (select 1 from time_claims c where c.resource = q.resource and c.forced and c.starting < q.end_at
                        and c.ending > q.start_at limit 1) is not null
                    or true = any(t_forced)) limit 1;
                if found then raise exclusion_violation; end if;
                insert into time_claims (resource, starting, ending, owner, forced, expires)
                select * from unnest(t_resource, t_start, t_end, t_owner, t_forced, t_expires);
            end if;
            perform 1 from unnest(e_stream, e_version) w(stream, version) where w.version = 0 and (
                select 1 from stored_events o where o.originator_id = w.stream and o.originator_version = w.version limit 1) is not null limit 1;
            if found then raise unique_violation; end if;
        exception when unique_violation or exclusion_violation then
            good := false;
        end;
    end if;

    if not good then
        for i in 1..n loop
            before := i - 1;
            if s_command[i] = any(s_command[1:before]) then outcomes[i] := 6; continue; end if;
            select l.* into logged from command_log l where l.command_id = s_command[i];
            if found then
                outcomes[i] := case when s_hash[i] is not distinct from logged.request_hash then 1 else 2 end;
                streams[i] := logged.stream; versions[i] := logged.version; positions[i] := logged.position;
                continue;
            end if;

            x := array[coalesce(s_x[before], 0) + 1, s_x[i]];
            select x[1] + w.ord - 1 into clashing
            from unnest(x_stream[x[1]:x[2]], x_before[x[1]:x[2]], x_rests[x[1]:x[2]]) with ordinality w(stream, before, rests, ord)
            where outcomes[nullif(w.rests, 0)] <> 0 or w.before <> coalesce(
                case when entangled then (
                    select y.after from unnest(x_save[1:x[1] - 1], x_stream[1:x[1] - 1], x_after[1:x[1] - 1]) y(save, stream, after)
                    where y.stream = w.stream and outcomes[y.save] = 0 order by y.save desc limit 1) end,
                (select e.originator_version from stored_events e where e.originator_id = w.stream order by e.originator_version desc limit 1),
                0)
            limit 1;
            if found then outcomes[i] := 3; details[i] := clashing; continue; end if;
            perform 1 from unnest(e_stream[coalesce(s_e[before], 0) + 1:s_e[i]], e_version[coalesce(s_e[before], 0) + 1:s_e[i]]) w(stream, version)
            where (select 1 from stored_events o where o.originator_id = w.stream and o.originator_version = w.version limit 1) is not null limit 1;
            if found then outcomes[i] := 3; continue; end if;
            if i = any(n_save) then
                perform 1 from unnest(n_save, n_id, n_since) w(save, named, since) where w.save = i and ((
                    select 1 from stored_events o where o.clinic_id = s_clinic[i] and o.notification_id > w.since
                        and position(convert_to(w.named::text, 'UTF8') in o.state) > 0 limit 1) is not null or (
                    select 1 from unnest(e_save[1:coalesce(s_e[before], 0)], e_body[1:coalesce(s_e[before], 0)]) o(save, body)
                    where outcomes[o.save] = 0 and s_clinic[o.save] = s_clinic[i] and position(convert_to(w.named::text, 'UTF8') in o.body) > 0 limit 1) is not null)
                limit 1;
                if found then outcomes[i] := 3; continue; end if;
            end if;

            u := array[coalesce(s_u[before], 0) + 1, s_u[i]];
            v := array[coalesce(s_v[before], 0) + 1, s_v[i]];
            if u[1] <= u[2] then
                select u[1] + w.ord - 1 into clashing from unnest(u_claim[u[1]:u[2]], u_owner[u[1]:u[2]]) with ordinality w(claim, owner, ord)
                where (select 1 from unique_claims c where c.claim = w.claim and c.owner <> w.owner and not exists (
                    select from unnest(v_claim[v[1]:v[2]], v_owner[v[1]:v[2]]) f(claim, owner) where f.claim = c.claim and f.owner = c.owner) limit 1) is not null limit 1;
                if found then outcomes[i] := 4; details[i] := clashing; continue; end if;
            end if;
            t := array[coalesce(s_t[before], 0) + 1, s_t[i]];
            r := array[coalesce(s_r[before], 0) + 1, s_r[i]];
            if t[1] <= t[2] then
                select t[1] + w.ord - 1 into clashing
                from unnest(t_resource[t[1]:t[2]], t_start[t[1]:t[2]], t_end[t[1]:t[2]], t_owner[t[1]:t[2]], t_forced[t[1]:t[2]])
                    with ordinality w(resource, start_at, end_at, owner, forced, ord)
                where not w.forced and (
                    (select c.ending from time_claims c where c.resource = w.resource and not c.forced and c.starting < w.end_at
                        and c.owner <> w.owner and (c.expires is null or c.expires > moment) and not exists (
                            select from unnest(r_resource[r[1]:r[2]], r_start[r[1]:r[2]], r_owner[r[1]:r[2]]) f(resource, start_at, owner)
                            where f.resource = c.resource and f.start_at = c.starting and f.owner = c.owner)
                        order by c.starting desc limit 1) > w.start_at
                    or (select 1 from time_claims c where c.resource = w.resource and c.forced and c.starting < w.end_at
                        and c.ending > w.start_at and c.owner <> w.owner limit 1) is not null
                ) limit 1;
                if found then outcomes[i] := 5; details[i] := clashing; continue; end if;
            end if;

            if v[1] <= v[2] then
                delete from unique_claims c using unnest(v_claim[v[1]:v[2]], v_owner[v[1]:v[2]]) w(claim, owner)
                where c.claim = w.claim and c.owner = w.owner;
            end if;
            if r[1] <= r[2] then
                delete from time_claims c using unnest(r_resource[r[1]:r[2]], r_start[r[1]:r[2]], r_owner[r[1]:r[2]]) w(resource, start_at, owner)
                where c.resource = w.resource and c.starting = w.start_at and c.owner = w.owner and not c.forced;
                delete from time_claims c using unnest(r_resource[r[1]:r[2]], r_start[r[1]:r[2]], r_owner[r[1]:r[2]]) w(resource, start_at, owner)
                where c.resource = w.resource and c.starting = w.start_at and c.owner = w.owner and c.forced;
            end if;
            if u[1] <= u[2] then
                insert into unique_claims (claim, owner) select * from unnest(u_claim[u[1]:u[2]], u_owner[u[1]:u[2]]);
            end if;
            if t[1] <= t[2] then
                delete from time_claims c using unnest(t_resource[t[1]:t[2]], t_start[t[1]:t[2]], t_end[t[1]:t[2]]) w(resource, start_at, end_at)
                where c.resource = w.resource and c.starting < w.end_at and c.ending > w.start_at and c.expires <= moment;
                insert into time_claims (resource, starting, ending, owner, forced, expires)
                select * from unnest(t_resource[t[1]:t[2]], t_start[t[1]:t[2]], t_end[t[1]:t[2]], t_owner[t[1]:t[2]], t_forced[t[1]:t[2]],
                    t_expires[t[1]:t[2]]);
            end if;
        end loop;
    end if;

    return query
    with accepted as materialized (
        select top + row_number() over (order by e.ord) as pos, e.*, s_clinic[e.save] as clinic,
            (greatest(coalesce(s_recorded[e.save], moment), h.recorded_at)) as wished, h.hash as start
        from unnest(e_save, e_stream, e_version, e_topic, e_kind, e_id, e_person, e_mac, e_body)
            with ordinality e(save, stream, version, topic, kind, id, person, mac, body, ord)
        left join lateral (select c.hash, c.recorded_at from chain_heads c where c.clinic_id = s_clinic[e.save]) h on true
        where outcomes[e.save] = 0
    ), timed as materialized (
        select a.*, max(a.wished) over (partition by a.clinic order by a.pos) as recorded from accepted a
    ), chained as materialized (
        select t.*, (extract(epoch from t.recorded) * 1000000)::bigint as us,
            chain(coalesce(t.start, sha256(uuid_send(t.clinic))), event_content(
                t.pos, t.stream, t.version, t.topic, t.clinic, t.kind, t.id, s_command[t.save], s_correlation[t.save], s_causation[t.save],
                s_actor[t.save], t.person, (extract(epoch from t.recorded) * 1000000)::bigint, t.mac, t.body
            )) over (partition by t.clinic order by t.pos) as hash
        from timed t
    ), written as (
        insert into stored_events (
            originator_id, originator_version, topic, state, notification_id, clinic_id, stream_kind, partition, event_id, command_id,
            correlation_id, causation_id, actor, person, recorded_at, mac, hash)
        select c.stream, c.version, c.topic, c.body, c.pos, c.clinic, c.kind, get_byte(uuid_send(c.clinic), 15) % parts, c.id, s_command[c.save],
            s_correlation[c.save], s_causation[c.save], s_actor[c.save], c.person, c.recorded, c.mac, c.hash
        from chained c order by c.pos
    ), heads as (
        insert into chain_heads (clinic_id, position, hash, recorded_at)
        select distinct on (c.clinic) c.clinic, c.pos, c.hash, c.recorded from chained c order by c.clinic, c.pos desc
        on conflict (clinic_id) do update set position = excluded.position, hash = excluded.hash, recorded_at = excluded.recorded_at
    ), moved as (
        update store_head set position = top + (select count(*) from chained) where exists (select from chained)
    ), firsts as materialized (
        select distinct on (c.save) c.save, c.pos, c.us, c.stream, max(c.version) over (partition by c.save, c.stream) as version,
            max(c.pos) over (partition by c.save) as last
        from chained c order by c.save, c.pos
    ), remembered as (
        insert into command_log (command_id, request_hash, stream, version, position, saved_at)
        select s_command[f.save], s_hash[f.save], f.stream, f.version, f.last, moment from firsts f
    )
    select q.outcome, q.pos, q.us, q.stream, q.version, q.last, q.detail from (
        select f.save, outcomes[f.save] as outcome, f.pos, f.us, f.stream, f.version, f.last, details[f.save] as detail from firsts f
        union all
        select i, outcomes[i], null, null, streams[i], versions[i], positions[i], details[i] from generate_series(1, n) i
        where outcomes[i] <> 0 or s_e[i] = coalesce(s_e[i - 1], 0)) q
    order by q.save;
end $$;
"""

LOOKUPS = """
create or replace function claim_holder(this uuid) returns uuid
language sql stable security definer set search_path = public, pg_temp set enable_seqscan = off as $$
    select c.owner from unique_claims c where c.claim = this;
$$;

drop function if exists time_holders(uuid[], timestamptz[], timestamptz[]);
create function time_holders(resources uuid[], starts timestamptz[], ends timestamptz[]) returns table (place bigint, holder uuid, since timestamptz, upto timestamptz)
language sql stable security definer set search_path = public, pg_temp set enable_seqscan = off as $$
    select w.n, c.owner, c.starting, c.ending from unnest(resources, starts, ends) with ordinality w(resource, start_at, end_at, n)
    join time_claims c on not c.forced and c.resource = w.resource and c.starting < w.end_at and c.starting > w.start_at - interval '367 days'
    where c.ending > w.start_at and (c.expires is null or c.expires > clock_timestamp())
    union
    select w.n, c.owner, c.starting, c.ending from unnest(resources, starts, ends) with ordinality w(resource, start_at, end_at, n)
    join time_claims c on c.forced and c.resource = w.resource and c.starting < w.end_at and c.starting > w.start_at - interval '367 days'
    where c.ending > w.start_at and (c.expires is null or c.expires > clock_timestamp());
$$;

create or replace function stream_tenant(stream uuid) returns uuid
language sql stable security definer set search_path = public, pg_temp set enable_seqscan = off as $$
    select e.clinic_id from stored_events e where e.originator_id = stream order by e.originator_version limit 1;
$$;
"""

FORGET = """
create or replace function forget_commands(most int) returns int
language plpgsql volatile security definer set search_path = public, pg_temp set enable_seqscan = off as $$
declare gone int;
begin
    with keyed as (
        select command_id from command_log where request_hash is not null and saved_at < now() - interval '24 hours'
        order by saved_at limit most for update skip locked
    ), bare as (
        select command_id from command_log where request_hash is null and saved_at < now() - interval '30 days'
        order by saved_at limit most for update skip locked
    ), deleted as (
        delete from command_log where command_id in (select * from keyed union all select * from bare) returning 1
    ) select count(*) into gone from deleted;
    return gone;
end $$;
"""

POLICIES = """
alter table {t} enable row level security;
alter table {t} force row level security;
drop policy if exists owner on {t};
create policy owner on {t} to anamnesis_owner using (true) with check (true);
drop policy if exists tenant on {t};
create policy tenant on {t} for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));
"""
READERS = """
drop policy if exists reader on {t};
create policy reader on {t} for select to anamnesis_relay, anamnesis_projector, anamnesis_courier using (true);
"""
GRANTS = """
revoke all on all functions in schema public from public;
grant usage on schema public to anamnesis_gateway, anamnesis_relay, anamnesis_projector, anamnesis_courier;
grant execute on function append_events, forget_commands, stream_tenant, claim_holder, time_holders to anamnesis_gateway;
grant select on stored_events to anamnesis_gateway, anamnesis_relay, anamnesis_projector, anamnesis_courier;
grant select on store_head, store_settings, chain_heads to anamnesis_gateway, anamnesis_relay, anamnesis_projector, anamnesis_courier;
grant select on command_log to anamnesis_gateway, anamnesis_courier;
grant select, insert on snapshots to anamnesis_gateway;
grant select, insert on person_keys to anamnesis_gateway;
grant select on person_keys to anamnesis_projector, anamnesis_courier;
"""
EXTRA = """
drop policy if exists writer on {t};
create policy writer on {t} for insert to anamnesis_gateway
    with check (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));
"""


def install(conn: Connection[Any], *, partitions: int = 4) -> None:
    """Create or upgrade the store; `conn` is the owner's, in autocommit. The number of partitions is fixed by the first call."""
    with conn.transaction():
        conn.execute(TABLES)
        conn.execute(SQL("insert into store_settings (partitions) values ({}) on conflict do nothing").format(Literal(partitions)))
        conn.execute(DIGEST)
        conn.execute(APPEND)
        conn.execute(FORGET)
        conn.execute(LOOKUPS)
        for table in ("stored_events", "snapshots", "person_keys"):
            conn.execute(SQL(POLICIES).format(t=Identifier(table)))
        for table in ("stored_events", "person_keys"):
            conn.execute(SQL(READERS).format(t=Identifier(table)))
        for table in ("snapshots", "person_keys"):
            conn.execute(SQL(EXTRA).format(t=Identifier(table)))
        conn.execute(GRANTS)
