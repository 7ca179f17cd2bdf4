"""Why a figure is what it is: which lines it is the sum of.

A figure is some tallies with a sign each, and what of a line counts: its amount, its tax, what is left without it, or that there is one. The same table says which key shows it.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from domain.invoices import PaidBy
from domain.kit import PLATFORM, Invalid
from domain.kit.sources import Source
from projections.kit.reading import CursorInvalid, Reader
from schemas.tallies import Figure, Tally, Why, WhyLine

Place = Annotated[int, Meta(ge=0, lt=2**62)]
FINANCIAL, BREAKDOWN, STATS = "reports.financial", "reports.revenue", "reports.stats"
COST = "t.units * coalesce(c.material + c.lab, 0)"
NET = "(t.amount - t.tax)"


class Counted(NamedTuple):
    """How a figure is counted: which tallies, with which sign, and what of each; whose key shows it."""

    parts: Mapping[Tally, int]
    value: str = "t.amount"
    permission: str = FINANCIAL
    where: str = "true"
    whole: bool = False  # from the beginning of the clinic on


class WhyTooBroad(Invalid):
    """What is outstanding is explained for the whole clinic, a doctor or a patient."""


BILLED: Mapping[Tally, int] = {"billed": 1, "voided": -1, "credited": -1, "written-off": -1}
DONE: Mapping[Tally, int] = {"billed": 1, "voided": -1}
RECEIVED: Mapping[Tally, int] = {"collected": 1, "refunded": -1}
SPENT: Mapping[Tally, int] = {"spent": 1}
FIGURES: dict[Figure, Counted] = {
    "billed": Counted({"billed": 1}), "voided": Counted({"voided": 1}), "credited": Counted({"credited": 1}), "written-off": Counted({"written-off": 1}), "revenue": Counted(BILLED), "tax": Counted(BILLED, "t.tax"), "net-revenue": Counted(BILLED, NET),
    "collected": Counted({"collected": 1}), "refunded": Counted({"refunded": 1}), "received": Counted(RECEIVED),
    "outstanding": Counted({**BILLED, "collected": -1, "refunded": 1, "on-account": 1}, whole=True),
    "invoices": Counted({"billed": 1}, "t.counted"), "payments": Counted({"collected": 1}, "t.counted"),
    "units": Counted(DONE, "t.units"), "procedure-cost": Counted(DONE, COST), "procedure-profit": Counted(BILLED, f"({NET} - {COST})"),
    "spent": Counted(SPENT), "spent-tax": Counted(SPENT, "t.tax"), "net-spent": Counted(SPENT, NET),
    "result": Counted({**BILLED, "spent": -1}, NET), "cash-result": Counted({**RECEIVED, "spent": -1}),
    "booked": Counted({"booked": 1}, permission=STATS), "completed": Counted({"completed": 1}, permission=STATS), "cancelled": Counted({"cancelled": 1}, permission=STATS),
    "late-cancelled": Counted({"late-cancelled": 1}, permission=STATS), "no-show": Counted({"no-show": 1}, permission=STATS),
    "rescheduled": Counted({"rescheduled": 1}, permission=STATS),
    "upcoming": Counted({"booked": 1, "completed": -1, "cancelled": -1, "no-show": -1}, permission=STATS),
    "new-patients": Counted({"registered": 1}, permission=STATS, where="exists (select from lifetimes l where l.clinic_id = t.clinic_id and l.patient_id = t.id and coalesce(l.survivor_id, l.patient_id) = l.patient_id)"),
}

# of a procedure, what one cost on its day; of a patient's record, the source of the record that stands for it
FROM = """from tallies t
left join lateral (
    select material, lab from procedure_costs c where c.clinic_id = t.clinic_id and c.procedure_code = t.procedure_code and c.since <= t.day order by c.since desc limit 1
) c on {costs}
where t.clinic_id = %s and t.day between %s and %s and t.tally = any(%s::text[]) and (%s::bigint is null or t.seq <= %s) and {where} and {value} <> 0"""
OF_SOURCE = """exists (select from lifetimes l left join lifetimes s on s.clinic_id = l.clinic_id and s.patient_id = l.survivor_id
    where l.clinic_id = t.clinic_id and l.patient_id = t.patient_id and case when l.survivor_id is null then l.source else s.source end = %s)"""
OF_PATIENT = "t.patient_id in (select %s::uuid union all select id from patients p where p.clinic_id = t.clinic_id and p.merged_into = %s)"
SUMMED = "select coalesce(sum({signed}), 0)::bigint as amount, count(*) as lines {found}"
LINES = """select p.seq as position, p.no, p.event, p.kind, p.id, coalesce(p.number, i.number) as number, p.day, p.worth as amount, p.recorded_at, p.patient_id, p.doctor_id, p.procedure_code, p.method
from (select t.*, ({signed})::bigint as worth {found} and {beyond} order by t.day desc, t.seq desc, t.no desc limit %s) p
left join invoices i on i.clinic_id = %s and i.id = p.id order by p.day desc, p.seq desc, p.no desc"""

# what the sums of days have already: nobody reads a year's lines for one number
REVENUE, TAX, RECEIVED_ = "billed - voided - credited - written_off", "tax - voided_tax - credited_tax", "collected - refunded"
MONEY_DAYS: dict[Figure, str] = {
    "billed": "billed", "voided": "voided", "credited": "credited", "written-off": "written_off", "revenue": REVENUE, "tax": TAX, "net-revenue": f"{REVENUE} - ({TAX})",
    "collected": "collected", "refunded": "refunded", "received": RECEIVED_, "outstanding": f"{REVENUE} - ({RECEIVED_}) + on_account", "invoices": "invoices", "payments": "payments",
}
PROCEDURE_DAYS: dict[Figure, str] = {**MONEY_DAYS, "units": "units - voided_units"}
VISIT_DAYS: dict[Figure, str] = {
    "booked": "booked", "completed": "completed", "cancelled": "cancelled", "late-cancelled": "late_cancelled", "no-show": "no_show", "rescheduled": "rescheduled",
    "upcoming": "booked - completed - cancelled - no_show",
}
OF_DAYS = """select coalesce(sum({value}), 0)::bigint as amount, null::bigint as lines from {rows} where clinic_id = %s and day between %s and %s
    and (%s::uuid is null or doctor_id = %s) and (%s::uuid is null or doctor_id = %s)"""


class Asked(NamedTuple):
    """Which figure, of which days, and of what only: a doctor (the id 0: none), a procedure (empty: none), a method, a source, a patient."""

    figure: Figure
    since: date
    until: date
    doctor: UUID | None = None
    procedure: str | None = None
    method: PaidBy | None = None
    source: Source | None = None
    patient: UUID | None = None
    own: UUID | None = None  # beside whom whoever asks may see nobody
    upto: int | None = None  # as far as was known at a position

    @property
    def broken_down(self) -> bool:
        """Whether it is about less than the clinic."""
        return any(one is not None for one in (self.doctor, self.procedure, self.method, self.source, self.patient))


class Summed(Struct):
    amount: int
    lines: int | None


def conditions(asked: Asked) -> tuple[str, list[Any]]:
    """Return what lines must be, as SQL and its parameters."""
    parts, params = [FIGURES[asked.figure].where], list[Any]()
    for doctor in (asked.doctor, asked.own):
        if doctor is not None:
            parts.append("coalesce(t.doctor_id, %s) = %s")
            params += [PLATFORM, doctor]
    for sql, value, times in (("coalesce(t.procedure_code, '') = %s", asked.procedure, 1), ("t.method = %s", asked.method, 1), (OF_SOURCE, asked.source, 1), (OF_PATIENT, asked.patient, 2)):
        if value is not None:
            parts.append(sql)
            params += [value] * times
    return " and ".join(parts), params


async def why(reader: Reader, asked: Asked, currency: str, limit: int, cursor: str | None) -> Why:
    """Return the lines that a figure is the sum of, the latest day first."""
    counted = FIGURES[asked.figure]
    since = date.min if counted.whole else asked.since
    if counted.whole and any(one is not None for one in (asked.procedure, asked.method, asked.source)):
        raise WhyTooBroad
    where, params = conditions(asked)
    signs = " ".join(f"when '{tally}' then {sign}" for tally, sign in counted.parts.items())
    signed = counted.value if set(counted.parts.values()) == {1} else f"case t.tally {signs} end * {counted.value}"
    found = FROM.format(costs="true" if COST in counted.value else "false", where=where, value=counted.value)
    given = [reader.clinic, since, asked.until, [*counted.parts], asked.upto, asked.upto, *params]
    day, seq, no = read(cursor) if cursor else (date.max, 0, 0)
    beyond = "(t.day, t.seq, t.no) < (%s, %s, %s)" if cursor else "true"
    items = await reader.select(
        WhyLine, LINES.format(signed=signed, found=found, beyond=beyond), *given, *((day, seq, no) if cursor else ()), limit + 1, reader.clinic)
    if sql := of_days(asked):
        named = [one for one in (asked.doctor, asked.own) for _ in range(2)]
        (summed,) = await reader.select(Summed, sql, reader.clinic, since, asked.until, *named, *([] if asked.procedure is None else [asked.procedure]))
    else:
        (summed,) = await reader.select(Summed, SUMMED.format(signed=signed, found=found), *given)
    more = len(items) > limit
    return Why(
        figure=asked.figure, since=None if counted.whole else asked.since, until=asked.until, currency=currency, amount=summed.amount, lines=summed.lines,
        items=items[:limit], next=written(items[limit - 1]) if more else None)


def of_days(asked: Asked) -> str:
    """Return the SQL that sums days for a figure; none if no day has it so."""
    if asked.upto is not None or any(one is not None for one in (asked.method, asked.source, asked.patient)):
        return ""
    procedures = asked.procedure is not None or asked.figure == "units"
    rows, values = ("procedure_days", PROCEDURE_DAYS) if procedures else ("revenue_days", MONEY_DAYS) if asked.figure in MONEY_DAYS else ("appointment_days", VISIT_DAYS)
    value = values.get(asked.figure)
    return OF_DAYS.format(value=value, rows=rows) + (" and procedure_code = %s" if asked.procedure is not None else "") if value else ""


def written(line: WhyLine) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((line.day, line.position, line.no))).decode().rstrip("=")


def read(cursor: str) -> tuple[date, int, int]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[date, Place, Place])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise CursorInvalid from None
