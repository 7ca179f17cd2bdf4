"""A gateway with two addresses that do nothing: one open to all, one behind sign-in and a permission. What the door costs is what lies between them.

How it works. `python -m anamnesis.bench.kit.probe` is one more gateway of the installation whose settings it is given, on a free port, which it prints. Both
addresses take the way that every verb takes, and answer the same bytes.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from litestar import Router

from anamnesis.scratch import UNHURRIED
from anamnesis.serve import listen, rest_collector
from anamnesis.settings import Settings
from anamnesis.stack.process import passed_on
from gateway.app import create_app
from gateway.kit.answer import Answer
from gateway.kit.call import Call
from gateway.kit.routes import Changed, Route, handler

OPEN, GUARDED = "/probe/open", "/probe/guarded"
KEY = "patients.view"


class Nothing(Route):
    """Does nothing, for whoever comes, or for whoever may see patients."""

    def __init__(self, permission: str) -> None:
        self.permission = permission

    async def admit(self, call: Call) -> None:
        if self.permission:
            await super().admit(call)

    async def run(self, call: Call) -> Answer:
        if self.permission:
            call.require(self.permission)
        return Answer(200, b"{}", [])


def _address(path: str, permission: str) -> Any:
    words = {"operation_id": f"Probe{path.rpartition('/')[2].title()}", "summary": "Nothing", "description": None}
    return handler("GET", path, Nothing(permission), words, {}, {}, Changed, {})


def main() -> None:
    """Serve."""
    listener = listen("127.0.0.1", 0)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    app = create_app(Settings.read("gateway"), [Router("/", route_handlers=[_address(OPEN, ""), _address(GUARDED, KEY)])])
    rest_collector()
    config = uvicorn.Config(
        app, loop="uvloop", http="gateway.kit.http:Protocol", ws="none", access_log=False, log_config=None, server_header=False, proxy_headers=False)
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The probe in a process of its own; gives its URL."""
    command = [sys.executable, "-m", __name__]
    process = subprocess.Popen(command, env={**passed_on(), **settings.environment(), **UNHURRIED}, stdout=subprocess.PIPE, text=True)
    try:
        told = process.stdout.readline() if process.stdout else ""
        yield f"http://127.0.0.1:{int(told)}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
