"""Where it lives on the web what visits are booked with: what was asked for beforehand, and what was paid; and where a patient pays it by their link."""

import datetime as dt
from typing import Any

from litestar import Response, Router, post

from domain.appointments import AppointmentLinkOver, DepositPaid, VisitNotAhead
from gateway import card_payments
from gateway.appointments import SECRET, Token, linked
from gateway.kit import Desk, browse, fetch
from gateway.kit.query import no_query
from gateway.public_documents import page_link
from projections.booking_deposits import paid_for
from schemas.booking_deposits import BookingDeposit
from schemas.card_payments import CheckoutLink


@post("/{token:str}/pay-deposit", operation_id="PayDeposit", status_code=201, opt={
    "public": True, "refusals": [AppointmentLinkOver, VisitNotAhead, DepositPaid, card_payments.AmountNotPayable, *card_payments.REFUSALS]})
async def pay_deposit(desk: Desk, token: Token) -> Response[CheckoutLink]:
    """Pay what is asked for beforehand for a visit, by card, by the link that its patient has.

    Go to the address in the answer, a page of the payment service's. What was paid is the patient's credit, and pays for the visit's invoice.
    """
    no_query(desk.call.query())
    found = await linked(desk, token)
    found.state.ensure_ahead(dt.datetime.now(dt.UTC))
    desk.reader = await desk.call.services.reader(desk.who.clinic, await desk.reader.head())  # what was paid a moment ago counts
    clinic: Any = await desk.clinic()
    language = clinic.language or "en"
    what = card_payments.What(appointment_id=found.appointment)
    title = f"{'Depósito' if language == 'es' else 'Deposit'}: {clinic.name}, {found.row.date}"
    amount = found.state.deposit_due(await paid_for(desk.reader, found.appointment))
    bill = card_payments.Bill(what, title, amount, clinic.currency, found.version)
    page = f"{desk.call.services.address}/api/v1/appointments/links/{token}"
    made = await card_payments.checkout(desk, bill, card_payments.Payer(amount=None, done=page, back=page, language=language))
    return Response(page_link(made, bill, language), status_code=201, headers=SECRET)


router = Router("/api/v1", tags=["Billing"], route_handlers=[
    Router("/appointments/links", route_handlers=[pay_deposit]),
    Router("/protected/booking-deposits", route_handlers=[
        browse("/", BookingDeposit, by=["patient_id", "type_id", "status", "visit", "starts_at.."], sort="-starts_at", csv=True),
        fetch("/{id:uuid}", BookingDeposit),
    ]),
])
