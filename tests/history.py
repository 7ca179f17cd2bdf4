"""Histories for tests of the fan-out: believable stories of real events, written to the store with plain SQL."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientArrived,
    PatientMissed,
    PatientSeated,
)
from domain.invoices import (
    Allocation,
    DoctorShare,
    InvoiceDrafted,
    InvoiceIssued,
    InvoiceSettled,
    PaymentRecorded,
    PaymentRefunded,
)
from domain.kit import Event
from domain.kit.bills import BilledLine
from domain.kit.codec import encode, person
from domain.rooms import RoomAdded, RoomChanged
from domain.schedules import TimeBlocked, TimeUnblocked
from projections.kit.keys import KeyRing
from projections.kit.stored import COLUMNS, Stored

KEK = bytes(32)
ACTOR = UUID(int=9)
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
CLINICS = [UUID(int=(n + 1) << 64 | n) for n in range(3)]  # of three partitions
INSERT = """
insert into stored_events (notification_id, originator_id, originator_version, topic, clinic_id, stream_kind, partition, event_id, command_id,
    correlation_id, actor, person, recorded_at, mac, hash, state)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

KINDS = {TimeBlocked: "blocks", TimeUnblocked: "blocks"}  # where it is not the module's name

Told = tuple[UUID, UUID, Event]  # clinic, stream, event


class History:
    """The store, written without the writer."""

    def __init__(self, owner_url: str, seed: int = 1) -> None:
        self.conn = psycopg.connect(owner_url, autocommit=True)
        self.random = random.Random(seed)
        self.ring = KeyRing(KEK)
        self.versions: dict[UUID, int] = {}
        self.head = 0

    def id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def add(self, *told: Told) -> int:
        """Append events in this order; give the head."""
        with self.conn.transaction():
            self.conn.execute("select pg_advisory_xact_lock(7020041)")
            found = self.conn.execute("select position from store_head for update").fetchone()
            self.head = found[0] if found else 0
            with self.conn.cursor() as cursor:
                cursor.executemany(INSERT, [self._line(*each) for each in told])
            self.conn.execute("update store_head set position = %s", (self.head,))
        return self.head

    def life(self, visits: int, clinics: list[UUID] = CLINICS) -> int:
        """Append a number of visits, mixed as they mix in a clinic, a few events at a time."""
        stories = [list(self.visit(self.random.choice(clinics))) for _ in range(visits)]
        batch: list[Told] = []
        while stories:
            story = self.random.choice(stories)
            batch.append(story.pop(0))
            if not story:
                stories.remove(story)
            if len(batch) == 50:
                self.add(*batch)
                batch = []
        return self.add(*batch)

    def visit(self, clinic: UUID) -> Iterator[Told]:
        """Tell of one visit and its bill."""
        roll, booked, patient, doctor = self.random.random, self.id(), self.id(), UUID(int=self.random.randrange(1, 4))
        at = START + timedelta(days=self.random.randrange(30), minutes=15 * self.random.randrange(30))
        who: dict[str, Any] = {"patient_id": patient, "doctor_id": doctor, "on": at.date()}
        note = "Éva's bridge" if roll() < 0.3 else None
        yield clinic, booked, AppointmentBooked(**who, **times(at), notes=note)
        if roll() < 0.3:
            later = at + timedelta(days=1)
            moved = {**who, "on": later.date()}
            yield clinic, booked, AppointmentRescheduled(**moved, **times(later), was_on=who["on"], was_doctor_id=doctor)
            who = moved
        if roll() < 0.5:
            yield clinic, booked, AppointmentConfirmed(**who)
        if roll() < 0.2:
            why = AppointmentCancelled(**who, by="patient", late=False, reason="Flu") if roll() < 0.5 else PatientMissed(**who)
            yield clinic, booked, why
            if roll() < 0.3:
                yield clinic, booked, AppointmentRemoved(**who, was="cancelled")
            return
        for event in (PatientArrived(**who), PatientSeated(**who), AppointmentCompleted(**who)):
            yield clinic, booked, event
        yield from self.bill(clinic, who)

    def bill(self, clinic: UUID, who: dict[str, Any]) -> Iterator[Told]:
        """Tell of an invoice, paid in one or two parts, sometimes refunded."""
        invoice, patient, doctor, on = self.id(), who["patient_id"], who["doctor_id"], who["on"]
        total = self.random.randrange(100, 90_000)
        line = BilledLine(no=1, description="Filling", doctor_id=doctor, unit_price=total, reduction=0, net=total, tax=0, total=total)
        yield clinic, invoice, InvoiceDrafted(patient_id=patient, currency="EUR", lines=[line], subtotal=total, tax=0, total=total, notes="Thanks")
        share = DoctorShare(doctor_id=doctor, net=total, tax=0, total=total)
        yield clinic, invoice, InvoiceIssued(
            number=str(invoice)[:8], issued_on=on, due_on=on, patient_id=patient, subtotal=total, tax=0, total=total, shares=[share],
        )
        for part in (total,) if self.random.random() < 0.5 else (total // 3, total - total // 3):
            paid, spread = self.id(), [Allocation(line=1, doctor_id=doctor, amount=part, tax=0)]
            yield clinic, invoice, PaymentRecorded(payment_id=paid, patient_id=patient, amount=part, method="cash", paid_on=on, allocations=spread)
        yield clinic, invoice, InvoiceSettled()
        if self.random.random() < 0.2:
            yield clinic, invoice, PaymentRefunded(
                payment_id=paid, refund_id=self.id(), patient_id=patient, amount=part, method="cash", reason="Kindness", refunded_on=on, allocations=spread,
            )

    def room(self, clinic: UUID, name: str, stream: UUID | None = None) -> Told:
        """Tell of a new room, or of another name for one."""
        return (clinic, stream, RoomChanged(name=name)) if stream else (clinic, self.id(), RoomAdded(name=name))

    def stored(self, after: int = 0, upto: int = 1 << 60) -> list[Stored]:
        """Read events back."""
        asked = f"select {COLUMNS} from stored_events where notification_id > %s and notification_id <= %s order by notification_id"  # noqa: S608
        found = self.conn.execute(asked, (after, upto))
        return [Stored(*line) for line in found.fetchall()]

    def value(self, statement: str, *values: Any) -> Any:
        """Ask the database for one value, as its owner."""
        found = self.conn.execute(statement, values).fetchone()
        return found[0] if found else None

    def tracked(self) -> dict[int, int]:
        return dict(self.conn.execute("select partition, position from projector_tracking where grp = 'live'").fetchall())

    def level(self) -> bool:
        """Say whether the read models are level with the store."""
        return set(self.tracked().values()) == {self.value("select position from store_head")}

    def parked(self, state: str = "parked") -> list[tuple[Any, ...]]:
        return self.conn.execute(
            "select projection, stream, topic, error from parked_events where state = %s order by projection, position", (state,),
        ).fetchall()

    def _line(self, clinic: UUID, stream: UUID, event: Event) -> tuple[Any, ...]:
        self.head += 1
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        event_id, who, command = self.id(), person(event, stream), self.id()
        if who:
            self._mint(clinic, who)
        body = encode(event, event_id=event_id, person=who, key=self.ring.key_of(who) if who else None)
        kind = KINDS.get(type(event), type(event).__module__.rpartition(".")[2])
        at = START + timedelta(seconds=self.head)
        return (
            self.head, stream, version, type(event).__name__, clinic, kind, clinic.bytes[15] % 4, event_id, command, command, ACTOR, who, at,
            b"m" * 32, b"h" * 32, body,
        )

    def _mint(self, clinic: UUID, who: UUID) -> None:
        if self.ring.key_of(who) is None:
            wrapped = self.ring.mint(who)
            self.ring.learn([(who, wrapped)])
            self.conn.execute("insert into person_keys (person, clinic_id, kek, wrapped) values (%s, %s, 'k1', %s)", (who, clinic, wrapped))


def times(at: datetime) -> dict[str, Any]:
    local = at.strftime("%Y-%m-%dT%H:%M:%S")
    return {"type": "checkup", "start_local": local, "zone": "UTC", "starts_at": at, "ends_at": at + timedelta(minutes=30)}


async def until(condition: Callable[[], Any], what: str, patience: float = 20.0) -> None:
    """Wait until something is so, or fail saying what was not."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*works: Awaitable[None]):
    """Run workers as long as the block; one that ends with an error fails the block."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield tasks
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
