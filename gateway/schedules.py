"""Where doctors' schedules and blocked time live on the web: among the appointments."""

from litestar import Router, get

from commands.schedules import BlockTime, SetDoctorSchedule, UnblockTime
from gateway.kit import Desk, act, browse, create
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from schemas.calendar import BlockEntry
from schemas.schedules import DoctorSchedule, DoctorSchedules


@get("/doctor-schedules", operation_id="BrowseDoctorSchedules", summary="List: the hours of all doctors")
async def doctor_schedules(desk: Desk) -> DoctorSchedules:
    """Each week, its exceptions, and how visits follow each other; patients may know them too, but a doctor who sees only his own list sees his own."""
    no_query(desk.call.query())
    own = own_column(DoctorSchedule, desk.who) if desk.who.role != "patient" else None
    found = await desk.reader.find(DoctorSchedule, **({own: desk.who.subject} if own else {}))
    return DoctorSchedules(items=sorted(found, key=lambda one: (one.doctor_name or "", one.id)))


router = Router("/api/v1/protected/appointments", tags=["Scheduling"], route_handlers=[
    doctor_schedules,
    act("/doctor-schedules/{doctorId}", SetDoctorSchedule, method="PUT"),
    browse("/blocked-times", BlockEntry, by=["doctor_id", "room_id", "date..", "last_date.."], sort="starts_at"),
    create("/blocked-times", BlockTime),
    act("/blocked-times/{id:uuid}", UnblockTime, method="DELETE"),
])
