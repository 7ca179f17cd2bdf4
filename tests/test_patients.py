"""The story of a patient's record."""

from datetime import date
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from commands.patients import ArchivePatient, ChangeMedicalHistory, ChangePatient, RegisterPatient, RestorePatient
from domain.kit import Forbidden
from domain.kit.codec import decode, encode, person
from domain.patients import (
    BirthDateImpossible,
    MedicalEntry,
    MedicalHistoryAmended,
    Patient,
    PatientArchived,
    PatientChanged,
    PatientNotActive,
    PatientNotArchived,
    PatientRegistered,
    PatientRestored,
)
from projections.patients import asked, day_of, medical_histories, patients, search
from schemas.kit import table_of
from schemas.patients import MedicalHistoryRow, PatientRow, digits, runs, slips, tokens, words
from tests.kit import ACTOR, CLINIC, THIS, facts, given, noon
from tests.remembering import reading, remember

noor = {"given_name": "Noor", "family_name": "Jansen", "birth_date": date(1984, 3, 2), "email": "Noor@example.org", "phone": "+31 6 1234 5678"}
registered = PatientRegistered(**noor, registered_on=noon.today, number=1)
penicillin = MedicalEntry(name="Penicillin", note="rash", since=date(1999, 1, 1))
amended = MedicalHistoryAmended(allergies=[penicillin], conditions=[], medications=[])
amend = ChangeMedicalHistory(allergies=[penicillin], conditions=[], medications=[])


def row_of(*events):
    row = None
    for fact in facts(*events, kind="patients"):
        row = patients(row, fact)
    return row


def test_a_patient_is_registered_on_a_day_of_the_clinic():
    given().looking(key=None, number=1).when(RegisterPatient(**noor)).then(registered)


def test_particulars_are_replaced_whole():
    given(registered).looking(key=None).when(ChangePatient(given_name="Noor", family_name="de Vries")).then(PatientChanged(given_name="Noor", family_name="de Vries"))


@pytest.mark.parametrize("born", [date(2026, 1, 6), date(1875, 12, 31), date(1, 1, 1)])
def test_nobody_is_born_in_the_future_or_in_another_age(born):
    given().looking(key=None, number=1).when(RegisterPatient(**noor | {"birth_date": born})).refused(BirthDateImpossible)
    given(registered).looking(key=None).when(ChangePatient(**noor | {"birth_date": born})).refused(BirthDateImpossible)


def test_a_birth_today_and_one_150_years_ago_are_believed():
    for born in (noon.today, date(1876, 1, 1)):
        given().looking(key=None, number=1).when(RegisterPatient(**noor | {"birth_date": born})).then(
            PatientRegistered(**noor | {"birth_date": born}, registered_on=noon.today, number=1))


def test_a_medical_history_is_amended_and_the_one_before_stays_on_record():
    given(registered).when(amend).then(amended)
    second = MedicalHistoryAmended(allergies=[], conditions=[MedicalEntry(name="Asthma")], medications=[])
    before, after = [medical_histories(None, fact) for fact in facts(amended, second, kind="patients")]
    assert (before.allergies, after.allergies, after.conditions) == ([penicillin], [], [MedicalEntry(name="Asthma")])
    assert after.amended_by == ACTOR


def test_a_medical_history_is_changed_only_by_those_who_may_see_it():
    blind = noon.__class__(**{f: getattr(noon, f) for f in noon.__struct_fields__} | {"grants": frozenset({"patients.edit"})})
    refusal = given(registered, at=blind).when(amend).refused(Forbidden)
    assert refusal.details == {"permission": "patients.view_medical_history"}


def test_an_archived_patient_is_kept_and_can_come_back():
    given(registered).when(ArchivePatient()).then(PatientArchived())
    given(registered, PatientArchived()).when(RestorePatient()).then(PatientRestored())
    assert row_of(registered, PatientArchived()).archived
    assert not row_of(registered, PatientArchived(), PatientRestored()).archived


@pytest.mark.parametrize("command", [ArchivePatient(), ChangePatient(given_name="A", family_name="B"), amend])
def test_nothing_is_done_to_an_archived_patient(command):
    found = {"key": None} if isinstance(command, ChangePatient) else {}
    given(registered, PatientArchived()).looking(**found).when(command).refused(PatientNotActive)


def test_only_an_archived_patient_is_restored():
    given(registered).when(RestorePatient()).refused(PatientNotArchived)


def test_a_row_shows_the_last_particulars_and_follows_the_version():
    row = row_of(registered, amended, PatientChanged(given_name="Noor", family_name="de Vries"))
    assert (row.family_name, row.birth_date, row.registered_on, row.version) == ("de Vries", None, noon.today, 3)


def test_without_the_key_nothing_of_the_person_is_left_and_the_rest_still_reads():
    event_id, key = UUID(int=5), b"k" * 32
    for event in (registered, PatientChanged(**noor), amended):
        stored = encode(event, event_id=event_id, person=person(event, THIS), key=key)
        assert b"Noor" not in stored
        assert b"Penicillin" not in stored
        assert decode(type(event).__name__, stored, event_id=event_id, person=THIS, key_of=lambda _: key) == event
        bare = decode(type(event).__name__, stored, event_id=event_id, person=THIS)
        assert Patient.replay([bare]) == Patient.replay([event])
    bare = decode("PatientRegistered", encode(registered, event_id=event_id, person=THIS, key=key), event_id=event_id, person=THIS)
    row = row_of(bare)
    assert (row.given_name, row.phone, row.registered_on) == (None, None, noon.today)
    assert tokens(row) == []


def test_every_particular_is_marked_as_personal():
    plain = {c.name for c in table_of(PatientRow).columns if not c.personal and c.computed is None}
    assert plain == {
        "id", "registered_on", "archived", "version", "merged_into", "merged_at", "merged_records", "blocked", "blocked_at",
        "number",  # the clinic's, which tells nothing about anybody
        "source",  # a word of a list, that names nobody
    }


def met(question: str, person: PatientRow) -> bool:
    """What the SQL function decides, said once more in Python."""
    wanted, held = asked(question), set(tokens(person))
    return (
        bool(wanted.terms) and all(held & set(term) for term in wanted.terms)
        and (wanted.number is None or wanted.number in digits(person.phone or ""))
        and (wanted.mail is None or (person.email or "").lower().startswith(wanted.mail))
    )


ASKED = [
    "Noor Jansen", "jansen noor", "JANSEN", "noor", "jan", "j n", "Nóór Jánsen", "janssen", "jasen", "jnasen", "jamsen", "noor jansem",
    "+31 6 1234 5678", "06-12345678", "0031612345678", "(06) 1234 5678", "5678", "12345678", "noor@example.org", "NOOR@ex", "noor@",
    "1984-03-02", "02-03-1984", "2/3/1984", "2.3.1984", "jansen 1984-03-02", "jansen 5678", "noor 02-03-1984 0612345678",
]
NOT_ASKED = [
    "", "   ", "\0", "Peters", "jansen peters", "jonsson", "06-12345679", "56789", "567", "noor@elsewhere.org", "@example.org", "1984-03-03", "31-02-1984",
    "jansen 1984-03-03", "'; drop table patients; --", "%", "_",
]


@pytest.mark.parametrize("question", ASKED)
def test_the_front_desk_finds_a_patient_by(question):
    assert met(question, row_of(registered))


@pytest.mark.parametrize("question", NOT_ASKED)
def test_the_front_desk_does_not_find_her_by(question):
    assert not met(question, row_of(registered))


def test_letters_that_look_like_others_are_met_without_their_strokes():
    person = PatientRow(id=THIS, given_name="Søren", family_name="Þórðarson", registered_on=noon.today, version=1)
    for question in ("Soren", "soren thordarson", "Thórdarson", "søren"):
        assert met(question, person), question


def test_a_day_of_birth_is_read_day_first_and_turned_only_where_it_must():
    assert day_of("04-05-1980") == date(1980, 5, 4)
    assert day_of("05-31-1980") == date(1980, 5, 31)
    assert day_of("1980-5-4") == date(1980, 5, 4)
    assert day_of("31-31-1980") is None


def test_words_slips_and_runs():
    assert words("O'Brien-Müller ß") == ["o", "brien", "muller", "ss"]
    assert slips("jan") == []
    assert slips("jans") == ["~jans", "~ans", "~jns", "~jas", "~jan"]
    assert list(runs("12345")) == ["1234", "2345"]
    assert list(runs("123")) == []


# --- on a real database


@pytest.fixture(scope="module")
def front_desk(module_database):
    """Noor, two others, and somebody of another clinic who is called the same."""
    joris = PatientRegistered(given_name="Joris", family_name="Janssens", phone="020 555 01 02", registered_on=noon.today)
    gone = PatientRegistered(given_name="Nora", family_name="Jansen", registered_on=noon.today)
    remember(
        module_database,
        *facts(registered, amended, id=UUID(int=101), kind="patients"),
        *facts(joris, id=UUID(int=102), kind="patients", first=11),
        *facts(gone, PatientArchived(), id=UUID(int=103), kind="patients", first=21),
        *[replace(fact, clinic=UUID(int=8)) for fact in facts(registered, id=UUID(int=104), kind="patients", first=31)],
    )
    return module_database


async def found_by(front_desk, question, clinic=CLINIC):
    async with reading(front_desk, clinic) as reader:
        return [row.id.int for row in await search(reader, question, 20)]


@pytest.mark.parametrize("question", ASKED)
async def test_the_database_finds_her_by(front_desk, question):
    assert 101 in await found_by(front_desk, question)


@pytest.mark.parametrize("question", NOT_ASKED)
async def test_the_database_does_not_find_her_by(front_desk, question):
    assert 101 not in await found_by(front_desk, question)


async def test_the_best_fit_comes_first_and_of_equals_the_archived_last(front_desk):
    assert await found_by(front_desk, "jansen") == [101, 103]
    assert await found_by(front_desk, "janssen") == [102, 101, 103]
    assert await found_by(front_desk, "jan") == [101, 102, 103]
    assert await found_by(front_desk, "ja") == [101, 102, 103]
    assert await found_by(front_desk, "jo") == [102]
    assert await found_by(front_desk, "no") == [101, 103]
    assert await found_by(front_desk, "nora jan") == [103, 101]  # archived, but it is her name


async def test_a_clinic_finds_its_own_patients_alone(front_desk):
    assert await found_by(front_desk, "noor jansen", UUID(int=8)) == [104]
    assert await found_by(front_desk, "noor jansen", UUID(int=9)) == []


async def test_the_search_lets_nobody_past_the_wall(front_desk):
    """Whoever logs in as the gateway but names no clinic finds nobody; other roles may not search at all."""
    ask = "select count(*) from search_patients('[[\"^noor\"]]', '{}', null, null, null, 10)"
    with psycopg.connect(front_desk.url("gateway"), autocommit=True) as connection:
        assert connection.execute(ask).fetchone() == (0,)
    with psycopg.connect(front_desk.url("relay"), autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(ask)


async def test_rows_read_back_as_they_were_written(front_desk):
    async with reading(front_desk, CLINIC) as reader:
        assert await reader.one(PatientRow, UUID(int=101)) == row_of_id(101, registered, amended)
        history = await reader.one(MedicalHistoryRow, UUID(int=101))
    assert (history.allergies, history.conditions, history.amended_by) == ([penicillin], [], ACTOR)


def row_of_id(number, *events):
    return replace(row_of(*events), id=UUID(int=number))
