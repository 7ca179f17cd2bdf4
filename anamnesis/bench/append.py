"""Durable appends: group commit against the library's own recorder, the same event, as many clients."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import uvloop

from anamnesis.bench.kit import checks, stock
from anamnesis.bench.kit.figures import Figure, Result, Target, latencies
from anamnesis.bench.kit.frame import Bench, Options
from anamnesis.bench.kit.places import bare_store
from anamnesis.trouble import Trouble
from commands.kit.ids import new_id
from commands.kit.writer import SAVED, NewEvent, Save, Slot, Writer

TOPIC = "AppointmentBooked"
BODY = (
    b'{"event":"AppointmentBooked","patientId":"01935a2b-0000-7000-8000-%012d","doctorId":"01935a2b-0000-7000-8000-000000000002","on":"2026-03-02",'
    b'"roomId":null,"type":"checkup","startLocal":"2026-03-02T09:00:00","zone":"Europe/Amsterdam","fold":0,"startsAt":"2026-03-02T08:00:00Z",'
    b'"endsAt":"2026-03-02T08:30:00Z","bufferBefore":0,"bufferAfter":0,"forced":true}'
)
CLINICS = [new_id() for _ in range(3)]
DOCTORS = [new_id() for _ in range(60)]
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ACTOR = new_id()


def measure(options: Options) -> list[Result]:
    """Ours bare, the library's, and ours with the three time claims of a booking."""
    with bare_store() as store:
        bench = Bench(options, owner_url=store.url("owner"), role_url=store.url("gateway"))
        baseline = _stock(bench)
        numbers = count(1)
        _ours(bench, "append", store.url("gateway"), lambda: bare(next(numbers)), baseline, [Target("ratio", least=10)])
        _ours(bench, "append with claims", store.url("gateway"), lambda: claiming(next(numbers)), baseline, [])
        return bench.done()


def bare(number: int) -> Save:
    """One event on a stream of its own."""
    stream = new_id()
    event = NewEvent(stream, 1, TOPIC, "appointments", new_id(), None, bytes(32), BODY % number)
    return Save(command=new_id(), clinic=CLINICS[number % 3], actor=ACTOR, correlation=ACTOR, events=[event], expected=[(stream, 0, 1)])


def claiming(number: int) -> Save:
    """The same, and the doctor's, the room's and the patient's time."""
    save = bare(number)
    clinic, doctor = number % 3, DOCTORS[number % 60]
    start = FIRST + timedelta(minutes=30 * (number // 60))
    whose = {"doctor": doctor, "room": UUID(int=doctor.int ^ 1), "patient": new_id()}
    slots = [(save.events[0].stream, Slot(kind, thing, start, start + timedelta(minutes=30))) for kind, thing in whose.items()]
    return Save(
        command=save.command, clinic=CLINICS[clinic], actor=ACTOR, correlation=ACTOR, events=save.events, expected=save.expected, slots=slots)


def _ours(bench: Bench, name: str, url: str, make: Callable[[], Save], baseline: Figure, targets: list[Target]) -> None:
    bench.options.tell(f"  {name}")
    with bench.connect() as connection:
        since = checks.head(connection)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        accepted, times, took = runner.run(_clients(url, bench.options, make))
    with bench.connect() as connection:
        checks.accepted_is_stored(connection, accepted, TOPIC, since)
    figure = {"per_second": round(len(accepted) / took), **latencies(times)}
    checked = ["accepted = stored", *bench.store_is_sound(since)]
    bench.add(name, figure, baseline, by="per_second", targets=targets, checked=checked)


async def _clients(url: str, options: Options, make: Callable[[], Save]) -> tuple[list[int], list[float], float]:
    writer = Writer(url)
    await writer.open()
    positions: list[int] = []
    times: list[float] = []
    began = time.perf_counter()

    async def client() -> None:
        while (since := time.perf_counter()) < began + options.seconds:
            outcome = await writer.save(make())
            if outcome.status != SAVED or outcome.position is None:
                raise Trouble(f"an append ended with status {outcome.status}")
            times.append(time.perf_counter() - since)
            positions.append(outcome.position)

    await asyncio.gather(*[client() for _ in range(options.clients)])
    took = time.perf_counter() - began
    await writer.close()
    return positions, times, took


def _stock(bench: Bench) -> Figure:
    """The library's recorder, a thread and a connection per client."""
    bench.options.tell("  the library's recorder")
    with stock.recorder(bench.owner_url, bench.options.clients) as recorder:
        times: list[float] = []
        numbers = count(1)
        began = time.perf_counter()

        def client() -> None:
            while (since := time.perf_counter()) < began + bench.options.seconds:
                recorder.insert_events([stock.booking(BODY % next(numbers))])
                times.append(time.perf_counter() - since)

        _together(client, bench.options.clients)
        took = time.perf_counter() - began
        if stock.count(recorder) != len(times):
            raise Trouble(f"the library's recorder took {len(times)} events and stored {stock.count(recorder)}")
    return {"per_second": round(len(times) / took), **latencies(times)}


def _together(client: Callable[[], Any], clients: int) -> None:
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


