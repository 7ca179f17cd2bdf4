"""Who may import whom, and what must stay out of a business file; each rule is shown to bite."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_type_hints
from uuid import UUID

import pytest

from domain.kit import State
from schemas.kit import Row

ROOT = Path(__file__).parent.parent
ORDER = ["anamnesis", "gateway", "workers", "commands", "projections", "schemas", "domain"]  # each may import those to its right
MODULES = {path.stem for path in (ROOT / "domain").glob("*.py")}  # the words that have rules; read models that span them have words of their own
WALLED = {"domain", "commands", "gateway"}
BASELINES = "anamnesis/bench/kit/"  # what benchmarks compare with: the library's own recorder, plain Litestar
AT_HOME = {
    "litestar": ("gateway/", BASELINES),
    "nats": ("workers/kit/", "gateway/kit/"),
    "eventsourcing": ("commands/kit/", BASELINES),
    "psycopg": ("commands/kit/", "gateway/kit/", "projections/", "workers/kit/", "anamnesis/"),  # the program makes databases and roles
    "psycopg_pool": ("commands/kit/", "gateway/kit/", "projections/", "workers/kit/", "anamnesis/"),
}
STATEMENTS = ("select ", "insert into ", "update ", "delete from ", "create table ", "create or replace ", "with ", "alter table ", "drop ")
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic"}

COMPOSES = {  # name other modules, which is their whole business
    "gateway/app.py", "gateway/people.py", "gateway/sync.py",
}

# import -> why it is right all the same
ALLOWED = {
    ("commands/erasures.py", "schemas.appointments.AppointmentRow"): "retention counts from the last visit",
    ("commands/erasures.py", "schemas.invoices.InvoiceRow"): "and from the last bill",
    ("commands/patients.py", "domain.appointments.OPEN"): "which of the survivor's visits may be in the way of a merge",
    ("commands/patients.py", "schemas.appointments.AppointmentRow"): "and where these are found",
    **{("commands/recurrences.py", f"commands.appointments.{name}"): "a visit of a series is asked for as any other" for name in (
        "OPEN", "Fold", "Length", "Others", "Start", "Then", "TypeName", "Wanted", "attempted", "holders_of", "noted", "rearranged", "resting_on", "unless_held", "Holders")},
    **{("commands/absences.py", f"commands.appointments.{name}"): "a visit is moved because of an absence as for any other reason" for name in (
        "Fold", "Holders", "Others", "Start", "Then", "Wanted", "holders_of", "noted", "rearranged", "resting_on", "unless_held")},
    **{("commands/absences.py", f"domain.appointments.{name}"): "and stays where it is for the same reasons" for name in (
        "REACH", "Arrangement", "MovedByItself", "TimePast", "TimeTooFar", "VisitNotToCome")},
    **{(f"commands/{module}.py", "commands.appointments.ensure_clocks"): "nothing is put anywhere while all is being put elsewhere" for module in ("holds", "schedules")},
    ("commands/absences.py", "domain.group_sessions.Planned"): "a session that stands in an absence is told",
    ("commands/absences.py", "schemas.group_sessions.GroupSessionRow"): "and found by its day",
    ("commands/zones.py", "domain.clinics.Zone"): "which zone a clinic moves to",
    ("gateway/zones.py", "schemas.clinics.CurrentClinic"): "which clinics are on the move",
    ("gateway/absences.py", "domain.appointments.TimeTooFar"): "how far ahead somebody can look",
    **{("commands/absences.py", name): "who could take over, and where" for name in ("schemas.rooms.RoomRow", "schemas.staff.StaffRow")},
    **{("commands/absences.py", f"domain.schedules.{name}"): "when somebody is free their hours say" for name in ("Interval", "Slot", "merged")},
    **{("commands/recurrences.py", f"domain.appointments.{name}"): "and is arranged and cancelled as a single one" for name in (
        "Arrangement", "Circumstances", "MovedByItself", "Party", "TimePast", "VisitNotToCome")},
    **{("commands/appointments.py", f"commands.queue.{name}"): "whoever arrives waits, whichever door notes it" for name in ("arrival", "numbers")},
    **{("commands/attendance.py", f"commands.queue.{name}"): "and whoever notes it" for name in ("arrival", "numbers")},
    ("gateway/attendance.py", "domain.appointments.AppointmentLinkOver"): "who somebody is who scans the code, their appointment's link says",
    ("commands/invoices.py", "domain.series.printed"): "the number's form on paper is part of what is issued, and the series' to say",
    **{("commands/installments.py", f"commands.invoices.{name}"): "what a term becomes is issued as any invoice" for name in ("doctors_of", "issued", "series_for")},
    **{("commands/installments.py", f"domain.invoices.{name}"): "and is one; what is divided must be due" for name in ("InvoiceAlreadyPaid", "worked_out")},
    ("commands/payroll.py", "domain.series.printed"): "as with an invoice",
    **{("commands/invoices.py", f"domain.credits.{name}"): "what is paid beyond what is owed becomes credit, and credit pays, in one save" for name in (
        "Credit", "CreditTooSmall", "credit_of", "taken_from", "there")},
    **{("commands/credits.py", f"commands.invoices.{name}"): "whoever pays several invoices at once pays each as one alone" for name in ("Excess", "credits_of")},
    **{("commands/credits.py", f"domain.invoices.{name}"): "and is told why not" for name in ("InvoiceNotTheirs", "PayerUnknown", "PaymentTooLarge")},
    ("gateway/balances.py", "schemas.invoices.InvoiceRow"): "whoever sees invoices sees what they come to",
    ("commands/credits.py", "schemas.relations.RelationRow"): "relations say who pays for whom",
    **{("commands/receipts.py", f"domain.invoices.{name}"): "nothing is receipted that did not come" for name in ("PaidByCredit", "PaymentWasReversed")},
    ("commands/insurance_claims.py", "domain.series.printed"): "as with an invoice",
    ("commands/insurance_claims.py", "domain.fee_schedules.beyond_fees"): "what is written off for a payer is what its fees say",
    **{("commands/insurance_claims.py", f"domain.invoices.{name}"): "a payer pays lines of an invoice, and what is beyond its fees is written off there" for name in ("CREDITS", "LineAmount")},
    **{("gateway/fee_schedules.py", f"schemas.imports.{name}"): "what comes in as a sheet is told of alike" for name in ("ImportColumn", "ImportProblem")},
    ("gateway/fee_schedules.py", "schemas.insurance_covers.CoverRow"): "by which cover a price is suggested is for whoever may see that",
    ("commands/quotations.py", "domain.series.printed"): "as with an invoice",
    **{("commands/quotations.py", f"commands.invoices.{name}"): "what is offered is asked for like what is billed" for name in ("Lines", "doctors_of")},
    ("commands/quotations.py", "domain.invoices.Bill"): "what a quotation becomes is an invoice's draft",
    **{(f"commands/{module}.py", f"domain.public_documents.{name}"): "a document is shown by one kind of link, whatever it is" for module in ("invoices", "quotations", "receipts") for name in ("DAYS", "LinkDays")},
    **{(f"commands/{module}.py", f"commands.public_documents.{name}"): "and is sent alike" for module in ("invoices", "quotations", "receipts") for name in ("addressed", "shared")},
    ("commands/receipts.py", "domain.invoices.PaymentId"): "what is receipted is an invoice's payment",
    ("commands/receipts.py", "domain.series.printed"): "as with an invoice",
    **{("gateway/card_payments.py", name): "what is paid is an invoice's balance, and the clinic's account knows by which keys" for name in ("domain.invoices.Invoice", "schemas.subscriptions.Heard")},
    **{("gateway/public_documents.py", f"domain.invoices.{name}"): "an invoice is paid by the link to it, or the patient is told why not" for name in ("InvoiceAlreadyPaid", "InvoiceNotIssued", "PaymentTooLarge")},
    **{("gateway/booking_deposits.py", f"domain.appointments.{name}"): "a deposit is paid by the link to its visit" for name in ("AppointmentLinkOver", "DepositPaid", "VisitNotAhead")},
    ("gateway/booking_deposits.py", "schemas.card_payments.CheckoutLink"): "and where to is told as with an invoice",
    ("gateway/appointments.py", "projections.booking_deposits.paid_for"): "a patient's link says what was paid beforehand",
    ("commands/visit_fees.py", "schemas.credits.DepositRow"): "what was paid beforehand pays for a fee",
    **{("commands/visit_fees.py", name): "a fee is billed, paid and undone as any invoice is" for name in (
        "commands.invoices.credit_series", "commands.invoices.credited", "commands.invoices.credits_of", "commands.invoices.issued", "commands.invoices.series_for", "domain.credits.taken_from",
        "domain.credits.there", "domain.invoices.worked_out")},
    ("commands/tills.py", "schemas.expenses.TillDayRow"): "what should be in a till is what was recorded",
    **{("commands/card_payments.py", name): "what an invoice has no room for is the patient's credit, and goes back as that" for name in (
        "commands.invoices.credits_of", "domain.credits.taken_from", "domain.credits.there")},
    ("gateway/public_documents.py", "schemas.card_payments.CheckoutLink"): "and told where to go",
    ("gateway/public_documents.py", "commands.quotations.AnswerQuotation"): "a patient answers by the link to the document",
    **{("gateway/public_documents.py", f"domain.quotations.{name}"): "and is told why not" for name in ("QuotationConvertedAlready", "QuotationExpired", "QuotationNotOpen")},
    **{(f"gateway/{module}.py", f"schemas.public_documents.{name}"): "a link is answered alike, whatever it leads to" for module in ("invoices", "quotations", "receipts") for name in ("DocumentLink",)},
    **{("commands/holds.py", name): "what is held is what could be booked, and is asked for alike" for name in (
        "commands.appointments.OPEN", "commands.appointments.Fold", "commands.appointments.Length", "commands.appointments.Means", "commands.appointments.Start",
        "commands.appointments.means_of", "domain.appointments.ensure_possible", "domain.appointments.when")},
    **{("commands/waiting_list.py", name): "whoever is taken off the list has no offer any more" for name in ("schemas.slot_offers.SlotOfferRow",)},
    ("domain/slot_offers.py", "domain.holds.Held"): "what is offered is held",
    **{("commands/slot_offers.py", name): "what is offered is held, and becomes a visit by the ordinary command and its rules" for name in (
        "commands.appointments.BookAppointment", "commands.appointments.ChangeAppointment", "commands.appointments.Fold", "commands.appointments.Means", "commands.appointments.Seats",
        "commands.appointments.Start", "commands.appointments.means_of", "commands.appointments.seats_of", "domain.appointments.ensure_possible", "domain.appointments.when", "domain.holds.Held")},
    **{("commands/slot_offers.py", name): "and offered to whom the list says" for name in ("commands.waiting_list.freed", "domain.waiting_list.AnswerMinutes", "domain.waiting_list.Wish")},
    ("commands/appointments.py", "domain.group_sessions.Planned"): "a seat is where and when its session is",
    **{("commands/group_sessions.py", name): "a session is planned where a visit could be, and whoever takes part has a visit" for name in (
        "commands.appointments.OPEN", "commands.appointments.Fold", "commands.appointments.Length", "commands.appointments.Means", "commands.appointments.Seats", "commands.appointments.Start",
        "commands.appointments.TypeName", "commands.appointments.means_of", "commands.appointments.seats_of", "domain.appointments.Arrangement", "domain.appointments.ensure_possible",
        "domain.appointments.when")},
    ("gateway/slot_offers.py", "domain.appointments.Appointment"): "which visit would be moved, the offer's page says",
    ("gateway/slot_offers.py", "domain.places.Place"): "and where to come, which the place knows",
    ("gateway/waiting_list.py", "domain.group_sessions.GroupFull"): "a seat that somebody else was given a moment ago is gone",
    **{("gateway/waiting_list.py", name): "what comes free is offered down the line" for name in (
        "commands.slot_offers.OfferFreeSlot", "commands.slot_offers.SettleSlotOffer", "projections.slot_offers.to_settle")},
    ("gateway/appointments.py", "domain.places.Place"): "a patient is told where to come, which the place knows",
    ("gateway/erasures.py", "domain.patients.PatientMerged"): "how somebody is refused who names a record that stands for nobody any more",
    ("gateway/portal_invitations.py", "domain.accounts.PlaceOccupied"): "whoever comes in has an account, or gets one",
    **{("gateway/portal_invitations.py", f"domain.patients.{name}"): "how somebody is refused who cannot be asked in" for name in (
        "PatientMerged", "PatientNotActive", "PatientUnreachable")},
    **{("domain/imports.py", f"domain.patients.{name}"): "what is imported are patients, held to their own rules" for name in (
        "BirthDateImpossible", "Demographics", "Entries", "MedicalEntry", "ensure_born")},
    **{("commands/import_runs.py", f"domain.patients.{name}"): "what is imported are patients, held to their own rules" for name in (
        "NUMBERS", "Demographics", "Entries", "PatientErased", "PatientNumber", "PatientRestored")},
    **{("commands/import_runs.py", f"schemas.patients.{name}"): "as they stand" for name in ("MedicalHistoryRow",)},
    ("commands/import_runs.py", "domain.imports.joined"): "and a list is joined to theirs as the trial says",
    **{("gateway/imports.py", f"commands.patients.{name}"): "an import takes the desk's permissions" for name in ("ChangePatient", "RegisterPatient")},
    **{("gateway/imports.py", f"commands.import_runs.{name}"): "and is a run" for name in ("Imported", "StartImport")},
    **{("gateway/import_runs.py", f"domain.patients.{name}"): "whom a run takes in" for name in ("Demographics", "ExternalIdTaken")},
    **{("gateway/import_runs.py", f"schemas.{name}"): "and what it found" for name in ("imports.ImportProblem", "patients.MedicalHistoryRow", "patients.PatientRow")},
    ("gateway/imports.py", "schemas.import_runs.ImportRunRow"): "what a run is",
    **{(f"commands/{module}.py", "commands.patients.addressee"): "who is written to is looked up alike, whatever it is about" for module in (
        "appointments", "public_documents", "recall_campaigns", "reminders", "slot_offers")},
    ("domain/recall_campaigns.py", "domain.recalls.RecallKind"): "patients are called back for what single recalls are for",
    **{("commands/recall_campaigns.py", name): "and a call is a recall" for name in ("commands.recalls.open_one", "commands.recalls.wishes_of", "domain.recalls.Calling")},
    **{("gateway/recall_campaigns.py", name): "likewise" for name in (
        "domain.recalls.RecallKind", "projections.recalls.Cohort", "projections.recalls.Meant", "projections.recalls.cohort")},
    ("schemas/recall_campaigns.py", "schemas.recalls.RecallCandidate"): "whom a preview shows",
    ("gateway/appointment_sheets.py", "domain.appointments.Status"): "a sheet is asked for as the list is",
    **{("gateway/imports.py", f"domain.patients.{name}"): "and says of whom it cannot" for name in (
        "Demographics", "MedicalEntry", "PatientErased", "PatientMerged", "PatientNotActive")},
    **{("gateway/imports.py", f"schemas.patients.{name}"): "who may see medical histories" for name in ("MedicalHistoryRow",)},
    **{("commands/leads.py", f"domain.patients.{name}"): "whoever becomes a patient is described as one, and has a number" for name in (
        "Demographics", "NUMBERS", "PatientNumber")},
    ("gateway/leads.py", "projections.patients.likenesses"): "whoever becomes a patient may be one already",
    ("gateway/leads.py", "schemas.erasures.ErasureReport"): "whoever is deleted is forgotten as anybody is",
    ("gateway/duplicates.py", "schemas.patients.Grade"): "how surely two are one is said as of whoever is about to be registered",
    ("gateway/health.py", "psycopg.Error"): "a database that answers with an error is told as down; health itself must not fail",
}

Fault = str


def faults(where: str, source: str) -> list[Fault]:
    """Return what is wrong with a file of the project."""
    tree = ast.parse(source)
    found = [fault for name in imported(tree) for fault in import_faults(where, name)]
    found += [f"{where} calls asyncio.wait_for, in which a cancellation may be lost (cpython#86296): take asyncio.timeout" for _ in lossy(tree)]
    if not is_kit(where) and not where.startswith("anamnesis/"):
        found += [f"{where} reads a clock or rolls dice: {line}" for line in impurities(tree) if layer_of(where) not in {"gateway", "workers"}]
        found += [f"{where} holds SQL: {line}" for line in statements(tree) if layer_of(where) != "projections"]
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_faults(where: str, name: str) -> Iterator[Fault]:
    layer, top = layer_of(where), name.partition(".")[0]
    if (where, name) in ALLOWED:
        return
    if top in AT_HOME and not where.startswith(AT_HOME[top]):
        yield f"{where} may not import {top}"
    if name in {"__future__.annotations", "typing.TYPE_CHECKING"} and layer != "anamnesis":
        yield f"{where} may not use {name}: annotations are read at run time"
    if top not in ORDER:
        return
    if ORDER.index(top) < ORDER.index(layer) or {layer, top} == {"gateway", "workers"}:
        yield f"{where} may not import {name}: {top} is to its left"
    elif is_kit(where) and not name.startswith(f"{top}.kit"):
        yield f"{where} may not import {name}: a kit holds no business"
    elif layer in WALLED and where not in COMPOSES and not of_its_own(where, name):
        yield f"{where} may not import {name}: that is another module's"


def of_its_own(where: str, name: str) -> bool:
    """Say whether a business module may import a name: a kit's, its twin's, a spanning read model's, or what a command needs to look up."""
    layer, word = layer_of(where), Path(where).stem
    top, _, rest = name.partition(".")
    module = rest.partition(".")[0]
    if module in {"kit", word} or top == layer == "gateway":
        return True
    if top in {"schemas", "projections"}:
        return module not in MODULES
    return layer == "commands" and top == "domain" and to_look_up(name)


def to_look_up(name: str) -> bool:
    """Say whether a name is a state to load or a function that derives an id: what `gather` is made of."""
    module, _, leaf = name.rpartition(".")
    thing = getattr(import_module(module), leaf, None)
    if isinstance(thing, type):
        return issubclass(thing, State | Row)
    return callable(thing) and get_type_hints(thing).get("return") is UUID


def impurities(tree: ast.AST) -> Iterator[str]:
    """Yield calls that read a clock, and imports of chance and of the machine."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS and not is_at(node.func.value):
            yield ast.unparse(node)
    yield from (name for name in imported(tree) if name.partition(".")[0] in {"os", "random", "secrets", "socket", "time"})


def lossy(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield uses of `asyncio.wait_for`: before Python 3.12 a task that is cancelled as its wait ends goes on as if nothing had been said."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "wait_for")
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.alias) and node.name == "wait_for")


def is_at(node: ast.expr) -> bool:
    """Say whether an expression is the moment that was given."""
    return isinstance(node, ast.Name) and node.id == "at"


def statements(tree: ast.AST) -> Iterator[str]:
    """Yield texts that are SQL; a docstring is prose."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            text = node.value.strip()
            if text.lower().startswith(STATEMENTS) and len(text.split()) > 3 and text[0].islower() | text[:6].isupper():
                yield text[:40]


def layer_of(where: str) -> str:
    return where.partition("/")[0]


def is_kit(where: str) -> bool:
    return where.split("/")[1] in {"kit", "kit.py"}


FILES = [path.relative_to(ROOT).as_posix() for layer in ORDER for path in sorted((ROOT / layer).rglob("*.py"))]


def test_every_file_keeps_to_the_house_rules() -> None:
    assert len(FILES) > 80
    assert [fault for where in FILES for fault in faults(where, (ROOT / where).read_text("utf-8"))] == []


def test_no_exception_outlives_its_reason() -> None:
    used = {(where, name) for where in FILES for name in imported(ast.parse((ROOT / where).read_text("utf-8")))}
    assert set(ALLOWED) <= used


@pytest.mark.parametrize(("where", "source"), [
    ("domain/invoices.py", "import litestar"),
    ("commands/invoices.py", "from psycopg import sql"),
    ("gateway/invoices.py", "from psycopg import Error"),
    ("workers/reminders.py", "from nats import connect"),
    ("projections/kit/engine.py", "import eventsourcing.persistence"),
    ("domain/invoices.py", "from domain.patients import Patient"),
    ("domain/invoices.py", "from commands.kit import Command"),
    ("schemas/invoices.py", "from gateway.kit import act"),
    ("projections/invoices.py", "from commands.invoices import RecordPayment"),
    ("workers/reminders.py", "from gateway.kit.app import Gateway"),
    ("gateway/invoices.py", "from workers.kit.bus import Bus"),
    ("domain/invoices.py", "import anamnesis.settings"),
    ("gateway/invoices.py", "from commands.patients import RegisterPatient"),
    ("gateway/invoices.py", "from domain.patients import Patient"),
    ("gateway/invoices.py", "from schemas.patients import PatientRow"),
    ("gateway/invoices.py", "from projections.patients import search"),
    ("commands/invoices.py", "from commands.patients import RegisterPatient"),
    ("commands/invoices.py", "from domain.patients import PatientArchived"),
    ("commands/invoices.py", "from domain.appointments import when"),
    ("commands/invoices.py", "from domain import patients"),
    ("commands/invoices.py", "from projections.patients import search"),
    ("commands/kit/handling.py", "from domain.clinics import Clinic"),
    ("gateway/kit/routes.py", "from gateway.invoices import router"),
    ("domain/invoices.py", "from __future__ import annotations"),
    ("schemas/invoices.py", "from typing import TYPE_CHECKING"),
    ("domain/invoices.py", "when = datetime.now(UTC)"),
    ("commands/invoices.py", "def decide(self, invoice, at): return date.today()"),
    ("projections/invoices.py", "import random"),
    ("gateway/invoices.py", "async def rows(desk): return await desk.reader.ask('select * from invoices where id = %s')"),
    ("workers/kit/bus.py", "async def ready(event): await asyncio.wait_for(event.wait(), 1)"),
    ("workers/kit/bus.py", "from asyncio import wait_for"),
    ("commands/invoices.py", "SQL = 'UPDATE invoices SET status = 1'"),
])
def test_the_rules_bite(where: str, source: str) -> None:
    assert faults(where, source)


@pytest.mark.parametrize(("where", "source"), [
    ("gateway/invoices.py", "from commands.invoices import RecordPayment"),
    ("gateway/rooms.py", "from schemas.calendar import CalendarRow"),
    ("commands/appointments.py", "from domain.schedules import Schedule, schedule_of"),
    ("commands/appointments.py", "def decide(self, appointment, at): return appointment.cancel(at.now)"),
    ("projections/invoices.py", "SQL = 'select * from invoices where id = %s'"),
    ("domain/invoices.py", "'''Select whichever fits with that.'''"),
])
def test_the_rules_do_not_bite_what_is_right(where: str, source: str) -> None:
    assert faults(where, source) == []
