"""What a patient is written before a visit: when and where it is, with a link to confirm or cancel it; neither with whom nor for what."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from commands.kit.codes import bearing
from domain.appointments import LINK, Appointment, AppointmentLinkOver
from domain.kit import Fact
from domain.kit.links import link_of
from domain.message_wishes import MessageTopic, MessageWishes, message_wishes_of
from domain.patients import Patient
from domain.reminders import (
    REMINDER_LETTER,
    ReminderQueued,
    ReminderRepeated,
    ReminderSettings,
    reminder_settings_of,
)
from workers.kit.outbox import NotNowError, UndeliverableError
from workers.kit.policies import Letter, Link, To, Unsubscribe, answers
from workers.kit.writing import Look, last


@answers
def when_ReminderQueued(fact: Fact, event: ReminderQueued) -> Letter:
    return reminder(fact, event, by_hand=event.window is None)


@answers
def when_ReminderRepeated(fact: Fact, event: ReminderRepeated) -> Letter:
    return reminder(fact, event, by_hand=event.why == "asked")


def reminder(fact: Fact, event: ReminderQueued | ReminderRepeated, *, by_hand: bool) -> Letter:
    """Return the letter; whatever has come between by the time it is written keeps it from being sent."""
    link = Link(
        LINK, link_of(event.appointment_id, event.number), f"/api/v1/appointments/links/{bearing(event.appointment_id, '{token}')}",
        max(1, int((event.until - fact.recorded_at).total_seconds())))

    async def particulars(look: Look) -> Mapping[str, str]:
        now = datetime.now(UTC)
        visit = await look.state(Appointment, event.appointment_id, fact.clinic)
        ensure_still_so(visit, event, link.subject, now)
        await ensure_wanted(look, event.patient_id, fact.clinic, "reminders")
        if not by_hand:
            await ensure_awake(look, fact.clinic, visit, now)
        return await told(look, event.patient_id, fact.clinic, visit)

    return Letter(
        REMINDER_LETTER, To("patients", event.patient_id), link=link, sought=particulars, unsubscribe=unsubscribe("reminders", event.patient_id))


def unsubscribe(topic: MessageTopic, patient: UUID) -> Unsubscribe:
    """Return the link by which a patient is not written about something any more."""
    return Unsubscribe(f"unsubscribe/{topic}", patient, f"/api/v1/message-wishes/{topic}/{{token}}")


def ensure_still_so(visit: Appointment, event: ReminderQueued | ReminderRepeated, link: UUID, now: datetime) -> None:
    """Refuse to remind of what is not to come any more, or not then, or is another record's."""
    there = visit.arranged
    if there is None or there.patient_id != event.patient_id:
        raise UndeliverableError("the visit was struck out, or is another record's by now")
    if there.starts_at != event.starts_at or there.starts_at <= now or visit.status not in {"booked", "confirmed"}:
        raise UndeliverableError("the visit was moved, has begun, is over or was cancelled")
    try:
        visit.ensure_shown(event.appointment_id, link, now)
    except AppointmentLinkOver:
        raise UndeliverableError("the link to the visit was taken back") from None


async def ensure_wanted(look: Look, patient: UUID, clinic: UUID, topic: MessageTopic) -> None:
    """Refuse to write to somebody who has said meanwhile that they do not want it."""
    records = (patient, *(await look.state(Patient, patient, clinic)).records)
    for record in records:
        if not (await look.state(MessageWishes, message_wishes_of(record), clinic)).wanted(topic, "email"):
            raise UndeliverableError("the patient does not want to be written about it any more")


async def ensure_awake(look: Look, clinic: UUID, visit: Appointment, now: datetime) -> None:
    """Put off what could not be sent in time until the quiet hours are over."""
    settings = await look.state(ReminderSettings, reminder_settings_of(clinic), clinic)
    assert visit.arranged is not None
    if settings.night(now, visit.arranged.zone) is not None:
        raise NotNowError("these are the clinic's quiet hours")


async def told(look: Look, patient: UUID, clinic: UUID, visit: Appointment) -> dict[str, str]:
    """Return when a visit is, and where; and what the patient is called, by the given name alone."""
    assert visit.arranged is not None
    house = [one.event for one in await look.facts(clinic, clinic)]
    date, _, time = visit.arranged.start_local.partition("T")
    return {
        **await called(look, patient, clinic), "date": date, "time": time[:5], "zone": visit.arranged.zone, "address": last(house, "address") or "",
        "phone": last(house, "phone") or ""}


async def called(look: Look, patient: UUID, clinic: UUID) -> dict[str, str]:
    """Return what a patient is called where as little as possible is to be said of them."""
    given = last([one.event for one in await look.facts(patient, clinic)], "given_name")
    return {"name": given} if given else {}
