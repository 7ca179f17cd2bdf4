"""Payroll: who is paid how, for which period, in which run; nobody twice for the same period, and what was approved stays as it was.

How it works: a run has a slip for each employee: what they earn by the month, the hour or as a share of what was collected for their work, bonuses, commissions, and what is deducted. With the run an
event on each employee's own stream says that this period of theirs is settled, and how much of their commissions with it: two runs at once cannot both say so. A run that was a mistake is voided, which
gives the periods back, and another one takes its place.

What may go wrong: a payment is recorded late, for a day of a period that was paid out. So a run does not take a period's commissions but what is earned in all settled periods and this one, less
what was settled: whatever came late, or was given back, is in the next run, once, in whatever order the periods are run.
"""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    PLATFORM,
    Claim,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    Personal,
    Positive,
    Reason,
    Ref,
    Refused,
    StaffId,
    State,
    Text,
    TimeClaim,
    UniqueClaim,
    only,
)
from domain.kit.bills import EARLIEST, LARGEST, Rate, ensure_past
from domain.kit.money import percent, rounded

SalaryKind = Literal["monthly", "hourly", "percentage"]
PayrollStage = Literal["draft", "approved", "paid", "void"]
PayLineKind = Literal["base", "bonus", "commission", "late-commission", "deduction"]
PayrollEmployeeId = Annotated[UUID, Ref("payroll_employees")]
PayrollPeriodId = Annotated[UUID, Ref("payroll_periods")]
PayrollRunId = Annotated[UUID, Ref("payroll_runs")]
Signed = Annotated[int, Meta(ge=-(2**53), le=2**53, description="Integer minor units of the clinic's currency; below zero what is taken away.")]
WorkedMinutes = Annotated[int, Meta(ge=0, le=60 * 24 * 366, description="Minutes worked.")]
Account = Annotated[str, Meta(max_length=42, pattern=r"^[A-Z0-9][A-Z0-9 ./-]{3,}$", examples=["NL91 ABNA 0417 1643 00"])]
TaxNumber = Annotated[str, Meta(max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]*$", examples=["123456782"])]

SERIES = "payroll"
LONGEST = timedelta(days=366)
HOUR = 60
MOST = 500  # employees in a run


class Employment(Frozen):
    """Who is paid, and how: so much a month or an hour, or a `percentage` (in basis points) of what is collected for their work, without tax."""

    name: Annotated[Text | None, Personal()] = None
    staff_id: StaffId | None = None
    salary_kind: SalaryKind
    salary: Annotated[Positive | None, Personal()] = None
    percentage: Annotated[Rate | None, Personal()] = None
    starts_on: date
    ends_on: date | None = None
    bank_account: Annotated[Account | None, Personal()] = None
    tax_number: Annotated[TaxNumber | None, Personal()] = None
    notes: Annotated[Note | None, Personal()] = None


class PayrollEmployeeAdded(Event, Employment): ...


class PayrollEmployeeChanged(Event, Employment): ...


class Span(Frozen):
    """From the first day to the last, both included."""

    starts_on: date
    ends_on: date


class PeriodSettled(Event, Span):
    """That period of theirs is paid by that run: `commission` of their commissions, and by a percentage of `basis`, what came late included."""

    period_id: PayrollPeriodId
    run_id: PayrollRunId
    commission: Signed
    basis: Signed


class PeriodReleased(Event):
    """It is not, after all."""

    period_id: PayrollPeriodId
    run_id: PayrollRunId


class PayrollPeriodOpened(Event, Span):
    name: Text | None = None
    pays_on: date | None = None


class PayrollPeriodTaken(Event):
    run_id: PayrollRunId


class PayrollPeriodGivenBack(Event):
    run_id: PayrollRunId


class PayrollPeriodRemoved(Event): ...


class PayItem(Frozen):
    """A bonus, or something that is deducted."""

    description: Text
    amount: Positive


class PayLine(Frozen):
    """A line of a slip; deductions are below zero."""

    kind: PayLineKind
    description: str
    amount: Signed


class Payslip(Frozen):
    """What somebody is paid for a period: `net` is what goes out."""

    employee_id: PayrollEmployeeId
    salary_kind: SalaryKind
    minutes: WorkedMinutes | None = None
    lines: list[PayLine]
    gross: Signed
    deductions: Signed
    net: Signed


class PayrollRunDrafted(Event, Span):
    period_id: PayrollPeriodId
    currency: str
    slips: list[Payslip]
    corrects_id: PayrollRunId | None = None


class PayrollRunChanged(Event):
    slips: list[Payslip]


class PayrollRunApproved(Event):
    number: str
    approved_on: date


class PayrollRunPaid(Event):
    paid_on: date


class PayrollRunVoided(Event):
    reason: Reason
    voided_on: date


PayrollEmployeeEvent = PayrollEmployeeAdded | PayrollEmployeeChanged | PeriodSettled | PeriodReleased
PayrollPeriodEvent = PayrollPeriodOpened | PayrollPeriodTaken | PayrollPeriodGivenBack | PayrollPeriodRemoved
PayrollRunEvent = PayrollRunDrafted | PayrollRunChanged | PayrollRunApproved | PayrollRunPaid | PayrollRunVoided


class SalaryUnclear(Invalid):
    """Whoever is paid by the month or the hour has a salary; whoever is paid a percentage has that instead, and is a member of staff."""


class OnPayrollAlready(Refused):
    """That member of staff is on the payroll already. Change what is known of them instead."""


class EmploymentImpossible(Invalid):
    """An employment ends on the day it begins or later."""


class PayrollPeriodImpossible(Invalid):
    """A period ends on the day it begins or later, within a year, and is paid out on none before it begins."""


class PayrollPeriodOverlaps(Refused):
    """There is a period already in which some of these days lie."""


class PayrollPeriodInUse(Refused):
    """That period has a run. Void it first."""


class PeriodSettledAlready(Refused):
    """Somebody of these was paid for that period already. Void that run, or leave them out."""


class NobodyToPay(Refused):
    """Nobody is employed in that period who was not paid for it already."""


class NotEmployedThen(Refused):
    """Somebody of these is not employed in that period."""


class PayEntryTwice(Invalid):
    """Name each employee once, and only those who are in the run."""


class DeductionsTooLarge(Refused):
    """More would be deducted than somebody is paid."""


class HoursMissing(Refused):
    """Say how long somebody has worked who is paid by the hour, and be it not at all."""


class PayrollTooLarge(Invalid):
    """That is more than can be counted exactly."""


class PayrollRunFrozen(Refused):
    """That run was approved. Void it, and make another one."""


class PayrollRunNotApproved(Refused):
    """Only a run that was approved is paid out."""


class PayrollRunVoid(Refused):
    """That run was voided."""


class NotThatPeriodsRun(Refused):
    """What is corrected is a voided run of the same period."""


class Earned(Frozen):
    """What somebody's commissions came to in a period, and what was collected for their work, without tax."""

    commission: int = 0
    basis: int = 0


class Settlement(Earned):
    """What of it was paid, for which days, and by which run."""

    run: UUID
    span: Span


class Particulars(Frozen):
    """What somebody did beside their salary."""

    minutes: int | None = None
    bonuses: Sequence[PayItem] = ()
    deductions: Sequence[PayItem] = ()


class PayrollEmployee(State):
    """Somebody who is paid by the clinic."""

    kind: ClassVar[str] = "payroll_employees"
    there: bool = False
    staff_id: UUID | None = None
    starts_on: date = date.min
    ends_on: date | None = None
    settled: dict[UUID, Settlement] = field(default_factory=dict)  # by period

    def evolve(self, event: PayrollEmployeeEvent) -> Self:
        match event:
            case PayrollEmployeeAdded() | PayrollEmployeeChanged():
                return replace(self, there=True, staff_id=event.staff_id, starts_on=event.starts_on, ends_on=event.ends_on)
            case PeriodSettled(period_id=period, run_id=run):
                return replace(self, settled={**self.settled, period: Settlement(run=run, span=Span(**only(Span, event)), commission=event.commission, basis=event.basis)})
            case PeriodReleased(period_id=period):
                return replace(self, settled={one: how for one, how in self.settled.items() if one != period})

    @property
    def active(self) -> bool:
        """Whether nobody has said when they leave."""
        return self.there and self.ends_on is None

    def claims(self) -> frozenset[Claim]:
        """A member of staff is on the payroll once."""
        return frozenset({UniqueClaim(scope="payroll.staff", key=str(self.staff_id))} if self.staff_id else ())

    def add(self, employment: Employment) -> list[Event]:
        ensure_clear(employment)
        return [PayrollEmployeeAdded(**only(Employment, employment))]

    def change(self, employment: Employment) -> list[Event]:
        """Say anew how somebody is paid; what was paid stays as it was."""
        if not self.there:
            raise NotFound
        ensure_clear(employment)
        return [PayrollEmployeeChanged(**only(Employment, employment))]

    def employed(self, span: Span) -> Span | None:
        """Return the days of a period on which they are employed."""
        first, last = max(self.starts_on, span.starts_on), min(self.ends_on or date.max, span.ends_on)
        return Span(starts_on=first, ends_on=last) if self.there and first <= last else None

    def standing(self, run: UUID) -> dict[UUID, Settlement]:
        """Return what is settled, by other runs than that one."""
        return {period: how for period, how in self.settled.items() if how.run != run}

    def release(self, run: UUID) -> list[Event]:
        return [PeriodReleased(period_id=period, run_id=run) for period, how in self.settled.items() if how.run == run]

    def settle(self, run: UUID, period: UUID, span: Span, taken: Earned) -> list[Event]:
        """Take a period for a run; again, if the run is worked out anew."""
        if (there := self.settled.get(period)) and there.run != run:
            raise PeriodSettledAlready
        wanted = Settlement(run=run, span=span, commission=taken.commission, basis=taken.basis)
        return [] if there == wanted else [PeriodSettled(period_id=period, run_id=run, **only(Span, span), commission=taken.commission, basis=taken.basis)]


class PayrollPeriod(State):
    """A span of days for which people are paid."""

    kind: ClassVar[str] = "payroll_periods"
    span: Span | None = None
    runs: tuple[UUID, ...] = ()

    def evolve(self, event: PayrollPeriodEvent) -> Self:
        match event:
            case PayrollPeriodOpened():
                return replace(self, span=Span(**only(Span, event)))
            case PayrollPeriodTaken(run_id=run):
                return replace(self, runs=(*self.runs, run))
            case PayrollPeriodGivenBack(run_id=run):
                return replace(self, runs=tuple(one for one in self.runs if one != run))
            case PayrollPeriodRemoved():
                return replace(self, span=None)

    def claims(self) -> frozenset[Claim]:
        """No day lies in two periods."""
        return frozenset({claim_of(self.span)} if self.span else ())

    def open(self, opened: PayrollPeriodOpened) -> list[Event]:
        length = opened.ends_on - opened.starts_on
        if not timedelta() <= length < LONGEST or (opened.pays_on is not None and opened.pays_on < opened.starts_on) or opened.ends_on == date.max:
            raise PayrollPeriodImpossible
        return [opened]

    def remove(self) -> list[Event]:
        """Strike out a period by which nobody is paid."""
        self.ensure_there()
        if self.runs:
            raise PayrollPeriodInUse
        return [PayrollPeriodRemoved()]

    def ensure_there(self) -> Span:
        """Return its days."""
        if self.span is None:
            raise NotFound
        return self.span


class PayrollRun(State):
    """What is paid to whom for a period."""

    kind: ClassVar[str] = "payroll_runs"
    stage: Literal["none"] | PayrollStage = "none"
    period_id: UUID = PLATFORM
    slips: tuple[Payslip, ...] = ()

    def evolve(self, event: PayrollRunEvent) -> Self:
        match event:
            case PayrollRunDrafted(period_id=period, slips=slips):
                return replace(self, stage="draft", period_id=period, slips=tuple(slips))
            case PayrollRunChanged(slips=slips):
                return replace(self, slips=tuple(slips))
            case PayrollRunApproved():
                return replace(self, stage="approved")
            case PayrollRunPaid():
                return replace(self, stage="paid")
            case PayrollRunVoided():
                return replace(self, stage="void")

    @property
    def employees(self) -> list[UUID]:
        return [slip.employee_id for slip in self.slips]

    def draft(self, drafted: PayrollRunDrafted) -> PayrollRunDrafted:
        ensure_countable(drafted.slips)
        return drafted

    def change(self, slips: list[Payslip]) -> list[Event]:
        """Work a draft out anew."""
        self.ensure_draft()
        ensure_countable(slips)
        return [] if list(self.slips) == slips else [PayrollRunChanged(slips=slips)]

    def approve(self, number: str, today: date) -> list[Event]:
        """Freeze it, under its number."""
        self.ensure_standing()
        if self.stage != "draft":
            return []
        if any(slip.salary_kind == "hourly" and slip.minutes is None for slip in self.slips):
            raise HoursMissing
        return [PayrollRunApproved(number=number, approved_on=today)]

    def pay(self, paid_on: date, today: date) -> list[Event]:
        self.ensure_standing()
        if self.stage == "draft":
            raise PayrollRunNotApproved
        ensure_past(paid_on, today, EARLIEST)
        return [] if self.stage == "paid" else [PayrollRunPaid(paid_on=paid_on)]

    def void(self, reason: str, today: date) -> list[Event]:
        """Take it back, whatever has become of it; its number stays in the books."""
        if self.stage == "none":
            raise NotFound
        return [] if self.stage == "void" else [PayrollRunVoided(reason=reason, voided_on=today)]

    def ensure_draft(self) -> None:
        self.ensure_standing()
        if self.stage != "draft":
            raise PayrollRunFrozen

    def ensure_standing(self) -> None:
        if self.stage == "none":
            raise NotFound
        if self.stage == "void":
            raise PayrollRunVoid


class Paid(Frozen):
    """How somebody is paid, as their row says; the amounts are gone with whoever was forgotten."""

    id: UUID
    salary_kind: SalaryKind
    salary: int = 0
    percentage: int = 0


def slip_of(who: Paid, days: Span, told: Particulars, now: Earned, due: Earned) -> tuple[Payslip, Earned]:
    """Work out what somebody is paid, and what of their commissions it settles: never so little that they would owe something, for what they do can be taken from the next run."""
    lines = [base_of(who, days, told, due)]
    lines += [PayLine(kind="bonus", description=one.description, amount=one.amount) for one in told.bonuses]
    off = [PayLine(kind="deduction", description=one.description, amount=-one.amount) for one in told.deductions]
    deducted = sum(line.amount for line in off)
    before = sum(line.amount for line in lines) + deducted
    if before + max(0, due.commission) < 0:
        raise DeductionsTooLarge(employeeId=str(who.id))
    taken = max(due.commission, -before)
    regular = now.commission if taken == due.commission else taken
    lines += [PayLine(kind=kind, description="", amount=amount) for kind, amount in told_apart(regular, taken - regular)]
    gross = sum(line.amount for line in lines)
    slip = Payslip(
        employee_id=who.id, salary_kind=who.salary_kind, minutes=told.minutes, lines=[*lines, *off], gross=gross, deductions=-deducted, net=gross + deducted)
    return slip, Earned(commission=taken, basis=max(0, due.basis) if who.salary_kind == "percentage" else 0)


def told_apart(regular: int, late: int) -> list[tuple[PayLineKind, int]]:
    found: list[tuple[PayLineKind, int]] = [("commission", regular), ("late-commission", late)]
    return [(kind, amount) for kind, amount in found if amount]


def base_of(who: Paid, days: Span, told: Particulars, due: Earned) -> PayLine:
    """Return the salary: of a month that somebody is employed in part, the part; of hours, what they come to; or the share of what was collected, and nothing if more was given back."""
    match who.salary_kind:
        case "monthly":
            amount, words = monthly(who.salary, days), f"{days.starts_on} - {days.ends_on}"
        case "hourly":
            amount, words = rounded(who.salary * (told.minutes or 0), HOUR), f"{(told.minutes or 0) // HOUR}:{(told.minutes or 0) % HOUR:02}"
        case "percentage":
            amount, words = percent(max(0, due.basis), who.percentage), f"{who.percentage / 100:g} %"
    return PayLine(kind="base", description=words, amount=amount)


def monthly(salary: int, days: Span) -> int:
    """Return a monthly salary for some days: of each calendar month as many of its days, rounded once."""
    whole, first = Fraction(), days.starts_on
    while first <= days.ends_on:
        length = monthrange(first.year, first.month)[1]
        last = min(days.ends_on, first.replace(day=length))
        whole += Fraction((last - first).days + 1, length)
        first = last + timedelta(days=1)
    return rounded(salary * whole.numerator, whole.denominator)


def ensure_clear(employment: Employment) -> None:
    salaried = employment.salary_kind != "percentage"
    if (employment.salary is not None) is not salaried or (employment.percentage is None) is not salaried or not (salaried or employment.staff_id):
        raise SalaryUnclear
    if employment.ends_on is not None and employment.ends_on < employment.starts_on:
        raise EmploymentImpossible


def ensure_countable(slips: Sequence[Payslip]) -> None:
    if len(slips) > MOST or any(abs(line.amount) > LARGEST for slip in slips for line in slip.lines) or sum(abs(slip.gross) for slip in slips) > LARGEST:
        raise PayrollTooLarge


def claim_of(span: Span) -> TimeClaim:
    """Return what a period must hold alone: its days, whatever the clinic's clocks do."""
    last = span.ends_on + timedelta(days=1)
    return TimeClaim(
        kind="payroll", id=PLATFORM, start=datetime.combine(span.starts_on, time(), UTC), end=datetime.combine(last, time(), UTC))
