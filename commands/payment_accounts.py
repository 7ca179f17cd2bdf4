"""What may be asked of a clinic's payment account."""

from uuid import UUID

from commands.kit import Creation
from domain.kit import At, Event, Frozen
from domain.payment_accounts import AccountKeys, PaymentAccount, payment_account_of


class Ours(Frozen):
    """Something about the payment account of the clinic in which it is asked."""

    def stream(self, at: At) -> UUID:
        return payment_account_of(at.clinic)


class ConnectPaymentAccount(Ours, Creation, AccountKeys):
    """Have patients pay by card to this account; the vault keeps its keys already."""

    state = PaymentAccount
    permission = "settings.modules.manage"

    def decide(self, account: PaymentAccount, at: At) -> list[Event]:
        return account.connect(self)


class DisconnectPaymentAccount(Ours, Creation):
    """Take no more card payments online; what was begun is still recorded."""

    state = PaymentAccount
    permission = "settings.modules.manage"

    def decide(self, account: PaymentAccount, at: At) -> list[Event]:
        return account.disconnect()
