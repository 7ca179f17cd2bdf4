"""Whoever changes history is found out, and where; whoever checks an export needs nothing of ours."""

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zipfile import ZipFile

import psycopg
import pytest
import pytest_asyncio
from psycopg import Connection

from anamnesis import auditing
from anamnesis.installation import Installation
from anamnesis.scratch import Scratch
from anamnesis.trouble import Trouble
from commands.clinics import OpenClinic
from commands.kit.handling import Handler, Who
from commands.kit.heads import Seal, kept, outside
from commands.kit.proof import Line, pages, start_of
from commands.kit.verify import Verdict, verify
from commands.patients import ArchivePatient, RegisterPatient
from commands.rooms import AddRoom
from domain.clinics import Clinic
from domain.kit import PLATFORM
from domain.kit.grants import effective
from gateway.kit import evidence
from tests.served import served, until, working
from workers.kit.notary import Notary

CLINICS = [uuid4() for _ in range(3)]
MOVE = "update stored_events set notification_id = %s where notification_id = %s"
CHAIN = "update stored_events set hash = %s where notification_id = %s"


@dataclass
class Books:
    """A history of some hundred events of three clinics, checked and signed, and whoever administers the database."""

    database: Any
    notary: Notary
    settings: Any
    last: int

    def verdict(self, tamper: Callable[[Connection[Any]], None] = lambda _: None, clinic: UUID | None = None) -> Verdict:
        """Do something to the database as its superuser, look, and undo it."""
        with psycopg.connect(self.database.superuser_url) as conn:
            tamper(conn)
            found = verify(conn, self.settings.mac_key, self.notary.seal.public, self.notary.folder, clinic)
            conn.rollback()
        return found

    def lines(self, conn: Connection[Any]) -> list[Line]:
        return [line for page in pages(conn) for line in page]

    def rechain(self, conn: Connection[Any]) -> None:
        """Compute a new chain over what is there, heads and the audit log's copies included, as somebody with all power over the database would."""
        hashes: dict[bytes, bytes] = {}
        for line in self.lines(conn):
            hashes[line.clinic] = sha256((hashes.get(line.clinic) or start_of(line.clinic)) + line.content()).digest()
            conn.execute(CHAIN, (hashes[line.clinic], line.position))
            conn.execute(
                "update chain_heads set hash = %s, position = %s where clinic_id = %s", (hashes[line.clinic], line.position, UUID(bytes=line.clinic)))
        conn.execute("update store_head set position = (select max(notification_id) from stored_events)")
        self.rebuild(conn)

    @staticmethod
    def rebuild(conn: Connection[Any]) -> None:
        """Have the audit log say what the store says now."""
        conn.execute("delete from audit_log a where not exists (select from stored_events e where e.notification_id = a.seq)")
        conn.execute(
            "update audit_log a set hash = encode(e.hash, 'base64'), mac = encode(e.mac, 'base64') from stored_events e where e.notification_id = a.seq")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def books(module_database, make_nats, tmp_path_factory):
    settings, nats = module_database.settings("owner"), make_nats()
    handler = await Handler.open(module_database.settings("gateway"), clinic_state=Clinic)
    for clinic in CLINICS:
        boss = Who(actor=uuid4(), clinic=clinic, role="superadmin", grants=effective("superadmin").keys)
        await handler.handle(OpenClinic(name="Grachten", zone="Europe/Amsterdam", currency="EUR", plan="Pro"), boss, id=clinic)
        for n in range(30):
            await handler.handle(AddRoom(name=f"Room {n}", type="operatory"), boss)
            patient = await handler.handle(RegisterPatient(given_name="Noor", family_name=f"Jansen {n}"), boss)
            if n % 3 == 0:
                await handler.handle(ArchivePatient(), boss, id=patient.id)
    await handler.close()
    notary = Notary(module_database.url("notary"), settings.mac_key, Seal(settings.audit_key), tmp_path_factory.mktemp("heads"))
    assert len(notary.round()) == len(CLINICS)
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        (last,) = owner.execute("select position from store_head").fetchone()

        async def listed() -> bool:
            return owner.execute("select count(*) from audit_log").fetchone() == (last,)

        async with working(module_database, nats):
            await until(listed)
    return Books(module_database, notary, settings, last)


def test_untouched_history_is_what_was_written(books):
    found = books.verdict()
    assert (found.findings, found.events, found.clinics, found.heads) == ([], books.last, 3, 3)
    assert books.verdict(clinic=CLINICS[0]).findings == []


def places(last: int) -> list[int]:
    return [1, last, *random.Random(7).sample(range(2, last), 5)]


def flip(at: int) -> Callable[[Connection[Any]], None]:
    return lambda conn: conn.execute("update stored_events set state = set_byte(state, length(state) / 2, get_byte(state, length(state) / 2) # 1) where notification_id = %s", (at,))


def remove(at: int) -> Callable[[Connection[Any]], None]:
    return lambda conn: conn.execute("delete from stored_events where notification_id = %s", (at,))


def swap(one: int, two: int) -> Callable[[Connection[Any]], None]:
    def act(conn: Connection[Any]) -> None:
        for to, at in ((-1, one), (one, two), (two, -1)):
            conn.execute(MOVE, (to, at))
    return act


def insert(at: int) -> Callable[[Connection[Any]], None]:
    """Push everything from there on by one, and put a copy of what was there in between."""
    def act(conn: Connection[Any]) -> None:
        conn.execute("update stored_events set notification_id = -notification_id where notification_id >= %s", (at,))
        conn.execute("update stored_events set notification_id = 1 - notification_id where notification_id < 0")
        conn.execute(
            "insert into stored_events (originator_id, originator_version, topic, state, notification_id, clinic_id, stream_kind, partition, event_id, command_id,"
            " correlation_id, actor, recorded_at, mac, hash) select gen_random_uuid(), 1, 'RoomAdded', state, %s, clinic_id, 'rooms', partition, gen_random_uuid(),"
            " command_id, correlation_id, actor, recorded_at, mac, hash from stored_events where notification_id = %s", (at, at + 1 if at > 1 else 2))
    return act


DEEDS = {"a byte flipped": flip, "removed": remove, "swapped": lambda at: swap(at, at + 1 if at == 1 else at - 1), "inserted": insert}


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_changed_is_found_where_it_was_changed(books, deed):
    for at in places(books.last):
        for rebuilt in (False, True):
            def tamper(conn: Connection[Any], at: int = at, rebuilt: bool = rebuilt) -> None:
                DEEDS[deed](at)(conn)
                if rebuilt:
                    books.rebuild(conn)

            found = books.verdict(tamper)
            assert at in {finding.position for finding in found.findings}, (deed, at, rebuilt, found.findings)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_new_chain_over_a_changed_history_deceives_nobody(books, deed):
    at = books.last // 2

    def tamper(conn: Connection[Any]) -> None:
        DEEDS[deed](at)(conn)
        if deed == "removed":  # close the gap
            conn.execute("update stored_events set notification_id = -notification_id where notification_id > %s", (at,))
            conn.execute("update stored_events set notification_id = -notification_id - 1 where notification_id < 0")
        if deed == "swapped":  # the times as well
            conn.execute(
                "update stored_events a set recorded_at = b.recorded_at from stored_events b where (a.notification_id, b.notification_id) in ((%s, %s), (%s, %s))",
                (at, at - 1, at - 1, at))
        books.rechain(conn)

    found = books.verdict(tamper).findings
    assert {one.kind for one in found} & {"signed", "changed", "missing"}
    assert any(one.position == at for one in found if one.kind == "changed") or any(one.kind == "signed" for one in found)


def test_what_is_appended_by_others_is_found(books):
    def forge(conn: Connection[Any], head: bool = False) -> None:
        insert(books.last)(conn)
        swap(books.last, books.last + 1)(conn)
        if head:
            books.rechain(conn)

    for head in (False, True):
        found = books.verdict(lambda conn, head=head: forge(conn, head)).findings
        assert books.last + 1 in {one.position for one in found}


def test_the_end_cannot_be_cut_off_behind_a_signed_head(books):
    def cut(conn: Connection[Any]) -> None:
        remove(books.last)(conn)
        books.rechain(conn)

    [found] = books.verdict(cut).findings
    assert (found.position, found.kind) == (books.last, "signed")


def test_a_head_that_somebody_else_signed_counts_for_nothing(books, tmp_path):
    def forge(conn: Connection[Any]) -> None:
        conn.execute("update signed_heads set signature = set_byte(signature, 3, get_byte(signature, 3) # 1) where clinic_id = %s", (CLINICS[0],))

    [found] = books.verdict(forge).findings
    assert (found.kind, found.clinic) == ("signed", CLINICS[0])
    assert "not signed with our key" in found.said


def test_the_notary_signs_no_history_that_does_not_check_out(books):
    fresh = Notary(books.database.url("notary"), books.settings.mac_key, books.notary.seal, books.notary.folder)
    assert fresh.round() == []  # nothing has grown since
    blank = Notary(books.database.url("notary"), b"x" * 32, Seal(books.database.settings("owner").audit_key), books.notary.folder / "none")
    with psycopg.connect(books.database.url("owner"), autocommit=True) as owner:
        signed = kept(owner)
        owner.execute("delete from signed_heads")
        try:
            assert blank.round() == []  # with another key no MAC fits
            assert blank.broken == set(CLINICS)
            assert owner.execute("select findings > 0, first_position from proof_health()").fetchone() == (True, 1)
        finally:
            owner.execute("delete from proof_findings")
            with owner.cursor() as cursor:
                cursor.executemany("insert into signed_heads values (%s, %s, %s, %s, %s, %s, %s)", signed)
    assert sorted(head.line() for _, head in outside(books.notary.folder)) == sorted(head.line() for head in signed)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_administrator_sees_the_heads_wishes_for_one_and_takes_evidence_away(books, make_nats, tmp_path):
    async with served(books.database) as web:
        boss = await web.person(CLINICS[0], "admin")
        heads = (await boss("GET", "/audit-logs/heads")).json()
        assert heads["publicKeys"] == [books.notary.seal.name]
        assert [head["position"] for head in heads["items"]] == [kept_at(books, CLINICS[0])]
        assert (await boss("POST", "/audit-logs/heads")).status_code == 204
        assert [head.clinic for head in books.notary.round(every=False)] == [CLINICS[0]]
        assert len((await boss("GET", "/audit-logs/heads")).json()["items"]) == 2
        assert (await (await web.person(CLINICS[0], "receptionist"))("GET", "/audit-logs/heads")).status_code == 403
    books.last = books.verdict().position


def kept_at(books: Books, clinic: UUID) -> int:
    with psycopg.connect(books.database.url("owner")) as owner:
        return kept(owner, clinic)[-1].position


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", "verify.py"], cwd=folder, capture_output=True, text=True, check=False)


def test_an_export_is_checked_without_this_software_and_shows_what_was_done_to_it(books, tmp_path):
    home = books.database.postgres.home
    urls = {role: books.database.url(role) for role in ("owner", "notary", "gateway", "relay", "projector", "courier")}
    installation = Installation(home.path, home.secrets(), urls, dict.fromkeys(urls, "nats://nowhere:1"))
    folder = tmp_path / "evidence"
    auditing.export(installation, folder, None, personal=False)
    assert checked(folder).returncode == 0
    assert "Noor" not in (folder / "events.jsonl").read_text()
    with pytest.raises(Trouble, match="not empty"):
        auditing.export(installation, folder, None, personal=False)
    auditing.export(installation, tmp_path / "opened", CLINICS[1], personal=True)
    assert '"givenName": "Noor"' in (tmp_path / "opened" / "events.jsonl").read_text()
    assert checked(tmp_path / "opened").returncode == 0
    lines = (folder / "events.jsonl").read_text().splitlines()
    for wrong in (lines[:4] + lines[5:], [*lines[:4], lines[5], lines[4], *lines[6:]], [line.replace('"version": 1,', '"version": 2,', 1) for line in lines]):
        (folder / "events.jsonl").write_text("\n".join(wrong) + "\n")
        found = checked(folder)
        assert found.returncode == 1, found.stdout
        assert "position " in found.stdout
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    heads = (folder / "heads.jsonl").read_text().splitlines()
    (folder / "heads.jsonl").write_text("".join(json.dumps({**json.loads(head), "signedAt": "2026-01-01T00:00:00.000000+00:00"}) + "\n" for head in heads))
    assert "is not the key's" in checked(folder).stdout


@pytest.mark.asyncio(loop_scope="module")
async def test_an_administrator_takes_evidence_away_over_rest(books, tmp_path):
    """It proves itself without this software, says that it was taken, and shows what was done to it."""
    async with served(books.database) as web:
        boss, other = await web.person(CLINICS[1], "admin"), await web.person(CLINICS[0], "admin")
        books.notary.round()
        answer = await boss("POST", f"/clinics/{CLINICS[1]}/evidence")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        assert (await other("POST", f"/clinics/{CLINICS[1]}/evidence")).status_code == 404
        assert (await (await web.person(CLINICS[1], "doctor"))("POST", f"/clinics/{CLINICS[1]}/evidence")).status_code == 403
        owner = await web.person(PLATFORM, "superadmin")
        assert (await owner("POST", f"/clinics/{CLINICS[1]}/evidence")).status_code == 200
        script, listed = await boss("GET", "/audit-logs/verifier"), (await boss("GET", "/audit-logs/heads")).json()
    with ZipFile(BytesIO(answer.content)) as made:
        assert made.testzip() is None
        made.extractall(tmp_path)
    assert script.content == (tmp_path / "verify.py").read_bytes()
    assert [key["public"] for key in listed["keys"]] == [(tmp_path / "public-key.txt").read_text().split()[0]] == [books.notary.seal.public.hex()]
    assert len((tmp_path / "heads.jsonl").read_text().splitlines()) == len(listed["items"])
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "events.csv").open(newline="")))
    assert [row["hash"] for row in rows] == [event["hash"] for event in events]
    assert (events[-1]["topic"], {event["clinic"] for event in events}) == ("EvidenceExported", {str(CLINICS[1])})
    assert "Noor" not in (tmp_path / "events.jsonl").read_text()
    assert checked(tmp_path).returncode == 0
    manifest = dict(reversed(line.split()) for line in (tmp_path / "MANIFEST.sha256").read_text().splitlines())
    assert manifest == {file.name: sha256(file.read_bytes()).hexdigest() for file in tmp_path.iterdir() if file.name != "MANIFEST.sha256"}
    (tmp_path / "events.jsonl").write_text("".join(json.dumps({**event, "actor": events[0]["actor"]}) + "\n" for event in events))
    assert checked(tmp_path).returncode == 1
    books.last = books.verdict().position


@pytest.mark.asyncio(loop_scope="module")
async def test_evidence_is_made_a_page_at_a_time(books, monkeypatch):
    monkeypatch.setattr(evidence, "NEXT", evidence.NEXT.replace(f"limit {evidence.PAGE}", "limit 7"))
    async with served(books.database) as web:
        reader = await web.services.reader(CLINICS[2], 0)
        parts = [part async for part in evidence.bundle(reader)]
        ((events,),) = (await reader.ask("select count(*) from stored_events where clinic_id = %s", (CLINICS[2],))).rows
    assert len(parts) > 2 * events // 7
    assert ZipFile(BytesIO(b"".join(parts))).read("events.jsonl").count(b"\n") == events


@pytest.mark.soak
def test_a_thousand_changes_among_three_hundred_thousand_events_are_all_found():
    with Scratch(demo="medium") as stack:
        settings = stack.installation.settings("owner")
        url = stack.database_url("owner")
        auditing.sign(stack.installation)
        with psycopg.connect(stack.installation.admin_url, autocommit=True) as conn:
            (last,) = conn.execute("select position from store_head").fetchone()
            at = random.Random(1).sample(range(2, last), 1000)
            deeds = {place: random.Random(place).choice([flip, remove]) for place in at}
            for place, deed in deeds.items():
                deed(place)(conn)
        with psycopg.connect(url) as conn:
            found = verify(conn, settings.mac_key, Seal(settings.audit_key).public, settings.heads)
        assert found.found >= 1000
        assert not set(at) - {one.position for one in found.findings}
