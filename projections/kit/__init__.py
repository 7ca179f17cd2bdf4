"""How events become rows."""

from projections.kit.declare import ALL, PROJECTIONS, Projection, installs, projects

__all__ = ["ALL", "PROJECTIONS", "Projection", "installs", "projects"]
