"""Instalment plans: a patient pays in parts, each on its day; a part becomes an invoice when its day has come, or is a part of an invoice that there is.

How it works: the terms of a plan sum to its total, whatever is changed. A plan over charges bills each term once: what a term bills are the next so many units of the charges, in their order, so
all terms together bill exactly these, whichever is billed first. A plan over an issued invoice bills nothing: it says when which part of that invoice is due.

What may go wrong: a term's number is never given a second time, for its invoice's id follows from it; so terms that take the place of others have new numbers.
"""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    PLATFORM,
    Claim,
    Event,
    Frozen,
    Invalid,
    InvoiceId,
    Money,
    NotFound,
    PatientId,
    Personal,
    Positive,
    Reason,
    Refused,
    StaffId,
    State,
    UniqueClaim,
    only,
)
from domain.kit.bills import LARGEST, Line, LineOutOfRange, ProcedureCode, Rate
from domain.kit.money import BASIS, shares

InstallmentStage = Literal["active", "paused", "cancelled"]
InstallmentStanding = Literal["active", "paused", "cancelled", "completed", "void"]
"""A stage; or `completed`: all of it is billed and paid; or `void`: the invoice that it divides was voided."""
TermStanding = Literal["planned", "due", "partly-paid", "paid", "overdue", "void", "cancelled"]
TermNumber = Annotated[int, Meta(ge=1, le=0xFFFF, description="Of the term within its plan; never given twice.")]
TermId = Annotated[UUID, Meta(description="Id of one of a plan's terms.")]
TreatmentPlanId = Annotated[UUID, Meta(description="Id of the treatment plan that is paid so.")]

MOST = 120  # terms
LONGEST = timedelta(days=366 * 10)
LAST = 0xFFFF
DEAREST = 10**12  # a price on an invoice


class InstallmentLine(Frozen):
    """What is paid in parts: the amount includes the tax."""

    description: Annotated[str, Meta(min_length=1, max_length=180)]
    procedure_code: ProcedureCode | None = None
    doctor_id: StaffId | None = None
    tax_rate: Rate = 0
    amount: Positive


class DueTerm(Frozen):
    """So much on that day."""

    due_on: date
    amount: Positive


class InstallmentTerm(DueTerm):
    """A term of a plan, with its number."""

    number: TermNumber


class InstallmentRhythm(Frozen):
    """So many terms as equal as can be, from a day on: every so many weeks, or every so many months on that day of the month, or on its last where it is shorter."""

    count: Annotated[int, Meta(ge=1, le=MOST)]
    first_due_on: date
    unit: Literal["weeks", "months"] = "months"
    interval: Annotated[int, Meta(ge=1, le=52)] = 1


class Split(Frozen, omit_defaults=True):
    """Whose it is; and under which record of theirs it was made, where that one has been merged into another."""

    patient_id: PatientId
    record_id: PatientId | None = None


class InstallmentPlanMade(Event):
    """`lines` are what is charged; there are none if the plan divides an invoice."""

    patient_id: PatientId
    currency: str
    total: Positive
    terms: list[InstallmentTerm]
    lines: list[InstallmentLine]
    invoice_id: InvoiceId | None = None
    treatment_plan_id: TreatmentPlanId | None = None
    notes: Annotated[str | None, Personal("patient_id")] = None


class InstallmentTermsChanged(Event, Split, omit_defaults=True):
    """These are the terms now, those included that stayed as they were."""

    terms: list[InstallmentTerm]
    changed_on: date
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class InstallmentPlanPaused(Event, Split, omit_defaults=True):
    paused_on: date
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class InstallmentPlanResumed(Event, Split, omit_defaults=True):
    """It goes on with these terms, which are later by the days of the pause if somebody wanted so."""

    resumed_on: date
    terms: list[InstallmentTerm]


class InstallmentPlanCancelled(Event, Split, omit_defaults=True):
    """What was not billed by then never is."""

    cancelled_on: date
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class InstallmentTermBilled(Event, Split, omit_defaults=True):
    """The invoice was issued with it, or neither was; `again`: because the one before was voided."""

    number: TermNumber
    invoice_id: InvoiceId
    amount: Money
    billed_on: date
    again: bool = False


class InstallmentPlanReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


InstallmentEvent = (
    InstallmentPlanMade | InstallmentTermsChanged | InstallmentPlanPaused | InstallmentPlanResumed | InstallmentPlanCancelled | InstallmentTermBilled
    | InstallmentPlanReassigned
)


class TermsUnclear(Invalid):
    """Say either the terms one by one, or how many at which interval."""


class TermsDoNotAddUp(Invalid):
    """The terms must come to exactly what is to be paid."""


class TermsImpossible(Invalid):
    """A plan has up to 120 terms on days that rise, from today on and within ten years, each above zero."""


class InstallmentsEmpty(Invalid):
    """A plan needs at least one line of what is to be paid."""


class InstallmentsTooLarge(Invalid):
    """That comes to more than can be counted exactly."""


class TermNotDue(Refused):
    """The day of that term has not come. Ask for it with `early` if the patient wants to pay before."""


class InstallmentsOfInvoice(Refused):
    """That plan divides an invoice that there is; its terms become no invoices of their own."""


class InstallmentPlanNotOpen(Refused):
    """That plan was cancelled. Make a new one for what is left."""


class InstallmentPlanPausedAlready(Refused):
    """That plan is paused. Resume it first."""


class InstallmentPlanNotPaused(Refused):
    """That plan is not paused."""


class InvoiceDividedAlready(Refused):
    """That invoice is paid in parts already. Change that plan, or cancel it first."""


class NothingToReschedule(Refused):
    """All of that plan is billed or paid; there is no term left to change."""


class Term(Frozen):
    """A term as its plan knows it: `start` is how many units of the charges come before those that it bills."""

    number: int
    due_on: date
    amount: Money
    start: int = 0
    invoices: tuple[UUID, ...] = ()

    @property
    def told(self) -> InstallmentTerm:
        return InstallmentTerm(number=self.number, due_on=self.due_on, amount=self.amount)


class InstallmentPlan(State):
    """A plan by which a patient pays in parts."""

    kind: ClassVar[str] = "installments"
    stage: Literal["none"] | InstallmentStage = "none"
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it was made, whoever's it is now
    currency: str = ""
    total: int = 0
    lines: tuple[InstallmentLine, ...] = ()
    invoice_id: UUID | None = None
    terms: tuple[Term, ...] = ()  # in the order of their days
    last: int = 0  # number given
    paused_on: date | None = None

    def evolve(self, event: InstallmentEvent) -> Self:  # noqa: PLR0911 - one for each kind of event
        match event:
            case InstallmentPlanMade():
                return replace(
                    self, stage="active", patient_id=event.patient_id, record=event.patient_id, currency=event.currency, total=event.total, lines=tuple(event.lines),
                    invoice_id=event.invoice_id).arranged(event.terms)
            case InstallmentTermsChanged(terms=terms):
                return self.arranged(terms)
            case InstallmentPlanPaused(paused_on=on):
                return replace(self, stage="paused", paused_on=on)
            case InstallmentPlanResumed(terms=terms):
                return replace(self, stage="active", paused_on=None).arranged(terms)
            case InstallmentPlanCancelled():
                return replace(self, stage="cancelled")
            case InstallmentTermBilled(number=number, invoice_id=invoice):
                return replace(self, terms=tuple(self.billed(term, invoice) if term.number == number else term for term in self.terms))
            case InstallmentPlanReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def arranged(self, terms: Sequence[InstallmentTerm]) -> Self:
        known = {term.number: term for term in self.terms}
        there = tuple(replace(known.get(one.number) or Term(**only(InstallmentTerm, one)), due_on=one.due_on, amount=one.amount) for one in terms)
        return replace(self, terms=there, last=max([self.last, *(term.number for term in there)]))

    def billed(self, term: Term, invoice: UUID) -> Term:
        start = term.start if term.invoices else sum(one.amount for one in self.terms if one.invoices)
        return replace(term, start=start, invoices=(*term.invoices, invoice))

    def claims(self) -> frozenset[Claim]:
        """An invoice is divided by one plan at a time."""
        if self.invoice_id is None or not self.divides(self.invoice_id):
            return frozenset()
        return frozenset({UniqueClaim(scope="installments.invoice", key=str(self.invoice_id))})

    def make(self, made: InstallmentPlanMade, today: date) -> list[Event]:
        """Agree on the terms; they come to the total."""
        ensure_possible(made.terms, today)
        ensure_sum(made.terms, made.total)
        if not 0 < made.total <= LARGEST:
            raise InstallmentsTooLarge
        return [made]

    def change(self, wanted: "InstallmentArrangement", reason: str | None, today: date, paid: int) -> list[Event]:
        """Put other terms in the place of those not billed yet; of a plan that divides an invoice, of what is not `paid` yet."""
        self.ensure_open()
        kept = self.kept(paid)
        left = self.total - sum(term.amount for term in kept)
        if not left:
            raise NothingToReschedule
        new = wanted.terms_of(left, self.last)
        ensure_possible(new, today)
        ensure_sum(new, left)
        ensure_countable(len(kept) + len(new), self.last + len(new))
        terms = sorted([*(term.told for term in kept), *new], key=lambda term: (term.due_on, term.number))
        return [InstallmentTermsChanged(terms=terms, changed_on=today, reason=reason, **self.told)]

    def kept(self, paid: int) -> list[Term]:
        """Return the terms that nobody can change any more; what is paid of an invoice is paid of its oldest terms."""
        if self.invoice_id is None:
            return [term for term in self.terms if term.invoices]
        kept = []
        for term in self.terms:
            part = min(term.amount, paid)
            paid -= part
            if part:
                kept.append(replace(term, amount=part))
        return kept

    def pause(self, reason: str | None, today: date) -> list[Event]:
        """Bill nothing until it is resumed."""
        self.ensure_open()
        return [] if self.stage == "paused" else [InstallmentPlanPaused(paused_on=today, reason=reason, **self.told)]

    def resume(self, today: date, paid: int, *, postpone: bool) -> list[Event]:
        """Go on; with `postpone` all that was not billed or paid by then is due later by as many days as the pause has lasted."""
        self.ensure_open()
        if self.stage != "paused" or self.paused_on is None:
            raise InstallmentPlanNotPaused
        later = today - self.paused_on if postpone else timedelta()
        whole = {term.number for term in self.kept(paid) if term.amount == self.term(term.number).amount}
        terms = [term.told if term.number in whole else replace(term.told, due_on=term.due_on + later) for term in self.terms]
        return [InstallmentPlanResumed(resumed_on=today, terms=sorted(terms, key=lambda term: (term.due_on, term.number)), **self.told)]

    def cancel(self, reason: str | None, today: date) -> list[Event]:
        """Bill nothing any more; what was billed stays to be paid."""
        self.ensure_there()
        return [] if self.stage == "cancelled" else [InstallmentPlanCancelled(cancelled_on=today, reason=reason, **self.told)]

    def bill(self, number: int, invoice: UUID, today: date, *, early: bool, voided: bool) -> list[Event]:
        """Note which invoice a term becomes; once, unless that one was `voided` since."""
        term = self.term(number)
        if self.invoice_id is not None:
            raise InstallmentsOfInvoice(invoiceId=str(self.invoice_id))
        if term.invoices and not voided:
            return []
        self.ensure_open()
        if self.stage == "paused":
            raise InstallmentPlanPausedAlready
        if term.due_on > today and not early:
            raise TermNotDue(dueOn=term.due_on.isoformat())
        return [InstallmentTermBilled(number=number, invoice_id=invoice, amount=term.amount, billed_on=today, again=bool(term.invoices), **self.told)]

    def charges(self, number: int) -> list[Line]:
        """Return what a term bills: the next so many units of what is charged, in the order of the lines, with the tax that is in them."""
        term, place = self.term(number), [one.number for one in self.terms].index(number) + 1
        start = term.start if term.invoices else sum(one.amount for one in self.terms if one.invoices)
        end, upto, found = start + term.amount, 0, list[Line]()
        for line in self.lines:
            since, upto = upto, upto + line.amount
            if (part := min(end, upto) - max(start, since)) > 0:
                words = f"{line.description} ({place}/{len(self.terms)})"
                found.append(Line(description=words, procedure_code=line.procedure_code, doctor_id=line.doctor_id, unit_price=part, tax_rate=line.tax_rate))
        return found

    def term(self, number: int) -> Term:
        """Return a term that there is."""
        self.ensure_there()
        if (found := next((term for term in self.terms if term.number == number), None)) is None:
            raise NotFound
        return found

    def divides(self, invoice: UUID) -> bool:
        """Say whether it is by this plan that an invoice is paid."""
        return self.invoice_id == invoice and self.stage in {"active", "paused"}

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        return [InstallmentPlanReassigned(patient_id=to, was_patient_id=was)] if self.stage != "none" and self.patient_id == was else []

    def keeper(self, who: UUID) -> UUID:
        """The record under which it was made."""
        return self.record or who

    @property
    def told(self) -> dict[str, Any]:
        """Whose it is, and under which record it was made if that is another one."""
        return {"patient_id": self.patient_id, "record_id": None if self.record == self.patient_id else self.record}

    def ensure_there(self) -> None:
        if self.stage == "none":
            raise NotFound

    def ensure_open(self) -> None:
        self.ensure_there()
        if self.stage == "cancelled":
            raise InstallmentPlanNotOpen


class InstallmentArrangement(Frozen):
    """When how much is to be paid: either each term, or a rhythm."""

    terms: Annotated[list[DueTerm], Meta(min_length=1, max_length=MOST)] | None = None
    rhythm: InstallmentRhythm | None = None

    def terms_of(self, total: int, last: int = 0) -> list[InstallmentTerm]:
        """Return the terms, with the numbers after the `last` one."""
        if (self.terms is None) == (self.rhythm is None):
            raise TermsUnclear
        found = in_rhythm(self.rhythm, total) if self.rhythm else sorted(self.terms or (), key=lambda term: term.due_on)
        return [InstallmentTerm(number=number, due_on=term.due_on, amount=term.amount) for number, term in enumerate(found, last + 1)]


def in_rhythm(rhythm: InstallmentRhythm, total: int) -> list[DueTerm]:
    """Return equal terms, the odd units with the first ones; every day is counted from the first one, so that the last of a month comes again after February."""
    if rhythm.count < 1 or rhythm.interval < 1:
        raise TermsImpossible
    amounts = shares(total, [0] * rhythm.count)
    try:
        return [DueTerm(due_on=later(rhythm, n), amount=amount) for n, amount in enumerate(amounts)]
    except (OverflowError, ValueError):
        raise TermsImpossible from None


def later(rhythm: InstallmentRhythm, n: int) -> date:
    """Return the day of the term after `n` others."""
    first = rhythm.first_due_on
    if rhythm.unit == "weeks":
        return first + timedelta(weeks=n * rhythm.interval)
    year, month = divmod(first.year * 12 + first.month - 1 + n * rhythm.interval, 12)
    return date(year, month + 1, min(first.day, monthrange(year, month + 1)[1]))


def ensure_possible(terms: Sequence[InstallmentTerm], today: date) -> None:
    days = [term.due_on for term in terms]
    if not days or len(days) > MOST or days != sorted(set(days)) or days[0] < today or days[-1] > today + LONGEST or any(term.amount <= 0 for term in terms):
        raise TermsImpossible


def ensure_countable(count: int, last: int) -> None:
    if count > 2 * MOST or last > LAST:
        raise TermsImpossible


def ensure_sum(terms: Iterable[InstallmentTerm], total: int) -> None:
    if (found := sum(term.amount for term in terms)) != total:
        raise TermsDoNotAddUp(terms=found, total=total)


def total_of(lines: Sequence[InstallmentLine]) -> int:
    """Return what lines come to."""
    if not lines:
        raise InstallmentsEmpty
    if any(line.amount <= 0 or not 0 <= line.tax_rate <= BASIS for line in lines):
        raise LineOutOfRange
    if any(line.amount > DEAREST for line in lines):
        raise InstallmentsTooLarge
    return sum(line.amount for line in lines)


def plan_from(id_: UUID) -> UUID:
    """Return an id as a plan's, which ends in zeros: a term's is the same with its number in their place, so that whoever knows a term knows its plan."""
    return UUID(int=id_.int >> 16 << 16)


def term_of(plan: UUID, number: int) -> UUID:
    """Return the id of a plan's term."""
    return UUID(int=plan.int | number)


def number_of(term: UUID) -> int:
    """Return a term's number within its plan."""
    return term.int & LAST


def invoice_of(plan: UUID, number: int, edition: int) -> UUID:
    """Return the id of the invoice that a term becomes; the second edition takes the place of one that was voided."""
    return uuid5(term_of(plan, number), f"invoice/{edition}")
