"""What may be seen of a clinic."""

from typing import ClassVar

from domain.kit import Id
from schemas.kit import Row


class ClinicRow(Row):
    """A clinic: its name, where its clocks stand, its currency and plan."""

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
