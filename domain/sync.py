"""Devices that go on without a connection: what they did meanwhile and cannot be done as it was meant is kept until somebody has looked at it.

A conflict holds what was wanted, word for word; nothing that somebody entered is lost because somebody else was quicker.
"""

from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, NotFound, PatientId, Personal, Reason, Refused, StaffId, State

Action = Literal[
    "RegisterPatient", "ChangePatient", "ArchivePatient", "RestorePatient", "BookAppointment", "ChangeAppointment", "ChangeAppointmentStatus",
    "WritePatientNote", "AmendPatientNote", "RemovePatientNote",
]
"""What a device may have done by itself; each is the operation of that name."""

Values = Annotated[
    dict[str, str | int | bool | None],
    Meta(max_length=50, description="What the operation's own body would say, by its names.", examples=[{"phone": "+31 6 1234 5678"}]),
]
Settled = Literal["applied", "dismissed"]


class SetAside(Frozen):
    """What a device wanted, about which patient, and what stood in the way.

    `entityId` is the thing that was to change; `base` the position of what the device knew of it; `fields` those that somebody else has changed since;
    `alike` the patients who may be the one that was registered.
    """

    device_id: UUID
    action: Action
    entity_id: UUID
    patient_id: PatientId
    doctor_id: StaffId | None = None
    base: int | None = None
    code: str
    fields: list[str] = field(default_factory=list)
    alike: list[UUID] = field(default_factory=list)
    values: Annotated[Values | None, Personal("patient_id")] = None


class SyncConflictKept(SetAside, Event): ...


class SyncConflictSettled(Event):
    """Somebody has looked at it: what the device wanted was done after all, or need not be."""

    patient_id: PatientId
    how: Settled
    reason: Annotated[Reason | None, Personal("patient_id")] = None


SyncEvent = SyncConflictKept | SyncConflictSettled


class SyncConflictOver(Refused):
    """Somebody has settled this conflict already."""


class IdNotYours(Invalid):
    """Something else has that id. Give what is new an id of its own: a random UUID."""


class NothingToApply(Invalid):
    """There is nothing left to be done about this conflict but to dismiss it; two records of one person are merged."""


class ChangedElsewhere(Refused):
    """Somebody else has changed the same since the device last looked. Both are kept; decide which is right."""


class RemovedElsewhere(Refused):
    """Somebody has removed this since the device last looked. Enter it anew if it is wanted after all."""


class PatientMayBeKnown(Refused):
    """Somebody in the books may be the same person. Both records are kept; merge them, or say that they are two people."""


class SyncConflict(State):
    kind: ClassVar[str] = "sync_conflicts"
    patient: UUID | None = None
    settled: bool = False

    def evolve(self, event: SyncEvent) -> Self:
        match event:
            case SyncConflictKept(patient_id=patient):
                return replace(self, patient=patient)
            case SyncConflictSettled():
                return replace(self, settled=True)

    def keep(self, what: dict[str, object]) -> list[Event]:
        """Keep what a device wanted; once, however often it says so."""
        return [] if self.patient else [SyncConflictKept(**what)]  # type: ignore[arg-type]

    def settle(self, how: Settled, reason: str | None) -> list[Event]:
        if self.patient is None:
            raise NotFound
        if self.settled:
            raise SyncConflictOver
        return [SyncConflictSettled(patient_id=self.patient, how=how, reason=reason)]
