"""Rooms: a name is used once, and a room that is booked stays."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.rooms import AddRoom, ChangeRoom, DeleteRoom
from domain.kit import At, NotFound, UniqueClaim
from domain.rooms import Room, RoomAdded, RoomBooked, RoomChanged, RoomDeleted, RoomNeedsName
from projections.rooms import rooms
from schemas.calendar import CalendarRow
from schemas.kit import Row
from schemas.rooms import RoomRow
from tests.kit import THIS, facts, given, noon

added = RoomAdded(name="Room 1")
deleted = RoomDeleted(room_id=THIS, since=noon.now)


def test_a_room_is_added():
    given().looking(place=None).when(AddRoom(name="Room 1")).then(added)
    given().looking(place=None).when(AddRoom(name=" \t")).refused(RoomNeedsName)


def test_a_room_is_renamed_and_taken_out_of_use():
    changed = RoomChanged(name="X-ray", type="imaging", active=False)
    given(added).looking(place=None, booked=False).when(ChangeRoom(name="X-ray", type="imaging", active=False)).then(changed)
    given(added).looking(place=None, booked=False).when(ChangeRoom(name=" ")).refused(RoomNeedsName)
    assert not Room.replay([added, changed]).active


def test_a_room_is_deleted_unless_it_is_booked():
    given(added).looking(booked=False).when(DeleteRoom()).then(deleted)
    given(added).looking(booked=True).when(DeleteRoom()).refused(RoomBooked)


def test_a_deleted_room_is_not_there():
    given(added, deleted).looking(booked=False).when(DeleteRoom()).refused(NotFound)
    given(added, deleted).looking(place=None, booked=False).when(ChangeRoom(name="Room 1")).refused(NotFound)


def test_a_name_is_claimed_however_it_is_written_until_the_room_is_deleted():
    claim = UniqueClaim(scope="rooms.name", key="room 1")
    assert Room.replay([added]).claims() == {claim}
    assert Room.replay([RoomAdded(name=" ROOM   1 ")]).claims() == {claim}
    assert Room.replay([added, RoomChanged(name="Room 2")]).claims() == {UniqueClaim(scope="rooms.name", key="room 2")}
    assert claim not in Room.replay([added, deleted]).claims()
    assert Room().claims() == frozenset()


class Rows:
    """A look at a calendar of these rows."""

    def __init__(self, *rows: CalendarRow, at: At = noon) -> None:
        self.rows = rows
        self.at = at

    async def find(self, row: type[Row], **equals: Any) -> list[Any]:
        assert row is CalendarRow
        return [r for r in self.rows if all(getattr(r, column) == value for column, value in equals.items())]


def visit(**other: Any) -> CalendarRow:
    ahead = CalendarRow(
        id=UUID(int=1), patient_id=UUID(int=2), doctor_id=UUID(int=3), room_id=THIS, date=noon.today, start_local="2026-01-05T14:00:00",
        starts_at=noon.now + timedelta(hours=1), ends_at=noon.now + timedelta(hours=2), buffer_before=0, buffer_after=0, type="checkup",
        status="booked", overbooked=False,
    )
    return replace(ahead, **other)


@pytest.mark.parametrize(("row", "booked"), [
    (visit(), True),
    (visit(status="confirmed"), True),
    (visit(starts_at=noon.now - timedelta(hours=1), ends_at=noon.now + timedelta(minutes=1)), True),
    (visit(starts_at=noon.now - timedelta(hours=1), ends_at=noon.now), False),
    (visit(status="cancelled"), False),
    (visit(room_id=UUID(int=5)), False),
])
async def test_only_visits_ahead_in_this_room_keep_it(row, booked):
    assert await DeleteRoom().gather(Rows(row)) == {"booked": booked}


def test_a_room_as_it_is_seen():
    row = None
    for fact in facts(added, RoomChanged(name="X-ray", type="imaging")):
        row = rooms(row, fact)
    assert row == RoomRow(id=THIS, name="X-ray", type="imaging", active=True, deleted=False)
    (fact,) = facts(deleted)
    assert rooms(row, fact) == RoomRow(id=THIS, name="X-ray", type="imaging", active=False, deleted=True)


def test_a_deleted_room_holds_all_time_to_come():
    """Whatever a deletion overlooked, the append function compares with this claim."""
    (claim,) = Room.replay([added, deleted]).claims()
    assert (claim.kind, claim.id, claim.start) == ("room", THIS, noon.now)
    assert claim.end.year == 9999
