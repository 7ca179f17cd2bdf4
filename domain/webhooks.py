"""Webhooks: addresses of other programs to which a clinic's events are pushed as they happen, each signed with a secret that is shown once."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import AccountId, Event, Frozen, Invalid, NotFound, Refused, State, only
from domain.kit.addresses import literal, public
from domain.kit.codec import classes
from domain.kit.letters import letter

MOST = 20  # of one clinic
KEPT = timedelta(days=30)  # how far the log of deliveries reaches back
SIGNING = 4  # secrets that sign at the same time
HTTPS, OPEN_PORTS = 443, 1024
INDOORS = ("localhost", "local", "internal", "home.arpa")  # last labels of names that lead nowhere on the public internet

Url = Annotated[str, Meta(
    max_length=2000, pattern=r'^https?://[A-Za-z0-9._~\[\]:-]+([/?][!"$-\[\]-~]*)?$', examples=["https://hooks.example.org/anamnesis"],
    description="Where events are sent: https, on port 443 or from 1024 on, without user, password and fragment.")]
EventName = Annotated[str, Meta(pattern="^[A-Z][A-Za-z]{2,80}$", examples=["PatientRegistered"])]
EventNames = Annotated[list[EventName], Meta(max_length=500, description="Names of events; none means all that an admin of the clinic may hear of.")]
Overlap = Annotated[int, Meta(ge=0, le=168, description="For how many hours the secret before signs as well; 0 if it has become known to others.")]
Purpose = Annotated[str, Meta(max_length=200, description="What it is for.")]
Why = Literal["asked", "gone", "failing"]


class Target(Frozen):
    """Where events are sent, and which."""

    url: Url
    description: Purpose = ""
    events: EventNames = field(default_factory=list)


class WebhookAdded(Event, Target):
    secret_id: UUID
    account_id: AccountId  # of whoever is told when it is switched off


class WebhookChanged(Event, Target):
    account_id: AccountId


class WebhookSecretRotated(Event):
    """A fresh secret signs; the one before does so as well for a while."""

    secret_id: UUID
    until: datetime


class WebhookEnabled(Event): ...


class WebhookDisabled(Event):
    """Nothing more is sent: somebody asked for it, the receiver said that it is gone, or it took nothing for days."""

    why: Why
    url: Url
    account_id: AccountId


class WebhookTestAsked(Event):
    """Sent to the webhook that it is about, whatever else that one wants, and to no other."""


class WebhookResendAsked(Event):
    """One delivery is to be sent again, or whatever has failed since an instant."""

    delivery: UUID | None = None
    since: datetime | None = None


class WebhookDeleted(Event): ...


WebhookEvent = (
    WebhookAdded | WebhookChanged | WebhookSecretRotated | WebhookEnabled | WebhookDisabled | WebhookTestAsked | WebhookResendAsked | WebhookDeleted
)


class WebhookUrlInvalid(Invalid):
    """A webhook goes to an https address with a host's full name, on port 443 or from 1024 on, without user, password and fragment."""


class WebhookUrlPrivate(Invalid):
    """That address is not on the public internet. Whoever runs this installation can allow networks with ANAMNESIS_WEBHOOKS_PRIVATE."""


class EventUnknown(Invalid):
    """There are no such events. `details` names them; /api/v1/events/schemas has all there are."""


class WebhooksTooMany(Refused):
    """A clinic has twenty webhooks at most. Delete one that is not needed any more."""


class WebhookOff(Refused):
    """That webhook is switched off. Switch it on first."""


class WebhookOn(Refused):
    """That webhook is switched on already."""


class SecretsTooMany(Refused):
    """The secret has been changed several times in a short while, and those before still sign. Wait until one of them is over, or change it without overlap."""


class DeliveryOnItsWay(Refused):
    """That delivery is still on its way. Wait for what becomes of it."""


class Secret(Frozen):
    """A secret of the vault, and until when it signs."""

    id: UUID
    until: datetime | None = None

    def signs(self, now: datetime) -> bool:
        """Say whether it signs at that moment."""
        return self.until is None or now < self.until


class Webhook(State):
    """An address of another program."""

    kind: ClassVar[str] = "webhooks"
    target: Target | None = None
    secrets: tuple[Secret, ...] = ()  # the one in use first
    account: UUID | None = None
    enabled: bool = False

    def evolve(self, event: WebhookEvent) -> Self:  # noqa: PLR0911 - one case per event
        match event:
            case WebhookAdded(secret_id=secret, account_id=account):
                return replace(self, target=Target(**only(Target, event)), secrets=(Secret(id=secret),), account=account, enabled=True)
            case WebhookChanged(account_id=account):
                return replace(self, target=Target(**only(Target, event)), account=account)
            case WebhookSecretRotated(secret_id=secret, until=until):
                before = (replace(one, until=until if one.until is None else min(one.until, until)) for one in self.secrets)
                return replace(self, secrets=(Secret(id=secret), *before)[:SIGNING])
            case WebhookEnabled():
                return replace(self, enabled=True)
            case WebhookDisabled():
                return replace(self, enabled=False)
            case WebhookTestAsked() | WebhookResendAsked():
                return self
            case WebhookDeleted():
                return replace(self, target=None, enabled=False)

    def add(self, target: Target, secret: UUID, account: UUID, *, private: bool, others: int) -> list[Event]:
        if others >= MOST:
            raise WebhooksTooMany
        ensure_sendable(target, private=private)
        return [WebhookAdded(**only(Target, target), secret_id=secret, account_id=account)]

    def change(self, target: Target, account: UUID, *, private: bool) -> list[Event]:
        self._there()
        ensure_sendable(target, private=private)
        return [WebhookChanged(**only(Target, target), account_id=account)]

    def rotate(self, secret: UUID, overlap: int, now: datetime) -> list[Event]:
        self._there()
        if overlap and sum(one.signs(now) for one in self.secrets) >= SIGNING:
            raise SecretsTooMany
        return [WebhookSecretRotated(secret_id=secret, until=now + timedelta(hours=overlap))]

    def enable(self) -> list[Event]:
        self._there()
        if self.enabled:
            raise WebhookOn
        return [WebhookEnabled()]

    def disable(self, why: Why, account: UUID | None = None) -> list[Event]:
        target = self._there()
        if not self.enabled:
            raise WebhookOff
        told = account or self.account
        assert told is not None
        return [WebhookDisabled(why=why, url=target.url, account_id=told)]

    def test(self) -> list[Event]:
        self._on()
        return [WebhookTestAsked()]

    def resend(self, delivery: UUID, *, settled: bool) -> list[Event]:
        self._on()
        if not settled:
            raise DeliveryOnItsWay
        return [WebhookResendAsked(delivery=delivery)]

    def resend_failed(self, since: datetime, now: datetime) -> list[Event]:
        self._on()
        return [WebhookResendAsked(since=min(max(since, now - KEPT), now))]

    def delete(self) -> list[Event]:
        self._there()
        return [WebhookDeleted()]

    def _there(self) -> Target:
        if self.target is None:
            raise NotFound
        return self.target

    def _on(self) -> None:
        self._there()
        if not self.enabled:
            raise WebhookOff


def ensure_sendable(target: Target, *, private: bool) -> None:
    """Refuse a target that nothing may be sent to; `private` if the operator lets it be in a network of their own, which need not speak https."""
    if unknown := sorted(set(target.events) - classes().keys()):
        raise EventUnknown(events=unknown)
    try:
        parts = urlsplit(target.url)
        host, port, address = parts.hostname or "", parts.port or HTTPS, literal(parts.hostname or "")
    except ValueError:
        raise WebhookUrlInvalid from None
    if not host or parts.username is not None or parts.password is not None or parts.fragment or not target.url.isascii():
        raise WebhookUrlInvalid
    if private:
        return
    if parts.scheme != "https" or (port != HTTPS and port < OPEN_PORTS):
        raise WebhookUrlInvalid
    name = host.rstrip(".").lower()
    if not public(address) if address is not None else "." not in name or name.endswith(tuple(f".{last}" for last in INDOORS)):
        raise WebhookUrlPrivate


WEBHOOK_DISABLED_LETTER = letter(
    "webhooks.disabled", "Tells the clinic that a webhook has been switched off, because its receiver took nothing any more.",
    {"address": "https://hooks.example.org/anamnesis"},
    en=("A webhook of {{clinic}} has been switched off", """
Dear {{name}},

Another program no longer takes what {{clinic}} sends to it, so nothing more is sent to this address:

{{address}}

Either it took nothing for days, or it said that it is gone. The log of its deliveries says which. Once it works again, an admin can switch the webhook on and have sent again whatever failed.
"""),
    es=("Se ha desactivado un webhook de {{clinic}}", """
Hola, {{name}}:

Otro programa ya no acepta lo que le envía {{clinic}}, así que no se envía nada más a esta dirección:

{{address}}

O no ha aceptado nada durante días, o ha indicado que ya no existe. El registro de sus envíos lo explica. Cuando vuelva a funcionar, un administrador puede activar el webhook y hacer que se envíe de nuevo lo que falló.
"""),
)
