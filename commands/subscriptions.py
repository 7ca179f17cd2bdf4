"""What may be asked about how a clinic pays, and what Stripe tells us about it."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Decision, Look
from domain.clinics import Clinic
from domain.kit import At, ClinicId, Elsewhere, Event, Frozen, Reason
from domain.kit.licences import Licence, Until
from domain.subscriptions import (
    Charge,
    CheckoutCode,
    CustomerCode,
    MethodCode,
    Moment,
    Subscription,
    Terms,
    Told,
    subscription_of,
)


class Paying(Frozen):
    """Something about the subscription of the clinic in which it is asked."""

    def stream(self, at: At) -> UUID:
        return subscription_of(at.clinic)


class StartCheckout(Paying, Creation, Terms):
    """Begin to pay by card: a checkout at Stripe, to which the answer sends you."""

    state = Subscription
    permission = "admin"
    customer: CustomerCode
    checkout: CheckoutCode

    def decide(self, subscription: Subscription, at: At) -> list[Event]:
        return subscription.check_out(self.customer, self.checkout, self, at.today)


class OpenPortal(Paying, Creation):
    """Open Stripe's customer portal, in which the clinic sees its receipts and changes or cancels its subscription."""

    state = Subscription
    permission = "admin"
    customer: CustomerCode

    def decide(self, subscription: Subscription, at: At) -> list[Event]:
        return subscription.link(self.customer)


class PreferPaymentMethod(Paying, Creation):
    """Pay this way from now on."""

    state = Subscription
    permission = "admin"
    method: MethodCode

    def decide(self, subscription: Subscription, at: At) -> list[Event]:
        return subscription.prefer(self.method)


class RemovePaymentMethod(Paying, Creation):
    """Remove a way to pay; the last one stays while a subscription runs."""

    state = Subscription
    permission = "admin"
    method: MethodCode

    def decide(self, subscription: Subscription, at: At) -> list[Event]:
        return subscription.remove(self.method)


class HearStripe(Paying, Creation):
    """Hear what happened at Stripe, which signs every message: a subscription as it is now, and money that came or did not; the clinic's licence follows."""

    state = Subscription
    permission = "public"
    told: Told
    asked_at: Moment
    charge: Charge | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.require(Clinic, look.at.clinic)}

    def decide(self, subscription: Subscription, at: At, *, clinic: Clinic) -> Decision:
        heard = subscription.hear(self.told, self.asked_at)
        charged = subscription.charge(self.told.code, self.charge) if self.charge is not None else []
        if heard is None:
            return [*charged]
        return [heard, *charged, *licensed(clinic, subscription.evolve(heard).licensed(clinic.licence, at.zone), at, None)]


class AgreeCustomSubscription(Paying, Creation, Terms):
    """Give a clinic a subscription of its own, agreed outside of the price list and paid by invoice; its licence follows at once."""

    state = Subscription
    permission = "superadmin"
    clinic_id: ClinicId
    until: Until
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.require(Clinic, look.at.clinic)}

    def decide(self, subscription: Subscription, at: At, *, clinic: Clinic) -> Decision:
        agreed = subscription.agree(self, self.until, self.reason, at.today)
        wanted = Licence(plan=self.plan, users=self.users, doctors=self.doctors, until=self.until)
        return [*agreed, *licensed(clinic, wanted, at, self.reason)]


def licensed(clinic: Clinic, wanted: Licence, at: At, reason: str | None) -> list[Elsewhere]:
    """Return the clinic's new licence, to be saved together with what it follows from."""
    events = clinic.license(wanted, reason)
    return [Elsewhere(state=Clinic, id=at.clinic, events=events)] if events else []
