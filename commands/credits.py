"""What may be asked of a patient's credit, and of a payment that settles several invoices."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, field

from commands.invoices import Excess, credits_of
from commands.kit import Creation, Decision, Look
from domain.credits import Credit, DepositId, Purpose, credit_of, taken_from
from domain.invoices import Invoice, InvoiceNotTheirs, PayerUnknown, PaymentTooLarge
from domain.kit import AppointmentId, At, Elsewhere, Event, InvoiceId, PatientId, PlaceId, Positive, Reason
from domain.kit.bills import Method
from domain.patients import Patient
from domain.relations import Relation
from schemas.relations import RelationRow

Others = Annotated[list[PatientId], Meta(max_length=30, description="Patients for whom this one pays as well; a relation of theirs must say so.")]
Chosen = Annotated[list[InvoiceId], Meta(min_length=1, max_length=200, description="Only these invoices; all that are open unless said.")]


class ReceiveDeposit(Creation):
    """Take money from a patient without an invoice: it is their credit, to be used on invoices or returned."""

    state = Credit
    permission = "billing.payments.record"
    patient_id: PatientId
    amount: Positive
    method: Method
    received_on: date | None = None
    purpose: Purpose | None = None
    appointment_id: AppointmentId | None = None
    place_id: PlaceId | None = None

    def stream(self, at: At) -> UUID:
        return credit_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id)}

    def decide(self, credit: Credit, at: At, *, patient: Patient) -> list[Event]:
        patient.ensure_active()
        return credit.receive(
            credit_of(self.patient_id), self.patient_id, self.amount, at.currency, self.method, self.received_on or at.today, at.today, self.purpose,
            self.appointment_id, place=self.place_id)


class ReverseDeposit(Creation):
    """Have a deposit not have been that was recorded by mistake; no money goes back. As much must be left of the patient's credit."""

    state = Credit
    permission = "billing.payments.refund"
    patient_id: PatientId
    deposit_id: DepositId
    reason: Reason
    reversed_on: date | None = None

    def stream(self, at: At) -> UUID:
        return credit_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"credits": await credits_of(self.patient_id, look)}

    def decide(self, credit: Credit, at: At, *, credits: dict[UUID, Credit]) -> Decision:  # noqa: A002 - it is what they are
        where = next((id_ for id_, one in credits.items() if self.deposit_id in one.deposits and one.patient_id == self.patient_id), credit_of(self.patient_id))
        events = credits[where].reverse(self.deposit_id, self.reason, self.reversed_on or at.today, at.today)
        return told(where, events, self.patient_id)


class ReturnCredit(Creation):
    """Give credit back to the patient in money, never more than there is."""

    state = Credit
    permission = "billing.payments.refund"
    patient_id: PatientId
    amount: Positive
    method: Method
    reason: Reason
    returned_on: date | None = None
    place_id: PlaceId | None = None

    def stream(self, at: At) -> UUID:
        return credit_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"credits": await credits_of(self.patient_id, look)}

    def decide(self, credit: Credit, at: At, *, credits: dict[UUID, Credit]) -> Decision:  # noqa: A002 - it is what they are
        found: Decision = []
        for id_, part in taken_from(credits, self.patient_id, self.amount, at.currency).items():
            back = credits[id_].give_back(id_, part, method=self.method, reason=self.reason, on=self.returned_on or at.today, today=at.today,
                place=self.place_id)
            found += told(id_, [back], self.patient_id)
        return found


class SettleInvoices(Creation):
    """Record one payment that settles several invoices, the oldest first: a patient's, and those of whoever else they pay for. All of it is recorded or nothing.

    What is beyond all that is owed is refused, or becomes the credit of the patient who pays.
    """

    state = Credit
    permission = "billing.payments.record"
    patient_id: PatientId
    amount: Positive
    method: Method
    paid_on: date | None = None
    patients: Others = field(default_factory=list)
    invoices: Chosen | None = None
    excess: Excess = "refuse"
    place_id: PlaceId | None = None

    def stream(self, at: At) -> UUID:
        return credit_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        payer = await look.require(Patient, self.patient_id)
        for other in self.patients:
            if other != self.patient_id:
                await ensure_paid_for(other, {self.patient_id, *payer.records}, look)
        whose = dict.fromkeys((self.patient_id, *self.patients))
        streams = [stream for patient in whose for _, stream in await look.naming(patient, [Invoice.kind])]
        invoices = {stream: await look.load(Invoice, stream) for stream in dict.fromkeys(streams)}
        return {"payer": payer, "open_": {id_: one for id_, one in invoices.items() if one.patient_id in whose}}

    def decide(self, credit: Credit, at: At, *, payer: Patient, open_: dict[UUID, Invoice]) -> Decision:
        payer.ensure_active()
        on, left = self.paid_on or at.today, self.amount
        if unknown := [str(one) for one in self.invoices or () if one not in open_]:
            raise InvoiceNotTheirs(invoices=unknown)
        found: Decision = []
        for id_, invoice in oldest_first(open_, at.currency, on):
            if left and (self.invoices is None or id_ in self.invoices):
                part = min(left, invoice.balance)
                found.append(Elsewhere(state=Invoice, id=id_, events=invoice.pay(invoice.next_payment(id_), part, self.method, on, at.today, place_id=self.place_id)))
                left -= part
        if not left:
            return found
        if self.excess == "refuse":
            raise PaymentTooLarge(due=self.amount - left)
        return [*credit.receive(credit_of(self.patient_id), self.patient_id, left, at.currency, self.method, on, at.today, place=self.place_id), *found]


def told(stream: UUID, events: list[Event], patient: UUID) -> Decision:
    """Return what happens to a credit of a patient's: to the one in hand, or to one of another record of theirs."""
    return [*events] if stream == credit_of(patient) else [Elsewhere(state=Credit, id=stream, events=events)]


def oldest_first(found: dict[UUID, Invoice], currency: str, on: date) -> Iterable[tuple[UUID, Invoice]]:
    """Return the invoices on which something was due on a day."""
    due = [(id_, one) for id_, one in found.items() if one.stage == "issued" and one.balance and one.currency == currency and one.issued_on <= on]
    return sorted(due, key=lambda one: (one[1].issued_on, one[1].number))


async def ensure_paid_for(patient: UUID, payers: set[UUID], look: Look) -> None:
    """Refuse to pay for whom no relation says so."""
    records = (await look.require(Patient, patient)).records
    for row in await look.find(RelationRow, patient_id=[patient, *records], payer=True, ended=False):
        if row.related_id in payers and not (await look.load(Relation, row.id)).ended:
            return
    raise PayerUnknown(patientId=str(patient))
