"""Instalment plans as rows, how they stand today, and which terms are due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.installments import (
    InstallmentEvent,
    InstallmentPlanCancelled,
    InstallmentPlanMade,
    InstallmentPlanPaused,
    InstallmentPlanReassigned,
    InstallmentPlanResumed,
    InstallmentTerm,
    InstallmentTermBilled,
    InstallmentTermsChanged,
    term_of,
)
from domain.kit import Fact, only
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from projections.kit.reading import Reader
from schemas.installments import AgreedTerm, InstallmentEntry, InstallmentPlanRow, TermsBefore
from schemas.kit.row import table_of

_REST = ", ".join(f"p.{column.name}" for column in table_of(InstallmentPlanRow).columns if column.name not in {"status", "terms"})

# How a term stands follows from the invoices and the calendar. The function looks at all clinics for the program itself, past row-level security, and gives ids and numbers alone; what is due is only
# chosen there: the plan's own rule is asked again before anything is billed.
installs(f"""
create or replace view installment_entries with (security_invoker = true) as
select p.clinic_id, p.position, {_REST},
    case when p.status <> 'cancelled' and whole.status = 'void' then 'void' when p.status = 'active' and s.done then 'completed' else p.status end as status,
    s.terms, s.billed, s.paid, s.open, s.overdue_amount > 0 as overdue, s.overdue_amount, s.next_due_on
from installments p
join clinics c on c.clinic_id = p.clinic_id and c.id = p.clinic_id
left join invoices whole on whole.clinic_id = p.clinic_id and whole.id = p.invoice_id
cross join lateral (
    select jsonb_agg(x.told || jsonb_build_object('status', x.stands, 'paid', x.paid, 'open', x.open) order by x.n) as terms,
        sum(x.billed)::bigint as billed, sum(x.paid)::bigint as paid, sum(x.open)::bigint as open,
        coalesce(sum(x.open) filter (where x.stands = 'overdue'), 0)::bigint as overdue_amount,
        min(x.due_on) filter (where x.open > 0) as next_due_on, bool_and(x.stands in ('paid', 'void')) as done
    from (
        select y.*, case
                when y.gone then case when y.voided then 'void' else 'cancelled' end
                when y.open = 0 then 'paid'
                when y.is_billed and y.last_day < y.today and not (y.whole and p.status = 'paused') then 'overdue'
                when y.paid > 0 then 'partly-paid'
                when y.due_on <= y.today or y.is_billed and not y.whole then 'due'
                else 'planned' end as stands
        from (
            select z.*, case when z.gone then 0 else z.amount - z.paid end as open
            from (
                select t.n, t.told, t.due_on, t.amount, i.id is not null or p.invoice_id is not null as is_billed, p.invoice_id is not null as whole,
                    coalesce(i.status, whole.status) = 'void' as voided,
                    coalesce(i.status, whole.status) is not distinct from 'void' or p.status = 'cancelled' and i.id is null as gone,
                    case when p.invoice_id is null and i.id is not null and i.status <> 'void' or p.invoice_id is not null then t.amount else 0 end as billed,
                    case when coalesce(i.status, whole.status) is not distinct from 'void' then 0
                        when p.invoice_id is not null then greatest(0, least(t.amount, greatest(0, p.total - whole.due) - t.before))
                        when i.id is not null then greatest(0, least(t.amount, t.amount - i.due)) else 0 end as paid,
                    coalesce(i.due_on, t.due_on) as last_day, (now() at time zone c.zone)::date as today
                from (
                    select e.n, e.told, (e.told ->> 'dueOn')::date as due_on, (e.told ->> 'amount')::bigint as amount,
                        (sum((e.told ->> 'amount')::bigint) over (order by e.n))::bigint - (e.told ->> 'amount')::bigint as before, (e.told ->> 'invoiceId')::uuid as invoice
                    from jsonb_array_elements(p.terms) with ordinality e(told, n)
                ) t
                left join invoices i on i.clinic_id = p.clinic_id and i.id = t.invoice
            ) z
        ) y
    ) x
) s;
grant select on installment_entries to anamnesis_gateway;

create or replace function installments_due(at_moment timestamptz, of_clinic uuid, most int) returns table (clinic uuid, plan uuid, number int)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        select p.clinic_id, p.id, (e ->> 'number')::int
        from installments p join clinics h on h.clinic_id = p.clinic_id and h.id = p.clinic_id
        cross join lateral jsonb_array_elements(p.terms) e
        where p.unbilled_on <= (at_moment at time zone h.zone)::date and h.active and h.closing_until is null and (of_clinic is null or h.id = of_clinic)
            and e ->> 'invoiceId' is null and (e ->> 'dueOn')::date <= (at_moment at time zone h.zone)::date
        order by (e ->> 'dueOn')::date, p.id limit most;
end $$;
revoke all on function installments_due from public;
grant execute on function installments_due to anamnesis_gateway;
""")  # noqa: S608 - columns of ours

DUE = "select clinic, plan, number from installments_due(%s::timestamptz, %s::uuid, %s::int)"


@projects(InstallmentPlanRow, of=InstallmentEvent)
def installments(row: InstallmentPlanRow | None, fact: Fact) -> InstallmentPlanRow | None:
    match fact.event:
        case InstallmentPlanMade() as event:
            return InstallmentPlanRow(
                id=fact.id, status="active", patient_id=event.patient_id, invoice_id=event.invoice_id, treatment_plan_id=event.treatment_plan_id, currency=event.currency,
                total=event.total, lines=event.lines, terms=agreed(fact.id, event.terms, []), notes=event.notes, created_at=fact.recorded_at, version=fact.version)
        case event if row:
            return replace(row, version=fact.version, **changed(row, event, fact))
    return row


def changed(row: InstallmentPlanRow, event: Any, fact: Fact) -> dict[str, Any]:
    """Return what an event changes on a plan."""
    match event:
        case InstallmentTermsChanged(terms=terms, changed_on=on, reason=reason):
            return {"terms": agreed(row.id, terms, row.terms), "history": [*row.history, before(row, on, fact)], "reason": reason}
        case InstallmentPlanPaused(paused_on=on, reason=reason):
            return {"status": "paused", "paused_on": on, "reason": reason}
        case InstallmentPlanResumed(resumed_on=on, terms=terms):
            told = agreed(row.id, terms, row.terms)
            return {
                "status": "active", "paused_on": None, "reason": None, "terms": told, "history": row.history if told == row.terms else [*row.history, before(row, on, fact)]}
        case InstallmentPlanCancelled(cancelled_on=on, reason=reason):
            return {"status": "cancelled", "paused_on": None, "cancelled_on": on, "reason": reason}
        case InstallmentTermBilled(number=number, invoice_id=invoice, billed_on=on):
            return {"terms": [replace(term, invoice_id=invoice, billed_on=on) if term.number == number else term for term in row.terms]}
        case InstallmentPlanReassigned(patient_id=patient):
            return {"patient_id": patient}
    raise TypeError(type(event))


def before(row: InstallmentPlanRow, on: Any, fact: Fact) -> TermsBefore:
    return TermsBefore(changed_on=on, changed_by=fact.actor, terms=[InstallmentTerm(**only(InstallmentTerm, term)) for term in row.terms])


def agreed(plan: UUID, terms: Sequence[InstallmentTerm], there: Sequence[AgreedTerm]) -> list[AgreedTerm]:
    """Return the terms with their ids, and the invoices that they became."""
    known = {term.number: term for term in there}
    return [
        replace(known[term.number], due_on=term.due_on, amount=term.amount) if term.number in known
        else AgreedTerm(id=term_of(plan, term.number), **only(InstallmentTerm, term)) for term in terms]


class DueTermOf(NamedTuple):
    """A term that may be due: of which plan of which clinic."""

    clinic: UUID
    plan: UUID
    number: int


async def due(lanes: Lanes, now: datetime, clinic: UUID | None, most: int) -> list[DueTermOf]:
    """Return the terms that may be due, of one clinic or of all, those due longest first."""
    return [DueTermOf(*line) for line in (await lanes.ask(None, DUE, (now, clinic, most))).rows]


async def of_treatment_plan(reader: Reader, treatment_plan: UUID, patient: UUID | None) -> list[InstallmentEntry]:
    """Return the plans of a treatment plan, the latest first; with `patient`, theirs alone."""
    whose = {"patient_id": patient} if patient else {}
    return sorted(await reader.find(InstallmentEntry, treatment_plan_id=treatment_plan, **whose), key=lambda one: (one.created_at, one.id), reverse=True)
