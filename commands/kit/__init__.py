"""From a command to stored events."""

from commands.kit.command import Command, Creation, Decision, Holding, Look
from commands.kit.errors import KeyReused, NameTaken, StaleVersion, TimeTaken, Unavailable

__all__ = ["Command", "Creation", "Decision", "Holding", "KeyReused", "Look", "NameTaken", "StaleVersion", "TimeTaken", "Unavailable"]
