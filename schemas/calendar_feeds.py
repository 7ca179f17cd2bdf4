"""What may be seen of the address of a doctor's calendar."""

import datetime as dt
from typing import ClassVar

from domain.kit import Frozen, Id, StaffId
from schemas.kit import Row


class CalendarFeedRow(Row):
    """Whether a doctor's calendar can be read by an address, and since when."""

    table: ClassVar[str] = "calendar_feeds"
    permission: ClassVar[str] = "settings.working_hours.manage"
    id: Id
    doctor_id: StaffId
    opened: bool
    number: int
    opened_at: dt.datetime


class CalendarFeedShown(Frozen):
    """The address of a doctor's calendar; it is a secret, for whoever has it reads the calendar. None if there is none."""

    doctor_id: StaffId
    url: str | None
    opened_at: dt.datetime | None
