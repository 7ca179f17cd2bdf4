"""Patients: people are registered, their particulars and medical history kept up to date; they are archived, never erased by a click."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import AccountId, Email, Event, Frozen, Invalid, Note, Personal, Phone, Refused, State, Text, only

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S", examples=["Noor"])]
Sex = Literal["female", "male", "other"]
Address = Annotated[str, Meta(max_length=500)]
NationalId = Annotated[str, Meta(min_length=1, max_length=40)]
Source = Literal[
    "recommendation", "practitioner", "search", "website", "social-media", "advertisement", "insurer", "passing-by", "event", "other",
]
"""How a patient heard of the clinic: from somebody they know, from another practice, ... A word of a list, so that it can name nobody."""


class Demographics(Frozen):
    """Who a patient is and how to reach them; all of it is theirs, and gone once their key is destroyed, but for how they heard of the clinic."""

    given_name: Annotated[Name | None, Personal()] = None
    family_name: Annotated[Name | None, Personal()] = None
    birth_date: Annotated[date | None, Personal()] = None
    sex: Annotated[Sex | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    address: Annotated[Address | None, Personal()] = None
    national_id: Annotated[NationalId | None, Personal()] = None
    notes: Annotated[Note | None, Personal()] = None
    source: Source | None = None


class MedicalEntry(Frozen):
    """One line of a medical history: an allergy, a condition or a medication."""

    name: Text
    note: Note | None = None
    since: date | None = None


Entries = Annotated[list[MedicalEntry], Meta(max_length=200)]


class PatientRegistered(Demographics, Event):
    registered_on: date


class PatientChanged(Demographics, Event): ...


class MedicalHistoryAmended(Event):
    """The whole history as it now stands; the one before stays in the stream."""

    allergies: Annotated[Entries | None, Personal()] = None
    conditions: Annotated[Entries | None, Personal()] = None
    medications: Annotated[Entries | None, Personal()] = None


class PatientArchived(Event): ...


class PatientRestored(Event): ...


class PatientAccessRefreshed(Event):
    """The patient has a fresh link to the portal; the one before opens nothing any more."""

    account_id: AccountId


PatientEvent = PatientRegistered | PatientChanged | MedicalHistoryAmended | PatientArchived | PatientRestored | PatientAccessRefreshed


class BirthDateImpossible(Invalid):
    """A date of birth lies in the past, and not more than 150 years back."""


class PatientNotActive(Refused):
    """That patient is archived. Restore them first."""


class PatientUnreachable(Refused):
    """There is no e-mail address to send the link to. Enter one first."""


class PatientNotArchived(Refused):
    """Only an archived patient can be restored."""


class Patient(State):
    kind: ClassVar[str] = "patients"
    registered: bool = False
    archived: bool = False

    def evolve(self, event: PatientEvent) -> Self:
        match event:
            case PatientRegistered():
                return replace(self, registered=True)
            case PatientChanged() | MedicalHistoryAmended() | PatientAccessRefreshed():
                return self
            case PatientArchived():
                return replace(self, archived=True)
            case PatientRestored():
                return replace(self, archived=False)

    def ensure_active(self) -> None:
        """Refuse what can only be done for a patient who is still with the clinic."""
        if self.archived:
            raise PatientNotActive

    def register(self, person: Demographics, today: date) -> list[Event]:
        ensure_born(person, today)
        return [PatientRegistered(**only(Demographics, person), registered_on=today)]

    def change(self, person: Demographics, today: date) -> list[Event]:
        self.ensure_active()
        ensure_born(person, today)
        return [PatientChanged(**only(Demographics, person))]

    def amend(self, allergies: Entries, conditions: Entries, medications: Entries) -> list[Event]:
        self.ensure_active()
        return [MedicalHistoryAmended(allergies=allergies, conditions=conditions, medications=medications)]

    def refresh_access(self, account: UUID) -> list[Event]:
        self.ensure_active()
        return [PatientAccessRefreshed(account_id=account)]

    def archive(self) -> list[Event]:
        self.ensure_active()
        return [PatientArchived()]

    def restore(self) -> list[Event]:
        if not self.archived:
            raise PatientNotArchived
        return [PatientRestored()]


def ensure_born(person: Demographics, today: date) -> None:
    born = person.birth_date
    if born and (born > today or born.year < today.year - 150):
        raise BirthDateImpossible(birthDate=born.isoformat())
