"""A patient's household, as their relations tell it: no list of its own, which somebody would have to keep."""

from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

from projections.kit.reading import Reader
from projections.relations import called, standing
from schemas.households import Household, HouseholdMember, HouseholdTie, Payer
from schemas.kit import fold
from schemas.patients import PatientRow, digits
from schemas.relations import RelationRow

FAMILY = {"parent", "guardian", "child", "partner", "sibling"}
MOST = 30  # members; whoever has more has hardly one household


async def household_of(reader: Reader, patient: UUID) -> Household | None:
    """Return whom relations join to a patient, step by step; None if there is no such patient."""
    if (first := await standing(reader, patient)) is None:
        return None
    members = {first.id: first}
    records = dict.fromkeys(all_records(first), first.id)
    ties: dict[UUID, RelationRow] = {}
    fresh, more = list(records), False
    while fresh and not more:
        found = [*await reader.find(RelationRow, patient_id=fresh, ended=False), *await reader.find(RelationRow, related_id=fresh, ended=False)]
        fresh = []
        for tie in found:
            ties[tie.id] = tie
            others = [one for one in (tie.patient_id, tie.related_id) if one is not None and one not in records]
            for other in others if tie.relation in FAMILY or tie.guardian else ():
                row = await standing(reader, other)
                if row is None or row.id in members:
                    continue
                if more := len(members) >= MOST:
                    break
                members[row.id] = row
                new = dict.fromkeys(all_records(row), row.id)
                records |= new
                fresh += new
    return told(first.id, list(members.values()), [tie for tie in ties.values() if tie.patient_id in records], records, more=more)


def told(patient: UUID, rows: list[PatientRow], found: list[RelationRow], records: dict[UUID, UUID], *, more: bool) -> Household:
    """Return the household of these people."""
    people = sorted(rows, key=lambda row: (row.birth_date is None, row.birth_date, row.id))
    ties = [tied(one, records) for one in sorted(found, key=lambda one: (not one.guardian, not one.payer, one.added_at, one.id))]
    return Household(
        patient_id=patient, ties=ties, more=more,
        members=[HouseholdMember(
            patient_id=row.id, name=called(row), birth_date=row.birth_date, email=row.email, phone=row.phone, address=row.address, archived=row.archived) for row in people],
        address=shared((row.address for row in people), fold), phone=shared((row.phone for row in people), lambda text: digits(text).lstrip("0")[-8:]),
        email=shared((row.email for row in people), str.lower),
        payers=[Payer(patient_id=tie.patient_id, related_id=tie.related_id, relation_id=tie.relation_id, name=tie.name) for tie in ties if tie.payer])


def tied(row: RelationRow, records: dict[UUID, UUID]) -> HouseholdTie:
    """Return a relation between those who stand for its records."""
    related = records.get(row.related_id, row.related_id) if row.related_id else None
    return HouseholdTie(
        relation_id=row.id, patient_id=records[row.patient_id], relation=row.relation, related_id=related, name=row.name, phone=row.phone, email=row.email,
        guardian=row.guardian, emergency=row.emergency, payer=row.payer)


def all_records(row: PatientRow) -> list[UUID]:
    return [row.id, *(one.id for one in row.merged_records)]


def shared(values: Iterable[str | None], key: Callable[[str], str]) -> str | None:
    """Return what most of them have, as the first of them has it written; None if no two have the same."""
    said: dict[str, str] = {}
    count: Counter[str] = Counter()
    for value in values:
        if value is not None and (compared := key(value)):
            said.setdefault(compared, value)
            count[compared] += 1
    ((best, times),) = count.most_common(1) or [("", 0)]
    return said[best] if times > 1 else None
