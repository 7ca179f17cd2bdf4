"""What may be seen of a demo request."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from domain.kit import Frozen, Id, Personal
from schemas.kit import Row


class DemoRequestRow(Row):
    """Somebody who wants to be shown what we do, and what has been done about it."""

    table: ClassVar[str] = "demo_requests"
    permission: ClassVar[str] = "superadmin"
    id: Id
    status: str  # new, contacted, scheduled, closed
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    message: Annotated[str | None, Personal()]
    clinic_name: str | None
    country: str | None
    asked_at: datetime
    note: Annotated[str | None, Personal()] = None
    handled_by: UUID | None = None
    handled_at: datetime | None = None

    indexes: ClassVar[tuple[str, ...]] = ("asked_at, id", "status, asked_at, id")


class DemoAsked(Frozen):
    """Your message has arrived; we come back to you."""

    accepted: bool = True
