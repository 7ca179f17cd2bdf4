"""Who takes a clinic's seats, as a row."""

from domain.kit import Fact
from domain.seats import SeatEvent, SeatFreed, SeatTaken
from projections.kit import projects
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
