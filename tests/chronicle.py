"""Random histories of a clinic for figures, as a clinic could have them, and what an analyst makes of them by hand.

The histories are real events, told out of `random`; the other half imports nothing of ours: it reads each event's JSON, as it lies in the store, and counts.
"""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentConfirmed,
    AppointmentRemoved,
    AppointmentRescheduled,
    Arrangement,
    PatientArrived,
    PatientMissed,
    PatientSeated,
    when,
)
from domain.erasures import PersonErased, erasure_of
from domain.invoices import Allocation, DoctorShare, InvoiceIssued, InvoiceVoided, PaymentRecorded, PaymentRefunded
from domain.kit import Event, Fact, only
from domain.patients import PatientArchived, PatientChanged, PatientRegistered
from domain.rooms import RoomAdded
from tests.kit import ACTOR

ZONES = ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
SOURCES = ["recommendation", "search", None]
DOCTORS = [UUID(int=11), UUID(int=12)]
PATIENTS = [UUID(int=100 + n) for n in range(4)]
FIRST = datetime(2025, 11, 20, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=n) for n in (0, 10, 11, 41, 42, 100, 101, 108, 129, 136)]  # the ends of months and of a year, and days when clocks change: few, so that things meet
Told = tuple[UUID, str, Event]


def chronicle(rng: Random, clinic: UUID) -> list[Fact]:
    """Return what happened in a clinic, in the order in which it was noted: each stream in its own order, the streams mixed."""
    zone, days = rng.choice(ZONES), rng.sample(DAYS, 5)
    streams = [record(rng, patient, days) for patient in PATIENTS]
    streams += [visit(rng, UUID(int=1000 + n), days, zone) for n in range(rng.randrange(16))]
    streams += [bill(rng, UUID(int=2000 + n), days) for n in range(rng.randrange(6))]
    streams.append([(UUID(int=5000), "rooms", RoomAdded(name="Room 1"))])
    first = [stream.pop(0) for stream in streams[: len(PATIENTS)]]  # nobody is seen or billed before they are registered
    told = first + mixed(rng, streams)
    if rng.random() < 0.5:
        gone = rng.choice(PATIENTS)
        told.append((erasure_of(gone), "erasures", PersonErased(person_id=gone, kind="patients", persons=[gone], reason="Asked")))
    facts, versions, agreed, at = [], Counter[UUID](), dict[UUID, datetime](), FIRST
    for position, (stream, kind, event) in enumerate(told, 1):
        versions[stream] += 1
        agreed[stream] = getattr(event, "starts_at", agreed.get(stream, FIRST))
        at += timedelta(seconds=rng.randrange(600), microseconds=rng.randrange(10**6))
        if isinstance(event, PatientArrived | PatientSeated):  # about when it was agreed, unless that has passed
            at = max(at, agreed[stream] + timedelta(seconds=rng.randrange(-900, 900)))
        facts.append(Fact(
            id=stream, kind=kind, version=versions[stream], position=position, clinic=clinic, recorded_at=at, actor=ACTOR, event=event))
    return facts


def mixed(rng: Random, streams: list[list[Told]]) -> list[Told]:
    told, waiting = [], [stream for stream in streams if stream]
    while waiting:
        stream = rng.choice(waiting)
        told.append(stream.pop(0))
        waiting = [one for one in waiting if one]
    return told


def record(rng: Random, patient: UUID, days: list[datetime]) -> list[Told]:
    told: list[Event] = [PatientRegistered(given_name="Noor", registered_on=rng.choice(days).date(), source=rng.choice(SOURCES))]
    if rng.random() < 0.3:
        told.append(PatientChanged(given_name="Noor", source=rng.choice(SOURCES)))
    if rng.random() < 0.2:
        told.append(PatientArchived())
    return [(patient, "patients", event) for event in told]


FATES = {
    "stands": [], "removed": [AppointmentRemoved], "cancelled": [AppointmentCancelled], "missed": [PatientMissed], "waits": [PatientArrived],
    "sits": [PatientArrived, PatientSeated], "kept": [PatientArrived, PatientSeated, AppointmentCompleted],
    "cancelled and out of sight": [AppointmentCancelled, AppointmentRemoved], "missed and out of sight": [PatientMissed, AppointmentRemoved],
}
WAS = {AppointmentCancelled: "cancelled", PatientMissed: "no-show"}
MAY_MOVE = {PatientArrived, PatientSeated, AppointmentConfirmed}  # after which an appointment can still be moved


def visit(rng: Random, stream: UUID, days: list[datetime], zone: str) -> list[Told]:
    patient = rng.choice(PATIENTS)
    told: list[Event] = [AppointmentBooked(**arranged(rng, patient, days, zone))]
    steps: list[Any] = [*([AppointmentConfirmed] if rng.random() < 0.5 else []), *FATES[rng.choice([*FATES, "kept", "kept", "kept", "kept"])]]
    last: Any = told[0]
    for before, step in zip([AppointmentConfirmed, *steps], [*steps, None], strict=True):
        if before in MAY_MOVE and step is not AppointmentRemoved and rng.random() < 0.25:
            last = AppointmentRescheduled(**arranged(rng, patient, days, zone), was_on=last.on, was_doctor_id=last.doctor_id)
            told.append(last)
        if step:
            more = {AppointmentCancelled: {"by": "patient", "late": rng.random() < 0.5}, AppointmentRemoved: {"was": WAS.get(before, "booked")}}
            told.append(step(patient_id=patient, doctor_id=last.doctor_id, on=last.on, **more.get(step, {})))
    return [(stream, "appointments", event) for event in told]


def arranged(rng: Random, patient: UUID, days: list[datetime], zone: str) -> dict[str, Any]:
    """Return some place and time, as the clinic's own rules make it of an instant and a zone."""
    times = when(rng.choice(days) + timedelta(minutes=5 * rng.randrange(12 * 24)), rng.choice([5, 30, 45]), FIRST, zone)
    return only(Arrangement, Arrangement(patient_id=patient, doctor_id=rng.choice(DOCTORS), type="check-up", **times))


def bill(rng: Random, stream: UUID, days: list[datetime]) -> list[Told]:
    patient, on = rng.choice(PATIENTS), rng.choice(days).date()
    shares = [DoctorShare(doctor_id=rng.choice([*DOCTORS, None]), net=n, tax=n // 5, total=n + n // 5) for n in (rng.randrange(1, 500) for _ in range(2))]
    total, tax = sum(s.total for s in shares), sum(s.tax for s in shares)
    told: list[Event] = [InvoiceIssued(
        number=str(stream), issued_on=on, due_on=on, patient_id=patient, subtotal=total - tax, tax=tax, total=total, shares=shares)]
    if rng.random() < 0.2:
        told.append(InvoiceVoided(reason="Twice", voided_on=rng.choice(days).date(), shares=shares, patient_id=rng.choice([patient, patient, None])))
        return [(stream, "invoices", event) for event in told]
    for n in range(rng.randrange(3)):
        spread = [Allocation(line=1, doctor_id=shares[n].doctor_id, amount=shares[n].total, tax=0)]
        money: dict[str, Any] = {"payment_id": UUID(int=n), "patient_id": patient, "amount": shares[n].total, "method": "card", "allocations": spread}
        told.append(PaymentRecorded(**money, paid_on=rng.choice(days).date()))
        if rng.random() < 0.3:
            told.append(PaymentRefunded(**money, refund_id=UUID(int=n), reason="Chipped", refunded_on=rng.choice(days).date()))
    return [(stream, "invoices", event) for event in told]


# --- the analyst by hand: an event is (stream, when it was noted, its JSON)

Json = dict[str, Any]
Line = tuple[str, datetime, Json]
NOBODY = "00000000-0000-0000-0000-000000000000"


def day(text: str) -> date:
    return date.fromisoformat(text)


def minutes(event: Json) -> int:
    return round((instant(event["endsAt"]) - instant(event["startsAt"])).total_seconds() / 60)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Analyst:
    """Counts."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.lives: dict[str, list[tuple[datetime, Json]]] = defaultdict(list)
        for stream, at, event in lines:
            self.lives[stream].append((at, event))
        self.visits = [seen for life in self.lives.values() if life[0][1]["event"] == "AppointmentBooked" and (seen := self._visit(life))]
        self.seen = [v for v in self.visits if v["what"] == "AppointmentCompleted"]
        self.patients = {stream: life for stream, life in self.lives.items() if life[0][1]["event"] == "PatientRegistered"}

    def _visit(self, life: list[tuple[datetime, Json]]) -> Json | None:
        """Return what became of one appointment, looked at from its end; None if it was struck out."""
        names = [event["event"] for _, event in life]
        at = {event["event"]: when_ for when_, event in life}
        if names[-1] == "AppointmentRemoved":
            names.pop()
            if names[-1] not in {"AppointmentCancelled", "PatientMissed"}:
                return None
        arranged = [event for _, event in life if event["event"] in {"AppointmentBooked", "AppointmentRescheduled"}]
        last = arranged[-1]
        what = next((n for n in reversed(names) if n in {"AppointmentCompleted", "AppointmentCancelled", "PatientMissed"}), "")
        made = {
            "what": what, "patient": last["patientId"], "doctor": last["doctorId"], "day": day(last["on"]), "minutes": minutes(last), "late": False, "chair": None,
            "wait": None, "lateCancelled": any(event.get("late", False) for _, event in life),
        }
        if "PatientSeated" in at:
            before = [event for when_, event in life if event in arranged and when_ <= at["PatientSeated"]]
            made["late"] = at["PatientSeated"] - instant(before[-1]["startsAt"]) >= timedelta(seconds=301)
            made["wait"] = (at["PatientSeated"] - at["PatientArrived"]) // timedelta(seconds=1)
        if what == "AppointmentCompleted":
            made["chair"] = (at["AppointmentCompleted"] - at["PatientSeated"]) // timedelta(seconds=1)
        return made

    def first(self, patient: str) -> Json | None:
        """Return a patient's first visit: the earliest, and of several on one day the one noted first."""
        noted = [event for _, _, event in self.lines if event["event"] == "AppointmentCompleted" and event["patientId"] == patient]
        return min(noted, key=lambda event: event["on"], default=None)

    def source(self, patient: str) -> str | None:
        found: str | None = self.patients[patient][0][1].get("source")
        for _, event in self.patients[patient]:
            found = event.get("source") if event["event"] == "PatientChanged" else found
        return found

    def money(self, patient: str | None = None) -> Counter[str]:
        """Return a patient's money, or everybody's."""
        found = Counter[str]()
        for _, _, event in self.lines:
            if patient is None or (event.get("patientId") or NOBODY) == patient:
                match event["event"]:
                    case "InvoiceIssued":
                        found += Counter(billed=event["total"], invoices=1)
                    case "InvoiceVoided":
                        found += Counter(voided=sum(share["total"] for share in event["shares"]))
                    case "PaymentRecorded":
                        found += Counter(collected=event["amount"], payments=1)
                    case "PaymentRefunded":
                        found += Counter(refunded=event["amount"])
        return found

    def doctors_money(self, doctor: str, bucket: Any) -> Counter[str]:
        """Return a doctor's money of some days."""
        found = Counter[str]()
        for _, _, event in self.lines:
            for name, on, parts, amount in (
                ("billed", "issuedOn", "shares", "total"), ("voided", "voidedOn", "shares", "total"), ("collected", "paidOn", "allocations", "amount"),
                ("refunded", "refundedOn", "allocations", "amount"),
            ):
                if on in event and bucket(day(event[on])):
                    found[name] += sum(part[amount] for part in event.get(parts, []) if (part.get("doctorId") or NOBODY) == doctor)
        return found

    @property
    def erased(self) -> set[str]:
        return {event["personId"] for _, _, event in self.lines if event["event"] == "PersonErased"}


def month(on: date) -> date:
    return on.replace(day=1)
