"""Places, kinds of visits and closed days: what is offered can be booked, and nothing else."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from itertools import count
from random import Random
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from commands.appointment_types import AddAppointmentType, ChangeAppointmentType, DeleteAppointmentType
from commands.appointments import BookAppointment, ChangeAppointment
from commands.closed_days import SetClosedDays
from commands.holds import HoldTime
from commands.kit.errors import NameTaken
from commands.places import ChangePlace, ClosePlace, OpenPlace
from commands.rooms import AddRoom, ChangeRoom, DeleteRoom
from commands.schedules import SetDoctorSchedule
from domain.appointment_types import (
    AppointmentType,
    AppointmentTypeAdded,
    AppointmentTypeChanged,
    AppointmentTypeDeleted,
    AppointmentTypeNeedsName,
)
from domain.appointments import (
    Appointment,
    AppointmentBooked,
    AppointmentDetailsChanged,
    AppointmentRescheduled,
    DoctorNotWorking,
    RoomUnfit,
    StartNotOffered,
    TypeNotOffered,
)
from domain.clinics import ClinicOpened
from domain.closed_days import ClosedDay, ClosedDays, ClosedDaysSet, ClosedTwice, HolidaysUnknown, closed_days_of
from domain.kit import NotFound, Refused, UniqueClaim
from domain.kit.holidays import countries, holidays_of
from domain.patients import Patient
from domain.places import Place, PlaceChanged, PlaceClosed, PlaceInUse, PlaceNeedsName, PlaceOpened
from domain.rooms import Room, RoomAdded, RoomBooked
from domain.schedules import BlockedTime, DayHours, Hours, Schedule, ScheduleSet, TimeBlocked, schedule_of
from domain.staff import Staff, StaffHired
from projections.slots import Sought, available, first_free
from tests.clinic import Town, handling
from tests.kit import THIS, facts, given, noon, wire
from tests.reckoning import reckon
from tests.remembering import reading, remember
from tests.served import ZONE, failure, served, working

DOCTOR, PATIENT, PLACE, ROOM, KIND = (UUID(int=n) for n in range(101, 106))
HOME = [Hours(start="09:00", end="12:00")]
AWAY = [Hours(start="13:00", end="17:00", place_id=PLACE)]
HOURS = ScheduleSet(doctor_id=DOCTOR, week=[[*HOME, *AWAY]] * 5 + [[], []], buffer_after=10)
doctor = Staff.replay([StaffHired(name="Dr Visser", email="v@example.org", role="doctor")])
SURGERY = AppointmentTypeAdded(name="Implant", minutes=60, room_type="surgery", grid=20, buffer_before=15, colour="#cc3366")
around = {"schedule": Schedule.replay([HOURS]), "doctor": doctor, "room": None, "patient": Patient(registered=True), "kind": None, "closed": ClosedDays()}
surgery = Room.replay([RoomAdded(name="Surgery", type="surgery", place_id=PLACE)])


def local(text):
    return datetime.fromisoformat(text)


def book(start, **other):
    return BookAppointment(patient_id=PATIENT, doctor_id=DOCTOR, start=local(start), **other)


def booked(command, **others):
    """Return the one event of a booking."""
    (event,) = command.decide(Appointment(), noon, **{**around, **others})
    return event


# --- places


def test_a_place_is_opened_renamed_and_closed():
    opened = PlaceOpened(name="Noord", address="Buiksloterweg 1, Amsterdam")
    given().when(OpenPlace(name="Noord", address="Buiksloterweg 1, Amsterdam")).then(opened)
    given().when(OpenPlace(name=" ")).refused(PlaceNeedsName)
    given(opened).when(ChangePlace(name="Noord 2")).then(PlaceChanged(name="Noord 2"))
    given(opened).looking(used=False).when(ClosePlace()).then(PlaceClosed(place_id=THIS))
    given(opened).looking(used=True).when(ClosePlace()).refused(PlaceInUse)
    closed = given(opened, PlaceClosed(place_id=THIS))
    closed.when(ChangePlace(name="Noord")).refused(NotFound)
    closed.looking(used=False).when(ClosePlace()).refused(NotFound)
    assert Place.replay([opened]).claims() == {UniqueClaim(scope="places.name", key="noord")}


def test_rooms_and_hours_are_at_places_that_are_open():
    closed = Place.replay([PlaceOpened(name="Noord"), PlaceClosed(place_id=PLACE)])
    given().looking(place=closed).when(AddRoom(name="Room 1", place_id=PLACE)).refused(NotFound)
    given().looking(places=[closed]).when(SetDoctorSchedule(doctor_id=DOCTOR, week=HOURS.week)).refused(NotFound)
    there = given(RoomAdded(name="Room 1", place_id=PLACE))
    there.looking(place=None, booked=True).when(ChangeRoom(name="Room 1")).refused(RoomBooked)
    assert there.looking(place=None, booked=True).when(ChangeRoom(name="Room 9", place_id=PLACE)).decide()
    assert there.looking(place=None, booked=False).when(ChangeRoom(name="Room 1")).decide()


def test_a_visit_is_where_its_room_is_or_else_where_the_doctor_is_by_then():
    assert booked(book("2026-01-07T09:00:00")).place_id is None
    assert booked(book("2026-01-07T13:00:00")).place_id == PLACE
    assert booked(book("2026-01-07T13:00:00", room_id=ROOM), room=surgery).place_id == PLACE
    with pytest.raises(DoctorNotWorking):
        booked(book("2026-01-07T09:00:00", room_id=ROOM), room=surgery)
    assert booked(book("2026-01-07T09:00:00", room_id=ROOM, overbook=True, reason="Emergency"), room=surgery).place_id == PLACE


def test_hours_at_two_places_do_not_make_one_visit():
    week = [[Hours(start="09:00", end="12:00"), Hours(start="12:00", end="15:00", place_id=PLACE)]] * 7
    across = Schedule.replay([replace(HOURS, week=week)])
    with pytest.raises(DoctorNotWorking):
        booked(book("2026-01-07T11:45:00"), schedule=across)
    assert booked(book("2026-01-07T12:00:00"), schedule=across).place_id == PLACE


# --- kinds of visits


def test_a_kind_of_visit_is_offered_changed_and_deleted():
    wanted = AddAppointmentType(name="Implant", minutes=60, room_type="surgery", grid=20, buffer_before=15, colour="#cc3366")
    given().when(wanted).then(SURGERY)
    given().when(AddAppointmentType(name="\t")).refused(AppointmentTypeNeedsName)
    given(SURGERY).when(ChangeAppointmentType(name="Implants", active=False)).then(AppointmentTypeChanged(name="Implants", active=False))
    given(SURGERY).when(DeleteAppointmentType()).then(AppointmentTypeDeleted())
    given(SURGERY, AppointmentTypeDeleted()).when(ChangeAppointmentType(name="Implant")).refused(NotFound)
    assert AppointmentType.replay([SURGERY]).claims() == {UniqueClaim(scope="appointment_types.name", key="implant")}
    assert AppointmentType.replay([SURGERY, AppointmentTypeDeleted()]).claims() == frozenset()


def test_a_visit_takes_what_its_kind_says():
    kind = AppointmentType.replay([SURGERY])
    event = booked(book("2026-01-07T13:20:00", room_id=ROOM, type_id=KIND), room=surgery, kind=kind)
    assert (event.type, event.type_id, event.ends_at - event.starts_at) == ("Implant", KIND, timedelta(hours=1))
    assert (event.buffer_before, event.buffer_after) == (15, 10), "the kind's, and the doctor's where it names none"
    longer = booked(book("2026-01-07T13:20:00", room_id=ROOM, type_id=KIND, type="Two implants", duration=90), room=surgery, kind=kind)
    assert (longer.type, longer.ends_at - longer.starts_at) == ("Two implants", timedelta(minutes=90))
    plain = booked(book("2026-01-07T13:20:00"))
    assert (plain.type, plain.type_id, plain.ends_at - plain.starts_at) == ("checkup", None, timedelta(minutes=30))


def test_a_visit_is_booked_as_its_kind_wants_it_unless_it_is_an_overbooking():
    kind, theatre = AppointmentType.replay([SURGERY]), replace(surgery, type="imaging")
    wanted = book("2026-01-07T13:20:00", room_id=ROOM, type_id=KIND)
    for refusal, command, others in (
        (StartNotOffered, replace(wanted, start=local("2026-01-07T13:30:00")), {"room": surgery}), (RoomUnfit, wanted, {"room": theatre}),
        (RoomUnfit, replace(wanted, room_id=None), {}),
    ):
        with pytest.raises(refusal):
            booked(command, kind=kind, **others)
        assert booked(replace(command, overbook=True, reason="Emergency"), kind=kind, **others).forced
    gone = AppointmentType.replay([SURGERY, AppointmentTypeChanged(name="Implant", active=False)])
    for kind in (gone, AppointmentType.replay([SURGERY, AppointmentTypeDeleted()])):
        with pytest.raises(TypeNotOffered):
            booked(replace(wanted, overbook=True, reason="Emergency"), kind=kind, room=surgery)


def test_a_kind_that_is_not_offered_any_more_keeps_the_visits_it_has():
    kind = AppointmentType.replay([SURGERY])
    had = booked(book("2026-01-07T13:20:00", room_id=ROOM, type_id=KIND), room=surgery, kind=kind)
    gone = {**around, "kind": AppointmentType.replay([SURGERY, AppointmentTypeDeleted()]), "room": surgery}
    del gone["patient"]
    same = ChangeAppointment(doctor_id=DOCTOR, room_id=ROOM, type="Implant", start=local("2026-01-07T13:20:00"), duration=60, type_id=KIND, notes="Bring the scan")
    details = given(had).looking(**gone).when(same).decide()
    assert [type(event) for event in details] == [AppointmentDetailsChanged]
    assert Appointment.replay([had, *details]).arranged.type_id == KIND
    given(had).looking(**gone).when(replace(same, start=local("2026-01-07T13:40:00"))).refused(TypeNotOffered)
    given(had).looking(**{**gone, "kind": kind, "room": replace(surgery, type="other")}).when(replace(same, room_id=UUID(int=9))).refused(RoomUnfit)
    other = given(had).looking(**{**gone, "kind": None, "room": None}).when(replace(same, room_id=None, type_id=None, start=local("2026-01-07T09:10:00")))
    assert [type(event) for event in other.decide()] == [AppointmentRescheduled]


def test_a_time_is_held_as_it_would_be_booked():
    kind = AppointmentType.replay([SURGERY])
    others = {**around, "kind": kind, "room": surgery}
    del others["patient"]
    wanted = HoldTime(doctor_id=DOCTOR, room_id=ROOM, start=local("2026-01-07T13:20:00"), type_id=KIND)
    (held,) = given().looking(**others).when(wanted).decide()
    assert (held.buffer_before, held.buffer_after, held.ends_at - held.starts_at) == (15, 10, timedelta(hours=1))
    given().looking(**others).when(replace(wanted, start=local("2026-01-07T13:30:00"))).refused(StartNotOffered)


# --- closed days


def test_a_clinic_keeps_the_holidays_of_its_country():
    kept = ClosedDaysSet(country="NL", worked=[date(2026, 5, 14)], added=[ClosedDay(on=date(2026, 5, 15), name="Staff outing")])
    given().when(SetClosedDays(country="NL", worked=[date(2026, 5, 14)], added=kept.added)).then(kept)
    given(kept).when(SetClosedDays(country="NL", worked=[date(2026, 5, 14)], added=kept.added)).then()
    closed = ClosedDays.replay([kept])
    assert date(2026, 4, 27) in closed, "the King's birthday"
    assert date(2025, 4, 26) in closed, "which is not kept on a Sunday"
    assert date(2026, 5, 14) not in closed
    assert date(2026, 5, 15) in closed
    assert date(2026, 4, 27) not in ClosedDays()
    assert closed.of(2026)[date(2026, 4, 27)] == "Koningsdag"
    for wanted, refusal in (
        (SetClosedDays(country="XX"), HolidaysUnknown), (SetClosedDays(country="NL", part="ZZ"), HolidaysUnknown), (SetClosedDays(part="BY"), HolidaysUnknown),
        (SetClosedDays(worked=[date(2026, 5, 15)], added=kept.added), ClosedTwice),
    ):
        given().when(wanted).refused(refusal)


def test_parts_of_a_country_have_holidays_of_their_own():
    assert date(2026, 1, 6) in ClosedDays.replay([ClosedDaysSet(country="DE", part="BY")])
    assert date(2026, 1, 6) not in ClosedDays.replay([ClosedDaysSet(country="DE", part="BE")])
    assert holidays_of("XX", None, 2026) == {}
    assert {"NL", "DE", "ES", "US", "IN"} < {*countries()}


def test_nobody_works_on_a_closed_day_but_who_says_so_for_that_date():
    closed = ClosedDays.replay([ClosedDaysSet(country="NL")])
    with pytest.raises(DoctorNotWorking):
        booked(book("2026-04-27T09:00:00"), closed=closed)
    willing = Schedule.replay([replace(HOURS, exceptions=[DayHours(on=date(2026, 4, 27), hours=HOME)])])
    assert booked(book("2026-04-27T09:00:00"), closed=closed, schedule=willing)
    assert booked(book("2026-04-28T09:00:00"), closed=closed)


# --- what is shown, reckoned a second time

CHANGES = {  # zone -> days on which its clocks change, and one on which they do not
    "Europe/Amsterdam": ("2026-03-29", "2026-10-25", "2026-04-27"), "America/New_York": ("2026-03-08", "2026-11-01", "2026-07-03"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04", "2026-06-09"), "America/Santiago": ("2026-04-05", "2026-09-06", "2026-09-18"),
    "Africa/Cairo": ("2026-04-24", "2026-10-30", "2026-07-06"), "Asia/Kathmandu": ("2026-03-29", "2026-06-01"), "Pacific/Chatham": ("2026-04-05", "2026-09-27"),
}
COUNTRY = {"Europe/Amsterdam": "NL", "America/New_York": "US", "America/Santiago": "CL"}


POSITIONS = count(1)


class Chance:
    """A clinic made by chance, on some day in some zone."""

    def __init__(self, seed, zone, on):
        self.dice, self.zone, self.on = Random(f"{seed} {zone} {on}"), zone, on
        self.midnight = datetime(on.year, on.month, on.day, tzinfo=UTC) - timedelta(hours=12)
        self.places = [None, uuid4()]
        self.doctors, self.rooms, self.kinds = ([uuid4() for _ in range(count)] for count in (2, 3, 2))

    def hours(self):
        edges = sorted(self.dice.sample(range(289), self.dice.choice([2, 4, 6])))
        return [Hours(start=clock(5 * a), end=clock(5 * b), place_id=self.dice.choice(self.places)) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def schedule(self, doctor):
        exceptions = [DayHours(on=self.on, hours=self.hours())] if self.dice.random() < 0.3 else []
        buffers = {"buffer_before": self.dice.choice([0, 5]), "buffer_after": self.dice.choice([0, 10])}
        return ScheduleSet(doctor_id=doctor, week=[self.hours() for _ in range(7)], exceptions=exceptions, slot_minutes=self.dice.choice([15, 20, 50]), **buffers)

    def kind(self, name):
        maybe = lambda *values: self.dice.choice([None, *values])  # noqa: E731
        return AppointmentTypeAdded(
            name=name, minutes=self.dice.choice([10, 45, 90]), room_type=maybe("surgery", "imaging"), grid=maybe(10, 25), buffer_before=maybe(0, 20),
            buffer_after=maybe(0, 5))

    def span(self):
        start = self.midnight + timedelta(minutes=5 * self.dice.randrange(600))
        return start, start + timedelta(minutes=self.dice.choice([15, 60, 200]))

    def visit(self):
        start, end = self.span()
        return AppointmentBooked(
            patient_id=PATIENT, doctor_id=self.dice.choice(self.doctors), room_id=self.dice.choice([None, *self.rooms]), on=start.date(), type="checkup",
            start_local=start.strftime("%Y-%m-%dT%H:%M:%S"), zone=self.zone, starts_at=start, ends_at=end, buffer_before=self.dice.choice([0, 10]), forced=True)

    def block(self):
        start, end = self.span()
        whose = self.dice.choice([{"doctor_id": self.dice.choice(self.doctors)}, {"room_id": self.dice.choice(self.rooms)}])
        return TimeBlocked(on=start.date(), last_on=end.date(), start_local="", end_local="", zone=self.zone, starts_at=start, ends_at=end, **whose)

    def streams(self, clinic):
        rooms = {room: [RoomAdded(name=f"Room {n}", type=self.dice.choice(["surgery", "imaging"]), place_id=self.dice.choice(self.places))] for n, room in enumerate(self.rooms)}
        country = {"country": COUNTRY.get(self.zone)}
        return {
            "clinics": {clinic: [ClinicOpened(name="Grachten", zone=self.zone, currency="EUR", plan="Pro")]},
            "staff": {doctor: [StaffHired(name=f"Dr {n}", email="v@example.org", role="doctor")] for n, doctor in enumerate(self.doctors)},
            "schedules": {schedule_of(doctor): [self.schedule(doctor)] for doctor in self.doctors}, "rooms": rooms,
            "appointment_types": {kind: [self.kind(f"Kind {n}")] for n, kind in enumerate(self.kinds)},
            "closed_days": {closed_days_of(clinic): [ClosedDaysSet(**country, added=[ClosedDay(on=self.on, name="Move")] if self.dice.random() < 0.15 else [])]},
            "appointments": {uuid4(): [self.visit()] for _ in range(6)}, "blocks": {uuid4(): [self.block()] for _ in range(2)},
        }


def clock(minutes):
    return f"{minutes // 60:02}:{minutes % 60:02}"


def shown_as_json(streams, zone):
    """Return a clinic as the API shows it."""
    events = lambda kind: {str(id_): wire(told[-1]) for id_, told in streams[kind].items()}  # noqa: E731
    (closed,) = (ClosedDays.replay(told) for told in streams["closed_days"].values())
    return {
        "zone": zone, "schedules": {one["doctorId"]: one for one in events("schedules").values()}, "rooms": [{"id": id_, **one} for id_, one in events("rooms").items()],
        "closed": [day.isoformat() for year in (2025, 2026, 2027) for day in closed.of(year)], "visits": [{**one, "status": "booked"} for one in events("appointments").values()],
        "blocks": [*events("blocks").values()]}


@pytest.mark.parametrize(("zone", "on"), [(zone, date.fromisoformat(on)) for zone, days in CHANGES.items() for on in days])
async def test_what_is_shown_is_what_a_walk_through_the_minutes_finds_and_what_can_be_booked(module_database, zone, on):
    """By the SQL and the intervals of the product; by a second computation that knows the rules as text; and by asking the booking itself."""
    chance, clinic = Chance(0, zone, on), uuid4()
    streams = chance.streams(clinic)
    every = [replace(fact, clinic=clinic) for kind, told in streams.items() for id_, events in told.items() for fact in facts(*events, id=id_, kind=kind)]
    remember(module_database, *(replace(fact, position=next(POSITIONS)) for fact in every))
    seen = 0
    for kind in (None, *chance.kinds):
        async with reading(module_database, clinic) as reader:
            slots = await available(reader, Sought(first=on, kind=kind), noon.now)
        found = {
            (slot.starts_at.strftime("%Y-%m-%dT%H:%M:%SZ"), str(slot.doctor_id), str(slot.place_id) if slot.place_id else None, frozenset(str(room.id) for room in slot.rooms))
            for slot in slots}
        told = {**wire(streams["appointment_types"][kind][0]), "id": str(kind)} if kind else None
        assert found == reckon(shown_as_json(streams, zone), on, told), kind
        assert len(found) == len(slots)
        seen += len(found)
        if kind:
            offered(chance, streams, kind, slots)
    (closed,) = (ClosedDays.replay(told) for told in streams["closed_days"].values())
    assert seen > 10 or on in closed


def offered(chance, streams, kind, slots):
    """Ask the booking for every fifth minute of the day: it takes what is shown, in a room that is shown, and refuses everything else."""
    shown = {(slot.starts_at, slot.doctor_id, room.id) for slot in slots for room in slot.rooms}
    of = AppointmentType.replay(streams["appointment_types"][kind])
    closed = ClosedDays.replay(next(iter(streams["closed_days"].values())))
    states = [*(Appointment.replay(one) for one in streams["appointments"].values()), *(BlockedTime.replay(one) for one in streams["blocks"].values())]
    taken = [claim for state in states for claim in state.claims() if claim.kind in {"doctor", "room"}]
    at = replace(noon, zone=chance.zone)
    for doctor_id in chance.doctors:
        schedule = Schedule.replay(streams["schedules"][schedule_of(doctor_id)])
        for room_id in chance.rooms:
            room = Room.replay(streams["rooms"][room_id])
            for start in (chance.midnight + timedelta(minutes=5 * n) for n in range(48 * 12)):
                if start.astimezone(ZoneInfo(chance.zone)).date() == chance.on:
                    command = BookAppointment(patient_id=UUID(int=555), doctor_id=doctor_id, room_id=room_id, start=start, type_id=kind)
                    assert ((start, doctor_id, room_id) in shown) == possible(command, at, taken, schedule=schedule, room=room, kind=of, closed=closed), start


def possible(command, at, taken, **others):
    try:
        (event,) = command.decide(Appointment(), at, doctor=doctor, patient=Patient(registered=True), **others)
    except Refused:
        return False
    mine = Appointment.replay([event]).claims()
    return not any((a.kind, a.id) == (b.kind, b.id) and a.start < b.end and b.start < a.end for a in mine for b in taken)


# --- on the running system


async def test_a_place_closes_only_when_nothing_is_there(database):
    async with handling(database) as handler:
        town = await Town.open(handler)
        noord = (await town(OpenPlace(name="Noord"))).id
        with pytest.raises(NameTaken):
            await town(OpenPlace(name=" noord "))
        room = (await town(AddRoom(name="Room 9", place_id=noord))).id
        with pytest.raises(PlaceInUse):
            await town(ClosePlace(), noord)
        await town(DeleteRoom(), room)
        await town(SetDoctorSchedule(doctor_id=town.doctor, week=[[Hours(start="09:00", end="12:00", place_id=noord)]] * 7))
        with pytest.raises(PlaceInUse):
            await town(ClosePlace(), noord)
        await town(SetDoctorSchedule(doctor_id=town.doctor, week=[HOME] * 7))
        outcomes = await asyncio.gather(
            town(ClosePlace(), noord), *(town(AddRoom(name=f"Room {n}", place_id=noord)) for n in range(10, 20)), return_exceptions=True)
        closed, added = not isinstance(outcomes[0], Exception), [one for one in outcomes[1:] if not isinstance(one, Exception)]
        assert closed != bool(added), "it is closed, or there are rooms; never both"


async def test_a_clinic_that_closes_is_closed_in_every_process(database):
    """Each process may remember that no day was ever closed; whoever relies on it is told otherwise by the store."""
    async with handling(database) as one, handling(database) as other:
        town = await Town.open(one)
        await town(town.visit(town.at(0)))
        elsewhere = Town(other, town.id)
        elsewhere.doctor, elsewhere.room, elsewhere.patient, elsewhere.admin = town.doctor, town.room, town.patient, town.admin
        await elsewhere(SetClosedDays(added=[ClosedDay(on=town.at(0).date(), name="Move")]))
        with pytest.raises(DoctorNotWorking):
            await town(town.visit(town.at(60)))
        await elsewhere(SetClosedDays())
        assert await town(town.visit(town.at(60)))


async def test_what_is_shown_is_booked_over_the_web(database, nats_server):
    """Two places, two doctors, a kind of visit that needs a kind of room, a public holiday: every slot that is shown can be booked, and then it is not shown any more."""
    async with served(database, nats_server) as web, working(database, nats_server):
        admin = await web.person(await web.clinic(), "admin")
        day = (datetime.now(ZoneInfo(ZONE)).date() + timedelta(days=14)).isoformat()

        async def made(path, **told):
            answer = await admin("POST", path, told)
            assert answer.status_code == 201, answer.text
            return answer.json()["id"]

        noord = await made("/places", name="Noord", address="Buiksloterweg 1, Amsterdam")
        surgery_ = await made("/rooms", name="Surgery", type="surgery", placeId=noord)
        await made("/rooms", name="Room 1")
        implant = await made("/appointment-types", name="Implant", minutes=60, roomType="surgery", grid=30, colour="#cc3366")
        doctors = [await made("/staff/create", name=f"Dr {name}", email=f"{name}@clinic.example", role="doctor") for name in ("Berg", "Visser")]
        for one in doctors:
            week = [[{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "15:00", "placeId": noord}]] * 7
            await admin("PUT", f"/appointments/doctor-schedules/{one}", {"week": week})
        noor = await made("/patients", givenName="Noor", familyName="Bakker")
        seen = await admin("PUT", "/closed-days/settings", {"country": "NL", "added": [{"on": day, "name": "Move"}]})
        headers = await admin.seen(seen)

        async def shown(**query):
            answer = await admin("GET", "/appointments/available-slots", params={"date": day, "typeId": implant, **query}, headers=headers)
            assert answer.status_code == 200, answer.text
            return [(one["startLocal"][11:16], one["doctorId"], one["placeId"], [room["id"] for room in one["rooms"]]) for one in answer.json()["items"]]

        assert await shown() == []
        assert {"on": day, "name": "Move"} in (await admin("GET", "/closed-days", params={"year": day[:4]})).json()["items"]
        headers = await admin.seen(await admin("PUT", "/closed-days/settings", {}))
        assert await shown() == [(start, one, noord, [surgery_]) for start in ("13:00", "13:30", "14:00") for one in doctors]
        assert await shown(doctorId=doctors[1], placeId=noord, roomType="surgery")
        assert await shown(roomType="imaging") == await shown(duration=121) == []
        failure(await admin("GET", "/appointments/available-slots", params={"date": day, "typeId": str(uuid4())}), 404, "NOT_FOUND")
        first = (await admin("GET", "/appointments/available-slots/first", params={"from": day, "typeId": implant, "most": 2}, headers=headers)).json()["items"]
        assert [(one["startLocal"][11:16], one["doctorId"]) for one in first] == [("13:00", doctors[0]), ("13:00", doctors[1])]
        wish = {"patientId": noor, "typeId": implant, "doctorId": first[0]["doctorId"], "roomId": surgery_, "start": first[0]["startLocal"]}
        for wrong, code in (
            ({"start": f"{day}T13:15:00"}, "START_NOT_OFFERED"), ({"roomId": None}, "ROOM_UNFIT"), ({"start": f"{day}T09:00:00"}, "DOCTOR_NOT_WORKING"),
        ):
            failure(await admin("POST", "/appointments", {**wish, **wrong}), 409, code)
        booked_ = await admin("POST", "/appointments", wish)
        assert (booked_.status_code, booked_.json()["type"], booked_.json()["placeId"], booked_.json()["typeId"]) == (201, "Implant", noord, implant)
        headers = await admin.seen(booked_)
        assert await shown() == [("14:00", one, noord, [surgery_]) for one in doctors], "the room is taken for everybody"
        busy = {"date": day, "patientId": noor, "doctorId": doctors[1], "duration": 30}
        free = (await admin("GET", "/appointments/available-slots", params=busy, headers=headers)).json()["items"]
        assert [one["startLocal"][11:16] for one in free if one["placeId"]] == ["14:00", "14:15", "14:30"], "the patient is elsewhere at one"
        entry = (await admin("GET", "/appointments", params={"date": day}, headers=headers)).json()["items"][0]
        assert (entry["typeId"], entry["placeId"]) == (implant, noord)
        link = (await admin("GET", f"/appointments/{booked_.json()['id']}/share-link")).json()["token"]
        assert (await web.client.get(f"/api/v1/appointments/links/{link}")).json()["clinicAddress"] == "Buiksloterweg 1, Amsterdam"
        series = await admin("POST", "/appointment-series", {**wish, "start": f"{day}T14:00:00", "rule": {"unit": "days", "every": 7, "count": 2}})
        assert [one["outcome"] for one in series.json()["items"]] == ["booked"] * 2
        failure(await admin("DELETE", f"/places/{noord}"), 409, "PLACE_IN_USE")
        assert (await admin("DELETE", f"/appointment-types/{implant}")).status_code == 200
        failure(await admin("POST", "/appointments", {**wish, "start": f"{day}T14:00:00", "doctorId": doctors[1]}), 409, "TYPE_NOT_OFFERED")


async def test_the_first_free_is_found_beyond_a_full_month(module_database):
    chance, clinic = Chance(1, "Europe/Amsterdam", date(2026, 3, 29)), uuid4()
    streams = {**chance.streams(clinic), "appointments": {}, "blocks": {}}
    away = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    streams["blocks"] = {uuid4(): [TimeBlocked(
        on=away[0].date(), last_on=away[1].date(), start_local="", end_local="", zone=chance.zone, starts_at=away[0], ends_at=away[1], doctor_id=one)] for one in chance.doctors}
    every = [replace(fact, clinic=clinic) for kind, told in streams.items() for id_, events in told.items() for fact in facts(*events, id=id_, kind=kind)]
    remember(module_database, *(replace(fact, position=next(POSITIONS)) for fact in every))
    async with reading(module_database, clinic) as reader:
        (found,) = await first_free(reader, Sought(first=date(2026, 1, 6), days=92), noon.now, 1)
        assert found.starts_at.date() >= date(2026, 3, 1)
        assert await first_free(reader, Sought(first=date(2026, 1, 6), days=40), noon.now, 1) == []
        (same, *_) = await available(reader, Sought(first=found.starts_at.date(), days=2), noon.now)
        assert same == found
