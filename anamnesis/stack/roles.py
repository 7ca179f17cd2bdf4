"""Who may log in to the database, and as what.

How it works. An administrator's connection makes four roles and the database. `anamnesis_owner` owns the database and thereby
its tables and migrations; the processes' roles own nothing. None is a superuser, none may bypass row-level security, none
inherits another. What each may do to a table is granted by whoever makes the table (`commands.kit.schema`,
`projections.kit.tables`). The public may not even connect.

What may go wrong. Everything here is safe to repeat, at every start. A password that changed is set anew. Against a server that is not ours
the administrator's role needs CREATEROLE and CREATEDB; without them the owner's URL works if somebody made the roles before.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from anamnesis.stack.home import DATABASE_ROLES

DATABASE = "anamnesis"
OWNER = "anamnesis_owner"
ROLES = tuple(f"anamnesis_{role}" for role in DATABASE_ROLES)
RIGHTS = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT")

Connection = psycopg.Connection[tuple[object, ...]]


def establish(admin_url: str, secrets: Mapping[str, str], database: str = DATABASE) -> None:
    """Make the roles and the database where they are missing."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for role in DATABASE_ROLES:
            _role(connection, f"anamnesis_{role}", secrets[f"{role}_password"])
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            create_database(connection, database)
        secure_database(connection, database)


def create_database(connection: Connection, database: str, template: str = "template1") -> None:
    """Make a database that belongs to the owner's role."""
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
    connection.execute(statement.format(sql.Identifier(database), sql.Identifier(OWNER), sql.Identifier(template)))


def secure_database(connection: Connection, database: str) -> None:
    """Let our roles connect and nobody else; only the owner may create anything."""
    name, owner = sql.Identifier(database), sql.Identifier(OWNER)
    roles = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, roles))
    connection.execute(sql.SQL("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}").format(name, owner))
    connection.execute(sql.SQL("ALTER DATABASE {} SET timezone TO 'UTC'").format(name))


def _role(connection: Connection, role: str, password: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER ROLE" if known else "CREATE ROLE")
    # A password is no parameter of CREATE ROLE, and the server logs no statement of ours.
    connection.execute(sql.SQL("{} {} {} PASSWORD {}").format(verb, sql.Identifier(role), RIGHTS, sql.Literal(password)))
