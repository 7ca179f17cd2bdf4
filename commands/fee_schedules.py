"""What may be asked of a fee schedule."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Creation, Look
from domain.fee_schedules import TOGETHER, Fee, FeeKey, FeeSchedule, Schedule, fee_schedule_of
from domain.insurance_payers import Payer
from domain.kit import At, Event

Fees = Annotated[list[Fee], Meta(min_length=1, max_length=TOGETHER)]
FeeKeys = Annotated[list[FeeKey], Meta(min_length=1, max_length=TOGETHER)]


class SetFees(Creation, Schedule):
    """Say what procedures cost with a payer, or with the clinic itself, from when on; fees that are not named stay."""

    state = FeeSchedule
    permission = "billing.insurance.edit"
    fees: Fees

    def stream(self, at: At) -> UUID:
        return fee_schedule_of(self.payer_id or at.clinic)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"payer": await look.require(Payer, self.payer_id) if self.payer_id else None}

    def decide(self, schedule: FeeSchedule, at: At, *, payer: Payer | None) -> list[Event]:
        if payer is not None:
            payer.ensure_in_use()
        return schedule.set(self.payer_id, self.fees)


class RemoveFees(Creation, Schedule):
    """Take fees out of a schedule; what was estimated and written off by them stays as it was."""

    state = FeeSchedule
    permission = "billing.insurance.edit"
    fees: FeeKeys

    def stream(self, at: At) -> UUID:
        return fee_schedule_of(self.payer_id or at.clinic)

    def decide(self, schedule: FeeSchedule, at: At) -> list[Event]:
        return schedule.remove(self.payer_id, self.fees)
