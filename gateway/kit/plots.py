"""Figures as a picture: grouped bars in SVG, of few elements and without any script, so that a browser, a letter or a document can show it.

How it works. A `Plot` is labels and series of integers; zero is always on the scale, so that a bar is as long as its value, and negative ones hang below it. Whoever cannot see it hears a title, a
description that says each series' sum, and of each bar what it stands for and how much.

What may go wrong. Many bars become thin: labels are thinned out before they overlap, and past `MOST` bars of a series the picture is refused, for nobody could read it. All text is escaped.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from domain.kit import Invalid

SVG = "image/svg+xml"
SAFE = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "x-content-type-options": "nosniff", "cache-control": "private, no-store"}
MOST = 400
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 420, 90, 20, 70, 60
LINES = 5  # on the scale
NARROWEST = 48  # between two labels
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")  # told apart by the colour-blind too (Okabe and Ito)


class PlotTooWide(Invalid):
    """That is more than 400 bars in a row. Ask for fewer days, or for larger parts."""


class Series(NamedTuple):
    """Values of one kind, one for each label."""

    name: str
    values: Sequence[int]


class Plot(NamedTuple):
    """What is to be drawn; `say` writes a value as people read it."""

    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    say: Callable[[int], str] = str


def drawn(plot: Plot, language: str = "en") -> bytes:
    """Return a picture of it."""
    if len(plot.labels) > MOST:
        raise PlotTooWide(bars=len(plot.labels))
    low, high, step = scale([value for one in plot.series for value in one.values])
    inner, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def y(value: int) -> float:
        return TOP + tall * (high - value) / (high - low)

    slot = inner / max(1, len(plot.labels))
    bar = slot * 0.8 / max(1, len(plot.series))
    every = max(1, -(-NARROWEST * len(plot.labels) // inner))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title description" lang="{escape(language)}" font-family="sans-serif" font-size="12">',
        f'<title id="title">{escape(plot.title)}</title><desc id="description">{escape(said(plot))}</desc>', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="28" font-size="18" fill="#222">{escape(plot.title)}</text>',
    ]
    for value in range(low, high + 1, step):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{"#444" if value == 0 else "#ddd"}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#444">{escape(plot.say(value))}</text>')
    for no, one in enumerate(plot.series):
        colour = COLOURS[no % len(COLOURS)]
        parts.append(f'<rect x="{LEFT + 160 * no}" y="42" width="12" height="12" fill="{colour}"/><text x="{LEFT + 160 * no + 18}" y="52" fill="#222">{escape(one.name)}</text>')
        parts.append(f'<g fill="{colour}">')
        for place, value in enumerate(one.values):
            top, foot = sorted((y(value), y(0)))
            told = escape(f"{plot.labels[place]}, {one.name}: {plot.say(value)}")
            parts.append(f'<rect x="{LEFT + slot * place + slot * 0.1 + bar * no:.1f}" y="{top:.1f}" width="{bar:.1f}" height="{foot - top:.1f}"><title>{told}</title></rect>')
        parts.append("</g>")
    parts += [
        f'<text x="{LEFT + slot * (place + 0.5):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="#444">{escape(label)}</text>'
        for place, label in enumerate(plot.labels) if place % every == 0
    ]
    return "".join([*parts, "</svg>"]).encode()


def said(plot: Plot) -> str:
    """Return the picture in words, for whoever hears it."""
    span = f"{plot.labels[0]} – {plot.labels[-1]}. " if plot.labels else ""
    return span + " ".join(f"{one.name}: {plot.say(sum(one.values))}." for one in plot.series)


def scale(values: Sequence[int]) -> tuple[int, int, int]:
    """Return the ends of a scale with zero on it and the step of its lines: 1, 2 or 5 times a power of ten."""
    low, high = min(0, *values, 0), max(0, *values, 0)
    rough = max(1, -(-(high - low) // LINES))
    power = 10 ** (len(str(rough)) - 1)
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    return step * (low // step), max(step, step * -(-high // step)), step
