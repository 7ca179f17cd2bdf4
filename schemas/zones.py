"""What may be seen of a clinic's clocks being set to another zone."""

from domain.kit import AppointmentId, Frozen, Id


class ClocksSet(Frozen):
    """What came of it: how much is at other instants now, and which appointments are at a time at which something else is as well.

    All of that is kept, and listed among the conflicts of its days. With `dryRun` nothing was done. Until it is `done` nothing new is booked.
    """

    clinic: Id
    zone: str
    dry_run: bool
    moved: int
    overlapping: list[AppointmentId]
    done: bool
