"""Where staff live on the web: in the clinic, and at the door when they come for the first time."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from commands.kit.handling import Receipt
from commands.staff import (
    AdmitFounder,
    CancelStaffInvitation,
    ChangeStaff,
    DeactivateStaff,
    GiveStaffAccount,
    HireStaff,
    InviteStaff,
    JoinStaff,
    OverrideStaffPermissions,
    ReactivateStaff,
    ResendStaffInvitation,
)
from domain.kit import PLATFORM, Frozen, Invalid, Text
from domain.staff import INVITATION, SETUP, InvitationOver, Staff, StaffNotActive, StaffRole, founder_of
from gateway.accounts import (
    CodeWrong,
    PasswordPoor,
    Secret,
    account_at,
    account_for,
    ensure_strong,
    give_place,
    row_of,
    set_password,
    state_of,
)
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.call import Call
from gateway.kit.past import AsOf
from gateway.kit.query import no_query
from projections.staff import permissions, permissions_then
from schemas.staff import ClinicUser, StaffInvitationRow, StaffPermissions, StaffRow

StaffMember = Annotated[UUID, PathParameter(description="Id of one of the clinic's staff.")]
Token = Annotated[str, PathParameter(description="The token of the letter's link.")]


class PasswordNeeded(Invalid):
    """Nobody has an account with this address yet. Choose a password for it."""


class Acceptance(Frozen, forbid_unknown_fields=True):
    """The password, for whoever has no account with that address yet, and how they want to be called."""

    password: Secret | None = None
    name: Text | None = None


class StaffInvitation(Frozen):
    """What somebody is invited to. Who has an account already keeps its password, and only accepts."""

    clinic_id: UUID
    clinic_name: str
    email: str
    name: str | None
    role: StaffRole
    expires_at: datetime
    has_account: bool


class Joined(Frozen):
    """Where somebody belongs now; they can sign in."""

    clinic_id: UUID
    email: str


class SetupToken(Frozen, forbid_unknown_fields=True):
    """The token of the letter's link."""

    token: Annotated[str, Meta(min_length=1, max_length=128)]


class NewPassword(SetupToken, forbid_unknown_fields=True):
    """The token of the letter's link, and the password that is to count from now on."""

    password: Secret


class SetupAccount(Frozen):
    """Whose password is to be set."""

    email: str | None
    name: str | None


@get("/{id:uuid}/permissions", operation_id="GetStaffPermissions", summary="Show: what a member of staff may do", opt={"permission": StaffRow.permission})
async def explained(desk: Desk, id: StaffMember, as_of: AsOf = None) -> StaffPermissions:  # noqa: A002
    """Every permission, whether they hold it, and which layer gave it or took it: plan, module, the role's template, their own override, or the floor."""
    no_query(desk.call.query(), ("asOf",))
    if as_of is not None:
        position, services = await desk.then(as_of), desk.call.services
        return await permissions_then(desk.reader, services.handler.keys, id, services.kinds.clinic, position)
    clinic = await desk.clinic()
    return await permissions(desk.reader, id, clinic.plan, clinic.off)


@post("/create", operation_id="HireStaff", status_code=201, opt={"permission": HireStaff.permission})
async def hire(data: JSONBody[HireStaff], desk: Desk) -> Response[StaffRow]:
    """Take on a member of staff without asking.

    Whoever has an account with that address belongs to the clinic with it; anybody else gets one, and a letter with a link to set its password.
    """
    return desk.answer(HireStaff, await taken_on(desk, data), 201)


async def taken_on(desk: kit.Desk, asked: HireStaff) -> Receipt:
    """Take somebody on in the clinic where the desk is, and let the owner of that address belong to it."""
    hired = await desk.handle(asked)
    account = await account_for(desk.call, asked.email, asked.name)
    if (await state_of(desk.call.services, account)).place(desk.who.clinic) is None:  # else it is somebody else's here, who shares the address
        await give_place(desk.call, account, desk.who.clinic, asked.role, hired.id)
        given = await desk.call.settle(GiveStaffAccount(account_id=account), account, id=hired.id, clinic=desk.who.clinic)
        return given if given.row is not None and not hired.replayed else hired
    return hired


async def let_go(desk: kit.Desk, clinic: UUID, staff: UUID) -> None:
    """Remove somebody from a clinic's staff, if they are still among it."""
    await desk.within(clinic)
    with suppress(StaffNotActive):
        await desk.handle(DeactivateStaff(), staff)


@post("/invitations/{id:uuid}/resend", operation_id="ResendStaffInvitation", status_code=200, opt={"permission": ResendStaffInvitation.permission})
async def resend(data: JSONBody[ResendStaffInvitation], desk: Desk, id: StaffMember) -> Response[StaffRow]:  # noqa: A002
    """Send an invitation again, good for another seven days; the link of the letter before opens nothing any more."""
    return await resent(desk, id, data)


async def resent(desk: kit.Desk, id: UUID, data: ResendStaffInvitation) -> Response[StaffRow]:  # noqa: A002
    """Send an invitation of the clinic where the desk is again."""
    if await desk.known(Staff.kind, id):
        await desk.call.services.codes.withdraw(INVITATION, id)  # before there can be a new one
    return desk.answer(ResendStaffInvitation, await desk.handle(data, id))


async def invited(desk: Desk, token: str) -> tuple[UUID, Staff, StaffRow]:
    """Return who is invited by a token, and go on in their clinic."""
    services = desk.call.services
    staff = await services.codes.peek(INVITATION, token)
    clinic = await services.handler.tenant_of(staff) if staff else None
    if staff is None or clinic in {None, PLATFORM}:
        raise InvitationOver
    await desk.enter(clinic)
    entry = await services.handler.streams.latest(Staff, staff, clinic, row=True)
    state, row = entry.state, entry.row
    assert isinstance(state, Staff)
    state.ensure_invited(datetime.now(UTC))
    if not isinstance(row, StaffRow) or row.email is None or (await desk.clinic()).closing is not None:
        raise InvitationOver
    return staff, state, row


async def known(desk: Desk, email: str) -> bool:
    """Say whether somebody can already sign in with that address."""
    account = await account_at(desk.call.services.handler, email)
    return account is not None and (await state_of(desk.call.services, account)).password is not None


@get("/invitation/{token:str}", operation_id="GetStaffInvitation", summary="Show: an invitation", opt={"public": True, "refusals": [InvitationOver]})
async def preview(desk: Desk, token: Token) -> StaffInvitation:
    """What whoever has the letter is invited to."""
    no_query(desk.call.query())
    _, state, row = await invited(desk, token)
    assert state.invited_until is not None
    assert row.email is not None
    return StaffInvitation(
        clinic_id=desk.who.clinic, clinic_name=(await desk.clinic()).name, email=row.email, name=row.name, role=state.role,
        expires_at=state.invited_until, has_account=await known(desk, row.email))


@post("/invitation/{token:str}/accept", operation_id="AcceptStaffInvitation", status_code=200, opt={
    "public": True, "refusals": [InvitationOver, PasswordNeeded, PasswordPoor]})
async def accept(data: JSONBody[Acceptance], desk: Desk, token: Token) -> Joined:
    """Accept an invitation: clinic and role are those of the invitation, the address is proved by the letter's link.

    An account that has a password keeps it, whatever is sent; sign in with it afterwards.
    """
    staff, state, row = await invited(desk, token)
    call, clinic, email = desk.call, desk.who.clinic, row.email or ""
    new = not await known(desk, email)
    if new and data.password is None:
        raise PasswordNeeded
    if new:
        ensure_strong(data.password or "", email)
    if await call.services.codes.redeem(INVITATION, token) is None:  # somebody else was quicker
        raise InvitationOver
    account = await account_for(call, email, data.name or row.name)
    if new and data.password is not None:
        await set_password(call, account, data.password, "changed")
    await give_place(call, account, clinic, state.role, staff)
    await call.settle(JoinStaff(account_id=account, name=data.name), account, id=staff, clinic=clinic)
    return Joined(clinic_id=clinic, email=email)


async def admit(call: Call, clinic: UUID, account: UUID) -> None:
    """Let the first admin of a clinic that signed up come in, by that account."""
    founder = founder_of(clinic)
    await call.settle(AdmitFounder(account_id=account), account, id=founder, clinic=clinic)
    await give_place(call, account, clinic, "admin", founder)


async def setting_up(desk: Desk, account: UUID | None) -> UUID:
    """Return the account whose first password a token may set; one that has been set since is changed otherwise."""
    if account is None or (await state_of(desk.call.services, account)).password is not None:
        raise CodeWrong
    return account


@post("/verify-setup-token", operation_id="VerifySetupToken", status_code=200, opt={"public": True, "refusals": [CodeWrong]})
async def verify(data: JSONBody[SetupToken], desk: Desk) -> SetupAccount:
    """Show whose first password a letter's link would set."""
    account = await setting_up(desk, await desk.call.services.codes.peek(SETUP, data.token))
    row = await row_of(desk.call.services, account)
    return SetupAccount(email=row.email, name=row.name)


@post("/set-password", operation_id="SetFirstPassword", status_code=204, opt={"public": True, "refusals": [CodeWrong, PasswordPoor]})
async def set_first_password(data: JSONBody[NewPassword], desk: Desk) -> None:
    """Set an account's first password, by a letter's link; sign in with it afterwards."""
    codes = desk.call.services.codes
    account = await setting_up(desk, await codes.peek(SETUP, data.token))
    ensure_strong(data.password, (await row_of(desk.call.services, account)).email or "")
    if await codes.redeem(SETUP, data.token) is None:  # somebody else was quicker
        raise CodeWrong
    await set_password(desk.call, account, data.password, "changed")


router = Router("/api/v1/protected/staff", tags=["Staff"], route_handlers=[
    browse("/", StaffRow, by=["role", "active", "status"], sort="name"),
    browse("/invitations", StaffInvitationRow, by=["role", "expires_at.."], sort="-sent_at"),
    fetch("/{id:uuid}", StaffRow),
    explained,
    create("/invite", InviteStaff),
    resend,
    act("/invitations/{id:uuid}", CancelStaffInvitation, method="DELETE"),
    hire,
    act("/{id:uuid}", ChangeStaff, method="PUT"),
    act("/{id:uuid}", DeactivateStaff, method="DELETE"),
    act("/{id:uuid}/reactivate", ReactivateStaff),
    act("/{id:uuid}/permissions", OverrideStaffPermissions, method="PUT"),
])
door = Router("/api/v1/auth", tags=["Authentication"], opt={"lapsed": True}, route_handlers=[preview, accept, verify, set_first_password])
users = Router("/api/v1/protected/clinics", tags=["Clinics"], route_handlers=[
    browse("/{clinicId:uuid}/users", ClinicUser, by=["role", "status"], sort="name"),
])
