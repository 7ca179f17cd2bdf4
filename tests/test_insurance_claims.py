"""Insurance claims: what payers are asked never exceeds what is billed, what they deny changes no balance, and their money is on the invoice or nowhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.json import decode
from msgspec.structs import replace

from commands.erasures import ErasePatient
from commands.insurance_claims import (
    AcceptInsuranceClaim,
    AnswerInsuranceClaim,
    AppealInsuranceClaim,
    CreateInsuranceClaim,
    DeleteInsuranceClaim,
    DenyInsuranceClaim,
    PayInsuranceClaim,
    ReplaceInsuranceClaim,
    ReverseInsurancePayment,
    SubmitInsuranceClaim,
    UpdateInsuranceClaim,
    VoidInsuranceClaim,
    WithdrawInsuranceClaim,
    WriteOffInsuranceClaim,
)
from commands.insurance_covers import AddCover
from commands.insurance_payers import AddPayer
from commands.invoices import CreditInvoice, RecordPayment, RefundPayment, VoidInvoice
from commands.kit import Command
from commands.kit.handling import Receipt
from domain.fee_schedules import Fee, FeeSchedule, FeesSet, fee_schedule_of
from domain.insurance_claims import (
    Adjustment,
    AnsweredLine,
    AnswerUnbalanced,
    AnswerUnclear,
    ApprovedBelowPaid,
    ClaimAmount,
    ClaimAnsweredAlready,
    ClaimedBeyondBill,
    ClaimForwarded,
    ClaimLinesUnclear,
    ClaimNotAnswered,
    ClaimNotDraft,
    ClaimNotReplaceable,
    ClaimNotSubmitted,
    ClaimPartlyPaid,
    ClaimPaymentNotFound,
    ClaimPaymentReversedAlready,
    ClaimPaymentTooLarge,
    ClaimReplacedAlready,
    InvoiceClaims,
    NothingToWriteOff,
    WriteOffNotAgreed,
    WriteOffUnconfirmed,
    WrittenOffAlready,
    claims_of,
)
from domain.insurance_covers import CoverAdded, CoverNotValid, InsuranceCover
from domain.insurance_payers import Payer, PayerAdded, PayerArchived, PayerNotInUse
from domain.invoices import (
    Invoice,
    InvoiceNotIssued,
    InvoicePartlyPaid,
    LineAmount,
    PaymentRecorded,
    PaymentTooLarge,
    PaymentUsedAlready,
    worked_out,
)
from domain.kit import Elsewhere, Event, Forbidden, Frozen, Refused
from domain.kit.bills import Line
from domain.series import NumberAllotted
from projections.insurance_claims import insurance_claims
from schemas.insurance_claims import InsuranceClaimRow
from tests.clinic import Town, handling, stored, who
from tests.kit import THIS, facts, noon
from tests.served import failure, served, today_there, until, working

PATIENT, INVOICE, OTHER = UUID(int=5), UUID(int=6), UUID(int=43)
PAYERS = {"primary": UUID(int=21), "secondary": UUID(int=22)}
COVERS = {"primary": UUID(int=31), "secondary": UUID(int=32)}
TOTALS = {1: 80_000, 2: 9_999, 3: 1}


MOST_CLAIMS = 6
FEW, FEE = {1: 40, 2: 25, 3: 5}, 25  # so that what is one too much comes up often


def issued(totals: dict[int, int]) -> Invoice:
    """An invoice of three lines."""
    lines = [Line(description=f"Line {no}", procedure_code=f"D{no}", unit_price=total) for no, total in totals.items()]
    drafted = Invoice().draft(worked_out(PATIENT, "EUR", lines, discount=None, due_on=None, notes=None))
    return Invoice.replay([drafted, *Invoice.replay([drafted]).issue("2026-000001", noon.today, None, noon.today)])  # type: ignore[list-item]


class World:
    """The streams that claims on one invoice touch, without a store: what is decided is applied to all of them or to none."""

    def __init__(self, totals: dict[int, int] = TOTALS) -> None:
        self.states: dict[UUID, Any] = {INVOICE: issued(totals), claims_of(INVOICE): InvoiceClaims()}
        for rank, payer in PAYERS.items():
            self.states[payer] = Payer.replay([PayerAdded(name=rank)])
            self.states[COVERS[rank]] = InsuranceCover.replay([CoverAdded(
                patient_id=PATIENT, payer_id=payer, member_number="W1", rank=rank, valid_from=noon.today)])
        self.at = noon

    def __getitem__(self, id_: UUID) -> Any:
        return self.states[id_]

    @property
    def invoice(self) -> Invoice:
        invoice: Invoice = self.states[INVOICE]
        return invoice

    @property
    def together(self) -> InvoiceClaims:
        together: InvoiceClaims = self.states[claims_of(INVOICE)]
        return together

    async def require(self, kind: Any, id_: UUID) -> Any:
        found = self.states[id_]
        assert isinstance(found, kind)
        return found

    async def load(self, kind: Any, id_: UUID) -> Any:
        return self.states.get(id_, kind())

    async def row(self, kind: Any, id_: UUID) -> Any:
        assert isinstance(self.states[id_], kind)
        return SimpleNamespace(notes=None)

    def __call__(self, command: Command, id_: UUID = THIS) -> list[Any]:
        """Decide a command and apply what follows; return it."""
        at = replace(self.at, id=id_)

        async def decided() -> list[Any]:
            looking: Any = SimpleNamespace(at=at, require=self.require, load=self.load, row=self.row)
            found = await command.gather(looking)
            state = self.states.get(id_, command.state())
            return list(command.decide(state, at, **found))

        decision = asyncio.run(decided())
        events = [one for one in decision if not isinstance(one, Elsewhere)]
        parts = [(command.state, id_, events), *((one.state, one.id, one.events) for one in decision if isinstance(one, Elsewhere))]
        for kind, stream, told in parts:
            state = self.states.get(stream, kind())
            for event in told:
                state = state.evolve(event)
            self.states[stream] = state
        return decision

    def refuses(self, why: type[Refused], command: Command, id_: UUID = THIS) -> Refused:
        before = dict(self.states)
        with pytest.raises(why) as caught:
            self(command, id_)
        assert self.states == before
        return caught.value


def made(rank: str = "primary", **more: Any) -> CreateInsuranceClaim:
    return CreateInsuranceClaim(invoice_id=INVOICE, cover_id=COVERS[rank], **more)


def some(**amounts: int) -> list[ClaimAmount]:
    return [ClaimAmount(line=int(name[1:]), amount=amount) for name, amount in amounts.items()]


def said(*lines: tuple[int, int, int], group: Any = "CO") -> list[AnsweredLine]:
    """An answer of (line, approved, adjusted)."""
    return [AnsweredLine(line=no, approved=yes, adjustments=[Adjustment(group=group, code="45", amount=no_)] if no_ else []) for no, yes, no_ in lines]


def kinds(decision: list[Any]) -> list[str]:
    return [name for one in decision for name in ([f"{one.state.__name__}: {type(event).__name__}" for event in one.events] if isinstance(one, Elsewhere) else [type(one).__name__])]


# --- the rules


def test_a_claim_asks_for_all_that_no_other_asks_for_unless_lines_are_named() -> None:
    world = World()
    world(made())
    assert [(line.line, line.billed, line.claimed) for line in world[THIS].lines] == [(1, 80_000, 80_000), (2, 9_999, 9_999), (3, 1, 1)]
    world(SubmitInsuranceClaim())
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 0, 1))))
    world(made("secondary"), OTHER)
    assert [(line.line, line.claimed) for line in world[OTHER].lines] == [(1, 30_000), (3, 1)]
    for wrong in ([], some(L1=0), some(L4=1), [*some(L1=1), *some(L1=1)]):
        World().refuses(ClaimLinesUnclear, made(lines=wrong))
    assert World().refuses(ClaimedBeyondBill, made(lines=some(L2=10_000))).details == {"line": 2, "left": 9_999}


def test_a_claim_is_for_an_issued_invoice_by_a_cover_of_the_patients_on_that_day() -> None:
    world = World()
    world.states[PAYERS["primary"]] = world[PAYERS["primary"]].evolve(PayerArchived())
    world.refuses(PayerNotInUse, made())
    world = World()
    world.refuses(CoverNotValid, made(treated_on=noon.today - timedelta(1)))
    world.states[COVERS["primary"]] = replace(world[COVERS["primary"]], patient_id=OTHER)
    world.refuses(CoverNotValid, made())
    world = World()
    world(VoidInvoice(reason="Wrong patient"), INVOICE)
    world.refuses(InvoiceNotIssued, made())


def test_submitting_takes_a_number_once_and_withdrawing_keeps_it() -> None:
    world = World()
    world(made())
    assert kinds(world(SubmitInsuranceClaim())) == ["InsuranceClaimSubmitted", "InvoiceClaims: InvoiceClaimed", "Series: NumberAllotted"]
    assert (world[THIS].number, world.together.asked) == ("2026-000001", {THIS: TOTALS})
    assert kinds(world(WithdrawInsuranceClaim())) == ["InsuranceClaimWithdrawn", "InvoiceClaims: InvoiceClaimed"]
    assert world.together.asked == {}
    assert kinds(world(SubmitInsuranceClaim())) == ["InsuranceClaimSubmitted", "InvoiceClaims: InvoiceClaimed"]
    assert world[THIS].number == "2026-000001"
    world(WithdrawInsuranceClaim())
    assert kinds(world(DeleteInsuranceClaim())) == ["InsuranceClaimVoided"]  # its number was given out
    world(made(), OTHER)
    assert kinds(world(DeleteInsuranceClaim(), OTHER)) == ["InsuranceClaimDiscarded"]
    assert kinds(world(made(submit=True), UUID(int=44)))[0:2] == ["InsuranceClaimDrafted", "InsuranceClaimSubmitted"]


def test_an_answer_adds_up_line_by_line() -> None:
    world = World()
    world(made(submit=True))
    world.refuses(AnswerUnclear, AnswerInsuranceClaim(lines=said((1, 80_000, 0), (2, 9_999, 0))))
    world.refuses(AnswerUnclear, AnswerInsuranceClaim(lines=said((1, 80_001, 0), (2, 9_999, 0), (3, 1, 0))))
    assert world.refuses(AnswerUnbalanced, AnswerInsuranceClaim(lines=said((1, 50_000, 29_999), (2, 9_999, 0), (3, 1, 0)))).details == {"line": 1, "missing": 1}
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0))))
    assert world.together.asked == {THIS: {1: 50_000, 2: 9_999, 3: 1}}
    world.refuses(ClaimAnsweredAlready, WithdrawInsuranceClaim())
    world.refuses(ClaimNotDraft, SubmitInsuranceClaim())


def test_a_denial_touches_no_invoice() -> None:
    world = World()
    world(made(submit=True))
    before = world.invoice
    assert kinds(world(DenyInsuranceClaim(code="29"))) == ["InsuranceClaimAnswered", "InvoiceClaims: InvoiceClaimed"]
    assert world.invoice is before
    assert before.balance == sum(TOTALS.values())
    world.refuses(ClaimNotAnswered, PayInsuranceClaim())


def test_an_appeal_asks_again_and_can_be_taken_back() -> None:
    world = World()
    world(made(submit=True))
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0))))
    world(PayInsuranceClaim())
    world(AppealInsuranceClaim(reason="The X-ray shows it"))
    assert world.together.asked == {THIS: TOTALS}
    world.refuses(ApprovedBelowPaid, DenyInsuranceClaim(code="29"))
    world(WithdrawInsuranceClaim())
    assert (world[THIS].stage, world.together.asked) == ("answered", {THIS: {1: 50_000, 2: 9_999, 3: 1}})
    world(AppealInsuranceClaim(reason="Once more"))
    world(AcceptInsuranceClaim())
    world(PayInsuranceClaim())
    assert world.invoice.balance == 0


def test_a_payers_money_is_a_payment_on_the_invoice_and_goes_back_by_reversal() -> None:
    world = World()
    world(made(submit=True))
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 0, 9_999), (3, 0, 1))))
    world.refuses(ClaimPaymentTooLarge, PayInsuranceClaim(amount=50_001))
    first = world(PayInsuranceClaim(amount=20_000))
    assert kinds(first) == ["InsuranceClaimPaid", "Invoice: PaymentRecorded"]
    payment = first[1].events[0]
    assert (payment.method, payment.amount, payment.payment_id) == ("insurance", 20_000, first[0].payment_id)
    assert world.refuses(ClaimPaymentTooLarge, PayInsuranceClaim(amount=30_001)).details == {"left": 30_000}
    world.refuses(ClaimPartlyPaid, VoidInsuranceClaim(reason="No"))
    world.refuses(InvoicePartlyPaid, VoidInvoice(reason="No"), INVOICE)
    world(RefundPayment(payment_id=payment.payment_id, amount=5_000, reason="Part of it went back"), INVOICE)
    world.refuses(PaymentUsedAlready, ReverseInsurancePayment(payment_id=payment.payment_id, reason="A mistake"))
    back = world(ReverseInsurancePayment(payment_id=payment.payment_id, reason="Wrong patient", returned=True))
    assert kinds(back) == ["InsuranceClaimPaymentReversed", "Invoice: PaymentRefunded"]
    assert (back[0].amount, world.invoice.balance) == (15_000, sum(TOTALS.values()))
    world.refuses(ClaimPaymentReversedAlready, ReverseInsurancePayment(payment_id=payment.payment_id, reason="Again"))
    world.refuses(ClaimPaymentNotFound, ReverseInsurancePayment(payment_id=OTHER, reason="Again"))
    world(RecordPayment(amount=80_000, method="cash"), INVOICE)
    world.refuses(PaymentTooLarge, PayInsuranceClaim())  # the patient has paid it: their money goes back first
    world.at = replace(noon, grants=noon.grants - {"billing.payments.record"})
    world.refuses(Forbidden, PayInsuranceClaim(amount=1))


def test_one_replacement_takes_the_place_of_a_claim_and_gives_it_back_if_it_is_withdrawn() -> None:
    world, second = World(), UUID(int=44)
    world(made(submit=True))
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0))))
    world(ReplaceInsuranceClaim(replaces_id=THIS), OTHER)
    world(ReplaceInsuranceClaim(replaces_id=THIS, lines=some(L1=80_000)), second)
    assert world[THIS].stage == "answered"  # a draft replaces nothing
    assert kinds(world(SubmitInsuranceClaim(), OTHER)) == [
        "InsuranceClaimSubmitted", "InvoiceClaims: InvoiceClaimed", "InvoiceClaims: InvoiceClaimed", "InsuranceClaim: InsuranceClaimReplaced", "Series: NumberAllotted"]
    assert (world[OTHER].replaces_id, world[THIS].replaced_by, world.together.asked) == (THIS, OTHER, {OTHER: TOTALS})
    world.refuses(ClaimedBeyondBill, SubmitInsuranceClaim(), second)
    world.refuses(ClaimReplacedAlready, ReplaceInsuranceClaim(replaces_id=THIS), UUID(int=45))
    world.refuses(ClaimReplacedAlready, PayInsuranceClaim())
    world(WithdrawInsuranceClaim(), OTHER)
    assert (world[THIS].stage, world.together.asked) == ("answered", {THIS: {1: 50_000, 2: 9_999, 3: 1}})
    world(PayInsuranceClaim())
    world.refuses(ClaimNotReplaceable, SubmitInsuranceClaim(), OTHER)
    world(ReverseInsurancePayment(payment_id=world[THIS].payments[0], reason="Resubmitted"))
    world(SubmitInsuranceClaim(), OTHER)
    assert world[THIS].stage == "replaced"


def test_what_the_primary_payer_forwards_is_not_sent_again() -> None:
    world = World()
    world(made(submit=True))
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0)), forwarded=True))
    world(made("secondary"), OTHER)
    world.refuses(ClaimForwarded, SubmitInsuranceClaim(), OTHER)
    world(SubmitInsuranceClaim(via="primary-payer"), OTHER)
    assert world.together.asked == {THIS: {1: 50_000, 2: 9_999, 3: 1}, OTHER: {1: 30_000}}


def test_a_form_changes_a_draft_and_says_where_a_claim_stands() -> None:
    world = World()
    world(made())
    assert kinds(world(UpdateInsuranceClaim(lines=some(L1=1_000), notes="Part of it"))) == ["InsuranceClaimEdited"]
    assert kinds(world(UpdateInsuranceClaim(status="submitted")))[0] == "InsuranceClaimSubmitted"
    world.refuses(ClaimNotDraft, UpdateInsuranceClaim(notes="Late"))
    world(UpdateInsuranceClaim(status="draft"))
    world(UpdateInsuranceClaim(status="submitted"))
    world(UpdateInsuranceClaim(status="denied", code="29"))
    world(UpdateInsuranceClaim(status="appealed", reason="The X-ray shows it"))
    world(UpdateInsuranceClaim(status="accepted"))
    assert world[THIS].asked == {1: 1_000}
    world(UpdateInsuranceClaim(status="void", reason="Wrong payer"))
    world.refuses(ClaimNotSubmitted, UpdateInsuranceClaim(status="accepted"))
    assert world(UpdateInsuranceClaim()) == []


def test_what_is_beyond_the_payers_fees_is_written_off_by_whoever_says_how_much() -> None:
    world, payer = World(), PAYERS["primary"]
    schedule = fee_schedule_of(payer)
    world.states[payer] = Payer.replay([PayerAdded(name="primary", write_off="contractual")])
    world.states[schedule] = FeeSchedule.replay([FeesSet(payer_id=payer, fees=[
        Fee(procedure_code="D1", price=60_000, valid_from=noon.today), Fee(procedure_code="D2", price=1, valid_from=noon.today)])])
    world(made(submit=True))
    world.refuses(ClaimNotAnswered, WriteOffInsuranceClaim(amount=20_000))
    world(DenyInsuranceClaim(code="29"))
    world.refuses(ClaimNotAnswered, WriteOffInsuranceClaim(amount=20_000))  # denied is not written off
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 0, 9_999), (3, 1, 0))))
    told = world.refuses(WriteOffUnconfirmed, WriteOffInsuranceClaim()).details
    assert told == {"amount": 20_000, "lines": [{"line": 1, "billed": 80_000, "allowed": 60_000, "amount": 20_000}]}  # line 2 is denied, line 3 has no fee
    for wrong in (19_999, 20_001):
        world.refuses(WriteOffUnconfirmed, WriteOffInsuranceClaim(amount=wrong))
    world.at = replace(noon, grants=noon.grants - {"billing.invoices.write_off"})
    world.refuses(Forbidden, WriteOffInsuranceClaim(amount=20_000))
    world.at = noon
    decision = world(WriteOffInsuranceClaim(amount=20_000))
    assert kinds(decision) == ["InsuranceClaimWrittenOff", "Invoice: InvoiceCredited", "Series: NumberAllotted"]
    assert (decision[1].events[0].cause, decision[1].events[0].total, decision[0].credit_note_id) == ("write-off", 20_000, decision[1].events[0].credit_note_id)
    world.refuses(WrittenOffAlready, WriteOffInsuranceClaim(amount=20_000))
    world(PayInsuranceClaim())
    assert world.invoice.balance == 10_000 + 9_999  # the patient's share is due as before
    assert world(made("secondary"), OTHER)[0].billed == 60_000 + 9_999


def test_nothing_is_written_off_that_a_payer_is_to_pay_or_nobody_agreed_to() -> None:
    world, payer = World(), PAYERS["primary"]
    world(made(submit=True))
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0))))
    world.refuses(WriteOffNotAgreed, WriteOffInsuranceClaim(amount=1))
    world.states[payer] = Payer.replay([PayerAdded(name="primary", write_off="contractual")])
    world.refuses(NothingToWriteOff, WriteOffInsuranceClaim(amount=1))
    fee = Fee(procedure_code="D1", price=10_000, valid_from=noon.today)
    world.states[fee_schedule_of(payer)] = FeeSchedule.replay([FeesSet(payer_id=payer, fees=[fee])])
    world(RecordPayment(amount=15_000, method="cash"), INVOICE)
    assert world.refuses(WriteOffUnconfirmed, WriteOffInsuranceClaim()).details["amount"] == 15_000  # 80,000 less 50,000 for the payer, less 15,000 paid
    world(WriteOffInsuranceClaim(amount=15_000))
    world(PayInsuranceClaim())
    assert world.invoice.balance == 0


def test_a_credit_note_leaves_what_was_asked_and_lets_nobody_ask_for_more() -> None:
    world = World()
    world(made(submit=True))
    world(CreditInvoice(reason="Billed too much", lines=[LineAmount(line=1, amount=30_000)]), INVOICE)
    world.refuses(ClaimedBeyondBill, made("secondary"), OTHER)
    world(AnswerInsuranceClaim(lines=said((1, 60_000, 20_000), (2, 9_999, 0), (3, 1, 0))))  # it is what the payer says
    assert world.refuses(PaymentTooLarge, PayInsuranceClaim()).details == {"due": 60_000}  # and no more is paid than is due
    world.refuses(ClaimedBeyondBill, AppealInsuranceClaim(reason="Look again"))
    world(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0))))
    world(PayInsuranceClaim())
    assert world.invoice.balance == 0


def test_money_that_became_the_patients_credit_was_paid_by_the_payer_all_the_same() -> None:
    world = World()
    world(made(submit=True))
    world(AcceptInsuranceClaim())
    world(PayInsuranceClaim())
    world(CreditInvoice(reason="Billed too much", lines=[LineAmount(line=1, amount=30_000)]), INVOICE)
    assert world.invoice.payments[world[THIS].payments[0]].amount == 60_000
    assert world.refuses(ClaimPaymentTooLarge, PayInsuranceClaim()).details == {"left": 0}
    world.refuses(ApprovedBelowPaid, AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 1, 0))))
    world.refuses(ClaimPartlyPaid, VoidInsuranceClaim(reason="No"))


# --- whatever happens


class Oracle(Frozen):
    """A claim as somebody with a pencil would keep it."""

    rank: str
    claimed: dict[int, int]
    status: str = "draft"
    numbered: bool = False
    approved: dict[int, int] | None = None
    payments: dict[UUID, int] = {}  # noqa: RUF012 - msgspec copies it
    replaces: UUID | None = None
    before: str = ""  # it was replaced
    forwarded: bool = False
    written_off: bool = False

    @property
    def asks(self) -> dict[int, int]:
        if self.status in {"submitted", "appealed"}:
            return self.claimed
        return dict(self.approved or {}) if self.status == "answered" else {}

    @property
    def paid(self) -> int:
        return sum(self.payments.values())


@settings(max_examples=150, stateful_step_count=40, deadline=None)
class Lives(RuleBasedStateMachine):
    """Claims of two payers on one invoice, paid from several sides at once, beside an oracle."""

    @initialize()
    def begin(self) -> None:
        self.world = World(FEW)
        self.off = dict.fromkeys(FEW, 0)
        payer = PAYERS["primary"]
        self.world.states[payer] = Payer.replay([PayerAdded(name="primary", write_off="contractual")])
        fees = [Fee(procedure_code=f"D{line}", price=price, valid_from=noon.today) for line, price in ((1, FEE), (2, FEE))]
        self.world.states[fee_schedule_of(payer)] = FeeSchedule.replay([FeesSet(payer_id=payer, fees=fees)])
        self.books: dict[UUID, Oracle] = {}
        self.cash = 0
        self.received: dict[UUID, int] = {}
        self.numbers = 0
        self.given_out: list[int] = []

    def room(self, lines: dict[int, int], but: set[UUID | None]) -> bool:
        asked = [book.asks for id_, book in self.books.items() if id_ not in but]
        return all(amount + sum(one.get(line, 0) for one in asked) <= FEW[line] - self.off[line] for line, amount in lines.items())

    @property
    def due(self) -> int:
        return sum(FEW.values()) - sum(self.off.values()) - self.cash - sum(book.paid for book in self.books.values())

    def tell(self, allowed: bool, command: Command, id_: UUID) -> list[Any] | None:
        """Have a command decided, and see that it is refused exactly if the oracle says so."""
        before = dict(self.world.states)
        try:
            decision = self.world(command, id_)
        except Refused:
            assert not allowed, (command, self.books)
            assert self.world.states == before
            return None
        assert allowed, (command, self.books)
        self.given_out += [
            event.number for one in decision if isinstance(one, Elsewhere) for event in one.events if isinstance(event, NumberAllotted) and event.series == "insurance-claims"]
        return decision

    def pick(self, data: st.DataObject, *fitting: str) -> UUID:
        """Choose a claim: mostly one that stands so, for most of what is asked is not in vain."""
        those = sorted(id_ for id_, book in self.books.items() if book.status in fitting)
        return data.draw(st.sampled_from(those if those and data.draw(st.integers(0, 7)) else sorted(self.books)))

    def write(self, id_: UUID, **changes: Any) -> None:
        self.books[id_] = replace(self.books[id_], **changes)

    @precondition(lambda self: len(self.books) < MOST_CLAIMS)
    @rule(rank=st.sampled_from(["primary", "primary", "secondary"]), lines=st.dictionaries(st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 5, 20, 39, 40, 41, 45]), min_size=1), later=st.integers(0, 2), greedy=st.integers(0, 4))
    def draft(self, rank: str, lines: dict[int, int], later: int, greedy: int) -> None:
        self.ask(rank, lines, later, greedy)

    def ask(self, rank: str, lines: dict[int, int], later: int, greedy: int) -> None:
        """Draft a claim, mostly for what is left, for most claims are made by people who look."""
        id_, at_once = UUID(int=1000 + len(self.books)), bool(later)
        left = {line: FEW[line] - self.off[line] - sum(book.asks.get(line, 0) for book in self.books.values()) for line in lines}
        lines = {line: min(amount, left[line] if greedy and left[line] > 0 else FEW[line] + 1) for line, amount in lines.items()}
        wanted = [ClaimAmount(line=line, amount=amount) for line, amount in lines.items()]
        if self.tell(self.room(lines, set()), made(rank, lines=wanted, submit=at_once, via="primary-payer"), id_) is not None:
            self.numbers += at_once
            self.books[id_] = Oracle(rank=rank, claimed=lines, status="submitted" if at_once else "draft", numbered=at_once)

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def replacing(self, data: st.DataObject) -> None:
        of, id_ = self.pick(data, "submitted", "answered", "appealed"), UUID(int=1000 + len(self.books))
        book = self.books[of]
        wanted = [ClaimAmount(line=line, amount=amount) for line, amount in book.claimed.items()]
        allowed = book.status in {"submitted", "answered", "appealed"} and not book.paid and self.room(book.claimed, {of})
        if self.tell(allowed, ReplaceInsuranceClaim(replaces_id=of, lines=wanted), id_) is not None:
            self.books[id_] = Oracle(rank=book.rank, claimed=book.claimed, replaces=of)

    @precondition(lambda self: self.books)
    @rule(data=st.data(), via=st.sampled_from(["clinic", "primary-payer"]))
    def submit(self, data: st.DataObject, via: Any) -> None:
        id_ = self.pick(data, "draft")
        book = self.books[id_]
        original = self.books.get(book.replaces) if book.replaces else None
        allowed = book.status == "draft" and self.room(book.claimed, {id_, book.replaces})
        forwarded = any(one.forwarded and one.rank == "primary" and one.status == "answered" for one in self.books.values())
        allowed = allowed and not (book.rank == "secondary" and via == "clinic" and forwarded)
        if original is not None:
            allowed = allowed and original.status in {"submitted", "answered", "appealed"} and not original.paid
        if self.tell(allowed, SubmitInsuranceClaim(via=via), id_) is not None:
            self.numbers += not book.numbered
            self.write(id_, status="submitted", numbered=True)
            if book.replaces and original is not None:
                self.write(book.replaces, status="replaced", before=original.status)

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        id_ = self.pick(data, "submitted", "appealed")
        book = self.books[id_]
        allowed = book.status in {"submitted", "appealed"}
        original = self.books.get(book.replaces) if book.replaces else None
        comes_back = book.status == "submitted" and original is not None
        if comes_back and original is not None:
            back = replace(original, status=original.before).asks
            allowed = allowed and self.room(back, {id_, book.replaces})
        if self.tell(allowed, WithdrawInsuranceClaim(), id_) is not None:
            self.write(id_, status="draft" if book.status == "submitted" else "answered")
            if comes_back and original is not None and book.replaces:
                self.write(book.replaces, status=original.before, before="")

    @precondition(lambda self: self.books)
    @rule(data=st.data(), shares=st.lists(st.sampled_from([4, 4, 4, 3, 2, 1, 0]), min_size=3, max_size=3), forwarded=st.booleans(), crooked=st.integers(0, 9))
    def answer(self, data: st.DataObject, shares: list[int], forwarded: bool, crooked: int) -> None:
        self.say(self.pick(data, "submitted", "answered", "appealed"), shares, forwarded, crooked)

    def say(self, id_: UUID, shares: list[int], forwarded: bool, crooked: int) -> None:
        book = self.books[id_]
        approved = {line: amount * share // 4 for (line, amount), share in zip(book.claimed.items(), shares, strict=False)}
        lines = said(*((line, yes, book.claimed[line] - yes + (not crooked and n == 0)) for n, (line, yes) in enumerate(approved.items())))
        allowed = book.status in {"submitted", "answered", "appealed"} and bool(crooked) and sum(approved.values()) >= book.paid and self.room(approved, {id_})
        if self.tell(allowed, AnswerInsuranceClaim(lines=lines, forwarded=forwarded), id_) is not None:
            self.write(id_, status="answered", approved={line: yes for line, yes in approved.items() if yes}, forwarded=forwarded)

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def appeal(self, data: st.DataObject) -> None:
        id_ = self.pick(data, "answered")
        book = self.books[id_]
        allowed = book.status == "answered" and (book.approved or {}) != book.claimed and self.room(book.claimed, {id_})
        if self.tell(allowed, AppealInsuranceClaim(reason="Look again"), id_) is not None:
            self.write(id_, status="appealed")

    @precondition(lambda self: self.books)
    @rule(data=st.data(), amount=st.none() | st.integers(1, 20))
    def pay(self, data: st.DataObject, amount: int | None) -> None:
        self.receive(self.pick(data, "answered"), amount)

    def receive(self, id_: UUID, amount: int | None) -> None:
        book = self.books[id_]
        open_ = book.status in {"submitted", "answered", "appealed"} and book.approved
        left = sum((book.approved or {}).values()) - book.paid
        paying = left if amount is None else amount
        if (decision := self.tell(bool(open_ and 0 < paying <= left and paying <= self.due), PayInsuranceClaim(amount=amount), id_)) is not None:
            (recorded, *_) = decision[1].events
            assert isinstance(recorded, PaymentRecorded)
            assert (recorded.amount, recorded.method) == (paying, "insurance")
            self.received[recorded.payment_id] = paying
            self.write(id_, payments={**book.payments, recorded.payment_id: paying})

    @precondition(lambda self: any(book.payments for book in self.books.values()))
    @rule(data=st.data(), returned=st.booleans())
    def reverse(self, data: st.DataObject, returned: bool) -> None:
        id_, payment = data.draw(st.sampled_from([(id_, payment) for id_, book in sorted(self.books.items()) for payment in book.payments]))
        book = self.books[id_]
        allowed = book.payments[payment] > 0 and (returned or book.payments[payment] == self.received[payment])
        if self.tell(allowed, ReverseInsurancePayment(payment_id=payment, reason="Wrong", returned=returned), id_) is not None:
            self.write(id_, payments={**book.payments, payment: 0})

    @precondition(lambda self: any(book.payments for book in self.books.values()))
    @rule(data=st.data(), amount=st.integers(1, 9))
    def refund(self, data: st.DataObject, amount: int) -> None:
        """The desk gives back of it on the invoice, and says nothing to the claim."""
        id_, payment = data.draw(st.sampled_from([(id_, payment) for id_, book in sorted(self.books.items()) for payment in book.payments]))
        book = self.books[id_]
        if self.tell(amount <= book.payments[payment], RefundPayment(payment_id=payment, amount=amount, reason="Back"), INVOICE) is not None:
            self.write(id_, payments={**book.payments, payment: book.payments[payment] - amount})

    @precondition(lambda self: len(self.books) < MOST_CLAIMS)
    @rule(lines=st.sets(st.sampled_from([1, 2, 3]), min_size=1), shares=st.lists(st.sampled_from([4, 4, 3, 2]), min_size=3, max_size=3), amount=st.none() | st.integers(1, 20))
    def smoothly(self, lines: set[int], shares: list[int], amount: int | None) -> None:
        """A claim as most are: sent, answered and paid."""
        before = len(self.books)
        self.ask("primary", dict.fromkeys(lines, 45), 1, 1)
        if len(self.books) > before:
            id_ = UUID(int=1000 + before)
            self.say(id_, shares, False, 1)
            self.receive(id_, amount)

    @precondition(lambda self: self.books)
    @rule(data=st.data(), slip=st.integers(0, 3))
    def write_off(self, data: st.DataObject, slip: int) -> None:
        """What is beyond the fees: a part of line 1 at most, once a claim, of what nobody is to pay; and nothing at all without the amount."""
        id_ = self.pick(data, "answered")
        book = self.books[id_]
        assert self.tell(False, WriteOffInsuranceClaim(), id_) is None
        may = book.rank == "primary" and book.status == "answered" and (book.approved or {}).get(1) and not book.written_off
        lying = sum(one.left.get(1, 0) for one in self.world.invoice.payments.values() if one.method == "insurance")
        amount = min(FEW[1] - FEE, self.world.invoice.dues[0] - max(0, sum(one.asks.get(1, 0) for one in self.books.values()) - lying)) if may else 0
        wrong = amount + (slip == 0)
        if self.tell(bool(may) and amount > 0 and slip > 0, WriteOffInsuranceClaim(amount=max(wrong, 1)), id_) is not None:
            self.off[1] += amount
            self.write(id_, written_off=True)

    @precondition(lambda self: self.books and self.cash < sum(FEW.values()) // 2)
    @rule(amount=st.sampled_from([1, 5, 15, 71]))
    def in_cash(self, amount: int) -> None:
        if self.tell(amount <= self.due, RecordPayment(amount=amount, method="cash"), INVOICE) is not None:
            self.cash += amount

    @precondition(lambda self: len(self.books) > MOST_CLAIMS // 2)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        id_ = self.pick(data, "submitted", "answered", "appealed")
        book = self.books[id_]
        allowed = book.status == "draft" or (book.status in {"submitted", "answered", "appealed"} and not book.paid)
        if book.status == "draft" and book.paid:
            allowed = False
        if self.tell(allowed, DeleteInsuranceClaim(), id_) is not None:
            self.write(id_, status="void" if book.numbered else "discarded")

    @invariant()
    def holds(self) -> None:
        world = self.world
        assert world.together.asked == {id_: asks for id_, book in self.books.items() if (asks := {line: one for line, one in book.asks.items() if one})}
        for line, total in FEW.items():
            assert world.together.on(line) <= total - self.off[line]
        assert world.invoice.balance == self.due >= 0
        assert self.given_out == list(range(1, self.numbers + 1))
        for id_, book in self.books.items():
            assert world[id_].stage == book.status
            assert world[id_].approved == sum((book.approved or {}).values())
            standing = [other for other, one in self.books.items() if one.replaces == id_ and one.status in {"submitted", "answered", "appealed"}]
            assert len(standing) <= 1
            assert not standing or book.status == "replaced"


TestLives = Lives.TestCase


def test_a_row_says_what_its_events_come_to() -> None:
    world = World()
    history: list[Event] = []

    def and_then(command: Command) -> InsuranceClaimRow:
        history.extend(one for one in world(command) if not isinstance(one, Elsewhere))
        row: InsuranceClaimRow | None = None
        for fact in facts(*history, kind="insurance_claims"):
            row = insurance_claims(row, fact)
        assert row is not None
        assert row.version == len(history)
        return row

    assert and_then(made(notes="For the crown")).status == "draft"
    assert (row := and_then(SubmitInsuranceClaim())).status == "submitted"
    assert (row.number, row.claimed, row.patient_share) == ("2026-000001", 90_000, None)
    row = and_then(AnswerInsuranceClaim(lines=said((1, 50_000, 30_000), (2, 9_999, 0), (3, 0, 1))))
    assert (row.status, row.approved, row.denied, row.patient_share) == ("partly-approved", 59_999, 30_001, 30_001)
    row = and_then(PayInsuranceClaim(amount=50_001))
    assert (row.status, row.paid, [line.paid for line in row.lines]) == ("partly-approved", 50_001, [50_000, 1, 0])
    row = and_then(PayInsuranceClaim())
    assert (row.status, row.paid, [one.amount for one in row.payments]) == ("paid", 59_999, [50_001, 9_998])
    row = and_then(ReverseInsurancePayment(payment_id=row.payments[0].id, reason="Wrong"))
    assert (row.status, row.paid, [one.reversed for one in row.payments]) == ("partly-approved", 9_998, [50_001, 0])
    assert and_then(AppealInsuranceClaim(reason="Look again")).status == "appealed"
    row = and_then(AcceptInsuranceClaim())
    assert (row.status, row.patient_share, [line.adjustments for line in row.lines]) == ("accepted", 0, [[], [], []])


# --- many at once


@asynccontextmanager
async def claimed(database: Any, total: int = 10_000) -> AsyncIterator[tuple[Town, list[Any], UUID, UUID]]:
    """A claim that is accepted, in a clinic that two processes serve."""
    async with handling(database) as one, handling(database) as two:
        town = await Town.open(one)
        payer = (await town(AddPayer(name="Zilveren Kruis"))).id
        cover = (await town(AddCover(patient_id=town.patient, payer_id=payer, member_number="W123", valid_from=town.now.date()))).id
        invoice = await town.invoice(total)
        claim = (await town(CreateInsuranceClaim(invoice_id=invoice, cover_id=cover, submit=True))).id
        yield town, [one, two], invoice, claim


async def race(town: Town, processes: list[Any], wishes: list[tuple[Command, UUID | None]]) -> list[Any]:
    asked = [processes[n % 2].handle(command, town.admin, id=id_, now=town.now) for n, (command, id_) in enumerate(wishes)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [one for one in outcomes if not isinstance(one, Receipt | Refused)] == []
    return outcomes


async def test_of_twenty_payments_of_one_claim_as_many_count_as_are_approved(module_database: Any) -> None:
    async with claimed(module_database) as (town, processes, invoice, claim):
        await town(AcceptInsuranceClaim(), claim)
        outcomes = await race(town, processes, [(PayInsuranceClaim(amount=3_000), claim)] * 20)
        won = [one for one in outcomes if isinstance(one, Receipt)]
        assert len(won) == 3
        assert {type(one) for one in outcomes if not isinstance(one, Receipt)} == {ClaimPaymentTooLarge}
        received = [decode(one.body) for one in stored(module_database) if one.topic == "PaymentRecorded" and one.stream == invoice]
        assert [(one["amount"], one["method"]) for one in received] == [(3_000, "insurance")] * 3


async def test_a_payer_and_the_patient_who_pay_the_same_balance_at_once_do_not_both(module_database: Any) -> None:
    for _ in range(5):
        async with claimed(module_database) as (town, processes, invoice, claim):
            await town(AcceptInsuranceClaim(), claim)
            wishes: list[tuple[Command, UUID | None]] = [(PayInsuranceClaim(), claim), (RecordPayment(amount=10_000, method="cash"), invoice)]
            outcomes = await race(town, processes, wishes)
            (lost,) = [one for one in outcomes if not isinstance(one, Receipt)]
            assert isinstance(lost, PaymentTooLarge)


async def test_two_claims_for_the_same_lines_are_not_both_submitted_and_numbers_have_no_gap(module_database: Any) -> None:
    async with claimed(module_database) as (town, processes, invoice, claim):
        payer = (await town(AddPayer(name="Achmea"))).id
        cover = (await town(AddCover(patient_id=town.patient, payer_id=payer, member_number="A1", rank="secondary", valid_from=town.now.date()))).id
        await town(DenyInsuranceClaim(code="29"), claim)
        drafts = [(await town(CreateInsuranceClaim(invoice_id=invoice, cover_id=cover, lines=some(L1=4_000)))).id for _ in range(6)]
        outcomes = await race(town, processes, [(SubmitInsuranceClaim(), one) for one in drafts])
        won = [one for one in outcomes if isinstance(one, Receipt)]
        assert (len(won), {type(one) for one in outcomes if not isinstance(one, Receipt)}) == (2, {ClaimedBeyondBill})
        numbers = sorted(one.row.number for one in won)
        assert numbers == ["2026-000002", "2026-000003"]


async def test_of_two_replacements_one_takes_the_place(module_database: Any) -> None:
    async with claimed(module_database) as (town, processes, _, claim):
        drafts = [(await town(ReplaceInsuranceClaim(replaces_id=claim))).id for _ in range(4)]
        outcomes = await race(town, processes, [(SubmitInsuranceClaim(), one) for one in drafts])
        won = [one for one in outcomes if isinstance(one, Receipt)]
        assert len(won) == 1
        assert {type(one) for one in outcomes if not isinstance(one, Receipt)} <= {ClaimedBeyondBill, ClaimReplacedAlready}


# --- over HTTP


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(module_database: Any, make_nats: Any) -> AsyncIterator[Any]:
    nats = make_nats()
    async with served(module_database, nats) as web, working(module_database, nats):
        clinic = await web.clinic()
        admin = await web.person(clinic, "admin")
        patient = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker"})).json()["id"]
        payer = (await admin("POST", "/insurance-payers", {"name": "Zilveren Kruis", "payerNumber": "3311"})).json()["id"]
        cover = (await admin("POST", "/insurance-covers", {
            "patientId": patient, "payerId": payer, "memberNumber": "W987", "validFrom": "2020-01-01"})).json()["id"]
        yield SimpleNamespace(web=web, database=module_database, clinic=clinic, admin=admin, patient=patient, payer=payer, cover=cover)


async def asked(desk: Any, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
    answer = await desk.admin(method, path, body, **options)
    assert answer.status_code == status, answer.text
    return answer


async def invoiced(desk: Any, total: int = 10_000) -> str:
    lines = [{"description": "Crown", "unitPrice": total, "procedureCode": "D2740"}]
    return str((await asked(desk, "POST", "/invoices", {"patientId": desk.patient, "lines": lines, "issue": True}, 201)).json()["id"])


async def claiming(desk: Any, invoice: str, **more: Any) -> str:
    return str((await asked(desk, "POST", "/insurance-claims", {"invoiceId": invoice, "coverId": desk.cover, "submit": True, **more}, 201)).json()["id"])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_claim_lives_over_http_and_its_invoice_with_it(desk: Any) -> None:
    invoice = await invoiced(desk)
    claim = await claiming(desk, invoice, notes="For the crown")
    answer = {"lines": [{"line": 1, "approved": 6_000, "adjustments": [{"group": "CO", "code": "45", "amount": 3_000}, {"group": "PR", "code": "1", "amount": 1_000}]}]}
    row = (await asked(desk, "POST", f"/insurance-claims/{claim}/answer", answer)).json()
    assert (row["status"], row["approved"], row["denied"], row["patientShare"]) == ("partly-approved", 6_000, 4_000, 4_000)
    paid = await asked(desk, "POST", f"/insurance-claims/{claim}/payments", {"payerReference": "ERA-1"})
    seen = await desk.admin.seen(paid)
    entry = (await asked(desk, "GET", f"/insurance-claims/{claim}", headers=seen)).json()
    assert (entry["status"], entry["paid"], entry["payerName"], entry["memberNumber"], entry["notes"]) == ("paid", 6_000, "Zilveren Kruis", "W987", "For the crown")
    bill = (await asked(desk, "GET", f"/invoices/{invoice}", headers=seen)).json()
    assert (bill["status"], bill["due"]) == ("partly-paid", 4_000)
    (payment,) = (await asked(desk, "GET", f"/invoices/{invoice}/payments", headers=seen)).json()["items"]
    assert (payment["method"], payment["id"]) == ("insurance", entry["payments"][0]["id"])
    borne = (await asked(desk, "GET", f"/insurance-claims/invoice/{invoice}", headers=seen)).json()
    assert {name: borne[name] for name in ("total", "asked", "approved", "paidByPayers", "due", "patientShare")} == {
        "total": 10_000, "asked": 0, "approved": 6_000, "paidByPayers": 6_000, "due": 4_000, "patientShare": 4_000}
    back = await asked(desk, "POST", f"/invoices/{invoice}/refunds", {"paymentId": payment["id"], "amount": 500, "reason": "The payer asked"})
    seen = await desk.admin.seen(back)  # the desk gave it back at the invoice, and the claim says so
    entry = (await asked(desk, "GET", f"/insurance-claims/{claim}", headers=seen)).json()
    assert (entry["status"], entry["paid"]) == ("partly-approved", 5_500)
    for query in ("status=partly-approved", f"patientId={desk.patient}", f"invoiceId={invoice}", f"payerId={desk.payer}", "rank=primary"):
        assert claim in [one["id"] for one in (await asked(desk, "GET", f"/insurance-claims?limit=200&{query}")).json()["items"]], query
    assert claim in [one["id"] for one in (await asked(desk, "GET", f"/insurance-claims/patient/{desk.patient}")).json()["items"]]
    assert (await asked(desk, "GET", "/insurance-claims?format=csv")).text.startswith("id,number,status")


@pytest.mark.asyncio(loop_scope="module")
async def test_figures_tell_what_is_outstanding_with_each_payer(desk: Any) -> None:
    payer = (await asked(desk, "POST", "/insurance-payers", {"name": "VGZ"}, 201)).json()["id"]
    patient = (await asked(desk, "POST", "/patients", {"givenName": "Ada", "familyName": "Kok"}, 201)).json()["id"]
    cover = (await asked(desk, "POST", "/insurance-covers", {"patientId": patient, "payerId": payer, "memberNumber": "V1", "validFrom": "2020-01-01"}, 201)).json()["id"]
    theirs = SimpleNamespace(admin=desk.admin, patient=patient, cover=cover)
    one, two = await claiming(theirs, await invoiced(theirs, 700)), await claiming(theirs, await invoiced(theirs, 900))
    await asked(desk, "POST", f"/insurance-claims/{one}/accept", {})
    await asked(desk, "POST", f"/insurance-claims/{one}/payments", {"amount": 200})
    last = await asked(desk, "POST", f"/insurance-claims/{two}/void", {"reason": "Wrong payer"})
    three = await claiming(theirs, await invoiced(theirs, 1_100))
    seen = await desk.admin.seen(await asked(desk, "PUT", f"/insurance-claims/{three}", {"status": "denied", "code": "29"}))
    assert int(seen["x-position"]) > int(last.headers["x-position"])
    four = await claiming(theirs, await invoiced(theirs, 50), submittedOn=str(today_there()))
    seen = await desk.admin.seen(await asked(desk, "POST", f"/insurance-claims/{four}/withdraw", {}))
    seen = await desk.admin.seen(await asked(desk, "POST", f"/insurance-claims/{four}/submit", {}))
    told = (await asked(desk, "GET", "/insurance-claims/figures", headers=seen)).json()
    (figure,) = [line for line in told["payers"] if line["payerId"] == payer]
    assert figure == {
        "payerId": payer, "payerName": "VGZ", "unanswered": 1, "unansweredAmount": 50, "unpaid": 1, "unpaidAmount": 500, "oldestOn": str(today_there())}
    assert {"void", "denied", "submitted", "accepted"} <= {line["status"] for line in told["ages"]}
    assert {line["age"] for line in told["ages"]} == {"0-30"}
    assert "denied,0-30,1,1100,1100,0,0" in (await asked(desk, "GET", "/insurance-claims/figures?format=csv&sheet=ages")).text
    assert "VGZ,1,50,1,500" in (await asked(desk, "GET", "/insurance-claims/figures?format=csv")).text


PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10" + b"\0" * (600 << 10)


async def attaching(desk: Any, claim: str, body: bytes, name: str = "x-ray.pdf", **headers: str) -> Any:
    return await desk.admin("POST", f"/insurance-claims/{claim}/attachments", files={"file": ("whatever.exe", body)}, data={"name": name}, headers=headers)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_attached_is_known_by_its_bytes_and_kept_sealed(desk: Any) -> None:
    claim = await claiming(desk, await invoiced(desk))
    answer = await attaching(desk, claim, PDF, "Röntgen 36.pdf")
    assert answer.status_code == 201, answer.text
    (file,) = answer.json()["attachments"]
    assert (file["name"], file["media"], file["size"], file["digest"]) == ("Röntgen 36.pdf", "application/pdf", len(PDF), sha256(PDF).hexdigest())
    seen = await desk.admin.seen(answer)
    got = await asked(desk, "GET", f"/insurance-claims/{claim}/attachments/{file['id']}", headers=seen)
    assert got.content == PDF
    assert (got.headers["content-type"], got.headers["x-content-type-options"], got.headers["cache-control"]) == ("application/pdf", "nosniff", "private, no-store")
    assert got.headers["content-disposition"] == f"attachment; filename=\"{file['id']}\"; filename*=UTF-8''R%C3%B6ntgen%2036.pdf"
    place = f"clinics/{desk.clinic}/insurance-claims/{claim}/{file['id']}"
    sealed = await desk.web.services.objects.get(place)
    assert sealed is not None
    assert b"PDF" not in sealed
    assert (await attaching(desk, claim, PNG, "")).json()["attachments"][-1]["media"] == "image/png"
    once = {"idempotency-key": "once", "content-type": "application/pdf"}
    first, again = [await desk.admin("POST", f"/insurance-claims/{claim}/attachments", content=PDF, headers=once) for _ in range(2)]
    assert (again.headers["idempotency-replayed"], again.json()) == ("true", first.json())
    other = first.json()["attachments"][-1]["id"]
    failure(await desk.admin("POST", f"/insurance-claims/{claim}/attachments", content=PDF + PDF, headers=once), 422, "KEY_REUSED")
    seen = await desk.admin.seen(again)
    assert (await asked(desk, "GET", f"/insurance-claims/{claim}/attachments/{other}", headers=seen)).content == PDF
    for wrong in (b"", b"MZ\x90", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7 and no end", b"\0\0\1\0"):
        failure(await attaching(desk, claim, wrong), 400, "PAPER_UNREADABLE")
    failure(await attaching(desk, claim, PDF + b"\0" * (8 << 20)), 413, "PAPER_TOO_LARGE")
    failure(await attaching(desk, claim, PDF + b"\0" * (9 << 20)), 413, "BODY_TOO_LARGE")
    failure(await attaching(desk, str(uuid4()), PDF), 404, "NOT_FOUND")
    gone = await asked(desk, "DELETE", f"/insurance-claims/{claim}/attachments/{file['id']}", status=204)
    seen = await desk.admin.seen(gone) if "x-position" in gone.headers else {}

    async def left() -> list[str]:
        return [one["media"] for one in (await asked(desk, "GET", f"/insurance-claims/{claim}/attachments", headers=seen)).json()["items"]]

    await until(lambda: same(left, ["image/png", "application/pdf"]))
    assert await desk.web.services.objects.get(place) is None
    failure(await desk.admin("GET", f"/insurance-claims/{claim}/attachments/{file['id']}"), 404, "ATTACHMENT_NOT_FOUND")
    failure(await desk.admin("DELETE", f"/insurance-claims/{claim}/attachments/{file['id']}"), 404, "ATTACHMENT_NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_patients_with_the_key_see_their_own_and_nobody_sees_another_clinics(desk: Any) -> None:
    claim = await claiming(desk, await invoiced(desk))
    await attaching(desk, claim, PDF)
    elsewhere = await desk.web.person(await desk.web.clinic(), "admin")
    for path in ("", "/attachments", f"/attachments/{uuid4()}"):
        failure(await elsewhere("GET", f"/insurance-claims/{claim}{path}"), 404, "NOT_FOUND")
    failure(await elsewhere("GET", f"/insurance-claims/patient/{desk.patient}"), 404, "NOT_FOUND")
    failure(await elsewhere("GET", f"/insurance-covers/eligibility?patientId={desk.patient}"), 404, "NOT_FOUND")
    clerk = await desk.web.person(desk.clinic, "receptionist")
    failure(await clerk("GET", "/insurance-claims"), 403, "FORBIDDEN")


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_is_erased_takes_numbers_words_and_files_along(desk: Any) -> None:
    patient = (await asked(desk, "POST", "/patients", {"givenName": "Bo", "familyName": "Smit"}, 201)).json()["id"]
    cover = (await asked(desk, "POST", "/insurance-covers", {
        "patientId": patient, "payerId": desk.payer, "memberNumber": "SECRET-1", "validFrom": "2020-01-01"}, 201)).json()["id"]
    theirs = SimpleNamespace(admin=desk.admin, patient=patient, cover=cover)
    claim = await claiming(theirs, await invoiced(theirs), notes="SECRET-2")
    file = (await attaching(desk, claim, PDF, "SECRET-3")).json()["attachments"][0]["id"]
    with psycopg.connect(desk.database.superuser_url) as connection:
        (log,) = connection.execute("select string_agg(convert_from(state, 'UTF8'), '') from stored_events").fetchone() or ("",)
    assert "SECRET" not in log
    await asked(desk, "DELETE", f"/patients/{patient}")
    admin = who(desk.clinic)
    await desk.web.services.handler.handle(ErasePatient(patient_id=UUID(patient), reason="She asked", despite_retention=True), admin)

    async def told() -> str:
        return (await desk.admin("GET", f"/insurance-claims/{claim}")).text + (await desk.admin("GET", f"/insurance-covers/{cover}")).text

    await until(lambda: nothing(told))
    failure(await desk.admin("GET", f"/insurance-claims/{claim}/attachments/{file}"), 410, "ERASED")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_claim_follows_its_patient_through_a_merge_and_back_with_its_files(desk: Any) -> None:
    loser = (await asked(desk, "POST", "/patients", {"givenName": "Ida", "familyName": "Mulder"}, 201)).json()["id"]
    survivor = (await asked(desk, "POST", "/patients", {"givenName": "Ida", "familyName": "Mulder-Vos"}, 201)).json()["id"]
    cover = (await asked(desk, "POST", "/insurance-covers", {"patientId": loser, "payerId": desk.payer, "memberNumber": "I1", "validFrom": "2020-01-01"}, 201)).json()["id"]
    theirs = SimpleNamespace(admin=desk.admin, patient=loser, cover=cover)
    claim = await claiming(theirs, await invoiced(theirs), notes="For the crown")
    file = (await attaching(desk, claim, PDF, "X-ray")).json()["attachments"][0]["id"]

    async def told(whose: str, headers: Any) -> None:
        entry = (await asked(desk, "GET", f"/insurance-claims/{claim}", headers=headers)).json()
        assert [entry[name] for name in ("patientId", "notes", "memberNumber")] == [whose, "For the crown", "I1"]
        assert entry["attachments"][0]["name"] == "X-ray"
        assert (await asked(desk, "GET", f"/insurance-claims/{claim}/attachments/{file}", headers=headers)).content == PDF

    merged = await asked(desk, "POST", f"/patients/{survivor}/merge", {"loserId": loser})
    await told(survivor, await desk.admin.seen(merged))
    assert (await asked(desk, "GET", f"/insurance-covers/eligibility?patientId={survivor}")).json()["insured"]
    await asked(desk, "POST", f"/insurance-claims/{claim}/accept", {"note": "As agreed"})
    paid = await asked(desk, "POST", f"/insurance-claims/{claim}/payments", {})
    assert (paid.json()["status"], paid.json()["answerNote"]) == ("paid", "As agreed")
    parted = await asked(desk, "POST", f"/patients/{survivor}/unmerge", {"loserId": loser})
    await told(loser, await desk.admin.seen(parted))


async def nothing(told: Any) -> bool:
    return "SECRET" not in await told()


async def same(told: Any, expected: Any) -> bool:
    return bool(await told() == expected)
