"""Where holds live on the web: among the appointments."""

from litestar import Router

from commands.holds import ExtendHold, HoldTime, ReleaseHold
from gateway.kit import act, browse, create, fetch
from schemas.holds import HoldRow

router = Router("/api/v1/protected/appointments/holds", tags=["Scheduling"], route_handlers=[
    browse("/", HoldRow, by=["doctor_id", "room_id", "date..", "expires_at.."], sort="expires_at"),
    fetch("/{id:uuid}", HoldRow),
    create("/", HoldTime),
    act("/{id:uuid}/extend", ExtendHold),
    act("/{id:uuid}", ReleaseHold, "DELETE"),
])
