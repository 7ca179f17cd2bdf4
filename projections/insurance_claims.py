"""How a claim's events become its row, what is left of its payments, and the figures of all claims."""

from datetime import date
from typing import Any, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.insurance_claims import (
    AnsweredLine,
    ClaimStatus,
    InsuranceClaimAnswered,
    InsuranceClaimAppealed,
    InsuranceClaimAppealWithdrawn,
    InsuranceClaimAttached,
    InsuranceClaimDetached,
    InsuranceClaimDiscarded,
    InsuranceClaimDrafted,
    InsuranceClaimEdited,
    InsuranceClaimEvent,
    InsuranceClaimPaid,
    InsuranceClaimPaymentReversed,
    InsuranceClaimReassigned,
    InsuranceClaimReinstated,
    InsuranceClaimReplaced,
    InsuranceClaimSubmitted,
    InsuranceClaimVoided,
    InsuranceClaimWithdrawn,
    InsuranceClaimWrittenOff,
    in_order,
)
from domain.kit import Fact, NotFound
from projections.kit import installs, projects
from projections.kit.reading import Reader
from schemas.insurance_claims import (
    Attachment,
    ClaimAge,
    ClaimFigures,
    ClaimLine,
    ClaimPayment,
    InsuranceClaimEntry,
    InsuranceClaimRow,
    InsuranceClaims,
    InvoiceCoverage,
    PayerOutstanding,
)
from schemas.invoices import InvoiceRow
from schemas.kit.row import table_of

_REST = ", ".join(f"c.{column.name}" for column in table_of(InsuranceClaimRow).columns if column.name not in {"status", "paid"})

# what was given back of a payment, the invoice knows: it may have been done there
installs(f"""
create or replace view insurance_claim_entries with (security_invoker = true) as
select c.clinic_id, c.position, {_REST}, l.paid, p.name as payer_name, v.member_number,
    case when c.status not in ('accepted', 'partly-approved', 'paid') then c.status when l.paid >= c.approved then 'paid'
        when c.approved = c.claimed then 'accepted' else 'partly-approved' end as status
from insurance_claims c left join insurance_payers p on p.clinic_id = c.clinic_id and p.id = c.payer_id
left join insurance_covers v on v.clinic_id = c.clinic_id and v.id = c.cover_id and v.patient_id = c.patient_id
cross join lateral (
    select coalesce(sum(case when y.reversed then 0 else y.amount - y.refunded end), 0)::bigint as paid from jsonb_array_elements(c.payments) x
    join payments y on y.clinic_id = c.clinic_id and y.id = (x.value ->> 'id')::uuid) l;
grant select on insurance_claim_entries to anamnesis_gateway;
""")  # noqa: S608 - columns of ours

AGES = """select status, case when n <= 30 then '0-30' when n <= 60 then '31-60' when n <= 90 then '61-90' else 'over-90' end as age, count(*)::bigint as claims,
    sum(billed)::bigint as billed, sum(claimed)::bigint as claimed, coalesce(sum(approved), 0)::bigint as approved, sum(paid)::bigint as paid
from (select e.*, %s::date - coalesce(e.submitted_on, (e.created_at at time zone %s)::date) as n from insurance_claim_entries e where e.clinic_id = %s) c group by 1, 2 order by 1, 2"""
PAYERS = """select payer_id, max(payer_name) as payer_name, count(*) filter (where asked)::bigint as unanswered,
    coalesce(sum(claimed) filter (where asked), 0)::bigint as unanswered_amount, count(*) filter (where owed)::bigint as unpaid,
    coalesce(sum(approved - paid) filter (where owed), 0)::bigint as unpaid_amount, min(submitted_on) as oldest_on
from (select e.*, e.status in ('submitted', 'appealed') as asked, e.status in ('accepted', 'partly-approved') as owed
    from insurance_claim_entries e where e.clinic_id = %s and e.status in ('submitted', 'appealed', 'accepted', 'partly-approved')) c
group by payer_id order by sum(case when owed then approved - paid else 0 end) desc, payer_id"""
OF_INVOICE = "select id, status, claimed, coalesce(approved, 0) as approved, paid from insurance_claim_entries where clinic_id = %s and invoice_id = %s order by created_at, id"
ANSWERED = {"accepted", "partly-approved", "paid", "denied"}


class OfInvoice(Struct):
    id: UUID
    status: str
    claimed: int
    approved: int
    paid: int


@projects(InsuranceClaimRow, of=InsuranceClaimEvent)
def insurance_claims(row: InsuranceClaimRow | None, fact: Fact) -> InsuranceClaimRow | None:
    event: InsuranceClaimEvent = fact.event  # type: ignore[assignment]
    if isinstance(event, InsuranceClaimDrafted):
        shared = {name: getattr(event, name) for name in event.__struct_fields__ if name != "lines"}
        return InsuranceClaimRow(
            id=fact.id, status="draft", created_at=fact.recorded_at, version=fact.version, lines=[ClaimLine(**as_dict(line)) for line in event.lines], **shared)
    if row is None or isinstance(event, InsuranceClaimDiscarded):
        return None
    return settled(replace(row, version=fact.version, **changed(row, event, fact)))


def changed(row: InsuranceClaimRow, event: Any, fact: Fact) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one for each kind of event
    """Return what an event changes on a claim."""
    match event:
        case InsuranceClaimEdited():
            return {"lines": [ClaimLine(**as_dict(line)) for line in event.lines], "billed": event.billed, "claimed": event.claimed, "notes": event.notes}
        case InsuranceClaimSubmitted(number=number, submitted_on=on, via=via):
            return {"status": "submitted", "number": number, "submitted_on": on, "via": via}
        case InsuranceClaimWithdrawn():
            return {"status": "draft", "submitted_on": None, "via": None}
        case InsuranceClaimAnswered() as said:
            return {
                "status": "accepted", "answered_on": said.answered_on, "approved": said.approved, "denied": said.denied, "forwarded": said.forwarded,
                "payer_reference": said.payer_reference, "answer_note": said.note, "lines": told(row.lines, said.lines)}
        case InsuranceClaimAppealed(appealed_on=on, reason=reason):
            return {"status": "appealed", "appealed_on": on, "appeal_reason": reason}
        case InsuranceClaimAppealWithdrawn():
            return {"status": "accepted", "appealed_on": None, "appeal_reason": None}
        case InsuranceClaimPaid() as paid:
            one = ClaimPayment(id=paid.payment_id, amount=paid.amount, paid_on=paid.paid_on, payer_reference=paid.payer_reference)
            return {"payments": [*row.payments, one]}
        case InsuranceClaimPaymentReversed() as back:
            return {"payments": [replace(one, reversed=back.amount, reversed_on=back.reversed_on) if one.id == back.payment_id else one for one in row.payments]}
        case InsuranceClaimWrittenOff(amount=amount):
            return {"written_off": row.written_off + amount}
        case InsuranceClaimVoided(reason=reason):
            return {"status": "void", "void_reason": reason}
        case InsuranceClaimReplaced(by_id=by):
            return {"status": "replaced", "replaced_by_id": by}
        case InsuranceClaimReinstated(stage=stage):
            return {"status": "accepted" if stage == "answered" else stage, "replaced_by_id": None}
        case InsuranceClaimAttached() as file:
            found = Attachment(id=file.attachment_id, name=file.name, media=file.media, size=file.size, digest=file.digest, attached_at=fact.recorded_at)
            return {"attachments": [*row.attachments, found]}
        case InsuranceClaimDetached(attachment_id=attachment):
            return {"attachments": [one for one in row.attachments if one.id != attachment]}
        case InsuranceClaimReassigned(patient_id=patient):
            return {"patient_id": patient}
    raise TypeError(type(event))


def told(lines: list[ClaimLine], said: list[AnsweredLine]) -> list[ClaimLine]:
    """Return lines with what the payer says of each."""
    by_number = {one.line: one for one in said}
    return [
        replace(line, approved=one.approved, denied=line.claimed - one.approved, adjustments=one.adjustments)
        for line in lines for one in [by_number[line.line]]]


def settled(row: InsuranceClaimRow) -> InsuranceClaimRow:
    """Return a claim with what its payments come to, and what an answer makes of it."""
    if row.approved is None:
        return row
    paid = sum(one.amount - one.reversed for one in row.payments)
    parts = in_order(paid, [line.approved or 0 for line in row.lines])
    status = row.status
    if status in ANSWERED:
        status = "denied" if not row.approved else "paid" if paid >= row.approved else "accepted" if row.approved == row.claimed else "partly-approved"
    return replace(
        row, status=status, paid=paid, patient_share=max(row.billed - row.approved - row.written_off, 0), lines=[replace(line, paid=part) for line, part in zip(row.lines, parts, strict=True)])


def as_dict(line: Any) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__struct_fields__}


async def figures(reader: Reader, today: date, zone: str, currency: str) -> ClaimFigures:
    """Return claims by status and age, and what is outstanding with each payer."""
    ages = await reader.select(ClaimAge, AGES, today, zone, reader.clinic)
    order = {status: n for n, status in enumerate(get_args(ClaimStatus))}
    ages.sort(key=lambda one: (order[one.status], one.age))
    return ClaimFigures(on=today, currency=currency, ages=ages, payers=await reader.select(PayerOutstanding, PAYERS, reader.clinic))


async def of_patient(reader: Reader, patient: UUID) -> InsuranceClaims:
    """Return a patient's claims, the last one first."""
    return InsuranceClaims(items=sorted(await reader.find(InsuranceClaimEntry, patient_id=patient), key=lambda one: (one.created_at, one.id), reverse=True))


async def coverage(reader: Reader, invoice: UUID, patient: UUID | None = None) -> InvoiceCoverage:
    """Return who bears an invoice; with `patient`, one of theirs."""
    row = await reader.one(InvoiceRow, invoice)
    if row is None or patient not in {None, row.patient_id}:
        raise NotFound(kind="invoices", id=str(invoice))
    found = await reader.select(OfInvoice, OF_INVOICE, reader.clinic, invoice)
    approved = sum(one.approved for one in found if one.status in ANSWERED)
    return InvoiceCoverage(
        invoice_id=invoice, currency=row.currency, total=row.total, asked=sum(one.claimed for one in found if one.status in {"submitted", "appealed"}),
        approved=approved, credited=row.credited, written_off=row.written_off, paid_by_payers=sum(one.paid for one in found), paid=row.paid - row.refunded, due=row.due,
        patient_share=max(row.total - row.credited - row.written_off - approved, 0), claims=[one.id for one in found])
