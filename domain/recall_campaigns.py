"""Recall campaigns: patients who have not come for long are written to, each once in a window, at the hours in which the clinic writes.

How it works: a campaign says who is meant (how long ago the last visit is, age, groups, doctor, place) and for what. While it runs, whoever belongs to it has one call for each of its windows, which is one
stream: so one letter, however many processes look, and whatever is changed meanwhile. A campaign without repetition has one window; a repeating one has one every so many months, counted from its
first day. A call makes the patient's recall, or goes with the one that an earlier window made; by that it is seen who has booked and who has declined.
"""

import datetime as dt
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, NotFound, PatientId, PlaceId, Refused, StaffId, State, Text, only
from domain.kit.letters import letter
from domain.recalls import RecallKind

CampaignStatus = Literal["draft", "running", "paused", "finished", "cancelled"]
CallSkip = Literal["inactive", "unwanted", "unreachable", "called-already"]
CampaignId = Annotated[UUID, Meta(extra={"ref": "recall_campaigns"}, description="Id of one of the clinic's recall campaigns.")]
RecallId = Annotated[UUID, Meta(extra={"ref": "recalls"}, description="Id of the patient's recall.")]
Months = Annotated[int, Meta(ge=1, le=120)]
Age = Annotated[int, Meta(ge=0, le=150)]
Window = Annotated[int, Meta(ge=0, description="Which of the campaign's windows; the first is 0.")]
Group = Annotated[str, Meta(min_length=1, max_length=60)]
Words = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S", description="A paragraph of the clinic's own for everybody. Say nothing in it that only concerns some.",
                            examples=["We have moved: you find us in the new building."])]


class Audience(Frozen):
    """Who is meant: whose last visit that took place is longer ago than `months`, but not longer than `withinMonths`; of that age; in any of the groups; who were last with that doctor, at that place."""

    months: Months = 12
    within_months: Months | None = None
    age_from: Age | None = None
    age_to: Age | None = None
    groups: Annotated[list[Group], Meta(max_length=50)] = field(default_factory=list)
    doctor_id: StaffId | None = None
    place_id: PlaceId | None = None

    def ensure_possible(self) -> None:
        """Refuse what nobody can be."""
        if (self.within_months is not None and self.within_months <= self.months) or (
                self.age_from is not None and self.age_to is not None and self.age_from > self.age_to):
            raise CampaignAudienceEmpty


class Plan(Audience):
    """A campaign as it is to be: for what, who is meant, from which day on, and every how many months again if at all."""

    name: Text
    kind: RecallKind
    starts_on: dt.date
    repeat_months: Months | None = None
    message: Words | None = None


class RecallCampaignDrafted(Plan, Event): ...


class RecallCampaignChanged(Plan, Event): ...


class RecallCampaignStarted(Event): ...


class RecallCampaignPaused(Event):
    """Nobody is written to until it goes on; what is on its way waits."""


class RecallCampaignResumed(Event): ...


class RecallCampaignCancelled(Event):
    """Nobody is written to any more."""


class RecallCampaignFinished(Event):
    """Everybody whom it means has had their call."""


class Called(Frozen):
    """Who has a call, in which window of which campaign."""

    campaign_id: CampaignId
    patient_id: PatientId
    window: Window


class CampaignCallQueued(Called, Event):
    """The patient is to be written to, about that recall of theirs."""

    recall_id: RecallId


class CampaignCallSkipped(Called, Event):
    """The patient is not written to, and why not."""

    why: CallSkip


RecallCampaignEvent = (
    RecallCampaignDrafted | RecallCampaignChanged | RecallCampaignStarted | RecallCampaignPaused | RecallCampaignResumed | RecallCampaignCancelled | RecallCampaignFinished)
CampaignCallEvent = CampaignCallQueued | CampaignCallSkipped


class CampaignOver(Refused):
    """This campaign is finished or cancelled. Draft another one."""


class CampaignNotRunning(Refused):
    """This campaign is not running."""


class CampaignStartedAlready(Refused):
    """This campaign is under way. When it starts, how often it repeats and for what it is cannot be changed any more: cancel it, and draft another one."""


class CampaignDatesImpossible(Invalid):
    """A campaign begins today or later, and within two years."""


class CampaignAudienceEmpty(Invalid):
    """Nobody can be meant by this: the last visit cannot be both longer and less long ago, nor an age above and below."""


LONGEST = dt.timedelta(days=731)


class RecallCampaign(State):
    kind: ClassVar[str] = "recall_campaigns"
    status: CampaignStatus | None = None
    plan: Plan | None = None

    def evolve(self, event: RecallCampaignEvent) -> Self:
        match event:
            case RecallCampaignDrafted():
                return replace(self, status="draft", plan=Plan(**only(Plan, event)))
            case RecallCampaignChanged():
                return replace(self, plan=Plan(**only(Plan, event)))
            case RecallCampaignStarted() | RecallCampaignResumed():
                return replace(self, status="running")
            case RecallCampaignPaused():
                return replace(self, status="paused")
            case RecallCampaignCancelled():
                return replace(self, status="cancelled")
            case RecallCampaignFinished():
                return replace(self, status="finished")

    @property
    def planned(self) -> Plan:
        if self.plan is None:
            raise NotFound
        return self.plan

    def draft(self, plan: Plan, today: dt.date) -> list[Event]:
        plan.ensure_possible()
        ensure_ahead(plan, today)
        return [RecallCampaignDrafted(**only(Plan, plan))]

    def change(self, plan: Plan, today: dt.date) -> list[Event]:
        """Let it mean others or say something else; whoever has had their call has had it all the same."""
        self._ensure_open()
        plan, was = Plan(**only(Plan, plan)), self.planned
        if plan == was:
            return []
        plan.ensure_possible()
        if self.status != "draft" and (plan.starts_on, plan.repeat_months, plan.kind) != (was.starts_on, was.repeat_months, was.kind):
            raise CampaignStartedAlready
        if plan.starts_on != was.starts_on:
            ensure_ahead(plan, today)
        return [RecallCampaignChanged(**only(Plan, plan))]

    def start(self) -> list[Event]:
        self._ensure_open()
        if self.status == "paused":
            return [RecallCampaignResumed()]
        return [RecallCampaignStarted()] if self.status == "draft" else []

    def pause(self) -> list[Event]:
        self._ensure_open()
        if self.status == "draft":
            raise CampaignNotRunning
        return [RecallCampaignPaused()] if self.status == "running" else []

    def cancel(self) -> list[Event]:
        self._ensure_known()
        if self.status == "finished":
            raise CampaignOver
        return [] if self.status == "cancelled" else [RecallCampaignCancelled()]

    def finish(self, today: dt.date) -> list[Event]:
        """Note that everybody has had their call; one that repeats is never at its end."""
        once = self.planned.repeat_months is None and self.window(today) is not None
        return [RecallCampaignFinished()] if self.status == "running" and once else []

    def window(self, today: dt.date) -> int | None:
        """Return in which of its windows a day lies; None before the first."""
        return None if self.plan is None else window_of(self.plan.starts_on, self.plan.repeat_months, today)

    def _ensure_open(self) -> None:
        self._ensure_known()
        if self.status in {"finished", "cancelled"}:
            raise CampaignOver

    def _ensure_known(self) -> None:
        if self.status is None:
            raise NotFound


class CampaignCall(State):
    """One patient's call in one window, queued or skipped once and for all."""

    kind: ClassVar[str] = "campaign_calls"
    settled: bool = False

    def evolve(self, event: CampaignCallEvent) -> Self:
        return replace(self, settled=True)

    def queue(self, whom: Called, recall: UUID) -> list[Event]:
        return [] if self.settled else [CampaignCallQueued(**only(Called, whom), recall_id=recall)]

    def skip(self, whom: Called, why: CallSkip) -> list[Event]:
        return [] if self.settled else [CampaignCallSkipped(**only(Called, whom), why=why)]


def window_of(starts_on: dt.date, repeat_months: int | None, today: dt.date) -> int | None:
    """Return in which window a day lies: whole months since the first day, by how many there are from one window to the next."""
    if today < starts_on:
        return None
    if repeat_months is None:
        return 0
    months = (today.year - starts_on.year) * 12 + today.month - starts_on.month - (today.day < starts_on.day)
    return months // repeat_months


def ensure_ahead(plan: Plan, today: dt.date) -> None:
    if not today <= plan.starts_on <= today + LONGEST:
        raise CampaignDatesImpossible(startsOn=plan.starts_on.isoformat())


def call_of(campaign: UUID, patient: UUID, window: int) -> UUID:
    """Return the id of a patient's one call in a window of a campaign."""
    return uuid5(campaign, f"calls/{patient}/{window}")


def recall_of(call: UUID) -> UUID:
    """Return the id of the recall that a call makes."""
    return uuid5(call, "recall")


CAMPAIGN_LETTER = letter(
    "recalls.campaign", "Tells a patient that it is time to come again, and how to make an appointment; it says neither for what nor with whom.",
    {
        "message": "We have moved: you find us in the new building.", "address": "Singel 1, Amsterdam", "phone": "+31 20 123 4567",
        "unsubscribe": "https://clinic.example/api/v1/message-wishes/recalls/x7Kq",
    },
    en=("It is time for your next visit to {{clinic}}", """
Dear {{name}},

It is some time since you were last with us at {{clinic}}. We would be glad to see you again: call us, or answer this letter, and we find a time that suits you.

{{message}}

{{address}}
{{phone}}

You do not want to be written about this any more? {{unsubscribe}}
"""),
    es=("Es hora de su próxima visita a {{clinic}}", """
Hola, {{name}}:

Hace tiempo que no nos visita en {{clinic}}. Nos alegrará volver a verle: llámenos o responda a esta carta y buscaremos una hora que le convenga.

{{message}}

{{address}}
{{phone}}

¿No quiere recibir más cartas sobre esto? {{unsubscribe}}
"""),
)
