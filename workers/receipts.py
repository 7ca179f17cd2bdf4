"""The letter with which a receipt goes to a patient."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.kit import Fact
from domain.kit.money import in_words
from domain.public_documents import PATH, PURPOSE, DocumentLinkOver, PublicDocument, link_to
from domain.receipts import RECEIPT_LETTER, Receipt, ReceiptSent
from workers.kit.outbox import UndeliverableError
from workers.kit.policies import Lasting, Letter, To, answers
from workers.kit.writing import Look, last


@answers
def when_ReceiptSent(fact: Fact, event: ReceiptSent) -> Letter:
    async def particulars(look: Look) -> Mapping[str, str]:
        receipt = await look.state(Receipt, fact.id, fact.clinic)
        link = await look.state(PublicDocument, link_to(fact.id), fact.clinic)
        try:
            link.ensure_open(event.link, datetime.now(UTC))
        except DocumentLinkOver:
            raise UndeliverableError("the link to the receipt was taken back") from None
        number = last([one.event for one in await look.facts(fact.id, fact.clinic)], "number")
        return {"number": number or "", "amount": in_words(receipt.amount, receipt.currency), "date": str(receipt.paid_on or "")}

    link = Lasting(PURPOSE, link_to(fact.id), event.link, PATH)
    return Letter(RECEIPT_LETTER, To("patients", event.patient_id), link=link, language=event.language, sought=particulars)
