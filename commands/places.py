"""What may be asked of a place."""

from typing import Any

from commands.kit import Command, Creation, Look
from domain.kit import At, Event
from domain.kit.places import closed
from domain.places import Place, Whereabouts


class OpenPlace(Creation, Whereabouts):
    """Open a place at which patients are seen, beside the clinic itself."""

    state = Place
    permission = "settings.rooms.manage"

    def decide(self, place: Place, at: At) -> list[Event]:
        return place.open(self)


class ChangePlace(Command, Whereabouts):
    """Rename a place, or give it another address."""

    state = Place
    permission = "settings.rooms.manage"

    def decide(self, place: Place, at: At) -> list[Event]:
        return place.change(self)


class ClosePlace(Command):
    """Close a place at which there are neither rooms nor working hours any more; past visits keep its name."""

    state = Place
    permission = "settings.rooms.manage"

    async def gather(self, look: Look) -> dict[str, Any]:
        # for a clear answer; what comes in between, the place's own claim refuses
        return {"used": any(await look.holders([closed(look.at.id)]))}

    def decide(self, place: Place, at: At, *, used: bool) -> list[Event]:
        return place.close(at.id, used=used)
