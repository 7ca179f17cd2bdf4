"""Read models made anew from history: events a second in one process, beside merely copying the same events out."""

from anamnesis.bench.kit.figures import Result, Target
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.places import Place, lived_in
from anamnesis.bench.kit.rebuilding import copied, rebuilt
from anamnesis.trouble import Trouble

LEAST = {
    "revenue_days": 300_000, "appointment_days": 300_000, "lifetimes": 150_000, "visits": 150_000, "invoices": 150_000, "calendar": 150_000,
}
MEMORY = 1024  # MiB


def measure(options: Options) -> list[Result]:
    """One after the other, on a demo's history, while the API is idle."""
    with lived_in(options, options.size) as place:
        for name, least in LEAST.items():
            options.tell(f"  {name}")
            one(place, name, least)
        return place.bench.done()


def one(place: Place, name: str, least: int) -> None:
    """Rebuild a read model; the targets are meant for the large demo, where starting up is nothing beside the work."""
    count, seconds = copied(place.bench.owner_url, name)
    made = rebuilt(place.stack.settings("owner"), name)
    if made.events != count or not made.compared or made.differing or made.parked:
        raise Trouble(f"{name}: {made.events} of {count} events, {made.differing} rows differ, {made.parked} parked, compared: {made.compared}")
    figure = {
        "per_second": round(made.events / made.seconds), "events": made.events, "rows": made.rows, "seconds": round(made.seconds, 2),
        "with_comparison_seconds": round(made.whole_seconds, 2), "peak_mib": made.peak_mib,
    }
    targets = [Target("per_second", least=least), Target("peak_mib", most=MEMORY)] if place.bench.options.size == "large" else []
    baseline = {"per_second": round(count / seconds), "by": "COPY of the same events"}
    place.bench.add(f"rebuild {name}", figure, baseline, by="per_second", targets=targets, checked=["live = rebuild, row by row"])
