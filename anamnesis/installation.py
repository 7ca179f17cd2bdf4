"""One installation as a whole: where its database and its NATS are, and how each of its processes gets in.

How it works. `settings(kind)` gives a process what `NEEDS` grants its kind and nothing else: the URL of its own database role, its own
NATS user, its keys. There are two sorts of installation.

- *Embedded*: Postgres and NATS are ours; all secrets are in the data directory's secrets.json.
- *External*: ANAMNESIS_DATABASE_URL and ANAMNESIS_NATS_URL are set. Host, port, database and options are taken from them; user and password are
  replaced per process by anamnesis_owner, anamnesis_gateway, ... and gateway, relay, projector, courier. A password or key comes from its
  variable (ANAMNESIS_GATEWAY_PASSWORD, ANAMNESIS_NATS_RELAY_PASSWORD, ANAMNESIS_MAC_KEY, ...), else from secrets.json. If the URL's own user may make roles
  (an administrator), `establish()` makes the roles and the database; else that user must be the owner.

What may go wrong. Only one of the two URLs set: refused, for half an embedded stack helps nobody. A process that is started alone (`anamnesis
gateway`) reads its own URLs as they are, with its own user; nothing is replaced there (`anamnesis.settings`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import psycopg

from anamnesis.settings import NEEDS, OPTIONS, Kind, Settings, variable
from anamnesis.stack.home import DATABASE_ROLES, NATS_USERS, Home
from anamnesis.trouble import Trouble

DATABASE_ROLE: dict[Kind, str] = {"builder": "owner"}
NATS_USER: dict[Kind, str] = {"gateway": "gateway", "relay": "relay", "projector": "projector", "courier": "courier", "owner": "gateway"}


class Installation(msgspec.Struct, frozen=True):
    """Where everything is. `database_urls` by role (owner, gateway, ...), `nats_urls` by user."""

    data_dir: Path
    secrets: dict[str, str]
    database_urls: dict[str, str]
    nats_urls: dict[str, str]
    admin_url: str = ""

    @classmethod
    def embedded(cls, home: Home) -> Self:
        """The installation in a data directory, whether it runs or not."""
        from anamnesis.stack import EmbeddedNats, EmbeddedPostgres  # noqa: PLC0415 - not loaded where nothing is embedded

        postgres, nats = EmbeddedPostgres(home), EmbeddedNats(home)
        roles = {role: postgres.url(role) for role in DATABASE_ROLES}
        users = {user: nats.url(user) for user in NATS_USERS}
        return cls(home.path, home.secrets(), roles, users, postgres.superuser_url())

    @classmethod
    def external(cls, home: Home, env: Mapping[str, str]) -> Self:
        """The installation that the environment points to."""
        database, nats = env[variable("database_url")], env[variable("nats_url")]
        secrets = {name: env.get(variable(name)) or value for name, value in home.secrets().items()}
        roles = {
            role: with_login(database, f"anamnesis_{role}", secrets[f"{role}_password"])
            for role in DATABASE_ROLES
        }
        users = {user: with_login(nats, user, secrets[f"nats_{user}_password"]) for user in NATS_USERS}
        if urlsplit(database).username == "anamnesis_owner":
            return cls(home.path, secrets, {**roles, "owner": database}, users)
        return cls(home.path, secrets, roles, users, database)

    def settings(self, kind: Kind, *, host: str = "127.0.0.1", port: int = 8000, gateways: int = 1, projectors: int = 1) -> Settings:
        """What a process of this kind is told."""
        told = {name: self._value(name, kind) for name in NEEDS[kind]}
        plain = {"host": host, "port": str(port), "data_dir": str(self.data_dir), "gateways": str(gateways)}
        env = {variable(name): value for name, value in {**told, **plain, "projectors": str(projectors)}.items()}
        env |= {variable(name): os.environ[variable(name)] for name in OPTIONS.get(kind, ()) if variable(name) in os.environ}
        return Settings.read(kind, env)

    def establish(self) -> None:
        """Make roles and database where an administrator's URL was given."""
        from anamnesis.stack import roles  # noqa: PLC0415 - only `up` and `migrate` come here

        if not self.admin_url:
            return
        database = urlsplit(self.database_urls["owner"]).path.strip("/") or roles.DATABASE
        try:
            roles.establish(urlunsplit(urlsplit(self.admin_url)._replace(path="/postgres")), self.secrets, database)
        except psycopg.Error as error:
            raise Trouble(f"the database cannot be prepared: {str(error).strip().splitlines()[0]}") from error

    def _value(self, name: str, kind: Kind) -> str:
        if name == "database_url":
            return self.database_urls[DATABASE_ROLE.get(kind, kind)]
        return self.nats_urls[NATS_USER[kind]] if name == "nats_url" else self.secrets[name]


def is_external(env: Mapping[str, str]) -> bool:
    """Does the environment point to a database and a NATS that are not ours?"""
    given = [bool(env.get(variable(name))) for name in ("database_url", "nats_url")]
    if any(given) and not all(given):
        raise Trouble("set both ANAMNESIS_DATABASE_URL and ANAMNESIS_NATS_URL, or neither for the embedded ones")
    return all(given)


def running(data_dir: Path, env: Mapping[str, str]) -> Installation:
    """The installation that a command of the CLI works on; it must be running."""
    if is_external(env):
        return Installation.external(Home(data_dir), env)
    if not (data_dir / "lock").exists() or Home(data_dir).holder() is None:
        raise Trouble(f"nothing runs in {data_dir}: start it with `anamnesis up`, or set ANAMNESIS_DATABASE_URL and ANAMNESIS_NATS_URL")
    return Installation.embedded(Home(data_dir))


def with_login(url: str, user: str, password: str) -> str:
    """The same place for another user."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
