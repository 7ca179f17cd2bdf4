"""A patient's chart, put together from the rows that make it up; as they are, or as they were."""

from typing import Any, NamedTuple
from uuid import UUID

from domain.kit import NotFound
from projections.kit import PROJECTIONS
from projections.kit.keys import KeyRing
from projections.kit.past import past, pasts
from projections.kit.reading import Reader
from projections.patients import whole_history
from projections.trails import of_patient
from schemas.appointments import AppointmentRow
from schemas.charts import Chart
from schemas.invoices import InvoiceRow
from schemas.kit import Row
from schemas.patients import MedicalHistoryRow, PatientRow

SHOWN = 100  # visits and invoices
MOST_THEN = 500  # of either that had ever been the patient's, when the chart is asked for as it was: each is folded anew

Own = dict[str, UUID | None]  # what columns must hold for the reader


class Part(NamedTuple):
    """A part of a chart: its row, and the key that opens it."""

    row: type[Row]
    permission: str


PATIENT = Part(PatientRow, PatientRow.detail)
MEDICAL = Part(MedicalHistoryRow, MedicalHistoryRow.permission)
APPOINTMENTS = Part(AppointmentRow, AppointmentRow.detail)
INVOICES = Part(InvoiceRow, InvoiceRow.permission)


class Parts(NamedTuple):
    """Which parts somebody may see, and of visits and invoices, whose; None for nothing of them."""

    medical: bool
    appointments: Own | None
    invoices: Own | None


async def chart(reader: Reader, keys: KeyRing, patient: UUID, shown: Parts) -> Chart:
    """Return a patient's chart."""
    row = await reader.one(PatientRow, patient)
    if row is None:
        raise NotFound(kind="patients", id=str(patient))
    medical = await reader.one(MedicalHistoryRow, patient) if shown.medical else None
    return Chart(
        patient=row, medical_history=medical and await whole_history(reader, keys, medical, None),
        appointments=None if shown.appointments is None else visits(await reader.find(AppointmentRow, **{**shown.appointments, "patient_id": patient})),
        invoices=None if shown.invoices is None else bills(await reader.find(InvoiceRow, **{**shown.invoices, "patient_id": patient})))


async def chart_then(reader: Reader, keys: KeyRing, patient: UUID, shown: Parts, upto: int) -> Chart:
    """Return a patient's chart as it was at a position."""

    async def part(name: str, own: Own | None) -> list[Any] | None:
        if own is None:
            return None
        found = await pasts(reader, keys, PROJECTIONS[name], await of_patient(reader, name, patient, upto, MOST_THEN), upto)
        wanted = {**own, "patient_id": patient}
        return [one.row for one in found.values() if all(getattr(one.row, column) == value for column, value in wanted.items())]

    row: Any = await past(reader, keys, PROJECTIONS["patients"], patient, upto)
    if row is None:
        raise NotFound(kind="patients", id=str(patient))
    medical: Any = await past(reader, keys, PROJECTIONS["medical_histories"], patient, upto) if shown.medical else None
    appointments, invoices = await part("appointments", shown.appointments), await part("invoices", shown.invoices)
    return Chart(
        patient=row.row, medical_history=medical and await whole_history(reader, keys, medical.row, upto), appointments=None if appointments is None else visits(appointments),
        invoices=None if invoices is None else bills(invoices))


def visits(rows: list[AppointmentRow]) -> list[AppointmentRow]:
    return sorted(rows, key=lambda row: (row.starts_at, row.id), reverse=True)[:SHOWN]


def bills(rows: list[InvoiceRow]) -> list[InvoiceRow]:
    return sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)[:SHOWN]
