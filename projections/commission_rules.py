"""Commission rules as rows."""

from msgspec.structs import replace

from domain.commission_rules import (
    CommissionRuleChanged,
    CommissionRuleEvent,
    CommissionRuleMade,
    CommissionRuleRemoved,
    CommissionTerms,
)
from domain.kit import Fact, only
from projections.kit import projects
from schemas.commission_rules import CommissionRuleRow


@projects(CommissionRuleRow, of=CommissionRuleEvent)
def commission_rules(row: CommissionRuleRow | None, fact: Fact) -> CommissionRuleRow | None:
    match fact.event:
        case CommissionRuleMade() as event:
            return CommissionRuleRow(id=fact.id, created_at=fact.recorded_at, version=fact.version, **only(CommissionTerms, event))
        case CommissionRuleChanged() as event if row:
            return replace(row, version=fact.version, **only(CommissionTerms, event))
        case CommissionRuleRemoved():
            return None
    return row
