"""Looking after the read models from the command line: what the tools of `projections.kit` do, shown to a person.

What may go wrong. A tool that cannot do it now says why, in one line. An unknown name is answered with those that there are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import psycopg
from rich.console import Console

from anamnesis.installation import Installation
from anamnesis.progress import bars, table
from anamnesis.trouble import Trouble
from projections.kit.declare import PROJECTIONS
from projections.kit.parked import StillFailingError
from projections.kit.parked import discard as discard_events
from projections.kit.parked import listing as parked_streams
from projections.kit.parked import retry as retry_events
from projections.kit.rebuild import Progress, RebuildError, Report
from projections.kit.rebuild import back as go_back
from projections.kit.rebuild import rebuild as rebuild_models
from projections.kit.rebuild import verify as verify_models
from projections.kit.tables import load

CONSOLE = Console(stderr=True)
SHOWN = ("name", "version", "events", "rows", "parked", "seconds", "differing")


def rebuild(installation: Installation, names: Sequence[str]) -> None:
    """Rebuild read models, all unless some are named."""
    chosen = _known(names)
    with _working() as progress:
        report = rebuild_models(_url(installation), chosen, kek=_kek(installation), progress=progress)
    _show(report)
    CONSOLE.print("The new versions serve." if report.swapped else "Nothing was swapped.")


def verify(installation: Installation, names: Sequence[str]) -> bool:
    """Compare read models with history; whether every row is right."""
    chosen = _known(names)
    with _working() as progress:
        report = verify_models(_url(installation), chosen, kek=_kek(installation), progress=progress)
    _show(report)
    return report.equal


def back(installation: Installation, name: str) -> None:
    """Let the version before serve again."""
    [chosen] = _known([name])
    with _working() as progress:
        _show(go_back(_url(installation), chosen, kek=_kek(installation), progress=progress))


def parked(installation: Installation, *, discarded: bool) -> None:
    """List what is parked, or was discarded."""
    with psycopg.connect(_url(installation), autocommit=True) as connection:
        table(parked_streams(connection, discarded=discarded))


def retry(installation: Installation, projection: str | None, stream: UUID | None) -> None:
    """Project parked events again."""
    try:
        done = retry_events(_url(installation), kek=_kek(installation), projection=projection, stream=stream)
    except StillFailingError as error:
        raise Trouble(f"still failing: {error}") from error
    CONSOLE.print(f"{done} events projected.")


def discard(installation: Installation, projection: str, stream: UUID, reason: str) -> None:
    """Give up a stream's parked events for one read model."""
    [chosen] = _known([projection])
    gone = discard_events(_url(installation), chosen, stream, reason)
    if not gone:
        raise Trouble(f"nothing of {stream} is parked for {chosen}")
    CONSOLE.print(f"{gone} events discarded.")


@contextmanager
def _working() -> Iterator[Progress]:
    with bars(CONSOLE) as shown:
        try:
            yield lambda name, phase, done, total: shown(f"{name}: {phase}", done, total)
        except RebuildError as error:
            raise Trouble(str(error)) from error


def _known(names: Sequence[str]) -> list[str]:
    load()
    unknown = [name for name in names if name not in PROJECTIONS]
    if unknown:
        raise Trouble(f"there is no read model {unknown[0]}; there are {', '.join(sorted(PROJECTIONS))}")
    return list(names or PROJECTIONS)


def _show(report: Report) -> None:
    table({name: getattr(outcome, name) for name in SHOWN} for outcome in report.outcomes)
    for outcome in report.outcomes:
        if outcome.uncompared:
            CONSOLE.print(f"{outcome.name}: not compared, for only one of the two has them: {', '.join(outcome.uncompared)}")
        for column, (before, now) in outcome.sums.items():
            CONSOLE.print(f"{outcome.name}: {column} {before} -> {now}")
        for difference in outcome.differences:
            CONSOLE.print(f"{outcome.name}: {difference.kind} {difference.key} {' '.join(difference.columns)}", style="red")


def _url(installation: Installation) -> str:
    return installation.database_urls["owner"]


def _kek(installation: Installation) -> bytes:
    return installation.settings("owner").kek
