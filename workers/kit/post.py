"""Handing a written message over: to a mail server through SMTP, or to a mailbox in the data directory.

How it works. `smtp://` uses TLS where the server offers it, and insists on it when it is to send a password over a network; `starttls://` always insists;
`smtps://` speaks TLS from the first byte. User and password come from the URL. Without a URL letters go to a maildir, which any mail program opens and
`anamnesis mail` shows; there they have arrived.

What may go wrong. What the server says of the recipient or of the message with a code from 500 on is final; everything else, a wrong password
included, is ours to mend and tried again later.
"""

import asyncio
import mailbox
import ssl
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from workers.kit.outbox import NotNowError, UndeliverableError

PORTS = {"smtp": 25, "starttls": 587, "smtps": 465}
TIMEOUT = 20.0  # seconds for each answer
FINAL = 500


class Transport(Protocol):
    """Where messages go."""

    async def send(self, message: EmailMessage, sender: str, to: str) -> Literal["sent", "delivered"]:
        """Hand a message over; raise `UndeliverableError` or `NotNowError`."""


def transport(smtp_url: str, folder: Path) -> Transport:
    """Return the way that the settings choose."""
    return Smtp(smtp_url) if smtp_url else Mailbox(folder)


class Smtp:
    """A mail server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "localhost"
        self.port = parts.port or PORTS[parts.scheme]
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        self.use_tls = parts.scheme == "smtps"
        insists = parts.scheme == "starttls" or (self.user is not None and not _here(self.host))
        self.start_tls = False if self.use_tls else True if insists else None

    async def send(self, message: EmailMessage, sender: str, to: str) -> Literal["sent", "delivered"]:
        try:
            await aiosmtplib.send(
                message, sender=sender, recipients=[to], hostname=self.host, port=self.port, username=self.user, password=self.password,
                use_tls=self.use_tls, start_tls=self.start_tls, timeout=TIMEOUT)
        except SMTPRecipientsRefused as refused:
            raise _trouble(refused.recipients[0].code, refused.recipients[0].message) from None
        except SMTPDataError as refused:
            raise _trouble(refused.code, refused.message) from None
        except SMTPResponseException as answer:
            raise NotNowError(f"{answer.code} {answer.message}") from None
        except (SMTPException, ssl.SSLError, OSError) as error:
            raise NotNowError(f"{type(error).__name__}: {error}") from None
        return "sent"


class Mailbox:
    """A maildir, which is where its letters are meant to go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, message: EmailMessage, sender: str, to: str) -> Literal["sent", "delivered"]:
        try:
            await asyncio.to_thread(self._add, message)
        except OSError as error:
            raise NotNowError(f"the mailbox cannot be written: {error.strerror}") from None
        return "delivered"

    def _add(self, message: EmailMessage) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        mailbox.Maildir(self.folder, create=True).add(message)


def _trouble(code: int, words: str) -> Exception:
    return (UndeliverableError if code >= FINAL else NotNowError)(f"{code} {words}")


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
