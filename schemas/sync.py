"""What devices that go on without a connection ask for and are told."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Raw, field

from domain.kit import AccountId, Frozen, Id, PatientId, Personal, StaffId
from domain.sync import Action, Values
from schemas.kit import INDEXED, Row

ConflictStatus = Literal["open", "applied", "dismissed"]


class SyncConflictRow(Row):
    """Something that a device wanted and could not have as it was meant: what (`action` and `values`), what stood in the way (`code`), and what became of it.

    `fields` are those that somebody else had changed meanwhile; `alike` the patients who may be the one that was registered. Values are null once the patient is forgotten.
    """

    table: ClassVar[str] = "sync_conflicts"
    permission: ClassVar[str] = "patients.edit"
    own: ClassVar[dict[str, str]] = {"doctor": "doctor_id", "receptionist": "doctor_id"}
    widened: ClassVar[dict[str, str]] = dict.fromkeys(("doctor", "receptionist"), "appointments.view_all_doctors")
    id: Id
    device_id: UUID
    action: Action
    entity_id: UUID
    patient_id: Annotated[PatientId, INDEXED]
    doctor_id: StaffId | None
    base: int | None
    code: str
    fields: list[str]
    alike: list[UUID]
    values: Annotated[Values | None, Personal("patient_id")]
    kept_at: datetime
    kept_by: AccountId
    status: ConflictStatus = "open"
    settled_at: datetime | None = None
    settled_by: AccountId | None = None
    reason: Annotated[str | None, Personal("patient_id")] = None


Mark = Annotated[str, Meta(max_length=4000, description="What the last answer bore; it is nobody's business what is in it.")]
Operation = Annotated[UUID, Meta(description="The device's own id of what it did; sent again under the same id it happens once.")]


class PullAsked(Frozen, forbid_unknown_fields=True):
    """Since when, and how much at a time. Without a `mark` everything comes."""

    mark: Mark | None = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many rows at most.")] = 500


class Pulled(Frozen):
    """A row as it is now, and the position of what last changed it, which is the `base` of what the device does to it."""

    position: int
    row: Raw


class Changes(Frozen):
    """What has changed of a kind: rows that are new or different, and ids of those that are gone or nothing to whoever asks any more."""

    changed: list[Pulled] = field(default_factory=list)
    removed: list[UUID] = field(default_factory=list)


class PulledChanges(Frozen):
    """What has changed since a mark, by kind; with `more` there is more at once. Of kinds in `withheld` a device keeps nothing, for its user may not see them."""

    mark: str
    more: bool
    changes: dict[str, Changes]
    withheld: list[str]


class PushedChange(Frozen, forbid_unknown_fields=True):
    """Something a device did by itself. `values` of a change are those that were changed; `base` is the position of the row that the device knew."""

    op: Operation
    action: Action
    id: Annotated[UUID, Meta(description="Of what it was done to; of something new, the id that the device gave it.")]
    base: Annotated[int, Meta(ge=0)] | None = None
    values: Values = field(default_factory=dict)


class PushAsked(Frozen, forbid_unknown_fields=True):
    """What a device did since it last had a connection, in the order in which it did it."""

    device_id: Annotated[UUID, Meta(description="The device's own id.")]
    changes: Annotated[list[PushedChange], Meta(min_length=1, max_length=200)]


class PushOutcome(Frozen):
    """What became of something a device did: `applied`; a `conflict`, which is kept; or `refused`, which is the device's to mend.

    `position` and `row` are those of the thing as it is now, for whoever may see it. `alike` are patients who may be the one that was registered.
    """

    op: UUID
    id: UUID
    outcome: Literal["applied", "conflict", "refused"]
    code: str | None = None
    reason: str | None = None
    fields: list[str] = field(default_factory=list)
    conflict_id: UUID | None = None
    alike: list[UUID] = field(default_factory=list)
    position: int | None = None
    row: Any = None


class PushOutcomes(Frozen):
    """What became of each, in their order."""

    items: list[PushOutcome]
