"""What may be asked of a webhook."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Look
from domain.kit import At, Event, NotFound
from domain.webhooks import MOST, Overlap, Target, Webhook, Why
from schemas.webhooks import WebhookDeliveryRow, WebhookRow


class AddWebhook(Creation, Target):
    """Have the clinic's events sent to another program; the vault keeps the secret already.

    `private` says that the operator allows this address though it is not on the public internet.
    """

    state = Webhook
    permission = "admin"
    secret_id: UUID
    private: bool = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"others": len(await look.find(WebhookRow))}

    def decide(self, webhook: Webhook, at: At, *, others: Annotated[int, Meta(ge=0, le=MOST)]) -> list[Event]:
        return webhook.add(self, self.secret_id, at.actor, private=self.private, others=others)


class ChangeWebhook(Command, Target):
    """Have events sent elsewhere, or others."""

    state = Webhook
    permission = "admin"
    private: bool = False

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.change(self, at.actor, private=self.private)


class RotateWebhookSecret(Command):
    """Sign with a fresh secret, which the vault keeps already; for some hours with the one before as well."""

    state = Webhook
    permission = "admin"
    secret_id: UUID
    overlap: Overlap = 24

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.rotate(self.secret_id, self.overlap, at.now)


class EnableWebhook(Command):
    """Send again, from now on.

    What failed before can be had with `resend-failed`; what happened while it was off is in the event stream.
    """

    state = Webhook
    permission = "admin"

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.enable()


class DisableWebhook(Command):
    """Send nothing more until it is switched on again; what was under way has failed."""

    state = Webhook
    permission = "admin"

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.disable("asked", at.actor)


class GiveWebhookUp(Command):
    """Switch off a webhook whose receiver is gone, or took nothing for days; an admin is told."""

    state = Webhook
    permission = "house"
    why: Why

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.disable(self.why)


class SendWebhookTest(Command):
    """Send an event `WebhookTestAsked` to this webhook, whatever else it wants."""

    state = Webhook
    permission = "admin"

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.test()


class ResendDelivery(Command):
    """Send a delivery again, under the same `webhook-id`."""

    state = Webhook
    permission = "admin"
    delivery: UUID

    async def gather(self, look: Look) -> dict[str, Any]:
        found = await look.find(WebhookDeliveryRow, id=self.delivery, webhook_id=look.at.id)
        if not found:
            raise NotFound(kind="deliveries", id=str(self.delivery))
        return {"settled": found[0].status != "queued"}

    def decide(self, webhook: Webhook, at: At, *, settled: bool) -> list[Event]:
        return webhook.resend(self.delivery, settled=settled)


class ResendFailedDeliveries(Command):
    """Send again whatever this webhook has not taken of what was first due since an instant; the log reaches back thirty days."""

    state = Webhook
    permission = "admin"
    since: Annotated[datetime, Meta(tz=True)]

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.resend_failed(self.since, at.now)


class DeleteWebhook(Command):
    """Send nothing more there, and forget its secret; the log of its deliveries stays for its thirty days."""

    state = Webhook
    permission = "admin"

    def decide(self, webhook: Webhook, at: At) -> list[Event]:
        return webhook.delete()
