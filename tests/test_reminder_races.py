"""Four workers that are killed, whose clocks jump forth and back, and a courier that is killed in the middle of a letter: one message for each visit and window."""

import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
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


class Yard:
    """Processes that work, a clock that they look at, and a mail server that kills whoever brings a letter as long as it knows of one to be killed."""

    def __init__(self, database, nats, post, folder, chore):
        self.outbox, self.folder, self.chore = Outbox(database), folder, chore
        self.settings = {"gateway": database.settings("gateway", nats), "courier": replace(database.settings("courier"), smtp_url=post.url)}
        self.children, self.doomed = [], []
        post.box.says = self.die

    def die(self, _):
        if self.doomed:
            os.kill(self.doomed.pop().pid, signal.SIGKILL)

    def start(self, kind):
        command = ("anamnesis", "worker", "courier") if kind == "courier" else ("tests.tending", self.folder / "clock", self.chore)
        child = spawn([sys.executable, "-m", *command], env=self.settings[kind].environment(), log=self.folder / f"{kind}.log")
        self.children.append(child)
        return child

    def show(self, first, *before):
        """Let the clocks show so long before the first visit: now this, now that."""
        (self.folder / "next").write_text(" ".join((first - one).isoformat() for one in before))
        (self.folder / "next").rename(self.folder / "clock")

    def noted(self, kind="reminders"):
        return Counter(topic for (topic,) in self.outbox.run("select topic from stored_events where stream_kind = %s", kind))

    async def until_noted(self, count, kind="reminders"):
        async def noted():
            return self.noted(kind).total() >= count

        await until(noted, 30)

    async def until_dead(self, child):
        async def dead():
            return child.poll() == -signal.SIGKILL

        await until(dead, 30)


@contextmanager
def yard(database, nats, folder, chore="reminders"):
    with MailServer() as post:
        here = Yard(database, nats, post, folder, chore)
        try:
            yield here, post
        finally:
            for child in here.children:
                child.kill()
                child.wait()


async def booked(town, outbox):
    """Book a visit for each of ten patients, ten minutes apart; return when the first begins."""
    await town(ChangeReminderSettings(enabled=True, quiet=None))
    for number in range(VISITS):
        noor = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", email=f"noor-{number}@example.org"))).id
        await town(town.visit(town.at(10 * number), 10, patient_id=noor, room_id=None))

    async def known():
        return outbox.run("select count(*) from appointments") == [(VISITS,)]

    await until(known)
    return outbox.run("select min(starts_at) from appointments")[0][0]


async def test_one_message_for_each_visit_and_window_whatever_happens(database, nats_server, tmp_path):
    """What a courier had in hand when it was killed comes again under the same id, by which mail programs know that it is the same; nothing else comes twice."""
    with yard(database, nats_server, tmp_path) as (here, post):
        async with handling(database) as handler, working(database, nats_server):
            first = await booked(await Town.open(handler, datetime.now(UTC)), here.outbox)
            here.show(first, 72 * HOUR, 49 * HOUR)
            workers = [here.start("gateway") for _ in range(4)]
            courier = here.start("courier")
            here.doomed = [courier]
            for phase, moments in enumerate([(72 * HOUR, 45 * HOUR, 30 * HOUR), (45 * HOUR, 3 * HOUR, HOUR / 3)]):
                here.show(first, *moments)
                await here.until_noted(phase * VISITS + 1)
                workers[phase].kill()  # three go on, then two
                await here.until_noted((phase + 1) * VISITS)
            await here.until_dead(courier)
            last = here.start("courier")
            await until(here.outbox.settled, 30)
            assert terminate(last, signal.SIGTERM, 20) == 0
            assert here.noted() == {"ReminderQueued": 2 * VISITS}
    assert here.outbox.rows("status", template="appointments.reminder") == [("sent",)] * (2 * VISITS)
    seen = Counter((message["To"], message["Message-ID"]) for message in post.box.seen if "your appointment" in message["Subject"])
    assert Counter(to for to, _ in seen) == {f"Noor <noor-{number}@example.org>": 2 for number in range(VISITS)}
    assert max(seen.values()) <= 2, "what was in hand"
    assert seen.total() - len(seen) <= 2, "a courier has two in hand"
