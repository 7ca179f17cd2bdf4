"""Where referrals and the commission for them live on the web."""

from datetime import date
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import PathParameter

from commands.referral_payouts import (
    DecideReferralPayout,
    ReferClinic,
    RequestReferralPayout,
    SendReferralPayoutForm,
    WithdrawClinicReferral,
)
from domain.kit import NotFound
from domain.kit.money import in_words
from domain.referral_payouts import PayoutRejected
from gateway.kit import Desk, act, browse, create
from gateway.kit.pdf import Column, Paper, printed
from gateway.kit.query import no_query
from projections.referral_payouts import referrals_of
from schemas.referral_payouts import ClinicReferralRow, ReferralPayoutRow

PayoutId = Annotated[UUID, PathParameter(description="Id of a clinic's request for its commission.")]
FORM = """Please return this form with the account to which we may transfer the amount.

Account holder: ______________________________________________

IBAN or account number: ______________________________________

Bank and BIC: ________________________________________________

Date and signature: __________________________________________"""


@get("/{id:uuid}/pdf", operation_id="PrintReferralPayout", opt={"permission": "superadmin", "media": "application/pdf", "refusals": [PayoutRejected]})
async def paper(desk: Desk, id: PayoutId) -> Response[bytes]:  # noqa: A002
    """Print a payout as PDF: what it is for, and where the clinic says to which account it goes."""
    no_query(desk.call.query())
    row = await desk.reader.one(ReferralPayoutRow, id)
    if row is None:
        raise NotFound(id=id)
    if row.status == "rejected":
        raise PayoutRejected
    clinic = await desk.call.services.handler.clinic(row.clinic)
    sender = str(getattr(desk.call.services.settings, "seller", "") or "Anamnesis")
    pdf = await printed(payout_paper(row, await referrals_of(desk.reader, row), clinic.name, sender))
    headers = {"content-disposition": f'inline; filename="payout-{row.id}.pdf"', "cache-control": "private, no-store"}
    return Response(pdf, media_type="application/pdf", headers=headers)


def payout_paper(row: ReferralPayoutRow, referrals: list[ClinicReferralRow], clinic: str, sender: str) -> Paper:
    """Return a payout as it is printed."""
    amount = row.asked if row.approved is None else row.approved
    facts = [("Requested", written(row.requested_at.date())), ("Decided", written(row.decided_on)), ("Reason", row.reason or "")]
    return Paper(
        title="Referral payout", sender=sender, receiver=clinic, facts=[(name, value) for name, value in facts if value],
        columns=(Column("Referred clinic", 70), Column("On", 30)), rows=[[one.clinic_name, written(one.referred_on)] for one in referrals],
        sums=[("Asked for", in_words(row.asked, row.currency)), ("Payout", in_words(amount, row.currency))], notes=FORM,
        dated=row.decided_on or row.requested_at.date(), stamp=row.status,
    )


def written(on: date | None) -> str:
    return f"{on.day} {on:%B %Y}" if on else ""


router = Router("/api/v1/protected", tags=["Referral payouts"], route_handlers=[
    Router("/billing", route_handlers=[
        browse("/clinic-referrals", ClinicReferralRow, by=["clinic", "status", "referred_on.."], sort="-referred_at"),
        create("/clinic-referrals", ReferClinic),
        act("/clinic-referrals/{id:uuid}", WithdrawClinicReferral, "DELETE"),
        browse("/referral-payouts", ReferralPayoutRow, by=["clinic", "status", "requested_at.."], sort="-requested_at"),
        create("/referral-payouts", RequestReferralPayout),
    ]),
    Router("/admin/referral-payouts", route_handlers=[
        browse(
            "/", ReferralPayoutRow, by=["clinic", "status", "requested_at.."], sort="-requested_at", permission="superadmin",
            operation_id="BrowseAllReferralPayouts", summary="List: the payouts that clinics ask for"),
        act("/{id:uuid}/decision", DecideReferralPayout),
        act("/{id:uuid}/send-form", SendReferralPayoutForm),
        paper,
    ]),
    Router("/admin/referrals", route_handlers=[
        browse(
            "/", ClinicReferralRow, by=["clinic", "status", "referred_on.."], sort="-referred_at", permission="superadmin",
            operation_id="BrowseAllClinicReferrals", summary="List: whom clinics have recommended us to"),
    ]),
])
