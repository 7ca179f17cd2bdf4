"""How an invoice's events become its row and those of its payments."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.invoices import (
    Bill,
    InvoiceDiscarded,
    InvoiceDrafted,
    InvoiceEdited,
    InvoiceEvent,
    InvoiceIssued,
    InvoiceSettled,
    InvoiceVoided,
    PaymentRecorded,
    PaymentRefunded,
)
from domain.kit import Fact, NotFound, only
from domain.series import printed, series_of
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.invoices import InvoiceRow, NextNumber, PaymentRow, Refund
from schemas.series import SeriesRow


@projects(InvoiceRow, of=InvoiceEvent)
def invoices(row: InvoiceRow | None, fact: Fact) -> InvoiceRow | None:
    event: InvoiceEvent = fact.event  # type: ignore[assignment]
    if isinstance(event, InvoiceDrafted):
        return InvoiceRow(id=fact.id, status="draft", created_at=fact.recorded_at, version=fact.version, **only(Bill, event))
    if row is None or isinstance(event, InvoiceDiscarded):
        return None
    return replace(row, version=fact.version, **changed(row, event))


def changed(row: InvoiceRow, event: Any) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of event
    """Return what an event changes on an invoice."""
    match event:
        case InvoiceEdited():
            return only(Bill, event)
        case InvoiceIssued(number=number, issued_on=on, due_on=due):
            return {"status": "issued", "number": number, "issued_on": on, "due_on": due, "due": row.total}
        case PaymentRecorded(amount=amount):
            return {"status": "partly-paid", "paid": row.paid + amount, "due": row.due - amount}
        case InvoiceSettled():
            return {"status": "paid"}
        case PaymentRefunded(amount=amount):
            back = row.refunded + amount
            return {"status": "partly-paid" if row.paid > back else "issued", "refunded": back, "due": row.due + amount}
        case InvoiceVoided(reason=reason):
            return {"status": "void", "void_reason": reason, "due": 0}
    return {}  # reopened: the refund said it all


def of_payment(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return [(fact.event.payment_id,)]  # type: ignore[attr-defined]


@projects(PaymentRow, of=PaymentRecorded | PaymentRefunded, key=of_payment)
def payments(row: PaymentRow | None, fact: Fact, key: tuple[Any, ...]) -> PaymentRow | None:
    match fact.event:
        case PaymentRecorded() as event:
            return PaymentRow(
                id=key[0], invoice_id=fact.id, patient_id=event.patient_id, amount=event.amount, method=event.method, paid_on=event.paid_on,
                recorded_at=fact.recorded_at,
            )
        case PaymentRefunded() as event if row:
            back = Refund(id=event.refund_id, amount=event.amount, method=event.method, reason=event.reason, refunded_on=event.refunded_on)
            return replace(row, refunded=row.refunded + event.amount, refunds=[*row.refunds, back])
    return row


async def payments_of(reader: Reader, invoice: UUID, patient: UUID | None = None) -> list[PaymentRow]:
    """Return the payments of an invoice, the first one first; with `patient`, of an invoice of theirs."""
    row = await reader.one(InvoiceRow, invoice)
    if row is None or patient not in {None, row.patient_id}:
        raise NotFound(kind="invoices", id=str(invoice))
    return sorted(await reader.find(PaymentRow, invoice_id=invoice), key=lambda payment: (payment.recorded_at, payment.id))


async def next_number(reader: Reader, today: date) -> NextNumber:
    """Return the number that an invoice issued today would get."""
    row = await reader.one(SeriesRow, series_of(reader.clinic, "invoices", today.year))
    return NextNumber(number=printed(today.year, (row.last if row else 0) + 1))
