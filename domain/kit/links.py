"""Links by which somebody without an account comes to one thing: the thing's stream counts them, so whatever ends a link is an event."""

from uuid import UUID, uuid5


def link_of(stream: UUID, number: int) -> UUID:
    """Return the id under which the tokens of a stream's link of that number are kept; one that is given after another died has its own."""
    return uuid5(stream, f"link/{number}")
