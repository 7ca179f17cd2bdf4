"""The links to documents, as rows; and documents as their patients see them, with the names that they were issued with."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact
from domain.payment_accounts import payment_account_of
from domain.public_documents import DocumentLinkRevoked, DocumentShared, DocumentViewed, PublicDocumentEvent
from projections.kit import PROJECTIONS, projects
from projections.kit.keys import KeyRing
from projections.kit.past import past
from projections.kit.reading import Reader
from schemas.clinics import ClinicRow
from schemas.invoices import CreditNoteRow, InvoiceRow
from schemas.kit import Row
from schemas.patients import PatientRow
from schemas.payment_accounts import PaymentAccountRow
from schemas.public_documents import DocumentLine, DocumentShown, House, Printed, PublicDocumentRow, TaxGroup
from schemas.quotations import QuotationEntry
from schemas.receipts import ReceiptEntry

ROWS: dict[Printed, type[Row]] = {"invoices": InvoiceRow, "quotations": QuotationEntry, "receipts": ReceiptEntry, "credit-notes": CreditNoteRow}


@projects(PublicDocumentRow, of=PublicDocumentEvent)
def public_documents(row: PublicDocumentRow | None, fact: Fact) -> PublicDocumentRow | None:
    match fact.event:
        case DocumentShared() as e:
            viewed = row.viewed_at if row and row.number == e.number else None
            return PublicDocumentRow(
                id=fact.id, document=e.document, document_id=e.document_id, number=e.number, until=e.until, shared_at=fact.recorded_at, viewed_at=viewed)
        case DocumentLinkRevoked() if row:
            return replace(row, until=None)
        case DocumentViewed() if row:
            return replace(row, viewed_at=fact.recorded_at)
    return row


async def document_of(reader: Reader, keys: KeyRing, kind: Printed, id: UUID, whose: UUID | None = None) -> DocumentShown | None:  # noqa: A002
    """Return a document, or None if there is none (or, with `whose`, none of that patient's).

    What it says of clinic and patient is read as it was when the document was issued, so a later change of a name or an address changes nothing on it; what is
    only a draft says what counts now.
    """
    row: Any = await reader.one(ROWS[kind], id)
    if row is None or whose not in {None, row.patient_id}:
        return None
    issued_at = row.recorded_at if isinstance(row, CreditNoteRow) else row.issued_at
    clinic: Any = await then(reader, keys, ClinicRow, reader.clinic, issued_at)
    patient: Any = await then(reader, keys, PatientRow, row.patient_id, issued_at)
    name = " ".join(filter(None, (patient.given_name, patient.family_name))) if patient else ""
    house = House(name=clinic.name, address=clinic.address, phone=clinic.phone, email=clinic.email)
    told = credited(row, await reader.one(InvoiceRow, row.invoice_id)) if isinstance(row, CreditNoteRow) else particulars(row)
    return DocumentShown(document=kind, clinic=house, patient_name=name or None, language=clinic.language or "en", payable=await payable(reader, row), **told)


async def payable(reader: Reader, row: Row) -> bool:
    """Say whether a document is an invoice of which something is due, of a clinic that takes cards online."""
    if not isinstance(row, InvoiceRow) or row.status not in {"issued", "partly-paid"} or not row.due:
        return False
    account = await reader.one(PaymentAccountRow, payment_account_of(reader.clinic))
    return account is not None and account.connected


async def then(reader: Reader, keys: KeyRing, row: type[Row], id_: UUID, moment: datetime | None) -> Row | None:
    """Return a row as it was at a moment; as it is, if there was none."""
    if moment is not None and (found := await past(reader, keys, PROJECTIONS[row.table], id_, moment)) is not None:
        return found.row
    return await reader.one(row, id_)


def particulars(row: Any) -> dict[str, Any]:
    """Return what a row says on a document."""
    if isinstance(row, ReceiptEntry):
        return {
            "number": row.number, "status": "reversed" if row.reversed else "refunded" if row.refunded == row.amount else "issued", "currency": row.currency, "issued_on": row.issued_on,
            "total": row.amount, "refunded": row.refunded, "paid_on": row.paid_on, "method": row.method, "invoice_number": row.invoice_number}
    both = {"number": row.number, "status": row.status, "currency": row.currency, "issued_on": row.issued_on, "total": row.total}
    found = {**both, "subtotal": row.subtotal, "tax": row.tax, "notes": row.notes, "lines": [line(one) for one in row.lines], "taxes": taxes(row.lines), "tax_included": row.tax_included}
    if isinstance(row, InvoiceRow):
        return {**found, "paid": row.paid, "refunded": row.refunded, "credited": row.credited + row.written_off, "due": row.due, "due_on": row.due_on}
    return {**found, "valid_until": row.valid_until}


def credited(note: CreditNoteRow, invoice: InvoiceRow | None) -> dict[str, Any]:
    """Return what a credit note says; what its lines were about, the invoice says."""
    words = {one.no: one.description for one in invoice.lines} if invoice else {}
    lines = [
        DocumentLine(
            description=words.get(one.line, ""), quantity=1, unit_price=one.net, reduction=0, tax_rate=one.tax_rate, net=one.net, tax=one.tax, total=one.total)
        for one in note.lines]
    return {
        "number": note.number, "status": "issued" if note.cause == "credit-note" else "written-off", "currency": note.currency, "issued_on": note.credited_on,
        "total": note.total, "subtotal": note.net, "tax": note.tax, "lines": lines, "taxes": taxes(lines), "invoice_number": note.invoice_number, "notes": note.reason}


def line(of: Any) -> DocumentLine:
    return DocumentLine(**{name: getattr(of, name) for name in DocumentLine.__struct_fields__})


def taxes(lines: list[Any]) -> list[TaxGroup]:
    """Return what is taxed at each rate: the sums of the lines, so that they add up to the total."""
    found: dict[int, list[int]] = {}
    for one in lines:
        sums = found.setdefault(one.tax_rate, [0, 0])
        sums[:] = sums[0] + one.net, sums[1] + one.tax
    return [TaxGroup(rate=rate, net=net, tax=tax) for rate, (net, tax) in sorted(found.items())]
