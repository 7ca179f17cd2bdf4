"""Read models as they stood, from the command line: what `projections.kit.replays` does, shown to a person.

What may go wrong. A replay has no tenants' wall: whoever may read it reads all clinics, so only the owner's login does. Whoever copies it elsewhere takes personal data
where no erasure looks for it.
"""

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rich.console import Console

from anamnesis.installation import Installation
from anamnesis.progress import bars, table
from anamnesis.trouble import Trouble
from projections.kit import replays
from projections.kit.replays import Moment, ReplayError

CONSOLE = Console(stderr=True, soft_wrap=True)


def build(installation: Installation, name: str, models: Sequence[str], until: str) -> None:
    """Build read models as they stood at a moment."""
    at = moment(until)
    with _troubles(), bars(CONSOLE) as shown:
        made = replays.build(
            _url(installation), name, replays.chosen(models), at, kek=installation.settings("owner").kek, by=getpass.getuser(),
            progress=lambda model, phase, done, total: shown(f"{model}: {phase}", done, total))
    table({"model": model.name, "rows": model.rows, "parked": model.parked} for model in made)
    CONSOLE.print(f"Ask it:      anamnesis replay query {name} 'table {made[0].name} limit 5'", markup=False)
    CONSOLE.print(f'or, with the owner\'s password:  psql "{address(_url(installation), name)}"', markup=False)
    CONSOLE.print(f"Drop it:     anamnesis replay drop {name}", markup=False)


def show(installation: Installation) -> None:
    """List the replays there are."""
    with _troubles():
        table(replays.listing(_url(installation)))


def query(installation: Installation, name: str, statement: str) -> None:
    """Ask a replay."""
    with _troubles():
        try:
            table(replays.query(_url(installation), name, statement))
        except psycopg.Error as error:
            raise Trouble(str(error).strip().splitlines()[0]) from error


def drop(installation: Installation, name: str) -> None:
    """Drop a replay."""
    with _troubles():
        replays.drop(_url(installation), name)
    CONSOLE.print(f"{name} is gone.")


def moment(text: str) -> Moment:
    """Return the position or instant that somebody has typed."""
    if text.isdigit() and len(text) <= 18:  # noqa: PLR2004 - what a bigint holds
        return int(text)
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        found = None
    if found is None or found.tzinfo is None:
        raise Trouble(f"{text} is neither a position nor an instant with its offset such as 2026-03-02T08:30:00Z")
    return found


def address(url: str, name: str) -> str:
    """Return where psql finds a replay: without the password, and so that nothing is changed by mistake."""
    plain = {key: value for key, value in conninfo_to_dict(url).items() if key != "password" and value is not None}
    return make_conninfo("", **{**plain, "options": f"-csearch_path={name} -cdefault_transaction_read_only=on"})


@contextmanager
def _troubles() -> Iterator[None]:
    try:
        yield
    except ReplayError as error:
        raise Trouble(str(error)) from error


def _url(installation: Installation) -> str:
    return installation.database_urls["owner"]
