"""What may be seen of a referral source."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.kit import Frozen
from domain.referrals import Particulars
from schemas.kit import Row, computed, fold
from schemas.kit.row import Computed


class ReferralRow(Particulars, Row):
    """Somebody or something that the clinic hears of new patients from. `link` is the number of its link, if it has one."""

    table: ClassVar[str] = "referrals"
    permission: ClassVar[str] = "settings.referrals.view"
    id: UUID
    added_at: datetime
    link: int | None = None
    deleted: bool = False

    hidden: ClassVar[dict[str, Computed]] = {"sort_name": computed("text", lambda row: fold(row.name or ""), null=False)}
    indexes: ClassVar[tuple[str, ...]] = ("sort_name, id",)


class ReferralEntry(ReferralRow):
    """A referral source, with how many have said by its link that they would like to come, and how many of them are patients by now."""

    table: ClassVar[str] = "referral_entries"
    leads: int
    converted: int


class ReferralLink(Frozen):
    """The link of a referral source: its number, its token, and an address that can be handed out."""

    id: UUID
    number: int
    token: str
    url: str
