"""Referral sources: whom and what a clinic hears of new patients from, each with a link by which somebody can say that they would like to come."""

from typing import Annotated, ClassVar, Self

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Claim,
    Email,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    Personal,
    Phone,
    Refused,
    State,
    Text,
    UniqueClaim,
    only,
)
from domain.kit.sources import Source

ReferralKind = Annotated[Source, Meta(description="How patients who come by it are counted in figures.")]
NameKey = Annotated[str, Meta(
    pattern=r"^[0-9a-f]{32}$", description="A keyed hash of the name; it names it without telling it.", examples=["5d41402abc4b2a76b9719d911017c592"])]
LinkNumber = Annotated[int, Meta(ge=1, description="Which of its links: the first, the second, ...")]
ContactAddress = Annotated[str, Meta(max_length=500)]


class Counting(Frozen):
    """What sort of source it is, and whether it is in use."""

    kind: ReferralKind
    active: bool = True


class Particulars(Counting):
    """Who or what it is, and how to reach them; all of it may be about a person, and is gone once their key is destroyed."""

    name: Annotated[Text | None, Personal()] = None
    contact: Annotated[Text | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    address: Annotated[ContactAddress | None, Personal()] = None
    notes: Annotated[Note | None, Personal()] = None


class ReferralSourceAdded(Event, Particulars):
    name_key: NameKey


class ReferralSourceChanged(Event, Particulars):
    name_key: NameKey


class ReferralSourceDeleted(Event): ...


class ReferralLinkMade(Event):
    """Its link is this one from now on; the one before leads nowhere."""

    number: LinkNumber


class ReferralLinkWithdrawn(Event):
    number: LinkNumber


ReferralEvent = ReferralSourceAdded | ReferralSourceChanged | ReferralSourceDeleted | ReferralLinkMade | ReferralLinkWithdrawn


class ReferralNeedsName(Invalid):
    """A referral source has a name."""


class ReferralNotInUse(Refused):
    """This referral source is not in use. Use it again first."""


class ReferralLinkMissing(Refused):
    """This referral source has no link. Make one."""


class ReferralLinkGone(NotFound):
    """This link leads nowhere, or not any more. Ask whoever gave it to you for another."""


class ReferralSource(State):
    """A source of patients; `link` is the number of its link, if it has one."""

    kind: ClassVar[str] = "referrals"
    counting: Counting | None = None
    name_key: str = ""
    deleted: bool = False
    links: int = 0
    link: int | None = None

    def evolve(self, event: ReferralEvent) -> Self:
        match event:
            case ReferralSourceAdded(name_key=key) | ReferralSourceChanged(name_key=key):
                return replace(self, counting=Counting(**only(Counting, event)), name_key=key)
            case ReferralSourceDeleted():
                return replace(self, deleted=True, link=None)
            case ReferralLinkMade(number=number):
                return replace(self, links=number, link=number)
            case ReferralLinkWithdrawn():
                return replace(self, link=None)

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written."""
        return frozenset({UniqueClaim(scope="referrals.name", key=self.name_key)} if self.known else ())

    @property
    def known(self) -> bool:
        """Is it one of the clinic's sources?"""
        return self.counting is not None and not self.deleted

    @property
    def active(self) -> bool:
        """Is it in use?"""
        return self.counting is not None and self.counting.active and not self.deleted

    @property
    def source(self) -> Source:
        """How patients who come by it are counted."""
        return self.counting.kind if self.counting else "other"

    def add(self, said: Particulars, key: str) -> list[Event]:
        ensure_named(said)
        return [ReferralSourceAdded(**only(Particulars, said), name_key=key)]

    def change(self, said: Particulars, key: str) -> list[Event]:
        self.ensure_known()
        ensure_named(said)
        return [ReferralSourceChanged(**only(Particulars, said), name_key=key)]

    def delete(self) -> list[Event]:
        self.ensure_known()
        return [ReferralSourceDeleted()]

    def make_link(self) -> list[Event]:
        self.ensure_known()
        if not self.active:
            raise ReferralNotInUse
        return [ReferralLinkMade(number=self.links + 1)]

    def withdraw_link(self) -> list[Event]:
        self.ensure_known()
        if self.link is None:
            raise ReferralLinkMissing
        return [ReferralLinkWithdrawn(number=self.link)]

    def ensure_known(self) -> None:
        if not self.known:
            raise NotFound

    def ensure_open(self, number: int) -> None:
        """Refuse a link that does not count any more."""
        if not self.active or self.link != number:
            raise ReferralLinkGone


def ensure_named(said: Particulars) -> None:
    if not (said.name or "").strip():
        raise ReferralNeedsName
