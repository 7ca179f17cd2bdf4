"""Papers are the same bytes each time, and say what they should; a second library reads them."""

import io
from datetime import date

import pytest
from pypdf import PdfReader

from domain.kit.money import in_words
from gateway.kit.pdf import Column, Labels, Paper, laid_out, printed

PAPER = Paper(
    title="Invoice K7QX2MZA-2026-0001", sender="Anamnesis\nPlatform Street 1", receiver="Ładne Zęby & Ωμέγα", facts=[("Issued", "2 March 2026")],
    columns=(Column("Description", 70), Column("Total", 30, number=True)), rows=[["Pro+ subscription", in_words(11_979, "EUR")]],
    sums=[("Total", in_words(11_979, "EUR"))], notes="Thank you.", dated=date(2026, 3, 2), stamp="paid",
)


def text(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


async def test_a_paper_says_what_it_should_in_any_european_script():
    (page,) = text(await printed(PAPER))
    for words in ("Invoice K7QX2MZA-2026-0001", "Platform Street 1", "Ładne Zęby & Ωμέγα", "2 March 2026", "Pro+ subscription", "119.79 EUR", "PAID", "page 1 of 1"):
        assert words in page


def test_the_same_paper_is_the_same_file():
    assert laid_out(PAPER) == laid_out(PAPER)
    assert laid_out(PAPER) != laid_out(PAPER._replace(notes="No thanks."))


def test_many_rows_go_over_to_further_pages_and_long_names_are_broken_not_cut():
    pages = text(laid_out(PAPER._replace(rows=[[f"Line {n}", in_words(n, "EUR")] for n in range(100)], receiver="Naam " * 40)))
    assert len(pages) > 2
    assert all(f"Line {n}\n" in "".join(pages) or f"Line {n} " in "".join(pages) for n in range(100))
    assert "".join(pages).count("Naam") == 40


ARABIC = PAPER._replace(
    title="فاتورة 2026-000123", sender="عيادة النور", receiver="نور الهدى عبد الرحمن", facts=[("الرقم", "2026-000123")], columns=(Column("الوصف", 70), Column("المبلغ", 30, number=True)),
    rows=[["تاج خزفي", "1,250.00 SAR"]], sums=[("الإجمالي", "1,250.00 SAR")], notes="شكراً", stamp="مدفوع", labels=Labels("من", "إلى", "صفحة {0} من {1}", "ar"))


def places(paper: Paper) -> dict[str, float]:
    """How far from the left edge each word of a paper's figures is."""
    found: dict[str, float] = {}
    page = PdfReader(io.BytesIO(laid_out(paper))).pages[0]
    page.extract_text(visitor_text=lambda said, _, at, *__: found.update({said.strip(): at[4]}) if said.strip() else None)
    return found


@pytest.mark.parametrize("name", ["نور الهدى عبد الرحمن", "שרה כהן-לוי", "กรุงเทพ วัฒนา", "王小明", "臺灣 日本語", "王小明 (نور الهدى)\nวัฒนา, שרה", "Łącka Ευαγγελία Ковальчук Nguyễn"])
def test_a_name_has_all_its_letters_in_whatever_script_and_is_the_same_each_time(name, caplog):
    paper = PAPER._replace(receiver=name, rows=[[name, "1.00 EUR"]], stamp=name)
    first = laid_out(paper)
    assert "missing" not in caplog.text, caplog.text
    assert first == laid_out(paper)
    assert "119.79 EUR" in text(first)[0]


def test_the_check_for_letters_that_are_missing_would_notice_them(caplog):
    laid_out(PAPER._replace(receiver="नूर"))
    assert "missing" in caplog.text


def test_what_is_written_from_right_to_left_is_laid_out_from_right_to_left(caplog):
    ours, theirs = places(PAPER._replace(facts=[("Number", "2026-000123")], rows=[["Crown", "1,250.00 SAR"]])), places(ARABIC)
    assert "missing" not in caplog.text
    middle = 210 / 25.4 * 72 / 2
    assert ours["1,250.00 SAR"] > middle > theirs["1,250.00 SAR"]
    assert ours["2026-000123"] < middle < theirs["2026-000123"] + 60
    assert laid_out(ARABIC) == laid_out(ARABIC)


@pytest.mark.parametrize(("amount", "currency", "words"), [
    (123_456, "EUR", "1,234.56 EUR"), (5, "EUR", "0.05 EUR"), (-5, "EUR", "-0.05 EUR"), (1_234, "JPY", "1,234 JPY"), (1_234_567, "KWD", "1,234.567 KWD"), (0, "USD", "0.00 USD"),
])
def test_money_on_paper(amount, currency, words):
    assert in_words(amount, currency) == words
