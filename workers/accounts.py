"""Letters about getting into one's account: links and digits that set a password, where one belongs, and word of what should not go unnoticed."""

from collections.abc import Mapping
from uuid import UUID

from domain.accounts import Account, AccountInvited, AccountLockedOut, ClinicsAsked, PasswordChanged, PasswordResetAsked
from domain.clinics import Clinic
from domain.kit import PLATFORM, Fact
from domain.letters import ACCOUNT_INVITED, ACCOUNT_LOCKED, CLINICS, PASSWORD_CHANGED, PASSWORD_CODE, PASSWORD_RESET
from workers.kit.policies import DAY, Digits, Letter, Link, To, answers
from workers.kit.writing import Look, last

CODE_SECONDS, LINK_SECONDS = 600, 3600


@answers
def when_PasswordResetAsked(fact: Fact, event: PasswordResetAsked) -> Letter:
    if event.way == "code":
        return Letter(PASSWORD_CODE, To("accounts", fact.id), digits=Digits("password-code", fact.id, CODE_SECONDS))
    return Letter(PASSWORD_RESET, To("accounts", fact.id), link=Link("password-reset", fact.id, "/reset-password/{token}", LINK_SECONDS))


@answers
def when_AccountInvited(fact: Fact, event: AccountInvited) -> Letter:
    return Letter(ACCOUNT_INVITED, To("accounts", fact.id), link=Link("password-setup", fact.id, "/set-password?token={token}", 7 * DAY))


@answers
def when_PasswordChanged(fact: Fact, event: PasswordChanged) -> Letter | None:
    """Whoever sets his first password has just been written to."""
    return None if event.way == "first" else Letter(PASSWORD_CHANGED, To("accounts", fact.id))


@answers
def when_AccountLockedOut(fact: Fact, event: AccountLockedOut) -> Letter:
    return Letter(ACCOUNT_LOCKED, To("accounts", fact.id), {"until": f"{event.until:%Y-%m-%d %H:%M} UTC"})


@answers
def when_ClinicsAsked(fact: Fact, event: ClinicsAsked) -> Letter:
    async def clinics(look: Look) -> Mapping[str, str]:
        return {"clinics": await belongings(look, fact.id)}

    return Letter(CLINICS, To("accounts", fact.id), language=event.language, sought=clinics)


async def belongings(look: Look, account: UUID) -> str:
    """Return the names of the clinics that somebody belongs to, a line each."""
    places = (await look.state(Account, account, PLATFORM)).places
    names = [await called(look, place.clinic) for place in places]
    return "\n".join(sorted(name for name in names if name)) or "-"


async def called(look: Look, clinic: UUID) -> str | None:
    """Return what a clinic is called; None if it is gone."""
    facts = [fact.event for fact in await look.facts(clinic, clinic) if fact.kind == Clinic.kind]
    return None if Clinic.replay(facts).deleted else last(facts, "name")
