"""Files that are sent: in a form, or as the body itself. A body is bounded before it comes here (`gateway.kit.call`)."""

from io import BytesIO

from multipart import MultipartError, MultipartParser, parse_options_header  # type: ignore[import-untyped]

from gateway.kit.call import BODY_LIMIT, Call
from gateway.kit.errors import BodyInvalid, BodyUnexpected

PARTS = 8


async def received(call: Call, media: str | tuple[str, ...], most: int = BODY_LIMIT) -> tuple[dict[str, str], bytes]:
    """Return the fields of a form and its `file`; or no fields and the body, if its type begins with `media`, or one of these. It has at most so many bytes."""
    body = await call.body(most)
    told, options = parse_options_header(call.headers.get(b"content-type", b"").decode("latin-1"))
    if told == "multipart/form-data":
        return _form(body, options.get("boundary", ""))
    if not told.startswith(media):
        raise BodyUnexpected(got=told)
    return {}, body


def _form(body: bytes, boundary: str) -> tuple[dict[str, str], bytes]:
    try:
        parser = MultipartParser(BytesIO(body), boundary, content_length=len(body), part_limit=PARTS, spool_limit=max(len(body), 1), memory_limit=max(len(body), 1))
        parts = {part.name: part.raw for part in parser}
    except (MultipartError, ValueError):
        raise BodyInvalid(problem="It is no form that can be read") from None
    if "file" not in parts:
        raise BodyInvalid(field="file", problem="Expected a file")
    return {name: value.decode("utf-8", "replace") for name, value in parts.items() if name != "file"}, parts["file"]
