"""Card payments: a patient pays an invoice, or the deposit for a visit, by the link to it, at the payment service's own page; whatever is paid there is recorded once, and what the invoice cannot take is the patient's credit."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import PLATFORM, AppointmentId, Event, Frozen, InvoiceId, Money, NotFound, Positive, Reason, Refused, State, only

CheckoutCode = Annotated[str, Meta(pattern=r"^cs_[A-Za-z0-9_]{1,250}$", description="The payment service's name of its page.", examples=["cs_test_a1B2c3"])]
ChargeCode = Annotated[str, Meta(pattern=r"^(pi|py|ch)_[A-Za-z0-9_]{1,250}$", description="The payment service's name of the payment.", examples=["pi_3MtwBw"])]
RefundCode = Annotated[str, Meta(pattern=r"^(re|pyr)_[A-Za-z0-9_]{1,250}$", description="The payment service's name of what it gave back.", examples=["re_1Nispe"])]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", examples=["EUR"])]
WhyNot = Literal["paid-otherwise", "invoice-void", "currency-differs", "visit-gone"]
"""Why an invoice could not take all that was paid: it had been paid meanwhile, was void by then, or is in another currency; or why a deposit is nobody's: the visit was struck out."""


class What(Frozen):
    """What is paid: an invoice, or the deposit for a visit."""

    invoice_id: InvoiceId | None = None
    appointment_id: AppointmentId | None = None

    @property
    def of(self) -> UUID:
        """The id of either."""
        return self.invoice_id or self.appointment_id or PLATFORM


class Asked(What):
    """What the patient was asked to pay, on which page, until when."""

    checkout: CheckoutCode
    amount: Positive
    currency: Currency
    until: datetime


class CheckoutOpened(Asked, Event): ...


class CheckoutLapsed(Event):
    """Nobody paid on that page, and nobody can any more."""


class CardPaymentReceived(What, Event):
    """The payment service has the money. What the invoice took is a payment on it, and the rest the patient's credit; what cannot be that is kept, until it is given back."""

    checkout: CheckoutCode
    charge: ChargeCode
    amount: Positive
    currency: Currency
    received_on: date
    applied: Money
    payment_id: UUID | None = None
    credited: Money = 0
    kept: Money = 0
    because: WhyNot | None = None


class CardPaymentReturned(Event):
    """The payment service gave a part back: of what was kept, then of the patient's credit, then of what the invoice had taken."""

    refund: RefundCode
    amount: Positive
    kept: Money
    credited: Money = 0
    taken: Money = 0
    payment_refund_id: UUID | None = None
    reason: Reason


CardPaymentEvent = CheckoutOpened | CheckoutLapsed | CardPaymentReceived | CardPaymentReturned


class ReturnTooLarge(Refused):
    """That is more than is left of the card payment."""


class Paid(Frozen):
    """What the payment service says was paid."""

    charge: ChargeCode
    amount: Positive
    currency: Currency
    received_on: date


class CardPayment(State):
    """One page of the payment service's, on which an invoice is paid or not."""

    kind: ClassVar[str] = "card_payments"
    what: What = What()
    checkout: str = ""
    amount: Money = 0
    status: Literal["none", "open", "lapsed", "received"] = "none"
    charge: str = ""
    currency: str = ""
    kept: Money = 0
    credited: Money = 0  # that has not been given back by the payment service
    payment_id: UUID | None = None
    returns: frozenset[str] = frozenset()
    returned: Money = 0

    def evolve(self, event: CardPaymentEvent) -> Self:
        match event:
            case CheckoutOpened():
                return replace(self, status="open", what=What(**only(What, event)), checkout=event.checkout, amount=event.amount, currency=event.currency)
            case CheckoutLapsed():
                return replace(self, status="lapsed")
            case CardPaymentReceived():
                return replace(
                    self, status="received", what=What(**only(What, event)), checkout=event.checkout, amount=event.amount, currency=event.currency,
                    charge=event.charge, kept=event.kept, credited=event.credited, payment_id=event.payment_id)
            case CardPaymentReturned():
                return replace(
                    self, kept=self.kept - event.kept, credited=self.credited - event.credited, returns=self.returns | {event.refund},
                    returned=self.returned + event.amount)

    def open(self, asked: Asked) -> list[Event]:
        """Note that the patient was sent to a page; twice is once."""
        return [CheckoutOpened(**only(Asked, asked))] if self.status == "none" else []

    def lapse(self) -> list[Event]:
        return [CheckoutLapsed()] if self.status == "open" else []

    def receive(self, this: UUID, what: What, checkout: str, paid: Paid, room: int, otherwise: WhyNot | None) -> list[CardPaymentReceived]:
        """Record what was paid, once: as far as the invoice has room it is a payment on that, and the rest is credit, if it can be."""
        if self.status == "received":
            return []
        applied = min(paid.amount, room)
        rest, creditable = paid.amount - applied, otherwise not in {"currency-differs", "visit-gone"}
        return [CardPaymentReceived(
            **only(What, what), checkout=checkout, charge=paid.charge, amount=paid.amount, currency=paid.currency, received_on=paid.received_on,
            applied=applied, payment_id=payment_of(this) if applied else None, credited=rest if creditable else 0, kept=0 if creditable else rest,
            because=otherwise if rest else None)]

    def give_back(self, refund: str, amount: int, reason: str, *, credit: int, left: int, refund_id: UUID) -> list[CardPaymentReturned]:
        """Note what was given back, once; it has happened, so whatever credit and invoice have become meanwhile keeps nothing from being noted."""
        self.ensure_there()
        if refund in self.returns:
            return []
        if self.returned + amount > self.amount:
            raise ReturnTooLarge(left=self.amount - self.returned)
        kept = min(amount, self.kept)
        credited = min(amount - kept, self.credited, credit)
        taken = min(amount - kept - credited, left)
        return [CardPaymentReturned(
            refund=refund, amount=amount, kept=kept, credited=credited, taken=taken,
            payment_refund_id=refund_id if taken else None, reason=reason)]

    def ensure_there(self) -> None:
        if self.status != "received":
            raise NotFound


def card_payment_of(what: UUID, checkout: str) -> UUID:
    """Return the id of what is paid for an invoice, or a visit, on one page of the payment service's."""
    return uuid5(what, f"card-payments/{checkout}")


def payment_of(card_payment: UUID) -> UUID:
    """Return the id of the payment that a card payment becomes on its invoice."""
    return uuid5(card_payment, "payment")
