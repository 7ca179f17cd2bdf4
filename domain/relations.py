"""Relations: whom to call for a patient, who answers for one that is under age, and who pays; other patients, or persons only known by name and telephone.

How it works: a person who is no patient is sealed under the key of the relation itself, so that they can be forgotten without the patient; with the patient they are forgotten too.
"""

from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Email, Event, Frozen, Invalid, NotFound, PatientId, Personal, Phone, Reason, Refused, State

RelationKind = Literal["parent", "guardian", "child", "partner", "sibling", "carer", "friend", "employer", "other"]
RelativeName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S", examples=["Anna Jansen"])]


class Relative(Frozen):
    """Who somebody is to a patient: another patient (`relatedId`) or a person known by name; and for what they are there."""

    relation: RelationKind
    related_id: PatientId | None = None
    guardian: bool = False
    emergency: bool = False
    payer: bool = False
    name: Annotated[RelativeName | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None


class RelationAdded(Relative, Event):
    patient_id: PatientId


class RelationChanged(Relative, Event):
    """How it stands now, as a whole."""

    patient_id: PatientId


class RelationEnded(Event):
    patient_id: PatientId
    reason: Annotated[Reason | None, Personal()] = None


RelationEvent = RelationAdded | RelationChanged | RelationEnded


class RelatedToOneself(Invalid):
    """Nobody is a relation of their own. Name somebody else."""


class RelativeUnclear(Invalid):
    """A relation is to another patient, whose particulars are their own record's, or to somebody with a name: one or the other."""


class RelationOver(Refused):
    """This relation has ended. Add it anew."""


class Relation(State):
    kind: ClassVar[str] = "relations"
    patient: UUID | None = None
    guardian: bool = False
    ended: bool = False

    def evolve(self, event: RelationEvent) -> Self:
        match event:
            case RelationAdded(patient_id=patient, guardian=guardian):
                return replace(self, patient=patient, guardian=guardian)
            case RelationChanged(guardian=guardian):
                return replace(self, guardian=guardian)
            case RelationEnded():
                return replace(self, ended=True)

    def add(self, patient: UUID, who: dict[str, object]) -> list[Event]:
        ensure_somebody(patient, who)
        return [RelationAdded(patient_id=patient, **who)]  # type: ignore[arg-type]

    def change(self, who: dict[str, object]) -> list[Event]:
        patient = self.about()
        ensure_somebody(patient, who)
        return [RelationChanged(patient_id=patient, **who)]  # type: ignore[arg-type]

    def end(self, reason: str | None) -> list[Event]:
        return [RelationEnded(patient_id=self.about(), reason=reason)]

    def about(self) -> UUID:
        """Return whose relation it is; refuse one that is not there, or not any more."""
        if self.patient is None:
            raise NotFound
        if self.ended:
            raise RelationOver
        return self.patient


def ensure_somebody(patient: UUID, who: dict[str, object]) -> None:
    """Refuse whoever is nobody, two persons at once, or the patient."""
    if who["related_id"] == patient:
        raise RelatedToOneself
    said = any(who[name] is not None for name in ("name", "phone", "email"))
    if (who["related_id"] is not None and said) or (who["related_id"] is None and who["name"] is None):
        raise RelativeUnclear
