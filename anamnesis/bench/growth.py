"""Does it get slower as history grows? The same work on a small and on a large store."""

import asyncio
import time
from statistics import median
from uuid import UUID

import psycopg
import uvloop

from anamnesis.bench import book, read
from anamnesis.bench.kit.clinics import Diary, adopted
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import CREATED
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.trouble import Trouble
from commands.kit.store import Store
from domain.appointments import Appointment
from domain.clinics import Clinic as ClinicState

WORSE = 1.3
STREAMS = 2000
SOME = "select originator_id, clinic_id from stored_events tablesample system (%s) where topic = 'AppointmentBooked' limit %s"

Figures = dict[str, tuple[Figure, list[str]]]


def measure(options: Options) -> list[Result]:
    """Small against large; against medium where nobody asked for more."""
    large = "medium" if options.size == "small" else options.size
    before, _ = on(options, "small")
    _, results = on(options, large)
    for result in results:
        base = before[result.name]
        worse = result.figure["median_us"] / base["median_us"] if "median_us" in base else base["per_second"] / result.figure["per_second"]
        result.baseline, result.ratio, result.targets = {**base, "size": "small"}, round(worse, 2), [Target("ratio", most=WORSE)]
    return results


def on(options: Options, size: str) -> tuple[dict[str, Figure], list[Result]]:
    """Measure on a demo of that size: bookings and a doctor's week in a clinic beside it, patients, invoices and streams of its own largest clinic."""
    options.tell(f"  the {size} demo")
    with furnished(options, number=1, demo=size) as place:
        read.fill_week(place)
        loading(place)
        booking(place)
        reading(place)
        results = place.done()
        for result in results:
            result.conditions = {**result.conditions, "size": size}
        return {result.name: result.figure for result in results}, results


def booking(place: Place) -> None:
    """Thirty-two clients book."""
    options = place.bench.options
    job = book.job_of(place, Diary(place.clinics).take(int(book.MOST * (options.seconds + book.WARM))), seconds=options.seconds)
    tally, more, checked = book.run(place, job)
    figure = {"per_second": round(tally.per_second(CREATED)), **latencies(tally.times), **more}
    place.bench.add("growth: book", figure, {}, by="", targets=[], checked=checked)


def reading(place: Place) -> None:
    """Thirty-two clients read."""
    ours = read.paths(place)
    theirs = read.paths(within := seen_from_within(place))
    for name, where, wanted in (
        ("a patient", within, theirs["a patient"]), ("a page of invoices", within, theirs["a page of invoices"]),
        ("a doctor's week", place, ours["a doctor's week"]),
    ):
        tally = read.run(where, place.url, wanted)
        place.bench.add(f"growth: read {name}", {**read.summary(tally), **tally.cost}, {}, by="", targets=[], checked=["every answer 200"])


def seen_from_within(place: Place) -> Place:
    """The same installation, seen from the demo's largest clinic."""
    return Place(place.stack, place.bench, [adopted(place.stack.settings("gateway"), place.bench.owner_url)])


def loading(place: Place) -> None:
    """Load streams that nobody has asked for yet, one after the other."""
    with psycopg.connect(place.bench.owner_url) as connection:
        streams: list[tuple[UUID, UUID]] = connection.execute(SOME, [100, STREAMS]).fetchall()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        times = runner.run(_load(place, streams))
    figure = {"median_us": round(1e6 * median(times), 1), **latencies(times), "streams": len(times)}
    place.bench.add("growth: load a stream", figure, {}, by="", targets=[], checked=["every stream found"])


async def _load(place: Place, streams: list[tuple[UUID, UUID]]) -> list[float]:
    store = await Store.open(place.stack.settings("gateway"), clinic_state=ClinicState)
    times = []
    for stream, clinic in streams:
        since = time.perf_counter()
        entry = await store.streams.get(Appointment, stream, clinic)
        times.append(time.perf_counter() - since)
        if not entry.version:
            raise Trouble(f"the stream {stream} was not found")
    await store.close()
    return times
