"""People across all clinics, as the platform sees to them: who they are, where they belong, whether they may come in; and one's own clinics."""

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter

from commands.accounts import (
    AskPasswordReset,
    ChangeAccount,
    ChangePlatformRole,
    DeleteAccount,
    InviteAccount,
    ReinstateAccount,
    SuspendAccount,
    WithdrawPassword,
    WithdrawPlace,
)
from commands.kit import Command
from commands.kit.doors import AccountLocked
from commands.kit.handling import Receipt
from commands.patients import NotePatientAccess
from commands.staff import HireStaff, InviteStaff, OverrideStaffPermissions, ResendStaffInvitation
from domain.accounts import AccountSetUp, Language, PlaceOccupied, PlaceRole, PlaceUnknown
from domain.kit import PLATFORM, Email, Frozen, NotFound, Reason, Text
from domain.patients import Patient, PatientUnreachable
from domain.staff import Profile, StaffRole
from gateway.accounts import account_for, give_place, row_of, state_of, void_links
from gateway.kit import Desk, browse
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from gateway.sessions import end_all
from gateway.staff import let_go, resent, taken_on
from schemas.accounts import AccountRow
from schemas.patients import PatientRow
from schemas.staff import StaffInvitationRow, StaffRow

AccountId = Annotated[UUID, PathParameter(description="Id of an account.")]
ClinicId = Annotated[UUID, PathParameter(description="Id of a clinic.")]
InvitationId = Annotated[UUID, PathParameter(description="Id of an invitation.")]

BY = ["email", "status", "superadmin", "clinics..", "opened_at.."]


class Belonging(Frozen):
    """A clinic that somebody belongs to, as what, and as whom; `current` is where this session works."""

    clinic_id: UUID
    name: str
    plan: str
    role: PlaceRole
    subject_id: UUID | None
    active: bool
    current: bool


class Belongings(Frozen):
    """The clinics that somebody belongs to."""

    items: list[Belonging]


class NewSuperadmin(Frozen, forbid_unknown_fields=True):
    """Somebody who is to see to the whole installation."""

    email: Email
    name: Text
    language: Language = "en"


class AccountStatus(Frozen, forbid_unknown_fields=True):
    """Whether somebody may come in; the reason is kept with the account, and its owner is not told."""

    status: Literal["active", "suspended"]
    reason: Reason | None = None


class PlatformRole(Frozen, forbid_unknown_fields=True):
    """Whose role on the platform, and what it is to be."""

    account_id: UUID
    role: Literal["superadmin", "none"]


class NewPlace(Frozen, forbid_unknown_fields=True):
    """The clinic that somebody is to work in from now on, and as what."""

    clinic_id: UUID
    role: StaffRole


class ClinicInvitation(Profile, forbid_unknown_fields=True):
    """Whom to invite, and to which clinic."""

    clinic_id: UUID
    email: Email
    language: Language | None = None


class PatientAccess(Frozen, forbid_unknown_fields=True):
    """Whose link to the portal is to be a fresh one."""

    patient_id: UUID


class AccessRefreshed(Frozen):
    """A letter with the link is on its way to that account's address."""

    patient_id: UUID
    account_id: UUID


async def changed(desk: kit.Desk, command: Command, account: UUID) -> Response[AccountRow]:
    """Have something about an account decided, wherever whoever asks works just now."""
    return desk.answer(type(command), await (await desk.home()).handle(command, account))


async def there(desk: kit.Desk, account: UUID) -> Any:
    """Return an account that has been opened and not deleted."""
    state = await state_of(desk.call.services, account)
    if not state.open:
        raise NotFound(kind="accounts", id=str(account))
    return state


# --- where somebody belongs


async def belongings(desk: kit.Desk, account: UUID) -> Belongings:
    handler, found = desk.call.services.handler, []
    for place in (await there(desk, account)).places:
        clinic = await handler.clinic(place.clinic)
        if not clinic.deleted:
            here = place.clinic == desk.who.clinic and account == desk.who.account
            found.append(Belonging(
                clinic_id=place.clinic, name=clinic.name, plan=clinic.plan, role=place.role, subject_id=place.subject, active=clinic.active, current=here))
    return Belongings(items=sorted(found, key=lambda one: (one.name, one.clinic_id)))


@get("/me/clinics", operation_id="ListMyClinics", opt={"permission": "self", "lapsed": True})
async def my_clinics(desk: Desk) -> Belongings:
    """List: the clinics you belong to."""
    no_query(desk.call.query())
    return await belongings(desk, desk.who.account)


@get("/{id:uuid}/clinics", operation_id="ListClinicsOfAccount", opt={"permission": "superadmin"})
async def clinics_of(desk: Desk, id: AccountId) -> Belongings:  # noqa: A002
    """List: the clinics that somebody belongs to."""
    no_query(desk.call.query())
    return await belongings(desk, id)


@post("/{id:uuid}/clinics", operation_id="AddToClinic", status_code=201, opt={
    "permission": "superadmin", "refusals": [NotFound, PlaceOccupied, *refusals_of(HireStaff)]})
async def add_to_clinic(data: JSONBody[NewPlace], desk: Desk, id: AccountId) -> Response[StaffRow]:  # noqa: A002
    """Let somebody work in a clinic: they are taken on there, take one of its seats, and are told so by letter."""
    state = await there(desk, id)
    if state.place(data.clinic_id) is not None:
        raise PlaceOccupied
    row = await row_of(desk.call.services, id)
    email = row.email or ""
    await desk.within(data.clinic_id)
    hired = await taken_on(desk, HireStaff(name=row.name or email.partition("@")[0] or "?", email=email, role=data.role))
    return desk.answer(HireStaff, hired, 201)


@delete("/{id:uuid}/clinics/{clinicId:uuid}", operation_id="RemoveFromClinic", status_code=200, opt={
    "permission": "superadmin", "refusals": [NotFound, PlaceUnknown]})
async def remove_from_clinic(desk: Desk, id: AccountId, clinicId: ClinicId) -> Belongings:  # noqa: A002, N803
    """Let somebody belong to a clinic no more: they leave its staff, their seat is free, and their sessions there end."""
    place = (await there(desk, id)).place(clinicId)
    if place is None:
        raise PlaceUnknown
    await left(desk, place)
    await desk.call.settle(WithdrawPlace(clinic_id=clinicId), desk.who.actor, id=id)
    await end_all(desk.call, id, "removed", clinic=clinicId)
    return await belongings(desk, id)


async def left(desk: kit.Desk, place: Any) -> None:
    """See to it that whoever belonged to a clinic as one of its staff is no longer."""
    if place.subject is not None and place.role != "patient":
        await let_go(desk, place.clinic, place.subject)
    await desk.home()


# --- the account itself


@post("/create-superadmin", operation_id="CreateSuperadmin", status_code=201, opt={"permission": "superadmin"})
async def create_superadmin(data: JSONBody[NewSuperadmin], desk: Desk) -> Response[AccountRow]:
    """Make somebody one of the platform's people.

    Whoever has no password yet is sent a link with which to set one.
    """
    await desk.home()
    account = await account_for(desk.call, data.email, data.name, data.language)
    made = await desk.handle(ChangePlatformRole(superadmin=True), account)
    if (await state_of(desk.call.services, account)).password is None:
        made = await invite(desk, account)
    return desk.answer(ChangePlatformRole, made, 201)


async def invite(desk: kit.Desk, account: UUID) -> Receipt:
    """Have a letter sent with which somebody sets their first password; the link of the letter before opens nothing any more."""
    await void_links(desk.call.services, account)
    return await desk.call.settle(InviteAccount(), desk.who.actor, id=account)


@post("/{id:uuid}/resend-invite", operation_id="ResendAccountInvite", status_code=200, opt={"permission": "superadmin", "refusals": [NotFound, AccountSetUp]})
async def resend_invite(desk: Desk, id: AccountId) -> Response[AccountRow]:  # noqa: A002
    """Send somebody who has no password yet the link again with which to set one, good for seven days."""
    state = await there(await desk.home(), id)
    if state.password is not None:
        raise AccountSetUp
    return desk.answer(InviteAccount, await invite(desk, id))


@post("/{id:uuid}/reset-password", operation_id="ForcePasswordReset", status_code=200, opt={
    "permission": "superadmin", "refusals": refusals_of(WithdrawPassword)})
async def force_reset(desk: Desk, id: AccountId) -> Response[AccountRow]:  # noqa: A002
    """Have somebody choose another password: the present one counts no more, all sessions end, and a letter brings the link."""
    await there(desk, id)
    await void_links(desk.call.services, id)
    answer = await changed(desk, WithdrawPassword(), id)
    await end_all(desk.call, id, "password-changed")
    return answer


@patch("/{id:uuid}/status", operation_id="ChangeAccountStatus", opt={
    "permission": "superadmin", "refusals": [*refusals_of(SuspendAccount), *refusals_of(ReinstateAccount)]})
async def change_status(data: JSONBody[AccountStatus], desk: Desk, id: AccountId) -> Response[AccountRow]:  # noqa: A002
    """Suspend somebody, whose sessions end everywhere, or let them in again."""
    if data.status == "active":
        return await changed(desk, ReinstateAccount(), id)
    answer = await changed(desk, SuspendAccount(reason=data.reason), id)
    await end_all(desk.call, id, "suspended")
    return answer


@put("/role", operation_id="ChangePlatformRole", opt={"permission": "superadmin", "refusals": refusals_of(ChangePlatformRole)})
async def change_role(data: JSONBody[PlatformRole], desk: Desk) -> Response[AccountRow]:
    """Make somebody one of the platform's people, or no longer; nobody can step down himself, so that there is always one."""
    answer = await changed(desk, ChangePlatformRole(superadmin=data.role == "superadmin"), data.account_id)
    if data.role == "none":
        await end_all(desk.call, data.account_id, "removed", clinic=PLATFORM)
    return answer


@patch("/{id:uuid}", operation_id="ChangeAccount", opt={"permission": "superadmin", "refusals": refusals_of(ChangeAccount)})
async def change_account(data: JSONBody[ChangeAccount], desk: Desk, id: AccountId) -> Response[AccountRow]:  # noqa: A002
    """Change what is known about somebody, or the address with which they sign in; what is left out stays.

    With another address, links that went to the one before open nothing any more.
    """
    answer = await changed(desk, data, id)
    if data.email is not None:
        await void_links(desk.call.services, id)
    return answer


@delete("/{id:uuid}", operation_id="DeleteAccount", status_code=200, opt={"permission": "superadmin", "refusals": refusals_of(DeleteAccount)})
async def delete_account(desk: Desk, id: AccountId) -> Response[AccountRow]:  # noqa: A002
    """Close an account for good: its owner leaves every clinic, all sessions end, the address is free again; the history stays."""
    places = (await there(desk, id)).places
    answer = await changed(desk, DeleteAccount(), id)
    await end_all(desk.call, id, "removed")
    await desk.call.services.vault.drop(id)
    for place in places:
        await left(desk, place)
    return answer


@patch("/{id:uuid}/clinics/{clinicId:uuid}/permissions", operation_id="OverrideUserPermissions", opt={
    "permission": "superadmin", "refusals": [NotFound, PlaceUnknown, *refusals_of(OverrideStaffPermissions)]})
async def override(data: JSONBody[OverrideStaffPermissions], desk: Desk, id: AccountId, clinicId: ClinicId) -> Response[StaffRow]:  # noqa: A002, N803
    """Say in what somebody's permissions in a clinic differ from their role's; this replaces what was said before."""
    place = (await there(desk, id)).place(clinicId)
    if place is None or place.subject is None or place.role == "patient":
        raise PlaceUnknown
    await desk.within(clinicId)
    return desk.answer(OverrideStaffPermissions, await desk.handle(data, place.subject))


# --- invitations to clinics


@post("/invitations", operation_id="InviteToClinic", status_code=201, opt={"permission": "superadmin", "refusals": refusals_of(InviteStaff)})
async def invite_to_clinic(data: JSONBody[ClinicInvitation], desk: Desk) -> Response[StaffRow]:
    """Invite somebody to work in a clinic, in its name."""
    await desk.within(data.clinic_id)
    asked = InviteStaff(**{name: getattr(data, name) for name in ClinicInvitation.__struct_fields__ if name != "clinic_id"})
    return desk.answer(InviteStaff, await desk.handle(asked), 201)


@post("/invitations/{id:uuid}/resend", operation_id="ResendInvitation", status_code=200, opt={
    "permission": "superadmin", "refusals": refusals_of(ResendStaffInvitation)})
async def resend_invitation(data: JSONBody[ResendStaffInvitation], desk: Desk, id: InvitationId) -> Response[StaffRow]:  # noqa: A002
    """Send an invitation of any clinic again, good for another seven days."""
    await desk.home()
    return await resent(await desk.beside(id), id, data)


# --- patients who come in by the portal


@post("/refresh-patient-access", operation_id="RefreshPatientAccess", status_code=202, opt={
    "permission": "settings.staff.refresh_access", "refusals": [NotFound, PatientUnreachable, PlaceOccupied, AccountLocked, *refusals_of(NotePatientAccess)]})
async def refresh_patient_access(data: JSONBody[PatientAccess], desk: Desk) -> AccessRefreshed:
    """Send a patient a fresh link to the portal; earlier ones open nothing any more, and their sessions here end."""
    call, clinic = desk.call, desk.who.clinic
    await call.services.doors.guess("portal", str(data.patient_id), call.address)  # each costs somebody a letter
    row = (await call.services.handler.streams.get(Patient, data.patient_id, clinic, row=True)).row
    if not isinstance(row, PatientRow):
        raise NotFound(kind="patients", id=str(data.patient_id))
    if row.email is None:
        raise PatientUnreachable
    account = await account_for(call, row.email, " ".join(name for name in (row.given_name, row.family_name) if name) or None)
    await give_place(call, account, clinic, "patient", data.patient_id)
    await end_all(call, account, "ended-elsewhere", clinic=clinic)
    await void_links(call.services, account)
    known = (await state_of(call.services, account)).password is not None
    await call.settle(AskPasswordReset() if known else InviteAccount(), desk.who.actor, id=account)
    await call.settle(NotePatientAccess(account_id=account), desk.who.actor, id=data.patient_id, clinic=clinic)
    return AccessRefreshed(patient_id=data.patient_id, account_id=account)


router = Router("/api/v1/protected", route_handlers=[
    Router("/users", tags=["Users"], route_handlers=[
        browse("/", AccountRow, by=BY, sort="-opened_at"),
        browse(
            "/clinics", AccountRow, by=BY, sort="-opened_at", only={"clinics..": 1}, operation_id="BrowseMemberships",
            summary="List: everybody who belongs to a clinic, with the clinics of each"),
        my_clinics, clinics_of, add_to_clinic, remove_from_clinic, change_role, change_account,
    ]),
    Router("/admin", tags=["Platform"], route_handlers=[
        create_superadmin,
        browse("/users", AccountRow, by=BY, sort="-opened_at", sorts=["email", "clinics"], operation_id="BrowseUsers", summary="List: everybody who can sign in"),
        browse(
            "/users/multi-clinic", AccountRow, by=BY, sort="-clinics", only={"clinics..": 2}, operation_id="BrowseMultiClinicUsers",
            summary="List: everybody who belongs to several clinics"),
        Router("/users", route_handlers=[resend_invite, force_reset, change_status, delete_account, override]),
        browse(
            "/invitations", StaffInvitationRow, by=["clinic", "role", "email", "expires_at.."], sort="-sent_at", permission="superadmin",
            operation_id="BrowseInvitations", summary="List: invitations to clinics that are still open"),
        invite_to_clinic, resend_invitation,
    ]),
    Router("/staff", tags=["Staff"], route_handlers=[refresh_patient_access]),
])
