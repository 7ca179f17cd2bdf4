"""A language model behind an HTTP API of the kind that many offer: `POST {url}/chat/completions` with messages, an answer with choices.

How it works: where no address is configured nothing is sent anywhere and whoever asks is told so. One request, no conversation; it is not repeated, for it costs money. What is sent is
given by the caller, who must see to it that nothing about anybody is in it. The key travels in a header and is never shown.

What may go wrong: the answer is a stranger's text: it is cut to a length, and whoever shows it escapes it. A service that is down, slow or says nonsense is told as such.
"""

import httpx
import msgspec
import structlog
from msgspec import Struct, field

from domain.kit import Refused

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
LONGEST = 4000  # characters of an answer
BIGGEST = 1 << 20  # bytes of one

log = structlog.get_logger(__name__)


class NarratorNotConfigured(Refused):
    """Summaries in words are not set up on this installation. Ask whoever runs it to set ANAMNESIS_AI_URL and ANAMNESIS_AI_MODEL."""

    status = 503


class NarratorUnavailable(Refused):
    """The service that writes summaries does not answer just now. The figures are there all the same; try again later."""

    status = 503


class Said(Struct):
    content: str | None = None


class Choice(Struct):
    message: Said


class Completion(Struct):
    choices: list[Choice] = field(default_factory=list)


class Narrator:
    """The model, if there is one."""

    def __init__(self, url: str, model: str, key: str = "") -> None:
        self.url, self.model = url.rstrip("/"), model
        self._key = key
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Narrator({self.url!r}, {self.model!r})"

    async def tell(self, task: str, material: str) -> str:
        """Return what the model says about the material, as the task wants it."""
        if not self.url or not self.model:
            raise NarratorNotConfigured
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        asked = {"model": self.model, "messages": [{"role": "system", "content": task}, {"role": "user", "content": material}]}
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            answer = await self._client.post(f"{self.url}/chat/completions", json=asked, headers=headers)
            answer.raise_for_status()
            found = msgspec.json.decode(answer.content[:BIGGEST], type=Completion)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            log.warning("narrator.failed", error=type(error).__name__)
            raise NarratorUnavailable from error
        text = (found.choices[0].message.content or "").strip() if found.choices else ""
        if not text:
            raise NarratorUnavailable
        return text[:LONGEST]

    async def close(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            await self._client.aclose()
