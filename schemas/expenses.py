"""What may be seen of expenses, and of what a day came to."""

from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import Meta, field

from domain.expenses import ExpenseCategory, Spent
from domain.kit import PLATFORM, Frozen
from domain.kit.bills import Method
from schemas.kit import Row


class ExpenseRow(Spent, Row):
    """What the clinic spent, as it was last said; one that was struck out says why."""

    table: ClassVar[str] = "expenses"
    permission: ClassVar[str] = "billing.expenses.view"
    id: UUID
    currency: str
    place_id: UUID | None = None
    corrections: int = 0
    struck_out: bool = False
    strike_reason: str | None = None
    recorded_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("spent_on, id", "category, spent_on, id")


class CurrentExpense(ExpenseRow):
    """An expense that was not struck out."""

    table: ClassVar[str] = "current_expenses"


class TillDayRow(Row):
    """What came in and went out on a day of the clinic's by one method, at one of its places."""

    table: ClassVar[str] = "till_days"
    permission: ClassVar[str] = "billing.expenses.view_eod"
    key: ClassVar[tuple[str, ...]] = ("day", "method", "place")
    day: date
    method: Method
    place: UUID = PLATFORM  # of zeros: the clinic itself
    received: int = 0
    payments: int = 0
    refunded: int = 0
    refunds: int = 0
    reversed: int = 0
    reversals: int = 0
    spent: int = 0
    expenses: int = 0


class CategorySum(Frozen):
    """What was spent on one thing; amounts include the tax, which is also given by itself."""

    category: ExpenseCategory
    count: int
    amount: int
    tax: int


class ExpenseTotals(Frozen):
    """What was spent in a period, in all and by category, the largest first."""

    currency: str
    first: Annotated[date, Meta(description="The first day.")]
    last: Annotated[date, Meta(description="The last day, included.")]
    count: int
    amount: int
    tax: int
    categories: list[CategorySum] = field(default_factory=list)


class MethodSum(Frozen):
    """What went by one method: in, back, and out. `reversed` was recorded by mistake on this day or before, and is taken off again."""

    method: Method
    received: int
    payments: int
    refunded: int
    refunds: int
    reversed: int
    reversals: int
    spent: int
    expenses: int
    net: Annotated[int, Meta(description="Received less reversed, refunded and spent; of cash, by how much the till has changed.")]


class EndOfDay(Frozen):
    """What a day of the clinic's came to. Amounts are integer minor units of the currency and include tax."""

    day: date
    currency: str
    methods: list[MethodSum]
    received: int
    payments: int
    refunded: int
    refunds: int
    reversed: int
    reversals: int
    invoices: Annotated[int, Meta(description="How many were issued.")]
    billed: int
    voided: int
    credited: Annotated[int, Meta(description="By credit notes.")]
    written_off: int
    spent: int
    expenses: int
    categories: list[CategorySum]
    net: Annotated[int, Meta(description="Received less reversed, refunded and spent.")]


class DayInWords(Frozen):
    """A day's figures told in words by a language model, which was given these figures and nothing else."""

    day: date
    summary: str
    model: str
    figures: EndOfDay
