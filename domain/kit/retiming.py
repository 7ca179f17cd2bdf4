"""The same wall clock at another instant: a clinic is in another zone, or the clocks of its zone follow another rule than when something was arranged.

What people were told stands, and the instants are derived from it anew. A time that the clocks skip becomes the one which they show instead; of one that they repeat it is the
one that was meant, if that was said, or else the first.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from domain.kit.clock import LocalTime, wall, zone
from domain.kit.model import Frozen


class Told(Protocol):
    """A time as people were told it, and the instants that were derived from it."""

    @property
    def start_local(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def starts_at(self) -> datetime: ...
    @property
    def ends_at(self) -> datetime: ...


class Retimed(Frozen):
    """The instants that a time is now, and what it was before."""

    start_local: LocalTime
    zone: str
    fold: int
    starts_at: datetime
    ends_at: datetime
    was_zone: str
    was_starts_at: datetime


def read(local: str, zone_name: str, fold: int = 0) -> datetime:
    """Return the instant at which a clock on the wall shows that; never refuses."""
    return datetime.fromisoformat(local).replace(tzinfo=zone(zone_name), fold=fold).astimezone(UTC)


def retimed(told: Told, zone_name: str, end_local: str | None = None) -> Retimed | None:
    """Return when it is by the clocks of a zone, as they go now; None if it is so already. It lasts as long as before, or until the wall clock says `end_local`."""
    fold = getattr(told, "fold", 0)
    starts_at = read(told.start_local, zone_name, fold)
    ends_at = read(end_local, zone_name) if end_local else starts_at + (told.ends_at - told.starts_at)
    if ends_at <= starts_at:  # the clocks skip all of it
        ends_at = starts_at + timedelta(minutes=1)
    if (told.zone, told.starts_at, told.ends_at) == (zone_name, starts_at, ends_at):
        return None
    local = wall(starts_at, zone_name)
    return Retimed(
        start_local=local.isoformat(timespec="seconds"), zone=zone_name, fold=local.fold, starts_at=starts_at, ends_at=ends_at, was_zone=told.zone,
        was_starts_at=told.starts_at)


def instants(event: Any) -> dict[str, Any]:
    """Return what such an event changes of a time."""
    return {name: getattr(event, name) for name in ("start_local", "zone", "fold", "starts_at", "ends_at")}
