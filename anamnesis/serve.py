"""Running one of our processes: a gateway under uvicorn, a worker under uvloop.

How it works. A gateway listens on a socket that it inherits (`fd`, under the supervisor: the port stays ours while gateways come and go,
and connections wait instead of being refused) or opens itself with SO_REUSEPORT, so that several can share a port. A worker runs its
coroutine until SIGTERM or SIGINT cancels it.

What may go wrong. A port that is taken: one line. Requests that do not end within the grace period (an SSE stream never does) are cut off.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from anamnesis.logs import configure
from anamnesis.settings import Settings
from anamnesis.trouble import Trouble

GRACE_SECONDS = 5
BACKLOG = 2048


def gateway(settings: Settings, fd: int | None = None) -> None:
    """Serve HTTP until told to stop."""
    import uvicorn  # noqa: PLC0415 - only the gateway needs it

    from gateway.app import create_app  # noqa: PLC0415 - nor the application

    configure("gateway")
    listener = socket.socket(fileno=fd) if fd is not None else listen(settings.host, settings.port, shared=True)
    config = uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="gateway.kit.http:Protocol",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def worker(main: Callable[[Settings], Coroutine[Any, Any, None]], settings: Settings) -> None:
    """Run a worker until told to stop."""
    import uvloop  # noqa: PLC0415 - only workers come here

    configure(settings.kind)
    with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(main(settings)))


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket, or one clear line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    configure("gateway")
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise Trouble(f"port {port} on {host} cannot be used: {reason}. Choose another with --port") from error
    return listener


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await task
