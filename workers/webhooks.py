"""What a webhook's own events mean for what is sent to it, of what it may hear, and what is written to a clinic whose webhook was given up."""

from typing import get_args
from uuid import UUID

from domain.clinics import Clinic, ClinicDeleted
from domain.kit import Event, Fact
from domain.kit.grants import effective
from domain.webhooks import (
    WEBHOOK_DISABLED_LETTER,
    Webhook,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
    WebhookEvent,
    WebhookResendAsked,
    WebhookTestAsked,
)
from projections.kit.heard import kinds_heard
from projections.kit.stored import Stored
from schemas.events import VIEWED
from workers.kit.fanout import Endpoint, Told
from workers.kit.policies import Letter, To, answers
from workers.kit.writing import Look

OWN = (*(event.__name__ for event in get_args(WebhookEvent)), ClinicDeleted.__name__)


async def told(look: Look, stored: Stored) -> Told:
    """Return what an event means: the webhook as it is from then on, and what is to be sent because of it."""
    if stored.topic == ClinicDeleted.__name__:
        return Told(None, all_of_them=True)
    events = [fact.event for fact in await look.facts(stored.stream, stored.clinic) if fact.version <= stored.version]
    webhook, before = Webhook.replay(events), Webhook.replay(events[:-1])
    if webhook.target is None:
        return Told(None)
    endpoint = Endpoint(webhook.target.url, webhook.target.events, webhook.enabled, [(secret.id, secret.until) for secret in webhook.secrets])
    return meant(events[-1], endpoint, before)


def meant(event: Event, endpoint: Endpoint, before: Webhook) -> Told:
    """Return what an event means for a webhook that is `endpoint` after it, and was another one `before`."""
    match event:
        case WebhookTestAsked():
            return Told(endpoint, test=True)
        case WebhookResendAsked(delivery=delivery, since=since):
            return Told(endpoint, again=delivery or since)
        case WebhookEnabled() | WebhookDisabled():
            return Told(endpoint, afresh=True)
        case WebhookChanged(url=url):
            return Told(endpoint, afresh=before.target is None or url != before.target.url)
    return Told(endpoint)


async def heard(look: Look, clinic: UUID, position: int) -> frozenset[str]:
    """Return the kinds of whose events a clinic's webhooks hear: those that an admin of it may hear of then; none while nobody may come in.

    One webhook hears nothing of another: an address may be a secret between two.
    """
    here = Clinic.replay(fact.event for fact in await look.facts(clinic, clinic) if fact.kind == Clinic.kind and fact.position <= position)
    if not here.active:
        return frozenset()
    held = effective("admin", here.plan, off=here.off).keys | {"admin"}
    return kinds_heard(held.__contains__, VIEWED) - {Webhook.kind}


@answers
def when_WebhookDisabled(fact: Fact, event: WebhookDisabled) -> list[Letter]:
    """To the clinic, and to whoever set the webhook up; none if somebody switched it off themselves."""
    address = {"address": event.url.partition("?")[0]}
    return [] if event.why == "asked" else [
        Letter(WEBHOOK_DISABLED_LETTER, To("clinics", fact.clinic), address), Letter(WEBHOOK_DISABLED_LETTER, To("accounts", event.account_id), address)]
