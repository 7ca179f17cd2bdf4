"""How a till's events become its row, and what was recorded since it was closed."""

from datetime import date
from uuid import UUID

from msgspec.structs import replace

from domain.kit import PLATFORM, Fact
from domain.tills import Moved, TillClosed, TillEvent, TillOpened, TillReopened, till_of
from projections.kit import installs, projects
from projections.kit.reading import Reader
from schemas.expenses import TillDayRow
from schemas.tills import TillNow, TillRow

installs("""
create or replace view till_entries with (security_invoker = true) as
    select t.*, case when t.status = 'closed' then coalesce(d.received - d.reversed - d.refunded - d.spent, 0) - t.cash_net else 0 end as late,
        case when t.status = 'closed' then abs(coalesce(d.payments + d.reversals + d.refunds + d.expenses, 0) - t.cash_entries) else 0 end as late_entries
    from tills t left join till_days d on d.clinic_id = t.clinic_id and d.day = t.day and d.method = 'cash'
        and d.place = coalesce(t.place_id, '00000000-0000-0000-0000-000000000000');
grant select on till_entries to anamnesis_gateway;
""")


@projects(TillRow, of=TillEvent)
def tills(row: TillRow | None, fact: Fact) -> TillRow | None:
    match fact.event:
        case TillOpened() as e:
            return TillRow(
                id=fact.id, place_id=e.place_id, day=e.day, status="open", currency=e.currency, opening=e.opening, opened_at=fact.recorded_at,
                opened_by=fact.actor, version=fact.version)
        case TillClosed() as e if row:
            cash = [one for one in e.moved if one.method == "cash"]
            return replace(
                row, status="closed", expected=e.expected, counted=e.counted, pieces=e.pieces, difference=e.difference, reason=e.reason, left=e.left,
                moved=e.moved, cash_net=sum(one.net for one in cash), cash_entries=sum(one.entries for one in cash), closed_at=fact.recorded_at,
                closed_by=fact.actor, version=fact.version)
        case TillReopened(reason=reason) if row:
            return replace(row, status="open", reopened=row.reopened + 1, reopen_reason=reason, version=fact.version)
    return row


async def till_now(reader: Reader, place: UUID | None, day: date, currency: str) -> TillNow:
    """Return what should be in a till as things stand."""
    id_ = till_of(reader.clinic, place, day)
    row = await reader.one(TillRow, id_)
    days = sorted(await reader.find(TillDayRow, day=day, place=place or PLATFORM), key=lambda one: one.method)
    moved = [Moved(
        method=one.method, received=one.received, reversed=one.reversed, refunded=one.refunded, spent=one.spent,
        entries=one.payments + one.reversals + one.refunds + one.expenses) for one in days]
    opening = row.opening if row else 0
    return TillNow(
        id=id_, place_id=place, day=day, status=row.status if row else "none", currency=currency, opening=opening,
        expected=opening + sum(one.net for one in moved if one.method == "cash"), moved=moved)
