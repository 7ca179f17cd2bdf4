"""Upgrades: a clinic asks for a higher plan or more seats, perhaps because it was invited to, and the platform decides."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Claim,
    Event,
    Frozen,
    Invalid,
    Money,
    Note,
    NotFound,
    Personal,
    Reason,
    Ref,
    Refused,
    State,
    UniqueClaim,
    only,
)
from domain.kit.letters import letter
from domain.kit.licences import Licence, Plan, SeatCount
from domain.kit.prices import CurrencyCode, Interval

About = Literal["plan", "seats"]
UpgradeRequestId = Annotated[UUID, Ref("upgrade_requests")]
UpgradeInviteId = Annotated[UUID, Ref("upgrade_invites")]
Expiry = Annotated[datetime, Meta(tz=True)]


class Wish(Frozen):
    """What a clinic would like to have; what is left out stays as it is."""

    plan: Plan | None = None
    users: SeatCount | None = None
    doctors: SeatCount | None = None


class Pricing(Frozen):
    """What it would cost."""

    price: Money
    currency: CurrencyCode
    interval: Interval = "month"


class UpgradeRequested(Event, Wish):
    about: About
    note: Annotated[Note | None, Personal()] = None
    contact: Annotated[str | None, Personal()] = None  # who asked from an invitation, without signing in
    invite_id: UpgradeInviteId | None = None


class UpgradeRequestChanged(Event, Wish):
    note: Annotated[Note | None, Personal()] = None


class UpgradeRequestWithdrawn(Event): ...


class UpgradeRequestApproved(Event):
    licence: Licence
    reason: Reason | None = None


class UpgradeRequestRejected(Event):
    reason: Reason


class UpgradeOffered(Event, Wish):
    pricing: Pricing | None = None
    message: Note | None = None
    expires_at: Expiry


class UpgradeOfferTaken(Event):
    request_id: UpgradeRequestId


class UpgradeOfferWithdrawn(Event): ...


UpgradeRequestEvent = UpgradeRequested | UpgradeRequestChanged | UpgradeRequestWithdrawn | UpgradeRequestApproved | UpgradeRequestRejected
UpgradeInviteEvent = UpgradeOffered | UpgradeOfferTaken | UpgradeOfferWithdrawn


UPGRADE_APPROVED = letter(
    "billing.upgrade-approved", "Tells a clinic that what it asked for is approved.", {"plan": "Pro+"},
    en=("Your upgrade is approved", """
Dear {{name}},

What you asked for is approved: {{clinic}} has the plan {{plan}} with the seats you wanted, from now on. See {{url}}/billing
"""),
    es=("Su mejora está aprobada", """
Hola, {{name}}:

Lo que solicitó está aprobado: {{clinic}} tiene el plan {{plan}} con las plazas que quería, desde ahora. Véalo en {{url}}/billing
"""),
)
UPGRADE_REJECTED = letter(
    "billing.upgrade-rejected", "Tells a clinic why what it asked for was rejected.", {"reason": "Let us talk first"},
    en=("Your request for an upgrade", """
Dear {{name}},

We cannot fulfil your request for {{clinic}} just now: {{reason}}
"""),
    es=("Su solicitud de mejora", """
Hola, {{name}}:

No podemos atender ahora su solicitud para {{clinic}}: {{reason}}
"""),
)


class NothingWished(Invalid):
    """Say what you would like: a plan, or a number of users or doctors."""


class UpgradeRequestPending(Refused):
    """A request of this sort is open already. Change or withdraw that one, or wait for its decision."""


class UpgradeRequestSettled(Refused):
    """This request has been decided or withdrawn. Make a new one."""


class ReasonMissing(Invalid):
    """Say why the request is rejected; the clinic reads it."""


class UpgradeOfferGone(NotFound):
    """This invitation is unknown, was withdrawn or has expired. Ask whoever sent it for another."""


class UpgradeOfferUsed(Refused):
    """This invitation has been answered already. The request is being looked at."""


class UpgradeRequest(State):
    """A clinic's wish for more; one of each sort can be open at a time."""

    kind: ClassVar[str] = "upgrade_requests"
    stage: Literal["none", "pending", "withdrawn", "approved", "rejected"] = "none"
    about: About = "plan"
    wish: Wish = Wish()

    def evolve(self, event: UpgradeRequestEvent) -> Self:
        match event:
            case UpgradeRequested(about=about):
                return replace(self, stage="pending", about=about, wish=Wish(**only(Wish, event)))
            case UpgradeRequestChanged():
                return replace(self, wish=Wish(**only(Wish, event)))
            case UpgradeRequestWithdrawn():
                return replace(self, stage="withdrawn")
            case UpgradeRequestApproved():
                return replace(self, stage="approved")
            case UpgradeRequestRejected():
                return replace(self, stage="rejected")

    def claims(self) -> frozenset[Claim]:
        """While it is open, its sort: what a look at the open ones misses, this refuses."""
        return frozenset({UniqueClaim(scope="upgrade_requests.pending", key=self.about)} if self.stage == "pending" else ())

    def ask(self, about: About, wish: Wish, note: str | None, contact: str | None = None, invite: UUID | None = None, *, open_already: bool) -> list[Event]:
        ensure_wished(wish)
        if open_already:
            raise UpgradeRequestPending
        return [UpgradeRequested(**only(Wish, wish), about=about, note=note, contact=contact, invite_id=invite)]

    def change(self, wish: Wish, note: str | None) -> list[Event]:
        self.ensure_pending()
        ensure_wished(wish)
        return [UpgradeRequestChanged(**only(Wish, wish), note=note)]

    def withdraw(self) -> list[Event]:
        self.ensure_pending()
        return [UpgradeRequestWithdrawn()]

    def granted(self, held: Licence, until: date | None) -> Licence:
        """Return the licence with the wish fulfilled; whoever gets a plan asked for is on trial no more."""
        wish = self.wish
        return replace(
            held, plan=wish.plan or held.plan, users=wish.users if wish.users is not None else held.users,
            doctors=wish.doctors if wish.doctors is not None else held.doctors, until=until or held.until, trial=held.trial and wish.plan is None,
        )

    def approve(self, licence: Licence, reason: str | None) -> list[Event]:
        self.ensure_pending()
        return [UpgradeRequestApproved(licence=licence, reason=reason)]

    def reject(self, reason: str | None) -> list[Event]:
        self.ensure_pending()
        if not reason:
            raise ReasonMissing
        return [UpgradeRequestRejected(reason=reason)]

    def ensure_pending(self) -> None:
        if self.stage == "none":
            raise NotFound
        if self.stage != "pending":
            raise UpgradeRequestSettled(status=self.stage)


class UpgradeInvite(State):
    """An offer of the platform to a clinic, behind a link that needs no signing in."""

    kind: ClassVar[str] = "upgrade_invites"
    wish: Wish = Wish()
    expires_at: Expiry | None = None
    taken: bool = False
    withdrawn: bool = False

    def evolve(self, event: UpgradeInviteEvent) -> Self:
        match event:
            case UpgradeOffered(expires_at=expires):
                return replace(self, wish=Wish(**only(Wish, event)), expires_at=expires)
            case UpgradeOfferTaken():
                return replace(self, taken=True)
            case UpgradeOfferWithdrawn():
                return replace(self, withdrawn=True)

    @property
    def about(self) -> About:
        return "plan" if self.wish.plan else "seats"

    def offer(self, wish: Wish, pricing: Pricing | None, message: str | None, expires_at: datetime) -> list[Event]:
        ensure_wished(wish)
        return [UpgradeOffered(**only(Wish, wish), pricing=pricing, message=message, expires_at=expires_at)]

    def take(self, invite: UUID, now: datetime) -> list[Event]:
        self.ensure_open(now)
        if self.taken:
            raise UpgradeOfferUsed
        return [UpgradeOfferTaken(request_id=request_of(invite))]

    def withdraw(self, now: datetime) -> list[Event]:
        self.ensure_open(now)
        if self.taken:
            raise UpgradeOfferUsed
        return [UpgradeOfferWithdrawn()]

    def ensure_open(self, now: datetime) -> None:
        if self.expires_at is None or self.withdrawn or self.expires_at <= now:
            raise UpgradeOfferGone


def ensure_wished(wish: Wish) -> None:
    if wish.plan is None and wish.users is None and wish.doctors is None:
        raise NothingWished


def request_of(invite: UUID) -> UUID:
    """Return the id of the request that answers an invitation."""
    return uuid5(invite, "request")


