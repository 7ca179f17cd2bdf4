"""Upgrades: a clinic asks, or is invited to; the platform decides, and the clinic has it at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from commands.upgrades import (
    AnswerUpgradeInvite,
    ChangeSeatRequest,
    DecideUpgradeRequest,
    MintUpgradeInvite,
    RequestSeats,
    RequestUpgrade,
    WithdrawUpgradeInvite,
)
from domain.clinics import Clinic, ClinicLicensed, ClinicOpened
from domain.kit import PLATFORM, Elsewhere, NotFound, UniqueClaim
from domain.kit.licences import Licence
from domain.upgrades import (
    NothingWished,
    ReasonMissing,
    UpgradeOffered,
    UpgradeOfferGone,
    UpgradeOfferTaken,
    UpgradeOfferUsed,
    UpgradeOfferWithdrawn,
    UpgradeRequest,
    UpgradeRequestApproved,
    UpgradeRequestChanged,
    UpgradeRequested,
    UpgradeRequestPending,
    UpgradeRequestRejected,
    UpgradeRequestSettled,
    UpgradeRequestWithdrawn,
    request_of,
)
from tests.kit import CLINIC, THIS, given, noon
from tests.served import failure, served, working

asked = UpgradeRequested(about="plan", plan="Enterprise")
seats = UpgradeRequested(about="seats", users=30, doctors=10)
offered = UpgradeOffered(plan="Enterprise", expires_at=noon.now + timedelta(days=14))
trying = Clinic.replay([ClinicOpened(name="Grachten", zone="UTC", currency="EUR", plan="Pro"), ClinicLicensed(plan="Pro", users=5, until=noon.today, trial=True)])


def test_a_clinic_asks_for_one_thing_of_a_sort_at_a_time():
    given().looking(open_already=False).when(RequestUpgrade(plan="Enterprise")).then(asked)
    given().looking(open_already=True).when(RequestUpgrade(plan="Enterprise")).refused(UpgradeRequestPending)
    given().looking(open_already=False).when(RequestSeats(users=30, doctors=10)).then(seats)
    given().looking(open_already=False).when(RequestSeats()).refused(NothingWished)
    assert UpgradeRequest.replay([asked]).claims() == {UniqueClaim(scope="upgrade_requests.pending", key="plan")}
    assert UpgradeRequest.replay([asked, UpgradeRequestWithdrawn()]).claims() == frozenset()


def test_it_may_change_or_withdraw_what_is_not_decided():
    given(seats).when(ChangeSeatRequest(users=40)).then(UpgradeRequestChanged(users=40))
    given(seats).when(ChangeSeatRequest(withdraw=True)).then(UpgradeRequestWithdrawn())
    given(seats).when(ChangeSeatRequest()).refused(NothingWished)
    given(seats, UpgradeRequestWithdrawn()).when(ChangeSeatRequest(users=40)).refused(UpgradeRequestSettled)
    given().when(ChangeSeatRequest(users=40)).refused(NotFound)


def test_what_is_approved_is_the_licence_from_then_on_and_the_trial_is_over():
    licence = Licence(plan="Enterprise", users=5, until=noon.today)
    given(asked).looking(clinic=trying).when(DecideUpgradeRequest(decision="approved")).then(
        UpgradeRequestApproved(licence=licence), Elsewhere(state=Clinic, id=CLINIC, events=[ClinicLicensed(plan="Enterprise", users=5, until=noon.today)]))
    more = Licence(plan="Pro", users=30, doctors=10, until=noon.today, trial=True)  # seats alone end no trial
    assert given(seats).looking(clinic=trying).when(DecideUpgradeRequest(decision="approved")).decide()[0] == UpgradeRequestApproved(licence=more)


def test_what_is_rejected_is_told_why_and_nothing_is_decided_twice():
    decide = DecideUpgradeRequest(decision="rejected", reason="Not yet")
    given(asked).looking(clinic=trying).when(decide).then(UpgradeRequestRejected(reason="Not yet"))
    given(asked).looking(clinic=trying).when(DecideUpgradeRequest(decision="rejected")).refused(ReasonMissing)
    for over in (UpgradeRequestRejected(reason="x"), UpgradeRequestWithdrawn(), UpgradeRequestApproved(licence=Licence())):
        given(asked, over).looking(clinic=trying).when(decide).refused(UpgradeRequestSettled)


def test_an_offer_is_answered_once_while_it_is_open():
    given().when(MintUpgradeInvite(clinic_id=CLINIC, plan="Enterprise")).then(offered)
    given().when(MintUpgradeInvite(clinic_id=CLINIC)).refused(NothingWished)
    answer = AnswerUpgradeInvite(contact="Anna")
    request = Elsewhere(state=UpgradeRequest, id=request_of(THIS), events=[UpgradeRequested(about="plan", plan="Enterprise", contact="Anna", invite_id=THIS)])
    found = {"request": UpgradeRequest(), "open_already": False}
    taken = UpgradeOfferTaken(request_id=request_of(THIS))
    given(offered).looking(**found).when(answer).then(taken, request)
    given(offered, taken).looking(**found).when(answer).refused(UpgradeOfferUsed)
    given(offered, UpgradeOfferWithdrawn()).looking(**found).when(answer).refused(UpgradeOfferGone)
    given(UpgradeOffered(plan="Pro+", expires_at=noon.now)).looking(**found).when(answer).refused(UpgradeOfferGone)
    given(offered).when(WithdrawUpgradeInvite()).then(UpgradeOfferWithdrawn())
    given(offered, taken).when(WithdrawUpgradeInvite()).refused(UpgradeOfferUsed)


@pytest.fixture
async def desk(database: Any, nats_server: Any) -> Any:
    async with served(database, nats_server) as web, working(database, nats_server):
        clinic = await web.clinic("Pro")
        yield SimpleNamespace(web=web, clinic=clinic, admin=await web.person(clinic, "admin"), root=await web.person(PLATFORM, "superadmin"))


async def test_an_approved_plan_opens_its_doors_with_the_next_request(desk: Any) -> None:
    request = (await desk.admin("POST", "/billing/upgrade-requests", {"plan": "Pro+"})).json()["id"]
    assert (await desk.web.services.handler.clinic(desk.clinic)).plan == "Pro"
    assert (await desk.root("POST", f"/admin/upgrade-requests/{request}/decision", {"decision": "approved"})).json()["status"] == "approved"
    assert (await desk.web.services.handler.clinic(desk.clinic)).plan == "Pro+"
    assert (await desk.admin("PUT", f"/clinics/{desk.clinic}/modules/insurance", {"on": True})).status_code == 200  # which Pro does not reach
    failure(await desk.root("POST", f"/admin/upgrade-requests/{request}/decision", {"decision": "rejected", "reason": "x"}), 409, "UPGRADE_REQUEST_SETTLED")


async def test_of_twenty_requests_at_once_one_is_open_and_of_twenty_decisions_one_counts(desk: Any) -> None:
    answers = await asyncio.gather(*(desk.admin("POST", "/billing/license-requests", {"users": 10 + n}) for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"NAME_TAKEN", "UPGRADE_REQUEST_PENDING"}
    (request,) = (answer.json()["id"] for answer in answers if answer.status_code == 201)
    decisions = [{"decision": "approved"}, {"decision": "rejected", "reason": "No"}] * 10
    answers = await asyncio.gather(*(desk.root("POST", f"/admin/upgrade-requests/{request}/decision", body) for body in decisions))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    users = (await desk.web.services.handler.clinic(desk.clinic)).licence.users
    assert users == (won["users"] if won["status"] == "approved" else None)
    assert (await desk.admin("POST", "/billing/license-requests", {"users": 99})).status_code == 201  # the way is free again


async def test_whoever_holds_the_link_sees_the_offer_and_answers_once(desk: Any) -> None:
    failure(await desk.admin("POST", "/billing/upgrade-invite-token", {"clinicId": str(desk.clinic), "plan": "Pro+"}), 403, "FORBIDDEN")
    offer = {"clinicId": str(desk.clinic), "plan": "Pro+", "pricing": {"price": 15_000, "currency": "EUR"}, "message": "For you", "days": 7}
    link = (await desk.root("POST", "/billing/upgrade-invite-token", offer)).json()
    path = f"/api/v1/upgrade-invite/{link['token']}"
    shown = (await desk.web.client.get(path)).json()
    assert (shown["clinicName"], shown["currentPlan"], shown["plan"], shown["pricing"]["price"], shown["answered"]) == ("Grachten", "Pro", "Pro+", 15_000, False)
    answers = await asyncio.gather(*(desk.web.client.post(f"{path}/request", json={"contact": "Anna"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert (await desk.web.client.get(path)).json()["answered"] is True
    request = next(answer.json()["requestId"] for answer in answers if answer.status_code == 201)
    assert (await desk.root("POST", f"/admin/upgrade-requests/{request}/decision", {"decision": "approved"})).json()["contact"] == "Anna"
    assert (await desk.web.services.handler.clinic(desk.clinic)).plan == "Pro+"


async def test_a_link_that_is_wrong_withdrawn_or_old_shows_nothing(desk: Any) -> None:
    link = (await desk.root("POST", "/billing/upgrade-invite-token", {"clinicId": str(desk.clinic), "plan": "Pro+"})).json()
    for token in ("nonsense", link["token"][:-1], link["id"]):
        failure(await desk.web.client.get(f"/api/v1/upgrade-invite/{token}"), 404, "UPGRADE_OFFER_GONE")
    assert (await desk.root("DELETE", f"/billing/upgrade-invites/{link['id']}")).status_code == 200
    failure(await desk.web.client.get(f"/api/v1/upgrade-invite/{link['token']}"), 404, "UPGRADE_OFFER_GONE")
    failure(await desk.web.client.post(f"/api/v1/upgrade-invite/{link['token']}/request", json={"contact": "A"}), 404, "UPGRADE_OFFER_GONE")
    rows = (await desk.web.services.reading.lanes.ask(desk.clinic, "select convert_from(state, 'utf8') from stored_events", ())).rows
    assert rows
    assert not any(link["token"] in row[0] for row in rows)  # the token is in no event


async def test_each_clinic_sees_its_own_requests_and_the_platform_all(desk: Any) -> None:
    other = await desk.web.person(await desk.web.clinic("Pro"), "admin")
    mine = (await desk.admin("POST", "/billing/license-requests", {"users": 9, "note": "We grow"})).json()
    made = await other("POST", "/billing/upgrade-requests", {"plan": "Pro+"})
    theirs, seen = made.json()["id"], await other.seen(made)
    assert [one["id"] for one in (await desk.admin("GET", "/billing/upgrade-requests", headers=seen)).json()["items"]] == [mine["id"]]
    listed = (await desk.root("GET", "/admin/upgrade-requests?status=pending", headers=seen)).json()["items"]
    assert {one["id"] for one in listed} == {mine["id"], theirs}
    assert [one["note"] for one in listed if one["id"] == mine["id"]] == ["We grow"]
    assert [one["id"] for one in (await desk.root("GET", "/admin/upgrade-requests?about=seats", headers=seen)).json()["items"]] == [mine["id"]]
    failure(await other("PATCH", f"/billing/license-requests/{mine['id']}", {"users": 1}), 404, "NOT_FOUND")
    failure(await desk.admin("GET", "/admin/upgrade-requests"), 403, "FORBIDDEN")
    failure(await desk.admin("POST", f"/admin/upgrade-requests/{mine['id']}/decision", {"decision": "approved"}), 403, "FORBIDDEN")
    for role in ("doctor", "receptionist", "patient"):
        person = await desk.web.person(desk.clinic, role)
        failure(await person("POST", "/billing/upgrade-requests", {"plan": "Pro+"}), 403, "FORBIDDEN")
        failure(await person("GET", "/billing/license-requests"), 403, "FORBIDDEN")
    assert datetime.fromisoformat(mine["requestedAt"]) <= datetime.now(UTC)
