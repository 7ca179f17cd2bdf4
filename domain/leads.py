"""Leads: somebody has written by a form of the clinic's website; the clinic comes back to them, and they become a patient or not."""

import re
from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Email,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    PatientId,
    Personal,
    Phone,
    Ref,
    Refused,
    State,
    only,
)
from domain.kit.letters import letter

LeadId = Annotated[UUID, Ref("leads")]
LeadFormId = Annotated[UUID, Ref("lead_forms")]
LeadStatus = Literal["new", "contacted", "converted", "archived", "spam"]
Suspicion = Annotated[Literal["honeypot", "links"], Meta(description="Why it was put among the spam when it came: the field that people do not see was filled in, or it holds many links.")]
LeadName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S", examples=["Noor"])]
LeadLine = Annotated[str, Meta(max_length=200)]
LeadMessage = Annotated[str, Meta(max_length=5000)]
LeadUrl = Annotated[str, Meta(max_length=2000)]
Key = Annotated[str, Meta(min_length=1, max_length=100)]
CustomValue = Annotated[str, Meta(max_length=2000)]
CustomFields = Annotated[
    dict[Key, CustomValue | int | bool | None],
    Meta(max_length=30, description="Whatever else the form asks, by its own names.", examples=[{"insurer": "Zilveren Kruis", "newPatient": True}])]
Utm = Annotated[dict[Key, LeadLine], Meta(max_length=10, description="By which campaign they came.", examples=[{"source": "newsletter"}])]
LeadGender = Literal["female", "male", "other"]
GENDERS: dict[str, LeadGender] = {
    **dict.fromkeys(("female", "f", "woman", "mujer", "femenino", "vrouw"), "female"), **dict.fromkeys(("male", "m", "man", "hombre", "masculino"), "male"),
    **dict.fromkeys(("other", "x", "otro"), "other"),
}
"""What visitors call it, in the words that forms have for it."""
LINKS = 3  # more in a message are those of somebody who sells
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_PLAIN = re.compile(r"[^\W\d_]+([ '’-][^\W\d_]+)*")


class Enquiry(Frozen):
    """Who has written, and what; all of it is theirs, under a key of their own."""

    first_name: Annotated[LeadName | None, Personal()] = None
    last_name: Annotated[LeadName | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    date_of_birth: Annotated[date | None, Personal()] = None
    gender: Annotated[LeadLine | None, Personal()] = None
    subject: Annotated[LeadLine | None, Personal()] = None
    message: Annotated[LeadMessage | None, Personal()] = None
    preferred_date: Annotated[date | None, Personal()] = None
    preferred_time_of_day: Annotated[LeadLine | None, Personal()] = None
    custom_fields: Annotated[CustomFields | None, Personal()] = None
    source_url: Annotated[LeadUrl | None, Personal()] = None
    referrer: Annotated[LeadUrl | None, Personal()] = None
    utm: Annotated[Utm | None, Personal()] = None


class LeadSubmitted(Event, Enquiry):
    """Somebody has written; `replied` and `told` say whether they, and the clinic, are sent a letter about it."""

    form_id: LeadFormId
    suspected: Suspicion | None = None
    earlier_id: LeadId | None = None  # the latest lead of the same person
    replied: bool = False
    told: bool = False


class LeadStatusSet(Event):
    """What somebody of the clinic has made of it; if it had become a patient, that was a mistake."""

    status: LeadStatus
    note: Annotated[Note | None, Personal()] = None


class LeadConverted(Event):
    """They are a patient now: registered as one just now, or in the books already."""

    patient_id: PatientId
    registered: bool


class LeadDeleted(Event):
    """It is gone from the inbox for good; its key is destroyed with it."""


LeadEvent = LeadSubmitted | LeadStatusSet | LeadConverted | LeadDeleted


class LeadContactMissing(Invalid):
    """Leave a telephone number or an e-mail address, so that the clinic can come back to you."""


class LeadBirthDateImpossible(Invalid):
    """A date of birth lies in the past, and not more than 150 years back."""


class LeadNeedsPatient(Refused):
    """A lead is converted by registering them as a patient, or by saying which patient they are: `convert` does so."""

    status = 422


class LeadIsPatient(Refused):
    """This lead has become the patient in `details`. If that was a mistake, set it to contacted first."""


class LeadNeedsGender(Invalid):
    """To register this person as a patient, say their gender: female, male or other."""


class LeadMayBeKnown(Refused):
    """Somebody in the books may be this person. `details` say who, and by what: name them as `patientId`, or register another one with `despiteLikeness`."""


class LeadForgotten(Refused):
    """This person has been forgotten for good: there is nothing left to register."""


class Lead(State):
    """Somebody who has written, until they are a patient or let be."""

    kind: ClassVar[str] = "leads"
    status: LeadStatus | None = None
    patient: UUID | None = None
    conversions: int = 0

    def evolve(self, event: LeadEvent) -> Self:
        match event:
            case LeadSubmitted(suspected=suspected):
                return replace(self, status="spam" if suspected else "new")
            case LeadStatusSet(status=status):
                return replace(self, status=status, patient=self.patient if status == "converted" else None)
            case LeadConverted(patient_id=patient):
                return replace(self, status="converted", patient=patient, conversions=self.conversions + 1)
            case LeadDeleted():
                return replace(self, status=None, patient=None)

    def submit(
        self, said: Enquiry, form: UUID, today: date, *, trapped: bool = False, earlier: UUID | None = None, reply: bool = False, tell: bool = False,
    ) -> list[Event]:
        """Take what somebody has written; of what looks like spam nobody is told."""
        if said.email is None and said.phone is None:
            raise LeadContactMissing
        ensure_born(said.date_of_birth, today)
        suspected = suspicion(said, trapped=trapped)
        clean = suspected is None
        return [LeadSubmitted(
            **only(Enquiry, said), form_id=form, suspected=suspected, earlier_id=earlier, replied=reply and clean and said.email is not None,
            told=tell and clean)]

    def set_status(self, status: LeadStatus, note: str | None) -> list[Event]:
        """Say what became of it; what is so already stays so, with another note if there is one."""
        self.ensure_known()
        if status == self.status:
            return [LeadStatusSet(status=status, note=note)] if note else []
        if status == "converted":
            raise LeadNeedsPatient
        if self.status == "converted" and status in {"archived", "spam"}:
            raise LeadIsPatient(patientId=str(self.patient))
        return [LeadStatusSet(status=status, note=note)]

    def convert(self, patient: UUID, *, registered: bool) -> list[Event]:
        self.ensure_unconverted()
        return [LeadConverted(patient_id=patient, registered=registered)]

    def patient_of(self, this: UUID) -> UUID:
        """Return the id that a patient gets who is registered from it; another one after one that was a mistake."""
        return uuid5(this, f"patient/{self.conversions}")

    def delete(self) -> list[Event]:
        self.ensure_known()
        return [LeadDeleted()]

    def ensure_unconverted(self) -> None:
        self.ensure_known()
        if self.status == "converted":
            raise LeadIsPatient(patientId=str(self.patient))

    def ensure_known(self) -> None:
        if self.status is None:
            raise NotFound(kind=self.kind)


def ensure_born(born: date | None, today: date) -> None:
    if born and (born > today or born.year < today.year - 150):
        raise LeadBirthDateImpossible(dateOfBirth=born.isoformat())


def gender_of(said: str | None) -> LeadGender | None:
    """Return what somebody calls their gender in our word for it, if it is one that is understood."""
    return GENDERS.get((said or "").strip().casefold())


def suspicion(said: Enquiry, *, trapped: bool) -> Literal["honeypot", "links"] | None:
    """Say why something looks like spam; whatever does is kept, for a browser fills in fields that nobody sees as well."""
    if trapped:
        return "honeypot"
    named = _LINK.search(f"{said.first_name} {said.last_name}")
    return "links" if named or len(_LINK.findall(f"{said.subject} {said.message}")) > LINKS else None


def called(first_name: str | None) -> str | None:
    """Return a name by which somebody may be written to who says that it is theirs; what is no name is repeated to nobody."""
    name = (first_name or "").strip()
    return name if len(name) <= 40 and _PLAIN.fullmatch(name) else None  # noqa: PLR2004 - nobody's given name is longer


LEAD_RECEIVED = letter(
    "lead.received", "Tells whoever has written by a form of the clinic's website that it has arrived.", {},
    en=("{{clinic}} has received your message", """
Dear {{name}},

Thank you for your message: it has arrived, and we come back to you.

If it was not you who wrote to us, you need not do anything.
"""),
    es=("{{clinic}} ha recibido su mensaje", """
Hola, {{name}}:

Gracias por su mensaje: lo hemos recibido y nos pondremos en contacto con usted.

Si no ha sido usted quien nos ha escrito, no tiene que hacer nada.
"""),
)

LEAD_ARRIVED = letter(
    "lead.arrived", "Tells the clinic that somebody has written by a form of its website; not who, and not what.", {"form": "Contact page"},
    en=("Somebody has written by your website", """
Dear {{name}},

Somebody has written to you by the form "{{form}}" of your website. You find it in the inbox at {{url}}.
"""),
    es=("Le han escrito desde su sitio web", """
Hola, {{name}}:

Alguien le ha escrito con el formulario «{{form}}» de su sitio web. Lo encontrará en la bandeja de entrada, en {{url}}.
"""),
)
