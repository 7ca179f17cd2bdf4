"""How an invoice's events become its row and those of its payments."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.invoices import (
    Bill,
    InvoiceDiscarded,
    InvoiceDrafted,
    InvoiceEdited,
    InvoiceEvent,
    InvoiceIssued,
    InvoiceReassigned,
    InvoiceSent,
    InvoiceSettled,
    InvoiceVoided,
    PaymentRecorded,
    PaymentRefunded,
)
from domain.kit import Fact, NotFound, only
from domain.series import printed, series_of
from projections.kit import PROJECTIONS, projects
from projections.kit.keys import KeyRing
from projections.kit.past import Past, after, cursor, fits, parts, past, pasts
from projections.kit.reading import Page, Reader, Wanted
from projections.trails import born, of_patient
from schemas.invoices import InvoiceRow, NextNumber, PaymentRow, Refund
from schemas.series import SeriesRow

PORTION = 200  # invoices folded at a time, when some of them may not be wanted
MOST_THEN = 1000  # invoices that one page of the past looks at, and that are folded of one patient


@projects(InvoiceRow, of=InvoiceEvent)
def invoices(row: InvoiceRow | None, fact: Fact) -> InvoiceRow | None:
    event: InvoiceEvent = fact.event  # type: ignore[assignment]
    if isinstance(event, InvoiceDrafted):
        return InvoiceRow(id=fact.id, status="draft", created_at=fact.recorded_at, version=fact.version, **only(Bill, event))
    if row is None or isinstance(event, InvoiceDiscarded):
        return None
    return replace(row, version=fact.version, **changed(row, event, fact))


def changed(row: InvoiceRow, event: Any, fact: Fact) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of event
    """Return what an event changes on an invoice."""
    match event:
        case InvoiceEdited():
            return only(Bill, event)
        case InvoiceIssued(number=number, issued_on=on, due_on=due):
            return {"status": "issued", "number": number, "issued_on": on, "due_on": due, "due": row.total, "issued_at": fact.recorded_at}
        case PaymentRecorded(amount=amount):
            return {"status": "partly-paid", "paid": row.paid + amount, "due": row.due - amount}
        case InvoiceSettled():
            return {"status": "paid"}
        case PaymentRefunded(amount=amount):
            back = row.refunded + amount
            return {"status": "partly-paid" if row.paid > back else "issued", "refunded": back, "due": row.due + amount}
        case InvoiceVoided(reason=reason):
            return {"status": "void", "void_reason": reason, "due": 0}
        case InvoiceReassigned(patient_id=patient):
            return {"patient_id": patient}
        case InvoiceSent():
            return {"sent_at": fact.recorded_at}
    return {}  # reopened: the refund said it all


def of_payment(fact: Fact) -> Iterable[tuple[Any, ...]]:
    event: Any = fact.event
    return [(payment,) for payment in event.payments] if isinstance(event, InvoiceReassigned) else [(event.payment_id,)]


@projects(PaymentRow, of=PaymentRecorded | PaymentRefunded | InvoiceReassigned, key=of_payment)
def payments(row: PaymentRow | None, fact: Fact, key: tuple[Any, ...]) -> PaymentRow | None:
    match fact.event:
        case PaymentRecorded() as event:
            return PaymentRow(
                id=key[0], invoice_id=fact.id, patient_id=event.patient_id, amount=event.amount, method=event.method, paid_on=event.paid_on,
                recorded_at=fact.recorded_at, place_id=event.place_id,
            )
        case PaymentRefunded() as event if row:
            back = Refund(id=event.refund_id, amount=event.amount, method=event.method, reason=event.reason, refunded_on=event.refunded_on, place_id=event.place_id)
            return replace(row, refunded=row.refunded + event.amount, refunds=[*row.refunds, back])
        case InvoiceReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row


async def payments_of(reader: Reader, invoice: UUID, patient: UUID | None = None) -> list[PaymentRow]:
    """Return the payments of an invoice, the first one first; with `patient`, of an invoice of theirs."""
    row = await reader.one(InvoiceRow, invoice)
    if row is None or patient not in {None, row.patient_id}:
        raise NotFound(kind="invoices", id=str(invoice))
    return ordered(await reader.find(PaymentRow, invoice_id=invoice))


async def payments_then(reader: Reader, keys: KeyRing, invoice: UUID, patient: UUID | None, upto: int) -> list[PaymentRow]:
    """Return the same as they were at a position."""
    found: Any = await past(reader, keys, PROJECTIONS["invoices"], invoice, upto)
    if found is None or patient not in {None, found.row.patient_id}:
        raise NotFound(kind="invoices", id=str(invoice))
    return ordered(await parts(reader, keys, PROJECTIONS["payments"], invoice, upto))


def ordered(payments: Iterable[Any]) -> list[PaymentRow]:
    return sorted(payments, key=lambda payment: (payment.recorded_at, payment.id))


async def page_then(reader: Reader, keys: KeyRing, wanted: Wanted, upto: int) -> Page:
    """Return a page of the invoices as they were at a position, in the order in which they were drafted.

    Of one patient all are folded, else portion by portion until the page is full; a page that has looked at `MOST_THEN` ends, with or without rows.
    """
    start = after(wanted.cursor) if wanted.cursor else upto + 1 if wanted.descending else 0
    patients = {value for column, operator, value in wanted.conditions if column == "patient_id" and operator == "="}
    if patients:
        whose: list[Past] = []
        for patient in patients:
            streams = await of_patient(reader, "invoices", patient, upto, MOST_THEN)
            whose += (await pasts(reader, keys, PROJECTIONS["invoices"], streams, upto)).values()
        there = [one for one in whose if (one.born < start if wanted.descending else one.born > start) and fits(one.row, wanted.conditions)]
        there.sort(key=lambda one: one.born, reverse=wanted.descending)
        return page(there[: wanted.limit], there[wanted.limit - 1].born if len(there) > wanted.limit else None)
    found: list[Past] = []
    size = PORTION if wanted.conditions else wanted.limit + 1
    for _ in range(MOST_THEN // size):
        begun = await born(reader, "InvoiceDrafted", upto, start, descending=wanted.descending, most=size)
        rows = await pasts(reader, keys, PROJECTIONS["invoices"], [id_ for id_, _ in begun], upto)
        found += [rows[id_] for id_, _ in begun if id_ in rows and fits(rows[id_].row, wanted.conditions)]
        if len(found) > wanted.limit:
            return page(found[: wanted.limit], found[wanted.limit - 1].born)
        if len(begun) < size:
            return page(found, None)
        start = begun[-1][1]
    return page(found, start)


def page(found: list[Past], upto: int | None) -> Page:
    """Return a page of the past; `upto` is where it ends, if there is more."""
    return Page(items=msgspec.Raw(msgspec.json.encode([one.row for one in found])), next=None if upto is None else cursor(upto))


async def next_number(reader: Reader, today: date) -> NextNumber:
    """Return the number that an invoice issued today would get."""
    row = await reader.one(SeriesRow, series_of(reader.clinic, "invoices", today.year))
    return NextNumber(number=printed(today.year, (row.last if row else 0) + 1))
