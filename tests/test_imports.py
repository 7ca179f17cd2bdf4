"""Patients come in from another program's list, and go out as one."""

import asyncio
import csv
import io
import time
from contextlib import suppress
from datetime import date

import psycopg
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from domain.imports import DatesAmbiguous, Draft, Flaw, HeadersUnclear, TooManyRows, read
from domain.kit import Invalid
from domain.kit.delimited import MOST_CELLS, MOST_CHARACTERS, TableUnreadable, guarded, unguarded
from domain.patients import Demographics
from gateway.imports import LIMIT
from gateway.kit.sheets import sheet
from tests.served import failure

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
    assert {**ran, "dryRun": True} == tried
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
    text = "id,name\n" + "".join(f"{n},Given{n} Family{n}\n" for n in range(300))
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
