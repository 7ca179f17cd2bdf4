"""Setting clocks: what is to come keeps its time on the wall, and gets the instants that this is by the clinic's zone and by the rules of today.

How it works: each thing has a stream of its own and is moved by one command, which does nothing where nothing is to be done. So it may be begun anew after being killed, and may be
done by several at once. Each doctor's things follow each other, from the end at which there is room; what finds its time taken comes again when the others have moved, and
what then still does is kept all the same, by force, and told.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Look, TimeTaken
from commands.kit.handling import Handler
from commands.kit.receipt import house
from domain.appointments import Appointment
from domain.clinics import Clinic, Zone
from domain.group_sessions import GroupSession
from domain.holds import Hold
from domain.kit import PLATFORM, At, Event, Reason
from domain.schedules import BlockedTime
from projections.zones import Astray

Count = Annotated[int, Meta(ge=0)]


class ChangeClinicZone(Command):
    """Have the clinic's clocks be another zone's. What people were told stands: what is to come is at the same time on the wall, and what is over stays as it was."""

    state = Clinic
    permission = "settings.working_hours.manage"
    zone: Zone
    reason: Reason | None = None

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.change_zone(self.zone, self.reason)


class NoteClocksSet(Command):
    """Note that all that is to come is at the clinic's clocks again."""

    state = Clinic
    permission = "house"
    moved: Count
    overlapping: Count

    def decide(self, clinic: Clinic, at: At) -> list[Event]:
        return clinic.clocks_set(self.moved, self.overlapping)


class RetimeAppointment(Command):
    """Have an appointment at the same time on the wall by the clinic's clocks, as they go now."""

    state = Appointment
    permission = "house"
    force: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return await clocks(look)

    def decide(self, appointment: Appointment, at: At, *, clinic: Clinic) -> list[Event]:
        return appointment.retime(clinic.zone, at.now, force=self.force)


class RetimeBlock(Command):
    """Likewise for time that is blocked."""

    state = BlockedTime
    permission = "house"
    force: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return await clocks(look)

    def decide(self, block: BlockedTime, at: At, *, clinic: Clinic) -> list[Event]:
        return block.retime(clinic.zone, at.now, force=self.force)


class RetimeGroupSession(Command):
    """Likewise for a group session; those who take part have appointments of their own."""

    state = GroupSession
    permission = "house"
    force: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return await clocks(look)

    def decide(self, session: GroupSession, at: At, *, clinic: Clinic) -> list[Event]:
        return session.retime(clinic.zone, at.now, force=self.force)


class RetimeHold(Command):
    """Likewise for time that is held."""

    state = Hold
    permission = "house"
    force: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return await clocks(look)

    def decide(self, hold: Hold, at: At, *, clinic: Clinic) -> list[Event]:
        return hold.retime(clinic.zone, at.now, force=self.force)


async def clocks(look: Look) -> dict[str, Any]:
    """Return the clinic, held fast: nothing may be set by clocks that it had before."""
    return {"clinic": await look.require(Clinic, look.at.clinic)}


RETIMES: dict[str, type[RetimeAppointment | RetimeBlock | RetimeGroupSession | RetimeHold]] = {
    "appointments": RetimeAppointment, "blocks": RetimeBlock, "group_sessions": RetimeGroupSession, "holds": RetimeHold}


class Moved(NamedTuple):
    """How much was moved, what of it overlaps something else by force, and the position of the last of it."""

    things: int = 0
    overlapping: frozenset[UUID] = frozenset()
    position: int = 0

    def __add__(self, other: "Moved") -> "Moved":  # type: ignore[override]
        return Moved(self.things + other.things, self.overlapping | other.overlapping, max(self.position, other.position))


async def set_clocks(handler: Handler, clinic: UUID, things: Sequence[Astray]) -> Moved:
    """Move what is astray."""
    done, left = Moved(), list(things)
    while left:
        moved, taken = await _round(handler, clinic, left, force=False)
        if len(taken) == len(left):  # they are in each other's way, or in somebody else's, for good
            forced, taken = await _round(handler, clinic, left, force=True)
            moved += forced._replace(overlapping=frozenset(one.id for one in left if one.kind == "appointments"))
        done, left = done + moved, taken
    return done


async def _round(handler: Handler, clinic: UUID, things: Sequence[Astray], *, force: bool) -> tuple[Moved, list[Astray]]:
    """Move what can be moved; return the rest as well. Each doctor's things follow each other, all doctors' go on at once."""
    by: defaultdict[UUID, list[Astray]] = defaultdict(list)
    for one in [*sorted((one for one in things if one.later), key=lambda one: one.was, reverse=True), *sorted((one for one in things if not one.later), key=lambda one: one.was)]:
        by[one.whose].append(one)
    taken: list[Astray] = []

    async def follow(ones: list[Astray]) -> Moved:
        done = Moved()
        for one in ones:
            try:
                receipt = await handler.handle(RETIMES[one.kind](force=force), house(PLATFORM, clinic), id=one.id)
            except TimeTaken:
                taken.append(one)
            else:
                done += Moved(1 if receipt.position else 0, position=receipt.position)
        return done

    return sum(await asyncio.gather(*(follow(ones) for ones in by.values())), start=Moved()), taken
