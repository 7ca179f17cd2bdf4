"""How a group session's events become its row; how many seats are left is counted from the appointments that name it."""

from typing import Any

from msgspec.structs import replace

from domain.appointments import BUSY
from domain.group_sessions import (
    GroupSessionCancelled,
    GroupSessionChanged,
    GroupSessionEvent,
    GroupSessionMoved,
    GroupSessionPlanned,
    GroupSessionRetimed,
    Planned,
)
from domain.kit import Fact, only
from domain.kit.retiming import instants
from projections.kit import installs, projects
from schemas.group_sessions import GroupSessionRow

STATUSES = ", ".join(f"'{status}'" for status in sorted(BUSY))


@projects(GroupSessionRow, of=GroupSessionEvent)
def group_sessions(row: GroupSessionRow | None, fact: Fact) -> GroupSessionRow | None:
    match fact.event:
        case GroupSessionPlanned() as e:
            return GroupSessionRow(id=fact.id, status="planned", **planned(e), capacity=e.capacity, notes=e.notes, planned_at=fact.recorded_at)
        case GroupSessionMoved() as e if row:
            return replace(row, **planned(e), sequence=row.sequence + 1)
        case GroupSessionRetimed(on=on) as e if row:
            return replace(row, **instants(e), date=on, sequence=row.sequence + 1)
        case GroupSessionChanged(capacity=capacity, notes=notes) if row:
            return replace(row, capacity=capacity, notes=notes)
        case GroupSessionCancelled(reason=reason) if row:
            return replace(row, status="cancelled", cancelled_because=reason, sequence=row.sequence + 1)
    return row


def planned(event: GroupSessionPlanned | GroupSessionMoved) -> dict[str, Any]:
    told = only(Planned, event)
    return {"date": told.pop("on"), **told}


installs(f"""
create or replace view group_session_entries with (security_invoker = true) as
select g.*, s.name as doctor_name, r.name as room_name, n.taken, n.offered, greatest(g.capacity - n.taken - n.offered, 0)::int as seats_left
from group_sessions g
cross join lateral (
    select (select count(*) from calendar c where c.clinic_id = g.clinic_id and c.group_id = g.id and c.status in ({STATUSES}))::int as taken,
        (select count(*) from slot_offers o where o.clinic_id = g.clinic_id and o.group_id = g.id and o.status = 'open')::int as offered
) n
left join staff s on s.clinic_id = g.clinic_id and s.id = g.doctor_id
left join rooms r on r.clinic_id = g.clinic_id and r.id = g.room_id;
grant select on group_session_entries to anamnesis_gateway;
""")  # noqa: S608 - constants
