"""Commission rules: what share of what a doctor bills, or of what is collected for their work, is theirs; from a day on, for all they do or for one procedure.

How it works: what counts is the rule in force on the day on which the invoice was issued, whenever it is paid, credited or given back: a rate that changes leaves alone what was agreed when the work
was done, and what is taken back is taken back by the rate by which it was given. A rule for a procedure goes before one for all they do. No two rules of one doctor for the same thing share a day.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import PLATFORM, Claim, Event, Frozen, Invalid, NotFound, Reason, Ref, Refused, StaffId, State, TimeClaim, only
from domain.kit.bills import ProcedureCode
from domain.kit.money import BASIS
from domain.kit.places import FOR_EVER

CommissionBasis = Literal["billed", "collected"]
"""Of what is billed, less what was voided or credited; or of what was collected, less what was given back. Always without tax."""
CommissionRuleId = Annotated[UUID, Ref("commission_rules")]
CommissionRate = Annotated[int, Meta(ge=1, le=BASIS, description="Basis points: 4000 is 40 %.")]


class CommissionTerms(Frozen):
    """Which doctor gets which share of what, and on invoices of which days; without `procedureCode` of all that has no rule of its own."""

    doctor_id: StaffId
    basis: CommissionBasis
    rate: CommissionRate
    procedure_code: ProcedureCode | None = None
    valid_from: date
    valid_to: date | None = None


class CommissionRuleMade(Event, CommissionTerms): ...


class CommissionRuleChanged(Event, CommissionTerms): ...


class CommissionRuleRemoved(Event):
    """It never counted."""

    reason: Reason


CommissionRuleEvent = CommissionRuleMade | CommissionRuleChanged | CommissionRuleRemoved


class CommissionRuleImpossible(Invalid):
    """A rule holds from a day until the same day or a later one, for a share of up to all of it."""


class CommissionRulesOverlap(Refused):
    """That doctor has a rule already for the same thing on some of these days. Let that one end first."""


class CommissionRule(State):
    kind: ClassVar[str] = "commission_rules"
    terms: CommissionTerms | None = None

    def evolve(self, event: CommissionRuleEvent) -> Self:
        match event:
            case CommissionRuleMade() | CommissionRuleChanged():
                return replace(self, terms=CommissionTerms(**only(CommissionTerms, event)))
            case CommissionRuleRemoved():
                return replace(self, terms=None)

    def claims(self) -> frozenset[Claim]:
        """On no day there are two rules for the same thing."""
        return frozenset({claim_of(self.terms)} if self.terms else ())

    def make(self, terms: CommissionTerms) -> list[Event]:
        ensure_possible(terms)
        return [CommissionRuleMade(**only(CommissionTerms, terms))]

    def change(self, terms: CommissionTerms) -> list[Event]:
        """Say anew what holds. What was paid by it is set right with the next payroll run."""
        there = self.ensure_there()
        ensure_possible(terms)
        return [] if only(CommissionTerms, terms) == only(CommissionTerms, there) else [CommissionRuleChanged(**only(CommissionTerms, terms))]

    def remove(self, reason: str) -> list[Event]:
        self.ensure_there()
        return [CommissionRuleRemoved(reason=reason)]

    def ensure_there(self) -> CommissionTerms:
        """Return what it says."""
        if self.terms is None:
            raise NotFound
        return self.terms


def ensure_possible(terms: CommissionTerms) -> None:
    if not 0 < terms.rate <= BASIS or (terms.valid_to is not None and not terms.valid_from <= terms.valid_to < date.max) or terms.valid_from >= FOR_EVER.date():
        raise CommissionRuleImpossible


def claim_of(terms: CommissionTerms) -> TimeClaim:
    """Return what a rule must hold alone: its days, of a doctor's procedure or of all they do."""
    end = datetime.combine(terms.valid_to + timedelta(days=1), time(), UTC) if terms.valid_to else FOR_EVER
    return TimeClaim(kind="commission", id=subject_of(terms.doctor_id, terms.procedure_code), start=datetime.combine(terms.valid_from, time(), UTC), end=end)


def subject_of(doctor: UUID, procedure: str | None) -> UUID:
    """Return as what a doctor's procedure is claimed; everything they do without a rule of its own is claimed by itself."""
    return uuid5(doctor, procedure) if procedure else uuid5(PLATFORM, doctor.hex)
