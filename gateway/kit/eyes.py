"""What somebody may hear: of which kinds, of whose things, and what of it opened.

How it works: an event says as much as the row of its kind in detail, so the row's key guards it. Restricted roles (a patient, a doctor with his own list only) see
an event if its entity is theirs: the last value of the owning field in the entity's stream says so. Readers with equal eyes are served alike.

What may go wrong: a kind without a row of its own must be named with its key where the stream is declared, else only those who may see the audit log hear of it.
"""

from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from commands.kit.handling import Who
from domain.kit.codec import personal
from gateway.kit.catalogue import defined, homes
from projections.kit import PROJECTIONS
from projections.kit.declare import ALL
from projections.kit.heard import others_heard, rows_heard
from projections.kit.stored import Stored
from schemas.kit import Row

UNLISTED = "audit.logs.view"  # what must be held to see events of kinds that have no row of their own

Owners = dict[str, UUID | None]  # by owning field


class Eyes(NamedTuple):
    """What a reader may and wants to see; readers with equal eyes are served alike."""

    kinds: frozenset[str]
    owned: tuple[tuple[str, str], ...] = ()  # kinds of which only one's own: (kind, the field that must be `subject`)
    subject: UUID | None = None
    types: frozenset[str] | None = None
    entity_type: str | None = None
    entity_id: UUID | None = None
    opened: frozenset[str] = frozenset()  # events of which they are shown what is sealed as well

    def may_see(self, stored: Stored, owners: Owners) -> bool:
        """Say whether this event is for these eyes."""
        if stored.kind not in self.kinds or not self.wants(stored):
            return False
        return all(kind != stored.kind or (self.subject is not None and owners.get(field) == self.subject) for kind, field in self.owned)

    def wants(self, stored: Stored) -> bool:
        """Say whether the reader has asked for it."""
        if self.types is not None and stored.topic not in self.types:
            return False
        return not (self.entity_type and stored.kind != self.entity_type) and not (self.entity_id and stored.stream != self.entity_id)


class Own(NamedTuple):
    """Who reads of himself: by which ids things are his or name him, and in which kinds he hears that whatever he may view else."""

    account: UUID
    ids: frozenset[UUID]
    kinds: frozenset[str]

    def hears(self, eyes: Eyes, stored: Stored, owners: Owners) -> bool:
        """Say whether an event concerns him and is for his eyes."""
        his = stored.stream in self.ids or not self.ids.isdisjoint(owner for owner in owners.values() if owner is not None)
        if his and stored.kind in self.kinds:
            return eyes.wants(stored)
        return eyes.may_see(stored, owners) and (his or any(str(id_).encode() in stored.body for id_ in self.ids))


def eyes_of(who: Who, extra: dict[str, str], **filters: Any) -> Eyes:
    """Return what somebody may see: kinds whose rows he may see, his own only where his role sees only its own.

    The key of a kind is that of the row of the same name; `extra` gives those of kinds that have none, and administrators see the rest.
    """
    kinds, owned = set(), []
    for kind, row in rows_heard(who.may):
        field = row.own.get(who.role)
        if who.role == "patient" and field is None:
            continue
        kinds.add(kind)
        if field is not None and row.widened.get(who.role) not in who.grants:
            owned.append((kind, _field(field)))
    if who.role != "patient":
        kinds.update(others_heard(who.may, extra))
    return Eyes(frozenset(kinds), tuple(sorted(owned)), who.subject, **filters)


def own_of(who: Who, kinds: frozenset[str]) -> Own:
    """Return who reads of himself."""
    return Own(who.account, frozenset(id_ for id_ in (who.account, who.subject) if id_ is not None), kinds)


def opened_for(who: Who) -> frozenset[str]:
    """Return the events of which somebody may read what is sealed, if he sees them at all: he could read the same in the row that keeps it.

    That is the row of the event's own kind, unless only another one keeps such fields: medical history has a row and a key of its own.
    """
    return frozenset(name for name, rows in _kept().items() if rows and all(_may_read(who, row, own=own) for row, own in rows))


def _may_read(who: Who, row: type[Row], *, own: bool) -> bool:
    if not who.may(row.detail or row.permission):
        return False
    return own or (who.role != "patient" and (who.role not in row.own or row.widened.get(who.role) in who.grants))


@cache
def _kept() -> dict[str, tuple[tuple[type[Row], bool], ...]]:
    """Return, by event, the rows that keep what is sealed in it; with each, whether it is the row of the event's own kind, whose readers' eyes know whose it is."""
    single = {name: projection for name, projection in PROJECTIONS.items() if projection.key is None and projection.of is not ALL}
    found = {}
    for name, cls in defined().items():
        home = single.get(homes()[name])
        rows: dict[type[Row], bool] = {}
        for field in personal(cls)[0]:
            keeping = [projection for projection in single.values() if name in projection.topics and field in {*projection.row.__struct_fields__, *projection.row.keeps}]
            for projection in [home] if home in keeping or not keeping else keeping:
                if projection is not None:
                    rows[projection.row] = projection is home
        found[name] = tuple(rows.items())
    return found


def _field(column: str) -> str:
    head, *rest = column.split("_")
    return head + "".join(part.title() for part in rest)
