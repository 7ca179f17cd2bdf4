"""What may be seen of fees for visits that did not take place, and of how they are charged."""

import datetime as dt
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from domain.kit import AppointmentId, Id, InvoiceId, Money
from domain.visit_fees import FeeCause, FeeRule, SpareReason
from schemas.kit import Row

FeeStatus = Literal["charged", "spared", "waived", "withdrawn"]


class FeeSettingsRow(Row):
    """How the clinic charges for visits that were missed or cancelled late."""

    table: ClassVar[str] = "fee_settings"
    permission: ClassVar[str] = "settings.appointment_types.manage"
    id: Id
    enabled: bool
    rules: list[FeeRule] = field(default_factory=list)
    grace: int
    issue: bool
    use_deposit: bool
    no_show_text: str
    late_text: str
    since: dt.datetime | None = None  # what was missed before is not charged for


class VisitEndingRow(Row):
    """A visit that was missed, or cancelled by its patient, and when that was noted."""

    table: ClassVar[str] = "visit_endings"
    permission: ClassVar[str] = "billing.invoices.edit"
    id: Id
    cause: FeeCause
    ended_at: Annotated[dt.datetime, Meta(tz=True)]

    indexes: ClassVar[tuple[str, ...]] = ("ended_at",)


class VisitFeeRow(Row):
    """The fee for a visit: charged with an invoice, spared and why, forgiven and why, or withdrawn with the visit. The amount includes tax."""

    table: ClassVar[str] = "visit_fees"
    permission: ClassVar[str] = "billing.invoices.edit"
    id: Id
    appointment_id: AppointmentId
    cause: FeeCause
    status: FeeStatus
    invoice_id: InvoiceId | None = None
    amount: Money = 0
    currency: str | None = None
    from_deposit: Money = 0
    spared: SpareReason | None = None
    waive_reason: str | None = None
    noted_at: dt.datetime
    changed_at: dt.datetime
    version: int

    indexes: ClassVar[tuple[str, ...]] = ("appointment_id", "noted_at, id", "status, noted_at, id")
