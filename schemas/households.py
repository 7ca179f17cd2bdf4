"""What may be seen of a patient's household: who belongs together, and what they share."""

from datetime import date
from typing import Annotated

from msgspec import Meta

from domain.kit import Frozen, Id, PatientId
from domain.relations import RelationKind


class HouseholdMember(Frozen):
    """A patient of the household; names and particulars are null once they are forgotten."""

    patient_id: PatientId
    name: str | None
    birth_date: date | None
    email: str | None
    phone: str | None
    address: str | None
    archived: bool


class HouseholdTie(Frozen):
    """Who somebody is to a member (`relation`: the parent, guardian ... of `patientId`), and for what they are there; another member, or a person known by name alone."""

    relation_id: Id
    patient_id: PatientId
    relation: RelationKind
    related_id: PatientId | None
    name: str | None
    phone: str | None
    email: str | None
    guardian: bool
    emergency: bool
    payer: bool


class Payer(Frozen):
    """Who pays for a member: another member, or the person of a tie."""

    patient_id: PatientId
    related_id: PatientId | None
    relation_id: Id
    name: str | None


class Household(Frozen):
    """A patient and those who are their family, by relations either of them has; and what most of them have in common.

    `more` if it has more members than are shown.
    """

    patient_id: PatientId
    members: list[HouseholdMember]
    ties: list[HouseholdTie]
    address: Annotated[str | None, Meta(description="The address that most of them have; null if no two share one.")]
    phone: Annotated[str | None, Meta(description="The telephone that most of them have; null if no two share one.")]
    email: Annotated[str | None, Meta(description="The e-mail address that most of them have; null if no two share one.")]
    payers: list[Payer]
    more: bool = False
