"""How a doctor's hours and blocked time become rows."""

from msgspec.structs import replace

from domain.kit import Fact, only
from domain.schedules import BlockEvent, BlockRetimed, ScheduleEvent, ScheduleSet, TimeBlocked, Timetable, TimeUnblocked
from projections.kit import installs, projects
from schemas.schedules import BlockRow, ScheduleRow

installs("""
create or replace view doctor_schedules with (security_invoker = true) as
select d.*, s.name as doctor_name from schedules d join staff s on s.clinic_id = d.clinic_id and s.id = d.doctor_id where s.active;
grant select on doctor_schedules to anamnesis_gateway;
""")


@projects(ScheduleRow, of=ScheduleEvent)
def schedules(row: ScheduleRow | None, fact: Fact) -> ScheduleRow | None:
    match fact.event:
        case ScheduleSet() as event:
            return ScheduleRow(id=fact.id, doctor_id=event.doctor_id, **only(Timetable, event))
    return row


@projects(BlockRow, of=BlockEvent)
def blocks(row: BlockRow | None, fact: Fact) -> BlockRow | None:
    match fact.event:
        case TimeBlocked() as e:
            return BlockRow(
                id=fact.id, doctor_id=e.doctor_id, room_id=e.room_id, date=e.on, last_date=e.last_on, start_local=e.start_local,
                end_local=e.end_local, starts_at=e.starts_at, ends_at=e.ends_at, reason=e.reason,
            )
        case BlockRetimed() as e if row:
            return replace(
                row, date=e.on, last_date=e.last_on, start_local=e.start_local, end_local=e.end_local, starts_at=e.starts_at, ends_at=e.ends_at, sequence=row.sequence + 1)
        case TimeUnblocked():
            return None
    return row
