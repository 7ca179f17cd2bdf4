"""Whose turn it is among those who wait: what walk-ins and patients with an appointment have in common."""

from typing import Literal

from domain.kit.model import Invalid, Refused

Rank = Literal["normal", "high", "urgent"]
"""Whoever is ranked higher comes first; within a rank it goes by when one is due."""

ArrivalWay = Literal["clinic", "code"]
"""How an arrival became known: noted by the clinic, or by the patient, who scanned the code at its entrance."""

RANKS: dict[Rank, int] = {"urgent": 0, "high": 1, "normal": 2}


class RankNeedsReason(Invalid):
    """Whoever comes before others does so for a reason. Say which."""


class NobodyWaits(Refused):
    """This patient does not wait: they are being seen, have been seen, or left the queue."""


def ensure_reason(rank: Rank, reason: str | None) -> None:
    """Refuse to let somebody come first for no reason."""
    if rank != "normal" and not (reason or "").strip():
        raise RankNeedsReason
