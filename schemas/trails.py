"""Where things have ever been: an index of history, by which lists of the past are found."""

import datetime as dt
from typing import ClassVar

from domain.kit import Id, PatientId
from schemas.kit import Row


class TrailRow(Row):
    """What an event put where: an appointment on a day of a patient's, blocked time on its days, an invoice into a patient's name."""

    table: ClassVar[str] = "trails"
    permission: ClassVar[str] = "audit.logs.view"
    key: ClassVar[tuple[str, ...]] = ("seq",)
    seq: int
    kind: str
    id: Id
    patient_id: PatientId | None = None
    date: dt.date | None = None
    last_date: dt.date | None = None

    indexes: ClassVar[tuple[str, ...]] = ("kind, date, seq", "patient_id, kind, seq")
