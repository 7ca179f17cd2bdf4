"""The auditor's export: a folder that proves itself on any machine.

How it works. `events.jsonl` has a line per event: the envelope, MAC and hash, the stored bytes in base64, and the event as it reads; `events.csv` the envelope as a table;
`heads.jsonl` the signed heads; `public-key.txt` the key that signed them; `verify.py` (`commands.kit.checking`) checks all of it with plain Python;
`MANIFEST.sha256` is for `sha256sum -c`. What is about a person is sealed in the stored bytes, so the proof holds after an erasure as before; only on
request is it also shown opened.

What may go wrong. The export shows a clinic from its first event on, for a chain proves nothing from its middle.
"""

import base64
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from commands.kit import checking
from commands.kit.heads import Head
from commands.kit.ids import uuid_of
from commands.kit.proof import Line
from domain.kit.codec import KeyOf, decode
from projections.kit.stored import EPOCH, MICRO

ENVELOPE = (
    "position", "recordedAt", "topic", "kind", "stream", "version", "clinic", "id", "command", "correlation", "causation", "actor", "person", "partition", "mac", "hash",
)
README = """An export of history that proves itself.

  python3 verify.py              checks hashes, order and signatures; needs Python 3.9 or newer and nothing else
  sha256sum -c MANIFEST.sha256   checks that the files are as they were written

Compare public-key.txt with the key you were given by other means: whoever made up a history could sign it with a key of their own.

events.jsonl    one event a line: envelope, `stored` (the bytes in the store, base64), `event` (as it reads; what is about a person is in `sealed`,
                encrypted, and stays so when the person is erased), `hash` and `mac`
events.csv      the envelope as a table
heads.jsonl     heads that were signed while history was being written
"""

Progress = Callable[[int, int], None]


def envelope(line: Line) -> dict[str, Any]:
    """Return what an event says besides its body."""
    names = ("stream", "clinic", "id", "command", "correlation", "causation", "actor", "person")
    raw = (line.stream, line.clinic, line.event_id, line.command, line.correlation, line.causation, line.actor, line.person)
    return {
        "position": line.position, "recordedAt": (EPOCH + line.recorded_us * MICRO).isoformat(timespec="microseconds"),
        "recordedMicroseconds": line.recorded_us, "topic": line.topic, "kind": line.kind, "version": line.version, "partition": line.partition,
        **{name: str(uuid_of(value)) if value else None for name, value in zip(names, raw, strict=True)},
        "mac": line.mac.hex(), "hash": line.hash.hex(),
    }


def record(line: Line, key_of: KeyOf | None = None) -> dict[str, Any]:
    """Return an event as it is exported; with `key_of` what is about a person is opened beside."""
    found = {**envelope(line), "event": msgspec.json.decode(line.body)}
    if key_of is not None and line.person is not None:
        opened = decode(line.topic, line.body, event_id=uuid_of(line.event_id), person=uuid_of(line.person), key_of=key_of)
        found["opened"] = msgspec.to_builtins(opened)
    return {**found, "stored": base64.b64encode(line.body).decode()}


class Evidence:
    """An export on its way into a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.events = 0
        self._lines = (folder / "events.jsonl").open("w", encoding="utf-8")
        self._table = (folder / "events.csv").open("w", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._table, ENVELOPE, extrasaction="ignore")
        self._csv.writeheader()

    def add(self, lines: Iterable[Line], key_of: KeyOf | None = None) -> None:
        """Write events, in order of position."""
        for line in lines:
            found = record(line, key_of)
            self._lines.write(told(found))
            self._csv.writerow(found)
            self.events += 1

    def close(self, heads: Iterable[Head], public: bytes) -> None:
        """Write everything else."""
        self._lines.close()
        self._table.close()
        (self.folder / "heads.jsonl").write_text("".join(head.line() + "\n" for head in heads), "ascii")
        (self.folder / "public-key.txt").write_text(known_by(public), "ascii")
        (self.folder / "README.txt").write_text(README, "ascii")
        (self.folder / "verify.py").write_bytes(verifier())
        names = ("README.txt", "events.csv", "events.jsonl", "heads.jsonl", "public-key.txt", "verify.py")
        (self.folder / "MANIFEST.sha256").write_text("".join(f"{_digest(self.folder / name)}  {name}\n" for name in names), "ascii")


def told(found: dict[str, Any]) -> str:
    """Return an event as a line."""
    return json.dumps(found, ensure_ascii=False) + "\n"


def tabled(lines: Iterable[Line], *, first: bool) -> str:
    """Return envelopes as lines of a table, the first of it under their names."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, ENVELOPE, extrasaction="ignore")
    if first:
        table.writeheader()
    table.writerows(map(envelope, lines))
    return text.getvalue()


def known_by(public: bytes) -> str:
    """Return a public key as a line."""
    return f"{public.hex()}  Ed25519\n"


def verifier() -> bytes:
    """Return the script that checks an export."""
    return Path(checking.__file__).read_bytes()


def heads_of(heads: Iterable[Head], clinics: set[UUID], upto: int) -> list[Head]:
    """Return the heads, each once, that an export of these clinics up to a position can be held against."""
    return sorted({(h.clinic, h.position, h.key): h for h in heads if h.clinic in clinics and h.position <= upto}.values(), key=lambda h: h.position)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
