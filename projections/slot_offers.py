"""How an offer's events become its row, and which offers are to be settled."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from domain.holds import Held
from domain.kit import Fact, only
from domain.slot_offers import (
    OfferStatus,
    SlotOfferAccepted,
    SlotOfferDeclined,
    SlotOffered,
    SlotOfferEvent,
    SlotOfferLapsed,
    SlotOfferWithdrawn,
)
from projections.kit import installs, projects
from projections.kit.lanes import Lanes
from schemas.slot_offers import SlotOfferRow


@projects(SlotOfferRow, of=SlotOfferEvent)
def slot_offers(row: SlotOfferRow | None, fact: Fact) -> SlotOfferRow | None:
    match fact.event:
        case SlotOffered() as e:
            held = only(Held, e)
            return SlotOfferRow(
                id=fact.id, entry_id=e.entry_id, patient_id=e.patient_id, status="open", date=held.pop("on"), **held, place_id=e.place_id, type=e.type,
                type_id=e.type_id, moved_id=e.appointment_id, group_id=e.group_id, expires_at=e.expires_at, by_hand=e.by_hand, written=e.written, offered_at=fact.recorded_at,
                offered_by=fact.actor)
        case SlotOfferAccepted(appointment_id=appointment, way=way) if row:
            return replace(answered(row, fact, "accepted"), appointment_id=appointment, way=way)
        case SlotOfferDeclined(reason=reason, way=way) if row:
            return replace(answered(row, fact, "declined"), reason=reason, way=way)
        case SlotOfferLapsed() if row:
            return answered(row, fact, "lapsed")
        case SlotOfferWithdrawn(reason=reason) if row:
            return replace(answered(row, fact, "withdrawn"), reason=reason)
    return row


def answered(row: SlotOfferRow, fact: Fact, status: OfferStatus) -> SlotOfferRow:
    return replace(row, status=status, answered_at=fact.recorded_at)


# The function looks at all clinics for the program itself, past row-level security, and gives ids alone: of offers to which nobody has answered in time, and of such as are open to whom waits no longer.
installs("""
create or replace view slot_offer_entries with (security_invoker = true) as
select o.*, nullif(concat_ws(' ', p.given_name, p.family_name), '') as patient_name, s.name as doctor_name
from slot_offers o
left join patients p on p.clinic_id = o.clinic_id and p.id = o.patient_id
left join staff s on s.clinic_id = o.clinic_id and s.id = o.doctor_id;
grant select on slot_offer_entries to anamnesis_gateway;

create or replace function offers_to_settle(at_moment timestamptz) returns table (clinic uuid, offer uuid)
language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query
        select o.clinic_id, o.id from slot_offers o left join waiting_list w on w.clinic_id = o.clinic_id and w.id = o.entry_id
        where o.status = 'open' and (o.expires_at <= at_moment or w.status <> 'waiting') order by o.expires_at limit 5000;
end $$;
revoke all on function offers_to_settle from public;
grant execute on function offers_to_settle to anamnesis_gateway;
""")

SETTLE = "select clinic, offer from offers_to_settle(%s::timestamptz)"


class ToSettle(NamedTuple):
    """An offer that may be over, and whose clinic's it is."""

    clinic: UUID
    offer: UUID


async def to_settle(lanes: Lanes, now: datetime) -> list[ToSettle]:
    """Return the offers of all clinics that may be over."""
    return [ToSettle(*line) for line in (await lanes.ask(None, SETTLE, (now,))).rows]
