"""A thousand people listen to one clinic's events: does everybody hear everything, how soon, and what does one of them cost?"""

from anamnesis.bench.book import job_of, run
from anamnesis.bench.kit import cost, http, load, plain, watch
from anamnesis.bench.kit.clinics import Diary
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Options
from anamnesis.bench.kit.load import Job
from anamnesis.bench.kit.places import Place, furnished
from anamnesis.bench.lag import LISTEN
from anamnesis.trouble import Trouble

SUBSCRIBERS = 1000
RATE = 20.0
GATEWAY = "gateway-1"


def measure(options: Options) -> list[Result]:
    """Twenty bookings a second, every one of them to everybody; and the same from a server that only passes on."""
    with furnished(options, number=1) as place:
        baseline = passed_on(place)
        before = cost.resident(place.stack.pids()[GATEWAY])
        job = job_of(place, Diary(place.clinics).take(int(RATE * (options.seconds + 10))), seconds=options.seconds, rate=RATE)
        with watch.listening(everybody(place.url, [http.get(LISTEN, token) for token in place.tokens()[0]])) as subscribers:
            tally, more, checked = run(place, job)
            held = cost.resident(place.stack.pids()[GATEWAY]) - before
            heard = subscribers.heard(SUBSCRIBERS * len(tally.accepted))
        delivered(heard.each, sorted(tally.accepted))
        figure = {
            "subscribers": SUBSCRIBERS, "delivered": len(heard.times), **latencies(heard.times), "kib_per_subscriber": round(held / 1024 / SUBSCRIBERS, 1),
            **more,
        }
        place.bench.add("sse", figure, baseline, by="p99_ms", targets=[Target("p99_ms", most=250)], checked=[*checked, "all delivered"])
        return place.done()


def everybody(url: str, requests: list[bytes]) -> Job:
    """A thousand subscriptions."""
    host, port = http.address(url)
    return Job(host=host, port=port, requests=requests, seconds=600, connections=SUBSCRIBERS)


def delivered(heard: list[list[int]], wanted: list[int]) -> None:
    """Everybody heard everything, once, in order."""
    if poor := [each for each in heard if each != wanted]:
        raise Trouble(f"{len(poor)} of {len(heard)} subscribers did not hear just the {len(wanted)} events; one heard {len(poor[0])}")


def passed_on(place: Place) -> Figure:
    """The same number of listeners at a server that stores nothing and asks nobody who he is."""
    options = place.bench.options
    options.tell("  a server that only passes on")
    with plain.served(place.bench.owner_url) as url, watch.listening(everybody(url, [http.get("/events", "nobody")])) as subscribers:
        host, port = http.address(url)
        message = [http.post("/events", "nobody", b'{"type": "checkup"}' * 20)]
        tally = load.generate(Job(host=host, port=port, requests=message, seconds=options.seconds, connections=4, rate=RATE, again=True))
        heard = subscribers.heard(SUBSCRIBERS * sum(tally.answers.values()))
    if tally.lost or len(heard.times) != SUBSCRIBERS * sum(tally.answers.values()):
        raise Trouble("the server that only passes on lost something")
    return {"delivered": len(heard.times), **latencies(heard.times)}
