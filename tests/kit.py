"""given(events).when(command).then(events), or .refused(why)."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.kit import Command
from domain.kit import PLATFORM, At, Elsewhere, Event, Fact, Refused
from domain.kit.grants import granted

CLINIC = UUID(int=7)
ACTOR = UUID(int=9)
THIS = UUID(int=42)  # the aggregate in hand

noon = At(
    id=THIS, now=datetime(2026, 1, 5, 12, tzinfo=UTC), today=date(2026, 1, 5), actor=ACTOR, clinic=CLINIC, zone="Europe/Amsterdam",
    currency="EUR", grants=granted("admin"), role="admin",
)


class given:  # noqa: N801 - reads as a sentence
    """A history; `looking(name=state)` supplies what the command would have gathered."""

    def __init__(self, *events: Event, at: At = noon) -> None:
        self.events = list(events)
        self.at = at
        self.found: dict[str, Any] = {}

    def looking(self, **found: Any) -> "given":
        """Supply what `gather` would have found."""
        self.found = found
        return self

    def when(self, command: Command) -> "given":
        """Decide a command on that history."""
        self.decide = lambda: command.decide(command.state.replay(self.events), self.at, **self.found)
        return self

    def then(self, *expected: Event | Elsewhere) -> None:
        """Expect exactly these events."""
        assert self.decide() == list(expected)

    def refused(self, why: type[Refused]) -> Refused:
        """Expect that refusal."""
        with pytest.raises(why) as caught:
            self.decide()
        return caught.value


def facts(*events: Event, id: UUID = THIS, kind: str = "things", start: datetime = noon.now, first: int = 1) -> list[Fact]:  # noqa: A002
    """Return events as the facts a projection is given; `first` is the position of the first."""
    return [
        Fact(id=id, kind=kind, version=n, position=first + n - 1, clinic=CLINIC, recorded_at=start, actor=ACTOR, event=event)
        for n, event in enumerate(events, 1)
    ]


def wire(value: Any) -> Any:
    """Return a struct as its JSON would read."""
    return msgspec.to_builtins(value)


__all__ = ["ACTOR", "CLINIC", "PLATFORM", "THIS", "facts", "given", "noon", "wire"]
