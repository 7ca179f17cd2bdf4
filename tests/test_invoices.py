"""The story of an invoice, and what must hold of its money whatever happens."""

from collections import Counter
from datetime import date
from fractions import Fraction
from math import floor
from types import SimpleNamespace
from uuid import UUID

import msgspec
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from commands.invoices import (
    CreateInvoice,
    DeleteInvoice,
    EditInvoice,
    IssueInvoice,
    MarkInvoicePaid,
    RecordPayment,
    RefundPayment,
    VoidInvoice,
)
from domain.invoices import (
    Allocation,
    DoctorShare,
    DueBeforeIssue,
    Invoice,
    InvoiceAlreadyPaid,
    InvoiceDiscarded,
    InvoiceDrafted,
    InvoiceEdited,
    InvoiceIssued,
    InvoiceNotDraft,
    InvoiceNotIssued,
    InvoicePartlyPaid,
    InvoiceReopened,
    InvoiceSettled,
    InvoiceVoided,
    PaymentNotFound,
    PaymentRecorded,
    PaymentRefunded,
    PaymentTooLarge,
    RefundTooLarge,
    worked_out,
)
from domain.kit import Elsewhere, Event, NotFound, Refused
from domain.kit.bills import (
    AmountNotPositive,
    BilledLine,
    DateInFuture,
    DateTooEarly,
    Discount,
    DiscountTooLarge,
    DiscountUnclear,
    InvoiceEmpty,
    InvoiceTooLarge,
    Line,
    LineOutOfRange,
    NotADoctor,
)
from domain.patients import Patient, PatientNotActive
from domain.series import NumberAllotted, Series, printed, series_of
from domain.staff import Staff
from projections.invoices import invoices, next_number, of_payment, payments, payments_of
from projections.series import series as series_row
from schemas.invoices import InvoiceRow, Refund
from tests.kit import CLINIC, THIS, facts, given, noon
from tests.remembering import reading, remember

PATIENT, ANNE, BEN = UUID(int=1), UUID(int=11), UUID(int=12)
TODAY = noon.today
doctor, clerk = Staff(active=True, role="doctor"), Staff(active=True, role="receptionist")

filling = Line(description="Filling", procedure_code="D2391", doctor_id=ANNE, quantity=2, unit_price=45_00, tax_rate=9_00)
whitening = Line(description="Whitening", procedure_code="D9972", doctor_id=BEN, unit_price=100_00, discount=Discount(percent=10_00), tax_rate=21_00)
two = [
    BilledLine(**msgspec.structs.asdict(filling), no=1, reduction=0, net=90_00, tax=8_10, total=98_10),
    BilledLine(**msgspec.structs.asdict(whitening), no=2, reduction=10_00, net=90_00, tax=18_90, total=108_90),
]
drafted = InvoiceDrafted(patient_id=PATIENT, currency="EUR", lines=two, subtotal=180_00, tax=27_00, total=207_00)
of_both = [
    DoctorShare(doctor_id=ANNE, procedure_code="D2391", net=90_00, tax=8_10, total=98_10, units=2),
    DoctorShare(doctor_id=BEN, procedure_code="D9972", net=90_00, tax=18_90, total=108_90),
]
issued = InvoiceIssued(
    number="2026-000001", issued_on=TODAY, due_on=date(2026, 2, 4), patient_id=PATIENT, subtotal=180_00, tax=27_00, total=207_00, shares=of_both
)
first_number = Elsewhere(
    state=Series, id=series_of(CLINIC, "invoices", 2026), events=[NumberAllotted(series="invoices", year=2026, number=1)]
)
PAYMENT_1, PAYMENT_2, REFUND_1 = Invoice().next_payment(THIS), Invoice(payments={PATIENT: None}).next_payment(THIS), Invoice().next_refund(THIS)


def paid(amount, *parts, payment=PAYMENT_1, on=TODAY):
    return PaymentRecorded(payment_id=payment, patient_id=PATIENT, amount=amount, method="card", paid_on=on, allocations=list(parts))


def refunded(amount, *parts, refund=REFUND_1):
    return PaymentRefunded(
        payment_id=PAYMENT_1, refund_id=refund, patient_id=PATIENT, amount=amount, method="card", reason="Chipped.", refunded_on=TODAY,
        allocations=list(parts),
    )


def annes(amount, tax):
    return Allocation(line=1, doctor_id=ANNE, procedure_code="D2391", amount=amount, tax=tax)


def bens(amount, tax):
    return Allocation(line=2, doctor_id=BEN, procedure_code="D9972", amount=amount, tax=tax)


half = paid(100_00, annes(98_10, 8_10), bens(1_90, 33))
rest = paid(107_00, bens(107_00, 18_57), payment=PAYMENT_2)
pay_half = RecordPayment(amount=100_00, method="card")


def create(*lines, **more):
    return CreateInvoice(patient_id=PATIENT, lines=list(lines), **more)


def looking(*events, at=noon, **found):
    return given(*events, at=at).looking(**{"patient": Patient(registered=True), "doctors": [doctor, doctor], "series": Series()} | found)


def give_back(amount, **more):
    return RefundPayment(payment_id=PAYMENT_1, amount=amount, reason="Chipped.", **more)


# --- the story


def test_a_draft_is_worked_out_line_by_line():
    looking().when(create(filling, whitening)).then(drafted)


def test_a_draft_is_issued_under_the_next_number_of_its_year():
    given(drafted).looking(series=Series()).when(IssueInvoice()).then(issued, first_number)
    late = Series(last=122)
    events = given(drafted).looking(series=late).when(IssueInvoice()).decide()
    assert events[0].number == "2026-000123"
    assert events[1].events == [NumberAllotted(series="invoices", year=2026, number=123)]


def test_an_invoice_can_be_issued_at_once():
    looking().when(create(filling, whitening, issue=True)).then(drafted, issued, first_number)


def test_a_backdated_invoice_takes_the_number_of_its_own_year():
    events = given(drafted).looking(series=Series(last=7)).when(IssueInvoice(issued_on=date(2025, 12, 31))).decide()
    assert (events[0].number, events[0].issued_on, events[0].due_on) == ("2025-000008", date(2025, 12, 31), date(2026, 1, 30))
    assert events[1].id == series_of(CLINIC, "invoices", 2025)


def test_an_invoice_is_paid_in_parts_the_first_line_first():
    given(drafted, issued).when(pay_half).then(half)
    given(drafted, issued, half).when(RecordPayment(amount=107_00, method="card")).then(rest, InvoiceSettled())


def test_an_invoice_is_marked_as_paid():
    given(drafted, issued, half).when(MarkInvoicePaid(method="card")).then(rest, InvoiceSettled())
    given(drafted, issued, half, rest, InvoiceSettled()).when(MarkInvoicePaid()).refused(InvoiceAlreadyPaid)


def test_a_refund_takes_from_the_last_line_first_and_makes_the_invoice_due_again():
    history = drafted, issued, half, rest, InvoiceSettled()
    back = refunded(50_00, bens(1_90, 33), annes(48_10, 3_97))
    given(*history).when(give_back(50_00)).then(back, InvoiceReopened())
    given(*history, back, InvoiceReopened()).when(give_back(10_00)).then(
        refunded(10_00, annes(10_00, 83), refund=Invoice(refunds=1).next_refund(THIS))
    )


def test_what_was_refunded_is_due_again_to_the_cent():
    history = drafted, issued, half, refunded(50_00, bens(1_90, 33), annes(48_10, 3_97))
    again = paid(157_00, annes(48_10, 3_97), bens(108_90, 18_90), payment=PAYMENT_2)
    given(*history).when(RecordPayment(amount=157_00, method="card")).then(again, InvoiceSettled())


def test_an_unpaid_invoice_is_voided_and_keeps_its_number():
    given(drafted, issued).when(VoidInvoice(reason="Twice.")).then(InvoiceVoided(reason="Twice.", voided_on=TODAY, shares=of_both, patient_id=PATIENT))
    given(drafted, issued, half).when(VoidInvoice(reason="Twice.")).refused(InvoicePartlyPaid)
    returned = refunded(100_00, annes(98_10, 8_10), bens(1_90, 33))
    given(drafted, issued, half, returned).when(VoidInvoice(reason="Twice.")).then(InvoiceVoided(reason="Twice.", voided_on=TODAY, shares=of_both, patient_id=PATIENT))


def test_deleting_discards_a_draft_and_voids_what_was_issued():
    given(drafted).when(DeleteInvoice()).then(InvoiceDiscarded())
    given(drafted, issued).when(DeleteInvoice(reason="Twice.")).then(InvoiceVoided(reason="Twice.", voided_on=TODAY, shares=of_both, patient_id=PATIENT))
    given(drafted, issued, half).when(DeleteInvoice()).refused(InvoicePartlyPaid)


def test_only_a_draft_is_edited():
    edited = InvoiceEdited(patient_id=PATIENT, currency="EUR", lines=two[:1], subtotal=90_00, tax=8_10, total=98_10, notes="Corrected.")
    edit = EditInvoice(lines=[filling], notes="Corrected.")
    given(drafted).looking(doctors=[doctor]).when(edit).then(edited)
    given(drafted, issued).looking(doctors=[doctor]).when(edit).refused(InvoiceNotDraft)


def test_an_invoice_without_anything_to_pay_is_settled_when_it_is_issued():
    free = create(Line(description="Check-up", unit_price=30_00, discount=Discount(percent=100_00)), issue=True)
    events = looking(doctors=[]).when(free).decide()
    assert [type(e) for e in events] == [InvoiceDrafted, InvoiceIssued, InvoiceSettled, Elsewhere]
    assert events[1].total == 0


# --- what is refused


@pytest.mark.parametrize("command", [pay_half, MarkInvoicePaid(), give_back(1), VoidInvoice(reason="x")])
def test_only_an_issued_invoice_is_paid_refunded_or_voided(command):
    given(drafted).when(command).refused(InvoiceNotIssued)
    given(drafted, issued, InvoiceVoided(reason="x", voided_on=TODAY, shares=of_both)).when(command).refused(InvoiceNotIssued)


@pytest.mark.parametrize("command", [pay_half, MarkInvoicePaid(), give_back(1), VoidInvoice(reason="x"), DeleteInvoice(), IssueInvoice()])
def test_a_discarded_draft_is_no_more(command):
    found = {"series": Series()} if isinstance(command, IssueInvoice) else {}
    given(drafted, InvoiceDiscarded()).looking(**found).when(command).refused(NotFound)


def test_an_invoice_is_issued_once():
    given(drafted, issued).looking(series=Series(last=1)).when(IssueInvoice()).refused(InvoiceNotDraft)


def test_a_payment_never_passes_what_is_due():
    refusal = given(drafted, issued, half).when(RecordPayment(amount=107_01, method="cash")).refused(PaymentTooLarge)
    assert refusal.details == {"due": 107_00}
    given(drafted, issued, half).when(RecordPayment(amount=0, method="cash")).refused(AmountNotPositive)
    given(drafted, issued, half).when(RecordPayment(amount=-1, method="cash")).refused(AmountNotPositive)


def test_a_refund_never_passes_what_is_left_of_its_payment():
    history = drafted, issued, half, refunded(50_00, bens(1_90, 33), annes(48_10, 3_97))
    refusal = given(*history).when(give_back(50_01)).refused(RefundTooLarge)
    assert refusal.details == {"left": 50_00}
    given(*history).when(give_back(0)).refused(AmountNotPositive)
    given(*history).when(RefundPayment(payment_id=PAYMENT_2, amount=1, reason="x")).refused(PaymentNotFound)


def test_dates_lie_between_the_issue_and_today():
    tomorrow, yesterday = date(2026, 1, 6), date(2026, 1, 4)
    given(drafted).looking(series=Series()).when(IssueInvoice(issued_on=tomorrow)).refused(DateInFuture)
    given(drafted).looking(series=Series()).when(IssueInvoice(issued_on=date(26, 1, 5))).refused(DateTooEarly)
    given(drafted).looking(series=Series()).when(IssueInvoice(due_on=yesterday)).refused(DueBeforeIssue)
    given(drafted, issued).when(RecordPayment(amount=1, method="cash", paid_on=tomorrow)).refused(DateInFuture)
    given(drafted, issued).when(RecordPayment(amount=1, method="cash", paid_on=yesterday)).refused(DateTooEarly)
    given(drafted, issued, half).when(give_back(1, refunded_on=tomorrow)).refused(DateInFuture)
    given(drafted, issued, half).when(give_back(1, refunded_on=yesterday)).refused(DateTooEarly)


def test_an_archived_patient_is_not_billed_anew():
    looking(patient=Patient(registered=True, archived=True)).when(create(filling)).refused(PatientNotActive)


def test_only_who_treats_patients_stands_on_a_line():
    looking(doctors=[clerk]).when(create(filling)).refused(NotADoctor)
    given(drafted).looking(doctors=[doctor, clerk]).when(EditInvoice(lines=[filling, whitening])).refused(NotADoctor)


@pytest.mark.parametrize(("line", "why"), [
    ({"discount": Discount(amount=90_01)}, DiscountTooLarge),
    ({"discount": Discount(percent=100_01)}, DiscountTooLarge),
    ({"discount": Discount(percent=-1)}, DiscountTooLarge),
    ({"discount": Discount()}, DiscountUnclear),
    ({"discount": Discount(percent=1, amount=1)}, DiscountUnclear),
    ({"quantity": 0}, LineOutOfRange),
    ({"unit_price": -1}, LineOutOfRange),
    ({"tax_rate": 100_01}, LineOutOfRange),
    ({"quantity": 10_000, "unit_price": 10**12}, InvoiceTooLarge),
])
def test_a_line_that_makes_no_sense_is_refused(line, why):
    looking().when(create(msgspec.structs.replace(filling, **line))).refused(why)


def test_a_discount_on_the_whole_cannot_pass_the_whole():
    looking().when(create(filling, whitening, discount=Discount(amount=180_01))).refused(DiscountTooLarge)
    assert looking().when(create(filling, whitening, discount=Discount(amount=180_00))).decide()[0].total == 0
    looking().when(create()).refused(InvoiceEmpty)


# --- what must hold of the money


def rounded_half_away(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))  # amounts are never negative here


discounts = st.none() | st.integers(0, 100_00).map(lambda p: Discount(percent=p))
lines_ = st.lists(
    st.builds(
        Line, description=st.just("x"), doctor_id=st.sampled_from([None, ANNE, BEN]), procedure_code=st.sampled_from([None, "A", "B"]),
        quantity=st.integers(1, 7), unit_price=st.integers(0, 1_000_00), discount=discounts, tax_rate=st.sampled_from([0, 9_00, 21_00, 7_77]),
    ),
    min_size=1, max_size=6,
)


@forall(lines_, discounts | st.integers(0, 500_00).map(lambda a: Discount(amount=a)))
def test_sums_are_exact_and_rounding_happens_once(lines, discount):
    nets = []
    for line in lines:
        gross = Fraction(line.quantity * line.unit_price)
        nets.append(gross - (rounded_half_away(gross * line.discount.percent / 10_000) if line.discount else 0))
    whole = sum(nets)
    off = 0
    if discount:
        off = discount.amount if discount.amount is not None else rounded_half_away(whole * discount.percent / 10_000)
    if off > whole:
        with pytest.raises(DiscountTooLarge):
            worked_out(PATIENT, "EUR", lines, discount=discount, due_on=None, notes=None)
        return
    made = worked_out(PATIENT, "EUR", lines, discount=discount, due_on=None, notes=None)
    assert made.subtotal == whole - off
    for billed, before in zip(made.lines, nets, strict=True):
        share = Fraction(off) * before / whole if whole else Fraction(0)
        assert abs(before - billed.net - share) < 1  # largest remainder: nobody is a cent or more away from the fair share
        assert 0 <= billed.net <= before
        assert billed.tax == rounded_half_away(Fraction(billed.net) * billed.tax_rate / 10_000)
        assert billed.total == billed.net + billed.tax
        assert billed.reduction == billed.quantity * billed.unit_price - billed.net
    assert made.tax == sum(line.tax for line in made.lines)
    assert made.total == sum(line.total for line in made.lines) == made.subtotal + made.tax


moves = st.lists(
    st.tuples(st.just("pay"), st.integers(1, 3_000_00)) | st.tuples(st.just("refund"), st.integers(0, 5), st.integers(1, 3_000_00))
    | st.tuples(st.just("settle")) | st.tuples(st.just("void")),
    max_size=12,
)


def run(lines, steps) -> tuple[Invoice, list[Event]]:
    """Bill these lines and let all of that happen to the invoice, as far as it is not refused."""
    invoice, events = Invoice(), []

    def happen(*new):
        nonlocal invoice
        for event in new:
            events.append(event)
            invoice = invoice.evolve(event)

    happen(invoice.draft(worked_out(PATIENT, "EUR", lines, discount=None, due_on=None, notes=None)))
    happen(*invoice.issue("2026-000001", TODAY, None, TODAY))
    for step in steps:
        try:
            match step:
                case ("pay", amount):
                    happen(*RecordPayment(amount=amount, method="cash").decide(invoice, noon))
                case ("settle",):
                    happen(*MarkInvoicePaid().decide(invoice, noon))
                case ("refund", which, amount) if invoice.payments:
                    payment = list(invoice.payments)[which % len(invoice.payments)]
                    happen(*RefundPayment(payment_id=payment, amount=amount, reason="x").decide(invoice, noon))
                case ("void",):
                    happen(*VoidInvoice(reason="x").decide(invoice, noon))
        except Refused:
            pass
    return invoice, events


def ledger(events) -> SimpleNamespace:
    """Add up a history with nothing but sums."""
    total = next(e.total for e in events if isinstance(e, InvoiceIssued))
    by_line, by_payment, tax = Counter(), Counter(), 0
    for event in events:
        sign = {PaymentRecorded: 1, PaymentRefunded: -1}.get(type(event), 0)
        if sign:
            assert event.amount == sum(a.amount for a in event.allocations) > 0
            by_payment[event.payment_id] += sign * event.amount
            for part in event.allocations:
                assert part.amount > 0
                assert 0 <= part.tax <= part.amount
                by_line[part.line] += sign * part.amount
                tax += sign * part.tax
            assert min(by_payment.values()) >= 0
            assert 0 <= sum(by_payment.values()) <= total
    return SimpleNamespace(total=total, paid=sum(by_payment.values()), by_line=by_line, tax=tax)


@forall(lines_, moves)
def test_no_run_of_payments_and_refunds_ever_passes_what_is_due(lines, steps):
    invoice, events = run(lines, steps)
    sums = ledger(events)
    assert sums.total == invoice.total
    assert sums.paid == sum(invoice.paid) == sums.total - invoice.balance
    for line, on_it in zip(invoice.lines, invoice.paid, strict=True):
        assert 0 <= on_it <= line.total
        assert sums.by_line[line.no] == on_it
    if not invoice.balance:
        assert sums.tax == sum(line.tax for line in invoice.lines)
    if not sums.paid:
        assert sums.tax == 0


@forall(lines_, moves)
def test_a_settled_invoice_is_one_with_nothing_due(lines, steps):
    invoice, events = run(lines, steps)
    standing = [e for e in events if isinstance(e, InvoiceSettled | InvoiceReopened)]
    assert [type(e) for e in standing] == [(InvoiceSettled, InvoiceReopened)[n % 2] for n in range(len(standing))]
    assert bool(standing and isinstance(standing[-1], InvoiceSettled)) == (not invoice.balance)


@forall(lines_, moves)
def test_rows_say_what_the_state_says(lines, steps):
    invoice, events = run(lines, steps)
    row, kept = None, {}
    for fact in facts(*events, kind="invoices"):
        row = invoices(row, fact)
        if isinstance(fact.event, PaymentRecorded | PaymentRefunded):
            (key,) = of_payment(fact)
            kept[key] = payments(kept.get(key), fact, key)
    standing = sum(invoice.paid)
    assert (row.total, row.paid - row.refunded, row.version) == (invoice.total, standing, len(events))
    if invoice.stage == "void":
        assert (row.status, row.due) == ("void", 0)
    else:
        assert row.due == invoice.balance
        assert row.status == ("paid" if not invoice.balance else "partly-paid" if standing else "issued")
    assert {p.id: p.amount - p.refunded for p in kept.values()} == {key: p.amount for key, p in invoice.payments.items()}
    for payment in kept.values():
        assert payment.refunded == sum(r.amount for r in payment.refunds)


@forall(lines_, moves)
def test_a_snapshot_is_as_good_as_the_history(lines, steps):
    invoice, _ = run(lines, steps)
    assert msgspec.json.decode(msgspec.json.encode(invoice), type=Invoice) == invoice


# --- rows


def test_a_discarded_draft_leaves_no_row():
    row = None
    for fact in facts(drafted, InvoiceDiscarded(), kind="invoices"):
        row = invoices(row, fact)
    assert row is None


def test_an_edited_draft_shows_its_new_content():
    edited = InvoiceEdited(patient_id=PATIENT, currency="EUR", lines=two[:1], subtotal=90_00, tax=8_10, total=98_10, notes="Corrected.")
    row = None
    for fact in facts(drafted, edited, kind="invoices"):
        row = invoices(row, fact)
    assert (row.status, row.total, row.due, row.lines, row.notes, row.created_at) == ("draft", 98_10, 0, two[:1], "Corrected.", noon.now)


def test_a_payment_row_lists_its_refunds():
    row = None
    for fact in facts(half, refunded(50_00, bens(1_90, 33), annes(48_10, 3_97)), kind="invoices"):
        row = payments(row, fact, (PAYMENT_1,))
    assert row.refunds == [Refund(id=REFUND_1, amount=50_00, method="card", reason="Chipped.", refunded_on=TODAY)]
    assert (row.amount, row.refunded, row.invoice_id, row.patient_id) == (100_00, 50_00, THIS, PATIENT)


def test_a_series_shows_the_last_number_given_out():
    row = None
    for number in range(1, 4):
        (fact,) = facts(NumberAllotted(series="invoices", year=2026, number=number), kind="series")
        row = series_row(row, fact)
    assert (row.last, printed(row.year, row.last + 1)) == (3, "2026-000004")


def test_numbers_leave_no_gap():
    state, seen = Series(), []
    for _ in range(20):
        event = state.allot("invoices", 2026)
        seen.append(event.number)
        state = state.evolve(event)
    assert seen == list(range(1, 21))
    assert series_of(CLINIC, "invoices", 2026) != series_of(CLINIC, "invoices", 2027)


# --- on a real database


@pytest.fixture(scope="module")
def books(module_database):
    remember(
        module_database,
        *facts(drafted, issued, rest, half, id=THIS, kind="invoices"),
        *facts(NumberAllotted(series="invoices", year=2026, number=41), id=series_of(CLINIC, "invoices", 2026), kind="series", first=11),
    )
    return module_database


async def test_rows_read_back_as_they_were_written(books):
    row = None
    for fact in facts(drafted, issued, rest, half, kind="invoices"):
        row = invoices(row, fact)
    async with reading(books, CLINIC) as reader:
        assert await reader.one(InvoiceRow, THIS) == row


async def test_the_payments_of_an_invoice_are_the_clinics_and_the_patients_own(books):
    async with reading(books, CLINIC) as reader:
        assert {p.id for p in await payments_of(reader, THIS)} == {PAYMENT_1, PAYMENT_2}
        assert len(await payments_of(reader, THIS, PATIENT)) == 2
        for foreign in (payments_of(reader, THIS, ANNE), payments_of(reader, UUID(int=999))):
            with pytest.raises(NotFound):
                await foreign
    async with reading(books, UUID(int=8)) as reader:
        with pytest.raises(NotFound):
            await payments_of(reader, THIS)


async def test_the_next_number_is_that_of_the_clinic_and_the_year(books):
    async with reading(books, CLINIC) as reader:
        assert (await next_number(reader, TODAY)).number == "2026-000042"
        assert (await next_number(reader, date(2027, 1, 1))).number == "2027-000001"
    async with reading(books, UUID(int=8)) as reader:
        assert (await next_number(reader, TODAY)).number == "2026-000001"
