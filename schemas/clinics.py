"""What may be seen of a clinic."""

from datetime import date
from typing import ClassVar

from msgspec import field

from domain.kit import Frozen, Id
from schemas.kit import Row


class ClinicRow(Row):
    """A clinic: its name, where its clocks stand, its currency and licence."""

    table: ClassVar[str] = "clinics"
    permission: ClassVar[str] = "superadmin"
    detail: ClassVar[str] = "settings.branding.view"
    id: Id
    name: str
    address: str
    phone: str
    email: str
    zone: str
    currency: str
    plan: str
    users: int | None = None  # the licence's limits
    doctors: int | None = None
    until: date | None = None
    trial: bool = False
    withheld: list[str] = field(default_factory=list)  # modules switched off by the platform
    unwanted: list[str] = field(default_factory=list)  # modules switched off by the clinic itself
    active: bool = True
    deleted: bool = False


class ClinicContext(Frozen):
    """The clinic you are working in, and the optional modules that work there."""

    id: Id
    name: str
    address: str
    phone: str
    email: str
    zone: str
    currency: str
    plan: str
    until: date | None
    trial: bool
    modules: list[str]


class ActiveModules(Frozen):
    """The optional modules that work in a clinic: its plan reaches them and nobody has switched them off."""

    modules: list[str]
