"""What may be asked of a patient's cover."""

from typing import Annotated, Any
from uuid import UUID

from commands.kit import Command, Creation, Look
from domain.insurance_covers import CoverTerms, InsuranceCover, MemberNumber, PrimaryCoverTaken, overlap
from domain.insurance_payers import Payer
from domain.kit import At, Event, PatientId, Personal, Reason
from domain.patients import Patient
from schemas.insurance_covers import CoverRow


class AddCover(Creation, CoverTerms):
    """Note with whom a patient is insured."""

    state = InsuranceCover
    permission = "billing.insurance.edit"
    patient_id: PatientId
    member_number: Annotated[MemberNumber, Personal("patient_id")]

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, self.patient_id), **await surroundings(look, self, self.patient_id)}

    def decide(self, cover: InsuranceCover, at: At, *, patient: Patient, payer: Payer, taken: bool) -> list[Event]:
        patient.ensure_active()
        payer.ensure_in_use()
        added = cover.add(self.patient_id, self)
        ensure_first(taken=taken)
        return added


class ChangeCover(Command, CoverTerms):
    """Say anew how a patient is insured, or until when; what is left out is cleared."""

    state = InsuranceCover
    permission = "billing.insurance.edit"
    member_number: MemberNumber

    async def gather(self, look: Look) -> dict[str, Any]:
        return await surroundings(look, self, (await look.require(InsuranceCover, look.at.id)).patient_id)

    def decide(self, cover: InsuranceCover, at: At, *, payer: Payer, taken: bool) -> list[Event]:
        if self.payer_id != cover.payer_id:
            payer.ensure_in_use()
        changed = cover.change(self)
        ensure_first(taken=taken)
        return changed


class RemoveCover(Command):
    """Take out a cover that never was; one that is over is given its last day instead."""

    state = InsuranceCover
    permission = "billing.insurance.edit"
    reason: Reason | None = None

    def decide(self, cover: InsuranceCover, at: At) -> list[Event]:
        return cover.remove(self.reason)


async def surroundings(look: Look, terms: CoverTerms, patient: UUID) -> dict[str, Any]:
    """Return the payer, and whether another cover comes first in that time: for a clear answer; what comes in between, the cover's own claim refuses."""
    others = await look.find(CoverRow, patient_id=patient, rank="primary") if terms.rank == "primary" else []
    taken = any(other.id != look.at.id and overlap(other, terms) for other in others)
    return {"payer": await look.require(Payer, terms.payer_id), "taken": taken}


def ensure_first(*, taken: bool) -> None:
    if taken:
        raise PrimaryCoverTaken
