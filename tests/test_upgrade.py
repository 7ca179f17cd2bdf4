"""A rolling upgrade: the next release's migrations under this release's processes, then its processes one by one, while clients work."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from anamnesis.scratch import Scratch, temporary_directory
from tests.client import client
from tests.load import Accepted
from tests.test_faults import Trial, sound, trial

ROOT = Path(__file__).parent.parent
PACKAGES = ("anamnesis", "commands", "domain", "gateway", "projections", "schemas", "workers")
CHANGES = {  # what the next release is: a read model with another column, a view that needs it, a store that has grown, another append function
    "anamnesis/__init__.py": [('__version__ = "', '__version__ = "1')],
    "schemas/rooms.py": [("    active: bool\n", "    active: bool\n    floor: str\n")],
    "projections/rooms.py": [
        ("deleted=False, **", 'deleted=False, floor="ground", **'),
        ("select * from rooms where not deleted", "select * from rooms where not deleted and floor <> 'none'"),
    ],
    "commands/kit/schema.py": [
        ("create table if not exists store_head", "alter table stored_events add column if not exists note text;\ncreate table if not exists store_head"),
        ("    moment timestamptz;\nbegin\n", "    moment timestamptz;\n    unused int;\nbegin\n"),
    ],
}


def next_release(folder: Path) -> Path:
    """This release, a little further; what is compiled already need not be again."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)
    change(folder, CHANGES)
    return folder


def change(folder: Path, changes: dict[str, list[tuple[str, str]]]) -> None:
    for name, edits in changes.items():
        text = (folder / name).read_text("utf-8")
        for before, after in edits:
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        (folder / name).write_text(text, "utf-8")


async def run(tree: Path, *arguments: str, cwd: Path) -> str:
    """Run a command of that release; the clients go on meanwhile."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "anamnesis", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def test_the_next_release_comes_while_clients_work() -> None:
    folder = temporary_directory()
    try:
        await upgraded(folder, next_release(folder / "next"))
    finally:
        shutil.rmtree(folder)


async def upgraded(folder: Path, later: Path) -> None:
    """Nobody is refused anything but by a closing connection; afterwards nothing is lost or out of step, and the new column is there.

    The release after that comes as it does on one machine: everything stops, and `anamnesis up` starts again.
    """
    (program := folder / "program").symlink_to(ROOT)
    with Scratch(cwd=folder, env={"PYTHONPATH": str(program), "PYTHONDONTWRITEBYTECODE": "1"}) as stack:
        data = ["--data-dir", str(stack.data_dir)]
        async with trial(stack, seed=7, rate=150, enough=75) as (upgrade, since):
            await upgrade.under_load()
            broken = upgrade.load.broken.copy()
            assert "anamnesis projections rebuild rooms" in await run(later, "migrate", *data, cwd=folder)
            await upgrade.under_load()
            assert upgrade.load.broken - broken == {}, "a migration is noticed by nobody"
            await run(later, "projections", "rebuild", "rooms", *data, cwd=folder)
            program.unlink()
            program.symlink_to(later)
            await replaced(stack, "projector-1")
            assert "floor" not in await room(upgrade)
            for name in ("relay", "gateway-1"):
                await replaced(stack, name)
            await upgrade.under_load()
            assert (await room(upgrade))["floor"] == "ground"
        assert upgrade.load.refused.keys() <= {"CONTENDED"}
        await upgrade.level()
        sound(upgrade, since)
        assert '"differing": 0' in await run(later, "projections", "verify", "rooms", "invoices", "calendar", *data, cwd=folder)
        with psycopg.connect(stack.database_url("owner")) as connection:
            assert len(connection.execute("select distinct release from migrations").fetchall()) == 2
        stack.stop()
        change(later, {"schemas/rooms.py": [("    floor: str\n", "    floor: str\n    wing: str\n")], "projections/rooms.py": [('"ground",', '"ground", wing="west",')]})
        stack.start()
        assert "filling rooms" in stack.output.read_text()
        assert (await room(upgrade))["wing"] == "west"


async def replaced(stack: Scratch, name: str) -> None:
    """End a process as an operator does; the supervisor starts the program that is there by now."""
    victim = stack.pids()[name]
    os.kill(victim, signal.SIGTERM)
    await asyncio.to_thread(stack.revived, name, victim)


async def room(upgrade: Trial) -> Any:
    """Add a room and read it, as it is after that."""
    place = upgrade.load.wishes[0][0]
    headers = {"authorization": f"Bearer {place.token}"}
    async with client(f"{upgrade.stack.url}/api/v1/protected", headers=headers) as wire:
        added = await wire.post("/rooms", json={"name": f"Room {uuid4()}", "type": "surgery"})
        assert added.status_code == 201, added.text
        at = int(added.headers["x-position"])
        upgrade.load.accepted[f"room {at}"] = Accepted(added.json()["id"], 1, at)
        async with asyncio.timeout(60):  # a projector that is only just being started may be behind
            while (found := await wire.get("/rooms", params={"limit": 200}, headers={"x-position": str(at)})).status_code == 503:
                assert found.json()["code"] == "READ_BEHIND", found.text
        assert found.status_code == 200, found.text
    return next(one for one in found.json()["items"] if one["id"] == added.json()["id"])
