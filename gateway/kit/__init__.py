"""Where things live on the web: the four verbs, and the desk for everything else."""

from litestar.di import NamedDependency

from gateway.kit import desk
from gateway.kit.routes import act, browse, create, fetch
from projections.kit.tables import load

Desk = NamedDependency[desk.Desk]
"""The type of a handler's parameter `desk`."""

__all__ = ["Desk", "act", "browse", "create", "fetch"]

load()  # a command's answer is its row, so rows are known before routes are made
