"""Where rooms live on the web."""

from litestar import Router

from commands.rooms import AddRoom, ChangeRoom, DeleteRoom
from gateway.kit import act, browse, create
from schemas.rooms import CurrentRoom

router = Router("/api/v1/protected/rooms", tags=["Scheduling"], route_handlers=[
    browse("/", CurrentRoom, by=["type", "active"], sort="name"),
    create("/", AddRoom),
    act("/{id:uuid}", ChangeRoom, method="PUT"),
    act("/{id:uuid}", DeleteRoom, method="DELETE"),
])
