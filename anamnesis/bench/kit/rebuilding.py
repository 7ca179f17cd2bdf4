"""Read models rebuilt in a process of their own, so that time and memory are their own; and the same events merely copied out.

How it works. `python -m ... JOBS NAME...` rebuilds beside the live versions, compares row by row, and throws the new ones away. What it says on its output is the
projection kit's own report, and the most memory it ever held, with that of its processes.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from anamnesis.settings import Settings, variable
from anamnesis.stack.process import passed_on
from anamnesis.trouble import Trouble
from projections.kit import PROJECTIONS
from projections.kit.rebuild import rebuild
from projections.kit.tables import load

RAW = """
copy (select notification_id, originator_id, originator_version, topic, clinic_id, event_id, recorded_at, state from stored_events
where topic = any({topics}) order by notification_id) to stdout (format binary)
"""


class Rebuilt(msgspec.Struct):
    """What a rebuild came to."""

    events: int
    rows: int
    seconds: float  # replay, copy, indexes, of all read models together
    whole_seconds: float  # by the clock, the comparison as well
    differing: int
    compared: bool
    parked: int
    peak_mib: float
    rates: dict[str, float]  # events a second, by read model


def rebuilt(settings: Settings, names: Sequence[str], jobs: int = 1) -> Rebuilt:
    """Rebuild read models in a child."""
    env = {**passed_on(), variable("database_url"): settings.database_url, variable("kek"): settings.environment()[variable("kek")]}
    done = subprocess.run([sys.executable, "-m", __name__, str(jobs), *names], env=env, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Trouble(f"the rebuild of {', '.join(names)} failed")
    return msgspec.json.decode(done.stdout, type=Rebuilt)


def copied(owner_url: str, name: str) -> tuple[int, float]:
    """Copy the same events out of Postgres and look at none; gives how many there are and the seconds it took."""
    load()
    topics = sorted(PROJECTIONS[name].topics)
    with psycopg.connect(owner_url, autocommit=True) as connection, connection.cursor() as cursor:
        count: Any = cursor.execute("select count(*) from stored_events where topic = any(%s)", [topics]).fetchone()
        began = time.perf_counter()
        with cursor.copy(RAW.format(topics=psycopg.sql.Literal(topics).as_string(connection))) as copy:
            for _ in copy:
                pass
        return int(count[0]), time.perf_counter() - began


def main(jobs: int, names: Sequence[str]) -> None:
    """Rebuild, and say what came of it."""
    report = rebuild(os.environ[variable("database_url")], names, kek=bytes.fromhex(os.environ[variable("kek")]), jobs=jobs, fresh=True, swap=False)
    several = report.outcomes
    own, largest = (resource.getrusage(whose).ru_maxrss / 1024 for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    told = Rebuilt(
        events=sum(o.events for o in several), rows=sum(o.rows for o in several), seconds=sum(o.seconds for o in several), whole_seconds=report.seconds,
        differing=sum(o.differing for o in several), compared=all(o.compared for o in several), parked=sum(o.parked for o in several),
        peak_mib=round(own + (jobs * largest if jobs > 1 else 0), 1), rates={o.name: o.events / o.seconds for o in several if o.seconds},
    )
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
