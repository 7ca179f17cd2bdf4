"""Papers on the web: the same heading, facts, table and sums as a PDF has, as one page of HTML for whoever opens a link in a browser.

How it works: there is no script and nothing is fetched from elsewhere; the page says so itself (Content-Security-Policy), so that even words that were typed to be markup are only words. A button is a
form without fields: looking at a page changes nothing.

What may go wrong: a form that leads to another website in the end (a payment page) needs that website's leave in `form-action`, or the browser stays where it is.
"""

from collections.abc import Sequence
from html import escape

from gateway.kit.pdf import Column, Paper

POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'"}
STYLE = """body{margin:2em auto;padding:0 1em;max-width:46em;font:16px/1.5 system-ui,sans-serif;color:#19202c}h1{font-size:1.5em;margin:.2em 0}
.stamp{float:inline-end;text-transform:uppercase;font-weight:600;color:#6e6e6e}.who{display:flex;flex-wrap:wrap;gap:1em 3em;white-space:pre-line}small,dt{color:#6e6e6e}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1.5em}dd{margin:0}table{width:100%;border-collapse:collapse}th{background:#eef1f4}
th,td{padding:.4em .6em;text-align:start;border-bottom:1px solid #ccc;overflow-wrap:anywhere}.n{text-align:end;white-space:nowrap}
.sums{width:auto;margin-inline-start:auto;margin-top:1em}.sums tr:last-child td{font-weight:600;border:0}
button{font:inherit;font-weight:600;padding:.6em 1.4em;border:0;border-radius:.4em;background:#19202c;color:#fff;cursor:pointer}.notes{white-space:pre-line;color:#6e6e6e}"""


def as_page(paper: Paper, *, link: tuple[str, str], button: tuple[str, str] | None = None) -> str:
    """Return a paper as a page: with a link (its words and its address) and perhaps a button, which posts to its address."""
    form = f'<form method="post" action="{escape(button[1])}"><p><button>{escape(button[0])}</button></p></form>' if button else ""
    stamp = f'<span class="stamp">{escape(paper.stamp)}</span>' if paper.stamp else ""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in paper.facts)
    return f"""<!doctype html>
<html lang="{escape(paper.labels.language)}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>{escape(paper.title)}</title><style>{STYLE}</style></head><body>
{stamp}<h1><bdi>{escape(paper.title)}</bdi></h1>
<div class="who">{_party(paper.labels.sender, paper.sender)}{_party(paper.labels.receiver, paper.receiver)}</div>
<dl>{facts}</dl>{_table(paper.columns, paper.rows)}<table class="sums">{_rows([Column("", 1), Column("", 1, number=True)], paper.sums)}</table>
<p class="notes" dir="auto">{escape(paper.notes)}</p>{form}<p><a href="{escape(link[1])}">{escape(link[0])}</a></p></body></html>
"""


def _party(label: str, words: str) -> str:
    return f'<div><small>{escape(label)}</small>\n<span dir="auto">{escape(words)}</span></div>'


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th{_kind(column)}>{escape(column.heading)}</th>" for column in columns)
    return f"<table><tr>{head}</tr>{_rows(columns, rows)}</table>"


def _rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    return "".join("<tr>" + "".join(f"<td{_kind(c)}>{escape(text)}</td>" for c, text in zip(columns, cells, strict=True)) + "</tr>" for cells in rows)


def _kind(column: Column) -> str:
    return ' class="n"' if column.number else ""
