"""Bookings over HTTP: signed in, permitted, claimed and safe to repeat, while workers keep every read model level."""

import random
from itertools import cycle, islice

from anamnesis.bench.kit import checks, http, load, plain
from anamnesis.bench.kit.clinics import Booking, Diary
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import CREATED, Job, Tally
from anamnesis.bench.kit.places import Lag, Place, furnished

TARGET = 4000
CONFLICT = 409
PATIENCE = 1.0  # seconds within which every read model is to be level
MOST = 9000  # a second; more are not made ready
WARM = 2.0
CLIENTS = 64
FRESH = 0.1  # the share that is free when nine in ten collide


def measure(options: Options) -> list[Result]:
    """As many as possible; at half the target; with nine in ten refused; and plain appends behind the same server."""
    with furnished(options) as place:
        diary = Diary(place.clinics)
        baseline = plain_appends(place)
        throughput(place, diary, baseline)
        half_rate(place, diary, baseline)
        colliding(place, diary, baseline)
        return place.done()


def throughput(place: Place, diary: Diary, baseline: Figure) -> None:
    """Many clients, each with its next booking as soon as the last is answered."""
    options = place.bench.options
    job = job_of(place, diary.take(int(MOST * (options.seconds + WARM))), seconds=options.seconds)
    tally, more, checked = run(place, job)
    figure = {"per_second": round(tally.per_second(CREATED)), **latencies(tally.times), **more}
    targets = [Target("per_second", least=TARGET), Target("behind_seconds", most=PATIENCE)]
    place.bench.add("book", figure, baseline, by="per_second", targets=targets, checked=checked)


def half_rate(place: Place, diary: Diary, baseline: Figure) -> None:
    """Bookings that come at half the target's rate, whatever became of those before."""
    options, rate = place.bench.options, TARGET / 2
    bookings = diary.take(int(rate * (options.seconds + WARM) * 1.1))
    tally, more, checked = run(place, job_of(place, bookings, seconds=options.seconds, rate=rate))
    figure = {"per_second": round(tally.per_second(CREATED)), **latencies(tally.times), **more}
    targets = [Target("per_second", least=0.99 * rate), Target("p99_ms", most=30), Target("behind_seconds", most=PATIENCE)]
    place.bench.add("book at half the rate", figure, baseline, by="p99_ms", targets=targets, checked=checked)


def colliding(place: Place, diary: Diary, baseline: Figure) -> None:
    """Nine in ten ask for what somebody else has."""
    options, chance = place.bench.options, random.Random(3)  # noqa: S311 - repeatable, not secret
    number = int(MOST * (options.seconds + WARM))
    taken = diary.dealt[: number // 20]
    fresh = iter(diary.take(int(number * FRESH * 1.2)))
    bookings = [next(fresh) if chance.random() < FRESH else chance.choice(taken) for _ in range(number)]
    tally, more, checked = run(place, job_of(place, bookings, seconds=options.seconds))
    figure = {
        "per_second": round(tally.per_second(CREATED, CONFLICT)), "accepted_per_second": round(tally.per_second(CREATED)),
        **latencies(tally.times), **more,
    }
    place.bench.add("book, nine in ten collide", figure, baseline, by="per_second", targets=[Target("per_second", least=TARGET / 2)], checked=checked)


def job_of(place: Place, bookings: list[Booking], *, seconds: float, rate: float = 0.0) -> Job:
    """Make bookings ready to be sent, in turns by every user of their clinics."""
    users = [cycle(tokens) for tokens in place.tokens()]
    requests = [http.post(http.BOOK, next(users[b.clinic]), b.body) for b in bookings]
    host, port = http.address(place.url)
    return Job(
        host=host, port=port, requests=requests, seconds=seconds, connections=CLIENTS, rate=rate, warm=WARM, watch=place.stack.pids())


def run(place: Place, job: Job) -> tuple[Tally, Figure, list[str]]:
    """Send them, and look the installation over; gives the tally, what it cost, and what was checked."""
    place.bench.options.tell(f"  {len(job.requests):,} bookings ready, {f'{job.rate:,g}/s' if job.rate else f'{job.connections} clients'}")
    with place.bench.connect() as connection:
        since = checks.head(connection)
        with Lag(place.bench.owner_url) as lag:
            tally = load.generate(job)
        place.caught_up()
        checks.nothing_lost(tally.lost)
        checks.accepted_is_stored(connection, tally.accepted, "AppointmentBooked", since)
    more = {"clients": job.connections, "answers": len(tally.times), "behind_seconds": round(lag.worst, 3), **tally.cost}
    unexpected = {status: n for status, n in tally.answers.items() if status not in (CREATED, CONFLICT)}
    more |= {f"status_{status}": n for status, n in unexpected.items()}
    return tally, more, ["accepted = stored", *place.bench.store_is_sound(since)]


def plain_appends(place: Place) -> Figure:
    """The library's recorder in threads behind the same server: nobody signs in, nothing is claimed, nothing projected."""
    place.bench.options.tell("  the library's recorder behind plain Litestar")
    with plain.served(place.bench.owner_url) as url:
        host, port = http.address(url)
        bodies = (b.body for b in Diary(place.clinics, seed=2).take(1000))
        requests = [http.post("/appointments", "nobody", body) for body in islice(bodies, 1000)]
        options = place.bench.options
        tally = load.generate(Job(
            host=host, port=port, requests=requests, seconds=options.seconds, connections=CLIENTS, warm=1.0, again=True))
    return {"per_second": round(tally.per_second(CREATED)), **latencies(tally.times)}

