"""What may be seen of read models and of their rebuilds."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from domain.kit import ClinicId, Frozen, Id
from schemas.kit import Row

Kind = Literal["rebuild", "back"]
Status = Literal["asked", "running", "done", "failed", "cancelled"]


class RebuildOutcome(Frozen):
    """What came of one read model: how many rows differed from those that served before, as of the same moment."""

    name: str
    version: int
    events: int
    kept: Annotated[int, Meta(description="How many of the events an interrupted rebuild had replayed already.")]
    rows: int
    parked: Annotated[int, Meta(description="Events that it could not take; their streams are set aside.")]
    seconds: float
    compared: bool
    differing: int
    logic_changed: Annotated[bool, Meta(description="The code has changed since the version before was made: differences are to be expected.")]


class RebuildRow(Row):
    """A rebuild of read models: who asked, how far it is, what came of it.

    `percent` and `remainingSeconds` are of the replay, which is nearly all of it. Without `askedBy` it was started at the terminal.
    """

    table: ClassVar[str] = "rebuilds"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    id: Id
    kind: Kind
    read_models: list[str]
    clinic: ClinicId | None
    jobs: int
    fresh: bool
    asked_by: Id | None
    asked_at: datetime
    status: Status
    started_at: datetime | None
    ended_at: datetime | None
    phase: str | None
    read_model: str | None
    percent: int
    remaining_seconds: int | None
    cancelling: bool
    cancelled_by: Id | None
    problem: str | None
    outcomes: list[RebuildOutcome]


class ReadModelVersion(Frozen):
    """One version of a read model."""

    name: str
    version: int
    active: Annotated[bool, Meta(description="It is the one that answers are read from.")]
    built: Annotated[bool, Meta(description="It was filled to the end; one that is not, a rebuild is filling, or was interrupted.")]
    current: Annotated[bool, Meta(description="Its columns are those of this release.")]
    same_logic: Annotated[bool, Meta(description="It was made by the code of this release.")]
    rows: Annotated[int, Meta(description="About how many.")]
    size: Annotated[int, Meta(description="In bytes, indexes included.")]
    created_at: datetime


class ReadModels(Frozen):
    """Every version of every read model."""

    items: list[ReadModelVersion]
