"""Where the letters that were sent live on the web."""

from litestar import Router

from commands.letters import ResendLetter
from gateway.kit import act, browse, fetch
from schemas.letters import LetterRow, PlatformLetterRow

BY = ["status", "template", "recipient", "queued_at.."]
clinics = Router("/api/v1/protected/letters", tags=["Letters"], route_handlers=[
    browse("/", LetterRow, by=BY, sort="-queued_at"),
    fetch("/{id:uuid}", LetterRow),
    act("/{letter}/resend", ResendLetter),
])
platform = Router("/api/v1/protected/superadmin/letters", tags=["Letters"], route_handlers=[
    browse("/", PlatformLetterRow, by=[*BY, "clinic"], sort="-queued_at"),
    fetch("/{id:uuid}", PlatformLetterRow),
])
router = Router("/", route_handlers=[clinics, platform])
