"""How rooms and hours keep a place open, and how a place is closed only when nothing needs it any more."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from domain.kit.model import TimeClaim

BEGINNING, FOR_EVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def used(places: Iterable[UUID | None]) -> set[TimeClaim]:
    """Return the claims of what is at these places: any number of things are at one, and while there is one it cannot be closed."""
    return {_all_time(place, forced=True) for place in places if place is not None}


def closed(place: UUID) -> TimeClaim:
    """Return the claim of a place that is closed, which nothing that is there allows."""
    return _all_time(place, forced=False)


def _all_time(place: UUID, *, forced: bool) -> TimeClaim:
    return TimeClaim(kind="place", id=place, start=BEGINNING, end=FOR_EVER, forced=forced)
