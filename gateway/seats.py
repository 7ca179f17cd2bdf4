"""Where licences and their seats live on the web."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from litestar import Router, get
from litestar.params import FromPath

from domain.kit import day
from domain.seats import DoctorLimitReached, SeatRole, Seats, UserLimitReached
from gateway.kit import Desk
from gateway.kit.errors import code
from projections.seats import seats_now
from schemas.seats import LicenceStatus, LicenceUse, SeatCheck, SeatUse


async def state_of(desk: Desk, clinic: UUID) -> tuple[Any, Seats]:
    """Return a clinic and its seats."""
    await desk.within(clinic)
    return await desk.clinic(), await seats_now(desk.reader)


def used(seats: Seats, licence: Any, now: datetime) -> LicenceUse:
    doctors = SeatUse(used=seats.used(now, "doctor"), limit=licence.doctors)
    return LicenceUse(users=SeatUse(used=seats.used(now), limit=licence.users), doctors=doctors)


@get("/{clinicId:uuid}", operation_id="GetLicence", opt={"permission": "admin"})
async def licence(desk: Desk, clinicId: FromPath[UUID]) -> LicenceStatus:  # noqa: N803
    """Show: a clinic's licence.

    Its plan, until when it holds, and how many of its seats are taken.
    """
    clinic, seats = await state_of(desk, clinicId)
    now, held = datetime.now(UTC), clinic.licence
    use = used(seats, held, now)
    return LicenceStatus(
        clinic=clinicId, plan=held.plan, trial=held.trial, until=held.until, ended=held.ended(day(now, clinic.zone)), users=use.users, doctors=use.doctors)


@get("/{clinicId:uuid}/usage", operation_id="GetLicenceUse", opt={"permission": "admin"})
async def usage(desk: Desk, clinicId: FromPath[UUID]) -> LicenceUse:  # noqa: N803
    """Show: how many seats of a clinic's licence are taken.

    Invitations that are still open take one each.
    """
    clinic, seats = await state_of(desk, clinicId)
    return used(seats, clinic.licence, datetime.now(UTC))


@get("/{clinicId:uuid}/check/{role:str}", operation_id="CheckSeat", opt={"permission": "admin"})
async def check(desk: Desk, clinicId: FromPath[UUID], role: FromPath[SeatRole]) -> SeatCheck:  # noqa: N803
    """Show: whether one more of a role would fit into a clinic's licence.

    It is no promise: whoever is hired first gets the last seat.
    """
    clinic, seats = await state_of(desk, clinicId)
    try:
        seats.ensure_free(role, clinic.licence, datetime.now(UTC))
    except (UserLimitReached, DoctorLimitReached) as why:
        return SeatCheck(role=role, allowed=False, code=code(type(why)))
    return SeatCheck(role=role, allowed=True, code=None)


router = Router("/api/v1/protected/licenses", tags=["Licences"], route_handlers=[licence, usage, check])
