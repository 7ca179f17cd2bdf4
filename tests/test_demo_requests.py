"""Demo requests: anybody may send one, five an hour from one street; the platform sees to it."""

import asyncio
from uuid import uuid4

import pytest

from commands.demo_requests import HandleDemoRequest, RequestDemo
from domain.demo_requests import DemoRequested, DemoRequestHandled, DemoRequestUnchanged
from domain.kit import PLATFORM, NotFound
from tests.kit import given
from tests.served import failure, served, until, working
from tests.test_signups import street

asked = DemoRequested(name="Ada", email="ada@example.org", clinic_name="Grachten", country="NL", message="Show me")
PATH = "/admin/demo-requests"


def test_it_is_asked_for_and_seen_to():
    given().when(RequestDemo(name="Ada", email="ada@example.org", clinic_name="Grachten", country="NL", message="Show me")).then(asked)
    given(asked).when(HandleDemoRequest(status="contacted", note="Called")).then(DemoRequestHandled(status="contacted", note="Called"))
    closed = DemoRequestHandled(status="closed")
    given(asked, closed).when(HandleDemoRequest(status="scheduled")).then(DemoRequestHandled(status="scheduled"))
    given(asked, closed).when(HandleDemoRequest(status="closed", note="Again")).then(DemoRequestHandled(status="closed", note="Again"))
    given(asked, closed).when(HandleDemoRequest(status="closed")).refused(DemoRequestUnchanged)
    given().when(HandleDemoRequest(status="closed")).refused(NotFound)


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server, proxies="127.0.0.0/8") as serving, working(module_database, nats_server):
        yield serving


async def test_anybody_asks_and_the_platform_sees_to_it(whole):
    said = {"name": "Ada Kok", "email": f"ada-{uuid4().hex[:8]}@example.org", "clinicName": "Grachten", "message": "Show me", "phone": "+31 20 123 4567"}
    headers = street()
    answers = await asyncio.gather(*(whole.client.post("/api/v1/contact", json=said, headers=headers) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 3
    assert all(answer.json() == {"accepted": True} for answer in answers if answer.status_code == 202)
    failure(await whole.client.post("/api/v1/contact", json={"name": "Ada"}, headers=street()), 400, "BODY_INVALID")
    root = await whole.person(PLATFORM, "superadmin")
    first = await listed(root, said["email"])
    done = await root("PATCH", f"{PATH}/{first}", {"status": "scheduled", "note": "Tuesday"})
    seen = await root.seen(done)
    row = (await root("GET", f"{PATH}/{first}", headers=seen)).json()
    assert (row["status"], row["note"], row["message"], row["handledBy"]) == ("scheduled", "Tuesday", "Show me", str(root.id))
    left = (await root("GET", f"{PATH}?status=new&email={said['email']}", headers=seen)).json()["items"]
    assert len(left) == 4
    admin = await whole.person(await whole.clinic(), "admin")
    for method, path, body in (("GET", PATH, None), ("GET", f"{PATH}/{first}", None), ("PATCH", f"{PATH}/{first}", {"status": "closed"})):
        failure(await admin(method, path, body), 403, "FORBIDDEN")


async def listed(root, email):
    async def found():
        return (await root("GET", f"{PATH}?email={email}")).json()["items"]

    await until(found)
    return (await found())[0]["id"]
