"""How a lead's events become its rows: the clinic's own, and what the platform's people see of it."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.leads import Enquiry, LeadConverted, LeadDeleted, LeadEvent, LeadStatusSet, LeadSubmitted
from projections.kit import installs, projects
from schemas.leads import LeadRow, LeadTraceRow

installs("""
create or replace view lead_entries with (security_invoker = true) as
select l.clinic_id, l.id, l.first_name, l.last_name, l.subject, l.preferred_date, l.form_id, f.label as form_label, l.status, l.suspected, l.earlier_id,
    l.submitted_at, l.handled_at, l.patient_id
from leads l left join lead_forms f on f.clinic_id = l.clinic_id and f.id = l.form_id;
grant select on lead_entries to anamnesis_gateway;
""")


@projects(LeadRow, of=LeadEvent)
def leads(row: LeadRow | None, fact: Fact) -> LeadRow | None:
    handled = {"handled_at": fact.recorded_at, "handled_by": fact.actor}
    match fact.event:
        case LeadSubmitted() as event:
            return LeadRow(
                id=fact.id, form_id=event.form_id, status="spam" if event.suspected else "new", suspected=event.suspected, earlier_id=event.earlier_id,
                replied=event.replied, submitted_at=fact.recorded_at, **only(Enquiry, event))
        case LeadStatusSet(status=status, note=note) if row:
            contacted = fact.recorded_at if status == "contacted" else row.contacted_at
            left = {} if status == "converted" else {"patient_id": None, "registered": False, "converted_at": None}
            return replace(row, status=status, note=note or row.note, contacted_at=contacted, **left, **handled)
        case LeadConverted(patient_id=patient, registered=registered) if row:
            return replace(row, status="converted", patient_id=patient, registered=registered, converted_at=fact.recorded_at, **handled)
        case LeadDeleted():
            return None
    return row


@projects(LeadTraceRow, of=LeadEvent)
def lead_traces(row: LeadTraceRow | None, fact: Fact) -> LeadTraceRow | None:
    match fact.event:
        case LeadSubmitted() as event:
            return LeadTraceRow(
                id=fact.id, clinic=fact.clinic, form_id=event.form_id, first_name=event.first_name, last_name=event.last_name, email=event.email,
                phone=event.phone, status="spam" if event.suspected else "new", submitted_at=fact.recorded_at)
        case LeadStatusSet(status=status) if row:
            return replace(row, status=status)
        case LeadConverted() if row:
            return replace(row, status="converted")
        case LeadDeleted():
            return None
    return row
