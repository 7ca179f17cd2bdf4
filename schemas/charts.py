"""What may be seen of a patient at one glance."""

from domain.kit import Frozen
from schemas.appointments import AppointmentRow
from schemas.invoices import InvoiceRow
from schemas.patients import MedicalHistoryRow, PatientRow


class Chart(Frozen):
    """A patient's chart: particulars, medical history, visits and invoices, of both the latest hundred, the latest first.

    A part that your role may not see is null, and so is medical history where nothing was ever noted.
    """

    patient: PatientRow
    medical_history: MedicalHistoryRow | None
    appointments: list[AppointmentRow] | None
    invoices: list[InvoiceRow] | None
