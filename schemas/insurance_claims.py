"""What may be seen of insurance claims: each with its lines, payments and attachments, and their figures together."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import field

from domain.insurance_claims import (
    Adjustment,
    AttachmentId,
    ClaimedLine,
    ClaimPaymentId,
    ClaimStatus,
    FileMedia,
    PayerReference,
    Via,
    WrittenOffLine,
)
from domain.insurance_covers import MemberNumber
from domain.kit import Frozen, InvoiceId, Money, PatientId, Personal, Text
from domain.kit.insurance import CoverId, InsuranceClaimId, PayerId, Rank
from schemas.kit import Row

Age = Literal["0-30", "31-60", "61-90", "over-90"]


class ClaimLine(ClaimedLine):
    """A line of a claim, and what the payer says of it; what it pays goes to the lines in their order."""

    approved: Money | None = None
    denied: Money | None = None
    paid: Money = 0
    adjustments: list[Adjustment] = field(default_factory=list)


class ClaimPayment(Frozen):
    """A payment of the payer's: a payment on the invoice, under the same id."""

    id: ClaimPaymentId
    amount: Money
    paid_on: date
    payer_reference: PayerReference | None = None
    reversed: Money = 0
    reversed_on: date | None = None


class Attachment(Frozen):
    """A file that goes with a claim."""

    id: AttachmentId
    name: Annotated[Text | None, Personal("patient_id")] = None
    media: FileMedia
    size: int
    digest: str
    attached_at: datetime


class Attachments(Frozen):
    """The attachments of a claim, the first one first."""

    items: list[Attachment]


class InsuranceClaimRow(Row):
    """A claim to an insurer. It has no number until it is submitted, and `approved` is missing until it is answered."""

    table: ClassVar[str] = "insurance_claims"
    permission: ClassVar[str] = "billing.insurance.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    number: str | None = None
    status: ClaimStatus
    patient_id: PatientId
    invoice_id: InvoiceId
    invoice_number: str
    payer_id: PayerId
    cover_id: CoverId
    rank: Rank
    treated_on: date
    currency: str
    lines: list[ClaimLine]
    billed: Money
    claimed: Money
    approved: Money | None = None
    denied: Money | None = None
    paid: Money = 0
    written_off: Money = 0  # beyond the payer's fees
    patient_share: Money | None = None  # of what is billed on these lines, what this payer has not approved and the clinic has not written off, once it is answered
    submitted_on: date | None = None
    via: Via | None = None
    answered_on: date | None = None
    forwarded: bool = False
    payer_reference: PayerReference | None = None
    answer_note: Annotated[str | None, Personal("patient_id")] = None
    appealed_on: date | None = None
    appeal_reason: Annotated[str | None, Personal("patient_id")] = None
    replaces_id: InsuranceClaimId | None = None
    replaced_by_id: InsuranceClaimId | None = None
    void_reason: str | None = None
    payments: list[ClaimPayment] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    notes: Annotated[str | None, Personal("patient_id")] = None
    created_at: datetime
    version: int

    keeps: ClassVar[frozenset[str]] = frozenset({"note", "reason"})
    indexes: ClassVar[tuple[str, ...]] = (
        "created_at, id", "patient_id, created_at, id", "invoice_id, created_at, id", "payer_id, created_at, id", "status, created_at, id", "number", "submitted_on, id")


class InsuranceClaimEntry(InsuranceClaimRow):
    """A claim to an insurer, with what the payer is called and its number for the patient; `paid` is what is left of its payments, whoever gave back of them, and where."""

    table: ClassVar[str] = "insurance_claim_entries"
    payer_name: str | None = None
    member_number: Annotated[MemberNumber | None, Personal("patient_id")] = None


class InsuranceClaims(Frozen):
    """The claims of a patient, the last one first."""

    items: list[InsuranceClaimEntry]


class WriteOffPreview(Frozen):
    """What would be written off of a claim's invoice, beyond the payer's fees: the amount that has to be said to have it done."""

    amount: Money
    lines: list[WrittenOffLine]


class ClaimAge(Frozen):
    """Claims of one status and age: days since they were submitted; drafts are as old as they are."""

    status: ClaimStatus
    age: Age
    claims: int
    billed: Money
    claimed: Money
    approved: Money
    paid: Money


class PayerOutstanding(Frozen):
    """What a payer owes, and what it has been asked."""

    payer_id: PayerId
    payer_name: str | None
    unanswered: int  # claims, appealed ones among them
    unanswered_amount: Money
    unpaid: int
    unpaid_amount: Money  # approved, and not paid
    oldest_on: date | None


class ClaimFigures(Frozen):
    """Claims by status and age, and what is outstanding with each payer."""

    on: date
    currency: str
    ages: list[ClaimAge]
    payers: list[PayerOutstanding]


class InvoiceCoverage(Frozen):
    """Who bears an invoice: what the payers have approved, what they are still asked, and what is left for the patient."""

    invoice_id: InvoiceId
    currency: str
    total: Money
    asked: Money  # of payers that have not answered
    approved: Money
    credited: Money
    written_off: Money
    paid_by_payers: Money
    paid: Money  # by anybody
    due: Money
    patient_share: Money  # of the total, what no payer has approved, and the clinic neither credited nor wrote off; what is still asked may make it less
    claims: list[InsuranceClaimId]
