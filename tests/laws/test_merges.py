"""Whatever is a patient's has a rule for the day on which two records of one patient are merged; what belongs to a patient is read off the event classes."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, get_args
from uuid import UUID

import pytest
from msgspec import convert

from commands.patients import MOVES, STAYS, Thing
from domain.appointments import AppointmentBooked
from domain.credits import CreditReceived
from domain.installments import InstallmentPlanMade
from domain.insurance_claims import InsuranceClaimDrafted
from domain.insurance_covers import CoverAdded
from domain.invoices import InvoiceDrafted, PaymentRecorded
from domain.kit import Event, Fact, Frozen, PatientId, State
from domain.kit.codec import hints, metas
from domain.patients import Belonging
from domain.queue import PatientQueued
from domain.quotations import QuotationDrafted
from domain.recalls import RecallScheduled
from domain.receipts import ReceiptIssued
from domain.recurrences import AppointmentSeriesBooked
from domain.waiting_list import WaitingEntryAdded
from gateway.kit.examples import example
from projections.kit import PROJECTIONS, Projection
from schemas.kit import Row
from tests.kit import THIS, facts
from tests.laws.project import STATES
from tests.laws.some import events_of
from tests.laws.test_names import nested

LOSER, SURVIVOR = UUID(int=1001), UUID(int=1002)
EARLIER = datetime(2020, 1, 1, tzinfo=UTC)  # than any example
RECORDS = {"lifetimes"}  # has a line for each record, and says which one stands for it
BEGUN: dict[str, list[type[Event]]] = {"appointments": [AppointmentBooked], "credits": [CreditReceived], "installments": [InstallmentPlanMade], "insurance_claims": [InsuranceClaimDrafted], "insurance_covers": [CoverAdded], "invoices": [InvoiceDrafted, PaymentRecorded], "quotations": [QuotationDrafted], "receipts": [ReceiptIssued], "recalls": [RecallScheduled], "recurrences": [AppointmentSeriesBooked], "queue": [PatientQueued], "waiting_list": [WaitingEntryAdded]}


def names_patients(struct: type[Any]) -> bool:
    """Say whether a struct, or one within it, has a field that holds ids of patients."""
    return any(
        any(extra.get("ref") == "patients" for extra in metas(hint)) or any(names_patients(inner) for inner in nested(hint)) for hint in hints(struct).values())


def unruled(states: Iterable[type[State]], rules: Iterable[str]) -> list[str]:
    """Return the events that name a patient, and happen to a kind of thing of which nobody has said what a merge does to it."""
    return [event.__name__ for state in states for event in events_of(state) if names_patients(event) and state.kind not in {*rules}]


def columns(row: type[Row]) -> list[str]:
    return [name for name, hint in hints(row).items() if any(extra.get("ref") == "patients" for extra in metas(hint))]


def left_behind(kind: str, begun: list[Event], projections: Mapping[str, Projection]) -> Iterator[str]:
    """Yield the read models whose rows go on to name the loser when a thing that began so has become the survivor's."""
    thing: Any = MOVES[kind].replay(begun)
    moved = facts(*begun, *thing.reassign(LOSER, SURVIVOR, EARLIER), id=THIS, kind=kind)
    for name, projection in projections.items():
        rows = folded(projection, moved)
        if any(getattr(row, column) == LOSER for row in rows for column in columns(type(row))) and not (projection.fresh or name in RECORDS):
            yield name


def folded(projection: Projection, told: list[Fact]) -> list[Row]:
    rows: dict[Any, Row | None] = {}
    for fact in told:
        if type(fact.event).__name__ in projection.topics:
            for key in projection.keys(fact):
                rows[key] = projection.next(rows.get(key), fact, key)
    return [row for row in rows.values() if row is not None]


def begun(kind: str) -> list[Event]:
    """Return how a thing of the loser's began."""
    return [convert({**example(event), "patientId": str(LOSER)}, event) for event in BEGUN[kind]]


def test_every_event_that_names_a_patient_has_a_rule_for_merging() -> None:
    assert unruled(STATES, [*MOVES, *STAYS]) == []
    assert not MOVES.keys() & STAYS.keys()
    assert {*MOVES, *STAYS} == {state.kind for state in STATES if unruled([state], [])}


def test_a_kind_of_event_without_a_rule_is_caught() -> None:
    class Crown(Frozen):
        patient_id: PatientId

    class CrownsOrdered(Event):
        crowns: list[Crown]

    class CrownsOrder(State):
        kind: ClassVar[str] = "crowns"

        def evolve(self, event: CrownsOrdered) -> Self:
            return self

    assert names_patients(CrownsOrdered)
    assert unruled([CrownsOrder], [*MOVES, *STAYS]) == ["CrownsOrdered"]


def test_what_moves_is_loaded_decided_and_listed() -> None:
    assert {state.kind: state for state in get_args(Thing)} == MOVES
    assert set(get_args(Belonging.__annotations__["kind"])) == MOVES.keys() == BEGUN.keys()
    assert all(columns(PROJECTIONS[kind].row) == ["patient_id"] for kind in MOVES)  # by which `commands.kit.naming` finds them


@pytest.mark.parametrize("kind", MOVES)
def test_no_row_goes_on_to_name_the_loser(kind: str) -> None:
    assert list(left_behind(kind, begun(kind), PROJECTIONS)) == []


def test_a_row_that_does_is_caught() -> None:
    class Deaf(Projection):
        @property
        def topics(self) -> frozenset[str]:  # type: ignore[override]
            return frozenset({"AppointmentBooked"})

    calendar = PROJECTIONS["calendar"]
    deaf = Deaf(calendar.row, calendar.of, calendar.function, None, fresh=False)
    assert list(left_behind("appointments", begun("appointments"), {"calendar": deaf})) == ["calendar"]


@pytest.mark.parametrize("kind", MOVES)
def test_a_thing_comes_back_as_it_was(kind: str) -> None:
    there: Any = MOVES[kind].replay(begun(kind))
    moved = [*begun(kind), *there.reassign(LOSER, SURVIVOR, EARLIER)]
    away: Any = MOVES[kind].replay(moved)
    assert away != there
    assert MOVES[kind].replay([*moved, *away.reassign(SURVIVOR, LOSER, EARLIER)]) == there
    assert away.reassign(LOSER, SURVIVOR, EARLIER) == []  # it is not the loser's any more
