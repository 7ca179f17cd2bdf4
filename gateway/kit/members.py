"""What somebody may do: from what a token says to a `Who`, by what account, clinic, staff and template say now.

How it works: who may come in and as whom hangs on streams that are cached like all others: the account (is it active, does it belong here), the clinic (its
plan, the modules that are off, whether its subscription has run out), the member of staff (active, role, override), and the clinic's template of that role.
Another program comes with an API key: what it may do are the key's scopes, as far as whoever issued it may still do that; once they are gone, nothing.
Whatever of these is noticed to have changed is forgotten, and so are the tokens that were judged by it.

What may go wrong: while the feed is silent nobody tells of changes, so what was read before is dropped and read again.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from commands.kit.handling import Handler, Who
from commands.kit.keys import shown
from commands.kit.vault import Vault
from domain.kit import PLATFORM, Forbidden, State, UserInactive, day
from domain.kit.grants import effective
from gateway.kit.errors import SessionEnded, TokenInvalid
from gateway.kit.tokens import Claims

SOME = 10_000
STAFF = {"admin", "doctor", "receptionist"}  # roles that a staff record can take away


class ClinicInactive(Forbidden):
    """This clinic has been deactivated. Ask the operator of the service."""


class NoMember(Forbidden):
    """This account does not belong to that clinic. Sign in without a clinic, or with another one."""


class Kinds(NamedTuple):
    """The states that permissions hang on; `template_of` gives the stream of a clinic's template for a role, `emergency_of` that of an account's look at a patient."""

    clinic: type[State]
    staff: type[State]
    account: type[State]
    template: type[State]
    key: type[State]
    template_of: Callable[[UUID, str], UUID]
    emergency: type[State]
    emergency_of: Callable[[UUID, UUID], UUID]
    patient: type[State]
    turning: frozenset[str]  # events after which one record of a patient stands for another one, or does no longer

    @property
    def words(self) -> frozenset[str]:
        """Their kinds, and what happens to patients that is as weighty."""
        return frozenset(state.kind for state in (self.clinic, self.staff, self.account, self.template, self.key, self.emergency)) | self.turning


class Members:
    """Everybody, as this process knows them."""

    def __init__(self, kinds: Kinds, listening: Callable[[], bool], vault: Vault) -> None:
        self.kinds = kinds
        self.handler: Handler = None  # type: ignore[assignment]
        self.vault = vault
        self._listening = listening
        self._looked_at: set[UUID] = set()  # streams as they are since the feed is alive

    async def who(self, said: Claims) -> Who:
        """Return somebody with all he may do; refuse whoever may not come in any more."""
        account = await self.account(said.account)
        if not account.active:
            raise UserInactive
        actor, behalf = said.account, None
        if said.impersonator is not None:
            actor, behalf = said.impersonator, said.account
            if not (await self.account(actor)).superadmin:
                raise SessionEnded
        found: dict[str, Any] = {"actor": actor, "behalf": behalf, "session": said.session, "client": said.client}
        if said.role == "superadmin":
            if not account.superadmin:
                raise SessionEnded
            return Who(role="superadmin", clinic=said.clinic, grants=effective("superadmin").keys, plan="Enterprise", **found)
        place = account.place(said.clinic)
        if place is None:
            raise NoMember(clinic=said.clinic)
        return await self.member(place.role, place.subject, clinic=said.clinic, **found)

    async def key(self, text: str) -> tuple[Who, float]:
        """Return another program with all it may do by the key it shows, and until when; refuse a key that opens nothing."""
        said, now = shown(text), datetime.now(UTC)
        clinic = await self.handler.tenant_of(said.id) if said else None
        if said is None or clinic is None:
            raise TokenInvalid
        state = await self._now(self.kinds.key, said.id, clinic, known=True)
        kept = await self.vault.get(state.secret) if state is not None and state.opens(now) else None
        if kept is None or not said.proves(kept.secret):
            raise TokenInvalid
        here = await self._clinic(clinic)
        grants = await self._held(state.owner, clinic, here) & state.scopes
        # it is its own subject: whoever listens with it is let go when it is revoked
        who = Who(actor=said.id, clinic=clinic, role="key", grants=grants, subject=said.id, client="key", **_terms(here))
        return who, state.expires_at.timestamp() if state.expires_at else float("inf")

    async def _held(self, owner: UUID, clinic: UUID, here: Any) -> frozenset[str]:
        """Return what the owner of a key may do; refuse the key of somebody who may not come in any more."""
        account = await self.account(owner)
        if not account.active:
            raise TokenInvalid
        if account.superadmin:
            return effective("admin", here.plan, off=here.off).keys
        if (place := account.place(clinic)) is None:
            raise TokenInvalid
        try:
            return (await self.member(place.role, place.subject, clinic=clinic, actor=owner)).grants
        except UserInactive:
            raise TokenInvalid from None

    async def member(self, role: Any, subject: UUID | None, *, clinic: UUID, **found: Any) -> Who:
        """Return a member of a clinic with all he may do there, as it stands now."""
        here = await self._clinic(clinic)
        override: Mapping[str, bool] | None = None
        if subject is not None and role in STAFF:
            staff = await self._now(self.kinds.staff, subject, clinic, known=True)
            if staff is not None:
                if not staff.active:
                    raise UserInactive
                role, override = staff.role, staff.overrides
        if subject is not None and role == "patient":
            subject = await self._standing_for(subject, clinic)
        keys = effective(role, here.plan, off=here.off, template=await self._template(clinic, role), override=override).keys
        return Who(role=role, subject=subject, grants=keys, clinic=clinic, **_terms(here), **found)

    async def _standing_for(self, record: UUID, clinic: UUID) -> UUID:
        """Return the record of a patient into which theirs was merged, if it was: its owner goes on with that one."""
        while (into := (await self._now(self.kinds.patient, record, clinic)).merged_into) is not None:
            record = into
        return record

    async def _clinic(self, clinic: UUID) -> Any:
        """Return a clinic that is served at all."""
        here = await self._now(self.kinds.clinic, clinic, clinic)
        if not here.active:
            raise ClinicInactive
        return here

    async def account(self, account: UUID) -> Any:
        """Return an account's state."""
        return await self._now(self.kinds.account, account, PLATFORM)

    async def _template(self, clinic: UUID, role: str) -> Mapping[str, bool]:
        found: Any = await self._now(self.kinds.template, self.kinds.template_of(clinic, role), clinic)
        wishes: Mapping[str, bool] = found.permissions
        return wishes

    async def emergency(self, who: Who, patient: UUID) -> bool:
        """Say whether somebody has opened a patient's chart in an emergency, and it is still open."""
        if who.behalf is not None or who.role not in STAFF:
            return False
        state = await self._now(self.kinds.emergency, self.kinds.emergency_of(who.account, patient), who.clinic)
        return bool(state.opens(datetime.now(UTC)))

    async def _now(self, state: type[State], stream: UUID, clinic: UUID, *, known: bool = False) -> Any:
        """Return a state as it stands; with `known`, None for one that never was."""
        await self.fresh(stream)
        entry = await self.handler.streams.get(state, stream, clinic)
        return None if known and not entry.version else entry.state

    async def fresh(self, stream: UUID) -> None:
        """See to it that a stream is not remembered from before the feed could tell of its changes."""
        listening = self._listening()
        if stream in self._looked_at and listening:
            return
        if len(self._looked_at) > SOME:  # they are soon looked at again
            self._looked_at.clear()
        if listening:
            self._looked_at.add(stream)
        await self.handler.streams.drop(stream)

    def doubt(self) -> None:
        """Look at everything again."""
        self._looked_at.clear()

    def noticed(self, stream: UUID, clinic: UUID, version: int) -> None:
        """Forget a stream that has gone on elsewhere."""
        known = self.handler.streams.cached(stream, clinic)
        if known is not None and known.version < version:
            self.handler.streams.forget(stream)
        self._looked_at.discard(stream)


def _terms(clinic: Any) -> dict[str, Any]:
    """Return what a clinic's licence means for whoever acts in it."""
    lapsed = clinic.licence.ended(day(datetime.now(UTC), clinic.zone))
    return {"plan": clinic.plan, "off": clinic.off, "lapsed": lapsed, "closing": clinic.closing is not None}
