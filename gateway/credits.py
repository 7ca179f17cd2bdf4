"""Where patients' credit lives on the web, and where a payment for several invoices is recorded."""

from litestar import Router

from commands.credits import ReceiveDeposit, ReturnCredit, ReverseDeposit, SettleInvoices
from gateway.kit import act, browse, create
from schemas.credits import CreditRow, DepositRow

router = Router("/api/v1/protected", tags=["Billing"], route_handlers=[
    browse("/credits", CreditRow, by=["patient_id", "balance.."], sort="-balance"),
    browse("/deposits", DepositRow, by=["patient_id", "appointment_id", "method", "received_on.."], sort="-received_on", csv=True),
    create("/patients/{patientId:uuid}/deposits", ReceiveDeposit),
    act("/patients/{patientId:uuid}/deposits/{depositId:uuid}/reverse", ReverseDeposit),
    act("/patients/{patientId:uuid}/credit/return", ReturnCredit),
    act("/patients/{patientId:uuid}/payments", SettleInvoices),
])
