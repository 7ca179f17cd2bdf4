"""Where lists of patients are taken in while others work: how far each is, what became of each row, how it is stopped, and how it is taken back.

How it works: the rows of a file that has been read and compared lie sealed until they are taken (`commands.kit.staging`); some of them together are one command, decided and stored among
other people's. Whichever gateway took the file begins at once; should it die, another one goes on within a minute or so. It goes no faster than the read models follow, or whoever reads what they
have just changed would wait behind the whole list.

What may go wrong: one row of a portion is refused, and with it the portion, since it is one save: then each of its rows is asked for by itself, and the one at fault is told.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import PathParameter

from commands.import_runs import (
    LISTS,
    ArchiveImported,
    CancelImport,
    FinishImport,
    FinishImportUndo,
    Imported,
    ImportedPatient,
    SetImportedBack,
    StartImport,
    TakeImported,
    UndoImport,
    uses,
)
from commands.kit import Command
from commands.kit.errors import NameTaken, StaleVersion
from commands.kit.handling import Receipt
from commands.kit.ids import derived, new_id
from commands.kit.naming import column_of
from commands.kit.receipt import house
from commands.kit.staging import Done, Staged
from domain.import_runs import (
    ImportOver,
    ImportRowLost,
    ImportRun,
    ImportTooOld,
    ImportUnderWay,
    ImportUndoneAlready,
)
from domain.kit import NotFound, Refused, only
from domain.patients import Demographics, ExternalIdTaken
from gateway.kit import Desk, act, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.errors import ReadBehind, code, sentence
from gateway.kit.query import no_query
from gateway.kit.services import Services
from projections.import_runs import preview, waiting
from projections.kit import PROJECTIONS
from projections.kit.past import pasts
from schemas.import_runs import ImportLineRow, ImportRunEntry, ImportRunRow, ImportUndoPreview
from schemas.imports import ImportProblem
from schemas.patients import MedicalHistoryRow, PatientRow

PORTION = 50  # rows of one save: some milliseconds of the writer's, which is everybody's
AT_ONCE = 4  # portions under way
AHEAD = 4  # rounds of these that the read models may be behind
PAGE = 1_000  # rows that are read at once
STAGED = 500  # rows that are put down at once
TOGETHER = 16  # patients who are taken back at once
SERVER = 500
ELSEWHERE_SECONDS = 0.2  # between looks at a run that another gateway has in hand
RunId = Annotated[UUID, PathParameter(description="Id of the import run.")]


async def staged(desk: kit.Desk, rows: Sequence[Staged]) -> Receipt:
    """Put a list's rows down and begin with them; the same request again is the same run."""
    services, clinic, key = desk.call.services, desk.who.clinic, desk.call.key
    run = derived(b"import run", clinic.bytes, desk.who.actor.bytes, key.encode()) if key else new_id()
    again = key is not None and await desk.known(ImportRun.kind, run)  # it may be another file that bears the key: then it is refused below
    for first in range(0, 0 if again else len(rows), STAGED):
        some = rows[first : first + STAGED]
        await services.handler.ensure_keys(clinic, {row.patient for row in some if row.patient is not None and row.body is not None})
        await services.staging.stage(clinic, run, some, services.handler.keys)
    return await desk.handle(StartImport(rows=len(rows)), run)


async def seen_to(services: Services, clinic: UUID, run: UUID) -> int:
    """Go on with a run until it is at its end, unless somebody else does; return the position of the last that was stored."""
    worker = new_id()
    if not await services.staging.lease(clinic, run, worker):
        return 0
    work = Work(services, clinic, run, worker)
    try:
        stream = await services.handler.streams.latest(ImportRun, run, clinic)
        state: Any = stream.state
        if state.undoing and not state.undone:
            await work.undo()
        elif state.started and not state.finished:
            await work.take()
    finally:
        with suppress(Refused):
            await services.staging.release(clinic, run, worker)
    return work.position


async def ended(services: Services, clinic: UUID, run: UUID) -> int:
    """Go on with a run until it is at its end, whoever else does; return the position of the last that was stored here."""
    position = 0
    while not (await services.handler.streams.latest(ImportRun, run, clinic)).state.finished:  # type: ignore[attr-defined]
        if not (stored := await seen_to(services, clinic, run)):
            await asyncio.sleep(ELSEWHERE_SECONDS)
        position = max(position, stored)
    return position


class Work:
    """One worker's work on one run."""

    def __init__(self, services: Services, clinic: UUID, run: UUID, worker: UUID) -> None:
        self.services = services
        self.staging = services.staging
        self.clinic = clinic
        self.run = run
        self.worker = worker
        self.who = house(run, clinic)  # until the run says who began it
        self.position = 0
        self.behind: deque[int] = deque(maxlen=AHEAD)
        self.followed = True

    async def take(self) -> None:
        """Take the rows that are left; then note the end."""
        await self._begun_by("started_by")
        await self.staging.recall(self.clinic, self.run)
        await self.staging.begin(self.clinic, self.run, back=False)
        after = 0
        while rows := await self._page(after):
            after = rows[-1].line
            portions = [rows[first : first + PORTION] for first in range(0, len(rows), PORTION)]
            for first in range(0, len(portions), AT_ONCE):
                if not await self.staging.lease(self.clinic, self.run, self.worker):
                    return None
                going = await asyncio.gather(*(self._portion(some) for some in portions[first : first + AT_ONCE]))
                if not all(going):
                    return await self._end()
                await self._followed()
        return await self._end()

    async def _page(self, after: int) -> list[Staged]:
        handler = self.services.handler
        return await self.staging.left(self.clinic, self.run, after, PAGE, handler.learn_keys, handler.keys)

    async def _portion(self, rows: Sequence[Staged]) -> bool:
        """Take some rows together; False if the run is not under way any more."""
        lost = [row for row in rows if row.body is None]
        for row in lost:
            await self._reject(row, ImportRowLost)
        kept = [row for row in rows if row.body is not None]
        if not kept:
            return True
        people = [patient_of(row) for row in kept]
        name = b"%d %d %d" % (kept[0].line, kept[-1].line, len(kept))
        try:
            await self._handle(TakeImported(people=people), self.run, derived(self.run.bytes, b"taken", name))
        except ImportOver:
            return False
        except Refused as refused:
            if refused.status >= SERVER:
                raise
            if len(kept) > 1:
                return all([await self._portion([row]) for row in kept])
            await self._reject(kept[0], ExternalIdTaken if isinstance(refused, NameTaken) else type(refused))
            return True
        finally:
            for one in people:  # a list of thousands must not drive out what others work with
                self.services.handler.streams.forget(one.patient_id)
        await self.staging.note(self.clinic, self.run, [row.line for row in kept])
        return True

    async def _reject(self, row: Staged, why: type[Refused]) -> None:
        problem = ImportProblem(line=row.line, column="", code=code(why), reason=sentence(why), patient_id=row.patient)
        await self.staging.reject(self.clinic, self.run, row.line, problem)

    async def _end(self) -> None:
        counts = await self.staging.counts(self.clinic, self.run)
        await self.staging.clear(self.clinic, self.run)
        names = ("created", "changed", "unchanged", "duplicates", "rejected", "left")
        await self._handle(FinishImport(**{name: counts.get(name, 0) for name in names}), self.run, derived(self.run.bytes, b"finished"))

    async def undo(self) -> None:
        """Take back whatever the run has done, patient by patient; then note what came of it."""
        await self._begun_by("undo_started_by")
        await self.staging.begin(self.clinic, self.run, back=True)
        after = 0
        while rows := await self.staging.to_undo(self.clinic, self.run, after, PAGE):
            after = rows[-1].line
            for first in range(0, len(rows), TOGETHER):
                if not await self.staging.lease(self.clinic, self.run, self.worker):
                    return
                some = rows[first : first + TOGETHER]
                before = await self._before(some)
                await asyncio.gather(*(self._take_back(row, before) for row in some))
                await self._followed()
        counts = await self.staging.undone_counts(self.clinic, self.run)
        back = {name: counts.get(said, 0) for name, said in (("archived", "archived"), ("set_back", "setBack"), ("kept", "kept"))}
        await self._handle(FinishImportUndo(**back), self.run, derived(self.run.bytes, b"undone"))

    async def _before(self, rows: Sequence[Done]) -> dict[UUID, Imported]:
        """Return what those were like whom the run has changed, before it did."""
        found: dict[UUID, Imported] = {}
        streams = self.services.handler.streams
        for row in rows:
            if row.first is None or row.fresh:
                continue
            was = await streams.row_at(row.patient, self.clinic, row.first - 1)
            if isinstance(was, PatientRow) and was.given_name is not None:
                lists = await self._lists_before(row) if row.listed else {}
                found[row.patient] = Imported(person=Demographics(**only(Demographics, was)), **lists)
        return found

    async def _lists_before(self, row: Done) -> dict[str, Any]:
        """Return the medical lists as they were."""
        assert row.first is not None
        position = await self.staging.position_of(self.clinic, row.patient, row.first - 1)
        found = await pasts(await self.services.reader(self.clinic), self.services.handler.keys, PROJECTIONS[MedicalHistoryRow.table], [row.patient], position)
        was: Any = found[row.patient].row if row.patient in found else None
        return {name: (getattr(was, name) if was else None) or [] for name in LISTS}

    async def _take_back(self, row: Done, before: dict[UUID, Imported]) -> None:
        """Take one row back, or note why not."""
        what, because = await self._taken_back(row, before)
        await self.staging.undone(self.clinic, self.run, row.line, what, because)

    async def _taken_back(self, row: Done, before: dict[UUID, Imported]) -> tuple[str, str | None]:
        if row.first is None or row.last is None:  # somebody else had done it all before
            return "kept", "NOT_BY_THIS_IMPORT"
        command: Command
        if row.fresh:
            command = ArchiveImported(run_id=self.run)
        elif row.patient in before:
            command = SetImportedBack(run_id=self.run, was=before[row.patient], listed=row.listed)
        else:
            return "kept", "PATIENT_ERASED"
        id_ = derived(self.run.bytes, b"taken back", row.patient.bytes)
        try:
            await self._handle(command, row.patient, id_, expect=row.last)
        except StaleVersion:
            if await self.services.handler.logged(id_) is None:
                return "kept", "PATIENT_CHANGED_SINCE"
        except Refused as refused:
            if refused.status >= SERVER:
                raise
            return "kept", code(type(refused))
        return "archived" if row.fresh else "setBack", None

    async def _handle(self, command: Command, stream: UUID, command_id: UUID, expect: int | None = None) -> None:
        """Have something decided as whoever began the run; what the run stores bears its id, but for what is taken back."""
        correlation = self.run if not isinstance(command, ArchiveImported | SetImportedBack) else derived(self.run.bytes, b"taking back")
        receipt = await self.services.handler.handle(command, self.who, id=stream, expect=expect, correlation=correlation, command_id=command_id)
        self.position = max(self.position, receipt.position)
        self.services.bus.hint(receipt.position)

    async def _begun_by(self, column: str) -> None:
        stream = await self.services.handler.streams.latest(ImportRun, self.run, self.clinic, row=True)
        self.who = house(getattr(stream.row, column), self.clinic)

    async def _followed(self) -> None:
        """Wait until the read models are not too far behind; if nobody maintains them just now, nobody waits for them either."""
        if len(self.behind) == AHEAD and self.followed:
            try:
                await self.services.reader(self.clinic, self.behind[0])
            except ReadBehind:
                self.followed = False
        self.behind.append(self.position)


def patient_of(row: Staged) -> ImportedPatient:
    """Return what a row says, and of whom."""
    assert row.patient is not None
    assert row.body is not None
    said = msgspec.json.decode(row.body, type=Imported)
    return ImportedPatient(**only(Imported, said), patient_id=row.patient, returns=row.returns)


@get("/{id:uuid}/undo", operation_id="PreviewImportUndo", summary="Show: what taking an import back would do", opt={"permission": UndoImport.permission, "refusals": [NotFound]})
async def rehearsed(desk: Desk, id: RunId) -> ImportUndoPreview:  # noqa: A002
    """As things stand, by counts; nothing is changed."""
    no_query(desk.call.query())
    if not await desk.known(ImportRun.kind, id):
        raise NotFound(kind=ImportRun.kind, id=str(id))
    found = await preview(desk.reader, id, {kind: column_of(kind) for kind in uses()})
    return ImportUndoPreview(run_id=id, archived=found.get("archived", 0), set_back=found.get("setBack", 0), kept=found.get("kept", 0))


@post("/{id:uuid}/undo", operation_id="UndoImport", summary="Take an import back", status_code=200, opt={
    "permission": UndoImport.permission, "refusals": [NotFound, ImportUnderWay, ImportUndoneAlready, ImportTooOld]})
async def undo(desk: Desk, id: RunId) -> Response[ImportRunRow]:  # noqa: A002
    """Whom it registered is archived, whom it changed is as before; it goes on in the background, and each row says what became of it.

    A patient about whom anything has come to be since (a visit, a bill, a note), or whom somebody has changed, is left as they are. It can be done for thirty days.
    Whoever it archives comes back with the next import that names them.
    """
    no_query(desk.call.query())
    receipt = await desk.handle(UndoImport(), id)
    services = desk.call.services
    services.later(seen_to(services, desk.who.clinic, id))
    return desk.answer(UndoImport, receipt)


async def tend(services: Services) -> None:
    """Go on with whatever was left by a gateway that is gone, and let go of what is old."""
    for one in await waiting(services.reading.lanes, AT_ONCE):
        services.later(seen_to(services, one.clinic, one.run))
    await services.staging.sweep()


router = Router("/api/v1/protected/import-runs", tags=["Patients"], route_handlers=[
    browse("/", ImportRunEntry, by=["status", "started_at.."], sort="-started_at"),
    fetch("/{id:uuid}", ImportRunEntry),
    browse("/lines", ImportLineRow, by=["run_id", "step", "done", "undone", "code"], sort="line", csv=True),
    act("/{id:uuid}/cancel", CancelImport),
    rehearsed,
    undo,
])
