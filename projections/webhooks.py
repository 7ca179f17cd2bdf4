"""How a webhook's events become its row, and how it fares beside that."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.webhooks import (
    Target,
    WebhookAdded,
    WebhookChanged,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookEvent,
    WebhookSecretRotated,
)
from projections.kit import installs, projects
from schemas.webhooks import WebhookRow

installs("""
create or replace view webhook_entries with (security_invoker = true) as
    select w.*, t.delivered_at, t.failing_since from webhooks w left join webhook_targets t on t.id = w.id and t.clinic_id = w.clinic_id;
grant select on webhook_entries to anamnesis_gateway;
create or replace view webhook_delivery_details with (security_invoker = true) as
    select d.*, coalesce((
        select jsonb_agg(jsonb_build_object('at', a.made_at, 'statusCode', a.status_code, 'milliseconds', a.milliseconds, 'answer', a.answer, 'error', a.error) order by a.number desc)
        from webhook_attempts a where a.delivery = d.id), '[]') as tried
    from webhook_deliveries d;
grant select on webhook_delivery_details to anamnesis_gateway;
""")


@projects(WebhookRow, of=WebhookEvent)
def webhooks(row: WebhookRow | None, fact: Fact) -> WebhookRow | None:  # noqa: PLR0911 - one case per event
    match fact.event:
        case WebhookAdded() as event:
            return WebhookRow(
                id=fact.id, **only(Target, event), enabled=True, off_because=None, added_at=fact.recorded_at, added_by=fact.actor,
                secret_changed_at=fact.recorded_at, former_secret_until=None)
        case WebhookChanged() as event if row:
            return replace(row, **only(Target, event))
        case WebhookSecretRotated(until=until) if row:
            return replace(row, secret_changed_at=fact.recorded_at, former_secret_until=until)
        case WebhookEnabled() if row:
            return replace(row, enabled=True, off_because=None)
        case WebhookDisabled(why=why) if row:
            return replace(row, enabled=False, off_because=why)
        case WebhookDeleted():
            return None
    return row
