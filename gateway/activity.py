"""Where an entity's timeline lives on the web."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import PathParameter, QueryParameter

from domain.kit import Forbidden, NotFound
from gateway.kit import Desk
from gateway.kit.eyes import eyes_of
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.activity import ENTITIES, Asked, Entity, Sight, timeline
from schemas.activity import Timeline
from schemas.events import VIEWED
from schemas.kit import Row

Kind = Annotated[str, PathParameter(description=f"One of {', '.join(ENTITIES)}.")]
EntityId = Annotated[UUID, PathParameter(description="Its id.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=200)]
Before = Annotated[int | None, QueryParameter(name="before", ge=1, le=2**62, description="The `next` of the page before.")]
Action = Annotated[str | None, QueryParameter(name="action", description="Only steps of this name, such as InvoiceIssued.")]
User = Annotated[UUID | None, QueryParameter(name="user", description="Only what this user did.")]


@get("/{entityType:str}/{entityId:uuid}", operation_id="GetActivity", opt={"refusals": [Forbidden]})
async def told(
    desk: Desk, entityType: Kind, entityId: EntityId, limit: Limit = 50, before: Before = None, action: Action = None, user: User = None,  # noqa: N803
) -> Timeline:
    """Show: the life of an entity so far.

    Everything that happened to an appointment, patient, invoice, room, schedule or member of staff, the latest first: by whom, because of what, which fields it changed, and what else came
    with it. It takes the key for viewing one of them.
    """
    no_query(desk.call.query(), ("limit", "before", "action", "user"))
    entity = ENTITIES.get(entityType)
    if entity is None:
        raise NotFound(kind=entityType)
    emergency = False
    if entity.row.chart:
        emergency = await desk.call.open_chart(entityId, entity.permission)
    else:
        desk.require(entity.permission)
    own = own_column(entity.row, desk.who)
    beside, urgent = await rows_beside(desk, entity, entityId)
    eyes = eyes_of(desk.who, VIEWED)
    sight = Sight((own, desk.who.subject) if own else None, beside, eyes.kinds - {kind for kind, _ in eyes.owned})
    found = await timeline(desk.reader, desk.call.services.handler.keys, entity, entityId, Asked(limit, before, action, user), sight)
    if entity.row.chart:
        await desk.call.saw("timeline", entityId, emergency=emergency or urgent)
    return found


async def rows_beside(desk: Desk, entity: Entity, id: UUID) -> tuple[frozenset[type[Row]], bool]:  # noqa: A002
    """Return which rows beside the entity's own somebody may see, and whether any of them in an emergency alone."""
    if desk.who.role == "patient":
        return frozenset(), False
    plain = {row for row in entity.beside if desk.who.may(row.permission)}
    urgent = {row for row in entity.beside if row not in plain and row.chart and await desk.call.services.members.emergency(desk.who, id)}
    return frozenset(plain | urgent), bool(urgent)


router = Router("/api/v1/protected/activity", tags=["Audit"], route_handlers=[told])
