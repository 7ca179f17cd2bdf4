"""One read model rebuilt in a process of its own, so that its time and memory are its own; and the same events merely copied out.

How it works. `python -m ... NAME` rebuilds beside the live version, compares the two row by row, and throws the new one away. What it says on its output is the
projection kit's own report, and the most memory it ever held.
"""

import os
import resource
import subprocess
import sys
import time
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
    seconds: float  # replay, copy, indexes
    whole_seconds: float  # the comparison as well
    differing: int
    compared: bool
    parked: int
    peak_mib: float


def rebuilt(settings: Settings, name: str) -> Rebuilt:
    """Rebuild a read model in a child."""
    env = {**passed_on(), variable("database_url"): settings.database_url, variable("kek"): settings.environment()[variable("kek")]}
    done = subprocess.run([sys.executable, "-m", __name__, name], env=env, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Trouble(f"the rebuild of {name} failed")
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


def main(name: str) -> None:
    """Rebuild, and say what came of it."""
    report = rebuild(os.environ[variable("database_url")], [name], kek=bytes.fromhex(os.environ[variable("kek")]), swap=False)
    (one,) = report.outcomes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = Rebuilt(one.events, one.rows, one.seconds, report.seconds, one.differing, one.compared, one.parked, round(peak, 1))
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main(sys.argv[1])
