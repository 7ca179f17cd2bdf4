"""Four workers that are killed, whose clocks jump forth and back, and a courier that is killed in the middle of a letter: one offer for each time that comes free."""

import signal
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from anamnesis.stack.process import terminate
from commands.patients import RegisterPatient
from commands.reminders import ChangeReminderSettings
from commands.schedules import SetDoctorSchedule
from commands.waiting_list import AddWaitingEntry, ChangeWaitingListSettings
from domain.kit.codec import decode
from domain.schedules import DayHours, Hours
from domain.slot_offers import SlotOffered
from tests.clinic import Town, handling
from tests.served import until, working
from tests.test_reminder_races import yard

FREE, WAITING = 5, 10
HOUR = timedelta(hours=1)


async def waiting(town, outbox):
    """Five half hours, with a break after each, are free in a week; ten patients wait for one of them."""
    await town(ChangeReminderSettings(enabled=False, quiet=None))
    await town(ChangeWaitingListSettings(answer=120, notice=0))
    on = town.at(0).date()
    hours = [Hours(start=f"{9 + n:02}:00", end=f"{9 + n:02}:30") for n in range(FREE)]
    await town(SetDoctorSchedule(doctor_id=town.doctor, week=[[]] * 7, exceptions=[DayHours(on=on, hours=hours)], slot_minutes=30))
    for number in range(WAITING):
        noor = (await town(RegisterPatient(given_name="Noor", family_name="Bakker", email=f"noor-{number}@example.org"))).id
        await town(AddWaitingEntry(patient_id=noor))

    async def known():
        return outbox.run("select count(*) from waiting_list") == [(WAITING,)]

    await until(known)


def history(outbox):
    """What happened to offers, in order: the topic, the stream, and what was offered."""
    found = []
    for topic, stream, event_id, body in outbox.run(
        "select topic, originator_id, event_id, state from stored_events where stream_kind = 'slot_offers' order by notification_id",
    ):
        event = decode(topic, body, event_id=event_id, person=None)
        found.append((topic, stream, (event.entry_id, event.starts_at) if isinstance(event, SlotOffered) else None))
    return found


def ensure_one_at_a_time(told):
    """Replay: no time and nobody is ever on offer twice at once, and nobody is offered a time twice."""
    open_, seen = {}, Counter()
    for topic, stream, what in told:
        if topic == "SlotOffered":
            assert not any(entry == what[0] or start == what[1] for entry, start in open_.values()), what
            open_[stream] = what
            seen[what] += 1
        else:
            assert topic == "SlotOfferLapsed"
            del open_[stream]
    assert set(seen.values()) == {1}
    return open_, seen


async def test_one_offer_for_each_time_that_is_free_whatever_happens(database, nats_server, tmp_path):
    """First the clocks stay within the time to answer, so five are asked; then some show when it is over and some do not, so that all are asked in their turn."""
    with yard(database, nats_server, tmp_path, "waiting_list") as (here, post):
        async with handling(database) as handler, working(database, nats_server):
            start = datetime.now(UTC)
            await waiting(await Town.open(handler, start), here.outbox)
            here.show(start, timedelta(), -HOUR)
            workers = [here.start("gateway") for _ in range(4)]
            courier = here.start("courier")
            here.doomed = [courier]
            await here.until_noted(1, "slot_offers")
            workers[0].kill()
            await here.until_noted(FREE, "slot_offers")
            here.show(start, timedelta(), -HOUR)
            await here.until_dead(courier)
            assert here.noted("slot_offers") == {"SlotOffered": FREE}
            ensure_one_at_a_time(history(here.outbox))
            last = here.start("courier")
            await until(here.outbox.settled, 30)
            here.show(start, timedelta(), -3 * HOUR)
            await here.until_noted(FREE + 1, "slot_offers")
            workers[1].kill()

            async def all_asked():
                return len({what[0] for topic, _, what in history(here.outbox) if topic == "SlotOffered"}) == WAITING

            for hours in range(3, 4 * 24, 3):  # what a clock that was ahead has offered is over when the others have come so far
                here.show(start, timedelta(), -hours * HOUR)
                with suppress(TimeoutError):
                    await until(all_asked, 5)
                    break
            assert await all_asked()
            for worker in workers:
                worker.kill()
            await until(here.outbox.settled, 30)
            assert terminate(last, signal.SIGTERM, 20) == 0
    _, seen = ensure_one_at_a_time(history(here.outbox))
    assert len({entry for entry, _ in seen}) == WAITING
    letters = Counter(message["Message-ID"] for message in post.box.seen if "come free" in message["Subject"])
    assert len(letters) <= seen.total()
    assert letters.total() - len(letters) <= 2, "a courier has two in hand"
    assert here.outbox.run("select count(*) from holds where not exists (select from slot_offers o where o.status = 'open' and o.starts_at = holds.starts_at)") == [(0,)]
