"""From a row of the outbox to a message: what the letter says, to whom, and the tokens in it.

How it works. The event that the letter answers is read from the store and opened with its person's key; the policy says once more what to write. The
address, the name and the language are those that the recipient's stream last named (`email`, `name` or `given_name` and `family_name`, `language`), so a
letter goes to where somebody is reached now. A token or digits are made here, at the last moment, by `Codes`: they are in the message and, hashed, in its
table, and nowhere else.

What may go wrong. A recipient of another clinic, one whose key is destroyed, or one without an address: the letter fails and says so. A letter that
is sent again has a new token; the older one serves as well until its time is over. Digits replace those before.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from commands.kit.codes import Codes
from commands.kit.links import LastingLinks
from domain.kit import PLATFORM, Event, Fact, State, calendars
from domain.kit.letters import LANGUAGES, Language, Wording, write
from projections.kit.keys import SELECT, KeyRing
from projections.kit.lanes import Lanes, ReadUnavailable
from projections.kit.stored import COLUMNS, Stored, fact_of
from workers.kit.outbox import NotNowError, Outcome, Queued, UndeliverableError
from workers.kit.policies import POLICIES, Lasting, Letter, Link, Policy, To
from workers.kit.post import Transport

STREAM = f"select {COLUMNS} from stored_events where originator_id = %s and clinic_id in (%s, %s) order by originator_version"  # noqa: S608
EVENT = f"select {COLUMNS} from stored_events where notification_id = %s"  # noqa: S608
HOUSE = "Anamnesis"  # who writes where no clinic does
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]+")

S = TypeVar("S", bound=State)


class Person(NamedTuple):
    """Whom a letter goes to."""

    email: str
    name: str
    language: str | None


class Look:
    """What a letter is made from, read from the store."""

    def __init__(self, lanes: Lanes, ring: KeyRing) -> None:
        self.lanes = lanes
        self.ring = ring

    async def facts(self, stream: UUID, clinic: UUID) -> list[Fact]:
        """Return a stream's facts, opened; none if it is another clinic's."""
        return await self._opened(await self._ask(STREAM, stream, clinic, PLATFORM))

    async def fact(self, position: int) -> Fact | None:
        """Return the fact at a position, opened."""
        return next(iter(await self._opened(await self._ask(EVENT, position))), None)

    async def state(self, state: type[S], stream: UUID, clinic: UUID) -> S:
        """Return a stream's state."""
        return state.replay(f.event for f in await self.facts(stream, clinic) if f.kind == state.kind)

    async def _ask(self, sql: str, *params: Any) -> list[Stored]:
        return [Stored(*line) for line in (await self.lanes.ask(None, sql, params)).rows]

    async def _opened(self, stored: list[Stored]) -> list[Fact]:
        persons = {one.person for one in stored if one.person is not None}
        for person in persons:
            self.ring.forget(person)  # a key may have been destroyed since the last letter
        if persons:
            self.ring.learn((await self.lanes.ask(None, SELECT, (list(persons),))).rows, persons)
        return [fact_of(one, self.ring.key_of) for one in stored]


Tongue = Callable[[Look, To, UUID], Awaitable[str | None]]  # of whoever is written to, in a clinic
Words = Callable[[Look, UUID, str, Language], Awaitable[Wording]]  # of a clinic's template in a language


class Writing:
    """Writes and sends letters; what `Outbox` delivers by."""

    def __init__(
        self, look: Look, codes: Codes, transport: Transport, words: Words, *, address: str, mail_from: str = "", policies: dict[str, Policy] | None = None,
        links: LastingLinks | None = None, tongue: Tongue | None = None,
    ) -> None:
        self.look = look
        self.codes = codes
        self.transport = transport
        self.words = words
        self.address = address
        self.sender = parseaddr(mail_from)[1] or f"no-reply@{urlsplit(address).hostname or 'localhost'}"
        self.house = parseaddr(mail_from)[0] or HOUSE
        self.policies = POLICIES if policies is None else policies
        self.links = links
        self.tongue = tongue

    async def deliver(self, queued: Queued) -> Outcome:
        """Write a letter and hand it over."""
        try:
            fact = await self.look.fact(queued.position)
            letter = self._asked(queued, fact)
            person = await self._person(letter, queued.clinic)
            house = await self._house(queued.clinic)
            language = _language(letter.language, person.language, house.get("language"))
            message = await self._message(queued, letter, person, house, language)
        except ReadUnavailable as error:
            raise NotNowError("the database cannot be reached") from error
        return Outcome(await self.transport.send(message, self.sender, person.email), language)

    def _asked(self, queued: Queued, fact: Fact | None) -> Letter:
        """Return what the policy wants written, now that the event lies open."""
        policy = self.policies.get(queued.policy)
        if policy is None or fact is None:
            raise UndeliverableError(f"this release has no {queued.policy}")
        letters = dict(enumerate(policy(fact)))
        letter = letters.get(queued.number)
        if not isinstance(letter, Letter):
            raise UndeliverableError(f"{queued.policy} has nothing to write any more")
        return letter

    async def _person(self, letter: Letter, clinic: UUID) -> Person:
        events = [f.event for f in await self.look.facts(letter.to.id, clinic) if f.kind == letter.to.kind]
        email = last(events, "email")
        if not email:
            raise UndeliverableError(f"there is no address of this one of the {letter.to.kind}")
        name = last(events, "name") or " ".join(filter(None, (last(events, "given_name"), last(events, "family_name"))))
        return Person(email, name or email, last(events, "language") if self.tongue is None else await self.tongue(self.look, letter.to, clinic))

    async def _house(self, clinic: UUID) -> dict[str, str]:
        """Return what the clinic is called, where it answers, and in which language."""
        if clinic == PLATFORM:
            return {"name": self.house}
        events = [f.event for f in await self.look.facts(clinic, clinic)]
        said = (("name", last(events, "name")), ("email", last(events, "email")), ("language", stated(events, "language")))
        return {field: found for field, found in said if found}

    async def _message(self, queued: Queued, letter: Letter, person: Person, house: dict[str, str], language: Language) -> EmailMessage:
        values = {"name": person.name, "clinic": house.get("name", self.house), "url": self.address, **letter.values}
        if letter.sought:
            values |= await letter.sought(self.look)
        if isinstance(letter.link, Lasting) and self.links:
            values["link"] = self.address + letter.link.path.format(token=self.links.token(*letter.link[:3]))
        if isinstance(letter.link, Link):
            token = await self.codes.issue(letter.link.purpose, letter.link.subject, letter.link.seconds, queued.clinic)
            values["link"] = self.address + letter.link.path.format(token=token)
        if letter.unsubscribe and self.links:
            values["unsubscribe"] = self.address + letter.unsubscribe.path.format(token=self.links.token(letter.unsubscribe.purpose, letter.unsubscribe.subject, 1))
        if letter.digits:
            values["code"] = await self.codes.issue_digits(*letter.digits)
        written = write(await self.words(self.look, queued.clinic, letter.template, language), values, language)
        message = EmailMessage(policy=SMTP)
        message["From"] = _mailbox(house.get("name", self.house), self.sender)
        message["To"] = _mailbox(values["name"], person.email)
        if reply := house.get("email"):
            message["Reply-To"] = _mailbox("", reply)
        message["Subject"] = written.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{queued.id}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        if letter.unsubscribe and self.links:
            message["List-Unsubscribe"] = f"<{values['unsubscribe']}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(written.text)
        message.add_alternative(written.html, subtype="html")
        if letter.enclosed:
            clinic = calendars.Mailbox(house.get("name", self.house), house.get("email", self.sender))
            enclosed = await letter.enclosed(self.look, clinic, calendars.Mailbox(person.name, person.email))
            message.add_alternative(enclosed.text.replace("\r\n", "\n"), subtype="calendar", params={"method": enclosed.method})
        message["Content-Language"] = language  # last: what sets content clears whatever is called so
        return message


def last(events: list[Event], field: str) -> Any:
    """Return what the last event to say something of a field says."""
    return next((value for event in reversed(events) if (value := getattr(event, field, None))), None)


def stated(events: list[Event], field: str) -> Any:
    """Return what the last event that has a field says of it, be it that it was taken back."""
    return next((getattr(event, field) for event in reversed(events) if hasattr(event, field)), None)


async def whereabouts(look: Look, place: UUID | None, clinic: UUID) -> dict[str, str]:
    """Return the address and telephone of a place, or the clinic's own where it has none."""
    told = [one.event for stream in (clinic, place) if stream for one in await look.facts(stream, clinic)]
    return {field: last(told, field) or "" for field in ("address", "phone")}


def _language(*wished: str | None) -> Language:
    """Return the first of these languages in which there are letters; a country's form of one is that one."""
    spoken = (w.partition("-")[0].lower() for w in wished if w)
    return next((language for w in spoken for language in LANGUAGES if language == w), LANGUAGES[0])


def _mailbox(name: str, email: str) -> Address:
    """Return a header's address; whatever the name holds, it stays one line."""
    try:
        return Address(display_name=_UNSEEN.sub(" ", name), addr_spec=email)
    except ValueError:
        raise UndeliverableError("the address is not one that mail can be sent to") from None
