"""What may be seen of who did what, and when."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen
from schemas.kit import Row


class AuditRow(Row):
    """One event of the clinic: who did what to which entity, when, and the seals that prove it (base64)."""

    table: ClassVar[str] = "audit_log"
    permission: ClassVar[str] = "audit.logs.view"
    key: ClassVar[tuple[str, ...]] = ("seq",)
    seq: int
    recorded_at: datetime
    actor: UUID
    action: str
    entity_type: str
    entity_id: UUID
    version: int
    command_id: UUID
    correlation_id: UUID
    hash: str
    mac: str

    indexes: ClassVar[tuple[str, ...]] = ("entity_id, seq", "actor, seq", "action, seq", "recorded_at")


class AuditPage(Frozen):
    """Lines of the audit log, the latest first, and where to go on."""

    items: list[AuditRow]
    next: str | None
