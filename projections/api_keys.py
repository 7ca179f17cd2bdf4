"""How an API key's events become its row."""

from domain.api_keys import ApiKeyEvent, ApiKeyIssued, ApiKeyRevoked
from domain.kit import Fact
from projections.kit import installs, projects
from schemas.api_keys import ApiKeyRow

installs("""
create or replace view api_key_entries with (security_invoker = true) as
    select k.*, u.used_at as last_used_at from api_keys k left join api_key_uses u on u.id = k.id and u.clinic_id = k.clinic_id;
grant select on api_key_entries to anamnesis_gateway;
""")


@projects(ApiKeyRow, of=ApiKeyEvent)
def api_keys(row: ApiKeyRow | None, fact: Fact) -> ApiKeyRow | None:
    match fact.event:
        case ApiKeyIssued() as event:
            return ApiKeyRow(
                id=fact.id, name=event.name, hint=event.hint, scopes=event.scopes, issued_at=fact.recorded_at, issued_by=fact.actor,
                expires_at=event.expires_at)
        case ApiKeyRevoked():
            return None
    return row
