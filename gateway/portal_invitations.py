"""Where patients are asked into the portal, and the door by which they come."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter

from commands.kit.doors import CHECKS
from commands.kit.errors import RateLimited
from commands.portal_invitations import CancelPortalInvitation, InvitePatient, JoinPortal, ResendPortalInvitation
from domain.accounts import PlaceOccupied
from domain.kit import Frozen, NotFound, PatientId
from domain.kit.letters import LetterLanguage
from domain.patients import PatientMerged, PatientNotActive, PatientUnreachable
from domain.portal_invitations import (
    PORTAL,
    PatientHasPortal,
    PatientInvitedAlready,
    PortalAddressTaken,
    PortalInvitation,
    PortalInvitationOver,
    Standing,
    invitation_of,
)
from gateway.accounts import PasswordPoor, account_at, account_for, ensure_strong, give_place, set_password, state_of
from gateway.kit import Desk, act, browse
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.staff import Acceptance, PasswordNeeded, known
from schemas.portal_invitations import PatientsInvitation, PortalAccount, PortalEntered, PortalInvitationRow

InvitationId = Annotated[UUID, PathParameter(description="Id of the invitation.")]
Token = Annotated[str, PathParameter(description="The token of the letter's link.")]
Address = Annotated[str, PathParameter(description="E-mail address.", max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
ASKING = [NotFound, PatientUnreachable, PatientNotActive, PatientMerged, PatientHasPortal, PortalAddressTaken]


class PortalInvite(Frozen, forbid_unknown_fields=True):
    """Which patient to ask in; the letter goes to the address that their record has."""

    patient_id: PatientId
    language: LetterLanguage = None


class AskAgain(Frozen, forbid_unknown_fields=True):
    """In which language to ask again."""

    language: LetterLanguage = None


class Invited(Frozen):
    """An invitation that is open, and whose link was shown."""

    id: UUID
    link: UUID
    secret: str
    patient: UUID
    email: str
    name: str | None
    expires_at: datetime


@get("/check-account/{email:str}", operation_id="CheckPortalAccount", summary="Show: whether an e-mail address has an account for the portal", opt={
    "permission": "patients.view", "refusals": [RateLimited]})
async def check(desk: Desk, email: Address) -> PortalAccount:
    """Of this clinic's portal alone: whether the address is anybody's elsewhere, or works here, is told to nobody. Sixty times in a quarter of an hour."""
    no_query(desk.call.query())
    await desk.call.services.doors.enter(CHECKS, str(desk.who.actor))
    account = await account_at(desk.call.services.handler, email)
    place = (await state_of(desk.call.services, account)).place(desk.who.clinic) if account else None
    return PortalAccount(exists=place is not None and place.role == "patient")


@post("/invite", operation_id="InvitePatient", summary="Invite a patient to the portal", status_code=201, opt={
    "permission": InvitePatient.permission, "refusals": [*ASKING, PatientInvitedAlready]})
async def invite(data: JSONBody[PortalInvite], desk: Desk) -> Response[PortalInvitationRow]:
    """A letter asks them to make an account with which they see their own rows, within seven days. It takes no seat of the licence."""
    standing = await standing_of(desk, data.patient_id)
    asked = InvitePatient(patient_id=data.patient_id, language=data.language, standing=standing)
    return desk.answer(InvitePatient, await desk.handle(asked), 201)


@post("/invitations/{id:uuid}/resend", operation_id="ResendPortalInvitation", summary="Send a patient's invitation again", status_code=200, opt={
    "permission": ResendPortalInvitation.permission, "refusals": ASKING})
async def resend(data: JSONBody[AskAgain], desk: Desk, id: InvitationId) -> Response[PortalInvitationRow]:  # noqa: A002
    """Good for another seven days, to the address that the patient has now; the link before opens nothing any more."""
    await desk.beside(id)
    patient = (await invitation(desk, id)).patient
    standing = await standing_of(desk, patient) if patient else "free"
    return desk.answer(ResendPortalInvitation, await desk.handle(ResendPortalInvitation(language=data.language, standing=standing), id))


async def standing_of(desk: kit.Desk, patient: UUID) -> Standing:
    """Return whose a patient's address is in this clinic; whether it is anybody's elsewhere makes no difference."""
    services, clinic = desk.call.services, desk.who.clinic
    state, row = await recorded(desk, patient)
    addressee = await account_at(services.handler, row.email) if row is not None and row.email else None
    accounts = {addressee, state.account, (await invitation(desk, invitation_of(patient))).account} - {None}
    places = {account: (await state_of(services, account)).place(clinic) for account in accounts}
    if any(place is not None and place.role == "patient" and place.subject in {patient, *state.records} for place in places.values()):
        return "joined"
    return "taken" if places.get(addressee) is not None else "free"


async def recorded(desk: kit.Desk, patient: UUID) -> tuple[Any, Any]:
    """Return a patient of the clinic where the desk is, and their row, as they stand this very moment."""
    entry = await desk.call.services.handler.streams.latest(desk.call.services.kinds.patient, patient, desk.who.clinic, row=True)
    return entry.state, entry.row


async def invitation(desk: kit.Desk, id: UUID) -> PortalInvitation:  # noqa: A002
    """Return an invitation of the clinic where the desk is, as it stands this very moment."""
    state: Any = (await desk.call.services.handler.streams.latest(PortalInvitation, id, desk.who.clinic)).state
    return state  # type: ignore[no-any-return]


async def invited(desk: kit.Desk, text: str) -> Invited:
    """Return who is asked in by a token, and go on in their clinic."""
    if (led := await desk.led(PORTAL, text)) is None:
        raise PortalInvitationOver
    asked = await invitation(desk, led.stream)
    if asked.patient is None or asked.until is None:
        raise PortalInvitationOver
    state, row = await recorded(desk, asked.patient)
    if row is None or row.email is None or state.archived or state.merged_into is not None:
        raise PortalInvitationOver
    asked.ensure_open(desk.call.services.handler.address_key(row.email), led.link, led.stream, datetime.now(UTC))
    name = " ".join(name for name in (row.given_name, row.family_name) if name) or None
    return Invited(id=led.stream, link=led.link, secret=led.secret, patient=asked.patient, email=row.email, name=name, expires_at=asked.until)


@get("/portal-invitation/{token:str}", operation_id="GetPortalInvitation", summary="Show: an invitation to the portal", opt={
    "public": True, "refusals": [PortalInvitationOver]})
async def preview(desk: Desk, token: Token) -> PatientsInvitation:
    """What whoever has the letter is invited to."""
    no_query(desk.call.query())
    asked = await invited(desk, token)
    return PatientsInvitation(
        clinic_id=desk.who.clinic, clinic_name=(await desk.clinic()).name, email=asked.email, name=asked.name, expires_at=asked.expires_at,
        has_account=await known(desk, asked.email))


@post("/portal-invitation/{token:str}/accept", operation_id="AcceptPortalInvitation", summary="Accept an invitation to the portal", status_code=200, opt={
    "public": True, "refusals": [PortalInvitationOver, PasswordNeeded, PasswordPoor, PlaceOccupied]})
async def accept(data: JSONBody[Acceptance], desk: Desk, token: Token) -> PortalEntered:
    """The patient's account belongs to the clinic from now on, and sees their own rows. The address is proved by the letter's link.

    An account that has a password keeps it, whatever is sent; sign in with it afterwards.
    """
    asked, call = await invited(desk, token), desk.call
    services, clinic = call.services, desk.who.clinic
    new = not await known(desk, asked.email)
    if new and data.password is None:
        raise PasswordNeeded
    if new:
        ensure_strong(data.password or "", asked.email)
    there = await account_at(services.handler, asked.email)
    place = (await state_of(services, there)).place(clinic) if there else None
    if place is not None and place.subject != asked.patient:  # whoever works here is no patient by the same account
        raise PlaceOccupied
    if await services.codes.redeem(PORTAL, asked.secret) is None:  # somebody else was quicker
        raise PortalInvitationOver
    account = await account_for(call, asked.email, data.name or asked.name)
    await call.settle(JoinPortal(account_id=account, link=asked.link), account, id=asked.id, clinic=clinic)
    if new and data.password is not None:
        await set_password(call, account, data.password, "changed")
    await give_place(call, account, clinic, "patient", asked.patient)
    return PortalEntered(clinic_id=clinic, email=asked.email)


router = Router("/api/v1/protected/patients", tags=["Patients"], route_handlers=[
    check,
    invite,
    browse("/invitations", PortalInvitationRow, by=["patient_id", "status", "expires_at.."], sort="-sent_at"),
    resend,
    act("/invitations/{id:uuid}", CancelPortalInvitation, method="DELETE"),
])
door = Router("/api/v1/auth", tags=["Authentication"], opt={"lapsed": True}, route_handlers=[preview, accept])


