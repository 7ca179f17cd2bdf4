"""Where the kinds of visits live on the web."""

from litestar import Router

from commands.appointment_types import AddAppointmentType, ChangeAppointmentType, DeleteAppointmentType
from gateway.kit import act, browse, create, fetch
from schemas.appointment_types import AppointmentTypeRow, CurrentAppointmentType

router = Router("/api/v1/protected/appointment-types", tags=["Scheduling"], route_handlers=[
    browse("/", CurrentAppointmentType, by=["active", "room_type"], sort="name"),
    create("/", AddAppointmentType),
    fetch("/{id:uuid}", AppointmentTypeRow),
    act("/{id:uuid}", ChangeAppointmentType, method="PUT"),
    act("/{id:uuid}", DeleteAppointmentType, method="DELETE"),
])
