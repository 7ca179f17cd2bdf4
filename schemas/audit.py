"""What may be seen of who did what, and when."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from msgspec import field

from domain.kit import Frozen, Id, PatientId
from schemas.kit import Row


class AuditRow(Row):
    """One event of the clinic: who did what to which entity, when, and the seals that prove it (base64)."""

    table: ClassVar[str] = "audit_log"
    permission: ClassVar[str] = "audit.logs.view"
    key: ClassVar[tuple[str, ...]] = ("seq",)
    seq: int
    recorded_at: datetime
    actor: UUID
    action: str
    entity_type: str
    entity_id: UUID
    version: int
    command_id: UUID
    correlation_id: UUID
    hash: str
    mac: str

    indexes: ClassVar[tuple[str, ...]] = ("entity_id, seq", "actor, seq", "action, seq", "recorded_at", "correlation_id")


class Origin(Frozen):
    """Where a request came from: the account that acted and for whom, its session, the kind of client, the network address and the program."""

    account: UUID | None
    on_behalf_of: UUID | None
    session: UUID | None
    client: str | None
    address: str
    agent: str


class AuditLine(Frozen):
    """One event of the clinic: who did what to which entity, when and from where, and the seals that prove it (base64).

    `changes` is what the event says and `before` what was said of the same things last, without what is sealed because it is about a person.
    `origin` is null where no request caused the event, or where it has been erased.
    """

    seq: int
    recorded_at: datetime
    actor: UUID
    action: str
    entity_type: str
    entity_id: UUID
    version: int
    command_id: UUID
    correlation_id: UUID
    hash: str
    mac: str
    changes: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    origin: Origin | None = None


class AuditPage(Frozen):
    """Lines of the audit log, the latest first, and where to go on."""

    items: list[AuditLine]
    next: str | None


class SignedHead(Frozen):
    """The head of a clinic's history at a moment. `signature` (Ed25519, hexadecimal) is over `statement`; `key` is the beginning of the public key's SHA-256."""

    position: int
    events: int
    hash: str
    signed_at: datetime
    key: str
    signature: str
    statement: str


class HeadKey(Frozen):
    """A key that signs heads: its name, as heads bear it, and the public key (Ed25519, hexadecimal). Have it from elsewhere as well."""

    key: str
    public: str


class SignedHeads(Frozen):
    """The newest signed heads, the names of the keys that signed them, and every key that was ever in use, the newest first."""

    items: list[SignedHead]
    public_keys: list[str]
    keys: list[HeadKey]


class ChartLookRow(Row):
    """A look at a patient's chart: by whom, on whose behalf, from where, at what (within a minute, each once), and whether it was open in an emergency alone."""

    table: ClassVar[str] = "chart_looks"
    permission: ClassVar[str] = "audit.logs.view"
    id: Id
    patient: PatientId
    actor: UUID
    role: str
    what: str
    emergency: bool
    at: datetime
    on_behalf_of: UUID | None
    client: str | None
    address: str | None
    agent: str | None


class DeniedRequestRow(Row):
    """A request that was refused to somebody who was signed in (within a minute, each once): what they tried, and the code of the refusal."""

    table: ClassVar[str] = "denied_requests"
    permission: ClassVar[str] = "audit.logs.view"
    id: Id
    actor: UUID
    role: str
    route: str
    path: str
    code: str
    at: datetime
    on_behalf_of: UUID | None
    client: str | None
    address: str | None
    agent: str | None


class ChartLook(Frozen):
    """A look at a patient's chart, as the patient is told of it."""

    at: datetime
    who: str | None
    role: str
    what: str
    emergency: bool


class ChartLooks(Frozen):
    """Who has looked at a patient's chart, the latest first, and where to go on (`before`)."""

    items: list[ChartLook]
    next: datetime | None
