"""What every aggregate is made of: values, events, refusals, states and the moment of a decision.

How it works: everything is a frozen, keyword-only msgspec struct whose JSON is camelCase. An event carries its class name as its tag, so the
name in the store is the name in the code. A state's defaults are the state before any event; `evolve` returns the next one and never refuses.

What may go wrong: a rule in `evolve` would make old history unloadable when the rule is tightened; msgspec checks `Meta` constraints when it
decodes and nowhere else, so what must always hold is said again in a rule method.
"""

import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import reduce
from typing import Annotated, Any, ClassVar, Literal, Self, dataclass_transform
from uuid import UUID

from msgspec import Meta, Struct, StructMeta

PLATFORM = UUID(int=0)  # the "clinic" of whatever belongs to none

Id = UUID
Money = Annotated[int, Meta(ge=0, le=2**53, description="Integer minor units of the clinic's currency (ISO 4217).")]
Positive = Annotated[int, Meta(gt=0, le=2**53, description="Integer minor units of the clinic's currency, above zero.")]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", examples=["sam@example.org"])]
AddressKey = Annotated[str, Meta(
    pattern=r"^[0-9a-f]{32}$", description="A keyed hash of the e-mail address; it names the address without telling it.",
    examples=["5d41402abc4b2a76b9719d911017c592"])]
Phone = Annotated[str, Meta(max_length=40, pattern=r"^\+?[0-9][0-9 ()./-]{3,}$", examples=["+31 6 1234 5678"])]
Note = Annotated[str, Meta(max_length=4000)]
Colour = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{6}$", description="As the web writes it.", examples=["#3366cc"])]
RoomType = Literal["operatory", "consultation", "surgery", "imaging", "other"]
Buffer = Annotated[int, Meta(ge=0, le=240, description="Minutes in which the doctor and the room are also taken.")]
Grid = Annotated[int, Meta(ge=5, le=240, description="Minutes from one offered start to the next, counted from the start of the hours.")]
Reason = Annotated[str, Meta(min_length=1, max_length=500, description="Why; kept for ever in the history.")]
Minutes = Annotated[int, Meta(ge=5, le=24 * 60, description="Minutes.")]


class FrozenMeta(StructMeta):
    """Every struct of ours is frozen, keyword-only and camelCase in JSON, without saying so a thousand times."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return super().__new__(cls, *args, **{"frozen": True, "kw_only": True, "rename": "camel", **options})


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Frozen(Struct, metaclass=FrozenMeta, frozen=True):
    """A value."""


def only(shape: type[Frozen], of: Frozen) -> dict[str, Any]:
    """Return the values of a shape's fields, from a struct that has them and perhaps more: a command's to make an event, an event's to make a state."""
    return {name: getattr(of, name) for name in shape.__struct_fields__}


def Ref(kind: str) -> Meta:  # noqa: N802 - reads as a type in an annotation
    """Mark an id as pointing at a stream of `kind`; a foreign or unknown one is answered with 404."""
    return Meta(extra={"ref": kind}, description=f"Id of one of the clinic's {kind}.")


def Personal(about: str = "") -> Meta:  # noqa: N802
    """Mark a field as being about a person: the one named in field `about`, or (by default) the one whose stream it is."""
    return Meta(extra={"personal": about})


def Erases() -> Meta:  # noqa: N802
    """Mark a field as naming persons whose keys are destroyed when the event is stored."""
    return Meta(extra={"erases": True}, description="Ids of the persons whose keys are destroyed with this.")


ClinicId = Annotated[UUID, Ref("clinics")]
AccountId = Annotated[UUID, Ref("accounts")]
StaffId = Annotated[UUID, Ref("staff")]
RoomId = Annotated[UUID, Ref("rooms")]
PatientId = Annotated[UUID, Ref("patients")]
AppointmentId = Annotated[UUID, Ref("appointments")]
HoldId = Annotated[UUID, Ref("holds")]
InvoiceId = Annotated[UUID, Ref("invoices")]
QuotationId = Annotated[UUID, Ref("quotations")]
ReceiptId = Annotated[UUID, Ref("receipts")]
RecurrenceId = Annotated[UUID, Ref("recurrences")]
PlaceId = Annotated[UUID, Ref("places")]
AppointmentTypeId = Annotated[UUID, Ref("appointment_types")]
GroupSessionId = Annotated[UUID, Ref("group_sessions")]
WaitingEntryId = Annotated[UUID, Ref("waiting_list")]
SlotOfferId = Annotated[UUID, Ref("slot_offers")]


class Event(Frozen, tag=True, tag_field="event"):
    """A fact. Its class name is its name everywhere: store, stream, webhook, docs."""


class TimeClaim(Frozen):
    """A resource taken for a half-open time [start, end): no two unforced claims on one resource may overlap.

    A forced claim (a deliberate overbooking) is taken whatever is there, and stands in the way of later normal ones.
    One with `expires` is a hold: after that instant it no longer counts.
    """

    kind: str
    id: UUID
    start: datetime
    end: datetime
    forced: bool = False
    expires: datetime | None = None


class UniqueClaim(Frozen):
    """A key that only one stream of the clinic may hold in a scope, such as ("rooms.name", "room 1")."""

    scope: str
    key: str


Claim = TimeClaim | UniqueClaim


class State(Frozen):
    """An aggregate as its own rules see it; the defaults are the state before any event."""

    kind: ClassVar[str]  # the module's word, as in `Ref(kind)`
    snapshots: ClassVar[bool] = False  # whether its streams grow long enough to need them

    def evolve(self, event: Any) -> Self:
        """Return the state after `event`; never refuses."""
        raise NotImplementedError(type(event).__name__)

    def claims(self) -> frozenset[Claim]:
        """Return what this aggregate must hold alone, as it stands now."""
        return frozenset()

    def keeper(self, who: UUID) -> UUID:
        """Return under whose key it is sealed what this aggregate says about `who`: theirs, unless it was begun under a record that was merged into theirs."""
        return who

    @classmethod
    def replay(cls, events: Iterable[Event]) -> Self:
        """Fold a whole history."""
        return reduce(cls.evolve, events, cls())


class Elsewhere(Frozen):
    """Events of a second stream, saved together with the first or not at all."""

    state: type[State]
    id: UUID
    events: list[Event]


class At(Frozen):
    """The moment and circumstances of a decision; business code never reads a clock."""

    id: UUID  # of the aggregate that decides
    now: datetime
    today: date  # the day in the clinic's zone
    actor: UUID
    clinic: UUID
    zone: str = "UTC"
    currency: str = "EUR"
    grants: frozenset[str] = frozenset()
    subject: UUID | None = None  # the staff member or patient the actor is
    role: str = ""
    setting_clocks: bool = False  # the clinic is in another zone, and not all that is to come has followed yet

    def may(self, permission: str) -> bool:
        """Say whether the actor holds a permission key."""
        return permission in self.grants


class Fact(Frozen):
    """An event with its envelope: what a projection is given."""

    id: UUID  # the stream
    kind: str
    version: int
    position: int
    clinic: UUID
    recorded_at: datetime
    actor: UUID
    event: Event
    command: UUID = PLATFORM
    correlation: UUID = PLATFORM
    causation: UUID | None = None
    hash: bytes = b""
    mac: bytes = b""


class Refused(Exception):
    """A rule said no.

    The class name in UPPER_SNAKE is the error code, its docstring the message; keyword arguments become the answer's details.
    """

    status: ClassVar[int] = 409

    def __init__(self, **details: Any) -> None:
        super().__init__(type(self).__name__)
        self.details = details


def code_of(refusal: type[Refused]) -> str:
    """Return the code of a refusal: its name in UPPER_SNAKE."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", refusal.__name__).upper()


class NotFound(Refused):
    """There is no such thing here."""

    status = 404


class Forbidden(Refused):
    """You may not do this."""

    status = 403


class UserInactive(Forbidden):
    """This account has been deactivated. Ask your clinic's administrator."""


class Invalid(Refused):
    """The request makes no sense as it stands."""

    status = 400
