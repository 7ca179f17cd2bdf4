"""Running one of our processes: a gateway under uvicorn, a worker under uvloop.

How it works. A gateway listens on a socket that it inherits (`fd`, under the supervisor: the port stays ours while gateways come and go,
and connections wait instead of being refused) or opens itself with SO_REUSEPORT, so that several can share a port. A worker runs its
coroutine until SIGTERM or SIGINT cancels it.

What may go wrong. A port that is taken: one line. Requests that do not end within the grace period are cut off.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import Coroutine
from contextlib import suppress
from importlib import import_module
from typing import Any

from anamnesis.logs import configure
from anamnesis.settings import Kind, Settings
from anamnesis.trouble import Trouble

GRACE_SECONDS = 5
BACKLOG = 2048
COLLECT = (20_000, 5, 1000)


def gateway(fd: int | None = None) -> None:
    """Serve HTTP until told to stop."""
    gc.disable()
    settings = Settings.read("gateway")
    import uvicorn  # noqa: PLC0415 - only the gateway needs it

    from gateway.app import create_app  # noqa: PLC0415 - nor the application
    from gateway.kit.http import Protocol, Server  # noqa: PLC0415 - likewise

    configure("gateway")
    listener = socket.socket(fileno=fd) if fd is not None else listen(settings.host, settings.port, shared=True)
    app = create_app(settings)
    rest_collector()
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # read where a client's address matters (`gateway.kit.app`)
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config).run(sockets=[listener])


def worker(kind: Kind) -> None:
    """Run a worker, `main` of its module, until told to stop."""
    gc.disable()
    import uvloop  # noqa: PLC0415 - only workers come here

    settings = Settings.read(kind)
    main = import_module(f"workers.{kind}").main
    configure(kind)
    rest_collector()
    with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(main(settings)))


def rest_collector() -> None:
    """Have Python look for garbage in cycles less often: a process that keeps many streams would spend a quarter of its time walking over them.

    What is here at the start stays (looking through it while it comes would take a quarter of a start); what is new is looked through as ever, only in larger
    portions; all of it, rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    gc.enable()


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
