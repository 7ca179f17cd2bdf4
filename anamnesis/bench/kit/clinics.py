"""Clinics to measure: made by the real commands, with more free time ahead than any run can book.

How it works. Each clinic has as many doctors as rooms, working from 8 to 18 on weekdays in the clinic's own zone, patients, invoices if asked for, and users who sign in over
HTTP like everybody else. A booking is half an hour; `Diary` deals out free ones: never the same doctor, room or patient twice at a time, so that whatever
is refused was meant to be.

What may go wrong. An access token is good for a quarter of an hour: sign in anew before each run.
"""

import asyncio
import json
import random
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from uuid import UUID

import psycopg
from msgspec import Struct

from anamnesis.settings import Settings
from commands.accounts import OpenAccount, enrolled
from commands.clinics import OpenClinic
from commands.invoices import CreateInvoice
from commands.kit import Command
from commands.kit.handling import Handler, Who
from commands.kit.ids import new_id
from commands.kit.vault import Vault
from commands.patients import RegisterPatient
from commands.rooms import AddRoom
from commands.schedules import SetDoctorSchedule
from commands.staff import HireStaff
from domain.clinics import Clinic as ClinicState
from domain.kit import PLATFORM
from domain.kit.bills import Line
from domain.kit.grants import granted
from domain.schedules import Hours

ZONES = ("Europe/Amsterdam", "America/New_York", "Asia/Kolkata")
OPENS, CLOSES = time(8), time(18)
LENGTH = 30  # minutes
WEEKDAYS = 5
DAYS = 700
AT_ONCE = 64
PASSWORD = "only for measuring"  # noqa: S105 - of users that live as long as a run
GIVEN = ("Noor", "Sam", "Eva", "Omar", "Mila", "Liam", "Ada", "Yusuf", "Ines", "Tom")
FAMILY = ("Jansen", "de Vries", "Bakker", "Visser", "Smit", "Meijer", "Mulder", "Bos", "Vos", "Peters")


LARGEST = "select c.id, c.zone from clinics c order by (select count(*) from invoices i where i.clinic_id = c.id) desc limit 1"
PEOPLE = {
    "doctors": "select id from staff where clinic_id = %s and role = 'doctor' and active",
    "rooms": "select id from rooms where clinic_id = %s and active",
    "patients": "select id from patients where clinic_id = %s and not archived order by md5(id::text) limit 2000",
}


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


Person = Callable[[int], RegisterPatient]
"""Who the patient of a number is."""


class Founder:
    """Makes clinics through the door that everybody's commands take."""

    def __init__(self, handler: Handler, kek: bytes) -> None:
        self.handler = handler
        self.kek = kek

    async def clinic(self, number: int, doctors: int, patients: int, users: int, invoices: int, person: Person) -> Clinic:
        """Found one."""
        root = Who(actor=new_id(), clinic=PLATFORM, role="superadmin", grants=granted("superadmin", "Enterprise"))
        zone = ZONES[number % len(ZONES)]
        opened = await self.handler.handle(OpenClinic(name=f"Clinic {number}", zone=zone, currency="EUR", plan="Enterprise"), root)
        who = Who(actor=new_id(), clinic=opened.id, role="admin", grants=granted("admin", "Enterprise"))
        staff = await self._all(_doctor(n) for n in range(doctors))(who)
        await self._all(_schedule(doctor) for doctor in staff)(who)
        rooms = await self._all(AddRoom(name=f"Room {n}") for n in range(doctors))(who)
        people = await self._all(person(n) for n in range(patients))(who)
        await self._all(_invoice(people[n % patients], staff[n % doctors], n) for n in range(invoices))(who)
        return Clinic(id=opened.id, zone=zone, doctors=staff, rooms=rooms, patients=people, emails=await self.users(f"clinic{number}", opened.id, users))

    def _all(self, commands: Iterable[Command]) -> Callable[[Who], Awaitable[list[UUID]]]:
        """Have many commands decided, some at a time, and return the ids they made."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(command: Command, who: Who) -> UUID:
            async with turn:
                return (await self.handler.handle(command, who)).id

        async def every(who: Who) -> list[UUID]:
            return list(await asyncio.gather(*[one(command, who) for command in commands]))

        return every

    async def users(self, name: str, clinic: UUID, users: int) -> list[str]:
        """Let so many receptionists sign in; gives their addresses."""
        emails = [f"desk{n}@{name}.example" for n in range(users)]
        vault = Vault(self.handler.lanes, self.kek)

        async def secret(account: UUID) -> UUID:
            return await vault.put_password(account, PASSWORD)

        for email in emails:
            await enrolled(self.handler, OpenAccount(email=email, name="Desk"), clinic, "receptionist", None, secret)
        vault.close()
        return emails


def found(
    settings: Settings, *, clinics: int = 3, doctors: int = 20, patients: int = 1000, users: int = 4, invoices: int = 0, person: "Person | None" = None,
) -> list[Clinic]:
    """Make clinics; `settings` are a gateway's."""

    async def work() -> list[Clinic]:
        handler = await Handler.open(settings, clinic_state=ClinicState)
        try:
            return [await Founder(handler, settings.kek).clinic(n, doctors, patients, users, invoices, person or a_patient) for n in range(clinics)]
        finally:
            await handler.close()

    return asyncio.run(work())


def adopted(settings: Settings, owner_url: str, *, users: int = 4) -> Clinic:
    """The largest clinic that is there, with users of ours; `settings` are a gateway's."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        clinic, zone = owner.execute(LARGEST).fetchone() or (PLATFORM, "UTC")
        people = {kind: [i for (i,) in owner.execute(statement, [clinic])] for kind, statement in PEOPLE.items()}

    async def work() -> list[str]:
        handler = await Handler.open(settings, clinic_state=ClinicState)
        try:
            return await Founder(handler, settings.kek).users(str(clinic), clinic, users)
        finally:
            await handler.close()

    return Clinic(id=clinic, zone=zone, doctors=people["doctors"], rooms=people["rooms"], patients=people["patients"], emails=asyncio.run(work()))


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
    """Deals out bookings of free time, each once: one whole week in order, all the time after it at random."""

    def __init__(self, clinics: list[Clinic], *, seed: int = 1) -> None:
        self.clinics = clinics
        tomorrow = date.today() + timedelta(days=1)  # noqa: DTZ011 - any near day will do
        self.monday = tomorrow + timedelta(days=7 - tomorrow.weekday())
        self.dealt: list[Booking] = []
        self._free = self._deal(random.Random(seed))  # noqa: S311 - repeatable, not secret

    def take(self, number: int) -> list[Booking]:
        """Return so many bookings that nobody has asked for yet."""
        taken = list(islice(self._free, number))
        self.dealt += taken
        return taken

    def week(self, clinic: int, a_day: int, weeks: int = 1) -> list[Booking]:
        """Return bookings that fill every doctor's first week, or more of them, with so many a day."""
        starts = [start for week in range(weeks) for n in range(7 * week, 7 * week + WEEKDAYS) for start in _starts(self.monday + timedelta(days=n))[:a_day]]
        doctors = range(len(self.clinics[clinic].doctors))
        return [self._booking(clinic, doctor, number, start) for number, start in enumerate(starts) for doctor in doctors]

    def _deal(self, chance: random.Random) -> Iterator[Booking]:
        days = (self.monday + timedelta(days=n) for n in range(7, DAYS))
        starts = [start for day in days if day.weekday() < WEEKDAYS for start in _starts(day)]
        slots = [(c, d, s) for c, clinic in enumerate(self.clinics) for d in range(len(clinic.doctors)) for s in range(len(starts))]
        chance.shuffle(slots)
        for c, d, s in slots:
            yield self._booking(c, d, s, starts[s])

    def _booking(self, number: int, doctor: int, slot: int, start: datetime) -> Booking:
        """Doctors of one slot see different patients, so that the doctor's time is all that can be in the way."""
        clinic = self.clinics[number]
        patient = clinic.patients[(doctor + slot * len(clinic.doctors)) % len(clinic.patients)]
        return Booking(number, json.dumps({
            "patientId": str(patient), "doctorId": str(clinic.doctors[doctor]), "roomId": str(clinic.rooms[doctor]),
            "start": start.isoformat(), "duration": LENGTH, "type": "checkup",
        }).encode())


def _starts(day: date) -> list[datetime]:
    first = datetime.combine(day, OPENS)
    return [first + timedelta(minutes=LENGTH * n) for n in range((CLOSES.hour - OPENS.hour) * 60 // LENGTH)]


def _doctor(number: int) -> HireStaff:
    return HireStaff(name=f"Dr {FAMILY[number % 10]} {number}", email=f"doctor{number}@example.org", role="doctor")


def _schedule(doctor: UUID) -> SetDoctorSchedule:
    hours = [Hours(start=OPENS.strftime("%H:%M"), end=CLOSES.strftime("%H:%M"))]
    return SetDoctorSchedule(doctor_id=doctor, week=[hours] * 5 + [[], []])


def a_patient(number: int) -> RegisterPatient:
    return RegisterPatient(
        given_name=GIVEN[number % 10], family_name=f"{FAMILY[number // 10 % 10]}-{number}", birth_date=date(1950, 1, 1) + timedelta(days=number % 20_000),
        phone=f"+31 6 {number:08}", email=f"patient{number}@example.org",
    )


def _invoice(patient: UUID, doctor: UUID, number: int) -> CreateInvoice:
    lines = [Line(description="Filling", procedure_code=f"D{2000 + n}", doctor_id=doctor, unit_price=5000 + number % 100, tax_rate=2100) for n in range(3)]
    return CreateInvoice(patient_id=patient, lines=lines, issue=True)
