"""Who works there and when: people come and go, rooms change, doctors take leave."""

from datetime import date, timedelta
from uuid import UUID

from anamnesis.demo.days import Diary, Slot, hours_mask
from anamnesis.demo.house import AHEAD, DAY, HISTORY, MINUTE, Doctor, House, Intention, Worker, wall_time
from commands.clinics import ChangeClinic, ChangeClinicPlan, LicenseClinic, OpenClinic, SwitchModule, SyncClinicModules
from commands.closed_days import SetClosedDays
from commands.kit.handling import Who
from commands.rooms import AddRoom, ChangeRoom, DeleteRoom
from commands.schedules import BlockTime, SetDoctorSchedule, UnblockTime
from commands.staff import ChangeStaff, DeactivateStaff, HireStaff, ReactivateStaff
from domain.closed_days import ClosedDay
from domain.kit import only
from domain.kit.grants import Role
from domain.schedules import DayHours, Hours
from domain.staff import Profile

LUNCH = (12 * 60 + 30, 13 * 60)
SPECIALITIES = ("general dentistry", "general dentistry", "endodontics", "orthodontics", "periodontology", "paediatric dentistry", "oral surgery")
COLOURS = ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00", "#b82e2e", "#316395")
NOTICE = 80  # days; more than anybody books ahead
LEAVE = range(300, 400)  # days on which the second doctor is away

Week = list[list[tuple[int, int]]]


def opening(house: House) -> Intention:
    """Open the clinic and take on its people."""
    place = house.place
    opened = OpenClinic(
        name=place.name, address=place.address, phone=place.phone, email=f"desk@{place.key}.example", zone=place.zone,
        currency=place.currency, plan="Pro+")
    house.ask(opened, house.platform, house.clinic, alone=True)
    yield house.now + MINUTE
    house.admins.append(hire(house, "admin"))
    yield house.now + 10 * MINUTE
    house.desks += [hire(house, "receptionist") for _ in range(house.scale.desks)]
    early = house.scale.doctors - house.scale.doctors // 4
    for number in range(house.scale.doctors):
        joins = 0 if number < early else 40 + 60 * (number - early)
        house.start(career(house, number), house.calendar.at(house.calendar.opening(joins), 7 * 60 + 30))
    for events in (premises(house), business(house), front_office(house), meetings(house)):
        house.start(events)


def hire(house: House, role: Role) -> Worker:
    """Take on somebody who treats nobody."""
    return Worker(*hired(house, role))


def hired(house: House, role: Role, **more: str) -> tuple[UUID, Who, Profile]:
    """Take somebody on; only the platform can appoint an administrator."""
    rng, place, id_ = house.rng, house.place, house.id()
    given, family = rng.choice(rng.choice((place.women, place.men))), rng.choice(place.families)
    profile = Profile(
        name=f"Dr. {given} {family}" if role == "doctor" else f"{given} {family}", email=f"{role}.{id_.hex[-6:]}@{place.key}.example",
        phone=f"{place.dial} {rng.randrange(1000, 10_000)}", role=role, **more)  # type: ignore[arg-type]
    first = role == "admin"  # and finds out that nobody has a seat yet; from then on the seats are remembered
    house.ask(HireStaff(**only(Profile, profile)), house.overseer if first else house.admin, id_, alone=first)
    return id_, house.who(role, id_), profile


def career(house: House, number: int) -> Intention:
    """A doctor joins, gets a room and hours, takes leave; one is away for some months."""
    more = {"speciality": SPECIALITIES[number % len(SPECIALITIES)], "colour": COLOURS[number % len(COLOURS)]}
    doctor = Doctor(*hired(house, "doctor", **more))
    doctor.room = house.ask(AddRoom(name=f"Room {number + 1}"), house.admin)
    week = working_week(house, number)
    doctor.diary = Diary(HISTORY + AHEAD, grid=house.scale.grid, after=5 if number % 3 == 1 else 0)
    write_hours(house, doctor, week)
    house.doctors.append(doctor)
    house.start(timetables(house, doctor, week))
    house.start(leave(house, doctor, number))
    if number == 1:
        yield from long_absence(house, doctor)
    else:
        yield house.some_time(house.today + 100 + 13 * number)
        changed = Profile(**only(Profile, doctor.profile) | {"phone": f"{house.place.dial} {house.rng.randrange(1000, 10_000)}"})
        house.ask(ChangeStaff(**only(Profile, changed)), house.admin, doctor.id)


def working_week(house: House, number: int) -> Week:
    """Return the hours of Monday to Sunday: full days with a break for lunch, a short one, days off."""
    opens, closes = house.place.hours
    late = 60 if number % 4 == 3 else 0
    full = [(opens + late, LUNCH[0]), (LUNCH[1], closes)]
    week: Week = [full if day in house.place.weekdays and day < 5 else [] for day in range(7)]
    if house.scale.doctors < 20:
        week[(number + 2) % 5] = [(opens, LUNCH[0])]
    if 5 in house.place.weekdays and number % 2 == 0:
        week[5] = [(opens + 30, LUNCH[0])]
    return week


def write_hours(house: House, doctor: Doctor, week: Week, days: range | None = None) -> None:
    """Write the hours of these days, or of all from today on, into a diary."""
    masks = [hours_mask(hours) for hours in week]
    for day in days or range(house.today, HISTORY + AHEAD):
        doctor.diary.hours[day] = masks[house.calendar.dates[day].weekday()] if house.calendar.open[day] else 0


def timetables(house: House, doctor: Doctor, week: Week) -> Intention:
    """Set the doctor's hours, and again each November, when next year's holidays are known; with an extra Saturday now and then."""
    alone = True
    while True:
        today = house.calendar.dates[house.today]
        extra = extra_day(house, doctor, week)
        last = date(today.year + (today.month > 10), 12, 31)
        off = [DayHours(on=on, hours=[]) for on in sorted(house.holidays) if today <= on <= last and week[on.weekday()]]
        asked = SetDoctorSchedule(
            doctor_id=doctor.id, week=[said(hours) for hours in week], exceptions=[*off, *extra], buffer_before=doctor.diary.before * 5,
            buffer_after=doctor.diary.after * 5, slot_minutes=house.scale.grid)
        house.ask(asked, doctor.who if house.rng.random() < 0.5 else house.admin, alone=alone)
        alone = False
        november = date(today.year + (today.month > 10), 11, 3)
        if november > house.calendar.dates[-1]:
            return
        yield house.some_time(house.calendar.opening(house.calendar.index(november)))


def extra_day(house: House, doctor: Doctor, week: Week) -> list[DayHours]:
    """Return some hours on a day that the doctor has off, and write them into the diary."""
    day = house.today + 45 + house.rng.randrange(7)
    on = house.calendar.dates[day]
    if week[on.weekday()] or on in house.holidays or house.rng.random() < 0.5:
        return []
    hours = [(9 * 60, 12 * 60)]
    doctor.diary.hours[day] = hours_mask(hours)
    return [DayHours(on=on, hours=said(hours))]


def said(hours: list[tuple[int, int]]) -> list[Hours]:
    """Return hours as they are said."""
    return [Hours(start=f"{start // 60:02}:{start % 60:02}", end=f"{end // 60:02}:{end % 60:02}") for start, end in hours]


def leave(house: House, doctor: Doctor, number: int) -> Intention:
    """Be away a week or two, twice a year; a journey in five is called off, and the time is given free again."""
    first = house.today + 20 + house.rng.randrange(150)
    while first < HISTORY + AHEAD - 30:
        days = range(first, first + house.rng.choice((5, 7, 12)))
        before = {day: doctor.diary.hours[day] for day in days}
        for day in days:
            doctor.diary.hours[day] = 0
        house.start(journey(house, doctor, before, called_off=(number + first) % 5 == 0))
        first += 130 + house.rng.randrange(80)
    yield from ()


def journey(house: House, doctor: Doctor, before: dict[int, int], *, called_off: bool) -> Intention:
    """Block the time of a leave well ahead, and perhaps stay after all."""
    first, *_, last = before
    yield house.on(max(house.today, first - NOTICE), 11 * 60)
    start, end = house.calendar.dates[first], house.calendar.dates[last] + timedelta(days=1)
    asked = BlockTime(doctor_id=doctor.id, start=wall_time(start, 0), end=wall_time(end, 0), reason="Annual leave")
    block = house.ask(asked, doctor.who)
    if called_off:
        yield house.on(max(house.today, first - 25), 16 * 60)
        house.ask(UnblockTime(), doctor.who, block, last=True)
        for day, hours in before.items():
            doctor.diary.hours[day] = hours


def long_absence(house: House, doctor: Doctor) -> Intention:
    """Leave the clinic for some months, and come back; nobody books that far ahead."""
    for day in LEAVE:
        doctor.diary.hours[day] = 0
    yield house.on(LEAVE.start, 9 * 60)
    doctor.active = False
    house.ask(DeactivateStaff(), house.admin, doctor.id)
    yield house.on(LEAVE.stop - 1, 17 * 60)
    house.ask(ReactivateStaff(), house.admin, doctor.id)
    doctor.active = True


def front_office(house: House) -> Intention:
    """At the front desk one leaves, and another comes."""
    yield house.on(house.calendar.opening(230), 10 * 60)
    house.desks.append(hire(house, "receptionist"))
    yield house.on(house.calendar.opening(245), 17 * 60)
    gone = house.desks.pop(0)
    house.ask(DeactivateStaff(), house.admin, gone.id, last=True)


def premises(house: House) -> Intention:
    """The days on which nobody works are known; a store room turns out not to be needed, and another room finds its use."""
    yield house.now + 20 * MINUTE
    closed = [ClosedDay(on=on, name=why) for on, why in sorted(house.holidays.items())]
    house.ask(SetClosedDays(added=closed), house.admin, alone=True)
    store = house.ask(AddRoom(name="Store", type="other", active=False), house.admin)
    xray = house.ask(AddRoom(name="X-ray", type="imaging"), house.admin)
    yield house.some_time(house.calendar.opening(120))
    house.ask(DeleteRoom(), house.admin, store, alone=True, last=True)
    yield house.some_time(house.calendar.opening(260))
    house.ask(ChangeRoom(name="Imaging", type="imaging"), house.admin, xray)


def business(house: House) -> Intention:
    """The clinic is licensed, gets another telephone number, does without a laboratory for a while, and gets a larger plan."""
    place = house.place
    seats = LicenseClinic(plan="Pro+", users=20 + 5 * house.scale.doctors, doctors=5 + 2 * house.scale.doctors, reason="As ordered")
    house.ask(seats, house.platform, house.clinic, alone=True)
    yield house.some_time(house.calendar.opening(190))
    changed = ChangeClinic(name=place.name, address=place.address, phone=place.phone[:-1] + "9", email=f"hello@{place.key}.example")
    house.ask(changed, house.admin, house.clinic, alone=True)
    house.ask(SwitchModule(module="lab", on=False), house.admin, house.clinic, alone=True)
    yield house.some_time(house.calendar.opening(365))
    house.ask(ChangeClinicPlan(plan="Enterprise"), house.platform, house.clinic, alone=True)
    house.ask(SyncClinicModules(), house.platform, house.clinic, alone=True)


def meetings(house: House) -> Intention:
    """Now and then an hour is needed for something else than patients; in one case of four it is not, in the end."""
    pace = max(1, 60 // house.scale.doctors)
    while True:
        yield house.some_time(house.calendar.opening(house.today + 1 + house.rng.randrange(pace)))
        doctor = house.rng.choice(house.doctors)
        day = house.today + 5 + house.rng.randrange(15)
        if doctor.active and (slot := doctor.diary.find(day, 60, earliest=11 * 60)):
            doctor.diary.take(slot)
            house.start(meeting(house, doctor, slot))


def meeting(house: House, doctor: Doctor, slot: Slot) -> Intention:
    """Block an hour of a doctor or of a room."""
    on = house.calendar.dates[slot.day]
    start, end = wall_time(on, slot.start), wall_time(on, slot.start + slot.minutes)
    if house.rng.random() < 0.3:
        block = house.ask(BlockTime(room_id=doctor.room, start=start, end=end, reason="Maintenance of the chair"), house.admin)
    else:
        why = house.rng.choice(("Team meeting", "Training", "Dentist's own dentist", "School play"))
        block = house.ask(BlockTime(doctor_id=doctor.id, start=start, end=end, reason=why), doctor.who)
    if house.rng.random() < 0.25:
        yield house.between(house.now + MINUTE, house.calendar.at(slot.day, slot.start) - DAY)
        house.ask(UnblockTime(), house.admin, block, last=True)
        doctor.diary.free(slot)
