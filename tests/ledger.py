"""A patient's account, kept a second time as a careful clerk would with a pencil: in fractions of the currency, with nothing of the product.

The rules, as the clinic would say them. A line costs quantity times price, less its discount; a discount on the whole is spread in proportion, the units that are left over go to whoever is
owed the largest part of one. Tax is rounded once a line, half away from zero; where prices include it, it is what is in them. Payments go to what is due line by line, the first line first,
or as they are told to. What is credited by an amount comes off what is due first, in proportion, and what goes beyond that off what has been paid. What then lies on a line without being
owed there, the last payment first, goes to the first line that owes, and what no line owes is the patient's. Nobody gives back, returns, uses or reverses more than there is.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import floor


class No(Exception):
    """The clerk refuses."""


class Line:
    """A line of a bill."""

    def __init__(self, cost: Fraction, tax: Fraction, rate: Fraction) -> None:
        self.total = cost
        self.tax = tax
        self.rate = rate
        self.off = Fraction(0)
        self.paid = Fraction(0)

    @property
    def due(self) -> Fraction:
        return self.total - self.off - self.paid


class Payment:
    """Money on a bill, or credit."""

    def __init__(self, parts: dict[int, Fraction], *, credit: bool) -> None:
        self.parts = parts
        self.amount = sum(parts.values(), Fraction(0))
        self.credit = credit
        self.gone = False

    @property
    def left(self) -> Fraction:
        return sum(self.parts.values(), Fraction(0))


class Bill:
    """A bill that went out."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.payments: list[Payment] = []
        self.void = False

    @property
    def total(self) -> Fraction:
        return sum((line.total for line in self.lines), Fraction(0))

    @property
    def due(self) -> Fraction:
        return Fraction(0) if self.void else sum((line.due for line in self.lines), Fraction(0))


class Clerk:
    """Who keeps one patient's account in a currency of so many digits."""

    def __init__(self, digits: int) -> None:
        self.unit = Fraction(1, 10**digits)
        self.bills: list[Bill] = []
        self.credit = Fraction(0)
        self.deposits: list[Fraction | None] = []  # None: reversed
        self.came = Fraction(0)  # money, less what went back or never was

    @property
    def balance(self) -> Fraction:
        return sum((bill.due for bill in self.bills), Fraction(0)) - self.credit

    def rounded(self, amount: Fraction) -> Fraction:
        return floor(amount / self.unit + Fraction(1, 2)) * self.unit

    def spread(self, amount: Fraction, over: Sequence[Fraction]) -> list[Fraction]:
        """Share an amount out in proportion, in whole units."""
        whole = sum(over, Fraction(0))
        if not amount or not whole:
            return [Fraction(0)] * len(over)
        exact = [amount * part / whole / self.unit for part in over]
        units = [floor(one) for one in exact]
        left = amount / self.unit - sum(units)
        for n in sorted(range(len(over)), key=lambda n: (-(exact[n] - units[n]), n))[: int(left)]:
            units[n] += 1
        return [n * self.unit for n in units]

    def bill(self, lines: Sequence[tuple[int, Fraction, Fraction, Fraction]], discount: Fraction, *, included: bool) -> Bill:
        """Make out a bill: quantity, price, discount and rate of each line, and the discount on the whole; discounts and rates as shares of one."""
        costs = [quantity * price - self.rounded(quantity * price * off) for quantity, price, off, _ in lines]
        less = self.spread(self.rounded(sum(costs, Fraction(0)) * discount), costs)
        made = []
        for (_, _, _, rate), cost, off in zip(lines, costs, less, strict=True):
            price = cost - off
            tax = self.rounded(price * rate / (1 + rate)) if included else self.rounded(price * rate)
            made.append(Line(price if included else price + tax, tax, rate))
        bill = Bill(made)
        self.bills.append(bill)
        return bill

    def place(self, bill: Bill, amount: Fraction, wanted: dict[int, Fraction] | None, *, credit: bool) -> None:
        if bill.void or amount <= 0 or amount > bill.due:
            raise No
        if wanted is None:
            wanted, left = {}, amount
            for n, line in enumerate(bill.lines):
                if part := min(line.due, left):
                    wanted[n] = part
                    left -= part
        if sum(wanted.values(), Fraction(0)) != amount or any(part > bill.lines[n].due for n, part in wanted.items()):
            raise No
        for n, part in wanted.items():
            bill.lines[n].paid += part
        bill.payments.append(Payment(dict(wanted), credit=credit))

    def pay(self, bill: Bill, amount: Fraction, wanted: dict[int, Fraction] | None = None, *, keep: bool = False) -> None:
        """Take money for a bill; `keep` what is beyond it."""
        on_it = min(amount, bill.due) if keep else amount
        self.place(bill, on_it, wanted, credit=False)
        if amount > on_it:
            self.deposits.append(amount - on_it)
            self.credit += amount - on_it
        self.came += amount

    def settle(self, amount: Fraction, *, keep: bool) -> None:
        """Take money for all bills that are due, the oldest first."""
        owed = sum((bill.due for bill in self.bills), Fraction(0))
        if amount > owed and not keep:
            raise No
        left = amount
        for bill in self.bills:
            if part := min(left, bill.due):
                self.place(bill, part, None, credit=False)
                left -= part
        if left:
            self.deposits.append(left)
            self.credit += left
        self.came += amount

    def use(self, bill: Bill, amount: Fraction) -> None:
        if amount > self.credit:
            raise No
        self.place(bill, amount, None, credit=True)
        self.credit -= amount

    def refund(self, bill: Bill, payment: Payment, amount: Fraction) -> None:
        if bill.void or payment.credit or amount > payment.left:
            raise No
        self.came -= amount
        for n in reversed(list(payment.parts)):
            part = min(payment.parts[n], amount)
            payment.parts[n] -= part
            bill.lines[n].paid -= part
            amount -= part

    def reverse(self, bill: Bill, payment: Payment) -> None:
        if bill.void or payment.credit or payment.gone or payment.left != payment.amount:
            raise No
        for n, part in payment.parts.items():
            bill.lines[n].paid -= part
        payment.parts, payment.gone = {}, True
        self.came -= payment.amount

    def reallocate(self, bill: Bill, payment: Payment, wanted: dict[int, Fraction]) -> None:
        if bill.void or sum(wanted.values(), Fraction(0)) > payment.left:
            raise No
        if any(part > bill.lines[n].due + payment.parts.get(n, Fraction(0)) for n, part in wanted.items()):
            raise No
        self.credit += payment.left - sum(wanted.values(), Fraction(0))
        for n in range(len(bill.lines)):
            bill.lines[n].paid += wanted.get(n, Fraction(0)) - payment.parts.get(n, Fraction(0))
            if n in payment.parts or wanted.get(n):  # in the order in which it came to lie there
                payment.parts[n] = wanted.get(n, Fraction(0))

    def less(self, bill: Bill, amount: Fraction | None, wanted: dict[int, Fraction] | None, *, write_off: bool) -> None:
        """Credit, or write off."""
        if bill.void:
            raise No
        dues = [line.due for line in bill.lines]
        room = dues if write_off else [line.total - line.off for line in bill.lines]
        if wanted is not None:
            cut = [wanted.get(n, Fraction(0)) for n in range(len(room))]
        else:
            whole = sum(room, Fraction(0)) if amount is None else amount
            if whole > sum(room, Fraction(0)):
                raise No
            first = min(whole, sum(dues, Fraction(0)))
            cut = self.spread(first, dues)
            rest = self.spread(whole - first, [most - part for most, part in zip(room, cut, strict=True)])
            cut = [one + more for one, more in zip(cut, rest, strict=True)]
        if not any(cut) or any(part > most for part, most in zip(cut, room, strict=True)):
            raise No
        for line, part in zip(bill.lines, cut, strict=True):
            line.off += part
        for payment in reversed(bill.payments):
            self.put_right(bill, payment)

    def put_right(self, bill: Bill, payment: Payment) -> None:
        """Take off lines what is too much on them."""
        taken = Fraction(0)
        for n, part in list(payment.parts.items()):
            much = min(part, max(Fraction(0), -bill.lines[n].due))
            payment.parts[n] -= much
            bill.lines[n].paid -= much
            taken += much
        for n, line in enumerate(bill.lines):
            if (part := min(line.due, taken)) > 0:
                payment.parts[n] = payment.parts.get(n, Fraction(0)) + part
                line.paid += part
                taken -= part
        self.credit += taken

    def cancel(self, bill: Bill) -> None:
        if bill.void or any(line.paid or line.off for line in bill.lines):
            raise No
        bill.void = True

    def deposit(self, amount: Fraction) -> None:
        self.deposits.append(amount)
        self.credit += amount
        self.came += amount

    def undo(self, n: int) -> None:
        amount = self.deposits[n]
        if amount is None or amount > self.credit:
            raise No
        self.deposits[n] = None
        self.credit -= amount
        self.came -= amount

    def back(self, amount: Fraction) -> None:
        if amount <= 0 or amount > self.credit:
            raise No
        self.credit -= amount
        self.came -= amount
