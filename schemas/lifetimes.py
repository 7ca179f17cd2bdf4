"""What patients have been to the clinic so far: visits and money, from the first day on."""

from datetime import date
from typing import ClassVar

from domain.kit import PatientId, StaffId
from domain.kit.sources import Source
from schemas.kit import Row


class Lifetime(Row):
    """A patient's visits and money so far, in minor units of the clinic's currency, tax included.

    `received` is what was collected less what was given back: the lifetime value; credit with the clinic is a part of it. `billed` is before `voided` and `credited`, of which what was written off is a part. Visits are those that were completed;
    `firstDoctorId` saw the patient on the first of them. Records of one patient that were merged are one line, with the day and the source of the one that stands for them.
    """

    table: ClassVar[str] = "patient_lifetimes"
    permission: ClassVar[str] = "reports.revenue"
    key: ClassVar[tuple[str, ...]] = ("patient_id",)
    patient_id: PatientId
    registered_on: date | None = None
    source: Source | None = None
    visits: int = 0
    first_visit: date | None = None
    first_doctor_id: StaffId | None = None
    last_visit: date | None = None
    invoices: int = 0
    billed: int = 0
    voided: int = 0
    credited: int = 0
    payments: int = 0
    collected: int = 0
    refunded: int = 0
    received: int = 0
    nameless: bool = False  # forgotten, or nobody knows whose it was: it counts, and is never shown


class LifetimeRow(Lifetime):
    """What has been noted under one record of a patient's; `survivorId` is the record that stands for it and others that were merged."""

    table: ClassVar[str] = "lifetimes"
    formula: ClassVar[int] = 3
    survivor_id: PatientId | None = None
