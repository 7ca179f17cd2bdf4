"""A gateway's chore as a process of its own, whose clock jumps: `python -m tests.tending FILE CHORE`, where FILE holds the moments that its clock may show."""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from anamnesis.settings import Settings
from gateway import installments, reminders, waiting_list
from gateway.app import services_of

CHORES: dict[str, Any] = {"installments": lambda: installments.tend, "reminders": lambda: reminders.tend, "waiting_list": waiting_list.Tending}


async def main(moments: Path, chore: str) -> None:
    """Look after what is due until killed, each time at another moment, forth and back."""
    services, dice, tend = services_of(Settings.read("gateway")), Random(), CHORES[chore]()
    await services.open()
    while True:
        await tend(services, datetime.fromisoformat(dice.choice(shown(moments))))
        await asyncio.sleep(0.02)


def shown(moments: Path) -> list[str]:
    """Return what the clock may show just now."""
    return moments.read_text("utf-8").split()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
