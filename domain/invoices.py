"""Invoices: a patient is billed, pays in one or more parts, gets money back, or the bill is voided."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    PLATFORM,
    Event,
    Frozen,
    Invalid,
    Money,
    NotFound,
    PatientId,
    PlaceId,
    Reason,
    Refused,
    StaffId,
    State,
    only,
)
from domain.kit.bills import EARLIEST, BilledLine, Charges, Discount, Line, Method, ProcedureCode, charged, ensure_past
from domain.kit.letters import LetterLanguage, letter
from domain.kit.money import rounded

Status = Literal["draft", "issued", "partly-paid", "paid", "void"]
PaymentId = Annotated[UUID, Meta(description="Id of one of the invoice's payments.")]
RefundId = Annotated[UUID, Meta(description="Id of one of the invoice's refunds.")]

TERM = timedelta(days=30)


class DoctorShare(Frozen):
    """What a doctor's procedure earns on an invoice; a line without a doctor has none."""

    doctor_id: StaffId | None = None
    procedure_code: ProcedureCode | None = None
    net: Money
    tax: Money
    total: Money


class Allocation(Frozen):
    """The part of a payment or refund that belongs to a line, and the tax in it."""

    line: int
    doctor_id: StaffId | None = None
    procedure_code: ProcedureCode | None = None
    amount: Money
    tax: Money


class Bill(Charges):
    """An invoice's content: results, with the recipe they came from."""

    due_on: date | None = None


class InvoiceDrafted(Bill, Event): ...


class InvoiceEdited(Bill, Event): ...


class InvoiceDiscarded(Event): ...


class Recorded(Frozen, omit_defaults=True):
    """Under which record of the patient's an invoice was drafted, where that one has been merged into another."""

    record_id: PatientId | None = None


class InvoiceIssued(Event, Recorded, omit_defaults=True):
    number: str
    issued_on: date
    due_on: date
    patient_id: PatientId
    subtotal: Money
    tax: Money
    total: Money
    shares: list[DoctorShare]


class PaymentRecorded(Event, Recorded, omit_defaults=True):
    payment_id: PaymentId
    patient_id: PatientId
    amount: Money
    method: Method
    paid_on: date
    allocations: list[Allocation]
    place_id: PlaceId | None = None  # in whose till it is, if that is not the clinic's own


class InvoiceSettled(Event): ...


class PaymentRefunded(Event, Recorded, omit_defaults=True):
    payment_id: PaymentId
    refund_id: RefundId
    patient_id: PatientId
    amount: Money
    method: Method
    reason: Reason
    refunded_on: date
    allocations: list[Allocation]
    place_id: PlaceId | None = None  # out of whose till it came, if that is not the clinic's own


class InvoiceReopened(Event):
    """A refund made it due again."""


class InvoiceVoided(Event, Recorded, omit_defaults=True):
    reason: Reason
    voided_on: date
    shares: list[DoctorShare]
    patient_id: PatientId | None = None  # earlier releases did not say


class InvoiceSent(Event, Recorded, omit_defaults=True):
    """A letter takes it to the patient, with the link of that number."""

    patient_id: PatientId
    link: Annotated[int, Meta(ge=1, description="Which of the document's links.")]
    language: LetterLanguage = None


class InvoiceReassigned(Event):
    """It is another record's now, and so are its payments, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId
    payments: list[PaymentId]


InvoiceEvent = (
    InvoiceDrafted | InvoiceEdited | InvoiceDiscarded | InvoiceIssued | PaymentRecorded | InvoiceSettled | PaymentRefunded | InvoiceReopened
    | InvoiceVoided | InvoiceReassigned | InvoiceSent
)


class AmountNotPositive(Invalid):
    """An amount must be above zero."""


class DueBeforeIssue(Invalid):
    """An invoice cannot fall due before the day it is issued."""


class InvoiceNotDraft(Refused):
    """Only a draft can be edited, issued or discarded; void an issued invoice and make a new one."""


class InvoiceNotIssued(Refused):
    """Only an issued invoice can be paid, refunded or voided."""


class InvoiceAlreadyPaid(Refused):
    """Nothing is due on that invoice."""


class InvoicePartlyPaid(Refused):
    """Refund the payments before voiding the invoice."""


class PaymentTooLarge(Refused):
    """A payment cannot exceed the balance due."""


class PaymentNotFound(NotFound):
    """That invoice has no such payment."""


class RefundTooLarge(Refused):
    """A refund cannot exceed what is left of its payment."""


class Received(Frozen):
    """A payment as refunds see it: what is left of it, line by line."""

    method: Method
    paid_on: date
    left: dict[int, Money]
    received: Money = 0  # before anything was given back
    place_id: UUID | None = None

    @property
    def amount(self) -> int:
        return sum(self.left.values())


class Invoice(State):
    kind: ClassVar[str] = "invoices"
    stage: Literal["none", "draft", "issued", "void", "discarded"] = "none"
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it was drafted, whoever's it is now
    issued_on: date = date.min
    due_on: date | None = None
    lines: tuple[BilledLine, ...] = ()
    paid: tuple[Money, ...] = ()  # on each line, less what was refunded
    payments: dict[UUID, Received] = field(default_factory=dict)
    refunds: int = 0
    number: str = ""
    currency: str = ""

    def evolve(self, event: InvoiceEvent) -> Self:  # noqa: PLR0911 - one for each kind of event
        match event:
            case InvoiceDrafted(patient_id=patient, lines=lines, due_on=due) | InvoiceEdited(patient_id=patient, lines=lines, due_on=due):
                return replace(
                    self, stage="draft", patient_id=patient, record=self.record or patient, lines=tuple(lines), paid=(0,) * len(lines), due_on=due,
                    currency=event.currency)
            case InvoiceDiscarded():
                return replace(self, stage="discarded")
            case InvoiceIssued(number=number, issued_on=on, due_on=due):
                return replace(self, stage="issued", number=number, issued_on=on, due_on=due)
            case PaymentRecorded():
                return self.received(event)
            case PaymentRefunded():
                return self.returned(event)
            case InvoiceSettled() | InvoiceReopened() | InvoiceSent():
                return self
            case InvoiceVoided():
                return replace(self, stage="void")
            case InvoiceReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def received(self, event: PaymentRecorded) -> Self:
        payment = Received(method=event.method, paid_on=event.paid_on, left={a.line: a.amount for a in event.allocations}, received=event.amount, place_id=event.place_id)
        return replace(self, paid=moved(self.paid, event.allocations, 1), payments={**self.payments, event.payment_id: payment})

    def returned(self, event: PaymentRefunded) -> Self:
        payment = self.payments[event.payment_id]
        left = payment.left | {a.line: payment.left[a.line] - a.amount for a in event.allocations}
        payments = {**self.payments, event.payment_id: replace(payment, left=left)}
        return replace(self, paid=moved(self.paid, event.allocations, -1), payments=payments, refunds=self.refunds + 1)

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)

    @property
    def balance(self) -> int:
        return self.total - sum(self.paid)

    def draft(self, bill: Bill) -> InvoiceDrafted:
        return InvoiceDrafted(**only(Bill, bill))

    def edit(self, bill: Bill) -> list[Event]:
        self.ensure_draft()
        return [InvoiceEdited(**only(Bill, bill))]

    def discard(self) -> list[Event]:
        self.ensure_draft()
        return [InvoiceDiscarded()]

    def issue(self, number: str, issued_on: date, due_on: date | None, today: date) -> list[Event]:
        self.ensure_draft()
        ensure_past(issued_on, today, EARLIEST)
        due = due_on or self.due_on or issued_on + TERM
        if due < issued_on:
            raise DueBeforeIssue(issuedOn=issued_on.isoformat(), dueOn=due.isoformat())
        tax = sum(line.tax for line in self.lines)
        issued = InvoiceIssued(
            number=number, issued_on=issued_on, due_on=due, patient_id=self.patient_id, subtotal=self.total - tax, tax=tax,
            total=self.total, shares=by_doctor(self.lines), record_id=self.elsewhere,
        )
        return [issued] if self.total else [issued, InvoiceSettled()]

    def pay(self, payment_id: UUID, amount: int, method: Method, paid_on: date, today: date, place_id: UUID | None = None) -> list[Event]:
        self.ensure_issued()
        ensure_past(paid_on, today, self.issued_on)
        ensure_positive(amount)
        if amount > self.balance:
            raise PaymentTooLarge(due=self.balance)
        recorded = PaymentRecorded(
            payment_id=payment_id, patient_id=self.patient_id, amount=amount, method=method, paid_on=paid_on,
            allocations=self.allocated(amount), record_id=self.elsewhere, place_id=place_id,
        )
        return [recorded, InvoiceSettled()] if amount == self.balance else [recorded]

    def payable(self, amount: int | None) -> int:
        """Return how much is to be paid, all that is due if no amount is named; refuse what cannot be."""
        self.ensure_issued()
        if not self.balance:
            raise InvoiceAlreadyPaid
        wanted = self.balance if amount is None else amount
        ensure_positive(wanted)
        if wanted > self.balance:
            raise PaymentTooLarge(due=self.balance)
        return wanted

    def room(self, currency: str) -> int:
        """Return how much of what is there already can be put to it."""
        return self.balance if self.stage == "issued" and currency == self.currency else 0

    def settle(self, payment_id: UUID, method: Method, paid_on: date, today: date, place_id: UUID | None = None) -> list[Event]:
        self.ensure_issued()
        if not self.balance:
            raise InvoiceAlreadyPaid
        return self.pay(payment_id, self.balance, method, paid_on, today, place_id)

    def refund(
        self, refund_id: UUID, payment_id: UUID, amount: int, *, reason: str, method: Method | None, on: date, today: date, place_id: UUID | None = None
    ) -> list[Event]:
        payment = self.payment(payment_id)
        ensure_past(on, today, payment.paid_on)
        ensure_positive(amount)
        if amount > payment.amount:
            raise RefundTooLarge(left=payment.amount)
        refunded = PaymentRefunded(
            payment_id=payment_id, refund_id=refund_id, patient_id=self.patient_id, amount=amount, method=method or payment.method,
            reason=reason, refunded_on=on, allocations=self.taken_back(payment, amount), record_id=self.elsewhere,
            place_id=place_id or payment.place_id,
        )
        return [refunded] if self.balance else [refunded, InvoiceReopened()]

    def left_of(self, payment_id: UUID | None) -> int:
        """Return how much of a payment has not been given back; nothing of one that there is not."""
        payment = self.payments.get(payment_id) if payment_id is not None and self.stage == "issued" else None
        return payment.amount if payment else 0

    def void(self, reason: str, today: date) -> list[Event]:
        self.ensure_issued()
        if any(self.paid):
            raise InvoicePartlyPaid(paid=sum(self.paid))
        return [InvoiceVoided(reason=reason, voided_on=today, shares=by_doctor(self.lines), patient_id=self.patient_id, record_id=self.elsewhere)]

    def send(self, link: int, language: LetterLanguage) -> list[Event]:
        """Have the patient written to; what is sent again is one letter more."""
        self.ensure_issued()
        return [InvoiceSent(patient_id=self.patient_id, link=link, language=language, record_id=self.elsewhere)]

    def payment(self, payment_id: UUID) -> Received:
        """Return a payment that there is."""
        self.ensure_issued()
        if (payment := self.payments.get(payment_id)) is None:
            raise PaymentNotFound(paymentId=str(payment_id))
        return payment

    def delete(self, reason: str, today: date) -> list[Event]:
        """Discard a draft, void an issued invoice: a number that was given out stays in the books."""
        return self.discard() if self.stage == "draft" else self.void(reason, today)

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's, with all that was paid on it; what was discarded is nobody's."""
        if self.stage in ("none", "discarded") or self.patient_id != was:
            return []
        return [InvoiceReassigned(patient_id=to, was_patient_id=was, payments=list(self.payments))]

    def keeper(self, who: UUID) -> UUID:
        """The record under which it was drafted."""
        return self.record or who

    @property
    def elsewhere(self) -> UUID | None:
        """The record under which it was drafted, if it is another one's now."""
        return None if self.record == self.patient_id else self.record

    def next_payment(self, invoice: UUID) -> UUID:
        return uuid5(invoice, f"payments/{len(self.payments) + 1}")

    def next_refund(self, invoice: UUID) -> UUID:
        return uuid5(invoice, f"refunds/{self.refunds + 1}")

    def ensure_draft(self) -> None:
        self.ensure_there()
        if self.stage != "draft":
            raise InvoiceNotDraft

    def ensure_issued(self) -> None:
        self.ensure_there()
        if self.stage != "issued":
            raise InvoiceNotIssued

    def ensure_there(self) -> None:
        if self.stage in ("none", "discarded"):
            raise NotFound

    def allocated(self, amount: int) -> list[Allocation]:
        """Give an amount to the lines, the first one first."""
        dues = [line.total - paid for line, paid in zip(self.lines, self.paid, strict=True)]
        before = accumulate(dues, initial=0)
        parts = [min(due, max(0, amount - earlier)) for due, earlier in zip(dues, before, strict=False)]
        return [self.part(line, part) for line, part in zip(self.lines, parts, strict=True) if part]

    def taken_back(self, payment: Received, amount: int) -> list[Allocation]:
        """Take an amount back from the lines a payment went to, the last one first."""
        found = []
        for no, left in reversed(payment.left.items()):
            part = min(left, amount)
            amount -= part
            if part:
                found.append(self.part(self.lines[no - 1], part, -1))
        return found

    def part(self, line: BilledLine, amount: int, sign: int = 1) -> Allocation:
        """Return a part of a line with the tax in it: whatever the parts, a line paid in full has all its tax paid, to the cent."""
        paid = self.paid[line.no - 1]
        tax = sign * (tax_within(line, paid + sign * amount) - tax_within(line, paid))
        return Allocation(line=line.no, doctor_id=line.doctor_id, procedure_code=line.procedure_code, amount=amount, tax=tax)


def tax_within(line: BilledLine, paid: int) -> int:
    return rounded(line.tax * paid, line.total) if line.total else 0


def moved(paid: tuple[int, ...], allocations: Iterable[Allocation], sign: int) -> tuple[int, ...]:
    change = {a.line: sign * a.amount for a in allocations}
    return tuple(amount + change.get(no, 0) for no, amount in enumerate(paid, 1))


def by_doctor(lines: Iterable[BilledLine]) -> list[DoctorShare]:
    """Return what each doctor's procedures earn, in the order of the lines."""
    found: dict[tuple[UUID | None, str | None], list[int]] = {}
    for line in lines:
        sums = found.setdefault((line.doctor_id, line.procedure_code), [0, 0, 0])
        sums[:] = sums[0] + line.net, sums[1] + line.tax, sums[2] + line.total
    return [DoctorShare(doctor_id=d, procedure_code=p, net=net, tax=tax, total=total) for (d, p), (net, tax, total) in found.items()]


def worked_out(
    patient: UUID, currency: str, lines: Sequence[Line], *, discount: Discount | None, due_on: date | None, notes: str | None
) -> Bill:
    """Return the bill of these lines."""
    return Bill(**only(Charges, charged(patient, currency, lines, discount=discount, notes=notes)), due_on=due_on)


def ensure_positive(amount: int) -> None:
    if amount <= 0:
        raise AmountNotPositive(amount=amount)


INVOICE_LETTER = letter(
    "invoices.sent", "Takes an invoice to the patient, with a link to look at it.",
    {"number": "2026-000123", "total": "1,250.00 EUR", "due": "2026-04-30", "link": "https://clinic.example/api/v1/public-documents/x7Kq/pdf"},
    en=("Your invoice {{number}} from {{clinic}}", """
Dear {{name}},

Here is the invoice {{number}} of {{clinic}}, of {{total}}. It falls due on {{due}}:

{{link}}

The link is for you alone. If you have paid already, or have a question, answer to this letter or call us.
"""),
    es=("Su factura {{number}} de {{clinic}}", """
Hola, {{name}}:

Aquí tiene la factura {{number}} de {{clinic}}, por {{total}}. Vence el {{due}}:

{{link}}

El enlace es solo para usted. Si ya la ha pagado, o tiene preguntas, responda a esta carta o llámenos.
"""),
)
