"""Where webhooks live on the web, and the log of what was sent to them."""

import os
from base64 import b64encode
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from litestar import Response, Router, post, put
from litestar.params import FromPath, JSONBody

from commands.kit.deliveries import KIND
from commands.kit.ids import derived, new_id
from commands.kit.receipt import house
from commands.webhooks import (
    AddWebhook,
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    EnableWebhook,
    GiveWebhookUp,
    ResendDelivery,
    ResendFailedDeliveries,
    RotateWebhookSecret,
    SendWebhookTest,
)
from domain.kit import PLATFORM, Frozen, Id, Invalid, NotFound, Refused, only
from domain.kit.addresses import literal, networks, within
from domain.webhooks import Overlap, Target, Webhook, WebhookUrlInvalid
from gateway.kit import Desk, act, browse, fetch
from gateway.kit.catalogue import homes
from gateway.kit.document import refusals_of
from gateway.kit.services import Services
from projections.kit.heard import kinds_heard
from projections.kit.outbox import given_up
from schemas.events import VIEWED
from schemas.webhooks import WebhookDeliveryDetail, WebhookDeliveryRow, WebhookEntry, WebhookRow

PREFIX = "whsec_"
SECRET_BYTES = 32


class EventsNotHeard(Invalid):
    """Webhooks of this clinic do not hear of these events. `details` names them; leave them out."""


class WebhookWish(Target, forbid_unknown_fields=True):
    """Where events are sent, and which."""


class SecretWish(Frozen, forbid_unknown_fields=True):
    """For how long the secret before signs as well."""

    overlap: Overlap = 24


class WebhookMade(Target):
    """A webhook, and the secret with which its receiver verifies: it is shown this once, and null when the same request is sent again."""

    id: Id
    secret: str | None


class SecretMade(Frozen):
    """A fresh secret: it is shown this once, and null when the same request is sent again."""

    id: Id
    secret: str | None


@post("/", operation_id="AddWebhook", status_code=201, opt={"permission": AddWebhook.permission, "refusals": [*refusals_of(AddWebhook), EventsNotHeard]})
async def add(data: JSONBody[WebhookWish], desk: Desk) -> WebhookMade:
    """Have the clinic's events sent to another program.

    Each event is one POST, signed as the Standard Webhooks specification has it with the secret that is answered here, and repeated for three days until it is taken: see `docs/webhooks.md`.
    """
    settled(desk)
    private = allowed(desk, data)
    id_, (secret, text) = new_id(), fresh()
    kept = await desk.call.services.vault.put_sealed(id_, secret, KIND)
    receipt = await desk.handle(AddWebhook(**only(Target, data), secret_id=kept, private=private), id_)
    return WebhookMade(**only(Target, data), id=receipt.id, secret=None if receipt.replayed else text)


@put("/{id:uuid}", operation_id="ChangeWebhook", opt={"permission": ChangeWebhook.permission, "refusals": [*refusals_of(ChangeWebhook), EventsNotHeard]})
async def change(desk: Desk, id: FromPath[UUID], data: JSONBody[WebhookWish]) -> Response[WebhookRow]:  # noqa: A002
    """Have events sent elsewhere, or others; what waits goes to the new address."""
    settled(desk)
    receipt = await desk.handle(ChangeWebhook(**only(Target, data), private=allowed(desk, data)), id)
    return desk.answer(ChangeWebhook, receipt)


@post("/{id:uuid}/rotate-secret", operation_id="RotateWebhookSecret", status_code=200, opt={
    "permission": RotateWebhookSecret.permission, "refusals": refusals_of(RotateWebhookSecret)})
async def rotate(desk: Desk, id: FromPath[UUID], data: JSONBody[SecretWish]) -> SecretMade:  # noqa: A002
    """Sign with a fresh secret; for some hours with the one before as well, so that a receiver may know either."""
    settled(desk)
    # the vault must not forget a secret that another gateway has made
    state: Any = (await desk.call.services.handler.streams.latest(Webhook, id, desk.who.clinic)).state
    if state.target is None:
        raise NotFound(kind=Webhook.kind, id=str(id))
    secret, text = fresh()
    kept = await desk.call.services.vault.put_sealed(id, secret, KIND, [one.id for one in state.secrets])
    receipt = await desk.handle(RotateWebhookSecret(secret_id=kept, overlap=data.overlap), id)
    return SecretMade(id=id, secret=None if receipt.replayed else text)


router = Router("/api/v1/protected/webhooks", tags=["Webhooks"], route_handlers=[
    browse("/", WebhookEntry, by=["enabled"], sort="added_at"),
    fetch("/{id:uuid}", WebhookEntry),
    add,
    change,
    rotate,
    act("/{id:uuid}/enable", EnableWebhook),
    act("/{id:uuid}/disable", DisableWebhook),
    act("/{id:uuid}/test", SendWebhookTest),
    browse("/deliveries", WebhookDeliveryRow, by=["webhook_id", "status", "type", "entity_id", "queued_at.."], sort="-queued_at"),
    fetch("/deliveries/{id:uuid}", WebhookDeliveryDetail),
    act("/{id:uuid}/deliveries/{delivery:uuid}/resend", ResendDelivery),
    act("/{id:uuid}/resend-failed", ResendFailedDeliveries),
    act("/{id:uuid}", DeleteWebhook, method="DELETE"),
])


def settled(desk: Desk) -> None:
    """Refuse whoever may not set webhooks up: nobody does in another's name, and the platform has none."""
    desk.require("admin")
    desk.call.only_owner()
    if desk.who.clinic == PLATFORM:
        raise NotFound(kind="clinics")


def allowed(desk: Desk, target: Target) -> bool:
    """Refuse events that are not for the clinic; say whether the operator lets the address be in a network of their own."""
    kinds = kinds_heard(desk.who.may, VIEWED) - {Webhook.kind}
    if beyond := sorted(name for name in target.events if name in homes() and homes()[name] not in kinds):
        raise EventsNotHeard(events=beyond)
    inside = networks(getattr(desk.call.services.settings, "webhooks_private", ""))
    try:
        address = literal(urlsplit(target.url).hostname or "")
    except ValueError:
        raise WebhookUrlInvalid from None
    return within(address, inside) if address is not None else bool(inside)


def fresh() -> tuple[bytes, str]:
    """Return a new secret, and how it is shown."""
    secret = os.urandom(SECRET_BYTES)
    return secret, PREFIX + b64encode(secret).decode()


async def tend(services: Services) -> None:
    """Switch off, on record, the webhooks that nothing is sent to any more; each once, however many gateways look."""
    for found in await given_up(services.reading.lanes):
        once = derived(b"webhook given up", found.id.bytes, found.since.isoformat().encode())
        with suppress(Refused):  # somebody has switched it off or deleted it meanwhile
            await services.handler.handle(GiveWebhookUp(why=found.why), house(PLATFORM, found.clinic), id=found.id, command_id=once)
