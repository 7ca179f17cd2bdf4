"""How a receipt's events become its row, with what has become of its payment."""

from msgspec.structs import replace

from domain.kit import Fact
from domain.receipts import ReceiptEvent, ReceiptIssued, ReceiptReassigned, ReceiptSent
from projections.kit import installs, projects
from schemas.receipts import ReceiptRow

installs("""
create or replace view receipt_entries with (security_invoker = true) as
select r.*, coalesce(p.refunded, 0) as refunded, coalesce(p.reversed, false) as reversed from receipts r left join payments p on p.clinic_id = r.clinic_id and p.id = r.payment_id;
grant select on receipt_entries to anamnesis_gateway;
""")


@projects(ReceiptRow, of=ReceiptEvent)
def receipts(row: ReceiptRow | None, fact: Fact) -> ReceiptRow | None:
    match fact.event:
        case ReceiptIssued() as e:
            return ReceiptRow(
                id=fact.id, number=e.number, patient_id=e.patient_id, invoice_id=e.invoice_id, invoice_number=e.invoice_number, payment_id=e.payment_id,
                amount=e.amount, currency=e.currency, method=e.method, paid_on=e.paid_on, issued_on=e.issued_on, issued_at=fact.recorded_at)
        case ReceiptSent() if row:
            return replace(row, sent_at=fact.recorded_at)
        case ReceiptReassigned(patient_id=patient) if row:
            return replace(row, patient_id=patient)
    return row
