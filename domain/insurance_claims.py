"""Insurance claims: an insurer is asked to bear an invoice, or a part of it, answers line by line, and pays; what it denies changes no balance by itself."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field, to_builtins
from msgspec.structs import replace

from domain.kit import (
    PLATFORM,
    Event,
    Frozen,
    Invalid,
    InvoiceId,
    Money,
    Note,
    NotFound,
    PatientId,
    Personal,
    Positive,
    Reason,
    Refused,
    State,
    Text,
)
from domain.kit.bills import EARLIEST, BilledLine, ProcedureCode, ensure_past
from domain.kit.insurance import CoverId, InsuranceClaimId, PayerId, Rank

Stage = Literal["none", "draft", "submitted", "answered", "appealed", "void", "replaced", "discarded"]
ClaimStatus = Literal["draft", "submitted", "accepted", "partly-approved", "denied", "appealed", "paid", "void", "replaced"]
"""`accepted`: all that is claimed is approved. `paid`: all that is approved has been paid. `replaced`: another claim was submitted in its stead."""
Via = Literal["clinic", "primary-payer"]
"""Who sends a claim: the clinic, or the primary payer, which forwards to the secondary one what it does not bear."""
AdjustmentGroup = Literal["CO", "PR", "OA", "PI"]
"""Who bears what is not approved: CO the clinic, by contract; PR the patient; OA others; PI the payer says the clinic."""
ReasonCode = Annotated[str, Meta(
    pattern=r"^[A-Z]{0,2}[0-9]{1,4}$", description="Why it is not approved: a claim adjustment reason code, or the payer's own.", examples=["45"])]
LineNumber = Annotated[int, Meta(ge=1, description="Number of one of the invoice's lines.")]
PayerReference = Annotated[str, Meta(min_length=1, max_length=60, description="What the payer's answer or payment calls itself.", examples=["ERA-2026-118"])]
ClaimPaymentId = Annotated[UUID, Meta(description="Id of one of the payments that the payer has made on the claim.")]
AttachmentId = Annotated[UUID, Meta(description="Id of one of the claim's attachments.")]

SERIES = "insurance-claims"
MOST_ATTACHMENTS = 50
FileMedia = Literal["application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp"]


class ClaimAmount(Frozen):
    """How much of one line of the invoice is claimed."""

    line: LineNumber
    amount: Positive


class ClaimedLine(Frozen):
    """What a claim asks of a line, of what is billed there."""

    line: LineNumber
    description: Text
    procedure_code: ProcedureCode | None = None
    billed: Money
    claimed: Money


class Adjustment(Frozen):
    """A part of what is claimed that is not approved, and why."""

    group: AdjustmentGroup
    code: ReasonCode
    amount: Positive


class AnsweredLine(Frozen):
    """What a payer says of a line: adjustments say why what is claimed beyond the approved amount is not approved, to the last unit."""

    line: LineNumber
    approved: Money
    adjustments: Annotated[list[Adjustment], Meta(max_length=20)] = field(default_factory=list)


class WrittenOffLine(Frozen):
    """What is billed beyond the payer's fee on a line."""

    line: LineNumber
    billed: Money
    allowed: Money
    amount: Positive


class Answer(Frozen):
    """What a payer says."""

    lines: list[AnsweredLine]
    forwarded: Annotated[bool, Meta(description="Whether the payer has forwarded the rest to the secondary one itself.")] = False
    payer_reference: PayerReference | None = None
    note: Annotated[Note | None, Personal("patient_id")] = None


class AttachedFile(Frozen):
    """A file: what it is was read off its bytes."""

    attachment_id: AttachmentId
    name: Annotated[Text | None, Personal("patient_id")] = None
    media: FileMedia
    size: int
    digest: Annotated[str, Meta(description="SHA-256 of its bytes.")]


class ClaimContent(Frozen):
    """What is claimed."""

    lines: list[ClaimedLine]
    billed: Money
    claimed: Money
    notes: Annotated[Note | None, Personal("patient_id")] = None


class InsuranceClaimDrafted(ClaimContent, Event):
    patient_id: PatientId
    invoice_id: InvoiceId
    invoice_number: str
    payer_id: PayerId
    cover_id: CoverId
    rank: Rank
    treated_on: date
    currency: str
    replaces_id: InsuranceClaimId | None = None


class InsuranceClaimEdited(ClaimContent, Event):
    patient_id: PatientId


class InsuranceClaimDiscarded(Event): ...


class InsuranceClaimSubmitted(Event):
    patient_id: PatientId
    number: str
    submitted_on: date
    via: Via
    payer_id: PayerId
    claimed: Money


class InsuranceClaimWithdrawn(Event):
    """Before the payer had answered: it is a draft again, and keeps its number."""

    patient_id: PatientId


class InsuranceClaimAnswered(Answer, Event):
    patient_id: PatientId
    payer_id: PayerId
    answered_on: date
    approved: Money
    denied: Money


class InsuranceClaimAppealed(Event):
    patient_id: PatientId
    appealed_on: date
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class InsuranceClaimAppealWithdrawn(Event):
    """What the payer had answered stands again."""

    patient_id: PatientId


class InsuranceClaimPaid(Event):
    """The payer's money is a payment on the invoice, which was saved with this or not at all."""

    patient_id: PatientId
    payer_id: PayerId
    invoice_id: InvoiceId
    payment_id: ClaimPaymentId
    amount: Money
    paid_on: date
    payer_reference: PayerReference | None = None


class InsuranceClaimPaymentReversed(Event):
    """It had been recorded by mistake, or went back to the payer: a reversal or a refund on the invoice, saved with this or not at all."""

    patient_id: PatientId
    payer_id: PayerId
    invoice_id: InvoiceId
    payment_id: ClaimPaymentId
    amount: Money
    returned: bool
    reversed_on: date
    reason: Reason


class InsuranceClaimVoided(Event):
    patient_id: PatientId
    payer_id: PayerId
    voided_on: date
    reason: Reason


class InsuranceClaimReplaced(Event):
    """Another claim was submitted in its stead."""

    patient_id: PatientId
    by_id: InsuranceClaimId


class InsuranceClaimReinstated(Event):
    """What was submitted in its stead was withdrawn: it stands again as it stood."""

    patient_id: PatientId
    stage: Literal["submitted", "answered", "appealed"]


class InsuranceClaimWrittenOff(Event):
    """What is billed beyond the payer's fees is not asked of anybody: a write-off on the invoice, saved with this or not at all."""

    patient_id: PatientId
    payer_id: PayerId
    invoice_id: InvoiceId
    credit_note_id: Annotated[UUID, Meta(description="Id of the write-off on the invoice.")]
    written_off_on: date
    amount: Money
    lines: list[WrittenOffLine]


class InsuranceClaimAttached(AttachedFile, Event):
    patient_id: PatientId


class InsuranceClaimDetached(Event):
    patient_id: PatientId
    attachment_id: AttachmentId


class InsuranceClaimReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


InsuranceClaimEvent = (
    InsuranceClaimDrafted | InsuranceClaimEdited | InsuranceClaimDiscarded | InsuranceClaimSubmitted | InsuranceClaimWithdrawn | InsuranceClaimAnswered
    | InsuranceClaimAppealed | InsuranceClaimAppealWithdrawn | InsuranceClaimPaid | InsuranceClaimPaymentReversed | InsuranceClaimVoided
    | InsuranceClaimReplaced | InsuranceClaimReinstated | InsuranceClaimWrittenOff | InsuranceClaimAttached | InsuranceClaimDetached | InsuranceClaimReassigned
)


class InvoiceClaimed(Event):
    """What a claim asks of an invoice from now on, or has been promised of it, line by line: nothing, once it asks no more."""

    claim_id: InsuranceClaimId
    lines: list[ClaimAmount]
    rank: Rank
    forwarded: bool = False


class ClaimLinesUnclear(Invalid):
    """A claim names lines of its invoice, each once, with an amount above zero."""


class ClaimedBeyondBill(Refused):
    """All claims together would ask for more of a line than is billed there. `details` say what is left of it."""


class ClaimNotDraft(Refused):
    """Only a draft can be edited or submitted; withdraw the claim first, void it, or submit a replacement."""


class ClaimNotSubmitted(Refused):
    """The payer has not been sent that claim, or it asks for nothing any more."""


class ClaimAnsweredAlready(Refused):
    """The payer has answered. Void the claim, or submit a replacement."""


class ClaimNotAnswered(Refused):
    """The payer has not approved anything of that claim."""


class ClaimNotAppealable(Refused):
    """Only what was denied, as a whole or in part, can be appealed."""


class ClaimReplacedAlready(Refused):
    """Another claim was submitted in its stead. A replacement can be replaced itself."""


class ClaimNotReplaceable(Refused):
    """Only a claim that was submitted, and of which nothing is paid, can be replaced."""


class ClaimForwarded(Refused):
    """The primary payer has forwarded the claim to the secondary one itself. Submit it with `via` `primary-payer`, which sends nothing."""


class ClaimPartlyPaid(Refused):
    """Reverse the payer's payments first."""


class ClaimPaymentTooLarge(Refused):
    """A payer pays what it has approved, at most. Correct the answer first, if it has approved more."""


class ClaimPaymentNotFound(NotFound):
    """The payer has made no such payment on that claim."""


class ClaimPaymentReversedAlready(Refused):
    """Nothing is left of that payment."""


class AnswerUnclear(Invalid):
    """An answer tells of every line of the claim, once, and approves no more than is claimed there."""


class AnswerUnbalanced(Invalid):
    """Adjustments come to what is claimed and not approved, line by line, to the last unit."""


class ApprovedBelowPaid(Refused):
    """The payer has paid more than that. Reverse the payment first."""


class WriteOffNotAgreed(Refused):
    """The clinic has agreed to no such rule with that payer. A payer's `writeOff` says whether it has."""


class WrittenOffAlready(Refused):
    """What is beyond the payer's fees on that claim was written off before."""


class NothingToWriteOff(Refused):
    """Nothing of what is due is beyond the payer's fees, on lines of which it has approved something."""


class WriteOffUnconfirmed(Refused):
    """Say as `amount` what is to be written off; `details` say what it comes to."""


class AttachmentNotFound(NotFound):
    """That claim has no such attachment."""


class TooManyAttachments(Refused):
    """A claim has at most 50 attachments."""


class InvoiceClaims(State):
    """What the claims of one invoice ask of its lines together: never more than is billed."""

    kind: ClassVar[str] = "invoice_claims"
    asked: dict[UUID, dict[int, Money]] = field(default_factory=dict)
    forwarded: frozenset[UUID] = frozenset()  # primary claims that went on to the secondary payer by themselves

    def evolve(self, event: InvoiceClaimed) -> Self:
        asked = {**self.asked, event.claim_id: {one.line: one.amount for one in event.lines}}
        forwarded = self.forwarded | {event.claim_id} if event.forwarded and event.rank == "primary" else self.forwarded - {event.claim_id}
        return replace(self, asked={claim: lines for claim, lines in asked.items() if lines}, forwarded=forwarded)

    def on(self, line: int, but: Iterable[UUID] = ()) -> int:
        """Return what claims ask of a line, except some."""
        return sum(lines.get(line, 0) for claim, lines in self.asked.items() if claim not in but)

    def hold(self, claim: UUID, lines: Mapping[int, int], billed: Mapping[int, int], rank: Rank, *, instead: UUID | None = None, forwarded: bool = False) -> list[Event]:
        """Ask so much of the lines for a claim, and no more for the one that it replaces."""
        for line, amount in lines.items():
            left = billed.get(line, 0) - self.on(line, {claim, instead} if instead else {claim})
            if amount > max(left, self.asked.get(claim, {}).get(line, 0)):  # a credit note since leaves what was asked as it is
                raise ClaimedBeyondBill(line=line, left=max(left, 0))
        wanted = [ClaimAmount(line=line, amount=amount) for line, amount in sorted(lines.items()) if amount]
        let_go: list[Event] = [InvoiceClaimed(claim_id=instead, lines=[], rank=rank)] if instead and instead in self.asked else []
        same = {one.line: one.amount for one in wanted} == self.asked.get(claim, {}) and (claim in self.forwarded) == (forwarded and rank == "primary")
        return let_go if same else [*let_go, InvoiceClaimed(claim_id=claim, lines=wanted, rank=rank, forwarded=forwarded)]

    def ensure_unforwarded(self) -> None:
        if self.forwarded:
            raise ClaimForwarded


class InsuranceClaim(State):
    kind: ClassVar[str] = "insurance_claims"
    stage: Stage = "none"
    was: Literal["none", "submitted", "answered", "appealed"] = "none"  # before it was replaced
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it was drafted, whoever's it is now
    invoice_id: UUID = PLATFORM
    payer_id: UUID = PLATFORM
    cover_id: UUID = PLATFORM
    rank: Rank = "primary"
    treated_on: date = date.min
    currency: str = ""
    number: str = ""
    submitted_on: date = date.min
    lines: tuple[ClaimedLine, ...] = ()
    answer: dict[int, Money] | None = None  # approved of each line
    forwarded: bool = False
    replaces_id: UUID | None = None
    replaced_by: UUID | None = None
    payments: tuple[UUID, ...] = ()
    written_off: bool = False
    attachments: frozenset[UUID] = frozenset()

    def evolve(self, event: InsuranceClaimEvent) -> Self:  # noqa: C901, PLR0911, PLR0912 - one for each kind of event
        match event:
            case InsuranceClaimDrafted():
                return replace(
                    self, stage="draft", patient_id=event.patient_id, record=event.patient_id, invoice_id=event.invoice_id, payer_id=event.payer_id,
                    cover_id=event.cover_id, rank=event.rank, treated_on=event.treated_on, currency=event.currency, lines=tuple(event.lines), replaces_id=event.replaces_id)
            case InsuranceClaimEdited(lines=lines):
                return replace(self, lines=tuple(lines))
            case InsuranceClaimDiscarded():
                return replace(self, stage="discarded")
            case InsuranceClaimSubmitted(number=number, submitted_on=on):
                return replace(self, stage="submitted", number=number, submitted_on=on)
            case InsuranceClaimWithdrawn():
                return replace(self, stage="draft")
            case InsuranceClaimAnswered(lines=lines, forwarded=forwarded):
                return replace(self, stage="answered", answer={one.line: one.approved for one in lines}, forwarded=forwarded)
            case InsuranceClaimAppealed():
                return replace(self, stage="appealed")
            case InsuranceClaimAppealWithdrawn():
                return replace(self, stage="answered")
            case InsuranceClaimPaid(payment_id=payment):
                return replace(self, payments=(*self.payments, payment))
            case InsuranceClaimPaymentReversed():
                return self
            case InsuranceClaimVoided():
                return replace(self, stage="void")
            case InsuranceClaimReplaced(by_id=by):
                return replace(self, stage="replaced", was=self.stage if self.stage in ("submitted", "answered", "appealed") else "none", replaced_by=by)
            case InsuranceClaimReinstated(stage=stage):
                return replace(self, stage=stage, was="none", replaced_by=None)
            case InsuranceClaimWrittenOff():
                return replace(self, written_off=True)
            case InsuranceClaimAttached(attachment_id=attachment):
                return replace(self, attachments=self.attachments | {attachment})
            case InsuranceClaimDetached(attachment_id=attachment):
                return replace(self, attachments=self.attachments - {attachment})
            case InsuranceClaimReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def after(self, events: Iterable[Any]) -> Self:
        """Return the claim as it is after some more events."""
        return reduce(type(self).evolve, events, self)

    @property
    def claimed(self) -> int:
        return sum(line.claimed for line in self.lines)

    @property
    def approved(self) -> int:
        return sum((self.answer or {}).values())

    @property
    def forwarding(self) -> bool:
        """Whether the payer has said that it forwards the rest."""
        return self.stage == "answered" and self.forwarded

    @property
    def asked(self) -> dict[int, int]:
        """What it asks of each line, or has been promised there, as it stands."""
        match self.stage:
            case "submitted" | "appealed":
                return {line.line: line.claimed for line in self.lines}
            case "answered":
                return {line: amount for line, amount in (self.answer or {}).items() if amount}
        return {}

    def draft(self, drafted: InsuranceClaimDrafted, today: date) -> list[Event]:
        ensure_past(drafted.treated_on, today, EARLIEST)
        return [drafted]

    def edit(self, content: ClaimContent) -> list[Event]:
        self.ensure_draft()
        return [InsuranceClaimEdited(
            patient_id=self.patient_id, lines=content.lines, billed=content.billed, claimed=content.claimed, notes=content.notes)]

    def discard(self) -> list[Event]:
        self.ensure_draft()
        return [InsuranceClaimDiscarded()]

    def submit(self, number: str, on: date, via: Via, today: date) -> list[Event]:
        self.ensure_draft()
        ensure_past(on, today, self.treated_on)
        return [InsuranceClaimSubmitted(
            patient_id=self.patient_id, number=self.number or number, submitted_on=on, via=via, payer_id=self.payer_id, claimed=self.claimed)]

    def withdraw(self) -> list[Event]:
        """Take a submission back before it is answered, or an appeal."""
        self.ensure_open()
        if self.stage == "answered":
            raise ClaimAnsweredAlready
        if self.stage == "appealed":
            return [InsuranceClaimAppealWithdrawn(patient_id=self.patient_id)]
        return [InsuranceClaimWithdrawn(patient_id=self.patient_id)]

    def answered(self, answer: Answer, on: date, paid: int, today: date) -> list[Event]:
        """Note what the payer says; said anew, it corrects what was noted before."""
        self.ensure_open()
        ensure_past(on, today, self.submitted_on)
        ensure_answers(self.lines, answer.lines)
        approved = sum(line.approved for line in answer.lines)
        if approved < paid:
            raise ApprovedBelowPaid(paid=paid)
        return [InsuranceClaimAnswered(
            patient_id=self.patient_id, payer_id=self.payer_id, answered_on=on, lines=answer.lines, approved=approved, denied=self.claimed - approved,
            forwarded=answer.forwarded, payer_reference=answer.payer_reference, note=answer.note)]

    def in_full(self) -> list[AnsweredLine]:
        """Return the answer that approves everything."""
        return [AnsweredLine(line=line.line, approved=line.claimed) for line in self.lines]

    def in_vain(self, group: AdjustmentGroup, code: str) -> list[AnsweredLine]:
        """Return the answer that approves nothing, for one reason."""
        return [AnsweredLine(line=line.line, approved=0, adjustments=[Adjustment(group=group, code=code, amount=line.claimed)]) for line in self.lines]

    def appeal(self, reason: str, on: date, today: date) -> list[Event]:
        self.ensure_open()
        if self.stage != "answered" or self.approved == self.claimed:
            raise ClaimNotAppealable
        ensure_past(on, today, self.submitted_on)
        return [InsuranceClaimAppealed(patient_id=self.patient_id, appealed_on=on, reason=reason)]

    def pay(self, payment_id: UUID, amount: int, on: date, paid: int, reference: str | None) -> list[Event]:
        """Note the payer's payment; `paid` is what is left of those before."""
        self.ensure_open()
        if not self.approved:
            raise ClaimNotAnswered
        if amount > self.approved - paid:
            raise ClaimPaymentTooLarge(left=max(self.approved - paid, 0))
        return [InsuranceClaimPaid(
            patient_id=self.patient_id, payer_id=self.payer_id, invoice_id=self.invoice_id, payment_id=payment_id, amount=amount, paid_on=on,
            payer_reference=reference)]

    def spread(self, amount: int, lying: Mapping[int, int], dues: Mapping[int, int]) -> dict[int, int]:
        """Return on which lines the payer's money goes: on those that it has approved, as far as they are due."""
        lines = sorted(self.answer or {})
        room = [max(0, min((self.answer or {})[line] - lying.get(line, 0), dues[line])) for line in lines]
        return {line: part for line, part in zip(lines, in_order(amount, room), strict=True) if part}

    def reverse(self, payment_id: UUID, left: int, reason: str, on: date, *, returned: bool) -> list[Event]:
        """Note that a payment never was, or that what is left of it goes back."""
        self.ensure_there()
        if payment_id not in self.payments:
            raise ClaimPaymentNotFound(paymentId=str(payment_id))
        if not left:
            raise ClaimPaymentReversedAlready
        return [InsuranceClaimPaymentReversed(
            patient_id=self.patient_id, payer_id=self.payer_id, invoice_id=self.invoice_id, payment_id=payment_id, amount=left, returned=returned, reversed_on=on,
            reason=reason)]

    def delete(self, reason: str, paid: int, today: date) -> list[Event]:
        """Discard a draft, void a claim that has a number: one that was given out stays in the books."""
        return self.discard() if self.stage == "draft" and not self.number else self.void(reason, paid, today)

    def void(self, reason: str, paid: int, today: date) -> list[Event]:
        if self.stage != "draft" or not self.number:  # what was withdrawn has a number
            self.ensure_open()
        if paid:
            raise ClaimPartlyPaid(paid=paid)
        return [InsuranceClaimVoided(patient_id=self.patient_id, payer_id=self.payer_id, voided_on=today, reason=reason)]

    def give_way(self, by: UUID, paid: int) -> list[Event]:
        """Be replaced by another claim, which is submitted in the same moment."""
        self.ensure_replaceable(paid)
        return [InsuranceClaimReplaced(patient_id=self.patient_id, by_id=by)]

    def come_back(self) -> list[Event]:
        """Stand again, for what replaced it was withdrawn."""
        return [InsuranceClaimReinstated(patient_id=self.patient_id, stage=self.was)] if self.was != "none" else []

    def write_off(self, lines: list[WrittenOffLine], amount: int | None, credit_note: UUID, on: date) -> list[Event]:
        """Note what is beyond the payer's fees, once, if somebody has seen what it comes to."""
        total = sum(line.amount for line in lines)
        if not total:
            raise NothingToWriteOff
        if amount != total:
            raise WriteOffUnconfirmed(amount=total, lines=to_builtins(lines))
        return [InsuranceClaimWrittenOff(
            patient_id=self.patient_id, payer_id=self.payer_id, invoice_id=self.invoice_id, credit_note_id=credit_note, written_off_on=on, amount=total, lines=lines)]

    def ensure_may_write_off(self, *, agreed: bool) -> None:
        """Refuse what was not answered, or denied; what was written off; and what nobody has agreed to."""
        self.ensure_open()
        if self.stage != "answered" or not self.approved:
            raise ClaimNotAnswered
        if self.written_off:
            raise WrittenOffAlready
        if not agreed:
            raise WriteOffNotAgreed

    def attach(self, file: AttachedFile) -> list[Event]:
        self.ensure_there()
        if len(self.attachments) >= MOST_ATTACHMENTS:
            raise TooManyAttachments
        return [InsuranceClaimAttached(
            patient_id=self.patient_id, attachment_id=file.attachment_id, name=file.name, media=file.media, size=file.size, digest=file.digest)]

    def detach(self, attachment: UUID) -> list[Event]:
        self.ensure_there()
        if attachment not in self.attachments:
            raise AttachmentNotFound(attachmentId=str(attachment))
        return [InsuranceClaimDetached(patient_id=self.patient_id, attachment_id=attachment)]

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's; what was discarded is nobody's."""
        if self.stage in ("none", "discarded") or self.patient_id != was:
            return []
        return [InsuranceClaimReassigned(patient_id=to, was_patient_id=was)]

    def keeper(self, who: UUID) -> UUID:
        """The record under which it was drafted."""
        return self.record or who

    def ensure_there(self) -> None:
        if self.stage in ("none", "discarded"):
            raise NotFound

    def ensure_draft(self) -> None:
        self.ensure_there()
        if self.stage != "draft":
            raise ClaimNotDraft

    def ensure_open(self) -> None:
        """Refuse what the payer has not been sent, and what asks for nothing any more."""
        self.ensure_there()
        if self.stage == "replaced":
            raise ClaimReplacedAlready(by=str(self.replaced_by))
        if self.stage not in ("submitted", "answered", "appealed"):
            raise ClaimNotSubmitted

    def ensure_replaceable(self, paid: int) -> None:
        self.ensure_there()
        if self.stage == "replaced":
            raise ClaimReplacedAlready(by=str(self.replaced_by))
        if self.stage not in ("submitted", "answered", "appealed") or paid:
            raise ClaimNotReplaceable


def chosen(lines: Sequence[BilledLine], billed: Mapping[int, int], wanted: Sequence[ClaimAmount] | None, left: Mapping[int, int]) -> list[ClaimedLine]:
    """Return the lines of a claim: those wanted; unless any are named, every line of which something is left."""
    by_number = {line.no: line for line in lines}
    asked = [ClaimAmount(line=no, amount=left[no]) for no in sorted(by_number) if left[no] > 0] if wanted is None else wanted
    if not asked and wanted is None:
        raise ClaimedBeyondBill(left=0)
    numbers = [one.line for one in asked]
    if not asked or len(set(numbers)) < len(numbers) or not {*numbers} <= by_number.keys() or any(one.amount <= 0 for one in asked):
        raise ClaimLinesUnclear(lines=sorted(by_number))
    return [claimed_line(by_number[one.line], billed[one.line], one.amount) for one in asked]


def claimed_line(line: BilledLine, billed: int, amount: int) -> ClaimedLine:
    return ClaimedLine(line=line.no, description=line.description, procedure_code=line.procedure_code, billed=billed, claimed=amount)


def ensure_answers(claimed: Sequence[ClaimedLine], answered: Sequence[AnsweredLine]) -> None:
    """Refuse an answer that does not tell of each line, once, or does not add up."""
    wanted = {line.line: line.claimed for line in claimed}
    if sorted(line.line for line in answered) != sorted(wanted) or any(not 0 <= line.approved <= wanted[line.line] for line in answered):
        raise AnswerUnclear(lines=sorted(wanted))
    for line in answered:
        if sum(one.amount for one in line.adjustments) != wanted[line.line] - line.approved:
            raise AnswerUnbalanced(line=line.line, missing=wanted[line.line] - line.approved - sum(one.amount for one in line.adjustments))


def claims_of(invoice: UUID) -> UUID:
    """Return the id of what the claims of an invoice ask together."""
    return uuid5(invoice, "insurance claims")


def in_order(amount: int, dues: Iterable[int]) -> list[int]:
    """Give an amount to the lines, the first one first."""
    found = []
    for due in dues:
        found.append(min(due, amount))
        amount -= found[-1]
    return found
