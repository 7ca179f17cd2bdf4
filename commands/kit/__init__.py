"""From a command to stored events."""

from commands.kit.command import Command, Creation, Decision, Look

__all__ = ["Command", "Creation", "Decision", "Look"]
