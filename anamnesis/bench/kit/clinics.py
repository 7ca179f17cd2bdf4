"""Clinics to measure: made by the real commands, with more free time ahead than any run can book.

How it works. Each clinic has as many doctors as rooms, working from 8 to 18 on weekdays in the clinic's own zone, patients, and users who sign in over HTTP like
everybody else. A booking is thirty minutes on the quarter of the hour's grid; `Diary` deals out free ones in random order: never the same doctor, room or
patient twice at a time, so that whatever is refused was meant to be.

What may go wrong. An access token is good for a quarter of an hour: sign in anew before each run.
"""

import asyncio
import json
import random
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import psycopg
from msgspec import Struct

from anamnesis.settings import Settings
from commands.clinics import OpenClinic
from commands.kit import Command
from commands.kit.accounts import create_account
from commands.kit.handling import Handler, Who
from commands.kit.ids import new_id
from commands.patients import RegisterPatient
from commands.rooms import AddRoom
from commands.schedules import SetDoctorSchedule
from commands.staff import HireStaff
from domain.clinics import Clinic as ClinicState
from domain.kit import PLATFORM
from domain.kit.grants import granted
from domain.schedules import Hours

ZONES = ("Europe/Amsterdam", "America/New_York", "Asia/Kolkata")
OPENS, CLOSES = time(8), time(18)
LENGTH = 30  # minutes
DAYS = 700
AT_ONCE = 64
PASSWORD = "only for measuring"  # noqa: S105 - of users that live as long as a run
GIVEN = ("Noor", "Sam", "Eva", "Omar", "Mila", "Liam", "Ada", "Yusuf", "Ines", "Tom")
FAMILY = ("Jansen", "de Vries", "Bakker", "Visser", "Smit", "Meijer", "Mulder", "Bos", "Vos", "Peters")


class Clinic(Struct, kw_only=True):
    """One clinic and those in it."""

    id: UUID
    zone: str
    doctors: list[UUID]
    rooms: list[UUID]
    patients: list[UUID]
    emails: list[str]


class Booking(Struct, frozen=True):
    """A visit that can be asked for."""

    clinic: int
    body: bytes


class Founder:
    """Makes clinics through the door that everybody's commands take."""

    def __init__(self, handler: Handler, owner: psycopg.Connection[Any]) -> None:
        self.handler = handler
        self.owner = owner

    async def clinic(self, number: int, doctors: int, patients: int, users: int) -> Clinic:
        """Found one."""
        root = Who(actor=new_id(), clinic=PLATFORM, role="superadmin", grants=granted("superadmin", "Enterprise"))
        zone = ZONES[number % len(ZONES)]
        opened = await self.handler.handle(OpenClinic(name=f"Clinic {number}", zone=zone, currency="EUR", plan="Enterprise"), root)
        who = Who(actor=new_id(), clinic=opened.id, role="admin", grants=granted("admin", "Enterprise"))
        staff = await self._all(_doctor(n) for n in range(doctors))(who)
        await self._all(_schedule(doctor) for doctor in staff)(who)
        rooms = await self._all(AddRoom(name=f"Room {n}") for n in range(doctors))(who)
        people = await self._all(_patient(n) for n in range(patients))(who)
        return Clinic(id=opened.id, zone=zone, doctors=staff, rooms=rooms, patients=people, emails=self._users(number, opened.id, users))

    def _all(self, commands: Iterable[Command]) -> Callable[[Who], Awaitable[list[UUID]]]:
        """Have many commands decided, some at a time, and return the ids they made."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(command: Command, who: Who) -> UUID:
            async with turn:
                return (await self.handler.handle(command, who)).id

        async def every(who: Who) -> list[UUID]:
            return list(await asyncio.gather(*[one(command, who) for command in commands]))

        return every

    def _users(self, number: int, clinic: UUID, users: int) -> list[str]:
        emails = [f"desk{n}@clinic{number}.example" for n in range(users)]
        for email in emails:
            create_account(self.owner, email=email, clinic=clinic, role="receptionist", password=PASSWORD, name="Desk")
        return emails


def found(settings: Settings, owner_url: str, *, clinics: int = 3, doctors: int = 20, patients: int = 1000, users: int = 4) -> list[Clinic]:
    """Make clinics; `settings` are a gateway's."""

    async def work() -> list[Clinic]:
        handler = await Handler.open(settings, clinic_state=ClinicState)
        try:
            with psycopg.connect(owner_url, autocommit=True) as owner:
                return [await Founder(handler, owner).clinic(n, doctors, patients, users) for n in range(clinics)]
        finally:
            await handler.close()

    return asyncio.run(work())


def sign_in(url: str, email: str) -> str:
    """Return an access token."""
    body = json.dumps({"email": email, "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{url}/api/v1/auth/signin", body, {"content-type": "application/json"})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return str(json.load(answer)["accessToken"])


def tokens(url: str, clinics: Iterable[Clinic]) -> list[list[str]]:
    """Sign everybody in."""
    return [[sign_in(url, email) for email in clinic.emails] for clinic in clinics]


class Diary:
    """Deals out bookings of free time, each once, in random order."""

    def __init__(self, clinics: list[Clinic], *, seed: int = 1, first: date | None = None) -> None:
        self.clinics = clinics
        self.first = first or date.today() + timedelta(days=2)  # noqa: DTZ011 - any near day will do
        self._slots = self._deal(random.Random(seed))  # noqa: S311 - repeatable, not secret
        self.dealt: list[Booking] = []

    def take(self, number: int) -> list[Booking]:
        """Return so many bookings that nobody has asked for yet."""
        taken = [booking for _, booking in zip(range(number), self._slots, strict=False)]
        self.dealt += taken
        return taken

    def _deal(self, chance: random.Random) -> Iterator[Booking]:
        starts = [
            datetime.combine(day, OPENS) + timedelta(minutes=LENGTH * n)
            for day in (self.first + timedelta(days=n) for n in range(DAYS)) if day.weekday() < 5  # noqa: PLR2004 - Saturday
            for n in range((CLOSES.hour - OPENS.hour) * 60 // LENGTH)
        ]
        slots = [(c, d, s) for c, clinic in enumerate(self.clinics) for d in range(len(clinic.doctors)) for s in range(len(starts))]
        chance.shuffle(slots)
        for c, d, s in slots:
            yield Booking(c, self._body(self.clinics[c], d, s, starts[s]))

    def _body(self, clinic: Clinic, doctor: int, number: int, start: datetime) -> bytes:
        patient = clinic.patients[(doctor + number * len(clinic.doctors)) % len(clinic.patients)]
        return json.dumps({
            "patientId": str(patient), "doctorId": str(clinic.doctors[doctor]), "roomId": str(clinic.rooms[doctor]),
            "start": start.isoformat(), "duration": LENGTH, "type": "checkup",
        }).encode()


def _doctor(number: int) -> HireStaff:
    return HireStaff(name=f"Dr {FAMILY[number % 10]} {number}", email=f"doctor{number}@example.org", role="doctor")


def _schedule(doctor: UUID) -> SetDoctorSchedule:
    hours = [Hours(start=OPENS.strftime("%H:%M"), end=CLOSES.strftime("%H:%M"))]
    return SetDoctorSchedule(doctor_id=doctor, week=[hours] * 5 + [[], []])


def _patient(number: int) -> RegisterPatient:
    return RegisterPatient(
        given_name=GIVEN[number % 10], family_name=f"{FAMILY[number // 10 % 10]}-{number}", birth_date=date(1950, 1, 1) + timedelta(days=number % 20_000),
        phone=f"+31 6 {number:08}", email=f"patient{number}@example.org",
    )
