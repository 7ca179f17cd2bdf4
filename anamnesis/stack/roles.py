"""Who may log in to the database, and as what.

How it works. An administrator's connection makes the roles and the database. `anamnesis_owner` owns the database and thereby
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
TOO_MUCH = """
    SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls OR rolinherit OR NOT rolcanlogin
    FROM pg_roles WHERE rolname = %s
"""
RIGHTS = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT")

Connection = psycopg.Connection[tuple[object, ...]]


def establish(admin_url: str, secrets: Mapping[str, str], database: str = DATABASE) -> None:
    """Make the roles and the database where they are missing. An administrator who is no superuser becomes a member of the owner's role."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for role in DATABASE_ROLES:
            _role(connection, f"anamnesis_{role}", secrets[f"{role}_password"])
        if connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (True,):
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
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
    known = connection.execute(TOO_MUCH, [role]).fetchone()
    name = sql.Identifier(role)
    if not known:
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(name, RIGHTS))
    elif known[0]:
        connection.execute(sql.SQL("ALTER ROLE {} {}").format(name, RIGHTS))
    # Hashed here: the server, and so its log, never sees the password.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(hashed)))
