"""What may be asked about an account's passkeys."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from commands.kit import Command
from commands.kit.handling import Handler
from commands.kit.ids import derived
from domain.accounts import Account
from domain.kit import At, Event, Text

PasskeyId = Annotated[UUID, Meta(description="Id of one of your passkeys.")]
SCOPE = "accounts.passkeys"


class RegisterPasskey(Command):
    """Let a device's key open the account; the vault keeps its public part already."""

    state = Account
    permission = "house"
    passkey_id: PasskeyId
    secret_id: Annotated[UUID, Meta(description="Under which the vault keeps the public key.")]
    name: Text

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.register_passkey(self.passkey_id, self.secret_id, self.name)


class RenamePasskey(Command):
    """Call a passkey something else."""

    state = Account
    permission = "self"
    passkey_id: PasskeyId
    name: Text

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.rename_passkey(self.passkey_id, self.name)


class RemovePasskey(Command):
    """Let a device's key open the account no more."""

    state = Account
    permission = "self"
    passkey_id: PasskeyId

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.remove_passkey(self.passkey_id)


def passkey_of(credential: bytes) -> UUID:
    """Return the id of a passkey, from the one that the device gave it."""
    return derived(b"passkey", credential)


async def account_with(handler: Handler, passkey: UUID) -> UUID | None:
    """Return whose passkey that is, this very moment."""
    return await handler.holder(SCOPE, passkey.hex)
