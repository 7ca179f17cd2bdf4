"""How patients come to the clinic: they call, are booked, think better of it, come or do not, and are asked back."""

import unicodedata
from datetime import date, timedelta
from heapq import heappop
from itertools import accumulate

from anamnesis.demo.billing import bill
from anamnesis.demo.days import Slot, first, runs
from anamnesis.demo.house import DAY, HISTORY, MINUTE, Doctor, House, Household, Intention, Patient, Wish, wall_time
from anamnesis.demo.places import KINDS, Kind
from commands.appointments import BookAppointment, ChangeAppointment, ChangeAppointmentStatus, RemoveAppointment
from commands.patients import ArchivePatient, ChangeMedicalHistory, ChangePatient, RegisterPatient, RestorePatient
from domain.patients import MedicalEntry

KIND = {kind.name: kind for kind in KINDS}
HOUR = 60 * MINUTE
EARLY = 5  # days after the opening on which the telephone is answered
NOTES = (
    "Prefers mornings.", "Anxious; allow time.", "Needs wheelchair access.", "Asks for a quotation.", "Comes with an interpreter.",
    "Pain on the upper left.", "Sensitive to cold.", "Will bring earlier x-rays – from Köln.", "Spreekt alleen Nederlands.", "Bitte pünktlich: Zug um 10:40.",
)
SQUEEZES = ("Acute pain, cannot wait", "Broken tooth", "Lost crown before a wedding", "Swelling, seen between two patients")
WHY_NOT = ("Ill", "Work", "No childcare", "Train strike", "Feels better", "Forgot about another appointment", "Snow")
WHY_WE_CANNOT = ("Doctor is ill", "Chair out of order", "Power cut")
ALLERGIES = ("Penicillin", "Latex", "Lidocaine", "Ibuprofen", "Chlorhexidine", "Birch pollen")
CONDITIONS = ("Hypertension", "Diabetes mellitus type 2", "Asthma", "Atrial fibrillation", "Pregnancy", "Bruxism", "Osteoporosis", "Ménière's disease")
MEDICATIONS = ("Metformin 500 mg", "Amlodipine 5 mg", "Apixaban 5 mg", "Salbutamol", "Levothyroxine 75 µg", "Omeprazole 20 mg")


def telephone(house: House) -> Intention:
    """Answer as many calls a day as the clinic's size asks for, the later the more."""
    weights = [house.scale.growth ** (day / HISTORY) if house.calendar.open[day] and day >= EARLY else 0.0 for day in range(HISTORY + 1)]
    total = house.scale.bookings * house.place.share / sum(weights)
    planned = [int(done) for done in accumulate((weight * total for weight in weights), initial=0.5)]
    for day in range(EARLY, HISTORY + 1):
        for instant in sorted(house.some_time(day) for _ in range(planned[day + 1] - planned[day])):
            yield instant
            answer(house)


def answer(house: House) -> None:
    """Book whoever calls: most often somebody known, else somebody new, perhaps with a family."""
    if house.calls and house.calls[0][0] <= house.today and not house.decks.newcomer.deal():
        patient, wish = heappop(house.calls)[2:]
    else:
        patient, wish = newcomers(house)
    house.start(visit(house, patient, wish))


def newcomers(house: House) -> tuple[Patient, Wish]:
    """Register a household; the first of them is on the telephone, the others will be next."""
    rng, place = house.rng, house.place
    size = house.decks.household.deal()
    address = f"{rng.choice(place.streets)} {rng.randrange(1, 240)}, {rng.choice(place.towns)}"
    household = Household(rng.choice(place.families), address, f"{place.dial} {rng.randrange(100_000, 1_000_000)}", house.decks.source.deal())
    family = [register(house, household, child=number > 1) for number in range(size)]
    for patient in family[1:]:
        house.call(patient, Wish(wanted(house), 10), 0)
    return family[0], Wish(wanted(house), rng.randrange(3, 25))


def register(house: House, household: Household, *, child: bool) -> Patient:
    """Register one patient."""
    rng, place = house.rng, house.place
    sex = rng.choice(("female", "male"))
    given = rng.choice(place.women if sex == "female" else place.men)
    age = rng.randrange(4, 17) if child else int(rng.triangular(19, 88, 42))
    birth = house.calendar.dates[house.today] - timedelta(days=age * 365 + rng.randrange(365))
    email = None if child or rng.random() < 0.15 else address_of(given, household.family, len(house.patients))
    patient = Patient(house.id(), household, given, sex, birth, email)
    patient.recall = rng.choice((90, 180, 180, 180, 365))
    patient.stays = not house.patients
    house.patients.append(patient)
    house.ask(RegisterPatient(**particulars(patient)), house.desk(), patient.id)  # type: ignore[arg-type]
    return patient


def particulars(patient: Patient) -> dict[str, object]:
    """Return what is known of a patient."""
    home = patient.household
    return {
        "given_name": patient.given, "family_name": home.family, "birth_date": patient.birth, "sex": patient.sex, "email": patient.email,
        "phone": home.phone, "address": home.address, "source": home.source,
    }


def address_of(given: str, family: str, number: int) -> str:
    """Return an e-mail address in plain letters."""
    plain = unicodedata.normalize("NFKD", f"{given}.{family}").encode("ascii", "ignore").decode()
    letters = "".join(c for c in plain.lower() if c.isalnum() or c == ".").strip(".")
    return f"{letters or 'post'}{number}@mail.example"


def wanted(house: House) -> Kind:
    """Return what somebody comes for."""
    return KIND[house.decks.kinds.deal()]


class Visit:
    """One appointment on its way."""

    def __init__(self, house: House, patient: Patient, kind: Kind, doctor: Doctor, slot: Slot) -> None:
        self.house = house
        self.patient = patient
        self.kind = kind
        self.doctor = doctor
        self.squeezed = False
        self.notes: str | None = None
        self.place(doctor, slot)
        self.id = house.id()

    def place(self, doctor: Doctor, slot: Slot) -> None:
        self.doctor = doctor
        self.slot = slot
        self.start = self.house.calendar.at(slot.day, slot.start)

    def fields(self) -> dict[str, object]:
        """Return time and place as they are asked for."""
        start = wall_time(self.house.calendar.dates[self.slot.day], self.slot.start)
        return {
            "doctor_id": self.doctor.id, "room_id": self.doctor.room, "type": self.kind.name, "start": start, "duration": self.slot.minutes,
            "notes": self.notes,
        }

    def status(self, status: str, *, by_doctor: bool = False, last: bool = False, **more: str) -> None:
        """Move it along."""
        who = self.doctor.who if by_doctor else self.house.desk()
        begins = self.house.opens_queue() if status == "arrived" else None
        self.house.ask(ChangeAppointmentStatus(status=status, **more), who, self.id, last=last, begins=begins)  # type: ignore[arg-type]

    def take(self) -> None:
        self.doctor.diary.take(self.slot, squeeze=self.squeezed)

    def leave(self) -> None:
        self.doctor.diary.free(self.slot, squeeze=self.squeezed)


def visit(house: House, patient: Patient, wish: Wish) -> Intention:
    """Book a visit, and see what becomes of it."""
    found = booked(house, patient, wish)
    if found is None:
        house.call(patient, wish, 5)
        return
    yield from second_thoughts(house, found)
    outcome = house.decks.outcome.deal()
    if outcome == "kept":
        yield from kept(house, found)
        return
    if outcome == "missed":
        yield from missed(house, found)
    elif outcome == "removed":
        yield from removed(house, found)
    else:
        yield from cancelled(house, found, late=outcome == "cancelled late")
    found.leave()
    if house.rng.random() < 0.75 or patient.stays:
        house.call(patient, wish, house.rng.randrange(2, 15))


def booked(house: House, patient: Patient, wish: Wish) -> Visit | None:
    """Find a time and book it."""
    minutes = house.rng.choice(wish.kind.minutes)
    doctor, slot = squeeze(house, minutes) if wish.kind.name == "pain" and house.decks.squeezed.deal() else (None, None)
    squeezed = slot is not None
    if slot is None or doctor is None:
        doctor, slot = free_time(house, patient, house.today + wish.days, minutes)
    if slot is None or doctor is None:
        return None
    made = Visit(house, patient, wish.kind, doctor, slot)
    made.squeezed = squeezed
    made.notes = house.rng.choice(NOTES) if house.decks.noted.deal() else None
    made.take()
    home = patient.household
    home.day, home.start, home.doctor = slot.day, slot.start + slot.minutes, doctor
    patient.doctor = patient.doctor or doctor
    by = doctor.who if house.rng.random() < 0.15 else house.desk()
    more = {"overbook": True, "reason": house.rng.choice(SQUEEZES)} if squeezed else {}
    house.ask(BookAppointment(patient_id=patient.id, **made.fields(), **more), by, made.id)  # type: ignore[arg-type]
    return made


def squeeze(house: House, minutes: int) -> tuple[Doctor | None, Slot | None]:
    """Return a time of the next days that is taken already."""
    for doctor in house.rng.sample(house.doctors, len(house.doctors)):
        diary = doctor.diary
        for day in range(house.today + 1, house.today + 4) if doctor.active else ():
            if starts := runs(diary.hours[day], minutes // 5) & diary.taken[day] & diary.grid:
                slot = diary.slot(day, first(starts) * 5, minutes)
                if not diary.squeezed[day] & slot.mask:
                    return doctor, slot
    house.decks.squeezed.put_back(True)
    return None, None


def free_time(house: House, patient: Patient, day: int, minutes: int) -> tuple[Doctor | None, Slot | None]:
    """Return a free time from a day on, best with the patient's own doctor, and beside the family."""
    home, rng = patient.household, house.rng
    earliest = rng.choice((0, 0, 10 * 60, 13 * 60, 15 * 60))
    own = patient.doctor
    if home.doctor and house.today < home.day and abs(home.day - day) < 12:
        own, day, earliest = home.doctor, home.day, home.start
    if day <= house.today:
        day, earliest = house.today, max(earliest, house.calendar.minute(house.now) + 30)
    others = rng.sample(house.doctors, min(5, len(house.doctors)))
    for doctor in (own, *others) if own else others:
        if doctor.active and (slot := first_free(doctor, day, minutes, earliest)):
            return doctor, slot
    return None, None


def first_free(doctor: Doctor, day: int, minutes: int, earliest: int) -> Slot | None:
    """Return the doctor's first free time within two weeks."""
    diary = doctor.diary
    if slot := diary.find(day, minutes, earliest=earliest):
        return slot
    for later in range(day + 1, day + 15):
        if slot := diary.find(later, minutes, earliest=earliest) or diary.find(later, minutes):
            return slot
    return None


def second_thoughts(house: House, visit: Visit) -> Intention:
    """Another time suits better, once or twice; or there is something to add."""
    moves = house.decks.moved.deal()
    if moves and visit.start - house.now < DAY + 2 * HOUR:
        house.decks.moved.put_back(moves)
        moves = 0
    for _ in range(moves):
        yield house.between(house.now + HOUR, visit.start - HOUR)
        move(house, visit)
    if visit.start - house.now > DAY and house.decks.edited.deal():
        yield house.between(house.now + MINUTE, visit.start - 2 * HOUR)
        visit.notes = house.rng.choice(NOTES)
        house.ask(ChangeAppointment(**visit.fields()), house.desk(), visit.id)  # type: ignore[arg-type]


def move(house: House, visit: Visit) -> None:
    """Move a visit to another time."""
    visit.leave()
    day = max(house.today + 1, visit.slot.day + house.rng.choice((-3, -1, 1, 2, 5, 7, 9)))
    doctor, slot = free_time(house, visit.patient, day, visit.slot.minutes)
    if doctor is None or slot is None or slot == visit.slot:
        visit.take()
        return
    visit.squeezed = False
    visit.place(doctor, slot)
    visit.take()
    house.ask(ChangeAppointment(**visit.fields()), house.desk(), visit.id)  # type: ignore[arg-type]


def confirmed(house: House, visit: Visit) -> Intention:
    """Confirm by telephone, a day or two before."""
    if visit.start - house.now > 3 * HOUR and house.decks.confirmed.deal():
        yield house.between(max(house.now + MINUTE, visit.start - 2 * DAY), visit.start - HOUR)
        visit.status("confirmed")


def cancelled(house: House, visit: Visit, *, late: bool) -> Intention:
    """Cancel in good time, or late."""
    if late or visit.start - house.now < 2 * DAY:
        yield house.between(max(house.now + MINUTE, visit.start - 20 * HOUR), visit.start - MINUTE)
    else:
        yield house.between(house.now + HOUR, visit.start - DAY - HOUR)
    ours = house.decks.by_clinic.deal()
    why = house.rng.choice(WHY_WE_CANNOT if ours else WHY_NOT)
    visit.status("cancelled", reason=why, cancelled_by="clinic" if ours else "patient", last=True)


def missed(house: House, visit: Visit) -> Intention:
    """Do not come."""
    yield from confirmed(house, visit)
    yield visit.start + 25 * MINUTE
    visit.status("no-show", last=True)


def removed(house: House, visit: Visit) -> Intention:
    """It was a mistake: strike it out."""
    yield min(house.now + 20 * MINUTE, visit.start - MINUTE)
    house.ask(RemoveAppointment(), house.desk(), visit.id, last=True)


def kept(house: House, visit: Visit) -> Intention:
    """Come, be seen, pay, and be asked back."""
    rng, doctor = house.rng, visit.doctor
    yield from confirmed(house, visit)
    doctor = visit.doctor
    yield max(house.now + MINUTE, visit.start - rng.randrange(-4, 16) * MINUTE)
    visit.status("arrived")
    yield max(house.now + MINUTE, visit.start + rng.randrange(-3, 5) * MINUTE, doctor.free_at if doctor.free_at < visit.start + HOUR else 0)
    visit.status("in-chair", by_doctor=True)
    ends = house.now + int(visit.slot.minutes * MINUTE * rng.uniform(0.7, 0.95))
    doctor.free_at = ends
    if not visit.patient.known or house.decks.amended.deal():
        yield house.now + 3 * MINUTE
        take_history(house, visit)
    yield ends
    visit.status("completed", by_doctor=True, last=True)
    house.start(bill(house, visit.patient, doctor, visit.kind), house.now + rng.randrange(2, 9) * MINUTE)
    come_again(house, visit)


def take_history(house: House, visit: Visit) -> None:
    """Write down what the doctor must know."""
    visit.patient.known = True
    today, rng = house.calendar.dates[house.today], house.rng

    def some(of: tuple[str, ...], most: int) -> list[MedicalEntry]:
        names = rng.sample(of, rng.randrange(most))
        return [MedicalEntry(name=name, since=date(today.year - rng.randrange(1, 20), 1, 1) if rng.random() < 0.3 else None) for name in names]

    asked = ChangeMedicalHistory(allergies=some(ALLERGIES, 3), conditions=some(CONDITIONS, 3), medications=some(MEDICATIONS, 3))
    house.ask(asked, visit.doctor.who, visit.patient.id)


def come_again(house: House, visit: Visit) -> None:
    """Agree on what comes next: more work soon, a check-up in some months, or nothing any more."""
    patient, kind, rng = visit.patient, visit.kind, house.rng
    if house.decks.changed.deal():
        patient.household.phone = f"{house.place.dial} {rng.randrange(100_000, 1_000_000)}"
        house.ask(ChangePatient(**particulars(patient)), house.desk(), patient.id)  # type: ignore[arg-type]
    if kind.then and rng.random() < 0.8:
        house.call(patient, Wish(KIND[rng.choice(kind.then)], rng.randrange(6, 15)), 0)
    elif house.decks.lost.deal() and not patient.stays:
        if house.decks.gone.deal() or rng.random() < 0.5:
            house.start(farewell(house, patient))
    else:
        ahead = rng.randrange(10, 36)
        house.call(patient, Wish(wanted(house), ahead), max(1, patient.recall + rng.randrange(-20, 30) - ahead))


def farewell(house: House, patient: Patient) -> Intention:
    """Move away, and perhaps come back."""
    yield house.some_time(house.calendar.opening(house.today + house.rng.randrange(40, 90)))
    house.ask(ArchivePatient(), house.admin, patient.id)
    if house.decks.returns.deal():
        yield house.some_time(house.calendar.opening(house.today + house.rng.randrange(30, 120)))
        house.ask(RestorePatient(), house.admin, patient.id)
        house.call(patient, Wish(KIND["checkup"], 10), 0)
