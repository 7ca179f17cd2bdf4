"""How an account's events become its row."""

from msgspec.structs import replace

from domain.accounts import (
    AccountAddressChanged,
    AccountChanged,
    AccountDeleted,
    AccountEvent,
    AccountLockedOut,
    AccountOpened,
    AccountReinstated,
    AccountSuspended,
    PasskeyRegistered,
    PasskeyRemoved,
    PasskeyRenamed,
    PasswordChanged,
    PasswordWithdrawn,
    PinChanged,
    PlaceGiven,
    PlaceWithdrawn,
    PlatformRoleChanged,
    ProfilePictureChanged,
    SecondFactorDisabled,
    SecondFactorEnabled,
)
from domain.kit import Fact
from projections.kit import projects
from schemas.accounts import AccountRow, PasskeyShown, PictureShown, PlaceShown


@projects(AccountRow, of=AccountEvent)
def accounts(row: AccountRow | None, fact: Fact) -> AccountRow | None:  # noqa: C901, PLR0911, PLR0912 - a line for each thing that can happen
    match fact.event:
        case AccountOpened() as event:
            return AccountRow(
                id=fact.id, email=event.email, name=event.name, phone=event.phone, language=event.language, superadmin=False, status="active",
                places=[], clinics=0, has_password=False, has_pin=False, password_changed_at=None, locked_until=None, second_factor=None, passkeys=[], opened_at=fact.recorded_at)
        case _ if row is None:
            return None
        case AccountChanged(name=name, phone=phone, language=language):
            return replace(row, name=name or row.name, phone=phone or row.phone, language=language or row.language)
        case AccountAddressChanged(email=email):
            return replace(row, email=email)
        case PlaceGiven() as event:
            there = PlaceShown(clinic_id=event.clinic_id, role=event.role, subject_id=event.subject_id)
            return _placed(row, [*(p for p in row.places if p.clinic_id != event.clinic_id), there])
        case PlaceWithdrawn(clinic_id=clinic):
            return _placed(row, [p for p in row.places if p.clinic_id != clinic])
        case PlatformRoleChanged(superadmin=superadmin):
            return replace(row, superadmin=superadmin)
        case PasswordChanged():
            return replace(row, has_password=True, password_changed_at=fact.recorded_at)
        case PasswordWithdrawn():
            return replace(row, has_password=False)
        case PinChanged(secret_id=secret):
            return replace(row, has_pin=secret is not None)
        case ProfilePictureChanged(secret_id=secret, media=media):
            return replace(row, picture=PictureShown(id=secret, media=media) if secret and media else None)
        case SecondFactorEnabled(method=method):
            return replace(row, second_factor=method)
        case SecondFactorDisabled():
            return replace(row, second_factor=None)
        case PasskeyRegistered() as event:
            return replace(row, passkeys=[*row.passkeys, PasskeyShown(id=event.passkey_id, name=event.name, registered_at=fact.recorded_at)])
        case PasskeyRenamed() as event:
            return replace(row, passkeys=[replace(p, name=event.name) if p.id == event.passkey_id else p for p in row.passkeys])
        case PasskeyRemoved(passkey_id=passkey):
            return replace(row, passkeys=[p for p in row.passkeys if p.id != passkey])
        case AccountLockedOut(until=until):
            return replace(row, locked_until=until)
        case AccountSuspended():
            return replace(row, status="suspended")
        case AccountReinstated():
            return replace(row, status="active")
        case AccountDeleted():
            return _placed(replace(row, status="deleted", superadmin=False, has_password=False, has_pin=False, picture=None, second_factor=None, passkeys=[]), [])
    return row


def _placed(row: AccountRow, places: list[PlaceShown]) -> AccountRow:
    return replace(row, places=places, clinics=len(places))
