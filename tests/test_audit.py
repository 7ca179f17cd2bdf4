"""The story that the audit log tells, and an entity's timeline."""

from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.kit import NotFound
from domain.patients import MedicalEntry, MedicalHistoryAmended, PatientArchived, PatientRegistered
from domain.rooms import RoomAdded, RoomChanged
from projections.activity import ENTITIES, Asked, Sight, timeline
from projections.audit import audit_log, each, log
from projections.kit.keys import KeyRing
from tests.kit import ACTOR, CLINIC, facts
from tests.remembering import reading, remember

NOOR, JORIS, ROOM, GARDEN, SOMEBODY, ELSEWHERE, THERE = (UUID(int=n) for n in (101, 102, 103, 105, 201, 8, 9))
NIGHT = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)  # half past eleven in Amsterdam, the evening before the clocks change
registered = PatientRegistered(given_name="Noor", family_name="Jansen", registered_on=date(2026, 3, 28))
amended = MedicalHistoryAmended(allergies=[MedicalEntry(name="Penicillin")], conditions=[], medications=[])
ZONE = "Europe/Amsterdam"


def history():
    noor = facts(registered, amended, PatientArchived(), id=NOOR, kind="patients", start=NIGHT)
    joris = facts(registered, id=JORIS, kind="patients", first=4, start=NIGHT + timedelta(hours=1))  # after midnight
    room = facts(RoomAdded(name="Room 1", type="operatory"), id=ROOM, kind="rooms", first=5, start=NIGHT + timedelta(hours=24))  # past the next midnight: a day of 23 hours
    others = [replace(fact, clinic=ELSEWHERE) for fact in facts(registered, id=UUID(int=104), kind="patients", first=6)]
    others += [replace(fact, clinic=THERE) for fact in facts(RoomAdded(name="Room 1", type="surgery"), RoomChanged(name="Garden", type="surgery"), id=GARDEN, kind="rooms", first=7)]
    return [*noor, replace(joris[0], actor=SOMEBODY), *room, *others]


@pytest.fixture(scope="module")
def books(module_database):
    remember(module_database, *history())
    return module_database


async def lines(books, clinic=CLINIC, since=None, until=None, limit=50, cursor=None, **equals):
    async with reading(books, clinic) as reader:
        return await log(reader, equals, since=since, until=until, zone=ZONE, limit=limit, cursor=cursor)


def test_every_event_is_one_line_with_its_proof():
    (fact,) = facts(registered, id=NOOR, kind="patients")
    fact = replace(fact, hash=b"\x01" * 32, mac=b"\x02" * 32)
    row = audit_log(None, fact, next(iter(each(fact))))
    assert (row.seq, row.action, row.entity_type, row.entity_id, row.actor) == (1, "PatientRegistered", "patients", NOOR, ACTOR)
    assert (b64decode(row.hash), b64decode(row.mac)) == (b"\x01" * 32, b"\x02" * 32)


async def test_the_log_shows_the_latest_first_and_only_the_clinics_own(books):
    assert [line.seq for line in (await lines(books)).items] == [5, 4, 3, 2, 1]
    assert [line.seq for line in (await lines(books, ELSEWHERE)).items] == [6]


async def test_the_log_is_read_page_by_page(books):
    first = await lines(books, limit=2)
    second = await lines(books, limit=2, cursor=first.next)
    third = await lines(books, limit=2, cursor=second.next)
    assert [[line.seq for line in page.items] for page in (first, second, third)] == [[5, 4], [3, 2], [1]]
    assert third.next is None


@pytest.mark.parametrize(("asked", "expected"), [
    ({"actor": SOMEBODY}, [4]),
    ({"action": "PatientArchived"}, [3]),
    ({"entity_type": "patients", "actor": ACTOR}, [3, 2, 1]),
    ({"entity_id": ROOM}, [5]),
    ({"until": date(2026, 3, 28)}, [3, 2, 1]),
    ({"since": date(2026, 3, 29), "until": date(2026, 3, 29)}, [4]),
    ({"since": date(2026, 3, 30)}, [5]),
    ({"since": date(2026, 3, 31)}, []),
])
async def test_the_log_can_be_narrowed(books, asked, expected):
    assert [line.seq for line in (await lines(books, **asked)).items] == expected


async def life(reader, word, stream, *, limit=50, before=None, own=None, kinds=frozenset(), action=None, actor=None):
    return await timeline(reader, KeyRing(bytes(32)), ENTITIES[word], stream, Asked(limit, before, action, actor), Sight(own, kinds=kinds))


async def test_a_timeline_tells_what_happened_but_nothing_sealed(books):
    async with reading(books, CLINIC) as reader:
        told = await life(reader, "patient", NOOR)
    assert [(step.action, step.version) for step in told.items] == [("PatientArchived", 3), ("MedicalHistoryAmended", 2), ("PatientRegistered", 1)]
    assert [step.changes for step in told.items] == [{}, {}, {"registeredOn": "2026-03-28", "source": None, "number": None, "externalKey": None}]


async def test_a_step_tells_what_was_said_before(books):
    async with reading(books, THERE) as reader:
        told = await life(reader, "room", GARDEN)
    assert [(step.changes["name"], step.before, step.after) for step in told.items[:1]] == [("Garden", {"name": "Room 1"}, {"name": "Garden"})]
    assert (told.items[1].before, told.items[1].after["name"]) == ({}, "Room 1")
    seen = [(line.changes["name"], line.before, line.origin) for line in (await lines(books, THERE, entity_id=GARDEN)).items]
    assert seen == [("Garden", {"name": "Room 1"}, None), ("Room 1", {}, None)]


async def test_a_long_timeline_is_read_page_by_page(books):
    async with reading(books, CLINIC) as reader:
        first = await life(reader, "patients", NOOR, limit=2)
        second = await life(reader, "patients", NOOR, limit=2, before=first.next)
    assert [[step.seq for step in page.items] for page in (first, second)] == [[3, 2], [1]]
    assert second.next is None


async def test_a_timeline_can_be_narrowed(books):
    async with reading(books, CLINIC) as reader:
        assert [step.seq for step in (await life(reader, "patients", NOOR, action="PatientArchived")).items] == [3]
        assert [step.seq for step in (await life(reader, "patients", NOOR, actor=ACTOR)).items] == [3, 2, 1]
        assert (await life(reader, "patients", NOOR, actor=SOMEBODY)).items == []


async def test_a_patient_sees_no_timeline_but_their_own(books):
    async with reading(books, CLINIC) as reader:
        assert await life(reader, "patients", NOOR, limit=1, own=("id", NOOR))
        with pytest.raises(NotFound):
            await life(reader, "patients", NOOR, limit=1, own=("id", JORIS))


@pytest.mark.parametrize(("word", "stream", "clinic"), [
    ("rooms", NOOR, CLINIC), ("patients", UUID(int=999), CLINIC), ("patients", NOOR, ELSEWHERE), ("patients", UUID(int=104), CLINIC),
])
async def test_there_is_no_timeline_of_another_kind_or_clinic(books, word, stream, clinic):
    async with reading(books, clinic) as reader:
        with pytest.raises(NotFound):
            await life(reader, word, stream)


def test_a_timeline_is_opened_by_the_key_of_its_entity():
    keys = {
        "patients": "patients.view_detail", "appointments": "appointments.view_detail", "invoices": "billing.invoices.view_detail",
        "rooms": "settings.rooms.view", "staff": "settings.staff.view", "schedules": "appointments.view", "blocks": "appointments.view",
        "clinics": "admin", "quotations": "billing.quotations.view", "receipts": "billing.receipts.view", "recalls": "clinical.recalls.view", "referrals": "settings.referrals.view", "referral_leads": "leads.view",
        "leads": "leads.view", "lead_forms": "leads.view",
        "queue": "appointments.view", "waiting_list": "appointments.view", "slot_offers": "appointments.view", "group_sessions": "appointments.view", "insurance_claims": "billing.insurance.view",
    }
    assert {entity.kind: entity.permission for entity in ENTITIES.values()} == keys
    assert set(ENTITIES) == {*keys, "patient", "appointment", "invoice", "quotation", "receipt", "room", "schedule", "block", "clinic", "recall", "referral", "referral_lead", "lead", "lead_form", "slot_offer", "group_session", "insurance_claim"}
