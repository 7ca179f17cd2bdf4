"""What may be seen of those who have written by the clinic's website."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import ClinicId, Email, Frozen, Id, PatientId, Personal, Phone, Text
from domain.leads import Enquiry, LeadFormId, LeadId, LeadLine, LeadName, LeadStatus, Suspicion
from schemas.kit import Row, computed
from schemas.kit.row import Computed
from schemas.patients import TAIL, Grade, LikenessReason, PatientRow, digits


def phone_key(phone: str | None) -> str | None:
    """Return the digits that tell a telephone, however it is written."""
    tail = digits(phone or "").lstrip("0")[-TAIL:]
    return tail if len(tail) == TAIL else None


def email_key(email: str | None) -> str | None:
    return email.lower() if email else None


class LeadRow(Enquiry, Row):
    """Somebody who has written by the clinic's website, all that they wrote, and what has been done about it. Once they are forgotten it reads null.

    `earlierId` is the latest lead before of the same person, as far as e-mail address or telephone tell. `registered` says that the patient was registered from this lead.
    """

    table: ClassVar[str] = "leads"
    permission: ClassVar[str] = "leads.view"
    id: UUID
    form_id: LeadFormId
    status: LeadStatus
    suspected: Suspicion | None = None
    earlier_id: LeadId | None = None
    replied: bool = False
    submitted_at: datetime
    note: Annotated[str | None, Personal()] = None
    contacted_at: datetime | None = None
    patient_id: PatientId | None = None
    registered: bool = False
    converted_at: datetime | None = None
    handled_at: datetime | None = None
    handled_by: Id | None = None

    hidden: ClassVar[dict[str, Computed]] = {
        "email_key": computed("text", lambda row: email_key(row.email)),
        "phone_key": computed("text", lambda row: phone_key(row.phone)),
    }
    indexes: ClassVar[tuple[str, ...]] = ("submitted_at, id", "status, submitted_at, id", "form_id", "patient_id", "email_key", "phone_key")


class LeadEntry(Row):
    """Somebody who has written, as the inbox lists them: who, by which form, and what about; how to reach them and what they say shows the lead itself."""

    table: ClassVar[str] = "lead_entries"
    permission: ClassVar[str] = "leads.view"
    id: UUID
    first_name: Annotated[LeadName | None, Personal()]
    last_name: Annotated[LeadName | None, Personal()]
    subject: Annotated[LeadLine | None, Personal()]
    preferred_date: Annotated[date | None, Personal()]
    form_id: LeadFormId
    form_label: Text | None
    status: LeadStatus
    suspected: Suspicion | None
    earlier_id: LeadId | None
    submitted_at: datetime
    handled_at: datetime | None
    patient_id: PatientId | None


class LeadTraceRow(Row):
    """A lead of any clinic, as the platform's people see it who are asked to delete it: whose it is and whose inbox it lies in, and nothing of what they wrote."""

    table: ClassVar[str] = "lead_traces"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    indexes: ClassVar[tuple[str, ...]] = ("submitted_at, id", "email", "phone")
    id: UUID
    clinic: ClinicId
    form_id: LeadFormId
    first_name: Annotated[LeadName | None, Personal()]
    last_name: Annotated[LeadName | None, Personal()]
    email: Annotated[Email | None, Personal()]
    phone: Annotated[Phone | None, Personal()]
    status: LeadStatus
    submitted_at: datetime


class LeadTaken(Frozen):
    """What you have written has arrived."""

    ok: bool
    lead_id: UUID


class LeadLikeness(Frozen):
    """A patient who may be the one that wrote, how surely, and by what."""

    patient_id: PatientId
    grade: Grade
    reasons: list[LikenessReason]


class LeadConversion(Frozen):
    """A lead that has become a patient, that patient, for whoever may see them, and who else of the clinic's patients is like them."""

    lead: LeadRow
    patient: PatientRow | None
    alike: list[LeadLikeness]
