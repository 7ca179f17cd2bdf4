"""Where the platform's invoices to clinics live on the web."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta

from commands.kit.ids import derived
from commands.subscription_invoices import (
    CreateSubscriptionInvoice,
    DiscardSubscriptionInvoice,
    IssueSubscriptionInvoice,
    MarkSubscriptionInvoicePaid,
    SendSubscriptionInvoice,
    VoidSubscriptionInvoice,
)
from domain.kit import Frozen, NotFound, day
from domain.kit.money import in_words
from domain.subscription_invoices import (
    BillTooLarge,
    ChargedItem,
    DayOutOfRange,
    ItemOutOfRange,
    ItemsMissing,
    PeriodBackwards,
    SubscriptionInvoiceNotDraft,
)
from gateway.kit import Desk, act, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.pdf import Column, Paper, printed
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from projections.subscription_invoices import next_number, orphans
from schemas.subscription_invoices import CleanedUp, NextSubscriptionNumber, Orphans, OrphansOfClinic, SubscriptionInvoiceRow

InvoiceId = Annotated[UUID, PathParameter(description="Id of an invoice of the platform to a clinic.")]
ClinicNamed = Annotated[UUID | None, QueryParameter(name="clinicId", description="The clinic; only the platform's people must say it.")]
OlderThan = Annotated[int, QueryParameter(name="olderThanDays", ge=0, le=3650, description="Drafts that were made longer ago than this.")]
KEEP = 30  # days for which a draft may wait
PERCENT = 100  # basis points

COLUMNS = (Column("Description", 46), Column("Quantity", 12, number=True), Column("Price", 20, number=True), Column("Tax", 10, number=True),
           Column("Total", 22, number=True))


class CleanUp(Frozen, forbid_unknown_fields=True):
    """Which drafts to discard: those that were made longer ago than this many days."""

    older_than_days: Annotated[int, Meta(ge=0, le=3650)] = KEEP


@get("/invoices/next-number", operation_id="GetNextSubscriptionNumber", opt={"permission": "admin", "lapsed": True})
async def preview(desk: Desk, clinic: ClinicNamed = None) -> NextSubscriptionNumber:
    """Preview the next number of a clinic's invoices; nothing is reserved."""
    no_query(desk.call.query(), ("clinicId",))
    await desk.at(clinic)
    return await next_number(desk.reader, desk.who.clinic, day(datetime.now(UTC), (await desk.clinic()).zone))


@post("/invoices", operation_id="CreateSubscriptionInvoice", status_code=201, opt={
    "permission": "superadmin", "refusals": [NotFound, ItemsMissing, ItemOutOfRange, BillTooLarge, PeriodBackwards, DayOutOfRange]})
async def made(desk: Desk, data: JSONBody[CreateSubscriptionInvoice]) -> Response[SubscriptionInvoiceRow]:
    """Bill a clinic for its software: a draft, or with `issue` an invoice at once."""
    await desk.within(data.clinic_id)
    return desk.answer(CreateSubscriptionInvoice, await desk.handle(data), 201)


@get("/invoices/{id:uuid}/pdf", operation_id="PrintSubscriptionInvoice", opt={
    "permission": SubscriptionInvoiceRow.permission, "media": "application/pdf", "lapsed": True})
async def paper(desk: Desk, id: InvoiceId) -> Response[bytes]:  # noqa: A002
    """Print an invoice as PDF; the same invoice is always the same file."""
    no_query(desk.call.query())
    own_column(SubscriptionInvoiceRow, desk.who)
    row = await desk.reader.one(SubscriptionInvoiceRow, id)
    if row is None:
        raise NotFound(id=id)
    clinic = await desk.call.services.handler.clinic(row.clinic)
    pdf = await printed(invoice_paper(row, clinic.name, seller(desk)))
    name = f"invoice-{row.number or 'draft'}.pdf"
    return Response(pdf, media_type="application/pdf", headers={"content-disposition": f'inline; filename="{name}"', "cache-control": "private, no-store"})


@get("/report", operation_id="ReportOrphanedInvoices", opt={"permission": "superadmin"})
async def report(desk: Desk, older_than: OlderThan = KEEP) -> Orphans:
    """Show: what a clean-up would discard.

    Drafts that were made longer ago than so many days and that nobody has issued since; nothing is changed.
    """
    no_query(desk.call.query(), ("olderThanDays",))
    found = await orphans(desk.reader, before(older_than))
    grouped: dict[UUID, list[date]] = {}
    for _, clinic, on in found:
        grouped.setdefault(clinic, []).append(on)
    clinics = [OrphansOfClinic(clinic=clinic, drafts=len(days), oldest=min(days)) for clinic, days in grouped.items()]
    return Orphans(older_than_days=older_than, drafts=len(found), clinics=clinics)


@post("/", operation_id="CleanUpInvoices", status_code=200, opt={"permission": "superadmin"})
async def clean_up(desk: Desk, data: JSONBody[CleanUp]) -> CleanedUp:
    """Discard orphaned drafts, as the report lists them.

    A draft that somebody issues or discards meanwhile is passed over. At most a thousand at a time: do it again while the report lists any.
    """
    found = await orphans(desk.reader, before(data.older_than_days))
    discarded = [await discarded_by(desk, id_) for id_, _, _ in found]
    return CleanedUp(found=len(found), discarded=sum(discarded), skipped=len(found) - sum(discarded))


async def discarded_by(desk: kit.Desk, invoice: UUID) -> bool:
    """Discard one draft; say whether it was still there."""
    try:
        await desk.handle(DiscardSubscriptionInvoice(), invoice, command_id=derived(b"clean-up", invoice.bytes))
    except (SubscriptionInvoiceNotDraft, NotFound):
        return False
    return True


def before(days: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days)


def seller(desk: kit.Desk) -> str:
    return str(getattr(desk.call.services.settings, "seller", "") or "Anamnesis")


def invoice_paper(row: SubscriptionInvoiceRow, clinic: str, sender: str) -> Paper:
    """Return an invoice as it is printed."""
    facts = [("Number", row.number or "draft"), ("Issued", written(row.issued_on)), ("Due", written(row.due_on)), ("Paid", written(row.paid_on))]
    if row.period_from and row.period_to:
        facts.append(("Period", f"{written(row.period_from)} to {written(row.period_to)}"))
    sums = [("Subtotal", in_words(row.subtotal, row.currency)), ("Tax", in_words(row.tax, row.currency)), ("Total", in_words(row.total, row.currency))]
    return Paper(
        title=f"Invoice {row.number}" if row.number else "Draft of an invoice", sender=sender, receiver=clinic,
        facts=[(name, value) for name, value in facts if value], columns=COLUMNS, rows=[line(item, row.currency) for item in row.items], sums=sums,
        notes=row.notes or "", dated=row.issued_on or row.drafted_on, stamp="" if row.status == "issued" else row.status,
    )


def line(item: ChargedItem, currency: str) -> list[str]:
    rate = f"{item.tax_rate / PERCENT:g} %"
    return [item.description, str(item.quantity), in_words(item.unit_price, currency), rate, in_words(item.total, currency)]


def written(on: date | None) -> str:
    return f"{on.day} {on:%B %Y}" if on else ""


DETAILS: dict[str, Any] = {"lapsed": True}

router = Router("/api/v1/protected", tags=["Subscription invoices"], route_handlers=[
    Router("/billing", route_handlers=[
        browse("/invoices", SubscriptionInvoiceRow, by=["clinic", "status", "number", "issued_on..", "due_on.."], sort="-created_at", opt=DETAILS),
        preview,
        fetch("/invoices/{id:uuid}", SubscriptionInvoiceRow, opt=DETAILS),
        paper,
        made,
        act("/invoices/{id:uuid}/issue", IssueSubscriptionInvoice),
        act("/invoices/{id:uuid}/send", SendSubscriptionInvoice),
        act("/invoices/{id:uuid}/mark-paid", MarkSubscriptionInvoicePaid),
        act("/invoices/{id:uuid}/void", VoidSubscriptionInvoice),
        act("/invoices/{id:uuid}", DiscardSubscriptionInvoice, "DELETE"),
    ]),
    Router("/admin/cleanup/invoices", route_handlers=[report, clean_up]),
])
