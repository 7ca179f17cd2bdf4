"""Looking after the read models from the command line: what the tools of `projections.kit` do, shown to a person.

What may go wrong. A tool that cannot do it now says why, in one line. An unknown name is answered with those that there are.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID, uuid4

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
from projections.kit.rebuild import MOST_JOBS, Progress, RebuildError, Report
from projections.kit.rebuild import rebuild as make
from projections.kit.rebuild import verify as verify_models
from projections.kit.rebuilds import Cancelled, Wish, typed
from projections.kit.tables import load

CONSOLE = Console(stderr=True)
SHOWN = ("name", "version", "events", "kept", "rows", "parked", "seconds", "differing")


def rebuild(installation: Installation, names: Sequence[str], *, clinic: UUID | None = None, jobs: int = 1, fresh: bool = False) -> None:
    """Rebuild read models, all unless some are named; or one clinic's rows in them."""
    report = _do(installation, Wish(uuid4(), "rebuild", _known(names), clinic, jobs, fresh))
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
    _do(installation, Wish(uuid4(), "back", _known([name])))


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


def furnish(owner_url: str, kek: bytes, told: Callable[[str, int, int], object]) -> None:
    """Make all read models from the events, on all cores, for an installation that nobody reads yet; `told` is called with a name, how many are begun, and of how many."""
    load()
    begun: dict[str, None] = {}

    def tell(name: str, phase: str, _done: int, _total: int) -> None:
        if phase == "replay" and name not in begun:
            begun[name] = None
            told("read models", len(begun), len(PROJECTIONS))

    if not make(owner_url, list(PROJECTIONS), kek=kek, jobs=min(os.cpu_count() or 1, MOST_JOBS), progress=tell).swapped:
        raise Trouble("the read models could not be made: `anamnesis projections rebuild` tries again")


def _do(installation: Installation, wish: Wish) -> Report:
    with _working() as progress:
        report = typed(_url(installation), _kek(installation), wish, progress)
    _show(report)
    return report


@contextmanager
def _working() -> Iterator[Progress]:
    with bars(CONSOLE) as shown:
        try:
            yield lambda name, phase, done, total: shown(f"{name}: {phase}", done, total)
        except RebuildError as error:
            raise Trouble(str(error)) from error
        except (Cancelled, KeyboardInterrupt):
            raise Trouble("cancelled; nothing was swapped, and the next rebuild goes on from here") from None


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
