"""Records that look like one person's: found for a whole clinic at once, and without those of which somebody has said that they are two people's.

How it works: the database brings together whoever shares papers, an e-mail address, the end of a telephone number, or a day of birth with a name of about the same
length and letters; each pair is then graded by the rules that grade whoever is about to be registered (`projections.patients.likeness`).

What may go wrong: a number that very many share, such as a row of zeros, would pair all of them with one another; what more than a few share tells nobody apart, and is left out.
"""

import asyncio
import base64
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.duplicates import DuplicateDismissed, DuplicateEvent, DuplicateReopened
from domain.kit import Fact
from projections.kit import projects
from projections.kit.reading import CursorInvalid, Reader
from projections.patients import likeness, nearly
from schemas.duplicates import DuplicatePair, DuplicatePairs, DuplicateRow
from schemas.patients import GRADES, Grade, LikenessReason, PatientRow, words

SHARED = 20  # as many may share a sign that tells people apart
BORN = 400  # as many may be born on one day
SOME = 1_000  # rows that are found at once
WEIGHTS: dict[LikenessReason, float] = {
    "national-id": 0.98, "name-and-birth-date": 0.95, "name-and-email": 0.93, "name-and-phone": 0.9, "similar-name-and-birth-date": 0.8, "email": 0.4, "phone": 0.3,
}
PAIRS = f"""
with live as materialized (
    select p.id, p.birth_date, lower(p.email) as mail, right(ltrim(p.digits, '0'), 8) as phone, lower(btrim(p.national_id)) as papers, p.sort_name as name,
        (select string_agg(w, ' ' order by w) from unnest(string_to_array(p.sort_name, ' ')) w) as sorted,
        array(select left(w, 1) from unnest(string_to_array(p.sort_name, ' ')) w) as heads, count(*) over (partition by p.birth_date) as born
    from patients p where p.clinic_id = %s and p.merged_into is null and not p.archived and p.sort_name <> ''),
signs as materialized (
    select l.id, s.sign from live l cross join lateral (values
        ('m ' || l.mail), (case when length(l.phone) = 8 then 'p ' || l.phone end), ('n ' || l.papers), ('b ' || l.birth_date::text || l.sorted)) s(sign) where s.sign is not null),
few as materialized (select s.sign from signs s group by s.sign having count(*) between 2 and {SHARED}),
pairs as (
    select a.id as one, b.id as other, '' as name, '' as other_name from few f join signs a on a.sign = f.sign join signs b on b.sign = f.sign and a.id < b.id
    union
    select a.id, b.id, a.name, b.name from live a join live b on b.birth_date = a.birth_date and a.id < b.id and cardinality(a.heads) = cardinality(b.heads)
    where a.born <= {BORN} and a.sorted <> b.sorted and abs(length(a.name) - length(b.name)) <= cardinality(a.heads) and a.heads && b.heads)
select p.one, p.other, p.name, p.other_name from pairs p
where not exists (select from duplicates d where d.clinic_id = %s and d.dismissed and d.patient_id = p.one and d.other_id = p.other)"""  # noqa: S608 - constants


@projects(DuplicateRow, of=DuplicateEvent)
def duplicates(row: DuplicateRow | None, fact: Fact) -> DuplicateRow | None:
    match fact.event:
        case DuplicateDismissed() as event:
            return DuplicateRow(
                id=fact.id, patient_id=event.patient_id, other_id=event.other_id, dismissed=True, said_at=fact.recorded_at, said_by=fact.actor, reason=event.reason)
        case DuplicateReopened():
            return row and replace(row, dismissed=False, said_at=fact.recorded_at, said_by=fact.actor, reason=None)
    return row


class Candidate(NamedTuple):
    """Two records that share something; names if only these are left to be compared."""

    one: UUID
    other: UUID
    name: str
    other_name: str


async def pairs(reader: Reader, least: Grade, limit: int, cursor: str | None) -> DuplicatePairs:
    """Return who may be one person, at least so surely; the surest first."""
    after = None if cursor is None else read(cursor)
    found = [Candidate(*line) for line in (await reader.ask(PAIRS, (reader.clinic, reader.clinic))).rows]
    near = await asyncio.to_thread(compared, found)
    rows: dict[UUID, PatientRow] = {}
    wanted = sorted({id_ for pair in near for id_ in pair})
    for first in range(0, len(wanted), SOME):
        rows |= {row.id: row for row in await reader.find(PatientRow, id=wanted[first : first + SOME])}
    graded = [pair for one, other in near if one in rows and other in rows and (pair := judged(rows[one], rows[other])) is not None]
    wide = GRADES.index(least)
    sure = sorted((pair for pair in graded if GRADES.index(pair.grade) <= wide), key=place)
    rest = [pair for pair in sure if after is None or place(pair) > after]
    return DuplicatePairs(items=rest[:limit], found=len(sure), next=written(rest[limit - 1]) if len(rest) > limit else None)


def compared(found: list[Candidate]) -> list[tuple[UUID, UUID]]:
    """Return the pairs that share more than a day of birth, or whose names are the same but for a slip in each word."""
    return list(dict.fromkeys((one.one, one.other) for one in found if not one.name or nearly(words(one.name), words(one.other_name))))


def judged(one: PatientRow, other: PatientRow) -> DuplicatePair | None:
    """Grade two records; None if nothing tells enough."""
    first, second = sorted((one, other), key=lambda row: (row.registered_on, row.id))
    found = likeness(first, second)
    if found is None:
        return None
    return DuplicatePair(patient=first, other=second, grade=found.grade, reasons=found.reasons, score=score(found.reasons))


def score(reasons: list[LikenessReason]) -> int:
    """Return how much speaks for it: each reason leaves so much doubt, and several leave less."""
    doubt = 1.0
    for reason in reasons:
        doubt *= 1 - WEIGHTS[reason]
    return round(100 * (1 - doubt))


Place = tuple[int, int, UUID, UUID]


def place(pair: DuplicatePair) -> Place:
    return GRADES.index(pair.grade), -pair.score, pair.patient.id, pair.other.id


def written(pair: DuplicatePair) -> str:
    """Return where a page ended, as a text that goes into an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place(pair))).decode().rstrip("=")


def read(cursor: str) -> Any:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
    except (ValueError, msgspec.DecodeError):
        raise CursorInvalid from None
