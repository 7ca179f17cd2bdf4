"""Records that look like one person's: found for a whole clinic at once, and without those of which somebody has said that they are two people's.

How it works: whoever shares papers, an e-mail address, the end of a telephone number, or a day of birth with a name of about the same length and letters is brought together, and each pair is
then graded by the rules that grade whoever is about to be registered (`projections.patients.likeness`). Which pairs there are is kept by the process, as ids alone; from then on it only looks
at those patients whose rows have changed since, and grades what it shows by the rows as they are.

What may go wrong: a number that very many share, such as a row of zeros, would pair all of them with one another; what more than a few share tells nobody apart, and is left out. A sign that only
becomes one of very many takes its pairs along at the next look at all patients, which there is after `AFRESH` seconds.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Iterable
from datetime import date
from itertools import combinations
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec
from msgspec.structs import replace

from domain.duplicates import DuplicateDismissed, DuplicateEvent, DuplicateReopened
from domain.kit import Fact
from projections.kit import projects
from projections.kit.lanes import Lanes
from projections.kit.reading import CursorInvalid, Reader
from projections.patients import likeness, likenesses, nearly
from schemas.duplicates import DuplicatePair, DuplicatePairs, DuplicateRow
from schemas.patients import GRADES, TAIL, Grade, LikenessReason, PatientRow, words

SHARED = 20  # as many may share a sign that tells people apart
BORN = 400  # as many may be born on one day
SOME = 1_000  # rows that are found at once
PAGE = 5_000  # patients who are read at once
FEW = 100  # patients who have changed; for more it is quicker to look at all
CLINICS = 100  # of which pairs are kept
AFRESH = 3_600.0  # seconds
WEIGHTS: dict[LikenessReason, float] = {
    "national-id": 0.98, "name-and-birth-date": 0.95, "name-and-email": 0.93, "name-and-phone": 0.9, "similar-name-and-birth-date": 0.8, "email": 0.4, "phone": 0.3,
}
LIVE = "p.clinic_id = %s and p.merged_into is null and not p.archived and p.sort_name <> ''"
EVERYBODY = f"""
select p.id, p.birth_date, lower(p.email), right(ltrim(p.digits, '0'), {TAIL}), lower(btrim(p.national_id)), p.sort_name from patients p
where {LIVE} and p.id > %s order by p.id limit {PAGE}"""  # noqa: S608 - constants
CHANGED = f"select p.id, p.position from patients p where p.clinic_id = %s and p.position > %s order by p.position limit {FEW + 1}"  # noqa: S608
REACHED = "select coalesce(max(p.position), 0) from patients p where p.clinic_id = %s"
DISMISSED = "select d.patient_id, d.other_id from duplicates d where d.clinic_id = %s and d.dismissed"
FIRST = UUID(int=0)


@projects(DuplicateRow, of=DuplicateEvent)
def duplicates(row: DuplicateRow | None, fact: Fact) -> DuplicateRow | None:
    match fact.event:
        case DuplicateDismissed() as event:
            return DuplicateRow(
                id=fact.id, patient_id=event.patient_id, other_id=event.other_id, dismissed=True, said_at=fact.recorded_at, said_by=fact.actor, reason=event.reason)
        case DuplicateReopened():
            return row and replace(row, dismissed=False, said_at=fact.recorded_at, said_by=fact.actor, reason=None)
    return row


class Sign(NamedTuple):
    """A patient, by what tells people apart."""

    id: UUID
    born: date | None
    mail: str | None
    phone: str
    papers: str | None
    name: str


class Pair(NamedTuple):
    """Two records that may be one person's, by what they are listed: how surely, and the ids."""

    grade: int
    doubt: int
    one: UUID
    other: UUID


class Known:
    """Which pairs a clinic has, as of a position of its patients' rows."""

    def __init__(self, pairs: Iterable[Pair], position: int, at: float) -> None:
        self.pairs = set(pairs)
        self.position = position
        self.at = at


KEPT: WeakKeyDictionary[Lanes, OrderedDict[UUID, Known]] = WeakKeyDictionary()


async def pairs(reader: Reader, least: Grade, limit: int, cursor: str | None) -> DuplicatePairs:
    """Return who may be one person, at least so surely; the surest first."""
    after = None if cursor is None else read(cursor)
    known = await level(reader)
    said = {(one, other) for one, other in (await reader.ask(DISMISSED, (reader.clinic,))).rows}
    wide = GRADES.index(least)
    sure = sorted(pair for pair in known.pairs if pair.grade <= wide and (pair.one, pair.other) not in said and (pair.other, pair.one) not in said)
    items: list[DuplicatePair] = []
    rest = [pair for pair in sure if after is None or pair > after]
    for first in range(0, len(rest), limit):
        items += await graded(reader, [(pair.one, pair.other) for pair in rest[first : first + limit]], wide)
        if len(items) >= limit:
            break
    shown = items[:limit]
    more = bool(shown) and (len(items) > limit or place(shown[-1]) < rest[-1])
    return DuplicatePairs(items=shown, found=len(sure), next=written(place(shown[-1])) if more else None)


async def level(reader: Reader) -> Known:
    """Return the pairs of a clinic as its patients' rows are by now."""
    kept = KEPT.setdefault(reader.lanes, OrderedDict())
    known, now = kept.get(reader.clinic), monotonic()
    if known is not None and now - known.at < AFRESH:
        changed = (await reader.ask(CHANGED, (reader.clinic, known.position))).rows
        if not changed:
            return known
        if len(changed) <= FEW:
            return await anew(reader, known, [id_ for id_, _ in changed], changed[-1][1])
    position = (await reader.ask(REACHED, (reader.clinic,))).rows[0][0]  # first: what changes while everybody is looked at is looked at again
    known = kept[reader.clinic] = Known(await of_everybody(reader), position, now)
    kept.move_to_end(reader.clinic)
    while len(kept) > CLINICS:
        kept.popitem(last=False)
    return known


async def anew(reader: Reader, known: Known, changed: list[UUID], position: int) -> Known:
    """Look at some patients anew, whose rows have changed."""
    found: set[Pair] = set()
    gone = {*changed}
    for row in await reader.find(PatientRow, id=changed):
        if row.archived or row.merged_into is not None or row.given_name is None:
            continue
        for like in await likenesses(reader, row, crowd=SHARED):
            if like.patient.id != row.id and not like.patient.archived and (pair := judged(row, like.patient)) is not None:
                found.add(place(pair))
    if position > known.position:  # nobody else was quicker
        known.pairs = {pair for pair in known.pairs if pair.one not in gone and pair.other not in gone} | found
        known.position = position
    return known


async def of_everybody(reader: Reader) -> list[Pair]:
    """Return all pairs of a clinic."""
    people: list[Sign] = []
    after = FIRST
    while True:
        rows = (await reader.ask(EVERYBODY, (reader.clinic, after))).rows
        people += [Sign(*row) for row in rows]
        if len(rows) < PAGE:
            break
        after = rows[-1][0]
    near = await asyncio.to_thread(compared, people)
    return [place(pair) for pair in await graded(reader, near, len(GRADES))]


async def graded(reader: Reader, near: list[tuple[UUID, UUID]], wide: int) -> list[DuplicatePair]:
    """Return these pairs as their rows are, at least so sure."""
    rows: dict[UUID, PatientRow] = {}
    wanted = sorted({id_ for pair in near for id_ in pair})
    for first in range(0, len(wanted), SOME):
        rows |= {row.id: row for row in await reader.find(PatientRow, id=wanted[first : first + SOME]) if not row.archived and row.merged_into is None}
    found = [pair for one, other in near if one in rows and other in rows and (pair := judged(rows[one], rows[other])) is not None]
    return sorted((pair for pair in found if GRADES.index(pair.grade) <= wide), key=place)


def compared(people: list[Sign]) -> list[tuple[UUID, UUID]]:
    """Return who shares a sign with few others, or a day of birth and a name that is the same but for a slip in each word."""
    by_sign: dict[tuple[str, object], list[UUID]] = {}
    by_day: dict[date, list[Sign]] = {}
    for one in people:
        for sign in (("mail", one.mail), ("phone", one.phone if len(one.phone) == TAIL else None), ("papers", one.papers)):
            if sign[1]:
                by_sign.setdefault(sign, []).append(one.id)
        if one.born is not None:
            by_sign.setdefault(("born", (one.born, *sorted(one.name.split()))), []).append(one.id)
            by_day.setdefault(one.born, []).append(one)
    found = [pair for ids in by_sign.values() if 1 < len(ids) <= SHARED for pair in combinations(sorted(ids), 2)]
    for born in by_day.values():
        if 1 < len(born) <= BORN:
            found += [(min(one.id, other.id), max(one.id, other.id)) for one, other in combinations(born, 2) if slightly(one.name, other.name)]
    return list(dict.fromkeys(found))


def slightly(one: str, other: str) -> bool:
    """Say whether two names are not the same, but nearly so."""
    mine, theirs = one.split(), other.split()
    return (
        len(mine) == len(theirs) and abs(len(one) - len(other)) <= len(mine) and not {word[0] for word in mine}.isdisjoint(word[0] for word in theirs)
        and sorted(mine) != sorted(theirs) and nearly(words(one), words(other)))


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


def place(pair: DuplicatePair) -> Pair:
    return Pair(GRADES.index(pair.grade), -pair.score, pair.patient.id, pair.other.id)


def written(pair: Pair) -> str:
    """Return where a page ended, as a text that goes into an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(pair)).decode().rstrip("=")


def read(cursor: str) -> Any:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Pair)
    except (ValueError, msgspec.DecodeError):
        raise CursorInvalid from None
