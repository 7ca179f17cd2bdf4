"""What may be seen of the times when somebody broke the glass."""

from datetime import datetime
from typing import Annotated, ClassVar

from domain.kit import AccountId, Id, PatientId, Personal
from schemas.kit import INDEXED, Row


class EmergencyRow(Row):
    """Somebody's latest opening of a chart without the right to: whose, by whom, why, until when, and whether an admin closed it before."""

    table: ClassVar[str] = "emergencies"
    permission: ClassVar[str] = "audit.logs.view"
    id: Id
    patient_id: PatientId
    account_id: AccountId
    reason: Annotated[str | None, Personal("patient_id")]
    opened_at: Annotated[datetime, INDEXED]
    until: datetime
    closed_at: datetime | None = None
    times: int = 1
