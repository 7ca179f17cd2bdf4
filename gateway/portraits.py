"""The pictures by which people know each other: one's own to change, one's colleagues' to see."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, delete, get, put
from litestar.params import PathParameter

from commands.portraits import ShowOneself
from domain.kit import Frozen, NotFound
from gateway.accounts import row_of, state_of
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.errors import BodyInvalid, BodyUnexpected
from gateway.kit.images import PICTURES, PictureTooLarge, PictureUnreadable, sniffed
from gateway.kit.query import no_query
from gateway.kit.uploads import received

AccountId = Annotated[UUID, PathParameter(description="Id of a colleague's account.")]
FORM = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}}}
TAKES: dict[str, Any] = {"multipart/form-data": {"schema": FORM}, **{media: {"schema": {"type": "string"}} for media in PICTURES}}
PRIVATE = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, max-age=300"}
KIND = "picture"


class Portrait(Frozen):
    """A picture that was taken, by its id, which changes with it, and its type."""

    id: UUID
    media: str


@put("/me/image", operation_id="SetProfileImage", status_code=200, opt={
    "permission": "self", "takes": TAKES, "refusals": [BodyUnexpected, BodyInvalid, PictureTooLarge, PictureUnreadable]})
async def set_picture(desk: Desk) -> Portrait:
    """Upload a picture of yourself.

    A form with `file`, or the picture itself. What it is is read off its bytes: PNG, JPEG, GIF, WebP or ICO, 512 KiB at most. It is kept encrypted.
    """
    no_query(desk.call.query())
    desk.call.only_owner()
    _, body = await received(desk.call, "image/")
    found, account = sniffed(body), desk.who.account
    state: Any = await state_of(desk.call.services, account)
    secret = await desk.call.services.vault.put_sealed(account, body, KIND, [state.picture])
    await desk.call.mine(ShowOneself(secret_id=secret, media=found.media))
    return Portrait(id=secret, media=found.media)


@delete("/me/image", operation_id="RemoveProfileImage", status_code=204, opt={"permission": "self"})
async def remove_picture(desk: Desk) -> None:
    """Have no picture of yourself any more."""
    await desk.call.mine(ShowOneself())


@get("/me/image", operation_id="GetProfileImage", summary="Show: your picture", opt={"permission": "self", "media": "image/*", "refusals": [NotFound]})
async def my_picture(desk: Desk) -> Response[bytes]:
    """The picture that you have uploaded."""
    no_query(desk.call.query())
    return await picture(desk, desk.who.account)


@get("/{id:uuid}/image", operation_id="GetColleagueImage", summary="Show: a colleague's picture", opt={"permission": "self", "media": "image/*"})
async def colleague(desk: Desk, id: AccountId) -> Response[bytes]:  # noqa: A002
    """The picture of somebody who works in the same clinic."""
    no_query(desk.call.query())
    place = (await state_of(desk.call.services, id)).place(desk.who.clinic)
    if desk.who.role == "patient" or place is None or place.role == "patient":
        raise NotFound(kind="accounts", id=str(id))
    return await picture(desk, id)


async def picture(desk: kit.Desk, account: UUID) -> Response[bytes]:
    """Return somebody's picture; its id is its tag."""
    shown = (await row_of(desk.call.services, account)).picture
    if shown is None:
        raise NotFound(kind="pictures", id=str(account))
    tag = f'"{shown.id}"'
    headers = {**PRIVATE, "etag": tag, "content-disposition": 'inline; filename="portrait"'}
    if tag in desk.call.headers.get(b"if-none-match", b"").decode("latin-1"):
        return Response(b"", status_code=304, headers=headers)
    if (kept := await desk.call.services.vault.unsealed(shown.id)) is None:
        raise NotFound(kind="pictures", id=str(account))
    return Response(kept.secret, headers=headers, media_type=shown.media)


router = Router("/api/v1", tags=["Account"], route_handlers=[
    Router("/auth", opt={"lapsed": True}, route_handlers=[set_picture, remove_picture, my_picture]),
    Router("/protected/users", route_handlers=[colleague]),
])
