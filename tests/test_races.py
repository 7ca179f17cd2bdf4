"""Many want one thing at the same moment: exactly the right ones get it, the rest are told why, and no number is lost.

Every race is run in one process, split over two whose caches know nothing of each other, and over HTTP.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import psycopg
import pytest
from msgspec import json, to_builtins
from msgspec.structs import replace

from commands.appointments import BookAppointment, ChangeAppointmentStatus
from commands.credits import ReceiveDeposit, ReturnCredit, SettleInvoices
from commands.invoices import (
    ApplyCredit,
    CreditInvoice,
    IssueInvoice,
    MarkInvoicePaid,
    ReallocatePayment,
    RecordPayment,
    RefundPayment,
    ReversePayment,
    WriteOffInvoice,
)
from commands.kit import Command, NameTaken, TimeTaken
from commands.kit.handling import Handler, Receipt
from commands.patients import MOVES, MergePatients
from commands.rooms import AddRoom
from domain.credits import CreditTooSmall
from domain.invoices import CreditTooLarge, InvoiceAlreadyPaid, InvoiceNotDraft, PaymentTooLarge, RefundTooLarge
from domain.kit import Refused
from domain.patients import PatientMerged
from gateway.kit.errors import code
from tests.client import client
from tests.clinic import NOW, Town, handling, stored
from tests.laws.project import REFUSALS
from tests.walk import OPERATIONS, Api, Person, Request

CODES = {code(refusal): refusal for refusal in REFUSALS}

Wish = tuple[Command, UUID | None]


class Arena:
    """A clinic, and one or two processes that serve it in turn."""

    def __init__(self, database: Any, town: Town, processes: Sequence[Handler]) -> None:
        self.database = database
        self.town = town
        self.processes = processes

    async def race(self, wishes: Sequence[Wish], **options: Any) -> list[Receipt | Refused]:
        """Have all of these decided at once, dealt out over the processes; anything but a receipt or a refusal fails here."""
        asked = [self.processes[n % len(self.processes)].handle(c, self.town.admin, id=id_, now=NOW, **options) for n, (c, id_) in enumerate(wishes)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [o for o in outcomes if not isinstance(o, Receipt | Refused)] == []
        return outcomes  # type: ignore[return-value]

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [json.decode(event.body) for event in stored(self.database) if event.topic == topic and event.clinic == self.town.id]


class Served(Arena):
    """The same over HTTP, on real gateways with everything behind them."""

    def __init__(self, database: Any, town: Town, client: httpx.AsyncClient, admin: Person) -> None:
        super().__init__(database, town, [])
        self.client = client
        self.admin = admin

    async def race(self, wishes: Sequence[Wish], **options: Any) -> list[Receipt | Refused]:
        """Send all of these at once; any answer but a success or a refusal of ours that can be read fails here."""
        headers = {"idempotency-key": options["key"]} if "key" in options else {}
        requests = [Request(o := OPERATIONS[type(c).__name__], o.path.format(**{"id": id_, **to_builtins(c)}), {}, to_builtins(c)) for c, id_ in wishes]
        return [self.read(answer) for answer in await asyncio.gather(*(self.admin.send(request, headers) for request in requests))]

    def read(self, answer: httpx.Response) -> Receipt | Refused:
        assert answer.is_success or answer.status_code == 409, answer.text
        if not answer.is_success:
            return CODES[answer.json()["code"]]()
        told = answer.headers
        return Receipt(
            id=UUID(answer.json()["id"]), version=int(told["etag"].strip('"')), position=int(told["x-position"]), replayed="idempotency-replayed" in told)


class Installation(NamedTuple):
    """The database of a whole stack, as `database` is one of a test."""

    stack: Any

    def url(self, role: str) -> str:
        return str(self.stack.database_url(role))

    def settings(self, kind: Any) -> Any:
        return self.stack.settings(kind)


@pytest.fixture(params=["one process", "two processes", "over HTTP"])
async def arena(request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    async with served(request) if request.param == "over HTTP" else handled(request) as arena:
        yield arena
        events = stored(arena.database)
        assert [event.position for event in events] == list(range(1, len(events) + 1))  # whatever was fought over, nothing is missing
        assert max(Counter((event.stream, event.version) for event in events).values()) == 1


@asynccontextmanager
async def handled(request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    database = request.getfixturevalue("module_database")  # a clinic of its own is enough
    async with handling(database) as first, handling(database) as second:
        yield Arena(database, await Town.open(first), [first, second][: 1 if request.param == "one process" else 2])


@asynccontextmanager
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    stack = request.getfixturevalue("stack")
    database = Installation(stack)
    async with handling(database) as handler, client(stack.url) as wire:
        town = await Town.open(handler, datetime.now(UTC))
        yield Served(database, town, wire, await Api(wire, handler, stack.settings("gateway")).person(town.id, "admin"))


def won(outcomes: Sequence[Receipt | Refused]) -> list[Receipt]:
    return [o for o in outcomes if isinstance(o, Receipt)]


def lost(outcomes: Sequence[Receipt | Refused]) -> Counter[type]:
    """Return the refusals by their class; each is a conflict, nothing worse."""
    refusals = [o for o in outcomes if isinstance(o, Refused)]
    assert {refusal.status for refusal in refusals} <= {409}
    return Counter(map(type, refusals))


async def test_a_hundred_want_one_slot(arena: Arena) -> None:
    """Different starts, different lengths, one doctor and one room: whatever was accepted does not overlap, and whatever was refused would have."""
    town, dice = arena.town, random.Random(7)
    patients = [await town.register(f"Bakker {n}") for n in range(100)]
    spans = [(town.at(dice.randrange(0, 60, 5)), dice.choice([5, 15, 20, 30, 45, 60])) for _ in patients]
    outcomes = await arena.race([(town.visit(start, minutes, patient_id=p), None) for (start, minutes), p in zip(spans, patients, strict=True)])

    accepted = [span for span, outcome in zip(spans, outcomes, strict=True) if isinstance(outcome, Receipt)]
    refused = [span for span, outcome in zip(spans, outcomes, strict=True) if isinstance(outcome, Refused)]
    assert accepted
    assert not any(overlap(a, b) for n, a in enumerate(accepted) for b in accepted[:n])
    assert all(any(overlap(wish, held) for held in accepted) for wish in refused)
    assert lost(outcomes) == {TimeTaken: len(refused)}
    assert len(arena.bodies("AppointmentBooked")) == len(accepted)


async def test_one_patient_is_in_one_place(arena: Arena) -> None:
    """Twenty doctors want the same patient at once."""
    town = arena.town
    doctors = [await town.hire(f"Dr {n}") for n in range(20)]
    outcomes = await arena.race([(town.visit(doctor_id=doctor, room_id=None), None) for doctor in doctors])
    assert len(won(outcomes)) == 1
    assert lost(outcomes) == {TimeTaken: 19}


def overlap(a: tuple[datetime, int], b: tuple[datetime, int]) -> bool:
    return a[0] < b[0] + timedelta(minutes=b[1]) and b[0] < a[0] + timedelta(minutes=a[1])


async def test_nobody_books_past_a_merge(arena: Arena) -> None:
    """While a record is merged into another one it is booked and billed, and its visits and bills go on: whatever was accepted is the other one's afterwards."""
    town = arena.town
    doctors = [await town.hire(f"Dr {n}") for n in range(6)]
    for day in range(4):
        loser, survivor = await town.register(), await town.register()

        def visit(n: int, day: int = day, loser: UUID = loser) -> BookAppointment:
            return town.visit(town.at(1440 * day + 60 * n), doctor_id=doctors[n], room_id=None, patient_id=loser)

        booked, billed = (await town(visit(0))).id, (await town(replace(town.bill(100), patient_id=loser))).id
        before: list[Wish] = [(visit(1), None), (visit(2), None), (replace(town.bill(100), patient_id=loser), None)]
        after: list[Wish] = [(visit(3), None), (visit(4), None), (replace(town.bill(100), patient_id=loser), None), (visit(5), None)]
        outcomes = await arena.race([
            *before, (ChangeAppointmentStatus(status="confirmed"), booked), (MergePatients(loser_id=loser), survivor), (RecordPayment(amount=30, method="cash"), billed), *after])
        assert lost(outcomes).keys() <= {PatientMerged}
        assert isinstance(outcomes[4], Receipt)
        made = {outcome.id for outcome in (*outcomes[:3], *outcomes[6:]) if isinstance(outcome, Receipt)}
        assert whose(arena, loser) == set()
        assert whose(arena, survivor) == {booked, billed, *made}


def whose(arena: Arena, patient: UUID) -> set[UUID]:
    """Return the appointments and invoices that are a patient's, by what their events said last."""
    said = {event.stream: found for event in stored(arena.database) if event.kind in MOVES if (found := json.decode(event.body).get("patientId"))}
    return {stream for stream, owner in said.items() if owner == str(patient)}


async def test_twenty_payments_on_one_balance(arena: Arena) -> None:
    """A balance of 100 and payments of 30: three fit."""
    invoice = await arena.town.invoice(100)
    outcomes = await arena.race([(RecordPayment(amount=30, method="cash"), invoice)] * 20)
    assert len(won(outcomes)) == 3
    assert lost(outcomes) == {PaymentTooLarge: 17}
    assert sum(paid["amount"] for paid in arena.bodies("PaymentRecorded")) == 90


async def test_what_was_decided_on_a_save_that_came_to_nothing_comes_to_nothing(request: pytest.FixtureRequest) -> None:
    """One process takes the whole balance; another, which has not heard of it, takes it in parts, each decided on the part before, one of them at just the version
    that now exists. No part may pass."""
    database = request.getfixturevalue("module_database")
    async with handling(database) as first, handling(database) as second:
        arena = Arena(database, await Town.open(first), [second])
        invoice = await arena.town.invoice(100)
        await second.handle(RecordPayment(amount=10, method="cash"), arena.town.admin, id=invoice, now=NOW)
        await first.handle(RecordPayment(amount=90, method="cash"), arena.town.admin, id=invoice, now=NOW)
        outcomes = await arena.race([(RecordPayment(amount=amount, method="cash"), invoice) for amount in (40, 30, 20)])
        assert won(outcomes) == []
        assert sum(paid["amount"] for paid in arena.bodies("PaymentRecorded")) == 100


async def test_twenty_settle_one_invoice(arena: Arena) -> None:
    invoice = await arena.town.invoice(100)
    outcomes = await arena.race([(MarkInvoicePaid(), invoice)] * 20)
    assert len(won(outcomes)) == 1
    assert lost(outcomes) == {InvoiceAlreadyPaid: 19}
    assert len(arena.bodies("InvoiceSettled")) == 1


async def test_twenty_refunds_of_one_payment(arena: Arena) -> None:
    """A payment of 100 and refunds of 15: six fit."""
    town = arena.town
    invoice = await town.invoice(100)
    await town(MarkInvoicePaid(), invoice)
    (payment,) = arena.bodies("PaymentRecorded")
    refund = RefundPayment(payment_id=UUID(payment["paymentId"]), amount=15, reason="Overcharged")
    outcomes = await arena.race([(refund, invoice)] * 20)
    assert len(won(outcomes)) == 6
    assert lost(outcomes) == {RefundTooLarge: 14}
    refunds = arena.bodies("PaymentRefunded")
    assert sum(back["amount"] for back in refunds) == 90
    assert len({back["refundId"] for back in refunds}) == 6


async def test_twenty_issues_of_one_draft(arena: Arena) -> None:
    invoice = await arena.town.invoice(issue=False)
    outcomes = await arena.race([(IssueInvoice(), invoice)] * 20)
    assert len(won(outcomes)) == 1
    assert lost(outcomes) == {InvoiceNotDraft: 19}
    assert [allotted["number"] for allotted in arena.bodies("NumberAllotted")] == [1]


async def test_fifty_issues_at_once_leave_no_gap(arena: Arena) -> None:
    """Fifty drafts, and as many that are made and issued in one go: a hundred numbers, each once."""
    town = arena.town
    drafts = [await town.invoice(issue=False) for _ in range(50)]
    wishes: list[Wish] = [*((IssueInvoice(), draft) for draft in drafts), *((town.bill(), None) for _ in drafts)]
    outcomes = await arena.race(wishes)
    assert len(won(outcomes)) == 100
    assert sorted(issued["number"].partition("-")[2] for issued in arena.bodies("InvoiceIssued")) == [f"{n:06}" for n in range(1, 101)]
    assert [allotted["number"] for allotted in arena.bodies("NumberAllotted")] == list(range(1, 101))


async def test_a_refused_issue_takes_no_number(arena: Arena) -> None:
    """Issues of good drafts and of invoices that are long issued, mixed: the refused ones leave no gap behind."""
    town = arena.town
    drafts = [await town.invoice(issue=False) for _ in range(10)]
    done = [await town.invoice() for _ in range(10)]
    outcomes = await arena.race([(IssueInvoice(), invoice) for pair in zip(drafts, done, strict=True) for invoice in pair])
    assert len(won(outcomes)) == 10
    assert lost(outcomes) == {InvoiceNotDraft: 10}
    assert [allotted["number"] for allotted in arena.bodies("NumberAllotted")] == list(range(1, 21))


async def test_twenty_rooms_of_one_name(arena: Arena) -> None:
    outcomes = await arena.race([(AddRoom(name=name), None) for name in ["Room 7", "room 7", " ROOM  7"] * 7])
    assert len(won(outcomes)) == 1
    assert lost(outcomes) == {NameTaken: 20}


async def test_one_key_twenty_times_is_one_booking(arena: Arena) -> None:
    """A client that repeats itself in its impatience gets one answer, twenty times."""
    outcomes = await arena.race([(arena.town.visit(), None)] * 20, key="impatient", body=b"the same")
    assert len({(receipt.id, receipt.version, receipt.position) for receipt in won(outcomes)}) == 1
    assert len(won(outcomes)) == 20
    assert sorted(receipt.replayed for receipt in won(outcomes)) == [False] + [True] * 19
    assert len(arena.bodies("AppointmentBooked")) == 1


@pytest.mark.parametrize("arena", ["one process"], indirect=True)
async def test_a_race_without_a_wall_would_be_noticed(arena: Arena) -> None:
    """The bad sample: with the store's claims taken away behind its back, two bookings overlap, and the check above says so."""
    town = arena.town
    await town(town.visit())
    with psycopg.connect(arena.database.superuser_url) as connection:
        connection.execute("delete from time_claims")
    await town(town.visit(town.at(10), patient_id=await town.register("Ruiz"), room_id=None))
    first, second = (datetime.fromisoformat(body["startLocal"]) for body in arena.bodies("AppointmentBooked"))
    assert overlap((first, 30), (second, 30))


async def test_credit_is_used_and_returned_as_often_as_it_lasts(arena: Arena) -> None:
    """A credit of 100; twenty who want 30 of it, on invoices and in money: three get it."""
    town = arena.town
    await town(ReceiveDeposit(patient_id=town.patient, amount=100, method="cash"))
    bills = [await town.invoice(100) for _ in range(10)]
    back = ReturnCredit(patient_id=town.patient, amount=30, method="cash", reason="x")
    outcomes = await arena.race([*((ApplyCredit(amount=30), bill) for bill in bills), *[(back, town.patient)] * 10])
    assert len(won(outcomes)) == 3
    assert lost(outcomes) == {CreditTooSmall: 17}
    gone = [*arena.bodies("CreditUsed"), *arena.bodies("CreditReturned")]
    assert sum(one["amount"] for one in gone) == 90
    applied = {(one["paymentId"], one["amount"]) for one in arena.bodies("CreditApplied")}
    assert applied == {(one["paymentId"], one["amount"]) for one in arena.bodies("CreditUsed")}


async def test_one_of_many_settles_all_that_is_owed(arena: Arena) -> None:
    """Five invoices, and ten who pay them all at once: one does, and each invoice is paid once."""
    town = arena.town
    bills = [await town.invoice(100) for _ in range(5)]
    outcomes = await arena.race([(SettleInvoices(patient_id=town.patient, amount=500, method="cash"), town.patient)] * 10)
    assert len(won(outcomes)) == 1
    assert lost(outcomes) == {PaymentTooLarge: 9}
    assert len(arena.bodies("PaymentRecorded")) == len(arena.bodies("InvoiceSettled")) == len(bills)


async def test_credit_notes_write_offs_and_payments_never_pass_what_is_owed(arena: Arena) -> None:
    """An invoice of 100, and twenty who pay, credit or write off 30 of it."""
    town = arena.town
    bill = await town.invoice(100)
    wishes: list[Wish] = [(RecordPayment(amount=30, method="cash"), bill), (CreditInvoice(reason="x", amount=30), bill), (WriteOffInvoice(reason="x", amount=30), bill)]
    outcomes = await arena.race(wishes * 6)
    credited = arena.bodies("InvoiceCredited")
    paid, notes, off = (
        sum(one["amount"] for one in arena.bodies("PaymentRecorded")), sum(one["total"] for one in credited if one["cause"] == "credit-note"),
        sum(one["total"] for one in credited if one["cause"] == "write-off"))
    freed = sum(one["released"] for one in arena.bodies("PaymentReallocated"))
    assert freed == sum(one["amount"] for one in arena.bodies("CreditGained"))
    assert 0 <= 100 - paid - notes - off + freed < 30
    assert lost(outcomes).keys() <= {PaymentTooLarge, CreditTooLarge}
    for cause in ("credit-note", "write-off"):
        numbers = [int(one["number"].partition("-")[2]) for one in credited if one["cause"] == cause]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


async def test_a_payment_is_reversed_refunded_or_set_free_but_not_two_of_these(arena: Arena) -> None:
    town = arena.town
    bill = await town.invoice(100)
    await town(MarkInvoicePaid(), bill)
    payment = UUID(arena.bodies("PaymentRecorded")[0]["paymentId"])
    wishes: list[Wish] = [
        (ReversePayment(payment_id=payment, reason="x"), bill), (RefundPayment(payment_id=payment, amount=100, reason="x"), bill),
        (ReallocatePayment(payment_id=payment, allocations=[]), bill)]
    await arena.race(wishes * 4)
    gone = [*arena.bodies("PaymentReversed"), *arena.bodies("PaymentRefunded"), *arena.bodies("PaymentReallocated")]
    assert len(gone) == 1
    assert sum(one["amount"] for one in arena.bodies("CreditGained")) == sum(one.get("released", 0) for one in gone)
