"""`anamnesis up`: everything at once, on one machine.

How it works. First what may be refused: the data directory, the port. Then Postgres, NATS, migrations; then relay, projectors, courier, notary, builder and
gateways as children of the supervisor. When the gateway says it is healthy, a demo is made if one was asked for and there is none, by a
child of its own; then the person at the terminal is told where to go. From there on the supervisor watches.

What may go wrong. Whatever fails before the workers start ends the program in one line, with everything stopped again. Later failures are the
supervisor's: a restart, and a line.
"""

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from socket import socket

import msgspec
from rich.console import Console

from anamnesis.installation import Installation, is_external
from anamnesis.migrations import migrate
from anamnesis.serve import listen
from anamnesis.settings import Kind
from anamnesis.stack import EmbeddedNats, EmbeddedPostgres, Home
from anamnesis.stack.postgres import last_line
from anamnesis.stack.process import spawn
from anamnesis.supervisor import Child, Service, Supervisor
from anamnesis.upkeep import rebuild

HEALTH_SECONDS = 60.0
POSTGRES, NATS, WORKERS, GATEWAY, ERRAND = range(5)
"""Ranks: the highest is stopped first."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for on the command line."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    gateways: int = 1
    projectors: int = 1
    demo: str | None = None


def up(options: Options, console: Console) -> None:
    """Run everything until told to stop."""
    home = Home(options.data_dir)
    home.claim()
    (home.path / "run.json").unlink(missing_ok=True)
    try:
        with listen(options.host, options.port) as listener, Supervisor(_teller(console), home.path / "run.json") as supervisor:
            _Up(options, console, home, supervisor, listener).run()
    except KeyboardInterrupt:
        pass
    finally:
        home.release()
    console.print("Stopped.")


class _Up:
    def __init__(self, options: Options, console: Console, home: Home, supervisor: Supervisor, listener: socket) -> None:
        self.options = options
        self.console = console
        self.home = home
        self.supervisor = supervisor
        self.listener = listener
        self.port = int(listener.getsockname()[1])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - told apart, not bound
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def run(self) -> None:
        self.installation = Installation.external(self.home, os.environ) if is_external(os.environ) else self._embedded()
        self.installation.establish()
        with self.supervisor.interruptible(), self.console.status("migrations") as status:
            waiting = migrate(self.installation.database_urls["owner"], lambda step: status.update(f"migrations: {step}"))
        if waiting:  # none of this release's processes could do without them
            self.console.print(f"This release changed what is remembered; filling {', '.join(waiting)}.")
            with self.supervisor.interruptible():
                rebuild(self.installation, waiting)
        self._start_processes()
        self.supervisor.note(url=self.url)
        threading.Thread(target=self._await_health, daemon=True).start()
        self.supervisor.run()
        self.console.print("Stopping gateway, workers, NATS, Postgres ...")

    def _embedded(self) -> Installation:
        postgres, nats = EmbeddedPostgres(self.home), EmbeddedNats(self.home)
        with self.console.status("Postgres"):
            self.supervisor.add(Service("postgres", POSTGRES, _again(postgres), signal.SIGINT, 60, last_words=_words(postgres.log)))
            with self.supervisor.interruptible():
                postgres.wait_ready()
        with self.console.status("NATS"):
            nats.prepare()
            self.supervisor.add(Service("nats", NATS, nats.spawn, patience=20, last_words=_words(nats.log)))
            with self.supervisor.interruptible():
                nats.wait_ready()
        return Installation.embedded(self.home)

    def _start_processes(self) -> None:
        self._process("relay", "relay", WORKERS, ["worker", "relay"])
        for number in range(1, self.options.projectors + 1):
            self._process(f"projector-{number}", "projector", WORKERS, ["worker", "projector"])
        self._process("courier", "courier", WORKERS, ["worker", "courier"])
        self._process("notary", "notary", WORKERS, ["worker", "notary"])
        self._process("builder", "builder", WORKERS, ["worker", "builder"])
        descriptor = self.listener.fileno()
        for number in range(1, self.options.gateways + 1):
            self._process(f"gateway-{number}", "gateway", GATEWAY, ["gateway", "--fd", str(descriptor)], [descriptor])

    def _process(self, name: str, kind: Kind, rank: int, arguments: list[str], descriptors: list[int] | None = None) -> None:
        env = self._settings(kind)
        log = self.home.logs / f"{name}.log"
        command = [sys.executable, "-m", "anamnesis", *arguments]

        def start() -> Child:
            return spawn(command, env=env, log=log, pass_fds=descriptors or [])

        self.supervisor.add(Service(name, rank, start, last_words=_words(log)))

    def _settings(self, kind: Kind) -> dict[str, str]:
        options = self.options
        numbers = {"gateways": options.gateways, "projectors": options.projectors}
        return self.installation.settings(kind, host=options.host, port=self.port, **numbers).environment()

    def _await_health(self) -> None:
        started = time.monotonic()
        while not healthy(self.url):
            if time.monotonic() - started > HEALTH_SECONDS:
                self.supervisor.call_soon(self._tell_unhealthy)
                started = float("inf")
            time.sleep(0.1)
        self.supervisor.call_soon(self._on_healthy)

    def _tell_unhealthy(self) -> None:
        self.console.print(f"[yellow]The gateway is not healthy yet; its log is {self.home.logs / 'gateway-1.log'}. Still waiting.[/]")

    def _on_healthy(self) -> None:
        if self.options.demo:
            self._start_demo(self.options.demo)
        else:
            self._tell_ready(0)

    def _start_demo(self, size: str) -> None:
        command = [sys.executable, "-m", "anamnesis", "demo", "--if-empty", "--size", size, "--data-dir", str(self.home.path)]
        external = {name: os.environ[name] for name in os.environ if name.startswith("ANAMNESIS_")}
        self.supervisor.add(
            Service("demo", ERRAND, lambda: spawn(command, env=external), once=True, then=self._tell_ready),
        )

    def _tell_ready(self, code: int) -> None:
        from anamnesis.welcome import welcome  # noqa: PLC0415 - looks at the demo, which only now exists

        if code:
            self.console.print(f"[red]The demo data could not be made (exit code {code}).[/] Everything else runs.")
        welcome(self.console, self.url, self.installation, self.home.logs)
        self.supervisor.note(ready=True)


def healthy(url: str) -> bool:
    """Does the gateway say that it can serve?"""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (OSError, urllib.error.URLError):
        return False


def _again(postgres: EmbeddedPostgres) -> Callable[[], Child]:
    def start() -> Child:
        postgres.prepare()
        return postgres.spawn()

    return start


def _words(log: Path) -> Callable[[], str]:
    return lambda: last_line(log)[:200]


def _teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(f"[yellow]{time.strftime('%H:%M:%S')}[/] {line}", highlight=False)
