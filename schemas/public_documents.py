"""What may be seen of a document that a patient is given: an invoice, a receipt or a quotation, and the link to it."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, field

from domain.kit import Frozen, Money
from domain.public_documents import DocumentKind
from schemas.kit import Row

Printed = DocumentKind | Literal["credit-notes"]
"""What is printed: whatever can be shown by a link, and credit notes."""


class PublicDocumentRow(Row):
    """The link to a document: until when it is good, unless it was taken back, and when somebody first looked by it."""

    table: ClassVar[str] = "public_documents"
    permission: ClassVar[str] = "self"
    id: UUID
    document: DocumentKind
    document_id: UUID
    number: int
    until: datetime | None
    shared_at: datetime
    viewed_at: datetime | None = None


class DocumentLink(Frozen):
    """A link to a document: an address to be handed out, its token, and until when it is good."""

    url: str
    token: str
    expires_at: datetime


class DocumentLine(Frozen):
    """A line of a document; amounts are integer minor units."""

    description: str
    quantity: int
    unit_price: Money
    reduction: Money
    tax_rate: int
    net: Money
    tax: Money
    total: Money


class TaxGroup(Frozen):
    """What is taxed at one rate (basis points), and the tax on it."""

    rate: int
    net: Money
    tax: Money


class House(Frozen):
    """A clinic as it stands on a document."""

    name: str
    address: str
    phone: str
    email: str


class DocumentShown(Frozen):
    """A document as its patient sees it; the names are those that it was issued with. Amounts are integer minor units of the currency."""

    document: Printed
    number: str | None
    status: str
    clinic: House
    patient_name: Annotated[str | None, Meta(description="Null once the patient has been erased.")]
    currency: str
    total: Money
    tax_included: Annotated[bool, Meta(description="Whether prices and reductions of the lines are with tax.")] = False
    subtotal: Money = 0
    tax: Money = 0
    lines: list[DocumentLine] = field(default_factory=list)
    taxes: list[TaxGroup] = field(default_factory=list)
    paid: Money = 0
    refunded: Money = 0
    credited: Annotated[Money, Meta(description="Taken off since, by credit notes or written off.")] = 0
    due: Money = 0
    issued_on: date | None = None
    due_on: date | None = None
    valid_until: date | None = None
    paid_on: date | None = None
    method: str | None = None
    invoice_number: str | None = None
    notes: str | None = None
    language: Annotated[str, Meta(description="In which the clinic writes.")] = "en"
    payable: Annotated[bool, Meta(description="Whether what is due can be paid by card, by this link.")] = False
