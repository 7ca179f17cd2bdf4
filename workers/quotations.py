"""The letter with which a quotation goes to a patient."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.clinics import Clinic
from domain.kit import Fact, Refused, day
from domain.kit.money import in_words
from domain.public_documents import PATH, PURPOSE, PublicDocument, link_to
from domain.quotations import QUOTATION_LETTER, Quotation, QuotationSent
from workers.kit.outbox import UndeliverableError
from workers.kit.policies import Lasting, Letter, To, answers
from workers.kit.writing import Look, last


@answers
def when_QuotationSent(fact: Fact, event: QuotationSent) -> Letter:
    """Nobody is sent what was withdrawn, has expired or became an invoice meanwhile."""
    async def particulars(look: Look) -> Mapping[str, str]:
        now = datetime.now(UTC)
        quotation = await look.state(Quotation, fact.id, fact.clinic)
        clinic = await look.state(Clinic, fact.clinic, fact.clinic)
        link = await look.state(PublicDocument, link_to(fact.id), fact.clinic)
        try:
            quotation.ensure_shown(day(now, clinic.zone))
            link.ensure_open(event.link, now)
        except Refused:
            raise UndeliverableError("the quotation is not open any more, or its link was taken back") from None
        number = last([one.event for one in await look.facts(fact.id, fact.clinic)], "number")
        return {"number": number or "", "total": in_words(quotation.total, quotation.currency), "until": str(quotation.valid_until or "")}

    link = Lasting(PURPOSE, link_to(fact.id), event.link, PATH)
    return Letter(QUOTATION_LETTER, To("patients", event.patient_id), link=link, language=event.language, sought=particulars)
