"""A patient found among a hundred thousand over HTTP: by name, a slip of the keyboard, telephone, e-mail address, day of birth and number."""

import json
import urllib.request
from datetime import date, timedelta
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

from anamnesis.bench.kit import http, load, plain
from anamnesis.bench.kit.figures import Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job, Tally
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.trouble import Trouble
from commands.patients import RegisterPatient

PATIENTS = 100_000
TARGET = 20  # milliseconds
OK = 200
ASKED = 500  # different questions of a kind
BUSY = 8  # desks that search at once
WARM = 1.0
GIVEN = ["Noor", "Sam", "Eva", "Omar", "Mila", "Liam", "Ada", "Yusuf", "Ines", "Tom", "Sanne", "Daan", "Lotte", "Bram", "Fleur", "Sem", "Zoë", "José", "Maëlle", "Björn", "Łukasz", "Fatima", "Mohamed", "Li", "Wei", "Priya", "Arjun", "Olga", "Ivan", "Chloé", "Jürgen", "Søren", "Ana", "Pedro", "Lucía", "Hugo", "Emma", "Finn", "Julia", "Max"]
BEGINNINGS = ["Jan", "Bak", "Vis", "Smit", "Mei", "Mul", "Vos", "Pet", "Hen", "Wil", "Dij", "Gro", "Kui", "Ver", "Hoe", "Sch", "Bou", "Pos", "Lin", "Kok", "Rui", "Zwa", "Brou", "Dek", "Mar", "Gar", "Fer", "Rod", "Lop", "Sán"]
ENDINGS = ["sen", "ker", "ser", "hof", "jer", "der", "man", "ters", "driks", "lems", "kstra", "ot", "pers", "meer", "ven", "outen", "ma", "tema", "den", "inga", "es", "cía", "nández", "rígues", "ez", "berg", "veld", "horst", "kamp", "stra"]


def somebody(number: int) -> RegisterPatient:
    """Who the patient of a number is: names that many share, and no two alike in all."""
    given = GIVEN[number % len(GIVEN)]
    family = BEGINNINGS[number // 7 % len(BEGINNINGS)] + ENDINGS[number // 211 % len(ENDINGS)]
    return RegisterPatient(
        given_name=given, family_name=family, birth_date=date(1935, 1, 1) + timedelta(days=number * 7919 % 31_013), phone=f"+31 6 {number * 7907 % 10**8:08}",
        email=f"{family}{number}@example.org".lower().replace("á", "a").replace("í", "i"))


def measure(options: Options) -> list[Result]:
    """Each kind of question by one desk and by several at once, and as a plain `ilike` answers it."""
    with furnished(options, doctors=1, patients=PATIENTS, number=1, person=somebody) as place, plain.served(place.bench.owner_url) as url:
        with place.bench.connect() as owner:
            owner.execute("analyze")
        for name, questions in asked().items():
            checked = found(place, name, questions)
            figure(place, url, name, [text for _, text in questions], checked)
        return place.done()


def asked() -> dict[str, list[tuple[int, str]]]:
    """The questions by kind, each with whom it means."""
    whom = range(0, PATIENTS, PATIENTS // ASKED)
    people = [(number, somebody(number)) for number in whom]
    return {
        "name": [(n, f"{p.family_name} {p.given_name}") for n, p in people],
        "family name alone": [(n, p.family_name) for n, p in people],
        "first letters": [(n, p.family_name[:2]) for n, p in people],
        "name with slips": [(n, f"{slipped(p.given_name)} {slipped(p.family_name)}") for n, p in people],
        "telephone": [(n, f"06-{(p.phone or '')[6:10]} {(p.phone or '')[10:]}") for n, p in people],
        "e-mail address": [(n, p.email or "") for n, p in people],
        "day of birth": [(n, f"{p.birth_date:%d-%m-%Y}") for n, p in people],
        "name and day of birth": [(n, f"{p.given_name} {p.birth_date:%d-%m-%Y}") for n, p in people],
        "number": [(n, str(n + 1)) for n, _ in people],
    }


def slipped(name: str) -> str:
    """Return a name with one letter missing, if it is long enough to be told all the same."""
    return name[:2] + name[3:] if len(name) > 4 else name  # noqa: PLR2004


def found(place: Place, name: str, questions: list[tuple[int, str]]) -> list[str]:
    """See that each of some questions finds whom it means; where thousands fit, that it finds anybody who does."""
    token = place.tokens()[0][0]
    for number, text in questions[:50]:
        person = somebody(number)
        items = _read(place.url + path(text), token)["items"]
        if name == "number":
            right = any(item["number"] == number + 1 for item in items[:1])
        elif name in {"family name alone", "first letters"}:
            right = bool(items) and all(str(item["familyName"]).startswith(text) for item in items[:1])
        else:
            right = any((item["givenName"], item["familyName"]) == (person.given_name, person.family_name) for item in items)
        if not right:
            raise Trouble(f"{text} does not find the patient of number {number + 1}")
    return ["50 questions find whom they mean"]


def figure(place: Place, plain_url: str, name: str, questions: list[str], checked: list[str]) -> None:
    """Measure one kind of question."""
    clinic = place.clinics[0].id
    alone = latencies(run(place, place.url, [path(text) for text in questions], 1).times)
    busy = run(place, place.url, [path(text) for text in questions], BUSY)
    baseline = latencies(run(place, plain_url, ["/search?" + urlencode({"clinic": clinic, "q": text}) for text in questions], 1).times)
    both = {**alone, "per_second": round(busy.per_second(OK)), **{f"busy_{key}": value for key, value in latencies(busy.times).items()}}
    place.bench.add(f"search by {name}", both, {**baseline, "by": "ilike"}, by="p50_ms", targets=[Target("p99_ms", most=TARGET)], checked=checked)


def run(place: Place, url: str, wanted: list[str], desks: int) -> Tally:
    """Ask these, over and over; every answer must be good."""
    users = cycle(place.tokens()[0])
    host, port = http.address(url)
    place.bench.options.tell(f"  {wanted[0]} {desks} at {port}")
    requests = [http.get(text, next(users)) for text in wanted]
    tally = load.generate(Job(
        host=host, port=port, requests=requests, seconds=place.bench.options.seconds, connections=desks, warm=WARM, again=True, watch=place.stack.pids()))
    if tally.lost or set(tally.answers) != {OK}:
        raise Trouble(f"{tally.lost} searches without an answer, the others answered {tally.answers}")
    return tally


def path(text: str) -> str:
    return "/api/v1/protected/patients/search?" + urlencode({"q": text})


def _read(url: str, token: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


