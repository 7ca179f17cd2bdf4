"""The installation that a backup is taken of, or restored into, with its database at hand whether it runs or not."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from anamnesis.installation import Installation, is_external, running
from anamnesis.stack import EmbeddedPostgres, Home
from anamnesis.stack.home import fresh_secrets, write_private
from anamnesis.trouble import Trouble

TRAVEL = ("mac_key", "kek", "signing_key", "audit_key")
"""The secrets without which what was restored cannot be read, checked or signed; passwords and the bus key are made afresh."""
OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and usename = any(array['anamnesis_gateway', 'anamnesis_relay', 'anamnesis_projector', 'anamnesis_courier', 'anamnesis_notary'])
"""


@contextmanager
def to_back_up(data_dir: Path) -> Iterator[Installation]:
    """Give the installation as it runs, or with Postgres alone started for as long as it takes."""
    home = Home(data_dir) if (data_dir / "postgres").exists() or (data_dir / "secrets.json").exists() else None
    if is_external(os.environ) or home is None or home.holder():
        yield running(data_dir, os.environ)
    else:
        with _started(home) as installation:
            yield installation


def to_restore_into(data_dir: Path, secrets: Path | None) -> Installation:
    """Return an installation of which nothing runs yet, if it is embedded."""
    if is_external(os.environ):
        return Installation.external(Home(data_dir), os.environ)
    if (data_dir / "lock").exists() and (holder := Home(data_dir).holder()):
        raise Trouble(f"the data directory {data_dir} is in use by process {holder}: restore into another one")
    _take_secrets(data_dir, secrets)
    return Installation.embedded(Home(data_dir))


@contextmanager
def alone_in(installation: Installation) -> Iterator[None]:
    """Have its database at hand, with nobody else in it."""
    if not is_external(os.environ):
        with _started(Home(installation.data_dir)):
            yield
        return
    installation.establish()
    with psycopg.connect(installation.database_urls["owner"]) as conn:
        (others,) = conn.execute(OTHERS).fetchone() or (0,)
    if others:
        raise Trouble(f"{others} processes are connected to this database: stop gateways and workers first")
    yield


def _take_secrets(data_dir: Path, secrets: Path | None) -> None:
    """Put the secrets that must travel into a new data directory, the others made afresh."""
    place = data_dir / "secrets.json"
    if secrets is None:
        if not place.exists():
            raise Trouble("the secrets of the installation that was backed up are in no backup: name its secrets.json with --secrets")
        return
    try:
        told = json.loads(secrets.read_text("utf-8"))
        travel = {name: told[name] for name in TRAVEL}
    except (OSError, ValueError, KeyError, TypeError):
        raise Trouble(f"{secrets} does not hold the secrets of an installation ({', '.join(TRAVEL)})") from None
    if place.exists():
        here = json.loads(place.read_text("utf-8"))
        if any(here.get(name) != value for name, value in travel.items()):
            raise Trouble(f"{place} holds other secrets than {secrets}: restore into another directory")
        return
    Home(data_dir)
    write_private(place, json.dumps({**fresh_secrets(), **travel}, indent=1))


@contextmanager
def _started(home: Home) -> Iterator[Installation]:
    postgres = EmbeddedPostgres(home)
    postgres.start()
    try:
        yield Installation.embedded(home)
    finally:
        postgres.stop()
        home.release()
