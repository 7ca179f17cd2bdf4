"""Tables of text as they come out of other programs: bytes -> lines of cells, each with the line of the file on which it begins.

How it works. A byte order mark says the encoding; without one a file is UTF-16 if every other byte is NUL, UTF-8 if it can be, else Windows-1252. The delimiter is the one that parts
the first line into most cells. A line of the file is where an editor would show it: a quoted line break counts.

What may go wrong, and is refused with the line: characters of two encodings in one file, NUL, a quotation mark that is never closed, lines or rows of a size that no table of people has.
The last two also bound the memory that a hostile file can take. Quotation marks within a row that make no sense spoil that row alone.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from domain.kit.model import Invalid

MOST_CHARACTERS = 100_000  # of a line of the file
MOST_LINES = 1_000  # of the file, in one row
MOST_CELLS = 500
DELIMITERS = ",;\t|"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
MULTIBYTE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]")
UNCLOSED = "unexpected end of data"


class TableUnreadable(Invalid):
    """This is no table of text that can be read. `details` say where, and what is wrong there."""


class Line(NamedTuple):
    """A row, and the line of the file on which it begins; `broken` says what is wrong with its quotation marks."""

    number: int
    cells: list[str]
    broken: str = ""


class Told(NamedTuple):
    """A file's text, and how it was encoded."""

    text: str
    encoding: str


def decoded(raw: bytes) -> Told:
    """Return a file's text."""
    encoding = encoding_of(raw)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise TableUnreadable(line=raw.count(b"\n", 0, error.start) + 1, problem=f"Not {encoding}") from None
    if encoding == "cp1252" and (found := MULTIBYTE.search(raw)) is not None and utf8(found.string[found.start():found.end() + 2]):
        raise TableUnreadable(line=raw.count(b"\n", 0, found.start()) + 1, problem="Partly UTF-8 and partly not: save it in one encoding")
    if (at := text.find("\0")) >= 0:
        raise TableUnreadable(line=text.count("\n", 0, at) + 1, problem="The character NUL (U+0000)")
    return Told(text, {"utf-8-sig": "utf-8", "cp1252": "windows-1252"}.get(encoding, encoding))


def encoding_of(raw: bytes) -> str:
    """Return what a file is encoded in."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    some = raw[:2000]
    for encoding, zeros, others in (("utf-16-le", some[1::2], some[::2]), ("utf-16-be", some[::2], some[1::2])):
        if len(some) > 3 and zeros.count(0) > 0.7 * len(zeros) and others.count(0) == 0:  # noqa: PLR2004 - a cell or two in other letters
            return encoding
    return "utf-8-sig" if utf8(raw) else "cp1252"


def utf8(raw: bytes) -> bool:
    """Say whether bytes are UTF-8; what is cut off at the end may be."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        return False
    return True


def delimiter_of(text: str) -> str:
    """Return what parts the cells of a table, by its first line with anything in it."""
    head = next((line for line in _bounded(text, []) if line.strip()), "")
    count = {mark: len(next(csv.reader([head], delimiter=mark), [])) for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: count[mark])


def lines(text: str, delimiter: str) -> Iterator[Line]:
    """Yield the rows of a table in their order; those in which nothing stands are left out."""
    taken: list[int] = [0]  # lines of the file since the row began
    reader = csv.reader(_bounded(text, taken), delimiter=delimiter, strict=True)
    while True:
        number, taken[0] = reader.line_num + 1, 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if str(error) == UNCLOSED or "field limit" in str(error):
                raise TableUnreadable(line=number, problem="A quotation mark is never closed") from None
            yield Line(number, [], str(error))
            continue
        if len(cells) > MOST_CELLS:
            raise TableUnreadable(line=number, problem=f"More than {MOST_CELLS} columns")
        if any(cell.strip() for cell in cells):
            yield Line(number, [unguarded(cell) for cell in cells])


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before what would be one. `unguarded` takes it away again."""
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA) else cell


def unguarded(cell: str) -> str:
    """Return what a cell was before `guarded`; one in which no formula would be stays as it is."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA) else cell


def _bounded(text: str, taken: list[int]) -> Iterator[str]:
    """Yield the lines of a text as they stand, none of them endless, nor too many of them one row."""
    source = io.StringIO(text, newline="")
    number = 0
    while line := source.readline(MOST_CHARACTERS + 1):
        number += 1
        if len(line) > MOST_CHARACTERS:
            raise TableUnreadable(line=number, problem=f"More than {MOST_CHARACTERS} characters")
        if taken:
            taken[0] += 1
            if taken[0] > MOST_LINES:
                raise TableUnreadable(line=number - MOST_LINES, problem="A quotation mark is never closed")
        yield line
