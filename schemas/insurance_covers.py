"""What may be seen of a patient's cover."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from domain.insurance_covers import Cover
from domain.kit import Frozen, PatientId
from schemas.kit import Row


class CoverRow(Cover, Row):
    """With whom a patient is insured."""

    table: ClassVar[str] = "insurance_covers"
    permission: ClassVar[str] = "billing.insurance.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    id: UUID
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("patient_id, valid_from, id", "payer_id, valid_from, id", "valid_from, id")


class CoverEntry(CoverRow):
    """With whom a patient is insured, and what that payer is called."""

    table: ClassVar[str] = "insurance_cover_entries"
    payer_name: str | None = None


class Eligibility(Frozen):
    """How a patient is insured on a day, in the order in which the payers are asked."""

    patient_id: PatientId
    date: date
    insured: bool
    covers: list[CoverEntry]
