"""How a lead's events become its row."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.referral_leads import (
    Introduction,
    ReferralLeadContacted,
    ReferralLeadConverted,
    ReferralLeadDismissed,
    ReferralLeadEvent,
    ReferralLeadReopened,
    ReferralLeadSubmitted,
)
from projections.kit import installs, projects
from schemas.referral_leads import ReferralLeadRow

installs("""
create or replace view referral_lead_entries with (security_invoker = true) as
select l.*, r.name as referral_name, r.kind from referral_leads l left join referrals r on r.clinic_id = l.clinic_id and r.id = l.referral_id;
grant select on referral_lead_entries to anamnesis_gateway;
""")


@projects(ReferralLeadRow, of=ReferralLeadEvent)
def referral_leads(row: ReferralLeadRow | None, fact: Fact) -> ReferralLeadRow | None:
    handled = {"handled_at": fact.recorded_at, "handled_by": fact.actor}
    match fact.event:
        case ReferralLeadSubmitted() as e:
            return ReferralLeadRow(
                id=fact.id, referral_id=e.referral_id, status="new", consent=e.consent, submitted_at=fact.recorded_at, **only(Introduction, e))
        case ReferralLeadContacted(note=note) if row:
            return replace(row, status="contacted", contacted_at=fact.recorded_at, note=note or row.note, **handled)
        case ReferralLeadConverted(patient_id=patient) if row:
            return replace(row, status="converted", patient_id=patient, **handled)
        case ReferralLeadDismissed(reason=reason) if row:
            return replace(row, status="dismissed", dismissed_because=reason, **handled)
        case ReferralLeadReopened() if row:
            status = "contacted" if row.contacted_at else "new"
            return replace(row, status=status, patient_id=None, dismissed_because=None, **handled)
    return row
