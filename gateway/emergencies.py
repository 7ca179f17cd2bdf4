"""Where the glass is broken, and where that is looked at."""

from litestar import Router

from commands.emergencies import BreakGlass, EndEmergency
from gateway.kit import act, browse, create
from schemas.emergencies import EmergencyRow

router = Router("/api/v1/protected", tags=["Audit"], route_handlers=[
    create("/patients/{patientId:uuid}/break-glass", BreakGlass),
    browse("/emergencies", EmergencyRow, by=["patient_id", "account_id", "opened_at.."], sort="-opened_at"),
    act("/emergencies/{id:uuid}", EndEmergency, method="DELETE"),
])
