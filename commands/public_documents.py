"""What may be asked of a link to a document; and how a document is sent to its patient, whatever it is."""

from typing import Any
from uuid import UUID

from commands.kit import Command, Look
from commands.patients import addressee
from domain.kit import At, Elsewhere, Event
from domain.public_documents import DAYS, DocumentKind, PublicDocument, link_to


class ViewDocument(Command):
    """Note that somebody looked at a document by the link of that number."""

    state = PublicDocument
    permission = "public"
    number: int

    def decide(self, link: PublicDocument, at: At) -> list[Event]:
        return link.view(self.number, at.now)


async def addressed(look: Look, document: UUID, patient: UUID) -> dict[str, Any]:
    """Return the patient to whom a document would go, whether they can be written to, and the link to it, held fast."""
    return {**await addressee(look, patient), "link": await look.load(PublicDocument, link_to(document))}


def shared(link: PublicDocument, kind: DocumentKind, at: At) -> list[Elsewhere]:
    """Return what has the link to a document last, to be saved with the letter that takes it to the patient."""
    events = link.share(kind, at.id, DAYS, at.now)
    return [Elsewhere(state=PublicDocument, id=link_to(at.id), events=events)] if events else []
