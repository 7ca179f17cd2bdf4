"""How events become rows."""

from projections.kit.declare import PROJECTIONS, Projection, projects

__all__ = ["PROJECTIONS", "Projection", "projects"]
