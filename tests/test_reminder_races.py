"""Four workers that are killed, whose clocks jump forth and back, and couriers that are killed in the middle of a letter: one message for each visit and window."""

import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from anamnesis.stack.process import spawn, terminate
from commands.patients import RegisterPatient
from commands.reminders import ChangeReminderSettings
from tests.clinic import Town, handling
from tests.mail import MailServer, Outbox
from tests.served import until, working

VISITS = 10
HOUR = timedelta(hours=1)


async def test_one_message_for_each_visit_and_window_whatever_happens(database, nats_server, tmp_path):
    """What a courier had in hand when it was killed comes again under the same id, by which mail programs know that it is the same; nothing else comes twice."""
    outbox, clock, children = Outbox(database), tmp_path / "clock", []
    environment = {kind: database.settings(kind, nats_server) for kind in ("gateway", "courier")}

    def start(*command, kind):
        child = spawn([sys.executable, "-m", *command], env=environment[kind].environment(), log=tmp_path / f"{kind}.log")
        children.append(child)
        return child

    def noted():
        return Counter(outbox.run("select topic from stored_events where stream_kind = 'reminders'"))

    def show(*before):
        (tmp_path / "next").write_text(" ".join((first - one).isoformat() for one in before))
        (tmp_path / "next").rename(clock)

    with MailServer() as post:
        environment["courier"] = replace(environment["courier"], smtp_url=post.url)
        async with handling(database) as handler, working(database, nats_server):
            town = await Town.open(handler, datetime.now(UTC))
            await town(ChangeReminderSettings(enabled=True, quiet=None))
            for number in range(VISITS):
                noor = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", email=f"noor-{number}@example.org"))).id
                await town(town.visit(town.at(10 * number), 10, patient_id=noor, room_id=None))
            await until(lambda: reached(lambda: Counter(outbox.run("select id from appointments")), VISITS))
            ((first,),) = outbox.run("select min(starts_at) from appointments")
            show(72 * HOUR, 49 * HOUR)
            workers = [start("tests.tending", str(clock), kind="gateway") for _ in range(4)]
            couriers = [start("anamnesis", "worker", "courier", kind="courier") for _ in range(2)]
            dying = iter(couriers)

            def die(_):
                if (courier := next(dying, None)) is not None:
                    os.kill(courier.pid, signal.SIGKILL)

            post.box.says = die
            for moments, count in (((72 * HOUR, 45 * HOUR, 30 * HOUR), VISITS), ((45 * HOUR, 3 * HOUR, HOUR / 3), 2 * VISITS)):
                show(*moments)
                for share in (count - VISITS + 1, count - VISITS // 2):
                    await until(lambda share=share: reached(noted, share), 30)
                    workers[share % 4].kill()
                    workers[share % 4] = start("tests.tending", str(clock), kind="gateway")
                await until(lambda count=count: reached(noted, count), 30)
            await until(lambda: both_dead(couriers), 30)
            last = start("anamnesis", "worker", "courier", kind="courier")
            await until(outbox.settled, 30)
            assert noted() == {("ReminderQueued",): 2 * VISITS}
            for child in children:
                if child is not last:
                    child.kill()
                    child.wait()
            assert terminate(last, signal.SIGTERM, 20) == 0
    assert outbox.rows("count(*)", template="appointments.reminder", status="sent") == [(2 * VISITS,)]
    seen = Counter((message["To"], message["Message-ID"]) for message in post.box.seen if "your appointment" in message["Subject"])
    assert Counter(to for to, _ in seen) == {f"Noor <noor-{number}@example.org>": 2 for number in range(VISITS)}
    assert sorted(seen.values()) == [*[1] * (2 * VISITS - 2), 2, 2], "those that a courier had in hand"


async def reached(count, most):
    return sum(count().values()) >= most


async def both_dead(couriers):
    return all(courier.poll() == -signal.SIGKILL for courier in couriers)
