"""Which visits of a day may be those of somebody who says their day of birth."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

from projections.kit.reading import Reader

EXPECTED = """
select c.id, c.status, p.phone, p.email from calendar c join patients p on p.clinic_id = c.clinic_id and p.id = c.patient_id
where c.clinic_id = %s and c.date = %s and c.status in ('booked', 'confirmed', 'arrived', 'in-chair') and p.birth_date = %s
order by c.status not in ('arrived', 'in-chair'), c.starts_at, c.id
"""


class Expected(NamedTuple):
    """A visit of today, and how its patient is reached."""

    id: UUID
    status: str
    phone: str | None
    email: str | None


async def expected(reader: Reader, on: date, born: date) -> list[Expected]:
    """Return the visits of a day of everybody who was born on one, those first for which they are there already, in the order of time."""
    return [Expected(*line) for line in (await reader.ask(EXPECTED, (reader.clinic, on, born))).rows]
