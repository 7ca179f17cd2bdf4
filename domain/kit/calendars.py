"""Calendars as files that other programs read: RFC 5545, and RFC 5546 for what is sent to somebody; pure.

How it works: an `Occasion` becomes a VEVENT, at the wall clock that people were told (TZID), beside a VTIMEZONE that holds the real changes of the clocks of the years shown. Its UID is
the id of what it is about, so it is the same one for ever; of two with one UID the higher SEQUENCE counts. `icalendar` folds and escapes.

    written("REQUEST", [occasion], datetime.now(UTC))

What may go wrong: an hour that happens twice is the first one by RFC 5545 (3.3.5, form 3), but some programs take it for the second; so an occasion that begins or ends in either is
written in UTC. Programs break lines where
Unicode does, not only where the standard does, so whatever breaks a line is a line feed here, and other control characters are gone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

from icalendar import Calendar, Timezone, TimezoneDaylight, TimezoneStandard, vCalAddress, vDuration, vText
from icalendar import Event as VEvent

from domain.kit.clock import zone
from domain.kit.model import Frozen

Method = Literal["PUBLISH", "REQUEST", "CANCEL"]
MEDIA = "text/calendar"
_BREAKS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
BEGINNING = datetime(1970, 1, 1)  # noqa: DTZ001 - the wall clock's


class Mailbox(NamedTuple):
    """Somebody who takes part."""

    name: str
    email: str


class Occasion(Frozen):
    """What is in a calendar: when, as people were told, and in which edition (`sequence` rises with each change of time, place or state)."""

    id: UUID
    sequence: int
    starts_at: datetime
    ends_at: datetime
    zone: str
    summary: str
    description: str = ""
    location: str = ""
    cancelled: bool = False
    changed_at: datetime | None = None
    organizer: Mailbox | None = None
    attendee: Mailbox | None = None
    accepted: bool = False  # by the attendee


class Change(NamedTuple):
    """The clocks of a zone are put to another offset: at which instant, and from which offset to which."""

    at: datetime
    before: timedelta
    after: timedelta
    name: str
    summer: bool


def written(method: Method, occasions: Sequence[Occasion], now: datetime, name: str = "", refresh: timedelta | None = None) -> str:
    """Return a calendar of these occasions; `now` is when it is made. One that is looked at again and again has a name, and says how often to look (RFC 7986)."""
    calendar = Calendar()
    calendar.add("prodid", "-//Anamnesis//Appointments//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    if name:
        calendar.add("name", _clean(name))
        calendar.add("x-wr-calname", _clean(name))
    if refresh is not None:
        calendar.add("refresh-interval", refresh, parameters={"VALUE": "DURATION"})
        calendar.add("x-published-ttl", vDuration(refresh))
    for there in sorted({occasion.zone for occasion in occasions}):
        here = [occasion for occasion in occasions if occasion.zone == there]
        calendar.add_component(_zone(there, min(o.starts_at for o in here).year, max(o.ends_at for o in here).year))
    for occasion in occasions:
        calendar.add_component(_event(occasion, now))
    return str(calendar.to_ical(), "utf-8")


def _event(occasion: Occasion, now: datetime) -> VEvent:
    event = VEvent()
    event.add("uid", str(occasion.id))
    event.add("sequence", occasion.sequence)
    event.add("dtstamp", now.astimezone(UTC).replace(microsecond=0))
    if occasion.changed_at is not None:
        event.add("last-modified", occasion.changed_at.astimezone(UTC).replace(microsecond=0))
    for name, moment in zip(("dtstart", "dtend"), _moments(occasion), strict=True):
        event.add(name, moment)
    event.add("summary", _clean(occasion.summary))
    for name in ("description", "location"):
        if text := _clean(getattr(occasion, name)):
            event.add(name, text)
    event.add("status", "CANCELLED" if occasion.cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if occasion.cancelled else "OPAQUE")
    event.add("class", "PRIVATE")
    if occasion.organizer is not None:
        event.add("organizer", _mailbox(occasion.organizer), encode=False)
    if occasion.attendee is not None:
        attendee = _mailbox(occasion.attendee)
        attendee.params["PARTSTAT"] = vText("ACCEPTED" if occasion.accepted else "NEEDS-ACTION")
        attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
        attendee.params["RSVP"] = vText("FALSE")  # an answer by mail would be read by nobody
        event.add("attendee", attendee, encode=False)
    return event


def _moments(occasion: Occasion) -> Iterable[datetime]:
    there = zone(occasion.zone)
    local = [moment.astimezone(there) for moment in (occasion.starts_at, occasion.ends_at)]
    return [moment.astimezone(UTC) for moment in local] if any(_twice(moment) for moment in local) else local


def _twice(moment: datetime) -> bool:
    """Say whether the clocks show this time twice."""
    return moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()


def _mailbox(mailbox: Mailbox) -> vCalAddress:
    address = vCalAddress(f"mailto:{mailbox.email}")
    address.params["CN"] = vText(" ".join(_clean(mailbox.name).replace('"', "'").split()))
    return address


def _clean(text: str) -> str:
    return _CONTROLS.sub("", _BREAKS.sub("\n", text))


def _zone(name: str, first: int, last: int) -> Timezone:
    """Return a zone's VTIMEZONE: what counted as the first of these years began, and every change until the last is over."""
    component = Timezone()
    component.add("tzid", name)
    start = datetime(first, 1, 1, tzinfo=UTC) - _DAY
    before = start.astimezone(zone(name))
    offset = before.utcoffset() or timedelta()
    component.add_component(_observance(BEGINNING, Change(start, offset, offset, before.tzname() or name, bool(before.dst()))))
    for change in changes(name, first, last):
        component.add_component(_observance((change.at + change.before).replace(tzinfo=None), change))
    return component


def _observance(local: datetime, change: Change) -> Any:
    part: Any = TimezoneDaylight() if change.summer else TimezoneStandard()
    part.add("dtstart", local)
    part.add("tzoffsetfrom", change.before)
    part.add("tzoffsetto", change.after)
    part.add("tzname", change.name)
    return part


@lru_cache(maxsize=512)
def changes(name: str, first: int, last: int) -> tuple[Change, ...]:
    """Return the changes of a zone's clocks in these years, in order."""
    return tuple(_changes(name, datetime(first, 1, 1, tzinfo=UTC) - _DAY, datetime(last + 1, 1, 1, tzinfo=UTC) + _DAY))


def _changes(name: str, start: datetime, end: datetime) -> Iterator[Change]:
    there = zone(name)
    while start < end:
        low, high = start, start + _DAY
        before = low.astimezone(there).utcoffset()
        if before != high.astimezone(there).utcoffset():
            while high - low > _SECOND:
                middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
                low, high = (middle, high) if middle.astimezone(there).utcoffset() == before else (low, middle)
            new = high.astimezone(there)
            yield Change(high, before or timedelta(), new.utcoffset() or timedelta(), new.tzname() or name, bool(new.dst()))
        start += _DAY
