"""Whom somebody has marked."""

from datetime import datetime
from typing import ClassVar

from domain.kit import AccountId, PatientId
from schemas.kit import Row


class FavouriteRow(Row):
    """A patient that somebody of the clinic has marked."""

    table: ClassVar[str] = "favourites"
    permission: ClassVar[str] = "patients.view"
    key: ClassVar[tuple[str, ...]] = ("account_id", "patient_id")
    account_id: AccountId
    patient_id: PatientId
    marked_at: datetime
