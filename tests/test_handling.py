"""How a command is decided and stored: repeated, pinned, foreign, personal, interrupted, on streams that others have moved."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import json
from msgspec.structs import asdict, replace

from anamnesis.migrations import migrate
from anamnesis.scratch import temporary_directory
from anamnesis.stack import EmbeddedPostgres
from commands.absences import How, SettleAbsence, UndoAbsence
from commands.api_keys import IssueApiKey, RevokeApiKey
from commands.appointment_types import AddAppointmentType, ChangeAppointmentType, DeleteAppointmentType
from commands.appointments import (
    BookAppointment,
    ChangeAppointment,
    ChangeAppointmentStatus,
    RemoveAppointment,
    RevokeAppointmentLink,
    SendAppointmentSummary,
    ShareAppointment,
    UndoMissedAppointment,
)
from commands.calendar_feeds import CloseCalendarFeed, OpenCalendarFeed
from commands.card_payments import NoteCardReturn
from commands.clinics import (
    ChangeClinic,
    CloseClinic,
    ExportClinic,
    ExportEvidence,
    KeepClinic,
    OpenClinic,
    RemoveClinicBranding,
    SetClinicBranding,
    SwitchModule,
)
from commands.commission_rules import ChangeCommissionRule, MakeCommissionRule, RemoveCommissionRule
from commands.consents import (
    DefineConsentForm,
    RecordConsent,
    RestoreConsentForm,
    RetireConsentForm,
    ReviseConsentForm,
    WithdrawConsent,
)
from commands.credits import ReceiveDeposit, ReturnCredit, ReverseDeposit, SettleInvoices
from commands.duplicates import DismissDuplicate, ReopenDuplicate
from commands.emergencies import BreakGlass, EndEmergency
from commands.erasures import ErasePatient
from commands.expenses import CorrectExpense, RecordExpense, StrikeOutExpense
from commands.favourites import FavourPatient, UnfavourPatient
from commands.fee_schedules import RemoveFees, SetFees
from commands.group_sessions import CancelGroupSession, ChangeGroupSession, PlanGroupSession
from commands.holds import ExtendHold, HoldTime, ReleaseHold
from commands.import_runs import CancelImport, StartImport, UndoImport
from commands.installments import (
    CancelInstallmentPlan,
    ChangeInstallmentTerms,
    CreateInstallmentPlan,
    PauseInstallmentPlan,
    ResumeInstallmentPlan,
    SplitInvoice,
)
from commands.insurance_claims import (
    AcceptInsuranceClaim,
    AnswerInsuranceClaim,
    AppealInsuranceClaim,
    AttachToInsuranceClaim,
    CreateInsuranceClaim,
    DeleteInsuranceClaim,
    DenyInsuranceClaim,
    DetachFromInsuranceClaim,
    PayInsuranceClaim,
    ReplaceInsuranceClaim,
    ReverseInsurancePayment,
    SubmitInsuranceClaim,
    UpdateInsuranceClaim,
    VoidInsuranceClaim,
    WithdrawInsuranceClaim,
    WriteOffInsuranceClaim,
)
from commands.insurance_covers import AddCover, ChangeCover, RemoveCover
from commands.insurance_payers import ArchivePayer, ChangePayer, RestorePayer
from commands.invoices import (
    ApplyCredit,
    CreateInvoice,
    CreditInvoice,
    DeleteInvoice,
    EditInvoice,
    IssueInvoice,
    MarkInvoicePaid,
    ReallocatePayment,
    RecordPayment,
    RefundPayment,
    ReversePayment,
    RevokeInvoiceLink,
    SendInvoice,
    ShareInvoice,
    VoidInvoice,
    WriteOffInvoice,
)
from commands.kit import Command, Creation, KeyReused, StaleVersion, TimeTaken, Unavailable
from commands.kit.attempt import Conflict, Looking
from commands.kit.errors import Erased
from commands.kit.handling import Handler, Receipt, Who
from commands.kit.receipt import house
from commands.lead_forms import ChangeLeadForm, DisableLeadForm, RotateLeadFormToken
from commands.leads import ChangeLeadStatus, ConvertLead
from commands.message_wishes import ChangeMessageWishes
from commands.patient_notes import AmendPatientNote, PinPatientNote, RemovePatientNote, UnpinPatientNote, WritePatientNote
from commands.patients import (
    AddMedicalEntry,
    AmendMedicalEntry,
    ArchivePatient,
    BlockPatient,
    ChangeMedicalHistory,
    ChangePatient,
    ChangePatientGroups,
    ChangePatientPreferences,
    EndMedicalEntry,
    MergePatients,
    RefuteMedicalEntry,
    RegisterPatient,
    ReopenMedicalEntry,
    RestorePatient,
    UnblockPatient,
    UnmergePatients,
)
from commands.payroll import (
    AddPayrollEmployee,
    ApprovePayrollRun,
    ChangePayrollEmployee,
    ChangePayrollRun,
    DraftPayrollRun,
    OpenPayrollPeriod,
    PayPayrollRun,
    RemovePayrollPeriod,
    VoidPayrollRun,
)
from commands.places import ChangePlace, ClosePlace, OpenPlace
from commands.portal_invitations import CancelPortalInvitation, InvitePatient, ResendPortalInvitation
from commands.queue import (
    CheckInAppointment,
    MoveQueuedAppointment,
    MoveQueueEntry,
    PlaceQueueEntry,
    QueuePatient,
    RankQueuedAppointment,
    RankQueueEntry,
)
from commands.quotations import (
    AcceptQuotation,
    ConvertQuotation,
    CreateQuotation,
    DeclineQuotation,
    EditQuotation,
    IssueQuotation,
    ReissueQuotation,
    RevokeQuotationLink,
    SendQuotation,
    ShareQuotation,
    WithdrawQuotation,
)
from commands.recall_campaigns import (
    CancelRecallCampaign,
    ChangeRecallCampaign,
    DraftRecallCampaign,
    PauseRecallCampaign,
    StartRecallCampaign,
)
from commands.recalls import (
    BookRecall,
    CancelRecall,
    ChangeRecall,
    DeclineRecall,
    GenerateRecall,
    NoteRecallAttempt,
    RefuseRecalls,
    ReopenRecall,
    ScheduleRecall,
    WelcomeRecalls,
)
from commands.receipts import IssueReceipt, RevokeReceiptLink, SendReceipt, ShareReceipt
from commands.recurrences import (
    BookAppointmentSeries,
    CancelAppointmentSeries,
    ChangeAppointmentSeries,
    ExtendAppointmentSeries,
)
from commands.referral_leads import ConvertReferralLead, DismissReferralLead, NoteReferralContact, ReopenReferralLead
from commands.referral_payouts import RequestReferralPayout, WithdrawClinicReferral
from commands.referrals import ChangeReferralSource, DeleteReferralSource, MakeReferralLink, WithdrawReferralLink
from commands.relations import AddRelation, ChangeRelation, EndRelation
from commands.reminders import SendReminder
from commands.retention import PlaceLegalHold
from commands.rooms import AddRoom, ChangeRoom, DeleteRoom
from commands.schedules import BlockTime, SetDoctorSchedule, UnblockTime
from commands.slot_offers import AcceptSlotOffer, DeclineSlotOffer, OfferSlot, WithdrawSlotOffer
from commands.staff import (
    CancelStaffInvitation,
    ChangeStaff,
    DeactivateStaff,
    OverrideStaffPermissions,
    ReactivateStaff,
    ResendStaffInvitation,
)
from commands.sync import DismissSyncConflict, KeepSyncConflict
from commands.tills import CloseTill, OpenTill, ReopenTill
from commands.upgrades import ChangeSeatRequest, RequestSeats
from commands.visit_fees import WaiveVisitFee
from commands.waiting_list import AddWaitingEntry, ChangeWaitingEntry, RemoveWaitingEntry, ReopenWaitingEntry
from commands.webhooks import (
    AddWebhook,
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    EnableWebhook,
    ResendDelivery,
    ResendFailedDeliveries,
    RotateWebhookSecret,
    SendWebhookTest,
)
from commands.zones import ChangeClinicZone
from domain.fee_schedules import Fee
from domain.installments import DueTerm, InstallmentLine, InstallmentRhythm
from domain.insurance_claims import AnsweredLine
from domain.invoices import InvoiceAlreadyPaid, InvoiceNotIssued
from domain.kit import At, Forbidden, NotFound, Refused
from domain.kit.bills import Line
from domain.kit.codec import TextUnstorable, hints, metas
from domain.patients import MedicalEntry, PatientNotActive
from domain.recurrences import Rule
from domain.rooms import Room
from projections.kit import PROJECTIONS
from projections.kit.stored import fact_of
from schemas.kit import Row
from tests.clinic import ALWAYS, MONDAY, NOW, Town, handling, stored, who
from tests.conftest import Database
from tests.laws.project import COMMANDS


@pytest.fixture
def database(module_database: Database) -> Database:
    """Each test has a clinic of its own, and that is enough."""
    return module_database


@pytest.fixture
async def handler(database: Any) -> AsyncIterator[Handler]:
    async with handling(database) as handler:
        yield handler


@pytest.fixture
async def town(handler: Handler) -> Town:
    return await Town.open(handler)


async def test_a_repeated_request_is_answered_as_the_first_was(database: Any, town: Town) -> None:
    """Ids, version, position and row are the first answer's, though time has passed since; nothing is stored twice."""
    first = await town(town.bill(), key="k", body=b"b")
    await town(RecordPayment(amount=10, method="cash"), first.id)
    count = len(stored(database))
    again = await town(town.bill(), key="k", body=b"b")
    assert (again.id, again.version, again.position, again.row) == (first.id, first.version, first.position, first.row)
    assert (first.replayed, again.replayed) == (False, True)
    assert len(stored(database)) == count


async def test_a_key_belongs_to_one_request(database: Any, town: Town) -> None:
    """Another body under it is refused; another person's, route's or clinic's same key is another request."""
    first = await town(AddRoom(name="A"), key="k", body=b"a", route="POST /rooms")
    with pytest.raises(KeyReused):
        await town(AddRoom(name="B"), key="k", body=b"b", route="POST /rooms")
    elsewhere = await Town.open(town.handler)
    others = [
        await town(AddRoom(name="B"), key="k", body=b"a", route="POST /rooms", who=who(town.id)),
        await town(AddRoom(name="C"), key="k", body=b"a", route="PUT /rooms"),
        await elsewhere(AddRoom(name="A"), key="k", body=b"a", route="POST /rooms"),
    ]
    assert not any(receipt.replayed for receipt in others)
    assert len({first.id, *(receipt.id for receipt in others)}) == 4


async def test_after_a_day_a_key_is_new_again(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process forgets what is older, by and by; the same request then happens again."""
    monkeypatch.setattr("commands.kit.store.FORGET_SECONDS", 0.02)
    async with handling(database) as handler:
        town = await Town.open(handler)
        first = await town(town.bill(), key="k", body=b"b")
        with psycopg.connect(database.url("owner"), autocommit=True) as owner:
            owner.execute("update command_log set saved_at = saved_at - interval '25 hours' where request_hash is not null")
            async with asyncio.timeout(10):
                while owner.execute("select from command_log where request_hash is not null").rowcount:  # noqa: ASYNC110 - it is the database that changes
                    await asyncio.sleep(0.02)
        again = await town(town.bill(), key="k", body=b"b")
    assert not again.replayed
    assert again.id != first.id


async def test_what_was_refused_may_be_asked_again_with_its_key(town: Town) -> None:
    """A refusal is not remembered: when the reason is gone, the same request succeeds."""
    await town(ArchivePatient(), town.patient)
    with pytest.raises(PatientNotActive):
        await town(town.visit(), key="k", body=b"b")
    await town(RestorePatient(), town.patient)
    assert not (await town(town.visit(), key="k", body=b"b")).replayed


async def test_an_accepted_request_stays_accepted_whatever_the_rules_say_now(database: Any, town: Town) -> None:
    """Paid, and by now nothing is due; booked, and by now the slot is taken, by itself: no rule gets to refuse what was answered with yes."""
    invoice = await town.invoice(100)
    paid = await town(RecordPayment(amount=100, method="cash"), invoice, key="p", body=b"p")
    booked = await town(town.visit(), key="b", body=b"b")
    await town(ArchivePatient(), town.patient)
    async with handling(database) as other:  # and in a process that remembers nothing
        for handler in (town.handler, other):
            for command, id_, key, first in ((RecordPayment(amount=100, method="cash"), invoice, "p", paid), (town.visit(), None, "b", booked)):
                again = await handler.handle(command, town.admin, id=id_, key=key, body=key.encode(), now=NOW)
                assert (again.id, again.version, again.position, again.replayed) == (first.id, first.version, first.position, True)


async def test_only_the_version_that_was_seen_is_changed(town: Town) -> None:
    room = await town(AddRoom(name="A"))
    await town(ChangeRoom(name="B"), room.id, expect=room.version)
    with pytest.raises(StaleVersion) as stale:
        await town(ChangeRoom(name="C"), room.id, expect=room.version)
    assert stale.value.status == 412


async def test_of_many_that_saw_one_version_one_gets_to_change_it(database: Any, town: Town) -> None:
    """Over two processes; nobody who pinned a version is decided again on another."""
    room = await town(AddRoom(name="A"))
    async with handling(database) as other:
        asked = [(town.handler, other)[n % 2].handle(ChangeRoom(name=f"R{n}"), town.admin, id=room.id, expect=1, now=NOW) for n in range(20)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(o).__name__ for o in outcomes) == ["Receipt"] + ["StaleVersion"] * 19


async def test_without_a_permission_nothing_is_even_looked_at(town: Town) -> None:
    with pytest.raises(Forbidden):
        await town(DeleteRoom(), uuid4(), who=who(town.id, "patient"))
    with pytest.raises(Forbidden):
        await town(OpenClinic(name="Mine", zone="UTC", currency="EUR"))


Shape = tuple[type[Command], str]
PART = InstallmentLine(description="Crown", amount=100)
AT_ONCE = InstallmentRhythm(count=1, first_due_on=NOW.date())
PAID: dict[str, Any] = {"name": "Eva Jansen", "salary_kind": "monthly", "salary": 100, "starts_on": date(2019, 1, 1)}
SHARE: dict[str, Any] = {"basis": "billed", "rate": 3000, "valid_from": date(2019, 1, 1)}
PHOTOS = DefineConsentForm(name="Photos", purpose="photos", text="Photos are taken.")


def pointing(command: type[Command]) -> Iterator[Shape]:
    """Yield the references that a command's body can hold."""
    for name, hint in hints(command).items():
        if any("ref" in extra for extra in metas(hint)):
            yield command, name
        if "bills.Line" in str(hint) or "InstallmentLine" in str(hint):
            yield command, f"{name}.doctor_id"


def asked_by_a_clinic(command: type[Command]) -> bool:
    """Say whether a member sends it about a thing of his clinic; what the platform sends names clinics, and what a person sends is about himself."""
    return command.permission not in {"superadmin", "house", "public", "self"}


WISHED = {
    "patient_id": "patients", "doctor_id": "staff", "type_id": "appointment_types", "place_id": "places", "appointment_id": "appointments", "group_id": "group_sessions"}


def with_references(town: Town, other: dict[str, UUID]) -> list[tuple[Shape, Command, UUID | None]]:
    """Return each command with each of its references pointing elsewhere: `other` are ids by kind; the rest of it is good."""
    line = {"description": "Crown", "unit_price": 100}
    foreign, own = [Line(**line, doctor_id=other["staff"])], [Line(**line)]
    visit = {"doctor_id": town.doctor, "room_id": town.room, "start": MONDAY}
    often = {**visit, "patient_id": town.patient, "start": town.at(300), "rule": Rule(unit="weeks", count=3)}
    call = {"patient_id": town.patient, "kind": "check-up", "date": NOW.date()}
    agreed = {"patient_id": town.patient, "form_id": other["form"], "way": "paper"}
    generated = {**call, "kind": "screening", "batch_id": uuid4()}
    return [
        ((AddRelation, "patient_id"), AddRelation(patient_id=other["patients"], relation="friend", name="Anna"), None),
        ((AddRelation, "related_id"), AddRelation(patient_id=town.patient, relation="friend", related_id=other["patients"]), None),
        ((ChangeRelation, "related_id"), ChangeRelation(relation="friend", related_id=other["patients"]), other["relation"]),
        ((FavourPatient, "patient_id"), FavourPatient(patient_id=other["patients"]), None),
        ((UnfavourPatient, "patient_id"), UnfavourPatient(patient_id=other["patients"]), None),
        ((WritePatientNote, "patient_id"), WritePatientNote(patient_id=other["patients"], text="Prefers the morning"), None),
        ((ChangePatientPreferences, "doctor_id"), ChangePatientPreferences(doctor_id=other["staff"]), other["twin"]),
        ((DismissDuplicate, "patient_id"), DismissDuplicate(patient_id=other["patients"], other_id=town.patient), None),
        ((DismissDuplicate, "other_id"), DismissDuplicate(patient_id=town.patient, other_id=other["patients"]), None),
        ((ReopenDuplicate, "patient_id"), ReopenDuplicate(patient_id=other["patients"], other_id=town.patient), None),
        ((ReopenDuplicate, "other_id"), ReopenDuplicate(patient_id=town.patient, other_id=other["patients"]), None),
        ((RecordConsent, "patient_id"), RecordConsent(**{**agreed, "patient_id": other["patients"]}), None),
        ((RecordConsent, "form_id"), RecordConsent(**{**agreed, "form_id": other["consent_forms"]}), None),
        ((RecordConsent, "relation_id"), RecordConsent(**agreed, by="guardian", relation_id=other["relations"]), None),
        ((WithdrawConsent, "patient_id"), WithdrawConsent(**{**agreed, "patient_id": other["patients"]}), None),
        ((WithdrawConsent, "form_id"), WithdrawConsent(**{**agreed, "form_id": other["consent_forms"]}), None),
        ((WithdrawConsent, "relation_id"), WithdrawConsent(**agreed, by="guardian", relation_id=other["relations"]), None),
        ((DraftRecallCampaign, "doctor_id"), DraftRecallCampaign(**CAMPAIGN, doctor_id=other["staff"]), None),
        ((DraftRecallCampaign, "place_id"), DraftRecallCampaign(**CAMPAIGN, place_id=other["places"]), None),
        ((ChangeRecallCampaign, "doctor_id"), ChangeRecallCampaign(**CAMPAIGN, doctor_id=other["staff"]), other["campaign"]),
        ((ChangeRecallCampaign, "place_id"), ChangeRecallCampaign(**CAMPAIGN, place_id=other["places"]), other["campaign"]),
        ((SendReminder, "appointment_id"), SendReminder(appointment_id=other["appointments"]), None),
        *(((AddWaitingEntry, name), AddWaitingEntry(**{"patient_id": town.patient, name: other[kind]}), None) for name, kind in WISHED.items()),
        *(((ChangeWaitingEntry, name), ChangeWaitingEntry(**{name: other[kind]}), other["waiting"]) for name, kind in WISHED.items() if name != "patient_id"),
        *(((OfferSlot, name), OfferSlot(**{"entry_id": other["waiting"], "doctor_id": town.doctor, "start": town.at(300), name: other[kind]}), None) for name, kind in (
            ("entry_id", "waiting_list"), ("doctor_id", "staff"), ("room_id", "rooms"), ("group_id", "group_sessions"))),
        *(((command, name), command(**{"doctor_id": town.doctor, "start": town.at(420), "capacity": 2, name: other[kind]}), target) for name, kind in (
            ("doctor_id", "staff"), ("room_id", "rooms"), ("type_id", "appointment_types")) for command, target in (
                (PlanGroupSession, None), (ChangeGroupSession, other["group"]))),
        ((BookAppointment, "group_id"), BookAppointment(**visit, patient_id=town.patient, group_id=other["group_sessions"]), None),
        ((ChangeAppointment, "group_id"), ChangeAppointment(**visit, group_id=other["group_sessions"]), other["visit"]),
        ((ChangeMessageWishes, "patient_id"), ChangeMessageWishes(patient_id=other["patients"], unwanted=["reminders"]), None),
        ((ScheduleRecall, "patient_id"), ScheduleRecall(**{**call, "patient_id": other["patients"]}), None),
        ((ScheduleRecall, "doctor_id"), ScheduleRecall(**{**call, "doctor_id": other["staff"]}), None),
        ((GenerateRecall, "patient_id"), GenerateRecall(**{**generated, "patient_id": other["patients"]}), None),
        ((GenerateRecall, "doctor_id"), GenerateRecall(**{**generated, "doctor_id": other["staff"]}), None),
        ((ChangeRecall, "doctor_id"), ChangeRecall(doctor_id=other["staff"]), other["recall"]),
        ((BookRecall, "appointment_id"), BookRecall(appointment_id=other["appointments"]), other["recall"]),
        ((RefuseRecalls, "patient_id"), RefuseRecalls(patient_id=other["patients"]), None),
        ((WelcomeRecalls, "patient_id"), WelcomeRecalls(patient_id=other["patients"]), None),
        ((ConvertLead, "patient_id"), ConvertLead(patient_id=other["patients"]), other["written"]),
        ((ConvertReferralLead, "patient_id"), ConvertReferralLead(patient_id=other["patients"]), other["lead"]),
        ((BookAppointment, "doctor_id"), BookAppointment(**{**visit, "patient_id": town.patient, "doctor_id": other["staff"]}), None),
        ((OpenCalendarFeed, "doctor_id"), OpenCalendarFeed(doctor_id=other["staff"]), None),
        ((CloseCalendarFeed, "doctor_id"), CloseCalendarFeed(doctor_id=other["staff"]), None),
        ((BookAppointment, "type_id"), BookAppointment(**{**visit, "patient_id": town.patient, "type_id": other["appointment_types"]}), None),
        ((HoldTime, "type_id"), HoldTime(**{**visit, "type_id": other["appointment_types"]}), None),
        ((ChangeAppointment, "type_id"), ChangeAppointment(**{**visit, "type_id": other["appointment_types"]}), other["visit"]),
        ((BookAppointmentSeries, "type_id"), BookAppointmentSeries(**{**often, "type_id": other["appointment_types"]}), None),
        ((ChangeAppointmentSeries, "type_id"), ChangeAppointmentSeries(scope="all", type_id=other["appointment_types"]), other["series"]),
        ((AddRoom, "place_id"), AddRoom(name="Room 2", place_id=other["places"]), None),
        ((ChangeRoom, "place_id"), ChangeRoom(name="Room 1", place_id=other["places"]), town.room),
        ((BookAppointment, "room_id"), BookAppointment(**{**visit, "patient_id": town.patient, "room_id": other["rooms"]}), None),
        ((BookAppointment, "patient_id"), BookAppointment(**{**visit, "patient_id": other["patients"]}), None),
        ((BookAppointment, "hold_id"), BookAppointment(**{**visit, "patient_id": town.patient, "hold_id": other["holds"]}), None),
        ((HoldTime, "doctor_id"), HoldTime(**{**visit, "doctor_id": other["staff"]}), None),
        ((HoldTime, "room_id"), HoldTime(**{**visit, "room_id": other["rooms"]}), None),
        ((ChangeAppointment, "doctor_id"), ChangeAppointment(**{**visit, "doctor_id": other["staff"]}), other["visit"]),
        ((ChangeAppointment, "room_id"), ChangeAppointment(**{**visit, "room_id": other["rooms"]}), other["visit"]),
        ((BookAppointmentSeries, "patient_id"), BookAppointmentSeries(**{**often, "patient_id": other["patients"]}), None),
        ((BookAppointmentSeries, "doctor_id"), BookAppointmentSeries(**{**often, "doctor_id": other["staff"]}), None),
        ((BookAppointmentSeries, "room_id"), BookAppointmentSeries(**{**often, "room_id": other["rooms"]}), None),
        ((ChangeAppointmentSeries, "doctor_id"), ChangeAppointmentSeries(scope="all", doctor_id=other["staff"]), other["series"]),
        ((ChangeAppointmentSeries, "room_id"), ChangeAppointmentSeries(scope="all", room_id=other["rooms"]), other["series"]),
        ((AddCover, "patient_id"), AddCover(patient_id=other["patients"], payer_id=other["own payer"], member_number="W1", valid_from=NOW.date()), None),
        ((AddCover, "payer_id"), AddCover(patient_id=town.patient, payer_id=other["insurance_payers"], member_number="W1", valid_from=NOW.date()), None),
        ((ChangeCover, "payer_id"), ChangeCover(payer_id=other["insurance_payers"], member_number="W1", valid_from=NOW.date()), other["cover"]),
        ((CreateInsuranceClaim, "invoice_id"), CreateInsuranceClaim(invoice_id=other["invoices"], cover_id=other["cover"]), None),
        ((CreateInsuranceClaim, "cover_id"), CreateInsuranceClaim(invoice_id=other["bill"], cover_id=other["insurance_covers"]), None),
        ((ReplaceInsuranceClaim, "replaces_id"), ReplaceInsuranceClaim(replaces_id=other["insurance_claims"]), None),
        ((SetFees, "payer_id"), SetFees(payer_id=other["insurance_payers"], fees=[FEE]), None),
        ((RemoveFees, "payer_id"), RemoveFees(payer_id=other["insurance_payers"], fees=[FEE]), None),
        ((CreateInvoice, "patient_id"), CreateInvoice(patient_id=other["patients"], lines=own), None),
        ((CreateInvoice, "lines.doctor_id"), CreateInvoice(patient_id=town.patient, lines=foreign), None),
        ((EditInvoice, "lines.doctor_id"), EditInvoice(lines=foreign), other["draft"]),
        ((CreateInstallmentPlan, "patient_id"), CreateInstallmentPlan(patient_id=other["patients"], lines=[PART], rhythm=AT_ONCE), None),
        ((CreateInstallmentPlan, "lines.doctor_id"), CreateInstallmentPlan(patient_id=town.patient, lines=[replace(PART, doctor_id=other["staff"])], rhythm=AT_ONCE), None),
        ((SplitInvoice, "invoice_id"), SplitInvoice(invoice_id=other["invoices"], rhythm=AT_ONCE), None),
        ((AddPayrollEmployee, "staff_id"), AddPayrollEmployee(**PAID, staff_id=other["staff"]), None),
        ((ChangePayrollEmployee, "staff_id"), ChangePayrollEmployee(**PAID, staff_id=other["staff"]), other["employee"]),
        ((DraftPayrollRun, "period_id"), DraftPayrollRun(period_id=other["payroll_periods"]), None),
        ((DraftPayrollRun, "employees"), DraftPayrollRun(period_id=other["period"], employees=[other["payroll_employees"]]), None),
        ((DraftPayrollRun, "corrects_id"), DraftPayrollRun(period_id=other["period"], corrects_id=other["payroll_runs"]), None),
        ((ChangePayrollRun, "employees"), ChangePayrollRun(employees=[other["payroll_employees"]]), other["run"]),
        ((MakeCommissionRule, "doctor_id"), MakeCommissionRule(**{**SHARE, "doctor_id": other["staff"]}), None),
        ((ChangeCommissionRule, "doctor_id"), ChangeCommissionRule(**{**SHARE, "doctor_id": other["staff"]}), other["rule"]),
        ((CreateQuotation, "patient_id"), CreateQuotation(patient_id=other["patients"], lines=own), None),
        ((CreateQuotation, "lines.doctor_id"), CreateQuotation(patient_id=town.patient, lines=foreign), None),
        ((EditQuotation, "lines.doctor_id"), EditQuotation(lines=foreign), other["quotation"]),
        ((ShareQuotation, "quotation_id"), ShareQuotation(quotation_id=other["quotations"]), None),
        ((RevokeQuotationLink, "quotation_id"), RevokeQuotationLink(quotation_id=other["quotations"]), None),
        ((OpenTill, "place_id"), OpenTill(place_id=other["places"]), None),
        ((RecordPayment, "place_id"), RecordPayment(amount=1, method="cash", place_id=other["places"]), other["bill"]),
        ((MarkInvoicePaid, "place_id"), MarkInvoicePaid(place_id=other["places"]), other["bill"]),
        ((RefundPayment, "place_id"), RefundPayment(payment_id=uuid4(), amount=1, reason="No", place_id=other["places"]), other["bill"]),
        ((RecordExpense, "place_id"), RecordExpense(category="rent", description="April", amount=1, spent_on=NOW.date(), place_id=other["places"]), None),
        ((CorrectExpense, "place_id"), CorrectExpense(category="rent", description="April", amount=1, spent_on=NOW.date(), place_id=other["places"]), other["expense"]),
        ((ShareInvoice, "invoice_id"), ShareInvoice(invoice_id=other["invoices"]), None),
        ((IssueReceipt, "invoice_id"), IssueReceipt(invoice_id=other["invoices"], payment_id=uuid4()), None),
        ((ShareReceipt, "receipt_id"), ShareReceipt(receipt_id=other["receipts"]), None),
        ((RevokeReceiptLink, "receipt_id"), RevokeReceiptLink(receipt_id=other["receipts"]), None),
        ((RevokeInvoiceLink, "invoice_id"), RevokeInvoiceLink(invoice_id=other["invoices"]), None),
        ((ReceiveDeposit, "patient_id"), ReceiveDeposit(patient_id=other["patients"], amount=1, method="cash"), None),
        ((ReceiveDeposit, "appointment_id"), ReceiveDeposit(patient_id=town.patient, amount=1, method="cash", appointment_id=other["appointments"]), None),
        ((ReverseDeposit, "patient_id"), ReverseDeposit(patient_id=other["patients"], deposit_id=uuid4(), reason="No"), None),
        ((ReturnCredit, "patient_id"), ReturnCredit(patient_id=other["patients"], amount=1, method="cash", reason="No"), None),
        ((SettleInvoices, "patient_id"), SettleInvoices(patient_id=other["patients"], amount=1, method="cash"), None),
        ((SettleInvoices, "patients"), SettleInvoices(patient_id=town.patient, amount=1, method="cash", patients=[other["patients"]]), None),
        ((SettleInvoices, "invoices"), SettleInvoices(patient_id=town.patient, amount=1, method="cash", invoices=[other["invoices"]]), None),
        ((ReceiveDeposit, "place_id"), ReceiveDeposit(patient_id=town.patient, amount=1, method="cash", place_id=other["places"]), None),
        ((ReturnCredit, "place_id"), ReturnCredit(patient_id=town.patient, amount=1, method="cash", reason="No", place_id=other["places"]), None),
        ((SettleInvoices, "place_id"), SettleInvoices(patient_id=town.patient, amount=1, method="cash", place_id=other["places"]), None),
        ((SetDoctorSchedule, "doctor_id"), SetDoctorSchedule(doctor_id=other["staff"], week=ALWAYS), None),
        ((BlockTime, "doctor_id"), BlockTime(doctor_id=other["staff"], start=MONDAY, end=town.at(60)), None),
        ((SettleAbsence, "block_id"), SettleAbsence(block_id=other["blocks"], rule=[How(action="leave")]), None),
        ((BlockTime, "room_id"), BlockTime(room_id=other["rooms"], start=MONDAY, end=town.at(60)), None),
        ((QueuePatient, "patient_id"), QueuePatient(patient_id=other["patients"]), None),
        ((QueuePatient, "doctor_id"), QueuePatient(patient_id=town.patient, doctor_id=other["staff"]), None),
        ((QueuePatient, "room_id"), QueuePatient(patient_id=town.patient, room_id=other["rooms"]), None),
        ((PlaceQueueEntry, "doctor_id"), PlaceQueueEntry(doctor_id=other["staff"]), other["entry"]),
        ((PlaceQueueEntry, "room_id"), PlaceQueueEntry(room_id=other["rooms"]), other["entry"]),
        ((PlaceLegalHold, "patient_id"), PlaceLegalHold(reason="A lawsuit", patient_id=other["patients"]), None),
        ((ErasePatient, "patient_id"), ErasePatient(reason="They asked", patient_id=other["patients"]), None),
        ((InvitePatient, "patient_id"), InvitePatient(patient_id=other["patients"]), None),
        ((MergePatients, "loser_id"), MergePatients(loser_id=other["patients"]), other["twin"]),
        ((UnmergePatients, "loser_id"), UnmergePatients(loser_id=other["patients"]), other["twin"]),
        ((RequestReferralPayout, "referrals"), RequestReferralPayout(referrals=[other["clinic_referrals"]], amount=100), None),
    ]


async def test_an_id_of_another_clinic_of_another_kind_or_of_nothing_is_not_found(database: Any, town: Town) -> None:
    """In every reference of every command; nothing is stored, and the three cannot be told apart."""
    far = await Town.open(town.handler)
    mine = {"visit": (await town(town.visit())).id, "draft": await town.invoice(issue=False), "twin": await town.register(), "recall": await town.recall(), "lead": await town.lead(), "written": (await town.written())[1], "series": await series(town)}
    mine["entry"] = (await town(QueuePatient(patient_id=mine["twin"]))).id
    mine["relation"] = (await town(AddRelation(patient_id=town.patient, relation="friend", name="Anna"))).id
    mine["form"], form = (await town(PHOTOS)).id, (await far(PHOTOS)).id
    anna = (await far(AddRelation(patient_id=far.patient, relation="parent", guardian=True, name="Anna"))).id
    mine |= {"quotation": await town.quotation(), "own payer": await town.payer(), "cover": await town.cover(), "bill": await town.invoice()}
    mine["employee"], mine["period"], mine["run"] = await paid(town)
    employee, period, run = await paid(far)
    mine["rule"] = (await town(MakeCommissionRule(doctor_id=town.doctor, **SHARE))).id
    mine["expense"] = (await town(RecordExpense(category="rent", description="April", amount=1, spent_on=NOW.date()))).id
    mine["campaign"] = (await town(DraftRecallCampaign(**CAMPAIGN))).id
    mine["waiting"], mine["group"] = await listed(town), await course(town)
    away, held = (await far(far.visit())).id, (await far(HoldTime(doctor_id=far.doctor, start=far.at(300)))).id
    strange = {
        "another clinic's": {"blocks": (await far(BlockTime(room_id=far.room, start=far.at(600), end=far.at(660)))).id, "staff": far.doctor, "rooms": far.room, "patients": far.patient, "clinic_referrals": await far.referral(), "appointments": away, "holds": held, "places": (await far(OpenPlace(name="Far"))).id, "appointment_types": (await far(AddAppointmentType(name="Far"))).id, "consent_forms": form, "relations": anna, "insurance_payers": await far.payer(), "insurance_covers": await far.cover(), "insurance_claims": await far.claim(), "quotations": await far.quotation(), "invoices": await far.invoice(), "receipts": await far.receipt(), "waiting_list": await listed(far), "group_sessions": await course(far), "payroll_employees": employee, "payroll_periods": period, "payroll_runs": run},
        "of another kind": {"blocks": town.room, "staff": town.room, "rooms": town.patient, "patients": town.doctor, "clinic_referrals": town.room, "appointments": town.room, "holds": town.room, "places": town.room, "appointment_types": town.room, "consent_forms": town.room, "relations": town.room, **dict.fromkeys(INSURANCE, town.room), "quotations": town.room, "invoices": town.room, "receipts": town.room, "waiting_list": town.room, "group_sessions": town.room, "payroll_employees": town.room, "payroll_periods": town.room, "payroll_runs": town.room},
        "of nothing": {"blocks": uuid4(), "staff": uuid4(), "rooms": uuid4(), "patients": uuid4(), "clinic_referrals": uuid4(), "appointments": uuid4(), "holds": uuid4(), "places": uuid4(), "appointment_types": uuid4(), "consent_forms": uuid4(), "relations": uuid4(), **dict.fromkeys(INSURANCE, uuid4()), "quotations": uuid4(), "invoices": uuid4(), "receipts": uuid4(), "payroll_employees": uuid4(), "payroll_periods": uuid4(), "payroll_runs": uuid4(), "waiting_list": uuid4(), "group_sessions": uuid4()},
    }
    count = len(stored(database))
    for ids in strange.values():
        for _, command, id_ in with_references(town, {**ids, **mine}):
            with pytest.raises(NotFound):
                await town(command, id_)
    assert len(stored(database)) == count
    assert {shape for shape, *_ in with_references(town, {**strange["of nothing"], **mine})} == {s for c in COMMANDS if asked_by_a_clinic(c) for s in pointing(c)}


async def test_the_same_commands_with_ids_of_ones_own_are_accepted(town: Town) -> None:
    """So that it is the reference that was refused, and nothing else."""
    own = {"blocks": uuid4(), "staff": town.doctor, "rooms": town.room, "patients": town.patient, "clinic_referrals": uuid4(), "appointments": uuid4(), "holds": uuid4(), "places": uuid4(), "appointment_types": uuid4(), "recall": uuid4(), "lead": uuid4(), "written": uuid4(), "relation": uuid4(), "entry": uuid4(), "consent_forms": uuid4(), "relations": uuid4(), "form": uuid4(), "quotations": uuid4(), "invoices": uuid4(), "receipts": uuid4(), "quotation": uuid4(), **dict.fromkeys(["payroll_employees", "payroll_periods", "payroll_runs", "employee", "period", "run", "rule"], uuid4())}
    own |= {"bill": uuid4(), "expense": uuid4(), "campaign": uuid4(), "waiting_list": uuid4(), "group_sessions": uuid4(), "waiting": uuid4(), "group": uuid4()}
    for shape, command, _ in with_references(town, {**own, **dict.fromkeys([*INSURANCE, "own payer", "cover", "bill"], uuid4()), "visit": uuid4(), "draft": uuid4(), "twin": uuid4(), "series": uuid4()}):
        if issubclass(shape[0], RecordPayment | MarkInvoicePaid | RefundPayment | CorrectExpense):
            continue
        if issubclass(shape[0], SettleAbsence | ChangeAppointmentSeries | ChangeAppointment | EditInvoice | MergePatients | UnmergePatients | ChangeRecall | ChangeRecallCampaign | BookRecall | ConvertReferralLead | CloseCalendarFeed | ChangeRoom | ConvertLead | WelcomeRecalls | UnfavourPatient | ChangeRelation | SendReminder | PlaceQueueEntry | DismissDuplicate | ReopenDuplicate | RecordConsent | WithdrawConsent | ChangePatientPreferences | CreateInstallmentPlan | SplitInvoice | ChangePayrollEmployee | DraftPayrollRun | ChangePayrollRun | ChangeCommissionRule | EditQuotation | ShareQuotation | RevokeQuotationLink | ShareInvoice | RevokeInvoiceLink | IssueReceipt | ShareReceipt | RevokeReceiptLink | ReverseDeposit | ReturnCredit | SettleInvoices | ChangeWaitingEntry | OfferSlot | ChangeGroupSession | AddCover | ChangeCover | CreateInsuranceClaim | ReplaceInsuranceClaim | SetFees | RemoveFees) or shape[1] == "group_id" or shape in {(AddRelation, "related_id"), (AddWaitingEntry, "appointment_id"), (ReceiveDeposit, "appointment_id")}:
            continue
        fresh = await Town.open(town.handler)
        if isinstance(command, RequestReferralPayout):
            command = RequestReferralPayout(referrals=[await fresh.referral()], amount=100)  # noqa: PLW2901
        if isinstance(command, InvitePatient):
            await fresh(ChangePatient(given_name="Noor", family_name="Bakker", email="noor@example.org"), fresh.patient)
        ids = {town.doctor: fresh.doctor, town.room: fresh.room, town.patient: fresh.patient}
        if shape[1] == "type_id":
            ids[own["appointment_types"]] = (await fresh(AddAppointmentType(name="Checkup"))).id
        if shape[1] == "place_id":
            ids[own["places"]] = (await fresh(OpenPlace(name="Noord"))).id
        if shape[1] == "hold_id":
            ids[own["holds"]] = (await fresh(HoldTime(doctor_id=fresh.doctor, room_id=fresh.room, start=MONDAY))).id
        renamed = type(command)(**{k: ids.get(v, v) if isinstance(v, UUID) else v for k, v in asdict(command).items() if k != "lines"}, **lines(command))
        assert (await fresh(renamed)).version >= 1


async def paid(town: Town) -> tuple[UUID, UUID, UUID]:
    """Put somebody on the payroll, and pay them for a month; return them, the month and the run."""
    employee = (await town(AddPayrollEmployee(**PAID))).id
    month = (await town(OpenPayrollPeriod(starts_on=date(2019, 1, 1), ends_on=date(2019, 1, 31)))).id
    return employee, month, (await town(DraftPayrollRun(period_id=month, employees=[employee]))).id


async def listed(town: Town) -> UUID:
    return (await town(AddWaitingEntry(patient_id=town.patient))).id


async def course(town: Town) -> UUID:
    return (await town(PlanGroupSession(doctor_id=town.doctor, start=town.at(900), capacity=2))).id


async def series(town: Town) -> UUID:
    wanted = {"patient_id": town.patient, "doctor_id": town.doctor, "start": town.at(600), "rule": Rule(unit="weeks", count=2)}
    return (await town(BookAppointmentSeries(**wanted))).id


def lines(command: Command) -> dict[str, Any]:
    return {"lines": [Line(description="Crown", unit_price=100)]} if hasattr(command, "lines") else {}


async def test_what_belongs_to_another_clinic_is_not_found_whatever_is_asked(database: Any, town: Town) -> None:
    """Every command about something that exists, sent by another clinic's admin, and to things of another kind."""
    far = await Town.open(town.handler)
    invoice, visit = await town.invoice(), (await town(town.visit())).id
    block = (await town(BlockTime(room_id=town.room, start=town.at(600), end=town.at(660)))).id
    things = {"patients": town.patient, "staff": town.doctor, "rooms": town.room, "appointments": visit, "invoices": invoice, "blocks": block, "clinics": town.id}
    things |= {"clinic_referrals": await town.referral(), "upgrade_requests": (await town(RequestSeats(doctors=30))).id}
    key = IssueApiKey(name="Website", scopes=["patients.view"], hint="ak_abcdef", secret_id=uuid4())
    things |= {"api_keys": (await town(key)).id, "emergencies": (await town(BreakGlass(patient_id=town.patient, reason="Unconscious"))).id}
    reachable = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", email="noor@example.org"))).id
    things["portal_invitations"] = (await town(InvitePatient(patient_id=reachable))).id
    things |= {"recalls": await town.recall(), "referrals": (source := await town.source()), "referral_leads": await town.lead(source)}
    things["lead_forms"], things["leads"] = await town.written()
    things["recurrences"] = await series(town)
    away = await town(BlockTime(doctor_id=town.doctor, start=town.at(0), end=town.at(60), reason="Ill", despite_bookings=True))
    things["absences"] = (await town(SettleAbsence(block_id=away.id, rule=[How(action="leave")]))).id
    things["recall_campaigns"] = (await town(DraftRecallCampaign(**CAMPAIGN))).id
    things["import_runs"] = (await town(StartImport(rows=1))).id
    things |= {"waiting_list": await listed(town), "group_sessions": await course(town)}
    things["slot_offers"] = (await town(OfferSlot(entry_id=things["waiting_list"], doctor_id=town.doctor, start=town.at(1200)))).id
    things |= {"places": (await town(OpenPlace(name="Noord"))).id, "appointment_types": (await town(AddAppointmentType(name="Implant"))).id}
    things["queue"] = (await town(QueuePatient(patient_id=town.patient))).id
    things |= {"quotations": await town.quotation(), "receipts": await town.receipt()}
    things["installments"] = (await town(CreateInstallmentPlan(patient_id=town.patient, lines=[PART], rhythm=AT_ONCE))).id
    things["payroll_employees"], things["payroll_periods"], things["payroll_runs"] = await paid(town)
    things["commission_rules"] = (await town(MakeCommissionRule(doctor_id=town.doctor, **SHARE))).id
    things["visit_fees"] = await town.visit_fee()
    things["tills"] = (await town(OpenTill(opening=0))).id
    things["card_payments"] = await town.card_payment()
    things |= {"insurance_payers": await town.payer(), "insurance_covers": await town.cover(), "insurance_claims": await town.claim()}
    things["expenses"] = (await town(RecordExpense(category="rent", description="April", amount=1, spent_on=NOW.date()))).id
    things["holds"] = (await town(HoldTime(doctor_id=town.doctor, start=town.at(300)))).id
    things["webhooks"] = (await town(AddWebhook(url="https://hooks.example.org/", secret_id=uuid4()))).id
    things["relations"] = (await town(AddRelation(patient_id=town.patient, relation="friend", name="Anna"))).id
    things["consent_forms"] = (await town(PHOTOS)).id
    things["patient_notes"] = (await town(WritePatientNote(patient_id=town.patient, text="Prefers the morning"))).id
    things["sync_conflicts"] = (await town(conflict(town.patient), who=house(town.admin.actor, town.id))).id
    payer = await far.payer()
    count = len(stored(database))
    for command in later(far, payer):
        kind = command.state.kind
        for target in (things[kind], things["rooms" if kind != "rooms" else "patients"], uuid4()):
            with pytest.raises(NotFound):
                await far(command, target)
    assert len(stored(database)) == count
    assert {type(command) for command in later(far, payer)} == {c for c in COMMANDS if asked_by_a_clinic(c) and not issubclass(c, Creation)}


INSURANCE = ("insurance_payers", "insurance_covers", "insurance_claims")
FEE = Fee(procedure_code="D1", price=1, valid_from=NOW.date())


def conflict(patient: UUID) -> KeepSyncConflict:
    """Return what a device wanted to do to a patient."""
    return KeepSyncConflict(device_id=uuid4(), action="ChangePatient", entity_id=patient, patient_id=patient, code="CHANGED_ELSEWHERE", values={"phone": "020 1"})


def later(town: Town, payer: UUID) -> list[Command]:
    """Return a good one of each command about something that exists."""
    visit = {"doctor_id": town.doctor, "start": MONDAY}
    return [
        UndoMissedAppointment(), WaiveVisitFee(reason="No"),
        ChangeAppointment(**visit), ChangeAppointmentStatus(status="confirmed"), RemoveAppointment(), ChangeClinic(name="Mine"),
        ChangePlace(name="Mine"), ClosePlace(), ChangeAppointmentType(name="Mine"), DeleteAppointmentType(),
        ShareAppointment(), RevokeAppointmentLink(), SendAppointmentSummary(), ExtendHold(), ReleaseHold(), ResendPortalInvitation(), CancelPortalInvitation(),
        SwitchModule(module="lab", on=False), RemoveClinicBranding(type="logo"),
        SetClinicBranding(type="logo", digest="ab" * 32, media="image/png", size=1), OverrideStaffPermissions(permissions={}),
        CheckInAppointment(), MoveQueuedAppointment(status="IN_PROGRESS"), RankQueuedAppointment(rank="high", reason="A child"),
        MoveQueueEntry(status="IN_PROGRESS"), RankQueueEntry(rank="high", reason="A child"), PlaceQueueEntry(),
        EditInvoice(lines=[Line(description="Crown", unit_price=1)]), IssueInvoice(), RecordPayment(amount=1, method="cash"), MarkInvoicePaid(), SendInvoice(),
        EditQuotation(lines=[Line(description="Crown", unit_price=1)]), IssueQuotation(), SendQuotation(), AcceptQuotation(), DeclineQuotation(), ReissueQuotation(), ConvertQuotation(), WithdrawQuotation(), SendReceipt(),
        ChangeInstallmentTerms(terms=[DueTerm(due_on=NOW.date(), amount=100)]), PauseInstallmentPlan(), ResumeInstallmentPlan(), CancelInstallmentPlan(),
        ChangePayrollEmployee(**PAID), RemovePayrollPeriod(), ChangePayrollRun(), ApprovePayrollRun(), PayPayrollRun(), VoidPayrollRun(reason="No"),
        ChangeCommissionRule(**SHARE, doctor_id=town.doctor), RemoveCommissionRule(),
        ChangePayer(name="Mine"), ArchivePayer(), RestorePayer(), ChangeCover(payer_id=payer, member_number="W1", valid_from=NOW.date()), RemoveCover(),
        UpdateInsuranceClaim(), SubmitInsuranceClaim(), WithdrawInsuranceClaim(), AnswerInsuranceClaim(lines=[AnsweredLine(line=1, approved=0)]), AcceptInsuranceClaim(),
        DenyInsuranceClaim(code="29"), AppealInsuranceClaim(reason="No"), PayInsuranceClaim(), ReverseInsurancePayment(payment_id=uuid4(), reason="No"), VoidInsuranceClaim(reason="No"),
        DeleteInsuranceClaim(), WriteOffInsuranceClaim(), DetachFromInsuranceClaim(attachment_id=uuid4()),
        AttachToInsuranceClaim(attachment_id=uuid4(), name="X-ray", media="application/pdf", size=1, digest="0"),
        CorrectExpense(category="rent", description="April", amount=1, spent_on=NOW.date()), StrikeOutExpense(),
        CloseTill(counted=1), ReopenTill(reason="No"),
        NoteCardReturn(refund="re_1", amount=1, reason="No"),
        RefundPayment(payment_id=uuid4(), amount=1, reason="No"), VoidInvoice(reason="No"), DeleteInvoice(),
        ApplyCredit(), ReallocatePayment(payment_id=uuid4(), allocations=[]), ReversePayment(payment_id=uuid4(), reason="No"), CreditInvoice(reason="No"), WriteOffInvoice(reason="No"),
        MergePatients(loser_id=town.patient), UnmergePatients(loser_id=town.patient), ChangePatient(given_name="A", family_name="B"),
        ChangeMedicalHistory(allergies=[], conditions=[], medications=[]), ArchivePatient(),
        ChangePatientPreferences(language="nl"), AddMedicalEntry(what="allergies", entry=MedicalEntry(name="Latex")), EndMedicalEntry(entry_id=uuid4()),
        AmendMedicalEntry(entry_id=uuid4(), entry=MedicalEntry(name="Latex"), reason="No"), RefuteMedicalEntry(entry_id=uuid4(), reason="No"), ReopenMedicalEntry(entry_id=uuid4()),
        ReviseConsentForm(name="Photos", purpose="photos", text="No"), RetireConsentForm(), RestoreConsentForm(),
        BlockPatient(reason="No"), UnblockPatient(), ChangePatientGroups(add=["VIP"]),
        ChangeRelation(relation="friend", name="Anna"), EndRelation(), AmendPatientNote(text="Mine"), PinPatientNote(), UnpinPatientNote(), RemovePatientNote(),
        RestorePatient(), ChangeRoom(name="Mine"), DeleteRoom(), UnblockTime(), ChangeStaff(name="A", email="a@b.example", role="doctor"),
        DeactivateStaff(), ReactivateStaff(), OverrideStaffPermissions(permissions={}), WithdrawClinicReferral(), ChangeSeatRequest(doctors=40),
        ExportClinic(), ExportEvidence(), CloseClinic(name="Grachten", reason="No"), KeepClinic(), CancelStaffInvitation(), ResendStaffInvitation(), RevokeApiKey(), EndEmergency(),
        ChangeWebhook(url="https://hooks.example.org/"), RotateWebhookSecret(secret_id=uuid4()), EnableWebhook(), DisableWebhook(), SendWebhookTest(),
        ResendDelivery(delivery=uuid4()), ResendFailedDeliveries(since=NOW), DeleteWebhook(),
        ChangeAppointmentSeries(scope="all", time="10:00"), CancelAppointmentSeries(scope="all"), ExtendAppointmentSeries(count=1),
        ChangeRecall(), NoteRecallAttempt(outcome="reached"), BookRecall(appointment_id=uuid4()), DeclineRecall(), CancelRecall(), ReopenRecall(),
        DismissSyncConflict(), UndoAbsence(), CancelImport(), UndoImport(),
        ChangeRecallCampaign(**CAMPAIGN), StartRecallCampaign(), PauseRecallCampaign(), CancelRecallCampaign(),
        ChangeWaitingEntry(), RemoveWaitingEntry(), ReopenWaitingEntry(), AcceptSlotOffer(), DeclineSlotOffer(), WithdrawSlotOffer(),
        ChangeGroupSession(**visit), CancelGroupSession(), ChangeClinicZone(zone="Europe/London"),
        ChangeReferralSource(name="Mine", kind="other"), DeleteReferralSource(), MakeReferralLink(), WithdrawReferralLink(),
        ChangeLeadForm(label="Mine"), RotateLeadFormToken(), DisableLeadForm(), ChangeLeadStatus(status="contacted"), ConvertLead(gender="other"),
        NoteReferralContact(), ConvertReferralLead(patient_id=town.patient), DismissReferralLead(), ReopenReferralLead(),
    ]


CAMPAIGN: dict[str, Any] = {"name": "Spring", "kind": "check-up", "starts_on": NOW.date()}
SECRETS = ["Zwanenburg", "noor@zwanenburg.example", "Penicillin", "afraid of drills", "running late again"]


async def secretive(town: Town) -> UUID:
    """Register somebody with a story."""
    register = RegisterPatient(given_name="Noor", family_name=SECRETS[0], email=SECRETS[1], birth_date=date(1990, 5, 17), notes=SECRETS[3])
    patient = (await town(register)).id
    await town(ChangeMedicalHistory(allergies=[MedicalEntry(name=SECRETS[2])], conditions=[], medications=[]), patient)
    visit = await town(town.visit(patient_id=patient, notes=SECRETS[3]))
    await town(ChangeAppointmentStatus(status="cancelled", reason=SECRETS[4]), visit.id)
    return patient


async def test_nothing_personal_is_legible_in_the_store(database: Any, town: Town) -> None:
    """Not in the events, and not anywhere else in the tables of the command side."""
    await secretive(town)
    with psycopg.connect(database.url("owner")) as connection:
        said = b"".join(row[0] for row in connection.execute("select state from stored_events"))
        tables = ("stored_events", "command_log", "unique_claims", "time_claims", "snapshots", "person_keys")
        whole = "".join(str(row) for table in tables for row in connection.execute(f"select t::text from {table} t"))  # noqa: S608
    assert b"Grachten" in said  # a clinic's name is nobody's secret: the search can find
    assert [secret for secret in [*SECRETS, "1990-05-17"] if secret.encode() in said or secret.encode().hex() in whole or secret in whole] == []


async def test_a_destroyed_key_takes_a_person_out_of_every_row(database: Any, town: Town) -> None:
    """What is left of the events still folds; what was personal reads as None; nothing more can be written about them."""
    patient = await secretive(town)
    with psycopg.connect(database.url("owner"), autocommit=True) as connection:
        connection.execute("update person_keys set wrapped = null, destroyed_at = now() where person = %s", (patient,))
    async with handling(database) as other:
        for change in (ChangePatient(given_name="No", family_name="One"), ChangeMedicalHistory(allergies=[], conditions=[], medications=[])):
            with pytest.raises(Erased):
                await other.handle(change, town.admin, id=patient, now=NOW)
        archived = await other.handle(ArchivePatient(), town.admin, id=patient, now=NOW)
    assert archived.row is not None
    left = asdict(archived.row)
    assert [left[name] for name in ("given_name", "family_name", "email", "birth_date", "notes")] == [None] * 5
    assert (left["archived"], left["registered_on"]) == (True, NOW.date())


async def test_the_row_of_an_answer_is_what_its_events_fold_to(database: Any, town: Town) -> None:
    """For every command of a long day, from a warm cache and a cold one alike."""
    invoice, visit = await town.invoice(300), (await town(town.visit())).id
    life: list[tuple[Command, UUID]] = [
        (RecordPayment(amount=100, method="cash"), invoice), (RecordPayment(amount=50, method="card"), invoice), (MarkInvoicePaid(), invoice),
        *((ChangeAppointmentStatus(status=status), visit) for status in ("confirmed", "arrived", "in-chair", "completed")),
    ]
    receipts = [await town(command, id_) for command, id_ in life]
    async with handling(database) as cold:
        receipts.append(await cold.handle(ChangePatient(given_name="Nora", family_name="Bakker"), town.admin, id=town.patient, now=NOW))
        receipts.append(await cold.handle(ChangeRoom(name="Garden room"), town.admin, id=town.room, now=NOW))
        for receipt in receipts:
            assert receipt.row == folded(database, cold, receipt)


def folded(database: Any, handler: Handler, receipt: Receipt) -> Row | None:
    """Fold a stream up to a receipt's version with the projection alone."""
    row: Row | None = None
    for event in stored(database):
        if event.stream == receipt.id and event.version <= receipt.version:
            projection = PROJECTIONS[event.kind]
            if event.topic in projection.topics:
                row = projection.next(row, fact_of(event, handler.keys.key_of), (event.stream,))
    return row


async def test_a_refusal_that_rests_on_a_stale_memory_is_thought_over(database: Any, town: Town) -> None:
    """One process remembers an invoice as paid; another has refunded it meanwhile: the first may not say no."""
    invoice = await town.invoice(100)
    await town(MarkInvoicePaid(), invoice)
    (payment,) = [json.decode(e.body)["paymentId"] for e in stored(database) if e.topic == "PaymentRecorded" and e.stream == invoice]
    async with handling(database) as other:
        await other.handle(RefundPayment(payment_id=UUID(payment), amount=40, reason="No"), town.admin, id=invoice, now=NOW)
    paid = await town(RecordPayment(amount=40, method="cash"), invoice)
    with pytest.raises(InvoiceAlreadyPaid):
        await town(MarkInvoicePaid(), invoice)
    assert paid.version == 8


async def test_an_acceptance_that_rests_on_a_stale_memory_is_thought_over_too(database: Any, town: Town) -> None:
    """One process remembers an invoice as due; another has voided it."""
    invoice = await town.invoice(100)
    async with handling(database) as other:
        await other.handle(VoidInvoice(reason="No"), town.admin, id=invoice, now=NOW)
    with pytest.raises(InvoiceNotIssued):
        await town(RecordPayment(amount=40, method="cash"), invoice)


async def test_a_booking_rests_on_what_it_has_read(database: Any, town: Town) -> None:
    """One process remembers the patient as active, another has archived him: the guard notices, though the booking has a stream of its own."""
    await town(town.visit())
    async with handling(database) as other:
        await other.handle(ArchivePatient(), town.admin, id=town.patient, now=NOW)
    with pytest.raises(PatientNotActive):
        await town(town.visit(town.at(120)))


async def test_what_moves_between_two_looks_of_one_attempt_is_looked_at_anew(database: Any, town: Town) -> None:
    """A stream is read, and its row after that: if another process has been there in between, nothing is decided on half of each."""
    async with handling(database) as cold:
        look = Looking(cold, At(id=uuid4(), now=NOW, today=NOW.date(), actor=uuid4(), clinic=town.id))
        await look.require(Room, town.room)
        await town(ChangeRoom(name="Garden room"), town.room)
        with pytest.raises(Conflict):
            await look.row(Room, town.room)


async def test_a_refused_change_leaves_no_trace_in_memory(database: Any, town: Town) -> None:
    """Refused by the store for its time, or for a text that no row can hold: what comes next builds on what is stored."""
    kept, moved = await town(town.visit()), await town(town.visit(town.at(60)))
    with pytest.raises(TimeTaken):
        await town(ChangeAppointment(doctor_id=town.doctor, start=MONDAY), moved.id)
    with pytest.raises(TextUnstorable):
        await town(ChangeRoom(name="A\0B"), town.room)
    renamed = await town(ChangeRoom(name="AB"), town.room, expect=1)
    confirmed = await town(ChangeAppointmentStatus(status="confirmed"), moved.id, expect=1)
    assert (renamed.version, confirmed.version) == (2, 2)
    assert confirmed.row is not None
    assert asdict(confirmed.row)["start_local"] == "2026-01-12T10:00:00"
    assert kept.version == 1


async def test_whoever_hangs_up_early_changes_nothing_for_the_others(database: Any, town: Town) -> None:
    """Requests that are cancelled while they are being stored either happened or did not; the next in line goes on from there."""
    invoice = await town.invoice(1000)
    tasks = [asyncio.ensure_future(town(RecordPayment(amount=10, method="cash"), invoice)) for _ in range(40)]
    for n, task in enumerate(tasks):
        await asyncio.sleep(0)
        if n % 2:
            task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    after = await town(RecordPayment(amount=10, method="cash"), invoice)
    payments = [e for e in stored(database) if e.topic == "PaymentRecorded" and e.stream == invoice]
    accepted = [o for o in outcomes if isinstance(o, Receipt)]
    assert {type(o) for o in outcomes} <= {Receipt, asyncio.CancelledError}
    assert len(accepted) >= 20
    assert {receipt.version for receipt in [*accepted, after]} <= {event.version for event in payments}
    assert after.row is not None
    assert asdict(after.row)["paid"] == 10 * len(payments)


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that may be stopped."""
    folder = temporary_directory()
    server = EmbeddedPostgres(folder)
    server.start()
    migrate(server.url("owner"))
    yield server
    server.stop()
    server.home.release()
    shutil.rmtree(folder)


async def test_while_postgres_is_away_nothing_is_accepted_and_nothing_lost(own_postgres: EmbeddedPostgres) -> None:
    """A clear refusal, and when it is back the same requests, keys and all, find their way; what was accepted before is still there."""
    database = Database(own_postgres, "anamnesis")
    async with handling(database) as handler:
        town = await Town.open(handler)
        before = await town(town.visit(), key="a", body=b"a")
        count = len(stored(database))
        own_postgres.stop()
        asked = [town(AddRoom(name=f"Room {n + 2}"), key=f"r{n}", body=b"r") for n in range(5)]
        asked += [town(town.visit(town.at(60)), key="b", body=b"b"), handler.handle(AddRoom(name="X"), who(uuid4()), now=NOW)]
        refusals = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(r) for r in refusals if not (isinstance(r, Refused) and r.status == 503)] == []
        assert any(isinstance(r, Unavailable) for r in refusals)
        own_postgres.start()
        again = [persistently(town, AddRoom(name=f"Room {n + 2}"), f"r{n}", b"r") for n in range(5)]
        *_, visit = await asyncio.gather(*again, persistently(town, town.visit(town.at(60)), "b", b"b"), persistently(town, town.visit(), "a", b"a"))
        assert (visit.id, visit.replayed) == (before.id, True)
        assert len(stored(database)) == count + 6


async def persistently(town: Town, command: Command, key: str, body: bytes) -> Receipt:
    """Do what a 503 says: ask again, with the same key."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await town(command, key=key, body=body)
            except Unavailable:
                await asyncio.sleep(0.1)


def test_the_admin_of_these_tests_is_an_ordinary_one() -> None:
    assert isinstance(who(uuid4()), Who)
    assert "superadmin" not in who(uuid4()).grants
