"""What may be asked of an insurance claim, in the order of its life."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from commands.kit import Command, Creation, Decision, Look
from domain.fee_schedules import FeeSchedule, beyond_fees, fee_schedule_of
from domain.insurance_claims import (
    SERIES,
    AdjustmentGroup,
    Answer,
    AnsweredLine,
    AttachedFile,
    AttachmentId,
    ClaimAmount,
    ClaimContent,
    ClaimedLine,
    ClaimPaymentId,
    InsuranceClaim,
    InsuranceClaimDrafted,
    InvoiceClaims,
    PayerReference,
    ReasonCode,
    Via,
    WrittenOffLine,
    chosen,
    claims_of,
)
from domain.insurance_covers import InsuranceCover
from domain.insurance_payers import Payer
from domain.invoices import CREDITS, Invoice, LineAmount
from domain.kit import At, Elsewhere, Event, Forbidden, Frozen, InvoiceId, Note, Positive, Reason
from domain.kit.insurance import CoverId, InsuranceClaimId
from domain.series import Series, printed, series_of

Lines = Annotated[list[ClaimAmount], Meta(min_length=1, max_length=200)]
Answers = Annotated[list[AnsweredLine], Meta(min_length=1, max_length=200)]
WhichLines = Annotated[Lines | None, Meta(description="Lines of the invoice, and how much of each; unless said, all that no other claim asks for.")]
Submission = Annotated[Via, Meta(description="`primary-payer` if that has forwarded it: it is on record, and nothing is to be sent.")]


class OnInvoice(Frozen):
    """Rests on the invoice, and on what the claims on that ask together."""

    async def gather(self, look: Look) -> dict[str, Any]:
        return await billed_as(look, (await look.require(InsuranceClaim, look.at.id)).invoice_id)


class CreateInsuranceClaim(Creation):
    """Claim an issued invoice, or a part of it, from the payer of one of the patient's covers: make a draft, or with `submit` submit it at once."""

    state = InsuranceClaim
    permission = "billing.insurance.create"
    invoice_id: InvoiceId
    cover_id: CoverId
    lines: WhichLines = None
    treated_on: Annotated[date | None, Meta(description="The day on which the cover counts: that of the invoice unless said.")] = None
    notes: Note | None = None
    submit: bool = False
    submitted_on: date | None = None
    via: Submission = "clinic"

    async def gather(self, look: Look) -> dict[str, Any]:
        cover = await look.require(InsuranceCover, self.cover_id)
        return {
            "cover": cover, "payer": await look.require(Payer, cover.payer_id), **await billed_as(look, self.invoice_id),
            "series": await series_for(self.submitted_on, look) if self.submit else Series()}

    def decide(
        self, claim: InsuranceClaim, at: At, *, cover: InsuranceCover, payer: Payer, invoice: Invoice, together: InvoiceClaims, series: Series,
    ) -> Decision:
        invoice.ensure_issued()
        treated = self.treated_on or invoice.issued_on
        cover.ensure_valid(invoice.patient_id, treated)
        payer.ensure_in_use()
        content = claimed(at.id, invoice, together, self.lines, self.notes, cover.rank)
        drafted = claim.draft(InsuranceClaimDrafted(
            patient_id=invoice.patient_id, invoice_id=self.invoice_id, invoice_number=invoice.number, payer_id=cover.payer_id, cover_id=self.cover_id, rank=cover.rank,
            treated_on=treated, currency=invoice.currency, **content), at.today)
        return begun(claim, drafted, at, invoice, together, series, submit=self.submit, on=self.submitted_on, via=self.via)


class ReplaceInsuranceClaim(Creation):
    """Draft a claim in the stead of one that was submitted; once it is submitted itself, that one asks for nothing any more.

    There may be several drafts, of which one can be submitted. Nothing may be paid on the claim that is replaced.
    """

    state = InsuranceClaim
    permission = "billing.insurance.create"
    replaces_id: InsuranceClaimId
    lines: WhichLines = None
    notes: Note | None = None
    submit: bool = False
    submitted_on: date | None = None
    via: Submission = "clinic"

    async def gather(self, look: Look) -> dict[str, Any]:
        original = await look.require(InsuranceClaim, self.replaces_id)
        return {
            "original": original, **await billed_as(look, original.invoice_id),
            "series": await series_for(self.submitted_on, look) if self.submit else Series()}

    def decide(self, claim: InsuranceClaim, at: At, *, original: InsuranceClaim, invoice: Invoice, together: InvoiceClaims, series: Series) -> Decision:
        invoice.ensure_issued()
        original.ensure_replaceable(paid_of(original, invoice))
        content = claimed(at.id, invoice, together, self.lines, self.notes, original.rank, instead=self.replaces_id)
        drafted = claim.draft(InsuranceClaimDrafted(
            patient_id=original.patient_id, invoice_id=original.invoice_id, invoice_number=invoice.number, payer_id=original.payer_id, cover_id=original.cover_id,
            rank=original.rank, treated_on=original.treated_on, currency=invoice.currency, replaces_id=self.replaces_id, **content), at.today)
        return begun(claim, drafted, at, invoice, together, series, original=original, submit=self.submit, on=self.submitted_on, via=self.via)


class SubmitInsuranceClaim(Command):
    """Submit a draft under the next number of its year; submitted again after it was withdrawn, it keeps its number."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    submitted_on: date | None = None
    via: Submission = "clinic"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await to_submit(look, self.submitted_on)

    def decide(
        self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims, original: InsuranceClaim | None, series: Series,
    ) -> Decision:
        return submitted(claim, at, invoice, together, series, original=original, on=self.submitted_on, via=self.via)


class WithdrawInsuranceClaim(Command):
    """Take back a submission that is not answered, which is a draft again, or an appeal: then the payer's answer stands again."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await with_original(look)

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims, original: InsuranceClaim | None) -> Decision:
        return withdrawn(claim, at, invoice, together, original)


class AnswerInsuranceClaim(OnInvoice, Command):
    """Note what the payer says of each line. Said anew, it corrects what was noted before.

    What is not approved is explained by adjustments that come to it to the last unit. It changes no balance: the patient's share stays due, and nothing is written off.
    """

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    lines: Answers
    answered_on: date | None = None
    forwarded: bool = False
    payer_reference: PayerReference | None = None
    note: Note | None = None

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims) -> Decision:
        said = Answer(lines=self.lines, forwarded=self.forwarded, payer_reference=self.payer_reference, note=self.note)
        return answered(claim, at, invoice, together, said, self.answered_on)


class AcceptInsuranceClaim(OnInvoice, Command):
    """Note that the payer approves all that is claimed."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    answered_on: date | None = None
    forwarded: bool = False
    payer_reference: PayerReference | None = None
    note: Note | None = None

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims) -> Decision:
        said = Answer(lines=claim.in_full(), forwarded=self.forwarded, payer_reference=self.payer_reference, note=self.note)
        return answered(claim, at, invoice, together, said, self.answered_on)


class DenyInsuranceClaim(OnInvoice, Command):
    """Note that the payer approves nothing, for one reason. It changes no balance: nothing is written off, and the invoice is due as it was."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    code: ReasonCode
    group: AdjustmentGroup = "PI"
    answered_on: date | None = None
    payer_reference: PayerReference | None = None
    note: Note | None = None

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims) -> Decision:
        said = Answer(lines=claim.in_vain(self.group, self.code), payer_reference=self.payer_reference, note=self.note)
        return answered(claim, at, invoice, together, said, self.answered_on)


class AppealInsuranceClaim(OnInvoice, Command):
    """Ask the payer again for what it has not approved. What it has paid meanwhile stays paid."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    reason: Reason
    appealed_on: date | None = None

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims) -> Decision:
        return held(claim, claim.appeal(self.reason, self.appealed_on or at.today, at.today), at, invoice, together)


class PayInsuranceClaim(Command):
    """Record the payer's money: a payment on the invoice by the method `insurance`, stored with the claim or not at all.

    All that is approved and not paid unless an amount is said; never more than that, and never more than is due on the invoice.
    """

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    amount: Positive | None = None
    paid_on: date | None = None
    payer_reference: PayerReference | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"invoice": await look.require(Invoice, (await look.require(InsuranceClaim, look.at.id)).invoice_id)}

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice) -> Decision:
        ensure_may(at, "billing.payments.record")
        paid, on = paid_of(claim, invoice), self.paid_on or at.today
        amount = max(claim.approved - paid, 1) if self.amount is None else self.amount
        payment = invoice.next_payment(claim.invoice_id)
        events = claim.pay(payment, amount, on, paid, self.payer_reference)
        wanted = [LineAmount(line=line, amount=part) for line, part in claim.spread(amount, lying(claim, invoice), dict(enumerate(invoice.dues, 1))).items()]
        paying = invoice.pay(payment, amount, "insurance", on, at.today, wanted if sum(one.amount for one in wanted) == amount else None)
        return [*events, Elsewhere(state=Invoice, id=claim.invoice_id, events=paying)]


class ReverseInsurancePayment(Command):
    """Have one of the payer's payments not have been, which was recorded by mistake; or, `returned`, give back what is left of it. The invoice is due again by that much."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    payment_id: ClaimPaymentId
    reason: Reason
    returned: bool = False
    reversed_on: date | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"invoice": await look.require(Invoice, (await look.require(InsuranceClaim, look.at.id)).invoice_id)}

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice) -> Decision:
        ensure_may(at, "billing.payments.refund")
        payment, on = invoice.payments.get(self.payment_id), self.reversed_on or at.today
        left = payment.amount if payment else 0
        events = claim.reverse(self.payment_id, left, self.reason, on, returned=self.returned)
        undone = invoice.refund(
            invoice.next_refund(claim.invoice_id), self.payment_id, left, reason=self.reason, method=None, on=on, today=at.today,
        ) if self.returned else invoice.reverse(self.payment_id, self.reason, on, at.today)
        return [*events, Elsewhere(state=Invoice, id=claim.invoice_id, events=undone)]


class WriteOffInsuranceClaim(Command):
    """Write off what the invoice bills beyond the payer's fees, as the clinic has agreed with it, on lines of which the payer has approved something.

    Nothing happens unless `amount` is what it comes to. What the payer has denied is never written off, nor what it or another payer is still asked or is to pay.
    """

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    amount: Positive | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        claim = await look.require(InsuranceClaim, look.at.id)
        return {
            **await billed_as(look, claim.invoice_id), "payer": await look.require(Payer, claim.payer_id),
            "fees": await look.load(FeeSchedule, fee_schedule_of(claim.payer_id)),
            "series": await look.load(Series, series_of(look.at.clinic, CREDITS["write-off"], look.at.today.year))}

    def decide(
        self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims, payer: Payer, fees: FeeSchedule, series: Series,
    ) -> Decision:
        ensure_may(at, "billing.invoices.write_off")
        claim.ensure_may_write_off(agreed=payer.contractual)
        lines, note = beyond(claim, invoice, together, fees), invoice.next_credit_note(claim.invoice_id)
        noted = claim.write_off(lines, self.amount, note, at.today)
        kind, year = CREDITS["write-off"], at.today.year
        allotted = series.allot(kind, year)
        off = invoice.credit(
            note, printed(year, allotted.number), None, [LineAmount(line=line.line, amount=line.amount) for line in lines], cause="write-off",
            reason=f"Beyond the payer's fees: insurance claim {claim.number}.", on=at.today, today=at.today)
        return [*noted, Elsewhere(state=Invoice, id=claim.invoice_id, events=off), Elsewhere(state=Series, id=series_of(at.clinic, kind, year), events=[allotted])]


class VoidInsuranceClaim(OnInvoice, Command):
    """Take back a claim altogether, of which nothing is paid; its number stays in the books."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    reason: Reason

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims) -> Decision:
        return held(claim, claim.void(self.reason, paid_of(claim, invoice), at.today), at, invoice, together)


class DeleteInsuranceClaim(OnInvoice, Command):
    """Discard a draft that never had a number; any other claim of which nothing is paid is voided instead."""

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    reason: Reason = "Deleted."

    def decide(self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims) -> Decision:
        return held(claim, claim.delete(self.reason, paid_of(claim, invoice), at.today), at, invoice, together)


class UpdateInsuranceClaim(Command):
    """Change a draft's lines and notes, or where a claim stands, as by one form.

    Statuses: `submitted`, `accepted`, `denied` (with `code`), `appealed` and `void` (with `reason`), `draft` to withdraw. What the payer says line by line has an address of its own, and so have its payments.
    """

    state = InsuranceClaim
    permission = "billing.insurance.edit"
    lines: Lines | None = None
    notes: Note | UnsetType | None = UNSET
    status: Literal["draft", "submitted", "accepted", "denied", "appealed", "void"] | None = None
    on: Annotated[date | None, Meta(description="Since when it stands so; today unless said.")] = None
    reason: Reason = "Not said."
    code: ReasonCode | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        row = await look.row(InsuranceClaim, look.at.id)
        return {**await to_submit(look, self.on), "noted": getattr(row, "notes", None)}

    def decide(
        self, claim: InsuranceClaim, at: At, *, invoice: Invoice, together: InvoiceClaims, original: InsuranceClaim | None, series: Series, noted: str | None,
    ) -> Decision:
        edited: list[Any] = []
        if self.lines is not None or self.notes is not UNSET:
            claim.ensure_draft()
            wanted = self.lines or [ClaimAmount(line=line.line, amount=line.claimed) for line in claim.lines]
            notes = noted if self.notes is UNSET else self.notes
            content = claimed(at.id, invoice, together, wanted, notes, claim.rank, instead=claim.replaces_id)
            edited = claim.edit(ClaimContent(**content))
            claim = claim.after(edited)
        return [*edited, *self.stands(claim, at, invoice, together, original, series)]

    def stands(  # noqa: PLR0911 - one for each status
        self, claim: InsuranceClaim, at: At, invoice: Invoice, together: InvoiceClaims, original: InsuranceClaim | None, series: Series,
    ) -> Decision:
        """Return what makes it stand as it is said to."""
        match self.status:
            case "submitted":
                return submitted(claim, at, invoice, together, series, original=original, on=self.on, via="clinic")
            case "draft":
                return withdrawn(claim, at, invoice, together, original)
            case "accepted":
                return answered(claim, at, invoice, together, Answer(lines=claim.in_full()), self.on)
            case "denied":
                return answered(claim, at, invoice, together, Answer(lines=claim.in_vain("PI", self.code or UNSAID)), self.on)
            case "appealed":
                return held(claim, claim.appeal(self.reason, self.on or at.today, at.today), at, invoice, together)
            case "void":
                return held(claim, claim.void(self.reason, paid_of(claim, invoice), at.today), at, invoice, together)
        return []


class AttachToInsuranceClaim(Command, AttachedFile):
    """Attach a file that is kept already."""

    state = InsuranceClaim
    permission = "billing.insurance.manage_attachments"

    def decide(self, claim: InsuranceClaim, at: At) -> list[Event]:
        return claim.attach(self)


class DetachFromInsuranceClaim(Command):
    """Remove a file from a claim."""

    state = InsuranceClaim
    permission = "billing.insurance.manage_attachments"
    attachment_id: AttachmentId

    def decide(self, claim: InsuranceClaim, at: At) -> list[Event]:
        return claim.detach(self.attachment_id)


UNSAID = "A1"  # claim adjustment reason code: denied, without more


async def billed_as(look: Look, invoice: UUID) -> dict[str, Any]:
    """Return an invoice, and what the claims on it ask together."""
    return {"invoice": await look.require(Invoice, invoice), "together": await look.load(InvoiceClaims, claims_of(invoice))}


async def with_original(look: Look) -> dict[str, Any]:
    """Return the same, and the claim that the one in hand replaces."""
    claim = await look.require(InsuranceClaim, look.at.id)
    original = await look.require(InsuranceClaim, claim.replaces_id) if claim.replaces_id else None
    return {**await billed_as(look, claim.invoice_id), "original": original}


async def to_submit(look: Look, on: date | None) -> dict[str, Any]:
    """Return what submitting needs: the series only if it takes a number."""
    claim = await look.require(InsuranceClaim, look.at.id)
    return {**await with_original(look), "series": Series() if claim.number else await series_for(on, look)}


async def series_for(on: date | None, look: Look) -> Series:
    return await look.load(Series, series_of(look.at.clinic, SERIES, (on or look.at.today).year))


def billed(invoice: Invoice) -> dict[int, int]:
    """Return what is billed on each line, and was neither credited nor written off."""
    return {line.no: line.total - off for line, off in zip(invoice.lines, invoice.credited, strict=True)}


def paid_of(claim: InsuranceClaim, invoice: Invoice) -> int:
    """Return what the payer has paid, and was not given back: the invoice knows."""
    return sum(invoice.payments[payment].kept for payment in claim.payments if payment in invoice.payments)


def lying(claim: InsuranceClaim, invoice: Invoice) -> dict[int, int]:
    """Return what of the payer's money lies on each line."""
    return {line.no: sum(invoice.payments[payment].left.get(line.no, 0) for payment in claim.payments) for line in invoice.lines}


def beyond(claim: InsuranceClaim, invoice: Invoice, together: InvoiceClaims, fees: FeeSchedule) -> list[WrittenOffLine]:
    """Return what is billed beyond the payer's fees on the lines of which it has approved something, as far as it is due and no payer is to pay it."""
    billed_lines = {line.no: line for line in invoice.lines}
    ours = [billed_lines[line] for line, approved in (claim.answer or {}).items() if approved]
    agreed = {line.no: line.quantity * fee.price for line in ours if (fee := fees.on(line.procedure_code, claim.treated_on)) is not None}
    over = beyond_fees({line.no: (line.net, line.total) for line in ours}, agreed)
    found = []
    for no, amount in sorted(over.items()):
        covered = sum(payment.left.get(no, 0) for payment in invoice.payments.values() if payment.method == "insurance")
        left = min(amount, invoice.dues[no - 1] - max(0, together.on(no) - covered))
        if left > 0:
            total = billed_lines[no].total
            found.append(WrittenOffLine(line=no, billed=total, allowed=total - amount, amount=left))
    return found


def claimed(
    claim: UUID, invoice: Invoice, together: InvoiceClaims, wanted: Sequence[ClaimAmount] | None, notes: str | None, rank: Any, *, instead: UUID | None = None,
) -> dict[str, Any]:
    """Return what a claim asks; refuse beforehand what could not be submitted as things stand."""
    but = {claim, instead} if instead else {claim}
    totals = billed(invoice)
    lines: list[ClaimedLine] = chosen(invoice.lines, totals, wanted, {line: total - together.on(line, but) for line, total in totals.items()})
    together.hold(claim, {line.line: line.claimed for line in lines}, totals, rank, instead=instead)
    return {"lines": lines, "billed": sum(line.billed for line in lines), "claimed": sum(line.claimed for line in lines), "notes": notes}


def begun(
    claim: InsuranceClaim, drafted: list[Event], at: At, invoice: Invoice, together: InvoiceClaims, series: Series, *,
    original: InsuranceClaim | None = None, submit: bool, on: date | None, via: Via,
) -> Decision:
    """Return a draft, submitted at once if that is asked for."""
    if not submit:
        return [*drafted]
    return [*drafted, *submitted(claim.after(drafted), at, invoice, together, series, original=original, on=on, via=via)]


def submitted(
    claim: InsuranceClaim, at: At, invoice: Invoice, together: InvoiceClaims, series: Series, *, original: InsuranceClaim | None, on: date | None, via: Via,
) -> Decision:
    """Return the submission of a claim and, stored with it or not at all, its number, what it asks of the invoice, and the end of the one that it replaces."""
    invoice.ensure_issued()
    day = on or at.today
    allotted = None if claim.number else series.allot(SERIES, day.year)
    events = claim.submit(printed(day.year, allotted.number) if allotted else "", day, via, at.today)
    if claim.rank == "secondary" and via == "clinic":
        together.ensure_unforwarded()
    decided = held(claim, events, at, invoice, together, instead=claim.replaces_id)
    if original is not None and claim.replaces_id is not None:
        decided.append(Elsewhere(state=InsuranceClaim, id=claim.replaces_id, events=original.give_way(at.id, paid_of(original, invoice))))
    if allotted is not None:
        decided.append(Elsewhere(state=Series, id=series_of(at.clinic, SERIES, day.year), events=[allotted]))
    return decided


def withdrawn(claim: InsuranceClaim, at: At, invoice: Invoice, together: InvoiceClaims, original: InsuranceClaim | None) -> Decision:
    """Return what takes a submission or an appeal back; what was replaced stands again."""
    events = claim.withdraw()
    now = claim.after(events)
    if original is None or claim.replaces_id is None or now.stage != "draft":
        return held(claim, events, at, invoice, together)
    back = original.come_back()
    stands = original.after(back)
    asked = together.hold(claim.replaces_id, stands.asked, billed(invoice), stands.rank, instead=at.id, forwarded=stands.forwarding)
    return [*events, Elsewhere(state=InsuranceClaim, id=claim.replaces_id, events=back), *elsewhere(claim, asked)]


def answered(claim: InsuranceClaim, at: At, invoice: Invoice, together: InvoiceClaims, said: Answer, on: date | None) -> Decision:
    return held(claim, claim.answered(said, on or at.today, paid_of(claim, invoice), at.today), at, invoice, together)


def held(claim: InsuranceClaim, events: list[Event], at: At, invoice: Invoice, together: InvoiceClaims, *, instead: UUID | None = None) -> Decision:
    """Return events of a claim and, stored with them or not at all, what it asks of its invoice after them."""
    now = claim.after(events)
    return [*events, *elsewhere(claim, together.hold(at.id, now.asked, billed(invoice), now.rank, instead=instead, forwarded=now.forwarding))]


def elsewhere(claim: InsuranceClaim, asked: list[Event]) -> list[Elsewhere]:
    return [Elsewhere(state=InvoiceClaims, id=claims_of(claim.invoice_id), events=asked)] if asked else []


def ensure_may(at: At, permission: str) -> None:
    """Refuse whoever may not move money."""
    if not at.may(permission):
        raise Forbidden(permission=permission)
