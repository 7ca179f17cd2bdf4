"""An appointment as a line of a sheet."""

import datetime as dt
from uuid import UUID

from domain.appointments import Status
from domain.kit import Frozen


class AppointmentLine(Frozen):
    """An appointment as a line of the exported sheet: times are what the clinic's clocks show, `minutes` what was set aside."""

    id: UUID
    date: dt.date
    start: str
    end: str
    minutes: int
    status: Status
    type: str
    patient_id: UUID
    patient_name: str | None
    doctor_name: str | None
    room_name: str | None
    place_name: str | None
    overbooked: bool
