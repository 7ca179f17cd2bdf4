"""The letter with which an invoice goes to a patient."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.invoices import INVOICE_LETTER, Invoice, InvoiceSent
from domain.kit import Fact, Refused
from domain.kit.money import in_words
from domain.public_documents import PAGE, PURPOSE, PublicDocument, link_to
from workers.kit.outbox import UndeliverableError
from workers.kit.policies import Lasting, Letter, To, answers
from workers.kit.writing import Look, last


@answers
def when_InvoiceSent(fact: Fact, event: InvoiceSent) -> Letter:
    """Nobody is sent what was voided meanwhile."""
    async def particulars(look: Look) -> Mapping[str, str]:
        invoice = await look.state(Invoice, fact.id, fact.clinic)
        link = await look.state(PublicDocument, link_to(fact.id), fact.clinic)
        try:
            invoice.ensure_issued()
            link.ensure_open(event.link, datetime.now(UTC))
        except Refused:
            raise UndeliverableError("the invoice was voided, or its link was taken back") from None
        told = [one.event for one in await look.facts(fact.id, fact.clinic)]
        return {"number": last(told, "number") or "", "total": in_words(invoice.total, last(told, "currency") or "EUR"), "due": str(invoice.due_on or "")}

    link = Lasting(PURPOSE, link_to(fact.id), event.link, PAGE)
    return Letter(INVOICE_LETTER, To("patients", event.patient_id), link=link, language=event.language, sought=particulars)
