"""Where the waiting list lives on the web; and where free times are offered by themselves, to one after the other."""

import asyncio
import datetime as dt
from collections import defaultdict
from contextlib import suppress
from typing import Annotated, NamedTuple
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter, QueryParameter
from msgspec.structs import replace

from commands.kit.errors import TimeTaken
from commands.kit.receipt import house
from commands.slot_offers import OfferFreeSlot, SettleSlotOffer
from commands.waiting_list import (
    AddWaitingEntry,
    ChangeWaitingEntry,
    ChangeWaitingListSettings,
    EndWaitingEntry,
    RemoveWaitingEntry,
    ReopenWaitingEntry,
)
from domain.group_sessions import GroupFull
from domain.kit import PLATFORM, NotFound, Refused, only
from domain.waiting_list import WaitingListRules, WaitingListSettings, waiting_list_settings_of
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.services import Services
from projections.slot_offers import to_settle
from projections.waiting_list import Line, Proposed, clinics_waiting
from schemas.calendar import CalendarRow
from schemas.slots import AvailableSlots
from schemas.waiting_list import Suited, WaitingListEntry, WaitingListRow, WaitingListSettingsRow

EntryId = Annotated[UUID, PathParameter(description="Id of the entry.")]
Doctor = Annotated[UUID, QueryParameter(name="doctorId", description="Whose time it is.")]
Start = Annotated[dt.datetime, QueryParameter(name="start", description="When it begins, with an offset.")]
Most = Annotated[int, QueryParameter(ge=1, le=50, description="How many at most.")]
TOGETHER = 8  # clinics that are looked after at once
SETTINGS = {"permission": WaitingListSettingsRow.permission}
STAFF = {"permission": AddWaitingEntry.permission, "refusals": [NotFound]}


@get("/settings", operation_id="GetWaitingListSettings", summary="Show: how the clinic offers what comes free", opt=SETTINGS)
async def settings(desk: Desk) -> WaitingListSettingsRow:
    """As it was said, or as it is in the beginning: by itself, with two hours to answer, and never in the hours in which nobody is reminded."""
    no_query(desk.call.query())
    id_ = waiting_list_settings_of(desk.who.clinic)
    return await desk.reader.one(WaitingListSettingsRow, id_) or WaitingListSettingsRow(id=id_, **only(WaitingListRules, WaitingListSettings().rules))


@get("/suited", operation_id="ListSuitedByTime", summary="List: whom a free time would suit", opt=STAFF)
async def suited(desk: Desk, doctor: Doctor, start: Start) -> Suited:
    """In the order in which they are asked: by rank, then by how many offers they let pass, then by how long they have waited. Only those are listed who could be booked then with what they want, and have no other offer."""
    no_query(desk.call.query(), ("doctorId", "start"))
    if not await desk.known("staff", doctor) or theirs_alone(desk) not in {None, doctor}:
        raise NotFound(kind="staff", id=str(doctor))
    line = await Line.of(desk.reader, dt.datetime.now(dt.UTC))
    return Suited(items=await line.whom(doctor, start if start.tzinfo else start.replace(tzinfo=dt.UTC)) if line else [])


@get("/{id:uuid}/slots", operation_id="ListSlotsForWaiting", summary="List: the first free times that suit somebody who waits", opt=STAFF)
async def slots(desk: Desk, id: EntryId, most: Most = 10) -> AvailableSlots:  # noqa: A002
    """Each can be offered to them, or booked, as it stands."""
    no_query(desk.call.query(), ("most",))
    line = await Line.of(desk.reader, dt.datetime.now(dt.UTC), id)
    if line is None or not line.entries:
        raise NotFound(kind=WaitingListRow.table, id=str(id))
    entry, alone = line.entries[0], theirs_alone(desk)
    if alone and entry.doctor_id not in {None, alone}:
        raise NotFound(kind=WaitingListRow.table, id=str(id))
    return AvailableSlots(items=[one.slot for one in await line.suiting(replace(entry, doctor_id=alone) if alone else entry, most)])


def theirs_alone(desk: kit.Desk) -> UUID | None:
    """Return the doctor whose time alone may be known to whoever asks: what is free says what is taken."""
    return desk.who.subject if own_column(CalendarRow, desk.who) == "doctor_id" else None


class Looked(NamedTuple):
    """When a clinic's line was last looked at in vain: knowing everything up to there, and until when nothing can come free unless something happens."""

    head: int
    since: dt.datetime
    until: dt.datetime


class Tending:
    """Offers what is free to whoever comes first among those whom it suits, again and again.

    Every gateway does, without a leader: that a time is on offer to one alone, and to nobody twice, the streams themselves see to. A clinic in which nothing has happened is not looked at anew.
    """

    __name__ = "waiting_list"

    def __init__(self) -> None:
        self.looked: dict[UUID, Looked] = {}

    async def __call__(self, services: Services, now: dt.datetime | None = None) -> None:
        """Settle what is over, then offer; `now` is another moment than this one, if a test says so."""
        moment = now or dt.datetime.now(dt.UTC)
        settled: defaultdict[UUID, int] = defaultdict(int)  # up to where, in which clinics: what has come free is to be seen
        for one in await to_settle(services.reading.lanes, moment):
            with suppress(Refused):
                receipt = await services.handler.handle(SettleSlotOffer(), house(PLATFORM, one.clinic), id=one.offer, now=now)
                settled[one.clinic] = max(settled[one.clinic], receipt.position)
        heads, reached = await clinics_waiting(services.reading.lanes)
        wanted = [clinic for clinic, head in heads.items() if not self._in_vain(clinic, head, moment)]
        for first in range(0, len(wanted), TOGETHER):
            await asyncio.gather(*(
                self._clinic(services, clinic, (settled[clinic], min(heads[clinic], reached)), now) for clinic in wanted[first : first + TOGETHER]))

    def _in_vain(self, clinic: UUID, head: int, moment: dt.datetime) -> bool:
        known = self.looked.get(clinic)
        return known is not None and known.head == head and known.since <= moment < known.until

    async def _clinic(self, services: Services, clinic: UUID, known: tuple[int, int], now: dt.datetime | None) -> None:
        (settled, head), moment = known, now or dt.datetime.now(dt.UTC)
        line = await Line.of(await services.reader(clinic, settled), moment)
        if line is None:
            return
        for entry in line.entries:
            if line.over(entry):
                with suppress(Refused):
                    await services.handler.handle(EndWaitingEntry(), house(PLATFORM, clinic), id=entry.id, now=now)
            elif line.awake and (found := await line.first(entry)) and await offered(services, clinic, found, now):
                line.give(found)
        self.looked[clinic] = Looked(head, moment, await line.waking())


async def offered(services: Services, clinic: UUID, found: Proposed, now: dt.datetime | None) -> bool:
    """Offer a time to somebody; say whether it is gone now, by this or by somebody who was quicker. Who is refused for another reason keeps nobody waiting."""
    command = OfferFreeSlot(entry_id=found.entry.id, doctor_id=found.slot.doctor_id, room_id=found.room, start=found.slot.starts_at, group_id=found.slot.group_id)
    try:
        return (await services.handler.handle(command, house(PLATFORM, clinic), now=now)).position > 0
    except (TimeTaken, GroupFull):
        return True
    except Refused:  # the rows were late: the next round looks again
        return False


router = Router("/api/v1/protected/waiting-list", tags=["Scheduling"], route_handlers=[
    browse(
        "/", WaitingListEntry, by=["status", "rank", "patient_id", "doctor_id", "type_id", "place_id", "appointment_id", "until..", "added_at.."], sort="added_at",
        sorts=["changed_at", "closed_at"]),
    settings,
    act("/settings", ChangeWaitingListSettings, "PUT"),
    suited,
    fetch("/{id:uuid}", WaitingListEntry),
    slots,
    create("/", AddWaitingEntry),
    act("/{id:uuid}", ChangeWaitingEntry, "PUT"),
    act("/{id:uuid}", RemoveWaitingEntry, "DELETE"),
    act("/{id:uuid}/reopen", ReopenWaitingEntry),
])
