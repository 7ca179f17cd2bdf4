"""What can be booked, reckoned a second time: minute by minute, from what the API shows as JSON, with nothing of the product.

The rules, as a clinic would say them. A doctor works at a place in the hours of a date: those of its exception if there is one, none on a day on which the clinic is closed, else those
of the weekday; from a time on the wall until another, not included. A visit is offered at a minute at which the wall shows the start of some of that date's hours or a multiple of
the grid after it, before they end, if all its minutes are worked at that one place. Nothing else of the doctor's is in them, nor in so many minutes before and after as the buffers say. If it
needs a kind of room, there must be one of it in use at that place in which nothing is, buffers included. Cancelled visits and those that were missed take no time; blocked time and times that
are held do. Where a kind of visit names a grid, a buffer or a length, that counts instead of the doctor's.
"""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
TAKES = {"booked", "confirmed", "arrived", "in-chair", "completed"}


def reckon(clinic: dict, on: date, kind: dict | None = None, minutes: int | None = None) -> set[tuple[str, str, str | None, frozenset[str]]]:
    """Return each visit that could start on a date: the instant, the doctor, the place, and the rooms that are free."""
    length = minutes or (kind["minutes"] if kind else 30)
    walls = walls_of(clinic["zone"], on)
    taken = minutes_taken(clinic)
    needed = kind["roomType"] if kind else None
    found = set()
    for doctor, hours in clinic["schedules"].items():
        before, after, grid = (
            kind[name] if kind and kind.get(name) is not None else hours[theirs]
            for name, theirs in (("bufferBefore", "bufferBefore"), ("bufferAfter", "bufferAfter"), ("grid", "slotMinutes")))
        days = {day: of_date(hours, day, clinic["closed"]) for day in {day for _, day, _ in walls}}
        worked = {moment: {one.get("placeId") for one in days[day] if one["start"] <= clock < one["end"]} for moment, day, clock in walls}
        for moment, day, clock in walls:
            places = {
                one.get("placeId") for one in days[day] if day == on and one["start"] <= clock < one["end"] and (minute(clock) - minute(one["start"])) % grid == 0}
            if not places:
                continue
            held = {moment + n * MINUTE for n in range(-before, length + after)}
            if held & taken[doctor]:
                continue
            for place in places:
                if not all(place in worked[moment + n * MINUTE] for n in range(length)):
                    continue
                rooms = frozenset(
                    room["id"] for room in clinic["rooms"]
                    if room["active"] and room.get("placeId") == place and needed in {None, room["type"]} and not held & taken[room["id"]])
                if rooms or needed is None:
                    found.add((moment.strftime("%Y-%m-%dT%H:%M:%SZ"), doctor, place, rooms))
    return found


@cache
def walls_of(zone: str, on: date) -> list[tuple[datetime, date, str]]:
    """Return every minute around a date, with what the calendar and the clock on the wall show."""
    first = datetime(on.year, on.month, on.day, tzinfo=UTC) - timedelta(hours=26)
    walls = ((moment, moment.astimezone(ZoneInfo(zone))) for moment in (first + n * MINUTE for n in range(100 * 60)))
    return [(moment, wall.date(), f"{wall:%H:%M}") for moment, wall in walls]


def of_date(hours: dict, on: date, closed: list[str]) -> list[dict]:
    for exception in hours["exceptions"]:
        if exception["on"] == on.isoformat():
            return exception["hours"]
    return [] if on.isoformat() in closed else hours["week"][on.weekday()]


def minutes_taken(clinic: dict) -> dict[str, set[datetime]]:
    found: defaultdict[str, set[datetime]] = defaultdict(set)
    visits = [visit for visit in clinic["visits"] if visit["status"] in TAKES]
    for one in (*visits, *clinic["blocks"]):
        start = datetime.fromisoformat(one["startsAt"]) - one.get("bufferBefore", 0) * MINUTE
        end = datetime.fromisoformat(one["endsAt"]) + one.get("bufferAfter", 0) * MINUTE
        for whose in (one.get("doctorId"), one.get("roomId")):
            if whose:
                found[whose] |= {start + n * MINUTE for n in range((end - start) // MINUTE)}
    return found


def minute(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
