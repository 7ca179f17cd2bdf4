"""Random lives of clinics, written to the store without any rule of ours, and folded anew for each position."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentConfirmed,
    AppointmentDetailsChanged,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientArrived,
)
from domain.invoices import (
    Allocation,
    DoctorShare,
    InvoiceDiscarded,
    InvoiceDrafted,
    InvoiceEdited,
    InvoiceIssued,
    InvoiceVoided,
    PaymentRecorded,
)
from domain.kit import Event, Fact
from domain.kit.bills import BilledLine
from domain.patients import MedicalEntry, MedicalHistoryAmended, PatientArchived, PatientChanged, PatientRegistered
from domain.rooms import RoomAdded, RoomChanged, RoomDeleted
from domain.schedules import TimeBlocked, TimeUnblocked
from domain.staff import StaffChanged, StaffDeactivated, StaffHired
from projections.kit import PROJECTIONS
from projections.kit.stored import fact_of
from tests.history import History
from tests.remembering import keep

DAYS = [date(2026, 1, 5) + timedelta(days=n) for n in range(4)]
CLINIC = UUID(int=(7 << 64) | 1)
Told = tuple[UUID, UUID, Event]


def told(history: History, clinic: UUID) -> list[Told]:
    """Tell a clinic's life: each stream in its order, the streams mixed."""
    rng = history.random
    patients, doctors, rooms = ([history.id() for _ in range(3)] for _ in range(3))
    lives = [[(one, event) for event in life(rng)] for one, life in [
        *((one, patient) for one in patients), *((one, doctor) for one in doctors), *((one, room) for one in rooms),
        *((history.id(), lambda rng: appointment(rng, patients, doctors, rooms)) for _ in range(6)),
        *((history.id(), lambda rng: invoice(rng, history, patients)) for _ in range(6)),
        *((history.id(), lambda rng: blocked(rng, doctors, rooms)) for _ in range(3)),
    ]]
    mixed: list[Told] = []
    while lives:
        life = rng.choice(lives)
        mixed.append((clinic, *life.pop(0)))
        lives = [one for one in lives if one]
    return mixed


def some(rng: random.Random, *events: Event) -> list[Event]:
    return [event for event in events if rng.random() < 0.5]


def patient(rng: random.Random) -> list[Event]:
    name = rng.choice(["Noor", "Ömer", None])
    ill = MedicalHistoryAmended(allergies=[MedicalEntry(name="Penicillin")], conditions=[], medications=[])
    return [PatientRegistered(given_name=name, registered_on=DAYS[0]), *some(rng, PatientChanged(given_name=name, family_name="Jansen"), ill, PatientArchived())]


def doctor(rng: random.Random) -> list[Event]:
    return [StaffHired(name="Sam", role="doctor"), *some(rng, StaffChanged(name="Samuel", role="doctor"), StaffDeactivated())]


def room(rng: random.Random) -> list[Event]:
    return [RoomAdded(name="Room 1"), *some(rng, RoomChanged(name="Garden"), RoomDeleted())]


def times(rng: random.Random) -> dict[str, Any]:
    at = datetime.combine(rng.choice(DAYS), datetime.min.time(), UTC) + timedelta(minutes=30 * rng.randrange(16, 36))
    return {"on": at.date(), "start_local": at.replace(tzinfo=None).isoformat(), "zone": "UTC", "starts_at": at, "ends_at": at + timedelta(minutes=30)}


def appointment(rng: random.Random, patients: list[UUID], doctors: list[UUID], rooms: list[UUID]) -> list[Event]:
    whose, first, second = rng.choice(patients), times(rng), times(rng)
    who = {"patient_id": whose, "doctor_id": rng.choice(doctors)}
    other = {"patient_id": whose, "doctor_id": rng.choice(doctors)}
    moved = AppointmentRescheduled(**other, **second, type="crown", room_id=rng.choice(rooms), was_on=first["on"], was_doctor_id=who["doctor_id"])
    there = {**other, "on": second["on"]}
    end = rng.choice([[], [AppointmentCancelled(**there, by="patient", late=False, reason="Flu")], [PatientArrived(**there)], [AppointmentRemoved(**there, was="booked")]])
    steps = [AppointmentConfirmed(**who, on=first["on"]), moved, AppointmentDetailsChanged(**there, type="check-up", notes="Éva's bridge")]
    return [AppointmentBooked(**who, **first, type="check-up", room_id=rng.choice([*rooms, None]), notes="anxious"), *some(rng, *steps), *end]


def invoice(rng: random.Random, history: History, patients: list[UUID]) -> list[Event]:
    whose, other, on = rng.choice(patients), rng.choice(patients), rng.choice(DAYS)
    line = BilledLine(no=1, description="Filling", unit_price=900, reduction=0, net=900, tax=0, total=900)
    bill = {"currency": "EUR", "lines": [line], "subtotal": 900, "tax": 0, "total": 900, "notes": "Thanks"}
    shares = [DoctorShare(net=900, tax=0, total=900)]
    issued = InvoiceIssued(number=history.id().hex[:6], issued_on=on, due_on=on, patient_id=other, subtotal=900, tax=0, total=900, shares=shares)
    spread = [Allocation(line=1, amount=300, tax=0)]
    paid = PaymentRecorded(payment_id=history.id(), patient_id=other, amount=300, method="cash", paid_on=on, allocations=spread)
    void = InvoiceVoided(reason="Twice", voided_on=on, shares=shares, patient_id=other)
    end = rng.choice([[], [InvoiceDiscarded()], [issued], [issued, paid], [issued, void]])
    return [InvoiceDrafted(patient_id=whose, **bill), *([InvoiceEdited(patient_id=other, **bill)] if whose != other or end else []), *end]


def blocked(rng: random.Random, doctors: list[UUID], rooms: list[UUID]) -> list[Event]:
    first, last = sorted(rng.choices(DAYS, k=2))
    start, end = (datetime.combine(day, datetime.min.time(), UTC) for day in (first, last + timedelta(days=1)))
    whose = rng.choice([{"doctor_id": rng.choice(doctors)}, {"room_id": rng.choice(rooms)}])
    block = TimeBlocked(
        on=first, last_on=last, start_local=start.isoformat()[:19], end_local=end.isoformat()[:19], zone="UTC", starts_at=start, ends_at=end, **whose, reason="Leave")
    return [block, *some(rng, TimeUnblocked(on=first, **whose))]


class Lives:
    """Clinics whose whole life is known, and at each position all rows, folded from nothing."""

    def __init__(self, database: Any, seed: int = 11) -> None:
        self.database = database
        self.history = History(database.url("owner"), seed)
        self.ring = self.history.ring
        self.clinics = [UUID(int=CLINIC.int + (n << 70)) for n in range(2)]
        for clinic in self.clinics:
            head = self.history.add(*told(self.history, clinic))
            self.history.conn.execute("insert into chain_heads (clinic_id, position, hash, recorded_at) values (%s, %s, '', now())", (clinic, head))
        self.facts = [fact_of(stored, self.ring.key_of) for stored in self.history.stored()]
        keep(database, *self.facts)
        self.prefixes = {clinic: list(self._prefixes(clinic)) for clinic in self.clinics}

    def of(self, clinic: UUID, event: str = "") -> list[Fact]:
        return [fact for fact in self.facts if fact.clinic == clinic and event in {"", type(fact.event).__name__}]

    def _prefixes(self, clinic: UUID) -> Iterator[tuple[int, dict[str, dict[Any, Any]]]]:
        wanted = {name: projection for name, projection in PROJECTIONS.items() if projection.key is None or name == "payments"}
        tables: dict[str, dict[Any, Any]] = {name: {} for name in wanted}
        for fact in self.of(clinic):
            for name, projection in wanted.items():
                if type(fact.event).__name__ in projection.topics:
                    for key in projection.keys(fact):
                        tables[name][key] = projection.next(tables[name].get(key), fact, key)
            yield fact.position, {name: {key: row for key, row in rows.items() if row is not None} for name, rows in tables.items()}
