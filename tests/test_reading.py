"""Rows are found by one door: one clinic's alone, many at once, through whatever happens to a connection."""

import asyncio
from datetime import UTC, date, datetime
from typing import ClassVar
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from domain.kit import Frozen
from projections.kit.lanes import Lanes, ReadUnavailable, array, numbered
from projections.kit.pages import ForgedError, pack, unpack
from projections.kit.reading import CursorInvalid, Reader, Reading, Wanted, wire_of
from projections.kit.stored import Stored
from schemas.kit import Row
from tests.served import until

HERE, THERE = UUID(int=1), UUID(int=2)


class Part(Frozen):
    words: str
    count: int


DDL = """
create table reading_things (clinic_id uuid not null, position bigint not null default 0, id uuid not null, name text collate "C" not null, on_day date,
    at timestamptz not null, parts jsonb not null, count bigint not null, primary key (clinic_id, id));
alter table reading_things enable row level security;
alter table reading_things force row level security;
create policy owner on reading_things to anamnesis_owner using (true) with check (true);
create policy tenant on reading_things for select to anamnesis_gateway using (clinic_id = (select nullif(current_setting('app.clinic', true), '')::uuid));
grant select on reading_things to anamnesis_gateway;
"""


@pytest.fixture(scope="module")
def things(module_database):
    """Forty things here, ten there; every fourth has no day."""
    with psycopg.connect(module_database.url("owner"), autocommit=True) as connection:
        connection.execute(DDL)
        for n in range(50):
            connection.execute(
                "insert into reading_things values (%s, %s, %s, %s, %s, %s, %s, %s)",
                (HERE if n < 40 else THERE, n, UUID(int=100 + n), f"Thing {n:02}", None if n % 4 == 0 else date(2026, 1, 1 + n % 7),
                 datetime(2026, 1, 1, n % 24, tzinfo=UTC), '[{"words": "x\\u00e9", "count": 3}]', n % 3))
    return module_database


class ThingRow(Row):
    """A thing of these tests."""

    table: ClassVar[str] = "reading_things"
    permission: ClassVar[str] = "appointments.view"
    id: UUID
    name: str
    on_day: date | None
    at: datetime
    parts: list[Part]
    count: int


@pytest.fixture
async def reading(things):
    made = Reading(things.url("gateway"), size=3)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def here(reading) -> Reader:
    return await reading.of(HERE)


async def test_a_reader_sees_one_clinic_alone(reading, here):
    assert len(await here.find(ThingRow)) == 40
    there = await reading.of(THERE)
    assert {row.name for row in await there.find(ThingRow)} == {f"Thing {n}" for n in range(40, 50)}
    assert await here.one(ThingRow, UUID(int=145)) is None
    assert await there.one(ThingRow, UUID(int=145)) is not None


async def test_row_level_security_holds_whatever_is_asked(reading, here):
    assert (await here.ask("select count(*) from reading_things where clinic_id = %s", (THERE,))).rows == [(0,)]
    assert (await reading.lanes.ask(None, "select count(*) from reading_things")).rows == [(0,)]
    await here.ask("select 1")
    assert (await reading.lanes.ask(None, "select count(*) from reading_things")).rows == [(0,)], "a setting outlived its question"


@pytest.mark.parametrize(("kind", "values"), [
    ("text", ["", "NULL", "null", 'a"b', "a\\b", "a,{b}", " x ", "\n\t", "é€😀", "\\", '"', None]),
    ("uuid", [UUID(int=1), None, uuid4()]), ("bytea", [b"", b"\\", b'"', bytes(range(256)), None]), ("bigint", [0, -(2**63), 2**63 - 1, None]),
    ("boolean", [True, False, None]), ("date", [date(1, 1, 1), date(9999, 12, 31), None]), ("timestamptz", [datetime(2026, 3, 29, 1, 30, 0, 5, tzinfo=UTC), None]),
    ("text", []), ("uuid", [None]),
])
async def test_a_list_arrives_as_it_was_sent(reading, kind, values):
    assert array(values) is not None
    found = await reading.lanes.ask(None, f"select v from unnest(%s::{kind}[]) with ordinality t(v, n) order by n", (values,))  # noqa: S608 - a word of ours
    assert [value for (value,) in found.rows] == values


async def test_a_list_that_no_column_could_hold_is_refused_and_one_of_lists_is_none_of_these(reading):
    with pytest.raises(psycopg.DataError):
        await reading.lanes.ask(None, "select %s::text[]", (["a\0b"],))
    assert (array(["a\0b"]), array([[1], [2]]), array([1.5])) == (None, None, None)


async def test_rows_come_as_they_were_written(here):
    row = await here.one(ThingRow, UUID(int=101))
    assert row == ThingRow(
        id=UUID(int=101), name="Thing 01", on_day=date(2026, 1, 2), at=datetime(2026, 1, 1, 1, tzinfo=UTC), parts=[Part(words="xé", count=3)], count=1)
    found = await here.fetch(ThingRow, {"id": UUID(int=101)})
    assert found is not None
    assert found.body == (
        '{"id":"00000000-0000-0000-0000-000000000065","name":"Thing 01","onDay":"2026-01-02","at":"2026-01-01T01:00:00Z",'
        '"parts":[{"count": 3, "words": "xé"}],"count":1}').encode()


async def test_rows_are_found_by_value_by_several_and_by_null(here):
    assert len(await here.find(ThingRow, count=1)) == 13
    assert len(await here.find(ThingRow, count=[0, 1])) == 27
    assert len(await here.find(ThingRow, on_day=None)) == 10
    assert len(await here.find(ThingRow, on_day=None, count=0)) == 4


async def test_any_sql_becomes_structs(here):
    class Sum(Frozen):
        """How many there are."""

        how_many: int
        first_day: date | None

    sql = "select count as how_many, min(on_day) as first_day from reading_things where name like 'Thing%%' and count > %s group by 1 order by 1"
    assert await here.select(Sum, sql, 0) == [Sum(how_many=1, first_day=date(2026, 1, 1)), Sum(how_many=2, first_day=date(2026, 1, 1))]


@pytest.mark.parametrize("sort", ["name", "on_day", "at", "count", "id"])
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_walk_through_everything_once_in_order(here, sort, descending):
    rows = await here.find(ThingRow)
    for limit in (1, 7, 40, 100):
        seen, cursor = [], None
        while True:
            page = await here.page(ThingRow, Wanted(sort=sort, descending=descending, limit=limit, cursor=cursor))
            seen += msgspec.json.decode(page.items, type=list[ThingRow])
            if (cursor := page.next) is None:
                break
        assert sorted(seen, key=lambda row: row.id) == sorted(rows, key=lambda row: row.id)
        values = [getattr(row, sort) for row in seen]
        known = [v for v in values if v is not None]
        assert known == sorted(known, reverse=descending)
        assert values == known + [None] * (len(values) - len(known)), "nulls come last"


@pytest.mark.parametrize("cursor", ["", "x", "WyJuYW1lIl0", "bnVsbA", "WyJhdCIsZmFsc2UsIngiLCJ5Il0", "é"])
async def test_cursors_that_are_not_ours_are_refused(here, cursor):
    with pytest.raises(CursorInvalid):
        await here.page(ThingRow, Wanted(sort="at", cursor=cursor))


async def test_many_questions_share_few_connections_and_errors_stay_alone(reading):
    readers = [await reading.of(HERE), await reading.of(THERE)]

    async def one(n):
        if n % 5 == 0:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await readers[n % 2].ask("select 1 / (%s::int - %s::int)", (n, n))
            return None
        return (await readers[n % 2].ask("select count(*), %s::int from reading_things", (n,))).rows[0]

    answers = await asyncio.gather(*(one(n) for n in range(300)))
    assert all(a == ((40, 10)[n % 2], n) for n, a in enumerate(answers) if n % 5)


async def test_whoever_gives_up_waiting_disturbs_nobody(reading, here):
    slow = [asyncio.create_task(here.ask("select pg_sleep(0.2)")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in slow:
        task.cancel()
    assert (await here.ask("select 7")).rows == [(7,)]


async def test_a_lost_connection_is_replaced_and_a_read_asked_again(things, reading, here):
    asked = [asyncio.create_task(here.ask("select pg_sleep(0.3), count(*) from reading_things")) for _ in range(2)]
    await asyncio.sleep(0.1)
    with psycopg.connect(things.superuser_url, autocommit=True) as root:
        killed = root.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'reader-1' and datname = current_database()").fetchall()
    assert killed
    assert [(await task).rows[0][1] for task in asked] == [40, 40]

    async def whole():
        return all(lane.up.is_set() for lane in reading.lanes._lanes)

    await until(whole)


async def test_what_must_not_be_asked_twice_is_not(things):
    lanes = Lanes(things.url("gateway"), size=1)
    await lanes.open()
    asked = asyncio.create_task(lanes.ask(None, "select pg_sleep(5)", again=False))
    await asyncio.sleep(0.1)
    with psycopg.connect(things.superuser_url, autocommit=True) as root:
        root.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'reader-1' and datname = current_database()")
    with pytest.raises(ReadUnavailable):
        await asked
    await lanes.close()


async def test_without_a_database_it_says_so():
    lanes = Lanes("postgresql://nobody@/nothing?host=/nowhere", size=1)
    await lanes.open(patience=0.05)
    with pytest.raises(ReadUnavailable):
        await lanes.ask(None, "select 1")
    await lanes.close()


async def test_a_view_that_is_swapped_under_a_prepared_statement(things, here):
    with psycopg.connect(things.url("owner"), autocommit=True) as owner:
        owner.execute("create view reading_view with (security_invoker = true) as select clinic_id, id, count from reading_things")
        owner.execute("grant select on reading_view to anamnesis_gateway")
        sql = "select * from reading_view where id = %s"
        asked = [here.ask(sql, (UUID(int=102),)) for _ in range(6)]
        assert {(await a).rows[0][2] for a in asked} == {2}
        owner.execute("drop view reading_view")
        owner.execute("create view reading_view with (security_invoker = true) as select clinic_id, id, name, count::text from reading_things")
        owner.execute("grant select on reading_view to anamnesis_gateway")
    for _ in range(6):
        answer = await here.ask(sql, (UUID(int=102),))
        assert (answer.columns, answer.rows[0][2:]) == (("clinic_id", "id", "name", "count"), ("Thing 02", "2"))


async def test_more_statements_than_a_lane_remembers(here, monkeypatch):
    monkeypatch.setattr("projections.kit.lanes.STATEMENTS", 5)
    for round_ in range(3):
        for n in range(12):
            assert (await here.ask(f"select {n} + %s::int", (round_,))).rows == [(n + round_,)]


def test_placeholders_are_numbered():
    assert numbered("select %s, '100%%', %s where x = any(%s::uuid[])") == b"select $1, '100%', $2 where x = any($3::uuid[])"


def test_the_wire_form_has_the_rows_own_names():
    assert wire_of(ThingRow).columns == "t.id, t.name, t.on_day, t.at, t.parts::text, t.count"


def test_a_page_is_believed_only_with_its_mac():
    event = Stored(7, uuid4(), 1, "RoomAdded", HERE, "rooms", 1, uuid4(), uuid4(), uuid4(), None, uuid4(), None, 5, b"m", b"h", b"{}")
    payload, headers = pack([event], "events.1", 3, 7, b"k" * 32)
    assert unpack(payload, headers, "events.1", b"k" * 32) == (3, 7, [event])
    for forged in (
        (payload, headers, "events.2", b"k" * 32), (payload, headers, "events.1", b"j" * 32), (payload + b"x", headers, "events.1", b"k" * 32),
        (payload, {**headers, "prev": "2"}, "events.1", b"k" * 32), (payload, {**headers, "last": "8"}, "events.1", b"k" * 32),
        (payload, {}, "events.1", b"k" * 32), (payload, None, "events.1", b"k" * 32), (payload, {**headers, "prev": "x"}, "events.1", b"k" * 32),
    ):
        with pytest.raises(ForgedError):
            unpack(*forged)
