"""How soon what was booked can be seen: in the read model, and by whoever listens to the clinic's events."""

import threading
import time

from anamnesis.bench.book import job_of, run
from anamnesis.bench.kit import http, stock, watch
from anamnesis.bench.kit.clinics import Diary
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.trouble import Trouble

RATE = 500.0
EVERY = 5  # of so many bookings one is looked for
MARGIN = 10.0
LISTEN = "/api/v1/protected/sse/clinic-events"
STOCK_THREADS = 8


def measure(options: Options) -> list[Result]:
    """Bookings at a steady rate; some are read again at their position, and one subscriber a clinic hears of all."""
    with furnished(options) as place:
        baseline = stock_lag(place)
        bookings = Diary(place.clinics).take(int(RATE * (options.seconds + MARGIN)))
        job = job_of(place, bookings, seconds=options.seconds, rate=RATE)
        job.follow = EVERY
        with watch.listening(subscriptions(place)) as subscribers:
            tally, more, checked = run(place, job)
            heard = subscribers.heard(len(tally.accepted))
        all_told(place, heard.each, tally.accepted)
        report(place, "lag to the read model", {**latencies(tally.visible), **more}, baseline, Target("p50_ms", most=15), Target("p99_ms", most=50), checked)
        report(place, "lag to the subscriber", {**latencies(heard.times), **more}, baseline, None, Target("p99_ms", most=100), [*checked, "all delivered"])
        return place.done()


def report(place: Place, name: str, figure: Figure, baseline: Figure, median: Target | None, tail: Target, checked: list[str]) -> None:
    """Hand in a figure."""
    targets = [median, tail] if median else [tail]
    place.bench.add(name, figure, baseline, by="p50_ms", targets=targets, checked=checked)


def subscriptions(place: Place) -> Job:
    """One subscriber a clinic."""
    host, port = http.address(place.url)
    requests = [http.get(LISTEN, tokens[0]) for tokens in place.tokens()]
    return Job(host=host, port=port, requests=requests, seconds=600, connections=len(requests))


def all_told(place: Place, heard: list[list[int]], accepted: list[int]) -> None:
    """Every booking came, once, to one of them, in order."""
    told = sorted(position for each in heard for position in each)
    if told != sorted(accepted) or any(each != sorted(each) for each in heard):
        raise Trouble(f"{len(accepted)} events were stored, {len(told)} delivered, {len(set(told))} of them different")
    place.bench.options.tell(f"  {len(told):,} events delivered to {len(heard)} subscribers")


def stock_lag(place: Place) -> Figure:
    """The library's own subscription (LISTEN and NOTIFY) on its own table at the same rate: delivered, nothing written."""
    place.bench.options.tell("  the library's subscription")
    stored: dict[str, float] = {}
    arrived: dict[str, float] = {}
    with stock.recorder(place.bench.owner_url, STOCK_THREADS + 2) as recorder, recorder.subscribe() as subscription:
        writers = [threading.Thread(target=_writer, args=(recorder, n, place.bench.options.seconds, stored)) for n in range(STOCK_THREADS)]
        for writer in writers:
            writer.start()
        expected = sum(_share(place.bench.options.seconds) for _ in writers)
        for notification in subscription:
            arrived[str(notification.originator_id)] = time.perf_counter()
            if len(arrived) == expected:
                subscription.stop()
                break
        for writer in writers:
            writer.join()
    return latencies([max(0.0, arrived[stream] - at) for stream, at in stored.items()])


def _share(seconds: float) -> int:
    return int(RATE * seconds / STOCK_THREADS)


def _writer(recorder: stock.Recorder, number: int, seconds: float, stored: dict[str, float]) -> None:
    began, gap = time.perf_counter() + number / RATE, STOCK_THREADS / RATE
    for n in range(_share(seconds)):
        time.sleep(max(0.0, began + n * gap - time.perf_counter()))
        event = stock.booking(b"{}")
        recorder.insert_events([event])
        stored[str(event.originator_id)] = time.perf_counter()
