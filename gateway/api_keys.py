"""Where API keys live on the web."""

from litestar import Router, post
from litestar.params import JSONBody

from commands.api_keys import IssueApiKey, RevokeApiKey
from commands.kit.ids import new_id
from commands.kit.keys import fresh
from domain.api_keys import KeyGrant, ScopeNotYours
from domain.kit import PLATFORM, Id, NotFound, only
from gateway.kit import Desk, act, browse
from schemas.api_keys import ApiKeyEntry


class NewApiKey(KeyGrant, forbid_unknown_fields=True):
    """What a key is for, what it may do, and until when."""


class ApiKeyMade(KeyGrant):
    """A key, to be kept where it is used: it is shown this once, and null when the same request is sent again."""

    id: Id
    hint: str
    key: str | None


@post("/", operation_id="IssueApiKey", status_code=201, opt={"permission": IssueApiKey.permission, "refusals": [ScopeNotYours]})
async def issue(data: JSONBody[NewApiKey], desk: Desk) -> ApiKeyMade:
    """Let a program act in the clinic, within these scopes: `Authorization: Bearer ak_...` or `X-Api-Key: ak_...`."""
    desk.call.only_owner()
    if desk.who.clinic == PLATFORM:
        raise NotFound(kind="clinics")
    id_ = new_id()
    made = fresh(id_)
    secret = await desk.call.services.vault.put_hash(id_, made.hashed, "api-key")
    grant = only(KeyGrant, data)
    receipt = await desk.handle(IssueApiKey(**grant, hint=made.hint, secret_id=secret), id_)
    return ApiKeyMade(**grant, id=receipt.id, hint=made.hint, key=None if receipt.replayed else made.text)


router = Router("/api/v1/protected/clinic/api-keys", tags=["Clinic API Keys"], route_handlers=[
    browse("/", ApiKeyEntry, sort="-issued_at"),
    issue,
    act("/{keyId:uuid}", RevokeApiKey, method="DELETE"),
])
