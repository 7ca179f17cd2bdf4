"""Read models made anew from history: events a second in one process, beside merely copying the same events out; two processes beside one; and the API meanwhile."""

import threading
from itertools import cycle

from anamnesis.bench.kit import http, load
from anamnesis.bench.kit.figures import Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job, Tally
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.bench.kit.rebuilding import Rebuilt, copied, rebuilt
from anamnesis.trouble import Trouble
from projections.kit import PROJECTIONS

LEAST = {
    "revenue_days": 300_000, "appointment_days": 300_000, "lifetimes": 150_000, "visits": 150_000, "invoices": 150_000, "calendar": 150_000,
}
ANALYTICS = ("revenue_days", "appointment_days")
MEANWHILE = 150_000
MEMORY = 1024  # MiB
RATE = 200.0  # requests a second that the API answers meanwhile
OK = 200


def measure(options: Options) -> list[Result]:
    """One after the other on a demo's history while the API is idle, all on one and on two processes, and all while the API answers."""
    with furnished(options, number=1, demo=options.size) as place:
        for name, least in LEAST.items():
            options.tell(f"  {name}")
            one(place, name, least)
        all_of_them(place)
        return place.bench.done()


def one(place: Place, name: str, least: int) -> None:
    """Rebuild a read model; the targets are meant for the large demo, where starting up is nothing beside the work."""
    count, seconds = copied(place.bench.owner_url, name)
    made = sound(rebuilt(place.stack.settings("owner"), [name]), count)
    figure = {
        "per_second": round(made.events / made.seconds), "events": made.events, "rows": made.rows, "seconds": round(made.seconds, 2),
        "with_comparison_seconds": round(made.whole_seconds, 2), "peak_mib": made.peak_mib,
    }
    baseline = {"per_second": round(count / seconds), "by": "COPY of the same events"}
    place.bench.add(f"rebuild {name}", figure, baseline, by="per_second", targets=meant(place, Target("per_second", least=least), Target("peak_mib", most=MEMORY)), checked=CHECKED)


CHECKED = ["live = rebuild, row by row"]


def meant(place: Place, *targets: Target) -> list[Target]:
    """The targets, where they are meant."""
    return list(targets) if place.bench.options.size == "large" else []


def sound(made: Rebuilt, count: int = 0) -> Rebuilt:
    """Every event was met, and every row is what is served."""
    if not made.compared or made.differing or made.parked or (count and made.events != count):
        raise Trouble(f"{made.events} of {count} events, {made.differing} rows differ, {made.parked} parked, compared: {made.compared}")
    return made


def all_of_them(place: Place) -> None:
    """Rebuild every read model: by one process, by two, and by two while the API answers, which is measured before and meanwhile."""
    settings, tell, names = place.stack.settings("owner"), place.bench.options.tell, sorted(PROJECTIONS)
    tell("  all, one process")
    alone = sound(rebuilt(settings, names))
    tell("  all, two processes")
    both = sound(rebuilt(settings, names, jobs=2))
    faster = {
        "per_second": round(both.events / both.whole_seconds), "seconds": round(both.whole_seconds, 2), "events": both.events, "read_models": len(names),
        "times_one": round(alone.whole_seconds / both.whole_seconds, 2), "peak_mib": both.peak_mib,
    }
    baseline = {"per_second": round(alone.events / alone.whole_seconds), "seconds": round(alone.whole_seconds, 2), "peak_mib": alone.peak_mib, "by": "one process"}
    targets = meant(place, Target("times_one", least=1.2), Target("peak_mib", most=MEMORY))
    place.bench.add("rebuild all, two processes", faster, baseline, by="per_second", targets=targets, checked=CHECKED)
    usual = latencies(asked(place).times)
    tell("  all, while the API answers")
    made, meanwhile = answering(place, names)
    figure = {
        **latencies([t for tally in meanwhile for t in tally.times]), "requests": sum(tally.answers[OK] for tally in meanwhile), "failed": 0,
        **{f"{name}_per_second": round(made.rates[name]) for name in ANALYTICS}, "rebuild_seconds": round(made.whole_seconds, 2), "peak_mib": made.peak_mib,
    }
    figure["times_usual"] = round(float(figure["p99_ms"]) / float(usual["p99_ms"]), 2)
    targets = meant(place, Target("times_usual", most=2), *[Target(f"{name}_per_second", least=MEANWHILE) for name in ANALYTICS])
    place.bench.add("requests during a rebuild of all", figure, {**usual, "by": "no rebuild"}, by="p99_ms", targets=targets, checked=["every answer 200", *CHECKED])


def answering(place: Place, names: list[str]) -> tuple[Rebuilt, list[Tally]]:
    """Rebuild while requests come; return both."""
    made: list[Rebuilt] = []
    work = threading.Thread(target=lambda: made.append(rebuilt(place.stack.settings("owner"), names)))
    work.start()
    tallies = []
    while work.is_alive():
        tallies.append(asked(place))
    work.join()
    if not made:
        raise Trouble("the rebuild failed")
    return sound(made[0]), tallies


def asked(place: Place) -> Tally:
    """Ask for patients at a steady rate; every answer must be good."""
    users = cycle(place.tokens()[0])
    host, port = http.address(place.url)
    requests = [http.get(f"/api/v1/protected/patients/{patient}", next(users)) for patient in place.clinics[0].patients]
    tally = load.generate(Job(host=host, port=port, requests=requests, seconds=place.bench.options.seconds, rate=RATE, again=True))
    if tally.lost or set(tally.answers) != {OK}:
        raise Trouble(f"{tally.lost} reads without an answer, the others answered {tally.answers}")
    return tally
