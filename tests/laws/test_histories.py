"""Whatever is asked of an aggregate, in whatever order: only a refusal says no, and what follows survives storage, replay, a snapshot and a lost key."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar
from uuid import UUID, uuid4

import pytest
from msgspec import convert, json
from msgspec.structs import replace

from commands.kit import Creation
from domain.absences import Absence, AbsenceSettled, AbsenceUndone, AbsentVisit, Stand
from domain.appointment_types import AppointmentType, AppointmentTypeAdded
from domain.appointments import Appointment, AppointmentBooked, AppointmentDetailsChanged
from domain.card_payments import CardPayment, CardPaymentReceived
from domain.clinics import GRACE, Clinic, ClinicClosing, ClinicOpened
from domain.credits import Credit, CreditGained, CreditReceived, CreditReturned, CreditUsed
from domain.group_sessions import GroupSeatKept, GroupSeatTaken, GroupSession, GroupSessionPlanned
from domain.holds import Hold, HoldUsed, TimeHeld
from domain.installments import InstallmentPlan, InstallmentPlanMade
from domain.insurance_claims import (
    Adjustment,
    Answer,
    AnsweredLine,
    AttachedFile,
    ClaimContent,
    InsuranceClaim,
    InsuranceClaimDrafted,
    WrittenOffLine,
)
from domain.insurance_covers import CoverAdded, InsuranceCover
from domain.invoices import Invoice, InvoiceCredited, InvoiceDrafted, PaymentReallocated, PaymentRefunded
from domain.kit import At, Elsewhere, Event, Personal, State, TimeClaim
from domain.kit.codec import TamperedError, decode, encode, person, personal
from domain.kit.grants import table
from domain.leads import Lead, LeadDeleted, LeadSubmitted
from domain.patients import Patient, PatientRegistered, PatientReinstated, PatientReplaced, PatientSourceSet
from domain.payroll import (
    PayrollEmployee,
    PayrollEmployeeAdded,
    PayrollPeriod,
    PayrollPeriodGivenBack,
    PayrollPeriodOpened,
    PayrollPeriodTaken,
    PayrollRun,
    PayrollRunChanged,
    PayrollRunDrafted,
    PeriodSettled,
)
from domain.places import Place, PlaceOpened
from domain.portal_invitations import PortalInvitation, PortalInvited, PortalJoined
from domain.queue import PatientQueued, WalkIn
from domain.quotations import Quotation, QuotationDrafted
from domain.recall_campaigns import CampaignCall, CampaignCallQueued, CampaignCallSkipped
from domain.recalls import Recall, RecallScheduled
from domain.receipts import Receipt, ReceiptIssued
from domain.recurrences import (
    AppointmentSeriesBooked,
    AppointmentSeriesChanged,
    AppointmentSeriesExtended,
    Occurrence,
    Recurrence,
    Rule,
)
from domain.referral_leads import ReferralLead, ReferralLeadSubmitted
from domain.referrals import ReferralLinkMade, ReferralSource, ReferralSourceAdded
from domain.reminders import Reminder, ReminderSkipped
from domain.rooms import Room, RoomAdded
from domain.schedules import Hours, Schedule, ScheduleSet
from domain.seats import Seats, SeatTaken
from domain.slot_offers import SlotOffer, SlotOfferAccepted, SlotOffered
from domain.staff import Staff, StaffHired
from domain.visit_fees import VisitFee, VisitFeeCharged, VisitFeeWithdrawn
from domain.waiting_list import Times, WaitingEntry, WaitingEntryAdded, WaitingEntryServed
from gateway.kit.examples import example
from projections.kit import PROJECTIONS, Projection
from schemas.kit import Row
from tests.kit import THIS, facts, noon
from tests.laws.project import COMMANDS, STATES
from tests.laws.some import Step, World, events_of, looked_up, states_in

KEY = bytes(range(32))
USUAL: dict[type[State], list[Event]] = {
    Clinic: [ClinicOpened(name="Grachten", zone="Europe/Amsterdam", currency="EUR", plan="Pro+")],
    Seats: [SeatTaken(holder=THIS, role="doctor")],
    Patient: [PatientRegistered(given_name="Noor", family_name="Bakker", registered_on=noon.today)],
    ReferralSource: [ReferralSourceAdded(kind="practitioner", name="Dr Maas", name_key="0" * 32), ReferralLinkMade(number=1)],
    Room: [RoomAdded(name="Room 1")],
    Place: [PlaceOpened(name="Noord")],
    AppointmentType: [AppointmentTypeAdded(name="Implant", minutes=60)],
    Staff: [StaffHired(name="Dr Sam Visser", email="sam@example.org", role="doctor")],
    Schedule: [ScheduleSet(doctor_id=THIS, week=[[Hours(start="00:00", end="24:00")]] * 7, buffer_before=5, buffer_after=10)],
}
OTHER = UUID(int=43)
BOOKED = convert({**example(AppointmentBooked), "patientId": str(OTHER), "endsAt": "2026-03-02T09:30:00Z"}, AppointmentBooked)
SCHEDULED = convert({**example(RecallScheduled), "patientId": str(OTHER)}, RecallScheduled)
QUEUED = PatientQueued(patient_id=OTHER, on=noon.today, number=1)
RECURRING = AppointmentSeriesBooked(
    patient_id=OTHER, doctor_id=THIS, type="check-up", time="09:00", minutes=30, rule=Rule(unit="days", count=3), starts_on=noon.today, mode="each", missing=[],
    occurrences=[Occurrence(number=n, on=noon.today, time="09:00", outcome="booked", appointment_id=id_) for n, id_ in enumerate((THIS, UUID(int=1), UUID(int=2)), 1)])
EXTENDED = AppointmentSeriesExtended(
    patient_id=THIS, doctor_id=THIS, rule=Rule(unit="days", count=4), mode="each", missing=[],
    occurrences=[Occurrence(number=4, on=noon.today, time="09:00", outcome="refused", code="TIME_TAKEN")])
ALTERED = AppointmentSeriesChanged(
    patient_id=THIS, doctor_id=THIS, type="check-up", time="10:00", minutes=30, scope="one", mode="each",
    occurrences=[Occurrence(number=1, on=noon.today, time="10:00", outcome="changed", appointment_id=THIS)])
PUT_DOWN = convert({**example(CreditReceived), "patientId": str(OTHER), "recordId": None}, CreditReceived)
AGREED = convert({**example(InstallmentPlanMade), "patientId": str(OTHER), "invoiceId": None}, InstallmentPlanMade)
STOOD, STANDS = (Stand(doctor_id=THIS, start_local=start) for start in ("2026-03-02T09:00:00", "2026-03-03T09:00:00"))
LISTED = WaitingEntryAdded(patient_id=OTHER, times=[Times(weekdays=["monday"], end="12:00")])
PROPOSED = convert({**example(SlotOffered), "patientId": str(OTHER), "endsAt": "2026-03-02T09:30:00Z", "expiresAt": (noon.now + GRACE).isoformat(), "groupId": None}, SlotOffered)
PLANNED = convert({**example(GroupSessionPlanned), "endsAt": "2026-03-02T09:30:00Z"}, GroupSessionPlanned)
DRAFTED = convert({**example(InvoiceDrafted), "patientId": str(OTHER)}, InvoiceDrafted)
CLAIMED = convert({**example(InsuranceClaimDrafted), "patientId": str(OTHER), "treatedOn": "2026-01-01", "lines": [{"line": 1, "description": "Crown", "billed": 2, "claimed": 2}]}, InsuranceClaimDrafted)
HALF = Answer(lines=[AnsweredLine(line=1, approved=1, adjustments=[Adjustment(group="PR", code="1", amount=1)])])
BEYOND = [WrittenOffLine(line=1, billed=2, allowed=1, amount=1)]
SCAN = AttachedFile(attachment_id=THIS, name="X-ray", media="application/pdf", size=1, digest="0")
COVERED = convert({**example(CoverAdded), "patientId": str(OTHER), "validFrom": "2026-01-01", "validTo": None}, CoverAdded)
OFFERED = convert({**example(QuotationDrafted), "patientId": str(OTHER), "validUntil": None}, QuotationDrafted)
RECEIPTED = convert({**example(ReceiptIssued), "patientId": str(OTHER)}, ReceiptIssued)
LEFT_OVER = replace(convert(example(CardPaymentReceived), CardPaymentReceived), amount=500, applied=0, kept=500, because="paid-otherwise")
CHARGED = VisitFeeCharged(appointment_id=OTHER, cause="no-show", invoice_id=THIS, amount=5_000, currency="EUR")
ASKED = PortalInvited(patient_id=OTHER, address_key="5d41402abc4b2a76b9719d911017c592", number=1, expires_at=noon.now + GRACE)
HELD = replace(convert(example(TimeHeld), TimeHeld), expires_at=noon.now + GRACE)
HIRED = [PayrollEmployeeAdded(name="Eva Jansen", salary_kind="monthly", salary=100, starts_on=noon.today), PeriodSettled(period_id=OTHER, run_id=THIS, starts_on=noon.today, ends_on=noon.today, commission=-5, basis=0)]


def lived(state: Any, events: list[Any], *steps: Callable[[Any], list[Any]]) -> list[Event]:
    """Return what a thing says that is taken through these steps of its life."""
    for step in steps:
        events = [*events, *(told := step(state))]
        state = state.after(told)
    return events


BEGUN: dict[type[State], list[Event]] = {  # where chance alone would hardly come, or only a command about something else leads
    Clinic: [*USUAL[Clinic], ClinicClosing(until=noon.now + GRACE, reason="I retire", by=THIS)],
    Patient: [*USUAL[Patient], PatientReplaced(survivor_id=THIS, moved=[]), PatientReinstated(survivor_id=THIS, moved=[]), PatientSourceSet(source="event")],
    Appointment: [BOOKED, *(MOVED := Appointment.replay([BOOKED]).reassign(OTHER, THIS, noon.now)), *(THERE := Appointment.replay([BOOKED, *MOVED]).arrive(1)),
        convert({**example(AppointmentDetailsChanged), "patientId": str(THIS)}, AppointmentDetailsChanged), *Appointment.replay([BOOKED, *MOVED, *THERE]).seat()],
    WalkIn: [QUEUED, *WalkIn.replay([QUEUED]).reassign(OTHER, THIS, noon.now)],
    Hold: [HELD, HoldUsed(doctor_id=THIS, appointment_id=OTHER)],
    PortalInvitation: [ASKED, PortalJoined(patient_id=OTHER, account_id=THIS)],
    Recall: [SCHEDULED, *Recall.replay([SCHEDULED]).reassign(OTHER, THIS, noon.now)],
    Absence: [
        AbsenceSettled(on=noon.today, last_on=noon.today, mode="each", visits=[AbsentVisit(appointment_id=THIS, outcome="moved", was=STOOD, now=STANDS)]),
        AbsenceUndone(on=noon.today, last_on=noon.today, mode="each", visits=[AbsentVisit(appointment_id=THIS, outcome="moved", was=STANDS, now=STOOD)])],
    Recurrence: [RECURRING, *Recurrence.replay([RECURRING]).reassign(OTHER, THIS, noon.now), EXTENDED, ALTERED],
    ReferralLead: [ReferralLeadSubmitted(referral_id=OTHER, name="Ada", phone="+31 6 1234 5678", consent=True)],  # by a link of just that number
    Lead: [*(WROTE := [LeadSubmitted(form_id=OTHER, first_name="Ada", phone="+31 6 1234 5678")]), LeadDeleted(), *WROTE],  # by a form of just that token
    CampaignCall: [convert(example(CampaignCallQueued), CampaignCallQueued), convert(example(CampaignCallSkipped), CampaignCallSkipped)],
    Reminder: [convert(example(ReminderSkipped), ReminderSkipped)],
    Credit: [PUT_DOWN, *Credit.replay([PUT_DOWN]).reassign(OTHER, THIS, noon.now), *(
        convert({**example(event), "patientId": str(THIS)}, event) for event in (CreditGained, CreditUsed, CreditReturned))],
    GroupSession: [PLANNED, GroupSeatKept(doctor_id=THIS, on=noon.today, offer_id=OTHER, lapsed=[]), GroupSeatTaken(doctor_id=THIS, on=noon.today, appointment_id=THIS, vacated=[])],
    SlotOffer: [PROPOSED, SlotOfferAccepted(entry_id=THIS, patient_id=OTHER, doctor_id=THIS, appointment_id=OTHER)],
    WaitingEntry: [LISTED, *WaitingEntry.replay([LISTED]).reassign(OTHER, THIS, noon.now), WaitingEntryServed(patient_id=THIS, offer_id=OTHER, appointment_id=OTHER)],
    InsuranceClaim: lived(
        InsuranceClaim.replay([CLAIMED]), [CLAIMED], lambda one: one.reassign(OTHER, THIS, noon.now), lambda one: one.edit(ClaimContent(lines=list(one.lines), billed=2, claimed=2)), lambda one: one.submit("1", noon.today, "clinic", noon.today),
        InsuranceClaim.withdraw, lambda one: one.submit("", noon.today, "clinic", noon.today), lambda one: one.answered(HALF, noon.today, 0, noon.today),
        lambda one: one.appeal("Look again", noon.today, noon.today), InsuranceClaim.withdraw, lambda one: one.pay(THIS, 1, noon.today, 0, None),
        lambda one: one.reverse(THIS, 1, "Wrong", noon.today, returned=False), lambda one: one.write_off(BEYOND, 1, THIS, noon.today), lambda one: one.attach(SCAN),
        lambda one: one.detach(THIS), lambda one: one.give_way(OTHER, 0), InsuranceClaim.come_back, lambda one: one.void("Sent twice", 0, noon.today)),
    InsuranceCover: [COVERED, *InsuranceCover.replay([COVERED]).reassign(OTHER, THIS, noon.now)],
    Invoice: [DRAFTED, *Invoice.replay([DRAFTED]).reassign(OTHER, THIS, noon.now)],
    InstallmentPlan: [AGREED, *InstallmentPlan.replay([AGREED]).reassign(OTHER, THIS, noon.now)],
    PayrollEmployee: [*HIRED, *PayrollEmployee.replay(HIRED).release(THIS)],
    PayrollPeriod: [PayrollPeriodOpened(starts_on=noon.today, ends_on=noon.today), PayrollPeriodTaken(run_id=OTHER), PayrollPeriodGivenBack(run_id=OTHER)],
    PayrollRun: [PayrollRunDrafted(period_id=OTHER, currency="EUR", starts_on=noon.today, ends_on=noon.today, slips=[]), PayrollRunChanged(slips=[])],
    CardPayment: [LEFT_OVER],
    VisitFee: [CHARGED, VisitFeeWithdrawn(appointment_id=OTHER), CHARGED],
    Quotation: [OFFERED, *Quotation.replay([OFFERED]).reassign(OTHER, THIS, noon.now)],
    Receipt: [RECEIPTED, *Receipt.replay([RECEIPTED]).reassign(OTHER, THIS, noon.now)],
}
CONTINUES = (InvoiceCredited, PaymentReallocated, PaymentRefunded)  # nothing without what came before on that stream, which is not here
HISTORIES = 300


def faults(state: type[State], events: Sequence[Event], projections: Sequence[Projection]) -> Iterator[str]:
    """Yield what a history does not survive."""
    kept, blank = stored(events, KEY), stored(events, None)
    now = state.replay(events)
    if kept != list(events):
        yield "storage changes it"
    if blank != [without_personal(event) for event in events]:
        yield "without its key, more or less than the personal fields is gone"
    if state.replay(kept) != now:
        yield "replay gives another state"
    if state.replay(blank) != now:
        yield "the state depends on personal data"
    if json.decode(json.encode(now), type=state) != now:
        yield "a snapshot gives another state"
    if any(isinstance(claim, TimeClaim) and claim.start >= claim.end for claim in now.claims()):
        yield "it claims a time that ends before it starts"
    told = {type(event).__name__ for event in events}
    for projection in projections:
        if told.isdisjoint(projection.topics):
            continue
        yield from (f"{projection.name}: {fault}" for fault in row_faults(state, projection, kept, blank))


def stored(events: Sequence[Event], key: bytes | None) -> list[Event]:
    """Return events as they come back from the store, with or without the key of those they are about."""
    return [back(event, uuid4(), key) for event in events]


def back(event: Event, event_id: UUID, key: bytes | None) -> Event:
    who = person(event, THIS)
    body = encode(event, event_id=event_id, person=who, key=KEY if who else None)
    return decode(type(event).__name__, body, event_id=event_id, person=who, key_of=lambda _: key)


def without_personal(event: Event) -> Event:
    fields, _ = personal(type(event))
    return replace(event, **dict.fromkeys(fields)) if person(event, THIS) else event


def row_faults(state: type[State], projection: Projection, kept: Sequence[Event], blank: Sequence[Event]) -> Iterator[str]:
    """Yield what is wrong with the rows that a projection makes of a history."""
    rows = folded(state, projection, kept)
    if rows != folded(state, projection, kept):
        yield "replaying twice gives other rows"
    if any(json.decode(json.encode(row), type=projection.row) != row for row in rows.values()):
        yield "a row does not survive as JSON"
    if rows.keys() != folded(state, projection, blank).keys():
        yield "without a key there are other rows"


def folded(state: type[State], projection: Projection, events: Sequence[Event]) -> dict[Any, Row]:
    rows: dict[Any, Row | None] = {}
    for fact in facts(*events, kind=state.kind):
        if type(fact.event).__name__ in projection.topics:
            for key in projection.keys(fact):
                rows[key] = projection.next(rows.get(key), fact, key)
    return {key: row for key, row in rows.items() if row is not None}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_every_history_survives_and_every_event_occurs(state: type[State]) -> None:
    """The last line keeps the law from being empty: random commands must have brought about every event there is."""
    seen = {type(event) for seed in range(HISTORIES) for event in survivor(state, seed)}
    assert {cls.__name__ for cls in events_of(state)} - {cls.__name__ for cls in seen} == set()


@pytest.mark.soak
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_every_history_survives_at_length(state: type[State]) -> None:
    first = secrets.randbits(64)
    for seed in range(first, first + 20 * HISTORIES):
        survivor(state, seed)


def survivor(state: type[State], seed: int) -> list[Event]:
    """Return a random history that has been held to the law; a bad one is told by its shortest form."""
    others = {other: others_for(other, state) for other in needed(state)}
    world = World((seed, state.__name__), COMMANDS, others)
    try:
        events = world.history(state, BEGUN.get(state, ()))
        held(state, events, world.elsewhere)
    except Exception as error:
        steps = shortest(state, world.steps)
        raise AssertionError("\n".join([f"seed {seed}: {error!r}", *(repr(step.command) + f" at {step.at.now} {step.found}" for step in steps)])) from error
    return events


def held(state: type[State], events: Sequence[Event], elsewhere: Sequence[Elsewhere]) -> None:
    projections = list(PROJECTIONS.values())
    others = [other for other in elsewhere if not isinstance(other.events[0], CONTINUES)]
    found = [*faults(state, events, projections), *(fault for other in others for fault in faults(other.state, other.events, projections))]
    assert found == []


def shortest(state: type[State], steps: list[Step]) -> list[Step]:
    """Leave out every step without which it still fails."""
    for n in reversed(range(len(steps))):
        if fails(state, fewer := [*steps[:n], *steps[n + 1 :]]):
            steps = fewer
    return steps


def fails(state: type[State], steps: Sequence[Step]) -> bool:
    events: list[Event] = []
    elsewhere: list[Elsewhere] = []
    try:
        for step in steps:
            for plan in step.on(events):
                (elsewhere if isinstance(plan, Elsewhere) else events).append(plan)  # type: ignore[attr-defined]
        held(state, events, elsewhere)
    except Exception:  # noqa: BLE001 - whatever it is, it is the failure
        return True
    return False


def others_for(wanted: type[State], state: type[State]) -> list[State]:
    """Return what is found of a kind; of one whose own histories are just being made, how far some are that have begun."""
    if wanted is state or wanted in UNDERWAY:
        told = BEGUN.get(wanted) or USUAL.get(wanted, [])
        return [wanted.replay(told[:n]) for n in range(len(told) + 1)]
    UNDERWAY.append(state)
    try:
        return states(wanted)
    finally:
        UNDERWAY.pop()


UNDERWAY: list[type[State]] = []


@cache
def states(state: type[State]) -> list[State]:
    """Return what another command may find: what random histories led to, and oftener what is usual."""
    found = [survivor(state, seed) for seed in range(100, 150)]
    return [state.replay(events) for events in [*found, *[USUAL.get(state, found[-1])] * 200]]


def needed(state: type[State]) -> set[type[State]]:
    """Return the states that an aggregate's commands look up."""
    found = [looked_up(command).values() for command in COMMANDS if command.state is state]
    return {other for annotations in found for annotation in annotations for other in states_in(annotation)}


class Weighed(Event):
    note: Any = None
    grams: float = 0.0
    by: Annotated[str | None, Personal()] = None


class Scale(State):
    """A bad sample: what it knows hangs on a name, and is lost in a snapshot."""

    kind: ClassVar[str] = "scales-of-the-laws"
    by: str | None = None
    grams: Any = 0.0

    def evolve(self, event: Weighed) -> "Scale":
        return replace(self, by=event.by, grams=(event.grams,))


class Balance(State):
    """Nothing is wrong with this one."""

    kind: ClassVar[str] = "balances-of-the-laws"

    def evolve(self, event: Weighed) -> "Balance":
        return self


class ReadBalance(Creation):
    """A bad sample: says no with something else than a refusal."""

    state = Balance
    permission = next(iter(table()))
    grams: float = 1.0

    def decide(self, balance: Balance, at: At) -> list[Event]:
        return [Weighed(grams=1 / (self.grams - 1))]


class ScaleRow(Row):
    """A bad sample."""

    table: ClassVar[str] = "scales_of_the_laws"
    permission: ClassVar[str] = ""
    id: UUID
    grams: float


def weighed_once(row: ScaleRow | None, fact: Any, seen: list[int] = []) -> ScaleRow:  # noqa: B006 - the badness of the sample
    seen.append(1)
    return ScaleRow(id=fact.id, grams=len(seen))


def weighed_by(row: ScaleRow | None, fact: Any) -> ScaleRow | None:
    return ScaleRow(id=fact.id, grams=fact.event.grams) if fact.event.by else None


def test_a_law_about_histories_can_fail() -> None:
    """Bad samples: a state that hangs on personal data and loses itself in a snapshot, NaN, impure rows, rows that vanish with a key."""
    impure, forgetful = (Projection(ScaleRow, Weighed, function, None, fresh=False) for function in (weighed_once, weighed_by))
    found = set(faults(Scale, [Weighed(grams=2.0, by="Ada")], [impure, forgetful]))
    assert found == {
        "the state depends on personal data", "a snapshot gives another state",
        "scales_of_the_laws: replaying twice gives other rows", "scales_of_the_laws: without a key there are other rows",
    }
    assert "storage changes it" in set(faults(Scale, [Weighed(note=("a", "tuple"))], []))


def test_a_command_that_crashes_is_caught() -> None:
    """Told by the one step that matters, with the steps around it left out."""
    with pytest.raises(ZeroDivisionError):
        Step(ReadBalance(), noon, {}).on([])
    good, bad = Step(ReadBalance(grams=3.0), noon, {}), Step(ReadBalance(), noon, {})
    assert shortest(Balance, [good, good, bad, good]) == [bad]


def test_what_is_sealed_cannot_be_moved_or_read_without_its_key() -> None:
    """The seal binds a value to its event: elsewhere, or under another key, it does not open."""
    event, here = Weighed(by="Ada Lovelace"), uuid4()
    body = encode(event, event_id=here, person=THIS, key=KEY)
    assert b"Ada" not in body
    for wrong in ({"event_id": uuid4(), "key_of": lambda _: KEY}, {"event_id": here, "key_of": lambda _: os.urandom(32)}):
        with pytest.raises(TamperedError):
            decode("Weighed", body, person=THIS, **wrong)
