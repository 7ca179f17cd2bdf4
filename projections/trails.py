"""Where things have ever been: which streams a list of the past may hold.

Today's read models no longer know what was moved, struck out or discarded since, and the log has no index by days or patients. So each event that puts something somewhere
leaves a line. It says "may": whoever asks folds the stream and looks.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from domain.appointments import AppointmentBooked, AppointmentReassigned, AppointmentRescheduled, AppointmentRetimed
from domain.credits import CreditGained, CreditReassigned, CreditReceived
from domain.group_sessions import GroupSessionMoved, GroupSessionPlanned, GroupSessionRetimed
from domain.invoices import InvoiceDrafted, InvoiceEdited, InvoiceReassigned
from domain.kit import Fact
from domain.schedules import BlockRetimed, TimeBlocked
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.trails import TrailRow


def each(fact: Fact) -> Iterable[tuple[Any, ...]]:
    return ((fact.position,),)


@projects(
    TrailRow, key=each, fresh=True,
    of=(
        AppointmentBooked | AppointmentRescheduled | AppointmentRetimed | AppointmentReassigned | CreditGained | CreditReassigned | CreditReceived | InvoiceDrafted | InvoiceEdited
        | InvoiceReassigned | TimeBlocked | GroupSessionPlanned | GroupSessionMoved | GroupSessionRetimed) | BlockRetimed)
def trails(_: TrailRow | None, fact: Fact, __: tuple[Any, ...]) -> TrailRow:
    event: Any = fact.event
    return TrailRow(
        seq=fact.position, kind=fact.kind, id=fact.id, patient_id=getattr(event, "patient_id", None), date=getattr(event, "on", None),
        last_date=getattr(event, "last_on", None))


ON_DAYS = """select distinct id from trails where clinic_id = %s and kind = %s and date between %s and %s and coalesce(last_date, date) >= %s and seq <= %s limit %s"""
OF_PATIENT = """select id from trails where clinic_id = %s and patient_id = %s and kind = %s and seq <= %s group by id order by max(seq) desc limit %s"""
BORN = """select entity_id, seq from audit_log where clinic_id = %s and action = %s and seq <= %s and seq {beyond} %s order by seq {order} limit %s"""


async def on_days(reader: Reader, kind: str, first: date, last: date, upto: int, most: int, longest: timedelta = timedelta()) -> list[UUID]:
    """Return what had ever been put on these days by a position, or, being no longer than `longest`, begins before them and lasts into them; `most` of it."""
    return [id_ for (id_,) in (await reader.ask(ON_DAYS, (reader.clinic, kind, first - longest, last, first, upto, most))).rows]


async def of_patient(reader: Reader, kind: str, patient: UUID, upto: int, most: int) -> list[UUID]:
    """Return what had ever been put into a patient's name by a position; of more than `most`, what was put there last."""
    return [id_ for (id_,) in (await reader.ask(OF_PATIENT, (reader.clinic, patient, kind, upto, most))).rows]


async def born(reader: Reader, action: str, upto: int, beyond: int, *, descending: bool, most: int) -> list[tuple[UUID, int]]:
    """Return what this event began by a position, in order, beyond another position: the stream, and where it begins."""
    sql = BORN.format(beyond="<" if descending else ">", order="desc" if descending else "asc")
    return [(id_, seq) for id_, seq in (await reader.ask(sql, (reader.clinic, action, upto, beyond, most))).rows]
