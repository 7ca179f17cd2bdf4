"""What a patient is written before a visit: when and where it is, with a link to confirm or cancel it; neither with whom nor for what."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from commands.kit.codes import bearing
from domain.appointments import LINK, Appointment, AppointmentLinkOver, Arrangement
from domain.clinics import Clinic
from domain.kit import Fact
from domain.kit.links import link_of
from domain.message_wishes import MessageTopic, MessageWishes, message_wishes_of
from domain.patients import Patient
from domain.reminders import REMINDER_LETTER, ReminderQueued, ReminderSettings, reminder_settings_of
from workers.kit.outbox import NotNowError, UndeliverableError
from workers.kit.policies import Letter, Link, To, Unsubscribe, answers
from workers.kit.writing import Look, last, whereabouts


@answers
def when_ReminderQueued(fact: Fact, event: ReminderQueued) -> Letter:
    """Whatever has come between by the time it is written keeps it from being sent; and what comes into the quiet hours waits for their end."""
    link = Link(
        LINK, link_of(event.appointment_id, event.number), f"/api/v1/appointments/links/{bearing(event.appointment_id, '{token}')}",
        max(1, int((event.until - fact.recorded_at).total_seconds())))

    async def particulars(look: Look) -> Mapping[str, str]:
        now = datetime.now(UTC)
        visit = await still_so(look, fact, event, link.subject, now)
        await ensure_wanted(look, event.patient_id, fact.clinic, "reminders")
        if event.window is not None:  # what somebody at the desk sends, they send now
            await ensure_awake(look, fact.clinic, now)
        return await told(look, event.patient_id, fact.clinic, visit)

    unsubscribe = Unsubscribe("unsubscribe/reminders", event.patient_id, "/api/v1/message-wishes/reminders/{token}")
    return Letter(REMINDER_LETTER, To("patients", event.patient_id), link=link, sought=particulars, unsubscribe=unsubscribe)


async def still_so(look: Look, fact: Fact, event: ReminderQueued, link: UUID, now: datetime) -> Arrangement:
    """Return when and where the visit is; refuse to remind of what is not to come any more, or not then, or is somebody else's."""
    visit = await look.state(Appointment, event.appointment_id, fact.clinic)
    there = visit.arranged
    if there is None or event.patient_id not in await records_of(look, there.patient_id, fact.clinic):
        raise UndeliverableError("the visit was struck out, or is another patient's by now")
    if event.starts_at not in {there.starts_at, *visit.earlier} or there.starts_at <= now or visit.status not in {"booked", "confirmed"}:
        raise UndeliverableError("the visit was moved, has begun, is over or was cancelled")
    try:
        visit.ensure_shown(event.appointment_id, link, now)
    except AppointmentLinkOver:
        raise UndeliverableError("the link to the visit was taken back") from None
    return there


async def records_of(look: Look, patient: UUID, clinic: UUID) -> tuple[UUID, ...]:
    """Return a patient's records: what was on its way when they were merged goes where it was sent."""
    return (patient, *(await look.state(Patient, patient, clinic)).records)


async def ensure_wanted(look: Look, patient: UUID, clinic: UUID, topic: MessageTopic) -> None:
    """Refuse to write to somebody who has said meanwhile that they do not want it."""
    for record in await records_of(look, patient, clinic):
        if topic in (await look.state(MessageWishes, message_wishes_of(record), clinic)).unwanted:
            raise UndeliverableError("the patient does not want to be written about it any more")


async def ensure_awake(look: Look, clinic: UUID, now: datetime) -> None:
    """Put off what could not be sent in time until the quiet hours are over."""
    settings = await look.state(ReminderSettings, reminder_settings_of(clinic), clinic)
    if settings.awake(now, (await look.state(Clinic, clinic, clinic)).zone) is not None:
        raise NotNowError("these are the clinic's quiet hours")


async def told(look: Look, patient: UUID, clinic: UUID, visit: Arrangement) -> dict[str, str]:
    """Return when a visit is, and where; and what the patient is called, by the given name alone."""
    given = last([one.event for one in await look.facts(patient, clinic)], "given_name")
    date, _, time = visit.start_local.partition("T")
    return {
        **({"name": given} if given else {}), "date": date, "time": time[:5], "zone": visit.zone,
        **await whereabouts(look, visit.place_id, clinic)}
