"""What may be asked of an expense."""

from commands.kit import Command, Creation
from domain.expenses import Expense, Spent
from domain.kit import At, Event, PlaceId, Reason


class RecordExpense(Creation, Spent):
    """Record what the clinic spent."""

    state = Expense
    permission = "billing.expenses.manage"
    place_id: PlaceId | None = None

    def decide(self, expense: Expense, at: At) -> list[Event]:
        return expense.record(self, at.currency, at.today, self.place_id)


class CorrectExpense(Command, Spent):
    """Say anew what was spent; what was said before stays in the history."""

    state = Expense
    permission = "billing.expenses.manage"
    place_id: PlaceId | None = None

    def decide(self, expense: Expense, at: At) -> list[Event]:
        return expense.correct(self, at.today, self.place_id)


class StrikeOutExpense(Command):
    """Strike out an expense that was none; it stays in the books, with the reason, and counts nowhere."""

    state = Expense
    permission = "billing.expenses.delete"
    reason: Reason = "Deleted."

    def decide(self, expense: Expense, at: At) -> list[Event]:
        return expense.strike_out(self.reason)
