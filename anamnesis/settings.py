"""What one process is told, through its environment.

How it works. Every process reads one `Settings` from `ANAMNESIS_*` variables, and each kind of process is given only what it
needs (`NEEDS`): the relay can neither read personal data nor forge an event's MAC, the projector
and the courier can decrypt but not write history, the courier alone knows the mail server, the notary alone holds the key that heads are signed with, the builder makes tables as the owner. Under `anamnesis up` the supervisor fills these variables for its children (`anamnesis.installation`); under compose the
file does. A process's `ANAMNESIS_DATABASE_URL` carries its own role and password, and so does its `ANAMNESIS_NATS_URL`.

What may go wrong. A missing or malformed value raises `Trouble`, one line that names the variable and never repeats its value. A
key that the kind of process does not need is not read even where the environment has it, so a slip in a compose file lends nobody
more than his due. `repr` of settings shows no secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anamnesis.trouble import Trouble
from domain.kit.addresses import networks

Kind = Literal["gateway", "relay", "projector", "courier", "notary", "builder", "owner", "offline"]
"""What a process is; `owner` is a command of the CLI that may change tables, `offline` one that starts nothing."""

KEY_BYTES = 32
PREFIX = "ANAMNESIS_"
URLS = ("database_url", "nats_url")
KEYS = ("mac_key", "bus_key", "kek")
SECRETS = (*KEYS, "signing_key", "audit_key")

NEEDS: dict[Kind, tuple[str, ...]] = {
    "gateway": (*URLS, "mac_key", "bus_key", "kek", "signing_key"),
    "relay": (*URLS, "bus_key"),
    "projector": (*URLS, "bus_key", "kek"),
    "courier": (*URLS, "kek"),
    "notary": ("database_url", "mac_key", "audit_key"),
    "builder": ("database_url", "kek"),
    "owner": (*URLS, "mac_key", "bus_key", "kek", "signing_key", "audit_key"),
    "offline": (),
}

OPTIONS: dict[Kind, tuple[str, ...]] = {
    "gateway": ("public_url", "proxies", "rate_account", "rate_address", "streams_account", "stripe_key", "stripe_webhook_secret", "stripe_url", "seller", "ai_url", "ai_model", "ai_key", "objects", "registration", "admin_key", "webhooks_private"),
    "courier": ("public_url", "smtp_url", "mail_from", "webhooks_private"),
    "notary": ("heads",),
    "owner": ("heads",),
}
"""What a kind of process may be told beside that; it has a default, and `up` passes it on."""

INSTALLATION = ("admin_password", *(f"{role}_password" for role in ("owner", "gateway", "relay", "projector", "courier", "notary")))
"""Read by `migrate` and `up` only, to make the roles of an installation that is not embedded (`anamnesis.installation`)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One process's settings; what its kind does not need is empty."""

    kind: Kind = "offline"
    database_url: str = ""
    nats_url: str = ""
    mac_key: bytes = b""
    bus_key: bytes = b""
    kek: bytes = b""
    signing_key: str = ""
    audit_key: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".anamnesis")
    gateways: int = 1
    projectors: int = 1
    public_url: str = ""
    smtp_url: str = ""
    mail_from: str = ""
    proxies: str = ""
    rate_account: int = 1_200
    rate_address: int = 12_000
    streams_account: int = 10
    stripe_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_url: str = ""
    seller: str = ""
    ai_url: str = ""
    ai_model: str = ""
    ai_key: str = ""
    objects: str = ""
    registration: str = "approval"
    admin_key: str = ""
    heads: Path = Path(".anamnesis/heads")
    webhooks_private: str = ""

    @classmethod
    def read(cls, kind: Kind, env: Mapping[str, str] = os.environ) -> Settings:
        """The settings of a process of this kind, or `Trouble` naming the first variable that is missing or wrong."""
        needed = {name: _required(env, name) for name in NEEDS[kind]}
        data_dir = Path(env.get("ANAMNESIS_DATA_DIR") or ".anamnesis").absolute()
        given = {name: value for name in OPTIONS.get(kind, ()) if (value := env.get(variable(name), "").strip())}
        return cls(
            kind=kind,
            database_url=_url(needed, "database_url", ("postgresql", "postgres")),
            nats_url=_url(needed, "nats_url", ("nats", "tls")),
            mac_key=_key(needed, "mac_key"),
            bus_key=_key(needed, "bus_key"),
            kek=b"".join(_key({"kek": one}, "kek") for one in needed["kek"].split(",")) if "kek" in needed else b"",
            signing_key=_signing_key(needed.get("signing_key", "")),
            audit_key=_audit_key(needed.get("audit_key", "")),
            host=env.get("ANAMNESIS_HOST") or "127.0.0.1",
            port=_number(env, "port", 8000, 0, 65535),
            data_dir=data_dir,
            gateways=_number(env, "gateways", 1, 1, 64),
            projectors=_number(env, "projectors", 1, 1, 64),
            public_url=_url(given, "public_url", ("https", "http")).rstrip("/"),
            smtp_url=_url(given, "smtp_url", ("smtp", "smtps", "starttls")),
            mail_from=given.get("mail_from", ""),
            proxies=_networks(env, "proxies", env.get("FORWARDED_ALLOW_IPS", "")),
            rate_account=_number(env, "rate_account", 1_200, 1, 100_000_000),
            rate_address=_number(env, "rate_address", 12_000, 1, 100_000_000),
            streams_account=_number(env, "streams_account", 10, 1, 100_000_000),
            **_payments(env if kind == "gateway" else {}),
            **_narrator(env if kind == "gateway" else {}),
            objects=_url(given, "objects", ("file", "s3+https", "s3+http")) or f"file://{quote(str(data_dir / 'objects'))}",
            registration=_choice(given, "registration", ("approval", "direct")),
            admin_key=_long(given, "admin_key", 32),
            webhooks_private=_allowed(given, "webhooks_private"),
            heads=Path(given.get("heads") or data_dir / "heads").absolute(),
        )

    @property
    def address(self) -> str:
        """Where people reach this installation: the public URL, or else the gateway's own port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - told apart, not bound
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """The variables from which `read` makes these settings again, for a child process."""
        told = {name: getattr(self, name) for name in NEEDS[self.kind]}
        plain = {name: getattr(self, name) for name in ("host", "port", "data_dir", "gateways", "projectors", *OPTIONS.get(self.kind, ()))}
        return {variable(name): _told(value) for name, value in (told | plain).items()}

    def __repr__(self) -> str:
        return f"Settings(kind={self.kind!r}, host={self.host!r}, port={self.port}, data_dir={str(self.data_dir)!r})"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def known_variables() -> frozenset[str]:
    """Every variable that means something to this program."""
    fields = (field for field in Settings.__struct_fields__ if field != "kind")
    nats = tuple(f"nats_{user}_password" for user in ("gateway", "relay", "projector", "courier"))
    return frozenset(variable(name) for name in (*fields, *INSTALLATION, *nats))


def _told(value: object) -> str:
    """A value as its variable says it; several keys with commas between."""
    if not isinstance(value, bytes):
        return str(value)
    return ",".join(value[at : at + KEY_BYTES].hex() for at in range(0, len(value), KEY_BYTES))


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(variable(name), "").strip()
    if not value:
        raise Trouble(f"{variable(name)} is not set")
    return value


def _url(values: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    value = values.get(name, "")
    if value and value.partition("://")[0] not in schemes:
        raise Trouble(f"{variable(name)} must start with {schemes[0]}://")
    return value


def _choice(values: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """One of some words, the first if nothing is said."""
    value = values.get(name, words[0])
    if value not in words:
        raise Trouble(f"{variable(name)} must be one of {', '.join(words)}")
    return value


def _long(values: Mapping[str, str], name: str, least: int) -> str:
    """A secret that nobody guesses, or none."""
    value = values.get(name, "")
    if value and (len(value) < least or not value.isascii()):
        raise Trouble(f"{variable(name)} must have at least {least} characters, of ASCII")
    return value


def _key(values: Mapping[str, str], name: str) -> bytes:
    if name not in values:
        return b""
    try:
        key = bytes.fromhex(values[name])
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Trouble(f"{variable(name)} must be {KEY_BYTES} bytes in hexadecimal ({2 * KEY_BYTES} digits)")
    return key


def _signing_key(pem: str) -> str:
    if not pem:
        return ""
    pem = pem.replace("\\n", "\n") + "\n"
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise Trouble(f"{variable('signing_key')} must be an ES256 (P-256) private key in PEM form")
    return pem


def _audit_key(pem: str) -> str:
    pem = pem and pem.replace("\\n", "\n") + "\n"
    try:
        key = load_pem_private_key(pem.encode(), password=None) if pem else None
    except (ValueError, TypeError):
        key = None
    if pem and not isinstance(key, ed25519.Ed25519PrivateKey):
        raise Trouble(f"{variable('audit_key')} must be an Ed25519 private key in PEM form")
    return pem


def _networks(env: Mapping[str, str], name: str, default: str) -> str:
    listed = env.get(variable(name)) or default
    try:
        for one in listed.split(","):
            if one.strip():
                ip_network(one.strip(), strict=False)
    except ValueError:
        raise Trouble(f"{variable(name)} must be addresses and networks with commas between, such as 10.0.0.0/8") from None
    return listed


def _allowed(values: Mapping[str, str], name: str) -> str:
    """Networks that are not public and may be called all the same."""
    try:
        networks(listed := values.get(name, ""))
    except ValueError:
        raise Trouble(f"{variable(name)} must be addresses and networks with commas between, such as 10.0.0.0/8, or true for all there are") from None
    return listed


def _payments(env: Mapping[str, str]) -> dict[str, str]:
    """What it takes to be paid by card: nothing of it must be set, but a key without the secret would take money and never hear of it."""
    told = {name: env.get(variable(name), "").strip() for name in ("stripe_key", "stripe_webhook_secret", "stripe_url")}
    if bool(told["stripe_key"]) is not bool(told["stripe_webhook_secret"]):
        raise Trouble(f"set both {variable('stripe_key')} and {variable('stripe_webhook_secret')}, or neither")
    if told["stripe_url"] and told["stripe_url"].partition("://")[0] not in {"http", "https"}:
        raise Trouble(f"{variable('stripe_url')} must start with https://")
    return {**told, "seller": env.get(variable("seller"), "").replace("\\n", "\n")}


def _narrator(env: Mapping[str, str]) -> dict[str, str]:
    """What it takes to have a day told in words: nothing of it must be set, but an address without a model's name gets no answer."""
    told = {name: env.get(variable(name), "").strip() for name in ("ai_url", "ai_model", "ai_key")}
    if bool(told["ai_url"]) is not bool(told["ai_model"]):
        raise Trouble(f"set both {variable('ai_url')} and {variable('ai_model')}, or neither")
    if told["ai_url"] and told["ai_url"].partition("://")[0] not in {"http", "https"}:
        raise Trouble(f"{variable('ai_url')} must start with https://")
    return told


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(variable(name)) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise Trouble(f"{variable(name)} must be a whole number from {least} to {most}")
    return int(text)
