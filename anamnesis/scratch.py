"""A whole installation of its own in a temporary directory, for tests and benchmarks: `anamnesis up` as a child, with handles to hurt it.

How it works. `Scratch` runs the real command on a free port, on nothing or on a copy of what there is, and reads who runs from run.json. `kill` is SIGKILL; the supervisor starts the
victim again, and `revived` waits for that. Temporary directories lie directly in /tmp, open for walking through, since under root
Postgres runs as `nobody`.

What may go wrong. If we are killed, the kernel tells `anamnesis up` to stop; only its directory stays behind. To purge JetStream between death
and restart the supervisor is stopped (SIGSTOP) for a moment, else it would be faster than we are.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from anamnesis.installation import Installation, is_external
from anamnesis.settings import Kind, Settings
from anamnesis.stack import Home
from anamnesis.stack.process import alive, spawn, terminate
from anamnesis.status import running_record
from anamnesis.trouble import Trouble

UNHURRIED = {  # who measures or tests is no guest
    "ANAMNESIS_RATE_ACCOUNT": "10000000", "ANAMNESIS_RATE_ADDRESS": "10000000", "ANAMNESIS_STREAMS_ACCOUNT": "10000000",
}
READY_SECONDS = 120.0
DEMO_SECONDS = 3600.0
STOP_SECONDS = 90.0


class Scratch:
    """`with Scratch() as stack:` and there is an API at `stack.url`."""

    def __init__(
        self, *, gateways: int = 1, projectors: int = 1, demo: str | None = None, of: Path | None = None, env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.data_dir = temporary_directory()
        self._of = of
        self._cwd = cwd
        self._env = {**UNHURRIED, **(env or {})}
        self._arguments = ["--port", "0", "--gateways", str(gateways), "--projectors", str(projectors)]
        self._arguments += ["--demo", demo] if demo else []
        self._patience = DEMO_SECONDS if demo else READY_SECONDS
        self.output = self.data_dir / "up.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self._of is not None:
                copy(self._of, self.data_dir)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def start(self) -> None:
        """Return when everything runs and the gateway is healthy."""
        command = [sys.executable, "-m", "anamnesis", "up", "--data-dir", str(self.data_dir), *self._arguments]
        self.process = process = spawn(command, env=self._env, log=self.output, at_death=signal.SIGTERM, cwd=self._cwd)
        try:
            until(lambda: self._ready() or process.poll() is not None, self._patience, "it is not ready")
        except Trouble as trouble:
            raise Trouble(f"{trouble}: {self._story()}") from None
        if process.poll() is not None:
            raise Trouble(f"it did not start: {self._story()}")

    def stop(self) -> int:
        """As Ctrl-C does; gives the exit code."""
        return terminate(self.process, signal.SIGINT, STOP_SECONDS) if self.process else 0

    @property
    def url(self) -> str:
        return str(running_record(self.data_dir)["url"])

    @property
    def installation(self) -> Installation:
        home = Home(self.data_dir)
        return Installation.external(home, self._env) if is_external(self._env) else Installation.embedded(home)

    def settings(self, kind: Kind) -> Settings:
        """What a process of this kind is told here."""
        return self.installation.settings(kind)

    def database_url(self, role: str) -> str:
        """The database, as owner, gateway, relay, projector or courier."""
        return self.installation.database_urls[role]

    def pids(self) -> dict[str, int]:
        """Who runs: postgres, nats, relay, projector-1, ..., courier, gateway-1, ..."""
        return dict(running_record(self.data_dir).get("processes", {}))

    def kill(self, name: str) -> int:
        """Kill -9, now. Gives the victim's process id; a victim that was not alive is an error."""
        pid = self.pids().get(name)
        if pid is None or not alive(pid):
            raise Trouble(f"{name} is not alive: there is nothing to kill")
        os.kill(pid, signal.SIGKILL)
        return pid

    def revived(self, name: str, victim: int, seconds: float = 30.0) -> int:
        """Wait until the supervisor has started it again; gives the new process id."""
        until(lambda: self.pids().get(name, victim) != victim, seconds, f"{name} was not started again")
        return self.pids()[name]

    def restart_nats(self, *, purge: bool) -> None:
        """Kill NATS, forget its streams if asked to, and wait for the next one."""
        with self._held():
            victim = self.kill("nats")
            until(lambda: not alive(victim), 10, "NATS survived a kill -9")
            if purge:
                shutil.rmtree(self.data_dir / "nats" / "store")
        self.revived("nats", victim)

    @contextmanager
    def _held(self) -> Iterator[None]:
        supervisor = self.process.pid if self.process else 0
        os.kill(supervisor, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(supervisor, signal.SIGCONT)

    def _ready(self) -> bool:
        record = running_record(self.data_dir)
        return bool(self.process and record.get("pid") == self.process.pid and record.get("ready"))

    def _story(self) -> str:
        texts = [path.read_text("utf-8", "replace")[-2000:] for path in (self.output, *(self.data_dir / "logs").glob("[cgrp][aeor]*.log"))]
        return "\n".join(texts)


def copy(source: Path, target: Path) -> None:
    """Copy an installation that is at rest, with its owners, as fast as the file system can."""
    if not (source / "LAYOUT").is_file():
        raise Trouble(f"there is no installation in {source}")
    home = Home(source)
    home.claim()
    try:
        what = [f"{home.path}/.", *([str(home.cluster())] if home.cluster().parent != home.path else [])]
        subprocess.run(["cp", "-a", "--reflink=auto", *what, str(target)], check=True)  # noqa: S607 - whichever cp there is
    finally:
        home.release()


def temporary_directory() -> Path:
    """A directory that Postgres's user can reach."""
    path = Path(tempfile.mkdtemp(prefix="anamnesis-"))
    path.chmod(0o711)
    return path


def until(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Trouble(otherwise)
        time.sleep(0.02)
