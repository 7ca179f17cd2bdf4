"""A small server that speaks the wire of a language model's API, as far as we use it; it imports nothing of ours.

It insists on a model, on messages with roles and on the key, keeps what it was sent, answers with a sentence made of the figures, and can be told to fail.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY, MODEL = "sk-teller", "teller-1"


class Teller:
    """`with Teller() as teller:` and there is a model at `teller.url`."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.troubles: list[Any] = []  # a status to answer with, or the bytes of a body, before it works again
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Wire", (Wire,), {"teller": self}))
        self.server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @property
    def settings(self) -> dict[str, str]:
        return {"ai_url": self.url, "ai_model": MODEL, "ai_key": KEY}

    @property
    def environment(self) -> dict[str, str]:
        return {f"ANAMNESIS_{name.upper()}": value for name, value in self.settings.items()}


class Wire(BaseHTTPRequestHandler):
    """One request."""

    teller: Teller

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.teller.seen.append(body)
        if self.teller.troubles:
            trouble = self.teller.troubles.pop(0)
            self.say(trouble, b"{}") if isinstance(trouble, int) else self.say(200, trouble)
        elif self.path != "/v1/chat/completions" or self.headers["authorization"] != f"Bearer {KEY}":
            self.say(401, b"{}")
        elif body.get("model") != MODEL or [one["role"] for one in body["messages"]] != ["system", "user"]:
            self.say(400, b"{}")
        else:
            figures = json.loads(body["messages"][1]["content"])
            text = f"On {figures['day']} the clinic received {figures['received']} and spent {figures['spent']}."
            self.say(200, json.dumps({"id": "c1", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}).encode())

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
