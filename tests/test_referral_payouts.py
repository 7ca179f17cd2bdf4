"""Referral payouts: each referral is paid for once, and no more than was asked for."""

import asyncio
import io
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from pypdf import PdfReader

from commands.referral_payouts import (
    DecideReferralPayout,
    ReferClinic,
    RequestReferralPayout,
    SendReferralPayoutForm,
    WithdrawClinicReferral,
)
from domain.kit import PLATFORM, NotFound, UniqueClaim
from domain.referral_payouts import (
    ClinicReferral,
    ClinicReferralWithdrawn,
    ClinicReferred,
    PayoutDecided,
    PayoutRejected,
    PayoutTooLarge,
    ReferralPaid,
    ReferralPayout,
    ReferralPayoutApproved,
    ReferralPayoutFormSent,
    ReferralPayoutRejected,
    ReferralPayoutRequested,
    ReferralTwice,
    ReferralWithdrawn,
    RejectionUnexplained,
)
from tests.kit import given, noon
from tests.served import failure, served, working

ONE, TWO = UUID(int=1), UUID(int=2)
referred = ClinicReferred(clinic_name="Dental", email="office@dental.example", referred_on=noon.today)
asked = ReferralPayoutRequested(referrals=[ONE, TWO], amount=50_000, currency="EUR")
approved = ReferralPayoutApproved(amount=50_000, currency="EUR", decided_on=noon.today)
rejected = ReferralPayoutRejected(reason="No", decided_on=noon.today)


def test_a_clinic_is_referred_and_the_referral_can_be_withdrawn():
    given().when(ReferClinic(clinic_name="Dental", email="office@dental.example")).then(referred)
    given(referred).when(WithdrawClinicReferral()).then(ClinicReferralWithdrawn())
    given(referred, ClinicReferralWithdrawn()).when(WithdrawClinicReferral()).refused(ReferralWithdrawn)
    given().when(WithdrawClinicReferral()).refused(NotFound)


def test_commission_is_asked_for_what_was_referred_and_for_each_once():
    ask, made = RequestReferralPayout(referrals=[ONE, TWO], amount=50_000), [ClinicReferral.replay([referred])]
    given().looking(referred=made, taken=False).when(ask).then(asked)
    given().looking(referred=made, taken=True).when(ask).refused(ReferralPaid)
    given().looking(referred=[ClinicReferral.replay([referred, ClinicReferralWithdrawn()])], taken=False).when(ask).refused(ReferralWithdrawn)
    given().looking(referred=made, taken=False).when(RequestReferralPayout(referrals=[ONE, ONE], amount=1)).refused(ReferralTwice)
    assert ReferralPayout.replay([asked, approved]).claims() == {UniqueClaim(scope="referral_payouts.referral", key=str(one)) for one in (ONE, TWO)}
    assert ReferralPayout.replay([asked, rejected]).claims() == frozenset()


def test_a_payout_is_decided_once_and_never_for_more_than_was_asked():
    given(asked).when(DecideReferralPayout(decision="approved")).then(approved)
    given(asked).when(DecideReferralPayout(decision="approved", amount=0)).then(ReferralPayoutApproved(amount=0, currency="EUR", decided_on=noon.today))
    given(asked).when(DecideReferralPayout(decision="approved", amount=50_001)).refused(PayoutTooLarge)
    given(asked).when(DecideReferralPayout(decision="rejected", reason="No")).then(rejected)
    given(asked).when(DecideReferralPayout(decision="rejected")).refused(RejectionUnexplained)
    for over in (approved, rejected):
        given(asked, over).when(DecideReferralPayout(decision="approved")).refused(PayoutDecided)


def test_the_form_goes_out_unless_it_was_rejected():
    given(asked).when(SendReferralPayoutForm()).then(ReferralPayoutFormSent(sent_on=noon.today, amount=50_000, currency="EUR"))
    given(asked, rejected).when(SendReferralPayoutForm()).refused(PayoutRejected)
    given().when(SendReferralPayoutForm()).refused(NotFound)


@pytest.fixture
async def desk(database: Any, nats_server: Any) -> Any:
    async with served(database, nats_server) as web, working(database, nats_server):
        clinic = await web.clinic()
        yield SimpleNamespace(web=web, clinic=clinic, admin=await web.person(clinic, "admin"), root=await web.person(PLATFORM, "superadmin"))


async def referral(desk: Any, name: str = "Dental Kraków") -> str:
    return str((await desk.admin("POST", "/billing/clinic-referrals", {"clinicName": name, "contact": "Anna", "email": "anna@dental.example"})).json()["id"])


async def test_of_twenty_payouts_for_one_referral_at_once_one_is_asked(desk: Any) -> None:
    body = {"referrals": [await referral(desk)], "amount": 25_000}
    answers = await asyncio.gather(*(desk.admin("POST", "/billing/referral-payouts", body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    (payout,) = (answer.json()["id"] for answer in answers if answer.status_code == 201)
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"NAME_TAKEN", "REFERRAL_PAID"}
    await desk.root("POST", f"/admin/referral-payouts/{payout}/decision", {"decision": "rejected", "reason": "Too early"})
    assert (await desk.admin("POST", "/billing/referral-payouts", body)).status_code == 201  # the way is free again


async def test_a_payout_from_the_request_to_the_paper(desk: Any) -> None:
    body = {"referrals": [await referral(desk), await referral(desk, "Zęby")], "amount": 25_000, "note": "For both"}
    payout = (await desk.admin("POST", "/billing/referral-payouts", body)).json()
    assert (payout["status"], payout["asked"], payout["currency"]) == ("requested", 25_000, "EUR")
    assert (await desk.root("POST", f"/admin/referral-payouts/{payout['id']}/decision", {"decision": "approved", "amount": 20_000})).json()["approved"] == 20_000
    sent = await desk.root("POST", f"/admin/referral-payouts/{payout['id']}/send-form")
    paper = await desk.root("GET", f"/admin/referral-payouts/{payout['id']}/pdf", headers=await desk.root.seen(sent))
    words = PdfReader(io.BytesIO(paper.content)).pages[0].extract_text()
    for said in ("Grachten", "Dental Kraków", "Zęby", "250.00 EUR", "200.00 EUR", "APPROVED", "IBAN"):
        assert said in words


async def test_each_clinic_has_its_own_and_deciding_is_the_platforms(desk: Any) -> None:
    mine = await referral(desk)
    made = await desk.admin("POST", "/billing/referral-payouts", {"referrals": [mine], "amount": 1_000})
    payout, seen = made.json()["id"], await desk.admin.seen(made)
    other = await desk.web.person(await desk.web.clinic(), "admin")
    failure(await other("POST", "/billing/referral-payouts", {"referrals": [mine], "amount": 1_000}), 404, "NOT_FOUND")
    failure(await other("DELETE", f"/billing/clinic-referrals/{mine}"), 404, "NOT_FOUND")
    assert (await other("GET", "/billing/referral-payouts", headers=seen)).json()["items"] == []
    assert [row["id"] for row in (await desk.root("GET", "/admin/referral-payouts", headers=seen)).json()["items"]] == [payout]
    (row,) = (await desk.root("GET", "/admin/referrals", headers=seen)).json()["items"]
    assert (row["clinicName"], row["contact"], row["email"]) == ("Dental Kraków", "Anna", "anna@dental.example")
    for method, path, body in (
        ("GET", "", None), ("POST", f"/{payout}/decision", {"decision": "approved"}), ("POST", f"/{payout}/send-form", None), ("GET", f"/{payout}/pdf", None),
    ):
        failure(await desk.admin(method, f"/admin/referral-payouts{path}", body), 403, "FORBIDDEN")
    failure(await desk.admin("GET", "/admin/referrals"), 403, "FORBIDDEN")
    failure(await (await desk.web.person(desk.clinic, "doctor"))("GET", "/billing/referral-payouts"), 403, "FORBIDDEN")
    rows = (await desk.web.services.reading.lanes.ask(desk.clinic, "select convert_from(state, 'utf8') from stored_events where topic = 'ClinicReferred'", ())).rows
    assert not any("Anna" in text or "anna@" in text for (text,) in rows)  # whom to ask lies sealed
