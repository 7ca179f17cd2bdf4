"""Where things live on the web: the four verbs, and the desk for everything else."""

from gateway.kit.desk import Desk
from gateway.kit.routes import act, browse, create, fetch

__all__ = ["Desk", "act", "browse", "create", "fetch"]
