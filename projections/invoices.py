"""How an invoice's events become its row and those of its payments."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.invoices import (
    Bill,
    CreditApplied,
    InvoiceCredited,
    InvoiceDiscarded,
    InvoiceDrafted,
    InvoiceEdited,
    InvoiceEvent,
    InvoiceIssued,
    InvoiceReassigned,
    InvoiceSent,
    InvoiceSettled,
    InvoiceVoided,
    PaymentReallocated,
    PaymentRecorded,
    PaymentRefunded,
    PaymentReversed,
    Status,
)
from domain.kit import Fact, NotFound, only
from domain.series import printed, series_of
from projections.kit import PROJECTIONS, projects
from projections.kit.keys import KeyRing
from projections.kit.past import Past, after, cursor, fits, parts, past, pasts
from projections.kit.reading import Page, Reader, Wanted
from projections.trails import born, of_patient
from schemas.invoices import CreditNoteRow, InvoiceRow, NextNumber, PaymentRow, Refund
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


def changed(row: InvoiceRow, event: Any, fact: Fact) -> dict[str, Any]:  # noqa: C901, PLR0911 - one for each kind of event
    """Return what an event changes on an invoice."""
    match event:
        case InvoiceEdited():
            return only(Bill, event)
        case InvoiceIssued(number=number, issued_on=on, due_on=due):
            return {"status": "issued", "number": number, "issued_on": on, "due_on": due, "due": row.total, "issued_at": fact.recorded_at}
        case PaymentRecorded(amount=amount) | CreditApplied(amount=amount):
            return moved(row, paid=amount)
        case PaymentReallocated(released=amount) | PaymentReversed(amount=amount):
            return moved(row, paid=-amount)
        case PaymentRefunded(amount=amount):
            return moved(row, refunded=amount)
        case InvoiceCredited(total=amount, cause=cause):
            return moved(row, credited=amount) if cause == "credit-note" else moved(row, written_off=amount)
        case InvoiceSettled():
            return {"status": standing(row)}
        case InvoiceVoided(reason=reason):
            return {"status": "void", "void_reason": reason, "due": 0}
        case InvoiceReassigned(patient_id=patient):
            return {"patient_id": patient}
        case InvoiceSent():
            return {"sent_at": fact.recorded_at}
    return {}  # reopened: the refund said it all


def moved(row: InvoiceRow, *, paid: int = 0, refunded: int = 0, credited: int = 0, written_off: int = 0) -> dict[str, Any]:
    """Return what changes when these come to an invoice's sums."""
    due = row.due - paid + refunded - credited - written_off
    after = replace(
        row, paid=row.paid + paid, refunded=row.refunded + refunded, credited=row.credited + credited, written_off=row.written_off + written_off, due=due)
    return {"status": standing(after), **{name: getattr(after, name) for name in ("paid", "refunded", "credited", "written_off", "due")}}


def standing(row: InvoiceRow) -> Status:
    """Say how an issued invoice stands, by its sums."""
    if row.due:
        return "partly-paid" if row.paid > row.refunded else "issued"
    return "paid" if row.paid > row.refunded or not row.total else "credited"


def of_payment(fact: Fact) -> Iterable[tuple[Any, ...]]:
    event: Any = fact.event
    return [(payment,) for payment in event.payments] if isinstance(event, InvoiceReassigned) else [(event.payment_id,)]


@projects(PaymentRow, of=PaymentRecorded | CreditApplied | PaymentRefunded | PaymentReallocated | PaymentReversed | InvoiceReassigned, key=of_payment)
def payments(row: PaymentRow | None, fact: Fact, key: tuple[Any, ...]) -> PaymentRow | None:  # noqa: PLR0911 - one for each kind of event
    match fact.event:
        case PaymentRecorded() as event:
            return PaymentRow(
                id=key[0], invoice_id=fact.id, patient_id=event.patient_id, amount=event.amount, method=event.method, paid_on=event.paid_on,
                recorded_at=fact.recorded_at, place_id=event.place_id,
            )
        case CreditApplied() as event:
            return PaymentRow(
                id=key[0], invoice_id=fact.id, patient_id=event.patient_id, amount=event.amount, method="credit", paid_on=event.applied_on,
                recorded_at=fact.recorded_at,
            )
        case PaymentReallocated(released=amount) if row:
            return replace(row, released=row.released + amount)
        case PaymentReversed(reason=reason) if row:
            return replace(row, reversed=True, reverse_reason=reason)
        case PaymentRefunded() as event if row:
            back = Refund(id=event.refund_id, amount=event.amount, method=event.method, reason=event.reason, refunded_on=event.refunded_on, place_id=event.place_id)
            return replace(row, refunded=row.refunded + event.amount, refunds=[*row.refunds, back])
        case InvoiceReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row


def of_note(fact: Fact) -> Iterable[tuple[Any, ...]]:
    event: Any = fact.event
    return [(note,) for note in event.credit_notes] if isinstance(event, InvoiceReassigned) else [(event.credit_note_id,)]


@projects(CreditNoteRow, of=InvoiceCredited | InvoiceReassigned, key=of_note)
def credit_notes(row: CreditNoteRow | None, fact: Fact, key: tuple[Any, ...]) -> CreditNoteRow | None:
    match fact.event:
        case InvoiceCredited() as e:
            return CreditNoteRow(
                id=key[0], number=e.number, cause=e.cause, invoice_id=fact.id, invoice_number=e.invoice_number, patient_id=e.patient_id, currency=e.currency,
                net=e.net, tax=e.tax, total=e.total, lines=e.lines, reason=e.reason, credited_on=e.credited_on, recorded_at=fact.recorded_at)
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
