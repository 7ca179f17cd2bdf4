"""Leads of referral sources: somebody who has a source's link says that they would like to come; the clinic calls them, and they become a patient or not."""

from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

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
    Reason,
    Ref,
    Refused,
    State,
    Text,
    only,
)
from domain.kit.sources import Source

ReferralId = Annotated[UUID, Ref("referrals")]
ReferralLeadStatus = Literal["new", "contacted", "converted", "dismissed"]
LeadWish = Annotated[str, Meta(max_length=2000)]
Consent = Annotated[bool, Meta(description="That the clinic may keep this and come back to them.")]


class Introduction(Frozen):
    """Who would like to come, and what for; theirs, under a key of their own."""

    name: Annotated[Text | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    wish: Annotated[LeadWish | None, Personal()] = None


class ReferralLeadSubmitted(Event, Introduction):
    referral_id: ReferralId
    consent: Consent


class ReferralLeadContacted(Event):
    """Somebody of the clinic has come back to them."""

    note: Annotated[Note | None, Personal()] = None


class ReferralLeadConverted(Event):
    """They are a patient now, who counts as having come so."""

    patient_id: PatientId
    source: Source


class ReferralLeadDismissed(Event):
    reason: Annotated[Reason | None, Personal()] = None


class ReferralLeadReopened(Event):
    """It is to be seen to after all; if it had become a patient, that was a mistake."""


ReferralLeadEvent = ReferralLeadSubmitted | ReferralLeadContacted | ReferralLeadConverted | ReferralLeadDismissed | ReferralLeadReopened


class ConsentMissing(Invalid):
    """Say that the clinic may keep what you have written and come back to you."""


class ContactMissing(Invalid):
    """Leave a telephone number or an e-mail address, so that the clinic can come back to you."""


class ReferralLeadSettled(Refused):
    """This lead has become a patient or was dismissed. Open it again first."""


class ReferralLeadOpen(Refused):
    """This lead is open as it is."""


class ReferralLead(State):
    """Somebody who would like to come, until they are a patient or let be."""

    kind: ClassVar[str] = "referral_leads"
    status: ReferralLeadStatus | None = None
    contacted: bool = False
    referral: UUID | None = None
    patient: UUID | None = None

    def evolve(self, event: ReferralLeadEvent) -> Self:
        match event:
            case ReferralLeadSubmitted(referral_id=referral):
                return replace(self, status="new", referral=referral)
            case ReferralLeadContacted():
                return replace(self, status="contacted", contacted=True)
            case ReferralLeadConverted(patient_id=patient):
                return replace(self, status="converted", patient=patient)
            case ReferralLeadDismissed():
                return replace(self, status="dismissed")
            case ReferralLeadReopened():
                return replace(self, status="contacted" if self.contacted else "new", patient=None)

    def submit(self, said: Introduction, referral: UUID, *, consent: bool) -> list[Event]:
        if not consent:
            raise ConsentMissing
        if said.email is None and said.phone is None:
            raise ContactMissing
        return [ReferralLeadSubmitted(**only(Introduction, said), referral_id=referral, consent=consent)]

    def contact(self, note: str | None) -> list[Event]:
        self.ensure_open()
        return [ReferralLeadContacted(note=note)]

    def convert(self, patient: UUID, source: Source) -> list[Event]:
        self.ensure_open()
        return [ReferralLeadConverted(patient_id=patient, source=source)]

    def dismiss(self, reason: str | None) -> list[Event]:
        self.ensure_open()
        return [ReferralLeadDismissed(reason=reason)]

    def reopen(self) -> list[Event]:
        if self.status is None:
            raise NotFound
        if self.status in {"new", "contacted"}:
            raise ReferralLeadOpen
        return [ReferralLeadReopened()]

    def ensure_open(self) -> None:
        if self.status is None:
            raise NotFound
        if self.status not in {"new", "contacted"}:
            raise ReferralLeadSettled(status=self.status)
