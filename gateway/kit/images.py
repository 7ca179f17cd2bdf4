"""Pictures that strangers send: what they are is read off their own bytes, whatever they are called.

How it works: `sniffed` knows PNG, JPEG, GIF, WebP and ICO by their heads and reads width and height off them. It decodes nothing, so there is nothing to
exploit; and what it does not know, SVG with its scripts among it, is no picture. Served with the type that was sniffed and `nosniff`, a picture that is
also something else stays a picture.

What may go wrong: a head can lie about what follows; then browsers show nothing.
"""

import struct
from typing import Literal, NamedTuple, get_args

from domain.kit import Invalid, Refused

LARGEST = 512 << 10  # bytes
WIDEST = 4096  # pixels, either way

MARK = 0xFF  # begins each segment of a JPEG
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # segments that begin with the size

Media = Literal["image/png", "image/jpeg", "image/gif", "image/webp", "image/x-icon"]
PICTURES: tuple[Media, ...] = get_args(Media)


class PictureUnreadable(Invalid):
    """That is no picture that can be used. Send a PNG, JPEG, GIF, WebP or ICO; an SVG can be exported as PNG."""


class PictureTooLarge(Refused):
    """That picture is too large. Make it smaller than 512 KiB, and 4096 pixels either way."""

    status = 413


class Picture(NamedTuple):
    """What a picture is."""

    media: Media
    width: int
    height: int


def sniffed(body: bytes) -> Picture:
    """Return what a picture is, or refuse."""
    if len(body) > LARGEST:
        raise PictureTooLarge(bytes=len(body))
    if (found := recognised(body)) is None:
        raise PictureUnreadable
    if found.width > WIDEST or found.height > WIDEST:
        raise PictureTooLarge(width=found.width, height=found.height)
    return found


def recognised(body: bytes) -> Picture | None:
    """Return what a picture is, however large."""
    try:
        found = _png(body) or _gif(body) or _webp(body) or _ico(body) or _jpeg(body)
    except (struct.error, IndexError):
        return None
    return found if found is not None and found.width and found.height else None


def _png(body: bytes) -> Picture | None:
    if body[:8] != b"\x89PNG\r\n\x1a\n" or body[12:16] != b"IHDR":
        return None
    return Picture("image/png", *struct.unpack(">II", body[16:24]))


def _gif(body: bytes) -> Picture | None:
    return Picture("image/gif", *struct.unpack("<HH", body[6:10])) if body[:6] in (b"GIF87a", b"GIF89a") else None


def _webp(body: bytes) -> Picture | None:
    if body[:4] != b"RIFF" or body[8:12] != b"WEBP":
        return None
    match body[12:16]:
        case b"VP8 ":
            width, height = struct.unpack("<HH", body[26:30])
            return Picture("image/webp", width & 0x3FFF, height & 0x3FFF)
        case b"VP8L":
            (bits,) = struct.unpack("<I", body[21:25])
            return Picture("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8X":
            wide, high = int.from_bytes(body[24:27], "little"), int.from_bytes(body[27:30], "little")
            return Picture("image/webp", wide + 1, high + 1)
    return None


def _ico(body: bytes) -> Picture | None:
    if body[:4] != b"\0\0\1\0":
        return None
    (count,) = struct.unpack("<H", body[4:6])
    entries = [struct.unpack("<BBBBHHII", body[6 + 16 * n : 22 + 16 * n]) for n in range(count)]
    if not entries or any(at + size > len(body) for *_, size, at in entries):
        return None
    return Picture("image/x-icon", max(e[0] or 256 for e in entries), max(e[1] or 256 for e in entries))


def _jpeg(body: bytes) -> Picture | None:
    """Walk the segments up to the frame, which has the size."""
    if body[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    while body[at] == MARK:
        marker, length = body[at + 1], struct.unpack(">H", body[at + 2 : at + 4])[0]
        if marker in FRAMES:
            height, width = struct.unpack(">HH", body[at + 5 : at + 9])
            return Picture("image/jpeg", width, height)
        at += 2 + length
    return None
