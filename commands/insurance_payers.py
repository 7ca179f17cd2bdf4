"""What may be asked of a payer, in the order of its life."""

from commands.kit import Command, Creation
from domain.insurance_payers import Payer, PayerDetails
from domain.kit import At, Event


class AddPayer(Creation, PayerDetails):
    """Add an insurer that claims are sent to."""

    state = Payer
    permission = "billing.insurance.edit"

    def decide(self, payer: Payer, at: At) -> list[Event]:
        return payer.add(self)


class ChangePayer(Command, PayerDetails):
    """Replace what is known of a payer; what is left out is cleared."""

    state = Payer
    permission = "billing.insurance.edit"

    def decide(self, payer: Payer, at: At) -> list[Event]:
        return payer.change(self)


class ArchivePayer(Command):
    """Stop using a payer: no new cover and no new claim is with it; those that are go on."""

    state = Payer
    permission = "billing.insurance.edit"

    def decide(self, payer: Payer, at: At) -> list[Event]:
        return payer.archive()


class RestorePayer(Command):
    """Use an archived payer again."""

    state = Payer
    permission = "billing.insurance.edit"

    def decide(self, payer: Payer, at: At) -> list[Event]:
        return payer.restore()
