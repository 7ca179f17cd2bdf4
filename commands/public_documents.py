"""What may be asked of a link to a document."""

from commands.kit import Command
from domain.kit import At, Event
from domain.public_documents import PublicDocument


class ViewDocument(Command):
    """Note that somebody looked at a document by the link of that number."""

    state = PublicDocument
    permission = "public"
    number: int

    def decide(self, link: PublicDocument, at: At) -> list[Event]:
        return link.view(self.number, at.now)
