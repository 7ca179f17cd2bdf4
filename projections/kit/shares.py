"""Filling versions of read models share by share, on several processes at once, so that whoever is interrupted goes on.

How it works. A share is a read model's history in some partitions, up to a position. It is replayed and written in one transaction, which also says that it is there
(`read_model_shares`); what is missing after an interruption is made by whoever goes on. Partitions are a clinic's, and no row is of two clinics, so shares never touch the same row.
With one job everything happens in this process; with more, in processes of their own, the largest read models first. A read model is divided only where there are
too few of them to keep all jobs busy: each share reads past what is in the others' partitions.

What may go wrong. A share that is interrupted leaves nothing. A process that is killed ends the rebuild, and the shares that are done stay. Ctrl-C and whatever else
the caller raises while it is told of progress ends all processes within a window of events.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from multiprocessing import connection, get_context, parent_process
from signal import SIG_IGN, SIGINT, signal
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import Connection

from projections.kit.build import OPTIONS, Progress, RebuildError
from projections.kit.declare import PROJECTIONS
from projections.kit.engine import Parked
from projections.kit.keys import KeyRing
from projections.kit.replay import Only, Skips, replay
from projections.kit.tables import load, table_name

TOLD_SECONDS = 0.1
KEEP = """
insert into read_model_shares (name, version, partitions, position, events, rows, seconds, parked, skipped) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
KEPT = "select partitions, position, events, rows, seconds, parked::text, skipped from read_model_shares where name = %s and version = %s"


class Share(NamedTuple):
    """What is to be filled: a version of a read model, in some partitions, up to a position, without the events that were discarded."""

    name: str
    version: int
    partitions: tuple[int, ...]
    upto: int
    skips: Skips


class Filled(NamedTuple):
    """What was filled."""

    partitions: list[int]
    position: int
    events: int
    rows: int
    seconds: float
    parked: list[Parked]
    skipped: str


class Interrupted(Exception):
    """The one who asked wants no more of it."""


def digest(skips: Skips) -> str:
    """Return by what a set of discarded events is told from another."""
    return sha256(repr(sorted(skips)).encode()).hexdigest()[:16]


def kept(conn: Connection[Any], name: str, version: int) -> list[Filled]:
    """Return the shares of a version that are there."""
    found = conn.execute(KEPT, (name, version)).fetchall()
    return [Filled._make((*values, msgspec.json.decode(parked, type=list[Parked]), skipped)) for *values, parked, skipped in found]


def divided(name: str, version: int, missing: Sequence[int], upto: int, skips: Skips, parts: int) -> list[Share]:
    """Return the shares of a read model whose partitions are not there yet, at most so many."""
    groups = [tuple(missing[n::parts]) for n in range(parts)]
    return [Share(name, version, group, upto, skips) for group in groups if group]


def fill(url: str, kek: bytes, shares: Sequence[Share], jobs: int, say: Progress) -> Iterator[tuple[Share, Filled]]:
    """Fill shares, and yield each as it is there."""
    reached = dict.fromkeys(range(len(shares)), 0)

    def tell(number: int, at: int) -> None:
        reached[number] = at
        name = shares[number].name
        own = [n for n, share in enumerate(shares) if share.name == name]
        say(name, "replay", sum(reached[n] for n in own), sum(shares[n].upto for n in own))

    if jobs == 1:
        for number, share in enumerate(shares):
            yield share, _fill(url, kek, share, lambda at, number=number: tell(number, at))
        return
    context = get_context("spawn")
    told, stop = context.SimpleQueue(), context.Event()
    with ProcessPoolExecutor(min(jobs, len(shares)), context, _enter, (told, stop)) as pool:
        running: dict[Future[Filled], Share] = {pool.submit(_fill_apart, url, kek, share, n): share for n, share in enumerate(shares)}
        try:
            while running:
                done, _ = wait(running, TOLD_SECONDS, FIRST_COMPLETED)
                while not told.empty():
                    tell(*told.get())
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool:
            message = "a process of the rebuild has ended before its work was done; what is done is kept, and the next rebuild goes on from there"
            raise RebuildError(message) from None
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _fill(url: str, kek: bytes, share: Share, progress: Any) -> Filled:
    """Replay a share into its table and say that it is there, both or neither."""
    began, table = time.monotonic(), table_name(share.name, share.version)
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as conn, conn.transaction():
        done = replay(url, conn, PROJECTIONS[share.name], table, share.upto, KeyRing(kek), share.skips, progress, Only(share.partitions))
        made = Filled(list(share.partitions), share.upto, done.events, done.rows, time.monotonic() - began, done.parked, digest(share.skips))
        *values, parked, skipped = made
        conn.execute(KEEP, (share.name, share.version, *values, msgspec.json.encode(parked).decode(), skipped))
    return made


_told: Any = None
_stop: Any = None


def _enter(told: Any, stop: Any) -> None:
    """Begin in a process of the pool."""
    global _told, _stop  # what a pool's process has for its whole life
    _told, _stop = told, stop
    follow_parent()
    load()


def follow_parent() -> None:
    """Leave Ctrl-C to the process that made this one, and do not outlive it."""
    signal(SIGINT, SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _fill_apart(url: str, kek: bytes, share: Share, number: int) -> Filled:
    last = 0.0

    def progress(at: int) -> None:
        nonlocal last
        if _stop.is_set():
            raise Interrupted
        if time.monotonic() - last > TOLD_SECONDS or at >= share.upto:
            last = time.monotonic()
            _told.put((number, at))

    return _fill(url, kek, share, progress)
