"""Public documents: a patient without an account looks at an invoice, a receipt or a quotation by a link, until it has run out or was taken back."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID, uuid5

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, Refused, State

DocumentKind = Literal["invoices", "quotations", "receipts"]
LinkDays = Annotated[int, Meta(ge=1, le=366, description="For how many days the link is good.")]

PURPOSE = "public-document"  # what the token in a link is for
PATH = "/api/v1/public-documents/{token}/pdf"  # what a letter leads to
PAGE = "/api/v1/public-documents/{token}"  # what a letter leads to where there is something to be done
DAYS = 90


class Shown(Frozen):
    """Which document a link shows, and which of its links it is."""

    document: DocumentKind
    document_id: Annotated[UUID, Meta(description="Its id.")]
    number: Annotated[int, Meta(ge=1)]


class DocumentShared(Shown, Event):
    """Whoever has the link of that number can look at the document, until then."""

    until: datetime


class DocumentLinkRevoked(Shown, Event):
    """The link opens nothing any more."""


class DocumentViewed(Shown, Event):
    """Somebody looked at the document by that link for the first time."""


PublicDocumentEvent = DocumentShared | DocumentLinkRevoked | DocumentViewed


class DocumentLinkOver(Refused):
    """This link opens nothing any more: it has run out or was taken back. Ask the clinic for a new one."""

    status = 410


class LinkLifeImpossible(Invalid):
    """A link is good for a day at least, and for 366 at most."""


class PublicDocument(State):
    """The link to one document: there is one at a time."""

    kind: ClassVar[str] = "public_documents"
    document: DocumentKind | None = None
    document_id: UUID | None = None
    number: int = 0  # of the last link
    until: datetime | None = None  # of that link, unless it was taken back
    viewed: bool = False  # whether anybody has looked by it

    def evolve(self, event: PublicDocumentEvent) -> Self:
        match event:
            case DocumentShared():
                viewed = self.viewed and event.number == self.number
                return replace(self, document=event.document, document_id=event.document_id, number=event.number, until=event.until, viewed=viewed)
            case DocumentLinkRevoked():
                return replace(self, until=None)
            case DocumentViewed():
                return replace(self, viewed=True)

    def share(self, document: DocumentKind, document_id: UUID, days: int, now: datetime) -> list[Event]:
        """Make a link, or have the one there is last longer: whoever has it keeps it."""
        if not 1 <= days <= 366:  # noqa: PLR2004 - LinkDays
            raise LinkLifeImpossible(days=days)
        until = now + timedelta(days=days)
        if self.open(now) and self.until is not None and self.until >= until:
            return []
        return [DocumentShared(document=document, document_id=document_id, number=self.next_number(now), until=until)]

    def next_number(self, now: datetime) -> int:
        """Return the number that a link has which is shared now."""
        return self.number if self.open(now) else self.number + 1

    def revoke(self) -> list[Event]:
        if self.until is None or self.document is None or self.document_id is None:
            return []
        return [DocumentLinkRevoked(document=self.document, document_id=self.document_id, number=self.number)]

    def view(self, number: int, now: datetime) -> list[Event]:
        """Note the first look by a link."""
        self.ensure_open(number, now)
        if self.viewed or self.document is None or self.document_id is None:
            return []
        return [DocumentViewed(document=self.document, document_id=self.document_id, number=number)]

    def open(self, now: datetime) -> bool:
        return self.until is not None and now < self.until

    def ensure_open(self, number: int, now: datetime) -> None:
        """Refuse a link that was taken back, has run out, or is another one than the last."""
        if not self.open(now) or number != self.number:
            raise DocumentLinkOver


def link_to(document: UUID) -> UUID:
    """Return the id under which it is kept by which link a document is looked at."""
    return uuid5(document, "public")
