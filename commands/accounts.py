"""What may be asked of an account."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, convert

from commands.kit import Command, Creation, Look, NameTaken
from commands.kit.handling import Handler
from commands.kit.receipt import PLATFORMER, house
from domain.accounts import (
    Account,
    AccountLockedOut,
    AccountOpened,
    ClinicsAsked,
    Language,
    PasswordResetAsked,
    PasswordWithdrawn,
    PinChanged,
    PlaceRole,
    SecretId,
)
from domain.kit import PLATFORM, AddressKey, At, ClinicId, Email, Event, NotFound, Phone, Reason, Text


class OpenAccount(Creation):
    """Let somebody sign in with an address that nobody has yet."""

    state = Account
    permission = "house"
    email: Email
    name: Text | None = None
    phone: Phone | None = None
    language: Language = "en"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"address": look.address_key(self.email)}

    def decide(self, account: Account, at: At, *, address: AddressKey) -> list[Event]:
        return [AccountOpened(email=self.email, address_key=address, name=self.name, phone=self.phone, language=self.language)]


class ChangeProfile(Command):
    """Change what you say about yourself; what is left out stays."""

    state = Account
    permission = "self"
    name: Text | None = None
    phone: Phone | None = None
    language: Language | None = None

    def decide(self, account: Account, at: At) -> list[Event]:
        account.ensure_active()
        return account.describe(self.name, self.phone, self.language)


class ChangeAccount(Command):
    """Change what is known about somebody, or the address with which they sign in; what is left out stays."""

    state = Account
    permission = "superadmin"
    email: Email | None = None
    name: Text | None = None
    phone: Phone | None = None
    language: Language | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"address": look.address_key(self.email) if self.email is not None else None}

    def decide(self, account: Account, at: At, *, address: AddressKey | None) -> list[Event]:
        return [*account.describe(self.name, self.phone, self.language), *account.move(self.email, address)]


class InviteAccount(Command):
    """Ask somebody who has no password yet to set one: a letter brings the link, good for seven days."""

    state = Account
    permission = "house"

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.invite()


class GivePlace(Command):
    """Let somebody belong to a clinic."""

    state = Account
    permission = "house"
    clinic_id: ClinicId
    role: PlaceRole
    subject_id: UUID | None = None

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.give_place(self.clinic_id, self.role, self.subject_id)


class WithdrawPlace(Command):
    """Let somebody belong to a clinic no more."""

    state = Account
    permission = "house"
    clinic_id: ClinicId

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.withdraw_place(self.clinic_id)


class SetPassword(Command):
    """Let another password count, which the vault keeps already."""

    state = Account
    permission = "house"
    secret_id: SecretId
    way: Literal["changed", "reset", "forced"]

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.set_password(self.secret_id, self.way)


class WithdrawPassword(Command):
    """Let the password count no more."""

    state = Account
    permission = "superadmin"

    def decide(self, account: Account, at: At) -> list[Event]:
        account.ensure_open()
        return [PasswordWithdrawn(), PasswordResetAsked(way="link")]


class AskPasswordReset(Command):
    """Ask for a letter with which a new password can be set."""

    state = Account
    permission = "house"
    way: Literal["link", "code"] = "link"

    def decide(self, account: Account, at: At) -> list[Event]:
        return [PasswordResetAsked(way=self.way)] if account.active else []


class AskClinics(Command):
    """Ask for a letter that lists the clinics of an address."""

    state = Account
    permission = "house"
    language: Language | None = None

    def decide(self, account: Account, at: At) -> list[Event]:
        return [ClinicsAsked(language=self.language)] if account.active else []


class SetPin(Command):
    """Let other digits count, which the vault keeps already; or none."""

    state = Account
    permission = "self"
    secret_id: SecretId | None = None

    def decide(self, account: Account, at: At) -> list[Event]:
        account.ensure_active()
        return [] if account.pin is self.secret_id is None else [PinChanged(secret_id=self.secret_id)]


class LockOut(Command):
    """Note that too many have guessed."""

    state = Account
    permission = "house"
    until: datetime

    def decide(self, account: Account, at: At) -> list[Event]:
        if not account.open:
            raise NotFound
        return [AccountLockedOut(until=self.until)]


class ChangePlatformRole(Command):
    """Make somebody one of the platform's people, or no longer."""

    state = Account
    permission = "superadmin"
    superadmin: bool

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entitlement(look)

    def decide(self, account: Account, at: At, *, entitled: bool) -> list[Event]:
        return account.set_platform_role(superadmin=self.superadmin, own=at.actor == at.id, entitled=entitled)


class SuspendAccount(Command):
    """Let somebody in nowhere, until they are reinstated."""

    state = Account
    permission = "superadmin"
    reason: Annotated[Reason | None, Meta(description="Kept with the account; its owner is not told.")] = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entitlement(look)

    def decide(self, account: Account, at: At, *, entitled: bool) -> list[Event]:
        return account.suspend(self.reason, own=at.actor == at.id, entitled=entitled)


class ReinstateAccount(Command):
    """Let a suspended account in again."""

    state = Account
    permission = "superadmin"

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.reinstate()


class DeleteAccount(Command):
    """Close an account for good; its address is free again, and its history stays."""

    state = Account
    permission = "superadmin"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entitlement(look)

    def decide(self, account: Account, at: At, *, entitled: bool) -> list[Event]:
        return account.delete(own=at.actor == at.id, entitled=entitled)


async def entitlement(look: Look) -> dict[str, Any]:
    """Return whether whoever asks is still one of the platform's people, held fast; the installation's own operator has no account, and needs none."""
    if look.at.actor == PLATFORM:
        return {"entitled": True}
    by = await look.load(Account, look.at.actor)
    return {"entitled": by.active and by.superadmin}


SCOPE = "accounts.email"


async def account_at(handler: Handler, email: str) -> UUID | None:
    """Return the account of an e-mail address, as it stands this very moment."""
    return await handler.holder(SCOPE, handler.address_key(email))


async def opened(handler: Handler, asked: OpenAccount, **circumstances: Any) -> UUID:
    """Return the account of an address, opened now if there is none."""
    if (there := await account_at(handler, asked.email)) is not None:
        return there
    try:
        return (await handler.handle(asked, house(PLATFORM), **circumstances)).id
    except NameTaken:  # somebody else was quicker
        there = await account_at(handler, asked.email)
        assert there is not None
        return there


async def enrolled(
    handler: Handler, asked: OpenAccount, clinic: UUID, role: str, subject: UUID | None = None,
    secret: Callable[[UUID], Awaitable[UUID]] | None = None, **circumstances: Any,
) -> UUID:
    """Let the owner of an address belong to a clinic (or, as superadmin, to the platform), with the password that `secret` puts in the vault; gives the account."""
    account = await opened(handler, asked, **circumstances)
    who = house(account)
    if role == "superadmin":
        await handler.handle(ChangePlatformRole(superadmin=True), PLATFORMER, id=account, **circumstances)
    else:
        place = GivePlace(clinic_id=clinic, role=convert(role, PlaceRole), subject_id=subject)
        await handler.handle(place, who, id=account, **circumstances)
    if secret is not None:
        await handler.handle(SetPassword(secret_id=await secret(account), way="changed"), who, id=account, **circumstances)
    return account
