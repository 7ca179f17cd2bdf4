"""Where the figures of each day and doctor live on the web."""

from litestar import Router

from gateway.kit import browse
from schemas.analytics import AppointmentDayRow, RevenueDayRow

router = Router("/api/v1/protected/analytics", tags=["Reports"], route_handlers=[
    browse("/revenue", RevenueDayRow, by=["day..", "doctor_id"], sort="-day", csv=True),
    browse("/appointments", AppointmentDayRow, by=["day..", "doctor_id"], sort="-day", csv=True),
])
