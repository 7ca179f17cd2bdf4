"""Fees for visits that were missed, or cancelled by their patient too late: charged once by the clinic's own rule, forgiven with a reason, and taken back with the visit.

How it works: a rule counts for a kind of visit, or for all that have none of their own, and says what is charged for missing it and for cancelling it less than so many hours before. Each visit has
one stream, so there is one fee however many look. What was looked at and costs nothing is noted too, with the reason why.
"""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    AppointmentId,
    AppointmentTypeId,
    Event,
    Frozen,
    Invalid,
    InvoiceId,
    Money,
    NotFound,
    Reason,
    Refused,
    State,
    Text,
    only,
)
from domain.kit.bills import Price, Rate

FeeCause = Literal["no-show", "late-cancellation"]
SpareReason = Literal["no-rule", "in-time", "inactive"]
"""Why nothing is charged: there is no rule for that, the visit was cancelled in time, or the patient's record is archived or another one's by now."""


class FeeRule(Frozen):
    """What is charged for missing a visit, and for cancelling it less than so many hours before; nothing if it is zero. Amounts are with the tax that is in them.

    With `forfeit` no less is charged than was paid beforehand for that visit.
    """

    type_id: AppointmentTypeId | None = None  # none: for every kind that has no rule of its own
    no_show: Price = 0
    late_cancellation: Price = 0
    notice: Annotated[int, Meta(ge=1, le=24 * 30, description="Hours before a visit; whoever cancels later than that pays.")] = 24
    tax_rate: Rate = 0
    forfeit: bool = False


class FeeRules(Frozen):
    """Whether and how fees are charged.

    A visit that is marked as missed by mistake can be struck out or its fee forgiven within `grace` minutes before anything is written. With `issue` the invoice is issued at once, else it is a draft for
    somebody to look at; with `useDeposit` what the patient paid beforehand for that visit pays for it, as far as it goes.
    """

    enabled: bool = False
    rules: Annotated[list[FeeRule], Meta(max_length=100)] = field(default_factory=list)
    grace: Annotated[int, Meta(ge=0, le=7 * 24 * 60, description="Minutes.")] = 60
    issue: bool = False
    use_deposit: bool = True
    no_show_text: Text = "Missed appointment"
    late_text: Text = "Appointment cancelled late"


class FeeSettingsChanged(Event, FeeRules): ...


class VisitFeeCharged(Event):
    """It is a draft, or an issued invoice, of the patient's."""

    appointment_id: AppointmentId
    cause: FeeCause
    invoice_id: InvoiceId
    amount: Money
    currency: str
    from_deposit: Money = 0


class VisitFeeSpared(Event):
    """Nothing is charged, and why not."""

    appointment_id: AppointmentId
    cause: FeeCause
    why: SpareReason


class VisitFeeWaived(Event):
    """It was forgiven: the draft is gone, the invoice void, or credited if it was paid."""

    appointment_id: AppointmentId
    reason: Reason


class VisitFeeWithdrawn(Event):
    """The visit was struck out, or not missed after all, and the fee goes with that."""

    appointment_id: AppointmentId


FeeSettingsEvent = FeeSettingsChanged
VisitFeeEvent = VisitFeeCharged | VisitFeeSpared | VisitFeeWaived | VisitFeeWithdrawn


class FeeRuleTwice(Invalid):
    """There is one rule for a kind of visit, and one for all others."""


class VisitFeeSettled(Refused):
    """That fee has been forgiven already, or was never charged."""


class FeeSettings(State):
    """How a clinic charges for visits that did not take place."""

    kind: ClassVar[str] = "fee_settings"
    rules: FeeRules = FeeRules()

    def evolve(self, event: FeeSettingsEvent) -> Self:
        return replace(self, rules=FeeRules(**only(FeeRules, event)))

    def change(self, wanted: FeeRules) -> list[Event]:
        kinds = [rule.type_id for rule in wanted.rules]
        if len({*kinds}) < len(kinds):
            raise FeeRuleTwice
        rules = FeeRules(**only(FeeRules, wanted))
        return [] if rules == self.rules else [FeeSettingsChanged(**only(FeeRules, rules))]

    def rule_for(self, kind: UUID | None) -> FeeRule | None:
        """Return the rule for a kind of visit: its own, or the one for all others."""
        return min((rule for rule in self.rules.rules if rule.type_id in {None, kind}), key=lambda rule: rule.type_id is None, default=None)

    def price(self, cause: FeeCause, kind: UUID | None, ahead: timedelta, deposited: int = 0) -> tuple[FeeRule, int] | SpareReason:
        """Return what is charged, and by which rule; or why nothing. `ahead` is how long before the visit it was cancelled, and so much was paid beforehand for it."""
        rule = self.rule_for(kind)
        amount = 0 if rule is None else rule.no_show if cause == "no-show" else rule.late_cancellation
        if rule is not None and rule.forfeit:
            amount = max(amount, deposited)
        if rule is None or not amount:
            return "no-rule"
        if cause == "late-cancellation" and ahead >= timedelta(hours=rule.notice):
            return "in-time"
        return rule, amount

    def text(self, cause: FeeCause) -> str:
        return self.rules.no_show_text if cause == "no-show" else self.rules.late_text


class VisitFee(State):
    """What a visit that did not take place costs its patient."""

    kind: ClassVar[str] = "visit_fees"
    appointment_id: UUID | None = None
    status: Literal["none", "charged", "spared", "waived", "withdrawn"] = "none"
    invoice_id: UUID | None = None
    charges: int = 0  # how often: a visit may be missed again that had not been missed after all

    def evolve(self, event: VisitFeeEvent) -> Self:
        match event:
            case VisitFeeCharged():
                return replace(self, status="charged", appointment_id=event.appointment_id, invoice_id=event.invoice_id, charges=self.charges + 1)
            case VisitFeeSpared():
                return replace(self, status="spared", appointment_id=event.appointment_id)
            case VisitFeeWaived():
                return replace(self, status="waived")
            case VisitFeeWithdrawn():
                return replace(self, status="withdrawn")

    def waive(self, reason: str) -> list[Event]:
        if self.appointment_id is None:
            raise NotFound
        if self.status != "charged":
            raise VisitFeeSettled
        return [VisitFeeWaived(appointment_id=self.appointment_id, reason=reason)]

    def withdraw(self) -> list[Event]:
        return [VisitFeeWithdrawn(appointment_id=self.appointment_id)] if self.status == "charged" and self.appointment_id is not None else []


def due(ended_at: datetime, rules: FeeRules, now: datetime) -> bool:
    """Say whether it is time to charge a fee."""
    return now - ended_at >= timedelta(minutes=rules.grace)


def fee_settings_of(clinic: UUID) -> UUID:
    """Return the id of a clinic's rules for fees."""
    return uuid5(clinic, "fee-settings")


def visit_fee_of(appointment: UUID) -> UUID:
    """Return the id of a visit's fee: there is one at most."""
    return uuid5(appointment, "fee")


def fee_invoice_of(appointment: UUID, no: int = 1) -> UUID:
    """Return the id of the invoice with which a visit's fee is charged for the first time, or once more after it was withdrawn."""
    return uuid5(appointment, f"fee-invoices/{no}")
