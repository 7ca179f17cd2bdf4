"""Who asks for a change, and what he is told about it."""

from typing import Any
from uuid import UUID

from domain.kit import PLATFORM, Forbidden, Frozen
from domain.kit.grants import refusal
from schemas.kit import Row

STANDING = frozenset({"public", "self"})
PSEUDO = {
    "nobody": frozenset({"public"}), "superadmin": STANDING | {"admin", "superadmin"}, "admin": STANDING | {"admin"},
    "doctor": STANDING, "receptionist": STANDING, "patient": STANDING, "key": frozenset({"public"}), "house": frozenset({"public", "house"}),
}
"""What follows from a role alone: `public` needs nobody signed in, `self` is one's own affairs, `admin` the clinic's, `superadmin` the platform's.
`house` is what the program does for somebody after it has looked at his proofs; no address leads there."""


class Who(Frozen):
    """Who asks, in which clinic, and what they may do: keys of the table, and pseudo keys (`PSEUDO`) that follow from being who one is."""

    actor: UUID
    clinic: UUID
    role: str
    grants: frozenset[str]
    subject: UUID | None = None  # the staff member or patient the actor is
    session: UUID | None = None
    behalf: UUID | None = None  # whose account it is, where another person acts in it
    client: str | None = None
    plan: Any = "Pro"  # of the clinic
    off: frozenset[str] = frozenset()  # modules that the clinic has switched off
    lapsed: bool = False  # whether the clinic's subscription has run out
    closing: bool = False  # whether the clinic is being closed

    def refusal(self, permission: str) -> Forbidden:
        """Return how they are refused who lack a permission: the module, the plan, or just nobody's word."""
        role: Any = self.role
        return refusal(permission, role, self.plan, self.off)

    @property
    def account(self) -> UUID:
        """Whose account it is."""
        return self.behalf or self.actor

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


def house(actor: UUID, clinic: UUID = PLATFORM) -> Who:
    """Return the program itself, on somebody's behalf whose proofs it has looked at."""
    return Who(actor=actor, clinic=clinic, role="house", grants=frozenset())


PLATFORMER = Who(actor=PLATFORM, clinic=PLATFORM, role="superadmin", grants=frozenset())
"""The installation itself: what its operator does at the command line."""


class Receipt(Frozen):
    """What a command did: where it was written, and the row as it is after it."""

    id: UUID
    version: int
    position: int
    row: Row | None = None
    replayed: bool = False
    touched: frozenset[str] = frozenset()  # the kinds of all that was written on, and the events
