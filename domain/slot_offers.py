"""Offers: a time that is free is offered to somebody on the waiting list, held for them until they answer or their time to answer is over.

How it works: an offer claims the doctor's time under a name of its own and the entry as a whole, so no time is on offer to two and nobody has two offers, whatever any clock shows. Beside it a hold keeps everybody else
from booking the time, and runs out by itself when the time to answer is over; that the offer has lapsed is then noted, and whoever comes next is asked. An offer that comes about by itself has an id that
follows from the entry and the time, so nobody is asked twice for one time.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.holds import Held
from domain.kit import (
    AppointmentId,
    AppointmentTypeId,
    Claim,
    Event,
    Frozen,
    GroupSessionId,
    NotFound,
    PatientId,
    Personal,
    PlaceId,
    Reason,
    Refused,
    StaffId,
    State,
    Text,
    TimeClaim,
    UniqueClaim,
    WaitingEntryId,
    only,
)
from domain.kit.letters import letter

OfferStatus = Literal["open", "accepted", "declined", "lapsed", "withdrawn"]
OfferAnswer = Literal["accept", "decline", "leave"]
"""What a patient answers by the link: they take the time, they do not, or they do not and want to be on the list no longer."""
OfferWay = Literal["clinic", "link"]

PURPOSE = "slot-offer"  # what the token in a letter is for
PATH = "/api/v1/slot-offers/{token}"
UNANSWERED = 3  # offers that somebody lets pass, after which none is made by itself any more
AFTER_QUIET = timedelta(hours=1)


class Offered(Held):
    """Which time is offered to whom, and what it would be: with `appointmentId` that visit is moved to it, else a new one is booked; with `groupId` it is a seat in that session."""

    entry_id: WaitingEntryId
    patient_id: PatientId
    appointment_id: AppointmentId | None = None
    type: Text
    type_id: AppointmentTypeId | None = None
    place_id: PlaceId | None = None
    group_id: GroupSessionId | None = None


class SlotOffered(Event, Offered):
    """`written`: the patient is told by letter; if not, the clinic has to tell them."""

    expires_at: datetime
    by_hand: bool = False
    written: bool = False


class Answered(Frozen):
    """Whose offer, of which doctor's time."""

    entry_id: WaitingEntryId
    patient_id: PatientId
    doctor_id: StaffId


class SlotOfferAccepted(Event, Answered):
    """The visit was booked, or moved, in the same moment."""

    appointment_id: AppointmentId
    way: OfferWay = "clinic"


class SlotOfferDeclined(Event, Answered):
    reason: Annotated[Reason | None, Personal("patient_id")] = None
    way: OfferWay = "clinic"


class SlotOfferLapsed(Event, Answered):
    """Nobody answered in time."""


class SlotOfferWithdrawn(Event, Answered):
    """The clinic took it back."""

    reason: Annotated[Reason | None, Personal("patient_id")] = None


SlotOfferEvent = SlotOffered | SlotOfferAccepted | SlotOfferDeclined | SlotOfferLapsed | SlotOfferWithdrawn


class OfferOver(Refused):
    """This offer is not open any more: it was answered, taken back, or the time to answer is over. Call the clinic if you still want an appointment."""

    status = 410


class OfferLinkOver(Refused):
    """This link opens nothing any more. Call the clinic if you still want an appointment."""

    status = 410


class PatientBusyThen(Refused):
    """This patient has another visit at that time."""


class NotEarlier(Refused):
    """That time is no earlier than the visit that is to be moved forward."""


class OfferedAlready(Refused):
    """This patient has an open offer: the one in `details`. Wait for the answer, or take it back first."""


class SlotOffer(State):
    """A time on offer, until it is answered or the time to answer is over."""

    kind: ClassVar[str] = "slot_offers"
    status: OfferStatus | None = None
    offered: Offered | None = None
    expires_at: datetime | None = None

    def evolve(self, event: SlotOfferEvent) -> Self:
        match event:
            case SlotOffered(expires_at=expires):
                return replace(self, status="open", offered=Offered(**only(Offered, event)), expires_at=expires)
            case SlotOfferAccepted():
                return replace(self, status="accepted")
            case SlotOfferDeclined():
                return replace(self, status="declined")
            case SlotOfferLapsed():
                return replace(self, status="lapsed")
            case SlotOfferWithdrawn():
                return replace(self, status="withdrawn")

    def claims(self) -> frozenset[Claim]:
        """While it is open: the time, which is on offer to nobody else, and the entry, which has no other offer. Both end by what is noted, not by a clock."""
        if self.status != "open" or (o := self.offered) is None:
            return frozenset()
        start, end = o.starts_at - timedelta(minutes=o.buffer_before), o.ends_at + timedelta(minutes=o.buffer_after)
        alone = UniqueClaim(scope="slot_offers.open", key=str(o.entry_id))
        return frozenset({alone} if o.group_id else {alone, TimeClaim(kind="offer", id=o.doctor_id, start=start, end=end)})  # of seats there are several: the session counts them

    @property
    def what(self) -> Offered:
        """What is offered."""
        if self.offered is None:
            raise NotFound
        return self.offered

    def make(self, offered: Offered, expires_at: datetime, *, by_hand: bool, written: bool) -> list[Event]:
        """Offer it, once."""
        return [] if self.status else [SlotOffered(**only(Offered, offered), expires_at=expires_at, by_hand=by_hand, written=written)]

    def accept(self, appointment: UUID, now: datetime, way: OfferWay) -> list[Event]:
        self.ensure_open(now)
        return [SlotOfferAccepted(**self._whose(), appointment_id=appointment, way=way)]

    def decline(self, reason: str | None, now: datetime, way: OfferWay) -> list[Event]:
        if self.status == "declined":
            return []
        self.ensure_open(now)
        return [SlotOfferDeclined(**self._whose(), reason=reason, way=way)]

    def withdraw(self, reason: str | None) -> list[Event]:
        if self.what and self.status != "open":
            raise OfferOver
        return [SlotOfferWithdrawn(**self._whose(), reason=reason)]

    def lapse(self, now: datetime) -> list[Event]:
        """Note that nobody answered, if it is so."""
        return [SlotOfferLapsed(**self._whose())] if self.status == "open" and self.expires_at is not None and self.expires_at <= now else []

    def ensure_open(self, now: datetime) -> None:
        """Refuse what is not on offer any more."""
        if self.what and (self.status != "open" or self.expires_at is None or self.expires_at <= now):
            raise OfferOver

    def _whose(self) -> dict[str, Any]:
        return only(Answered, self.what)


def answer_by(now: datetime, minutes: int, starts_at: datetime, quiet_until: datetime | None) -> datetime:
    """Return until when an offer is to be answered: what would end in the quiet hours ends an hour after them, and all before the visit begins."""
    until = now + timedelta(minutes=minutes) if quiet_until is None else quiet_until + AFTER_QUIET
    return min(until, starts_at)


def offer_of(entry: UUID, doctor: UUID, starts_at: datetime) -> UUID:
    """Return the id of the one offer of a doctor's time to an entry that comes about by itself."""
    return uuid5(entry, f"offers/{doctor}/{starts_at.astimezone(UTC).isoformat()}")


def hold_of(offer: UUID) -> UUID:
    """Return the id of the hold that keeps what is offered."""
    return uuid5(offer, "hold")


def booked_by(offer: UUID) -> UUID:
    """Return the id of the appointment that comes of an offer."""
    return uuid5(offer, "appointment")


OFFER_LETTER = letter(
    "waiting-list.offer", "Offers a time that has come free to a patient on the waiting list, with a link to accept or decline it.",
    {
        "date": "2026-03-02", "time": "09:00", "zone": "Europe/Amsterdam", "minutes": "30", "until_date": "2026-03-01", "until_time": "14:00", "address": "Singel 1, Amsterdam",
        "phone": "+31 20 123 4567", "link": "https://clinic.example/api/v1/slot-offers/x7Kq",
    },
    en=("A time has come free at {{clinic}}: {{date}}, {{time}}", """
Dear {{name}},

You are on the waiting list of {{clinic}}. This time is free, and we keep it for you:

{{date}}, {{time}} ({{zone}}), {{minutes}} minutes

Answer by {{until_date}}, {{until_time}}; after that it is offered to somebody else. By this link you can accept or decline it. It is for you alone:

{{link}}

{{address}}
{{phone}}
"""),
    es=("Hay una hora libre en {{clinic}}: {{date}}, {{time}}", """
Hola, {{name}}:

Está en la lista de espera de {{clinic}}. Esta hora ha quedado libre y se la reservamos:

{{date}}, {{time}} ({{zone}}), {{minutes}} minutos

Responda antes del {{until_date}}, {{until_time}}; después se ofrecerá a otra persona. Con este enlace puede aceptarla o rechazarla. Es solo para usted:

{{link}}

{{address}}
{{phone}}
"""),
)

EARLIER_LETTER = letter(
    "waiting-list.earlier", "Offers an earlier time to a patient who wants their appointment moved forward, with a link to accept or decline it.",
    {
        "date": "2026-03-02", "time": "09:00", "zone": "Europe/Amsterdam", "minutes": "30", "until_date": "2026-03-01", "until_time": "14:00", "old_date": "2026-04-20",
        "old_time": "16:30", "address": "Singel 1, Amsterdam", "phone": "+31 20 123 4567", "link": "https://clinic.example/api/v1/slot-offers/x7Kq",
    },
    en=("An earlier time has come free at {{clinic}}: {{date}}, {{time}}", """
Dear {{name}},

You want an earlier appointment at {{clinic}} than that of {{old_date}}, {{old_time}}. This time is free, and we keep it for you:

{{date}}, {{time}} ({{zone}}), {{minutes}} minutes

If you accept it, your appointment is moved to it; if you do not, it stays as it is. Answer by {{until_date}}, {{until_time}}; after that the time is offered to somebody else. This link is for you alone:

{{link}}

{{address}}
{{phone}}
"""),
    es=("Hay una hora antes en {{clinic}}: {{date}}, {{time}}", """
Hola, {{name}}:

Desea adelantar su cita en {{clinic}} del {{old_date}}, {{old_time}}. Esta hora ha quedado libre y se la reservamos:

{{date}}, {{time}} ({{zone}}), {{minutes}} minutos

Si la acepta, su cita se traslada a esa hora; si no, se queda como está. Responda antes del {{until_date}}, {{until_time}}; después se ofrecerá a otra persona. Este enlace es solo para usted:

{{link}}

{{address}}
{{phone}}
"""),
)
