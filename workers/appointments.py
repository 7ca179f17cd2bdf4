"""What a patient is written about an appointment: when, with whom and where it is, with a link to confirm or cancel it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from commands.kit.codes import bearing
from domain.appointments import LINK, SUMMARY_LETTER, Appointment, AppointmentLinkOver, AppointmentSummaryAsked
from domain.kit import Fact
from domain.kit.links import link_of
from workers.kit.outbox import UndeliverableError
from workers.kit.policies import Letter, Link, To, answers
from workers.kit.writing import Look, last


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
    return Letter(SUMMARY_LETTER, To("patients", event.patient_id), link=link, language=event.language, sought=particulars)


async def told(look: Look, fact: Fact, visit: Appointment) -> dict[str, str]:
    """Return when and with whom a visit is, and where."""
    arranged = visit.arranged
    assert arranged is not None
    doctor = [one.event for one in await look.facts(arranged.doctor_id, fact.clinic)]
    clinic = [one.event for one in await look.facts(fact.clinic, fact.clinic)]
    date, _, time = arranged.start_local.partition("T")
    return {
        "date": date, "time": time[:5], "zone": arranged.zone, "minutes": f"{(arranged.ends_at - arranged.starts_at).total_seconds() / 60:.0f}",
        "doctor": last(doctor, "name") or "", "address": last(clinic, "address") or "", "phone": last(clinic, "phone") or "",
    }
