"""What may be seen of a member of staff."""

from typing import Annotated, ClassVar, Literal

from domain.kit import Id, Personal
from schemas.kit import Row


class StaffRow(Row):
    """A member of staff."""

    table: ClassVar[str] = "staff"
    permission: ClassVar[str] = "settings.staff.view"
    id: Id
    name: Annotated[str | None, Personal()]
    email: Annotated[str | None, Personal()]
    phone: Annotated[str | None, Personal()]
    role: Literal["admin", "doctor", "receptionist"]
    speciality: str | None
    colour: str | None
    active: bool
