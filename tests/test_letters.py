"""Letters as their clinic and the platform see them: to whom by reference, what became of them, and once more."""

from uuid import UUID, uuid4

import psycopg

from commands.letters import ResendLetter
from domain.kit import PLATFORM
from domain.letters import Letter, LetterOnItsWay, LetterResendAsked, LetterSentTooOften
from tests.kit import THIS, given
from tests.mail import MailServer, Outbox, carrying
from tests.served import failure, served, until, working
from tests.test_email_templates import web_doctor

again = LetterResendAsked(letter=THIS)
RESEND = ResendLetter(letter=THIS)
LETTERS, ALL = "/letters", "/superadmin/letters"


def test_a_letter_is_sent_again_once_it_is_settled_and_ten_times_at_most():
    given().looking(settled=True).when(RESEND).then(again)
    given().looking(settled=False).when(RESEND).refused(LetterOnItsWay)
    given(*[again] * 9).looking(settled=True).when(RESEND).then(again)
    given(*[again] * 10).looking(settled=True).when(RESEND).refused(LetterSentTooOften)
    assert Letter.replay([again, again]).again == 2


async def test_what_became_of_a_clinics_letters_is_its_admins_to_see(database):
    with MailServer() as server:
        server.box.refuses["sam@example.org"] = "550 5.1.1 sam@example.org is unknown"
        outbox = Outbox(database)
        async with served(database) as web, carrying(database, server):
            clinic, role, staff = await web_doctor(web)
            me, other, root = await web.person(clinic, role, staff), await web.person(await web.clinic(), "admin"), await web.person(PLATFORM, "superadmin")
            assert (await me("POST", "/email-templates/sample/test", {"language": "es"})).status_code == 200
            await until(outbox.settled)
            (letter,) = (await me("GET", LETTERS, params={"status": "failed"})).json()["items"]
            assert {k: letter[k] for k in ("template", "recipientKind", "recipient", "status", "attempts", "clinic", "error")} == {
                "template": "sample", "recipientKind": "staff", "recipient": str(staff), "status": "failed", "attempts": 1, "clinic": str(clinic),
                "error": "550 5.1.1 <address> is unknown",
            }
            assert "sam@example.org" not in str(letter)
            path = f"{LETTERS}/{letter['id']}"
            assert (await me("GET", path)).json() == letter
            assert (await me("GET", LETTERS, params={"status": "sent"})).json()["items"] == []
            assert (await other("GET", LETTERS)).json()["items"] == []
            failure(await other("GET", path), 404, "NOT_FOUND")
            failure(await other("POST", f"{path}/resend", {}), 404, "NOT_FOUND")
            failure(await me("POST", f"{LETTERS}/{uuid4()}/resend", {}), 404, "NOT_FOUND")
            failure(await me("GET", ALL), 403, "FORBIDDEN")
            for less in ("doctor", "receptionist"):
                failure(await (await web.person(clinic, less))("GET", LETTERS), 403, "FORBIDDEN")
            assert [one["id"] for one in (await root("GET", ALL, params={"clinic": str(clinic)})).json()["items"]] == [letter["id"]]
            server.box.refuses.clear()
            assert (await me("POST", f"{path}/resend", {})).status_code == 200
            await until(lambda: both(outbox))
            health = (await web.client.get("/health")).json()["letters"]
            assert (health["queued"], health["oldestSeconds"], health["failed"]) == (0, 0, 1)
            assert "anamnesis_letters_failed 1" in (await web.client.get("/metrics")).text
    assert len(server.box.taken) == 1


async def both(outbox):
    return sorted(outbox.states()) == ["failed", "sent"]


async def test_a_letter_on_its_way_is_not_sent_again_and_shows_when_nobody_carries_it(database, nats_server):
    outbox = Outbox(database)
    with MailServer() as gone:
        pass
    async with served(database, nats_server) as web, working(database, nats_server):
        me = await web.person(*await web_doctor(web))
        async with carrying(database, gone):
            await me("POST", "/email-templates/sample/test", {})
            await until(lambda: tried(outbox))
        ((letter,),) = outbox.rows("id")
        failure(await me("POST", f"{LETTERS}/{letter}/resend", {}), 409, "LETTER_ON_ITS_WAY")

        async def well():
            return (await web.client.get("/health")).json()["status"] == "ok"

        await until(well)
        outbox.run("update letters set due_at = now() - interval '2 minutes', queued_at = now() - interval '5 minutes' returning 1")
        health = (await web.client.get("/health")).json()
        assert health["letters"]["queued"] == 1
        assert (health["letters"]["overdueSeconds"] > 100, health["letters"]["oldestSeconds"] > 290) == (True, True)
        assert health["status"] == "degraded"


async def tried(outbox):
    return outbox.rows("attempts") == [(1,)]


async def test_the_platform_sees_no_letters_to_patients(module_database):
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        for kind in ("patients", "staff"):
            owner.execute(
                "insert into letters (id, clinic_id, position, policy, number, template, recipient_kind, recipient) "
                "values (gen_random_uuid(), %s, 1, 'x', 0, 'sample', %s, %s)", (UUID(int=5), kind, THIS))
    with psycopg.connect(module_database.url("gateway"), autocommit=True) as gateway:
        for clinic, kinds in ((PLATFORM, [("staff",)]), (UUID(int=5), [("patients",), ("staff",)]), (UUID(int=6), [])):
            gateway.execute("select set_config('app.clinic', %s, false)", (str(clinic),))
            assert gateway.execute("select recipient_kind from letters order by 1").fetchall() == kinds
