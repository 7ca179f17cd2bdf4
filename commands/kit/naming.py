"""Which streams name a patient, without missing one that was stored a moment ago.

How it works. The rows say which did, as of the position that the projector has reached; the log says which have come to since. Both are read in one statement, hence of one
moment, and with it the head of the store. The save that rests on the answer carries that position, and `append_events`, which is alone while it decides, refuses
it if any event after that names the patient: then the question is asked again. While events of one of the read models are parked its rows are not
trusted, and the whole log is looked through.

What may go wrong: an id is looked for as text in bodies, so one that is merely mentioned costs another look, and nothing else.
"""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from domain.kit.codec import hints, metas
from projections.kit import PROJECTIONS
from projections.kit.lanes import Lanes
from projections.kit.tables import LIVE, PARTITION

NAMING = """
with head as (select position from store_head), reached as (
    select case when exists (select from parked_events k where k.clinic_id = %s and k.state = 'parked' and k.projection = any(%s)) then 0
        else (select coalesce(min(t.position), 0) from projector_tracking t
            where t.grp = '{live}' and t.partition = {partition}) end as position
)
select h.position, null as kind, null as id from head h {rows}
union select null, e.stream_kind, e.originator_id from reached r join stored_events e on e.clinic_id = %s and e.notification_id > r.position
where e.stream_kind = any(%s) and position(convert_to(%s, 'UTF8') in e.state) > 0
"""
ROWS = "union select null, '{kind}', t.id from {kind} t where t.clinic_id = %s and t.{column} = %s"


@cache
def _asked(kinds: tuple[str, ...]) -> str:
    rows = " ".join(ROWS.format(kind=kind, column=column_of(kind)) for kind in kinds)
    return NAMING.format(rows=rows, live=LIVE, partition=PARTITION.format(clinic="%s", partitions="(select partitions from store_settings)"))


def column_of(kind: str) -> str:
    """Return the column that says whose a thing is: `patient_id`, if it names other patients beside."""
    found = [name for name, hint in hints(PROJECTIONS[kind].row).items() for extra in metas(hint) if extra.get("ref") == "patients"]
    return "patient_id" if "patient_id" in found else found[0]


async def naming(lanes: Lanes, clinic: UUID, patient: UUID, kinds: Sequence[str]) -> tuple[list[tuple[str, UUID]], int]:
    """Return the streams (kind, id) of a clinic that name a patient, and the position as of which these are all."""
    wanted = list(kinds)
    params = [clinic, wanted, clinic, *(value for _ in wanted for value in (clinic, patient)), clinic, wanted, str(patient)]
    found = (await lanes.ask(clinic, _asked(tuple(kinds)), params)).rows
    upto = next(position for position, kind, _ in found if kind is None)
    return sorted((kind, stream) for _, kind, stream in found if kind is not None), upto
