"""The API as a whole: which modules it has, and where they live."""

from collections.abc import Sequence
from typing import Any

from litestar import Router
from litestar.types import ControllerRouterHandler

from domain.clinics import Clinic
from gateway import events, health, sessions
from gateway.kit.app import Gateway
from gateway.kit.services import Services

PROTECTED: Sequence[Router] = ()
EVERYWHERE: Sequence[ControllerRouterHandler] = (sessions.router, sessions.keys, events.router, health.health, health.metrics)


def create_app(settings: Any, modules: Sequence[Router] = PROTECTED) -> Gateway:
    """Return the application; `settings` has database_url, nats_url, mac_key, bus_key, kek and signing_key."""
    protected = Router("/api/v1/protected", route_handlers=list(modules))
    return Gateway(Services(settings, Clinic), route_handlers=[*EVERYWHERE, protected], openapi_config=None)
