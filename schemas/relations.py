"""What may be seen of those who are there for a patient."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import Frozen, PatientId, Personal
from domain.relations import Relative
from schemas.kit import INDEXED, Row


class RelationRow(Relative, Row):
    """Who is there for a patient, and for what. The particulars of one who is a patient are in their own record; those of anybody else are null once they are forgotten."""

    table: ClassVar[str] = "relations"
    permission: ClassVar[str] = "patients.view"
    indexes: ClassVar[tuple[str, ...]] = ("related_id",)
    id: UUID
    patient_id: Annotated[PatientId, INDEXED]
    added_at: datetime
    ended: bool = False
    ended_at: datetime | None = None
    end_reason: Annotated[str | None, Personal()] = None


class Reach(Frozen):
    """How a patient is reached: by what their own record says, else through a guardian (`throughId` is the relation, null if it is the patient)."""

    name: str | None
    email: str | None
    phone: str | None
    through_id: UUID | None


class RelationsOfPatient(Frozen):
    """Who is there for a patient, and for whom the patient is there, on all records of theirs; and how the patient is reached."""

    items: list[RelationRow]
    reverse: list[RelationRow]
    reach: Reach
