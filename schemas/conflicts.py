"""What may be seen of conflicts: what an appointment collides with, as things stand."""

import datetime as dt
from typing import Literal

from domain.kit import AppointmentId, Frozen, Id

ConflictKind = Literal["doctor", "room", "patient", "blocked", "hours"]


class AppointmentConflict(Frozen):
    """Something that an appointment collides with now, whatever was agreed when it was booked.

    `kind`: the doctor, the room or the patient has another appointment then (`withId`; doctor and room with their buffers); the time is blocked (`withId` is
    the block); or the doctor does not work then (`hours`). Whoever sees only their own appointments is told that there is another one, not which.
    """

    appointment_id: AppointmentId
    kind: ConflictKind
    with_id: Id | None
    starts_at: dt.datetime
    ends_at: dt.datetime


class AppointmentConflicts(Frozen):
    """What appointments collide with, in the order of time."""

    items: list[AppointmentConflict]
