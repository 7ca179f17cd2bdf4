"""Duplicates: two records that look like one person's, and are not; said once, so that nobody is asked about them again."""

from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, PatientId, Personal, Reason, Refused, State


class Pair(Frozen):
    """Two records, the one with the smaller id first."""

    patient_id: PatientId
    other_id: PatientId


class DuplicateDismissed(Pair, Event):
    """They are two people."""

    reason: Annotated[Reason | None, Personal("patient_id")] = None


class DuplicateReopened(Pair, Event):
    """They may be one after all."""


DuplicateEvent = DuplicateDismissed | DuplicateReopened


class PairedWithOneself(Invalid):
    """A record cannot be another one than itself. Name two different records."""


class DuplicateNotDismissed(Refused):
    """Nobody has said that these two are not the same person."""


class Duplicate(State):
    """Whether somebody has said that two records are two people's."""

    kind: ClassVar[str] = "duplicates"
    dismissed: bool = False

    def evolve(self, event: DuplicateEvent) -> Self:
        match event:
            case DuplicateDismissed():
                return replace(self, dismissed=True)
            case DuplicateReopened():
                return replace(self, dismissed=False)

    def dismiss(self, pair: Pair, reason: str | None) -> list[Event]:
        return [] if self.dismissed else [DuplicateDismissed(patient_id=pair.patient_id, other_id=pair.other_id, reason=reason)]

    def reopen(self, pair: Pair) -> list[Event]:
        if not self.dismissed:
            raise DuplicateNotDismissed
        return [DuplicateReopened(patient_id=pair.patient_id, other_id=pair.other_id)]


def pair_of(one: UUID, other: UUID) -> Pair:
    """Return two records in the order in which they are kept, whichever is named first."""
    if one == other:
        raise PairedWithOneself
    return Pair(patient_id=min(one, other), other_id=max(one, other))


def duplicate_of(one: UUID, other: UUID) -> UUID:
    """Return the id under which it is kept what was said about two records."""
    first, second = sorted((one, other))
    return uuid5(first, f"duplicates/{second}")
