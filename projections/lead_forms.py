"""How a form's events become its row, and which websites any form stands on."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.lead_forms import (
    FormSettings,
    LeadFormChanged,
    LeadFormCreated,
    LeadFormDisabled,
    LeadFormEnabled,
    LeadFormEvent,
    LeadFormTokenRotated,
)
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.lead_forms import LeadFormRow

STANDS = "select exists (select from lead_forms where active and allowed_origins ? %s)"


@projects(LeadFormRow, of=LeadFormEvent)
def lead_forms(row: LeadFormRow | None, fact: Fact) -> LeadFormRow | None:
    match fact.event:
        case LeadFormCreated(number=number) as event:
            return LeadFormRow(id=fact.id, active=True, number=number, created_at=fact.recorded_at, **only(FormSettings, event))
        case LeadFormChanged() as event if row:
            return replace(row, **only(FormSettings, event))
        case LeadFormTokenRotated(number=number) if row:
            return replace(row, number=number, rotated_at=fact.recorded_at)
        case LeadFormDisabled() if row:
            return replace(row, active=False)
        case LeadFormEnabled() if row:
            return replace(row, active=True)
    return row


async def stands_somewhere(reader: Reader, origin: str) -> bool:
    """Say whether some form of some clinic stands on a website; the reader is the platform's."""
    return bool((await reader.ask(STANDS, (origin,))).rows[0][0])
