"""Who takes a clinic's seats, as a row, and how many that is."""

from domain.kit import Fact
from domain.seats import Seat, SeatEvent, SeatFreed, Seats, SeatTaken, seats_of
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.seats import SeatHolder, SeatsRow


@projects(SeatsRow, of=SeatEvent)
def seats(row: SeatsRow | None, fact: Fact) -> SeatsRow | None:
    held = row.held if row else []
    match fact.event:
        case SeatTaken(holder=holder, role=role, until=until):
            return SeatsRow(id=fact.id, held=[*without(held, holder), SeatHolder(holder=holder, role=role, until=until)])
        case SeatFreed(holder=holder):
            return SeatsRow(id=fact.id, held=without(held, holder))
    return row


def without(held: list[SeatHolder], gone: object) -> list[SeatHolder]:
    return [seat for seat in held if seat.holder != gone]


async def seats_now(reader: Reader) -> Seats:
    """Return a clinic's seats as the read model has them."""
    row = await reader.one(SeatsRow, seats_of(reader.clinic))
    return Seats(held={seat.holder: Seat(role=seat.role, until=seat.until) for seat in row.held} if row else {})
