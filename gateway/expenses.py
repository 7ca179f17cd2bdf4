"""Where expenses live on the web, and what a day came to."""

import datetime as dt
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody, QueryParameter

from commands.expenses import CorrectExpense, RecordExpense, StrikeOutExpense
from domain.kit import Frozen, day
from domain.kit.letters import LetterLanguage
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.narrator import NarratorNotConfigured, NarratorUnavailable
from gateway.kit.query import no_query
from projections.expenses import end_of_day, totals
from projections.reports import PeriodImpossible, period
from schemas.expenses import CurrentExpense, DayInWords, EndOfDay, ExpenseRow, ExpenseTotals, TillDayRow

Day = Annotated[date | None, QueryParameter(name="date", description="A day of the clinic's; today if not given.")]
From = Annotated[date | None, QueryParameter(name="from", description="The first day; the first of the month if not given.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day, included; today if not given.")]

TASK = {
    "en": "You are given the figures of one day of a clinic as JSON; amounts are integers of the currency's minor unit. Tell its manager in English, in at most six plain sentences, "
          "what the day came to and what stands out. Use no figure that is not there.",
    "es": "Se le dan las cifras de un día de una clínica en JSON; los importes son enteros de la unidad menor de la moneda. Cuente a su gerente en español, en seis frases sencillas como "
          "máximo, cómo fue el día y qué destaca. No use ninguna cifra que no esté ahí.",
}


class WordsWanted(Frozen, forbid_unknown_fields=True):
    """Which day is to be told in words, today if not said; and in which language, that of `Accept-Language` if not said."""

    date: dt.date | None = None
    language: LetterLanguage = None


@get("/totals", operation_id="GetExpenseTotals", opt={"permission": ExpenseRow.permission, "refusals": [PeriodImpossible]})
async def summed(desk: Desk, since: From = None, until: To = None) -> ExpenseTotals:
    """Show: what was spent in a period, in all and by category; what was struck out does not count."""
    no_query(desk.call.query(), ("from", "to"))
    clinic = await desk.clinic()
    return await totals(desk.reader, *period(since, until, day(datetime.now(UTC), clinic.zone)), clinic.currency)


@get("/eod-report", operation_id="GetEndOfDay", opt={"permission": TillDayRow.permission})
async def report(desk: Desk, on: Day = None) -> EndOfDay:
    """Show: what a day came to.

    What was received, given back and spent that day, by method; the invoices issued and voided; and what is left. A payment, a refund and an expense count on the day they say, whenever they were
    recorded: a day may change after it is over.
    """
    no_query(desk.call.query(), ("date",))
    return await came_to(desk, on)


@post("/eod-report/ai-summary", operation_id="TellEndOfDay", status_code=200, opt={
    "permission": TillDayRow.permission, "refusals": [NarratorNotConfigured, NarratorUnavailable]})
async def told(desk: Desk, data: JSONBody[WordsWanted]) -> DayInWords:
    """Tell in words what a day came to, by a language model.

    The model is given the figures of the report and nothing else: no name, of neither patient, doctor, vendor nor clinic, and no description. 503 where none is configured.
    """
    figures = await came_to(desk, data.date)
    narrator = desk.call.services.narrator
    summary = await narrator.tell(TASK[data.language or desk.call.language], msgspec.json.encode(figures).decode())
    return DayInWords(day=figures.day, summary=summary, model=narrator.model, figures=figures)


async def came_to(desk: kit.Desk, on: date | None) -> EndOfDay:
    clinic = await desk.clinic()
    return await end_of_day(desk.reader, on or day(datetime.now(UTC), clinic.zone), clinic.currency)


router = Router("/api/v1/protected/expenses", tags=["Billing"], route_handlers=[
    browse("/", CurrentExpense, by=["category", "method", "vendor", "place_id", "spent_on.."], sort="-spent_on", sorts=["amount", "recorded_at"]),
    summed,
    report,
    told,
    fetch("/{id:uuid}", ExpenseRow),
    create("/", RecordExpense),
    act("/{id:uuid}", CorrectExpense, "PUT"),
    act("/{id:uuid}", StrikeOutExpense, "DELETE"),
])
