"""What a command is: a request to change one aggregate, and also the request's body.

    class RecordPayment(Command):
        \"\"\"Record money received against an invoice.\"\"\"

        state = Invoice
        permission = "billing.payments.record"
        amount: Positive
        method: Method

        def decide(self, invoice: Invoice, at: At) -> list[Event]:
            return invoice.record_payment(self.amount, self.method)

A command that must look something up first declares `gather`; what it returns is given to `decide` as keyword arguments:

        async def gather(self, look: Look) -> dict[str, Any]:
            return {"schedule": await look.load(Schedule, schedule_of(self.doctor_id))}

        def decide(self, appointment: Appointment, at: At, *, schedule: Schedule) -> list[Event]: ...

Every stream loaded so is a guard: if it has changed when the events are written, the command is decided again. Rows found with `look.find` may
choose, never guarantee. `decide` may return `Elsewhere(...)` among its events: a second stream, saved with the first or not at all.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeVar
from uuid import UUID

from msgspec import Meta

from domain.kit import At, Elsewhere, Event, Frozen, State, TimeClaim
from schemas.kit import Row

S = TypeVar("S", bound=State)
R = TypeVar("R", bound=Row)

Decision = list[Event | Elsewhere]


class Holding(NamedTuple):
    """A stream, and a time that it holds."""

    owner: UUID
    start: Annotated[datetime, Meta(tz=True)]
    end: Annotated[datetime, Meta(tz=True)]


class Look(Protocol):
    """What a command may read before it is decided."""

    at: At

    def address_key(self, email: str) -> str:
        """Return the keyed hash by which an e-mail address is known where it must not be told."""

    async def number(self, series: str) -> int:
        """Take the next number of a series of the clinic's: rising and given out once, with gaps; what is numbered claims it as well."""

    async def load(self, state: type[S], stream: UUID) -> S:
        """Return a stream's state (its defaults when it has no events) and guard it: it must be unchanged when the events are written."""

    async def require(self, state: type[S], stream: UUID) -> S:
        """As `load`, but refuse with NotFound a stream that does not exist, is of another kind or another clinic's."""

    async def row(self, state: type[State], stream: UUID) -> Any:
        """Return the row of a stream's own as of its last event, personal data included, and guard the stream; None if there is none."""

    async def folded(self, state: type[State], stream: UUID, row: type[R]) -> R | None:
        """Return the row that another read model than the kind's own makes of one stream as of its last event, personal data included, and guard the stream."""

    async def naming(self, id: UUID, kinds: Sequence[str]) -> list[tuple[str, UUID]]:  # noqa: A002
        """Return every stream of these kinds (kind, id) that names a patient: none is missing, for the save falls if another one comes to name them."""

    async def holders(self, claims: Sequence[TimeClaim]) -> list[list[Holding]]:
        """Return for each of these times who holds any of it just now: enough to say why not beforehand; the save itself guarantees."""

    async def those(self, state: type[S], streams: Iterable[UUID]) -> dict[UUID, S]:
        """Return the states of those of these streams that are of a kind, and guard them."""

    async def find(self, row: type[R], **equals: Any) -> list[R]:
        """Return rows of a read model; they may lag behind."""


class Command(Frozen, forbid_unknown_fields=True):
    """A request to change one aggregate. The struct is also the request body."""

    state: ClassVar[type[State]]
    permission: ClassVar[str]
    decide: ClassVar[Callable[..., Any]]

    async def gather(self, look: Look) -> dict[str, Any]:
        """Look things up before deciding; the result becomes keyword arguments of `decide`."""
        return {}


class Creation(Command):
    """A command whose aggregate does not exist yet; it gets a new id."""

    def stream(self, at: At) -> UUID:
        """Return the id of the aggregate to be: a fresh one unless a subclass derives it."""
        return at.id
