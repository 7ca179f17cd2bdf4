"""What may be seen of an API key: never the key."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Id
from schemas.kit import Row


class ApiKeyRow(Row):
    """An API key that has not been revoked."""

    table: ClassVar[str] = "api_keys"
    permission: ClassVar[str] = "admin"
    id: Id
    name: str
    hint: str  # how it begins
    scopes: list[str]
    issued_at: datetime
    issued_by: UUID
    expires_at: datetime | None


class ApiKeyEntry(ApiKeyRow):
    """An API key that has not been revoked, and when it was last used, to about ten seconds."""

    table: ClassVar[str] = "api_key_entries"
    last_used_at: datetime | None
