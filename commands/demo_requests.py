"""What may be asked of a demo request: by anybody, and by whoever sees to it."""

from commands.kit import Command, Creation
from domain.demo_requests import DemoRequest, DemoRequested, DemoStatus, Enquiry
from domain.kit import At, Email, Event, Note, Text, only


class RequestDemo(Creation, Enquiry):
    """Ask us to show you what we do, or anything else; one of us comes back to you."""

    state = DemoRequest
    permission = "public"
    name: Text
    email: Email

    def decide(self, request: DemoRequest, at: At) -> list[Event]:
        return [DemoRequested(**only(Enquiry, self))]


class HandleDemoRequest(Command):
    """Note what has been done about a demo request; a closed one may be taken up again."""

    state = DemoRequest
    permission = "superadmin"
    status: DemoStatus
    note: Note | None = None

    def decide(self, request: DemoRequest, at: At) -> list[Event]:
        return request.handle(self.status, self.note)
