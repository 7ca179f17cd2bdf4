"""Invoices: a patient is billed, pays in one or more parts, gets money back; what was billed wrongly is credited, what will not be paid is written off.

How it works: payments fill each line from below, credit notes and write-offs cut it from above, and the tax in either is a difference of the same rounded function of how high the line is
filled. So the tax of all parts of a line is the line's, to the unit, however many parts there are: an invoice with a full credit note is zero on each line and at each rate.

What may go wrong: a line may be cut below what was paid on it. What is too much goes to other lines of the invoice that owe, and what none owes to the patient's credit, in the same save
and before the cut, so that at no position more lies on a line than it owes.
"""

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
    Positive,
    Reason,
    Refused,
    StaffId,
    State,
    only,
)
from domain.kit.bills import (
    EARLIEST,
    BilledLine,
    Charges,
    Discount,
    Line,
    Method,
    ProcedureCode,
    Rate,
    charged,
    ensure_past,
    ensure_positive,
)
from domain.kit.letters import LetterLanguage, letter
from domain.kit.money import rounded, shares

Status = Literal["draft", "issued", "partly-paid", "paid", "credited", "void"]
"""`credited`: nothing is due, and nothing was paid, for all of it was credited or written off."""
Cause = Literal["credit-note", "write-off"]
"""Why less is owed: what was billed is taken back, or is not going to be paid and nobody asks for it any more."""
PaidBy = Literal["cash", "card", "transfer", "insurance", "other", "credit"]
"""A method, or credit that the patient had with the clinic."""
CREDITS: dict[Cause, str] = {"credit-note": "credit-notes", "write-off": "write-offs"}
"""The series of numbers of each."""
PaymentId = Annotated[UUID, Meta(description="Id of one of the invoice's payments.")]
RefundId = Annotated[UUID, Meta(description="Id of one of the invoice's refunds.")]
CreditNoteId = Annotated[UUID, Meta(description="Id of one of the invoice's credit notes or write-offs.")]
LineNumber = Annotated[int, Meta(ge=1, description="Which of the invoice's lines.")]

TERM = timedelta(days=30)


class DoctorShare(Frozen, omit_defaults=True):
    """What a doctor's procedure earns on an invoice; a line without a doctor has none. `units` is how many of it: one, where earlier releases did not say."""

    doctor_id: StaffId | None = None
    procedure_code: ProcedureCode | None = None
    net: Money
    tax: Money
    total: Money
    units: int = 1


class Allocation(Frozen):
    """The part of a payment or refund that belongs to a line, and the tax in it."""

    line: int
    doctor_id: StaffId | None = None
    procedure_code: ProcedureCode | None = None
    amount: Money
    tax: Money


class LineAmount(Frozen):
    """So much of an amount for a line."""

    line: LineNumber
    amount: Positive


class CreditedLine(Frozen):
    """What is taken off a line, and the rate of the tax in it."""

    line: int
    tax_rate: Rate
    net: Money
    tax: Money
    total: Money


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


class InvoiceCredited(Event, Recorded, omit_defaults=True):
    """Less is owed, under a number of its own."""

    credit_note_id: CreditNoteId
    number: str
    cause: Cause
    credited_on: date
    patient_id: PatientId
    invoice_number: str
    reason: Reason
    currency: str
    lines: list[CreditedLine]
    shares: list[DoctorShare]
    net: Money
    tax: Money
    total: Money


class CreditApplied(Event, Recorded, omit_defaults=True):
    """The patient's credit pays for it; no money moves."""

    payment_id: PaymentId
    patient_id: PatientId
    amount: Money
    applied_on: date
    allocations: list[Allocation]


class PaymentReallocated(Event, Recorded, omit_defaults=True):
    """A payment lies on other lines now; what lies on none (`released`) is the patient's credit."""

    payment_id: PaymentId
    patient_id: PatientId
    reallocated_on: date
    taken: list[Allocation]
    given: list[Allocation]
    released: Money


class PaymentReversed(Event, Recorded, omit_defaults=True):
    """It never was: it had been recorded by mistake."""

    payment_id: PaymentId
    patient_id: PatientId
    amount: Money
    method: Method
    paid_on: date
    reversed_on: date
    reason: Reason
    allocations: list[Allocation]
    place_id: PlaceId | None = None


class InvoiceReassigned(Event):
    """It is another record's now, and so are its payments and credit notes, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId
    payments: list[PaymentId]
    credit_notes: list[CreditNoteId] = field(default_factory=list)


InvoiceEvent = (
    InvoiceDrafted | InvoiceEdited | InvoiceDiscarded | InvoiceIssued | PaymentRecorded | InvoiceSettled | PaymentRefunded | InvoiceReopened
    | InvoiceVoided | InvoiceReassigned | InvoiceSent | InvoiceCredited | CreditApplied | PaymentReallocated | PaymentReversed
)


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


class InvoiceHasCredits(Refused):
    """A part of that invoice was credited or written off. Credit the rest instead of voiding it."""


class CreditTooLarge(Refused):
    """No more can be credited than was billed and not credited before; no more written off than is due."""


class LineUnknown(Invalid):
    """That invoice has no such line, or it is named twice."""


class AllocationTooLarge(Refused):
    """A line cannot be given more than is due on it."""


class AllocationsDiffer(Invalid):
    """What is said to go to the lines must come to the amount."""


class PaymentUsedAlready(Refused):
    """A part of that payment was given back or became credit. Refund the rest of it instead of reversing it."""


class PaidByCredit(Refused):
    """That was paid out of the patient's credit. Reallocate it to nothing: it is credit again, and can be returned."""


class PaymentWasReversed(Refused):
    """That payment was recorded by mistake and has been reversed."""


class InvoiceNotTheirs(Invalid):
    """That invoice is not one of theirs."""


class PayerUnknown(Refused):
    """No relation of that patient's says that this one pays for them."""


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
    refunded: Money = 0
    place_id: UUID | None = None
    credit: bool = False  # it was the patient's credit, no money came
    reversed: bool = False

    @property
    def amount(self) -> int:
        return sum(self.left.values())

    @property
    def kept(self) -> int:
        """What came and was not given back, whether it lies on the invoice or became credit."""
        return 0 if self.reversed else self.received - self.refunded


class Invoice(State):
    kind: ClassVar[str] = "invoices"
    stage: Literal["none", "draft", "issued", "void", "discarded"] = "none"
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it was drafted, whoever's it is now
    issued_on: date = date.min
    due_on: date | None = None
    lines: tuple[BilledLine, ...] = ()
    paid: tuple[Money, ...] = ()  # on each line, less what was refunded
    credited: tuple[Money, ...] = ()  # of each line, written off included
    credit_notes: tuple[UUID, ...] = ()
    payments: dict[UUID, Received] = field(default_factory=dict)
    refunds: int = 0
    number: str = ""
    currency: str = ""

    def evolve(self, event: InvoiceEvent) -> Self:  # noqa: C901, PLR0911 - one for each kind of event
        match event:
            case InvoiceDrafted(patient_id=patient, lines=lines, due_on=due) | InvoiceEdited(patient_id=patient, lines=lines, due_on=due):
                return replace(
                    self, stage="draft", patient_id=patient, record=self.record or patient, lines=tuple(lines), paid=(0,) * len(lines),
                    credited=(0,) * len(lines), due_on=due, currency=event.currency)
            case InvoiceDiscarded():
                return replace(self, stage="discarded")
            case InvoiceIssued(number=number, issued_on=on, due_on=due):
                return replace(self, stage="issued", number=number, issued_on=on, due_on=due)
            case PaymentRecorded() | CreditApplied():
                return self.received(event)
            case InvoiceCredited():
                cut = {one.line: one.total for one in event.lines}
                credited = tuple(amount + cut.get(no, 0) for no, amount in enumerate(self.credited, 1))
                return replace(self, credited=credited, credit_notes=(*self.credit_notes, event.credit_note_id))
            case PaymentReallocated():
                return self.shifted(event)
            case PaymentReversed():
                payments = {**self.payments, event.payment_id: replace(self.payments[event.payment_id], left={}, reversed=True)}
                return replace(self, paid=moved(self.paid, event.allocations, -1), payments=payments)
            case PaymentRefunded():
                return self.returned(event)
            case InvoiceSettled() | InvoiceReopened() | InvoiceSent():
                return self
            case InvoiceVoided():
                return replace(self, stage="void")
            case InvoiceReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def received(self, event: PaymentRecorded | CreditApplied) -> Self:
        left = {a.line: a.amount for a in event.allocations}
        if isinstance(event, CreditApplied):
            payment = Received(method="other", paid_on=event.applied_on, left=left, received=event.amount, credit=True)
        else:
            payment = Received(method=event.method, paid_on=event.paid_on, left=left, received=event.amount, place_id=event.place_id)
        return replace(self, paid=moved(self.paid, event.allocations, 1), payments={**self.payments, event.payment_id: payment})

    def returned(self, event: PaymentRefunded) -> Self:
        payment = self.payments[event.payment_id]
        left = payment.left | {a.line: payment.left[a.line] - a.amount for a in event.allocations}
        payments = {**self.payments, event.payment_id: replace(payment, left=left, refunded=payment.refunded + event.amount)}
        return replace(self, paid=moved(self.paid, event.allocations, -1), payments=payments, refunds=self.refunds + 1)

    def shifted(self, event: PaymentReallocated) -> Self:
        payment = self.payments[event.payment_id]
        left = dict(payment.left)
        for sign, parts in ((-1, event.taken), (1, event.given)):
            for part in parts:
                left[part.line] = left.get(part.line, 0) + sign * part.amount
        paid = moved(moved(self.paid, event.taken, -1), event.given, 1)
        return replace(self, paid=paid, payments={**self.payments, event.payment_id: replace(payment, left=left)})

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)

    @property
    def balance(self) -> int:
        """What is still to be paid: the total, less what was credited and what was paid."""
        return self.total - sum(self.credited) - sum(self.paid)

    @property
    def dues(self) -> list[int]:
        """What is still to be paid on each line."""
        return [line.total - off - paid for line, off, paid in zip(self.lines, self.credited, self.paid, strict=True)]

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

    def pay(
        self, payment_id: UUID, amount: int, method: Method, paid_on: date, today: date, wanted: Sequence[LineAmount] | None = None,
        place_id: UUID | None = None,
    ) -> list[Event]:
        """Record money received; it goes to the lines in their order, or as it is `wanted`."""
        allocations = self.payable(amount, paid_on, today, wanted)
        recorded = PaymentRecorded(
            payment_id=payment_id, patient_id=self.patient_id, amount=amount, method=method, paid_on=paid_on, allocations=allocations,
            record_id=self.elsewhere, place_id=place_id)
        return [recorded, InvoiceSettled()] if amount == self.balance else [recorded]

    def apply(self, payment_id: UUID, amount: int, on: date, today: date, wanted: Sequence[LineAmount] | None = None) -> list[Event]:
        """Have credit of the patient's pay for it."""
        allocations = self.payable(amount, on, today, wanted)
        applied = CreditApplied(
            payment_id=payment_id, patient_id=self.patient_id, amount=amount, applied_on=on, allocations=allocations, record_id=self.elsewhere)
        return [applied, InvoiceSettled()] if amount == self.balance else [applied]

    def payable(self, amount: int, on: date, today: date, wanted: Sequence[LineAmount] | None) -> list[Allocation]:
        """Return to which lines an amount goes; refuse what is not owed."""
        self.ensure_issued()
        ensure_past(on, today, self.issued_on)
        ensure_positive(amount)
        if amount > self.balance:
            raise PaymentTooLarge(due=self.balance)
        if wanted is None:
            return self.allocated(amount)
        parts = self.per_line(wanted, self.dues)
        if sum(parts) != amount:
            raise AllocationsDiffer(amount=amount, allocated=sum(parts))
        return [self.part(line, part) for line, part in zip(self.lines, parts, strict=True) if part]

    def to_be_paid(self, amount: int | None) -> int:
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
        return self.pay(payment_id, self.balance, method, paid_on, today, place_id=place_id)

    def refund(
        self, refund_id: UUID, payment_id: UUID, amount: int, *, reason: str, method: Method | None, on: date, today: date, place_id: UUID | None = None
    ) -> list[Event]:
        payment = self.payment(payment_id)
        if payment.credit:
            raise PaidByCredit
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

    def reverse(self, payment_id: UUID, reason: str, on: date, today: date) -> list[Event]:
        """Have a payment not have been; nothing of it may have been used."""
        payment = self.payment(payment_id)
        if payment.reversed:
            raise PaymentWasReversed
        if payment.credit:
            raise PaidByCredit
        ensure_past(on, today, payment.paid_on)
        if payment.amount != payment.received:
            raise PaymentUsedAlready(left=payment.amount)
        undone = PaymentReversed(
            payment_id=payment_id, patient_id=self.patient_id, amount=payment.received, method=payment.method, paid_on=payment.paid_on, reversed_on=on,
            reason=reason, allocations=self.taken_back(payment, payment.received), record_id=self.elsewhere,
            place_id=payment.place_id)
        return [undone] if self.balance else [undone, InvoiceReopened()]

    def credit(
        self, note: UUID, number: str, amount: int | None, lines: Sequence[LineAmount] | None, *, cause: Cause, reason: str, on: date, today: date
    ) -> list[Event]:
        """Have less be owed: these amounts of these lines, or an amount, or all that is left; what was paid beyond the rest goes where it is owed, or becomes credit."""
        self.ensure_issued()
        ensure_past(on, today, self.issued_on)
        cut = self.cut(amount, lines, cause)
        credited = [self.off(line, part) for line, part in zip(self.lines, cut, strict=True) if part]
        net, tax, total = (sum(getattr(one, name) for one in credited) for name in ("net", "tax", "total"))
        noted = InvoiceCredited(
            credit_note_id=note, number=number, cause=cause, credited_on=on, patient_id=self.patient_id, invoice_number=self.number, reason=reason,
            currency=self.currency, lines=credited, shares=by_doctor(replace(self.lines[one.line - 1], net=one.net, tax=one.tax, total=one.total) for one in credited),
            net=net, tax=tax, total=total, record_id=self.elsewhere)
        moves, after = self.evolve(noted).put_right(on)
        return [*moves, noted, *([InvoiceSettled()] if self.balance and not after.balance else [])]

    def reallocate(self, payment_id: UUID, wanted: Sequence[LineAmount], on: date, today: date) -> list[Event]:
        """Put a payment on these lines; what is on none becomes credit."""
        payment = self.payment(payment_id)
        ensure_past(on, today, payment.paid_on)
        bare = replace(self, paid=tuple(paid - payment.left.get(no, 0) for no, paid in enumerate(self.paid, 1)))
        target = self.per_line(wanted, bare.dues)
        if sum(target) > payment.amount:
            raise AllocationsDiffer(amount=payment.amount, allocated=sum(target))
        change = [want - payment.left.get(no, 0) for no, want in enumerate(target, 1)]
        if not any(change):
            return []
        event = self.reallocation(payment_id, on, [max(0, -one) for one in change], [max(0, one) for one in change])
        return [event, InvoiceReopened()] if event.released and not self.balance else [event]

    def put_right(self, on: date) -> tuple[list[PaymentReallocated], Self]:
        """Return how what is too much on lines goes to lines that owe, the last payment first, or becomes credit; and the invoice after that."""
        invoice, events = self, []
        for payment_id in reversed(self.payments):
            left, dues = invoice.payments[payment_id].left, invoice.dues
            taken = [min(left.get(no, 0), max(0, -due)) for no, due in enumerate(dues, 1)]
            if any(taken):
                event = invoice.reallocation(payment_id, on, taken, filled([max(0, due) for due in dues], sum(taken)))
                events.append(event)
                invoice = invoice.evolve(event)
        return events, invoice

    def reallocation(self, payment_id: UUID, on: date, taken: Sequence[int], given: Sequence[int]) -> PaymentReallocated:
        return PaymentReallocated(
            payment_id=payment_id, patient_id=self.patient_id, reallocated_on=on,
            taken=[self.part(line, part, -1) for line, part in zip(self.lines, taken, strict=True) if part],
            given=[self.part(line, part) for line, part in zip(self.lines, given, strict=True) if part],
            released=sum(taken) - sum(given), record_id=self.elsewhere)

    def cut(self, amount: int | None, lines: Sequence[LineAmount] | None, cause: Cause) -> list[int]:
        """Return what is taken off each line: an amount off what is due first, in proportion; written off is only what is due."""
        dues = self.dues
        room = dues if cause == "write-off" else [line.total - off for line, off in zip(self.lines, self.credited, strict=True)]
        if lines is not None:
            found = self.per_line(lines, room, CreditTooLarge)
            if amount not in {None, sum(found)}:
                raise AllocationsDiffer(amount=amount, allocated=sum(found))
        else:
            whole = sum(room) if amount is None else amount
            if amount is not None:
                ensure_positive(amount)
            if whole > sum(room):
                raise CreditTooLarge(left=sum(room))
            first = min(whole, sum(dues))
            found = proportional(first, dues)
            rest = [most - part for most, part in zip(room, found, strict=True)]
            found = [part + more for part, more in zip(found, proportional(whole - first, rest), strict=True)]
        if not any(found):
            raise CreditTooLarge(left=0)
        return found

    def off(self, line: BilledLine, part: int) -> CreditedLine:
        """Return a part of a line that is cut from above, with the tax in it."""
        left = line.total - self.credited[line.no - 1]
        tax = tax_within(line, left) - tax_within(line, left - part)
        return CreditedLine(line=line.no, tax_rate=line.tax_rate, net=part - tax, tax=tax, total=part)

    def per_line(self, wanted: Sequence[LineAmount], room: Sequence[int], refusal: type[Refused] = AllocationTooLarge) -> list[int]:
        """Return what is asked for each line; refuse lines that are not there, and more than there is room for."""
        found = [0] * len(self.lines)
        for one in wanted:
            if not 1 <= one.line <= len(found) or found[one.line - 1]:
                raise LineUnknown(line=one.line)
            ensure_positive(one.amount)
            if one.amount > room[one.line - 1]:
                raise refusal(line=one.line, left=room[one.line - 1])
            found[one.line - 1] = one.amount
        return found

    def void(self, reason: str, today: date) -> list[Event]:
        self.ensure_issued()
        if any(self.credited):
            raise InvoiceHasCredits
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
        return [InvoiceReassigned(patient_id=to, was_patient_id=was, payments=list(self.payments), credit_notes=list(self.credit_notes))]

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

    def next_credit_note(self, invoice: UUID) -> UUID:
        return uuid5(invoice, f"credit-notes/{len(self.credit_notes) + 1}")

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
        return [self.part(line, part) for line, part in zip(self.lines, filled(self.dues, amount), strict=True) if part]

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


def filled(rooms: Sequence[int], amount: int) -> list[int]:
    """Fill rooms with an amount, the first one first."""
    before = accumulate(rooms, initial=0)
    return [min(room, max(0, amount - earlier)) for room, earlier in zip(rooms, before, strict=False)]


def proportional(amount: int, rooms: Sequence[int]) -> list[int]:
    """Spread an amount over rooms in proportion to their sizes, none beyond its size."""
    return shares(amount, rooms) if amount else [0] * len(rooms)


def moved(paid: tuple[int, ...], allocations: Iterable[Allocation], sign: int) -> tuple[int, ...]:
    change = {a.line: sign * a.amount for a in allocations}
    return tuple(amount + change.get(no, 0) for no, amount in enumerate(paid, 1))


def by_doctor(lines: Iterable[BilledLine]) -> list[DoctorShare]:
    """Return what each doctor's procedures earn, in the order of the lines."""
    found: dict[tuple[UUID | None, str | None], list[int]] = {}
    for line in lines:
        sums = found.setdefault((line.doctor_id, line.procedure_code), [0, 0, 0, 0])
        sums[:] = sums[0] + line.net, sums[1] + line.tax, sums[2] + line.total, sums[3] + line.quantity
    return [DoctorShare(doctor_id=d, procedure_code=p, net=net, tax=tax, total=total, units=units) for (d, p), (net, tax, total, units) in found.items()]


def worked_out(
    patient: UUID, currency: str, lines: Sequence[Line], *, discount: Discount | None, due_on: date | None, notes: str | None,
    tax_included: bool = False,
) -> Bill:
    """Return the bill of these lines."""
    return Bill(**only(Charges, charged(patient, currency, lines, discount=discount, notes=notes, tax_included=tax_included)), due_on=due_on)


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
