"""Attendance by code: a clinic shows a code at its entrance, and whoever is expected today and scans it is noted as there, without anybody at the desk.

How it works: the code changes every minute and is good for five, so whoever shows it stands (or stood just now) before it; a photograph does not help somebody at home. Who it is, the patient proves by the
link to their appointment, or by their day of birth with the telephone number or e-mail address that the clinic has of them.
"""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from domain.kit import Email, Invalid, Phone, Refused

CODE = "entrance"  # what the token in the code is for
GOOD = 5  # minutes for which a code opens the door after it was first shown
EARLY = timedelta(hours=2)  # before the visit, from when on somebody may say that they are there

KnownPhone = Annotated[Phone, Meta(description="As the clinic knows it, however it is written.")]
KnownEmail = Annotated[Email, Meta(description="As the clinic knows it.")]


class EntranceCodeOver(Refused):
    """This code is not valid any more. Scan the one at the entrance again."""

    status = 410


class NotExpected(Refused):
    """We have no visit of yours for today. Please come to the desk."""

    status = 404


class ArrivedTooEarly(Refused):
    """It is too early to say that you are here. Scan the code again nearer to your appointment, or come to the desk."""


class ArrivedTooLate(Refused):
    """The time of your appointment is over. Please come to the desk."""


class PersonUnsaid(Invalid):
    """Say who you are: by the link to your appointment, or by your day of birth and your telephone number or e-mail address."""


def minute_of(now: datetime) -> int:
    """Return the number of a code that is shown from then on: it counts the minutes."""
    return int(now.timestamp()) // 60


def ensure_current(number: int, now: datetime) -> None:
    """Refuse a code that is too old; one from the minute to come was shown by a server whose clock is ahead."""
    if not -1 <= minute_of(now) - number < GOOD:
        raise EntranceCodeOver


def ensure_in_time(starts: datetime, ends: datetime, now: datetime) -> None:
    """Refuse to have somebody wait for hours, or for what is over."""
    if now < starts - EARLY:
        raise ArrivedTooEarly(**{"from": (starts - EARLY).isoformat()})
    if now >= ends:
        raise ArrivedTooLate


def same_phone(given: str, known: str) -> bool:
    """Say whether two numbers are one, however they are written: with a country's code or without."""
    mine, theirs = (("".join(c for c in text if c.isdecimal())).lstrip("0") for text in (given, known))
    return min(len(mine), len(theirs)) >= 7 and (mine.endswith(theirs) or theirs.endswith(mine))  # noqa: PLR2004 - fewer tell nobody apart
