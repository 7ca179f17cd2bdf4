"""What may be asked about one's favourites."""

from typing import Any
from uuid import UUID

from commands.kit import Creation, Look
from domain.favourites import Favourites, favourites_of
from domain.kit import At, Event, PatientId
from domain.patients import Patient


class FavourPatient(Creation):
    """Mark a patient as one of your favourites, for yourself alone."""

    state = Favourites
    permission = "patients.view"
    patient_id: PatientId

    def stream(self, at: At) -> UUID:
        return favourites_of(at.clinic, at.actor)

    async def gather(self, look: Look) -> dict[str, Any]:
        await look.require(Patient, self.patient_id)
        return {}

    def decide(self, favourites: Favourites, at: At) -> list[Event]:
        return favourites.mark(self.patient_id)


class UnfavourPatient(Creation):
    """Take a patient off your favourites."""

    state = Favourites
    permission = "patients.view"
    patient_id: PatientId

    def stream(self, at: At) -> UUID:
        return favourites_of(at.clinic, at.actor)

    def decide(self, favourites: Favourites, at: At) -> list[Event]:
        return favourites.unmark(self.patient_id)
