"""What may be seen of what procedures cost, and of what they earn."""

from datetime import date
from typing import Annotated, ClassVar

from msgspec import Meta, field

from domain.kit import Frozen, Money
from schemas.kit import Row


class ProcedureCostRow(Row):
    """What one of a procedure costs from a day on, until a later day says otherwise."""

    table: ClassVar[str] = "procedure_costs"
    permission: ClassVar[str] = "reports.financial"
    key: ClassVar[tuple[str, ...]] = ("procedure_code", "since")
    procedure_code: str
    since: date
    material: Money
    lab: Money


class ProcedureFigures(Frozen):
    """What a procedure came to; the code is empty for what names none.

    `netRevenue` is what was billed less what was voided, credited and written off, without tax; `units` how many of them; `cost` those times what one cost on its day, and `profit` the difference.
    """

    procedure_code: str
    units: int
    billed: int
    voided: int
    credited: int
    written_off: int
    tax: int
    net_revenue: int
    received: int
    material: int
    lab: int
    cost: int
    profit: int
    margin: Annotated[float | None, Meta(description="Profit as a share of net revenue.")]
    known: Annotated[bool, Meta(description="Whether anybody has said what it costs; if not, the profit is the revenue.")]


class ProcedureProfitability(Frozen):
    """What procedures came to from the first day to the last, both included, the most profitable first."""

    since: date = field(name="from")
    until: date = field(name="to")
    currency: str
    net_revenue: int
    cost: int
    profit: int
    items: list[ProcedureFigures]
