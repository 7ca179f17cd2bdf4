"""What may be asked of a patient's record."""

from commands.kit import Command, Creation
from domain.kit import AccountId, At, Event, Forbidden
from domain.patients import Demographics, Entries, Name, Patient


class RegisterPatient(Demographics, Creation):
    """Register a patient with the clinic."""

    state = Patient
    permission = "patients.create"
    given_name: Name
    family_name: Name

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.register(self, at.today)


class ChangePatient(Demographics, Command):
    """Replace a patient's particulars; what is left out is cleared."""

    state = Patient
    permission = "patients.edit"
    given_name: Name
    family_name: Name

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.change(self, at.today)


class ChangeMedicalHistory(Command):
    """Replace a patient's allergies, conditions and medications; the history before stays on record. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    allergies: Entries
    conditions: Entries
    medications: Entries

    def decide(self, patient: Patient, at: At) -> list[Event]:
        if not at.may("patients.view_medical_history"):
            raise Forbidden(permission="patients.view_medical_history")
        return patient.amend(self.allergies, self.conditions, self.medications)


class ArchivePatient(Command):
    """Archive a patient: kept whole, no longer booked or billed."""

    state = Patient
    permission = "patients.delete"

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.archive()


class RestorePatient(Command):
    """Bring an archived patient back."""

    state = Patient
    permission = "patients.delete"

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.restore()


class NotePatientAccess(Command):
    """Note that a patient has been sent a fresh link to the portal."""

    state = Patient
    permission = "house"
    account_id: AccountId

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.refresh_access(self.account_id)
