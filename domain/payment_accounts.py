"""Payment accounts: a clinic's own account at the payment service, by which its patients pay invoices by card; its keys are secrets, and events only name them."""

from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Refused, State, only


class AccountKeys(Frozen):
    """Under which ids the vault keeps an account's key and the secret of its webhook, and by what a person knows the key again."""

    secret_id: UUID
    webhook_id: UUID
    hint: Annotated[str, Meta(max_length=8, description="The last signs of the key.", examples=["4Kq2"])]
    live: Annotated[bool, Meta(description="Whether real money is moved; a test key moves none.")]


class PaymentAccountConnected(Event, AccountKeys): ...


class PaymentAccountDisconnected(Event): ...


PaymentAccountEvent = PaymentAccountConnected | PaymentAccountDisconnected


class CardPaymentsNotSetUp(Refused):
    """This clinic does not take card payments online. Pay at the desk or by transfer, or ask the clinic."""

    status = 503


class PaymentAccount(State):
    kind: ClassVar[str] = "payment_accounts"
    keys: AccountKeys | None = None
    former: AccountKeys | None = None

    def evolve(self, event: PaymentAccountEvent) -> Self:
        match event:
            case PaymentAccountConnected():
                return replace(self, keys=AccountKeys(**only(AccountKeys, event)), former=self.keys)
            case PaymentAccountDisconnected():
                return replace(self, keys=None, former=self.keys)

    def connect(self, keys: AccountKeys) -> list[Event]:
        """Pay by these keys from now on."""
        return [PaymentAccountConnected(**only(AccountKeys, keys))]

    def disconnect(self) -> list[Event]:
        """Take no more payments; what is under way is still heard of."""
        return [PaymentAccountDisconnected()] if self.keys is not None else []

    def connected(self) -> AccountKeys:
        """Return the keys that count; refuse where there are none."""
        if self.keys is None:
            raise CardPaymentsNotSetUp
        return self.keys

    @property
    def known(self) -> list[AccountKeys]:
        """The keys by which something may still be heard, those that count first."""
        return [keys for keys in (self.keys, self.former) if keys is not None]


def payment_account_of(clinic: UUID) -> UUID:
    """Return the id of a clinic's payment account."""
    return uuid5(clinic, "payment-account")
