"""What may be asked about those who write by the clinic's website: by themselves, and by the clinic that comes back to them."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.kit import At, Elsewhere, Event, Note, PatientId
from domain.lead_forms import LeadForm
from domain.leads import (
    Enquiry,
    Lead,
    LeadForgotten,
    LeadFormId,
    LeadGender,
    LeadName,
    LeadNeedsGender,
    LeadStatus,
    gender_of,
)
from domain.patients import NUMBERS, Demographics, Patient, PatientNumber
from schemas.leads import LeadRow, phone_key

Gender = Annotated[LeadGender | None, Meta(description="Needed unless the lead has said it in a word that is understood.")]


class SubmitLead(Creation, Enquiry):
    """Write to a clinic by a form of its website."""

    state = Lead
    permission = "public"
    form_id: LeadFormId
    number: Annotated[int, Meta(ge=1)]
    first_name: LeadName
    trapped: bool = False  # whether the field was filled in that nobody sees
    answer: bool = True  # whether this address may be written to just now

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"form": await look.require(LeadForm, self.form_id), "earlier": await earlier(look, self)}

    def decide(self, lead: Lead, at: At, *, form: LeadForm, earlier: UUID | None) -> list[Event]:
        form.ensure_open(self.number)
        return lead.submit(
            self, self.form_id, at.today, trapped=self.trapped, earlier=earlier, reply=form.known.auto_reply and self.answer, tell=form.known.tell_clinic)


class ChangeLeadStatus(Command):
    """Say what became of a lead: new, contacted, archived or spam. One that has become a patient by mistake is set to contacted; the patient stays registered."""

    state = Lead
    permission = "leads.manage"
    status: LeadStatus
    note: Note | None = None

    def decide(self, lead: Lead, at: At) -> list[Event]:
        return lead.set_status(self.status, self.note)


class ConvertLead(Command):
    """Register a lead as a patient, or say with `patientId` which patient of the clinic they are."""

    state = Lead
    permission = "leads.convert"
    gender: Gender = None
    patient_id: PatientId | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        await look.require(Lead, look.at.id)
        return {
            "said": await look.row(Lead, look.at.id),
            "patient": await look.require(Patient, self.patient_id) if self.patient_id else None,
            "number": None if self.patient_id else await look.number(NUMBERS),
        }

    def decide(self, lead: Lead, at: At, *, said: LeadRow | None, patient: Patient | None, number: PatientNumber | None = None) -> Decision:
        lead.ensure_unconverted()
        if patient is not None and self.patient_id is not None:
            patient.ensure_active()
            return [*lead.convert(self.patient_id, registered=False)]
        person = described(said, self.gender)
        if person.sex is None:
            raise LeadNeedsGender
        new = lead.patient_of(at.id)
        return [*lead.convert(new, registered=True), Elsewhere(state=Patient, id=new, events=Patient().register(person, at.today, number))]


def described(said: LeadRow | None, gender: LeadGender | None = None) -> Demographics:
    """Return who a lead is, as a patient is described; refuse one who has been forgotten."""
    if said is None or said.first_name is None:
        raise LeadForgotten
    return Demographics(
        given_name=said.first_name, family_name=said.last_name, birth_date=said.date_of_birth, sex=gender or gender_of(said.gender), email=said.email,
        phone=said.phone, source="website")


async def earlier(look: Look, said: Enquiry) -> UUID | None:
    """Return the latest lead of the same person, as far as e-mail address or telephone tell."""
    found = [
        *(await look.find(LeadRow, email_key=said.email.lower()) if said.email else []),
        *(await look.find(LeadRow, phone_key=key) if (key := phone_key(said.phone)) else []),
    ]
    return max(found, key=lambda row: row.submitted_at).id if found else None
