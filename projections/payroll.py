"""Employees, periods and runs as rows, and the slips of all runs."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.payroll import (
    Employment,
    PayrollEmployeeAdded,
    PayrollEmployeeChanged,
    PayrollEmployeeEvent,
    PayrollPeriodEvent,
    PayrollPeriodGivenBack,
    PayrollPeriodOpened,
    PayrollPeriodRemoved,
    PayrollPeriodTaken,
    PayrollRunApproved,
    PayrollRunChanged,
    PayrollRunDrafted,
    PayrollRunEvent,
    PayrollRunPaid,
    PayrollRunVoided,
    Payslip,
    PeriodReleased,
    PeriodSettled,
    Span,
)
from projections.kit import installs, projects
from schemas.payroll import PayrollEmployeeRow, PayrollPeriodRow, PayrollRunRow

installs("""
create or replace view payslips with (security_invoker = true) as
select r.clinic_id, r.position, r.id as run_id, e.id as employee_id, r.number, r.status, r.period_id, r.starts_on, r.ends_on, r.paid_on, e.name, e.bank_account,
    s ->> 'salaryKind' as salary_kind, (s ->> 'minutes')::bigint as minutes, l.base, l.bonuses, l.commissions, (s ->> 'gross')::bigint as gross, (s ->> 'deductions')::bigint as deductions,
    (s ->> 'net')::bigint as net, r.currency, s -> 'lines' as lines
from payroll_runs r
cross join lateral jsonb_array_elements(r.slips) s
join payroll_employees e on e.clinic_id = r.clinic_id and e.id = (s ->> 'employeeId')::uuid
cross join lateral (
    select coalesce(sum(amount) filter (where kind = 'base'), 0)::bigint as base, coalesce(sum(amount) filter (where kind = 'bonus'), 0)::bigint as bonuses,
        coalesce(sum(amount) filter (where kind in ('commission', 'late-commission')), 0)::bigint as commissions
    from jsonb_to_recordset(s -> 'lines') as line(kind text, amount bigint)
) l;
grant select on payslips to anamnesis_gateway;
""")


@projects(PayrollEmployeeRow, of=PayrollEmployeeEvent)
def payroll_employees(row: PayrollEmployeeRow | None, fact: Fact) -> PayrollEmployeeRow | None:
    match fact.event:
        case PayrollEmployeeAdded() as event:
            return PayrollEmployeeRow(id=fact.id, created_at=fact.recorded_at, version=fact.version, **only(Employment, event))
        case PayrollEmployeeChanged() as event if row:
            return replace(row, version=fact.version, **only(Employment, event))
        case PeriodSettled(period_id=period) if row:
            return replace(row, version=fact.version, periods=[*(one for one in row.periods if one != period), period])
        case PeriodReleased(period_id=period) if row:
            return replace(row, version=fact.version, periods=[one for one in row.periods if one != period])
    return row


@projects(PayrollPeriodRow, of=PayrollPeriodEvent)
def payroll_periods(row: PayrollPeriodRow | None, fact: Fact) -> PayrollPeriodRow | None:
    match fact.event:
        case PayrollPeriodOpened() as event:
            return PayrollPeriodRow(
                id=fact.id, name=event.name, starts_on=event.starts_on, ends_on=event.ends_on, pays_on=event.pays_on, created_at=fact.recorded_at, version=fact.version)
        case PayrollPeriodTaken(run_id=run) if row:
            return replace(row, version=fact.version, runs=[*row.runs, run])
        case PayrollPeriodGivenBack(run_id=run) if row:
            return replace(row, version=fact.version, runs=[one for one in row.runs if one != run])
        case PayrollPeriodRemoved():
            return None
    return row


@projects(PayrollRunRow, of=PayrollRunEvent)
def payroll_runs(row: PayrollRunRow | None, fact: Fact) -> PayrollRunRow | None:
    match fact.event:
        case PayrollRunDrafted() as event:
            return PayrollRunRow(
                id=fact.id, status="draft", period_id=event.period_id, corrects_id=event.corrects_id, currency=event.currency, created_at=fact.recorded_at,
                version=fact.version, **only(Span, event), **summed(event.slips))
        case event if row:
            return replace(row, version=fact.version, **changed(event))
    return row


def changed(event: Any) -> dict[str, Any]:
    """Return what an event changes on a run."""
    match event:
        case PayrollRunChanged(slips=slips):
            return summed(slips)
        case PayrollRunApproved(number=number, approved_on=on):
            return {"status": "approved", "number": number, "approved_on": on}
        case PayrollRunPaid(paid_on=on):
            return {"status": "paid", "paid_on": on}
        case PayrollRunVoided(reason=reason):
            return {"status": "void", "void_reason": reason}
    raise TypeError(type(event))


def summed(slips: Sequence[Payslip]) -> dict[str, Any]:
    """Return slips, and what they come to together."""
    return {
        "slips": slips, "employees": len(slips), "gross": sum(slip.gross for slip in slips), "deductions": sum(slip.deductions for slip in slips),
        "net": sum(slip.net for slip in slips)}
