"""Every event of a clinic as a line of its audit log, and one entity's lines as its timeline."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from domain.kit import Fact
from projections.kit import ALL, projects
from schemas.audit import AuditRow


def each(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return ((fact.position,),)


@projects(AuditRow, of=ALL, key=each, fresh=True)
def audit_log(_: AuditRow | None, fact: Fact, __: tuple[Any, ...]) -> AuditRow:
    return AuditRow(
        seq=fact.position, recorded_at=fact.recorded_at, actor=fact.actor, action=type(fact.event).__name__, entity_type=fact.kind,
        entity_id=fact.id, version=fact.version, command_id=fact.command, correlation_id=fact.correlation,
        hash=b64encode(fact.hash).decode(), mac=b64encode(fact.mac).decode(),
    )
