"""What may be asked about forms of consent, and about what patients have agreed to."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from commands.kit import Command, Creation, Decision, Look
from domain.consents import (
    Consent,
    ConsentForm,
    ConsentFormId,
    ConsentNotGiven,
    ConsentParty,
    ConsentVersion,
    ConsentWay,
    ConsentWords,
    RelationId,
    Said,
    consent_of,
    ensure_guardian,
    later,
)
from domain.kit import At, Elsewhere, Event, Note, NotFound, PatientId, Reason
from domain.patients import Patient
from domain.relations import Relation


class DefineConsentForm(ConsentWords, Creation):
    """Define what people are asked to agree to: in which words, for what, and for how long it holds."""

    state = ConsentForm
    permission = "admin"

    def decide(self, form: ConsentForm, at: At) -> list[Event]:
        return form.define(self)


class ReviseConsentForm(ConsentWords, Command):
    """Word a form anew. Other words are a new version; whoever has agreed has agreed to the version of then."""

    state = ConsentForm
    permission = "admin"

    def decide(self, form: ConsentForm, at: At) -> list[Event]:
        return form.revise(self)


class RetireConsentForm(Command):
    """Ask nobody to agree to a form any more; what people have agreed to stands."""

    state = ConsentForm
    permission = "admin"
    reason: Reason | None = None

    def decide(self, form: ConsentForm, at: At) -> list[Event]:
        return form.retire(self.reason)


class RestoreConsentForm(Command):
    """Use a form again."""

    state = ConsentForm
    permission = "admin"

    def decide(self, form: ConsentForm, at: At) -> list[Event]:
        return form.restore()


class RecordConsent(Creation):
    """Note that a patient, or a guardian for them, has agreed to what a form says; again, if it is renewed or to other words.

    It holds until `validUntil`, or for as long as the form says.
    """

    state = Consent
    permission = "clinical.consent.upload"
    patient_id: PatientId
    form_id: ConsentFormId
    way: ConsentWay
    by: ConsentParty = "patient"
    relation_id: RelationId | None = None
    version: ConsentVersion | None = None
    given_on: date | None = None
    valid_until: date | None = None
    note: Note | None = None

    def stream(self, at: At) -> UUID:
        return consent_of(self.patient_id, self.form_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {
            "patient": await look.require(Patient, self.patient_id), "form": await look.require(ConsentForm, self.form_id),
            "relation": await look.require(Relation, self.relation_id) if self.relation_id else None}

    def decide(self, consent: Consent, at: At, *, patient: Patient, form: ConsentForm, relation: Relation | None) -> list[Event]:
        patient.ensure_active()
        words, version = form.ensure_used(), form.ensure_version(self.version)
        said = spoken(self, [self.patient_id, *patient.records], relation)
        day = self.given_on or at.today
        until = self.valid_until or (later(day, words.valid_months) if words.valid_months else None)
        return consent.give(said, version, day, until, self.note, at.today)


class WithdrawConsent(Creation):
    """Note that a patient, or a guardian for them, takes back what was agreed to, whichever of their records it was noted for; that it was stays on record."""

    state = Consent
    permission = "clinical.consent.upload"
    patient_id: PatientId
    form_id: ConsentFormId
    way: ConsentWay
    by: ConsentParty = "patient"
    relation_id: RelationId | None = None
    withdrawn_on: date | None = None
    reason: Reason | None = None

    def stream(self, at: At) -> UUID:
        return consent_of(self.patient_id, self.form_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        patient = await look.require(Patient, self.patient_id)
        return {
            "patient": patient, "others": await given_under(look, patient.records, self.form_id),
            "relation": await look.require(Relation, self.relation_id) if self.relation_id else None}

    def decide(self, consent: Consent, at: At, *, patient: Patient, others: dict[UUID, Consent], relation: Relation | None) -> Decision:
        patient.ensure_unmerged()
        said = spoken(self, [self.patient_id, *patient.records], relation)
        return withdrawn(consent, others, said, self.withdrawn_on or at.today, self.reason, at)


class GiveOwnConsent(Creation):
    """Agree to what a form says, as it reads now."""

    state = Consent
    permission = "self"
    form_id: ConsentFormId
    version: ConsentVersion

    def stream(self, at: At) -> UUID:
        return consent_of(oneself(at), self.form_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"patient": await look.require(Patient, oneself(look.at)), "form": await look.require(ConsentForm, self.form_id)}

    def decide(self, consent: Consent, at: At, *, patient: Patient, form: ConsentForm) -> list[Event]:
        patient.ensure_active()
        words = form.ensure_used()
        version = form.ensure_version(self.version)
        until = later(at.today, words.valid_months) if words.valid_months else None
        return consent.give(Said(patient_id=oneself(at), form_id=self.form_id, way="portal"), version, at.today, until, None, at.today)


class WithdrawOwnConsent(Creation):
    """Take back what you have agreed to; that you had stays on record."""

    state = Consent
    permission = "self"
    form_id: ConsentFormId
    reason: Reason | None = None

    def stream(self, at: At) -> UUID:
        return consent_of(oneself(at), self.form_id)

    async def gather(self, look: Look) -> dict[str, Any]:
        patient = await look.require(Patient, oneself(look.at))
        return {"patient": patient, "others": await given_under(look, patient.records, self.form_id)}

    def decide(self, consent: Consent, at: At, *, patient: Patient, others: dict[UUID, Consent]) -> Decision:
        patient.ensure_unmerged()
        return withdrawn(consent, others, Said(patient_id=oneself(at), form_id=self.form_id, way="portal"), at.today, self.reason, at)


def oneself(at: At) -> UUID:
    """Return the record of the patient who asks; whoever is no patient has none."""
    if at.role != "patient" or at.subject is None:
        raise NotFound(kind=Patient.kind)
    return at.subject


async def given_under(look: Look, records: Iterable[UUID], form: UUID) -> dict[UUID, Consent]:
    """Return what is noted about a form for these records."""
    return {record: await look.load(Consent, consent_of(record, form)) for record in records}


def spoken(command: RecordConsent | WithdrawConsent, records: list[UUID], relation: Relation | None) -> Said:
    """Return who says it and how; refuse whoever cannot say it for the patient."""
    said = Said(
        patient_id=command.patient_id, form_id=command.form_id, way=command.way, by=command.by, relation_id=command.relation_id)
    ensure_guardian(said, (relation.patient, relation.guardian and not relation.ended) if relation else None, records)
    return said


def withdrawn(consent: Consent, others: dict[UUID, Consent], said: Said, day: date, reason: str | None, at: At) -> Decision:
    """Return how it is taken back wherever it was noted."""
    mine = consent.withdraw(said, day, reason, at.today)
    theirs = {record: other.withdraw(replaced(said, record), day, reason, at.today) for record, other in others.items()}
    elsewhere = [Elsewhere(state=Consent, id=consent_of(record, said.form_id), events=events) for record, events in theirs.items() if events]
    if not mine and not elsewhere:
        raise ConsentNotGiven
    return [*mine, *elsewhere]


def replaced(said: Said, record: UUID) -> Said:
    return Said(patient_id=record, form_id=said.form_id, way=said.way, by=said.by, relation_id=said.relation_id)
