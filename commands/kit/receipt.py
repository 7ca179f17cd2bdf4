"""Who asks for a change, and what he is told about it."""

from uuid import UUID

from domain.kit import PLATFORM, Forbidden, Frozen
from schemas.kit import Row

STANDING = frozenset({"public", "self"})
PSEUDO = {
    "nobody": frozenset({"public"}), "superadmin": STANDING | {"admin", "superadmin"}, "admin": STANDING | {"admin"},
    "doctor": STANDING, "receptionist": STANDING, "patient": STANDING, "key": frozenset({"public"}),
}
"""What follows from a role alone: `public` needs nobody signed in, `self` is one's own affairs, `admin` the clinic's, `superadmin` the platform's."""


class Who(Frozen):
    """Who asks, in which clinic, and what they may do: keys of the table, and pseudo keys (`PSEUDO`) that follow from being who one is."""

    actor: UUID
    clinic: UUID
    role: str
    grants: frozenset[str]
    subject: UUID | None = None  # the staff member or patient the actor is
    session: UUID | None = None

    def may(self, permission: str) -> bool:
        """Say whether they hold a permission: a key of the table, or a pseudo key."""
        return permission in self.grants or permission in PSEUDO.get(self.role, ())


NOBODY = Who(actor=PLATFORM, clinic=PLATFORM, role="nobody", grants=frozenset({"public"}))
"""Whoever comes in from the street: may do what is public, and acts as the platform."""


def own_column(row: type[Row], who: Who) -> str | None:
    """Return the column that must hold the reader's own id, if he sees his own rows only."""
    column = row.own.get(who.role)
    if column is None:
        if who.role == "patient":
            raise Forbidden(permission=row.permission)
        return None
    if row.widened.get(who.role) in who.grants:
        return None
    if who.subject is None:
        raise Forbidden(permission=row.permission)
    return column


class Receipt(Frozen):
    """What a command did: where it was written, and the row as it is after it."""

    id: UUID
    version: int
    position: int
    row: Row | None = None
    replayed: bool = False
    touched: frozenset[str] = frozenset()  # the kinds of all that was written on
