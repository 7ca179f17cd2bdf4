"""Breaking the glass: whoever works in a clinic opens one patient's chart without the right to, for a reason and for a while; and everybody hears of it."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import AccountId, Event, Forbidden, PatientId, Personal, Reason, Refused, State
from domain.kit.letters import letter

STAFF = {"admin", "doctor", "receptionist"}
EmergencyMinutes = Annotated[int, Meta(ge=5, le=240, description="For how many minutes the chart is open.")]


class EmergencyOpened(Event):
    """Somebody opened a chart that they have no right to; it closes by itself."""

    patient_id: PatientId
    account_id: AccountId
    reason: Annotated[Reason | None, Personal("patient_id")] = None
    until: datetime


class EmergencyClosed(Event):
    """An admin closed it before its time."""

    patient_id: PatientId
    account_id: AccountId


EmergencyEvent = EmergencyOpened | EmergencyClosed


class EmergencyOver(Refused):
    """That emergency is over already."""


class Emergency(State):
    """What one person may see of one patient, for now."""

    kind: ClassVar[str] = "emergencies"
    patient: UUID | None = None
    account: UUID | None = None
    until: datetime | None = None

    def evolve(self, event: EmergencyEvent) -> Self:
        match event:
            case EmergencyOpened():
                return replace(self, patient=event.patient_id, account=event.account_id, until=event.until)
            case EmergencyClosed():
                return replace(self, until=None)

    def opens(self, now: datetime) -> bool:
        """Say whether the chart is open at that moment."""
        return self.until is not None and now < self.until

    def open(self, patient: UUID, account: UUID, role: str, reason: str, minutes: int, now: datetime) -> list[Event]:
        if role not in STAFF:
            raise Forbidden
        return [EmergencyOpened(patient_id=patient, account_id=account, reason=reason, until=now + timedelta(minutes=minutes))]

    def close(self, now: datetime) -> list[Event]:
        if not self.opens(now) or self.patient is None or self.account is None:
            raise EmergencyOver
        return [EmergencyClosed(patient_id=self.patient, account_id=self.account)]


def emergency_of(account: UUID, patient: UUID) -> UUID:
    """Return the id under which it is kept what somebody may see of a patient in an emergency."""
    return uuid5(patient, f"emergency/{account}")


EMERGENCY_LETTER = letter(
    "patients.emergency", "Tells the clinic that somebody opened a chart without the right to.", {"until": "2026-03-31 14:30"},
    en=("Somebody broke the glass at {{clinic}}", """
Dear {{name}},

Somebody who works at {{clinic}} has opened a patient's chart in an emergency, without having the right to. It is open until {{until}} (UTC). Who it was, which patient, and why is under /emergencies and in the audit log.

If it was no emergency, close it there at once.
"""),
    es=("Acceso de urgencia en {{clinic}}", """
Hola, {{name}}:

Alguien que trabaja en {{clinic}} ha abierto la historia de un paciente por una urgencia, sin tener permiso para ello. Está abierta hasta el {{until}} (UTC). Quién fue, qué paciente y por qué figura en /emergencies y en el registro de auditoría.

Si no era una urgencia, ciérrela allí enseguida.
"""),
)
