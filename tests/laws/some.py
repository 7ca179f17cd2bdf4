"""Some value of any struct, read from msgspec's own type information, and histories made of random commands.

Everything follows from a seed. (Hypothesis' own draws cost a hundred times as much, and a law about histories needs many; it still invents
the texts that a pattern admits.)
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from random import Random
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid5

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as i
from msgspec.structs import replace

from commands.kit import Command, Creation
from domain.kit import At, Elsewhere, Event, Refused, State
from domain.kit.grants import granted
from tests.kit import THIS, noon

MOST = 2**53
TRIES = 5  # at something that is not refused
STEPS = 12
WORDS = ["a", "Noor", "Å", "ß", "日本語", "🦷", " ", "\n", "\u202e", "'; drop table invoices; --", "%s", "null", "{}", "\\", '"', "x" * 40]
IDS = [THIS, UUID(int=1), UUID(int=2), *(uuid5(THIS, f"payments/{n}") for n in (1, 2))]
ZONES = ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
NOWS = [noon.now, noon.now + timedelta(days=25), noon.now + timedelta(days=45), datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 12, 31, 23, 59, tzinfo=UTC)]
EDGES = [datetime.min, datetime.max]  # noqa: DTZ901 - so wild that no zone matters
OFFSETS = [UTC, timezone(timedelta(hours=-11)), timezone(timedelta(hours=5, minutes=45))]
ROLES = [granted("admin"), granted("superadmin"), granted("doctor"), granted("receptionist"), frozenset[str]()]


class Some:
    """Values by chance: mostly likely ones, now and then the strangest that msgspec would let in."""

    def __init__(self, seed: object) -> None:
        self.dice = Random(repr(seed))

    def rarely(self) -> bool:
        return self.dice.random() < 0.15

    def struct(self, cls: type[Any], known: Sequence[Any] = ()) -> Any:
        """Return a struct; `known` are ids, days and numbers worth repeating."""
        given = {f.name: self.value(f.type, known) for f in fields_of(cls) if f.required or self.dice.random() < 0.6}
        return cls(**given)

    def value(self, t: i.Type, known: Sequence[Any] = (), examples: Sequence[Any] = ()) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case per type
        match t:
            case i.Metadata(type=inner, extra_json_schema=extra):
                return self.value(inner, known, (extra or {}).get("examples", ()))
            case i.IntType():
                return self.integer(t, known)
            case i.StrType():
                return self.text(t, examples, known)
            case i.UUIDType():
                return self.one_of(UUID, known) or self.dice.choice([*IDS, UUID(int=self.dice.getrandbits(128))])
            case i.DateType():
                return self.day(known)
            case i.DateTimeType(tz=tz):
                found = self.moment(known)
                return found.replace(tzinfo=UTC) if tz and found.tzinfo is None else found
            case i.BoolType():
                return self.dice.random() < 0.5
            case i.NoneType():
                return None
            case i.LiteralType(values=values):
                return self.dice.choice(sorted(values, key=repr))
            case i.UnionType(types=types):
                return self.value(self.dice.choice(types), known)
            case i.ListType(item_type=item, min_length=least, max_length=most):
                count = max(least or 0, min(3 if most is None else most, self.dice.choice([0, 1, 1, 2, 3])))
                return [self.value(item, known) for _ in range(count)]
            case i.DictType(key_type=key, value_type=item):
                return {self.value(key, known): self.value(item, known) for _ in range(self.dice.choice([0, 1, 1, 2, 3]))}
            case i.StructType(cls=cls):
                return self.struct(cls, known)
        raise TypeError(t)

    def one_of(self, kind: type, known: Sequence[Any], fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return something known of a kind, or None."""
        usable = [k for k in known if isinstance(k, kind) and fits(k)]
        return self.dice.choice(usable) if usable and self.dice.random() < 0.6 else None

    def integer(self, t: i.IntType, known: Sequence[Any]) -> int:
        low = t.ge if t.ge is not None else t.gt + 1 if t.gt is not None else -MOST
        high = t.le if t.le is not None else t.lt - 1 if t.lt is not None else MOST
        if (seen := self.one_of(int, known, lambda k: low <= k <= high)) is not None:
            return int(seen)
        if self.rarely():
            return self.dice.choice([low, high, self.dice.randint(low, high)])
        return self.dice.randint(max(low, -20), min(high, max(low, -20) + 200))

    def text(self, t: i.StrType, examples: Sequence[Any], known: Sequence[Any] = ()) -> str:
        least, most = t.min_length or 0, t.max_length if t.max_length is not None else 60
        if not t.pattern and self.dice.random() < 0.3 and (seen := self.one_of(str, known, lambda k: least <= len(k) <= most)) is not None:
            return str(seen)
        if examples and self.dice.random() < 0.5:
            return str(self.dice.choice(examples))
        if t.pattern:
            return self.dice.choice(matching(t.pattern, least, most))
        text = "".join(self.dice.choices(WORDS, k=self.dice.choice([0, 1, 1, 2])))[:most]
        return text if len(text) >= least else "x" * least

    def day(self, known: Sequence[Any]) -> date:
        if (seen := self.one_of(date, known)) is not None:
            return date(seen.year, seen.month, seen.day)
        if self.rarely():
            return self.dice.choice([date.min, date.max, date(1900, 1, 1), date.fromordinal(self.dice.randint(1, date.max.toordinal()))])
        return noon.today + timedelta(days=self.dice.choice([0, 0, -1, 1, self.dice.randint(-40, 40)]))

    def moment(self, known: Sequence[Any]) -> datetime:
        """Return a time soon after the moment of decision, with an offset or without; now and then any time at all."""
        if (seen := self.one_of(datetime, known)) is not None:
            return datetime.fromisoformat(seen.isoformat())
        if self.rarely():
            wild = EDGES[0] + self.dice.random() * (EDGES[1] - EDGES[0])
            return self.dice.choice([*EDGES, wild]).replace(tzinfo=self.dice.choice([None, *OFFSETS]))
        near = datetime(2026, 1, 5, 9) + timedelta(minutes=15 * self.dice.randint(0, 9000))  # noqa: DTZ001 - a wall clock's
        return near.replace(tzinfo=self.dice.choice([None, None, None, *OFFSETS]))

    def at(self) -> At:
        """Return circumstances: mostly an admin's noon."""
        if not self.rarely():
            return noon
        now, zone, grants = self.dice.choice(NOWS), self.dice.choice(ZONES), self.dice.choice(ROLES)
        return replace(noon, now=now, today=now.date(), zone=zone, grants=grants, subject=self.dice.choice([None, *IDS]))


@cache
def fields_of(cls: type[Any]) -> tuple[i.Field, ...]:
    return i.type_info(cls).fields  # type: ignore[attr-defined, no-any-return]


@cache
def matching(regex: str, least: int, most: int) -> list[str]:
    """Return texts that match a pattern; none with NUL, which is refused before anything is decided to be stored."""
    found: set[str] = set()

    @settings(max_examples=60, database=None, derandomize=True, deadline=None)
    @given(st.from_regex(regex).filter(lambda text: least <= len(text) <= most and "\0" not in text))
    def collect(text: str) -> None:
        found.add(text)

    collect()
    return sorted(found)


class Step(NamedTuple):
    """A command, and what it met."""

    command: Command
    at: At
    found: dict[str, Any]

    def on(self, events: Sequence[Event]) -> list[Event | Elsewhere]:
        """Decide it on a history; only `Refused` may say no."""
        try:
            decided: list[Event | Elsewhere] = self.command.decide(self.command.state.replay(events), self.at, **self.found)
        except Refused:
            return []
        return decided


class World(Some):
    """Histories that grow by random commands; what these look up are `others`: states replayed from random histories of their own."""

    def __init__(self, seed: object, commands: Sequence[type[Command]], others: Mapping[type[State], list[State]]) -> None:
        super().__init__(seed)
        self.commands = commands
        self.others = others
        self.steps: list[Step] = []
        self.elsewhere: list[Elsewhere] = []

    def history(self, state: type[State], begun: Sequence[Event] = ()) -> list[Event]:
        """Return what became of an aggregate to which random commands were sent; now and then one that has `begun` so."""
        if not any(c.state is state for c in self.commands):  # only other aggregates' commands write it
            return [self.struct(self.dice.choice(events_of(state))) for _ in range(self.dice.randint(1, 3))]
        events: list[Event] = list(begun) if begun and self.dice.random() < 0.3 else []
        for _ in range(self.dice.randint(1, STEPS)):
            for _ in range(TRIES):
                self.steps.append(self.step(state, events))
                if plans := self.steps[-1].on(events):
                    events += [plan for plan in plans if not isinstance(plan, Elsewhere)]
                    self.elsewhere += [plan for plan in plans if isinstance(plan, Elsewhere)]
                    break
        return events

    def step(self, state: type[State], events: list[Event]) -> Step:
        """Return some command that could be sent to an aggregate with that history."""
        ours = [c for c in self.commands if c.state is state and (not events or not issubclass(c, Creation) or c.stream is not Creation.stream)]
        able = ours if events else [c for c in ours if issubclass(c, Creation)]
        chosen = self.dice.choice(able)
        command = self.struct(chosen, worth_repeating(events))
        return Step(command, self.at(), {name: self.found(annotation) for name, annotation in looked_up(chosen).items()})

    def found(self, annotation: Any) -> Any:  # noqa: PLR0911 - one case per kind of thing
        if get_origin(annotation) is list:
            return [self.found(get_args(annotation)[0]) for _ in range(self.dice.randint(0, 2))]
        if get_origin(annotation) is dict:
            key, value = get_args(annotation)
            return {self.dice.choice(IDS) if key is UUID else self.found(key): self.found(value) for _ in range(self.dice.randint(0, 2))}
        if get_origin(annotation) is set:
            return {self.found(get_args(annotation)[0]) for _ in range(self.dice.randint(0, 2))}
        if get_origin(annotation) is tuple:
            return tuple(self.found(one) for one in get_args(annotation))
        if several(annotation):
            return annotation(**{name: self.found(hint) for name, hint in get_type_hints(annotation, include_extras=True).items()})
        if isinstance(annotation, type) and issubclass(annotation, State):
            return self.dice.choice(self.others[annotation])
        if get_origin(annotation) in (Union, UnionType):
            chosen = self.dice.choice(get_args(annotation))
            return None if chosen is type(None) else self.found(chosen)
        return self.value(i.type_info(annotation))


@cache
def looked_up(command: type[Command]) -> dict[str, Any]:
    """Return what `gather` finds for a command: the keyword-only parameters of `decide` and their types."""
    types = get_type_hints(command.decide, include_extras=True)
    return {p.name: types[p.name] for p in inspect.signature(command.decide).parameters.values() if p.kind is p.KEYWORD_ONLY}


def several(annotation: Any) -> bool:
    """Say whether it is a named tuple: several things at once."""
    return isinstance(annotation, type) and hasattr(annotation, "_fields")


def states_in(annotation: Any) -> Iterator[type[State]]:
    """Yield the states that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, State):
        yield annotation
    for argument in get_type_hints(annotation).values() if several(annotation) else get_args(annotation):
        yield from states_in(argument)


@cache
def events_of(state: type[State]) -> tuple[type[Event], ...]:
    """Return the event classes that a state's `evolve` takes, read off its annotation."""
    wanted = get_type_hints(state.evolve)["event"]
    return get_args(wanted) or (wanted,)


def worth_repeating(events: Sequence[Event]) -> list[Any]:
    """Return the ids, days, numbers and texts of the latest events: what a later command would name."""
    return [leaf for event in events[-4:] for leaf in leaves(event) if isinstance(leaf, int | UUID | date | str)][:40]


def leaves(thing: Any) -> Iterator[Any]:
    """Yield whatever a value is made of, at the bottom."""
    if isinstance(thing, msgspec.Struct):
        thing = [getattr(thing, name) for name in thing.__struct_fields__]
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, list | tuple):
        for one in thing:
            yield from leaves(one)
    elif not isinstance(thing, bool):
        yield thing


