"""What may be seen of an account."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.accounts import PlaceRole
from domain.kit import Frozen, Id, Personal
from schemas.kit import Row


class PlaceShown(Frozen):
    """Where somebody belongs, and as whom."""

    clinic_id: UUID
    role: PlaceRole
    subject_id: UUID | None


class PasskeyShown(Frozen):
    """A device that opens an account, as its owner calls it."""

    id: UUID
    name: Annotated[str | None, Personal()]
    registered_at: datetime


class PictureShown(Frozen):
    """A picture, by its id, which changes with it, and its type."""

    id: UUID
    media: str


class AccountRow(Row):
    """Somebody who can sign in: who they are, where they belong, and how their account stands."""

    table: ClassVar[str] = "accounts"
    permission: ClassVar[str] = "superadmin"
    id: Id
    email: Annotated[str | None, Personal()]
    name: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    language: str
    superadmin: bool
    status: str
    places: list[PlaceShown]
    clinics: int  # how many of them there are
    has_password: bool
    has_pin: bool
    picture: PictureShown | None = None
    password_changed_at: datetime | None
    locked_until: datetime | None
    second_factor: str | None
    passkeys: list[PasskeyShown]
    opened_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("opened_at", "clinics", "email")
