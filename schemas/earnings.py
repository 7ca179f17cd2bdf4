"""What may be seen of what doctors earn: each part of an invoice or of a payment that is a doctor's, and what it comes to as a commission."""

from datetime import date, datetime
from typing import ClassVar, Literal

from msgspec import field

from domain.commission_rules import CommissionBasis, CommissionRuleId
from domain.kit import Frozen, InvoiceId, StaffId
from domain.payroll import Signed
from schemas.kit import Row

EarningKind = Literal["billed", "voided", "credited", "collected", "refunded", "reallocated", "reversed"]
CommissionGroup = Literal["month", "procedure", "rule"]


class EarningRow(Row):
    """A doctor's part of what was billed or collected, on the day it was; below zero what was taken back."""

    table: ClassVar[str] = "earnings"
    permission: ClassVar[str] = "billing.payroll.view"
    key: ClassVar[tuple[str, ...]] = ("event", "part")
    event: int  # its position
    part: int
    day: date
    doctor_id: StaffId
    procedure_code: str | None = None
    basis: CommissionBasis
    what: EarningKind
    invoice_id: InvoiceId
    net: Signed
    recorded_at: datetime

    indexes: ClassVar[tuple[str, ...]] = ("doctor_id, day", "day, event, part", "invoice_id")


class CommissionLine(Row):
    """A part of a figure: what happened to which invoice, on which day, and what it comes to by which rule; below zero what was taken back.

    `event` is the position of the event behind it, as the audit log has it. `counted` says whether a rule makes it count; of what does not count `commission` is nothing.
    """

    table: ClassVar[str] = "commission_lines"
    permission: ClassVar[str] = "billing.payroll.view_commissions"
    own: ClassVar[dict[str, str]] = {"doctor": "doctor_id"}
    key: ClassVar[tuple[str, ...]] = ("event", "part")
    event: int
    part: int
    day: date
    doctor_id: StaffId
    procedure_code: str | None
    basis: CommissionBasis
    what: EarningKind
    invoice_id: InvoiceId
    invoice_number: str
    issued_on: date
    net: Signed
    rule_id: CommissionRuleId | None
    rate: int | None
    counted: bool
    commission: Signed
    recorded_at: datetime


class Commission(Frozen):
    """What a doctor's work came to, without tax, and their share of it; of one month (its first day), one procedure or by one rule, if asked so.

    `billed` is less what was voided or credited, `collected` less what was given back. `lines` is how many lines say why.
    """

    doctor_id: StaffId
    month: date | None = None
    procedure_code: str | None = None
    rule_id: CommissionRuleId | None = None
    billed: int
    collected: int
    commission: int
    lines: int


class Commissions(Frozen):
    """What doctors earned from the first day to the last, both included."""

    since: date = field(name="from")
    until: date = field(name="to")
    currency: str
    commission: int
    items: list[Commission]


class EarningDay(Row):
    """What a doctor's commissions come to on a day, and what was collected for their work, without tax."""

    table: ClassVar[str] = "earning_days"
    permission: ClassVar[str] = "billing.payroll.view"
    key: ClassVar[tuple[str, ...]] = ("day", "doctor_id")
    day: date
    doctor_id: StaffId
    commission: Signed
    collected: Signed
