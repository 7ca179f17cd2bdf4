"""Patients: people are registered, their particulars and medical history kept up to date; they are archived, never erased by a click."""

from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import (
    AccountId,
    Claim,
    Email,
    Event,
    Forbidden,
    Frozen,
    Invalid,
    Note,
    NotFound,
    PatientId,
    Personal,
    Phone,
    Reason,
    Refused,
    StaffId,
    State,
    Text,
    UniqueClaim,
    only,
)
from domain.kit.sources import Source

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S", examples=["Noor"])]
Sex = Literal["female", "male", "other"]
Address = Annotated[str, Meta(max_length=500)]
PatientGroup = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$", examples=["Orthodontics"])]
Groups = Annotated[list[PatientGroup], Meta(max_length=50)]
NationalId = Annotated[str, Meta(min_length=1, max_length=40)]
ExternalId = Annotated[str, Meta(
    min_length=1, max_length=100, pattern=r"^\S(.*\S)?$", description="By which another program knows the patient; once in a clinic, whatever its case.", examples=["NL-4711"])]
PatientNumber = Annotated[int, Meta(ge=1, description="The clinic's own number for the patient: given at registration, rising, never to anybody else.")]

Tongue = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=20, description="A language, as BCP 47 has it.", examples=["nl"])]
ContactWay = Literal["phone", "email", "sms", "whatsapp", "post", "portal"]
PartOfDay = Literal["early-morning", "morning", "afternoon", "evening"]
Need = Literal["interpreter", "wheelchair", "hearing", "sight", "companion", "anxiety", "extra-time"]
Ways = Annotated[list[ContactWay], Meta(max_length=6, description="By which ways they are best reached, the best first.")]
Times = Annotated[list[PartOfDay], Meta(max_length=4, description="When they are best called, or seen.")]
Needs = Annotated[list[Need], Meta(max_length=7, description="What is to be seen to when they come.")]

NUMBERS = "patients"  # the series that patients' numbers are from


class Demographics(Frozen):
    """Who a patient is and how to reach them; all of it is theirs, and gone once their key is destroyed, but for how they heard of the clinic."""

    given_name: Annotated[Name | None, Personal()] = None
    family_name: Annotated[Name | None, Personal()] = None
    birth_date: Annotated[date | None, Personal()] = None
    sex: Annotated[Sex | None, Personal()] = None
    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    address: Annotated[Address | None, Personal()] = None
    national_id: Annotated[NationalId | None, Personal()] = None
    notes: Annotated[Note | None, Personal()] = None
    source: Source | None = None
    external_id: Annotated[ExternalId | None, Personal()] = None


MedicalList = Literal["allergies", "conditions", "medications"]
Severity = Annotated[Literal["mild", "moderate", "severe", "life-threatening"], Meta(description="How bad an allergy's reaction is.")]
Certainty = Annotated[Literal["suspected", "confirmed"], Meta(description="Whether an allergy is known or only thought of.")]
Teller = Annotated[Literal["patient", "relative", "clinician", "document", "other"], Meta(description="Who or what says so.")]
Dosage = Annotated[str, Meta(min_length=1, max_length=200, description="How much of a medicine, and how often.", examples=["400 mg, three times a day"])]


class MedicalEntry(Frozen, omit_defaults=True):
    """One line of a medical history: an allergy, a condition or a medication."""

    name: Text
    note: Note | None = None
    since: date | None = None
    severity: Severity | None = None
    certainty: Certainty | None = None
    dosage: Dosage | None = None
    teller: Teller | None = None


class MedicalLine(Frozen):
    """An entry of a medical history that is kept by itself, and whether it holds still."""

    id: UUID
    what: MedicalList
    entry: MedicalEntry
    holds: bool = True


MedicalEntryId = Annotated[UUID, Meta(description="Id of one of the entries of the patient's medical history.")]
Entries = Annotated[list[MedicalEntry], Meta(max_length=200)]


class Particulars(Demographics):
    """Who a patient is, with a keyed hash of what another program calls them, by which that stays theirs alone."""

    external_key: str | None = None


class PatientRegistered(Particulars, Event):
    registered_on: date
    number: PatientNumber | None = None  # earlier releases gave none


class PatientChanged(Particulars, Event): ...


class MedicalHistoryAmended(Event):
    """The whole history as it now stands; the one before stays in the stream."""

    allergies: Annotated[Entries | None, Personal()] = None
    conditions: Annotated[Entries | None, Personal()] = None
    medications: Annotated[Entries | None, Personal()] = None


class Stated(Frozen):
    """What an entry of a medical history says with this, as a whole: what it said before stays in the stream."""

    entry_id: MedicalEntryId
    what: MedicalList
    entry: Annotated[MedicalEntry | None, Personal()] = None


class MedicalEntryAdded(Stated, Event): ...


class MedicalEntryAmended(Stated, Event):
    reason: Annotated[Reason | None, Personal()] = None


class MedicalEntryEnded(Stated, Event):
    """It held once, and does not any more."""

    ended_on: date
    reason: Annotated[Reason | None, Personal()] = None


class MedicalEntryRefuted(Stated, Event):
    """It never held, and was entered in error."""

    reason: Annotated[Reason | None, Personal()] = None


class MedicalEntryReopened(Stated, Event):
    """It holds after all."""

    reason: Annotated[Reason | None, Personal()] = None


class PatientContactChanged(Event):
    """The patient has said themselves how they are reached; what is null stays."""

    email: Annotated[Email | None, Personal()] = None
    phone: Annotated[Phone | None, Personal()] = None
    address: Annotated[Address | None, Personal()] = None


class MedicalHistoryReported(Event):
    """What the patient says themselves, as a whole; it stands beside what the clinic has noted, and the report before stays in the stream."""

    allergies: Annotated[Entries | None, Personal()] = None
    conditions: Annotated[Entries | None, Personal()] = None
    medications: Annotated[Entries | None, Personal()] = None


class PatientArchived(Event): ...


class PatientRestored(Event): ...


class PatientSourceSet(Event):
    """It turned out how the patient came to the clinic."""

    source: Source


class PatientBlocked(Event):
    """Nothing is to be booked for the patient, until further notice."""

    reason: Annotated[Reason | None, Personal()] = None


class PatientUnblocked(Event):
    reason: Annotated[Reason | None, Personal()] = None


class PatientGroupsChanged(Event):
    """Into which groups the patient came, and out of which; what it says is theirs, for a group may tell of an illness."""

    added: Annotated[Groups | None, Personal()] = None
    removed: Annotated[Groups | None, Personal()] = None


class PatientAccessRefreshed(Event):
    """The patient has a fresh link to the portal; the one before opens nothing any more."""

    account_id: AccountId


class Preferences(Frozen):
    """What a patient likes best: their language, by which ways and when they are called, whom they see, and what is to be seen to. What is null they have not said.

    What they do not want to be written at all is a wish about messages, and what the desk tells itself is a note.
    """

    language: Annotated[Tongue | None, Personal()] = None
    ways: Annotated[Ways | None, Personal()] = None
    times: Annotated[Times | None, Personal()] = None
    doctor_id: StaffId | None = None
    needs: Annotated[Needs | None, Personal()] = None


class PatientPreferencesChanged(Preferences, Event):
    """What the patient likes best, as a whole."""


class Belonging(Frozen):
    """Something that is a patient's: an appointment, credit, an instalment plan, an insurance claim or cover, an invoice, a quotation, a receipt, a recall, a series of appointments or a place in the waiting queue."""

    kind: Literal["appointments", "credits", "installments", "insurance_claims", "insurance_covers", "invoices", "quotations", "recalls", "receipts", "recurrences", "queue"]
    id: Annotated[UUID, Meta(description="Its id.")]


class PatientsMerged(Event):
    """Another record of this patient's was merged into this one: `records` are that one, and whatever had been merged into it before."""

    loser_id: PatientId
    records: list[PatientId]
    reason: Annotated[Reason | None, Personal()] = None
    blocked: bool = False  # nothing was to be booked for that one, and so nothing is for this one


class PatientReplaced(Event):
    """This record was merged into another one of the same patient's, which has what was this one's."""

    survivor_id: PatientId
    moved: list[Belonging]


class PatientsUnmerged(Event):
    """A record that had been merged into this one is one of its own again."""

    loser_id: PatientId
    records: list[PatientId]
    reason: Annotated[Reason | None, Personal()] = None


class PatientReinstated(Event):
    """This record is one of its own again, and has back what it had when it was merged."""

    survivor_id: PatientId
    moved: list[Belonging]


PatientEvent = (
    PatientRegistered | PatientChanged | MedicalHistoryAmended | PatientArchived | PatientRestored | PatientAccessRefreshed | PatientsMerged | PatientReplaced
    | PatientSourceSet | PatientsUnmerged | PatientReinstated | PatientContactChanged | MedicalHistoryReported
    | PatientBlocked | PatientUnblocked | PatientGroupsChanged
    | PatientPreferencesChanged | MedicalEntryAdded | MedicalEntryAmended | MedicalEntryEnded | MedicalEntryRefuted | MedicalEntryReopened
)


class BirthDateImpossible(Invalid):
    """A date of birth lies in the past, and not more than 150 years back."""


class MedicalEntryUnknown(NotFound):
    """There is no such entry in the patient's medical history."""


class MedicalEntryMisplaced(Invalid):
    """Severity and certainty are an allergy's, a dosage is a medication's."""


class MedicalEntryDoubled(Refused):
    """That is in the patient's medical history already: the entry in `details`. Amend it."""


class MedicalEntryClosed(Refused):
    """That entry has ended, or was entered in error. Reopen it first, or add another one."""


class MedicalEntryOpen(Refused):
    """That entry holds as it is."""


class MedicalEndImpossible(Invalid):
    """Nothing has ended in the future, or before it began."""


class PreferredNotADoctor(Invalid):
    """Only a doctor who works here can be the one whom a patient likes to see."""


class ExternalIdTaken(Refused):
    """Another patient of the clinic has that external id: the one in `details`."""


class PatientNotActive(Refused):
    """That patient is archived. Restore them first."""


class PatientIsBlocked(Refused):
    """Nothing is to be booked for this patient. Whoever may overbook can do so all the same, with `despiteBlock` and a reason."""


class PatientNotBlocked(Refused):
    """This patient is not blocked."""


class BlockNeedsReason(Invalid):
    """To book for a patient who is blocked, say why."""


class PatientMerged(Refused):
    """This record was merged into another one of the same patient's: the one in `details`. Use that one."""


class MergedWithItself(Invalid):
    """A record cannot be merged with itself. Name two different records of the patient."""


class PatientsNotMerged(Refused):
    """That record has not been merged into this one."""


class PatientErased(Refused):
    """This person has been forgotten for good. Their records stay as they are."""


class VisitsClash(Refused):
    """Both records have a visit at the same time, still to come. `details` say which: cancel or move one of each pair first."""


class PatientUnreachable(Refused):
    """There is no e-mail address to send the link to. Enter one first."""

    status = 422


class PatientNotArchived(Refused):
    """Only an archived patient can be restored."""


class Patient(State):
    kind: ClassVar[str] = "patients"
    registered: bool = False
    archived: bool = False
    account: UUID | None = None  # by which the patient was last let into the portal
    source: Source | None = None
    merged_into: UUID | None = None
    moved: tuple[Belonging, ...] = ()  # to the record that this one was merged into
    blocked: bool = False
    records: tuple[UUID, ...] = ()  # merged into this one, with those that had been merged into them
    external_key: str | None = None
    number: int | None = None

    def evolve(self, event: PatientEvent) -> Self:  # noqa: C901, PLR0911, PLR0912 - one for each kind of event
        match event:
            case PatientRegistered(source=source, external_key=key, number=number):
                return replace(self, registered=True, source=source, external_key=key, number=number)
            case PatientChanged(source=source, external_key=key):
                return replace(self, source=source, external_key=key)
            case PatientSourceSet(source=source):
                return replace(self, source=source)
            case MedicalHistoryAmended() | PatientContactChanged() | MedicalHistoryReported() | PatientGroupsChanged() | PatientPreferencesChanged():
                return self
            case MedicalEntryAdded() | MedicalEntryAmended() | MedicalEntryEnded() | MedicalEntryRefuted() | MedicalEntryReopened():
                return self  # what they say is the patient's, and no rule may rest on it once it is forgotten
            case PatientAccessRefreshed(account_id=account):
                return replace(self, account=account)
            case PatientArchived():
                return replace(self, archived=True)
            case PatientRestored():
                return replace(self, archived=False)
            case PatientBlocked():
                return replace(self, blocked=True)
            case PatientUnblocked():
                return replace(self, blocked=False)
            case PatientsMerged(records=records, blocked=blocked):
                return replace(self, records=(*self.records, *records), blocked=self.blocked or blocked)
            case PatientsUnmerged(records=gone):
                return replace(self, records=tuple(record for record in self.records if record not in gone))
            case PatientReplaced(survivor_id=survivor, moved=moved):
                return replace(self, merged_into=survivor, moved=tuple(moved))
            case PatientReinstated():
                return replace(self, merged_into=None, moved=())

    def claims(self) -> frozenset[Claim]:
        """The clinic's number, and what another program calls the patient; both stay theirs when they are merged, archived or forgotten."""
        keys = {"patients.number": self.number, "patients.external": self.external_key}
        return frozenset(UniqueClaim(scope=scope, key=str(key)) for scope, key in keys.items() if key is not None)

    def ensure_active(self) -> None:
        """Refuse what can only be done for a patient who is still with the clinic."""
        self.ensure_unmerged()
        if self.archived:
            raise PatientNotActive

    def ensure_unmerged(self) -> None:
        """Refuse a record that stands for nobody any more, and say which one does."""
        if self.merged_into is not None:
            raise PatientMerged(into=str(self.merged_into))

    def ensure_reachable(self, *, reachable: bool) -> None:
        """Refuse to write to somebody who is gone, or of whom the clinic has no address."""
        self.ensure_active()
        if not reachable:
            raise PatientUnreachable

    def ensure_bookable(self, *, despite: bool = False, may: bool = False, reason: str | None = None) -> None:
        """Refuse to book for somebody who is gone, or blocked; `despite` goes past a block, which takes a permission and a reason."""
        self.ensure_active()
        if not self.blocked:
            return
        if not despite:
            raise PatientIsBlocked
        if not may:
            raise Forbidden(permission="appointments.overbook")
        if not reason:
            raise BlockNeedsReason

    def block(self, reason: str) -> list[Event]:
        """Have nothing booked any more; whoever is blocked already is so for another reason now."""
        self.ensure_active()
        return [PatientBlocked(reason=reason)]

    def unblock(self, reason: str | None) -> list[Event]:
        self.ensure_active()
        if not self.blocked:
            raise PatientNotBlocked
        return [PatientUnblocked(reason=reason)]

    def regroup(self, groups: list[str], add: list[str], remove: list[str]) -> list[Event]:
        """Put the patient, who is in `groups`, into others and take them out of some; what is in both stays in."""
        self.ensure_active()
        added = [group for group in dict.fromkeys(add) if group not in groups]
        removed = [group for group in dict.fromkeys(remove) if group in groups and group not in add]
        return [PatientGroupsChanged(added=added, removed=removed)] if added or removed else []

    def register(self, person: Demographics, today: date, number: int | None = None, external_key: str | None = None) -> list[Event]:
        ensure_born(person, today)
        return [PatientRegistered(**only(Demographics, person), registered_on=today, number=number, external_key=external_key)]

    def change(self, person: Demographics, today: date, external_key: str | None = None) -> list[Event]:
        self.ensure_active()
        ensure_born(person, today)
        return [PatientChanged(**only(Demographics, person), external_key=external_key)]

    def amend(self, allergies: Entries, conditions: Entries, medications: Entries) -> list[Event]:
        self.ensure_active()
        return [MedicalHistoryAmended(allergies=allergies, conditions=conditions, medications=medications)]

    def add_entry(self, this: UUID, known: list[MedicalLine], count: int, what: MedicalList, entry: MedicalEntry) -> list[Event]:
        """Add to the history, of which `known` are the entries, `count` of them this record's own."""
        self.ensure_active()
        ensure_placed(what, entry)
        ensure_single(known, what, entry)
        return [MedicalEntryAdded(entry_id=uuid5(this, f"medical/entries/{count + 1}"), what=what, entry=entry)]

    def amend_entry(self, known: list[MedicalLine], id: UUID, entry: MedicalEntry, reason: str) -> list[Event]:  # noqa: A002
        self.ensure_active()
        line = line_of(known, id)
        if not line.holds:
            raise MedicalEntryClosed
        ensure_placed(line.what, entry)
        ensure_single([one for one in known if one.id != id], line.what, entry)
        return [] if entry == line.entry else [MedicalEntryAmended(entry_id=id, what=line.what, entry=entry, reason=reason)]

    def end_entry(self, known: list[MedicalLine], id: UUID, ended_on: date, reason: str | None, today: date) -> list[Event]:  # noqa: A002
        self.ensure_active()
        line = line_of(known, id)
        if not line.holds:
            raise MedicalEntryClosed
        if ended_on > today or (line.entry.since is not None and ended_on < line.entry.since):
            raise MedicalEndImpossible(endedOn=ended_on.isoformat())
        return [MedicalEntryEnded(entry_id=id, what=line.what, entry=line.entry, ended_on=ended_on, reason=reason)]

    def refute_entry(self, known: list[MedicalLine], id: UUID, reason: str) -> list[Event]:  # noqa: A002
        self.ensure_active()
        line = line_of(known, id)
        if not line.holds:
            raise MedicalEntryClosed
        return [MedicalEntryRefuted(entry_id=id, what=line.what, entry=line.entry, reason=reason)]

    def reopen_entry(self, known: list[MedicalLine], id: UUID, reason: str | None) -> list[Event]:  # noqa: A002
        self.ensure_active()
        line = line_of(known, id)
        if line.holds:
            raise MedicalEntryOpen
        ensure_single(known, line.what, line.entry)
        return [MedicalEntryReopened(entry_id=id, what=line.what, entry=line.entry, reason=reason)]

    def say_contact(self, email: str | None, phone: str | None, address: str | None) -> list[Event]:
        """Take the patient's word on how they are reached."""
        self.ensure_active()
        said = {"email": email, "phone": phone, "address": address}
        return [PatientContactChanged(**said)] if any(value is not None for value in said.values()) else []

    def prefer(self, wanted: Preferences) -> list[Event]:
        """Note what the patient likes best; each of several ways, times and needs once."""
        self.ensure_active()
        once: dict[str, Any] = {name: list(dict.fromkeys(value)) if isinstance(value, list) else value for name, value in only(Preferences, wanted).items()}
        return [PatientPreferencesChanged(**once)]

    def report(self, allergies: Entries, conditions: Entries, medications: Entries) -> list[Event]:
        """Take the patient's word on their history; nothing that the clinic has noted goes by it."""
        self.ensure_active()
        return [MedicalHistoryReported(allergies=allergies, conditions=conditions, medications=medications)]

    def credit(self, source: Source) -> list[Event]:
        """Note how the patient came to the clinic, now that it is known."""
        self.ensure_active()
        return [] if source == self.source else [PatientSourceSet(source=source)]

    def refresh_access(self, account: UUID) -> list[Event]:
        self.ensure_active()
        return [PatientAccessRefreshed(account_id=account)]

    def archive(self) -> list[Event]:
        self.ensure_active()
        return [PatientArchived()]

    def merge(self, this: UUID, loser: Self, other: UUID, reason: str | None) -> list[Event]:
        """Take another record in; two that are one already stay so."""
        if this == other:
            raise MergedWithItself
        if loser.merged_into == this:
            return []
        self.ensure_active()
        loser.ensure_unmerged()
        return [PatientsMerged(loser_id=other, records=[other, *loser.records], reason=reason, blocked=loser.blocked)]

    def unmerge(self, this: UUID, loser: Self, other: UUID, reason: str | None) -> list[Event]:
        """Let a record go that was taken in. Of a chain the last link goes first."""
        self.ensure_unmerged()
        if loser.merged_into != this:
            raise PatientsNotMerged
        return [PatientsUnmerged(loser_id=other, records=[other, *loser.records], reason=reason)]

    def restore(self) -> list[Event]:
        self.ensure_unmerged()
        if not self.archived:
            raise PatientNotArchived
        return [PatientRestored()]


def line_of(known: list[MedicalLine], id: UUID) -> MedicalLine:  # noqa: A002
    """Return the entry of a history that has that id; refuse one that is not there."""
    if (found := next((line for line in known if line.id == id), None)) is None:
        raise MedicalEntryUnknown(entryId=str(id))
    return found


def ensure_placed(what: MedicalList, entry: MedicalEntry) -> None:
    """Refuse what makes no sense in that list."""
    if (what != "allergies" and (entry.severity or entry.certainty)) or (what != "medications" and entry.dosage):
        raise MedicalEntryMisplaced


def ensure_single(known: list[MedicalLine], what: MedicalList, entry: MedicalEntry) -> None:
    """Refuse what the list says already."""
    name = alike(entry)
    if (other := next((line for line in known if line.holds and line.what == what and alike(line.entry) == name), None)) is not None:
        raise MedicalEntryDoubled(entryId=str(other.id))


def alike(entry: MedicalEntry) -> str:
    """Return by what two entries of a list are one."""
    return " ".join(f"{entry.name} {entry.dosage or ''}".casefold().split())


def ensure_born(person: Demographics, today: date) -> None:
    born = person.birth_date
    if born and (born > today or born.year < today.year - 150):
        raise BirthDateImpossible(birthDate=born.isoformat())
