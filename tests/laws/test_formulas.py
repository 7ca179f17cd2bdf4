"""Another result of the same events takes another number: `Row.formula` is raised, so that it becomes a version of its own.

`golden/formulas.json` keeps a digest of what each formula makes of fixed histories. `python -m tests.laws.test_formulas` adds what is new, and changes no digest
whose number is the same.
"""

import hashlib
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from domain.invoices import PaymentRefunded
from domain.kit import Fact
from projections.kit import PROJECTIONS
from schemas.lifetimes import LifetimeRow
from tests.chronicle import chronicle
from tests.kit import CLINIC
from tests.laws.project import GOLDEN

FILE = GOLDEN / "formulas.json"
FIGURES = ("appointment_days", "lifetimes", "procedure_days", "revenue_days", "tallies", "visits")
HISTORIES = 60


class Kept(msgspec.Struct):
    """What a formula came to."""

    formula: int
    digest: str


def kept() -> dict[str, Kept]:
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Kept]) if FILE.exists() else {}


def digest(name: str, histories: list[list[Fact]], function: Any = None) -> str:
    """Return what a projection makes of histories, in short."""
    projection, said = PROJECTIONS[name], hashlib.sha256()
    function = function or projection.next
    for history in histories:
        rows: dict[Any, Any] = {}
        for fact in history:
            if type(fact.event).__name__ in projection.topics:
                for key in projection.keys(fact):
                    rows[key] = function(rows.get(key), fact, key)
        said.update(msgspec.json.encode(sorted(msgspec.json.encode(row).decode() for row in rows.values() if row is not None)))
    return said.hexdigest()[:32]


def histories() -> list[list[Fact]]:
    return [chronicle(Random(seed), CLINIC) for seed in range(HISTORIES)]


@pytest.fixture(scope="module")
def told() -> list[list[Fact]]:
    return histories()


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_formula_makes_the_same_of_the_same_events(name: str, told: list[list[Fact]]) -> None:
    before, formula = kept()[name], PROJECTIONS[name].row.formula
    if before.formula == formula:
        assert digest(name, told) == before.digest, f"these figures differ: raise `formula` of {name}, then python -m tests.laws.test_formulas"
    else:
        pytest.fail(f"{name} has another formula: python -m tests.laws.test_formulas")


def test_a_formula_that_differs_ever_so_little_is_noticed(told: list[list[Fact]]) -> None:
    def keeps_a_cent(row: Any, fact: Any, key: Any) -> LifetimeRow:
        after: LifetimeRow = PROJECTIONS["lifetimes"].next(row, fact, key)  # type: ignore[assignment]
        return replace(after, received=after.received + 1) if type(fact.event) is PaymentRefunded else after

    assert digest("lifetimes", told) == kept()["lifetimes"].digest != digest("lifetimes", told, keeps_a_cent)


if __name__ == "__main__":
    found = kept()
    for name in FIGURES:
        formula = PROJECTIONS[name].row.formula
        if name not in found or found[name].formula != formula:
            found[name] = Kept(formula, digest(name, histories()))
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
