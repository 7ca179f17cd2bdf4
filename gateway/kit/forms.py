"""A figure in the form that was asked for: as JSON, as a sheet, or drawn."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from litestar import Response
from litestar.params import QueryParameter
from msgspec import Struct

from domain.kit.money import in_words
from gateway.kit.desk import Desk
from gateway.kit.plots import SAFE, SVG, Plot, PlotTooWide, Series, drawn
from gateway.kit.sheets import handed, of_structs

Format = Literal["json", "csv", "svg"]
As = Annotated[Format, QueryParameter(name="format", description="`csv` for a sheet, `svg` for a picture.")]
FORMS = {"csv": True, "svg": True}  # what a route says of itself that answers so

# what a picture says in Spanish
SPANISH = {
    "Revenue": "Ingresos", "Billed": "Facturado", "Collected": "Cobrado", "Outstanding": "Pendiente", "Appointments": "Citas", "Completed": "Realizadas", "Cancelled": "Canceladas",
    "Missed": "Ausencias", "What is due, by age": "Pendiente por antigüedad", "Due": "Pendiente", "Profit by procedure": "Beneficio por procedimiento", "Net revenue": "Ingresos netos",
    "Cost": "Coste", "Profit": "Beneficio", "Doctors": "Médicos", "Patients": "Pacientes", "New": "Nuevos", "Active": "Activos", "Lifetime value": "Valor de vida", "Received": "Recibido",
    "Retention": "Retención", "Seen": "Vistos", "Where patients come from": "Procedencia de los pacientes", "Who wrote": "Quién ha escrito", "Leads": "Contactos", "Not said": "Sin indicar", "None": "Ninguno", "All": "Todos",
    "Profit and loss": "Pérdidas y ganancias", "Spent": "Gastado", "Result": "Resultado", "Mon": "lun", "Tue": "mar", "Wed": "mié", "Thu": "jue", "Fri": "vie", "Sat": "sáb", "Sun": "dom",
}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Say = Callable[[str], str]


def told(
    desk: Desk, made: Any, form: Format, name: str, line: type[Struct], items: Iterable[Struct], plot: Callable[[Say], Plot] | None = None,
) -> Response[Any]:
    """Return a figure in the form that was asked for; `plot` draws it in the words that it is given."""
    if form == "csv":
        return handed(name, of_structs(line, items))
    if form == "svg" and plot is not None:
        language = desk.call.language
        body = drawn(plot(lambda word: SPANISH.get(word, word) if language == "es" else word), language)
        return Response(body, media_type=SVG, headers={**SAFE, "content-language": language, "content-disposition": f'inline; filename="{name}.svg"'})
    return Response(made)


def money(currency: str) -> Callable[[int], str]:
    """Return how amounts of a currency are written."""
    return lambda amount: in_words(amount, currency)


__all__ = ["DAYS", "FORMS", "As", "Format", "Plot", "PlotTooWide", "Say", "Series", "money", "told"]
