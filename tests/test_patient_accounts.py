"""A whole patient's account, whatever happens to it: what the product says is what a clerk says who keeps it in fractions with a pencil."""

from collections import Counter
from collections.abc import Coroutine, Sequence
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from commands.credits import ReceiveDeposit, ReturnCredit, ReverseDeposit, SettleInvoices
from commands.invoices import (
    ApplyCredit,
    CreateInvoice,
    CreditInvoice,
    MarkInvoicePaid,
    ReallocatePayment,
    RecordPayment,
    RefundPayment,
    ReversePayment,
    VoidInvoice,
    WriteOffInvoice,
)
from commands.kit import Command, Creation
from domain.credits import Credit, credit_of
from domain.invoices import Invoice, InvoiceCredited, InvoiceIssued, LineAmount
from domain.kit import Elsewhere, Event, Fact, NotFound, Refused, State
from domain.kit.bills import Discount, Line
from domain.patients import Patient
from domain.series import Series
from projections.kit import tables
from tests.kit import ACTOR, CLINIC, noon
from tests.ledger import Bill, Clerk, No, Payment
from tests.remembering import rows_of

PATIENT, ANNE, BEN = UUID(int=1), UUID(int=11), UUID(int=12)
tables.load()


class Books:
    """Streams in memory, and commands decided on them as the handler does: what they look up is these streams."""

    def __init__(self, currency: str) -> None:
        self.streams: dict[UUID, State] = {PATIENT: Patient(registered=True)}
        self.facts: list[Fact] = []
        self.at = replace(noon, currency=currency)
        self.made = 0

    def do(self, command: Command, stream: UUID | None = None) -> UUID:
        """Decide a command; all that follows is stored, or nothing."""
        self.made += 1
        self.at = replace(self.at, id=stream or uuid5(PATIENT, str(self.made)))
        target = command.stream(self.at) if isinstance(command, Creation) else self.at.id
        found = finished(command.gather(self))  # type: ignore[arg-type]
        for plan in command.decide(self.streams.get(target, command.state()), self.at, **found):
            if isinstance(plan, Elsewhere):
                self.store(plan.id, plan.state, plan.events)
            else:
                self.store(target, command.state, [plan])
        return target

    def store(self, stream: UUID, state: type[State], events: Sequence[Event]) -> None:
        for event in events:
            self.streams[stream] = self.streams.get(stream, state()).evolve(event)
            version = 1 + sum(fact.id == stream for fact in self.facts)
            self.facts.append(Fact(
                id=stream, kind=state.kind, version=version, position=len(self.facts) + 1, clinic=CLINIC, recorded_at=noon.now, actor=ACTOR, event=event))

    async def load(self, state: type[State], stream: UUID) -> Any:
        return self.streams.get(stream, state())

    async def require(self, state: type[State], stream: UUID) -> Any:
        if stream not in self.streams and stream not in {ANNE, BEN}:
            raise NotFound
        return self.streams.get(stream, state())

    async def naming(self, patient: UUID, kinds: Sequence[str]) -> list[tuple[str, UUID]]:
        return [(one.kind, stream) for stream, one in self.streams.items() if one.kind in kinds and getattr(one, "patient_id", None) == patient]


def finished(asked: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Run what never waits."""
    try:
        asked.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


shares = st.sampled_from([0, 0, 10_00, 33_33, 100_00])
rates = st.sampled_from([0, 9_00, 21_00, 7_77])
lines = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 120), shares, rates), min_size=1, max_size=4)
amounts = st.integers(1, 150) | st.sampled_from(["all", "half", "more"])
which = st.integers(0, 20)
yes = st.booleans()


class Account(RuleBasedStateMachine):
    """Both keep the same account, and are asked the same."""

    @initialize(currency=st.sampled_from(["JPY", "EUR", "KWD"]))
    def opened(self, currency: str) -> None:
        self.books = Books(currency)
        self.clerk = Clerk({"JPY": 0, "EUR": 2, "KWD": 3}[currency])
        self.ids: list[UUID] = []

    # --- what may happen

    @rule(lines=lines, discount=shares, included=yes)
    def bill(self, lines: list[tuple[int, int, int, int]], discount: int, included: bool) -> None:
        if len(self.ids) == 4:
            return
        asked = [
            Line(description="x", doctor_id=None, quantity=q, unit_price=price, discount=Discount(percent=off) if off else None, tax_rate=rate)
            for q, price, off, rate in lines]
        self.clerk.bill(
            [(q, price * self.clerk.unit, Fraction(off, 10_000), Fraction(rate, 10_000)) for q, price, off, rate in lines], Fraction(discount, 10_000),
            included=included)
        self.ids.append(self.books.do(CreateInvoice(
            patient_id=PATIENT, lines=asked, discount=Discount(percent=discount) if discount else None, tax_included=included, issue=True)))

    @precondition(lambda self: self.ids)
    @rule(n=which, amount=amounts, keep=yes)
    def pay(self, n: int, amount: Any, keep: bool) -> None:
        bill, stream = self.one(n)
        much = self.much(amount, bill.due)
        self.both(
            lambda: self.clerk.pay(bill, much, keep=keep),
            RecordPayment(amount=self.units(much), method="cash", excess="credit" if keep else "refuse"), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which, parts=st.lists(st.integers(0, 60), min_size=4, max_size=4))
    def pay_lines(self, n: int, parts: list[int]) -> None:
        bill, stream = self.one(n)
        wanted = {i: part * self.clerk.unit for i, part in enumerate(parts[: len(bill.lines)]) if part}
        if not wanted:
            return
        much = sum(wanted.values(), Fraction(0))
        self.both(
            lambda: self.clerk.pay(bill, much, wanted), RecordPayment(amount=self.units(much), method="card", allocations=self.told(wanted)), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which)
    def mark_paid(self, n: int) -> None:
        bill, stream = self.one(n)
        self.both(lambda: self.clerk.pay(bill, bill.due), MarkInvoicePaid(), stream)

    @rule(amount=amounts, keep=yes)
    def settle(self, amount: Any, keep: bool) -> None:
        much = self.much(amount, sum((bill.due for bill in self.clerk.bills), Fraction(0)))
        self.both(
            lambda: self.clerk.settle(much, keep=keep),
            SettleInvoices(patient_id=PATIENT, amount=self.units(much), method="transfer", excess="credit" if keep else "refuse"))

    @precondition(lambda self: self.ids)
    @rule(n=which, p=which, amount=amounts)
    def refund(self, n: int, p: int, amount: Any) -> None:
        if found := self.payment(n, p):
            bill, stream, payment, id_ = found
            much = self.much(amount, payment.left)
            self.both(lambda: self.clerk.refund(bill, payment, much), RefundPayment(payment_id=id_, amount=self.units(much), reason="x"), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which, p=which)
    def reverse(self, n: int, p: int) -> None:
        if found := self.payment(n, p):
            bill, stream, payment, id_ = found
            self.both(lambda: self.clerk.reverse(bill, payment), ReversePayment(payment_id=id_, reason="x"), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which, p=which, parts=st.lists(st.integers(0, 40), min_size=4, max_size=4))
    def reallocate(self, n: int, p: int, parts: list[int]) -> None:
        if found := self.payment(n, p):
            bill, stream, payment, id_ = found
            wanted = {i: part * self.clerk.unit for i, part in enumerate(parts[: len(bill.lines)]) if part}
            self.both(
                lambda: self.clerk.reallocate(bill, payment, wanted), ReallocatePayment(payment_id=id_, allocations=self.told(wanted)), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which, amount=amounts | st.none(), write_off=yes)
    def credit(self, n: int, amount: Any, write_off: bool) -> None:
        bill, stream = self.one(n)
        most = bill.due if write_off else sum((line.total - line.off for line in bill.lines), Fraction(0))
        much = None if amount is None else self.much(amount, most)
        command = WriteOffInvoice if write_off else CreditInvoice
        self.both(
            lambda: self.clerk.less(bill, much, None, write_off=write_off), command(reason="x", amount=None if much is None else self.units(much)), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which, parts=st.lists(st.integers(0, 60), min_size=4, max_size=4), write_off=yes)
    def credit_lines(self, n: int, parts: list[int], write_off: bool) -> None:
        bill, stream = self.one(n)
        wanted = {i: part * self.clerk.unit for i, part in enumerate(parts[: len(bill.lines)]) if part}
        command = WriteOffInvoice if write_off else CreditInvoice
        self.both(lambda: self.clerk.less(bill, None, wanted, write_off=write_off), command(reason="x", lines=self.told(wanted)), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which, amount=amounts)
    def use(self, n: int, amount: Any) -> None:
        bill, stream = self.one(n)
        much = self.much(amount, min(bill.due, self.clerk.credit))
        self.both(lambda: self.clerk.use(bill, much), ApplyCredit(amount=self.units(much)), stream)

    @precondition(lambda self: self.ids)
    @rule(n=which)
    def void(self, n: int) -> None:
        bill, stream = self.one(n)
        self.both(lambda: self.clerk.cancel(bill), VoidInvoice(reason="x"), stream)

    @rule(amount=st.integers(1, 150))
    def deposit(self, amount: int) -> None:
        self.both(lambda: self.clerk.deposit(amount * self.clerk.unit), ReceiveDeposit(patient_id=PATIENT, amount=amount, method="card"))

    @precondition(lambda self: self.clerk.deposits)
    @rule(n=which)
    def undo_deposit(self, n: int) -> None:
        n %= len(self.clerk.deposits)
        self.both(lambda: self.clerk.undo(n), ReverseDeposit(patient_id=PATIENT, deposit_id=list(self.account.deposits)[n], reason="x"))

    @rule(amount=amounts)
    def give_back(self, amount: Any) -> None:
        much = self.much(amount, self.clerk.credit)
        self.both(lambda: self.clerk.back(much), ReturnCredit(patient_id=PATIENT, amount=self.units(much), method="cash", reason="x"))

    # --- what must hold

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "clerk"):
            return
        for bill, stream in zip(self.clerk.bills, self.ids, strict=True):
            invoice = self.invoice(stream)
            assert [self.units(line.total) for line in bill.lines] == [line.total for line in invoice.lines]
            if bill.void:
                assert invoice.stage == "void"
                continue
            assert [self.units(line.due) for line in bill.lines] == invoice.dues
            assert self.units(bill.due) == invoice.balance >= 0
            assert min(invoice.dues) >= 0
            assert [self.units(one.left) for one in bill.payments] == [one.amount for one in invoice.payments.values()]
        assert self.units(self.clerk.credit) == self.account.balance >= 0

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.rows_say_the_same()
            self.tax_is_exact()

    def rows_say_the_same(self) -> None:
        """The read models, folded from the same events."""
        rows = rows_of(*self.books.facts)
        due = {row.id: row.due for row in rows["invoices"].values()}
        assert due == {stream: self.units(bill.due) for bill, stream in zip(self.clerk.bills, self.ids, strict=True)}
        for bill, stream in zip(self.clerk.bills, self.ids, strict=True):
            row = rows["invoices"][CLINIC, stream]
            kept = sum((payment.left for payment in bill.payments), Fraction(0))
            wanted = "void" if bill.void else "paid" if not bill.due and (kept or not bill.total) else "credited" if not bill.due else "partly-paid" if kept else "issued"
            assert (row.status, row.paid - row.refunded) == (wanted, self.units(kept))
            notes = [note for note in rows["credit_notes"].values() if note.invoice_id == stream]
            assert sum(note.total for note in notes) == row.credited + row.written_off == sum(self.invoice(stream).credited)
        for payment in rows["payments"].values():
            left = self.invoice(payment.invoice_id).payments[payment.id].amount
            assert left == (0 if payment.reversed else payment.amount - payment.refunded - payment.released)
        credit = sum(row.balance for row in rows["credits"].values())
        assert credit == self.units(self.clerk.credit)
        days, till = list(rows["revenue_days"].values()), list(rows["till_days"].values())
        came = self.units(self.clerk.came)
        assert sum(day.on_account for day in days) == credit
        assert sum(day.collected - day.refunded for day in days) == came == sum(one.received - one.reversed - one.refunded for one in till)
        assert sum(day.billed - day.voided - day.credited - day.written_off - day.collected + day.refunded + day.on_account for day in days) == sum(due.values())
        lives = list(rows["lifetimes"].values())
        assert sum(life.received for life in lives) == came
        assert sum(life.billed - life.voided - life.credited - life.received for life in lives) == self.units(self.clerk.balance)

    def tax_is_exact(self) -> None:  # noqa: C901 - each kind of event in turn
        """What is credited and what is paid of a line has its tax, to the unit, whatever the parts."""
        for bill, stream in zip(self.clerk.bills, self.ids, strict=True):
            cut, tax = Counter[int](), Counter[int]()
            numbers = Counter[str]()
            for fact in self.books.facts:
                if fact.id != stream:
                    continue
                event: Any = fact.event
                if isinstance(event, InvoiceIssued):
                    assert event.tax == self.units(sum((line.tax for line in bill.lines), Fraction(0)))
                if isinstance(event, InvoiceCredited):
                    numbers[event.cause] += 1
                    assert (event.net + event.tax, event.total) == (event.total, sum(one.total for one in event.lines))
                    assert (event.net, event.tax) == (sum(one.net for one in event.shares), sum(one.tax for one in event.shares))
                    for one in event.lines:
                        assert min(one.net, one.tax) >= 0
                        assert one.net + one.tax == one.total
                        cut[one.line] += one.total
                        tax[one.line] += one.tax
                for sign, parts in ((-1, getattr(event, "taken", [])), (1, getattr(event, "given", [])), (SIGNS.get(type(event).__name__, 0), getattr(event, "allocations", []))):
                    for part in parts:
                        assert 0 <= part.tax <= part.amount
                        tax[part.line] += sign * part.tax
            for n, line in enumerate(bill.lines, 1):
                assert cut[n] == self.units(line.off)
                if not line.due or line.off == line.total:
                    assert tax[n] == self.units(line.tax)
                assert 0 <= tax[n] <= self.units(line.tax)

    # --- how they are asked

    def both(self, clerk: Any, command: Command, stream: UUID | None = None) -> None:
        """Ask both; they agree on whether it may be."""
        try:
            clerk()
        except No:
            with pytest.raises(Refused):
                self.books.do(command, stream)
        else:
            self.books.do(command, stream)

    def one(self, n: int) -> tuple[Bill, UUID]:
        return self.clerk.bills[n % len(self.ids)], self.ids[n % len(self.ids)]

    def payment(self, n: int, p: int) -> tuple[Bill, UUID, Payment, UUID] | None:
        bill, stream = self.one(n)
        if not bill.payments:
            return None
        p %= len(bill.payments)
        return bill, stream, bill.payments[p], list(self.invoice(stream).payments)[p]

    def invoice(self, stream: UUID) -> Invoice:
        found = self.books.streams[stream]
        assert isinstance(found, Invoice)
        return found

    @property
    def account(self) -> Credit:
        found = self.books.streams.get(credit_of(PATIENT), Credit())
        assert isinstance(found, Credit)
        return found

    def much(self, amount: Any, there: Fraction) -> Fraction:
        """Return an amount above zero: so many units, or by what there is."""
        unit = self.clerk.unit
        wanted = {"all": there, "half": self.clerk.rounded(there / 2), "more": there + unit}.get(amount, amount * unit if isinstance(amount, int) else unit)
        return max(wanted, unit)

    def units(self, amount: Fraction) -> int:
        whole = amount / self.clerk.unit
        assert whole.denominator == 1
        return int(whole)

    def told(self, wanted: dict[int, Fraction]) -> list[LineAmount]:
        return [LineAmount(line=n + 1, amount=self.units(part)) for n, part in wanted.items()]


SOON = [Phase.explicit, Phase.reuse, Phase.generate]  # what fails is told as it was found: to shorten it takes minutes
SIGNS = {"PaymentRecorded": 1, "CreditApplied": 1, "PaymentRefunded": -1, "PaymentReversed": -1}
TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, phases=SOON)


def test_numbers_of_credit_notes_and_write_offs_leave_no_gap() -> None:
    books = Books("EUR")
    one = books.do(CreateInvoice(patient_id=PATIENT, lines=[Line(description="x", unit_price=100)], issue=True))
    for command in (CreditInvoice(reason="x", amount=10), WriteOffInvoice(reason="x", amount=10), CreditInvoice(reason="x", amount=5)):
        books.do(command, one)
    with pytest.raises(Refused):
        books.do(CreditInvoice(reason="x", amount=100), one)
    books.do(CreditInvoice(reason="x"), one)
    notes = [(fact.event.cause, fact.event.number) for fact in books.facts if isinstance(fact.event, InvoiceCredited)]
    assert notes == [
        ("credit-note", "2026-000001"), ("write-off", "2026-000001"), ("credit-note", "2026-000002"), ("credit-note", "2026-000003")]
    assert [one.last for one in books.streams.values() if isinstance(one, Series)] == [1, 3, 1]
