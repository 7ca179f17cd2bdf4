"""The platform's invoices to clinics, as rows."""

from datetime import date
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.series import series_of
from domain.subscription_invoices import (
    SERIES,
    SubscriptionBill,
    SubscriptionInvoiceDiscarded,
    SubscriptionInvoiceDrafted,
    SubscriptionInvoiceEvent,
    SubscriptionInvoiceIssued,
    SubscriptionInvoicePaid,
    SubscriptionInvoiceSent,
    SubscriptionInvoiceVoided,
    numbered,
)
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.series import SeriesRow
from schemas.subscription_invoices import NextSubscriptionNumber, SubscriptionInvoiceRow

MOST = 1000  # drafts that one clean-up discards

ORPHANED = "select t.id, t.clinic, t.drafted_on from subscription_invoices t where t.status = 'draft' and t.drafted_on < %s order by t.drafted_on, t.id limit %s"


@projects(SubscriptionInvoiceRow, of=SubscriptionInvoiceEvent)
def subscription_invoices(row: SubscriptionInvoiceRow | None, fact: Fact) -> SubscriptionInvoiceRow | None:
    event: SubscriptionInvoiceEvent = fact.event  # type: ignore[assignment]
    if isinstance(event, SubscriptionInvoiceDrafted):
        return SubscriptionInvoiceRow(
            id=fact.id, clinic=fact.clinic, status="draft", drafted_on=event.drafted_on, created_at=fact.recorded_at, **only(SubscriptionBill, event))
    if row is None or isinstance(event, SubscriptionInvoiceDiscarded):
        return None
    return replace(row, **changed(row, event))


def changed(row: SubscriptionInvoiceRow, event: Any) -> dict[str, Any]:
    """Return what an event changes on an invoice."""
    match event:
        case SubscriptionInvoiceIssued(number=number, issued_on=on, due_on=due):
            return {"status": "issued", "number": number, "issued_on": on, "due_on": due, "due": row.total}
        case SubscriptionInvoiceSent(sent_on=on):
            return {"sent_on": on}
        case SubscriptionInvoicePaid(paid_on=on, method=method, reference=reference):
            return {"status": "paid", "due": 0, "paid_on": on, "method": method, "reference": reference}
        case SubscriptionInvoiceVoided(reason=reason):
            return {"status": "void", "due": 0, "void_reason": reason}
    raise TypeError(type(event))


async def next_number(reader: Reader, clinic: UUID, today: date) -> NextSubscriptionNumber:
    """Return the number that a clinic's next invoice would get today."""
    row = await reader.one(SeriesRow, series_of(clinic, SERIES, today.year))
    return NextSubscriptionNumber(number=numbered(clinic, today.year, (row.last if row else 0) + 1))


async def orphans(reader: Reader, before: date) -> list[tuple[UUID, UUID, date]]:
    """Return (id, clinic, day) of the drafts made before a day, the oldest first; the reader is the platform's."""
    return [(id_, clinic, on) for id_, clinic, on in (await reader.ask(ORPHANED, (before, MOST))).rows]
