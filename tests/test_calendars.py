"""What others' calendars are told: two readers of other makes find the same instants, texts and states in what we write, wherever the clocks stand."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import vobject
from hypothesis import given, settings
from hypothesis import strategies as st
from ical.calendar_stream import IcsCalendarStream

from domain.kit.calendars import Mailbox, Occasion, changes, written

ID = UUID(int=42)
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ZONES = (
    "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham", "Africa/Casablanca", "Europe/Dublin",
    "America/Sao_Paulo", "UTC",
)


def occasion(starts_at, minutes=30, zone="Europe/Amsterdam", **more):
    return Occasion(**{
        "id": ID, "sequence": 3, "starts_at": starts_at, "ends_at": starts_at + timedelta(minutes=minutes), "zone": zone, "summary": "Check-up", **more})


def by_ical(text):
    (event,) = IcsCalendarStream.calendar_from_ics(text).events
    return event.dtstart.astimezone(UTC), event.dtend.astimezone(UTC), event.summary, event.status.value, event.sequence, event.uid


def by_vobject(text):
    event = vobject.readOne(text).vevent
    begin, end = (moment.value.astimezone(UTC) for moment in (event.dtstart, event.dtend))
    return begin, end, event.summary.value, event.status.value, int(event.sequence.value), event.uid.value


READERS = (by_ical, by_vobject)


def agree(one):
    text = written("PUBLISH", [one], NOW)
    for read in READERS:
        said = read(text)
        assert said[:2] == (one.starts_at, one.ends_at), read.__name__
        assert said[3:] == ("CANCELLED" if one.cancelled else "CONFIRMED", one.sequence, str(one.id)), read.__name__
    return text


@pytest.mark.parametrize("zone", ZONES)
def test_every_hour_around_every_change_of_the_clocks_is_read_as_the_same_instant(zone):
    around = [change.at for change in changes(zone, 2026, 2026)] or [datetime(2026, 3, 29, tzinfo=UTC)]
    for at in around:
        for minutes in range(-180, 181, 30):
            agree(occasion(at + timedelta(minutes=minutes), zone=zone))
    for month in range(1, 13):
        agree(occasion(datetime(2026, month, 10, 9, 15, tzinfo=UTC), zone=zone))


def test_a_person_reads_the_wall_clock_they_were_told():
    text = agree(occasion(datetime(2026, 7, 1, 7, tzinfo=UTC)))
    assert "DTSTART;TZID=Europe/Amsterdam:20260701T090000\r\n" in text
    assert "BEGIN:VTIMEZONE\r\nTZID:Europe/Amsterdam\r\n" in text


def test_an_hour_that_happens_twice_is_the_one_that_is_meant():
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert "DTSTART:20261025T003000Z" in agree(occasion(first, 20))
    assert "DTSTART;TZID=Europe/Amsterdam:20261025T013000" in agree(occasion(first - timedelta(hours=1), 20))
    assert "DTSTART:20261025T013000Z" in agree(occasion(second, 20))
    assert "DTEND:20261025T011500Z" in agree(occasion(first + timedelta(minutes=15), 30))  # begins in the first and ends in the second


def test_the_changes_of_a_zone_are_those_of_its_law():
    found = changes("Europe/Amsterdam", 2026, 2026)
    assert [(c.at, c.summer) for c in found] == [(datetime(2026, 3, 29, 1, tzinfo=UTC), True), (datetime(2026, 10, 25, 1, tzinfo=UTC), False)]
    assert [c.after - c.before for c in changes("Australia/Lord_Howe", 2026, 2026)] == [timedelta(minutes=-30), timedelta(minutes=30)]
    assert not changes("Asia/Kathmandu", 2026, 2026)


def test_what_is_cancelled_says_so_and_takes_no_time():
    text = agree(occasion(datetime(2026, 7, 1, 7, tzinfo=UTC), cancelled=True))
    assert "TRANSP:TRANSPARENT" in text


def test_an_invitation_says_who_asks_whom():
    one = occasion(datetime(2026, 7, 1, 7, tzinfo=UTC), organizer=Mailbox('Grachten "Dental"; one', "desk@clinic.example"), attendee=Mailbox("Noor, B.", "noor@example.org"))
    text = written("REQUEST", [one], NOW)
    (event,) = IcsCalendarStream.calendar_from_ics(text).events
    assert (event.organizer.common_name, str(event.organizer.uri)) == ("Grachten 'Dental'; one", "mailto:desk@clinic.example")
    other = vobject.readOne(text)
    assert (other.method.value, other.vevent.attendee.value, other.vevent.attendee.params["CN"]) == ("REQUEST", "mailto:noor@example.org", ["Noor, B."])
    assert other.vevent.attendee.params["PARTSTAT"] == ["NEEDS-ACTION"]


TEXT = st.text(st.one_of(st.sampled_from(',;:\\"\n\r\u2028é😀^'), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=160)


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT)
def test_whatever_somebody_writes_arrives_as_it_was_and_no_line_is_too_long(summary, description):
    text = written("PUBLISH", [occasion(datetime(2026, 7, 1, 7, tzinfo=UTC), summary=f"a{summary}z", description=f"a{description}z")], NOW)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert "\n" not in text.replace("\r\n", "")
    for said, kept in ((f"a{summary}z", "summary"), (f"a{description}z", "description")):
        wanted = "".join(c for c in "\n".join(f"{said}.".splitlines())[:-1] if c in "\n\t" or (ord(c) > 31 and ord(c) != 127))
        assert getattr(vobject.readOne(text).vevent, kept).value == wanted
        (event,) = IcsCalendarStream.calendar_from_ics(text).events
        assert getattr(event, kept) == wanted


@pytest.mark.parametrize("count", range(60, 84))
def test_a_letter_of_several_bytes_is_never_cut_where_a_line_ends(count):
    for letter in ("é", "€", "😀"):
        summary = "x" * count + letter * 3
        text = written("PUBLISH", [occasion(datetime(2026, 7, 1, 7, tzinfo=UTC), summary=summary)], NOW)
        assert {by_ical(text)[2], by_vobject(text)[2]} == {summary}
