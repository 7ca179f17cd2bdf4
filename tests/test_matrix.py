"""Every route, every role, every plan: let through or refused as the specification's tables say; and whoever is let through really gets it done."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx

from tests import matrix
from tests.matrix import GUARDS, ONESELF, PLANS, ROLES, TABLE, YES, Answer, answer
from tests.test_walk import (
    ID,
    LAST_CALLS,
    absences,
    appointments,
    caller,
card_payments,
    clocks,
        consents,
    credited,
    devices,
    figures,
    group_sessions,
    installments,
    insurance,
    insured,
    invitations,
    invoices,
    leads,
    opened,
    patients,
    permissions,
    portal,
    quotations,
    recalls,
    recurrences,
    referrals,
    rooms,
    schedules,
    screens,
    staff,
    tills,
    visit_fees,
    waiting,
    waiting_list,
    walked,
)
from tests.walk import OPERATIONS, Api, Json, Operation, Person, Request, content

__all__ = ["caller"]  # a fixture

CLINICAL = [staff, permissions, invitations, rooms, schedules, patients, consents, portal, appointments, absences, clocks, recurrences, waiting_list, group_sessions, recalls, invoices, quotations, installments, card_payments, tills, visit_fees, referrals, leads, waiting, devices, screens]  # what is neither the admin's alone nor the platform's
BEYOND_A_PROGRAM = {"GRANT_BEYOND_YOUR_OWN"}  # it may not make anybody more than it is itself, which is nobody
WORDS = re.compile("Bakker|Noor|Visser|Penicillin|D2740")  # of rows that the walk has made


def where(operation: Operation) -> matrix.Route:
    return operation.method, operation.path


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    served = {where(operation) for operation in OPERATIONS.values()}
    assert served - GUARDS.keys() == set(), "say in tests/spec/routes.csv how they are guarded"
    assert GUARDS.keys() - served == set()
    assert {guard.word for guard in GUARDS.values()} - TABLE.keys() == {"public", "self", "signed in", "admin", "superadmin"}
    assert {guard.also for guard in GUARDS.values() if not guard.also.startswith(matrix.ROLES_ONLY)} - TABLE.keys() == {""}


class Deputy(Person):
    """Does what an admin would wherever the table lets their role; elsewhere is refused, and the admin does it."""

    def __init__(self, admin: Person, deputy: Person, plan: str) -> None:
        super().__init__(admin.api, admin.session, admin.role, admin.clinic, admin.email)
        self.admin = admin
        self.deputy = deputy
        self.plan = plan
        self.done: set[str] = set()

    async def __call__(self, operation: str, body: Json | bytes | None = None, query: Json | None = None, *, headers: Mapping[str, str] = {}, **path: Any) -> Any:
        wanted = OPERATIONS[operation]
        due = answer(where(wanted), self.deputy.role, self.plan)
        if due.let_through and operation == "BlockTime" and isinstance(body, dict) and "doctorId" in body:  # somebody else's time
            due = matrix.asked("settings.working_hours.manage", self.deputy.role, self.plan)
        who = self.deputy if due.let_through else self.admin
        if not due.let_through:
            request = Request(wanted, wanted.path.format(**path), query or {}, body)
            assert faults(await self.deputy.send(request, headers), due, request) == []
        who.position = self.position
        told = await who(operation, body, query, headers=headers, **path)
        self.position = who.position
        if due.let_through:
            self.done.add(operation)
        return told


def faults(got: httpx.Response, due: Answer, request: Request) -> list[str]:
    """Return what is wrong with a refusal: that it is none, that it is another one, or that it tells something."""
    if (got.status_code, got.json().get("code")) != (due.status, due.code):
        return [f"{request.operation.id}: {got.status_code} {got.text[:200]}, not {due}"]
    asked = set(ID.findall(request.words))
    told = WORDS.findall(got.text) + [found for found in ID.findall(got.text) if found not in asked | {got.json()["requestId"]}]
    return [f"{request.operation.id} tells {told}"] if told else []


async def test_whoever_is_let_through_gets_it_done_and_nobody_else(caller: Api) -> None:
    """The clinical chapters of the walk, by a doctor and by a receptionist, on each plan."""
    for plan in PLANS:
        for role in ("doctor", "receptionist"):
            _, admin = await opened(caller, "Grachten")
            root = await caller.superadmin()
            await root("ChangeClinicPlan", {"plan": plan}, id=admin.clinic)
            deputy = Deputy(admin, await caller.person(admin.clinic, role), plan)
            ids: Json = {"clinics": str(admin.clinic)}
            for chapter in [*CLINICAL, *([figures, insured, insurance] if plan != "Pro" else []), credited]:
                await chapter(deputy, ids)
            may = {o.id for o in OPERATIONS.values() if GUARDS[where(o)].word in TABLE and answer(where(o), role, plan) is YES}
            missing = may - deputy.done
            assert missing <= {"GetPaymentStatus", "BrowseSubscriptionInvoiceRow", "GetSubscriptionInvoiceRow", "PrintSubscriptionInvoice", "GetStats", "BrowseAppointmentDayRow", "BrowseRevenueDayRow", "GetFinancialSummary", *FIGURES, *THEIR_OWN}, missing


async def test_every_operation_does_what_it_says_and_nothing_for_whoever_may_not(caller: Api) -> None:
    """The whole walk once; then its requests again by another clinic's admin, and by each role on each plan."""
    me, ids = await walked(caller)
    assert {request.operation.id for request in caller.called} == set(OPERATIONS)
    await foreign(me, ids)
    assert (wrong := await decided(me, ids)) == [], "\n".join(wrong)


FIGURES = {"GetDoctorPerformance", "GetPatientGrowth", "GetRetentionCohorts", "GetReferralSources", "BrowseVisitRow", "GetAppointmentTrends", "GetWhy"}
THEIR_OWN = {"GetCommissions", "BrowseCommissionLine", "BrowseCommissionRuleRow", "GetCommissionRuleRow"}  # of a doctor who is one of the staff
OF_ONESELF = {"SetDoctorSchedule", "GetCalendarFeed", "OpenCalendarFeed", "CloseCalendarFeed"}  # a doctor's, who is the one of the walk
ANYTHING = {"BrowseAuditLog", "BrowseErasureRow", "ListInstallmentsOfTreatmentPlan"}  # may be asked about anything, and tell nothing of others


async def foreign(me: Person, ids: Json) -> None:
    """Send every request by another clinic's admin: what names an id of this one, in path, query or body, is not found, and no list shows it."""
    caller = me.api
    requests = [r for r in caller.called if GUARDS[where(r.operation)].word not in ONESELF and r.operation.id not in {*LAST_CALLS, "ClinicEvents"}]
    mine = {*ids.values(), me.session["user"]["id"], *(found for request in requests if request.operation.key != "superadmin" for found in ID.findall(request.path))}
    _, other = await opened(caller, "Kanal")
    refused = set()
    for request in requests:
        answer = await other.send(request)
        if request.operation.key == "superadmin":
            assert answer.status_code == 403, request
        elif mine & set(ID.findall(request.words)) and request.operation.id not in ANYTHING:
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), (request, answer.text)
            refused.add(request.operation.id)
        else:
            assert answer.is_success or answer.status_code == 409, (request, answer.text)
            told = set(ID.findall(answer.text)) - set(ID.findall(request.words))  # what they asked about they know
            assert request.operation.id == "BrowseDeniedRequestRow" or not mine & told, request  # which says what they tried themselves
    assert len(refused) > 35
    assert await seen_by(other, ids["rooms"]) == []


async def seen_by(person: Person, room: str) -> list[str]:
    """Return what somebody hears of a room from the first event on, up to one of their own."""
    own, heard = (await person("AddRoom", {"name": "Attic"}))["id"], []
    async with person.api.client.stream("GET", OPERATIONS["ClinicEvents"].path, headers={**person.headers, "last-event-id": "0"}) as stream:
        async for line in stream.aiter_lines():
            heard += [line] if room in line else []
            if line.startswith("data:") and own in line:
                return heard
    raise AssertionError("the stream ended early")


ASKING = {plan: [role for role in ROLES if role != "superadmin" and (role != "nobody" or plan == PLANS[0])] for plan in PLANS}
"""By whom everything is asked on a plan; nobody is of no clinic, hence on no plan: once is enough."""


async def decided(me: Person, ids: Json) -> list[str]:
    """Ask every request of a walk again: by each role, by another program and by nobody, on each plan; return what was answered otherwise than due."""
    api, root = me.api, await me.api.superadmin()
    requests = list({request.operation.id: request for request in api.called if request.operation.id not in LAST_CALLS}.values())
    assert {request.operation.id for request in requests} == OPERATIONS.keys() - LAST_CALLS
    guarded = [request for request in requests if GUARDS[where(request.operation)].word not in ONESELF]
    assert len(guarded) * sum(map(len, ASKING.values())) > 3000
    wrong: list[str] = []
    for plan in PLANS:
        await root("ChangeClinicPlan", {"plan": plan}, id=me.clinic)
        people = {role: await somebody(me, ids, role, plan) for role in ASKING[plan]}
        for found in await asyncio.gather(*(each(person, guarded, role, plan) for role, person in people.items())):
            wrong += found
    for request in requests:  # the last, for nothing is forbidden to them
        if GUARDS[where(request.operation)].word == "superadmin" and request.operation.method == "GET":
            wrong += await astray(root, request, "superadmin", PLANS[-1])
    return wrong


async def each(person: Person, requests: list[Request], role: str, plan: str) -> list[str]:
    return [fault for request in requests for fault in await astray(person, request, role, plan)]


async def somebody(me: Person, ids: Json, role: str, plan: str) -> Person:
    """Return somebody of a role; a program comes with every scope there is for it."""
    if role == "nobody":
        return Person(me.api, {}, "", me.clinic)
    if role == "key":
        scopes = [key for key in TABLE if matrix.held(key, "admin", plan).let_through and not key.startswith("lab.")]  # that module is off by now
        made = await me("IssueApiKey", {"name": "Everything", "scopes": scopes})
        return Person(me.api, {"accessToken": made["key"]}, "key", me.clinic)
    subject = {"patient": "patients", "doctor": "staff"}.get(role)
    return await me.api.person(me.clinic, role, UUID(ids[subject]) if subject else None)


async def astray(person: Person, request: Request, role: str, plan: str) -> list[str]:
    """Return what is wrong with an answer. Whoever is let through may find it done already, or gone; whoever is not learns nothing."""
    due = YES if role == "doctor" and request.operation.id in OF_ONESELF else answer(where(request.operation), role, plan)
    method, path = request.operation.method, request.path
    async with person.api.client.stream(method, path, params=request.query, **content(request.body), headers=person.headers) as got:
        if "content-length" in got.headers:  # an answer that ends, so that the connection stays
            await got.aread()
        if not due.let_through:
            return [f"{role} on {plan}: {fault}" for fault in faults(got, due, request)]
        if got.status_code in {401, 403}:
            if role == "key" and got.json()["code"] in BEYOND_A_PROGRAM:
                return []
            return [f"{role} on {plan}: {request.operation.id} answered {got.text[:200]}"]
    return []
