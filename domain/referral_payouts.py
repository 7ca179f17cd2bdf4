"""Referral payouts: a clinic brings another one, and has its commission paid out; each referral is paid for once."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Claim,
    Event,
    Frozen,
    Invalid,
    Money,
    Note,
    NotFound,
    Personal,
    Reason,
    Ref,
    Refused,
    State,
    Text,
    UniqueClaim,
    only,
)
from domain.kit.letters import letter
from domain.kit.prices import CurrencyCode

ClinicReferralId = Annotated[UUID, Ref("clinic_referrals")]
ClinicReferralIds = Annotated[list[ClinicReferralId], Meta(min_length=1, max_length=50)]
MailAddress = Annotated[str, Meta(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$", examples=["office@dental.example"])]


class Recommended(Frozen):
    """Whom a clinic has recommended us to."""

    clinic_name: Text
    contact: Annotated[Text | None, Personal()] = None
    email: Annotated[MailAddress | None, Personal()] = None
    note: Annotated[Note | None, Personal()] = None


class ClinicReferred(Event, Recommended):
    referred_on: date


class ClinicReferralWithdrawn(Event): ...


class ReferralPayoutRequested(Event):
    referrals: ClinicReferralIds
    amount: Money
    currency: CurrencyCode
    note: Annotated[Note | None, Personal()] = None


class ReferralPayoutApproved(Event):
    amount: Money
    currency: CurrencyCode
    reason: Reason | None = None
    decided_on: date


class ReferralPayoutRejected(Event):
    reason: Reason
    decided_on: date


class ReferralPayoutFormSent(Event):
    """It was asked to be sent; the letter follows, and says this."""

    sent_on: date
    amount: Money = 0
    currency: CurrencyCode | None = None


ClinicReferralEvent = ClinicReferred | ClinicReferralWithdrawn
ReferralPayoutEvent = ReferralPayoutRequested | ReferralPayoutApproved | ReferralPayoutRejected | ReferralPayoutFormSent


PAYOUT_FORM = letter(
    "billing.payout-form", "Asks a clinic to which account its commission goes.", {"amount": "250.00 EUR"},
    en=("Your referral commission", """
Dear {{name}},

Thank you for recommending us. For your commission of {{amount}} please answer this letter with the holder, the number (IBAN) and the bank of the account to which we may transfer it.
"""),
    es=("Su comisión por recomendación", """
Hola, {{name}}:

Gracias por recomendarnos. Para su comisión de {{amount}}, responda a esta carta con el titular, el número (IBAN) y el banco de la cuenta a la que podemos transferirla.
"""),
)
PAYOUT_APPROVED = letter(
    "billing.payout-approved", "Tells a clinic that its commission was approved.", {"amount": "250.00 EUR"},
    en=("Your referral commission is approved", """
Dear {{name}},

Your referral commission of {{amount}} is approved. You find it here: {{url}}/billing
"""),
    es=("Su comisión por recomendación está aprobada", """
Hola, {{name}}:

Su comisión por recomendación de {{amount}} está aprobada. La encuentra aquí: {{url}}/billing
"""),
)
PAYOUT_REJECTED = letter(
    "billing.payout-rejected", "Tells a clinic why its commission was rejected.", {"reason": "The clinic is a customer already"},
    en=("Your referral commission", """
Dear {{name}},

We cannot pay the referral commission that you asked for: {{reason}}
"""),
    es=("Su comisión por recomendación", """
Hola, {{name}}:

No podemos pagar la comisión por recomendación que solicitó: {{reason}}
"""),
)


class ReferralWithdrawn(Refused):
    """That referral has been withdrawn. Leave it out of the payout."""


class ReferralTwice(Invalid):
    """A payout names each referral once."""


class ReferralPaid(Refused):
    """One of these referrals is part of another payout already. Leave it out."""


class PayoutDecided(Refused):
    """This payout has been decided already."""


class PayoutRejected(Refused):
    """This payout was rejected, so there is nothing to fill in or to print."""


class PayoutTooLarge(Refused):
    """No more can be approved than was asked for."""


class RejectionUnexplained(Invalid):
    """Say why the payout is rejected; the clinic reads it."""


class ClinicReferral(State):
    """A clinic that another one has recommended us to."""

    kind: ClassVar[str] = "clinic_referrals"
    stage: Literal["none", "made", "withdrawn"] = "none"

    def evolve(self, event: ClinicReferralEvent) -> Self:
        match event:
            case ClinicReferred():
                return replace(self, stage="made")
            case ClinicReferralWithdrawn():
                return replace(self, stage="withdrawn")

    def refer(self, recommended: Recommended, today: date) -> list[Event]:
        return [ClinicReferred(**only(Recommended, recommended), referred_on=today)]

    def withdraw(self) -> list[Event]:
        if self.stage == "none":
            raise NotFound
        if self.stage == "withdrawn":
            raise ReferralWithdrawn
        return [ClinicReferralWithdrawn()]

    def ensure_made(self) -> None:
        if self.stage == "withdrawn":
            raise ReferralWithdrawn


class ReferralPayout(State):
    """A clinic's commission for what it has referred."""

    kind: ClassVar[str] = "referral_payouts"
    stage: Literal["none", "requested", "approved", "rejected"] = "none"
    referrals: tuple[UUID, ...] = ()
    amount: Money = 0
    currency: str = "EUR"

    def evolve(self, event: ReferralPayoutEvent) -> Self:
        match event:
            case ReferralPayoutRequested(referrals=referrals, amount=amount, currency=currency):
                return replace(self, stage="requested", referrals=tuple(referrals), amount=amount, currency=currency)
            case ReferralPayoutApproved(amount=amount):
                return replace(self, stage="approved", amount=amount)
            case ReferralPayoutRejected():
                return replace(self, stage="rejected")
            case ReferralPayoutFormSent():
                return self

    def claims(self) -> frozenset[Claim]:
        """What it is paid for, unless it was rejected: no other payout can have that."""
        return frozenset(UniqueClaim(scope="referral_payouts.referral", key=str(one)) for one in self.referrals if self.stage != "rejected")

    def ask(self, referrals: list[UUID], amount: int, currency: str, note: str | None, *, taken: bool) -> list[Event]:
        if taken:
            raise ReferralPaid
        if len(set(referrals)) < len(referrals):
            raise ReferralTwice
        return [ReferralPayoutRequested(referrals=referrals, amount=amount, currency=currency, note=note)]

    def approve(self, amount: int | None, reason: str | None, today: date) -> list[Event]:
        self.ensure_open()
        if amount is not None and amount > self.amount:
            raise PayoutTooLarge(asked=self.amount)
        return [ReferralPayoutApproved(amount=self.amount if amount is None else amount, currency=self.currency, reason=reason, decided_on=today)]

    def reject(self, reason: str | None, today: date) -> list[Event]:
        self.ensure_open()
        if not reason:
            raise RejectionUnexplained
        return [ReferralPayoutRejected(reason=reason, decided_on=today)]

    def send_form(self, today: date) -> list[Event]:
        self.ensure_there()
        if self.stage == "rejected":
            raise PayoutRejected
        return [ReferralPayoutFormSent(sent_on=today, amount=self.amount, currency=self.currency)]

    def ensure_open(self) -> None:
        self.ensure_there()
        if self.stage != "requested":
            raise PayoutDecided(status=self.stage)

    def ensure_there(self) -> None:
        if self.stage == "none":
            raise NotFound


