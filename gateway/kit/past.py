"""`asOf`: the query parameter that asks for what was."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter

from gateway.kit.call import Call
from gateway.kit.errors import QueryInvalid
from projections.kit.past import Moment, position_at
from projections.kit.reading import Reader

AS_OF = "asOf"
WORDS = "As it was at this position or instant (RFC 3339, with offset), under today's permissions."
AsOf = Annotated[str | None, QueryParameter(name=AS_OF, description=WORDS)]


def moment(text: str) -> Moment:
    """Return the position or instant that `asOf` names."""
    if text.isdigit() and len(text) <= 18:  # noqa: PLR2004 - what a bigint holds
        return int(text)
    try:
        found: datetime | None = msgspec.convert(text.replace(" ", "+"), datetime)  # a plus sign unescaped
    except msgspec.ValidationError:
        found = None
    if found is None or found.tzinfo is None:
        raise QueryInvalid(field=AS_OF, problem="Expected a position, or an instant with its offset such as 2026-03-02T08:30:00Z")
    return found


async def then(call: Call, text: str) -> tuple[Reader, int]:
    """Return the position that `asOf` means here, and the clinic's reader once it knows of everything up to there."""
    asked = moment(text)
    position = await position_at(await call.reader(), asked)
    return await call.services.reader(call.who.clinic, position), position
