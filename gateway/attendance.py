"""Where the code at the entrance is shown, and where whoever scans it says that they are here."""

import datetime as dt
import io
from typing import Annotated
from uuid import UUID

import segno
from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from commands.attendance import ArriveByCode
from commands.kit.doors import ARRIVALS, ARRIVALS_OF
from domain.appointments import AppointmentLinkOver
from domain.attendance import (
    CODE,
    GOOD,
    ArrivedTooEarly,
    ArrivedTooLate,
    EntranceCodeOver,
    KnownEmail,
    KnownPhone,
    NotExpected,
    PersonUnsaid,
    ensure_current,
    minute_of,
    same_phone,
)
from domain.kit import Frozen
from gateway.appointments import SECRET, linked
from gateway.kit import Desk
from gateway.kit import desk as kit
from gateway.kit.query import no_query
from gateway.queue import hour, place
from projections.attendance import expected
from schemas.attendance import ArrivalNoted, EntranceCode, EntranceSeen

TokenInPath = Annotated[str, PathParameter(description="The token in the code at the entrance.")]
Token = Annotated[str, Meta(min_length=1, max_length=200)]
GUARD = "appointments.show_code"
MINUTE = dt.timedelta(minutes=1)
SVG, PNG = "image/svg+xml", "image/png"


class Arrival(Frozen, forbid_unknown_fields=True):
    """What the code at the entrance said, and who you are: by your appointment's link, or by your day of birth with your telephone number or e-mail address."""

    code: Annotated[Token, Meta(description="The token in the code at the entrance.")]
    link: Annotated[Token | None, Meta(description="The token of the link to your appointment.")] = None
    birth_date: dt.date | None = None
    phone: KnownPhone | None = None
    email: KnownEmail | None = None


# --- at the entrance


@get("/code", operation_id="GetEntranceCode", summary="Show: what the code at the entrance says just now", opt={"permission": GUARD})
async def code(desk: Desk) -> Response[EntranceCode]:
    """It changes every minute and is good for five, so that it is of no use to whoever is not there. Nothing of it is stored."""
    no_query(desk.call.query())
    return Response(coded(desk), headers=SECRET)


@get("/code.svg", operation_id="DrawEntranceCode", summary="Show: the code at the entrance as a drawing", opt={"permission": GUARD, "media": SVG})
async def drawn(desk: Desk) -> Response[bytes]:
    """As SVG, for a screen that asks for it anew every minute (`Refresh` says when)."""
    return picture(desk, "svg", SVG)


@get("/code.png", operation_id="PaintEntranceCode", summary="Show: the code at the entrance as a picture", opt={"permission": GUARD, "media": PNG})
async def painted(desk: Desk) -> Response[bytes]:
    """As PNG, for a screen that asks for it anew every minute (`Refresh` says when)."""
    return picture(desk, "png", PNG)


def coded(desk: kit.Desk) -> EntranceCode:
    """Return the code of this minute."""
    number = minute_of(dt.datetime.now(dt.UTC))
    token = desk.call.services.links.token(CODE, desk.who.clinic, number)
    since = dt.datetime.fromtimestamp(number * 60, dt.UTC)
    return EntranceCode(
        url=f"{desk.call.services.address}/api/v1/attendance/{token}", token=token, next_at=since + MINUTE, valid_until=since + GOOD * MINUTE)


def picture(desk: kit.Desk, kind: str, media: str) -> Response[bytes]:
    """Return the code of this minute as an image: with a quarter of redundancy, for screens are scratched and hands are shaky."""
    no_query(desk.call.query())
    said = coded(desk)
    image = io.BytesIO()
    segno.make(said.url, error="q", micro=False).save(image, kind=kind, scale=8, border=4)
    left = max(1, round((said.next_at - dt.datetime.now(dt.UTC)).total_seconds()))
    return Response(image.getvalue(), headers={**SECRET, "refresh": str(left)}, media_type=media)


# --- by whoever scans it


async def entered(desk: kit.Desk, token: str) -> None:
    """Go on in the clinic at whose entrance a code was scanned just now."""
    named = desk.call.services.links.read(CODE, token)
    if named is None:
        raise EntranceCodeOver
    ensure_current(named.number, dt.datetime.now(dt.UTC))
    await desk.enter(named.subject)
    clinic = await desk.clinic()
    if not clinic.active or clinic.closing is not None:
        raise EntranceCodeOver


@get("/{token:str}", operation_id="SeeEntrance", summary="Show: at which clinic's entrance a code was scanned", opt={"public": True, "refusals": [EntranceCodeOver]})
async def entrance(desk: Desk, token: TokenInPath) -> Response[EntranceSeen]:
    """For the page on which somebody says who they are."""
    no_query(desk.call.query())
    await entered(desk, token)
    return Response(EntranceSeen(clinic_name=(await desk.clinic()).name), headers=SECRET)


@post("/", operation_id="Arrive", status_code=200, opt={
    "public": True, "refusals": [EntranceCodeOver, NotExpected, ArrivedTooEarly, ArrivedTooLate, PersonUnsaid, AppointmentLinkOver]})
async def arrive(desk: Desk, data: JSONBody[Arrival]) -> Response[ArrivalNoted]:
    """Say that you are here, by the code at the clinic's entrance; from two hours before your visit of today until its end.

    Your appointment becomes `arrived`, and you wait under the next number of the day. Who says so twice is noted once. Sixty in fifteen minutes from one network address, ten about people of
    one day of birth.
    """
    doors = desk.call.services.doors
    await doors.enter(ARRIVALS, desk.call.address)
    await entered(desk, data.code)
    clinic = desk.who.clinic
    appointment = await by_link(desk, data.link) if data.link is not None else await by_proof(desk, data)
    if desk.who.clinic != clinic:  # the link is another clinic's, whose entrance this is not
        raise NotExpected
    receipt = await desk.handle(ArriveByCode(), appointment)
    said = await place(desk, receipt)
    noted = ArrivalNoted(
        number=said.number if said else None, status=said.status if said else "WAITING", before=said.before if said else None,
        expected_wait=said.expected_wait if said else None)
    return Response(noted, headers=SECRET)


async def by_link(desk: kit.Desk, link: str) -> UUID:
    """Return the appointment that a patient's link is about."""
    return (await linked(desk, link)).appointment


async def by_proof(desk: kit.Desk, data: Arrival) -> UUID:
    """Return the next appointment of today of whoever was born that day and is reached so."""
    if data.birth_date is None or (data.phone is None and data.email is None):
        raise PersonUnsaid
    await desk.call.services.doors.enter(ARRIVALS_OF, f"{desk.who.clinic} {data.birth_date}")
    for visit in await expected(desk.reader, (await hour(desk)).today, data.birth_date):
        by_phone = data.phone is not None and visit.phone is not None and same_phone(data.phone, visit.phone)
        by_email = data.email is not None and visit.email is not None and data.email.casefold() == visit.email.casefold()
        if by_phone or by_email:
            return visit.id
    raise NotExpected


router = Router("/api/v1", tags=["Scheduling"], route_handlers=[
    Router("/protected/attendance", route_handlers=[code, drawn, painted]),
    Router("/attendance", route_handlers=[entrance, arrive]),
])
