"""What may be asked about an account's second factor, once what somebody shows has been looked at."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from commands.kit import Command
from domain.accounts import Account
from domain.kit import At, Event

SecretId = Annotated[UUID, Meta(description="Under which the vault keeps the secret.")]
CODES = 10


class OfferTotp(Command):
    """Let an authenticator app be set up, whose seed the vault keeps already."""

    state = Account
    permission = "house"
    secret_id: SecretId

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.offer_totp(self.secret_id)


class EnableSecondFactor(Command):
    """Ask for a second proof from now on; the vault keeps the recovery codes already."""

    state = Account
    permission = "house"
    method: Literal["totp", "email"]
    recovery_id: SecretId

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.enable_factor(self.method, self.recovery_id, CODES)


class AskSecondFactorCode(Command):
    """Ask for six digits by mail."""

    state = Account
    permission = "house"
    purpose: Literal["sign-in", "setup"]

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.ask_factor_code(self.purpose)


class UseRecoveryCode(Command):
    """Note that a recovery code was used up."""

    state = Account
    permission = "house"
    left: Annotated[int, Meta(ge=0, le=CODES)]

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.use_recovery_code(self.left)


class MakeRecoveryCodes(Command):
    """Let another set of recovery codes count, which the vault keeps already."""

    state = Account
    permission = "house"
    recovery_id: SecretId

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.make_recovery_codes(self.recovery_id, CODES)


class AskRecoveryCodes(Command):
    """Ask for a link by mail that leads to fresh recovery codes."""

    state = Account
    permission = "house"

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.ask_recovery_codes()


class AskSecondFactorReset(Command):
    """Ask for a link by mail with which the second factor can be switched off."""

    state = Account
    permission = "house"

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.ask_factor_reset()


class DisableSecondFactor(Command):
    """Let a password alone be enough again."""

    state = Account
    permission = "house"
    way: Literal["own", "reset"]

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.disable_factor(self.way)


class ForceSecondFactorOff(Command):
    """Switch the second factor of somebody off who is locked out.

    Their sessions end; make sure first that it is really they who ask.
    """

    state = Account
    permission = "superadmin"

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.disable_factor("forced")
