"""Of which kinds of things somebody may hear: an event says as much as the row of its kind in detail, so that row's key guards it."""

from collections.abc import Callable, Iterator, Mapping

from projections.kit.declare import PROJECTIONS
from schemas.kit import Row

UNHEARD = {"self", "public"}  # keys that everybody has: whose it is would have to be looked at


def rows_heard(may: Callable[[str], bool]) -> Iterator[tuple[str, type[Row]]]:
    """Yield the kinds whose own row in detail somebody may see, each with it."""
    for name, projection in PROJECTIONS.items():
        if projection.key is None:
            key = projection.row.detail or projection.row.permission
            if key not in UNHEARD and may(key):
                yield name, projection.row


def others_heard(may: Callable[[str], bool], extra: Mapping[str, str]) -> Iterator[str]:
    """Yield the kinds without a row of their own that somebody may hear of by the keys that `extra` gives."""
    for kind, key in extra.items():
        if may(key) and not (kind in PROJECTIONS and PROJECTIONS[kind].key is None):
            yield kind


def kinds_heard(may: Callable[[str], bool], extra: Mapping[str, str]) -> frozenset[str]:
    """Return the kinds of whose events somebody may hear who is not limited to what is his own."""
    return frozenset([*(name for name, _ in rows_heard(may)), *others_heard(may, extra)])
