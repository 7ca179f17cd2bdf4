"""Where things are measured: real servers in temporary directories."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg

from anamnesis.bench.kit import clinics
from anamnesis.bench.kit.clinics import Clinic
from anamnesis.bench.kit.figures import Result
from anamnesis.bench.kit.frame import Bench, Options
from anamnesis.migrations import migrate
from anamnesis.scratch import Scratch, temporary_directory, until
from anamnesis.stack import EmbeddedPostgres
from anamnesis.trouble import Trouble
from projections.kit.rebuild import verify
from projections.kit.tables import LIVE, PARTITION

OF_CLINIC = PARTITION.format(clinic="c.clinic_id", partitions="s.partitions")
BEHIND = f"""
select coalesce(max(c.position - t.position), 0), coalesce(sum(c.position), 0) from chain_heads c cross join store_settings s
join projector_tracking t on t.grp = '{LIVE}' and t.partition = {OF_CLINIC}
where c.position > t.position
"""  # noqa: S608
SAMPLE = f"""
select {OF_CLINIC}, max(c.position), max(t.position) from chain_heads c cross join store_settings s
join projector_tracking t on t.grp = '{LIVE}' and t.partition = {OF_CLINIC} group by 1
"""  # noqa: S608
CATCH_UP_SECONDS = 600.0
SAMPLE_SECONDS = 0.05


@contextmanager
def bare_store() -> Iterator[EmbeddedPostgres]:
    """A Postgres with our tables and nobody at work on them."""
    folder = temporary_directory()
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        migrate(server.url("owner"))
        yield server
    finally:
        server.stop()
        server.home.release()
        shutil.rmtree(folder, ignore_errors=True)


class Place:
    """A whole installation with clinics in it, under measurement."""

    def __init__(self, stack: Scratch, bench: Bench, made: list[Clinic]) -> None:
        self.stack = stack
        self.bench = bench
        self.clinics = made

    @classmethod
    def of(cls, stack: Scratch, options: Options, made: list[Clinic]) -> Self:
        """Begin to measure an installation, if its conditions are honest."""
        nats_url = stack.settings("relay").nats_url
        bench = Bench(options, owner_url=stack.database_url("owner"), role_url=stack.database_url("gateway"), nats_url=nats_url)
        return cls(stack, bench, made)

    @property
    def url(self) -> str:
        """Where its gateway is."""
        return self.stack.url

    def tokens(self) -> list[list[str]]:
        """Sign every user of every clinic in, anew."""
        return clinics.tokens(self.url, self.clinics)

    def done(self) -> list[Result]:
        """The results, once every read model has been found equal to its rebuild."""
        self.caught_up()
        self.bench.options.tell("  live = rebuild?")
        models_are_sound(self.bench.owner_url, self.stack.settings("owner").kek)
        for result in self.bench.results:
            result.checked = [*result.checked, "live = rebuild"]
        return self.bench.done()

    def caught_up(self) -> None:
        """Wait until the read models are level with the store."""
        with self.bench.connect() as connection:
            until(lambda: connection.execute(BEHIND).fetchone() == (0, 0), CATCH_UP_SECONDS, "the read models do not catch up")


def models_are_sound(owner_url: str, kek: bytes) -> None:
    """Every row of every read model is what history says."""
    report = verify(owner_url, kek=kek)
    if wrong := [f"{o.name} ({o.differing} rows)" for o in report.outcomes if o.differing or not o.compared]:
        raise Trouble(f"live is not rebuild: {', '.join(wrong)}")


@contextmanager
def lived_in(options: Options, size: str) -> Iterator[Place]:
    """A whole installation with a demo of that size, and nobody at work in it."""
    options.tell(f"  the {size} demo")
    with Scratch(**options.demo(size)) as stack:
        place = Place.of(stack, options, [])
        place.caught_up()
        yield place


@contextmanager
def furnished(
    options: Options, *, doctors: int = 20, patients: int = 1000, number: int = 3, invoices: int = 0, demo: str | None = None,
    person: clinics.Person | None = None,
) -> Iterator[Place]:
    """A whole installation, as `anamnesis up` runs it, with clinics that have nothing booked; perhaps with a demo around them."""
    with Scratch(**options.demo(demo)) as stack:
        options.tell(f"  {number} clinics with {doctors} doctors and {patients} patients each")
        made = clinics.found(stack.settings("gateway"), clinics=number, doctors=doctors, patients=patients, invoices=invoices, person=person)
        place = Place.of(stack, options, made)
        place.caught_up()
        yield place


class Lag:
    """Watches how long the read models take to reach what is in the store, for as long as the `with` lasts."""

    def __init__(self, owner_url: str) -> None:
        self._url = owner_url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._samples: list[tuple[float, dict[int, tuple[int, int]]]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.wait(SAMPLE_SECONDS):
                found: list[Any] = connection.execute(SAMPLE).fetchall()
                self._samples.append((time.perf_counter(), {p: (head, tracked) for p, head, tracked in found}))

    @property
    def worst(self) -> float:
        """The longest time that anything seen in the store was not yet in the read models."""
        worst, waiting = 0.0, dict[int, list[tuple[float, int]]]()
        for at, partitions in self._samples:
            for partition, (head, tracked) in partitions.items():
                queue = waiting.setdefault(partition, [])
                queue.append((at, head))
                while queue and queue[0][1] <= tracked:
                    worst = max(worst, at - queue.pop(0)[0])
        ends = [(self._samples[-1][0] - queue[0][0]) for queue in waiting.values() if queue]
        return max([worst, *ends])
