"""Papers that people send and that are about a person: what they are is read off their bytes, and they are kept under that person's key.

How it works: a PDF is known by its head, a picture as `images` does; anything else, SVG and HTML with their scripts among it, is refused. What is kept is sealed with AES-256-GCM under the
person's key and bound to the file's id, in the object store under the clinic's place: so it goes when the clinic is deleted, and cannot be read once the person is erased. It is handed
out as a download with the type that was seen, never to be shown as a page of ours.

What may go wrong: a file is put before the event that names it is stored; where the event then is refused, the file is taken away again, or stays as bytes that nobody can name.
"""

import os
from typing import Any, Literal, NamedTuple, cast, get_args
from urllib.parse import quote
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar import Response

from domain.kit import NotFound, Refused
from domain.kit.model import Invalid
from gateway.kit.desk import Desk
from gateway.kit.images import recognised

MOST = 8 << 20  # bytes
_NONCE = 12

PaperMedia = Literal["application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp"]
FORM = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}, "name": {"type": "string"}}}
TAKES: dict[str, Any] = {"multipart/form-data": {"schema": FORM}, **{media: {"schema": {"type": "string"}} for media in get_args(PaperMedia)}}
GIVEN_OUT = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, no-store"}


class PaperUnreadable(Invalid):
    """That is no paper that can be kept here. Send a PDF, or a picture as PNG, JPEG, GIF or WebP."""


class PaperTooLarge(Refused):
    """That file is too large. Make it smaller than 8 MiB."""

    status = 413


class Paper(NamedTuple):
    """Where a file is kept, and under whose key."""

    place: str
    id: UUID
    person: UUID


def media_of(body: bytes) -> PaperMedia:
    """Return what a file is, or refuse it."""
    if len(body) > MOST:
        raise PaperTooLarge(bytes=len(body))
    if body[:5] == b"%PDF-" and b"%%EOF" in body[-1024:]:
        return "application/pdf"
    picture = recognised(body)
    if picture is None or picture.media == "image/x-icon":
        raise PaperUnreadable
    return picture.media


async def keep(desk: Desk, paper: Paper, body: bytes) -> None:
    """Keep a file, sealed."""
    handler, nonce = desk.call.services.handler, os.urandom(_NONCE)
    await handler.ensure_keys(desk.who.clinic, {paper.person})
    key = cast("bytes", handler.keys.key_of(paper.person))
    await desk.call.services.objects.put(paper.place, nonce + AESGCM(key).encrypt(nonce, body, paper.id.bytes))


async def drop(desk: Desk, paper: Paper) -> None:
    """Take a file away."""
    await desk.call.services.objects.delete(paper.place)


async def given_out(desk: Desk, paper: Paper, media: str, name: str) -> Response[bytes]:
    """Return a file as a download; whoever it is about being erased, there is none any more."""
    handler = desk.call.services.handler
    sealed = await desk.call.services.objects.get(paper.place)
    await handler.ensure_keys(desk.who.clinic, {paper.person})
    key = handler.keys.key_of(paper.person)
    if sealed is None or key is None:
        raise NotFound(kind="files", id=str(paper.id))
    try:
        body = AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], paper.id.bytes)
    except InvalidTag:
        raise NotFound(kind="files", id=str(paper.id)) from None
    told = f"attachment; filename=\"{paper.id}\"; filename*=UTF-8''{quote(name, safe='')}"
    return Response(body, headers={**GIVEN_OUT, "content-disposition": told}, media_type=media)
