"""The catalogue of events says what the code does."""

import re

from anamnesis.catalogue import catalogue, entry
from domain.kit.codec import personal
from domain.patients import PatientRegistered
from tests.laws.project import EVENTS, ROOT


def test_the_committed_catalogue_is_the_generated_one() -> None:
    """`python -m anamnesis.catalogue > docs/events.md`."""
    assert (ROOT / "docs" / "events.md").read_text("utf-8") == catalogue()


def test_it_tells_every_event_and_whatever_is_sealed() -> None:
    told = catalogue()
    assert {cls.__name__ for cls in EVENTS} <= set(re.findall(r"^### (\w+)$", told, re.MULTILINE))
    assert told.count("sealed,") == sum(len(personal(cls)[0]) for cls in EVENTS)


def test_it_follows_the_class() -> None:
    """Another field, other words: another document."""

    class PatientGreeted(PatientRegistered):
        """Good morning."""

        words: str = "hello"

    assert "Good morning." in entry(PatientGreeted, {})
    assert '| `words` | text | `"hello"` unless said |' in entry(PatientGreeted, {})
