"""Where absences live on the web: the visits that stand in them are settled all at once, tried first, and brought back."""

from collections import Counter
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from commands.absences import SettleAbsence, UndoAbsence
from commands.kit import Command
from commands.kit.ids import new_id
from domain.absences import (
    AbsenceSettledAlready,
    AbsenceUnnamed,
    AbsentVisit,
    NothingToUndo,
    TooManyVisits,
    VisitNotInAbsence,
    VisitsRefused,
    WayContradictory,
    WaysUnnamed,
)
from domain.appointments import TimeTooFar
from domain.kit import Forbidden
from gateway.kit import Desk, browse, fetch
from gateway.kit import desk as kit
from gateway.kit.document import refusals_of
from gateway.kit.query import no_query
from gateway.recurrences import reason
from schemas.absences import AbsenceAnswer, AbsenceRow, AbsentVisitAnswer

DryRun = Annotated[bool, QueryParameter(name="dryRun", description="Say what would come of it, and do nothing.")]
AbsenceId = Annotated[UUID, PathParameter(description="Id of the absence.")]


@post("/", operation_id="SettleAbsence", status_code=200, opt={"permission": SettleAbsence.permission, "refusals": [
    *refusals_of(SettleAbsence), AbsenceUnnamed, WaysUnnamed, WayContradictory, VisitNotInAbsence, AbsenceSettledAlready, TooManyVisits, TimeTooFar, VisitsRefused, Forbidden]})
async def settle(desk: Desk, data: JSONBody[SettleAbsence], dry_run: DryRun = False) -> Response[AbsenceAnswer]:
    """Settle what stands in a doctor's or a room's blocked time, or on a day that is not worked any more: move, hand over, cancel or leave each visit, all at once.

    Group sessions are told (`groups`) and stay: each is moved or cancelled by itself, with all who take part. One rule for all, or ways for each visit; ways are tried in order until one can be had. Each visit stays the one it is, with its history; patients who were written about
    it are told as of a single change. With mode `each` the answer says of every visit what came of it. To cancel takes `appointments.change_status`
    as well, to hand over `appointments.view_all_doctors`.
    """
    return await asked(desk, data, None, dry_run=dry_run)


@post("/{id:uuid}/undo", operation_id="UndoAbsence", status_code=200, opt={
    "permission": UndoAbsence.permission, "refusals": [*refusals_of(UndoAbsence), NothingToUndo, VisitsRefused]})
async def undo(desk: Desk, id: AbsenceId, data: JSONBody[UndoAbsence], dry_run: DryRun = False) -> Response[AbsenceAnswer]:  # noqa: A002
    """Bring back what was moved or handed over, to where it was: whoever was away is there after all. Give the blocked time free first.

    What has been moved again since, or is not to come any more, is left and said so; what was cancelled stays cancelled.
    """
    return await asked(desk, data, id, dry_run=dry_run)


async def asked(desk: kit.Desk, command: Command, absence: UUID | None, *, dry_run: bool) -> Response[AbsenceAnswer]:
    """Have an absence settled or undone, or say what would come of it."""
    no_query(desk.call.query(), ("dryRun",))
    if dry_run:
        event: Any = next(iter(await desk.rehearse(command, absence or new_id())), None)
        return Response(answer(desk, absence, event.visits, event.groups, dry_run=True))
    receipt = await desk.insist(command, absence)
    row: Any = receipt.row
    headers = {"etag": f'"{receipt.version}"', "x-position": str(receipt.position)}
    if receipt.replayed:
        headers["idempotency-replayed"] = "true"
    return Response(answer(desk, receipt.id, row.latest, row.groups, dry_run=False), headers=headers)


def answer(desk: kit.Desk, absence: UUID | None, visits: list[AbsentVisit], groups: list[UUID], *, dry_run: bool) -> AbsenceAnswer:
    count = Counter(one.outcome for one in visits)
    return AbsenceAnswer(
        id=absence, dry_run=dry_run, moved=count["moved"], handed_over=count["handed-over"], cancelled=count["cancelled"], left=count["left"], refused=count["refused"], groups=groups,
        items=[AbsentVisitAnswer(
            appointment_id=one.appointment_id, outcome=one.outcome, was=one.was, now=one.now, code=one.code,
            reason=reason(one.code, desk.call.language) if one.code else None) for one in visits])


router = Router("/api/v1/protected/appointments/absences", tags=["Scheduling"], route_handlers=[
    browse("/", AbsenceRow, by=["block_id", "doctor_id", "room_id", "date.."], sort="-settled_at"),
    fetch("/{id:uuid}", AbsenceRow),
    settle,
    undo,
])
