"""Where fees for visits that did not take place live on the web: the clinic's rules, what was charged, forgiven or spared; and where they come about by themselves."""

from contextlib import suppress
from datetime import UTC, datetime

from litestar import Router, get

from commands.kit.receipt import house
from commands.visit_fees import ChangeFeeSettings, ChargeVisitFee, WaiveVisitFee, WithdrawVisitFee
from domain.kit import PLATFORM, Refused, only
from domain.visit_fees import FeeRules, FeeSettings, fee_settings_of
from gateway.kit import Desk, act, browse, fetch
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.visit_fees import due
from schemas.visit_fees import FeeSettingsRow, VisitFeeRow

MANY = 1000  # visits that are seen to in one round


@get("/settings", operation_id="GetFeeSettings", summary="Show: what is charged for visits that are missed or cancelled late", opt={"permission": FeeSettingsRow.permission})
async def settings(desk: Desk) -> FeeSettingsRow:
    """As it was said, or as it is in the beginning: nothing."""
    no_query(desk.call.query())
    id_ = fee_settings_of(desk.who.clinic)
    return await desk.reader.one(FeeSettingsRow, id_) or FeeSettingsRow(id=id_, **only(FeeRules, FeeSettings().rules))


async def tend(services: Services, now: datetime | None = None) -> None:
    """See to all visits that may cost a fee, or do no longer, each once, however many gateways look; `now` is another moment than this one, if a test says so."""
    for one in await due(services.reading.lanes, now or datetime.now(UTC), MANY):
        command = WithdrawVisitFee(appointment_id=one.appointment) if one.undo else ChargeVisitFee(appointment_id=one.appointment)
        with suppress(Refused):  # the visit is gone meanwhile, or the database away: the next round looks again
            receipt = await services.handler.handle(command, house(PLATFORM, one.clinic), now=now)
            services.bus.hint(receipt.position)


router = Router("/api/v1/protected/visit-fees", tags=["Billing"], route_handlers=[
    browse("/", VisitFeeRow, by=["appointment_id", "invoice_id", "status", "cause", "noted_at.."], sort="-noted_at", sorts=["amount"], csv=True),
    settings,
    act("/settings", ChangeFeeSettings, "PUT"),
    fetch("/{id:uuid}", VisitFeeRow),
    act("/{id:uuid}/waive", WaiveVisitFee),
])
