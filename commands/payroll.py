"""What may be asked of the payroll: employees, periods and runs, in the order of their lives."""

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, field

from commands.kit import Command, Creation, Decision, Look
from domain.kit import At, Elsewhere, Event, Frozen, Reason, Text, only
from domain.payroll import (
    SERIES,
    Earned,
    Employment,
    NobodyToPay,
    NotEmployedThen,
    NotThatPeriodsRun,
    OnPayrollAlready,
    Paid,
    Particulars,
    PayEntryTwice,
    PayItem,
    PayrollEmployee,
    PayrollEmployeeId,
    PayrollPeriod,
    PayrollPeriodId,
    PayrollPeriodOpened,
    PayrollPeriodOverlaps,
    PayrollRun,
    PayrollRunDrafted,
    PayrollRunId,
    Payslip,
    PeriodSettledAlready,
    Span,
    WorkedMinutes,
    claim_of,
    slip_of,
)
from domain.payroll import PayrollPeriodGivenBack as GivenBack
from domain.payroll import PayrollPeriodTaken as Taken
from domain.series import Series, printed, series_of
from schemas.earnings import EarningDay
from schemas.payroll import PayrollEmployeeRow

PORTION = 500  # days that are looked at together; a look finds a thousand rows at most
Items = Annotated[list[PayItem], Meta(max_length=50)]
Who = Annotated[list[PayrollEmployeeId], Meta(min_length=1, max_length=500)]


class AddPayrollEmployee(Creation, Employment):
    """Put somebody on the payroll: a member of staff, or anybody else who is paid."""

    state = PayrollEmployee
    permission = "billing.payroll.manage"
    name: Text

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"twice": await on_payroll(look, self.staff_id)}

    def decide(self, employee: PayrollEmployee, at: At, *, twice: bool) -> list[Event]:
        if twice:
            raise OnPayrollAlready
        return employee.add(self)


class ChangePayrollEmployee(Command, Employment):
    """Replace what is known of an employee, from now on; what is left out is cleared. `endsOn` is their last day."""

    state = PayrollEmployee
    permission = "billing.payroll.manage"
    name: Text

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"twice": await on_payroll(look, self.staff_id)}

    def decide(self, employee: PayrollEmployee, at: At, *, twice: bool) -> list[Event]:
        if twice:
            raise OnPayrollAlready
        return employee.change(self)


class OpenPayrollPeriod(Creation):
    """Say for which days people are paid; no day lies in two periods."""

    state = PayrollPeriod
    permission = "billing.payroll.manage"
    name: Text | None = None
    starts_on: date
    ends_on: date
    pays_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        orderly = self.starts_on <= self.ends_on < date.max
        return {"taken": any(await look.holders([claim_of(Span(**only(Span, self)))])) if orderly else False}

    def decide(self, period: PayrollPeriod, at: At, *, taken: bool) -> list[Event]:
        opened = period.open(PayrollPeriodOpened(name=self.name, starts_on=self.starts_on, ends_on=self.ends_on, pays_on=self.pays_on))
        if taken:
            raise PayrollPeriodOverlaps
        return opened


class RemovePayrollPeriod(Command):
    """Strike out a period by which nobody is paid."""

    state = PayrollPeriod
    permission = "billing.payroll.manage"

    def decide(self, period: PayrollPeriod, at: At) -> list[Event]:
        return period.remove()


class PayEntry(Frozen):
    """What somebody did in a period beside their salary."""

    employee_id: PayrollEmployeeId
    minutes: WorkedMinutes | None = None
    bonuses: Items = field(default_factory=list)
    deductions: Items = field(default_factory=list)


class Asked(Frozen):
    """Whom to pay: the `employees`, or whoever is not paid yet. `entries` say what somebody did beside their salary; `commissions` false leaves these for another run."""

    employees: Who | None = None
    entries: Annotated[list[PayEntry], Meta(max_length=500)] = field(default_factory=list)
    commissions: bool = True


class Payee(Frozen):
    """Somebody who may be paid, as they are, and what they earned on each day of the periods that are settled, and of the one in hand."""

    id: UUID
    employee: PayrollEmployee
    paid: Paid
    earned: dict[date, Earned]


class DraftPayrollRun(Creation, Asked):
    """Work out what everybody is paid for a period, or with `approve` settle it at once. Nobody is paid twice for a period, unless the run was voided.

    Salaries are as they stand now. Commissions are those of the period, and what came late of periods that were paid out.
    """

    state = PayrollRun
    permission = "billing.payroll.run"
    period_id: PayrollPeriodId
    approve: bool = False
    corrects_id: PayrollRunId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        period = await look.require(PayrollPeriod, self.period_id)
        wanted = self.employees or [row.id for row in await look.find(PayrollEmployeeRow)]
        return {
            "period": period, "people": [await payee(look, one, period) for one in dict.fromkeys(wanted)],
            "corrected": await look.require(PayrollRun, self.corrects_id) if self.corrects_id else None, "series": await series_for(look)}

    def decide(
        self, run: PayrollRun, at: At, *, period: PayrollPeriod, people: list[Payee], corrected: PayrollRun | None, series: Series,
    ) -> Decision:
        span = period.ensure_there()
        if corrected is not None and (corrected.stage != "void" or corrected.period_id != self.period_id):
            raise NotThatPeriodsRun
        people = due_in(people, self.period_id, span, at.id, named=self.employees is not None)
        slips, settled = worked_out(self, people, self.period_id, span, at.id)
        drafted = run.draft(PayrollRunDrafted(
            period_id=self.period_id, starts_on=span.starts_on, ends_on=span.ends_on, currency=at.currency, slips=slips, corrects_id=self.corrects_id))
        taken = Elsewhere(state=PayrollPeriod, id=self.period_id, events=[Taken(run_id=at.id)])
        approved = numbered(run.evolve(drafted), at, series) if self.approve else []
        return [drafted, taken, *settled, *approved]


class ChangePayrollRun(Command, Asked):
    """Work a draft out anew: for the same employees, or for those named."""

    state = PayrollRun
    permission = "billing.payroll.run"

    async def gather(self, look: Look) -> dict[str, Any]:
        run = await look.require(PayrollRun, look.at.id)
        wanted = dict.fromkeys([*(self.employees or run.employees), *run.employees])
        period = await look.require(PayrollPeriod, run.period_id)
        return {"period": period, "people": [await payee(look, one, period) for one in wanted]}

    def decide(self, run: PayrollRun, at: At, *, period: PayrollPeriod, people: list[Payee]) -> Decision:
        run.ensure_draft()
        span, stay = period.ensure_there(), set(self.employees or run.employees)
        here = due_in([one for one in people if one.id in stay], run.period_id, span, at.id, named=True)
        slips, settled = worked_out(self, here, run.period_id, span, at.id)
        return [*run.change(slips), *settled, *released([one for one in people if one.id not in stay], at.id)]


class ApprovePayrollRun(Command):
    """Freeze a run, under the next number of the year: nothing of it changes any more."""

    state = PayrollRun
    permission = "billing.payroll.run"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"series": await series_for(look)}

    def decide(self, run: PayrollRun, at: At, *, series: Series) -> Decision:
        return numbered(run, at, series)


class PayPayrollRun(Command):
    """Note that a run was paid out."""

    state = PayrollRun
    permission = "billing.payroll.run"
    paid_on: date | None = None

    def decide(self, run: PayrollRun, at: At) -> list[Event]:
        return run.pay(self.paid_on or at.today, at.today)


class VoidPayrollRun(Command):
    """Take a run back, so that another one can be made for the period; its number stays in the books, with the reason."""

    state = PayrollRun
    permission = "billing.payroll.run"
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        run = await look.require(PayrollRun, look.at.id)
        return {"employees": {one: await look.require(PayrollEmployee, one) for one in run.employees}, "period": await look.require(PayrollPeriod, run.period_id)}

    def decide(self, run: PayrollRun, at: At, *, employees: dict[UUID, PayrollEmployee], period: PayrollPeriod) -> Decision:
        voided = run.void(self.reason, at.today)
        if not voided:
            return []
        freed = [Elsewhere(state=PayrollPeriod, id=run.period_id, events=[GivenBack(run_id=at.id)])] if at.id in period.runs else []
        return [*voided, *freed, *(Elsewhere(state=PayrollEmployee, id=id_, events=events) for id_, one in employees.items() if (events := one.release(at.id)))]


async def on_payroll(look: Look, staff: UUID | None) -> bool:
    """Say whether a member of staff is on the payroll as somebody else; the save itself guarantees."""
    rows = await look.find(PayrollEmployeeRow, staff_id=staff) if staff else []
    return any([(await look.load(PayrollEmployee, row.id)).staff_id == staff for row in rows if row.id != look.at.id])


async def series_for(look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, SERIES, look.at.today.year))


async def payee(look: Look, id_: UUID, period: PayrollPeriod) -> Payee:
    """Return somebody who may be paid, held fast."""
    employee = await look.require(PayrollEmployee, id_)
    row = await look.row(PayrollEmployee, id_)
    days = sorted({day for span in (period.ensure_there(), *(how.span for how in employee.settled.values())) for day in days_of(span)} if employee.staff_id else ())
    found = [one for n in range(0, len(days), PORTION) for one in await look.find(EarningDay, doctor_id=employee.staff_id, day=days[n : n + PORTION])]
    return Payee(
        id=id_, employee=employee, paid=Paid(id=id_, salary_kind=row.salary_kind, salary=row.salary or 0, percentage=row.percentage or 0),
        earned={one.day: Earned(commission=one.commission, basis=one.collected) for one in found})


def due_in(people: list[Payee], period: UUID, span: Span, run: UUID, *, named: bool) -> list[Payee]:
    """Return whom to pay for a period; refuse whoever was `named` and cannot be."""
    found = []
    for one in people:
        employed, settled = one.employee.employed(span), period in one.employee.standing(run)
        if named and not employed:
            raise NotEmployedThen(employeeId=str(one.id))
        if named and settled:
            raise PeriodSettledAlready(employeeId=str(one.id))
        if employed and not settled:
            found.append(one)
    if not found:
        raise NobodyToPay
    return found


def worked_out(asked: Asked, people: list[Payee], period: UUID, span: Span, run: UUID) -> tuple[list[Payslip], list[Elsewhere]]:
    """Return everybody's slip, and what says on their own stream that they are paid."""
    entries = {one.employee_id: one for one in asked.entries}
    if len(entries) != len(asked.entries) or not entries.keys() <= {one.id for one in people}:
        raise PayEntryTwice
    slips: list[Payslip] = []
    settled: list[Elsewhere] = []
    for one in people:
        told = Particulars(**only(Particulars, entry)) if (entry := entries.get(one.id)) else Particulars()
        now, due = earnings(one, span, run, commissions=asked.commissions)
        slip, taken = slip_of(one.paid, one.employee.employed(span) or span, told, now, due)
        slips.append(slip)
        if events := one.employee.settle(run, period, span, taken):
            settled.append(Elsewhere(state=PayrollEmployee, id=one.id, events=events))
    return slips, settled


def earnings(one: Payee, span: Span, run: UUID, *, commissions: bool) -> tuple[Earned, Earned]:
    """Return what somebody earned in a period, and what is due: all of the settled periods and this one, less what was settled."""
    settled = one.employee.standing(run).values()
    now, whole = earned_on(one, days_of(span)), earned_on(one, {day for each in (span, *(how.span for how in settled)) for day in days_of(each)})
    commission = whole.commission - sum(how.commission for how in settled)
    basis = whole.basis - sum(how.basis for how in settled)
    return (now, Earned(commission=commission, basis=basis)) if commissions else (Earned(basis=now.basis), Earned(basis=basis))


def earned_on(one: Payee, days: Collection[date]) -> Earned:
    found = [one.earned[day] for day in days if day in one.earned]
    return Earned(commission=sum(each.commission for each in found), basis=sum(each.basis for each in found))


def days_of(span: Span) -> list[date]:
    """Return each day of a period."""
    return [span.starts_on + timedelta(days=n) for n in range((span.ends_on - span.starts_on).days + 1)]


def released(people: list[Payee], run: UUID) -> Iterator[Elsewhere]:
    for one in people:
        if events := one.employee.release(run):
            yield Elsewhere(state=PayrollEmployee, id=one.id, events=events)


def numbered(run: PayrollRun, at: At, series: Series) -> Decision:
    """Return the approval of a run and, to be saved with it or not at all, the allotment of its number."""
    allotted = series.allot(SERIES, at.today.year)
    events = run.approve(printed(at.today.year, allotted.number), at.today)
    return [*events, Elsewhere(state=Series, id=series_of(at.clinic, SERIES, at.today.year), events=[allotted])] if events else []
