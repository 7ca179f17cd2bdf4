"""How fees become rows, and which visits have to be looked at."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.appointments import AppointmentCancelled, AppointmentRemoved, MissUndone, PatientMissed
from domain.kit import Fact, only
from domain.visit_fees import (
    FeeRules,
    FeeSettingsEvent,
    VisitFeeCharged,
    VisitFeeEvent,
    VisitFeeSpared,
    VisitFeeWaived,
    VisitFeeWithdrawn,
)
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from schemas.visit_fees import FeeSettingsRow, VisitEndingRow, VisitFeeRow

installs("""
create or replace function visit_fees_due(at_moment timestamptz, most int) returns table (clinic uuid, appointment uuid, undo boolean)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        (select e.clinic_id, e.id, false from fee_settings s join clinics h on h.clinic_id = s.clinic_id and h.id = s.clinic_id
        join visit_endings e on e.clinic_id = s.clinic_id and e.ended_at >= s.since and e.ended_at + make_interval(mins => s.grace::int) <= at_moment
        where s.enabled and h.active and h.closing_until is null
            and not exists (select from visit_fees f where f.clinic_id = e.clinic_id and f.appointment_id = e.id and f.status <> 'withdrawn')
        order by e.ended_at limit most)
        union all
        (select f.clinic_id, f.appointment_id, true from visit_fees f where f.status = 'charged'
            and not exists (select from visit_endings e where e.clinic_id = f.clinic_id and e.id = f.appointment_id) limit most);
end $$;
revoke all on function visit_fees_due from public;
grant execute on function visit_fees_due to anamnesis_gateway;
""")

DUE = "select clinic, appointment, undo from visit_fees_due(%s::timestamptz, %s::int)"


@projects(FeeSettingsRow, of=FeeSettingsEvent)
def fee_settings(row: FeeSettingsRow | None, fact: Fact) -> FeeSettingsRow:
    rules: Any = fact.event
    since = (row.since if row and row.enabled else fact.recorded_at) if rules.enabled else None
    return FeeSettingsRow(id=fact.id, since=since, **only(FeeRules, rules))


@projects(VisitEndingRow, of=PatientMissed | AppointmentCancelled | AppointmentRemoved | MissUndone)
def visit_endings(row: VisitEndingRow | None, fact: Fact) -> VisitEndingRow | None:
    match fact.event:
        case PatientMissed():
            return VisitEndingRow(id=fact.id, cause="no-show", ended_at=fact.recorded_at)
        case AppointmentCancelled(by="patient"):
            return VisitEndingRow(id=fact.id, cause="late-cancellation", ended_at=fact.recorded_at)
        case AppointmentRemoved() | MissUndone():
            return None
    return row


@projects(VisitFeeRow, of=VisitFeeEvent)
def visit_fees(row: VisitFeeRow | None, fact: Fact) -> VisitFeeRow | None:
    now: dict[str, Any] = {"changed_at": fact.recorded_at, "version": fact.version}
    match fact.event:
        case VisitFeeCharged() as e:
            return VisitFeeRow(
                id=fact.id, appointment_id=e.appointment_id, cause=e.cause, status="charged", invoice_id=e.invoice_id, amount=e.amount, currency=e.currency,
                from_deposit=e.from_deposit, noted_at=fact.recorded_at, **now)
        case VisitFeeSpared() as e:
            return VisitFeeRow(id=fact.id, appointment_id=e.appointment_id, cause=e.cause, status="spared", spared=e.why, noted_at=fact.recorded_at, **now)
        case VisitFeeWaived(reason=reason) if row:
            return replace(row, status="waived", waive_reason=reason, **now)
        case VisitFeeWithdrawn() if row:
            return replace(row, status="withdrawn", **now)
    return row


class Due(NamedTuple):
    """A visit whose fee is to be looked at; `undo`: it is no such visit any more."""

    clinic: UUID
    appointment: UUID
    undo: bool


async def due(lanes: Lanes, now: datetime, most: int) -> list[Due]:
    """Return the visits of all clinics that may cost a fee, or do no longer."""
    return [Due(*line) for line in (await lanes.ask(None, DUE, (now, most))).rows]
