"""What may be asked about upgrades: by a clinic, by whoever was invited, and by the platform that decides."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta

from commands.kit import Command, Creation, Decision, Look
from domain.clinics import Clinic
from domain.kit import At, ClinicId, Elsewhere, Event, Note, Reason, Text
from domain.kit.licences import Plan, SeatCount, Until
from domain.upgrades import About, Pricing, UpgradeInvite, UpgradeRequest, Wish, request_of
from schemas.upgrades import UpgradeRequestRow

Verdict = Literal["approved", "rejected"]
Days = Annotated[int, Meta(ge=1, le=90, description="For how many days the link works.")]


class RequestUpgrade(Creation):
    """Ask us for a higher plan; we decide, and the plan follows at once."""

    state = UpgradeRequest
    permission = "admin"
    plan: Plan
    note: Note | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"open_already": await is_open("plan", look)}

    def decide(self, request: UpgradeRequest, at: At, *, open_already: bool) -> list[Event]:
        return request.ask("plan", Wish(plan=self.plan), self.note, open_already=open_already)


class RequestSeats(Creation):
    """Ask us for more seats."""

    state = UpgradeRequest
    permission = "admin"
    users: SeatCount | None = None
    doctors: SeatCount | None = None
    note: Note | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"open_already": await is_open("seats", look)}

    def decide(self, request: UpgradeRequest, at: At, *, open_already: bool) -> list[Event]:
        return request.ask("seats", Wish(users=self.users, doctors=self.doctors), self.note, open_already=open_already)


class ChangeSeatRequest(Command):
    """Change a request that is not decided yet, or withdraw it."""

    state = UpgradeRequest
    permission = "admin"
    users: SeatCount | None = None
    doctors: SeatCount | None = None
    note: Note | None = None
    withdraw: bool = False

    def decide(self, request: UpgradeRequest, at: At) -> list[Event]:
        wish = Wish(plan=request.wish.plan, users=self.users, doctors=self.doctors)
        return request.withdraw() if self.withdraw else request.change(wish, self.note)


class DecideUpgradeRequest(Command):
    """Approve a request for a plan or for seats, and the clinic has them at once; or reject it and say why."""

    state = UpgradeRequest
    permission = "superadmin"
    decision: Verdict
    reason: Reason | None = None
    until: Until | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        return {"clinic": await look.require(Clinic, look.at.clinic)}

    def decide(self, request: UpgradeRequest, at: At, *, clinic: Clinic) -> Decision:
        if self.decision == "rejected":
            return [*request.reject(self.reason)]
        licence = request.granted(clinic.licence, self.until)
        licensed = clinic.license(licence, self.reason)
        besides = [Elsewhere(state=Clinic, id=at.clinic, events=licensed)] if licensed else []
        return [*request.approve(licence, self.reason), *besides]


class MintUpgradeInvite(Creation, Wish):
    """Offer a clinic an upgrade, by a link that anybody who holds it can answer. It is shown once."""

    state = UpgradeInvite
    permission = "superadmin"
    clinic_id: ClinicId
    pricing: Pricing | None = None
    message: Note | None = None
    days: Days = 14

    def decide(self, invite: UpgradeInvite, at: At) -> list[Event]:
        return invite.offer(self, self.pricing, self.message, at.now + timedelta(days=self.days))


class WithdrawUpgradeInvite(Command):
    """Withdraw an offer that nobody has answered; its link shows nothing any more."""

    state = UpgradeInvite
    permission = "superadmin"

    def decide(self, invite: UpgradeInvite, at: At) -> list[Event]:
        return invite.withdraw(at.now)


class AnswerUpgradeInvite(Command):
    """Ask for the upgrade that was offered. Say who you are, so that we can come back to you."""

    state = UpgradeInvite
    permission = "public"
    contact: Annotated[Text, Meta(description="Name and e-mail address, or telephone.", examples=["Anna de Vries, anna.devries@example.org"])]
    note: Note | None = None

    async def gather(self, look: Look) -> dict[str, Any]:
        invite = await look.load(UpgradeInvite, look.at.id)
        return {"request": await look.load(UpgradeRequest, request_of(look.at.id)), "open_already": await is_open(invite.about, look)}

    def decide(self, invite: UpgradeInvite, at: At, *, request: UpgradeRequest, open_already: bool) -> Decision:
        taken = invite.take(at.id, at.now)
        asked = request.ask(invite.about, invite.wish, self.note, self.contact, at.id, open_already=open_already)
        return [*taken, Elsewhere(state=UpgradeRequest, id=request_of(at.id), events=asked)]


async def is_open(about: About, look: Look) -> bool:
    """Say whether the clinic has an open request of that sort: a courtesy, for a clear answer; the claim of the request is the guarantee."""
    listed = await look.find(UpgradeRequestRow, about=about, status="pending")
    return any([(await look.load(UpgradeRequest, row.id)).stage == "pending" for row in listed])  # rows may lag behind
