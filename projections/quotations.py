"""How a quotation's events become its row, and how it stands today."""

from datetime import date
from typing import Any

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.quotations import (
    SERIES,
    Offer,
    QuotationAccepted,
    QuotationConverted,
    QuotationDeclined,
    QuotationDrafted,
    QuotationEdited,
    QuotationEvent,
    QuotationIssued,
    QuotationReassigned,
    QuotationReissued,
    QuotationSent,
    QuotationWithdrawn,
)
from domain.series import printed, series_of
from projections.kit import installs, projects
from projections.kit.reading import Reader
from schemas.kit.row import table_of
from schemas.quotations import NextQuotationNumber, QuotationRow
from schemas.series import SeriesRow

_REST = ", ".join(f"q.{column.name}" for column in table_of(QuotationRow).columns if column.name != "status")

# a quotation expires by the clinic's calendar alone: nothing has to happen
installs(f"""
create or replace view quotation_entries with (security_invoker = true) as
select q.clinic_id, q.position, {_REST},
    case when q.status = 'sent' and q.valid_until < (now() at time zone c.zone)::date then 'expired' else q.status end as status
from quotations q join clinics c on c.clinic_id = q.clinic_id and c.id = q.clinic_id;
grant select on quotation_entries to anamnesis_gateway;
""")  # noqa: S608 - columns of ours


@projects(QuotationRow, of=QuotationEvent)
def quotations(row: QuotationRow | None, fact: Fact) -> QuotationRow | None:
    event: QuotationEvent = fact.event  # type: ignore[assignment]
    if isinstance(event, QuotationDrafted):
        return QuotationRow(id=fact.id, status="draft", created_at=fact.recorded_at, version=fact.version, **only(Offer, event))
    return row and replace(row, version=fact.version, **changed(event, fact))


def changed(event: Any, fact: Fact) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of event
    """Return what an event changes on a quotation."""
    match event:
        case QuotationEdited():
            return only(Offer, event)
        case QuotationIssued(number=number, issued_on=on, valid_until=until):
            return {"status": "sent", "number": number, "issued_on": on, "valid_until": until, "issued_at": fact.recorded_at}
        case QuotationSent():
            return {"sent_at": fact.recorded_at}
        case QuotationAccepted(by=by, accepted_on=on):
            return {"status": "accepted", "answered_by": by, "answered_on": on, "decline_reason": None}
        case QuotationDeclined(by=by, declined_on=on, reason=reason):
            return {"status": "declined", "answered_by": by, "answered_on": on, "decline_reason": reason}
        case QuotationReissued(issued_on=on, valid_until=until):
            return {
                "status": "sent", "issued_on": on, "valid_until": until, "issued_at": fact.recorded_at, "answered_by": None, "answered_on": None, "decline_reason": None}
        case QuotationConverted(invoice_id=invoice):
            return {"status": "converted", "invoice_id": invoice}
        case QuotationWithdrawn(reason=reason):
            return {"status": "withdrawn", "withdraw_reason": reason}
        case QuotationReassigned(patient_id=patient):
            return {"patient_id": patient}
    raise TypeError(type(event))


async def next_number(reader: Reader, today: date) -> NextQuotationNumber:
    """Return the number that a quotation issued today would get."""
    row = await reader.one(SeriesRow, series_of(reader.clinic, SERIES, today.year))
    return NextQuotationNumber(number=printed(today.year, (row.last if row else 0) + 1))
