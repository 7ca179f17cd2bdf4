"""Where invite codes live on the web: the platform makes them, and whoever signs up shows one."""

from uuid import UUID

from litestar import Router, post
from litestar.params import JSONBody

from commands.invite_codes import MintInviteCode, RevokeInviteCode
from commands.kit import Command
from domain.invite_codes import INVITE_CODE, InviteCodeOver, signup_of
from gateway.kit import Desk, act, browse, fetch
from gateway.kit import desk as kit
from schemas.invite_codes import InviteCodeRow, InviteCodeShown

DAY = 86_400  # seconds


@post("/", operation_id="MintInviteCode", status_code=201, opt={"permission": MintInviteCode.permission})
async def mint(data: JSONBody[MintInviteCode], desk: Desk) -> InviteCodeShown:
    """Make a code with which clinics sign up without anybody looking at it first. It is shown once."""
    minted = await desk.handle(data)
    row = minted.row
    assert isinstance(row, InviteCodeRow)
    code = await desk.call.services.codes.issue(INVITE_CODE, minted.id, data.days * DAY)
    return InviteCodeShown(id=minted.id, code=code, uses=row.uses, expires_at=row.expires_at)


async def use(desk: kit.Desk, text: str, command: Command) -> UUID:
    """Have somebody sign up with a code; whether it is still good is for its own rules to say. Gives the sign-up."""
    if (code := await desk.call.services.codes.peek(INVITE_CODE, text)) is None:
        raise InviteCodeOver
    used = await desk.handle(command, code)
    assert isinstance(used.row, InviteCodeRow)
    return signup_of(code, used.row.used)


router = Router("/api/v1/protected/admin/invite-codes", tags=["Sign-up"], route_handlers=[
    browse("/", InviteCodeRow, by=["revoked", "minted_at..", "expires_at.."], sort="-minted_at"),
    fetch("/{id:uuid}", InviteCodeRow),
    mint,
    act("/{id:uuid}", RevokeInviteCode, method="DELETE"),
])

__all__ = ["InviteCodeOver", "router", "use"]
