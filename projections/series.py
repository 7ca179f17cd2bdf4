"""How far a series of numbers has got, as a row."""

from domain.kit import Fact
from domain.series import NumberAllotted
from projections.kit import projects
from schemas.series import SeriesRow


@projects(SeriesRow, of=NumberAllotted)
def series(row: SeriesRow | None, fact: Fact) -> SeriesRow | None:
    match fact.event:
        case NumberAllotted(series=name, year=year, number=number):
            return SeriesRow(id=fact.id, series=name, year=year, last=number)
    return row
