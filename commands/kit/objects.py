"""Files: bytes under a key, in a directory or in a bucket that speaks S3.

How it works: `Objects.at(url)` opens a store: `file:///var/lib/anamnesis/objects`, or `s3+https://KEY:SECRET@host/bucket?region=eu-west-1` (`s3+http` for a server
beside us). A key is a few words with slashes between. A directory's files are written beside their place and moved into it, so that nobody reads half of one.
Requests to a bucket are signed (AWS Signature Version 4) and address it by path, which every implementation of S3 understands.

What may go wrong: a key from a stranger would be a path into the machine, so whatever is not plain words is refused. A bucket that cannot be reached raises
`FilesUnavailable`, which is a 503: nothing is lost, for an event names a file only once it is stored.
"""

import asyncio
import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Protocol, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree as ET

import httpx

from domain.kit import Refused

PIECE = 1 << 18  # bytes read at a time
SECONDS = 20.0
UNSIGNED = "UNSIGNED-PAYLOAD"
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*", re.ASCII)
_EMPTY = hashlib.sha256(b"").hexdigest()


class FilesUnavailable(Refused):
    """Files cannot be reached just now. Try again in a moment."""

    status = 503


class Objects(Protocol):
    """A store of files."""

    async def put(self, key: str, body: bytes) -> None:
        """Store a file, whatever was there before."""

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file of any size that lies on this machine."""

    def read(self, key: str) -> AsyncIterator[bytes]:
        """Yield a file piece by piece; nothing at all if there is none."""

    async def get(self, key: str) -> bytes | None:
        """Return a small file."""

    async def delete(self, under: str) -> None:
        """Delete a file, or whatever lies under a key; what is not there is deleted already."""

    async def close(self) -> None:
        """Let go of connections."""


def checked(key: str) -> str:
    """Return a key that is plain words."""
    if not _KEY.fullmatch(key) or len(key) > 512:  # noqa: PLR2004 - what every file system and bucket can name
        message = f"not a key: {key!r}"
        raise ValueError(message)
    return key


def objects_at(url: str) -> Objects:
    """Return the store at a URL."""
    parts = urlsplit(url)
    return Directory(Path(unquote(parts.path))) if parts.scheme == "file" else Bucket(url)


class Directory:
    """Files in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def put(self, key: str, body: bytes) -> None:
        await asyncio.to_thread(self._put, key, body)

    async def put_file(self, key: str, path: Path) -> None:
        await asyncio.to_thread(self._put, key, path)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread((self.root / checked(key)).open, "rb")
        except (FileNotFoundError, IsADirectoryError):
            return
        with file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece

    async def get(self, key: str) -> bytes | None:
        found = [piece async for piece in self.read(key)]
        return b"".join(found) if found else None

    async def delete(self, under: str) -> None:
        place = self.root / checked(under)
        await asyncio.to_thread(rmtree if place.is_dir() else lambda p: p.unlink(missing_ok=True), place)

    async def close(self) -> None:
        pass

    def _put(self, key: str, what: bytes | Path) -> None:
        place = self.root / checked(key)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, beside = tempfile.mkstemp(dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(what, bytes):
                    file.write(what)
                else:
                    with what.open("rb") as source:
                        while piece := source.read(PIECE):
                            file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(place)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(beside).unlink()
            raise


class Bucket:
    """Files in a bucket."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.region = parse_qs(parts.query).get("region", ["us-east-1"])[0]
        self.bucket = parts.path.strip("/")
        self.host = parts.netloc.rpartition("@")[2]
        self._id, self._secret = unquote(parts.username or ""), unquote(parts.password or "")
        self._client = httpx.AsyncClient(base_url=f"{parts.scheme.removeprefix('s3+')}://{self.host}", timeout=SECONDS)

    async def put(self, key: str, body: bytes) -> None:
        (await self._ask("PUT", checked(key), content=body, digest=hashlib.sha256(body).hexdigest())).raise_for_status()

    async def put_file(self, key: str, path: Path) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, PIECE):
                    yield piece

        size = {"content-length": str((await asyncio.to_thread(path.stat)).st_size)}  # without it a bucket would be sent chunks, which S3 does not take
        (await self._ask("PUT", checked(key), content=pieces(), digest=UNSIGNED, headers=size)).raise_for_status()

    async def read(self, key: str) -> AsyncIterator[bytes]:
        path = self._path(checked(key))
        try:
            async with self._client.stream("GET", path, headers=self._signed("GET", path, "", _EMPTY)) as answer:
                if answer.status_code == 404:  # noqa: PLR2004
                    return
                answer.raise_for_status()
                async for piece in answer.aiter_bytes(PIECE):
                    yield piece
        except httpx.HTTPError as error:
            raise FilesUnavailable from error

    async def get(self, key: str) -> bytes | None:
        found = [piece async for piece in self.read(key)]
        return b"".join(found) if found else None

    async def delete(self, under: str) -> None:
        for key in [checked(under), *await self._listed(under + "/")]:
            answer = await self._ask("DELETE", key)
            if answer.status_code != 404:  # noqa: PLR2004
                answer.raise_for_status()

    async def close(self) -> None:
        await self._client.aclose()

    async def _listed(self, prefix: str) -> list[str]:
        found: list[str] = []
        more = ""
        while True:
            token = f"continuation-token={quote(more, safe='')}&" if more else ""
            answer = await self._ask("GET", "", query=f"{token}list-type=2&prefix={quote(prefix, safe='')}")
            tree = ET.fromstring(answer.raise_for_status().content)  # noqa: S314 - our own bucket's word
            space = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
            found += [cast("str", key.text) for key in tree.iter(f"{space}Key")]
            if not (more := tree.findtext(f"{space}NextContinuationToken") or ""):
                return found

    async def _ask(
        self, method: str, key: str, *, query: str = "", content: bytes | AsyncIterator[bytes] | None = None, digest: str = _EMPTY,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        path = self._path(key)
        signed = {**self._signed(method, path, query, digest), **(headers or {})}
        try:
            answer = await self._client.request(method, f"{path}?{query}" if query else path, content=content, headers=signed)
        except httpx.HTTPError as error:
            raise FilesUnavailable from error
        if answer.status_code >= 500:  # noqa: PLR2004
            raise FilesUnavailable
        return answer

    def _path(self, key: str) -> str:
        return quote(f"/{self.bucket}/{key}".rstrip("/"))

    def _signed(self, method: str, path: str, query: str, digest: str) -> dict[str, str]:
        now = datetime.now(UTC)
        told = {"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ")}
        return {**told, "authorization": signature(method, path, query, told, digest, self._id, self._secret, self.region)}


def signature(method: str, path: str, query: str, headers: dict[str, str], digest: str, id_: str, secret: str, region: str) -> str:
    """Return the Authorization header of a request to S3; `query` is sorted and escaped, `headers` are in lower case."""
    at = headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    names = ";".join(sorted(headers))
    told = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    request = f"{method}\n{path}\n{query}\n{told}\n{names}\n{digest}"
    words = "\n".join(("AWS4-HMAC-SHA256", at, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), words):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"AWS4-HMAC-SHA256 Credential={id_}/{scope},SignedHeaders={names},Signature={key.hex()}"
