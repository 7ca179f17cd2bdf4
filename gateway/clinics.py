"""Where clinics live on the web."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, cast
from uuid import UUID

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import json

from commands.clinics import (
    ChangeClinic,
    ChangeClinicPlan,
    CloseClinic,
    CreateProTrial,
    DeactivateClinic,
    DeleteClinic,
    ExportClinic,
    ExportEvidence,
    FinishClosing,
    FoundClinic,
    KeepClinic,
    LicenseClinic,
    OpenClinic,
    ReactivateClinic,
    RemindClosing,
    RemoveClinicBranding,
    SetClinicBranding,
    SwitchModule,
    SyncClinicModules,
    ToggleClinicModule,
    TypedName,
)
from commands.kit.doors import AccountLocked
from commands.kit.ids import derived
from commands.kit.receipt import house
from domain.clinics import REMINDER, AssetType
from domain.kit import PLATFORM, Frozen, NotFound, Reason, Refused
from domain.kit.licences import Licence
from gateway.accounts import PasswordWrong, Secret, confirmed
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.call import Call
from gateway.kit.document import refusals_of
from gateway.kit.errors import BodyInvalid, BodyUnexpected
from gateway.kit.evidence import bundle
from gateway.kit.images import PICTURES, PictureTooLarge, PictureUnreadable, sniffed
from gateway.kit.services import Services
from gateway.kit.uploads import received
from projections.clinics import active_modules, available_modules, branding_info, clinic_context, clinic_modules
from projections.export import lines
from projections.kit.reading import Wanted
from schemas.clinics import (
    ActiveModules,
    AvailableModules,
    BrandingInfo,
    ClinicContext,
    ClinicModules,
    ClinicRow,
    CurrentClinic,
    DeletedClinicRow,
)

FORM = {"type": "object", "required": ["file"], "properties": {
    "type": {"type": "string", "enum": ["logo", "favicon"]}, "file": {"type": "string", "contentMediaType": "application/octet-stream"}}}
TAKES: dict[str, Any] = {"multipart/form-data": {"schema": FORM}, **{media: {"schema": {"type": "string"}} for media in PICTURES}}
HARMLESS = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox", "cross-origin-resource-policy": "cross-origin"}
FOR_A_WHILE, FOR_EVER = "public, max-age=300", "public, max-age=31536000, immutable"

MANY = 200  # clinics looked at together
Typed = Annotated[TypedName, QueryParameter()]
Why = Annotated[Reason, QueryParameter()]
Which = Annotated[AssetType | None, QueryParameter(name="type", description="What the picture is, if the form does not say so.")]


async def mine(desk: Desk) -> ClinicRow:
    """Return the clinic in which somebody works."""
    row = await desk.reader.one(ClinicRow, desk.who.clinic)
    if row is None or row.deleted:
        raise NotFound
    return row


@get("/context", operation_id="GetClinicContext", opt={"permission": "self"}, summary="Show: the clinic you are working in")
async def context(desk: Desk) -> ClinicContext:
    """Name, time zone, currency, plan and the optional modules that work there."""
    return clinic_context(await mine(desk))


@get("/active", operation_id="GetActiveModules", opt={"permission": "self"}, summary="Show: the optional modules that work in your clinic")
async def modules_active(desk: Desk) -> ActiveModules:
    """Reached by the plan, and switched off by nobody."""
    return active_modules(await mine(desk))


@get("/available", operation_id="ListAvailableModules", opt={"permission": "superadmin"})
async def available() -> AvailableModules:
    """List: the optional modules that there are."""
    return available_modules()


@get("/clinics/{clinicId:uuid}", operation_id="GetClinicModules", opt={"permission": "superadmin"})
async def modules_of(desk: Desk, clinicId: FromPath[UUID]) -> ClinicModules:  # noqa: N803
    """Show: which optional modules work in a clinic.

    And of those that do not, whether the plan, the platform or the clinic itself stands in the way.
    """
    return clinic_modules(await mine(await desk.within(clinicId)))


@post("/{id:uuid}/branding", operation_id="SetClinicBranding", status_code=200, opt={
    "permission": "settings.branding.edit", "takes": TAKES, "refusals": [BodyUnexpected, BodyInvalid, PictureTooLarge, PictureUnreadable]})
async def brand(desk: Desk, id: FromPath[UUID], which: Which = None) -> Response[ClinicRow]:  # noqa: A002
    """Upload a clinic's logo or favicon.

    A form with `file` and `type`, or the picture itself with `?type=`. What it is is read off its bytes: PNG, JPEG, GIF, WebP or ICO, 512 KiB at most.
    """
    await desk.within(id)
    form, body = await received(desk.call, "image/")
    told = form.get("type", which)
    if told not in ("logo", "favicon"):
        raise BodyInvalid(field="type", problem="Expected logo or favicon")
    found, digest = sniffed(body), hashlib.sha256(body).hexdigest()
    await desk.call.services.objects.put(place(id, digest), body)
    command = SetClinicBranding(type=cast("AssetType", told), digest=digest, media=found.media, size=len(body))
    return desk.answer(SetClinicBranding, await desk.handle(command, id))


@delete("/{id:uuid}/branding/{which:str}", operation_id="RemoveClinicBranding", status_code=200, opt={"permission": "settings.branding.edit"})
async def unbrand(desk: Desk, id: FromPath[UUID], which: FromPath[AssetType]) -> Response[ClinicRow]:  # noqa: A002
    """Remove a clinic's logo or favicon.

    The file itself stays until the clinic is deleted; nothing shows it any more.
    """
    await desk.within(id)
    return desk.answer(RemoveClinicBranding, await desk.handle(RemoveClinicBranding(type=which), id))


@get("/{clinicId:uuid}/info", operation_id="GetBrandingInfo", opt={"public": True})
async def branding(desk: Desk, clinicId: FromPath[UUID]) -> BrandingInfo:  # noqa: N803
    """Show: what a clinic looks like.

    Its name, colour and the addresses of its pictures, for pages that carry them.
    """
    return branding_info(await shown(desk, clinicId))


@get("/{clinicId:uuid}/{which:str}", operation_id="GetBrandingPicture", opt={"public": True, "media": "image/*"})
async def branding_picture(desk: Desk, clinicId: FromPath[UUID], which: FromPath[AssetType], v: FromQuery[str | None] = None) -> Response[bytes]:  # noqa: N803
    """Show: a clinic's logo or favicon.

    With the `v` of the address that `info` gives, it may be kept for ever.
    """
    asset = getattr(await shown(desk, clinicId), which)
    if asset is None:
        raise NotFound(kind="branding", id=which)
    tag = f'"{asset.digest}"'
    kept = FOR_EVER if v is not None and asset.digest.startswith(v) and v else FOR_A_WHILE
    headers = {**HARMLESS, "etag": tag, "cache-control": kept, "content-disposition": f'inline; filename="{which}"'}
    if tag in desk.call.headers.get(b"if-none-match", b"").decode("latin-1"):
        return Response(b"", status_code=304, headers=headers)
    if (body := await desk.call.services.objects.get(place(clinicId, asset.digest))) is None:
        raise NotFound(kind="branding", id=which)
    return Response(body, headers=headers, media_type=asset.media)


@post("/{id:uuid}/export", operation_id="ExportClinic", status_code=200, opt={"permission": "admin", "lapsed": True, "media": "application/x-ndjson"})
async def export(desk: Desk, id: FromPath[UUID]) -> Response[bytes]:  # noqa: A002
    """Take everything of a clinic along.

    One JSON object a line: first what follows, then the rows of every read model (`row`, `value`), then every event from the first on (`event`, `position`,
    `said` and the seals that prove it). That it was taken, by whom and from where, stands in the audit log.
    """
    await desk.within(id)
    await desk.handle(ExportClinic(), id)
    keys = desk.call.services.handler.keys
    headers = {"content-disposition": f'attachment; filename="clinic-{id}.ndjson"', "cache-control": "private, no-store"}
    stream = Stream(lines(desk.reader, keys, datetime.now(UTC)), media_type="application/x-ndjson", headers=headers)
    return cast("Response[bytes]", stream)


@post("/{id:uuid}/evidence", operation_id="ExportEvidence", status_code=200, opt={
    "permission": ExportEvidence.permission, "lapsed": True, "media": "application/zip"})
async def evidence(desk: Desk, id: FromPath[UUID]) -> Response[bytes]:  # noqa: A002
    """Take an auditor's export of a clinic's history.

    A ZIP with every event from the first on (envelope, stored bytes, hash, MAC, and the event as it reads, personal fields sealed), the same as a table, the signed heads, the
    public key, and a script that checks all of it with plain Python. That it was taken, by whom and from where, stands in the audit log, and in the export.
    """
    await desk.within(id)
    await desk.handle(ExportEvidence(), id)
    headers = {"content-disposition": f'attachment; filename="evidence-{id}.zip"', "cache-control": "private, no-store"}
    return cast("Response[bytes]", Stream(bundle(desk.reader), media_type="application/zip", headers=headers))


class Closure(Frozen, forbid_unknown_fields=True):
    """The clinic's name typed again, why it is being closed, and your password."""

    name: TypedName
    reason: Reason
    password: Secret


@post("/{id:uuid}/close", operation_id="CloseClinic", status_code=200, opt={
    "permission": "admin", "refusals": [PasswordWrong, AccountLocked, *refusals_of(CloseClinic)]})
async def close(data: JSONBody[Closure], desk: Desk, id: FromPath[UUID]) -> Response[ClinicRow]:  # noqa: A002
    """Close your clinic.

    From now on it can only be looked at and taken along. In thirty days it is deleted, unless you take that back; as long as nobody has taken
    everything along, or a legal hold binds it, it is kept as it is.
    """
    desk.call.only_owner()
    await confirmed(desk, data.password)
    await desk.within(id)
    return desk.answer(CloseClinic, await desk.handle(CloseClinic(name=data.name, reason=data.reason), id))


@delete("/{id:uuid}", operation_id="DeleteClinic", status_code=200, opt={"permission": "superadmin", "refusals": refusals_of(DeleteClinic)})
async def delete_clinic(desk: Desk, id: FromPath[UUID], name: Typed, reason: Why) -> Response[ClinicRow]:  # noqa: A002
    """Delete a clinic for good, and its files with it. Type its name again to show that you mean this one.

    One that has records is closed first, and takes them along: until then their retention binds it, and a legal hold binds it in any case.
    """
    told = desk.answer(DeleteClinic, await desk.handle(DeleteClinic(name=name, reason=reason), id))
    await desk.call.services.objects.delete(f"clinics/{id}")
    return told


async def tend(services: Services) -> None:
    """Remind whoever closes a clinic that its time is nearly over, and delete those whose time is; each once, however many gateways look."""
    now = datetime.now(UTC)
    reader = await services.reader(PLATFORM, 0)
    soon = Wanted((("closing_until", "<", now + REMINDER),), "closing_until", limit=MANY)
    while True:
        page = await reader.page(CurrentClinic, soon)
        for row in json.decode(page.items, type=list[CurrentClinic]):
            with suppress(Refused):  # it must be kept, is kept after all, or is gone meanwhile
                await at_its_end(services, row, now)
        if page.next is None:
            return
        soon = soon._replace(cursor=page.next)


async def at_its_end(services: Services, row: ClinicRow, now: datetime) -> None:
    """Do what is due for a clinic that is being closed."""
    assert row.closing_until is not None
    over = row.closing_until <= now
    once = derived(b"closing over" if over else b"closing reminded", row.id.bytes, row.closing_until.isoformat().encode())
    await services.handler.handle(FinishClosing() if over else RemindClosing(), house(PLATFORM, row.id), id=row.id, command_id=once)
    if over:
        await services.objects.delete(f"clinics/{row.id}")


async def open_founded(call: Call, clinic: UUID, by: UUID, said: Mapping[str, Any]) -> None:
    """Open the clinic of a sign-up, with its trial and its first admin, unless it is open."""
    trial = Licence(plan=said["plan"], users=said["users"], doctors=said["doctors"], trial=True)
    told = {name: value for name, value in said.items() if name in FoundClinic.__struct_fields__}
    await call.settle(FoundClinic(**told, trial=trial), by, clinic=clinic)


async def shown(desk: Desk, clinic: UUID) -> ClinicRow:
    """Return the clinic that anybody may look at."""
    await desk.enter(clinic)
    row = await desk.reader.one(ClinicRow, clinic)
    if row is None or row.deleted:
        raise NotFound(kind="clinics", id=str(clinic))
    return row


def place(clinic: UUID, digest: str) -> str:
    """Return the key of a picture."""
    return f"clinics/{clinic}/branding/{digest}"


router = Router("/api/v1", route_handlers=[
    Router("/branding", tags=["Branding"], route_handlers=[branding, branding_picture]),
    Router("/protected/clinics", tags=["Clinics"], route_handlers=[
        context,
        browse("/", CurrentClinic, by=["plan", "trial", "active", "until.."], sort="name", sorts=["until"]),
        browse("/deletions/history", DeletedClinicRow, sort="-deleted_at", sorts=["name"]),
        fetch("/{id:uuid}", ClinicRow),
        create("/", OpenClinic),
        act("/{id:uuid}", ChangeClinic, method="PUT"),
        act("/{id:uuid}/subscription", ChangeClinicPlan, method="PUT"),
        act("/{id:uuid}/modules/{module:str}", SwitchModule, method="PUT"),
        brand,
        unbrand,
        export,
        evidence,
        act("/{id:uuid}/deactivate", DeactivateClinic),
        act("/{id:uuid}/reactivate", ReactivateClinic),
        close,
        act("/{id:uuid}/close", KeepClinic, method="DELETE", opt={"lapsed": True}),
        delete_clinic,
    ]),
    Router("/protected/subscription-plans", tags=["Plans"], route_handlers=[act("/create-pro-trial", CreateProTrial)]),
    Router("/protected/clinic/modules", tags=["Modules"], route_handlers=[modules_active]),
    Router("/protected/superadmin/modules", tags=["Modules"], route_handlers=[
        available,
        modules_of,
        act("/clinics/{id:uuid}/toggle", ToggleClinicModule),
        act("/clinics/{id:uuid}/sync-to-plan", SyncClinicModules),
    ]),
    Router("/protected/licenses", tags=["Licences"], route_handlers=[act("/{id:uuid}/upgrade", LicenseClinic)]),
])
