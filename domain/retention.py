"""Retention: for how long a clinic must keep its records, and legal holds, which keep them for longer. Whatever deletes asks here first.

How it works: a period counts from a record's last change. The minimum is the platform's, the usual one what counts until the clinic says otherwise; a clinic may keep
longer, never shorter. A hold (a lawsuit, an inspection) binds the whole clinic or one patient until it is lifted, whatever the periods say.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, ClassVar, Literal, NamedTuple, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Event, Forbidden, Frozen, Invalid, NotFound, PatientId, Reason, Refused, State

RecordKind = Literal["patients", "appointments", "invoices", "staff", "audit"]
Years = Annotated[int, Meta(ge=1, le=100, description="Years after the last change.")]
Periods = dict[RecordKind, Years]
HoldId = Annotated[UUID, Meta(description="Id of a legal hold.")]


class Period(NamedTuple):
    """For how many years a kind of record is kept: at least, and unless the clinic says otherwise; and where that is from."""

    minimum: int
    usual: int
    source: str


PERIODS: dict[RecordKind, Period] = {
    "patients": Period(5, 20, "at least five years (Spain, Ley 41/2002, art. 17.1), usually twenty (Netherlands, BW 7:454)"),
    "appointments": Period(5, 20, "part of the patient's record"),
    "invoices": Period(6, 10, "at least six years (United Kingdom, HMRC VAT Notice 700/21), usually ten (EU, Regulation 282/2011, art. 63c)"),
    "staff": Period(3, 7, "at least three years, within which claims lapse (Germany, BGB 195), usually seven"),
    "audit": Period(6, 10, "at least six years (United States, 45 CFR 164.316(b)(2)), usually as long as the books"),
}


class RetentionSet(Event):
    """For how many years the clinic keeps what; kinds that are not named are kept as usual."""

    periods: Periods
    before: Periods


class LegalHoldPlaced(Event):
    """Nothing of the clinic, or of that patient, may be deleted from now on. `platform`: only the platform may lift it."""

    hold_id: HoldId
    patient_id: PatientId | None = None
    reason: Reason
    platform: bool = False


class LegalHoldLifted(Event):
    hold_id: HoldId
    reason: Reason


RetentionEvent = RetentionSet | LegalHoldPlaced | LegalHoldLifted


class RetentionTooShort(Invalid):
    """The law wants these records kept for longer. `details` say for how many years at least."""


class RetentionBinds(Refused):
    """These records must be kept until the day in `details`. A clinic that has been closed may take everything along with an export first."""


class LegalHoldBinds(Refused):
    """A legal hold keeps these records. Whoever placed it must lift it first."""


class LegalHoldUnknown(NotFound):
    """There is no such legal hold, or it has been lifted."""


class LegalHoldNotYours(Forbidden):
    """The platform has placed this hold. Ask it to lift it."""


class Hold(Frozen):
    """What is being kept, and on whose word."""

    patient: UUID | None = None
    platform: bool = False


class Retention(State):
    """What a clinic must keep."""

    kind: ClassVar[str] = "retention"
    periods: Periods = field(default_factory=dict)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    placed: int = 0

    def evolve(self, event: RetentionEvent) -> Self:
        match event:
            case RetentionSet(periods=periods):
                return replace(self, periods=periods)
            case LegalHoldPlaced(hold_id=hold):
                return replace(self, placed=self.placed + 1, holds={**self.holds, hold: Hold(patient=event.patient_id, platform=event.platform)})
            case LegalHoldLifted(hold_id=gone):
                return replace(self, holds={hold: about for hold, about in self.holds.items() if hold != gone})

    def years(self, kind: RecordKind) -> int:
        """Return for how many years a kind of record is kept."""
        return self.periods.get(kind, PERIODS[kind].usual)

    def set(self, periods: Periods) -> list[Event]:
        for kind, years in periods.items():
            if years < PERIODS[kind].minimum:
                raise RetentionTooShort(kind=kind, minimum=PERIODS[kind].minimum)
        return [] if periods == self.periods else [RetentionSet(periods=periods, before=self.periods)]

    def place(self, this: UUID, patient: UUID | None, reason: str, *, platform: bool) -> list[Event]:
        hold = uuid5(this, f"holds/{self.placed + 1}")
        return [LegalHoldPlaced(hold_id=hold, patient_id=patient, reason=reason, platform=platform)]

    def lift(self, hold: UUID, reason: str, *, platform: bool) -> list[Event]:
        if (about := self.holds.get(hold)) is None:
            raise LegalHoldUnknown(id=str(hold))
        if about.platform and not platform:
            raise LegalHoldNotYours
        return [LegalHoldLifted(hold_id=hold, reason=reason)]

    def ensure_deletable(self, today: date, last: Mapping[RecordKind, date | None], patient: UUID | None = None) -> None:
        """Refuse to delete a patient's records, or all of a clinic's, while a hold or a period binds them; `last` says when each kind last changed."""
        if holds := [hold for hold, about in self.holds.items() if patient is None or about.patient in {None, patient}]:
            raise LegalHoldBinds(holds=[str(hold) for hold in sorted(holds)])
        bound = {kind: until for kind, on in last.items() if on and (until := later(on, self.years(kind))) > today}
        if bound:
            kind = max(bound, key=lambda kind: (bound[kind], kind))
            raise RetentionBinds(kind=kind, until=bound[kind].isoformat())

    def ensure_all_deletable(self, today: date, since: date | None) -> None:
        """As above, for a whole clinic: `since` is when any of its records can have changed last; None if only a hold could bind them."""
        self.ensure_deletable(today, dict.fromkeys(PERIODS, since) if since is not None else {})


def later(on: date, years: int) -> date:
    """Return the day so many years later; the 29th of February becomes the 1st of March, and time ends where calendars do."""
    if on.year + years > date.max.year:
        return date.max
    return date(on.year + years, 3, 1) if (on.month, on.day) == (2, 29) else on.replace(year=on.year + years)


def retention_of(clinic: UUID) -> UUID:
    """Return the id under which a clinic's retention is kept."""
    return uuid5(clinic, "retention")
