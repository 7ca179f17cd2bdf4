"""Answers of the command side that are not a business rule's."""

from domain.kit import Refused


class TimeTaken(Refused):
    """Somebody or something needed for this is already taken at that time. Choose another time, or overbook if you may."""


class NameTaken(Refused):
    """Another one already has that name or key. Choose a different one."""


class StaleVersion(Refused):
    """It has changed since you read it. Read it again and send its ETag as If-Match."""

    status = 412


class KeyReused(Refused):
    """This Idempotency-Key was already used for a different request. Use a fresh key for each new request."""

    status = 422


class Contended(Refused):
    """Too many changes to the same thing at once. Nothing was changed; try again."""


class Erased(Refused):
    """This person's data has been erased and cannot be written again."""

    status = 410


class Unavailable(Refused):
    """The change could not be stored durably just now. Nothing is lost; send it again with the same Idempotency-Key."""

    status = 503


class RateLimited(Refused):
    """Too many requests. Wait for the seconds given in `details`, then go on."""

    status = 429
