"""How a cover's events become its row, and which covers are a patient's on a day."""

from datetime import date
from uuid import UUID

from msgspec.structs import replace

from domain.insurance_covers import Cover, CoverAdded, CoverChanged, CoverEvent, CoverReassigned, CoverRemoved, valid
from domain.kit import Fact, only
from projections.kit import installs, projects
from projections.kit.reading import Reader
from schemas.insurance_covers import CoverEntry, CoverRow, Eligibility

installs("""
create or replace view insurance_cover_entries with (security_invoker = true) as
select c.*, p.name as payer_name from insurance_covers c left join insurance_payers p on p.clinic_id = c.clinic_id and p.id = c.payer_id;
grant select on insurance_cover_entries to anamnesis_gateway;
""")


@projects(CoverRow, of=CoverEvent)
def insurance_covers(row: CoverRow | None, fact: Fact) -> CoverRow | None:
    match fact.event:
        case CoverAdded() as event:
            return CoverRow(id=fact.id, created_at=fact.recorded_at, version=fact.version, **only(Cover, event))
        case CoverChanged() as event if row:
            return replace(row, version=fact.version, **only(Cover, event))
        case CoverRemoved():
            return None
        case CoverReassigned(patient_id=patient) if row:
            return replace(row, version=fact.version, patient_id=patient)
    return row


async def covers_on(reader: Reader, patient: UUID, on: date) -> list[CoverEntry]:
    """Return a patient's covers on a day, in the order in which the payers are asked; of two that come first, since two records are one, the one that is noted longer."""
    found = [cover for cover in await reader.find(CoverEntry, patient_id=patient) if valid(cover, on)]
    return sorted(found, key=lambda cover: (cover.rank != "primary", cover.created_at, cover.id))


async def eligibility(reader: Reader, patient: UUID, on: date) -> Eligibility:
    """Return how a patient is insured on a day."""
    covers = await covers_on(reader, patient, on)
    return Eligibility(patient_id=patient, date=on, insured=bool(covers), covers=covers)
