"""What may be asked about those who come by a referral source's link: by themselves, and by the clinic that comes back to them."""

from typing import Annotated, Any

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.kit import At, Elsewhere, Event, Note, PatientId, Reason, Text
from domain.patients import Patient
from domain.referral_leads import Consent, Introduction, ReferralId, ReferralLead
from domain.referrals import ReferralSource


class SubmitReferralLead(Creation, Introduction):
    """Say that you would like to come, by a link that somebody gave you."""

    state = ReferralLead
    permission = "public"
    referral_id: ReferralId
    number: Annotated[int, Meta(ge=1)]
    name: Annotated[Text, Meta(pattern=r"\S")]
    consent: Consent = False

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"source": await look.require(ReferralSource, self.referral_id)}

    def decide(self, lead: ReferralLead, at: At, *, source: ReferralSource) -> list[Event]:
        source.ensure_open(self.number)
        return lead.submit(self, self.referral_id, consent=self.consent)


class NoteReferralContact(Command):
    """Note that somebody has come back to a lead, and what came of it."""

    state = ReferralLead
    permission = "leads.manage"
    note: Note | None = None

    def decide(self, lead: ReferralLead, at: At) -> list[Event]:
        return lead.contact(self.note)


class ConvertReferralLead(Command):
    """Note as which patient a lead was registered; that patient counts from now on as having come the way that the source says."""

    state = ReferralLead
    permission = "leads.convert"
    patient_id: PatientId

    async def gather(self, look: Look) -> dict[str, Any]:
        lead = await look.require(ReferralLead, look.at.id)
        source = await look.load(ReferralSource, lead.referral) if lead.referral else ReferralSource()
        return {"source": source, "patient": await look.require(Patient, self.patient_id)}

    def decide(self, lead: ReferralLead, at: At, *, source: ReferralSource, patient: Patient) -> Decision:
        converted = lead.convert(self.patient_id, source.source)
        credited = patient.credit(source.source)
        return [*converted, *([Elsewhere(state=Patient, id=self.patient_id, events=credited)] if credited else [])]


class DismissReferralLead(Command):
    """Let a lead be: it was no serious one, or they will not come. It may be opened again."""

    state = ReferralLead
    permission = "leads.manage"
    reason: Reason | None = None

    def decide(self, lead: ReferralLead, at: At) -> list[Event]:
        return lead.dismiss(self.reason)


class ReopenReferralLead(Command):
    """See to a lead after all that was dismissed, or that was taken for another patient; how that one came stays as it was noted."""

    state = ReferralLead
    permission = "leads.manage"

    def decide(self, lead: ReferralLead, at: At) -> list[Event]:
        return lead.reopen()
