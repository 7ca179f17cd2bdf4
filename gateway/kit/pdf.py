"""Papers: a page or more of A4 with a heading, facts, a table and sums, as PDF; the same paper is the same bytes on every machine.

How it works: fpdf2 lays out what a `Paper` says. The fonts come from wheels and are embedded as far as they are used; dates in the file are the paper's own. Latin, Greek and Cyrillic are set in Open Sans; a
paper on which there is a word of Arabic, Hebrew or Thai in FiraGO, which has them as well, shaped and ordered by HarfBuzz; Han characters in Noto Sans SC, whichever of the two is beside them. A paper in a language
that is written from right to left is laid out from right to left. It takes some 50 ms (five times that in
FiraGO, a second or two with Han, whose font is large), so it is done in a thread.

What may go wrong: text in a script that none of them has (Devanagari, Tamil) shows as empty boxes; a name of two hundred letters is broken over lines, never cut.
"""

import asyncio
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout
from fpdf.fonts import FontFace

GREY, LIGHT, INK = (110, 110, 110), (238, 241, 244), (25, 32, 44)
MARGIN = 20.0  # millimetres
TEXT, SMALL, LARGE = 10, 8, 20
WIDE = 2 * MARGIN
FACE, HAN = "Paper", "Han"
FROM_THE_RIGHT = {"ar", "fa", "he", "ur"}  # languages
SHAPED = re.compile("[\u0590-\u08ff\u0e00-\u0e7f\ufb1d-\ufdff\ufe70-\ufeff]")  # Hebrew, Arabic and what is written like it, Thai
CHINESE = re.compile("[\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003134f]")


class Column(NamedTuple):
    """A column of the table: its heading, its share of the width, and whether it holds numbers."""

    heading: str
    share: int
    number: bool = False


class Labels(NamedTuple):
    """The paper's own words; `page` has a gap for the number of this one and one for how many there are."""

    sender: str = "From"
    receiver: str = "To"
    page: str = "page {0} of {1}"
    language: str = "en"


class Paper(NamedTuple):
    """What is to be printed."""

    title: str
    sender: str
    receiver: str
    facts: Sequence[tuple[str, str]]
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    sums: Sequence[tuple[str, str]]
    notes: str
    dated: date
    stamp: str = ""  # a word across the corner, such as PAID
    labels: Labels = Labels()


async def printed(paper: Paper) -> bytes:
    """Return a paper as PDF."""
    return await asyncio.to_thread(laid_out, paper)


def laid_out(paper: Paper) -> bytes:
    pdf = _Sheet(format="A4")
    pdf.labels = paper.labels
    pdf.set_lang(paper.labels.language)
    pdf.set_creation_date(datetime.combine(paper.dated, time(), UTC))
    pdf.set_title(paper.title)
    pdf.set_producer("Anamnesis")
    _faces(pdf, words_of(paper))
    pdf.set_margins(MARGIN, MARGIN, MARGIN)
    pdf.set_auto_page_break(auto=True, margin=MARGIN)
    pdf.add_page()
    _head(pdf, paper)
    _facts(pdf, paper.facts)
    if paper.rows:
        _table(pdf, paper)
    _sums(pdf, paper.sums)
    _notes(pdf, paper.notes)
    return bytes(pdf.output())


def words_of(paper: Paper) -> str:
    """Return all that stands on a paper."""
    labels, facts = paper.labels, [word for pair in (*paper.facts, *paper.sums) for word in pair]
    cells = [cell for row in paper.rows for cell in row]
    headings = [column.heading for column in paper.columns]
    return "\n".join([paper.title, paper.sender, paper.receiver, paper.notes, paper.stamp, labels.sender, labels.receiver, labels.page, *facts, *headings, *cells])


def _faces(pdf: FPDF, words: str) -> None:
    """Have the fonts that these words need, and no others."""
    if SHAPED.search(words):
        pdf.add_font(FACE, "", firago("figo"))
        pdf.add_font(FACE, "B", firago("figbo"))
        pdf.set_text_shaping(use_shaping_engine=True)
    else:
        fonts = files("ttf_opensans") / "ttf"
        pdf.add_font(FACE, "", str(fonts / "OpenSans-Regular.ttf"))
        pdf.add_font(FACE, "B", str(fonts / "OpenSans-SemiBold.ttf"))
    if CHINESE.search(words):
        pdf.add_font(HAN, "", str(files("pylopdf_fonts_zh_cn") / "NotoSansSC-Regular.otf"))
        pdf.set_fallback_fonts([HAN], exact_match=False)


@cache
def firago(name: str) -> str:
    """Return where a font lies that comes as a module: written down once a process, for fpdf2 reads files."""
    from pymupdf_fonts import myfont  # noqa: PLC0415 - some megabytes, which few papers need

    path = _shelf() / f"{name}.ttf"
    path.write_bytes(myfont(name))
    return str(path)


@cache
def _shelf() -> Path:
    return Path(_SHELF.name)


_SHELF = tempfile.TemporaryDirectory(prefix="fonts-")


class _Sheet(FPDF):
    labels = Labels()

    def face(self, style: str = "", size: float = TEXT) -> None:
        """Write in this size from here on. A blank says so to the page: fpdf2 would set it within the next line alone, where that begins with another font's letters."""
        self.set_font(FACE, style, size)
        if HAN.lower() in self.fonts:
            x, y = self.get_x(), self.get_y()
            self.cell(1, 0, " ")
            self.set_xy(x, y)

    @property
    def mirrored(self) -> bool:
        """Whether it is read from right to left."""
        return self.labels.language in FROM_THE_RIGHT

    @property
    def near(self) -> Align:
        """Where a line begins."""
        return Align.R if self.mirrored else Align.L

    @property
    def far(self) -> Align:
        """Where a line ends."""
        return Align.L if self.mirrored else Align.R

    def at(self, offset: float, width: float) -> float:
        """Return where something lies that is so far from the beginning of a line."""
        return self.w - MARGIN - offset - width if self.mirrored else MARGIN + offset

    def footer(self) -> None:
        self.set_y(-MARGIN + 5)
        self.face(size=SMALL)
        self.set_text_color(*GREY)
        self.cell(0, 5, f"{self.title}, {self.labels.page.format(self.page_no(), '{nb}')}", align=Align.C)


def _head(pdf: _Sheet, paper: Paper) -> None:
    half, top = (pdf.epw - MARGIN) / 2, pdf.get_y()
    pdf.face("B", LARGE)
    pdf.set_text_color(*INK)
    pdf.set_x(pdf.at(0, pdf.epw - 40))
    pdf.cell(pdf.epw - 40, 12, paper.title, align=pdf.near)
    if paper.stamp:
        pdf.face("B", TEXT)
        pdf.set_text_color(*GREY)
        pdf.set_xy(pdf.at(pdf.epw - 40, 40), top)
        pdf.cell(40, 12, paper.stamp.upper(), align=pdf.far)
    top, bottoms = top + 18, []
    for offset, label, words in ((0.0, paper.labels.sender, paper.sender), (half + MARGIN, paper.labels.receiver, paper.receiver)):
        pdf.set_xy(pdf.at(offset, half), top)
        pdf.face(size=SMALL)
        pdf.set_text_color(*GREY)
        pdf.cell(half, 5, label, align=pdf.near)
        pdf.set_xy(pdf.at(offset, half), top + 5)
        pdf.face(size=TEXT)
        pdf.set_text_color(*INK)
        pdf.multi_cell(half, 5, words, align=pdf.near, new_x="LEFT", new_y="NEXT")
        bottoms.append(pdf.get_y())
    pdf.set_xy(MARGIN, max(bottoms) + 8)


def _facts(pdf: _Sheet, facts: Sequence[tuple[str, str]]) -> None:
    for name, value in facts:
        pdf.face(size=TEXT)
        pdf.set_text_color(*GREY)
        pdf.set_x(pdf.at(0, WIDE))
        pdf.cell(WIDE, 6, name, align=pdf.near)
        pdf.set_text_color(*INK)
        pdf.set_x(pdf.at(WIDE, pdf.epw - WIDE))
        pdf.multi_cell(pdf.epw - WIDE, 6, value, align=pdf.near, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(6)


def _table(pdf: _Sheet, paper: Paper) -> None:
    pdf.face(size=TEXT - 1)
    pdf.set_draw_color(*GREY)
    order = slice(None, None, -1) if pdf.mirrored else slice(None)
    aligned = tuple(pdf.far if column.number else pdf.near for column in paper.columns)[order]
    heading = FontFace(emphasis="BOLD", color=INK, fill_color=LIGHT)
    layout = TableBordersLayout.HORIZONTAL_LINES
    widths = tuple(column.share for column in paper.columns)[order]
    with pdf.table(borders_layout=layout, col_widths=widths, text_align=aligned, headings_style=heading, line_height=5, padding=1.2) as table:
        for cells in ([column.heading for column in paper.columns], *paper.rows):
            row = table.row()
            for text in list(cells)[order]:
                row.cell(text)
    pdf.ln(4)


def _sums(pdf: _Sheet, sums: Sequence[tuple[str, str]]) -> None:
    wide = WIDE + 5
    for n, (name, value) in enumerate(sums, 1):
        pdf.face("B" if n == len(sums) else "", TEXT + (n == len(sums)))
        pdf.set_text_color(*INK)
        pdf.set_x(pdf.at(0, pdf.epw - wide))
        pdf.cell(pdf.epw - wide, 6, name, align=pdf.far)
        pdf.set_x(pdf.at(pdf.epw - wide, wide))
        pdf.cell(wide, 6, value, align=pdf.far, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(8)


def _notes(pdf: _Sheet, notes: str) -> None:
    if notes:
        pdf.face(size=TEXT - 1)
        pdf.set_text_color(*GREY)
        pdf.multi_cell(0, 5, notes, align=pdf.near)
