"""The letter by which a patient on the waiting list is offered a time; it says neither with whom nor for what."""

from collections.abc import Mapping
from datetime import UTC, datetime

from domain.appointments import Appointment
from domain.kit import Fact, Refused, wall
from domain.slot_offers import EARLIER_LETTER, OFFER_LETTER, PATH, PURPOSE, SlotOffer, SlotOffered
from workers.kit.outbox import UndeliverableError
from workers.kit.policies import Lasting, Letter, To, answers
from workers.kit.writing import Look, last, whereabouts


@answers
def when_SlotOffered(fact: Fact, event: SlotOffered) -> Letter | None:
    """Nobody is written to about a time that is not on offer any more."""
    async def particulars(look: Look) -> Mapping[str, str]:
        offer = await look.state(SlotOffer, fact.id, fact.clinic)
        try:
            offer.ensure_open(datetime.now(UTC))
        except Refused:
            raise UndeliverableError("the time is not on offer any more") from None
        given = last([one.event for one in await look.facts(event.patient_id, fact.clinic)], "given_name")
        return {
            **({"name": given} if given else {}), **said("", event.start_local), "zone": event.zone, **said("until_", f"{wall(event.expires_at, event.zone):%Y-%m-%dT%H:%M}"),
            "minutes": f"{(event.ends_at - event.starts_at).total_seconds() / 60:.0f}", **await whereabouts(look, event.place_id, fact.clinic), **await instead(look)}

    async def instead(look: Look) -> dict[str, str]:
        if event.appointment_id is None:
            return {}
        visit = await look.state(Appointment, event.appointment_id, fact.clinic)
        return said("old_", visit.arranged.start_local) if visit.arranged else {}

    link = Lasting(PURPOSE, fact.id, 1, PATH)
    template = EARLIER_LETTER if event.appointment_id else OFFER_LETTER
    return Letter(template, To("patients", event.patient_id), link=link, sought=particulars) if event.written else None


def said(prefix: str, local: str) -> dict[str, str]:
    date, _, time = local.partition("T")
    return {f"{prefix}date": date, f"{prefix}time": time[:5]}
