"""All that clinics pay, and what happened to it: folded from licences, subscriptions, invoices, requests and payouts."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, get_args

from msgspec.structs import replace

from domain.clinics import (
    ClinicChanged,
    ClinicDeactivated,
    ClinicDeleted,
    ClinicEvent,
    ClinicLicensed,
    ClinicOpened,
    ClinicPlanChanged,
    ClinicReactivated,
)
from domain.kit import Fact, NotFound, only
from domain.kit.licences import Licence
from domain.referral_payouts import ClinicReferralEvent, ReferralPayoutEvent
from domain.seats import seats_of
from domain.subscription_invoices import (
    SubscriptionInvoiceEvent,
    SubscriptionInvoiceIssued,
    SubscriptionInvoicePaid,
    SubscriptionInvoiceVoided,
)
from domain.subscriptions import SubscriptionEvent
from domain.upgrades import UpgradeInviteEvent, UpgradeRequestEvent
from projections.kit import projects
from projections.kit.reading import Reader
from projections.subscriptions import changed
from schemas.billing import BillingLogRow, BillingOverview, ClinicBillingRow, OpenInvoice, Owed, SeatUsage
from schemas.seats import SeatsRow

PAID = ("status", "price", "currency", "interval", "next_bill_at", "cancels", "last_paid_at", "payment_failed_at")
"""What a subscription's events say here; plan and seats are the licence's to say."""


def of_clinic(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return [(fact.clinic,)]


@projects(
    ClinicBillingRow, key=of_clinic,
    of=ClinicEvent | SubscriptionEvent | SubscriptionInvoiceIssued | SubscriptionInvoicePaid | SubscriptionInvoiceVoided,
)
def clinic_billing(row: ClinicBillingRow | None, fact: Fact, key: tuple[Any, ...]) -> ClinicBillingRow:
    row = row or ClinicBillingRow(clinic=key[0])
    match fact.event:
        case SubscriptionInvoiceIssued() as issued:
            return invoiced(row, [*row.open_invoices, OpenInvoice(id=fact.id, currency=issued.currency, amount=issued.total)])
        case SubscriptionInvoicePaid() | SubscriptionInvoiceVoided():
            return invoiced(row, [one for one in row.open_invoices if one.id != fact.id])
        case event if isinstance(event, get_args(SubscriptionEvent)):
            return replace(row, **{name: value for name, value in changed(event).items() if name in PAID})
    return replace(row, **of_licence(fact.event))


def of_licence(event: Any) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of event
    """Return what a clinic's own event changes."""
    match event:
        case ClinicOpened(name=name, plan=plan):
            return {"name": name, "plan": plan}
        case ClinicChanged(name=name):
            return {"name": name}
        case ClinicPlanChanged(plan=plan):
            return {"plan": plan}
        case ClinicLicensed():
            return only(Licence, event)
        case ClinicDeactivated() | ClinicDeleted():
            return {"active": False}
        case ClinicReactivated():
            return {"active": True}
    return {}


def invoiced(row: ClinicBillingRow, left: list[OpenInvoice]) -> ClinicBillingRow:
    sums: dict[str, int] = {}
    for invoice in left:
        sums[invoice.currency] = sums.get(invoice.currency, 0) + invoice.amount
    return replace(row, open_invoices=left, owed=[Owed(currency=currency, amount=amount) for currency, amount in sorted(sums.items())])


def each(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return ((fact.position,),)


@projects(
    BillingLogRow, key=each, fresh=True,
    of=(
        ClinicLicensed | ClinicPlanChanged | SubscriptionEvent | SubscriptionInvoiceEvent | UpgradeRequestEvent | UpgradeInviteEvent | ClinicReferralEvent
        | ReferralPayoutEvent
    ),
)
def billing_log(_: BillingLogRow | None, fact: Fact, __: tuple[Any, ...]) -> BillingLogRow:
    event = fact.event
    amount = next((found for name in ("amount", "total", "price") if (found := getattr(event, name, None)) is not None), None)
    return BillingLogRow(
        seq=fact.position, clinic=fact.clinic, recorded_at=fact.recorded_at, actor=fact.actor, action=type(event).__name__, entity_type=fact.kind,
        entity_id=fact.id, amount=amount, currency=getattr(event, "currency", None),
    )


async def overview(reader: Reader, now: datetime) -> BillingOverview:
    """Return what the reader's clinic has and pays, and how much of it is in use."""
    row = await reader.one(ClinicBillingRow, reader.clinic)
    if row is None:
        raise NotFound
    taken = await reader.one(SeatsRow, seats_of(reader.clinic))
    held = [seat for seat in (taken.held if taken else []) if seat.until is None or seat.until > now]
    users = SeatUsage(used=len(held), limit=row.users)
    doctors = SeatUsage(used=sum(1 for seat in held if seat.role == "doctor"), limit=row.doctors)
    told = {name: getattr(row, name) for name in BillingOverview.__struct_fields__ if name not in {"users", "doctors"}}
    return BillingOverview(**told, users=users, doctors=doctors)
