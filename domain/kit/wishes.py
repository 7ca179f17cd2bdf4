"""Wishes: several things want other times at once, each in one of several ways; who gets what, and why not.

How it works: each wish says what its thing holds now and the ways in which it could be had, the best first; a way says what the thing would hold then. Of two that meet the
earlier wish has its way and the later its next one. What cannot be had at all stays where it is, in the others' way; so it is settled anew until nobody is refused any more.
Things may move into each other's places, for what all of them hold now is set free before it is taken.

What may go wrong: `ways` are gone through more than once, so they must not be an iterator. Whoever is none of those that wish is asked about beforehand (`why`).
"""

from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from domain.kit.model import Claim, TimeClaim

T = TypeVar("T")
TAKEN = "TIME_TAKEN"


class Way(NamedTuple, Generic[T]):
    """A way in which a wish could be had: what would be held, and what would be done; or the code of what forbids it, whatever the others do."""

    after: frozenset[Claim]
    done: T
    why: str | None = None


class Wish(NamedTuple, Generic[T]):
    """A thing, what it holds, and the ways in which it could have what it wants, the best first; at least one."""

    id: UUID
    before: frozenset[Claim]
    ways: Iterable[Way[T]]


def settled(wishes: Sequence[Wish[T]]) -> dict[UUID, Way[T]]:
    """Return for each thing the way that it gets; one with a `why` is its last, and refused."""
    refused: dict[UUID, Way[T]] = {}
    while True:
        taken = [one.before for one in wishes if one.id in refused]
        had: dict[UUID, Way[T]] = {}
        for one in wishes:
            if one.id not in refused:
                had[one.id] = way = best(one, taken)
                if way.why is None:
                    taken.append(way.after)
        if all(way.why is None for way in had.values()):
            return {**had, **refused}
        refused |= {id_: way for id_, way in had.items() if way.why is not None}


def best(wish: Wish[T], taken: Iterable[frozenset[Claim]]) -> Way[T]:
    """Return the first way that is in nobody's way, or the last one and why not."""
    for way in wish.ways:
        why = way.why or (TAKEN if any(meet(way.after, other) for other in taken) else None)
        if why is None:
            return way
        last = way._replace(why=why)
    return last


def meet(one: frozenset[Claim], other: frozenset[Claim]) -> bool:
    """Say whether two things want the same of the clinic at the same time."""
    return any(
        isinstance(a, TimeClaim) and isinstance(b, TimeClaim) and not a.forced and a.kind == b.kind and a.id == b.id and a.start < b.end and b.start < a.end
        for a in one for b in other)
