"""What is still to come and is not where the clocks of its clinic say: by the stored time on the wall, and the zone and the rules of today."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from domain.kit.retiming import Retimed, retimed
from projections.kit.reading import Reader
from schemas.clinics import ClinicRow

Kind = Literal["appointments", "blocks", "group_sessions", "holds"]

WIDEST = timedelta(hours=27)  # the same time on the wall is no further apart anywhere
TO_COME = """
select 'appointments', id, doctor_id, start_local, null, zone, fold, starts_at, ends_at from appointments
where clinic_id = %s and starts_at > %s and status in ('booked', 'confirmed')
union all
select 'blocks', id, coalesce(doctor_id, room_id), start_local, end_local, null, 0, starts_at, ends_at from blocks where clinic_id = %s and ends_at > %s
union all
select 'group_sessions', id, doctor_id, start_local, null, zone, fold, starts_at, ends_at from group_sessions where clinic_id = %s and starts_at > %s and status = 'planned'
union all
select 'holds', id, doctor_id, start_local, null, zone, fold, starts_at, ends_at from holds where clinic_id = %s and expires_at > %s"""


class Astray(NamedTuple):
    """Something that is to come, whose it is, and when it is by the clinic's clocks."""

    kind: Kind
    id: UUID
    whose: UUID
    was: datetime
    to: Retimed

    @property
    def later(self) -> bool:
        return self.to.starts_at > self.was


class Planned(NamedTuple):
    """A time as it was told, and as it is stored."""

    start_local: str
    zone: str
    fold: int
    starts_at: datetime
    ends_at: datetime


async def astray(reader: Reader, now: datetime, zone: str = "") -> list[Astray]:
    """Return what is astray in a clinic, or would be if its clocks were those of that zone."""
    here = zone or getattr(await reader.one(ClinicRow, reader.clinic), "zone", "UTC")
    found = await reader.ask(TO_COME, [reader.clinic, now - WIDEST, reader.clinic, now - WIDEST, reader.clinic, now - WIDEST, reader.clinic, now])
    there = []
    for kind, id_, whose, start_local, end_local, told, fold, starts_at, ends_at in found.rows:
        planned = Planned(start_local, told or here, fold, starts_at, ends_at)
        to = retimed(planned, here, end_local)
        over = max(starts_at, to.starts_at) if to and kind in {"appointments", "group_sessions"} else max(ends_at, to.ends_at) if to else now
        if to is not None and over > now:
            there.append(Astray(kind, id_, whose, starts_at, to))
    return there
