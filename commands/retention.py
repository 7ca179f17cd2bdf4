"""What may be asked about what a clinic must keep."""

from uuid import UUID

from commands.kit import Creation
from domain.kit import At, Event, PatientId, Reason
from domain.retention import HoldId, Periods, Retention, retention_of


class SetRetention(Creation):
    """Say for how many years each kind of record is kept, at least as long as the platform wants; kinds that are not named are kept as usual."""

    state = Retention
    permission = "admin"
    periods: Periods

    def stream(self, at: At) -> UUID:
        return retention_of(at.clinic)

    def decide(self, retention: Retention, at: At) -> list[Event]:
        return retention.set(self.periods)


class PlaceLegalHold(Creation):
    """Have nothing of the clinic deleted, or nothing of one patient, until the hold is lifted. One that the platform places only the platform lifts."""

    state = Retention
    permission = "admin"
    reason: Reason
    patient_id: PatientId | None = None

    def stream(self, at: At) -> UUID:
        return retention_of(at.clinic)

    def decide(self, retention: Retention, at: At) -> list[Event]:
        return retention.place(at.id, self.patient_id, self.reason, platform=at.role == "superadmin")


class LiftLegalHold(Creation):
    """Lift a legal hold; the periods bind as before."""

    state = Retention
    permission = "admin"
    hold_id: HoldId
    reason: Reason

    def stream(self, at: At) -> UUID:
        return retention_of(at.clinic)

    def decide(self, retention: Retention, at: At) -> list[Event]:
        return retention.lift(self.hold_id, self.reason, platform=at.role == "superadmin")
