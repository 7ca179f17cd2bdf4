"""How far a series of numbers has got."""

from typing import ClassVar
from uuid import UUID

from schemas.kit import Row


class SeriesRow(Row):
    """A series of numbers without gaps, and the last one given out."""

    table: ClassVar[str] = "series"
    permission: ClassVar[str] = "billing.invoices.view"
    id: UUID
    series: str
    year: int
    last: int
