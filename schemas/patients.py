"""What may be seen of a patient, and how a patient is found."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import field

from domain.kit import Frozen, Money, PatientId, Personal, only
from domain.patients import (
    Belonging,
    Demographics,
    Entries,
    MedicalEntry,
    MedicalLine,
    MedicalList,
    PatientGroup,
    PatientNumber,
    Preferences,
)
from schemas.kit import INDEXED, Row, computed, fold
from schemas.kit.row import Computed

SHORT = 4  # letters; a shorter word is too easily mistaken for another to forgive a slip in it
TAIL = 8  # digits that tell a telephone, whatever stands before them
RUN = 4  # digits that are found together
BARE = str.maketrans({"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})  # accents that Unicode takes for letters


def words(text: str) -> list[str]:
    """Return the words of a name as they are compared."""
    return re.findall(r"\w+", fold(text).translate(BARE))


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def sort_name(person: Demographics) -> str:
    return fold(f"{person.family_name or ''} {person.given_name or ''}")


def tokens(person: Demographics) -> list[str]:
    """Return by what a patient is found: the words of the name, their beginnings, and each with a letter missing, so that one slip of the
    keyboard on either side still meets; runs of the telephone's digits; the e-mail's name; the day of birth.
    """
    found = [f"={word}" for word in words(sort_name(person))]
    for word in words(sort_name(person)):
        found += [f"^{word[:n]}" for n in range(1, len(word) + 1)]
        found += slips(word)
    found += [f"#{run}" for run in runs(digits(person.phone or ""))]
    if person.email:
        found.append(f"@{fold(person.email.split('@')[0])}")
    if person.national_id:
        found.append(f"!{fold(person.national_id)}")
    if person.birth_date:
        found.append(f"*{person.birth_date.isoformat()}")
    return sorted(set(found))


def numbers(row: "PatientRow") -> list[str]:
    """Return the numbers by which a record is found, also one that was merged into another: they stand on letters and folders for ever."""
    return [f"§{number}" for number in (row.number and str(row.number), row.external_id and fold(row.external_id)) if number]


def slips(word: str) -> list[str]:
    """Return a word with each of its letters missing, and whole: two words that differ by one slip have one of these in common."""
    return [f"~{word}", *(f"~{word[:n]}{word[n + 1:]}" for n in range(len(word)))] if len(word) >= SHORT else []


def runs(number: str) -> Iterator[str]:
    return (number[n : n + RUN] for n in range(len(number) - RUN + 1))


Grade = Literal["certain", "likely", "possible"]
LikenessReason = Literal["national-id", "name-and-email", "name-and-phone", "name-and-birth-date", "similar-name-and-birth-date", "email", "phone"]
GRADES: tuple[Grade, ...] = ("certain", "likely", "possible")


class MergedRecord(Frozen):
    """A record that was merged into another one, and when."""

    id: PatientId
    merged_at: datetime


class PatientRow(Demographics, Row):
    """A patient's particulars. Once a patient's key is destroyed they read null.

    A record that was merged into another one of the same patient's says into which (`mergedInto`), is found by its id alone, and has nothing but its particulars
    and medical history; `mergedRecords` are those that were merged into this one. `number` is the clinic's own; those registered before numbers were given have none.
    """

    table: ClassVar[str] = "patients"
    formula: ClassVar[int] = 3
    permission: ClassVar[str] = "patients.view"
    detail: ClassVar[str] = "patients.view_detail"
    own: ClassVar[dict[str, str]] = {"patient": "id"}
    chart: ClassVar[bool] = True
    id: UUID
    registered_on: Annotated[date, INDEXED]
    archived: bool = False
    merged_into: PatientId | None = None
    merged_at: datetime | None = None
    merged_records: list[MergedRecord] = field(default_factory=list)
    version: int
    blocked: bool = False
    block_reason: Annotated[str | None, Personal()] = None
    blocked_at: datetime | None = None
    groups: Annotated[list[PatientGroup] | None, Personal()] = field(default_factory=list)
    number: Annotated[PatientNumber | None, INDEXED] = None

    hidden: ClassVar[dict[str, Computed]] = {
        "sort_name": computed("text", lambda row: "" if row.merged_into else sort_name(row), null=False),
        "tokens": computed("text[]", lambda row: sorted({*numbers(row), *(() if row.merged_into else tokens(row))}), null=False),
        "digits": computed("text", lambda row: digits(row.phone or ""), null=False),
    }
    indexes: ClassVar[tuple[str, ...]] = ("sort_name, id", "external_id")
    gin: ClassVar[tuple[str, ...]] = ("tokens",)


MedicalStatus = Literal["active", "ended", "entered-in-error"]
MedicalStep = Literal["added", "amended", "ended", "left-out", "entered-in-error", "reopened"]


class MedicalChange(Frozen):
    """What became of an entry, when, by whom and why; `entry` is what it has said since. One that is `left-out` was missing when the whole was entered anew."""

    step: MedicalStep
    at: datetime
    by: UUID
    entry: MedicalEntry
    reason: str | None = None


class MedicalRecord(MedicalEntry, omit_defaults=False):
    """An entry of a medical history with its id, whether it holds, and all that became of it, the oldest first."""

    id: UUID
    what: MedicalList
    status: MedicalStatus = "active"
    ended_on: date | None = None
    changes: list[MedicalChange]


class PatientPreferencesRow(Preferences, Row):
    """What a patient likes best, and who noted it last; null is what nobody has said, or what is forgotten."""

    table: ClassVar[str] = "patient_preferences"
    permission: ClassVar[str] = "patients.view"
    detail: ClassVar[str] = "patients.view_detail"
    own: ClassVar[dict[str, str]] = {"patient": "id"}
    id: UUID
    changed_at: datetime
    changed_by: UUID


class PreferencesOfPatient(Preferences):
    """What a patient likes best; all null if nobody has said. `changedAt` is null then, too."""

    patient_id: PatientId
    changed_at: datetime | None = None
    changed_by: UUID | None = None


class Reported(Frozen):
    """What a patient says of their own health, in their own words."""

    allergies: Entries
    conditions: Entries
    medications: Entries


class MedicalHistoryRow(Row):
    """A patient's medical history as it stands; earlier versions are in the patient's history.

    What the clinic has noted are the three lists; what the patient says themselves is `reported`, beside them.
    Of a record into which others were merged it holds theirs as well, until somebody has entered the whole anew.
    `entries` are all entries that there ever were, with their ids and what became of each; the three lists have those that hold. `entered_at` is when the whole was last entered at once.
    Empty lists mean that there is nothing only if `amended_at` says when that was noted; null means that the patient's key is destroyed.
    """

    table: ClassVar[str] = "medical_histories"
    permission: ClassVar[str] = "patients.view_medical_history"
    keeps: ClassVar[frozenset[str]] = frozenset({"entry", "reason"})
    chart: ClassVar[bool] = True
    id: UUID
    allergies: Annotated[Entries | None, Personal()]
    conditions: Annotated[Entries | None, Personal()]
    medications: Annotated[Entries | None, Personal()]
    amended_at: datetime | None = None
    amended_by: UUID | None = None
    reported: Annotated[Reported | None, Personal()] = None  # by the patient; null as well if the key is destroyed
    reported_at: datetime | None = None
    entries: Annotated[list[MedicalRecord] | None, Personal()] = field(default_factory=list)
    entered_at: datetime | None = None

    def lines(self) -> list[MedicalLine]:
        """Return the entries as the rules see them."""
        return [
            MedicalLine(id=one.id, what=one.what, entry=MedicalEntry(**only(MedicalEntry, one)), holds=one.status == "active") for one in self.entries or []]


class OwnRecord(Frozen):
    """A patient's record as they see it themselves: who they are, how they are reached, and what they have said of their health. All null once forgotten."""

    id: UUID
    given_name: str | None
    family_name: str | None
    birth_date: date | None
    sex: str | None
    email: str | None
    phone: str | None
    address: str | None
    national_id: str | None
    registered_on: date
    reported: Reported | None
    reported_at: datetime | None


class PatientGroupCount(Frozen):
    """A group, and how many patients are in it."""

    name: PatientGroup
    patients: int


class PatientGroups(Frozen):
    """The groups that a clinic's patients are in, by name."""

    items: list[PatientGroupCount]


class Grouped(Frozen):
    """What became of a patient who was to be put into groups: `skipped` is the code of what was in the way, null if nothing was."""

    patient_id: PatientId
    skipped: str | None = None


class GroupedPatients(Frozen):
    """What became of many patients who were to be put into groups."""

    items: list[Grouped]


class PatientStatistics(Frozen):
    """Figures about a clinic's patients, each counted once and the archived apart, as of a day of the clinic.

    `byAge` counts those of whom the day of birth is known, in bands of years; `birthdays` are those who have theirs within seven days, today included; `favourites` are the caller's own.
    """

    day: date
    total: int
    archived: int
    new_this_month: int
    blocked: int
    birthdays: int
    favourites: int
    by_sex: dict[str, int]
    by_age: dict[str, int]
    by_group: list[PatientGroupCount]


class Likeness(Frozen):
    """A patient who may be the one that is asked about, how surely, and by what."""

    patient: PatientRow
    grade: Grade
    reasons: list[LikenessReason]


class Likenesses(Frozen):
    """Who is in the books already and may be the one that is asked about, the surest first."""

    items: list[Likeness]


class PatientsFound(Frozen):
    """The patients that fit what was asked, the best fit first."""

    items: list[PatientRow]


class MergePreview(Frozen):
    """What merging one record into another would move, as things stand: how many appointments, invoices and recalls, which, and what is still due on them, in minor units."""

    survivor_id: PatientId
    loser_id: PatientId
    appointments: int
    invoices: int
    recalls: int
    due: Money
    moved: list[Belonging]
