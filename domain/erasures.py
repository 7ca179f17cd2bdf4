"""Erasures: whoever asks to be forgotten is, by destroying the key under which everything about them is sealed; or is told why not yet."""

from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Erases, Event, Reason, Refused, State

PersonKind = Literal["patients", "staff", "accounts", "signups", "demo_requests", "referrals", "referral_leads", "relations", "leads", "payroll_employees"]
PersonId = Annotated[UUID, Meta(description="Id of the person: of a patient, a member of staff, an account, a sign-up, a demo request, a referral source, a lead of one or of the website, somebody who is there for a patient, or somebody who was paid.")]


class PersonErased(Event):
    """The keys of these persons are destroyed with this event, in the same transaction: nobody can read any more what was sealed under them."""

    person_id: PersonId
    kind: PersonKind
    persons: Annotated[list[UUID], Erases()]
    reason: Reason
    despite_retention: bool = False


class ErasureRefused(Event):
    """Somebody asked for an erasure, and the law or a hold forbade it; `because` is the code of the refusal."""

    person_id: PersonId
    kind: PersonKind
    reason: Reason
    because: str
    until: date | None = None


ErasureEvent = PersonErased | ErasureRefused


class PersonStillActive(Refused):
    """This person can still sign in, be booked, or send patients. Remove, deactivate or delete them first."""


class Erasure(State):
    """What has become of the wish that a person be forgotten."""

    kind: ClassVar[str] = "erasures"
    erased: bool = False

    def evolve(self, event: ErasureEvent) -> Self:
        match event:
            case PersonErased():
                return replace(self, erased=True)
            case ErasureRefused():
                return self

    def erase(self, person: UUID, kind: PersonKind, reason: str, *, despite_retention: bool = False, records: tuple[UUID, ...] = ()) -> list[Event]:
        """Forget somebody, with all their records; whoever is forgotten already stays so."""
        if self.erased:
            return []
        return [PersonErased(person_id=person, kind=kind, persons=[person, *records], reason=reason, despite_retention=despite_retention)]

    def refuse(self, person: UUID, kind: PersonKind, reason: str, because: str, details: dict[str, Any]) -> list[Event]:
        """Keep on record that it was asked for, and what forbade it."""
        until = details.get("until")
        return [ErasureRefused(person_id=person, kind=kind, reason=reason, because=because, until=date.fromisoformat(until) if until else None)]


def erasure_of(person: UUID) -> UUID:
    """Return the id under which a person's erasure is kept."""
    return uuid5(person, "erasure")
