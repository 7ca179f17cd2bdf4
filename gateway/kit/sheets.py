"""Answers as a sheet: CSV as RFC 4180 has it, with a line of names, for whoever calculates on.

How it works. Names and values are those of the JSON; what is missing is an empty cell. A list comes whole, whatever its `limit`, read and written page by page so that nobody waits for long.

What may go wrong. A text that begins like a formula would be one in a spreadsheet; an apostrophe before it makes it a text again.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.response import Stream
from msgspec import Struct

from domain.kit import Invalid
from domain.kit.delimited import guarded
from gateway.kit.answer import Headers
from projections.kit.reading import Reader, Wanted
from schemas.kit import Row

CSV = b"text/csv; charset=utf-8"
MOST = 100_000  # lines
PAGE = 1_000


class SheetTooLong(Invalid):
    """That would be more than 100,000 lines. Narrow it down, for example to fewer days."""


def sheet(names: Sequence[str], lines: Iterable[dict[str, Any]], *, head: bool = True) -> bytes:
    """Return lines, as their JSON has them, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\r\n")
    if head:
        writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return text.getvalue().encode()


def of_structs(kind: type[Struct], items: Iterable[Struct]) -> bytes:
    """Return structs as CSV."""
    return sheet([f.encode_name for f in msgspec.structs.fields(kind)], (msgspec.to_builtins(item) for item in items))


async def of_rows(reader: Reader, row: type[Row], wanted: Wanted) -> bytes:
    """Return a whole list of rows as CSV."""
    names, parts = [f.encode_name for f in msgspec.structs.fields(row)], list[bytes]()
    wanted = wanted._replace(limit=PAGE)
    for _ in range(MOST // PAGE):
        page = await reader.page(row, wanted)
        parts.append(sheet(names, msgspec.json.decode(page.items), head=not parts))
        if page.next is None:
            return b"".join(parts)
        wanted = wanted._replace(cursor=page.next)
    raise SheetTooLong


def named(name: str) -> Headers:
    """Return the headers with which it is saved as a file."""
    return [(b"content-disposition", f'attachment; filename="{name}.csv"'.encode()), (b"cache-control", b"private, no-store")]


def handed(name: str, text: bytes | AsyncIterator[bytes], **headers: str) -> Response[Any]:
    """Return a sheet, whole or as it is written, as a file to be saved."""
    headers |= {key.decode(): value.decode() for key, value in named(name)}
    media = CSV.decode().partition(";")[0]  # Litestar says the charset itself
    return Response(text, media_type=media, headers=headers) if isinstance(text, bytes) else Stream(text, media_type=media, headers=headers)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return guarded(value)
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value
