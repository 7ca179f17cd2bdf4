"""How a payer's events become its row."""

from msgspec.structs import replace

from domain.insurance_payers import PayerAdded, PayerArchived, PayerChanged, PayerDetails, PayerEvent, PayerRestored
from domain.kit import Fact, only
from projections.kit import projects
from schemas.insurance_payers import PayerRow


@projects(PayerRow, of=PayerEvent)
def insurance_payers(row: PayerRow | None, fact: Fact) -> PayerRow | None:
    match fact.event:
        case PayerAdded() as event:
            return PayerRow(id=fact.id, created_at=fact.recorded_at, version=fact.version, **only(PayerDetails, event))
        case PayerChanged() as event if row:
            return replace(row, version=fact.version, **only(PayerDetails, event))
        case PayerArchived() if row:
            return replace(row, version=fact.version, archived=True)
        case PayerRestored() if row:
            return replace(row, version=fact.version, archived=False)
    return row
