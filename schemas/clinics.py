"""What may be seen of a clinic."""

from datetime import date, datetime
from typing import ClassVar, Literal

from msgspec import field

from domain.kit import Frozen, Id
from schemas.kit import Row


class BrandingAsset(Frozen):
    """A picture of the clinic's: the SHA-256 of the file, its type and its size in bytes."""

    digest: str
    media: str
    size: int


class ClinicRow(Row):
    """A clinic: its name, where its clocks stand, its currency and licence."""

    table: ClassVar[str] = "clinics"
    permission: ClassVar[str] = "superadmin"
    detail: ClassVar[str] = "admin"
    platform: ClassVar[bool] = True
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
    theme: str | None = None  # a colour
    country: str | None = None
    cancel_notice: int = 0  # hours before a visit from which on patients cannot cancel it by themselves
    logo: BrandingAsset | None = None
    favicon: BrandingAsset | None = None
    closing_until: datetime | None = None  # when it is deleted, if it is being closed
    taken: bool = False  # whether everything has been taken along since
    language: str | None = None  # in which it writes to people who have chosen none
    zone_changed_at: datetime | None = None
    clocks_set: bool = True  # whether all that is to come has followed to that zone


class CurrentClinic(ClinicRow):
    """A clinic that has not been deleted."""

    table: ClassVar[str] = "current_clinics"


class DeletedClinicRow(Row):
    """A clinic that has been deleted: which, when, by whom and why."""

    table: ClassVar[str] = "deleted_clinics"
    permission: ClassVar[str] = "superadmin"
    platform: ClassVar[bool] = True
    id: Id
    name: str
    reason: str
    deleted_at: datetime
    deleted_by: Id


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


class BrandingInfo(Frozen):
    """What a clinic looks like: its name, colour and pictures."""

    clinic: Id
    name: str
    theme: str | None
    logo_url: str | None
    favicon_url: str | None


class ActiveModules(Frozen):
    """The optional modules that work in a clinic: its plan reaches them and nobody has switched them off."""

    modules: list[str]


class ModuleStanding(Frozen):
    """An optional module, and whether it works in a clinic; if not, why."""

    module: str
    about: str
    plan: str  # the lowest that reaches it
    active: bool
    because: Literal["plan", "platform", "clinic"] | None  # what stands in the way


class ClinicModules(Frozen):
    """Every optional module, and whether it works in a clinic."""

    clinic: Id
    plan: str
    modules: list[ModuleStanding]


class OptionalModuleInfo(Frozen):
    """An optional module: the lowest plan that reaches it, and how the permission keys begin that it gates."""

    module: str
    about: str
    plan: str
    keys: str


class AvailableModules(Frozen):
    """The optional modules that there are."""

    items: list[OptionalModuleInfo]
