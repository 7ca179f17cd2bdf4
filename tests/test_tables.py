"""The read models' tables: versions, views, and the wall between clinics."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.kit import Frozen, Id, Money
from domain.rooms import RoomEvent
from projections.kit import tables
from projections.kit.declare import PROJECTIONS, Projection
from projections.kit.rows import Change, KeyMismatchError, mapper_of
from schemas.kit import INDEXED, Row, computed, fold
from tests.history import CLINICS, START


class Part(Frozen):
    long_name: str
    price: Money


class ThingRow(Row):
    """Anything a row may be made of."""

    table: ClassVar[str] = "things"
    permission: ClassVar[str] = "things.view"
    key: ClassVar[tuple[str, ...]] = ("on", "id")
    hidden: ClassVar = {"sort": computed("text", lambda r: fold(r.name)), "grams": computed("text[]", lambda r: [r.name[:3], 'a"b\\c,{}'])}
    gin: ClassVar[tuple[str, ...]] = ("grams",)
    indexes: ClassVar[tuple[str, ...]] = ('"end" desc, id',)
    id: Id
    on: date
    name: Annotated[str, INDEXED]
    total: Money
    end: datetime | None
    parts: list[Part]
    part: Part | None
    ok: bool
    other_id: Id | None


class WiderRow(ThingRow):
    """A later release's things."""

    table: ClassVar[str] = "things"
    colour: str | None = None


def thing(n: int, **changed) -> ThingRow:
    parts = [Part(long_name='É\t\n\\N"x', price=n)] * n
    values = {
        "id": UUID(int=n), "on": date(2026, 1, n + 1), "name": f"Éva {n}", "total": 2**53 - n, "end": START if n else None, "parts": parts,
        "part": parts[0] if n else None, "ok": bool(n), "other_id": None if n else uuid4(),
    }
    return ThingRow(**{**values, **changed})


def changes(*rows: ThingRow, clinic: UUID = CLINICS[0]) -> list[Change]:
    return [Change((clinic, row.on, row.id), row, n) for n, row in enumerate(rows, 1)]


@pytest.fixture
def things(monkeypatch, database):
    """A database with one more read model; `things(row)` installs a release with that row."""
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:

        def release(row: type[Row]) -> list[str]:
            monkeypatch.setitem(PROJECTIONS, "things", Projection(row, RoomEvent, lambda before, _: before, None, fresh=False))
            return tables.install(owner)

        yield release


def kept(conn, *rows: ThingRow) -> list:
    mapper = mapper_of(ThingRow)
    lines = conn.execute(mapper.load_sql("things"), (mapper.keys([c.key for c in changes(*rows)]),), binary=True).fetchall()
    return sorted((line := mapper.kept(each)).position and line for each in lines)


def test_rows_come_back_as_they_went_in(database, things):
    things(ThingRow)
    mapper, rows = mapper_of(ThingRow), [thing(n) for n in range(4)]
    with psycopg.connect(database.url("projector"), autocommit=True, options="-c timezone=UTC") as conn:
        for _ in range(2):
            conn.execute(mapper.upsert_sql("things"), mapper.encoded(changes(*rows)))
        back = {k.key: k for k in kept(conn, *rows)}
        assert [back[c.key] for c in changes(*rows)] == [(c.key, c.row, c.position) for c in changes(*rows)]
        assert conn.execute("select sort, grams from things order by sort limit 1").fetchone() == ("eva 0", ["Éva", 'a"b\\c,{}'])
        conn.execute(mapper.delete_sql("things"), (mapper.keys([changes(rows[0])[0].key]),))
        assert len(kept(conn, *rows)) == 3


def test_copied_rows_are_the_same_as_written_ones(database, things):
    things(ThingRow)
    mapper, rows = mapper_of(ThingRow), [thing(n) for n in range(4)]
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute(mapper.upsert_sql("things"), mapper.encoded(changes(*rows)))
        tables.create(owner, ThingRow, "copied", temporary=True)
        with owner.cursor().copy(mapper.copy_sql("copied")) as copy:
            copy.set_types(mapper.copy_types)
            for change in changes(*rows):
                copy.write_row(mapper.copied(change.key[0], change.row, change.position))
        named = ", ".join(f'"{n}"' for n in mapper.names)
        differing = owner.execute(f"select count(*) from (select {named} from things except select {named} from copied) q").fetchone()  # noqa: S608
        assert (differing, owner.execute("select count(*) from copied").fetchone()) == ((0,), (4,))


def test_a_row_under_another_key_is_not_written():
    change = changes(thing(1))[0]._replace(key=(CLINICS[0], date(2026, 1, 1), UUID(int=77)))
    with pytest.raises(KeyMismatchError):
        mapper_of(ThingRow).encoded([change])


def test_a_clinic_sees_its_own_rows_and_nobody_sees_all(database, things):
    things(ThingRow)
    mapper = mapper_of(ThingRow)
    with psycopg.connect(database.url("projector"), autocommit=True) as conn:
        for clinic in CLINICS[:2]:
            conn.execute(mapper.upsert_sql("things"), mapper.encoded(changes(thing(1), clinic=clinic)))
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:
        for relation in ("things", "things_v1"):
            assert conn.execute(f"select count(*) from {relation}").fetchone() == (0,)  # noqa: S608
            with conn.transaction():
                conn.execute("select set_config('app.clinic', %s, true)", (str(CLINICS[1]),))
                assert conn.execute(f"select clinic_id from {relation}").fetchall() == [(CLINICS[1],)]  # noqa: S608
        for refused in ("delete from things", "insert into things_v1 select * from things_v1", "truncate things_v1", "select * from projector_members"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(refused)


def test_no_process_may_change_tables_or_skip_the_wall(database, things):
    things(ThingRow)
    for role in ("gateway", "relay", "projector"):
        with psycopg.connect(database.url(role), autocommit=True) as conn:
            for refused in ("drop view things", "alter table things_v1 disable row level security", "update read_models set active = true"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(refused)
            assert conn.execute("select rolsuper or rolbypassrls from pg_roles where rolname = current_user").fetchone() == (False,)
            owned = "select count(*) from pg_class where relowner = (select oid from pg_roles where rolname = current_user)"
            assert conn.execute(owned).fetchone() == (0,)


def test_a_read_model_has_the_indexes_it_asked_for(database, things):
    things(ThingRow)
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        found = [line for (line,) in owner.execute("select indexdef from pg_indexes where tablename = 'things_v1'")]
        text = owner.execute("select collation_name from information_schema.columns where table_name = 'things_v1' and column_name = 'name'").fetchone()
    wanted = ['(clinic_id, "on", id)', "(clinic_id, name)", '(clinic_id, "end" DESC, id)', "gin (grams)"]
    assert all(any(each in line for line in found) for each in wanted), found
    assert text == ("C",)


def test_installing_again_changes_nothing(database, things):
    things(ThingRow)
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        before = owner.execute("select * from read_models order by name").fetchall(), owner.execute("select * from read_model_state").fetchall()
        assert things(ThingRow) == []
        assert before == (owner.execute("select * from read_models order by name").fetchall(), owner.execute("select * from read_model_state").fetchall())


def test_other_columns_wait_for_a_rebuild_while_the_old_ones_serve(database, things):
    things(ThingRow)
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute("update projector_tracking set position = 1 where partition = 0")
        assert things(WiderRow) == ["things"]
        assert things(WiderRow) == ["things"]
        assert [(v.version, v.active, v.built) for v in tables.versions(owner, "things")] == [(1, True, True), (2, False, False)]
        with pytest.raises(psycopg.errors.UndefinedColumn):
            owner.execute("select colour from things")


def test_other_columns_serve_at_once_where_nothing_has_happened_yet(database, things):
    things(ThingRow)
    assert things(WiderRow) == []
    with psycopg.connect(database.url("gateway"), autocommit=True) as conn:
        assert conn.execute("select colour from things").fetchall() == []


def test_a_new_read_model_on_a_store_with_history_needs_a_rebuild(database, things):
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute("update projector_tracking set position = 1 where partition = 0")
    assert things(ThingRow) == ["things"]
