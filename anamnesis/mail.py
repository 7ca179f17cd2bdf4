"""The local mailbox, shown to a person: what the courier wrote where there is no mail server.

How it works. Letters lie in a maildir in the data directory; nothing needs to run. They are numbered by age, the oldest first.

What may go wrong. The mailbox holds letters as they are, with the links and codes in them: its folder is for its owner's eyes only.
"""

import mailbox
import webbrowser
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from anamnesis.trouble import Trouble


class Letter(NamedTuple):
    """A letter in the mailbox."""

    number: int
    message: EmailMessage

    @property
    def text(self) -> str:
        """What it says."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The same as HTML."""
        return self._part("html")

    def line(self) -> dict[str, object]:
        """A line of a list."""
        return {"number": self.number, "date": self.message["Date"], "to": self.message["To"], "subject": self.message["Subject"]}

    def _part(self, kind: str) -> str:
        part = self.message.get_body(preferencelist=(kind,))
        return str(part.get_content()) if part is not None else ""


def letters(data_dir: Path) -> list[Letter]:
    """Return all letters, the oldest first."""
    found = sorted(_messages(data_dir / "mail"), key=_sent)
    return [Letter(number, message) for number, message in enumerate(found, 1)]


def letter(data_dir: Path, number: int | None) -> Letter:
    """Return the letter of a number, or the newest."""
    found = letters(data_dir)
    if not found:
        raise Trouble(f"there are no letters in {data_dir / 'mail'}")
    if number is not None and not 1 <= number <= len(found):
        raise Trouble(f"there is no letter {number}; there are 1 to {len(found)}")
    return found[-1 if number is None else number - 1]


def shown(one: Letter) -> str:
    """Return a letter as text, with its heads."""
    heads = "\n".join(f"{name}: {one.message[name]}" for name in ("From", "To", "Subject", "Date", "Message-ID"))
    return f"{heads}\n\n{one.text}"


def opened(data_dir: Path, one: Letter) -> Path:
    """Open a letter in the browser; return the file that it is shown from."""
    page = data_dir / "mail" / f"letter-{one.number}.html"
    page.touch(mode=0o600)
    page.write_text(one.html, "utf-8")
    webbrowser.open(page.absolute().as_uri())
    return page


def _messages(folder: Path) -> Iterator[EmailMessage]:
    if not folder.is_dir():
        return
    box = mailbox.Maildir(folder, factory=None, create=False)
    for key in box.iterkeys():
        yield message_from_bytes(box.get_bytes(key), policy=policy.default)


def _sent(message: EmailMessage) -> tuple[datetime, str]:
    date = message["Date"]
    return parsedate_to_datetime(date) if date else datetime.min.replace(tzinfo=UTC), str(message["Message-ID"])
