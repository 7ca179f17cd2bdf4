"""Where group sessions live on the web; who takes part is booked, moved and cancelled among the appointments."""

from litestar import Router

from commands.group_sessions import CancelGroupSession, ChangeGroupSession, PlanGroupSession
from gateway.kit import act, browse, create, fetch
from schemas.group_sessions import GroupSessionEntry

router = Router("/api/v1/protected/group-sessions", tags=["Scheduling"], route_handlers=[
    browse("/", GroupSessionEntry, by=["status", "doctor_id", "room_id", "place_id", "type_id", "date", "date.."], sort="starts_at"),
    fetch("/{id:uuid}", GroupSessionEntry),
    create("/", PlanGroupSession),
    act("/{id:uuid}", ChangeGroupSession, "PUT"),
    act("/{id:uuid}", CancelGroupSession, "DELETE"),
])
