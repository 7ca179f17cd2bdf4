"""What was backed up comes back, elsewhere and as of any moment; whoever was erased does not."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
import pytest_asyncio

from anamnesis.backup import keystore, restoring, sealed, tables
from anamnesis.backup.manifest import NAME
from anamnesis.backup.place import to_back_up, to_restore_into
from anamnesis.backup.restoring import Wish, look, moment, put
from anamnesis.backup.standing import UNKNOWN
from anamnesis.backup.taking import back_up
from anamnesis.installation import Installation
from anamnesis.migrations import migrate
from anamnesis.scratch import temporary_directory
from anamnesis.stack import EmbeddedPostgres, Home
from anamnesis.trouble import Trouble
from commands.kit import ledger
from commands.kit.heads import Seal
from commands.kit.verify import verify as verify_history
from projections.kit.rebuild import verify as verify_models
from tests.conftest import Database
from tests.served import PASSWORD, Person, Web, failure, served, until, working
from tests.test_erasures import PLANTED, SECRETS, forms
from tests.test_sse import FEED, STREAM, listening
from workers.kit.notary import Notary

ROLES = ("owner", "notary", "gateway", "relay", "projector", "courier")
CLAIMS = ("select claim, owner from unique_claims order by 1", "select resource, starting, ending, owner, forced, expires from time_claims order by 1, 2, 4")


def installed(database: Any) -> Installation:
    """An installation in one database of the tests' server."""
    home = database.postgres.home
    return Installation(home.path / "restores", home.secrets(), {role: database.url(role) for role in ROLES}, dict.fromkeys(ROLES, "nats://nowhere:1"))


def asked(database: Any, statement: str, *params: Any) -> list[Any]:
    with psycopg.connect(database.superuser_url) as conn:
        return conn.execute(statement, params).fetchall()


def dumped(database: Any) -> bytes:
    program = database.postgres._program("pg_dump")
    return subprocess.run([program, "--no-owner", "--statistics", "-d", database.superuser_url], capture_output=True, check=True).stdout


def opened(database: Any, *folders: Path) -> bytes:
    """Everything in a backup, unpacked, and the key store opened with the key."""
    kek = database.settings("owner").kek
    content = b""
    for path in (path for folder in folders for path in folder.iterdir()):
        raw = path.read_bytes()
        content += raw + (zlib.decompress(raw, wbits=31) if path.suffix == ".gz" else b"".join(sealed.unsealed(path, kek)) if path.suffix == ".sealed" else b"")
    return content


def found_in(everything: bytes) -> set[str]:
    folded = everything.lower()
    return {secret for secret in SECRETS if any(form.lower() in folded for form in forms(secret))}


@dataclass
class House:
    """A clinic at work, and where its backups go."""

    web: Any
    database: Any
    boss: Any
    email: str
    patient: UUID
    other: UUID
    history: Path
    keys: Path
    heads: Path
    registered: int = 0  # positions: the patient is there
    first: int = 0  # where the last backup ended
    starts: tuple[int, ...] = ()  # of its files
    claims: tuple[Any, ...] = ()  # as they were then

    def wish(self, until: int | datetime | None = None, *, none_later: bool = True, erasures: tuple[Path, ...] = ()) -> Wish:
        return Wish(self.history, self.keys, until, list(erasures), none_later)

    def notary(self) -> Notary:
        settings = self.database.settings("owner")
        return Notary(self.database.url("notary"), settings.mac_key, Seal(settings.audit_key), self.heads)

    def restored(self, into: Any, wish: Wish) -> int:
        installation = installed(into)
        return put(installation, wish, look(installation.settings("owner"), wish))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(module_database, make_nats, tmp_path_factory):
    nats = make_nats()
    async with working(module_database, nats), served(module_database, nats) as web:
        clinic = await web.clinic()
        email = await web.account(clinic, "admin")
        boss = await web.person(clinic, "admin")
        other = (await boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})).json()["id"]
        made = await boss("POST", "/patients", PLANTED)
        hook = {"url": "https://hooks.example.org/anamnesis", "events": []}
        assert (await boss("POST", "/webhooks", hook)).status_code in {200, 201}
        assert (await boss("POST", "/rooms", {"name": "Room 1", "type": "operatory"})).status_code in {200, 201}
        places = [tmp_path_factory.mktemp(name) for name in ("history", "keys", "heads")]
        here = House(web, module_database, boss, email, UUID(made.json()["id"]), UUID(other), *places, registered=int(made.headers["x-position"]))
        assert here.notary().round()
        yield here


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_table_has_its_place(database):
    there = {name for (name,) in asked(database, "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace")}
    models = {f"{name}_v{version}" for name, version in asked(database, "select name, version from read_models")}
    placed = [*tables.HISTORY, *tables.KEPT, *tables.MADE, *tables.LEFT]
    assert sorted(there - models) == sorted(placed)


async def test_a_backup_is_taken_while_everything_goes_on(house):
    async def load() -> None:
        while not done.is_set():
            await house.boss("POST", "/patients", {"givenName": "Noor", "familyName": "Jansen"})

    done = asyncio.Event()
    busy = [asyncio.create_task(load()) for _ in range(4)]
    taken = await asyncio.to_thread(back_up, installed(house.database), house.history, house.keys)
    done.set()
    await asyncio.gather(*busy)
    house.first = taken.position
    assert [segment.last for segment in taken.segments] == [taken.position]
    assert keystore.told(house.keys / keystore.NAME).position == taken.position
    assert (house.keys / keystore.NAME).stat().st_mode & 0o77 == 0
    assert found_in(opened(house.database, house.history, house.keys)) == set()  # sealed, in both
    raw = opened(house.database, house.history)
    assert b"PatientRegistered" in raw
    secrets = house.database.postgres.home.secrets()
    assert not [name for name in ("kek", "mac_key") if bytes.fromhex(secrets[name]) in raw or secrets[name].encode() in raw]


async def test_what_is_new_is_added_and_the_key_store_replaced(house):
    before = (house.keys / keystore.NAME).read_bytes()
    kept = {path.name: path.stat().st_mtime_ns for path in house.history.glob("*.gz")}
    assert (await house.boss("POST", "/rooms", {"name": "Room 2", "type": "operatory"})).status_code in {200, 201}
    taken = await asyncio.to_thread(back_up, installed(house.database), house.history, house.keys)
    assert taken.segments[-1].first == house.first + 1
    assert {name: (house.history / name).stat().st_mtime_ns for name in kept} == kept
    assert (house.keys / keystore.NAME).read_bytes() != before
    assert [path.name for path in house.keys.iterdir() if path.suffix == ".sealed"] == [keystore.NAME]
    house.first, house.starts = taken.position, tuple(segment.first for segment in taken.segments)
    house.claims = tuple(asked(house.database, statement) for statement in CLAIMS)


async def test_another_data_directory_serves_what_was_backed_up_but_for_whoever_was_erased_since(house, make_nats):
    assert found_in(dumped(house.database)) >= {"Xanthippe", "Quirrenbach"}
    house.notary().round()
    ask = {"kind": "patients", "personId": str(house.patient), "reason": "She asked to be forgotten", "despiteRetention": True}
    report = await house.boss("POST", "/privacy/erasures", ask)
    assert report.status_code == 200, report.text
    house.notary().round(every=False)
    [line] = ledger.read(house.heads)
    assert line.event.topic == "PersonErased"
    assert found_in((house.heads / ledger.NAME).read_bytes()) == set()
    with pytest.raises(Trouble, match="--no-later-erasures"):
        look(installed(house.database).settings("owner"), house.wish(none_later=False))

    folder = temporary_directory()
    secrets = folder / "apart.json"
    shutil.copy(house.database.postgres.home.path / "secrets.json", secrets)
    data_dir = folder / "data"
    wish = house.wish(none_later=False, erasures=(house.heads,))
    await asyncio.to_thread(lambda: restoring.restore(to_restore_into(data_dir, secrets), wish))
    home = Home(data_dir)
    assert {name: home.secrets()[name] == house.database.postgres.home.secrets()[name] for name in ("kek", "mac_key", "bus_key", "owner_password")} == {
        "kek": True, "mac_key": True, "bus_key": False, "owner_password": False}
    postgres = EmbeddedPostgres(home)
    postgres.start()
    try:
        there = Database(postgres, "anamnesis")
        assert found_in(dumped(there)) == set()
        assert asked(there, "select given_name, archived from patients where id = %s", house.patient) == [(None, True)]
        assert asked(there, "select notification_id, topic from stored_events where notification_id > %s order by 1", house.first) == [
            (house.first + 1, "PersonErased"), (house.first + 2, "PatientArchived")]
        assert tuple(asked(there, statement) for statement in CLAIMS) == house.claims
        settings = there.settings("owner")
        with psycopg.connect(there.url("owner")) as conn:
            assert verify_history(conn, settings.mac_key, Seal(settings.audit_key).public, data_dir / "heads").findings == []
        nats = make_nats()
        async with working(there, nats), served(there, nats) as web:
            await serves(house, web)
        postgres.stop()
        home.release()
        shutil.copytree(house.history, folder / "history")
        with to_back_up(data_dir) as stopped:  # of which nothing runs
            taken = await asyncio.to_thread(back_up, stopped, folder / "history", folder / "keys")
        assert [segment.first for segment in taken.segments] == [*house.starts, house.first + 1]
    finally:
        postgres.stop()
        home.release()
        shutil.rmtree(folder)


async def serves(house: House, web: Web) -> None:
    """Somebody signs in, reads, meets what is taken, writes, and listens from wherever they were."""
    assert (await web.sign_in(house.email, "not " + PASSWORD)).status_code == 401
    answer = await web.sign_in(house.email)
    assert answer.status_code == 200, answer.text
    boss = Person(web, answer.json())
    assert (await boss("GET", f"/patients/{house.other}")).json()["familyName"] == "Jansen"
    failure(await boss("POST", "/rooms", {"name": "Room 1", "type": "operatory"}), 409, "NAME_TAKEN")
    made = await boss("POST", "/rooms", {"name": "Room 3", "type": "operatory"})
    assert int(made.headers["x-position"]) == house.first + 4  # the erasure and the session came between
    rooms = (await boss("GET", "/rooms", headers=await boss.seen(made))).json()["items"]
    assert {room["name"] for room in rooms} == {"Room 1", "Room 2", "Room 3"}
    for at in (STREAM, FEED):
        async with listening(boss, at=at, **{"last-event-id": str(house.first + 1)}) as lost:  # which was another event where it was heard
            assert (lost.named, lost.events, lost.last_id) == (["resync"], [], f"{house.first + 4}-1")
    async with listening(boss, "?types=RoomAdded", **{"last-event-id": str(house.registered)}) as known:
        assert await known.names(3) == ["Room 1", "Room 2", "Room 3"]
        assert known.named == ["RoomAdded"] * 3
    async with listening(boss, "?types=RoomAdded", **{"last-event-id": f"{house.first + 1}-1"}) as resumed:
        assert await resumed.names(1) == ["Room 3"]
        assert resumed.last_id.endswith("-1")
    async with listening(boss, **{"last-event-id": f"{house.first + 999}-1"}) as ahead:
        assert ahead.named == ["resync"]


async def test_a_new_backup_cannot_tell_of_whoever_was_erased(house):
    await asyncio.to_thread(back_up, installed(house.database), house.history, house.keys)
    assert asked(house.database, "select wrapped from person_keys where person = %s", house.patient) == [(None,)]
    line = next(line for line in opened(house.database, house.keys).split(b"\n") if line.startswith(str(house.patient).encode()) and line.count(b"\t") == 5)
    assert line.split(b"\t")[3] == rb"\N"
    assert found_in(opened(house.database, house.history, house.keys)) == set()


def damaged(house: House, tmp_path: Path) -> tuple[Path, Path]:
    copies = tmp_path / "history", tmp_path / "keys"
    for source, copy in zip((house.history, house.keys), copies, strict=True):
        shutil.copytree(source, copy)
    return copies


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("harm", "file", "said"), [
    (cut, "events-*.gz", "cut short"), (flip, "events-*.gz", "checksum"), (Path.unlink, "events-*.gz", "missing"), (flip, "heads-*.gz", "checksum"),
    (cut, NAME, "signature|cut short"), (flip, NAME, "signature|cut short"), (Path.unlink, NAME, "no backup that was finished"),
])
async def test_a_damaged_history_is_refused_before_anything_is_touched(house, tmp_path, harm, file, said):
    history, keys = damaged(house, tmp_path)
    harm(min(history.glob(file)))
    with pytest.raises(Trouble, match=said):
        look(installed(house.database).settings("owner"), Wish(history, keys, None, [], none_later=True))


@pytest.mark.parametrize("harm", [cut, flip])
async def test_a_damaged_key_store_is_refused(house, tmp_path, harm):
    _, keys = damaged(house, tmp_path)
    harm(keys / keystore.NAME)
    with pytest.raises(Trouble, match="damaged"):
        list(sealed.unsealed(keys / keystore.NAME, house.database.settings("owner").kek))


async def test_what_does_not_belong_together_is_refused(house, tmp_path, make_database):
    settings = installed(house.database).settings("owner")
    with pytest.raises(Trouble, match="must not lie with"):
        back_up(installed(house.database), house.history, house.history / "keys")
    with pytest.raises(Trouble, match="in no backup"):
        to_restore_into(tmp_path / "new", None)
    with pytest.raises(Trouble, match="sealed under key-encryption key"):
        list(sealed.unsealed(house.keys / keystore.NAME, bytes(32)))
    with pytest.raises(Trouble, match="events in this database already"):
        put(installed(house.database), house.wish(), look(settings, house.wish()))
    with pytest.raises(Trouble, match="another history"):
        back_up(installed(make_database()), house.history, tmp_path / "k")
    with pytest.raises(Trouble, match="positions 1 to"):
        look(settings, house.wish(10**9))
    with pytest.raises(Trouble, match="no signed head"):
        look(settings, house.wish(none_later=False, erasures=(tmp_path,)))
    with pytest.raises(Trouble, match="older than the backup"):
        look(settings, house.wish(none_later=False, erasures=(house.heads,)))
    forged = ledger.read(house.heads)[0]
    shutil.copytree(house.heads, tmp_path / "heads")
    with (tmp_path / "heads" / ledger.NAME).open("ab") as file:
        file.write(b'{"event": {"posi')  # and there the power went
    assert len(ledger.read(tmp_path / "heads")) == 1
    ledger.append(tmp_path / "heads", [msgspec.structs.replace(forged, event=msgspec.structs.replace(forged.event, mac=bytes(32)))])
    assert len(ledger.read(tmp_path / "heads")) == 2
    with pytest.raises(Trouble, match="evidence"):
        look(msgspec.structs.replace(settings, heads=house.heads), house.wish())
    with pytest.raises(Trouble, match="did not write"):
        look(settings, house.wish(erasures=(tmp_path / "heads",)))


async def test_moments_are_positions_or_instants():
    assert (moment(None), moment("17"), moment("2026-02-01T18:00:00Z")) == (None, 17, datetime(2026, 2, 1, 18, tzinfo=UTC))
    for text, said in (("yesterday", "neither"), ("2026-02-01T18:00:00", "UTC")):
        with pytest.raises(Trouble, match=said):
            moment(text)


def child(database: Any, data_dir: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """The real command, on a database of the tests' server."""
    data_dir.mkdir(exist_ok=True)
    shutil.copy(database.postgres.home.path / "secrets.json", data_dir)
    env = {**os.environ, "ANAMNESIS_DATABASE_URL": database.url("owner"), "ANAMNESIS_NATS_URL": "nats://nowhere:1"}
    command = [sys.executable, "-m", "anamnesis", *map(str, arguments), "--data-dir", str(data_dir)]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


async def test_a_backup_that_is_killed_leaves_the_one_before(house, tmp_path):
    history, keys = tmp_path / "history", tmp_path / "keys"
    with psycopg.connect(house.database.url("owner")) as conn:
        conn.execute("lock table signed_heads in access exclusive mode")
        killed = child(house.database, tmp_path / "data", "backup", history, "--keys", keys)

        async def written() -> bool:
            assert killed.poll() is None, killed.stderr.read()
            return any(history.glob("events-*.gz"))

        await until(written, 30)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    with pytest.raises(Trouble, match="no backup that was finished"):
        look(installed(house.database).settings("owner"), Wish(history, keys, None, [], none_later=True))
    (history / "events-000000000001-000000000999.gz").write_bytes(b"left over")
    taken = await asyncio.to_thread(back_up, installed(house.database), history, keys)
    assert {path.name for path in history.glob("*.gz")} == {file.name for file in (*taken.segments, *taken.signatures)}


async def test_a_restore_that_is_killed_lets_nobody_begin_and_the_next_one_goes_to_any_moment(house, tmp_path, make_database):
    there = make_database()
    killed = child(there, tmp_path / "data", "restore", house.history, "--keys", house.keys, "--no-later-erasures")

    async def filled() -> bool:
        assert killed.poll() is None, killed.stderr.read()
        return asked(there, "select (select count(*) from restorations), (select count(*) from stored_events) > 0") == [(1, True)]

    await until(filled, 30)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with pytest.raises(Trouble, match="repeat `anamnesis restore`"):
        migrate(there.url("owner"))
    with pytest.raises(Trouble, match="nothing to back up"):
        back_up(installed(there), tmp_path / "h", tmp_path / "k")
    [(instant,)] = asked(house.database, "select recorded_at from stored_events where notification_id = %s", house.registered + 1)
    position = await asyncio.to_thread(house.restored, there, house.wish(instant))
    migrate(there.url("owner"))
    assert position == house.registered + 1
    assert asked(there, "select number, position from restorations") == [(1, position)]
    before = "select notification_id, encode(hash, 'hex') from stored_events where notification_id <= %s order by 1", position
    assert asked(there, *before) == asked(house.database, *before)
    assert asked(there, "select url from webhook_targets") == [("https://hooks.example.org/anamnesis",)]
    assert asked(there, "select count(*) from rooms") == [(0,)]
    assert {error for (error,) in asked(there, "select error from webhook_deliveries")} <= {UNKNOWN}
    assert found_in(dumped(there)) == set()  # though she was there at that moment
    assert asked(there, "select topic from stored_events order by notification_id desc limit 2") == [("PatientArchived",), ("PersonErased",)]
    assert verify_models(there.url("owner"), kek=there.settings("owner").kek).equal


async def test_what_does_not_run_is_backed_up_too(house, tmp_path):
    with pytest.raises(Trouble, match="nothing runs in"), to_back_up(tmp_path / "nowhere"):
        pass
