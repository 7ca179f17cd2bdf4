"""What may be seen of a form of the clinic's website."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen
from domain.lead_forms import FormSettings, TokenNumber
from schemas.kit import Row


class Standing(FormSettings):
    """A form as it stands."""

    id: UUID
    active: bool
    created_at: datetime
    rotated_at: datetime | None = None


class LeadFormRow(Standing, Row):
    """A form of the clinic's website: what it is called, where it stands, who is written to, and whether it is in use."""

    table: ClassVar[str] = "lead_forms"
    permission: ClassVar[str] = "leads.view"
    platform: ClassVar[bool] = True  # for a browser asks, before it says by which form, whether any may be sent from its page
    number: TokenNumber


class LeadFormShown(Standing):
    """A form with its token, for whoever may configure forms; null for everybody else."""

    token: str | None


class LeadForms(Frozen):
    """The forms of a clinic, by their labels."""

    items: list[LeadFormShown]
