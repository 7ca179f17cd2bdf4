"""Available slots over HTTP: ten doctors and thirty days at once, with nothing booked and with full calendars; and the first that is free."""

import json
import urllib.request
from datetime import timedelta
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

from anamnesis.bench.kit import http, load, plain
from anamnesis.bench.kit.clinics import LENGTH, Diary
from anamnesis.bench.kit.figures import Result, Target
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.bench.read import run, summary
from anamnesis.trouble import Trouble

DOCTORS = 10
DAYS = 30
WEEKS = 5  # that are booked: more than thirty days
A_DAY = 19  # visits of a doctor, of twenty that there is time for
SLOTS = "/api/v1/protected/appointments/available-slots"


def measure(options: Options) -> list[Result]:
    """Each asked by one client, over and over; beside what is usually built: every possible start, without those that meet a visit, in SQL."""
    with furnished(options, number=1, doctors=DOCTORS) as place:
        figure(place, "slots of a month, nothing booked", asked(place), plain_asked(place), 39 * DOCTORS, [])
        fill(place)
        full = [Target("p99_ms", most=50)]
        figure(place, "slots of a month, nearly full", asked(place), plain_asked(place), DOCTORS, full)
        figure(place, "the first free slot of any doctor", [f"{path.replace('?', '/first?')}&days=92" for path in asked(place, days="from")], plain_asked(place), 0, full)
        return place.done()


def figure(place: Place, name: str, wanted: list[str], usual: list[str], a_day: int, targets: list[Target]) -> None:
    """Measure one question, whose answers have been looked at."""
    checked = ["every answer 200", *answers_are_right(place, wanted[0], a_day)]
    with plain.served(place.bench.owner_url) as url:
        baseline = summary(run(place, url, usual, connections=1))
    place.bench.add(name, summary(run(place, place.url, wanted, connections=1)), baseline, by="p99_ms", targets=targets, checked=checked)


def asked(place: Place, days: str = "date") -> list[str]:
    """What is asked of the gateway: any doctor."""
    monday = Diary(place.clinics).monday
    query = {days: monday, "duration": LENGTH} if days == "from" else {days: monday, "days": DAYS, "duration": LENGTH}
    return [f"{SLOTS}?{urlencode(query)}"]


def plain_asked(place: Place) -> list[str]:
    """The same, asked of the plain server."""
    clinic, monday = place.clinics[0], Diary(place.clinics).monday
    return ["/slots?" + urlencode({"clinic": clinic.id, "first": monday, "last": monday + timedelta(days=DAYS - 1), "zone": clinic.zone, "minutes": LENGTH})]


def fill(place: Place) -> None:
    """Book all but one visit of each day."""
    users = cycle(place.tokens()[0])
    host, port = http.address(place.url)
    requests = [http.post(http.BOOK, next(users), one.body) for one in Diary(place.clinics).week(0, A_DAY, WEEKS)]
    tally = load.generate(load.Job(host=host, port=port, requests=requests, seconds=300))
    if len(tally.accepted) != len(requests):
        raise Trouble(f"of {len(requests)} bookings {len(tally.accepted)} were accepted: {tally.answers}")
    place.caught_up()


def answers_are_right(place: Place, path: str, a_day: int) -> list[str]:
    """Look at one answer: each weekday has so many slots; where only one is asked for, it is the first day's last half hour."""
    request = urllib.request.Request(place.url + path, headers={"authorization": f"Bearer {place.tokens()[0][0]}"})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        items: list[dict[str, Any]] = json.load(answer)["items"]
    monday = Diary(place.clinics).monday
    weekdays = sum((monday + timedelta(days=n)).weekday() < 5 for n in range(DAYS))  # noqa: PLR2004 - Saturday
    right = len(items) == a_day * weekdays if a_day else [one["startLocal"] for one in items] == [f"{monday}T17:30:00"]
    if not right:
        raise Trouble(f"wrong answer: {len(items)} slots, not {a_day} on each of {weekdays} days")
    return ["what is free, and nothing else"]
