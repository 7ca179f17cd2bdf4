"""Files: in a directory, and in a bucket that speaks S3, here a small one of our own that checks every signature from Amazon's description."""

import asyncio
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from commands.kit.objects import Bucket, Directory, FilesUnavailable, Objects, objects_at, signature

ID, SECRET = "AKIDEXAMPLE", "wJalr/XUt+nFEMI"


class SmallS3:
    """What of S3 we need, over a real socket: put, get, delete and list, by path; two keys to a page of a list."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := (await reader.readline()).decode().strip():
                method, target, _ = line.split(" ")
                headers = {}
                while field := (await reader.readline()).decode().strip():
                    name, _, value = field.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, answer = self.answered(method, target, headers, body)
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
        finally:
            writer.close()

    def answered(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:  # noqa: PLR0911 - a case each
        if self.broken:
            return 500, b"<Error/>"
        if not self.signed(method, target, headers, body):
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        parts = urlsplit(target)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not key:
            return 200, self.listed(dict(parse_qsl(parts.query)))
        match method:
            case "PUT":
                self.files[key] = body
                return 200, b""
            case "GET" if key in self.files:
                return 200, self.files[key]
            case "DELETE":
                self.files.pop(key, None)
                return 200, b""
        return 404, b"<Error><Code>NoSuchKey</Code></Error>"

    def listed(self, query: dict[str, str]) -> bytes:
        found = sorted(key for key in self.files if key.startswith(query["prefix"]) and key > query.get("continuation-token", ""))
        more = f"<NextContinuationToken>{found[1]}</NextContinuationToken>" if len(found) > 2 else ""
        keys = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in found[:2])
        return f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{keys}{more}</ListBucketResult>'.encode()

    def signed(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
        said = dict(part.strip().split("=", 1) for part in headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
        parts, names, digest = urlsplit(target), said["SignedHeaders"].split(";"), headers["x-amz-content-sha256"]
        if digest not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()) or not {"host", "x-amz-date"} <= set(names):
            return False
        query = "&".join(sorted(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in parse_qsl(parts.query, keep_blank_values=True)))
        canonical = [method, parts.path, query, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names), digest]
        day, region, service, end = said["Credential"].split("/")[1:]
        words = ["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{day}/{region}/{service}/{end}", hashlib.sha256("\n".join(canonical).encode()).hexdigest()]
        key = ("AWS4" + SECRET).encode()
        for part in (day, region, service, end, "\n".join(words)):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return said["Credential"].startswith(ID + "/") and hmac.compare_digest(key.hex(), said["Signature"])


@pytest.fixture
async def s3() -> AsyncIterator[tuple[SmallS3, str]]:
    small = SmallS3()
    server = await asyncio.start_server(small, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield small, f"s3+http://{ID}:{quote(SECRET, safe='')}@127.0.0.1:{port}/clinic-files?region=eu-west-1"
    server.close()


@pytest.fixture(params=["directory", "bucket"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path, s3: tuple[SmallS3, str]) -> AsyncIterator[Objects]:
    store = objects_at(f"file://{quote(str(tmp_path))}/of%20objects" if request.param == "directory" else s3[1])
    assert isinstance(store, Directory if request.param == "directory" else Bucket)
    yield store
    await store.close()


async def test_what_is_put_is_got_until_it_is_deleted(objects: Objects, tmp_path: Path) -> None:
    large = os.urandom(600_000)
    (tmp_path / "large").write_bytes(large)
    await objects.put("clinics/a/branding/1", b"old")
    await objects.put("clinics/a/branding/1", b"new")
    await objects.put("clinics/a/branding/2", b"two")
    await objects.put("clinics/a/branding/3", b"three")
    await objects.put("clinics/ab/1", b"another's")
    await objects.put_file("clinics/a/exports/1.zip", tmp_path / "large")
    assert await objects.get("clinics/a/branding/1") == b"new"
    assert b"".join([piece async for piece in objects.read("clinics/a/exports/1.zip")]) == large
    assert await objects.get("clinics/a/branding/9") is None
    await objects.delete("clinics/a/branding/2")
    assert await objects.get("clinics/a/branding/2") is None
    assert await objects.get("clinics/a/branding/3") == b"three"
    await objects.delete("clinics/a")
    await objects.delete("clinics/a")
    assert [await objects.get(key) for key in ("clinics/a/branding/1", "clinics/a/exports/1.zip", "clinics/ab/1")] == [None, None, b"another's"]


@pytest.mark.parametrize("key", ["../secrets.json", "/etc/passwd", "a//b", "a/../b", "", "a/.b", "A", "a b", "x" * 600])
async def test_a_key_is_no_path_into_the_machine(objects: Objects, key: str) -> None:
    for asked in (objects.put(key, b""), objects.get(key), objects.delete(key)):
        with pytest.raises(ValueError, match="not a key"):
            await asked


async def test_a_bucket_that_fails_is_unavailable(s3: tuple[SmallS3, str]) -> None:
    small, url = s3
    bucket = Bucket(url)
    small.broken = True
    for asked in (bucket.put("a", b""), bucket.get("a"), bucket.delete("a")):
        with pytest.raises(FilesUnavailable):
            await asked
    gone = Bucket("s3+http://a:b@127.0.0.1:1/x")
    with pytest.raises(FilesUnavailable):
        await gone.put("a", b"")
    wrong = Bucket(url.replace(ID, "SOMEBODY"))
    small.broken = False
    with pytest.raises(Exception, match="403"):
        await wrong.put("a", b"")
    assert small.files == {}


def test_a_signature_is_what_amazon_says_it_is() -> None:
    """The example GET of Amazon's own documentation of Signature Version 4."""
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9", "x-amz-content-sha256": empty, "x-amz-date": "20130524T000000Z"}
    made: Any = signature("GET", "/test.txt", "", headers, empty, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    assert made.endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
