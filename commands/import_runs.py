"""What may be asked of a list of patients that is taken in: that it is, that it stops, that it is taken back."""

import asyncio
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, field
from msgspec.structs import replace

from commands.kit import Command, Creation, Decision, Look
from commands.kit.attempt import Conflict
from domain.import_runs import Count, ImportedPatientUsed, ImportRun, ImportRunId, Taken, TakenBack
from domain.imports import joined
from domain.kit import At, Elsewhere, Event, Frozen, State, only
from domain.kit.codec import hints, metas
from domain.patients import NUMBERS, Demographics, Entries, Patient, PatientErased, PatientNumber, PatientRestored
from projections.kit import PROJECTIONS
from schemas.patients import MedicalHistoryRow

Instant = Annotated[datetime, Meta(tz=True)]
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

    def decide(self, run: ImportRun, at: At, *, ended_at: Instant | None) -> list[Event]:
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


class Standing(Frozen):
    """What is known of a patient as they stand, and in which lists; or the number that they are to have. `key` is that of their external id as it will be."""

    known: Demographics | None = None
    lists: dict[str, Entries] = field(default_factory=dict)
    number: PatientNumber | None = None
    key: str | None = None


class TakeImported(Command):
    """Take some patients of a list in, in one save: register whoever is new, and let the others be known better by what the list says."""

    state = ImportRun
    permission = "house"
    people: Annotated[list[ImportedPatient], Meta(max_length=500)]

    async def gather(self, look: Look) -> dict[str, Any]:
        ids = [one.patient_id for one in self.people]
        patients = dict(zip(ids, await asyncio.gather(*(look.load(Patient, id_) for id_ in ids)), strict=True))
        standing = await asyncio.gather(*(standing_of(look, one, patients[one.patient_id]) for one in self.people))
        return {"patients": patients, "standing": dict(zip(ids, standing, strict=True))}

    def decide(self, run: ImportRun, at: At, *, patients: dict[UUID, Patient], standing: dict[UUID, Standing]) -> Decision:
        run.ensure_going()
        here = [one for one in self.people if one.patient_id in patients and one.patient_id in standing]
        plans = [(one.patient_id, taken(one, patients[one.patient_id], standing[one.patient_id], at)) for one in here]
        return [Elsewhere(state=Patient, id=id_, events=events) for id_, events in plans if events]


async def standing_of(look: Look, one: ImportedPatient, patient: Patient) -> Standing:
    external = one.person.external_id
    if not patient.registered:
        return Standing(number=await look.number(NUMBERS), key=look.address_key(external) if external else None)
    row = await look.row(Patient, one.patient_id)
    if row is None:  # another run is registering them just now: as they are once it has
        raise Conflict
    history = await look.folded(Patient, one.patient_id, MedicalHistoryRow) if any(getattr(one, name) for name in LISTS) else None
    external = external or row.external_id
    return Standing(
        known=Demographics(**only(Demographics, row)), lists={name: getattr(history, name) or [] for name in LISTS} if history else {},
        key=look.address_key(external) if external else None)


def taken(one: ImportedPatient, patient: Patient, there: Standing, at: At) -> list[Event]:
    """Return what follows from a row for its patient: nothing, if the books say all of it already."""
    lists = {name: getattr(one, name) for name in LISTS}
    if there.known is None:
        return [*patient.register(one.person, at.today, there.number, there.key), *(patient.amend(**lists) if any(lists.values()) else [])]
    if there.known.given_name is None:
        raise PatientErased
    back: list[Event] = [PatientRestored()] if one.returns and patient.archived else []
    stands = replace(patient, archived=False) if back else patient
    stands.ensure_active()
    person = replace(there.known, **{name: value for name, value in only(Demographics, one.person).items() if value is not None})
    known = {name: there.lists.get(name, []) for name in LISTS}
    whole = {name: joined(known[name], lists[name]) for name in LISTS}
    return [
        *back, *(stands.change(person, at.today, there.key) if person != there.known else []),
        *(stands.amend(**whole) if whole != known else [])]


class ArchiveImported(Command):
    """Archive a patient whom an import registered, unless anything has come to be about them."""

    state = Patient
    permission = "house"
    run_id: ImportRunId

    async def gather(self, look: Look) -> dict[str, Any]:
        (await look.require(ImportRun, self.run_id)).ensure_undoing()
        return {"used": bool(await look.naming(look.at.id, uses()))}

    def decide(self, patient: Patient, at: At, *, used: bool) -> list[Event]:
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
