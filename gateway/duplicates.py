"""Where a clinic looks for records that are one person's, and says of which that they are not."""

from time import monotonic
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from commands.duplicates import DismissDuplicate, ReopenDuplicate
from gateway.kit import Desk, act, browse
from gateway.kit.query import no_query
from projections.duplicates import pairs
from projections.kit.reading import CursorInvalid
from schemas.duplicates import DuplicatePairs, DuplicateRow
from schemas.patients import Grade

Least = Annotated[Grade, QueryParameter(name="grade", description="How sure it is at least: `possible` also lists those who only share a telephone or an e-mail address, as families do.")]
Most = Annotated[int, QueryParameter(name="limit", ge=1, le=200)]
Cursor = Annotated[str | None, QueryParameter(name="cursor", description="The `next` of the page before.", max_length=500)]


@get("/", operation_id="ListDuplicates", summary="List: records that may be one person's", opt={
    "permission": DuplicateRow.permission, "refusals": [CursorInvalid]})
async def alike(desk: Desk, grade: Least = "likely", limit: Most = 50, cursor: Cursor = None) -> DuplicatePairs:
    """Of all patients who are not archived, each pair by what agrees: papers, e-mail, telephone or day of birth with a name that is the same or nearly so; the surest first.

    Merge the two (`/patients/{id}/merge`), or say that they are two people's: then they are listed no more.
    """
    no_query(desk.call.query(), ("grade", "limit", "cursor"))
    return await pairs(desk.reader, grade, limit, cursor, monotonic())


router = Router("/api/v1/protected/patients/duplicates", tags=["Patients"], route_handlers=[
    alike,
    browse("/dismissed", DuplicateRow, by=["patient_id", "other_id", "said_at.."], sort="-said_at", only={"dismissed": True}),
    act("/dismiss", DismissDuplicate),
    act("/reopen", ReopenDuplicate),
])
