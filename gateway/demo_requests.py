"""Where demo requests live on the web: anybody may send one, and the platform sees to it."""

from litestar import Router, post
from litestar.params import JSONBody

from commands.demo_requests import HandleDemoRequest, RequestDemo
from commands.kit.doors import DEMOS
from gateway.kit import Desk, act, browse, fetch
from schemas.demo_requests import DemoAsked, DemoRequestRow


@post("/contact", operation_id="RequestDemo", status_code=202, opt={"public": True})
async def ask(data: JSONBody[RequestDemo], desk: Desk) -> DemoAsked:
    """Ask us to show you what we do, or anything else; one of us comes back to you.

    Five an hour from one network address.
    """
    await desk.call.services.doors.enter(DEMOS, desk.call.address)
    await desk.handle(data)
    return DemoAsked()


router = Router("/api/v1", tags=["Sign-up"], route_handlers=[
    ask,
    Router("/protected/admin/demo-requests", route_handlers=[
        browse("/", DemoRequestRow, by=["status", "email", "asked_at.."], sort="-asked_at"),
        fetch("/{id:uuid}", DemoRequestRow),
        act("/{id:uuid}", HandleDemoRequest, method="PATCH"),
    ]),
])
