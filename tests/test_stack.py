"""The embedded stack and its supervisor, tried on the real programs."""

import asyncio
import inspect
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import nats
import psycopg
import pytest
from nats.errors import NoServersError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from psycopg.errors import InsufficientPrivilege, OperationalError

from anamnesis import supervisor
from anamnesis.installation import DATABASE_ROLE, Installation, is_external, with_login
from anamnesis.migrations import applied, migrate
from anamnesis.scratch import Scratch, temporary_directory, until
from anamnesis.settings import NEEDS, SECRETS, Settings
from anamnesis.stack import EmbeddedNats, EmbeddedPostgres, Home, home
from anamnesis.stack.process import alive, spawn, terminate
from anamnesis.supervisor import Service, Supervisor
from anamnesis.trouble import Trouble
from anamnesis.up import healthy
from gateway.kit.tokens import Keys

PROCESS_ROLES = ("gateway", "relay", "projector", "courier", "notary", "builder")
URLS = dict.fromkeys(("owner", *PROCESS_ROLES), "postgresql://x"), dict.fromkeys(PROCESS_ROLES, "nats://x")


@pytest.fixture
def folder():
    path = temporary_directory()
    yield path
    shutil.rmtree(path)


# --- Postgres


def test_every_role_is_an_ordinary_one(postgres):
    with psycopg.connect(postgres.superuser_url()) as connection:
        rows = connection.execute(
            "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit"
            " from pg_roles where rolname like 'anamnesis%' order by 1",
        ).fetchall()
    names = ["anamnesis_courier", "anamnesis_gateway", "anamnesis_notary", "anamnesis_owner", "anamnesis_projector", "anamnesis_relay"]
    assert [row[0] for row in rows] == names
    assert not any(any(row[1:]) for row in rows)


@pytest.mark.parametrize("role", [role for role in PROCESS_ROLES if role not in DATABASE_ROLE])
def test_a_process_can_neither_create_nor_take_over(database, role):
    with psycopg.connect(database.url(role), autocommit=True) as connection:
        for statement in ("create table mine (x int)", "create temp table mine (x int)", "create schema mine", "set role anamnesis_owner"):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)


def test_nobody_enters_without_the_right_password(postgres):
    place = {"host": str(postgres.sockets), "port": 5432, "dbname": "anamnesis"}
    for user in ("postgres", "anamnesis_owner", "anamnesis_gateway"):
        for password in (None, "wrong"):
            with pytest.raises(OperationalError):
                psycopg.connect(user=user, password=password, **place)


def test_a_stranger_with_a_login_may_not_connect(postgres, database):
    with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
        connection.execute("create role stranger login password 'stranger'")
        try:
            for name in ("anamnesis", database.name):
                with pytest.raises(OperationalError, match="permission denied"):
                    psycopg.connect(with_login(postgres.url("owner", name), "stranger", "stranger"))
        finally:
            connection.execute("drop role stranger")


def test_it_is_durable_and_heard_on_its_socket_only(postgres, durable):
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "password_encryption": "scram-sha-256",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
    }
    with psycopg.connect(postgres.url("owner")) as connection:
        found = {name: connection.execute("select current_setting(%s)", [name]).fetchone()[0] for name in wanted}
        methods = connection.execute("select current_setting('server_version_num')::int / 10000").fetchone()
    assert found == wanted
    assert methods == (18,)
    with psycopg.connect(postgres.superuser_url()) as connection:
        rules = connection.execute("select type, auth_method from pg_hba_file_rules").fetchall()
    assert rules == [("local", "scram-sha-256")]
    assert stat.S_IMODE(postgres.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(postgres.sockets.stat().st_mode) == 0o700


def test_secrets_are_private_and_made_once(folder):
    home = Home(folder)
    first = home.secrets()
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    assert Home(folder).secrets() == first
    assert len(set(first.values())) == len(first)
    for kind in NEEDS:
        settings = Installation(folder, first, *URLS).settings(kind)
        shown = repr(settings)
        assert not any(value in shown for value in first.values())


def test_a_fresh_key_signs_while_the_old_one_is_read_until_it_is_dropped(folder):
    def keys():
        return Keys(Settings.read("gateway", Installation(folder, Home(folder).secrets(), *URLS).settings("gateway").environment()).signing_key)

    before = Home(folder).secrets()
    old = keys()
    assert Home(folder).rotate(drop=False) == 2
    both = keys()
    assert both.kid != old.kid
    assert [key["kid"] for key in both.jwks()["keys"]] == [both.kid, old.kid]
    assert Home(folder).rotate(drop=True) == 1
    assert [key["kid"] for key in keys().jwks()["keys"]] == [both.kid]
    assert {name for name, value in Home(folder).secrets().items() if value != before[name]} == {"signing_key"}
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600


def test_the_key_encryption_key_is_changed_and_the_ones_before_can_be_dropped(folder):
    def kek() -> bytes:
        return Settings.read("projector", Installation(folder, Home(folder).secrets(), *URLS).settings("projector").environment()).kek

    old = kek()
    assert Home(folder).rotate_kek(drop=False) == 2
    both = kek()
    assert (len(both), both[32:]) == (64, old)
    assert Home(folder).rotate_kek(drop=True) == 1
    assert kek() == both[:32]


def test_each_process_is_told_only_what_it_needs(folder):
    home = Home(folder)
    told = {kind: Installation(folder, home.secrets(), *URLS).settings(kind).environment() for kind in PROCESS_ROLES}
    keys = {kind: {name for name in SECRETS if f"ANAMNESIS_{name.upper()}" in env} for kind, env in told.items()}
    assert keys == {"gateway": {"mac_key", "bus_key", "kek", "signing_key"}, "relay": {"bus_key"}, "projector": {"bus_key", "kek"}, "courier": {"kek"}, "notary": {"mac_key", "audit_key"}, "builder": {"kek"}}
    for kind, env in told.items():
        assert Settings.read(kind, env).environment() == env


def test_committed_rows_survive_kill_nine_and_a_reused_process_id(folder):
    server = EmbeddedPostgres(folder)
    server.start()
    with psycopg.connect(server.url("owner")) as connection:
        connection.execute("create table kept (x int)")
        connection.execute("insert into kept values (7)")
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    other = spawn(["sleep", "60"])  # by now the number belongs to somebody else
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        _start_patiently(server)
        with psycopg.connect(server.url("owner")) as connection:
            assert connection.execute("select x from kept").fetchall() == [(7,)]
    finally:
        terminate(other, signal.SIGKILL, 5)
        server.stop()
        server.home.release()


def test_a_second_start_goes_on_where_the_first_was(folder):
    for expected in ([], [(1,)]):
        server = EmbeddedPostgres(folder)
        server.start()
        with psycopg.connect(server.url("owner")) as connection:
            connection.execute("create table if not exists kept (x int)")
            assert connection.execute("select x from kept").fetchall() == expected
            connection.execute("insert into kept values (1)")
        server.stop()
        server.home.release()
    assert "was not properly shut down" not in server.log.read_text()


def test_a_data_directory_in_use_is_refused_in_one_line(folder):
    with Home(folder).path.joinpath("lock").open("w"):
        first = Home(folder)
        first.claim()
        with pytest.raises(Trouble, match=f"is in use by process {os.getpid()}$") as refusal:
            Home(folder).claim()
        assert "\n" not in str(refusal.value)
        first.release()
        Home(folder).claim()


def test_another_layout_or_another_postgres_is_refused_in_one_line(folder):
    Home(folder).claim()
    (folder / "LAYOUT").write_text("anamnesis-0 postgres-16\n")
    with pytest.raises(Trouble, match="made by another version"):
        Home(folder).claim()
    (folder / "LAYOUT").unlink()
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(Trouble, match="postgres-16"):
        Home(folder).claim()


def test_a_long_path_gets_a_short_socket(folder):
    deep = folder / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    server = EmbeddedPostgres(deep)
    try:
        server.start()
        assert len(str(server.sockets)) < 60
    finally:
        server.stop()
        shutil.rmtree(server.sockets, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop its rights")
def test_under_root_it_runs_as_nobody_even_where_nobody_cannot_go(folder):
    folder.chmod(0o700)  # like /root
    server = EmbeddedPostgres(folder / "data")
    try:
        server.start()
        assert Path(f"/proc/{server.pid}").stat().st_uid == server.data.stat().st_uid != 0
        assert folder not in server.data.parents
    finally:
        server.stop()
        shutil.rmtree(server.data.parent, ignore_errors=True)
    folder.chmod(0o711)


# --- migrations


def test_a_migration_may_be_repeated_and_raced(database):
    url = database.url("owner")
    before = applied(url)
    racers = [subprocess.Popen([sys.executable, "-c", "import sys; from anamnesis.migrations import migrate; migrate(sys.argv[1])", url])
              for _ in range(3)]  # fmt: skip
    assert [racer.wait() for racer in racers] == [0, 0, 0]
    assert applied(url) == before != []


def test_only_the_owner_migrates(database):
    with pytest.raises(Trouble, match="only the owner"):
        migrate(database.url("gateway"))


# --- NATS


async def _connect(server: EmbeddedNats, user: str, refused: list[str]):
    async def note(error):
        refused.append(str(error))

    return await nats.connect(server.url(user), error_cb=note, allow_reconnect=False)


async def _refused(server, user, *, publish=None, subscribe=None) -> bool:
    refused: list[str] = []
    connection = await _connect(server, user, refused)
    if publish:
        await connection.publish(publish, b"{}")
    if subscribe:
        await connection.subscribe(subscribe)
    await connection.flush()
    async with asyncio.timeout(5):
        await connection.flush()
    await connection.close()
    return any("ermissions" in line for line in refused)


async def test_only_the_relay_publishes_events(nats_server):
    assert not await _refused(nats_server, "relay", publish="events.0")
    for user in ("projector", "gateway", "courier"):
        assert await _refused(nats_server, user, publish="events.0")
    assert await _refused(nats_server, "relay", publish="events.0.deeper")


async def test_each_user_does_its_own_work_only(nats_server):
    may = [
        ("gateway", {"publish": "hints.committed"}),
        ("gateway", {"publish": "control.grants"}),
        ("gateway", {"subscribe": "events.3"}),
        ("gateway", {"subscribe": "applied.3"}),
        ("projector", {"publish": "applied.3"}),
        ("projector", {"subscribe": "control.heartbeat"}),
        ("courier", {"subscribe": "control.heartbeat"}),
        ("relay", {"publish": "control.heartbeat"}),
        ("relay", {"subscribe": "hints.committed"}),
    ]
    must_not = [
        ("gateway", {"publish": "applied.3"}),
        ("gateway", {"publish": "control.heartbeat"}),
        ("gateway", {"subscribe": "_INBOX.>"}),
        ("gateway", {"publish": "$JS.API.STREAM.PURGE.EVENTS"}),
        ("gateway", {"publish": "$JS.API.STREAM.CREATE.EVENTS"}),
        ("projector", {"publish": "control.grants"}),
        ("projector", {"publish": "hints.committed"}),
        ("projector", {"publish": "$JS.API.STREAM.DELETE.EVENTS"}),
        ("projector", {"publish": "$JS.API.STREAM.CREATE.OTHER"}),
        ("projector", {"subscribe": ">"}),
        ("projector", {"subscribe": "events.0"}),
        ("courier", {"publish": "hints.committed"}),
        ("courier", {"publish": "control.heartbeat"}),
        ("courier", {"subscribe": "events.0"}),
        ("courier", {"subscribe": "control.sessions"}),
        ("relay", {"publish": "control.grants"}),
        ("relay", {"publish": "$JS.API.STREAM.DELETE.EVENTS"}),
        ("relay", {"subscribe": "events.>"}),
    ]
    for user, action in may:
        assert not await _refused(nats_server, user, **action), (user, action)
    for user, action in must_not:
        assert await _refused(nats_server, user, **action), (user, action)


async def test_nats_lets_nobody_in_without_the_right_password(nats_server):
    for login in ("", "relay:wrong@", "stranger:stranger@"):
        with pytest.raises((NoServersError, nats.errors.Error)):
            await nats.connect(f"nats://{login}127.0.0.1:{nats_server.port}", allow_reconnect=False, connect_timeout=2)


async def test_the_rights_suffice_for_a_stream_and_its_consumer(nats_server):
    refused: list[str] = []
    relay, projector = [await _connect(nats_server, user, refused) for user in ("relay", "projector")]
    stream = relay.jetstream()
    await stream.add_stream(StreamConfig("EVENTS", subjects=["events.*"], allow_direct=True))
    config = ConsumerConfig(name="p-1", filter_subjects=["events.0", "events.1"], ack_policy=AckPolicy.NONE, inactive_threshold=30)
    consumer = await projector.jetstream().add_consumer("EVENTS", config)
    inbox = projector.new_inbox()
    heard = await projector.subscribe(inbox)
    await stream.publish("events.0", b"[]", headers={"Nats-Msg-Id": "1"})
    assert (await stream.get_last_msg("EVENTS", "events.0", direct=True)).data == b"[]"
    await projector.publish(f"$JS.API.CONSUMER.MSG.NEXT.EVENTS.{consumer.name}", b'{"batch": 1}', reply=inbox)
    assert (await heard.next_msg(5)).data == b"[]"
    await projector.jetstream().delete_consumer("EVENTS", consumer.name)
    assert refused == []
    for connection in (relay, projector):
        await connection.close()


async def test_a_purged_nats_forgets_its_stream_and_keeps_its_port(nats_server):
    port = nats_server.port
    relay = await _connect(nats_server, "relay", [])
    await relay.jetstream().add_stream(StreamConfig("EVENTS", subjects=["events.*"]))
    await relay.close()
    nats_server.stop()
    nats_server.purge_store()
    nats_server.start()
    assert nats_server.port == port
    relay = await _connect(nats_server, "relay", [])
    with pytest.raises(nats.js.errors.NotFoundError):
        await relay.jetstream().stream_info("EVENTS")
    await relay.close()


def test_a_nats_that_runs_is_not_purged(nats_server):
    with pytest.raises(Trouble):
        nats_server.purge_store()


# --- settings


def test_a_missing_or_wrong_setting_is_named_and_never_shown(folder):
    good = Installation.embedded(Home(folder)).settings("gateway").environment()
    for name, bad in [("MAC_KEY", "0badc0de"), ("KEK", "zz" * 32), ("SIGNING_KEY", "no pem"), ("DATABASE_URL", "mysql://secret"), ("PORT", "99999"),
                      ("BUS_KEY", ""), ("GATEWAYS", "none"), ("REGISTRATION", "sometimes")]:  # fmt: skip
        if bad:
            with pytest.raises(Trouble, match=f"^ANAMNESIS_{name} must") as refusal:
                Settings.read("gateway", {**good, f"ANAMNESIS_{name}": bad})
            assert bad not in str(refusal.value)
        else:
            with pytest.raises(Trouble, match=f"^ANAMNESIS_{name} is not set$"):
                Settings.read("gateway", {**good, f"ANAMNESIS_{name}": bad})


def test_half_an_external_installation_is_refused():
    assert not is_external({})
    assert is_external({"ANAMNESIS_DATABASE_URL": "postgresql://x", "ANAMNESIS_NATS_URL": "nats://x"})
    with pytest.raises(Trouble, match="set both"):
        is_external({"ANAMNESIS_NATS_URL": "nats://x"})


def test_an_external_installation_replaces_logins_only(folder):
    env = {
        "ANAMNESIS_DATABASE_URL": "postgresql://boss:pw@db.example:5433/clinics?sslmode=require",
        "ANAMNESIS_NATS_URL": "nats://bus.example:4222",
        "ANAMNESIS_GATEWAY_PASSWORD": "p@ss",
    }
    installation = Installation.external(Home(folder), env)
    assert installation.database_urls["gateway"] == "postgresql://anamnesis_gateway:p%40ss@db.example:5433/clinics?sslmode=require"
    assert installation.nats_urls["relay"].endswith("@bus.example:4222")
    assert installation.admin_url == env["ANAMNESIS_DATABASE_URL"]


# --- the supervisor


SUPERVISED = """
import signal, subprocess, sys
from pathlib import Path
from anamnesis.stack.process import spawn
from anamnesis.supervisor import Service, Supervisor
folder = Path(sys.argv[1])
script = "import signal, sys, time; from pathlib import Path\\n" \
    "def end(*_):\\n    Path(sys.argv[2]).open('a').write(sys.argv[1] + ' '); sys.exit()\\n" \
    "signal.signal(signal.SIGTERM, end); Path(sys.argv[3]).touch()\\nwhile True: signal.pause()"
with Supervisor(lambda line: print(line, flush=True), folder / "run.json") as supervisor:
    for rank, name in enumerate(("database", "worker", "gateway")):
        command = [sys.executable, "-c", script, name, folder / "ends", folder / (name + ".up")]
        supervisor.add(Service(name, rank, lambda command=command: spawn(command)))
    supervisor.run()
"""


@pytest.fixture
def supervised(folder):
    process = subprocess.Popen([sys.executable, "-c", SUPERVISED, folder], stdout=subprocess.PIPE, text=True)
    until(lambda: all((folder / f"{name}.up").exists() for name in ("database", "worker", "gateway")), 20, "the children do not start")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def _processes(folder: Path) -> dict[str, int]:
    return json.loads((folder / "run.json").read_text())["processes"]


def test_children_stop_in_order(supervised, folder):
    supervised.send_signal(signal.SIGINT)
    assert supervised.wait(20) == 0
    assert (folder / "ends").read_text().split() == ["gateway", "worker", "database"]
    assert not (folder / "run.json").exists()


def test_ctrl_c_at_any_line_of_a_start_ends_all_that_was_started(folder):
    """The start is stepped through; at each of its lines, once, somebody presses Ctrl-C."""
    here, children = {inspect.getsourcefile(supervisor), inspect.getsourcefile(home)}, []

    def start():
        children.append(spawn(["sleep", "600"]))
        return children[-1]

    def interrupted(at: int) -> bool:
        lines = count(1)

        def step(frame, event, _):
            if frame.f_code.co_filename in here and event == "line" and next(lines) == at:
                signal.raise_signal(signal.SIGINT)
            return step

        with suppress(KeyboardInterrupt), Supervisor(print, folder / "run.json") as running:
            sys.settrace(step)
            try:
                running.add(Service("database", 0, start))
                running.add(Service("worker", 1, start))
            finally:
                sys.settrace(None)
            if over := next(lines) <= at:
                signal.raise_signal(signal.SIGINT)
            running.run()
            return not over
        return True

    stepped = next(at for at in count(1) if not interrupted(at))
    assert stepped > 40
    assert len(children) > stepped
    assert [child.poll() for child in children] == [-signal.SIGTERM] * len(children)
    assert not list(folder.glob("run.json*"))


def test_ctrl_c_breaks_off_what_may_be_broken_off(folder):
    began = []
    with suppress(KeyboardInterrupt), Supervisor(print, folder / "run.json") as running, running.interruptible():
        began.append("once")
        signal.raise_signal(signal.SIGINT)
        began.append("and went on")
    with suppress(KeyboardInterrupt), Supervisor(print, folder / "run.json") as running:
        signal.raise_signal(signal.SIGINT)
        with running.interruptible():
            began.append("twice")
    assert began == ["once"]


def test_a_child_that_dies_is_started_again_later_and_later_and_visibly(supervised, folder):
    for wait in ("0.2", "0.4", "0.8"):
        victim = _processes(folder)["worker"]
        os.kill(victim, signal.SIGKILL)
        line = supervised.stdout.readline()
        assert line == f"worker died (killed by SIGKILL), next start in {wait} s\n"
        until(lambda victim=victim: _processes(folder).get("worker", victim) != victim, 10, "not started again")
    assert set(_processes(folder)) == {"database", "worker", "gateway"}


def test_killing_the_supervisor_leaves_no_orphan(supervised, folder):
    children = list(_processes(folder).values())
    supervised.kill()
    supervised.wait()
    until(lambda: not any(map(alive, children)), 10, "somebody outlived the supervisor")


# --- the command line


def anamnesis(*arguments, **env):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANAMNESIS_")}
    command = [sys.executable, "-m", "anamnesis", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**clean, **env}, check=False)


def is_one_line(done, word: str) -> bool:
    return done.returncode == 2 and done.stderr.count("\n") == 1 and word in done.stderr and "Traceback" not in done.stdout + done.stderr


def test_a_taken_port_is_one_clear_line(folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert is_one_line(anamnesis("up", "--data-dir", folder, "--port", port), f"port {port}")


def test_a_directory_in_use_is_one_clear_line(folder):
    home = Home(folder)
    home.claim()
    assert is_one_line(anamnesis("up", "--data-dir", folder, "--port", 0), "in use by process")
    home.release()


def test_a_command_beside_nothing_says_so(folder):
    assert is_one_line(anamnesis("status", "--data-dir", folder), "nothing runs in")
    assert is_one_line(anamnesis("gateway"), "ANAMNESIS_DATABASE_URL is not set")


def _start_patiently(server: EmbeddedPostgres) -> None:
    """As the supervisor does: old backends may need a moment to notice that their postmaster is gone."""

    def started() -> bool:
        try:
            server.start()
        except Trouble:
            return False
        return True

    until(started, 30, "Postgres does not come back")


def test_logs_are_json_without_local_variables():
    code = """
import logging, structlog
from anamnesis.logs import configure
configure("relay")
structlog.get_logger().info("relay.leading", position=7)
try:
    patient = "Ada Lovelace"
    1 / 0
except ZeroDivisionError:
    logging.getLogger("other").exception("it failed")
"""
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    first, second = map(json.loads, lines)
    assert {"process": "relay", "event": "relay.leading", "position": 7, "level": "info"}.items() <= first.items()
    assert second["level"] == "error"
    assert "ZeroDivisionError" in second["exception"]
    assert "Ada" not in lines[1]


# --- everything at once


def _gets_well(stack: Scratch) -> None:
    until(lambda: healthy(stack.url), 30, "the gateway does not get well")


@pytest.fixture(scope="module")
def whole():
    """A stack of this file's own, for what is done to it."""
    with Scratch(gateways=2, projectors=2) as running:
        yield running


def test_up_runs_everything_and_says_how_to_fill_it(whole):
    assert set(whole.pids()) == {"postgres", "nats", "relay", "projector-1", "projector-2", "courier", "notary", "builder", "gateway-1", "gateway-2"}
    said = whole.output.read_text()
    assert f"{whole.url}/docs" in said
    assert "anamnesis demo --size small" in said
    assert not any(secret in said for secret in whole.installation.secrets.values())


def test_no_secret_is_on_a_command_line_and_no_child_has_more_than_its_own(whole):
    secrets = whole.installation.secrets
    for name, pid in whole.pids().items():
        line, env = (Path(f"/proc/{pid}/{file}").read_bytes().decode() for file in ("cmdline", "environ"))
        assert not any(secret in line for secret in secrets.values()), name
        kind = name.partition("-")[0]
        if kind in PROCESS_ROLES:
            held = {key for key in secrets if not key.endswith(("signing_key", "audit_key")) and secrets[key] in env}
            nats = {f"nats_{kind}_password"} if "nats_url" in NEEDS[kind] else set()
            assert held == {*({"mac_key", "bus_key", "kek"} & set(NEEDS[kind])), f"{DATABASE_ROLE.get(kind, kind)}_password", *nats}
            assert ("BEGIN PRIVATE KEY" in env) == (kind in {"gateway", "notary"}), name


@pytest.mark.parametrize("name", ["gateway-1", "relay", "projector-1", "courier", "notary", "builder", "nats", "postgres"])
def test_whoever_is_killed_comes_back(whole, name):
    before = whole.pids()
    victim = whole.kill(name)
    whole.revived(name, victim)
    _gets_well(whole)
    assert {other: pid for other, pid in whole.pids().items() if other != name} == {k: v for k, v in before.items() if k != name}
    assert f"{name} died (killed by SIGKILL), next start in" in whole.output.read_text()


def test_a_purged_nats_comes_back_empty(whole):
    kept = whole.data_dir / "nats" / "store" / "kept"
    kept.touch()
    whole.restart_nats(purge=True)
    assert not kept.exists()
    _gets_well(whole)


def test_none_of_the_processes_asks_nats_for_more_than_it_may(whole):
    assert "iolation" not in (whole.data_dir / "logs" / "nats.log").read_text()


def test_a_command_beside_a_running_stack_finds_it(whole):
    for arguments in (["status"], ["events", "tail"], ["migrate"], ["projections", "list"]):
        done = anamnesis(*arguments, "--data-dir", whole.data_dir)
        assert done.returncode == 0, (arguments, done.stderr)
    assert whole.url in anamnesis("status", "--data-dir", whole.data_dir).stdout


def test_a_gateway_that_dies_refuses_nobody_meanwhile(whole):
    for name in ("gateway-1", "gateway-2"):
        whole.kill(name)
    port = int(whole.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "


def test_stopped_it_leaves_nothing_running_and_goes_on_later(whole):
    children = list(whole.pids().values())
    assert whole.stop() == 0
    assert not any(map(alive, children))
    assert whole.output.read_text().endswith("Stopped.\n")
    whole.start()
    _gets_well(whole)


def test_killed_it_leaves_nothing_running_and_goes_on_at_once(whole):
    children = list(whole.pids().values())
    whole.process.kill()
    whole.process.wait()
    whole.start()
    assert not any(map(alive, children))
    _gets_well(whole)


def test_with_urls_in_the_environment_nothing_embedded_starts(postgres, make_nats, folder):
    bus = make_nats()
    with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
        connection.execute("create role boss login createrole createdb password 'boss'")
        connection.execute("grant anamnesis_owner, anamnesis_gateway, anamnesis_relay, anamnesis_projector, anamnesis_courier, anamnesis_notary to boss with admin option")
    try:
        env = {"ANAMNESIS_DATABASE_URL": with_login(postgres.url("owner", "elsewhere"), "boss", "boss"), "ANAMNESIS_NATS_URL": bus.url("relay")}
        passwords = {name: value for name, value in postgres.home.secrets().items() if name.endswith("_password")}
        passwords |= {name: value for name, value in bus.home.secrets().items() if name.startswith("nats_")}
        given = {f"ANAMNESIS_{name.upper()}": value for name, value in passwords.items()}
        with Scratch(env={**env, **given}) as stack:
            assert set(stack.pids()) == {"relay", "projector-1", "courier", "notary", "builder", "gateway-1"}
            _gets_well(stack)
            assert not (stack.data_dir / "postgres").exists()
            assert not (stack.data_dir / "nats").exists()
    finally:
        with psycopg.connect(postgres.superuser_url(), autocommit=True) as connection:
            connection.execute("drop database if exists elsewhere with (force)")
            connection.execute("drop owned by boss cascade")
            connection.execute("drop role boss")
