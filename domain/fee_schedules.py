"""Fee schedules: what a procedure costs with a payer, or with the clinic itself, from when on; and what a payer is likely to bear of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, ClassVar, NamedTuple, Self
from uuid import UUID, uuid5

from msgspec import Meta, ValidationError, convert, field, to_builtins
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, Money, Refused, State, Text
from domain.kit.bills import EARLIEST, Price, ProcedureCode, Quantity
from domain.kit.delimited import Line, decoded, delimiter_of, lines
from domain.kit.insurance import PayerId, ProcedureClass
from domain.kit.money import MINOR, percent

MOST = 20_000  # fees of a schedule
LONGEST = 20  # characters of an amount
THOUSAND = 3  # digits
TOGETHER = 500  # fees in one event, which must travel as one message


class FeeKey(Frozen):
    """Which fee: a code has one for each day from which on it is another."""

    procedure_code: ProcedureCode
    valid_from: date


class Fee(FeeKey):
    """What a procedure costs, without tax, until the next fee of its code or its last day."""

    price: Price
    description: Text | None = None
    procedure_class: ProcedureClass = "other"
    valid_to: Annotated[date | None, Meta(description="The last day, included.")] = None


class Schedule(Frozen):
    """Whose schedule it is: a payer's, or the clinic's own."""

    payer_id: Annotated[PayerId | None, Meta(description="The clinic's own schedule if there is none.")] = None


class FeesSet(Schedule, Event):
    """These fees are so from now on; the others stay."""

    fees: list[Fee]


class FeesRemoved(Schedule, Event):
    fees: list[FeeKey]


FeeScheduleEvent = FeesSet | FeesRemoved


class FeesDoubled(Invalid):
    """A code has one fee for each day from which on it is another."""


class FeeDaysImpossible(Invalid):
    """A fee ends on the day it begins, or later."""


class FeeScheduleFull(Refused):
    """A schedule has at most 20,000 fees."""


class PriceUnknown(Invalid):
    """No schedule says what that procedure costs. Say its `unitPrice`."""


class FeeHeadersUnclear(Invalid):
    """The first line must have the headers `procedureCode` and `fee` (as written, such as 125.00) or `price` (in minor units), each once."""


class TooManyFees(Invalid):
    """A file has at most 20,000 fees."""


class FeeSchedule(State):
    kind: ClassVar[str] = "fee_schedules"
    fees: dict[str, tuple[Fee, ...]] = field(default_factory=dict)  # of each code, the latest last

    def evolve(self, event: FeeScheduleEvent) -> Self:
        fees = dict(self.fees)
        for one in event.fees:
            left = tuple(fee for fee in fees.get(one.procedure_code, ()) if fee.valid_from != one.valid_from)
            fees[one.procedure_code] = tuple(sorted((*left, one), key=lambda fee: fee.valid_from)) if isinstance(one, Fee) else left
        return replace(self, fees={code: some for code, some in fees.items() if some})

    def set(self, payer: UUID | None, fees: Sequence[Fee]) -> list[Event]:
        """Have these fees be so, and say so of those that were not."""
        keys = {(fee.procedure_code, fee.valid_from) for fee in fees}
        if len(keys) < len(fees):
            raise FeesDoubled
        for fee in fees:
            if fee.valid_from < EARLIEST or (fee.valid_to is not None and fee.valid_to < fee.valid_from):
                raise FeeDaysImpossible(procedureCode=fee.procedure_code)
        fresh = [fee for fee in fees if fee not in self.fees.get(fee.procedure_code, ())]
        changed = FeesSet(payer_id=payer, fees=fresh)
        if sum(map(len, self.evolve(changed).fees.values())) > MOST:
            raise FeeScheduleFull
        return [changed] if fresh else []

    def remove(self, payer: UUID | None, keys: Sequence[FeeKey]) -> list[Event]:
        gone = [key for key in dict.fromkeys((key.procedure_code, key.valid_from) for key in keys) if self.holds(*key)]
        return [FeesRemoved(payer_id=payer, fees=[FeeKey(procedure_code=code, valid_from=on) for code, on in gone])] if gone else []

    def holds(self, code: str, on: date) -> bool:
        return any(fee.valid_from == on for fee in self.fees.get(code, ()))

    def on(self, code: str | None, day: date) -> Fee | None:
        """Return what a procedure costs on a day."""
        return fee_on(self.fees.get(code or "", ()), day)


def fee_on(fees: Iterable[Fee], day: date) -> Fee | None:
    """Return which of a code's fees counts on a day: the last that has begun, unless it has ended."""
    begun = max((fee for fee in fees if fee.valid_from <= day), key=lambda fee: fee.valid_from, default=None)
    return begun if begun is not None and (begun.valid_to is None or day <= begun.valid_to) else None


def fee_schedule_of(owner: UUID) -> UUID:
    """Return the id of the schedule of a payer, or of the clinic itself."""
    return uuid5(owner, "fee schedule")


class Contract(Frozen):
    """What a payer has agreed to with the clinic, and usually bears."""

    payer_id: PayerId
    contractual: bool
    coverage: dict[ProcedureClass, int]
    fee: Money | None  # of the procedure in hand
    procedure_class: ProcedureClass | None


class Share(Frozen):
    """What a payer is likely to bear of a line."""

    payer_id: PayerId
    allowed: Annotated[Money, Meta(description="The payer's fee, or the price where it has none or a higher one.")]
    percent: Annotated[int | None, Meta(description="Basis points; nothing is known of this class if missing.")]
    bears: Money


class EstimatedLine(Frozen):
    """What a line costs, who is likely to bear it, and what is left for the patient."""

    procedure_code: ProcedureCode
    quantity: Quantity
    unit_price: Money
    price: Money
    payers: list[Share]
    write_off: Annotated[Money, Meta(description="Beyond the primary payer's fee, where the clinic has agreed to that.")]
    patient_share: Money


def estimated(code: str, quantity: int, unit_price: int, contracts: Sequence[Contract]) -> EstimatedLine:
    """Return who is likely to bear a line: each payer its percentage of its fee, of what those before it have left."""
    price = quantity * unit_price
    first = contracts[0] if contracts else None
    beyond = price - allowed(first, quantity, price) if first is not None and first.contractual else 0
    left, shares = price - beyond, list[Share]()
    for one in contracts:
        rate = one.coverage.get(one.procedure_class) if one.procedure_class else None
        most = allowed(one, quantity, price)
        bears = min(left, percent(most, rate or 0))
        left -= bears
        shares.append(Share(payer_id=one.payer_id, allowed=most, percent=rate, bears=bears))
    return EstimatedLine(procedure_code=code, quantity=quantity, unit_price=unit_price, price=price, payers=shares, write_off=beyond, patient_share=left)


def allowed(contract: Contract, quantity: int, price: int) -> int:
    return price if contract.fee is None else min(price, quantity * contract.fee)


def beyond_fees(totals: Mapping[int, tuple[int, int]], fees: Mapping[int, int]) -> dict[int, int]:
    """Return how much of each line lies beyond a fee: of (net, total), the part of the total that the net has beyond it."""
    return {line: total - total * min(net, fees[line]) // net for line, (net, total) in totals.items() if line in fees and net > fees[line]}


# --- a schedule that comes in as a table

HEADERS = {name: field for field, names in {
    "procedure_code": "procedurecode code procedure cdt adacode codigo",
    "description": "description name treatment descripcion",
    "procedure_class": "procedureclass class category clase",
    "fee": "fee amount charge tarifa importe",
    "price": "price priceminor",
    "valid_from": "validfrom from effective effectivefrom desde",
    "valid_to": "validto to until hasta",
}.items() for name in names.split()}


class FeeFlaw(NamedTuple):
    """Why a row is not taken."""

    line: int
    column: str
    code: str
    reason: str


class FeeTable(NamedTuple):
    """A file, read: how, which column is what, and its rows in their order."""

    encoding: str
    delimiter: str
    columns: dict[str, str | None]
    rows: list[tuple[int, Fee] | FeeFlaw]


class CellInvalid(Exception):
    """A cell that cannot be taken: the field, a code and the reason."""


def read(raw: bytes, currency: str, today: date) -> FeeTable:
    """Read a schedule; a fee that says no day is so from today on."""
    text, encoding = decoded(raw)
    delimiter = delimiter_of(text)
    found = lines(text, delimiter)
    head = next(found, None)
    names = [cell.strip() for cell in head.cells] if head else []
    fields = [HEADERS.get("".join(c for c in name.casefold() if c.isalnum())) for name in names]
    known = [one for one in fields if one]
    if len(set(known)) < len(known) or "procedure_code" not in known or ("fee" in known) == ("price" in known):
        raise FeeHeadersUnclear(headers=names[:100])
    rows: list[tuple[int, Fee] | FeeFlaw] = []
    seen: dict[tuple[str, date], int] = {}
    for line in found:
        row = row_of(line, fields, names, currency, today)
        if not isinstance(row, FeeFlaw):
            key = (row.procedure_code, row.valid_from)
            rows.append(FeeFlaw(line.number, "", "DUPLICATE", f"The same code and day as line {seen[key]}") if key in seen else (line.number, row))
            seen.setdefault(key, line.number)
        else:
            rows.append(row)
        if len(rows) > MOST:
            raise TooManyFees
    return FeeTable(encoding, delimiter, dict(zip(names, fields, strict=True)), rows)


def row_of(line: Line, fields: Sequence[str | None], names: Sequence[str], currency: str, today: date) -> Fee | FeeFlaw:
    """Return what a row says, or why that cannot be read."""
    if line.broken:
        return FeeFlaw(line.number, "", "QUOTES_BROKEN", "Quotation marks in this row do not go together")
    if any(cell.strip() for cell in line.cells[len(names):]):
        return FeeFlaw(line.number, "", "TOO_MANY_CELLS", "The row has more cells than there are headers; perhaps a text with the delimiter is not quoted")
    said = {one: cell.strip() for one, cell in zip(fields, line.cells, strict=False) if one and cell.strip()}
    try:
        fee = Fee(
            procedure_code=said.get("procedure_code", ""), description=said.get("description"), price=price_of(said, currency), valid_from=day_of(said, "valid_from") or today,
            procedure_class=convert(said.get("procedure_class", "other").casefold(), ProcedureClass), valid_to=day_of(said, "valid_to"))
        return convert(to_builtins(fee), Fee)
    except CellInvalid as error:
        one, code, reason = error.args
    except ValidationError as error:
        told = str(error)
        one = next((one for one in ("procedureCode", "description", "price") if f"$.{one}" in told), "procedure_class")
        code, reason = "FEE_INVALID", "Expected a code of 1 to 40 characters, a description of at most 200, and a class such as preventive, basic or major"
    column = next((name for name, field in zip(names, fields, strict=True) if field and field.replace("_", "") == one.casefold().replace("_", "")), one)
    return FeeFlaw(line.number, column, code, reason)


def price_of(said: Mapping[str, str], currency: str) -> int:
    """Return a price: `price` is in minor units, as our own sheet has it; `fee` is as people write it."""
    if "price" in said:
        if not said["price"].isdecimal():
            raise CellInvalid("price", "PRICE_UNREADABLE", "Expected a whole number of minor units, such as 12500")
        return int(said["price"][:20])
    return amount_of(said.get("fee", ""), MINOR.get(currency, 2))


def amount_of(text: str, digits: int) -> int:
    """Return an amount as people write it, in minor units: the last point or comma is the decimal one if as many digits follow as the currency has, or fewer."""
    bare = re.sub(r"[\s\u00a0'’]|[A-Z]{3}|[€$£¥]", "", text)
    found = re.fullmatch(r"(\d{1,3}(?:([.,])\d{3})(?:\2\d{3})*|\d+)(?:(?!\2)[.,](\d+))?", bare) if len(bare) <= LONGEST else None
    either = found is not None and found[2] and digits == THOUSAND and not found[3] and bare.count(found[2]) == 1  # 12.500 may be twelve and a half
    if found is None or either or len(found[3] or "") > digits:
        raise CellInvalid("fee", "FEE_UNREADABLE", f"Expected an amount with at most {digits} decimals, such as {'125.00' if digits else '125'}")
    whole = int(re.sub(r"\D", "", found[1]))
    return whole * 10**digits + int((found[3] or "0").ljust(digits, "0")) if digits else whole


def day_of(said: Mapping[str, str], one: str) -> date | None:
    """Return a day as ISO 8601 has it."""
    if one not in said:
        return None
    try:
        return date.fromisoformat(said[one])
    except ValueError:
        raise CellInvalid(one, "DATE_UNREADABLE", "Expected a date such as 2026-01-31") from None
