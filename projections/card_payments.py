"""How card payments become rows, and which pages have to be looked after."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.card_payments import (
    CardPaymentEvent,
    CardPaymentReceived,
    CardPaymentReturned,
    CheckoutLapsed,
    CheckoutOpened,
    What,
)
from domain.kit import Fact, only
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from schemas.card_payments import CardPaymentRow, CardStatus

installs("""
create or replace function checkouts_over(at_moment timestamptz, most int) returns table (clinic uuid, checkout text)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query select p.clinic_id, p.checkout from card_payments p where p.status = 'open' and p.until < at_moment order by p.until limit most;
end $$;
revoke all on function checkouts_over from public;
grant execute on function checkouts_over to anamnesis_gateway;
""")

OVER = "select clinic, checkout from checkouts_over(%s::timestamptz, %s::int)"


@projects(CardPaymentRow, of=CardPaymentEvent)
def card_payments(row: CardPaymentRow | None, fact: Fact) -> CardPaymentRow | None:
    now: dict[str, Any] = {"changed_at": fact.recorded_at, "version": fact.version}
    match fact.event:
        case CheckoutOpened() as e:
            return CardPaymentRow(
                id=fact.id, **only(What, e), status="open", amount=e.amount, currency=e.currency, until=e.until, checkout=e.checkout, **now)
        case CheckoutLapsed() if row:
            return replace(row, status="lapsed", **now)
        case CardPaymentReceived() as e:
            return CardPaymentRow(
                id=fact.id, **only(What, e), status=standing(e.kept, e.credited), amount=e.amount, currency=e.currency, received_on=e.received_on,
                applied=e.applied, credited=e.credited, kept=e.kept, because=e.because, payment_id=e.payment_id, checkout=e.checkout, charge=e.charge,
                until=row.until if row else None, **now)
        case CardPaymentReturned() as e if row:
            left = row.kept - e.kept
            return replace(row, status=standing(left, row.credited), kept=left, returned=row.returned + e.amount, **now)
    return row


def standing(kept: int, credited: int) -> CardStatus:
    return "unapplied" if kept else "credited" if credited else "applied"


class Over(NamedTuple):
    """A page that nobody can pay on any more, of which nothing was heard."""

    clinic: UUID
    checkout: str


async def over(lanes: Lanes, now: datetime, most: int) -> list[Over]:
    """Return the pages of all clinics that have lapsed, the oldest first."""
    return [Over(*line) for line in (await lanes.ask(None, OVER, (now, most))).rows]
