"""That this installation was restored from a backup: when, and up to which position its history goes on from there.

How it works. Line 0 stands for a restore that is under way: it is written before anything else and becomes a numbered line as the last step, so a database that bears it is not
whole, and neither migration nor process begins its work there.

What may go wrong. Positions behind the one that was restored were once those of other events: whoever has seen them must begin anew.
"""

from typing import Any

from psycopg import Connection

SQL = """
create table if not exists restorations (
    number int primary key, position bigint not null, began_at timestamptz not null default clock_timestamp(), finished_at timestamptz
);
grant select on restorations to anamnesis_gateway;
"""
FINISH = """
insert into restorations (number, position, began_at, finished_at)
select coalesce(max(number), 0) + 1, %s, min(began_at) filter (where number = 0), clock_timestamp() from restorations
"""


def install(conn: Connection[Any]) -> None:
    """Make the table; `conn` is the owner's."""
    conn.execute(SQL)


def begin(conn: Connection[Any]) -> None:
    """Mark the database as not whole."""
    conn.execute("insert into restorations (number, position) values (0, 0) on conflict do nothing")


def finish(conn: Connection[Any], position: int) -> None:
    """Mark it as whole, with a history that goes on from here."""
    with conn.transaction():
        conn.execute("set local synchronous_commit = on")
        conn.execute(FINISH, (position,))
        conn.execute("delete from restorations where number = 0")


def unfinished(conn: Connection[Any]) -> bool:
    """Say whether a restore was begun here and not finished."""
    if conn.execute("select to_regclass('restorations')").fetchone() == (None,):
        return False
    return conn.execute("select 1 from restorations where number = 0").fetchone() is not None
