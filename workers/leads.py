"""What is written when somebody has sent a form of a clinic's website: to them that it has arrived, and to the clinic that there is something to see to."""

from collections.abc import Mapping

from domain.kit import Fact
from domain.leads import LEAD_ARRIVED, LEAD_RECEIVED, LeadSubmitted, called
from workers.kit.policies import Letter, To, answers
from workers.kit.writing import Look, last


@answers
def when_LeadSubmitted(fact: Fact, event: LeadSubmitted) -> list[Letter]:
    """Nothing that the visitor typed is repeated to either, but for a name that looks like one: anybody may have typed anybody's address."""

    async def greeted(look: Look) -> Mapping[str, str]:
        name = called(event.first_name)
        return {"name": name} if name else {}

    async def by_form(look: Look) -> Mapping[str, str]:
        return {"form": last([one.event for one in await look.facts(event.form_id, fact.clinic)], "label") or ""}

    return [
        *([Letter(LEAD_RECEIVED, To("leads", fact.id), sought=greeted)] if event.replied else []),
        *([Letter(LEAD_ARRIVED, To("clinics", fact.clinic), sought=by_form)] if event.told else []),
    ]
