"""Where it can be seen what becomes of trials."""

from datetime import UTC, datetime

from litestar import Router, get

from gateway.kit import Desk, browse
from gateway.kit.query import no_query
from projections.trials import insights
from schemas.trials import TrialInsights, TrialRow


@get("/trial-insights", operation_id="GetTrialInsights", summary="Show: what becomes of trials", opt={"permission": "superadmin"})
async def shown(desk: Desk) -> TrialInsights:
    """How many started, became subscriptions and ran out, by month; how many stay, and after how many days."""
    no_query(desk.call.query())
    return await insights(desk.reader, datetime.now(UTC).date())


router = Router("/api/v1/protected/admin", tags=["Subscriptions"], route_handlers=[
    shown,
    browse("/trials", TrialRow, by=["running", "plan", "started_on..", "until.."], sort="-started_on"),
])
