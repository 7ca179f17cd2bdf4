"""What a clinic must keep, as rows."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from domain.kit import Fact
from domain.retention import PERIODS, LegalHoldLifted, LegalHoldPlaced, Retention, RetentionEvent, RetentionSet, retention_of
from projections.kit import PROJECTIONS, projects
from projections.kit.declare import Key
from projections.kit.keys import KeyRing
from projections.kit.past import past
from projections.kit.reading import Reader
from schemas.retention import LegalHoldRow, RetentionPeriod, RetentionRow, RetentionShown


def held(fact: Fact) -> Iterable[Key]:
    match fact.event:
        case LegalHoldPlaced(hold_id=hold) | LegalHoldLifted(hold_id=hold):
            yield (hold,)


@projects(RetentionRow, of=RetentionEvent)
def retention(row: RetentionRow | None, fact: Fact) -> RetentionRow | None:
    before = row or RetentionRow(id=fact.id, periods={}, holds=[])
    match fact.event:
        case RetentionSet(periods=periods):
            return replace(before, periods=periods)
        case LegalHoldPlaced(hold_id=hold):
            return replace(before, holds=[*before.holds, hold])
        case LegalHoldLifted(hold_id=gone):
            return replace(before, holds=[hold for hold in before.holds if hold != gone])
    return row


@projects(LegalHoldRow, of=LegalHoldPlaced | LegalHoldLifted, key=held)
def legal_holds(row: LegalHoldRow | None, fact: Fact, _: Key) -> LegalHoldRow | None:
    match fact.event:
        case LegalHoldPlaced() as event:
            return LegalHoldRow(
                id=event.hold_id, patient_id=event.patient_id, reason=event.reason, by_platform=event.platform, placed_at=fact.recorded_at,
                placed_by=fact.actor, open=True)
        case LegalHoldLifted(reason=reason) if row:
            return replace(row, open=False, lifted_at=fact.recorded_at, lifted_by=fact.actor, lift_reason=reason)
    return row


async def periods(reader: Reader) -> RetentionShown:
    """Return for how long a clinic keeps what."""
    return shown(await reader.one(RetentionRow, retention_of(reader.clinic)))


async def periods_then(reader: Reader, keys: KeyRing, upto: int) -> RetentionShown:
    """Return the same as it was at a position."""
    found: Any = await past(reader, keys, PROJECTIONS["retention"], retention_of(reader.clinic), upto)
    return shown(found and found.row)


def shown(row: RetentionRow | None) -> RetentionShown:
    said = Retention(periods=row.periods if row else {})
    items = [
        RetentionPeriod(kind=kind, years=said.years(kind), minimum=period.minimum, usual=period.usual, source=period.source)
        for kind, period in PERIODS.items()
    ]
    return RetentionShown(items=items, holds=len(row.holds) if row else 0)
