"""What may be asked of a conflict between devices."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, Reason, only
from domain.patients import Patient
from domain.sync import SetAside, SyncConflict


class KeepSyncConflict(SetAside, Creation):
    """Keep what a device wanted and could not have, for somebody to look at."""

    state = SyncConflict
    permission = "house"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id)}

    def decide(self, conflict: SyncConflict, at: At, *, patient: Patient) -> list[Event]:
        del patient  # there is one, and that is all that is asked
        return conflict.keep(only(SetAside, self))


class NoteSyncConflictApplied(Command):
    """Note that what a device wanted was done after all."""

    state = SyncConflict
    permission = "house"

    def decide(self, conflict: SyncConflict, at: At) -> list[Event]:
        return conflict.settle("applied", None)


class DismissSyncConflict(Command):
    """Leave things as they are; what the device wanted stays on record."""

    state = SyncConflict
    permission = "patients.edit"
    reason: Reason | None = None

    def decide(self, conflict: SyncConflict, at: At) -> list[Event]:
        return conflict.settle("dismissed", self.reason)
