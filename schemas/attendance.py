"""What may be seen of the code at the entrance, and of an arrival by whoever scanned it."""

import datetime as dt

from domain.kit import Frozen
from domain.queue import QueueNumber, QueueStatus


class EntranceCode(Frozen):
    """What the code at the entrance says just now. It is another one from `nextAt` on, and good until `validUntil`."""

    url: str
    token: str
    next_at: dt.datetime
    valid_until: dt.datetime


class EntranceSeen(Frozen):
    """At which clinic's entrance somebody stands."""

    clinic_name: str


class ArrivalNoted(Frozen):
    """You have been noted as there. Your number in the waiting room, how things stand, how many come before you, and in how many minutes it will probably be your turn.

    Somebody who was noted as there before numbers were given has none.
    """

    number: QueueNumber | None
    status: QueueStatus
    before: int | None
    expected_wait: int | None
