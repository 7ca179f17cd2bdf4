"""What may be seen of a webhook: never its secret; and of what was sent."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from domain.kit import Frozen, Id, Ref
from schemas.kit import INDEXED, Row

DeliveryStatus = Literal["queued", "delivered", "failed"]
WebhookId = Annotated[UUID, Ref("webhooks")]


class WebhookRow(Row):
    """A webhook: where it goes, which events it wants (none: all), and whether it is on, or why it is not."""

    table: ClassVar[str] = "webhooks"
    permission: ClassVar[str] = "admin"
    id: Id
    url: str
    description: str
    events: list[str]
    enabled: bool
    off_because: str | None
    added_at: Annotated[datetime, INDEXED]
    added_by: UUID
    secret_changed_at: datetime
    former_secret_until: datetime | None


class WebhookEntry(WebhookRow):
    """A webhook and how it fares: when something last got through, and since when nothing has."""

    table: ClassVar[str] = "webhook_entries"
    delivered_at: datetime | None
    failing_since: datetime | None


class WebhookDeliveryRow(Row):
    """An event on its way to a webhook, and what became of it. Its id is the `webhook-id`; the event is in the stream at its position."""

    table: ClassVar[str] = "webhook_deliveries"
    permission: ClassVar[str] = "admin"
    id: Id
    webhook_id: WebhookId
    position: int
    type: str
    entity_type: str
    entity_id: UUID
    status: DeliveryStatus
    attempts: int
    queued_at: datetime
    due_at: datetime
    settled_at: datetime | None
    status_code: int | None
    error: str | None


class Attempt(Frozen):
    """One attempt: when, what was answered (its first kilobyte, with e-mail addresses struck out) and how long that took, or why there was no answer."""

    at: datetime
    status_code: int | None
    milliseconds: int
    answer: str | None
    error: str | None


class WebhookDeliveryDetail(WebhookDeliveryRow):
    """An event on its way to a webhook with the attempts that were made, the last ones first."""

    table: ClassVar[str] = "webhook_delivery_details"
    tried: list[Attempt]
