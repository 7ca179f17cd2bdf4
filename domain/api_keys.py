"""API keys: by which another program acts in a clinic, within the scopes it was given; the key itself is shown once and kept as a hash."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import AccountId, At, Event, Forbidden, Frozen, Invalid, NotFound, State, Text, only
from domain.kit.grants import Key, PermissionUnknown, table

LONGEST = timedelta(days=5 * 366)

Scopes = Annotated[list[Key], Meta(min_length=1, max_length=400, description="Permission keys; what the clinic's plan lacks counts for nothing.")]
Expiry = Annotated[datetime, Meta(tz=True, description="After that it opens nothing; none means until it is revoked.")]
Hint = Annotated[str, Meta(pattern=r"^ak_[A-Za-z0-9_-]{6}$", description="How the key begins, to tell it from others.", examples=["ak_Q1x9-a"])]


class KeyGrant(Frozen):
    """What a key is for, what it may do, and until when."""

    name: Text
    scopes: Scopes
    expires_at: Expiry | None = None


class ApiKeyIssued(Event, KeyGrant):
    hint: Hint
    secret_id: UUID
    account_id: AccountId  # of whoever answers for it: it can do no more than they can, and nothing once they are gone


class ApiKeyRevoked(Event): ...


ApiKeyEvent = ApiKeyIssued | ApiKeyRevoked


class ScopeNotYours(Forbidden):
    """A key can do no more than whoever issues it. Leave those scopes out."""


class ExpiryOutOfReach(Invalid):
    """A key expires in the future, and within five years."""


class ApiKey(State):
    """A key to a clinic."""

    kind: ClassVar[str] = "api_keys"
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    secret: UUID | None = None
    owner: UUID | None = None

    def evolve(self, event: ApiKeyEvent) -> Self:
        match event:
            case ApiKeyIssued(scopes=scopes, expires_at=expires_at, secret_id=secret, account_id=owner):
                return replace(self, scopes=frozenset(scopes), expires_at=expires_at, secret=secret, owner=owner)
            case ApiKeyRevoked():
                return replace(self, secret=None)

    def opens(self, now: datetime) -> bool:
        """Say whether it is any good."""
        return self.secret is not None and (self.expires_at is None or now < self.expires_at)

    def issue(self, grant: KeyGrant, hint: str, secret: UUID, at: At) -> list[Event]:
        for scope in grant.scopes:
            if scope not in table():
                raise PermissionUnknown(permission=scope)
        if beyond := set(grant.scopes) - at.grants:
            raise ScopeNotYours(permissions=sorted(beyond))
        if grant.expires_at is not None and not at.now < grant.expires_at <= at.now + LONGEST:
            raise ExpiryOutOfReach
        return [ApiKeyIssued(**only(KeyGrant, grant), hint=hint, secret_id=secret, account_id=at.actor)]

    def revoke(self) -> list[Event]:
        if self.secret is None:
            raise NotFound
        return [ApiKeyRevoked()]
