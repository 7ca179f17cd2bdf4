"""What may be asked of an API key."""

from uuid import UUID

from commands.kit import Command, Creation
from domain.api_keys import ApiKey, Hint, KeyGrant
from domain.kit import At, Event


class IssueApiKey(Creation, KeyGrant):
    """Let a program act in the clinic, within these scopes; the vault keeps its key already."""

    state = ApiKey
    permission = "admin"
    hint: Hint
    secret_id: UUID

    def decide(self, key: ApiKey, at: At) -> list[Event]:
        return key.issue(self, self.hint, self.secret_id, at)


class RevokeApiKey(Command):
    """Let a key open nothing any more, at once."""

    state = ApiKey
    permission = "admin"

    def decide(self, key: ApiKey, at: At) -> list[Event]:
        return key.revoke()
