"""A process of its own that goes by another time-zone database: `python -m tests.clocks check|apply DIRECTORY`, with its settings as JSON on stdin."""

import asyncio
import sys
import zoneinfo

import msgspec

from anamnesis.settings import Settings
from anamnesis.zones import over


def main(what: str, directory: str) -> None:
    """Do it, and say how much was astray, was moved and overlaps."""
    if directory:
        zoneinfo.reset_tzpath([directory])
        zoneinfo.ZoneInfo.clear_cache()
    found = asyncio.run(over(msgspec.json.decode(sys.stdin.buffer.read(), type=Settings, dec_hook=lambda cls, value: cls(value)), move=what == "apply"))
    told = {str(one.clinic.id): [len(one.astray), one.moved.things, len(one.moved.overlapping)] for one in found}
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
