"""Child processes that are kept alive, and stopped in order.

How it works. One loop in the main thread waits on a queue: a thread per child waits for its end and reports it, signal handlers report a
wish to stop. A dead child is started again after a wait that doubles from 0.2 to 10 seconds and is forgotten after a quiet
time; each death is one visible line. Stopping goes by `rank`, the highest first: those of one rank are asked together and waited for
together, so that nobody loses the database under his feet. Who runs is written to run.json for `anamnesis status`.

What may go wrong. The kernel ties a child's leash to the thread that started it, so only the main thread starts children. Ctrl-C reaches only us
(children have sessions of their own). It is noted, and obeyed where nothing is half done: by the loop, before the next child is started, or at once
within `interruptible`. An exception at any other moment would leave a child that nobody knows. A second Ctrl-C kills what is left; everything is
built to survive that. A start that fails at once (a Trouble) counts as a death.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from anamnesis.stack.home import write_private
from anamnesis.stack.process import await_end
from anamnesis.trouble import Trouble

FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
QUIET_TIME = 20.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Child = subprocess.Popen[bytes]


@dataclass
class Service:
    """How to start one child, and how to ask it to stop. With `once` its end is expected, and told to `then`."""

    name: str
    rank: int
    start: Callable[[], Child]
    ask: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    once: bool = False
    then: Callable[[int], None] = lambda _code: None
    last_words: Callable[[], str] = lambda: ""
    child: Child | None = None
    born: float = 0.0
    wait: float = 0.0
    due: float | None = None


class Supervisor:
    """Keeps services running until it is told to stop. `say` shows a line to the person at the terminal."""

    def __init__(self, say: Callable[[str], None], record: Path) -> None:
        self._say = say
        self._record = record
        self._services: list[Service] = []
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._asked = False  # to stop
        self._interruptible = False
        self._stopping = False
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._stop_all()
        self._record.unlink(missing_ok=True)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def add(self, service: Service) -> None:
        """Start a service now; the loop watches it from then on. Whoever was asked to stop meanwhile starts nothing more: KeyboardInterrupt."""
        if self._asked:
            raise KeyboardInterrupt
        self._services.append(service)
        self._launch(service)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Something that takes long and may be broken off at any moment, by a KeyboardInterrupt."""
        self._interruptible = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._interruptible = False

    def call_soon(self, action: Callable[[], None]) -> None:
        """From any thread: have the main thread do this."""
        self._events.put(action)

    def run(self) -> None:
        """Watch until a signal asks to stop."""
        while not self._asked:
            try:
                self._events.get(timeout=self._until_next_start())()
            except queue.Empty:
                self._start_due()

    def note(self, **facts: Any) -> None:
        """Write down who runs, for other programs of this installation."""
        self.facts |= facts
        processes = {service.name: service.child.pid for service in self._services if service.child and service.child.poll() is None}
        write_private(self._record, json.dumps({"pid": os.getpid(), **self.facts, "processes": processes}))

    def _launch(self, service: Service) -> None:
        service.due = None
        service.born = time.monotonic()
        try:
            child = service.start()
        except Trouble as trouble:
            self._bury(service, None, str(trouble))
            return
        service.child = child
        threading.Thread(target=self._watch, args=(service, child), daemon=True).start()
        self.note()

    def _watch(self, service: Service, child: Child) -> None:
        code = child.wait()
        self.call_soon(lambda: self._ended(service, child, code))

    def _ended(self, service: Service, child: Child, code: int) -> None:
        if self._stopping or child is not service.child:
            return
        if service.once:
            self._services.remove(service)
            service.then(code)
        else:
            self._bury(service, code, service.last_words() if code > 0 else "")

    def _bury(self, service: Service, code: int | None, words: str) -> None:
        quiet = time.monotonic() - service.born > QUIET_TIME
        service.wait = FIRST_WAIT if quiet or not service.wait else min(2 * service.wait, LONGEST_WAIT)
        service.due = time.monotonic() + service.wait
        how = "could not be started" if code is None else f"died ({describe(code)})"
        self._say(f"{service.name} {how}, next start in {service.wait:g} s{': ' + words if words else ''}")
        self.note()

    def _until_next_start(self) -> float | None:
        due = [service.due for service in self._services if service.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_due(self) -> None:
        for service in self._services:
            if service.due is not None and service.due <= time.monotonic():
                self._launch(service)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            self._kill_all()
            return
        self._asked = True
        self.call_soon(lambda: None)  # wakes the loop
        if self._interruptible:
            self._interruptible = False  # once is enough
            raise KeyboardInterrupt(signal.Signals(number).name)

    def _stop_all(self) -> None:
        for rank in sorted({service.rank for service in self._services}, reverse=True):
            living = [(s, s.child) for s in self._services if s.rank == rank and s.child and s.child.poll() is None]
            for service, child in living:
                child.send_signal(service.ask)
            for service, child in living:
                await_end(child, service.patience)

    def _kill_all(self) -> None:
        for service in self._services:
            if service.child and service.child.poll() is None:
                service.child.send_signal(signal.SIGQUIT if service.ask is signal.SIGINT else signal.SIGKILL)


def describe(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
