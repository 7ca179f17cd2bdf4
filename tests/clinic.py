"""A small clinic for tests, made by real commands through the real handler: a doctor who always works, a room, a patient."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from commands.appointments import BookAppointment, ChangeAppointmentStatus
from commands.card_payments import ReceiveCardPayment
from commands.clinics import OpenClinic
from commands.insurance_claims import CreateInsuranceClaim
from commands.insurance_covers import AddCover
from commands.insurance_payers import AddPayer
from commands.invoices import CreateInvoice, MarkInvoicePaid
from commands.kit import Command
from commands.kit.handling import Handler, Receipt, Who
from commands.kit.receipt import house
from commands.lead_forms import CreateLeadForm
from commands.leads import SubmitLead
from commands.patients import RegisterPatient
from commands.quotations import CreateQuotation
from commands.recalls import ScheduleRecall
from commands.receipts import IssueReceipt
from commands.referral_leads import SubmitReferralLead
from commands.referral_payouts import ReferClinic
from commands.referrals import AddReferralSource, MakeReferralLink
from commands.rooms import AddRoom
from commands.schedules import SetDoctorSchedule
from commands.staff import HireStaff
from commands.visit_fees import ChangeFeeSettings, ChargeVisitFee
from domain.card_payments import Paid
from domain.clinics import Clinic
from domain.invoices import Invoice
from domain.kit import PLATFORM
from domain.kit.bills import Line
from domain.kit.grants import Role, granted
from domain.schedules import Hours
from domain.visit_fees import FeeRule
from projections.kit.stored import COLUMNS, Stored

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
MONDAY = datetime(2026, 1, 12, 9)  # noqa: DTZ001 - as people say it
ALWAYS = [[Hours(start="00:00", end="24:00")]] * 7


def who(clinic: UUID, role: Role = "admin", subject: UUID | None = None) -> Who:
    return Who(actor=uuid4(), clinic=clinic, role=role, grants=granted(role, "Pro+"), subject=subject)


class Town:
    """A clinic and the people in it."""

    doctor: UUID
    room: UUID
    patient: UUID

    def __init__(self, handler: Handler, clinic: UUID, now: datetime = NOW) -> None:
        self.handler = handler
        self.id = clinic
        self.admin = who(clinic)
        self.now = now

    @classmethod
    async def open(cls, handler: Handler, now: datetime = NOW) -> "Town":
        """Open a clinic and take on whoever it needs."""
        town = cls(handler, uuid4(), now)
        opening = OpenClinic(name="Grachten", zone="Europe/Amsterdam", currency="EUR", plan="Pro+")
        await handler.handle(opening, who(town.id, "superadmin"), id=town.id, now=now)
        town.doctor = await town.hire()
        town.room = (await town(AddRoom(name="Room 1"))).id
        town.patient = await town.register()
        return town

    async def __call__(self, command: Command, id: UUID | None = None, **options: Any) -> Receipt:  # noqa: A002
        """Have a command of the admin's decided, at a fixed moment."""
        return await self.handler.handle(command, options.pop("who", self.admin), id=id, **{"now": self.now, **options})

    async def hire(self, name: str = "Dr Sam Visser") -> UUID:
        doctor = (await self(HireStaff(name=name, email="sam@example.org", role="doctor"))).id
        await self(SetDoctorSchedule(doctor_id=doctor, week=ALWAYS))
        return doctor

    async def register(self, family_name: str = "Bakker") -> UUID:
        return (await self(RegisterPatient(given_name="Noor", family_name=family_name))).id

    async def referral(self) -> UUID:
        return (await self(ReferClinic(clinic_name="Kraków Dental"))).id

    async def recall(self, **other: Any) -> UUID:
        wanted = {"patient_id": self.patient, "kind": "hygiene", "date": self.now.date() + timedelta(days=30), **other}
        return (await self(ScheduleRecall(**wanted))).id

    async def source(self, name: str = "Dr Maas") -> UUID:
        """A referral source with a link."""
        made = (await self(AddReferralSource(name=name, kind="practitioner"))).id
        await self(MakeReferralLink(), made)
        return made

    async def lead(self, source: UUID | None = None) -> UUID:
        said = SubmitReferralLead(referral_id=source or await self.source(), number=1, name="Ada", phone="+31 6 1234 5678", consent=True)
        return (await self(said)).id

    async def written(self) -> tuple[UUID, UUID]:
        """A form of the clinic's website, and a lead that came by it."""
        form = (await self(CreateLeadForm(label="Contact page"))).id
        return form, (await self(SubmitLead(form_id=form, number=1, first_name="Ada", phone="+31 6 1234 5678"))).id

    async def invoice(self, total: int = 10_000, *, issue: bool = True) -> UUID:
        return (await self(self.bill(total, issue=issue))).id

    def bill(self, total: int = 10_000, *, issue: bool = True) -> CreateInvoice:
        return CreateInvoice(patient_id=self.patient, lines=[Line(description="Crown", unit_price=total, doctor_id=self.doctor)], issue=issue)

    async def quotation(self) -> UUID:
        return (await self(CreateQuotation(patient_id=self.patient, lines=[Line(description="Crown", unit_price=10_000)]))).id

    async def card_payment(self) -> UUID:
        """A payment by card beyond an invoice that had been paid."""
        await self(MarkInvoicePaid(), invoice := await self.invoice())
        paid = Paid(charge="pi_1", amount=100, currency="EUR", received_on=self.now.date())
        return (await self(ReceiveCardPayment(invoice_id=invoice, checkout=f"cs_{invoice.hex}", paid=paid), who=house(PLATFORM, self.id))).id

    async def visit_fee(self) -> UUID:
        """The fee for a visit that was missed."""
        await self(ChangeFeeSettings(enabled=True, grace=0, rules=[FeeRule(no_show=5_000)]))
        await self(ChangeAppointmentStatus(status="no-show"), missed := (await self(self.visit(self.at(1_200)))).id)
        return (await self(ChargeVisitFee(appointment_id=missed), who=house(PLATFORM, self.id))).id

    async def payer(self) -> UUID:
        return (await self(AddPayer(name=f"Payer {uuid4().hex[:8]}"))).id

    async def cover(self) -> UUID:
        """A secondary cover, of which there may be several."""
        wanted = {"payer_id": await self.payer(), "member_number": "W123", "valid_from": self.now.date()}
        return (await self(AddCover(patient_id=self.patient, rank="secondary", **wanted))).id

    async def claim(self) -> UUID:
        return (await self(CreateInsuranceClaim(invoice_id=await self.invoice(), cover_id=await self.cover()))).id

    async def receipt(self) -> UUID:
        await self(MarkInvoicePaid(), invoice := await self.invoice())
        return (await self(IssueReceipt(invoice_id=invoice, payment_id=Invoice().next_payment(invoice)))).id

    def visit(self, start: datetime | None = None, minutes: int = 30, **other: Any) -> BookAppointment:
        wanted = {"doctor_id": self.doctor, "patient_id": self.patient, "room_id": self.room, **other}
        return BookAppointment(start=start or self.at(0), duration=minutes, **wanted)

    def at(self, minutes: int) -> datetime:
        """Return a wall-clock time that many minutes after nine o'clock, a week ahead."""
        nine = datetime.combine(self.now.date() + timedelta(days=7), time(9))
        return nine + timedelta(minutes=minutes)


@asynccontextmanager
async def handling(database: Any) -> AsyncIterator[Handler]:
    """One process's worth of deciding."""
    handler = await Handler.open(database.settings("gateway"), clinic_state=Clinic)
    try:
        yield handler
    finally:
        await handler.close()


def stored(database: Any) -> list[Stored]:
    """Every event in the store, in order."""
    with psycopg.connect(database.url("owner")) as connection:
        return [Stored(*row) for row in connection.execute(f"select {COLUMNS} from stored_events order by notification_id")]  # noqa: S608
