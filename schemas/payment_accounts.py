"""What may be seen of a clinic's payment account: never its keys."""

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import Meta

from domain.kit import Frozen
from schemas.kit import Row


class PaymentAccountRow(Row):
    """Whether the clinic has an account at the payment service, and by what its key is known."""

    table: ClassVar[str] = "payment_accounts"
    permission: ClassVar[str] = "settings.modules.manage"
    id: UUID
    connected: bool
    hint: str | None
    live: bool
    changed_at: datetime


class PaymentAccountShown(Frozen):
    """The clinic's account at the payment service, and where that is to tell us what was paid."""

    connected: bool
    hint: Annotated[str | None, Meta(description="The last signs of its key; more of it is never shown.")]
    live: Annotated[bool, Meta(description="Whether real money is moved; a test key moves none.")]
    webhook_url: Annotated[str, Meta(description="The address to be entered at the payment service as a webhook, with the events named here.")]
    webhook_events: list[str]
    changed_at: datetime | None = None
