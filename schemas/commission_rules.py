"""What may be seen of commission rules."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.commission_rules import CommissionTerms
from schemas.kit import Row


class CommissionRuleRow(CommissionTerms, Row):
    """What share of what a doctor gets; a doctor sees their own."""

    table: ClassVar[str] = "commission_rules"
    permission: ClassVar[str] = "billing.payroll.view_commissions"
    own: ClassVar[dict[str, str]] = {"doctor": "doctor_id"}
    id: UUID
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("doctor_id, valid_from, id", "created_at, id")
