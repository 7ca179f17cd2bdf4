"""Letters from an event to a mailbox: each once, whatever dies; with a real Postgres, a real mail server and real processes."""

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace
from structlog.testing import capture_logs

from anamnesis.stack.process import spawn, terminate
from commands.email_templates import ChangeEmailTemplate, ChangeSystemTemplate, SendSampleLetter
from commands.kit.codes import Codes
from commands.letters import ResendLetter
from commands.patients import ChangePatient, RegisterPatient
from commands.rooms import AddRoom
from domain.kit import PLATFORM, Fact
from domain.kit.letters import TEMPLATES, letter
from domain.patients import PatientRegistered
from domain.rooms import RoomAdded
from projections.kit.lanes import Lanes
from tests.clinic import Town, handling, who
from tests.mail import MailServer, Only, Outbox, carrying, text
from tests.served import until
from workers.kit import policies
from workers.kit.policies import POLICIES, Digits, Letter, Link, Policy, To


@pytest.fixture
def server():
    with MailServer() as running:
        yield running


@pytest.fixture
def outbox(database):
    return Outbox(database)


@asynccontextmanager
async def town_of(database):
    """A clinic of today."""
    async with handling(database) as handler:
        yield await Town.open(handler, datetime.now(UTC))


async def ask(town, **wanted):
    """Have the doctor, an admin as well, ask for a sample letter."""
    me = who(town.id, "admin", town.doctor)
    return await town(SendSampleLetter(key="sample", **wanted), who=me)


def answering(monkeypatch, database, function, event):
    """Let a policy of this test answer an event, from now on."""
    monkeypatch.setitem(POLICIES, function.__name__, Policy(function, event.__name__))
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        policies.install(owner, [function.__name__])


def when_PatientRegistered(fact: Fact, event: PatientRegistered) -> Letter:  # noqa: N802
    link = Link("test.link", fact.id, "/welcome?token={token}", 600)
    return Letter("test.welcome", To("patients", fact.id), {"birthday": str(event.birth_date)}, link, Digits("test.code", fact.id, 600))


@pytest.fixture
def welcome(monkeypatch, database):
    """A letter to every new patient, with a link and a code in it."""
    words = ("Welcome {{name}}", "Dear {{name}}, born {{birthday}}:\n\n{{link}}\n\nor {{code}}")
    letter("test.welcome", "A test's.", {"birthday": "", "link": "", "code": ""}, en=words, es=words)
    answering(monkeypatch, database, when_PatientRegistered, PatientRegistered)
    yield
    del TEMPLATES["test.welcome"]


NOOR = {"given_name": "Noor", "family_name": "Bakker", "email": "noor@example.org", "birth_date": datetime(1990, 5, 17).date()}  # noqa: DTZ001


async def test_a_letter_arrives_once_and_is_whole(database, server, outbox):
    async with town_of(database) as town, carrying(database, server):
        await ask(town)
        await until(outbox.settled)
        (message,) = server.box.taken
        ((letter, status, attempts, language, kind, recipient),) = outbox.rows("id", "status", "attempts", "language", "recipient_kind", "recipient")
        assert (status, attempts, language, kind, recipient) == ("sent", 1, "en", "staff", town.doctor)
    assert message["To"] == "Dr Sam Visser <sam@example.org>"
    assert message["From"] == "Grachten <no-reply@127.0.0.1>"
    assert message["Subject"] == "A letter from Grachten"
    assert message["Message-ID"] == f"<{letter}@127.0.0.1>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert text(message).startswith("Dear Dr Sam Visser,\n\nThis is a letter to see")
    assert "<p>Dear Dr Sam Visser,</p>" in text(message, "html")


async def test_the_words_are_the_clinics_then_the_platforms_then_our_own(database, server, outbox):
    async with town_of(database) as town, carrying(database, server):
        root = who(PLATFORM, "superadmin")
        await town(ChangeSystemTemplate(key="sample", language="en", subject="The platform to {{name}}", body="Hello."), who=root)
        await ask(town)
        await until(outbox.settled)
        await town(ChangeEmailTemplate(key="sample", language="en", subject="{{clinic}} <b>to</b> {{name}}", body="Hello {{clinic}} & co."))
        await ask(town)
        await ask(town, language="es")
        await until(lambda: _taken(server, 3))
    assert {m["Subject"] for m in server.box.taken} == {"The platform to Dr Sam Visser", "Grachten <b>to</b> Dr Sam Visser", "Una carta de Grachten"}
    (own,) = (m for m in server.box.taken if "<b>" in m["Subject"])
    assert "Hello Grachten &amp; co." in text(own, "html")
    assert "&lt;b&gt;" in text(own, "html")


async def _taken(server, count):
    return len(server.box.taken) >= count


async def test_one_letter_an_event_with_three_couriers_and_the_feed(database, server, outbox, nats_server):
    async with town_of(database) as town, carrying(database, server, nats_server, count=3):
        await asyncio.gather(*(ask(town) for _ in range(40)))
        await until(lambda: _settled(outbox, 40), 20)
    assert outbox.states() == ["sent"] * 40
    assert len({m["Message-ID"] for m in server.box.taken}) == len(server.box.taken) == 40


async def _settled(outbox, count):
    return len(outbox.states()) == count and await outbox.settled()


async def test_killed_between_the_servers_yes_and_its_own_note_it_repeats_the_same_letter(database, server, outbox, tmp_path):
    settings = replace(database.settings("courier"), smtp_url=server.url)
    command = [sys.executable, "-m", "anamnesis", "worker", "courier"]
    first = spawn(command, env=settings.environment(), log=tmp_path / "first.log")

    def die(message):
        server.box.taken.append(message)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()

    server.box.says = die
    async with town_of(database) as town:
        await ask(town)
        await until(lambda: _taken(server, 1), 30)
        assert outbox.states() == ["queued"], "nobody has noted it"
        server.box.says = lambda _: None
        second = spawn(command, env=settings.environment(), log=tmp_path / "second.log")
        try:
            await until(outbox.settled, 30)
        finally:
            assert terminate(second, signal.SIGTERM, 20) == 0
    once, again = server.box.taken
    assert once["Message-ID"] == again["Message-ID"]
    assert outbox.rows("status", "attempts") == [("sent", 1)]
    assert "sam@example.org" not in (tmp_path / "first.log").read_text() + (tmp_path / "second.log").read_text()


async def test_asked_to_stop_it_finishes_the_letter_in_hand(database, server, outbox):
    reached, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(message):
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)

    server.box.says = slowly
    async with town_of(database) as town:
        async with carrying(database, server):
            await ask(town)
            await asyncio.wait_for(reached.wait(), 10)
            loop.call_later(0.3, go_on.set)
        assert outbox.states() == ["sent"]
    assert len(server.box.taken) == 1


async def test_passing_trouble_puts_a_letter_off(database, server, outbox):
    server.box.says = lambda _: "451 4.7.1 Greylisted, come again"
    async with town_of(database) as town, carrying(database, server):
        await ask(town)
        await until(lambda: _attempts(outbox, 1))
        ((status, error, wait),) = outbox.rows("status", "error", "due_at - now()")
        assert (status, error) == ("queued", "451 4.7.1 Greylisted, come again")
        assert timedelta(seconds=20) < wait <= timedelta(seconds=30)
        await outbox.hurry()
        await until(lambda: _attempts(outbox, 2))
        assert timedelta(seconds=50) < outbox.rows("due_at - now()")[0][0] <= timedelta(seconds=60)
        server.box.says = lambda _: None
        await outbox.hurry()
        await until(outbox.settled)
    assert outbox.rows("status", "attempts", "error") == [("sent", 3, None)]
    assert len({m["Message-ID"] for m in server.box.seen}) == 1


async def _attempts(outbox, count):
    return outbox.rows("attempts") == [(count,)]


async def test_after_three_days_it_is_given_up(database, server, outbox):
    server.box.says = lambda _: "451 Not now"
    async with town_of(database) as town, carrying(database, server):
        await ask(town)
        await until(lambda: _attempts(outbox, 1))
        outbox.run("update letters set queued_at = now() - interval '3 days 1 hour', due_at = now() returning 1")
        await until(outbox.settled)
    assert outbox.rows("status", "error") == [("failed", "given up: 451 Not now")]


@pytest.mark.parametrize("where", ["recipient", "message"])
async def test_what_the_server_will_never_take_has_failed(database, server, outbox, where):
    answer = "550 5.1.1 <sam@example.org>: no such mailbox"
    if where == "recipient":
        server.box.refuses["sam@example.org"] = answer
    else:
        server.box.says = lambda _: answer
    async with town_of(database) as town, carrying(database, server):
        await ask(town)
        await until(outbox.settled)
    assert outbox.rows("status", "attempts", "error") == [("failed", 1, "550 5.1.1 <address> no such mailbox")]


async def test_without_a_mail_server_letters_wait_for_it(database, outbox):
    with MailServer() as gone:
        pass
    async with town_of(database) as town, carrying(database, gone):
        await ask(town)
        await until(lambda: _attempts(outbox, 1))
    assert outbox.states() == ["queued"]


@pytest.mark.parametrize(("login", "status"), [("courier:s3cret%2Fword@", "sent"), ("courier:wrong@", "queued"), ("", "queued")])
async def test_a_mail_server_that_wants_a_password(database, outbox, login, status):
    with MailServer(authenticator=Only(), auth_required=True, auth_require_tls=False) as server:
        url = server.url.replace("//", f"//{login}")
        async with town_of(database) as town, carrying(database, server, smtp_url_is=url):
            await ask(town)
            await until(lambda: _attempts(outbox, 1))
    assert outbox.states() == [status], "a wrong password is ours to mend, no fault of the letter"


def certificate(folder):
    """A certificate for 127.0.0.1, and the key to it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize(("scheme", "trusted", "status"), [
    ("starttls", True, "sent"), ("starttls", False, "queued"), ("smtps", True, "sent"), ("smtps", False, "queued"),
])
async def test_tls_and_whom_it_trusts(database, outbox, tmp_path, monkeypatch, scheme, trusted, status):
    context = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    how = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context, "require_starttls": True}
    with MailServer(**how) as server:
        url = f"{scheme}://localhost:{server.port}"
        async with town_of(database) as town, carrying(database, server, smtp_url_is=url):
            await ask(town)
            await until(lambda: _attempts(outbox, 1))
    assert outbox.states() == [status]


async def test_starttls_is_not_done_without(database, server, outbox):
    async with town_of(database) as town, carrying(database, server, smtp_url_is=server.url.replace("smtp:", "starttls:")):
        await ask(town)
        await until(lambda: _attempts(outbox, 1))
    assert outbox.states() == ["queued"]
    assert server.box.seen == []


async def test_history_is_answered_by_nobody(database, server, outbox):
    """A demo, an import: recorded long before it was stored."""
    async with town_of(database) as town, carrying(database, server):
        me = who(town.id, "admin", town.doctor)
        other = await Town.open(town.handler)
        await other(SendSampleLetter(key="sample"), who=who(other.id, "admin", other.doctor))
        await town(SendSampleLetter(key="sample"), who=me)
        await until(outbox.settled)
    assert outbox.rows("clinic_id") == [(town.id,)]


async def test_a_new_policy_answers_nothing_from_before_it(database, server, outbox, monkeypatch):
    def when_RoomAdded(fact, event):  # noqa: N802
        return Letter("sample", To("staff", town.doctor), {})

    async with town_of(database) as town:
        await town(AddRoom(name="Before"))
        answering(monkeypatch, database, when_RoomAdded, RoomAdded)
        async with carrying(database, server):
            later = await town(AddRoom(name="After"))
            await until(outbox.settled)
            assert outbox.rows("position") == [(later.position,)]


async def test_what_happened_while_no_courier_ran_is_made_up_for(database, server, outbox):
    async with town_of(database) as town:
        for _ in range(3):
            await ask(town)
        assert outbox.states() == []
        async with carrying(database, server):
            await until(lambda: _settled(outbox, 3))


async def test_a_policy_that_fails_stops_no_other_and_can_be_made_up_for(database, server, outbox, monkeypatch):
    def when_RoomAdded(fact, event):  # noqa: N802
        raise ZeroDivisionError(event.name)

    def mended(fact, event):
        return Letter("sample", To("staff", town.doctor))

    async with town_of(database) as town:
        answering(monkeypatch, database, when_RoomAdded, RoomAdded)
        async with carrying(database, server):
            await town(AddRoom(name="Room 7"))
            await ask(town)
            await until(lambda: _settled(outbox, 2))
            assert outbox.rows("policy", "status") == [("when_RoomAdded", "failed"), ("when_SampleLetterAsked", "sent")]
        answering(monkeypatch, database, mended, RoomAdded)
        monkeypatch.setitem(POLICIES, "when_RoomAdded", Policy(mended, "RoomAdded"))
        (failed,) = outbox.rows("id", policy="when_RoomAdded")
        async with carrying(database, server):
            await town(ResendLetter(letter=failed[0]))
            await until(lambda: _settled(outbox, 3))
    assert [s for s, in outbox.rows("status", policy="when_RoomAdded")].count("sent") == 1


async def test_sent_again_it_is_another_letter_to_where_one_is_reached_now(database, server, outbox, welcome):
    async with town_of(database) as town, carrying(database, server):
        patient = await town(RegisterPatient(**NOOR))
        await until(lambda: _settled(outbox, 2))  # the town's own patient, who has no address, is one of them
        ((letter,),) = outbox.rows("id", recipient=patient.id)
        await town(ChangePatient(**{**NOOR, "email": "noor@new.example"}), patient.id)
        await town(ResendLetter(letter=letter))
        await until(lambda: _settled(outbox, 3))
    first, second = server.box.taken
    assert [m["To"] for m in (first, second)] == ["Noor Bakker <noor@example.org>", "Noor Bakker <noor@new.example>"]
    assert first["Message-ID"] != second["Message-ID"]


async def test_a_letters_secrets_are_in_the_letter_and_nowhere_else(database, server, outbox, welcome):
    with capture_logs() as logs:
        async with town_of(database) as town, carrying(database, server, public_url="https://clinic.example"):
            patient = await town(RegisterPatient(**NOOR))
            await until(outbox.settled)
    (message,) = server.box.taken
    token = re.search(r"https://clinic\.example/welcome\?token=([\w-]{43})\n", text(message))[1]
    code = re.search(r"or (\d{6})\n", text(message))[1]
    assert f'<a href="https://clinic.example/welcome?token={token}">' in text(message, "html")
    assert "born 1990-05-17" in text(message)
    everything = dump(database)
    for secret in (token, code, "noor@example.org", "1990-05-17"):
        assert secret not in everything
        assert secret not in str(logs)
    assert any(entry["event"] == "letter" for entry in logs)
    lanes = Lanes(database.url("gateway"))
    await lanes.open()
    codes = Codes(lanes, database.settings("gateway").kek)
    assert (await codes.whose("test.link", token)).clinic == town.id
    assert await codes.redeem("test.link", token) == patient.id
    assert await codes.redeem_digits("test.code", patient.id, code)
    await lanes.close()


def dump(database):
    """Everything that the database holds, as text."""
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        tables = [name for name, in owner.execute("select tablename from pg_tables where schemaname = 'public'")]
        assert "letters" in tables
        assert "link_codes" in tables
        found = [str(owner.execute(f"select t::text from {name} t").fetchall()) for name in tables]  # noqa: S608
        bodies = owner.execute("select convert_from(state, 'UTF8') from stored_events").fetchall()
    return "\n".join([*found, str(bodies)])


async def test_letters_to_nobody_fail_and_say_so(database, server, outbox, welcome):
    async with town_of(database) as town, carrying(database, server):
        await until(outbox.settled)
        assert outbox.rows("status", "error") == [("failed", "there is no address of this one of the patients")]
        erased = await town(RegisterPatient(**NOOR))
        await until(lambda: _settled(outbox, 2))
        outbox.run("update person_keys set wrapped = null, destroyed_at = now() where person = %s returning 1", erased.id)
        ((letter,),) = outbox.rows("id", recipient=erased.id)
        await town(ResendLetter(letter=letter))
        await until(lambda: _settled(outbox, 3))
    assert sorted(outbox.rows("status", recipient=erased.id)) == [("failed",), ("sent",)]
    assert len(server.box.taken) == 1


async def test_a_recipient_of_another_clinic_is_none(database, server, outbox, monkeypatch):
    async with town_of(database) as town:
        other = await Town.open(town.handler, datetime.now(UTC))

        def when_RoomAdded(fact, event):  # noqa: N802
            return Letter("sample", To("staff", other.doctor))

        answering(monkeypatch, database, when_RoomAdded, RoomAdded)
        async with carrying(database, server):
            await town(AddRoom(name="Room 7"))
            await until(outbox.settled)
    assert outbox.states() == ["failed"]
    assert server.box.seen == []


async def test_no_name_makes_a_header_or_markup(database, server, outbox, welcome):
    wicked = {**NOOR, "given_name": "Noor\r\nBcc: all@example.org", "family_name": '"<b>{{code}}</b>'}
    async with town_of(database) as town, carrying(database, server):
        await town(RegisterPatient(**wicked))
        await until(outbox.settled)
    (message,) = server.box.taken
    assert message["Bcc"] is None
    assert message["To"].addresses[0].addr_spec == "noor@example.org"
    assert "{{code}}" in text(message), "a value is not looked at for variables"
    assert "&lt;b&gt;" in text(message, "html")
    assert "<b>" not in text(message, "html")


async def test_without_a_mail_server_configured_letters_are_delivered_to_a_mailbox_here(database, outbox, tmp_path):
    async with town_of(database) as town, carrying(database, None, data_dir=tmp_path):
        await ask(town)
        await until(outbox.settled)
    assert outbox.rows("status", "attempts") == [("delivered", 1)]
    assert (tmp_path / "mail").stat().st_mode & 0o077 == 0

    def mail(*arguments):
        done = subprocess.run([sys.executable, "-m", "anamnesis", "mail", *arguments, "--data-dir", tmp_path], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, listed, _ = mail("list")
    assert code == 0
    assert '"subject": "A letter from Grachten"' in listed
    assert mail("show")[1] == mail("show", "1")[1]
    assert "To: Dr Sam Visser <sam@example.org>" in mail("show")[1]
    assert "You asked for it." in mail("show")[1]
    assert mail("show", "2")[::2] == (2, "anamnesis: there is no letter 2; there are 1 to 1\n")


def test_an_empty_mailbox_says_so(tmp_path):
    done = subprocess.run([sys.executable, "-m", "anamnesis", "mail", "show", "--data-dir", tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"anamnesis: there are no letters in {tmp_path / 'mail'}\n")


async def test_a_courier_may_read_and_write_letters_and_nothing_else(database):
    with psycopg.connect(database.url("courier"), autocommit=True) as courier:
        for statement in (
            "insert into stored_events (originator_id, originator_version, topic, state, notification_id) values (gen_random_uuid(), 1, '', '', 1)",
            "update stored_events set topic = ''", "delete from stored_events", "update person_keys set wrapped = null", "select * from link_codes",
            "select link_redeem(''::bytea, '')", "select * from accounts", "select * from patients", "update policies set since = 0",
            "select digits_try('', gen_random_uuid(), 5)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                courier.execute(statement)
    with psycopg.connect(database.url("gateway"), autocommit=True) as gateway, pytest.raises(psycopg.errors.InsufficientPrivilege):
        gateway.execute("update letters set status = 'sent'")


async def test_old_letters_are_forgotten(database, server, outbox):
    async with town_of(database) as town, carrying(database, server):
        await ask(town)
        await until(outbox.settled)
        outbox.run("update letters set queued_at = now() - interval '91 days' returning 1")
    async with carrying(database, server):
        await until(lambda: _none(outbox))


async def _none(outbox):
    return outbox.states() == []


def test_a_policy_is_named_after_its_event():
    def when_RoomAdded(fact: Fact, event: PatientRegistered) -> None: ...  # noqa: N802

    def when_anything(fact: Fact, event: RoomAdded | PatientRegistered) -> None: ...

    for wrong in (when_RoomAdded, when_anything):
        with pytest.raises(AssertionError):
            policies.answers(wrong)
