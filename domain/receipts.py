"""Receipts: the clinic says on paper, under a number of its own, that it has received a payment; once a payment."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import PLATFORM, Event, InvoiceId, Money, NotFound, PatientId, Refused, State
from domain.kit.bills import Method
from domain.kit.letters import LetterLanguage, letter

SERIES = "receipts"


class ReceiptIssued(Event):
    """A payment was receipted: all of it, whatever is given back of it later."""

    number: str
    issued_on: date
    patient_id: PatientId
    invoice_id: InvoiceId
    invoice_number: str
    payment_id: Annotated[UUID, Meta(description="Id of one of the invoice's payments.")]
    amount: Money
    currency: str
    method: Method
    paid_on: date


class ReceiptSent(Event):
    """A letter takes it to the patient, with the link of that number."""

    patient_id: PatientId
    link: Annotated[int, Meta(ge=1, description="Which of the document's links.")]
    language: LetterLanguage = None


class ReceiptReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


ReceiptEvent = ReceiptIssued | ReceiptSent | ReceiptReassigned


class ReceiptIssuedAlready(Refused):
    """There is a receipt for that payment already. Print it or send it again."""


class Receipt(State):
    kind: ClassVar[str] = "receipts"
    patient_id: UUID = PLATFORM
    amount: Money = 0
    currency: str = ""
    paid_on: date | None = None

    def evolve(self, event: ReceiptEvent) -> Self:
        match event:
            case ReceiptIssued():
                return replace(self, patient_id=event.patient_id, amount=event.amount, currency=event.currency, paid_on=event.paid_on)
            case ReceiptSent():
                return self
            case ReceiptReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def issue(self, issued: ReceiptIssued) -> list[Event]:
        if self.paid_on is not None:
            raise ReceiptIssuedAlready
        return [issued]

    def send(self, link: int, language: LetterLanguage) -> list[Event]:
        """Have the patient written to; what is sent again is one letter more."""
        self.ensure_there()
        return [ReceiptSent(patient_id=self.patient_id, link=link, language=language)]

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        return [ReceiptReassigned(patient_id=to, was_patient_id=was)] if self.paid_on is not None and self.patient_id == was else []

    def ensure_there(self) -> None:
        if self.paid_on is None:
            raise NotFound


def receipt_of(payment: UUID) -> UUID:
    """Return the id of the receipt for a payment: there is one at most."""
    return uuid5(payment, "receipt")


RECEIPT_LETTER = letter(
    "receipts.sent", "Takes a receipt to the patient, with a link to look at it.",
    {"number": "2026-000321", "amount": "250.00 EUR", "date": "2026-03-31", "link": "https://clinic.example/api/v1/public-documents/x7Kq/pdf"},
    en=("Your receipt {{number}} from {{clinic}}", """
Dear {{name}},

Thank you. {{clinic}} has received {{amount}} on {{date}}; here is the receipt {{number}}:

{{link}}

The link is for you alone.
"""),
    es=("Su recibo {{number}} de {{clinic}}", """
Hola, {{name}}:

Gracias. {{clinic}} ha recibido {{amount}} el {{date}}; aquí tiene el recibo {{number}}:

{{link}}

El enlace es solo para usted.
"""),
)
