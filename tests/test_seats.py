"""Seats: exactly as many as the licence says, however many are hired at once."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.clinics import LicenseClinic
from commands.kit.handling import Handler, Receipt
from commands.staff import ChangeStaff, DeactivateStaff, HireStaff, ReactivateStaff
from domain.kit.licences import Licence
from domain.seats import DoctorLimitReached, SeatFreed, Seats, SeatTaken, UserLimitReached, seats_of
from domain.staff import StaffRole
from projections.seats import seats
from schemas.seats import SeatHolder, SeatsRow
from tests.clinic import Town, handling, stored, who
from tests.kit import CLINIC, THIS, facts, noon

OTHER = UUID(int=43)
later = replace(noon, now=noon.now + timedelta(days=8))
kept = SeatTaken(holder=OTHER, role="doctor", until=noon.now + timedelta(days=7))


def test_a_seat_kept_for_somebody_is_free_again_in_time():
    state, licence = Seats.replay([kept]), Licence(doctors=1)
    assert (state.used(noon.now), state.used(later.now)) == (1, 0)
    assert state.take(later, THIS, "doctor", licence)[0].events == [SeatTaken(holder=THIS, role="doctor")]
    with pytest.raises(DoctorLimitReached):
        state.take(noon, THIS, "doctor", licence)


def test_whoever_it_was_kept_for_takes_it():
    state = Seats.replay([kept])
    (plan,) = state.take(noon, OTHER, "doctor", Licence(users=1, doctors=1))
    assert (plan.id, plan.events) == (seats_of(CLINIC), [SeatTaken(holder=OTHER, role="doctor")])
    assert state.free(noon, OTHER)[0].events == [SeatFreed(holder=OTHER)]
    assert Seats().free(noon, OTHER) == []


def test_seats_as_they_are_seen():
    row = None
    for fact in facts(kept, SeatTaken(holder=THIS, role="admin"), SeatTaken(holder=OTHER, role="receptionist"), SeatFreed(holder=THIS)):
        row = seats(row, fact)
    assert row == SeatsRow(id=THIS, held=[SeatHolder(holder=OTHER, role="receptionist", until=None)])


def hire(number: int, role: StaffRole = "doctor") -> HireStaff:
    return HireStaff(name=f"Dr {number}", email=f"dr{number}@example.org", role=role)


async def licensed(town: Town, **limits: int) -> None:
    await town(LicenseClinic(plan="Pro+", **limits), town.id, who=who(town.id, "superadmin"))


async def race(handlers: list[Handler], town: Town, wishes: list[tuple[Any, UUID | None]]) -> Counter[type]:
    """Have all of these decided at once, dealt out over the processes, and say what became of them."""
    asked = [handlers[n % len(handlers)].handle(command, town.admin, id=id_, now=town.now) for n, (command, id_) in enumerate(wishes)]
    return Counter(type(outcome) for outcome in await asyncio.gather(*asked, return_exceptions=True))


async def test_of_twenty_hires_at_once_exactly_as_many_get_a_seat_as_there_are(database: Any) -> None:
    """In two processes whose caches know nothing of each other: one doctor works there already, so that three of four seats are left."""
    async with handling(database) as here, handling(database) as there:
        town = await Town.open(here)
        await licensed(town, doctors=4)
        assert await race([here, there], town, [(hire(n), None) for n in range(20)]) == {Receipt: 3, DoctorLimitReached: 17}
        assert await race([here, there], town, [(hire(n, "receptionist"), None) for n in range(3)]) == {Receipt: 3}
        await licensed(town, users=9, doctors=4)
        mixed = [(hire(n, "receptionist" if n % 2 else "admin"), None) for n in range(10)]
        assert await race([here, there], town, mixed) == {Receipt: 2, UserLimitReached: 8}
    hired = [event for event in stored(database) if event.topic == "StaffHired" and event.clinic == town.id]
    assert len(hired) == len([e for e in stored(database) if e.topic == "SeatTaken" and e.clinic == town.id]) == 9


async def test_a_seat_given_back_is_taken_once(database: Any) -> None:
    async with handling(database) as here, handling(database) as there:
        town = await Town.open(here)
        desks = [(await town(hire(n, "receptionist"))).id for n in range(6)]
        await licensed(town, doctors=1)
        promoted = [(ChangeStaff(name="Bo", email="bo@example.org", role="doctor"), id_) for id_ in desks]
        assert await race([here, there], town, promoted) == {DoctorLimitReached: 6}
        await town(DeactivateStaff(), town.doctor)
        assert await race([here, there], town, [*promoted, (ReactivateStaff(), town.doctor)]) == {Receipt: 1, DoctorLimitReached: 6}
