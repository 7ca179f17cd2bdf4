"""The data directory: one installation's lock, layout version, secrets and places.

How it works. `claim()` takes an exclusive `flock` on `lock` and writes our pid in it; the kernel releases it when the process ends,
however it ends, so a stale lock does not exist. `LAYOUT` says which layout and which Postgres made the directory. Secrets are
random, made once, mode 0600. Postgres refuses to run as root, so under root it runs as `nobody`; its cluster lies in the data
directory where `nobody` can reach it, else in /var/lib/anamnesis.

What may go wrong. Another program holds the lock, or another version made the directory: one line of `Trouble`. A directory
half made by a crash has no LAYOUT and no cluster, and is simply made again. Losing secrets.json loses every personal datum: it holds the key
that all persons' keys are sealed with. Back it up apart from the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import re
import secrets
import stat
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from anamnesis.settings import KEY_BYTES, KEYS, SECRETS
from anamnesis.stack.process import UNPRIVILEGED
from anamnesis.trouble import Trouble

LAYOUT = "anamnesis-1 postgres-18"
DATABASE_ROLES = ("owner", "gateway", "relay", "projector", "courier", "notary")
NATS_USERS = ("gateway", "relay", "projector", "courier")
PASSWORDS = ("admin_password", *(f"{role}_password" for role in DATABASE_ROLES), *(f"nats_{user}_password" for user in NATS_USERS))
SOCKET_PATH_LIMIT = 107
SOCKET_NAME = ".s.PGSQL.5432"


class Home:
    """One data directory. Making the object makes the directory; `claim()` it before starting anything in it."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        self._lock: IO[str] | None = None
        self.as_root = os.geteuid() == 0
        self.user = UNPRIVILEGED if self.as_root else None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o711 if self.as_root else 0o700)
        except OSError as error:
            raise Trouble(f"the data directory {self.path} cannot be made: {error.strerror}") from error
        self.logs = self._folder(self.path / "logs", 0o700)

    def claim(self) -> None:
        """Make this directory ours alone, and check that we understand it."""
        if self._lock:
            return
        lock = (self.path / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            lock.close()
            raise Trouble(f"the data directory {self.path} is in use by process {holder}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        try:
            self._check_layout()
        except Trouble:
            self.release()
            raise

    def release(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    def holder(self) -> int | None:
        """The process that runs this installation now, if one does."""
        try:
            with (self.path / "lock").open(encoding="ascii") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read().strip() or 0) or None
        except FileNotFoundError:
            pass
        return None

    def secrets(self) -> dict[str, str]:
        """Passwords, keys (hexadecimal) and the signing keys (PEM), made at the first call."""
        path = self.path / "secrets.json"
        made: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if made.keys() >= {*PASSWORDS, *SECRETS}:
            return made
        made = fresh_secrets() | made
        write_private(path, json.dumps(made, indent=1))
        return made

    def rotate(self, *, drop: bool) -> int:
        """Put a fresh signing key before the others, or drop all others; gives how many there are then. Processes read it when they start."""
        made = self.secrets()
        keys = _KEYS.findall(made["signing_key"])
        keys = keys[:1] if drop else [_fresh("signing_key"), *keys]
        write_private(self.path / "secrets.json", json.dumps({**made, "signing_key": "".join(keys)}, indent=1))
        return len(keys)

    def rotate_kek(self, *, drop: bool) -> int:
        """Put a fresh key-encryption key before the others, or drop all others; gives how many there are then."""
        made = self.secrets()
        keys = made["kek"].split(",")
        keys = keys[:1] if drop else [_fresh("kek"), *keys]
        write_private(self.path / "secrets.json", json.dumps({**made, "kek": ",".join(keys)}, indent=1))
        return len(keys)

    def cluster(self) -> Path:
        """Where Postgres keeps its files: here, unless its user cannot reach here."""
        here = self.path / "postgres"
        if not self.user or reachable(self.path, self.user):
            return here
        return self._outside() / "postgres"

    def binaries(self, installed: Path) -> Path:
        """Where a copy of the programs goes if the installed ones are out of reach for Postgres's user."""
        if not self.user or reachable(installed, self.user):
            return installed
        place = self.path if reachable(self.path, self.user) else self._outside()
        return place / "programs"

    def socket_dir(self) -> Path:
        """Where Postgres listens; the path of a socket has a short limit, and Postgres's user must be able to make it."""
        run = self.cluster().parent / "run"
        if len(str(run / SOCKET_NAME)) > SOCKET_PATH_LIMIT:
            run = Path("/tmp") / f"anamnesis-{_digest(self.path)}"  # noqa: S108 - its owner and mode are checked
        return self._folder(run, 0o700, self.user)

    def _outside(self) -> Path:
        return self._folder(Path("/var/lib/anamnesis") / _digest(self.path), 0o711)

    def _check_layout(self) -> None:
        path = self.path / "LAYOUT"
        cluster = self.cluster() / "PG_VERSION"
        found = path.read_text("utf-8").strip() if path.exists() else None
        if found is None and cluster.exists():
            found = f"an unknown program, postgres-{cluster.read_text('utf-8').strip()}"
        if found is None:
            path.write_text(LAYOUT + "\n", "utf-8")
        elif found != LAYOUT:
            raise Trouble(f"the data directory {self.path} was made by another version ({found}; this one needs {LAYOUT})")

    @staticmethod
    def _folder(path: Path, mode: int, user: str | None = None) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        account = pwd.getpwnam(user) if user else None
        if account:
            os.chown(path, account.pw_uid, account.pw_gid)
        owner = account.pw_uid if account else os.geteuid()
        if path.is_symlink() or path.stat().st_uid != owner:
            raise Trouble(f"{path} belongs to another user")
        path.chmod(mode)
        return path


_KEYS = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----\n?", re.DOTALL)


def reachable(path: Path, user: str) -> bool:
    """May this user walk down to `path`, going by the permissions for others?"""
    account = pwd.getpwnam(user)
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        status = folder.stat()
        if not (status.st_mode & stat.S_IXOTH or (status.st_uid == account.pw_uid and status.st_mode & stat.S_IXUSR)):
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def fresh_secrets() -> dict[str, str]:
    """All secrets of a new installation."""
    return {name: _fresh(name) for name in (*PASSWORDS, *SECRETS)}


def _fresh(name: str) -> str:
    if name == "signing_key":
        key = ec.generate_private_key(ec.SECP256R1())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if name == "audit_key":
        seal = ed25519.Ed25519PrivateKey.generate()
        return seal.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return secrets.token_hex(KEY_BYTES) if name in KEYS else "p" + secrets.token_hex(24)  # a NATS configuration would take a number for a number


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]
