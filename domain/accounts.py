"""Accounts: the people who can sign in, where they belong, and by what they prove who they are; a secret itself is never part of it."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    AddressKey,
    Claim,
    ClinicId,
    Email,
    Event,
    Forbidden,
    Frozen,
    Invalid,
    NotFound,
    Personal,
    Phone,
    Reason,
    Refused,
    State,
    Text,
    UniqueClaim,
    UserInactive,
)

PlaceRole = Literal["admin", "doctor", "receptionist", "patient"]
Language = Annotated[str, Meta(pattern=r"^(en|es)$", description="Language of letters and messages.", examples=["en"])]
FactorMethod = Annotated[
    Literal["totp", "email"], Meta(description="totp: six digits of an authenticator app; email: six digits that come by mail.")]
FactorEnding = Literal["own", "reset", "forced"]
PasskeyId = Annotated[UUID, Meta(description="Follows from the id that the device gave its key.")]
PictureMedia = Literal["image/png", "image/jpeg", "image/gif", "image/webp", "image/x-icon"]
CodePurpose = Literal["sign-in", "setup"]
SecretId = Annotated[UUID, Meta(description="Under which the vault keeps the secret.")]

MOST_PASSKEYS = 20


class AccountOpened(Event):
    """Somebody can sign in from now on, once they have something to prove who they are."""

    email: Annotated[Email | None, Personal()] = None
    address_key: AddressKey
    name: Annotated[Text | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    language: Language = "en"


class AccountChanged(Event):
    """What somebody says about themselves; what is null has not changed."""

    name: Annotated[Text | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    language: Language | None = None


class AccountAddressChanged(Event):
    email: Annotated[Email | None, Personal()] = None
    address_key: AddressKey


class PlaceGiven(Event):
    """Somebody belongs to a clinic: as that member of staff, or as that patient."""

    clinic_id: ClinicId
    role: PlaceRole
    subject_id: UUID | None = None


class PlaceWithdrawn(Event):
    clinic_id: ClinicId


class PlatformRoleChanged(Event):
    superadmin: bool


class PasswordChanged(Event):
    """Another password counts from now on."""

    secret_id: SecretId
    way: Literal["first", "changed", "reset", "forced"]


class PasswordWithdrawn(Event):
    """The password counts no more: a new one must be set by a link."""


class PasswordResetAsked(Event):
    """Somebody who says that it is their account wants to set a new password."""

    way: Literal["link", "code"]


class ClinicsAsked(Event):
    """Somebody wants to be told by mail where this address belongs."""

    language: Language | None = None


class PinChanged(Event):
    """The digits with which one takes over a shared device; null if none."""

    secret_id: SecretId | None = None


class TotpOffered(Event):
    """An authenticator app is being set up; it counts once it has shown a code."""

    secret_id: SecretId


class SecondFactorEnabled(Event):
    """A password alone is not enough from now on: it takes a code of that app, or one that comes by mail."""

    method: FactorMethod
    secret_id: SecretId | None = None


class SecondFactorDisabled(Event):
    """A password alone is enough again. `own`: its owner wanted it so; `reset`: by mail, locked out; `forced`: the platform did it."""

    way: FactorEnding


class RecoveryCodesMade(Event):
    """From now on these count, and none from before."""

    secret_id: SecretId
    count: Annotated[int, Meta(ge=1, le=100)]


class RecoveryCodeUsed(Event):
    left: Annotated[int, Meta(ge=0, le=100)]


class SecondFactorCodeAsked(Event):
    """Somebody wants a code by mail: to come in with, or to see that such codes arrive."""

    purpose: CodePurpose


class RecoveryCodesAsked(Event):
    """Somebody wants a link by mail with which to see fresh recovery codes."""


class SecondFactorResetAsked(Event):
    """Somebody who says that it is their account has lost what they prove themselves by."""


class PasskeyRegistered(Event):
    """A device's own key opens the account from now on, without a password."""

    passkey_id: PasskeyId
    secret_id: SecretId
    name: Annotated[Text | None, Personal()] = None


class PasskeyRenamed(Event):
    passkey_id: PasskeyId
    name: Annotated[Text | None, Personal()] = None


class PasskeyRemoved(Event):
    passkey_id: PasskeyId


class AccountLockedOut(Event):
    """Too many wrong guesses; until then nobody gets in from where they came, or from anywhere."""

    until: datetime


class AccountSuspended(Event):
    reason: Annotated[Reason | None, Personal()] = None


class AccountReinstated(Event): ...


class AccountDeleted(Event): ...


class ProfilePictureChanged(Event):
    """Another picture shows whose account it is; null if none. The vault keeps it, and forgets it with the account."""

    secret_id: SecretId | None = None
    media: PictureMedia | None = None


class AccountInvited(Event):
    """Somebody who has no password yet is asked to set one, by a letter's link."""


AccountEvent = (
    AccountOpened | AccountChanged | AccountAddressChanged | PlaceGiven | PlaceWithdrawn | PlatformRoleChanged | PasswordChanged
    | PasswordWithdrawn | PasswordResetAsked | ClinicsAsked | PinChanged | AccountLockedOut | AccountSuspended | AccountReinstated | AccountDeleted
    | TotpOffered | SecondFactorEnabled | SecondFactorDisabled | RecoveryCodesMade | RecoveryCodeUsed | SecondFactorCodeAsked | RecoveryCodesAsked
    | SecondFactorResetAsked | PasskeyRegistered | PasskeyRenamed | PasskeyRemoved | AccountInvited | ProfilePictureChanged
)


class AccountNotSuspended(Refused):
    """Only a suspended account can be reinstated."""


class AccountNotSuspendable(Refused):
    """Somebody else has to do that: you can neither suspend, demote nor delete yourself."""


class AccountSetUp(Refused):
    """This person has a password already. Have them set another one instead."""


class PlaceOccupied(Refused):
    """This person already belongs to that clinic as somebody else. Remove that first."""


class PlaceUnknown(NotFound):
    """This person does not belong to that clinic."""


class PasswordPoor(Invalid):
    """Choose a longer or less common password: at least ten characters, not the address, not one that everybody uses."""


class SecondFactorOn(Refused):
    """A second factor is in use already. Switch it off first, or go on with it."""


class SecondFactorOff(Refused):
    """No second factor is in use. Set one up first."""


class SetupNotBegun(Refused):
    """Nothing is being set up. Begin the setup, then confirm it with a code."""


class PasskeyKnown(Refused):
    """This device is registered already. Sign in with it, or remove it first."""


class PasskeysTooMany(Refused):
    """Twenty passkeys are enough for anybody. Remove one that is not used any more."""


class PasskeyUnknown(NotFound):
    """This account has no such passkey."""


class Passkey(Frozen):
    """A device that opens the account; its public key lies in the vault."""

    id: UUID
    secret: UUID


class Place(Frozen):
    """Where somebody belongs, and as whom."""

    clinic: UUID
    role: PlaceRole
    subject: UUID | None = None


class Account(State):
    """A person who can sign in."""

    kind: ClassVar[str] = "accounts"
    address: str = ""
    open: bool = False
    suspended: bool = False
    superadmin: bool = False
    password: UUID | None = None
    pin: UUID | None = None
    picture: UUID | None = None
    offered: UUID | None = None  # an authenticator app that has not shown a code yet
    factor: FactorMethod | None = None
    totp: UUID | None = None
    recovery: UUID | None = None
    recovery_left: int = 0
    passkeys: tuple[Passkey, ...] = ()
    places: tuple[Place, ...] = ()

    def evolve(self, event: AccountEvent) -> Self:  # noqa: C901, PLR0911, PLR0912 - a line for each thing that can happen
        match event:
            case AccountOpened():
                return replace(self, open=True, address=event.address_key)
            case (AccountChanged() | PasswordResetAsked() | ClinicsAsked() | AccountLockedOut() | SecondFactorCodeAsked() | RecoveryCodesAsked()
                  | SecondFactorResetAsked() | PasskeyRenamed() | AccountInvited()):
                return self
            case AccountAddressChanged(address_key=address):
                return replace(self, address=address)
            case PlaceGiven():
                there = Place(clinic=event.clinic_id, role=event.role, subject=event.subject_id)
                return replace(self, places=(*(p for p in self.places if p.clinic != there.clinic), there))
            case PlaceWithdrawn(clinic_id=clinic):
                return replace(self, places=tuple(p for p in self.places if p.clinic != clinic))
            case PlatformRoleChanged(superadmin=superadmin):
                return replace(self, superadmin=superadmin)
            case PasswordChanged(secret_id=secret):
                return replace(self, password=secret)
            case PasswordWithdrawn():
                return replace(self, password=None)
            case PinChanged(secret_id=secret):
                return replace(self, pin=secret)
            case ProfilePictureChanged(secret_id=secret):
                return replace(self, picture=secret)
            case TotpOffered(secret_id=secret):
                return replace(self, offered=secret)
            case SecondFactorEnabled(method=method, secret_id=secret):
                return replace(self, factor=method, totp=secret, offered=None)
            case SecondFactorDisabled():
                return self.without_factor()
            case RecoveryCodesMade(secret_id=secret, count=count):
                return replace(self, recovery=secret, recovery_left=count)
            case RecoveryCodeUsed(left=left):
                return replace(self, recovery_left=left)
            case PasskeyRegistered(passkey_id=passkey, secret_id=secret):
                return replace(self, passkeys=(*self.passkeys, Passkey(id=passkey, secret=secret)))
            case PasskeyRemoved(passkey_id=passkey):
                return replace(self, passkeys=tuple(p for p in self.passkeys if p.id != passkey))
            case AccountSuspended():
                return replace(self, suspended=True)
            case AccountReinstated():
                return replace(self, suspended=False)
            case AccountDeleted():
                return replace(self.without_factor(), open=False, superadmin=False, password=None, pin=None, picture=None, passkeys=(), places=())

    def without_factor(self) -> Self:
        return replace(self, factor=None, totp=None, offered=None, recovery=None, recovery_left=0)

    def claims(self) -> frozenset[Claim]:
        """Its address, as long as it is open, and its passkeys."""
        if not self.open:
            return frozenset()
        devices = [UniqueClaim(scope="accounts.passkeys", key=passkey.id.hex) for passkey in self.passkeys]
        return frozenset({UniqueClaim(scope="accounts.email", key=self.address), *devices})

    @property
    def active(self) -> bool:
        """Whether its owner may come in."""
        return self.open and not self.suspended

    def ensure_active(self) -> None:
        if not self.open:
            raise NotFound
        if self.suspended:
            raise UserInactive

    def ensure_open(self) -> None:
        if not self.open:
            raise NotFound

    def place(self, clinic: UUID) -> Place | None:
        """Return the place in a clinic, if there is one."""
        return next((place for place in self.places if place.clinic == clinic), None)

    def give_place(self, clinic: UUID, role: PlaceRole, subject: UUID | None) -> list[Event]:
        self.ensure_open()
        there = self.place(clinic)
        if there == Place(clinic=clinic, role=role, subject=subject):
            return []
        if there is not None and there.subject is not None and there.subject != subject:
            raise PlaceOccupied
        return [PlaceGiven(clinic_id=clinic, role=role, subject_id=subject)]

    def withdraw_place(self, clinic: UUID) -> list[Event]:
        if self.place(clinic) is None:
            raise PlaceUnknown
        return [PlaceWithdrawn(clinic_id=clinic)]

    def set_password(self, secret: UUID, way: Literal["changed", "reset", "forced"]) -> list[Event]:
        self.ensure_active()
        return [PasswordChanged(secret_id=secret, way="first" if self.password is None and way != "reset" else way)]

    @property
    def second_factors(self) -> tuple[str, ...]:
        """By what its owner can complete a sign-in; nothing if a password is enough."""
        return () if self.factor is None else (self.factor, "recovery") if self.recovery_left else (self.factor,)

    def ensure_factor(self, *, on: bool) -> None:
        self.ensure_active()
        if on and self.factor is None:
            raise SecondFactorOff
        if not on and self.factor is not None:
            raise SecondFactorOn

    def offer_totp(self, secret: UUID) -> list[Event]:
        self.ensure_factor(on=False)
        return [TotpOffered(secret_id=secret)]

    def enable_factor(self, method: FactorMethod, recovery: UUID, count: int) -> list[Event]:
        self.ensure_factor(on=False)
        if method == "totp" and self.offered is None:
            raise SetupNotBegun
        secret = self.offered if method == "totp" else None
        return [SecondFactorEnabled(method=method, secret_id=secret), RecoveryCodesMade(secret_id=recovery, count=count)]

    def disable_factor(self, way: FactorEnding) -> list[Event]:
        self.ensure_open()
        if self.factor is None:
            raise SecondFactorOff
        return [SecondFactorDisabled(way=way)]

    def make_recovery_codes(self, secret: UUID, count: int) -> list[Event]:
        self.ensure_factor(on=True)
        return [RecoveryCodesMade(secret_id=secret, count=count)]

    def ask_factor_code(self, purpose: CodePurpose) -> list[Event]:
        self.ensure_factor(on=purpose == "sign-in")
        return [SecondFactorCodeAsked(purpose=purpose)]

    def ask_recovery_codes(self) -> list[Event]:
        self.ensure_factor(on=True)
        return [RecoveryCodesAsked()]

    def ask_factor_reset(self) -> list[Event]:
        return [SecondFactorResetAsked()] if self.active and self.factor else []

    def passkey(self, passkey: UUID) -> Passkey:
        """Return one of its passkeys, or refuse."""
        if (found := next((p for p in self.passkeys if p.id == passkey), None)) is None:
            raise PasskeyUnknown(id=str(passkey))
        return found

    def register_passkey(self, passkey: UUID, secret: UUID, name: str) -> list[Event]:
        self.ensure_active()
        if any(p.id == passkey for p in self.passkeys):
            raise PasskeyKnown
        if len(self.passkeys) >= MOST_PASSKEYS:
            raise PasskeysTooMany
        return [PasskeyRegistered(passkey_id=passkey, secret_id=secret, name=name)]

    def rename_passkey(self, passkey: UUID, name: str) -> list[Event]:
        self.passkey(passkey)
        return [PasskeyRenamed(passkey_id=passkey, name=name)]

    def remove_passkey(self, passkey: UUID) -> list[Event]:
        self.passkey(passkey)
        return [PasskeyRemoved(passkey_id=passkey)]

    def use_recovery_code(self, left: int) -> list[Event]:
        self.ensure_factor(on=True)
        return [RecoveryCodeUsed(left=left)]

    def show(self, secret: UUID | None, media: PictureMedia | None) -> list[Event]:
        self.ensure_active()
        return [] if self.picture is secret is None else [ProfilePictureChanged(secret_id=secret, media=media)]

    def invite(self) -> list[Event]:
        self.ensure_active()
        if self.password is not None:
            raise AccountSetUp
        return [AccountInvited()]

    def describe(self, name: str | None, phone: str | None, language: str | None) -> list[Event]:
        """Change what is said about the owner; what is null stays."""
        self.ensure_open()
        said = {"name": name, "phone": phone, "language": language}
        return [AccountChanged(**said)] if any(value is not None for value in said.values()) else []

    def move(self, email: str | None, address: str | None) -> list[Event]:
        """Give it another address, if another is named."""
        return [] if address in (None, self.address) else [AccountAddressChanged(email=email, address_key=address)]

    def set_platform_role(self, *, superadmin: bool, own: bool, entitled: bool) -> list[Event]:
        self._ensure_decided(own=own and not superadmin, entitled=entitled)
        return [] if superadmin == self.superadmin else [PlatformRoleChanged(superadmin=superadmin)]

    def suspend(self, reason: str | None, *, own: bool, entitled: bool) -> list[Event]:
        self._ensure_decided(own=own, entitled=entitled)
        return [] if self.suspended else [AccountSuspended(reason=reason)]

    def reinstate(self) -> list[Event]:
        self.ensure_open()
        if not self.suspended:
            raise AccountNotSuspended
        return [AccountReinstated()]

    def delete(self, *, own: bool, entitled: bool) -> list[Event]:
        self._ensure_decided(own=own, entitled=entitled)
        return [AccountDeleted()]

    def _ensure_decided(self, *, own: bool, entitled: bool) -> None:
        """Refuse whoever decides about himself, or is none of the platform's people any more: of two who remove each other at once one stays."""
        self.ensure_open()
        if not entitled:
            raise Forbidden(permission="superadmin")
        if own:
            raise AccountNotSuspendable
