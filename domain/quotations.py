"""Quotations: a patient is told what a treatment would cost, says yes or no, and the quotation becomes an invoice."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import PLATFORM, Event, Frozen, Invalid, InvoiceId, NotFound, PatientId, Personal, Reason, Refused, State, only
from domain.kit.bills import EARLIEST, BilledLine, Charges, Discount, ensure_past
from domain.kit.letters import LetterLanguage, letter

Stage = Literal["draft", "sent", "accepted", "declined", "converted", "withdrawn"]
Standing = Literal["draft", "sent", "accepted", "declined", "expired", "converted", "withdrawn"]
"""A stage, or `expired`: sent, and its last day is over in the clinic."""
Answerer = Literal["clinic", "patient"]
"""Who noted an answer: somebody of the clinic who was told it, or the patient by the link that they were given."""
LinkNumber = Annotated[int, Meta(ge=1, description="Which of the document's links.")]

SERIES = "quotations"
VALID = timedelta(days=30)
LONGEST = timedelta(days=366)


class Offer(Charges):
    """A quotation's content: results, with the recipe they came from. Without `valid_until` it is valid for thirty days from the day it is issued."""

    valid_until: date | None = None


class Told(Frozen, omit_defaults=True):
    """Whose it is; and under which record of theirs it was drafted, where that one has been merged into another."""

    patient_id: PatientId
    record_id: PatientId | None = None


class QuotationDrafted(Offer, Event): ...


class QuotationEdited(Offer, Event): ...


class QuotationIssued(Event, Told, omit_defaults=True):
    number: str
    issued_on: date
    valid_until: date
    total: Annotated[int, Meta(ge=0)]
    currency: str


class QuotationSent(Event, Told, omit_defaults=True):
    """A letter takes it to the patient, with the link of that number."""

    link: LinkNumber
    language: LetterLanguage = None


class QuotationAccepted(Event, Told, omit_defaults=True):
    by: Answerer
    accepted_on: date


class QuotationDeclined(Event, Told, omit_defaults=True):
    by: Answerer
    declined_on: date
    reason: Annotated[Reason | None, Personal("patient_id")] = None


class QuotationReissued(Event, Told, omit_defaults=True):
    """It stands again as it stood, under the same number, for another while."""

    issued_on: date
    valid_until: date


class QuotationConverted(Event, Told, omit_defaults=True):
    """The invoice was drafted with it, or neither was."""

    invoice_id: InvoiceId
    converted_on: date


class QuotationWithdrawn(Event, Told, omit_defaults=True):
    reason: Reason
    withdrawn_on: date


class QuotationReassigned(Event):
    """It is another record's now, because two records of one patient were merged, or parted again."""

    patient_id: PatientId
    was_patient_id: PatientId


QuotationEvent = (
    QuotationDrafted | QuotationEdited | QuotationIssued | QuotationSent | QuotationAccepted | QuotationDeclined | QuotationReissued | QuotationConverted
    | QuotationWithdrawn | QuotationReassigned
)


class ValidityImpossible(Invalid):
    """A quotation is valid from the day it is issued or longer, for a year at most."""


class QuotationNotDraft(Refused):
    """Only a draft can be edited or issued; withdraw a quotation that went out and make a new one."""


class QuotationNotOpen(Refused):
    """That quotation is a draft still, or was converted or withdrawn."""


class QuotationExpired(Refused):
    """That quotation is no longer valid. Reissue it."""


class QuotationDeclinedAlready(Refused):
    """The patient has declined that quotation. Let them accept it after all, or reissue it."""


class QuotationStillStands(Refused):
    """That quotation is valid as it is; only one that has expired or was declined is reissued."""


class QuotationConvertedAlready(Refused):
    """That quotation has become an invoice. Void the invoice, or delete its draft, instead."""


class Quotation(State):
    kind: ClassVar[str] = "quotations"
    stage: Literal["none"] | Stage = "none"
    patient_id: UUID = PLATFORM
    record: UUID | None = None  # the patient's record under which it was drafted, whoever's it is now
    currency: str = ""
    lines: tuple[BilledLine, ...] = ()
    discount: Discount | None = None
    tax_included: bool = False
    valid_until: date | None = None

    def evolve(self, event: QuotationEvent) -> Self:  # noqa: PLR0911 - one for each kind of event
        match event:
            case QuotationDrafted() | QuotationEdited():
                return replace(
                    self, stage="draft", patient_id=event.patient_id, record=self.record or event.patient_id, currency=event.currency, lines=tuple(event.lines),
                    discount=event.discount, tax_included=event.tax_included, valid_until=event.valid_until)
            case QuotationIssued(valid_until=until) | QuotationReissued(valid_until=until):
                return replace(self, stage="sent", valid_until=until)
            case QuotationSent():
                return self
            case QuotationAccepted():
                return replace(self, stage="accepted")
            case QuotationDeclined():
                return replace(self, stage="declined")
            case QuotationConverted():
                return replace(self, stage="converted")
            case QuotationWithdrawn():
                return replace(self, stage="withdrawn")
            case QuotationReassigned(patient_id=patient):
                return replace(self, patient_id=patient)

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)

    def standing(self, today: date) -> Literal["none"] | Standing:
        """Say how it stands on a day of the clinic's."""
        return "expired" if self.stage == "sent" and self.valid_until is not None and self.valid_until < today else self.stage

    def draft(self, offer: Offer, today: date) -> list[Event]:
        if offer.valid_until is not None:
            ensure_valid(today, offer.valid_until)
        return [QuotationDrafted(**only(Offer, offer))]

    def edit(self, offer: Offer, today: date) -> list[Event]:
        self.ensure_draft()
        if offer.valid_until is not None:
            ensure_valid(today, offer.valid_until)
        return [QuotationEdited(**only(Offer, offer))]

    def issue(self, number: str, issued_on: date, valid_until: date | None, today: date) -> list[Event]:
        """Give it its number; from now on it can be shown to the patient and answered."""
        self.ensure_draft()
        ensure_past(issued_on, today, EARLIEST)
        until = valid_until or self.valid_until or issued_on + VALID
        ensure_valid(issued_on, until)
        return [QuotationIssued(number=number, issued_on=issued_on, valid_until=until, total=self.total, currency=self.currency, **self.told)]

    def send(self, link: int, language: LetterLanguage, today: date) -> list[Event]:
        """Have the patient written to; what is sent again is one letter more."""
        self.ensure_shown(today)
        return [QuotationSent(link=link, language=language, **self.told)]

    def accept(self, by: Answerer, today: date) -> list[Event]:
        """Note that the patient agrees; they may change their mind while it is valid."""
        self.ensure_answerable(today)
        return [] if self.stage == "accepted" else [QuotationAccepted(by=by, accepted_on=today, **self.told)]

    def decline(self, by: Answerer, reason: str | None, today: date) -> list[Event]:
        self.ensure_answerable(today)
        return [] if self.stage == "declined" else [QuotationDeclined(by=by, declined_on=today, reason=reason, **self.told)]

    def reissue(self, valid_until: date | None, today: date) -> list[Event]:
        self.ensure_out()
        if self.standing(today) not in {"expired", "declined"}:
            raise QuotationStillStands
        until = valid_until or today + VALID
        ensure_valid(today, until)
        return [QuotationReissued(issued_on=today, valid_until=until, **self.told)]

    def convert(self, invoice: UUID, today: date) -> list[Event]:
        """Note which invoice it becomes; what was agreed to in time stays agreed to."""
        self.ensure_out()
        if self.stage == "declined":
            raise QuotationDeclinedAlready
        self.ensure_in_time(today)
        return [QuotationConverted(invoice_id=invoice, converted_on=today, **self.told)]

    def withdraw(self, reason: str, today: date) -> list[Event]:
        self.ensure_there()
        if self.stage == "converted":
            raise QuotationConvertedAlready
        return [] if self.stage == "withdrawn" else [QuotationWithdrawn(reason=reason, withdrawn_on=today, **self.told)]

    def reassign(self, was: UUID, to: UUID, _: datetime) -> list[Event]:
        """Make it another record's, if it is that one's."""
        return [QuotationReassigned(patient_id=to, was_patient_id=was)] if self.stage != "none" and self.patient_id == was else []

    def keeper(self, who: UUID) -> UUID:
        """The record under which it was drafted."""
        return self.record or who

    @property
    def told(self) -> dict[str, Any]:
        """Whose it is, and under which record it was drafted if that is another one."""
        return {"patient_id": self.patient_id, "record_id": None if self.record == self.patient_id else self.record}

    def ensure_there(self) -> None:
        if self.stage == "none":
            raise NotFound

    def ensure_draft(self) -> None:
        self.ensure_there()
        if self.stage != "draft":
            raise QuotationNotDraft

    def ensure_out(self) -> None:
        self.ensure_there()
        if self.stage == "converted":
            raise QuotationConvertedAlready
        if self.stage in ("draft", "withdrawn"):
            raise QuotationNotOpen

    def ensure_in_time(self, today: date) -> None:
        if self.standing(today) == "expired":
            raise QuotationExpired

    def ensure_shown(self, today: date) -> None:
        """Refuse to hand out what the patient could not answer to any more."""
        self.ensure_out()
        self.ensure_in_time(today)

    def ensure_answerable(self, today: date) -> None:
        self.ensure_out()
        if self.valid_until is not None and self.valid_until < today:
            raise QuotationExpired


def ensure_valid(issued_on: date, until: date) -> None:
    if not timedelta() <= until - issued_on <= LONGEST:
        raise ValidityImpossible(issuedOn=issued_on.isoformat(), validUntil=until.isoformat())


def invoice_of(quotation: UUID) -> UUID:
    """Return the id of the invoice that a quotation becomes."""
    return uuid5(quotation, "invoice")


QUOTATION_LETTER = letter(
    "quotations.sent", "Takes a quotation to the patient, with a link to look at it.",
    {"number": "2026-000012", "total": "1,250.00 EUR", "until": "2026-04-30", "link": "https://clinic.example/api/v1/public-documents/x7Kq/pdf"},
    en=("Your quotation {{number}} from {{clinic}}", """
Dear {{name}},

Here is the quotation {{number}} of {{clinic}}, of {{total}}. It is valid until {{until}}:

{{link}}

The link is for you alone. To accept the quotation, or to ask about it, answer to this letter or call us.
"""),
    es=("Su presupuesto {{number}} de {{clinic}}", """
Hola, {{name}}:

Aquí tiene el presupuesto {{number}} de {{clinic}}, por {{total}}. Es válido hasta el {{until}}:

{{link}}

El enlace es solo para usted. Para aceptar el presupuesto, o si tiene preguntas, responda a esta carta o llámenos.
"""),
)
