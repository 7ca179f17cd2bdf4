"""Two thousand people listen to one clinic's events: does everybody hear everything, how soon, and what does one of them cost?"""

from collections.abc import Iterator

from anamnesis.bench.book import job_of, run
from anamnesis.bench.kit import cost, http, load, plain, watch
from anamnesis.bench.kit.clinics import Booking, Diary
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.bench.lag import LISTEN
from anamnesis.trouble import Trouble

CROWDS = (1, 100, 2000)
RATE = 10.0
BOOKERS = 8  # so few that none of their connections is silent for long
GATEWAY = "gateway-1"
TARGETS = [Target("p99_ms", most=250), Target("kib_per_subscriber", most=64)]
"""Of the largest crowd. A reader of the stream who must act on it looks at a screen: a quarter of a second is at once."""


def measure(options: Options) -> list[Result]:
    """Ten bookings a second, every one of them to everybody, by how many these are; and the same from a server that only passes on."""
    with furnished(options, number=1) as place:
        baselines = {crowd: passed_on(place, crowd) for crowd in CROWDS}
        bookings = iter(Diary(place.clinics).take(int(len(CROWDS) * RATE * (options.seconds + 10))))
        for crowd in CROWDS:
            figure, checked = heard_by(place, crowd, bookings)
            targets = TARGETS if crowd == CROWDS[-1] else TARGETS[:1]
            place.bench.add(f"sse, {crowd:,} subscribers", figure, baselines[crowd], by="p99_ms", targets=targets, checked=[*checked, "all delivered"])
        return place.done()


def heard_by(place: Place, crowd: int, bookings: Iterator[Booking]) -> tuple[Figure, list[str]]:
    """Have so many listen while there are bookings; gives what it cost, and what was checked."""
    options, gateway = place.bench.options, place.stack.pids()[GATEWAY]
    wanted = [booking for booking, _ in zip(bookings, range(int(RATE * (options.seconds + 10))), strict=False)]
    job = job_of(place, wanted, seconds=options.seconds, rate=RATE)
    job.connections = BOOKERS
    requests = [http.get(LISTEN, token) for token in place.tokens()[0]]
    options.tell(f"  {crowd:,} subscribers")
    before = cost.resident(gateway)
    with watch.listening(everybody(place.url, requests, crowd)) as subscribers:
        joined = cost.resident(gateway)
        tally, more, checked = run(place, job)
        held = cost.resident(gateway)
        heard = subscribers.heard(crowd * len(tally.accepted))
    delivered(heard.each, sorted(tally.accepted))
    memory = {"kib_per_subscriber": (joined - before) / 1024 / crowd, "kib_under_load": (held - before) / 1024 / crowd}
    figure = {"subscribers": crowd, "delivered": len(heard.times), **latencies(heard.times), **{name: round(kib, 1) for name, kib in memory.items()}, **more}
    return figure, checked


def everybody(url: str, requests: list[bytes], crowd: int) -> Job:
    """So many subscriptions."""
    host, port = http.address(url)
    return Job(host=host, port=port, requests=requests, seconds=600, connections=crowd)


def delivered(heard: list[list[int]], wanted: list[int]) -> None:
    """Everybody heard everything, once, in order."""
    if poor := [each for each in heard if each != wanted]:
        raise Trouble(f"{len(poor)} of {len(heard)} subscribers did not hear just the {len(wanted)} events; one heard {len(poor[0])}")


def passed_on(place: Place, crowd: int) -> Figure:
    """The same number of listeners at a server that stores nothing and asks nobody who he is."""
    options = place.bench.options
    options.tell(f"  a server that only passes on, to {crowd:,}")
    with plain.served(place.bench.owner_url) as url, watch.listening(everybody(url, [http.get("/events", "nobody")], crowd)) as subscribers:
        host, port = http.address(url)
        message = [http.post("/events", "nobody", b'{"type": "checkup"}' * 20)]
        tally = load.generate(Job(host=host, port=port, requests=message, seconds=options.seconds, connections=4, rate=RATE, again=True))
        heard = subscribers.heard(crowd * sum(tally.answers.values()))
    if tally.lost or len(heard.times) != crowd * sum(tally.answers.values()):
        raise Trouble("the server that only passes on lost something")
    return {"delivered": len(heard.times), **latencies(heard.times)}
