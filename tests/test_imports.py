"""Patients come in from another program's list, and go out as one."""

import asyncio
import csv
import io
import time
from contextlib import suppress
from datetime import date
from uuid import UUID

import psycopg
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

import gateway.imports
from commands.import_runs import TakeImported
from domain.imports import DatesAmbiguous, Draft, Flaw, HeadersUnclear, TooManyRows, read
from domain.kit import Invalid
from domain.kit.delimited import MOST_CELLS, MOST_CHARACTERS, TableUnreadable, guarded, unguarded
from domain.patients import Demographics
from gateway.import_runs import Work, patient_of, seen_to, tend
from gateway.imports import LIMIT
from gateway.kit.sheets import sheet
from projections.import_runs import waiting
from tests.served import failure, until

TODAY = date(2026, 1, 5)
RUN, TRY, OUT = "/patients/imports/run", "/patients/imports/validate", "/patients/export.csv"
COUNTS = ("rows", "created", "changed", "unchanged", "duplicates", "rejected")
DUTCH = (
    "Patiëntnummer;Voornaam;Achternaam;Geboortedatum;Geslacht;Telefoon;Allergieën;Schoenmaat\r\n"
    '1;Noor;Bakker;17-05-90;v;(020) 123 45 67;"Penicilline\nLatex, puder";38\r\n'
    ";;;;;;;\r\n\r\n"
    "2;Tim;de Vries;03-04-27;m;0031 6 1234 5678;noten | wespen;\r\n"
    "3;;Kwijt;;;;;\r\n"
    "4;Eva;Smit;31-02-1990;;;;\r\n"
    "5;Jan;Jong;;;geen;;\r\n"
)


def rows(text, mapping=None, dates="auto", encoding="utf-8"):
    return read(text.encode(encoding), mapping or {}, dates, TODAY).rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_a_list_is_read_whatever_program_wrote_it(encoding, ends):
    found = read(DUTCH.replace("\r\n", ends).encode(encoding), {}, "auto", TODAY)
    assert (found.delimiter, found.dates, found.ignored) == (";", "dmy", ["Schoenmaat"])
    noor, tim, lost, eva, jan = found.rows
    assert noor.person == Demographics(given_name="Noor", family_name="Bakker", birth_date=date(1990, 5, 17), sex="female", phone="020 123 45 67", external_id="1")
    assert (noor.external_id, [one.name for one in noor.lists["allergies"]]) == ("1", ["Penicilline", "Latex, puder"])
    assert (tim.person.birth_date, tim.person.phone, [one.name for one in tim.lists["allergies"]]) == (date(1927, 4, 3), "+31 6 1234 5678", ["noten", "wespen"])
    assert [(one.line, one.column, one.code) for one in (lost, eva, jan)] == [
        (7, "Voornaam", "NAME_MISSING"), (8, "Geboortedatum", "DATE_IMPOSSIBLE"), (9, "Telefoon", "PHONE_INVALID")]


def test_names_in_one_column_and_headers_that_only_the_client_knows():
    (one, two) = rows('Klant,E-Mail\n"Bakker, Noor",noor@example.org\nTim de Vries,\n', {"Klant": "fullName"})
    assert (one.person.given_name, one.person.family_name, one.person.email) == ("Noor", "Bakker", "noor@example.org")
    assert (two.person.given_name, two.person.family_name) == ("Tim", "de Vries")
    with pytest.raises(HeadersUnclear) as refused:
        rows("Klant,E-Mail\nNoor Bakker,\n")
    assert refused.value.details["headers"] == ["Klant", "E-Mail"]
    with pytest.raises(HeadersUnclear):
        rows("naam\nNoor Bakker\n", {"klant": "fullName"})


@pytest.mark.parametrize(("dates", "born"), [
    (["03/04/1980", "25/12/1981"], date(1980, 4, 3)), (["03/04/1980", "12/25/1981"], date(1980, 3, 4)), (["03.03.1980"], date(1980, 3, 3)),
    (["1980-04-03"], date(1980, 4, 3)), (["19800403"], date(1980, 4, 3)), (["1980-04-03T00:00:00"], date(1980, 4, 3)),
])
def test_one_date_that_can_only_be_read_one_way_decides_for_the_column(dates, born):
    first = rows("name,dob\n" + "".join(f"Noor Bakker,{text}\n" for text in dates))[0]
    assert first.person.birth_date == born


@pytest.mark.parametrize("dates", [["03/04/1980"], ["25/12/1981", "12/25/1981"]])
def test_dates_that_may_be_either_are_refused_until_somebody_says(dates):
    text = "name,dob\n" + "".join(f"Noor Bakker,{one}\n" for one in dates)
    with pytest.raises(DatesAmbiguous):
        rows(text)
    assert isinstance(rows(text, dates="dmy")[0], Draft)


@forall(st.dates(date(1926, 1, 6), TODAY))
def test_a_year_of_two_digits_is_the_latest_that_is_not_in_the_future(born):
    (found,) = rows(f"name,dob\nNoor Bakker,{born:%d-%m-%y}\n", dates="dmy")
    assert found.person.birth_date == born


def test_nobody_is_born_in_the_future():
    (found,) = rows("name,dob\nNoor Bakker,2026-01-06\n")
    assert (found.line, found.code) == (2, "BIRTH_DATE_IMPOSSIBLE")


def test_every_entry_of_a_list_is_taken():
    names = [f"Pollen {n}" for n in range(40)]
    for mark in ("\n", "|", ";", ", "):
        (found,) = rows(f'name,allergies\nNoor Bakker,"{mark.join(names)}"\n')
        assert [one.name for one in found.lists["allergies"]] == names


def test_one_bad_row_spoils_no_other():
    found = rows('name,notes\nNoor Bakker,"a" b\nTim Vries,one,two\nEva Smit,"two\nlines"\n')
    assert [(one.line, one.code) for one in found if isinstance(one, Flaw)] == [(2, "QUOTES_BROKEN"), (3, "TOO_MANY_CELLS")]
    assert (found[2].line, found[2].person.notes) == (4, "two\nlines")


@pytest.mark.parametrize(("raw", "line"), [
    (b"name\nNo\0or Bakker\n", 2), (b"name\nNoor Bakker\nZo\xc3\xab Vos\nZo\xeb Vos\n", 3), (b'name\nNoor Bakker\n"Tim\n' + b"x\n" * 5000, 3), (b'name\n"Tim', 2),
    (b"name\n" + b"x" * (MOST_CHARACTERS + 1), 2), (b"name\n" + b"," * (MOST_CELLS + 1), 2), (b"n" * (8 << 20), 1), (b"," * 10_000 + b"\n", 1), (b"\xff\xfen", 1),
])
def test_what_is_no_table_is_refused_with_the_line(raw, line):
    with pytest.raises(Invalid) as refused:
        read(raw, {}, "auto", TODAY)
    assert isinstance(refused.value, TableUnreadable), refused.value
    assert refused.value.details["line"] == line


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_headers_is_refused(raw):
    with pytest.raises(HeadersUnclear):
        read(raw, {}, "auto", TODAY)


def test_a_file_of_too_many_rows_is_refused():
    with pytest.raises(TooManyRows):
        rows("name\n" + "Noor Bakker\n" * 100_001)


@forall(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw):
    with suppress(Invalid):
        read(b"name,dob,allergies\n" + raw, {}, "auto", TODAY)


@forall(st.text())
def test_what_goes_out_unharmed_comes_in_as_it_was(text):
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))


WORD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20).map(lambda text: " ".join(text.split())).filter(
    lambda text: text and text == unguarded(text).strip())


@forall(st.lists(st.tuples(WORD, WORD, st.dates(date(1900, 1, 1), TODAY), st.lists(WORD, max_size=3, unique=True))))
def test_a_sheet_of_ours_is_read_as_it_was_written(people):
    lines = [{"givenName": a, "familyName": b, "birthDate": c.isoformat(), "allergies": "".join(f"{d}\n" for d in e)} for a, b, c, e in people]
    found = read(sheet(["givenName", "familyName", "birthDate", "allergies"], lines), {}, "auto", TODAY)
    assert [(one.person.given_name, one.person.family_name, one.person.birth_date) for one in found.rows] == [one[:3] for one in people]


# --- on the running system


on_the_system = pytest.mark.asyncio(loop_scope="module")


async def sent(person, path, body, **query):
    body = body if isinstance(body, bytes) else body.encode()
    answer = await person("POST", path, content=body, params=query, headers={"content-type": "text/csv"}, timeout=300)
    person.seen_to = max(int(answer.headers.get("x-position", 0)), getattr(person, "seen_to", 0))
    return answer


async def told(person, path, body, **query):
    answer = await sent(person, path, body, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counts(report):
    return tuple(report[name] for name in COUNTS)


async def everybody(person):
    answer = await person("GET", OUT, headers={"x-position": str(getattr(person, "seen_to", 0))})
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def like(lines):
    return sorted(tuple(value for name, value in line.items() if name not in {"externalId", "ourNumber", "otherId"}) for line in lines)


@on_the_system
async def test_a_trial_counts_what_the_run_does_and_a_second_run_does_nothing(web):
    admin = await web.person(await web.clinic(), "admin")
    tried = await told(admin, TRY, DUTCH)
    assert counts(tried) == (5, 2, 0, 0, 0, 3)
    assert await everybody(admin) == []
    ran = await told(admin, RUN, DUTCH)
    assert {**ran, "dryRun": True, "runId": None} == tried
    assert counts(await told(admin, RUN, DUTCH)) == (5, 0, 0, 2, 0, 3)
    assert [(line["givenName"], line["allergies"]) for line in await everybody(admin)] == [("Noor", "Penicilline\nLatex, puder\n"), ("Tim", "noten\nwespen\n")]
    sheet_ = (await sent(admin, TRY, DUTCH, format="csv")).text
    assert [(line["line"], line["code"]) for line in csv.DictReader(io.StringIO(sheet_))] == [("7", "NAME_MISSING"), ("8", "DATE_IMPOSSIBLE"), ("9", "PHONE_INVALID")]


@on_the_system
async def test_a_file_that_knows_more_changes_what_it_says_and_takes_nothing_away(web):
    admin = await web.person(await web.clinic(), "admin")
    await told(admin, RUN, "id,name,phone,allergies\n1,Noor Bakker,020 1234567,Latex\n")
    more = "id,name,phone,email,allergies\n1,Noor Bakker,,noor@example.org,Nuts\n"
    assert counts(await told(admin, TRY, more)) == counts(await told(admin, RUN, more)) == (1, 0, 1, 0, 0, 0)
    (noor,) = await everybody(admin)
    assert (noor["phone"], noor["email"], noor["allergies"]) == ("020 1234567", "noor@example.org", "Latex\nNuts\n")
    assert counts(await told(admin, RUN, more)) == (1, 0, 0, 1, 0, 0)


@on_the_system
async def test_nobody_is_taken_twice(web):
    admin = await web.person(await web.clinic(), "admin")
    noor = (await admin("POST", "/patients", {"givenName": "Noor", "familyName": "Bakker", "birthDate": "1990-05-17", "nationalId": "123"})).json()["id"]
    text = "id,name,dob,national id,email\n1,NOOR  BÁKKER,1990-05-17,,\n2,N. Bakker,,123,\n3,Tim Vos,,,tim@example.org\n3,Tim Vos,,,\n4,tim vos,,,Tim@example.org\n"
    tried, ran = await told(admin, TRY, text), await told(admin, RUN, text)
    assert counts(tried) == counts(ran) == (5, 1, 0, 0, 4, 0)
    assert [(one["line"], one["code"], one["patientId"]) for one in ran["problems"]] == [
        (2, "DUPLICATE", noor), (3, "DUPLICATE", noor), (5, "DUPLICATE", None), (6, "DUPLICATE", None)]
    assert len(await everybody(admin)) == 2


@on_the_system
async def test_who_is_archived_is_told_and_left(web):
    admin = await web.person(await web.clinic(), "admin")
    text = "id,name,city\n1,Noor Bakker,Delft\n"
    await told(admin, RUN, text)
    (noor,) = await everybody(admin)
    await admin("DELETE", f"/patients/{noor['externalId']}")
    ran = await told(admin, RUN, text)
    assert (counts(ran), ran["problems"][0]["code"]) == ((1, 0, 0, 0, 0, 1), "PATIENT_NOT_ACTIVE")


@on_the_system
async def test_who_was_forgotten_is_not_brought_back(web):
    admin = await web.person(await web.clinic(), "admin")
    text = "id,name\n1,Noor Bakker\n"
    await told(admin, RUN, text)
    (noor,) = await everybody(admin)
    asked = {"personId": noor["externalId"], "kind": "patients", "reason": "Asked for it", "despiteRetention": True}
    answer = await admin("POST", "/privacy/erasures", asked)
    assert answer.status_code in {200, 201}, answer.text
    ran = await told(admin, RUN, text)
    assert (counts(ran), ran["problems"][0]["code"]) == ((1, 0, 0, 0, 0, 1), "PATIENT_ERASED")


@on_the_system
async def test_what_goes_out_of_one_clinic_comes_into_another_as_the_same_patients(web):
    here, there = await web.person(await web.clinic(), "admin"), await web.person(await web.clinic(), "admin")
    text = (
        "name,dob,sex,phone,email,address,national id,notes,allergies,conditions,medications\n"
        'Noor Bakker,1990-05-17,f,+31 6 12345678,noor@example.org,"Singel 1, Delft",N1,"=SUM(A1)\nand more",Latex|Nuts,Asthma,"Ibuprofen, 400 mg|Salbutamol"\n'
        "'=Tim Vries,,,,,,,'-1,,,\n")
    await told(here, RUN, text)
    out = (await here("GET", OUT, params={"bom": "true"}, headers={"x-position": str(here.seen_to)})).content
    assert out.startswith(b"\xef\xbb\xbf")
    assert counts(await told(there, TRY, out)) == counts(await told(there, RUN, out)) == (2, 2, 0, 0, 0, 0)
    assert like(await everybody(there)) == like(await everybody(here))
    assert counts(await told(here, RUN, out)) == (2, 0, 0, 2, 0, 0)
    assert [cell for line in await everybody(here) for cell in line.values() if cell.startswith(("=", "+", "-", "@"))] == []


@on_the_system
async def test_two_at_once_take_nobody_twice_and_a_booking_is_not_kept_waiting(web):
    admin = await web.person(await web.clinic(), "admin")
    text = "id,name,phone\n" + "".join(f"{n},Given{n} Family{n},020{n:07}\n" for n in range(300))
    first, second, desk = await asyncio.gather(
        sent(admin, RUN, text), sent(admin, RUN, text), admin("POST", "/patients", {"givenName": "Walk", "familyName": "In"}))
    admin.seen_to = max(admin.seen_to, int(desk.headers["x-position"]))
    assert (first.status_code, second.status_code, desk.status_code) == (200, 200, 201), first.text + second.text
    assert len(await everybody(admin)) == 301


@pytest.mark.soak
@on_the_system
async def test_fifty_thousand_come_in_and_each_of_the_five_hundred_bad_ones_is_told(web):
    admin = await web.person(await web.clinic(), "admin")
    bad = {n for n in range(50_000) if n % 100 == 7}
    lines = [f"{n},Given{n},Family{n},{'1990-02-31' if n in bad else '1990-05-17'},020{n:07}" for n in range(50_000)]
    body = "id,first name,last name,dob,phone\n" + "\n".join(lines)
    began = time.perf_counter()
    asked = asyncio.create_task(sent(admin, RUN, body))
    waited = []
    while not asked.done():
        at = time.perf_counter()
        answer = await admin("POST", "/patients", {"givenName": "Walk", "familyName": "In"})
        assert answer.status_code == 201, answer.text
        waited.append(time.perf_counter() - at)
    took = time.perf_counter() - began
    assert (await asked).status_code == 200, (await asked).text
    report = (await asked).json()
    assert counts(report) == (50_000, 49_500, 0, 0, 0, 500), counts(report)
    assert {one["line"] - 2 for one in report["problems"]} == bad
    print(f"50,000 rows in {took:.1f} s; {len(waited)} at the desk meanwhile, the slowest after {max(waited) * 1000:.0f} ms")  # noqa: T201 - the figure is what it is run for


@on_the_system
async def test_who_may(web):
    clinic, other = await web.clinic(), await web.clinic()
    admin, desk, stranger = await web.person(clinic, "admin"), await web.person(clinic, "receptionist"), await web.person(other, "admin")
    failure(await sent(desk, RUN, "name\nNoor Bakker\n"), 403, "FORBIDDEN")
    failure(await desk("GET", OUT), 403, "FORBIDDEN")
    failure(await sent(admin, "/admin/imports/run", "name\nNoor Bakker\n", clinicId=str(clinic)), 403, "FORBIDDEN")
    await told(admin, RUN, "name\nNoor Bakker\n")
    assert await everybody(stranger) == []


@on_the_system
async def test_a_look_is_on_record_for_each_patient_who_goes_out(web):
    admin = await web.person(await web.clinic(), "admin")
    await told(admin, RUN, "name\nNoor Bakker\nTim Vos\n")
    shown = {line["externalId"] for line in await everybody(admin)}
    with psycopg.connect(web.owner_url) as conn:
        looked = conn.execute("select patient::text from chart_reads where what = 'export' and actor = %s", (admin.id,)).fetchall()
    assert ({one for (one,) in looked}, len(shown)) == (shown, 2)


@on_the_system
async def test_a_file_that_comes_in_one_piece_with_its_head_is_no_endless_head(web):
    admin = await web.person(await web.clinic(), "admin")
    body = b"name\n" + b"\n" * 150_000
    head = f"POST /api/v1/protected{TRY} HTTP/1.1\r\nhost: x\r\nauthorization: {admin.headers['authorization']}\r\ncontent-type: text/csv\r\ncontent-length: {len(body)}\r\n"
    for extra, status in (("", b"200"), ("x-long: " + "x" * 70_000 + "\r\n", b"400")):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(f"{head}{extra}connection: close\r\n\r\n".encode() + body)
        assert (await reader.readline()).split()[1] == status
        writer.close()


@on_the_system
async def test_what_cannot_be_taken_is_refused_in_the_one_shape(web):
    admin = await web.person(await web.clinic(), "admin")
    failure(await sent(admin, TRY, b"name\n" + b"x" * LIMIT), 413, "BODY_TOO_LARGE")
    failure(await sent(admin, TRY, b"x" * LIMIT), 400, "TABLE_UNREADABLE")
    failure(await sent(admin, TRY, "name\nNoor Bakker\n", mapping="{"), 400, "QUERY_INVALID")
    failure(await sent(admin, TRY, "name\nNoor Bakker\n", mapping='{"name": "shoeSize"}'), 400, "QUERY_INVALID")
    failure(await admin("POST", TRY, {"name": "Noor"}), 415, "BODY_UNEXPECTED")
    form = await admin("POST", TRY, files={"file": ("patients.csv", b"name\nNoor Bakker\n" + b"Tim Vos\n" * 200_000, "text/csv")})
    failure(form, 400, "TOO_MANY_ROWS")
    whole = await admin("POST", TRY, files={"file": ("patients.csv", b"name\nNoor Bakker\n", "text/csv")})
    assert counts(whole.json()) == (1, 1, 0, 0, 0, 0)


# --- in the background, stopped, gone on with, taken back


RUNS = "/import-runs"


def many(count, first=0):
    return "id,name,phone\n" + "".join(f"{n},Given{n} Family{n},020{n:07}\n" for n in range(first, first + count))


async def begun(person, body, **headers):
    answer = await person("POST", "/patients/imports", content=body.encode(), headers={"content-type": "text/csv", **headers})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def shown(person, run):
    answer = await person("GET", f"{RUNS}/{run}")
    return answer.json() if answer.status_code == 200 else {"status": None, "endedAt": None}


async def at_its_end(person, run, status="finished"):
    async def over():
        found = await shown(person, run)
        return found["status"] == status and found["endedAt"] is not None

    await until(over)
    return await shown(person, run)


async def names(person):
    return sorted(line["givenName"] for line in await everybody(person))


@on_the_system
async def test_a_run_in_the_background_is_seen_as_it_goes_on_and_tells_what_became_of_each_row(web):
    admin = await web.person(await web.clinic(), "admin")
    run = await begun(admin, many(120) + ",Nobody,\n0,Given0 Family0,\n", **{"idempotency-key": "once"})
    seen = await at_its_end(admin, run)
    assert (seen["rows"], seen["done"], seen["remaining"]) == (122, 122, 0)
    assert tuple(seen[name] for name in COUNTS[1:]) == (120, 0, 0, 1, 1)
    assert await begun(admin, many(120) + ",Nobody,\n0,Given0 Family0,\n", **{"idempotency-key": "once"}) == run
    other = await admin("POST", "/patients/imports", content=many(130).encode(), headers={"content-type": "text/csv", "idempotency-key": "once"})
    failure(other, 422, "KEY_REUSED")
    assert {**await shown(admin, run)} == seen
    lines = (await admin("GET", f"{RUNS}/lines", params={"runId": run, "step": "rejected"})).json()["items"]
    assert [(one["line"], one["code"], one["done"]) for one in lines] == [(122, "NAME_MISSING", True)]
    with psycopg.connect(web.owner_url) as conn:
        assert conn.execute("select count(*) from import_lines where run = %s and sealed is not null", (run,)).fetchone() == (0,)
    stranger = await web.person(await web.clinic(), "admin")
    failure(await stranger("GET", f"{RUNS}/lines", params={"runId": run}), 404, "NOT_FOUND")
    failure(await stranger("POST", f"{RUNS}/{run}/cancel"), 404, "NOT_FOUND")
    failure(await stranger("POST", f"{RUNS}/{run}/undo"), 404, "NOT_FOUND")


async def laid_ready(web, admin, clinic, body):
    """Lay a list ready as a gateway does that is killed before it has taken any of it."""
    with pytest.MonkeyPatch.context() as patch:
        async def killed(*_):
            pass

        patch.setattr(gateway.imports, "seen_to", killed)
        return await begun(admin, body)


@on_the_system
async def test_what_a_gateway_left_that_was_killed_another_one_goes_on_with(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    run = await laid_ready(web, admin, clinic, many(120))
    worker, services = UUID(int=7), web.services
    assert await services.staging.lease(clinic, UUID(run), worker)
    work = Work(services, clinic, UUID(run), worker)
    await work._begun_by("started_by")
    rows = await work._page(0)
    await work._handle(TakeImported(people=[patient_of(row) for row in rows[:50]]), UUID(run), UUID(int=8))  # and is killed before it notes it
    await until(lambda: progressed(admin, run))
    assert await seen_to(services, clinic, UUID(run)) == 0  # it may be alive yet
    assert await waiting(services.reading.lanes, 10) == []
    with psycopg.connect(web.owner_url) as conn:
        conn.execute("update import_leases set until = now() - interval '1 second'")
    assert [str(one.run) for one in await waiting(services.reading.lanes, 10)] == [run]
    await tend(services)
    seen = await at_its_end(admin, run)
    assert (seen["created"], seen["left"], len(await everybody(admin))) == (120, 0, 120)
    with psycopg.connect(web.owner_url) as conn:
        assert conn.execute("select count(*), count(distinct originator_id) from stored_events where topic = 'PatientRegistered' and clinic_id = %s", (clinic,)).fetchone() == (120, 120)


async def progressed(person, run):
    return (await shown(person, run))["status"] == "running"


@on_the_system
async def test_a_run_that_is_cancelled_takes_no_further_row(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    run = await laid_ready(web, admin, clinic, many(100))
    services = web.services
    work = Work(services, clinic, UUID(run), UUID(int=7))
    await work._begun_by("started_by")
    rows = await work._page(0)
    assert await work._portion(rows[:50])
    assert (await admin("POST", f"{RUNS}/{run}/cancel")).status_code == 200
    assert not await work._portion(rows[50:])
    await seen_to(services, clinic, UUID(run))
    seen = await at_its_end(admin, run, "cancelled")
    assert (seen["created"], seen["left"]) == (50, 50)
    assert len(await everybody(admin)) == 50
    assert (await admin("POST", f"{RUNS}/{run}/cancel")).json()["status"] == "cancelled"


@on_the_system
async def test_whoever_is_forgotten_while_a_row_waits_is_not_taken(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    await told(admin, RUN, many(2))
    (one, _) = sorted(await everybody(admin), key=lambda line: line["givenName"])
    run = await laid_ready(web, admin, clinic, "id,name,phone\n0,Given0 Family0,0209999999\n1,Given1 Family1,0209999998\n")
    asked = {"personId": one["externalId"], "kind": "patients", "reason": "Asked for it", "despiteRetention": True}
    assert (await admin("POST", "/privacy/erasures", asked)).status_code in {200, 201}
    with psycopg.connect(web.owner_url) as conn:
        assert conn.execute("select count(*) from import_lines where run = %s and sealed is not null", (run,)).fetchone() == (1,)
    await seen_to(web.services, clinic, UUID(run))
    seen = await at_its_end(admin, run)
    assert (seen["changed"], seen["rejected"]) == (1, 1)


@on_the_system
async def test_an_import_is_taken_back_but_for_whom_somebody_has_gone_on_with(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    await told(admin, RUN, "id,name,phone,allergies\n90,Anna Before,0201111111,Latex\n91,Bert Before,0201111112,\n")
    before = await everybody(admin)
    text = "id,name,phone,allergies\n1,New Alone,0201234567,\n2,New Noted,0201234568,\n3,New Renamed,0201234569,\n90,Anna Before,0202222222,Nuts\n91,Bert Before,0202222223,\n"
    run = (await told(admin, RUN, text))["runId"]
    people = {line["givenName"] + " " + line["familyName"]: line["externalId"] for line in await everybody(admin)}
    noted = await admin("POST", f"/patients/{people['New Noted']}/notes", {"text": "Called"})
    assert noted.status_code == 201, noted.text
    for name in ("New Renamed", "Bert Before"):
        answer = await admin("PUT", f"/patients/{people[name]}", {"givenName": "Else", "familyName": name.split()[1]})
        assert answer.status_code == 200, answer.text
        admin.seen_to = int(answer.headers["x-position"])
    headers = {"x-position": str(max(admin.seen_to, int(noted.headers["x-position"])))}
    tried = (await admin("GET", f"{RUNS}/{run}/undo", headers=headers)).json()
    assert (tried["archived"], tried["setBack"], tried["kept"]) == (1, 1, 3)
    began = await admin("POST", f"{RUNS}/{run}/undo")
    assert (began.status_code, began.json()["status"]) == (200, "undoing"), began.text
    done = await at_its_end(admin, run, "undone")
    assert (done["archived"], done["setBack"], done["kept"]) == (1, 1, 3)
    lines = (await admin("GET", f"{RUNS}/lines", params={"runId": run})).json()["items"]
    assert [(one["line"], one["undone"], one["keptBecause"]) for one in lines] == [
        (2, "archived", None), (3, "kept", "IMPORTED_PATIENT_USED"), (4, "kept", "PATIENT_CHANGED_SINCE"), (5, "setBack", None), (6, "kept", "PATIENT_CHANGED_SINCE")]
    now = {line["externalId"]: line for line in await everybody(admin)}
    anna = next(line for line in before if line["givenName"] == "Anna")
    assert now[people["Anna Before"]] == anna
    failure(await admin("POST", f"{RUNS}/{run}/undo"), 409, "IMPORT_UNDONE_ALREADY")
    again = await told(admin, RUN, text)  # whoever was archived for no other reason comes back
    assert counts(again) == (5, 1, 3, 1, 0, 0), again
    assert now.keys() == {line["externalId"] for line in await everybody(admin)}


@on_the_system
async def test_nobody_is_archived_past_somebody_who_books_for_them_just_then(web):
    clinic = await web.clinic()
    admin = await web.person(clinic, "admin")
    run = (await told(admin, RUN, many(12)))["runId"]
    patients = [line["externalId"] for line in await everybody(admin)]
    note = {"text": "Called"}
    began, *notes = await asyncio.gather(admin("POST", f"{RUNS}/{run}/undo"), *(admin("POST", f"/patients/{one}/notes", note) for one in patients))
    assert began.status_code == 200
    done = await at_its_end(admin, run, "undone")
    noted = {one for one, answer in zip(patients, notes, strict=True) if answer.status_code == 201}
    archived = {line["patientId"] for line in (await admin("GET", f"{RUNS}/lines", params={"runId": run, "undone": "archived"})).json()["items"]}
    assert done["archived"] == len(archived)
    for one in archived & noted:  # noted first, archived then: only if the note came after the look
        with psycopg.connect(web.owner_url) as conn:
            order = [topic for (topic,) in conn.execute(
                "select topic from stored_events where (originator_id = %s and topic = 'PatientArchived') or (topic = 'PatientNoteWritten' and position(convert_to(%s, 'UTF8') in state) > 0) "
                "order by notification_id", (one, one))]
        assert order[0] == "PatientArchived", order
