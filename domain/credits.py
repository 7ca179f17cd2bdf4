"""Credits: what a patient has with the clinic, from a deposit, a prepayment, or an invoice that was paid beyond what is owed.

How it works: there is one stream for each record of a patient's; records that were merged have several, and whoever uses or returns credit goes through all of them. What is used pays for an
invoice in the same save, and what an invoice sets free comes back in the same save, so that credit and invoices never disagree.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    PLATFORM,
    AppointmentId,
    Event,
    Frozen,
    Invalid,
    InvoiceId,
    Money,
    NotFound,
    PatientId,
    PlaceId,
    Reason,
    Refused,
    State,
)
from domain.kit.bills import EARLIEST, LARGEST, Method, ensure_past, ensure_positive

DepositId = Annotated[UUID, Meta(description="Id of one of the patient's deposits.")]
Purpose = Annotated[str, Meta(min_length=1, max_length=200, description="What the money is for; kept in the books.", examples=["Deposit for the implant"])]


class Owned(Frozen, omit_defaults=True):
    """Whose credit it is; and under which record of theirs it began, where that one has been merged into another."""

    patient_id: PatientId
    record_id: PatientId | None = None


class CreditReceived(Event, Owned, omit_defaults=True):
    """Money came without an invoice, or beyond one."""

    deposit_id: DepositId
    amount: Money
    currency: str
    method: Method
    received_on: date
    purpose: Purpose | None = None
    appointment_id: AppointmentId | None = None
    place_id: PlaceId | None = None  # in whose till it is, if that is not the clinic's own


class CreditReversed(Event, Owned, omit_defaults=True):
    """That deposit never was: it had been recorded by mistake."""

    deposit_id: DepositId
    amount: Money
    method: Method
    reason: Reason
    reversed_on: date
    place_id: PlaceId | None = None


class CreditGained(Event, Owned, omit_defaults=True):
    """An invoice has set free what was paid on it."""

    invoice_id: InvoiceId
    payment_id: Annotated[UUID, Meta(description="Id of one of the invoice's payments.")]
    amount: Money
    currency: str
    gained_on: date


class CreditUsed(Event, Owned, omit_defaults=True):
    """It has paid for an invoice."""

    invoice_id: InvoiceId
    payment_id: Annotated[UUID, Meta(description="Id of one of the invoice's payments.")]
    amount: Money
    used_on: date


class CreditReturned(Event, Owned, omit_defaults=True):
    """Money went back to the patient."""

    return_id: Annotated[UUID, Meta(description="Id of one of the times that credit was returned.")]
    amount: Money
    method: Method
    reason: Reason
    returned_on: date
    place_id: PlaceId | None = None


class CreditReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId
    deposits: list[DepositId]


CreditEvent = CreditReceived | CreditReversed | CreditGained | CreditUsed | CreditReturned | CreditReassigned


class CreditTooSmall(Refused):
    """The patient does not have that much credit."""


class DepositTooLarge(Invalid):
    """That is more than can be counted exactly."""


class CurrencyDiffers(Refused):
    """The patient's credit is in another currency."""


class DepositNotFound(NotFound):
    """That patient has no such deposit."""


class DepositWasReversed(Refused):
    """That deposit was recorded by mistake and has been reversed."""


class Deposit(Frozen):
    """Money received as credit."""

    amount: Money
    method: Method
    received_on: date
    reversed: bool = False
    place_id: UUID | None = None


class Credit(State):
    kind: ClassVar[str] = "credits"
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it began, whoever's it is now
    currency: str = ""
    balance: int = 0
    since: date = EARLIEST  # the day of the first of it
    deposits: dict[UUID, Deposit] = field(default_factory=dict)
    returns: int = 0

    def evolve(self, event: CreditEvent) -> Self:
        match event:
            case CreditReceived():
                deposit = Deposit(amount=event.amount, method=event.method, received_on=event.received_on, place_id=event.place_id)
                return replace(self.begun(event, event.received_on), balance=self.balance + event.amount, deposits={**self.deposits, event.deposit_id: deposit})
            case CreditGained():
                return replace(self.begun(event, event.gained_on), balance=self.balance + event.amount)
            case CreditReversed():
                deposits = {id_: replace(one, reversed=True) if id_ == event.deposit_id else one for id_, one in self.deposits.items()}
                return replace(self, balance=self.balance - event.amount, deposits=deposits)
            case CreditUsed():
                return replace(self, balance=self.balance - event.amount)
            case CreditReturned():
                return replace(self, balance=self.balance - event.amount, returns=self.returns + 1)
            case CreditReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    def begun(self, event: CreditReceived | CreditGained, on: date) -> Self:
        since = on if self.record is None else min(self.since, on)
        return replace(self, patient_id=event.patient_id, record=self.record or event.record_id or event.patient_id, currency=event.currency, since=since)

    def receive(
        self, credit: UUID, patient: UUID, amount: int, currency: str, method: Method, on: date, today: date, purpose: str | None = None,
        appointment: UUID | None = None, *, place: UUID | None = None,
    ) -> list[Event]:
        """Take money without an invoice, or beyond one."""
        ensure_past(on, today, EARLIEST)
        ensure_positive(amount)
        if self.balance + amount > LARGEST:
            raise DepositTooLarge
        self.ensure_currency(currency)
        return [CreditReceived(
            deposit_id=uuid5(credit, f"deposits/{len(self.deposits) + 1}"), amount=amount, currency=currency, method=method, received_on=on, purpose=purpose,
            appointment_id=appointment, place_id=place, **self.owned(patient))]

    def reverse(self, deposit_id: UUID, reason: str, on: date, today: date) -> list[Event]:
        """Have a deposit not have been; as much must be left of the credit."""
        if (deposit := self.deposits.get(deposit_id)) is None:
            raise DepositNotFound(depositId=str(deposit_id))
        if deposit.reversed:
            raise DepositWasReversed
        ensure_past(on, today, deposit.received_on)
        if deposit.amount > self.balance:
            raise CreditTooSmall(there=self.balance)
        return [CreditReversed(deposit_id=deposit_id, amount=deposit.amount, method=deposit.method, reason=reason, reversed_on=on, place_id=deposit.place_id,
            **self.owned())]

    def gain(self, patient: UUID, invoice: UUID, payment: UUID, amount: int, currency: str, on: date) -> CreditGained:
        self.ensure_currency(currency)
        return CreditGained(invoice_id=invoice, payment_id=payment, amount=amount, currency=currency, gained_on=on, **self.owned(patient))

    def use(self, amount: int, invoice: UUID, payment: UUID, on: date) -> CreditUsed:
        return CreditUsed(invoice_id=invoice, payment_id=payment, amount=amount, used_on=on, **self.owned())

    def give_back(self, credit: UUID, amount: int, *, method: Method, reason: str, on: date, today: date, place: UUID | None = None) -> CreditReturned:
        ensure_past(on, today, self.since)
        return CreditReturned(
            return_id=uuid5(credit, f"returns/{self.returns + 1}"), amount=amount, method=method, reason=reason, returned_on=on, place_id=place,
            **self.owned())

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        return [CreditReassigned(patient_id=to, was_patient_id=was, deposits=list(self.deposits))] if self.record is not None and self.patient_id == was else []

    def keeper(self, who: UUID) -> UUID:
        """The record under which it began."""
        return self.record or who

    def owned(self, patient: UUID | None = None) -> dict[str, Any]:
        """Whose it is, and under which record it began if that is another one."""
        whose = self.patient_id if self.record is not None else patient
        return {"patient_id": whose, "record_id": None if self.record in {None, whose} else self.record}

    def ensure_currency(self, currency: str) -> None:
        if self.balance and self.currency != currency:
            raise CurrencyDiffers(currency=self.currency)


def credit_of(patient: UUID) -> UUID:
    """Return the id of the credit of a patient's record."""
    return uuid5(patient, "credit")


def there(found: Mapping[UUID, Credit], patient: UUID, currency: str) -> int:
    """Return how much a patient has in a currency."""
    return sum(credit.balance for credit in found.values() if credit.patient_id == patient and credit.currency == currency)


def taken_from(found: Mapping[UUID, Credit], patient: UUID, amount: int, currency: str) -> dict[UUID, int]:
    """Return how much of an amount comes from which of a patient's credits, the first one first; refuse more than there is."""
    ensure_positive(amount)
    if amount > (most := there(found, patient, currency)):
        raise CreditTooSmall(there=most)
    parts, left = {}, amount
    for id_, credit in found.items():
        if credit.patient_id == patient and credit.currency == currency and (part := min(left, credit.balance)):
            parts[id_] = part
            left -= part
    return parts
