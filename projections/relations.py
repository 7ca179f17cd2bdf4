"""Those who are there for a patient, as rows, and how a patient is reached through them."""

from uuid import UUID

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.relations import RelationAdded, RelationChanged, RelationEnded, RelationEvent, Relative
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.patients import PatientRow
from schemas.relations import Reach, RelationRow, RelationsOfPatient


@projects(RelationRow, of=RelationEvent)
def relations(row: RelationRow | None, fact: Fact) -> RelationRow | None:
    match fact.event:
        case RelationAdded() as event:
            return RelationRow(id=fact.id, patient_id=event.patient_id, **only(Relative, event), added_at=fact.recorded_at)
        case RelationChanged() as event:
            return row and replace(row, **only(Relative, event))
        case RelationEnded(reason=reason):
            return row and replace(row, ended=True, ended_at=fact.recorded_at, end_reason=reason)
    return row


async def relations_of(reader: Reader, id_: UUID) -> RelationsOfPatient | None:
    """Return who is there for a patient; None if there is no such patient."""
    if (patient := await reader.one(PatientRow, id_)) is None:
        return None
    records = [patient.id, *(one.id for one in patient.merged_records)]
    theirs = await reader.find(RelationRow, patient_id=records, ended=False)
    reverse = await reader.find(RelationRow, related_id=records, ended=False)
    return RelationsOfPatient(items=in_order(theirs), reverse=in_order(reverse), reach=await reached(reader, patient, in_order(theirs)))


async def reach_of(reader: Reader, patient: UUID) -> Reach | None:
    """Return how to write to a patient: by their own address or, if they have none, by a guardian's; None if there is no such patient."""
    found = await relations_of(reader, patient)
    return found.reach if found else None


async def reached(reader: Reader, patient: PatientRow, theirs: list[RelationRow]) -> Reach:
    own = Reach(name=called(patient), email=patient.email, phone=patient.phone, through_id=None)
    if own.email is not None:
        return own
    for one in theirs:
        if not one.guardian:
            continue
        if one.related_id is None:
            found = Reach(name=one.name, email=one.email, phone=one.phone or own.phone, through_id=one.id)
        elif (other := await standing(reader, one.related_id)) is not None:
            found = Reach(name=called(other), email=other.email, phone=other.phone or own.phone, through_id=one.id)
        else:
            continue
        if found.email is not None:
            return found
    return own


async def standing(reader: Reader, id_: UUID) -> PatientRow | None:
    """Return the record that stands for a patient, whichever of theirs is named."""
    row = await reader.one(PatientRow, id_)
    while row is not None and row.merged_into is not None:
        row = await reader.one(PatientRow, row.merged_into)
    return row


def called(patient: PatientRow) -> str | None:
    return " ".join(name for name in (patient.given_name, patient.family_name) if name) or None


def in_order(rows: list[RelationRow]) -> list[RelationRow]:
    return sorted(rows, key=lambda one: (not one.guardian, not one.emergency, one.added_at, one.id))
