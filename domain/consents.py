"""Consents: what a clinic asks people to agree to, in words that have versions; and what a patient, or a guardian for them, has agreed to, how and until when.

Given, withdrawn and given again, never overwritten. There is one for each record of a patient and each form; whoever asks whether somebody agrees asks about all records of theirs.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    Claim,
    Event,
    Frozen,
    Invalid,
    Note,
    NotFound,
    PatientId,
    Personal,
    Reason,
    Ref,
    Refused,
    State,
    UniqueClaim,
    only,
)

ConsentPurpose = Literal["treatment", "data-processing", "photos", "marketing", "research", "sharing", "other"]
ConsentFormName = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"\S", examples=["Photos for our records"])]
ConsentText = Annotated[str, Meta(min_length=1, max_length=20_000, pattern=r"\S", examples=["I agree that photos are taken of my teeth, for my own record alone."])]
ValidMonths = Annotated[int, Meta(ge=1, le=600, description="Months for which a consent holds, if nothing else is said when it is given; null: until it is withdrawn.")]
ConsentVersion = Annotated[int, Meta(ge=1, description="Version of the form's words; the first is 1.")]


class ConsentWords(Frozen):
    """What is asked, for what, and for how long a consent holds."""

    name: ConsentFormName
    purpose: ConsentPurpose
    text: ConsentText
    valid_months: ValidMonths | None = None


class ConsentFormDefined(ConsentWords, Event): ...


class ConsentFormRevised(ConsentWords, Event):
    """The words from now on; the version is one higher if they read otherwise."""

    version: ConsentVersion


class ConsentFormRetired(Event):
    reason: Reason | None = None


class ConsentFormRestored(Event): ...


ConsentFormEvent = ConsentFormDefined | ConsentFormRevised | ConsentFormRetired | ConsentFormRestored


class ConsentFormIsRetired(Refused):
    """That form is not used any more. Restore it, or take another one."""


class ConsentFormInUse(Refused):
    """That form is in use as it is."""


class ConsentVersionUnknown(Invalid):
    """The form has no such version of its words."""


class ConsentForm(State):
    kind: ClassVar[str] = "consent_forms"
    words: ConsentWords | None = None
    version: int = 0
    retired: bool = False

    def evolve(self, event: ConsentFormEvent) -> Self:
        match event:
            case ConsentFormDefined():
                return replace(self, words=ConsentWords(**only(ConsentWords, event)), version=1)
            case ConsentFormRevised(version=version):
                return replace(self, words=ConsentWords(**only(ConsentWords, event)), version=version)
            case ConsentFormRetired():
                return replace(self, retired=True)
            case ConsentFormRestored():
                return replace(self, retired=False)

    def claims(self) -> frozenset[Claim]:
        """Its name, however it is written, as long as it is in use."""
        if self.words is None or self.retired:
            return frozenset()
        return frozenset({UniqueClaim(scope="consent_forms.name", key=" ".join(self.words.name.casefold().split()))})

    def define(self, words: ConsentWords) -> list[Event]:
        return [ConsentFormDefined(**only(ConsentWords, words))]

    def revise(self, words: ConsentWords) -> list[Event]:
        """Word it anew; who has agreed has agreed to the words before."""
        now = self.ensure_used()
        if ConsentWords(**only(ConsentWords, words)) == now:
            return []
        version = self.version + (words.text != now.text)
        return [ConsentFormRevised(**only(ConsentWords, words), version=version)]

    def retire(self, reason: str | None) -> list[Event]:
        self.ensure_used()
        return [ConsentFormRetired(reason=reason)]

    def restore(self) -> list[Event]:
        if self.words is None:
            raise NotFound
        if not self.retired:
            raise ConsentFormInUse
        return [ConsentFormRestored()]

    def ensure_used(self) -> ConsentWords:
        """Return its words; refuse a form that is not there, or not in use any more."""
        if self.words is None:
            raise NotFound
        if self.retired:
            raise ConsentFormIsRetired
        return self.words

    def ensure_version(self, version: int | None) -> int:
        """Return the version that somebody agrees to: the last one, unless an earlier one is named that was signed."""
        self.ensure_used()
        if version is not None and version > self.version:
            raise ConsentVersionUnknown(last=self.version)
        return version or self.version


# --- what people say to them

ConsentFormId = Annotated[UUID, Ref("consent_forms")]
RelationId = Annotated[UUID, Ref("relations")]
ConsentWay = Annotated[Literal["paper", "portal", "verbal", "phone", "email"], Meta(description="How it was said.")]
ConsentParty = Annotated[Literal["patient", "guardian"], Meta(description="Who said it.")]
ConsentStatus = Literal["none", "given", "expired", "withdrawn"]


class Said(Frozen):
    """Who said it, and how; a guardian is one of the patient's relations."""

    patient_id: PatientId
    form_id: ConsentFormId
    way: ConsentWay
    by: ConsentParty = "patient"
    relation_id: RelationId | None = None


class ConsentGiven(Said, Event):
    version: ConsentVersion
    given_on: date
    valid_until: date | None = None
    note: Annotated[Note | None, Personal("patient_id")] = None


class ConsentWithdrawn(Said, Event):
    withdrawn_on: date
    reason: Annotated[Reason | None, Personal("patient_id")] = None


ConsentEvent = ConsentGiven | ConsentWithdrawn


class ConsentDayImpossible(Invalid):
    """Nothing was said in the future or before what it takes back, and no consent ends before it begins."""


class ConsentNotGiven(Refused):
    """The patient has not agreed to that, or has taken it back already."""


class GuardianUnclear(Invalid):
    """A guardian is one of the patient's relations who answers for them: name the relation; or it was the patient who said it."""


class Consent(State):
    """What a patient's record says about one form."""

    kind: ClassVar[str] = "consents"
    given: ConsentGiven | None = None  # as long as it is not withdrawn

    def evolve(self, event: ConsentEvent) -> Self:
        match event:
            case ConsentGiven():
                return replace(self, given=replace(event, note=None))
            case ConsentWithdrawn():
                return replace(self, given=None)

    def give(self, said: Said, version: int, given_on: date, valid_until: date | None, note: str | None, today: date) -> list[Event]:
        if given_on > today or (valid_until is not None and valid_until < given_on):
            raise ConsentDayImpossible
        return [ConsentGiven(**only(Said, said), version=version, given_on=given_on, valid_until=valid_until, note=note)]

    def withdraw(self, said: Said, withdrawn_on: date, reason: str | None, today: date) -> list[Event]:
        """Take it back, whether or not it has run out; what was never given, or is taken back already, is none of this record's."""
        if self.given is None:
            return []
        if withdrawn_on > today or withdrawn_on < self.given.given_on:
            raise ConsentDayImpossible
        return [ConsentWithdrawn(**only(Said, said), withdrawn_on=withdrawn_on, reason=reason)]


def consent_of(patient: UUID, form: UUID) -> UUID:
    """Return the id under which it is kept what a patient's record says about a form."""
    return uuid5(patient, f"consents/{form}")


def ensure_guardian(said: Said, relation: tuple[UUID | None, bool] | None, records: Iterable[UUID]) -> None:
    """Refuse a guardian who is nobody's, somebody else's or none; `relation` says whose it is and whether it is a guardian that still is one."""
    if (said.by == "guardian") != (said.relation_id is not None):
        raise GuardianUnclear
    if relation is not None and (relation[0] not in {*records} or not relation[1]):
        raise GuardianUnclear


def later(day: date, months: int) -> date:
    """Return the day so many months later; of a month that is too short, its last."""
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - date.resolution).day
    return date(year, month, min(day.day, last))
