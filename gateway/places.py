"""Where places live on the web."""

from litestar import Router

from commands.places import ChangePlace, ClosePlace, OpenPlace
from gateway.kit import act, browse, create, fetch
from schemas.places import CurrentPlace, PlaceRow

router = Router("/api/v1/protected/places", tags=["Scheduling"], route_handlers=[
    browse("/", CurrentPlace, by=[], sort="name"),
    create("/", OpenPlace),
    fetch("/{id:uuid}", PlaceRow),
    act("/{id:uuid}", ChangePlace, method="PUT"),
    act("/{id:uuid}", ClosePlace, method="DELETE"),
])
