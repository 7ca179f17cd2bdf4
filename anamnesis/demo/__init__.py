"""Demo data: three clinics in three zones and two years of what happens in them, made by the real commands at their own past times.

How it works. Each clinic's story (`house`, `staffing`, `visits`, `billing`) is a simulation that depends on seed and last day alone; the three are merged by time
and pumped through the handler, with the rules, claims, MACs and chain of every other command. So a demo differs from life in one thing only: the recording times lie in
the past. The story ends at midnight UTC of the day it is made for: today's visits are booked and still to come.

A demo that is more than a matter of seconds is made `apart`: each clinic by a process of its own, while the projectors rest, for it costs them three times as much to follow as
it costs a rebuild to make all read models at the end.

The same seed and day give the same events: streams, versions, times, ids of commands, and bodies, but for what is sealed; ids of events and the nonces of sealed
values are drawn anew each time, and with them MACs and hashes. Positions are the same as well, unless it is made apart.

What may go wrong. A database that has events already is left alone. A process that fails ends the others, and the demo; what it has made stays.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from datetime import UTC, date, datetime
from heapq import merge
from multiprocessing import get_context
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

import psycopg
import uvloop
from msgspec import Struct

from anamnesis.demo.house import Ask, House, Scale, Worker
from anamnesis.demo.places import PLACES, Place
from anamnesis.demo.pump import pump
from anamnesis.demo.staffing import opening
from anamnesis.demo.visits import telephone
from anamnesis.installation import Installation
from anamnesis.progress import bars
from anamnesis.settings import Settings
from anamnesis.store import head, is_empty
from anamnesis.trouble import Trouble
from anamnesis.upkeep import furnish
from commands.accounts import SCOPE, OpenAccount, enrolled
from commands.kit.handling import Handler
from commands.kit.ids import resource
from commands.kit.store import address_key
from commands.kit.vault import HASHER, Vault
from domain.clinics import Clinic
from domain.kit import PLATFORM
from domain.kit.grants import Role
from projections.kit.shares import follow_parent
from projections.kit.tracking import health_sync, resting

SCALES = {
    "small": Scale(doctors=3, desks=2, bookings=1_090, growth=4, grid=15),
    "medium": Scale(doctors=6, desks=3, bookings=34_000, growth=2, grid=15),
    "large": Scale(doctors=20, desks=6, bookings=600_000, growth=1.3, grid=5),
}
SWIFT = "small"  # there and seen within seconds: nothing is gained by making it apart
EVENTS = {"small": 10_000, "medium": 300_000, "large": 5_000_000}
PASSWORD = "anamnesis-demo"  # noqa: S105 - printed for everybody to use
SUPERADMIN = "superadmin@platform.example"
ROLES: tuple[Role, ...] = ("admin", "doctor", "receptionist", "patient")
PAUSE = 0.2
STALLED = 60.0  # seconds without progress after which nobody waits for the read models any more

Told = Callable[[str, int, int | None], object]


class Login(Struct, frozen=True):
    """Somebody who can sign in to the demo."""

    role: str
    email: str
    password: str
    clinic: str


def houses(size: str, seed: int, until: date) -> list[House]:
    """Return the three clinics, their stories untold."""
    made = [House(place, SCALES[size], seed, until) for place in PLACES]
    for house in made:
        house.start(opening(house))
        house.start(telephone(house))
    return made


def asks(made: list[House]) -> Iterator[Ask]:
    """Tell the stories of all clinics, in the order of time."""
    return merge(*(house.asks() for house in made), key=attrgetter("at"))


class Made(NamedTuple):
    """A clinic whose story is told, and who of it can sign in."""

    clinic: UUID
    place: Place
    members: list[tuple[Role, UUID, str | None]]


async def fill(settings: Settings, stories: list[House], told: Callable[[int], object] = lambda _position: None) -> list[Made]:
    """Make the history of some clinics, with a gateway's settings; `told` is called with the store's last position now and then."""
    stored = 0

    def flushed(position: int) -> None:
        nonlocal stored
        stored = position

    handler = await Handler.open(settings, clinic_state=Clinic)
    handler.writer.after_flush.append(flushed)
    gc.disable()  # nothing here goes in circles, and looking for them costs a fifth of the time
    try:
        await pump(handler, asks(stories), lambda: told(stored))
    finally:
        gc.enable()
        await handler.close()
    return [Made(house.clinic, house.place, members(house)) for house in stories]


def fill_apart(settings: Settings, size: str, seed: int, until: date, told: Callable[[int], object]) -> list[Made]:
    """Make the history of all clinics, each by a process of its own."""
    numbers = range(len(PLACES))
    with ProcessPoolExecutor(len(PLACES), get_context("spawn"), follow_parent) as pool, psycopg.connect(settings.database_url, autocommit=True) as conn:
        running = [pool.submit(_fill_one, settings, size, seed, until, number) for number in numbers]
        try:
            while wait(running, PAUSE, FIRST_EXCEPTION).not_done:
                told(head(conn))
                for failed in (one for one in running if one.done()):
                    failed.result()
            return [one.result() for one in running]
        except BrokenProcessPool:
            raise Trouble("a process that made the demo has ended before its work was done; take another --data-dir and begin again") from None
        finally:
            for process in (pool._processes or {}).values():  # what has failed is not waited for  # noqa: SLF001
                process.terminate()


def _fill_one(settings: Settings, size: str, seed: int, until: date, number: int) -> Made:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(fill(settings, [houses(size, seed, until)[number]]))[0]


async def admit(settings: Settings, made: list[Made]) -> None:
    """Give each clinic one account of each role, and the platform one of its own."""
    handler = await Handler.open(settings, clinic_state=Clinic)
    vault = Vault(handler.lanes, settings.kek)
    hashed = HASHER.hash(PASSWORD)

    async def secret(account: UUID) -> UUID:
        return await vault.put_hash(account, hashed)

    try:
        for clinic, place, people in made:
            for role, subject, name in people:
                await enrolled(handler, OpenAccount(email=address(role, place), name=name), clinic, role, subject, secret)
        await enrolled(handler, OpenAccount(email=SUPERADMIN, name="Platform"), PLATFORM, "superadmin", None, secret)
    finally:
        vault.close()
        await handler.close()


def members(house: House) -> list[tuple[Role, UUID, str | None]]:
    """Return who can sign in to a clinic."""
    patient = house.patients[0]
    staff: list[tuple[Role, Worker]] = [("admin", house.admins[0]), ("doctor", house.doctors[0]), ("receptionist", house.desks[0])]
    found: list[tuple[Role, UUID, str | None]] = [(role, worker.id, worker.profile.name) for role, worker in staff]
    return [*found, ("patient", patient.id, f"{patient.given} {patient.household.family}")]


def address(role: str, place: Place) -> str:
    """Return the e-mail address with which a role signs in."""
    return f"{role}@{place.key}.example"


def settle(owner_url: str) -> None:
    """Let Postgres look at what is there now, before anybody plans a query."""
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute("analyze")


def caught_up(owner_url: str, told: Told) -> None:
    """Wait until the read models show everything, where projectors run."""
    with psycopg.connect(owner_url, autocommit=True) as conn:
        first: int | None = None
        while (lines := health_sync(conn)) and any(line.owner for line in lines):
            left = max(line.lag for line in lines)
            first = left if first is None else max(first, left)
            if first:
                told("read models", first - left, first)
            if not left or min(line.stalled_seconds for line in lines if line.lag) > STALLED:
                return
            time.sleep(PAUSE)


def run(installation: Installation, *, size: str, seed: int, until: date | None = None, told: Told | None = None, apart: bool | None = None) -> None:
    """Make a demo in an installation whose database is empty, the history up to a day (today unless said otherwise); its people can sign in afterwards."""
    owner_url, settings = installation.database_urls["owner"], installation.settings("gateway")
    if not is_empty(owner_url):
        raise Trouble("this database has events; demo data goes into an empty one only (choose another --data-dir)")
    last = until or datetime.now(UTC).date()
    apart = size != SWIFT if apart is None else apart
    with bars() if told is None else nullcontext(told) as tell:

        def stored(position: int) -> None:
            tell("events", position, max(EVENTS[size], position))

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, resting(owner_url) if apart else nullcontext():
            made = fill_apart(settings, size, seed, last, stored) if apart else runner.run(fill(settings, houses(size, seed, last), stored))
            runner.run(admit(settings, made))
            with psycopg.connect(owner_url, autocommit=True) as conn:
                position = head(conn)
            tell("events", position, position)
            settle(owner_url)
            if apart:
                furnish(owner_url, installation.settings("owner").kek, tell)
        caught_up(owner_url, tell)


def logins(installation: Installation) -> list[Login]:
    """Return who can sign in to the demo, where there is one; the first may do most."""
    wanted = {address(role, place): (role, place.name) for place in PLACES for role in ROLES} | {SUPERADMIN: ("superadmin", "all of them")}
    key = installation.settings("gateway").mac_key
    claims = {resource(PLATFORM, SCOPE, address_key(key, email).encode()): email for email in wanted}
    with psycopg.connect(installation.database_urls["owner"]) as conn:
        rows = conn.execute("select claim from unique_claims where claim = any(%s)", (list(claims),)).fetchall()
    there = {claims[claim] for (claim,) in rows}
    return [Login(role, email, PASSWORD, clinic) for email, (role, clinic) in wanted.items() if email in there]
