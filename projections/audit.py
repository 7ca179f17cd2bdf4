"""Every event of a clinic as a line of its audit log."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import date
from typing import Any

from msgspec import json

from domain.kit import Fact, span
from projections.kit import ALL, projects
from projections.kit.reading import Reader, Wanted
from schemas.audit import AuditPage, AuditRow


def each(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return ((fact.position,),)


@projects(AuditRow, of=ALL, key=each, fresh=True)
def audit_log(_: AuditRow | None, fact: Fact, __: tuple[Any, ...]) -> AuditRow:
    return AuditRow(
        seq=fact.position, recorded_at=fact.recorded_at, actor=fact.actor, action=type(fact.event).__name__, entity_type=fact.kind,
        entity_id=fact.id, version=fact.version, command_id=fact.command, correlation_id=fact.correlation,
        hash=b64encode(fact.hash).decode(), mac=b64encode(fact.mac).decode(),
    )


async def log(
    reader: Reader, equals: dict[str, Any], *, since: date | None, until: date | None, zone: str, limit: int, cursor: str | None
) -> AuditPage:
    """Return lines of the audit log, the latest first; days are the clinic's."""
    conditions = [(column, "=", value) for column, value in equals.items() if value is not None]
    if since:
        conditions.append(("recorded_at", ">=", span(since, since, zone)[0]))
    if until:
        conditions.append(("recorded_at", "<", span(until, until, zone)[1]))
    page = await reader.page(AuditRow, Wanted(tuple(conditions), "seq", descending=True, limit=limit, cursor=cursor))
    return AuditPage(items=json.decode(page.items, type=list[AuditRow]), next=page.next)
