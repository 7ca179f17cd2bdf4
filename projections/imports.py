"""Who is in the clinic's books already, for an import to compare with, and all of them line by line, for a sheet."""

from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.kit import Frozen
from domain.patients import Demographics, MedicalEntry
from projections.kit.reading import Reader, Wanted
from schemas.imports import PatientLine
from schemas.kit import fold
from schemas.patients import TAIL, MedicalHistoryRow, PatientRow, digits, words

PAGE = 2_000
SOME = 1_000  # rows that are found at once
COLUMNS = ", ".join(name for name in Demographics.__struct_fields__)
PATIENTS = f"select id, archived, merged_into, {COLUMNS} from patients where clinic_id = %s and id > %s order by id limit {PAGE}"  # noqa: S608
FIRST = UUID(int=0)


class KnownPatient(Demographics, Frozen):
    """A patient of the clinic."""

    id: UUID
    archived: bool
    merged_into: UUID | None


class Known(NamedTuple):
    """All patients of a clinic by id, and who is found by what tells people apart."""

    by_id: dict[UUID, KnownPatient]
    by_likeness: dict[tuple[str, ...], UUID]
    by_external: dict[str, UUID]

    def like(self, person: Demographics) -> UUID | None:
        """Return who in the books a person seems to be."""
        return next((found for key in likenesses(person) if (found := self.by_likeness.get(key)) is not None), None)

    def learn(self, id: UUID, person: Demographics) -> None:  # noqa: A002
        """Have a person found who is about to be in the books."""
        for key in likenesses(person):
            self.by_likeness.setdefault(key, id)
        if person.external_id:
            self.by_external.setdefault(person.external_id.casefold(), id)


@lru_cache(maxsize=2)  # who is looked for is often the next to be learned
def likenesses(person: Demographics) -> tuple[tuple[str, ...], ...]:
    """Return by what a person is taken for another: the same papers, or the same name with the same day of birth, telephone or e-mail address."""
    return tuple(_likenesses(person))


def _likenesses(person: Demographics) -> Iterable[tuple[str, ...]]:
    if person.national_id:
        yield ("papers", fold(person.national_id))
    name = " ".join(words(f"{person.given_name} {person.family_name}"))
    if person.birth_date:
        yield ("born", name, person.birth_date.isoformat())
    if person.phone:
        yield ("phone", name, digits(person.phone)[-TAIL:])
    if person.email:
        yield ("email", name, person.email.casefold())


async def known(reader: Reader) -> Known:
    """Return everybody in the clinic's books."""
    found = Known({}, {}, {})
    after = FIRST
    while True:
        rows = await reader.select(KnownPatient, PATIENTS, reader.clinic, after)
        for row in rows:
            found.by_id[row.id] = row
            if row.given_name is not None and row.merged_into is None:
                found.learn(row.id, row)
        if len(rows) < PAGE:
            return found
        after = rows[-1].id


async def histories(reader: Reader, ids: list[UUID]) -> dict[UUID, dict[str, list[MedicalEntry]]]:
    """Return the medical lists of these patients."""
    found: dict[UUID, dict[str, list[MedicalEntry]]] = {}
    for first in range(0, len(ids), SOME):
        for row in await reader.find(MedicalHistoryRow, id=ids[first : first + SOME]):
            found[row.id] = {"allergies": row.allergies or [], "conditions": row.conditions or [], "medications": row.medications or []}
    return found


async def pages(reader: Reader, wanted: Wanted, *, medical: bool) -> AsyncIterator[list[PatientLine]]:
    """Yield the patients of a list, some at a time; their medical lists as well for whoever may see them."""
    wanted = wanted._replace(limit=SOME)
    while True:
        page = await reader.page(PatientRow, wanted)
        rows = msgspec.json.decode(page.items)
        lists: dict[UUID, dict[str, list[MedicalEntry]]] = await histories(reader, [UUID(row["id"]) for row in rows]) if medical else {}
        yield [_line(row, lists.get(UUID(row["id"]), {})) for row in rows]
        if page.next is None:
            return
        wanted = wanted._replace(cursor=page.next)


def _line(row: dict[str, Any], lists: dict[str, list[MedicalEntry]]) -> PatientLine:
    said = {name: "".join(" ".join(entry.name.split()) + "\n" for entry in found) for name, found in lists.items()}
    return msgspec.convert({**row, "externalId": row["id"], "otherId": row["externalId"], "ourNumber": row["number"], **said}, PatientLine)
