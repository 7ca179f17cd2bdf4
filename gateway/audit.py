"""Where the audit log lives on the web."""

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.params import PathParameter, QueryParameter

from commands.kit.evidence import verifier
from domain.kit import Forbidden, NotFound
from gateway.kit import Desk, browse
from gateway.kit.query import no_query
from projections.audit import log, looks_at, signed_heads, wish_head
from projections.kit.reading import CursorInvalid
from schemas.audit import AuditPage, AuditRow, ChartLookRow, ChartLooks, DeniedRequestRow, SignedHeads

PatientId = Annotated[UUID, PathParameter(description="Id of the patient.")]
Before = Annotated[datetime | None, QueryParameter(name="before", description="The `next` of the page before.")]
KNOWN = ("user", "action", "entityType", "entityId", "correlationId", "date", "from", "to", "limit", "cursor")
User = Annotated[UUID | None, QueryParameter(name="user", description="Only what this user did.")]
Action = Annotated[str | None, QueryParameter(name="action", description="Only events of this name, such as InvoiceIssued.")]
EntityType = Annotated[str | None, QueryParameter(name="entityType", description="Only this kind of thing, such as invoices.")]
EntityId = Annotated[UUID | None, QueryParameter(name="entityId", description="Only this one thing.")]
Correlation = Annotated[UUID | None, QueryParameter(name="correlationId", description="Only what one request caused.")]
On = Annotated[date | None, QueryParameter(name="date", description="Only this day of the clinic.")]
From = Annotated[date | None, QueryParameter(name="from", description="From this day of the clinic on.")]
To = Annotated[date | None, QueryParameter(name="to", description="Up to this day of the clinic, included.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=200)]
Cursor = Annotated[str | None, QueryParameter(name="cursor", description="The `next` of the page before.")]


@get("/", operation_id="BrowseAuditLog", opt={"permission": AuditRow.permission, "refusals": [CursorInvalid]})
async def browsed(
    desk: Desk, user: User = None, action: Action = None, entity_type: EntityType = None, entity_id: EntityId = None, correlation: Correlation = None, on: On = None,
    since: From = None, until: To = None, limit: Limit = 50, cursor: Cursor = None,
) -> AuditPage:
    """List: who did what, and when.

    Every event of the clinic, the latest first, each with the hash and the MAC that prove it.
    """
    no_query(desk.call.query(), KNOWN)
    equals = {"actor": user, "action": action, "entity_type": entity_type, "entity_id": entity_id, "correlation_id": correlation}
    zone = (await desk.clinic()).zone
    return await log(desk.reader, equals, since=on or since, until=on or until, zone=zone, limit=limit, cursor=cursor)


@get("/heads", operation_id="ListSignedHeads", opt={"permission": AuditRow.permission})
async def heads(desk: Desk) -> SignedHeads:
    """List: the signed heads of the clinic's history.

    A head says how many events there were and the hash of the last; it is signed (Ed25519) once everything before has been checked. Keep them elsewhere: no history that
    was changed afterwards fits them. The newest hundred, the latest first.
    """
    no_query(desk.call.query())
    return await signed_heads(desk.reader)


@get("/verifier", operation_id="GetVerifier", media_type="text/x-python", opt={"permission": AuditRow.permission, "media": "text/x-python"})
async def script(desk: Desk) -> bytes:
    """Read the script that checks an auditor's export: plain Python, nothing of ours. Whoever has it from here need not take the one in the export."""
    no_query(desk.call.query())
    return verifier()


@post("/heads", operation_id="WishSignedHead", status_code=204, opt={"permission": AuditRow.permission})
async def wish(desk: Desk) -> None:
    """Have the clinic's history checked and its head signed now, instead of within a minute; it is in the list about a second later."""
    desk.require(AuditRow.permission)
    await wish_head(desk.reader)


@get("/{id:uuid}/access-log", operation_id="ListChartLooks", opt={"refusals": [NotFound, Forbidden]})
async def looks(desk: Desk, id: PatientId, limit: Limit = 50, before: Before = None) -> ChartLooks:  # noqa: A002
    """List: who has looked at a patient's chart, and when.

    For the patient themself, and for whoever may read the audit log.
    """
    no_query(desk.call.query(), ("limit", "before"))
    if desk.who.role != "patient" or desk.who.subject != id:
        desk.require(AuditRow.permission)
    if not await desk.known("patients", id):
        raise NotFound(kind="patients", id=str(id))
    return await looks_at(desk.reader, id, before or datetime.now(UTC), limit)


LOGS = Router("/audit-logs", route_handlers=[
    browsed, heads, script, wish,
    browse("/reads", ChartLookRow, by=["patient", "actor", "emergency", "at.."], sort="-at"),
    browse("/denied", DeniedRequestRow, by=["actor", "code", "at.."], sort="-at"),
])
router = Router("/api/v1/protected", tags=["Audit"], route_handlers=[LOGS, Router("/patients", route_handlers=[looks])])
