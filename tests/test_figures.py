"""Figures: doctors' performance, growth, lifetime value, retention and sources, against an analyst who counts the same events by hand."""

import csv
import io
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec.structs import asdict

from commands.appointments import BookAppointment, ChangeAppointmentStatus
from commands.invoices import RecordPayment, RefundPayment, VoidInvoice
from commands.patients import ChangePatient, RegisterPatient
from domain.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentRemoved,
    AppointmentRescheduled,
    PatientArrived,
    PatientMissed,
    PatientSeated,
)
from domain.erasures import PersonErased
from domain.invoices import Invoice, InvoiceVoided
from domain.kit import PLATFORM
from domain.kit.codec import encode, person
from domain.patients import PatientRegistered
from gateway.figures import twelve_months
from gateway.kit import sheets
from gateway.kit.sheets import SheetTooLong, of_rows, of_structs, sheet
from projections.figures import cohorts, growth, lines_of, performance, sources, value
from projections.kit import PROJECTIONS, tables
from projections.kit.reading import Reading, Wanted
from projections.kit.rows import Change, mapper_of
from projections.lifetimes import lifetimes, whose
from projections.reports import PeriodTooLong, ensure_short
from projections.visits import visits
from schemas.figures import CohortLine, Growth
from schemas.lifetimes import LifetimeRow
from schemas.visits import VisitRow
from tests.chronicle import DAYS, DOCTORS, NOBODY, PATIENTS, SOURCES, Analyst, chronicle, day, month
from tests.clinic import Town
from tests.kit import THIS, facts
from tests.served import served, working

TABLES = ("visits", "lifetimes", "revenue_days", "appointment_days")
ANNE, BEN, NOOR = UUID(int=11), UUID(int=12), UUID(int=101)
MON, TUE = date(2026, 1, 5), date(2026, 1, 6)
NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)


# --- what becomes of a visit


def who(on: date = MON, doctor: UUID = ANNE) -> dict[str, Any]:
    return {"patient_id": NOOR, "doctor_id": doctor, "on": on}


def arranged(on: date = MON, doctor: UUID = ANNE, starts: datetime = NINE, minutes: int = 30) -> dict[str, Any]:
    times = {"start_local": f"{on}T09:00:00", "zone": "UTC", "starts_at": starts, "ends_at": starts + timedelta(minutes=minutes)}
    return who(on, doctor) | {"type": "check-up", **times}


def moved(on: date = TUE, doctor: UUID = BEN, **more: Any) -> AppointmentRescheduled:
    return AppointmentRescheduled(**arranged(on, doctor, **more), was_on=MON, was_doctor_id=ANNE)


def visited(*events: Any, at: tuple[int, ...] = ()) -> VisitRow | None:
    """Fold a visit; `at` are the minutes after nine at which each step was noted."""
    row: VisitRow | None = None
    noted = dict(enumerate(at))
    for n, fact in enumerate(facts(*events)):
        row = visits(row, msgspec.structs.replace(fact, recorded_at=NINE + timedelta(minutes=noted.get(n, 0))))
    return row


booked = AppointmentBooked(**arranged())
COME = (PatientArrived(**who()), PatientSeated(**who()), AppointmentCompleted(**who()))


def test_a_kept_visit_is_measured_from_the_moments_in_which_its_steps_were_noted():
    row = visited(booked, *COME, at=(-600, -7, 3, 28))
    assert row == VisitRow(
        id=THIS, patient_id=NOOR, doctor_id=ANNE, day=MON, starts_at=NINE, minutes=30, status="completed", arrived_at=NINE - timedelta(minutes=7),
        seated_at=NINE + timedelta(minutes=3), wait_seconds=600, delay_seconds=180, chair_seconds=1500, hour=9,
        booked_on=date(2026, 1, 4), lead_days=1)


@pytest.mark.parametrize(("minutes", "late"), [(-2, False), (5, False), (6, True)])
def test_a_start_is_late_when_the_chair_is_taken_more_than_five_minutes_after_what_was_agreed(minutes, late):
    assert visited(booked, *COME, at=(0, 0, minutes, 60)).late == late


def test_a_moved_visit_counts_where_it_ended_up_and_says_that_it_was_moved():
    row = visited(booked, moved(minutes=45), moved(on=MON, doctor=ANNE, minutes=20))
    assert (row.day, row.doctor_id, row.minutes, row.moves) == (MON, ANNE, 20, 2)
    seated = visited(booked, *COME[:2], moved(), COME[2], at=(0, 0, 4, 10, 34))
    assert (seated.doctor_id, seated.chair_seconds, seated.delay_seconds) == (BEN, 30 * 60, 4 * 60)


def test_a_mistake_is_struck_out_and_what_was_missed_stays_missed():
    assert visited(booked, AppointmentRemoved(**who(), was="booked")) is None
    assert visited(booked, PatientMissed(**who()), AppointmentRemoved(**who(), was="no-show")).status == "no-show"
    cancelled = AppointmentCancelled(**who(), by="patient", late=True)
    assert visited(booked, cancelled, AppointmentRemoved(**who(), was="cancelled")).late_cancelled


def test_whatever_is_noted_last_counts_even_against_the_rules_of_today():
    """A visit that is over cannot be cancelled; were it so in some history, it would not be counted as seen."""
    assert visited(booked, *COME, AppointmentCancelled(**who(), by="clinic", late=False)).status == "cancelled"


# --- what a patient has been


def lived(*events: Any) -> dict[UUID, LifetimeRow]:
    rows: dict[UUID, LifetimeRow] = {}
    for fact in facts(*events, id=NOOR, kind="patients"):
        for key in whose(fact):
            rows[key[0]] = lifetimes(rows.get(key[0]), fact, key)
    return rows


def test_visits_noted_out_of_order_have_the_same_first_and_last_day():
    late, early = AppointmentCompleted(**who(TUE, BEN)), AppointmentCompleted(**who(MON, ANNE))
    row = lived(late, early)[NOOR]
    assert (row.visits, row.first_visit, row.first_doctor_id, row.last_visit) == (2, MON, ANNE, TUE)
    assert lived(early, late)[NOOR] == row


def test_whoever_is_forgotten_goes_on_to_count_under_no_name():
    row = lived(PatientRegistered(registered_on=MON, source="search"), PersonErased(person_id=NOOR, kind="patients", persons=[NOOR], reason="x"))[NOOR]
    assert (row.nameless, row.registered_on, row.source) == (True, MON, "search")
    assert lived(PersonErased(person_id=ANNE, kind="staff", persons=[ANNE], reason="x")) == {}


def test_a_void_of_an_earlier_release_that_does_not_say_whose_it_is_counts_for_nobody():
    row = lived(InvoiceVoided(reason="x", voided_on=MON, shares=[]))[PLATFORM]
    assert row.nameless


# --- random histories, on a real database


@pytest.fixture(scope="module")
def rows_of(module_database):
    """Write the rows of a history into a clinic of its own."""
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        tables.install(owner)
    with psycopg.connect(module_database.url("projector"), autocommit=True) as projector:

        def write(history):
            for name in TABLES:
                projection, rows = PROJECTIONS[name], {}
                for fact in history:
                    if type(fact.event).__name__ in projection.topics:
                        for key in projection.keys(fact):
                            rows[fact.clinic, *key] = projection.next(rows.get((fact.clinic, *key)), fact, key)
                mapper = mapper_of(projection.row)
                if changes := [Change(key, row, 1) for key, row in rows.items() if row is not None]:
                    projector.execute(mapper.upsert_sql(name), mapper.encoded(changes))

        yield write


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reading(module_database, rows_of):
    source = Reading(module_database.url("gateway"))
    await source.open()
    yield source
    await source.close()


def read_by_hand(history) -> Analyst:
    """Return an analyst who has been given what lies in the store."""
    key = b"k" * 32
    lines = []
    for fact in history:
        about = person(fact.event, fact.id)
        body = encode(fact.event, event_id=uuid5(fact.id, str(fact.version)), person=about, key=key if about else None)
        lines.append((str(fact.id), fact.recorded_at, {"event": type(fact.event).__name__, **msgspec.json.decode(body)}))
    return Analyst(lines)


def shown(items: Any, *keys: str) -> dict[Any, dict[str, Any]]:
    """Return what is not zero of each item, by key; items without anything are left out."""
    made = {}
    for item in items:
        told = asdict(item)
        key = tuple(told.pop(k) for k in keys)
        if found := {name: v for name, v in told.items() if v and name not in {"day", "month", "doctor_id", "source"}}:
            made[key if len(key) > 1 else key[0]] = found
    return made


def nonzero(**told: Any) -> dict[str, Any]:
    return {name: v for name, v in told.items() if v}


def rate(part: int, whole: int) -> float:
    return round(part / whole + 1e-12, 4) if whole else 0.0


def halves_away(total: int, count: int) -> int:
    return (1 if total >= 0 else -1) * ((2 * abs(total) + count) // (2 * count)) if count else 0


BUCKETS = {None: lambda _: None, "day": lambda on: on, "month": month}


def performed(hand: Analyst, since: date, until: date, by: str | None) -> dict[Any, dict[str, Any]]:
    bucket, made = BUCKETS[by], {}
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    firsts = [first for patient in map(str, PATIENTS) if (first := hand.first(patient))]
    for doctor in [*map(str, DOCTORS), NOBODY]:
        for key in dict.fromkeys(map(bucket, days)):
            def ours(on: date, key: Any = key) -> bool:
                return since <= on <= until and bucket(on) == key

            here = [v for v in hand.visits if v["doctor"] == doctor and ours(v["day"])]
            seen = [v for v in here if v["what"] == "AppointmentCompleted"]
            cancelled = [v for v in here if v["what"] == "AppointmentCancelled"]
            missed = sum(v["what"] == "PatientMissed" for v in here)
            found = nonzero(
                booked=len(here), completed=len(seen), cancelled=len(cancelled), late_cancelled=sum(v["lateCancelled"] for v in cancelled), no_show=missed,
                cancellation_rate=rate(len(cancelled), len(here)), no_show_rate=rate(missed, len(here)), booked_minutes=sum(v["minutes"] for v in here),
                completed_minutes=sum(v["minutes"] for v in seen), chair_minutes=halves_away(sum(v["chair"] for v in seen), 60),
                wait_minutes=halves_away(sum(v["wait"] for v in seen), 60), late_starts=sum(v["late"] for v in seen), measured=len(seen),
                patients=len({v["patient"] for v in seen}), new_patients=sum(f["doctorId"] == doctor and ours(day(f["on"])) for f in firsts),
                **hand.doctors_money(doctor, ours))
            if found:
                made[(UUID(doctor), key) if by else UUID(doctor)] = found
    return made


def grown(hand: Analyst, since: date, until: date, by: str, source: str | None) -> list[Growth]:
    bucket = BUCKETS[by]
    ours = {p for p in hand.patients if source is None or hand.source(p) == source}
    registered = [day(hand.patients[p][0][1]["registeredOn"]) for p in ours]
    firsts = {p: day(first["on"]) for p in ours if (first := hand.first(p))}
    made = []
    for key in dict.fromkeys(bucket(since + timedelta(days=n)) for n in range((until - since).days + 1)):
        new = sum(since <= on <= until and bucket(on) == key for on in registered)
        seen = [v for v in hand.seen if v["patient"] in ours and since <= v["day"] <= until and bucket(v["day"]) == key]
        active = {v["patient"] for v in seen}
        fresh = {p for p in active if since <= firsts[p] <= until and bucket(firsts[p]) == key}
        total = sum(on < since or (on <= until and bucket(on) <= key) for on in registered)
        made.append(Growth(
            **{by: key}, new_patients=new, total=total, visits=len(seen), active=len(active), first_visits=len(fresh), returning=len(active - fresh)))
    return made


def valued(hand: Analyst, patients: list[str]) -> dict[str, Any]:
    money = sum((hand.money(p) for p in patients), Counter[str]())
    people = [p for p in patients if p != NOBODY]
    seen = sum(v["patient"] in people for v in hand.seen)
    received = money["collected"] - money["refunded"]
    return nonzero(
        patients=len(people), came=sum(hand.first(p) is not None for p in people), visits=seen, billed=money["billed"], voided=money["voided"],
        collected=money["collected"], refunded=money["refunded"], received=received, average_received=halves_away(received, len(people)),
        average_visits=halves_away(100 * seen, len(people)) / 100)


def grouped(hand: Analyst, key: Any) -> dict[Any, list[str]]:
    made = defaultdict(list)
    for patient in [*hand.patients, NOBODY]:
        made[key(patient)].append(patient)
    return made


def cohort_of(hand: Analyst, patient: str) -> date | None:
    first = hand.first(patient)
    return month(day(first["on"])) if first else None


def retained(hand: Analyst, since: date, until: date, doctor: str | None, source: str | None) -> dict[date, dict[int, int]]:
    made: dict[date, dict[int, int]] = defaultdict(Counter)
    for patient in hand.patients:
        first = hand.first(patient)
        if first and since <= day(first["on"]) <= until and doctor in {None, first["doctorId"]} and source in {None, hand.source(patient)}:
            cohort = month(day(first["on"]))
            for months in {12 * (v["day"].year - cohort.year) + v["day"].month - cohort.month for v in hand.seen if v["patient"] == patient}:
                made[cohort][months] += 1
    return made


ends = st.sampled_from([on.date() + timedelta(days=n) for on in DAYS for n in (0, 1)])
spans = st.tuples(ends, ends).map(sorted)


@pytest.mark.asyncio(loop_scope="module")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@forall(seed=st.integers(0, 2**32), span=spans, source=st.sampled_from(SOURCES), doctor=st.sampled_from([None, *DOCTORS]))
async def test_every_figure_is_what_an_analyst_counts_by_hand(rows_of, reading, seed, span, source, doctor):
    since, until = span
    clinic = uuid4()
    history = chronicle(Random(seed), clinic)
    rows_of(history)
    hand, reader = read_by_hand(history), await reading.of(clinic)

    for by in (None, "day", "month"):
        expected = performed(hand, since, until, by)
        keys = ("doctor_id", by) if by else ("doctor_id",)
        assert shown(await performance(reader, since, until, by, None, None, money=True), *keys) == expected
        if doctor:
            one = {key: told for key, told in expected.items() if doctor in {key, *(key if by else ())}}
            assert shown(await performance(reader, since, until, by, doctor, None, money=True), *keys) == one
            assert shown(await performance(reader, since, until, by, None, doctor, money=True), *keys) == one
    for by in ("day", "month"):
        assert await growth(reader, since, until, by, source) == grown(hand, since, until, by, source)

    whole = await value(reader, None, None, None, None, "EUR")
    assert (found := shown([whole], "currency")["EUR"]) == valued(hand, [*hand.patients, NOBODY])
    assert {n: found.get(n, 0) for n in ("billed", "voided", "collected", "refunded")} == {n: hand.money()[n] for n in ("billed", "voided", "collected", "refunded")}
    by_month = {key: told for key, ps in grouped(hand, lambda p: None if p == NOBODY else cohort_of(hand, p)).items() if (told := valued(hand, ps))}
    assert shown((await value(reader, None, None, "month", None, "EUR")).groups, "month") == by_month
    by_source = {key: told for key, ps in grouped(hand, lambda p: None if p == NOBODY else hand.source(p)).items() if (told := valued(hand, ps))}
    assert shown((await value(reader, None, None, "source", None, "EUR")).groups, "source") == by_source

    found = await cohorts(reader, since, until, doctor, None, source, date(2026, 4, 30))
    expected = retained(hand, since, until, str(doctor) if doctor else None, source)
    assert {one.month: {cell.since: cell.patients for cell in one.months if cell.patients} for one in found} == expected
    assert all(one.months[0] == type(one.months[0])(since=0, patients=one.patients, share=1.0) for one in found)
    assert all(len(one.months) == 12 * (2026 - one.month.year) + 4 - one.month.month + 1 for one in found)

    ours = [p for p in hand.patients if since <= day(hand.patients[p][0][1]["registeredOn"]) <= until]
    expected = {}
    for key in {hand.source(p) for p in ours} & ({source} if source else {*SOURCES}):
        told = valued(hand, [p for p in ours if hand.source(p) == key])
        whole_ = len([p for p in ours if source in {None, hand.source(p)}])
        left_out = {"collected", "refunded", "average_visits"}
        expected[key] = {n: v for n, v in told.items() if n not in left_out} | {"share": rate(told["patients"], whole_)}
    assert shown(await sources(reader, since, until, source, money=True), "source") == expected

    rows = {str(row.patient_id): row for row in await reader.find(LifetimeRow)}
    assert {p for p, row in rows.items() if row.nameless} - {NOBODY} == hand.erased & rows.keys()
    for patient in hand.patients:
        row, told, first = rows[patient], hand.money(patient), hand.first(patient)
        assert (row.invoices, row.payments, row.billed, row.collected - row.refunded) == (
            told["invoices"], told["payments"], told["billed"], row.received)
        assert row.source == hand.source(patient)
        assert (row.first_visit, row.first_doctor_id) == ((day(first["on"]), UUID(first["doctorId"])) if first else (None, None))
        assert row.last_visit == max((v["day"] for v in hand.seen if v["patient"] == patient), default=None)


# --- over HTTP


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clinic(module_database, rows_of, make_nats):
    """A clinic in which two patients were seen, one of them by two doctors, and billed."""
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        town = await Town.open(web.services.handler)
        town.noor = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", source="recommendation"))).id
        town.ben = (await town(RegisterPatient(given_name="Ben", family_name="Smit"))).id
        await town(ChangePatient(given_name="Ben", family_name="Smit", source="search"), id=town.ben)
        town.other = await town.hire("Dr Bo Smit")
        await kept(town, town.noor, town.doctor, 0, minutes=32)
        await kept(town, town.noor, town.other, 60, minutes=15)
        await kept(town, town.ben, town.other, 120, minutes=10)
        town.patient = town.noor
        bill = await town.invoice(100_00)
        await town(RecordPayment(amount=100_00, method="card"), id=bill)
        await town(RefundPayment(payment_id=Invoice().next_payment(bill), amount=30_00, reason="Chipped"), id=bill)
        void = await town.invoice(7_00)
        town.last = await town(VoidInvoice(reason="Twice"), id=void)
        town.web, town.boss = web, await web.person(town.id, "admin")
        yield town


async def kept(town: Town, patient: UUID, doctor: UUID, at: int, minutes: int) -> None:
    """Have a patient seen a week ahead, for so many minutes and as many late as it is short of half an hour."""
    visit = (await town(BookAppointment(doctor_id=doctor, patient_id=patient, start=town.at(at), duration=30, type="check-up"))).id
    start = town.at(at).replace(tzinfo=UTC) - timedelta(hours=1)  # as the clock stands in Amsterdam in January
    for status, when in (("arrived", -5), ("in-chair", 30 - minutes), ("completed", 30)):
        await town(ChangeAppointmentStatus(status=status), id=visit, now=start + timedelta(minutes=when))


async def asked(town: Town, path: str, somebody: Any = None, **query: Any) -> Any:
    answer = await (somebody or town.boss)("GET", f"/analytics/{path}", params=query, headers={"x-position": str(town.last.position)})
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline=""))) if query.get("format") == "csv" else answer.json()


WEEK = {"from": "2026-01-01", "to": "2026-01-31"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_doctors_figures_of_a_month(clinic):
    told = await asked(clinic, "doctor-performance", **WEEK)
    assert (told["from"], told["to"], told["currency"]) == ("2026-01-01", "2026-01-31", "EUR")
    first, other = ({item["doctorId"]: item for item in told["items"]}[str(doctor)] for doctor in (clinic.doctor, clinic.other))
    assert (first["completed"], first["newPatients"], first["chairMinutes"], first["waitMinutes"], first["lateStarts"], first["bookedMinutes"]) == (1, 1, 32, 3, 0, 30)
    assert (first["billed"], first["voided"], first["collected"], first["refunded"]) == (107_00, 7_00, 100_00, 30_00)
    assert (other["completed"], other["patients"], other["newPatients"], other["chairMinutes"], other["lateStarts"]) == (2, 2, 1, 25, 2)
    by_day = await asked(clinic, "doctor-performance", groupBy="day", doctorId=str(clinic.other), **WEEK)
    assert [(item["day"], item["completed"]) for item in by_day["items"]] == [("2026-01-12", 2)]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_sees_no_money_and_who_sees_only_themselves(clinic):
    desk = await clinic.web.person(clinic.id, "receptionist")
    items = (await asked(clinic, "doctor-performance", desk, **WEEK))["items"]
    assert {item["collected"] for item in items} == {None}
    assert {item["received"] for item in (await asked(clinic, "referral-sources", desk))["items"]} == {None}
    assert (await desk("GET", "/analytics/patient-ltv")).status_code == (await desk("GET", "/analytics/patient-ltv/summary")).status_code == 403
    me = await clinic.web.person(clinic.id, "doctor", clinic.other)
    template = {"permissions": {"appointments.view_all_doctors": False}}
    assert (await clinic.boss("PUT", "/clinic/permission-templates/doctor", template)).is_success
    assert [item["doctorId"] for item in (await asked(clinic, "doctor-performance", me, **WEEK))["items"]] == [str(clinic.other)]
    assert (await asked(clinic, "doctor-performance", me, doctorId=str(clinic.doctor), **WEEK))["items"] == []
    assert {visit["doctorId"] for visit in (await asked(clinic, "visits", me))["items"]} == {str(clinic.other)}
    assert [one["patients"] for one in (await asked(clinic, "cohort", me, year=2026))["items"]] == [1]


@pytest.mark.asyncio(loop_scope="module")
async def test_growth_sources_and_cohorts_of_a_clinic(clinic):
    (grown,) = (await asked(clinic, "patient-growth", groupBy="month", **WEEK))["items"]
    assert grown == {"day": None, "month": "2026-01-01", "newPatients": 3, "total": 3, "visits": 3, "active": 2, "firstVisits": 2, "returning": 0}
    days = (await asked(clinic, "patient-growth", **WEEK))["items"]
    assert len(days) == 31
    assert {item["day"]: item["active"] for item in days if item["active"]} == {"2026-01-12": 2}
    told = {item["source"]: item for item in (await asked(clinic, "referral-sources"))["items"]}
    assert {source: (item["patients"], item["came"], item["received"]) for source, item in told.items()} == {
        "recommendation": (1, 1, 70_00), "search": (1, 1, 0), None: (1, 0, 0)}
    (cohort,) = (await asked(clinic, "cohort", year=2026, source="search"))["items"]
    assert (cohort["month"], cohort["patients"], cohort["months"][0]) == ("2026-01-01", 1, {"since": 0, "patients": 1, "share": 1.0})


@pytest.mark.asyncio(loop_scope="module")
async def test_a_sheet_says_what_the_json_says(clinic):
    for path, query, items in [
        ("doctor-performance", WEEK, "items"), ("patient-growth", {**WEEK, "groupBy": "month"}, "items"), ("patient-ltv", {}, "items"), ("visits", {}, "items"),
        ("revenue", {}, "items"), ("appointments", {}, "items"),
        ("patient-ltv/summary", {"groupBy": "source"}, "groups"), ("referral-sources", {}, "items"),
    ]:
        told, lines = (await asked(clinic, path, **query))[items], await asked(clinic, path, **query, format="csv")
        plain = [{name: "" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for name, v in item.items()} for item in told]
        assert lines == plain, path
        assert len(lines) >= 1
    cells = [(line["month"], int(line["since"]), int(line["seen"])) for line in await asked(clinic, "cohort", year=2026, format="csv")]
    assert cells[0] == ("2026-01-01", 0, 2)
    answer = await clinic.boss("GET", "/analytics/visits", params={"format": "csv", "limit": 1})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="visits.csv"'
    assert answer.text.count("\r\n") == 4, "a sheet is the whole list"
    assert (await clinic.boss("GET", "/analytics/visits", params={"format": "xml"})).json()["code"] == "QUERY_INVALID"


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_was_forgotten_is_in_the_sums_and_in_no_list(clinic):
    before, listed = await asked(clinic, "patient-ltv/summary"), await asked(clinic, "patient-ltv", sort="-received")
    assert listed["items"][0]["patientId"] == str(clinic.noor)
    gone = await clinic.boss("POST", "/privacy/erasures", {"personId": str(clinic.noor), "reason": "She asked", "despiteRetention": True})
    assert gone.status_code in {200, 201}, gone.text
    seen = {"x-position": gone.headers["x-position"]}
    assert (await clinic.boss("GET", "/analytics/patient-ltv/summary", headers=seen)).json() == before
    assert (before["patients"], before["came"], before["received"], before["averageReceived"]) == (3, 2, 70_00, 23_33)
    rest = (await clinic.boss("GET", "/analytics/patient-ltv", headers=seen)).json()["items"]
    assert {item["patientId"] for item in rest} == {item["patientId"] for item in listed["items"]} - {str(clinic.noor)}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_impossible_stretch_and_a_strangers_doctor_are_refused(clinic):
    too_long = {"from": "2010-01-01", "to": "2026-01-01", "groupBy": "day"}
    for path in ("doctor-performance", "patient-growth"):
        assert (await clinic.boss("GET", f"/analytics/{path}", params=too_long)).json()["code"] == "PERIOD_TOO_LONG"
        assert (await clinic.boss("GET", f"/analytics/{path}", params={"from": "2026-02-01", "to": "2026-01-01"})).json()["code"] == "PERIOD_IMPOSSIBLE"
    assert (await clinic.boss("GET", "/analytics/doctor-performance", params={"doctorId": str(uuid4())})).status_code == 404
    ensure_short(date(2010, 1, 1), date(2026, 1, 1), "month")
    with pytest.raises(PeriodTooLong):
        ensure_short(date(2010, 1, 1), date(2026, 1, 1), "day")


def test_a_year_of_cohorts_begins_eleven_months_back():
    assert twelve_months(date(2026, 11, 27)) == date(2025, 12, 1)
    assert twelve_months(date(2026, 12, 31)) == date(2026, 1, 1)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_sheet_has_every_page_of_its_list_and_an_end(rows_of, reading, monkeypatch):
    clinic = uuid4()
    rows_of(chronicle(Random(4), clinic))
    reader, wanted = await reading.of(clinic), Wanted(sort="received", descending=True)
    whole = await of_rows(reader, LifetimeRow, wanted)
    monkeypatch.setattr(sheets, "PAGE", 1)
    assert await of_rows(reader, LifetimeRow, wanted) == whole
    assert whole.count(b"\r\n") == 1 + len(await reader.find(LifetimeRow)) > 4
    monkeypatch.setattr(sheets, "MOST", 3)
    with pytest.raises(SheetTooLong):
        await of_rows(reader, LifetimeRow, wanted)


def test_a_text_that_looks_like_a_formula_is_none_in_a_sheet():
    told = sheet(["a", "b"], [{"a": '=cmd|"/c calc"', "b": -5}, {"a": "x,\n", "b": None}])
    assert told == b'a,b\r\n"\'=cmd|""/c calc""",-5\r\n"x,\n",\r\n'
    assert of_structs(CohortLine, []) == b"month,patients,since,seen,share\r\n"
    assert list(lines_of([])) == []
