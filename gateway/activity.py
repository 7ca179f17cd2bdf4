"""Where an entity's timeline lives on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter, QueryParameter

from domain.kit import Forbidden, NotFound
from gateway.kit import Desk
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.activity import ENTITIES, timeline
from schemas.activity import Timeline

Kind = Annotated[str, PathParameter(description=f"One of {', '.join(ENTITIES)}.")]
EntityId = Annotated[UUID, PathParameter(description="Its id.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=200)]
Before = Annotated[int | None, QueryParameter(name="before", ge=1, le=2**62, description="The `next` of the page before.")]


@get("/{entityType:str}/{entityId:uuid}", operation_id="GetActivity", opt={"refusals": [Forbidden]})
async def told(desk: Desk, entityType: Kind, entityId: EntityId, limit: Limit = 50, before: Before = None) -> Timeline:  # noqa: N803
    """Show: the life of an entity so far.

    Everything that happened to an appointment, patient, invoice, room, schedule or member of staff, the latest first. It takes the key for
    viewing one of them.
    """
    no_query(desk.call.query(), ("limit", "before"))
    entity = ENTITIES.get(entityType)
    if entity is None:
        raise NotFound(kind=entityType)
    emergency = False
    if entity.row.chart:
        emergency = await desk.call.open_chart(entityId, entity.permission)
    else:
        desk.require(entity.permission)
    own = own_column(entity.row, desk.who)
    found = await timeline(desk.reader, entity, entityId, limit=limit, before=before, own=(own, desk.who.subject) if own else None)
    if entity.row.chart:
        await desk.call.saw("timeline", entityId, emergency=emergency)
    return found


router = Router("/api/v1/protected/activity", tags=["Audit"], route_handlers=[told])
