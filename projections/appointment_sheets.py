"""Appointments line by line, for a sheet or a paper."""

from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import msgspec

from projections.kit.reading import Reader, Wanted
from schemas.appointment_sheets import AppointmentLine
from schemas.calendar import CalendarEntry
from schemas.places import PlaceRow

SOME = 1_000  # lines at once


async def pages(reader: Reader, wanted: Wanted, zone: str) -> AsyncIterator[list[AppointmentLine]]:
    """Yield the appointments of a list, some at a time."""
    places = {row.id: row.name for row in await reader.find(PlaceRow)}
    clock, wanted = ZoneInfo(zone), wanted._replace(limit=SOME)
    while True:
        page = await reader.page(CalendarEntry, wanted)
        rows = msgspec.json.decode(page.items, type=list[CalendarEntry])
        yield [
            AppointmentLine(
                id=row.id, date=row.date, start=row.start_local[11:16], end=f"{row.ends_at.astimezone(clock):%H:%M}", minutes=int((row.ends_at - row.starts_at).total_seconds()) // 60,
                status=row.status, type=row.type, patient_id=row.patient_id, patient_name=row.patient_name, doctor_name=row.doctor_name, room_name=row.room_name,
                place_name=places.get(row.place_id) if row.place_id else None, overbooked=row.overbooked)
            for row in rows]
        if page.next is None:
            return
        wanted = wanted._replace(cursor=page.next)
