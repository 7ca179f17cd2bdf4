"""Favourites: whoever works in a clinic marks the patients they look for most often, for themselves alone."""

from typing import ClassVar, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.kit import Event, PatientId, Refused, State

MOST_FAVOURITES = 500


class PatientFavoured(Event):
    """Whoever did this wants to find the patient quickly."""

    patient_id: PatientId


class PatientUnfavoured(Event):
    patient_id: PatientId


FavouriteEvent = PatientFavoured | PatientUnfavoured


class FavouritesFull(Refused):
    """You have marked 500 patients. Take one of them off first."""


class Favourites(State):
    """The patients that one person of a clinic has marked."""

    kind: ClassVar[str] = "favourites"
    patients: tuple[UUID, ...] = ()

    def evolve(self, event: FavouriteEvent) -> Self:
        match event:
            case PatientFavoured(patient_id=patient):
                return replace(self, patients=(*self.patients, patient))
            case PatientUnfavoured(patient_id=gone):
                return replace(self, patients=tuple(patient for patient in self.patients if patient != gone))

    def mark(self, patient: UUID) -> list[Event]:
        """Mark a patient; whoever is marked stays so."""
        if patient in self.patients:
            return []
        if len(self.patients) >= MOST_FAVOURITES:
            raise FavouritesFull
        return [PatientFavoured(patient_id=patient)]

    def unmark(self, patient: UUID) -> list[Event]:
        return [PatientUnfavoured(patient_id=patient)] if patient in self.patients else []


def favourites_of(clinic: UUID, account: UUID) -> UUID:
    """Return the id under which it is kept whom somebody has marked in a clinic."""
    return uuid5(clinic, f"favourites/{account}")
