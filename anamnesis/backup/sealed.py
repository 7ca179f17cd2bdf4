"""A file that can only be read with the key-encryption key: compressed, and sealed piece by piece.

How it works. Behind a line in the clear (what the file is, when it was written, under which key) come pieces of up to a megabyte, each AES-256-GCM under a key of this purpose's
own. Each piece is bound to that line, to its number, and to whether it is the last: so nothing can be cut off, left out, put elsewhere or taken from another file.

What may go wrong. A wrong key and a changed file look alike to the cipher; the line names the key, so the first is told before the second is tried.
"""

import hmac
import os
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from anamnesis.trouble import Trouble
from projections.kit.keys import KeyRing, keks

PIECE = 1 << 20
NONCE = 12
LENGTH = 4


def _cipher(kek: bytes) -> AESGCM:
    return AESGCM(hmac.digest(kek, b"backups of the key store", "sha256"))


def _bound(line: bytes, number: int, *, last: bool) -> bytes:
    return sha256(line).digest() + number.to_bytes(8, "big") + bytes([last])


class Sealing:
    """A file being written."""

    def __init__(self, file: IO[bytes], kek: bytes, said: dict[str, Any]) -> None:
        self._file = file
        self._cipher = _cipher(keks(kek)[0])
        self._line = msgspec.json.encode({**said, "kek": KeyRing(kek).name})
        self._packed = zlib.compressobj(1)
        self._waiting = bytearray()
        self._number = 0
        file.write(self._line + b"\n")

    def write(self, content: bytes) -> None:
        """Add to it."""
        self._waiting += self._packed.compress(content)
        while len(self._waiting) > PIECE:
            self._seal(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]

    def close(self) -> None:
        """Write the last piece."""
        self._waiting += self._packed.flush()
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, piece: bytes, *, last: bool) -> None:
        nonce = os.urandom(NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, piece, _bound(self._line, self._number, last=last))
        self._file.write(len(sealed).to_bytes(LENGTH, "big") + sealed)
        self._number += 1


def said_by(path: Path) -> dict[str, Any]:
    """Return what a file says of itself in the clear."""
    try:
        with path.open("rb") as file:
            said: dict[str, Any] = msgspec.json.decode(file.readline(10_000))
    except FileNotFoundError:
        raise Trouble(f"{path} is not there") from None
    except msgspec.DecodeError:
        raise Trouble(f"{path} is no backup of a key store") from None
    return said


def unsealed(path: Path, kek: bytes) -> Iterator[bytes]:
    """Yield what a file holds."""
    named = {KeyRing(one).name: one for one in keks(kek)}
    if (name := said_by(path).get("kek")) not in named:
        raise Trouble(f"{path} was sealed under key-encryption key {name}, which is not among the secrets given ({', '.join(named)})")
    cipher, unpacked, number = _cipher(named[name]), zlib.decompressobj(), 0
    with path.open("rb") as file:
        line, size = file.readline().removesuffix(b"\n"), path.stat().st_size
        while file.tell() < size:
            sealed = file.read(int.from_bytes(file.read(LENGTH), "big"))
            try:
                piece = cipher.decrypt(sealed[:NONCE], sealed[NONCE:], _bound(line, number, last=file.tell() == size))
            except (InvalidTag, ValueError):
                raise Trouble(f"{path} is damaged, was cut short or changed") from None
            number += 1
            yield unpacked.decompress(piece)
    if not number:
        raise Trouble(f"{path} is damaged, was cut short or changed")
    yield unpacked.flush()
