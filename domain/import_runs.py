"""Import runs: a list of patients is taken in while others work; it can be stopped on the way, and be taken back afterwards.

How it works: each row is a save of its own patient's, and rests on the run: once that is cancelled no further row is taken. What was taken is told by the patients' own histories, whose events
bear the run's id, so what a run has done is taken back by what the books say, patient by patient, and only where nobody has gone on from it.
"""

import datetime as dt
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, NotFound, Refused, State

Count = Annotated[int, Meta(ge=0)]
ImportRunId = Annotated[UUID, Meta(extra={"ref": "import_runs"}, description="Id of one of the clinic's import runs.")]
ImportStatus = Literal["running", "cancelled", "finished", "undoing", "undone"]

UNDONE_WITHIN = dt.timedelta(days=30)


class Taken(Frozen):
    """What became of the rows: each is counted once. `left` are those to which it did not come, because it was cancelled."""

    created: Count
    changed: Count
    unchanged: Count
    duplicates: Count
    rejected: Count
    left: Count = 0


class TakenBack(Frozen):
    """What became of the patients whom an import had registered or changed: archived, set back, or kept because somebody has gone on with them."""

    archived: Count
    set_back: Count
    kept: Count


class ImportStarted(Event):
    rows: Count


class ImportCancelled(Event):
    """No further row is taken."""


class ImportFinished(Taken, Event):
    """All rows are seen to, or it was cancelled and has come to its end."""


class ImportUndoStarted(Event):
    """What it has done is to be taken back."""


class ImportUndone(TakenBack, Event): ...


ImportRunEvent = ImportStarted | ImportCancelled | ImportFinished | ImportUndoStarted | ImportUndone


class ImportOver(Refused):
    """This import is not under way any more."""


class ImportUnderWay(Refused):
    """This import is still under way. Cancel it, or wait for its end."""


class ImportUndoneAlready(Refused):
    """This import has been taken back, or is just being so."""


class ImportTooOld(Refused):
    """An import can be taken back for thirty days."""


class ImportedPatientUsed(Refused):
    """Something has come to be about this patient since."""


class ImportRowLost(Invalid):
    """This row is not kept any more. Send the file again."""


class ImportRun(State):
    kind: ClassVar[str] = "import_runs"
    started: bool = False
    cancelled: bool = False
    finished: bool = False
    undoing: bool = False
    undone: bool = False

    def evolve(self, event: ImportRunEvent) -> Self:
        match event:
            case ImportStarted():
                return replace(self, started=True)
            case ImportCancelled():
                return replace(self, cancelled=True)
            case ImportFinished():
                return replace(self, finished=True)
            case ImportUndoStarted():
                return replace(self, undoing=True)
            case ImportUndone():
                return replace(self, undone=True)

    def start(self, rows: int) -> list[Event]:
        return [] if self.started else [ImportStarted(rows=rows)]

    def ensure_going(self) -> None:
        """Refuse to take anybody in once it has been cancelled, or is over."""
        self._ensure_known()
        if self.cancelled or self.finished:
            raise ImportOver

    def cancel(self) -> list[Event]:
        """Stop it; of one that has ended meanwhile there is nothing to stop."""
        self._ensure_known()
        return [] if self.cancelled or self.finished else [ImportCancelled()]

    def finish(self, taken: Taken) -> list[Event]:
        self._ensure_known()
        return [] if self.finished else [ImportFinished(
            created=taken.created, changed=taken.changed, unchanged=taken.unchanged, duplicates=taken.duplicates, rejected=taken.rejected, left=taken.left)]

    def undo(self, ended_at: dt.datetime | None, now: dt.datetime) -> list[Event]:
        self._ensure_known()
        if not self.finished:
            raise ImportUnderWay
        if self.undoing:
            raise ImportUndoneAlready
        if ended_at is not None and now - ended_at > UNDONE_WITHIN:
            raise ImportTooOld
        return [ImportUndoStarted()]

    def ensure_undoing(self) -> None:
        if not self.undoing or self.undone:
            raise ImportOver

    def undone_with(self, back: TakenBack) -> list[Event]:
        self._ensure_known()
        return [ImportUndone(archived=back.archived, set_back=back.set_back, kept=back.kept)] if self.undoing and not self.undone else []

    @property
    def open(self) -> bool:
        """Is there anything left to be done in the background?"""
        return self.started and (not self.finished or (self.undoing and not self.undone))

    def _ensure_known(self) -> None:
        if not self.started:
            raise NotFound
