"""How a clinic pays, as a row."""

from typing import Any

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.kit.licences import Plan
from domain.kit.prices import Interval
from domain.subscriptions import (
    CheckoutStarted,
    CustomSubscriptionAgreed,
    PaymentCustomerLinked,
    PaymentMethodPreferred,
    PaymentMethodRemoved,
    PlanNotOffered,
    SubscriptionChanged,
    SubscriptionEnded,
    SubscriptionEvent,
    SubscriptionPaid,
    SubscriptionPaymentFailed,
    SubscriptionStarted,
    Terms,
    Told,
)
from projections.kit import projects
from projections.kit.reading import Reader
from projections.plans import every_plan
from schemas.subscriptions import PaymentStatus, SubscriptionRow


@projects(SubscriptionRow, of=SubscriptionEvent)
def subscriptions(row: SubscriptionRow | None, fact: Fact) -> SubscriptionRow:
    row = row or SubscriptionRow(id=fact.id, clinic=fact.clinic, status="none")
    return replace(row, **changed(fact.event))


def changed(event: Any) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of event
    """Return what an event changes."""
    match event:
        case PaymentCustomerLinked(customer=customer):
            return {"customer": customer}
        case SubscriptionStarted(told=told) | SubscriptionChanged(told=told):
            return {**of(told), "agreed_until": None}
        case SubscriptionEnded(told=told):
            return {**of(told), "next_bill_at": None}
        case SubscriptionPaid(paid_at=at):
            return {"last_paid_at": at, "payment_failed_at": None}
        case SubscriptionPaymentFailed(failed_at=at):
            return {"payment_failed_at": at}
        case CustomSubscriptionAgreed(until=until):
            return {**only(Terms, event), "status": "custom", "agreed_until": until, "next_bill_at": None, "cancels": False, "ended_at": None}
        case CheckoutStarted() | PaymentMethodPreferred() | PaymentMethodRemoved():
            return {}
    raise TypeError(type(event))


def of(told: Told) -> dict[str, Any]:
    next_bill = None if told.cancels else told.period_ends_at
    return {
        **only(Terms, told), "status": told.standing, "subscription": told.code, "next_bill_at": next_bill, "cancels": told.cancels, "ended_at": told.ended_at,
    }


async def payment_status(reader: Reader) -> PaymentStatus:
    """Return how the reader's clinic pays just now."""
    found = await reader.find(SubscriptionRow, clinic=reader.clinic)
    if not found:
        return PaymentStatus(status="none")
    return PaymentStatus(**only(PaymentStatus, found[0]))


async def terms_of(reader: Reader, plan: Plan, interval: Interval) -> Terms:
    """Return what a plan costs and contains as it is offered now; the reader is the platform's."""
    offer = next((one for one in await every_plan(reader) if one.plan == plan and one.offered), None)
    if offer is None:
        raise PlanNotOffered(plan=plan)
    price = offer.yearly if interval == "year" else offer.monthly
    return Terms(plan=plan, users=offer.users, doctors=offer.doctors, price=price, currency=offer.currency, interval=interval)
