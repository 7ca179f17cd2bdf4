"""What may be asked of the picture by which somebody is known."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from commands.kit import Command
from domain.accounts import Account
from domain.kit import At, Event


class ShowOneself(Command):
    """Let another picture show whose account it is, which the vault keeps already; or none."""

    state = Account
    permission = "self"
    secret_id: Annotated[UUID | None, Meta(description="Under which the vault keeps the picture.")] = None
    media: Literal["image/png", "image/jpeg", "image/gif", "image/webp", "image/x-icon"] | None = None

    def decide(self, account: Account, at: At) -> list[Event]:
        return account.show(self.secret_id, self.media)
