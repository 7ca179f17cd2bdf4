"""Wishes: several things want other times at once, each in one of several ways; who gets what, and why not.

How it works: each wish says what its thing holds now and the ways in which it could be had, the best first; a way says what the thing would hold then. All try what they want
most before any tries what it wants next, so nobody who could stay at their time is driven out by somebody who had to go; of two that meet the earlier wish has its way. What cannot
be had at all stays where it is, in the others' way; so it is settled anew until nobody is refused any more. Things may move into each other's places, for what all of them hold now
is set free before it is taken.

What may go wrong: ways are gone through more than once, so they must not be iterators. Whoever is none of those that wish is asked about beforehand (`why`).
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

from msgspec import Meta

from domain.kit.model import Claim, TimeClaim

Code = Annotated[str, Meta(pattern=r"^[A-Z_]+$", description="The code of the error by which it was refused, or why it was left.", examples=["TIME_TAKEN"])]
Mode = Annotated[Literal["all-or-nothing", "each"], Meta(description="`all-or-nothing`: if one visit is refused, nothing is done. `each`: what can be done is, the others are told with their reasons.")]

T = TypeVar("T")
TAKEN = "TIME_TAKEN"


class Way(NamedTuple, Generic[T]):
    """A way in which a wish could be had: what would be held, and what would be done; or the code of what forbids it, whatever the others do."""

    after: frozenset[Claim]
    done: T
    why: str | None = None


class Wish(NamedTuple, Generic[T]):
    """A thing, what it holds, and the ways in which it could have what it wants: in groups, what it wants most first; in all at least one."""

    id: UUID
    before: frozenset[Claim]
    ways: Sequence[Iterable[Way[T]]]


def settled(wishes: Sequence[Wish[T]]) -> dict[UUID, Way[T]]:
    """Return for each thing the way that it gets; one with a `why` is the last that was tried, and refused."""
    refused: dict[UUID, Way[T]] = {}
    while True:
        had = tried([one for one in wishes if one.id not in refused], [one.before for one in wishes if one.id in refused])
        more = {id_: way for id_, way in had.items() if way.why is not None}
        if not more:
            return {**had, **refused}
        refused |= more


def tried(wishes: Sequence[Wish[T]], taken: list[frozenset[Claim]]) -> dict[UUID, Way[T]]:
    """Return what each gets if those that get nothing are in nobody's way."""
    had: dict[UUID, Way[T]] = {}
    for rank in range(max((len(one.ways) for one in wishes), default=0)):
        for one in wishes:
            if rank < len(one.ways) and (one.id not in had or had[one.id].why is not None):
                for way in one.ways[rank]:
                    why = way.why or (TAKEN if any(meet(way.after, other) for other in taken) else None)
                    had[one.id] = way._replace(why=why)
                    if why is None:
                        taken.append(way.after)
                        break
    return had


def meet(one: frozenset[Claim], other: frozenset[Claim]) -> bool:
    """Say whether two things want the same of the clinic at the same time."""
    return any(
        isinstance(a, TimeClaim) and isinstance(b, TimeClaim) and not a.forced and a.kind == b.kind and a.id == b.id and a.start < b.end and b.start < a.end
        for a in one for b in other)
