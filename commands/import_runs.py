"""What may be asked of a list of patients that is taken in: that it is, that it stops, that it is taken back."""

import asyncio
from datetime import datetime
from functools import cache
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from msgspec import Meta, field
from msgspec.structs import replace

from commands.kit import Command, Creation, Decision, Look
from domain.import_runs import Count, ImportedPatientUsed, ImportRun, ImportRunId, Taken, TakenBack
from domain.imports import joined
from domain.kit import At, Elsewhere, Event, Frozen, State, only
from domain.kit.codec import hints, metas
from domain.patients import NUMBERS, Demographics, Entries, Patient, PatientErased, PatientNumber, PatientRestored
from projections.kit import PROJECTIONS
from schemas.patients import MedicalHistoryRow, PatientRow

LISTS = ("allergies", "conditions", "medications")


class StartImport(Creation):
    """Have a list taken in that has been read and compared with the books."""

    state = ImportRun
    permission = "admin"
    rows: Count

    def decide(self, run: ImportRun, at: At) -> list[Event]:
        return run.start(self.rows)


class CancelImport(Command):
    """Stop an import: rows that have been taken stay so, and can be taken back; no further one is taken. Of one that has ended meanwhile there is nothing to stop."""

    state = ImportRun
    permission = "admin"

    def decide(self, run: ImportRun, at: At) -> list[Event]:
        return run.cancel()


class FinishImport(Command, Taken):
    """Note that an import has come to its end."""

    state = ImportRun
    permission = "house"

    def decide(self, run: ImportRun, at: At) -> list[Event]:
        return run.finish(self)


class UndoImport(Command):
    """Take an import back: whom it registered is archived, whom it changed is as before; whoever has been used or changed since is left as they are."""

    state = ImportRun
    permission = "admin"

    async def gather(self, look: Look) -> dict[str, Any]:
        row = await look.row(ImportRun, look.at.id)
        return {"ended_at": row.ended_at if row else None}

    def decide(self, run: ImportRun, at: At, *, ended_at: datetime | None) -> list[Event]:
        return run.undo(ended_at, at.now)


class FinishImportUndo(Command, TakenBack):
    """Note that an import has been taken back."""

    state = ImportRun
    permission = "house"

    def decide(self, run: ImportRun, at: At) -> list[Event]:
        return run.undone_with(self)


class Imported(Frozen):
    """What a row says of a patient; what it says nothing of is null, and so are lists of which it has no entry."""

    person: Demographics
    allergies: Entries = field(default_factory=list)
    conditions: Entries = field(default_factory=list)
    medications: Entries = field(default_factory=list)


class ImportedPatient(Imported):
    """Who is to be taken in, under which id; `returns` says that an import that was taken back had registered them, so they are archived for no other reason."""

    patient_id: UUID
    returns: bool = False


class Here(NamedTuple):
    """A patient as they stand, or the number that they are to have."""

    patient: Patient
    row: PatientRow | None
    history: MedicalHistoryRow | None
    number: PatientNumber | None
    key: str | None


class TakeImported(Command):
    """Take some patients of a list in, in one save: register whoever is new, and let the others be known better by what the list says."""

    state = ImportRun
    permission = "house"
    people: Annotated[list[ImportedPatient], Meta(max_length=500)]

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"found": await asyncio.gather(*(here(look, one) for one in self.people))}

    def decide(self, run: ImportRun, at: At, *, found: list[Here]) -> Decision:
        run.ensure_going()
        plans = [(one.patient_id, taken(one, there, at)) for one, there in zip(self.people, found, strict=True)]
        return [Elsewhere(state=Patient, id=id_, events=events) for id_, events in plans if events]


async def here(look: Look, one: ImportedPatient) -> Here:
    patient = await look.load(Patient, one.patient_id)
    if not patient.registered:
        external = one.person.external_id
        return Here(patient, None, None, await look.number(NUMBERS), look.address_key(external) if external else None)
    row = await look.row(Patient, one.patient_id)
    history = await look.folded(Patient, one.patient_id, MedicalHistoryRow) if any(getattr(one, name) for name in LISTS) else None
    external = one.person.external_id or row.external_id
    return Here(patient, row, history, None, look.address_key(external) if external else None)


def taken(one: ImportedPatient, there: Here, at: At) -> list[Event]:
    """Return what follows from a row for its patient: nothing, if the books say all of it already."""
    patient, lists = there.patient, {name: getattr(one, name) for name in LISTS}
    if there.row is None:
        return [*patient.register(one.person, at.today, there.number, there.key), *(patient.amend(**lists) if any(lists.values()) else [])]
    if there.row.given_name is None:
        raise PatientErased
    back: list[Event] = [PatientRestored()] if one.returns and patient.archived else []
    standing = replace(patient, archived=False) if back else patient
    standing.ensure_active()
    now = Demographics(**only(Demographics, there.row))
    person = replace(now, **{name: value for name, value in only(Demographics, one.person).items() if value is not None})
    known = {name: (getattr(there.history, name) if there.history else None) or [] for name in LISTS}
    whole = {name: joined(known[name], lists[name]) for name in LISTS}
    return [
        *back, *(standing.change(person, at.today, there.key) if person != now else []),
        *(standing.amend(**whole) if whole != known else [])]


class ArchiveImported(Command):
    """Archive a patient whom an import registered, unless anything has come to be about them."""

    state = Patient
    permission = "house"
    run_id: ImportRunId

    async def gather(self, look: Look) -> dict[str, Any]:
        (await look.require(ImportRun, self.run_id)).ensure_undoing()
        return {"used": await look.naming(look.at.id, uses())}

    def decide(self, patient: Patient, at: At, *, used: list[tuple[str, UUID]]) -> list[Event]:
        if used:
            raise ImportedPatientUsed
        return patient.archive()


class SetImportedBack(Command):
    """Let a patient whom an import changed be as they were before."""

    state = Patient
    permission = "house"
    run_id: ImportRunId
    was: Imported
    listed: Annotated[bool, Meta(description="Whether the medical lists were changed as well.")]

    async def gather(self, look: Look) -> dict[str, Any]:
        (await look.require(ImportRun, self.run_id)).ensure_undoing()
        external = self.was.person.external_id
        return {"key": look.address_key(external) if external else None}

    def decide(self, patient: Patient, at: At, *, key: str | None) -> list[Event]:
        changed = patient.change(self.was.person, at.today, key)
        return [*changed, *patient.amend(**{name: getattr(self.was, name) for name in LISTS})] if self.listed else changed


@cache
def uses() -> tuple[str, ...]:
    """Return the kinds of things that are about a patient: whoever has any is used. What merely compares two records is none."""
    kinds = {state.kind for state in State.__subclasses__()} - {"patients", "duplicates"}
    return tuple(sorted(name for name, projection in PROJECTIONS.items() if name in kinds and projection.key is None and any(
        extra.get("ref") == "patients" for hint in hints(projection.row).values() for extra in metas(hint))))
