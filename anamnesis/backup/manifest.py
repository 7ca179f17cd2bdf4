"""A backup's table of contents: which files belong to it, each with its checksum, and where the history in them ends; signed with the audit key.

What may go wrong. The file is replaced in one step, after everything that it names is on the disk: so it is the old one or the new one, and whatever it does not name is no
part of the backup.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from uuid import UUID

import msgspec

from anamnesis.trouble import Trouble
from commands.kit.heads import Seal
from commands.kit.ledger import Erased

FORMAT = 1
NAME = "manifest.jsonl"  # two lines: what is said, and its signature
PIECE = 1 << 20


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the backup."""

    name: str
    bytes: int
    sha256: str

    def check(self, folder: Path) -> None:
        """Refuse a file that is not as it was written."""
        path = folder / self.name
        if not path.exists():
            raise Trouble(f"{path} is missing: this backup is not whole")
        if (size := path.stat().st_size) != self.bytes:
            raise Trouble(f"{path} has {size:,} bytes instead of {self.bytes:,}: it was cut short or changed")
        if digest(path) != self.sha256:
            raise Trouble(f"{path} is damaged or was changed: its checksum is another")


class Segment(File, frozen=True, kw_only=True):
    """Events from one position to another."""

    first: int
    last: int
    latest: datetime  # when the last of them was recorded


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a backup holds."""

    format: int = FORMAT
    release: str
    position: int
    hash: str  # of the event there
    taken_at: datetime
    partitions: int
    columns: list[str]
    segments: list[Segment] = []
    signatures: list[File] = []  # signed heads
    signed_until: datetime | None = None  # the last of these
    heads: dict[UUID, tuple[int, str]]  # each clinic's last event, and its hash
    erasures: list[Erased] = []
    mac_key: str  # by which the key is told from others
    audit_key: str

    def write(self, folder: Path, seal: Seal) -> None:
        """Make this the folder's table of contents."""
        said = msgspec.json.encode(self)
        publish(folder / NAME, said + b"\n" + seal.vouch(said).hex().encode() + b"\n")

    @classmethod
    def read(cls, folder: Path, seal: Seal) -> "Manifest | None":
        """Return what a folder holds, or None if it holds no backup."""
        if not (folder / NAME).exists():
            return None
        said, _, signature = (folder / NAME).read_bytes().partition(b"\n")
        try:
            manifest = msgspec.json.decode(said, type=cls)
            signed = bytes.fromhex(signature.decode("ascii").strip())
        except (msgspec.DecodeError, ValueError):
            raise Trouble(f"{folder / NAME} cannot be read: it was cut short, or is of another release") from None
        if manifest.format != FORMAT:
            raise Trouble(f"{folder} is a backup of format {manifest.format}, and this release reads format {FORMAT}")
        if manifest.audit_key != seal.name:
            raise Trouble(f"{folder} is of another installation: it was signed with audit key {manifest.audit_key}, and ours is {seal.name}")
        if not seal.vouched(said, signed):
            raise Trouble(f"{folder / NAME} was changed: its signature does not fit")
        return manifest


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    put(fresh, path)


def put(fresh: Path, path: Path) -> None:
    """Move a finished file to its place, for good."""
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Have the folder for oneself, and free of what an interrupted backup left."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise Trouble(f"another backup into {folder} is under way") from None
        for left in folder.glob("*.new"):
            left.unlink()
        yield
