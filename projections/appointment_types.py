"""How the events of a kind of visit become its row."""

from msgspec.structs import replace

from domain.appointment_types import (
    AppointmentTypeAdded,
    AppointmentTypeChanged,
    AppointmentTypeDeleted,
    AppointmentTypeEvent,
    Offer,
)
from domain.kit import Fact, only
from projections.kit import installs, projects
from schemas.appointment_types import AppointmentTypeRow

installs("""
create or replace view current_appointment_types with (security_invoker = true) as select * from appointment_types where not deleted;
grant select on current_appointment_types to anamnesis_gateway;
""")


@projects(AppointmentTypeRow, of=AppointmentTypeEvent)
def appointment_types(row: AppointmentTypeRow | None, fact: Fact) -> AppointmentTypeRow | None:
    match fact.event:
        case AppointmentTypeAdded() as event:
            return AppointmentTypeRow(id=fact.id, **only(Offer, event))
        case AppointmentTypeChanged() as event if row:
            return replace(row, **only(Offer, event))
        case AppointmentTypeDeleted() if row:
            return replace(row, active=False, deleted=True)
    return row
