"""What a patient is written about an appointment: when, with whom and where it is, with a link to confirm or cancel it; and that it is cancelled.

Each letter brings an invitation or its cancellation for the patient's own calendar (RFC 5546).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from commands.kit.codes import bearing
from domain.appointments import (
    CANCELLED_LETTER,
    LINK,
    OPEN,
    SUMMARY_LETTER,
    Appointment,
    AppointmentCancelled,
    AppointmentLinkOver,
    AppointmentRemoved,
    AppointmentSummaryAsked,
)
from domain.kit import Fact
from domain.kit.calendars import Mailbox, Method, Occasion, written
from domain.kit.links import link_of
from workers.kit.outbox import UndeliverableError
from workers.kit.policies import Enclosed, Letter, Link, To, answers
from workers.kit.writing import Look, last, whereabouts


@answers
def when_AppointmentSummaryAsked(fact: Fact, event: AppointmentSummaryAsked) -> Letter:
    """It tells how the visit stands when it is written; nobody is asked to one that is over by then, was cancelled or became another patient's."""
    async def particulars(look: Look) -> Mapping[str, str]:
        visit = await look.state(Appointment, fact.id, fact.clinic)
        try:
            visit.ensure_shown(fact.id, link.subject, datetime.now(UTC))
        except AppointmentLinkOver:
            raise UndeliverableError("the visit is over or cancelled, or its link was taken back") from None
        return await told(look, fact, visit)

    seconds = max(1, int((event.until - fact.recorded_at).total_seconds()))
    link = Link(LINK, link_of(fact.id, event.number), f"/api/v1/appointments/links/{bearing(fact.id, '{token}')}", seconds)
    return Letter(
        SUMMARY_LETTER, To("patients", event.patient_id), link=link, language=event.language, sought=particulars, enclosed=partial(invitation, fact))


@answers
def when_AppointmentCancelled(fact: Fact, event: AppointmentCancelled) -> Letter | None:
    """Whoever cancelled by the link knows it."""
    return off(fact, event) if event.told and event.way == "clinic" else None


@answers
def when_AppointmentRemoved(fact: Fact, event: AppointmentRemoved) -> Letter | None:
    return off(fact, event) if event.told else None


def off(fact: Fact, event: AppointmentCancelled | AppointmentRemoved) -> Letter:
    async def particulars(look: Look) -> Mapping[str, str]:
        return await told(look, fact, (await standing(look, fact)).visit)

    return Letter(CANCELLED_LETTER, To("patients", event.patient_id), sought=particulars, enclosed=partial(invitation, fact))


class Standing(NamedTuple):
    """A visit as it stands, or as it last stood before it was struck out, in which edition, and since when."""

    visit: Appointment
    sequence: int
    since: datetime
    over: bool


async def standing(look: Look, fact: Fact) -> Standing:
    """Return how the visit stands that a fact is about."""
    facts = [one for one in await look.facts(fact.id, fact.clinic) if one.kind == Appointment.kind]
    visit = Appointment.replay(one.event for one in facts if not isinstance(one.event, AppointmentRemoved))
    last_word = Appointment.replay(one.event for one in facts)
    return Standing(visit, last_word.sequence, facts[-1].recorded_at, over=last_word.status not in OPEN)


async def invitation(fact: Fact, look: Look, clinic: Mailbox, patient: Mailbox) -> Enclosed:
    """Return what the patient's calendar is told: to come, or that it is off."""
    stands = await standing(look, fact)
    arranged = stands.visit.arranged
    assert arranged is not None
    values = await told(look, fact, stands.visit)
    method: Method = "CANCEL" if stands.over else "REQUEST"
    return Enclosed(method, written(method, [Occasion(
        id=fact.id, sequence=stands.sequence, starts_at=arranged.starts_at, ends_at=arranged.ends_at, zone=arranged.zone, changed_at=stands.since,
        summary=clinic.name, description=values["doctor"], location=values["address"], cancelled=stands.over, organizer=clinic, attendee=patient,
        accepted=stands.visit.status == "confirmed")], datetime.now(UTC)))


async def told(look: Look, fact: Fact, visit: Appointment) -> dict[str, str]:
    """Return when and with whom a visit is, and where."""
    arranged = visit.arranged
    assert arranged is not None
    doctor = [one.event for one in await look.facts(arranged.doctor_id, fact.clinic)]
    date, _, time = arranged.start_local.partition("T")
    return {
        "date": date, "time": time[:5], "zone": arranged.zone, "minutes": f"{(arranged.ends_at - arranged.starts_at).total_seconds() / 60:.0f}",
        "doctor": last(doctor, "name") or "", **await whereabouts(look, arranged.place_id, fact.clinic),
    }
