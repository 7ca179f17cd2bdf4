"""Where the platform's people see the read models, and have them made anew."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, field

from commands.kit.ids import new_id
from domain.kit import ClinicId, Frozen, Invalid, NotFound, Refused
from gateway.kit import Desk, browse, fetch
from gateway.kit.query import no_query
from projections.kit import PROJECTIONS
from projections.kit.rebuild import LISTING, MOST_JOBS, listed
from projections.kit.rebuilds import Wish, ask, cancel
from schemas.rebuilds import ReadModels, ReadModelVersion, RebuildRow

SUPERADMIN = {"permission": "superadmin"}
RebuildId = Annotated[UUID, PathParameter(description="Id of the rebuild.")]
Name = Annotated[str, PathParameter(description="Name of the read model.")]


class ReadModelUnknown(Invalid):
    """No read model has this name. `details` names it and lists those there are."""


class RebuildUnderWay(Refused):
    """A rebuild is under way or asked for. `details` says which; wait for its end, or cancel it."""


class RebuildOver(Refused):
    """This rebuild has ended."""


class RebuildAsked(Frozen, forbid_unknown_fields=True):
    """Which read models are to be made anew, all when none is named; of one clinic alone, if one is named; on how many processes; and whether what an interrupted rebuild has left is to be done again."""

    read_models: Annotated[list[str], Meta(max_length=200)] = field(default_factory=list)
    clinic: ClinicId | None = None
    jobs: Annotated[int, Meta(ge=1, le=MOST_JOBS)] = 1
    fresh: bool = False


@get("/read-models", operation_id="ListReadModels", opt=SUPERADMIN)
async def models(desk: Desk) -> ReadModels:
    """List: every version of every read model, by name.

    The version that serves, the one before it, to which there is a way back, and what a rebuild is filling.
    """
    no_query(desk.call.query())
    found = (await (await desk.home()).reader.ask(LISTING)).rows
    return ReadModels(items=[ReadModelVersion(**listed(line)._asdict()) for line in found])


@post("/rebuilds", operation_id="AskRebuild", status_code=201, opt={**SUPERADMIN, "refusals": [ReadModelUnknown, RebuildUnderWay, NotFound]})
async def asked(desk: Desk, data: JSONBody[RebuildAsked]) -> RebuildRow:
    """Have read models made anew from history, beside those that serve, compared with them, and swapped.

    The API answers throughout. It begins within a second or two; look at the rebuild to see how far it is. Who asks again while one is open is told which.
    """
    if data.clinic is not None and not await desk.call.services.handler.known(data.clinic, "clinics", data.clinic):
        raise NotFound(kind="clinics", id=str(data.clinic))
    names = [_known(name) for name in dict.fromkeys(data.read_models)] or sorted(PROJECTIONS)
    return await _ask(desk, Wish(new_id(), "rebuild", names, data.clinic, data.jobs, data.fresh))


@post("/backfill-patient-search-text", operation_id="BackfillPatientSearch", status_code=201, opt={**SUPERADMIN, "refusals": [RebuildUnderWay]})
async def backfilled(desk: Desk) -> RebuildRow:
    """Have what patients are found by made anew.

    It is columns of the read model `patients`, so that is what is rebuilt, beside the one that serves; what it is found by is never older than the patient.
    """
    no_query(desk.call.query())
    return await _ask(desk, Wish(new_id(), "rebuild", ["patients"]))


@post("/read-models/{name:str}/back", operation_id="GoBackToReadModel", status_code=201, opt={**SUPERADMIN, "refusals": [ReadModelUnknown, RebuildUnderWay]})
async def back(desk: Desk, name: Name) -> RebuildRow:
    """Let a read model's version before serve again, made level with what has come since.

    It is carried out as a rebuild is; there is no way back past the erasure of a person.
    """
    return await _ask(desk, Wish(new_id(), "back", [_known(name)]))


@post("/rebuilds/{id:uuid}/cancel", operation_id="CancelRebuild", status_code=200, opt={**SUPERADMIN, "refusals": [NotFound, RebuildOver]})
async def cancelled(desk: Desk, id: RebuildId) -> RebuildRow:  # noqa: A002
    """Have a rebuild end without a swap.

    It ends within a second or two. What is done is kept: the next rebuild of the same read models goes on from there, unless it is to be fresh.
    """
    await desk.home()
    if not await cancel(desk.reader, id, desk.who.actor) and await desk.reader.one(RebuildRow, id):
        raise RebuildOver
    return await _shown(desk, id)


async def _ask(desk: Desk, wish: Wish) -> RebuildRow:
    await desk.home()
    open_ = await ask(desk.reader, wish, desk.who.actor)
    if open_ != wish.id:
        raise RebuildUnderWay(id=str(open_))
    return await _shown(desk, wish.id)


async def _shown(desk: Desk, id: UUID) -> RebuildRow:  # noqa: A002
    found = await desk.reader.one(RebuildRow, id)
    if found is None:
        raise NotFound(kind="rebuilds", id=str(id))
    return found


def _known(name: str) -> str:
    if name not in PROJECTIONS:
        raise ReadModelUnknown(name=name, known=sorted(PROJECTIONS))
    return name


router = Router("/api/v1/protected", tags=["Read Models"], route_handlers=[
    Router("/superadmin", route_handlers=[
        models, asked, back, cancelled,
        browse("/rebuilds", RebuildRow, by=["status", "kind", "asked_at.."], sort="-asked_at"),
        fetch("/rebuilds/{id:uuid}", RebuildRow),
    ]),
    Router("/admin", route_handlers=[backfilled]),
])
