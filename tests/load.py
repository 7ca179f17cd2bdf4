"""Clients that never give up: each request is sent, with its Idempotency-Key, until it is answered for good; whatever was accepted is noted."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from itertools import count
from random import Random
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from commands.invoices import CreateInvoice, RecordPayment
from commands.kit import Command
from commands.patients import ChangePatient, RegisterPatient
from commands.schedules import SetDoctorSchedule
from commands.staff import HireStaff
from domain.kit.bills import Line
from tests.clinic import ALWAYS, Town
from tests.walk import OPERATIONS

DOCTORS, PATIENTS, INVOICES = 12, 60, 40
RICH = 10**11  # an invoice that no load pays off
AGAIN_SECONDS = 0.03
BROKEN = (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError)


class Accepted(NamedTuple):
    """What a client was told."""

    id: str
    version: int
    position: int


class Place:
    """A clinic that can take a lot: what its clients may ask for, so that nothing of it need be refused."""

    def __init__(self, town: Town, token: str) -> None:
        self.town = town
        self.token = token
        self.doctors: list[UUID] = []
        self.patients: list[UUID] = []
        self.invoices: list[UUID] = []
        self.booked: deque[str] = deque()

    async def furnish(self) -> None:
        """Take on doctors, register patients, issue invoices that are never paid off."""
        self.doctors = await self.all(HireStaff(name=f"Dr {n}", email=f"dr{n}@example.org", role="doctor") for n in range(DOCTORS))
        await self.all(SetDoctorSchedule(doctor_id=doctor, week=ALWAYS) for doctor in self.doctors)
        self.patients = await self.all(RegisterPatient(given_name="Noor", family_name=f"Bakker {n}") for n in range(PATIENTS))
        lines = [Line(description="Crown", unit_price=RICH, doctor_id=self.doctors[0])]
        self.invoices = await self.all(CreateInvoice(patient_id=p, lines=lines, issue=True) for p in self.patients[:INVOICES])

    async def all(self, commands: Any) -> list[UUID]:
        return [receipt.id for receipt in await asyncio.gather(*(self.town(command) for command in commands))]

    def wishes(self, dice: Random) -> Iterator[tuple[str, str, bytes]]:
        """Yield operation, id and body for ever: bookings, payments, bills, changes of patients and of bookings."""
        slots = self.slots()
        while True:
            kind = dice.choices(["book", "pay", "bill", "rename", "confirm"], [45, 20, 10, 15, 10])[0]
            if kind == "confirm" and self.booked:
                yield "ChangeAppointmentStatus", self.booked.popleft(), b'{"status":"confirmed"}'
            elif kind == "pay":
                yield said(RecordPayment(amount=dice.randint(1, 500), method="card"), dice.choice(self.invoices))
            elif kind == "bill":
                lines = [Line(description="Filling", unit_price=dice.randint(1, 9000), tax_rate=2100, doctor_id=dice.choice(self.doctors))]
                yield said(CreateInvoice(patient_id=dice.choice(self.patients), lines=lines, issue=True))
            elif kind == "rename":
                yield said(ChangePatient(given_name="Noor", family_name=f"Bakker {dice.randint(0, 999)}"), dice.choice(self.patients))
            else:
                yield said(next(slots))

    def slots(self) -> Iterator[Command]:
        """Yield bookings of free time: nobody is wanted twice at once."""
        start = datetime.combine(self.town.now.date() + timedelta(days=7), clock())
        for n in count():
            for d, doctor in enumerate(self.doctors):
                patient = self.patients[(d + n * DOCTORS) % PATIENTS]
                yield self.town.visit(start + timedelta(minutes=15 * n), 15, doctor_id=doctor, patient_id=patient, room_id=None)


def said(command: Command, id_: UUID | None = None) -> tuple[str, str, bytes]:
    return type(command).__name__, str(id_ or ""), msgspec.json.encode(command)


class Load:
    """Many clients of some places, at a steady rate; `accepted` is by Idempotency-Key."""

    def __init__(self, url: str, places: Sequence[Place], seed: int, rate: float, clients: int = 24) -> None:
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self.dice = Random(seed)
        self.wishes = [(place, place.wishes(Random(f"{seed} {n}"))) for n, place in enumerate(places)]
        self.rate, self.clients = rate, clients
        self.keys = count(1)
        self.accepted: dict[str, Accepted] = {}
        self.refused: Counter[str] = Counter()
        self.broken = Counter[str]()  # what came instead of an answer while a request was on its way: a connection that ended, or "not now"
        self.replayed = 0
        self.lately: deque[float] = deque()
        self.open = True
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.began = self.due = time.monotonic()
        self.tasks = [asyncio.create_task(self.client()) for _ in range(self.clients)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let every client have its last answer; if something went wrong already, just stop."""
        self.open = False
        if kind is not None:
            for task in self.tasks:
                task.cancel()
        outcomes = await asyncio.gather(*self.tasks, return_exceptions=True)
        if kind is None and (wrong := [o for o in outcomes if isinstance(o, BaseException)]):
            raise wrong[0]

    @property
    def per_second(self) -> float:
        """How many were accepted in the last second."""
        while self.lately and self.lately[0] < time.monotonic() - 1:
            self.lately.popleft()
        return len(self.lately)

    def healthy(self) -> None:
        """Raise what a client fell over, if one did."""
        for task in self.tasks:
            if task.done() and (error := task.exception()) is not None:
                raise error

    async def client(self) -> None:
        connection = Connection(self)
        try:
            while self.open:
                self.due = max(self.due + 1 / self.rate, time.monotonic() - 0.1)  # what could not be asked for in time is not made up for
                await asyncio.sleep(self.due - time.monotonic())
                place, wishes = self.dice.choice(self.wishes)
                operation, id_, body = next(wishes)
                key = f"{self.began}-{next(self.keys)}"
                status, headers, answer = await connection.insist(place.token, operation, id_, body, key)
                self.note(place, operation, key, status, headers, answer)
        finally:
            await connection.close()

    def note(self, place: Place, operation: str, key: str, status: int, headers: dict[bytes, bytes], answer: bytes) -> None:
        told = msgspec.json.decode(answer)
        if status == 409:
            self.refused[told["code"]] += 1
            return
        assert status in {200, 201}, f"{operation}: {status} {told}"
        self.accepted[key] = Accepted(told["id"], int(headers[b"etag"].strip(b'"')), int(headers[b"x-position"]))
        self.replayed += b"idempotency-replayed" in headers
        self.lately.append(time.monotonic())
        if operation == "BookAppointment":
            place.booked.append(told["id"])


class Connection:
    """One kept-alive connection, made anew as often as it breaks."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.writer: asyncio.StreamWriter | None = None

    async def insist(self, token: str, operation: str, id_: str, body: bytes, key: str) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send a request until there is an answer other than "not now"."""
        wanted = OPERATIONS[operation]
        path = wanted.path.format(id=id_)
        head = f"{wanted.method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
        while True:
            try:
                async with asyncio.timeout(20):
                    status, headers, answer = await self.ask(head.encode() + body)
                if status != 503:
                    return status, headers, answer
                why = msgspec.json.decode(answer)["code"]
            except BROKEN as error:
                why = type(error).__name__
            await self.close()
            self.load.broken[why] += 1
            await asyncio.sleep(AGAIN_SECONDS)

    async def ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.load.host, self.load.port)
        self.writer.write(request)
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(b":") for line in lines) if name}
        return int(status.split()[1]), headers, await self.reader.readexactly(int(headers[b"content-length"]))

    async def close(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.close()
            with suppress(*BROKEN):
                await writer.wait_closed()


def today() -> datetime:
    return datetime.now(UTC)
