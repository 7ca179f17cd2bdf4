"""What may be seen of forms of consent, and of what patients have agreed to."""

from datetime import date, datetime
from typing import Annotated, ClassVar

from msgspec import Meta, field

from domain.consents import (
    ConsentFormId,
    ConsentParty,
    ConsentPurpose,
    ConsentStatus,
    ConsentText,
    ConsentVersion,
    ConsentWay,
    ConsentWords,
    RelationId,
)
from domain.kit import AccountId, Frozen, Id, PatientId, Personal
from schemas.kit import INDEXED, Row


class ConsentWording(Frozen):
    """A version of a form's words, and from when it counted."""

    version: ConsentVersion
    text: ConsentText
    since: datetime


class ConsentFormRow(ConsentWords, Row):
    """What a clinic asks people to agree to, with all versions of its words, the oldest first."""

    table: ClassVar[str] = "consent_forms"
    permission: ClassVar[str] = "clinical.consent.upload"  # whoever asks people; these read the words with what they have agreed to
    id: Id
    version: ConsentVersion
    versions: list[ConsentWording]
    retired: bool = False


class ConsentStep(Frozen):
    """What was said about a form once, by whom and how; `by` null says nothing any more."""

    status: ConsentStatus
    on: date
    at: datetime
    noted_by: AccountId
    way: ConsentWay
    by: ConsentParty
    relation_id: RelationId | None = None
    version: ConsentVersion | None = None
    valid_until: date | None = None


class ConsentRow(Row):
    """What a record of a patient's says about a form: what holds now, and all that was said, the oldest first. Notes and reasons are null once the patient is forgotten.

    A consent holds if it is not `withdrawn` and `validUntil` has not passed.
    """

    table: ClassVar[str] = "consents"
    permission: ClassVar[str] = "clinical.consent.view"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    indexes: ClassVar[tuple[str, ...]] = ("form_id, patient_id",)
    id: Id
    patient_id: Annotated[PatientId, INDEXED]
    form_id: ConsentFormId
    version: ConsentVersion
    given_on: date
    valid_until: date | None
    way: ConsentWay
    by: ConsentParty
    relation_id: RelationId | None
    withdrawn: bool = False
    withdrawn_on: date | None = None
    note: Annotated[str | None, Personal("patient_id")] = None
    withdraw_reason: Annotated[str | None, Personal("patient_id")] = None
    noted_at: datetime
    noted_by: AccountId
    history: list[ConsentStep] = field(default_factory=list)


class ConsentOfPatient(Frozen):
    """How it stands with one form: `outdated` if what was agreed to has been worded anew since; `none` if it was never asked, or nothing is on record."""

    form_id: Id
    name: str
    purpose: ConsentPurpose
    status: ConsentStatus
    form_version: ConsentVersion
    text: Annotated[str, Meta(description="The words that were agreed to, or, where nothing was, as they read now.")]
    version: ConsentVersion | None = None
    outdated: bool = False
    given_on: date | None = None
    valid_until: date | None = None
    withdrawn_on: date | None = None
    way: ConsentWay | None = None
    by: ConsentParty | None = None
    relation_id: RelationId | None = None
    history: list[ConsentStep] = field(default_factory=list)


class ConsentsOfPatient(Frozen):
    """How it stands with each form that is in use or that something was said to, on all records of a patient, as of a day of the clinic."""

    patient_id: PatientId
    day: date
    items: list[ConsentOfPatient]


class ConsentMissing(Frozen):
    """A patient who has not agreed to something, or not any more; names are null once they are forgotten."""

    patient_id: PatientId
    given_name: str | None
    family_name: str | None
    status: ConsentStatus
    version: ConsentVersion | None = None
    valid_until: date | None = None


class ConsentsMissing(Frozen):
    """Who has no valid consent, by name, some at a time."""

    items: list[ConsentMissing]
    next: Annotated[str | None, Meta(description="The `cursor` of the next page; null on the last.")] = None
