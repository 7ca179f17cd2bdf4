"""Covers: who insures a patient, under which number, from when until when; one payer comes first at any time."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    PLATFORM,
    Claim,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    PatientId,
    Personal,
    Reason,
    Refused,
    State,
    Text,
    TimeClaim,
    only,
)
from domain.kit.bills import EARLIEST
from domain.kit.insurance import PayerId, Rank

MemberNumber = Annotated[str, Meta(min_length=1, max_length=60, description="By which the insurer knows the patient.", examples=["W123456789"])]
Holder = Literal["self", "spouse", "parent", "other"]

FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
LATEST = date(2999, 12, 31)  # what programs write that cannot leave a day out


class CoverTerms(Frozen):
    """With whom a patient is insured, and how: without a last day it goes on."""

    payer_id: PayerId
    member_number: Annotated[MemberNumber | None, Personal("patient_id")] = None
    group_number: Annotated[Text | None, Personal("patient_id")] = None
    rank: Rank = "primary"
    holder: Annotated[Holder, Meta(description="Whose policy it is.")] = "self"
    holder_name: Annotated[Text | None, Personal("patient_id")] = None
    valid_from: date
    valid_to: Annotated[date | None, Meta(description="The last day, included.")] = None
    notes: Annotated[Note | None, Personal("patient_id")] = None


class Cover(CoverTerms):
    """A patient's cover."""

    patient_id: PatientId


class CoverAdded(Cover, Event): ...


class CoverChanged(Cover, Event): ...


class CoverRemoved(Event):
    """There never was such a cover."""

    patient_id: PatientId
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class CoverReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


CoverEvent = CoverAdded | CoverChanged | CoverRemoved | CoverReassigned


class CoverDaysImpossible(Invalid):
    """A cover ends on the day it begins, or later."""


class PrimaryCoverTaken(Refused):
    """Another primary cover of the patient's is valid in that time. End that one first, or make this one secondary."""


class CoverNotValid(Refused):
    """That cover is not the patient's on that day."""


class InsuranceCover(State):
    kind: ClassVar[str] = "insurance_covers"
    stage: Literal["none", "valid", "removed"] = "none"
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it was noted, whoever's it is now
    payer_id: UUID = PLATFORM
    rank: Rank = "primary"
    valid_from: date = date.min
    valid_to: date | None = None
    moved: bool = False  # to another record, and nobody has looked at it since

    def evolve(self, event: CoverEvent) -> Self:
        match event:
            case CoverAdded() | CoverChanged():
                return replace(
                    self, stage="valid", patient_id=event.patient_id, record=self.record or event.patient_id, payer_id=event.payer_id, rank=event.rank,
                    valid_from=event.valid_from, valid_to=event.valid_to, moved=False)
            case CoverRemoved():
                return replace(self, stage="removed")
            case CoverReassigned(patient_id=patient):
                return replace(self, patient_id=patient, moved=patient != self.record)

    def claims(self) -> frozenset[Claim]:
        """The patient's time, if it comes first: by force once two records are one, for then there may be two until somebody has looked."""
        if self.stage != "valid" or self.rank != "primary":
            return frozenset()
        return frozenset({primacy(self.patient_id, self.valid_from, self.valid_to, forced=self.moved)})

    def add(self, patient: UUID, terms: CoverTerms) -> list[Event]:
        ensure_days(terms)
        return [CoverAdded(patient_id=patient, **only(CoverTerms, terms))]

    def change(self, terms: CoverTerms) -> list[Event]:
        self.ensure_there()
        ensure_days(terms)
        return [CoverChanged(patient_id=self.patient_id, **only(CoverTerms, terms))]

    def remove(self, reason: str | None) -> list[Event]:
        if self.stage == "none":
            raise NotFound
        return [] if self.stage == "removed" else [CoverRemoved(patient_id=self.patient_id, reason=reason)]

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        return [CoverReassigned(patient_id=to, was_patient_id=was)] if self.stage == "valid" and self.patient_id == was else []

    def keeper(self, who: UUID) -> UUID:
        """The record under which it was noted."""
        return self.record or who

    def ensure_there(self) -> None:
        if self.stage != "valid":
            raise NotFound

    def ensure_valid(self, patient: UUID, on: date) -> None:
        """Refuse to bill by it what it does not cover."""
        self.ensure_there()
        if self.patient_id != patient or not valid(self, on):
            raise CoverNotValid(date=on.isoformat())


def valid(cover: Any, on: date) -> bool:
    """Say whether a cover is valid on a day."""
    return bool(cover.valid_from <= on and (cover.valid_to is None or on <= cover.valid_to))


def overlap(one: Any, other: Any) -> bool:
    """Say whether there are days on which both covers are valid."""
    return (one.valid_to is None or other.valid_from <= one.valid_to) and (other.valid_to is None or one.valid_from <= other.valid_to)


def primacy(patient: UUID, first: date, last: date | None, *, forced: bool = False) -> TimeClaim:
    """Return the claim to come first for a patient on these days."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = FOR_EVER if last is None else datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(1)
    return TimeClaim(kind="insurance_covers.primary", id=patient, start=start, end=end, forced=forced)


def ensure_days(terms: CoverTerms) -> None:
    if terms.valid_to is not None and terms.valid_to < terms.valid_from:
        raise CoverDaysImpossible(validFrom=terms.valid_from.isoformat(), validTo=terms.valid_to.isoformat())
    if not EARLIEST <= terms.valid_from <= LATEST or not EARLIEST <= (terms.valid_to or EARLIEST) <= LATEST:
        raise CoverDaysImpossible(validFrom=terms.valid_from.isoformat())
