"""What may be asked of a patient's record."""

from datetime import date
from typing import Any
from uuid import UUID

from msgspec import field

from commands.kit import Command, Creation, Decision, Look
from domain.appointments import OPEN, Appointment
from domain.credits import Credit
from domain.erasures import Erasure, erasure_of
from domain.installments import InstallmentPlan
from domain.insurance_claims import InsuranceClaim
from domain.insurance_covers import InsuranceCover
from domain.invoices import Invoice
from domain.kit import AccountId, At, Elsewhere, Email, Event, Forbidden, PatientId, Phone, Reason
from domain.patients import (
    NUMBERS,
    Address,
    Belonging,
    Demographics,
    Entries,
    ExternalIdTaken,
    Groups,
    MedicalEntry,
    MedicalEntryId,
    MedicalLine,
    MedicalList,
    Name,
    Patient,
    PatientErased,
    PatientNumber,
    PatientReinstated,
    PatientReplaced,
    Preferences,
    PreferredNotADoctor,
    VisitsClash,
)
from domain.queue import WalkIn
from domain.quotations import Quotation
from domain.recalls import Recall
from domain.receipts import Receipt
from domain.recurrences import Recurrence
from domain.staff import Staff
from schemas.appointments import AppointmentRow
from schemas.patients import MedicalHistoryRow, PatientRow

Thing = Appointment | Credit | InstallmentPlan | InsuranceClaim | InsuranceCover | Invoice | Quotation | Recall | Receipt | Recurrence | WalkIn
MOVES: dict[str, type[Thing]] = {"appointments": Appointment, "credits": Credit, "installments": InstallmentPlan, "insurance_claims": InsuranceClaim, "insurance_covers": InsuranceCover, "invoices": Invoice, "quotations": Quotation, "recalls": Recall, "receipts": Receipt, "recurrences": Recurrence, "queue": WalkIn}
"""What a patient's record has, and another one gets when the two are merged: each says how itself (`reassign`)."""

STAYS: dict[str, str] = {
    "relations": "it says who is there for the person of this record; whoever asks does so about all records of the patient",
    "favourites": "somebody marked this very record; the list follows it to the one that stands for it",
    "patient_notes": "it was written on this record, under whose key it is sealed; a patient's notes are listed with those of their other records",
    "patients": "a record says itself what it was merged into, and keeps its particulars and medical history, which are shown with the other one's",
    "emergencies": "it was this very chart that was opened, under this record, for a while; whoever needs the other one asks again",
    "portal_invitations": "it asks in whoever that record stands for, and whoever came by it goes on with the record that stands for theirs",
    "sync_conflicts": "a device wanted it for this very record; whoever looks at it sees what that was merged into",
    "message_wishes": "it was noted for this record that nobody is to write; whoever writes asks about all records of the patient",
    "duplicates": "somebody looked at these two records; the one that stands for either is looked at anew",
    "consents": "it was said for this record, under whose key it is sealed; whoever asks whether somebody agrees asks about all records of theirs",
    "campaign_calls": "it says to whom it was written, by the record that they had then; whoever calls asks about all records of the patient",
    "reminders": "it says to whom it was written, by the record that the visit had then",
    "recall_wishes": "it was noted for this record that nobody is to call; whoever calls asks about all records of the patient",
    "referral_leads": "it says as which record somebody was registered, who had been nobody's patient; the record says what it was merged into",
    "leads": "likewise of whoever wrote by the clinic's website",
    "retention": "a hold names the record on which it was placed; whoever deletes asks about all records of the patient",
}
"""What names a patient and stays with the record it names, and why that is right."""


class RegisterPatient(Demographics, Creation):
    """Register a patient with the clinic."""

    state = Patient
    permission = "patients.create"
    given_name: Name
    family_name: Name

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"key": await external_key(look, self.external_id, None), "number": await look.number(NUMBERS)}

    def decide(self, patient: Patient, at: At, *, key: str | None, number: PatientNumber) -> list[Event]:
        return patient.register(self, at.today, number, key)


class ChangePatient(Demographics, Command):
    """Replace a patient's particulars; what is left out is cleared."""

    state = Patient
    permission = "patients.edit"
    given_name: Name
    family_name: Name

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"key": await external_key(look, self.external_id, look.at.id)}

    def decide(self, patient: Patient, at: At, *, key: str | None) -> list[Event]:
        return patient.change(self, at.today, key)


class ChangeMedicalHistory(Command):
    """Replace a patient's allergies, conditions and medications; the history before stays on record. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    allergies: Entries
    conditions: Entries
    medications: Entries

    def decide(self, patient: Patient, at: At) -> list[Event]:
        ensure_seeing(at)
        return patient.amend(self.allergies, self.conditions, self.medications)


class AddMedicalEntry(Command):
    """Add an allergy, a condition or a medication to what the clinic knows of a patient. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    what: MedicalList
    entry: MedicalEntry

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entries_of(look)

    def decide(self, patient: Patient, at: At, *, known: list[MedicalLine], count: int) -> list[Event]:
        ensure_seeing(at)
        return patient.add_entry(at.id, known, count, self.what, self.entry)


class AmendMedicalEntry(Command):
    """Have an entry of a medical history say something else, and say why; what it said before stays with it. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    entry_id: MedicalEntryId
    entry: MedicalEntry
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entries_of(look)

    def decide(self, patient: Patient, at: At, *, known: list[MedicalLine], count: int) -> list[Event]:
        ensure_seeing(at)
        return patient.amend_entry(known, self.entry_id, self.entry, self.reason)


class EndMedicalEntry(Command):
    """Note that an entry of a medical history does not hold any more: a medicine is not taken, a condition has healed. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    entry_id: MedicalEntryId
    ended_on: date | None = None
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entries_of(look)

    def decide(self, patient: Patient, at: At, *, known: list[MedicalLine], count: int) -> list[Event]:
        ensure_seeing(at)
        return patient.end_entry(known, self.entry_id, self.ended_on or at.today, self.reason, at.today)


class RefuteMedicalEntry(Command):
    """Note that an entry of a medical history never held, and say why; it stays on record as entered in error. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    entry_id: MedicalEntryId
    reason: Reason

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entries_of(look)

    def decide(self, patient: Patient, at: At, *, known: list[MedicalLine], count: int) -> list[Event]:
        ensure_seeing(at)
        return patient.refute_entry(known, self.entry_id, self.reason)


class ReopenMedicalEntry(Command):
    """Note that an entry of a medical history holds after all. Also needs `patients.view_medical_history`."""

    state = Patient
    permission = "patients.edit"
    entry_id: MedicalEntryId
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return await entries_of(look)

    def decide(self, patient: Patient, at: At, *, known: list[MedicalLine], count: int) -> list[Event]:
        ensure_seeing(at)
        return patient.reopen_entry(known, self.entry_id, self.reason)


class ChangePatientPreferences(Preferences, Command):
    """Note what a patient likes best: language, ways and times to be reached, doctor, and what is to be seen to; what is left out is cleared."""

    state = Patient
    permission = "patients.edit"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"doctor": await look.require(Staff, self.doctor_id) if self.doctor_id else None}

    def decide(self, patient: Patient, at: At, *, doctor: Staff | None) -> list[Event]:
        if doctor is not None:
            ensure_treats(doctor)
        return patient.prefer(self)


class ChangeOwnPreferences(Preferences, Command):
    """Say what you like best: your language, how and when you are reached, whom you see, and what is to be seen to; what is left out is cleared."""

    state = Patient
    permission = "self"

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"doctor": await look.require(Staff, self.doctor_id) if self.doctor_id else None}

    def decide(self, patient: Patient, at: At, *, doctor: Staff | None) -> list[Event]:
        if doctor is not None:
            ensure_treats(doctor)
        return patient.prefer(self)


class ChangeOwnRecord(Command):
    """Change how the clinic reaches you; what is left out stays. Your name, day of birth and national id are the clinic's to change, which has seen your papers."""

    state = Patient
    permission = "self"
    email: Email | None = None
    phone: Phone | None = None
    address: Address | None = None

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.say_contact(self.email, self.phone, self.address)


class ReportMedicalHistory(Command):
    """Say which allergies, conditions and medications you have: all that you know of, each time.

    It stands beside what the clinic has noted, which it neither changes nor takes away; what you said before stays on record.
    """

    state = Patient
    permission = "self"
    allergies: Entries
    conditions: Entries
    medications: Entries

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.report(self.allergies, self.conditions, self.medications)


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


class BlockPatient(Command):
    """Have nothing booked for a patient any more, and say why; what is booked stays. Whoever may overbook can go past it, with a reason."""

    state = Patient
    permission = "patients.edit"
    reason: Reason

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.block(self.reason)


class UnblockPatient(Command):
    """Let a patient be booked again."""

    state = Patient
    permission = "patients.edit"
    reason: Reason | None = None

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.unblock(self.reason)


class ChangePatientGroups(Command):
    """Put a patient into groups, or take them out of some; a group is there as long as somebody is in it."""

    state = Patient
    permission = "patients.edit"
    add: Groups = field(default_factory=list)
    remove: Groups = field(default_factory=list)

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"groups": getattr(await look.row(Patient, look.at.id), "groups", None) or []}

    def decide(self, patient: Patient, at: At, *, groups: list[str]) -> list[Event]:
        return patient.regroup(groups, self.add, self.remove)


class NotePatientAccess(Command):
    """Note that a patient has been sent a fresh link to the portal."""

    state = Patient
    permission = "house"
    account_id: AccountId

    def decide(self, patient: Patient, at: At) -> list[Event]:
        return patient.refresh_access(self.account_id)


class MergePatients(Command):
    """Merge another record of the same patient into this one.

    All its appointments, invoices and recalls become this one's, with what was paid; of two open recalls of one kind the survivor's stands for both; figures count one patient. Its id still answers, and says which record replaced it. Particulars stay
    with the record they were entered for; its medical history is shown with this one's until somebody enters the whole anew. Visits of both
    at the same time, still to come, forbid it. It can be undone.
    """

    state = Patient
    permission = "patients.merge"
    loser_id: PatientId
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        ahead = await look.find(AppointmentRow, patient_id=look.at.id, status=sorted(OPEN))
        return {
            **await both(look, self.loser_id),
            "things": {id_: await look.load(MOVES[kind], id_) for kind, id_ in await look.naming(self.loser_id, list(MOVES))},
            "ahead": {row.id: await look.load(Appointment, row.id) for row in ahead if row.ends_at > look.at.now},
            "recalls": await recalls_of(look),
        }

    def decide(
        self, survivor: Patient, at: At, *, loser: Patient, erasures: list[Erasure], things: dict[UUID, Thing], ahead: dict[UUID, Appointment],
        recalls: dict[UUID, Recall],
    ) -> Decision:
        merged = survivor.merge(at.id, loser, self.loser_id, self.reason)
        if not merged:
            return []
        ensure_known(erasures)
        ensure_apart(things, self.loser_id, ahead, at)
        moves = reassigned(things, self.loser_id, at.id, at, recalls)
        return [*merged, Elsewhere(state=Patient, id=self.loser_id, events=[PatientReplaced(survivor_id=at.id, moved=belongings(moves))]), *moves]


class UnmergePatients(Command):
    """Make a record that was merged into this one a record of its own again.

    It gets back all that it had then, with whatever became of it meanwhile. What was begun for the patient while the records were one stays with this one.
    """

    state = Patient
    permission = "patients.merge"
    loser_id: PatientId
    reason: Reason | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        found = await both(look, self.loser_id)
        things = {one.id: await look.load(MOVES[one.kind], one.id) for one in found["loser"].moved}
        return {**found, "things": things, "recalls": await recalls_of(look)}

    def decide(
        self, survivor: Patient, at: At, *, loser: Patient, erasures: list[Erasure], things: dict[UUID, Thing], recalls: dict[UUID, Recall],
    ) -> Decision:
        unmerged = survivor.unmerge(at.id, loser, self.loser_id, self.reason)
        ensure_known(erasures)
        moves = reassigned(things, at.id, self.loser_id, at, {})
        left = {id_: recall for id_, recall in recalls.items() if id_ not in things}
        return [
            *unmerged, Elsewhere(state=Patient, id=self.loser_id, events=[PatientReinstated(survivor_id=at.id, moved=belongings(moves))]), *moves,
            *standing_in(left, at)]


async def entries_of(look: Look) -> dict[str, Any]:
    """Return the entries of a patient's medical history under all records of theirs, the one's in hand before the others', and how many are its own."""
    mine = await look.folded(Patient, look.at.id, MedicalHistoryRow)
    known = {line.id: line for line in mine.lines()} if mine else {}
    count = len(known)
    for record in (await look.load(Patient, look.at.id)).records:
        if other := await look.folded(Patient, record, MedicalHistoryRow):
            known = {line.id: line for line in other.lines()} | known
    return {"known": list(known.values()), "count": count}


def ensure_treats(doctor: Staff) -> None:
    """Refuse as a doctor whoever treats nobody here."""
    if doctor.role != "doctor" or not doctor.active:
        raise PreferredNotADoctor


def ensure_seeing(at: At) -> None:
    """Refuse whoever may not see what they change."""
    if not at.may(MedicalHistoryRow.permission):
        raise Forbidden(permission=MedicalHistoryRow.permission)


async def addressee(look: Look, patient: UUID) -> dict[str, Any]:
    """Return a patient who is to be written to, and whether the clinic has an address of theirs; both held fast."""
    return {"patient": await look.require(Patient, patient), "reachable": getattr(await look.row(Patient, patient), "email", None) is not None}


async def external_key(look: Look, external_id: str | None, patient: UUID | None) -> str | None:
    """Return under which key an external id is claimed; refuse one of somebody else's, as far as can be seen: the claim guarantees it."""
    if external_id is None:
        return None
    key = look.address_key(external_id)
    if patient is not None and (await look.load(Patient, patient)).external_key == key:
        return key
    for row in await look.find(PatientRow, external_id=external_id):
        if row.id != patient and (await look.load(Patient, row.id)).external_key == key:
            raise ExternalIdTaken(patientId=str(row.id))
    return key


async def both(look: Look, loser: UUID) -> dict[str, Any]:
    """Return the other record, and whether either of them has been erased."""
    return {
        "loser": await look.require(Patient, loser), "erasures": [await look.load(Erasure, erasure_of(record)) for record in (look.at.id, loser)],
    }


def ensure_known(erasures: list[Erasure]) -> None:
    """Refuse to join what is known of somebody with what must not be known any more, or to part it."""
    if any(erasure.erased for erasure in erasures):
        raise PatientErased


def ensure_apart(things: dict[UUID, Thing], loser: UUID, ahead: dict[UUID, Appointment], at: At) -> None:
    """Refuse visits at the same time that are still to come."""
    theirs = {id_: one for id_, one in things.items() if isinstance(one, Appointment) and one.arranged and one.patient == loser}
    pairs = [[str(mine), str(other)] for other, visit in theirs.items() for mine, kept in ahead.items() if mine != other and visit.clashes(kept, at.now)]
    if pairs:
        raise VisitsClash(pairs=pairs)


def reassigned(things: dict[UUID, Thing], was: UUID, to: UUID, at: At, there: dict[UUID, Recall]) -> list[Elsewhere]:
    """Return how what is one record's becomes another one's; `there` are the recalls that the other one has."""
    doubled = doubles(there, {id_: thing for id_, thing in things.items() if isinstance(thing, Recall) and thing.patient_id == was})
    moves = [
        Elsewhere(
            state=type(thing), id=id_,
            events=thing.reassign(was, to, at.now, doubled=id_ in doubled) if isinstance(thing, Recall) else thing.reassign(was, to, at.now))
        for id_, thing in things.items()]
    return [move for move in moves if move.events]


def doubles(there: dict[UUID, Recall], come: dict[UUID, Recall]) -> set[UUID]:
    """Return those of the recalls that come to a record for which another one stands: of each kind one may be open."""
    taken, found = {recall.about for recall in there.values() if recall.open}, set()
    for id_, recall in sorted(come.items(), key=lambda one: not one[1].open):  # one that is open stands for one that gave way before
        if recall.wanted and recall.about in taken:
            found.add(id_)
        elif recall.wanted:
            taken.add(recall.about)
    return found


def standing_in(left: dict[UUID, Recall], at: At) -> list[Elsewhere]:
    """Return how recalls that gave way to one that has gone are open again."""
    waiting = {id_: recall for id_, recall in left.items() if recall.patient_id == at.id and recall.status == "superseded"}
    doubled = doubles({id_: recall for id_, recall in left.items() if recall.patient_id == at.id}, waiting)
    return [Elsewhere(state=Recall, id=id_, events=recall.reassign(at.id, at.id, at.now)) for id_, recall in waiting.items() if id_ not in doubled]


async def recalls_of(look: Look) -> dict[UUID, Recall]:
    """Return the recalls of the record in hand."""
    return {id_: await look.load(Recall, id_) for _, id_ in await look.naming(look.at.id, [Recall.kind])}


def belongings(moves: list[Elsewhere]) -> list[Belonging]:
    return [Belonging(kind=move.state.kind, id=move.id) for move in moves]  # type: ignore[arg-type]
