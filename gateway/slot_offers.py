"""Where offers to patients on the waiting list live on the web; and the door by which a patient answers without an account."""

import datetime as dt
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from commands.slot_offers import AcceptSlotOffer, AnswerSlotOffer, DeclineSlotOffer, OfferSlot, WithdrawSlotOffer
from domain.appointments import Appointment
from domain.kit import Frozen, Reason
from domain.places import Place
from domain.slot_offers import PURPOSE, OfferAnswer, OfferLinkOver, OfferOver, OfferStatus, SlotOffer
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from schemas.slot_offers import OfferShown, SlotOfferEntry

Token = Annotated[str, PathParameter(description="The token of the patient's link.")]
SECRET = {"cache-control": "no-store", "referrer-policy": "no-referrer"}  # what a link shows is its patient's alone


class OfferWord(Frozen, forbid_unknown_fields=True):
    """What a patient answers to an offer."""

    response: OfferAnswer
    reason: Annotated[Reason | None, Meta(description="Why, if it is declined.")] = None


class Linked(NamedTuple):
    """An offer to which a token leads, as it is in the store."""

    id: UUID
    offer: SlotOffer


async def linked(desk: kit.Desk, token: str) -> Linked:
    """Go on in the clinic to whose offer a link leads; whatever is wrong with a token, the answer is the same."""
    services = desk.call.services
    named = services.lasting.read(PURPOSE, token)
    clinic = await services.handler.tenant_of(named.subject) if named else None
    if named is None or clinic is None:
        raise OfferLinkOver
    await desk.enter(clinic)
    house = await desk.clinic()
    state: Any = (await services.handler.streams.latest(SlotOffer, named.subject, clinic)).state
    if not house.active or house.closing is not None or state.offered is None:
        raise OfferLinkOver
    return Linked(named.subject, state)


@get("/{token:str}", operation_id="GetSlotOffer", summary="Show: a time on offer, to the patient who has its link", opt={"public": True, "refusals": [OfferLinkOver]})
async def look(desk: Desk, token: Token) -> Response[OfferShown]:
    """When and where it would be, and until when to answer. Looking at it answers nothing, for mail programs look."""
    no_query(desk.call.query())
    found = await linked(desk, token)
    return Response(await shown(desk, found.offer), headers=SECRET)


@post("/{token:str}", operation_id="AnswerSlotOffer", status_code=200, opt={"public": True, "refusals": [*refusals_of(AnswerSlotOffer), OfferLinkOver, OfferOver]})
async def respond(desk: Desk, token: Token, data: JSONBody[OfferWord]) -> Response[OfferShown]:
    """Accept a time on offer, decline it, or leave the waiting list. The same answer twice is one.

    Who accepts has the appointment, and is written so; who declines stays on the list, and the time is offered to whoever comes next.
    """
    found = await linked(desk, token)
    await desk.handle(AnswerSlotOffer(response=data.response, reason=data.reason), found.id)
    return Response(await shown(desk, (await linked(desk, token)).offer), headers=SECRET)


async def shown(desk: kit.Desk, offer: SlotOffer) -> OfferShown:
    """Return what a patient's link shows of an offer."""
    services, clinic, o = desk.call.services, desk.who.clinic, offer.what
    doctor: Any = (await services.handler.streams.get(services.kinds.staff, o.doctor_id, clinic, row=True)).row
    here: Any = (await services.handler.streams.get(services.kinds.clinic, clinic, clinic, row=True)).row
    there: Any = (await services.handler.streams.get(Place, o.place_id, clinic, row=True)).row if o.place_id else None
    moved: Any = (await services.handler.streams.get(Appointment, o.appointment_id, clinic)).state if o.appointment_id else None
    return OfferShown(
        status=standing(offer, dt.datetime.now(dt.UTC)), start_local=o.start_local, zone=o.zone, minutes=(o.ends_at - o.starts_at) // dt.timedelta(minutes=1),
        answer_by=offer.expires_at or o.starts_at, moves_from=moved.arranged.start_local if moved and moved.arranged and offer.status == "open" else None,
        doctor_name=doctor.name if doctor else None, clinic_name=here.name, clinic_phone=(there and there.phone) or here.phone,
        clinic_address=(there and there.address) or here.address)


def standing(offer: SlotOffer, now: dt.datetime) -> OfferStatus:
    """Say how an offer stands: what nobody answered in time has lapsed, noted or not."""
    over = offer.status == "open" and offer.expires_at is not None and offer.expires_at <= now
    return "lapsed" if over or offer.status is None else offer.status


public = Router("/api/v1/slot-offers", tags=["Scheduling"], route_handlers=[look, respond])
protected = Router("/api/v1/protected/slot-offers", tags=["Scheduling"], route_handlers=[
    browse(
        "/", SlotOfferEntry, by=["status", "entry_id", "patient_id", "doctor_id", "written", "by_hand", "date", "date..", "expires_at..", "offered_at.."],
        sort="-offered_at", sorts=["starts_at", "expires_at"]),
    fetch("/{id:uuid}", SlotOfferEntry),
    create("/", OfferSlot),
    act("/{id:uuid}/accept", AcceptSlotOffer),
    act("/{id:uuid}/decline", DeclineSlotOffer),
    act("/{id:uuid}", WithdrawSlotOffer, "DELETE"),
])
router = Router("/", route_handlers=[public, protected])
