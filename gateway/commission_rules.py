"""Where commission rules live on the web."""

from litestar import Router

from commands.commission_rules import ChangeCommissionRule, MakeCommissionRule, RemoveCommissionRule
from gateway.kit import act, browse, create, fetch
from schemas.commission_rules import CommissionRuleRow

router = Router("/api/v1/protected/commission-rules", tags=["Payroll"], route_handlers=[
    browse("/", CommissionRuleRow, by=["doctor_id", "procedure_code", "basis", "valid_from..", "valid_to.."], sort="-valid_from", sorts=["created_at", "rate"], csv=True),
    fetch("/{id:uuid}", CommissionRuleRow),
    create("/", MakeCommissionRule),
    act("/{id:uuid}", ChangeCommissionRule, "PUT"),
    act("/{id:uuid}", RemoveCommissionRule, "DELETE"),
])
