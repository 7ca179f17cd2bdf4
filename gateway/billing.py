"""Where it can be seen what clinics pay, and what happened to it."""

from datetime import UTC, datetime

from litestar import Router, get

from gateway.kit import Desk, browse
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.subscriptions import ClinicNamed
from projections.billing import overview
from schemas.billing import BillingLogRow, BillingOverview, ClinicBillingRow


@get("/overview", operation_id="GetBillingOverview", summary="Show: what the clinic has, uses and pays", opt={"permission": "self", "lapsed": True})
async def overviewed(desk: Desk, clinic: ClinicNamed = None) -> BillingOverview:
    """Plan, seats, usage, the next bill, and what is owed."""
    no_query(desk.call.query(), ("clinicId",))
    own_column(ClinicBillingRow, desk.who)
    await desk.at(clinic)
    return await overview(desk.reader, datetime.now(UTC))


router = Router("/api/v1/protected", tags=["Subscriptions"], route_handlers=[
    Router("/billing", route_handlers=[
        overviewed,
        browse("/clinics", ClinicBillingRow, by=["clinic", "plan", "status", "trial", "active", "until.."], sort="name", sorts=["until"]),
    ]),
    Router("/admin/billing", route_handlers=[
        browse("/logs", BillingLogRow, by=["clinic", "action", "entity_type", "entity_id", "actor", "recorded_at.."], sort="-seq"),
    ]),
])
