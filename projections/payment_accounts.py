"""How a payment account's events become its row."""

from msgspec.structs import replace

from domain.kit import Fact
from domain.payment_accounts import PaymentAccountConnected, PaymentAccountDisconnected, PaymentAccountEvent
from projections.kit import projects
from schemas.payment_accounts import PaymentAccountRow


@projects(PaymentAccountRow, of=PaymentAccountEvent)
def payment_accounts(row: PaymentAccountRow | None, fact: Fact) -> PaymentAccountRow | None:
    match fact.event:
        case PaymentAccountConnected(hint=hint, live=live):
            return PaymentAccountRow(id=fact.id, connected=True, hint=hint, live=live, changed_at=fact.recorded_at)
        case PaymentAccountDisconnected() if row:
            return replace(row, connected=False, hint=None, live=False, changed_at=fact.recorded_at)
    return row
