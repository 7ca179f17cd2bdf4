"""Papers: a page or more of A4 with a heading, facts, a table and sums, as PDF; the same paper is the same bytes on every machine.

How it works: fpdf2 lays out what a `Paper` says. The font (Open Sans: Latin, Greek, Cyrillic) comes from a wheel and is embedded as far as it is used; dates in the
file are the paper's own. It takes some 50 ms, so it is done in a thread.

What may go wrong: text in a script that the font lacks shows as empty boxes; a name of two hundred letters is broken over lines, never cut.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from importlib.resources import files
from typing import NamedTuple

from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout
from fpdf.fonts import FontFace

GREY, LIGHT, INK = (110, 110, 110), (238, 241, 244), (25, 32, 44)
MARGIN = 20.0  # millimetres
TEXT, SMALL, LARGE = 10, 8, 20
WIDE = 2 * MARGIN


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
    fonts = files("ttf_opensans") / "ttf"
    pdf.add_font("Open Sans", "", str(fonts / "OpenSans-Regular.ttf"))
    pdf.add_font("Open Sans", "B", str(fonts / "OpenSans-SemiBold.ttf"))
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


class _Sheet(FPDF):
    labels = Labels()

    def footer(self) -> None:
        self.set_y(-MARGIN + 5)
        self.set_font("Open Sans", size=SMALL)
        self.set_text_color(*GREY)
        self.cell(0, 5, f"{self.title}, {self.labels.page.format(self.page_no(), '{nb}')}", align=Align.C)


def _head(pdf: FPDF, paper: Paper) -> None:
    half = (pdf.epw - MARGIN) / 2
    pdf.set_font("Open Sans", "B", LARGE)
    pdf.set_text_color(*INK)
    pdf.cell(pdf.epw - 40, 12, paper.title)
    if paper.stamp:
        pdf.set_font("Open Sans", "B", TEXT)
        pdf.set_text_color(*GREY)
        pdf.cell(40, 12, paper.stamp.upper(), align=Align.R)
    pdf.ln(18)
    top, bottoms = pdf.get_y(), []
    for at, label, words in ((MARGIN, paper.labels.sender, paper.sender), (MARGIN + half + MARGIN, paper.labels.receiver, paper.receiver)):
        pdf.set_xy(at, top)
        pdf.set_font("Open Sans", size=SMALL)
        pdf.set_text_color(*GREY)
        pdf.cell(half, 5, label)
        pdf.set_xy(at, top + 5)
        pdf.set_font("Open Sans", size=TEXT)
        pdf.set_text_color(*INK)
        pdf.multi_cell(half, 5, words, align=Align.L, new_x="LEFT", new_y="NEXT")
        bottoms.append(pdf.get_y())
    pdf.set_y(max(bottoms) + 8)


def _facts(pdf: FPDF, facts: Sequence[tuple[str, str]]) -> None:
    for name, value in facts:
        pdf.set_font("Open Sans", size=TEXT)
        pdf.set_text_color(*GREY)
        pdf.cell(WIDE, 6, name)
        pdf.set_text_color(*INK)
        pdf.multi_cell(pdf.epw - WIDE, 6, value, align=Align.L, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(6)


def _table(pdf: FPDF, paper: Paper) -> None:
    pdf.set_font("Open Sans", size=TEXT - 1)
    pdf.set_draw_color(*GREY)
    aligned = tuple(Align.R if column.number else Align.L for column in paper.columns)
    heading = FontFace(emphasis="BOLD", color=INK, fill_color=LIGHT)
    layout = TableBordersLayout.HORIZONTAL_LINES
    widths = tuple(column.share for column in paper.columns)
    with pdf.table(borders_layout=layout, col_widths=widths, text_align=aligned, headings_style=heading, line_height=5, padding=1.2) as table:
        for cells in ([column.heading for column in paper.columns], *paper.rows):
            row = table.row()
            for text in cells:
                row.cell(text)
    pdf.ln(4)


def _sums(pdf: FPDF, sums: Sequence[tuple[str, str]]) -> None:
    for n, (name, value) in enumerate(sums, 1):
        pdf.set_font("Open Sans", "B" if n == len(sums) else "", TEXT + (n == len(sums)))
        pdf.set_text_color(*INK)
        pdf.cell(pdf.epw - WIDE - 5, 6, name, align=Align.R)
        pdf.cell(WIDE + 5, 6, value, align=Align.R, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(8)


def _notes(pdf: FPDF, notes: str) -> None:
    if notes:
        pdf.set_font("Open Sans", size=TEXT - 1)
        pdf.set_text_color(*GREY)
        pdf.multi_cell(0, 5, notes, align=Align.L)
