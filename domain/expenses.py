"""Expenses: what the clinic spends; corrected with the history kept, struck out with a reason."""

from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, Money, NotFound, PlaceId, Positive, Reason, Refused, State, Text, only
from domain.kit.bills import EARLIEST, LARGEST, Method, ensure_past

ExpenseCategory = Literal[
    "rent", "utilities", "salaries", "materials", "laboratory", "equipment", "maintenance", "software", "marketing", "insurance", "taxes", "training", "travel", "bank-charges",
    "other"]


class Spent(Frozen):
    """What was spent on what: the amount includes the tax."""

    category: ExpenseCategory
    description: Text
    amount: Positive
    tax: Annotated[Money, Meta(description="The part of the amount that is tax.")] = 0
    spent_on: date
    method: Method = "transfer"
    vendor: Text | None = None
    reference: Annotated[str, Meta(max_length=100, description="What the vendor's invoice calls itself.", examples=["F-2026-118"])] | None = None


class ExpenseRecorded(Spent, Event):
    currency: str
    place_id: PlaceId | None = None  # out of whose till it came, if that is not the clinic's own


class ExpenseCorrected(Spent, Event):
    """It was not so, but so."""

    was: Spent
    place_id: PlaceId | None = None
    was_place_id: PlaceId | None = None


class ExpenseStruckOut(Event):
    """It was not spent at all."""

    was: Spent
    reason: Reason
    was_place_id: PlaceId | None = None


ExpenseEvent = ExpenseRecorded | ExpenseCorrected | ExpenseStruckOut


class TaxTooLarge(Invalid):
    """The tax is a part of the amount."""


class ExpenseImpossible(Invalid):
    """An amount is above zero, and not larger than can be counted exactly."""


class ExpenseStruckOutAlready(Refused):
    """That expense was struck out. Record it anew."""


class Expense(State):
    kind: ClassVar[str] = "expenses"
    spent: Spent | None = None
    place_id: UUID | None = None
    struck_out: bool = False

    def evolve(self, event: ExpenseEvent) -> Self:
        match event:
            case ExpenseRecorded() | ExpenseCorrected():
                return replace(self, spent=Spent(**only(Spent, event)), place_id=event.place_id)
            case ExpenseStruckOut():
                return replace(self, struck_out=True)

    def record(self, spent: Spent, currency: str, today: date, place_id: UUID | None = None) -> list[Event]:
        ensure_possible(spent, today)
        return [ExpenseRecorded(**only(Spent, spent), currency=currency, place_id=place_id)]

    def correct(self, spent: Spent, today: date, place_id: UUID | None = None) -> list[Event]:
        was = self.ensure_standing()
        ensure_possible(spent, today)
        if only(Spent, spent) == only(Spent, was) and place_id == self.place_id:
            return []
        return [ExpenseCorrected(**only(Spent, spent), was=was, place_id=place_id, was_place_id=self.place_id)]

    def strike_out(self, reason: str) -> list[Event]:
        return [ExpenseStruckOut(was=self.ensure_standing(), reason=reason, was_place_id=self.place_id)]

    def ensure_standing(self) -> Spent:
        """Return what was spent; refuse what was not spent after all."""
        if self.spent is None:
            raise NotFound
        if self.struck_out:
            raise ExpenseStruckOutAlready
        return self.spent


def ensure_possible(spent: Spent, today: date) -> None:
    if not 0 < spent.amount <= LARGEST:
        raise ExpenseImpossible(amount=spent.amount)
    if not 0 <= spent.tax <= spent.amount:
        raise TaxTooLarge(amount=spent.amount, tax=spent.tax)
    ensure_past(spent.spent_on, today, EARLIEST)
