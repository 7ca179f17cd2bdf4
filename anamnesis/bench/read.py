"""Reads over HTTP: a patient, a page of invoices, a doctor's week, the whole clinic's week; signed in, permitted, behind row-level security."""

import json
import urllib.request
from datetime import timedelta
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

from anamnesis.bench.kit import http, load, plain
from anamnesis.bench.kit.clinics import Diary
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job, Tally
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.trouble import Trouble

TARGET = 2000
OK = 200
A_DAY = 12  # visits of a doctor
DAYS = 5
INVOICES = 2000
PAGE = 50
WARM = 1.0
REQUESTS = 2000  # different ones, again and again
OPEN_CONNECTIONS = 64

Paths = dict[str, list[str]]


def measure(options: Options) -> list[Result]:
    """Each read as often as possible, at half the target's rate, and as plain Litestar and psycopg answer it."""
    with furnished(options, number=1, invoices=INVOICES) as place:
        fill_week(place)
        ours, theirs = paths(place), plain_paths(place)
        checked = ["every answer 200", *answers_are_right(place, ours)]
        with plain.served(place.bench.owner_url) as url:
            baselines = {name: summary(run(place, url, theirs[name])) for name in theirs}
        for name in ours:
            figure(place, name, ours[name], baselines[name], checked)
        return place.done()


def figure(place: Place, name: str, wanted: list[str], baseline: Figure, checked: list[str]) -> None:
    """Measure one kind of read; the whole week is asked for by one client, the others by many."""
    if name == "the clinic's week":
        tally = run(place, place.url, wanted, connections=1)
        place.bench.add(f"read {name}", summary(tally), baseline, by="p99_ms", targets=[Target("p99_ms", most=50)], checked=checked)
        return
    tally = run(place, place.url, wanted)
    most = summary(tally)
    half = summary(run(place, place.url, wanted, rate=TARGET / 2))
    both = {**most, "half_rate_per_second": half["per_second"], "half_rate_p50_ms": half["p50_ms"], "half_rate_p99_ms": half["p99_ms"], **tally.cost}
    targets = [Target("per_second", least=TARGET), Target("half_rate_per_second", least=0.99 * TARGET / 2), Target("half_rate_p99_ms", most=20)]
    place.bench.add(f"read {name}", both, baseline, by="per_second", targets=targets, checked=checked)


def run(place: Place, url: str, wanted: list[str], *, rate: float = 0.0, connections: int = 0) -> Tally:
    """Ask for these, over and over; every answer must be good."""
    users = cycle(place.tokens()[0])
    host, port = http.address(url)
    options = place.bench.options
    clients = connections or (OPEN_CONNECTIONS if rate else options.clients)
    requests = [http.get(path, next(users)) for path in wanted]
    options.tell(f"  {wanted[0].partition('?')[0]} {f'{rate:,g}/s' if rate else f'{clients} clients'} at {port}")
    tally = load.generate(Job(
        host=host, port=port, requests=requests, seconds=options.seconds, connections=clients, rate=rate, warm=WARM, again=True,
        watch=place.stack.pids()))
    if tally.lost or set(tally.answers) != {OK}:
        raise Trouble(f"{tally.lost} reads without an answer, the others answered {tally.answers}")
    return tally


def summary(tally: Tally) -> Figure:
    """Return rate and latencies."""
    return {"per_second": round(tally.per_second(OK)), **latencies(tally.times)}


def fill_week(place: Place) -> None:
    """Book every doctor's first week, over HTTP."""
    token = place.tokens()[0][0]
    host, port = http.address(place.url)
    requests = [http.post(http.BOOK, token, b.body) for b in Diary(place.clinics).week(0, A_DAY)]
    tally = load.generate(Job(host=host, port=port, requests=requests, seconds=120))
    if len(tally.accepted) != len(requests):
        raise Trouble(f"of {len(requests)} bookings {len(tally.accepted)} were accepted: {tally.answers}")
    place.caught_up()


def paths(place: Place) -> Paths:
    """What is asked of the gateway."""
    clinic, monday = place.clinics[0], Diary(place.clinics).monday
    days = {"from": monday, "to": monday + timedelta(days=DAYS - 1)}
    calendar = f"{http.BOOK}/calendar?"
    return {
        "a patient": [f"/api/v1/protected/patients/{p}" for p in clinic.patients][:REQUESTS],
        "a page of invoices": ["/api/v1/protected/invoices/"],
        "a doctor's week": [calendar + urlencode({**days, "doctorId": doctor}) for doctor in clinic.doctors],
        "the clinic's week": [calendar + urlencode(days)],
    }


def plain_paths(place: Place) -> Paths:
    """The same, asked of the plain server."""
    clinic, monday = place.clinics[0], Diary(place.clinics).monday
    days = {"clinic": clinic.id, "first": monday, "last": monday + timedelta(days=DAYS - 1)}
    return {
        "a patient": [f"/patients/{p}?clinic={clinic.id}" for p in clinic.patients][:REQUESTS],
        "a page of invoices": [f"/invoices?clinic={clinic.id}"],
        "a doctor's week": ["/week?" + urlencode({**days, "doctor": doctor}) for doctor in clinic.doctors],
        "the clinic's week": ["/week?" + urlencode(days)],
    }


def answers_are_right(place: Place, wanted: Paths) -> list[str]:
    """Look at one answer of each kind."""
    token = place.tokens()[0][0]
    doctors = len(place.clinics[0].doctors)
    patient, page, week, whole = (_read(place.url + several[0], token) for several in wanted.values())
    found = {
        "the patient": patient["id"] == str(place.clinics[0].patients[0]), "a full page": len(page["items"]) == PAGE,
        "the doctor's visits": len(week["appointments"]) == A_DAY * DAYS, "everybody's visits": len(whole["appointments"]) == doctors * A_DAY * DAYS,
    }
    if wrong := [what for what, right in found.items() if not right]:
        raise Trouble(f"wrong answers: {', '.join(wrong)}")
    return list(found)


def _read(url: str, token: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found
