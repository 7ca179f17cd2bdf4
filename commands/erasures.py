"""What may be asked about being forgotten."""

from datetime import date
from typing import Any
from uuid import UUID

from commands.kit import Creation, Decision, Look
from domain.accounts import Account
from domain.demo_requests import DemoRequest
from domain.erasures import Erasure, PersonId, PersonKind, PersonStillActive, erasure_of
from domain.kit import At, Elsewhere, PatientId, Reason, Refused, day
from domain.leads import Lead
from domain.patients import Patient
from domain.payroll import PayrollEmployee
from domain.referral_leads import ReferralLead
from domain.referrals import ReferralSource
from domain.relations import Relation
from domain.retention import Retention, retention_of
from domain.signups import Signup
from domain.staff import Staff
from schemas.appointments import AppointmentRow
from schemas.invoices import InvoiceRow

OTHERS: dict[PersonKind, type[Any]] = {
    "staff": Staff, "accounts": Account, "signups": Signup, "demo_requests": DemoRequest,
    "referrals": ReferralSource, "referral_leads": ReferralLead, "relations": Relation,
    "leads": Lead, "payroll_employees": PayrollEmployee,
}


class ErasePatient(Creation):
    """Destroy the key of a patient, so that nobody can read any more who they are; visits, invoices and figures keep their numbers.

    Records that were merged into this one are about the same person and go with it, and so do the lead as which they first wrote and whoever is known only as being there for them. The record is archived. Retention periods and legal holds may forbid it, which is put on record; `despiteRetention` overrides the periods (for whoever should never
    have been in the books), not the holds.
    """

    state = Erasure
    permission = "admin"
    patient_id: PatientId
    reason: Reason
    despite_retention: bool = False

    def stream(self, at: At) -> UUID:
        return erasure_of(self.patient_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        visits = await look.find(AppointmentRow, patient_id=self.patient_id)
        bills = await look.find(InvoiceRow, patient_id=self.patient_id)
        patient = await look.require(Patient, self.patient_id)
        records = (self.patient_id, *patient.records)
        leads = [(kind, lead) for record in records for kind, lead in await look.naming(record, [ReferralLead.kind, Lead.kind])]
        return {
            "patient": patient, "retention": await look.load(Retention, retention_of(look.at.clinic)),
            "visited": max((visit.date for visit in visits), default=None),
            "billed": max((day(bill.created_at, look.at.zone) for bill in bills), default=None),
            "relations": [relation for record in records for _, relation in await look.naming(record, [Relation.kind])
                          if (await look.load(Relation, relation)).patient in records],
            "leads": [lead for kind, lead in leads if (await look.load(OTHERS[kind], lead)).patient in records],  # type: ignore[index]
        }

    def decide(
        self, erasure: Erasure, at: At, *, patient: Patient, retention: Retention, visited: date | None, billed: date | None,
        leads: list[UUID], relations: list[UUID],
    ) -> Decision:
        patient.ensure_unmerged()
        try:
            for record in (self.patient_id, *patient.records):
                retention.ensure_deletable(at.today, {}, record)
            if not self.despite_retention:
                retention.ensure_deletable(at.today, {"patients": visited or at.today, "appointments": visited, "invoices": billed}, self.patient_id)
        except Refused as why:
            return [*erasure.refuse(self.patient_id, "patients", self.reason, type(why).__name__, why.details)]
        erased = erasure.erase(self.patient_id, "patients", self.reason, despite_retention=self.despite_retention, records=(*patient.records, *leads, *relations))
        if not erased or patient.archived:
            return [*erased]
        return [*erased, Elsewhere(state=Patient, id=self.patient_id, events=patient.archive())]


class ErasePerson(Creation):
    """Destroy the key of somebody who is no patient: a former member of staff, a deleted account, a sign-up, a demo request, a referral source, a lead, somebody who is there for a patient, or somebody who was on the payroll."""

    state = Erasure
    permission = "admin"
    kind: PersonKind
    person_id: PersonId
    reason: Reason

    def stream(self, at: At) -> UUID:
        return erasure_of(self.person_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        person = await look.require(OTHERS[self.kind], self.person_id)
        return {"active": getattr(person, "active", False), "lead": person if isinstance(person, Lead) else None}

    def decide(self, erasure: Erasure, at: At, *, active: bool, lead: Lead | None) -> Decision:
        if active:
            raise PersonStillActive
        erased = erasure.erase(self.person_id, self.kind, self.reason)
        if not erased or lead is None:
            return [*erased]
        return [*erased, Elsewhere(state=Lead, id=self.person_id, events=lead.delete())]  # nobody stays in the inbox of whom nothing is left
