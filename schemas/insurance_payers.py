"""What may be seen of a payer."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.insurance_payers import PayerDetails
from schemas.kit import Row


class PayerRow(PayerDetails, Row):
    """An insurer that the clinic sends claims to."""

    table: ClassVar[str] = "insurance_payers"
    permission: ClassVar[str] = "billing.insurance.view"
    id: UUID
    archived: bool = False
    created_at: datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("name, id",)
