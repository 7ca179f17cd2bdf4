"""How a patient's events become rows, and how a patient is found by what the front desk happens to know."""

import re
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from domain.kit import Fact, only
from domain.patients import (
    Demographics,
    MedicalEntry,
    MedicalEntryAdded,
    MedicalEntryAmended,
    MedicalEntryEnded,
    MedicalEntryRefuted,
    MedicalEntryReopened,
    MedicalHistoryAmended,
    MedicalHistoryReported,
    MedicalList,
    PatientArchived,
    PatientBlocked,
    PatientChanged,
    PatientContactChanged,
    PatientEvent,
    PatientGroupsChanged,
    PatientPreferencesChanged,
    PatientRegistered,
    PatientReinstated,
    PatientReplaced,
    PatientRestored,
    PatientsMerged,
    PatientSourceSet,
    PatientsUnmerged,
    PatientUnblocked,
    Preferences,
    Stated,
    alike,
)
from projections.kit import PROJECTIONS, installs, projects
from projections.kit.keys import KeyRing
from projections.kit.past import Moment, past, pasts
from projections.kit.reading import Reader
from schemas.kit import fold
from schemas.patients import (
    GRADES,
    TAIL,
    Grade,
    Likeness,
    LikenessReason,
    MedicalChange,
    MedicalHistoryRow,
    MedicalRecord,
    MedicalStatus,
    MedicalStep,
    MergedRecord,
    PatientGroupCount,
    PatientPreferencesRow,
    PatientRow,
    PatientStatistics,
    PreferencesOfPatient,
    Reported,
    digits,
    runs,
    slips,
    sort_name,
    words,
)

MOST = 8  # words of a question that count
FEW = 2  # letters, with which very many names begin
DAY = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
ISO_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")


MINE = """
with recursive mine(id) as (
    select f.patient_id from favourites f where f.clinic_id = %s and f.account_id = %s
    union select p.merged_into from mine join patients p on p.id = mine.id where p.clinic_id = %s and p.merged_into is not null)
select mine.id from mine join patients p on p.id = mine.id where p.clinic_id = %s and p.merged_into is null"""
BANDS = {"0-5": (0, 5), "6-11": (6, 11), "12-17": (12, 17), "18-39": (18, 39), "40-64": (40, 64), "65+": (65, 200)}  # years of age, both included
SOON = 7  # days, today included, in which a birthday is near
NEAR = 50  # candidates by each sign that are looked at
Singly = MedicalEntryAdded | MedicalEntryAmended | MedicalEntryEnded | MedicalEntryRefuted | MedicalEntryReopened


@projects(PatientRow, of=PatientEvent)
def patients(row: PatientRow | None, fact: Fact) -> PatientRow | None:  # noqa: C901, PLR0911, PLR0912 - one case per event
    match fact.event:
        case PatientRegistered() as event:
            known: list[str] | None = [] if event.given_name is not None else None  # the key is destroyed, and with it even that they were in no group
            return PatientRow(
                id=fact.id, version=fact.version, **only(Demographics, event), registered_on=event.registered_on, groups=known, number=event.number)
        case PatientChanged() as event:
            return row and replace(row, version=fact.version, **only(Demographics, event))
        case PatientContactChanged(email=email, phone=phone, address=address):
            said = {"email": email, "phone": phone, "address": address}
            return row and replace(row, version=fact.version, **{name: value for name, value in said.items() if value is not None})
        case PatientSourceSet(source=source):
            return row and replace(row, version=fact.version, source=source)
        case PatientArchived():
            return row and replace(row, version=fact.version, archived=True)
        case PatientRestored():
            return row and replace(row, version=fact.version, archived=False)
        case PatientBlocked(reason=reason):
            return row and replace(row, version=fact.version, blocked=True, block_reason=reason, blocked_at=fact.recorded_at)
        case PatientUnblocked():
            return row and replace(row, version=fact.version, blocked=False, block_reason=None, blocked_at=None)
        case PatientGroupsChanged(added=added, removed=removed):
            return row and replace(row, version=fact.version, groups=regrouped(row.groups, added, removed))
        case PatientsMerged(records=records, blocked=blocked):
            taken = [MergedRecord(id=record, merged_at=fact.recorded_at) for record in records]
            since = fact.recorded_at if blocked and row and not row.blocked else row and row.blocked_at
            return row and replace(
                row, version=fact.version, merged_records=[*row.merged_records, *taken], blocked=row.blocked or blocked, blocked_at=since)
        case PatientsUnmerged(records=gone):
            return row and replace(row, version=fact.version, merged_records=[one for one in row.merged_records if one.id not in gone])
        case PatientReplaced(survivor_id=survivor):
            return row and replace(row, version=fact.version, merged_into=survivor, merged_at=fact.recorded_at)
        case PatientReinstated():
            return row and replace(row, version=fact.version, merged_into=None, merged_at=None)
        case _:
            return row and replace(row, version=fact.version)


@projects(MedicalHistoryRow, of=PatientRegistered | MedicalHistoryAmended | MedicalHistoryReported | Singly)
def medical_histories(row: MedicalHistoryRow | None, fact: Fact) -> MedicalHistoryRow | None:  # noqa: PLR0911 - one for each kind of event
    match fact.event:
        case PatientRegistered(given_name=name):
            # without the key it is not known any more even that nothing was noted
            return MedicalHistoryRow(id=fact.id, **(NOTHING if name is not None else UNKNOWN))
        case MedicalHistoryAmended() as event:
            return replace(entered(row or MedicalHistoryRow(id=fact.id, **UNKNOWN), fact, event), amended_at=fact.recorded_at, amended_by=fact.actor)
        case MedicalHistoryReported(allergies=allergies, conditions=conditions, medications=medications) if row:
            if allergies is None or conditions is None or medications is None:
                return replace(row, reported=None, reported_at=fact.recorded_at)
            return replace(row, reported=Reported(allergies=allergies, conditions=conditions, medications=medications), reported_at=fact.recorded_at)
        case MedicalHistoryReported():
            return row
        case Stated() as event:
            return row and replace(stated(row, fact, event), amended_at=fact.recorded_at, amended_by=fact.actor)
    return row


@projects(PatientPreferencesRow, of=PatientPreferencesChanged)
def patient_preferences(_: PatientPreferencesRow | None, fact: Fact) -> PatientPreferencesRow | None:
    return PatientPreferencesRow(id=fact.id, **only(Preferences, fact.event), changed_at=fact.recorded_at, changed_by=fact.actor)


async def preferences_of(reader: Reader, patient: PatientRow) -> PreferencesOfPatient:
    """Return what a patient likes best, as it was noted last under whichever of their records."""
    rows = await reader.find(PatientPreferencesRow, id=[patient.id, *(one.id for one in patient.merged_records)])
    last = max(rows, key=lambda row: (row.changed_at, row.id), default=None)
    if last is None:
        return PreferencesOfPatient(patient_id=patient.id)
    return PreferencesOfPatient(patient_id=patient.id, **only(Preferences, last), changed_at=last.changed_at, changed_by=last.changed_by)


LISTS: tuple[MedicalList, ...] = ("allergies", "conditions", "medications")
NOTHING: dict[str, Any] = {"allergies": [], "conditions": [], "medications": [], "entries": []}
UNKNOWN: dict[str, Any] = dict.fromkeys(NOTHING)


def entered(row: MedicalHistoryRow, fact: Fact, event: MedicalHistoryAmended) -> MedicalHistoryRow:
    """Return a history of which the whole was entered anew: an entry is known again by its list and name, what is missing is left out from now on."""
    given = {what: getattr(event, what) for what in LISTS}
    if any(entries is None for entries in given.values()):
        return replace(row, **UNKNOWN, entered_at=fact.recorded_at)
    before = {record.id: record for record in row.entries or [] if record.status == "active"}
    now: list[MedicalRecord] = []
    for what in LISTS:
        for n, entry in enumerate(given[what]):
            same = next((one for one in before.values() if one.what == what and alike(one) == alike(entry)), None)
            if same is None:
                now.append(begun(uuid5(fact.id, f"medical/{fact.version}/{what}/{n}"), what, entry, fact))
            else:
                now.append(same if only(MedicalEntry, same) == only(MedicalEntry, entry) else stepped(same, "amended", fact, entry))
                del before[same.id]
    kept = {record.id for record in now}
    closed = [replace(stepped(one, "left-out", fact, one), status="ended") if one.id in before else one for one in row.entries or [] if one.id not in kept]
    return replace(row, **shown([*now, *closed]), entered_at=fact.recorded_at)


def stated(row: MedicalHistoryRow, fact: Fact, event: Stated) -> MedicalHistoryRow:
    """Return a history of which one entry says something else; one that another record of the patient's had is this one's from now on."""
    if row.entries is None or event.entry is None:
        return replace(row, **UNKNOWN)
    step, status = STEPS[type(event)]
    there = next((record for record in row.entries if record.id == event.entry_id), None)
    reason: str | None = getattr(event, "reason", None)
    if there is None:
        record = begun(event.entry_id, event.what, event.entry, fact, step, reason)
    else:
        record = stepped(there, step, fact, event.entry, reason)
    record = replace(record, status=status, ended_on=getattr(event, "ended_on", None))
    return replace(row, **shown([record if one.id == record.id else one for one in row.entries] if there else [*row.entries, record]))


STEPS: dict[type[Stated], tuple[MedicalStep, MedicalStatus]] = {
    MedicalEntryAdded: ("added", "active"), MedicalEntryAmended: ("amended", "active"), MedicalEntryEnded: ("ended", "ended"),
    MedicalEntryRefuted: ("entered-in-error", "entered-in-error"), MedicalEntryReopened: ("reopened", "active"),
}


def begun(id: UUID, what: MedicalList, entry: MedicalEntry, fact: Fact, step: MedicalStep = "added", reason: str | None = None) -> MedicalRecord:  # noqa: A002
    return stepped(MedicalRecord(id=id, what=what, changes=[], **only(MedicalEntry, entry)), step, fact, entry, reason)


def stepped(record: MedicalRecord, step: MedicalStep, fact: Fact, entry: MedicalEntry, reason: str | None = None) -> MedicalRecord:
    """Return an entry as it says now, with what became of it."""
    said = MedicalEntry(**only(MedicalEntry, entry))
    change = MedicalChange(step=step, at=fact.recorded_at, by=fact.actor, entry=said, reason=reason)
    return replace(record, **only(MedicalEntry, said), changes=[*record.changes, change])


def shown(records: list[MedicalRecord]) -> dict[str, Any]:
    """Return all entries of a history, those that hold first, and the three lists of these, each once."""
    ordered = sorted(records, key=lambda one: one.status != "active")
    lists: dict[str, Any] = {what: [] for what in LISTS}
    for record in ordered:
        entry = MedicalEntry(**only(MedicalEntry, record))
        if record.status == "active" and entry not in lists[record.what]:
            lists[record.what].append(entry)
    return {**lists, "entries": ordered}


def regrouped(groups: list[str] | None, added: list[str] | None, removed: list[str] | None) -> list[str] | None:
    """Return the groups that somebody is in afterwards; None if they are not known any more."""
    if groups is None or added is None or removed is None:
        return None
    return sorted({*groups, *added} - {*removed})


async def due(reader: Reader, invoices: list[UUID]) -> int:
    """Return what is still to be paid on these invoices."""
    found = await reader.ask("select coalesce(sum(due), 0)::bigint from invoices where clinic_id = %s and id = any(%s::uuid[])", (reader.clinic, invoices))
    return int(found.rows[0][0])


async def whole_history(reader: Reader, keys: KeyRing, row: MedicalHistoryRow, moment: Moment | None) -> MedicalHistoryRow:
    """Return a medical history with those of the records that were merged into this one since it was last entered, at a moment or now.

    What the patient has said last themselves counts under whichever of the records they said it.
    """
    patient: Any
    if moment is None:
        patient = await reader.one(PatientRow, row.id)
    else:
        found = await past(reader, keys, PROJECTIONS["patients"], row.id, moment)
        patient = found and found.row
    merged = [one.id for one in patient.merged_records] if patient else []
    if not merged:
        return row
    others: list[Any]
    if moment is None:
        others = list(await reader.find(MedicalHistoryRow, id=merged))
    else:
        others = [one.row for one in (await pasts(reader, keys, PROJECTIONS["medical_histories"], merged, moment)).values()]
    since = [one.id for one in patient.merged_records if row.entered_at is None or one.merged_at > row.entered_at]
    whole = joined(row, sorted((other for other in others if other.id in since), key=lambda other: since.index(other.id)))
    said = max((one for one in (row, *others) if one.reported_at is not None), key=lambda one: (one.reported_at, one.id), default=row)
    return replace(whole, reported=said.reported, reported_at=said.reported_at)


def joined(row: MedicalHistoryRow, others: list[MedicalHistoryRow]) -> MedicalHistoryRow:
    """Return a medical history with what others say beside it, each entry once; who amended it last, and when, is of all of them."""
    said = [one for one in (row, *others) if one.amended_at is not None]
    if not said:
        return row
    last = max(said, key=lambda one: (one.amended_at, one.id))
    known = [one.entries for one in said if one.entries is not None]
    if not known:
        return replace(row, **UNKNOWN, amended_at=last.amended_at, amended_by=last.amended_by)
    return replace(row, **shown(together([record for found in known for record in found])), amended_at=last.amended_at, amended_by=last.amended_by)


def together(records: list[MedicalRecord]) -> list[MedicalRecord]:
    """Return the entries of several records of a patient: of one that was gone on with under another record, what it says there, with all that became of it."""
    found: dict[UUID, MedicalRecord] = {}
    for record in records:
        first = found.get(record.id)
        found[record.id] = record if first is None else replace(first, changes=[*record.changes, *first.changes])
    return list(found.values())


async def mine(reader: Reader, account: UUID) -> list[UUID]:
    """Return whom somebody has marked: of a record that was merged into another, the one that stands for it."""
    found = await reader.ask(MINE, (reader.clinic, account, reader.clinic, reader.clinic))
    return [id_ for (id_,) in found.rows]


async def groups(reader: Reader) -> list[PatientGroupCount]:
    """Return the groups of a clinic's patients, each with how many are in it."""
    return await reader.select(PatientGroupCount, """
        select g as name, count(*) as patients from patients p, jsonb_array_elements_text(p.groups) g
        where p.clinic_id = %s and p.merged_into is null and jsonb_typeof(p.groups) = 'array' group by g order by g""", reader.clinic)


async def statistics(reader: Reader, account: UUID, today: date) -> PatientStatistics:
    """Return the figures about a clinic's patients as of a day of the clinic."""
    near = birthdays(today)
    found = await reader.ask("""
        select count(*) filter (where not archived), count(*) filter (where archived), count(*) filter (where registered_on >= %s::date),
            count(*) filter (where blocked and not archived), count(*) filter (where not archived and to_char(birth_date, 'MM-DD') = any(%s::text[]))
        from patients where clinic_id = %s and merged_into is null""", (today.replace(day=1), near, reader.clinic))
    total, archived, new, blocked, soon = found.rows[0]
    sexes = await reader.ask("""
        select coalesce(sex, 'unknown'), count(*) from patients where clinic_id = %s and merged_into is null and not archived group by 1 order by 1""",
        (reader.clinic,))
    ages = await reader.ask("""
        select extract(year from age(%s::date, birth_date))::int, count(*) from patients
        where clinic_id = %s and merged_into is null and not archived and birth_date is not null group by 1""", (today, reader.clinic))
    by_age = {name: sum(count for years, count in ages.rows if low <= years <= high) for name, (low, high) in BANDS.items()}
    return PatientStatistics(
        day=today, total=total, archived=archived, new_this_month=new, blocked=blocked, birthdays=soon, favourites=len(await mine(reader, account)),
        by_sex=dict(sexes.rows), by_age=by_age, by_group=await groups(reader))


def birthdays(today: date) -> list[str]:
    """Return the days of the year that are near, as 05-31; who was born on a 29 February has their day on the 28th in other years."""
    days = [(today + timedelta(days=n)) for n in range(SOON)]
    found = [day.strftime("%m-%d") for day in days]
    leap = any((day + timedelta(days=1)).strftime("%m-%d") == "02-29" for day in days)
    return [*found, "02-29"] if "02-28" in found and not leap else found


# A row must hold something of every term, and the best hold the very words; or its name must start so. Runs as its owner, past row-level security,
# so that it can use the indexes: the clinic comes from the setting and from nowhere else, and nothing but ids comes out.
installs("""
create or replace function search_patients(terms jsonb, best text[], number text, mail text, start text, most int)
returns table (id uuid, rank bigint) language plpgsql stable security definer rows 20 set search_path = public, pg_temp as $$
declare
    clinic uuid := nullif(current_setting('app.clinic', true), '')::uuid;
    conditions text := '';
    term jsonb;
begin
    for term in select jsonb_array_elements(terms) loop
        conditions := conditions || format(' and p.tokens && %L::text[]', array(select jsonb_array_elements_text(term)));
    end loop;
    if conditions = '' and start is null or clinic is null then
        return;
    end if;
    return query execute
        'select p.id, (select count(*) from unnest($2) b where b = any(p.tokens)) as rank from patients p where p.clinic_id = $1' || conditions ||
        ' and ($3 is null or position($3 in p.digits) > 0) and ($4 is null or starts_with(lower(p.email), $4))'
        ' and ($5 is null or p.sort_name >= $5 and p.sort_name < $5 || chr(1114111))'
        ' order by ' || case when start is null then 'rank desc, p.archived, ' else '' end || 'p.sort_name, p.id limit $6'
        using clinic, best, number, mail, start, most;
end $$;
revoke all on function search_patients from public;
grant execute on function search_patients to anamnesis_gateway;
""")


COLUMNS = ", ".join(f"p.{name}" for name in PatientRow.__struct_fields__)
FOUND = f"""select {COLUMNS} from search_patients(%s::jsonb, %s::text[], %s::text, %s::text, %s::text, %s::int) s join patients p on p.id = s.id
order by s.rank desc, p.archived, p.sort_name, p.id"""  # noqa: S608


class Asked(NamedTuple):
    """What somebody looks for: each term is met by any of its tokens."""

    terms: list[list[str]]
    best: list[str]
    number: str | None = None
    mail: str | None = None
    start: str | None = None


def asked(text: str) -> Asked:
    """Return what a line typed into a search box asks for: names in any order, a telephone, an e-mail address, a day of birth, or several of them."""
    terms: list[list[str]] = []
    best: list[str] = []
    numbers = ""
    mail = None
    for part in text.replace("\0", " ").split():
        if "@" in part:
            mail = part.lower()
            terms.append([f"@{fold(part.split('@')[0])}"])
        elif born := day_of(part):
            terms.append([f"*{born.isoformat()}"])
        elif any(c.isalpha() for c in part):
            terms += [[f"^{word}", f"@{word}", *slips(word)] for word in words(part)]
            best += [token for word in words(part) for token in (f"={word}", f"^{word}")]
        else:
            numbers += digits(part)
    number = numbers.lstrip("0")[-TAIL:] or None
    if number:
        terms += [[f"#{run}"] for run in runs(number)] or [[f"#{number}"]]
    return Asked(terms[:MOST], best[: 2 * MOST], number, mail)


def day_of(text: str) -> date | None:
    """Return a date written as 1980-05-31 or 31-05-1980 (or, where only that makes sense, 05-31-1980)."""
    if found := DAY.fullmatch(text):
        one, two, year = map(int, found.groups())
        return made(year, two, one) or made(year, one, two)
    return made(*map(int, found.groups())) if (found := ISO_DAY.fullmatch(text)) else None


def made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


async def search(reader: Reader, text: str, limit: int) -> list[PatientRow]:
    """Return the patients that best fit a line typed into a search box."""
    wanted, name = asked(text), fold(text)
    if (numbered := by_numbers(text)) is not None:
        rows = [*await standing(reader, await found(reader, numbered, limit)), *await found(reader, wanted, limit)]
        return list({row.id: row for row in rows if row.merged_into is None}.values())[:limit]
    if len(name) > FEW or not name.isalpha():
        return await found(reader, wanted, limit)
    # thousands begin with these few letters: first come families of just that name, then those that begin with it, then whoever else
    named = await found(reader, Asked([], [], start=name), limit)
    others = await found(reader, wanted, limit) if len(named) < limit else []
    return list({row.id: row for row in (*named, *others)}.values())[:limit]


def by_numbers(text: str) -> Asked | None:
    """Return what a line asks for if what has digits in it is a number: the clinic's own for the patient, another program's, or that of their papers."""
    parts = [part for part in text.replace("\0", " ").split() if any(c.isalnum() for c in part)]
    if not any(is_number(part) for part in parts):
        return None
    terms = [
        [f"§{fold(part)}", f"§{part.lstrip('#0')}", f"!{fold(part)}"] if is_number(part) else [f"^{word}" for word in words(part)] for part in parts]
    return Asked(terms[:MOST], [])


def is_number(part: str) -> bool:
    return any(c.isdigit() for c in part) and "@" not in part and day_of(part) is None


async def standing(reader: Reader, rows: list[PatientRow]) -> list[PatientRow]:
    """Return for each of these records the one that stands for its patient."""
    while merged := [row.merged_into for row in rows if row.merged_into is not None]:
        into = {row.id: row for row in await reader.find(PatientRow, id=merged)}
        rows = [row if row.merged_into is None else into[row.merged_into] for row in rows if row.merged_into is None or row.merged_into in into]
    return rows


async def found(reader: Reader, wanted: Asked, limit: int) -> list[PatientRow]:
    terms = msgspec.json.encode(wanted.terms).decode()
    return await reader.select(PatientRow, FOUND, terms, wanted.best, wanted.number, wanted.mail, wanted.start, limit)


async def likenesses(reader: Reader, person: Demographics, crowd: int = NEAR) -> list[Likeness]:
    """Return who is in the books already and may be this person: looked for by what few have in common, and graded by what agrees.

    What more than a `crowd` share tells nobody apart, but for a day of birth with a name that is nearly the same.
    """
    signs = [
        Asked([[f"!{fold(person.national_id)}"]], []) if person.national_id else None,
        Asked([[f"@{fold(person.email.split('@')[0])}"]], [], mail=person.email.lower()) if person.email else None,
        by_number(digits(person.phone)) if person.phone else None,
        by_birth(person) if person.birth_date else None,
    ]
    shared = [await found(reader, sign, NEAR) for sign in signs[:-1] if sign]
    born = await found(reader, signs[-1], NEAR) if signs[-1] else []
    rows = {row.id: row for some in (*(few for few in shared if len(few) <= crowd), born) for row in some}
    graded = [one for row in rows.values() if (one := likeness(person, row)) is not None]
    return sorted(graded, key=lambda one: (GRADES.index(one.grade), sort_name(one.patient), one.patient.id))


def by_number(number: str) -> Asked | None:
    tail = number.lstrip("0")[-TAIL:]
    return Asked([[f"#{run}"] for run in runs(tail)], [], number=tail) if len(tail) >= TAIL else None


def by_birth(person: Demographics) -> Asked | None:
    """Ask for whoever was born on that day and has a word of the name, give or take a slip."""
    said = [token for word in words(sort_name(person)) for token in (f"={word}", f"~{word}", *slips(word))]
    return Asked([[f"*{person.birth_date.isoformat()}"], said], []) if person.birth_date and said else None


def likeness(person: Demographics, row: PatientRow) -> Likeness | None:
    """Grade how likely it is that somebody is that patient; None if nothing tells enough."""
    same, near = named(person, row)
    born = person.birth_date is not None and person.birth_date == row.birth_date
    mail = bool(person.email) and person.email.lower() == (row.email or "").lower()  # type: ignore[union-attr]
    phone = bool(person.phone) and len(tail := digits(person.phone or "").lstrip("0")[-TAIL:]) == TAIL and digits(row.phone or "").endswith(tail)
    papers = bool(person.national_id) and fold(person.national_id or "") == fold(row.national_id or "")
    rules: list[tuple[bool, Grade, LikenessReason]] = [
        (papers, "certain", "national-id"), (near and mail, "certain", "name-and-email"), (near and phone, "likely" if not same else "certain", "name-and-phone"),
        (same and born, "certain", "name-and-birth-date"), (near and not same and born, "likely", "similar-name-and-birth-date"),
        (mail and not near, "possible", "email"), (phone and not near, "possible", "phone"),
    ]
    met = [(grade, reason) for holds, grade, reason in rules if holds]
    grades = {grade for grade, _ in met}
    best: Grade | None = next((grade for grade in GRADES if grade in grades), None)
    return None if best is None else Likeness(patient=row, grade=best, reasons=[reason for _, reason in met])


def named(person: Demographics, row: Demographics) -> tuple[bool, bool]:
    """Say whether two persons bear the same name, in whatever order; and whether they do but for a slip of the keyboard in each word."""
    mine, theirs = words(sort_name(person)), words(sort_name(row))
    same = bool(mine) and sorted(mine) == sorted(theirs)
    return same, same or nearly(mine, theirs)


def nearly(mine: list[str], theirs: list[str]) -> bool:
    """Say whether two names are the same but for a slip of the keyboard in each word."""
    return bool(mine) and len(mine) == len(theirs) and all(any(not slipped(one).isdisjoint(slipped(two)) for two in theirs) for one in mine)


@lru_cache(maxsize=1 << 16)
def slipped(word: str) -> frozenset[str]:
    """Return a word, and with each of its letters missing if it is long enough."""
    return frozenset({f"~{word}", *slips(word)})
