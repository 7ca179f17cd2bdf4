"""How far a series of numbers has got, as a row."""

from domain.kit import Fact
from domain.series import NumberAllotted, printed, series_of
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.series import SeriesRow


@projects(SeriesRow, of=NumberAllotted)
def series(row: SeriesRow | None, fact: Fact) -> SeriesRow | None:
    match fact.event:
        case NumberAllotted(series=name, year=year, number=number):
            return SeriesRow(id=fact.id, series=name, year=year, last=number)
    return row


async def next_number(reader: Reader, name: str, year: int) -> str:
    """Return the number that would come next, as it is printed."""
    row = await reader.one(SeriesRow, series_of(reader.clinic, name, year))
    return printed(year, (row.last if row else 0) + 1)
