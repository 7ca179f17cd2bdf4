"""Subscriptions: how a clinic pays for the software, by card through Stripe or by an agreement of its own."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Money, NotFound, Reason, Refused, State, day, only
from domain.kit.letters import letter
from domain.kit.licences import Licence, Plan, SeatCount, Until
from domain.kit.prices import CurrencyCode, Interval

CustomerCode = Annotated[str, Meta(pattern=r"^cus_[A-Za-z0-9_]{1,60}$", description="Stripe's id of whoever pays.", examples=["cus_Qx7dY2"])]
CheckoutCode = Annotated[str, Meta(pattern=r"^cs_[A-Za-z0-9_]{1,120}$", description="Stripe's id of a checkout.", examples=["cs_test_a1b2"])]
SubscriptionCode = Annotated[str, Meta(pattern=r"^sub_[A-Za-z0-9_]{1,60}$", description="Stripe's id of a subscription.", examples=["sub_1Pq9"])]
BillCode = Annotated[str, Meta(pattern=r"^in_[A-Za-z0-9_]{1,60}$", description="Stripe's id of an invoice of its own.", examples=["in_1Pq9"])]
MethodCode = Annotated[str, Meta(pattern=r"^(pm|card|src)_[A-Za-z0-9_]{1,60}$", description="Stripe's id of a way to pay.", examples=["pm_1Pq9"])]
Moment = Annotated[datetime, Meta(tz=True)]
Standing = Literal["incomplete", "incomplete_expired", "trialing", "active", "past_due", "unpaid", "paused", "canceled"]

PRODUCTS: dict[Plan, str] = {"Pro": "anamnesis-pro", "Pro+": "anamnesis-pro-plus", "Enterprise": "anamnesis-enterprise"}
"""The plans as Stripe knows them: what is paid for says which plan it is, whoever changed it and wherever."""

LIVE: frozenset[Standing] = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
PAID_FOR: frozenset[Standing] = frozenset({"trialing", "active"})
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
GRACE = timedelta(days=3)  # a renewal's payment comes some hours after the period's end, and a card may fail once


class Terms(Frozen):
    """What is paid for, and how much."""

    plan: Plan
    users: SeatCount | None = None
    doctors: SeatCount | None = None
    price: Money
    currency: CurrencyCode
    interval: Interval


class Told(Terms):
    """A subscription as Stripe tells it."""

    code: SubscriptionCode
    standing: Standing
    began_at: Moment
    period_ends_at: Moment
    cancels: bool = False  # at the end of its period
    ended_at: Moment | None = None


class Asked(Frozen):
    """What Stripe said, and when we began to ask: an answer to a later question outranks one to an earlier."""

    told: Told
    asked_at: Moment


class Charge(Frozen):
    """One attempt to take money for a subscription."""

    bill: BillCode
    amount: Money
    currency: CurrencyCode
    charged_at: Moment
    paid: bool
    attempt: Annotated[int, Meta(ge=0, le=1000)] = 1


class PaymentCustomerLinked(Event):
    customer: CustomerCode


class CheckoutStarted(Event, Terms):
    checkout: CheckoutCode


class SubscriptionStarted(Event, Asked): ...


class SubscriptionChanged(Event, Asked): ...


class SubscriptionEnded(Event, Asked): ...


class SubscriptionPaid(Event):
    code: SubscriptionCode
    bill: BillCode
    amount: Money
    currency: CurrencyCode
    paid_at: Moment


class SubscriptionPaymentFailed(Event):
    code: SubscriptionCode
    bill: BillCode
    amount: Money
    currency: CurrencyCode
    failed_at: Moment
    attempt: int


class PaymentMethodPreferred(Event):
    method: MethodCode


class PaymentMethodRemoved(Event):
    method: MethodCode


class CustomSubscriptionAgreed(Event, Terms):
    until: Until
    reason: Reason


SubscriptionEvent = (
    PaymentCustomerLinked | CheckoutStarted | SubscriptionStarted | SubscriptionChanged | SubscriptionEnded | SubscriptionPaid
    | SubscriptionPaymentFailed | PaymentMethodPreferred | PaymentMethodRemoved | CustomSubscriptionAgreed
)


Heard = SubscriptionStarted | SubscriptionChanged | SubscriptionEnded


PAYMENT_FAILED = letter(
    "billing.payment-failed", "Tells a clinic that its card was not charged.", {"amount": "199.00 EUR"},
    en=("Your payment did not go through", """
Dear {{name}},

{{amount}} for the subscription of {{clinic}} could not be charged. Please see to your way of paying, so that nothing stops: {{url}}/billing
"""),
    es=("Su pago no se ha realizado", """
Hola, {{name}}:

No se han podido cobrar {{amount}} por la suscripción de {{clinic}}. Revise su forma de pago para que nada se detenga: {{url}}/billing
"""),
)


class SubscriptionRunning(Refused):
    """The clinic already pays by a running subscription. Change or cancel it in the customer portal first."""


class CustomSubscriptionRunning(Refused):
    """The clinic has a subscription of its own that was agreed with us. Ask us to change it."""


class PlanNotOffered(Refused):
    """That plan is not for sale just now. Choose another one, or ask us."""


class AgreementOver(Refused):
    """A subscription cannot be agreed up to a day that has passed."""

    status = 400


class LastPaymentMethod(Refused):
    """The running subscription is paid this way and there is no other. Add another way to pay first."""


class Subscription(State):
    """How one clinic pays; there is one for each, whose id follows from the clinic's."""

    kind: ClassVar[str] = "subscriptions"
    customer: str | None = None
    told: Told | None = None
    asked_at: datetime | None = None
    agreed: date | None = None  # the last day of what was agreed with us
    preferred: str | None = None
    charges: tuple[tuple[str, bool, int], ...] = ()  # the latest that are known: bill, paid, attempt

    def evolve(self, event: SubscriptionEvent) -> Self:  # noqa: PLR0911 - one for each kind of event
        match event:
            case PaymentCustomerLinked(customer=customer):
                return replace(self, customer=customer)
            case SubscriptionStarted(told=told, asked_at=asked):
                return replace(self, told=told, asked_at=asked, agreed=None)
            case SubscriptionChanged(told=told, asked_at=asked) | SubscriptionEnded(told=told, asked_at=asked):
                return replace(self, told=told, asked_at=asked)
            case SubscriptionPaid(bill=bill):
                return self._charged(bill, paid=True, attempt=0)
            case SubscriptionPaymentFailed(bill=bill, attempt=attempt):
                return self._charged(bill, paid=False, attempt=attempt)
            case CustomSubscriptionAgreed(until=until):
                return replace(self, agreed=until)
            case PaymentMethodPreferred(method=method):
                return replace(self, preferred=method)
            case PaymentMethodRemoved(method=method):
                return replace(self, preferred=None if self.preferred == method else self.preferred)
            case CheckoutStarted():
                return self

    def _charged(self, bill: str, *, paid: bool, attempt: int) -> Self:
        return replace(self, charges=(*self.charges, (bill, paid, attempt))[-50:])

    @property
    def runs(self) -> bool:
        return self.told is not None and self.told.standing in LIVE

    def link(self, customer: str) -> list[Event]:
        return [] if customer == self.customer else [PaymentCustomerLinked(customer=customer)]

    def check_out(self, customer: str, checkout: str, terms: Terms, today: date) -> list[Event]:
        self.ensure_free(today)
        return [*self.link(customer), CheckoutStarted(**only(Terms, terms), checkout=checkout)]

    def ensure_free(self, today: date) -> None:
        """Refuse a second subscription: the clinic would pay twice."""
        if self.runs:
            raise SubscriptionRunning
        if self.agreed is not None and self.agreed >= today:
            raise CustomSubscriptionRunning(until=self.agreed.isoformat())

    def hear(self, told: Told, asked_at: datetime) -> Heard | None:
        """Take what Stripe says, whatever order it is heard in: an older answer changes nothing, nor does the end of a subscription that was replaced."""
        known = self.told
        if known == told or (self.asked_at is not None and asked_at <= self.asked_at):
            return None
        if known is None or known.code != told.code:
            newer = known is None or not self.runs or told.began_at >= known.began_at
            return SubscriptionStarted(told=told, asked_at=asked_at) if newer and told.standing in LIVE else None
        over = told.standing not in LIVE and known.standing in LIVE
        return (SubscriptionEnded if over else SubscriptionChanged)(told=told, asked_at=asked_at)

    def charge(self, code: str, charge: Charge) -> list[Event]:
        """Note that money came, or did not; once for each bill and attempt."""
        bill, amount, currency, when = charge.bill, charge.amount, charge.currency, charge.charged_at
        if (bill, charge.paid, 0 if charge.paid else charge.attempt) in self.charges:
            return []
        if charge.paid:
            return [SubscriptionPaid(code=code, bill=bill, amount=amount, currency=currency, paid_at=when)]
        return [SubscriptionPaymentFailed(code=code, bill=bill, amount=amount, currency=currency, failed_at=when, attempt=charge.attempt)]

    def licensed(self, held: Licence, zone: str) -> Licence:
        """Return the licence that follows from the subscription: to the period's end and a little longer while it is paid for, and not beyond its own end."""
        told = self.told
        if told is None:
            return held
        if told.standing in PAID_FOR:
            until = day_of(told.period_ends_at, zone) + (timedelta(0) if told.cancels else GRACE)
            return replace(held, plan=told.plan, users=told.users, doctors=told.doctors, until=until, trial=told.standing == "trialing")
        if told.standing in LIVE or told.ended_at is None:
            return held
        ended = day_of(told.ended_at, zone)
        return replace(held, until=ended if held.until is None else min(ended, held.until))

    def agree(self, terms: Terms, until: date, reason: str, today: date) -> list[Event]:
        if self.runs:
            raise SubscriptionRunning
        if until < today:
            raise AgreementOver(until=until.isoformat())
        return [CustomSubscriptionAgreed(**only(Terms, terms), until=until, reason=reason)]

    def prefer(self, method: str) -> list[Event]:
        if self.customer is None:
            raise NotFound
        return [] if method == self.preferred else [PaymentMethodPreferred(method=method)]

    def remove(self, method: str) -> list[Event]:
        if self.customer is None:
            raise NotFound
        return [PaymentMethodRemoved(method=method)]

    def ensure_payable(self, others: int) -> None:
        """Refuse to take away the last way to pay while something is to be paid."""
        if self.runs and not others:
            raise LastPaymentMethod


def day_of(moment: datetime, zone: str) -> date:
    """Return the clinic's day of an instant; one that no calendar reaches counts as the last that some does."""
    return day(min(max(moment, EARLIEST), LATEST), zone)


def subscription_of(clinic: UUID) -> UUID:
    """Return the id of a clinic's subscription."""
    return uuid5(clinic, "subscription")
