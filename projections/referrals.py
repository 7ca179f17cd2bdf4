"""How a referral source's events become its row, and what has come of its link."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.referrals import (
    Particulars,
    ReferralEvent,
    ReferralLinkMade,
    ReferralLinkWithdrawn,
    ReferralSourceAdded,
    ReferralSourceChanged,
    ReferralSourceDeleted,
)
from projections.kit import installs, projects
from schemas.referrals import ReferralRow

installs("""
create or replace view referral_entries with (security_invoker = true) as
select r.*, coalesce(l.leads, 0) as leads, coalesce(l.converted, 0) as converted
from referrals r left join lateral (
    select count(*) as leads, count(*) filter (where l.status = 'converted') as converted from referral_leads l
    where l.clinic_id = r.clinic_id and l.referral_id = r.id
) l on true
where not r.deleted;
grant select on referral_entries to anamnesis_gateway;
""")


@projects(ReferralRow, of=ReferralEvent)
def referrals(row: ReferralRow | None, fact: Fact) -> ReferralRow | None:
    match fact.event:
        case ReferralSourceAdded() as event:
            return ReferralRow(id=fact.id, added_at=fact.recorded_at, **only(Particulars, event))
        case ReferralSourceChanged() as event if row:
            return replace(row, **only(Particulars, event))
        case ReferralSourceDeleted() if row:
            return replace(row, active=False, deleted=True, link=None)
        case ReferralLinkMade(number=number) if row:
            return replace(row, link=number)
        case ReferralLinkWithdrawn() if row:
            return replace(row, link=None)
    return row
