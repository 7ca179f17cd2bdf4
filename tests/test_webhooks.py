"""Webhooks from an event to somebody else's server: signed, each under one id, to nobody who may not hear of it and to no address that is not the internet's."""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import psycopg
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from anamnesis.stack.process import spawn
from commands.clinics import DeactivateClinic, DeleteClinic, ReactivateClinic
from commands.kit.vault import Vault
from commands.rooms import AddRoom
from commands.webhooks import (
    AddWebhook,
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    EnableWebhook,
    GiveWebhookUp,
    ResendDelivery,
    ResendFailedDeliveries,
    RotateWebhookSecret,
    SendWebhookTest,
)
from domain.kit import NotFound
from domain.kit.addresses import literal, networks, public, within
from domain.webhooks import (
    DeliveryOnItsWay,
    EventUnknown,
    Secret,
    SecretsTooMany,
    Webhook,
    WebhookAdded,
    WebhookChanged,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookOff,
    WebhookOn,
    WebhookResendAsked,
    WebhookSecretRotated,
    WebhooksTooMany,
    WebhookTestAsked,
    WebhookUrlInvalid,
    WebhookUrlPrivate,
)
from gateway.docs import heard
from gateway.webhooks import tend
from projections.kit.rebuild import rebuild
from projections.webhooks import webhooks
from tests.clinic import who
from tests.kit import ACTOR, THIS, facts, given, noon
from tests.mail import carrying
from tests.receiver import Answer, Receiver
from tests.served import PASSWORD, failure, served, until, working
from tests.test_courier import certificate, town_of
from workers.kit import outward as outward_module
from workers.kit import pushing, relay
from workers.kit.outward import NotCalledError, Outward, pause
from workers.kit.pushing import SCHEDULE, Claimed, put_off

URL = "https://hooks.example.org/anamnesis?key=1"
SECRET, OTHER, DELIVERY = UUID(int=5), UUID(int=6), UUID(int=8)
GUIDE = Path(__file__).parent.parent / "docs" / "webhooks.md"
HERE = "127.0.0.0/8, ::1"
added = WebhookAdded(url=URL, description="Their books", events=["InvoiceIssued"], secret_id=SECRET, account_id=ACTOR)
off = WebhookDisabled(why="failing", url=URL, account_id=ACTOR)


def asked(**other):
    return AddWebhook(**{"url": URL, "description": "Their books", "events": ["InvoiceIssued"], "secret_id": SECRET, **other})


def test_a_webhook_is_added_and_a_clinic_has_twenty():
    given().looking(others=19).when(asked()).then(added)
    given().looking(others=20).when(asked()).refused(WebhooksTooMany)
    refused = given().looking(others=0).when(asked(events=["RoomAdded", "ToothWhitened"])).refused(EventUnknown)
    assert refused.details == {"events": ["ToothWhitened"]}


@pytest.mark.parametrize("url", [
    "http://hooks.example.org/", "https://sam:secret@hooks.example.org/", "https://sam@hooks.example.org/", "https://hooks.example.org/#x", "https://hooks.example.org:25/",
    "https://hooks.example.org:99999/", "https:///hook", "https://[::1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://hooks.0x7f/", "https://1.2.3.4.5/",
])
def test_an_address_is_https_and_says_nothing_else(url):
    given().looking(others=0).when(asked(url=url)).refused(WebhookUrlInvalid)
    given(added).when(ChangeWebhook(url=url)).refused(WebhookUrlInvalid)


@pytest.mark.parametrize("url", [
    "https://127.0.0.1/", "https://10.0.0.7:8443/", "https://169.254.169.254/latest/meta-data", "https://[::1]/", "https://[fd00:ec2::254]/", "https://[::ffff:10.0.0.1]/",
    "https://localhost/", "https://printer/", "https://box.local/", "https://db.internal./", "https://x.localhost/",
])
def test_an_address_is_on_the_internet_unless_the_operator_allows_it(url):
    given().looking(others=0).when(asked(url=url)).refused(WebhookUrlPrivate)
    given().looking(others=0).when(asked(url=url, private=True)).then(replace(added, url=url))
    given().looking(others=0).when(asked(url=url.replace("https:", "http:"), private=True)).then(replace(added, url=url.replace("https:", "http:")))


def test_it_is_changed_switched_off_and_on_and_deleted():
    changed = WebhookChanged(url="https://hooks.example.org:8443/", account_id=ACTOR)
    given(added).when(ChangeWebhook(url="https://hooks.example.org:8443/")).then(changed)
    given(added).when(EnableWebhook()).refused(WebhookOn)
    given(added).when(DisableWebhook()).then(replace(off, why="asked"))
    given(added).when(GiveWebhookUp(why="gone")).then(replace(off, why="gone"))
    given(added, off).when(GiveWebhookUp(why="gone")).refused(WebhookOff)
    given(added, off).when(EnableWebhook()).then(WebhookEnabled())
    given(added).when(DeleteWebhook()).then(WebhookDeleted())
    for command in (ChangeWebhook(url=URL), EnableWebhook(), DisableWebhook(), DeleteWebhook(), RotateWebhookSecret(secret_id=OTHER), SendWebhookTest()):
        given(added, WebhookDeleted()).when(command).refused(NotFound)


def test_what_is_off_is_sent_nothing_again():
    since = noon.now - timedelta(days=2)
    given(added).when(SendWebhookTest()).then(WebhookTestAsked())
    given(added).looking(settled=True).when(ResendDelivery(delivery=DELIVERY)).then(WebhookResendAsked(delivery=DELIVERY))
    given(added).looking(settled=False).when(ResendDelivery(delivery=DELIVERY)).refused(DeliveryOnItsWay)
    given(added).when(ResendFailedDeliveries(since=since)).then(WebhookResendAsked(since=since))
    given(added).when(ResendFailedDeliveries(since=noon.now - timedelta(days=99))).then(WebhookResendAsked(since=noon.now - timedelta(days=30)))
    given(added, off).when(SendWebhookTest()).refused(WebhookOff)
    given(added, off).looking(settled=True).when(ResendDelivery(delivery=DELIVERY)).refused(WebhookOff)
    given(added, off).when(ResendFailedDeliveries(since=since)).refused(WebhookOff)


def test_the_secret_before_signs_for_a_while_unless_it_has_become_known():
    soon = noon.now + timedelta(hours=24)
    rotated = WebhookSecretRotated(secret_id=OTHER, until=soon)
    given(added).when(RotateWebhookSecret(secret_id=OTHER)).then(rotated)
    assert Webhook.replay([added, rotated]).secrets == (Secret(id=OTHER), Secret(id=SECRET, until=soon))
    at_once = WebhookSecretRotated(secret_id=UUID(int=7), until=noon.now)
    given(added, rotated).when(RotateWebhookSecret(secret_id=UUID(int=7), overlap=0)).then(at_once)
    assert [secret.id for secret in Webhook.replay([added, rotated, at_once]).secrets if secret.signs(noon.now)] == [UUID(int=7)]
    often = [replace(rotated, secret_id=UUID(int=n)) for n in (20, 21, 22)]
    given(added, *often).when(RotateWebhookSecret(secret_id=OTHER)).refused(SecretsTooMany)


def test_a_webhook_as_it_is_seen():
    first, *rest = facts(added, WebhookSecretRotated(secret_id=OTHER, until=noon.now), off, WebhookEnabled(), WebhookDeleted())
    row = webhooks(None, first)
    assert (row.id, row.url, row.enabled, row.off_because, row.former_secret_until) == (THIS, URL, True, None, None)
    seen = []
    for fact in rest:
        row = webhooks(row, fact)
        seen.append(row and (row.enabled, row.off_because, row.former_secret_until))
    assert seen == [(True, None, noon.now), (False, "failing", noon.now), (True, None, noon.now), None]


@pytest.mark.parametrize(("address", "is_public"), [
    *((one, False) for one in (
        "0.0.0.0", "0.1.2.3", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",  # noqa: S104
        "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
        "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2a00::1%eth0", "fec0::1", "ff02::1", "4000::1")),
    *((one, True) for one in (
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2606:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2001:4860:4860::8888")),
])
def test_which_addresses_are_the_internets(address, is_public):
    assert public(ip_address(address)) is is_public
    if is_public:
        assert ip_address(address).is_global or "64:ff9b" in address or "ffff" in address, "the standard library is no stricter"


def test_what_the_operator_allows_is_a_list_of_networks():
    some = networks("10.1.0.0/16, ::1")
    assert [within(ip_address(one), some) for one in ("10.1.2.3", "::ffff:10.1.2.3", "::1", "10.2.0.1", "127.0.0.1")] == [True, True, True, False, False]
    assert within(ip_address("127.0.0.1"), networks("true"))
    assert networks("") == ()
    assert literal("[::1]") == ip_address("::1")
    assert literal("hooks.example.org") is None


# what leaves the house ---------------------------------------------------------------------------------------------------------------------------


BARE = ssl.create_default_context()  # to make one with all authorities takes a while


@pytest.fixture
async def outward():
    made = []

    def make(allowed="", context=None):
        made.append(Outward(networks(allowed), 4, context or BARE))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.mark.parametrize("url", [
    "https://127.0.0.1:{port}/", "https://localhost:{port}/", "https://127.1:{port}/", "https://2130706433:{port}/", "https://[::ffff:127.0.0.1]:{port}/", "https://0:{port}/",
    "https://0x7f000001:{port}/", "https://[::1]:{port}/", "http://localhost:{port}/", "https://localhost.:{port}/",
])
async def test_nothing_private_is_called_however_it_is_written(outward, url):
    async with Receiver() as receiver:
        with pytest.raises(NotCalledError):
            await outward().post(url.format(port=receiver.port), {}, b"")
        with pytest.raises(NotCalledError):
            await outward("10.0.0.0/8").post(url.format(port=receiver.port), {}, b"")
        assert not receiver.got
        assert (await outward(HERE).post(f"http://localhost:{receiver.port}/", {}, b"")).status == 204  # so that it is the address that was refused


def resolving(monkeypatch, *answers):
    """Let names lead to these addresses, one answer for each time somebody asks."""
    left, real = list(answers), socket.getaddrinfo

    def answer(host, port, *arguments, **options):
        if str(host).endswith(".example.org"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]
        return real(host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return left


async def test_a_name_with_one_private_address_is_not_called_at_all(outward, monkeypatch):
    resolving(monkeypatch, ["1.1.1.1", "10.0.0.1"], ["10.0.0.1", "1.1.1.1"])
    for _ in range(2):
        with pytest.raises(NotCalledError, match="not on the public internet"):
            await outward().post("https://hooks.example.org/", {}, b"")


async def test_the_address_that_was_looked_at_is_the_one_that_is_called(outward, monkeypatch, tmp_path):
    """The name leads elsewhere when asked a second time; nobody asks. The certificate must be the name's all the same."""
    context = certificate(tmp_path)
    named: list[str | None] = []
    context.sni_callback = lambda _, name, __: named.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    left = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    async with Receiver(context) as receiver:
        trusting = httpx.create_ssl_context()
        with pytest.raises(NotCalledError, match="certificate"):
            await outward(HERE, trusting).post(f"https://hooks.example.org:{receiver.port}/", {}, b"")
        answer = await outward(HERE, trusting).post(receiver.url + "?a=%20b", {"webhook-id": "1"}, b"{}")
        assert (answer.status, receiver.got[0].path, receiver.got[0].headers["host"]) == (204, "/hook?a=%20b", f"localhost:{receiver.port}")
    assert (named, left) == (["hooks.example.org", "localhost"], [["10.0.0.1"]])


async def test_plain_http_goes_into_allowed_networks_only(outward, monkeypatch):
    resolving(monkeypatch, ["1.1.1.1"])
    with pytest.raises(NotCalledError, match="plain http"):
        await outward(HERE).post("http://hooks.example.org/", {}, b"")


async def test_an_answer_is_read_for_a_kilobyte_and_fifteen_seconds(outward, monkeypatch):
    async with Receiver() as receiver:
        receiver.says = lambda _: Answer(500, b"\0" + b"x" * 100_000)
        assert (await outward(HERE).post(receiver.url, {}, b"")).text == "x" * 1023
        receiver.says = lambda _: Answer(302, b"", {"location": "http://127.0.0.1:1/", "retry-after": "120"})
        assert (await outward(HERE).post(receiver.url, {}, b""))[::2] == (302, 120)
        ended = asyncio.Event()

        async def slowly(_):
            await ended.wait()
            return Answer()

        receiver.says = slowly
        monkeypatch.setattr(outward_module, "SECONDS", 0.2)
        with pytest.raises(NotCalledError, match=r"within 0\.2 seconds"):
            await outward(HERE).post(receiver.url, {}, b"")
        ended.set()
    with pytest.raises(NotCalledError, match="no connection"):
        await outward(HERE).post(receiver.url, {}, b"")


def test_a_retry_after_is_a_number_or_a_date():
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert [pause(told, now) for told in ("120", "Mon, 05 Jan 2026 12:01:30 GMT", "Mon, 05 Jan 2026 11:00:00 GMT", "soon", "", "-5", "9" * 99)] == [120, 90, 0, 0, 0, 0, 0]


def test_it_is_tried_ten_times_within_three_days_and_a_bit():
    def claimed(tries):
        return Claimed(DELIVERY, THIS, 1, "RoomAdded", tries, noon.now, URL, [])

    waits = [put_off(claimed(tries), noon.now, error="no").due - noon.now for tries in range(9)]
    assert [timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)] == SCHEDULE
    assert all(least <= wait <= least * 1.1 for least, wait in zip(SCHEDULE, waits, strict=True))
    assert put_off(claimed(9), noon.now, error="no").became == "failed"
    assert put_off(claimed(0), noon.now, error="no", pause=600).due == noon.now + timedelta(seconds=600)
    assert put_off(claimed(0), noon.now, error="no", pause=10**8).due == noon.now + timedelta(days=1)


# from an event to somebody else's server ---------------------------------------------------------------------------------------------------------


class House:
    """A gateway, the read models, a courier; and the deliveries as the owner sees them."""

    def __init__(self, web, database):
        self.web = web
        self.database = database

    def run(self, sql, *values):
        with psycopg.connect(self.database.url("owner"), autocommit=True) as connection:
            return connection.execute(sql, values).fetchall()

    async def clinic(self):
        """A clinic's admin."""
        clinic = await self.web.clinic()
        admin = await self.web.person(clinic, "admin")
        admin.clinic = clinic
        return admin

    async def hooked(self, receiver, *events, admin=None):
        """A webhook to a receiver."""
        me = admin or await self.clinic()
        answer = await me("POST", "/webhooks", {"url": receiver.url, "events": list(events)})
        assert answer.status_code == 201, answer.text
        return SimpleNamespace(me=me, clinic=me.clinic, receiver=receiver, at=f"/webhooks/{answer.json()['id']}", house=self, **answer.json())

    def log(self, hook, *columns):
        """Its deliveries."""
        return self.run(f"select {', '.join(columns)} from webhook_deliveries where webhook_id = %s order by position, id", hook.id)  # noqa: S608

    async def reads(self, hook, *states):
        return [state for state, in self.log(hook, "status")] == list(states)

    def hurry(self, hook):
        """Let whatever was put off be due now."""
        self.run("update webhook_deliveries set due_at = now() where webhook_id = %s and status = 'queued' returning 1", hook.id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(module_database, make_nats, tmp_path_factory):
    nats, folder = make_nats(), tmp_path_factory.mktemp("courier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pushing, "FLOOR_SECONDS", 0.05)  # a test moves the clock of what waits, and nobody rings
        patch.setattr(relay, "HEARTBEAT_SECONDS", 0.03)
        async with (
            served(module_database, nats, webhooks_private=HERE) as web, working(module_database, nats),
            carrying(module_database, None, nats, data_dir=folder, webhooks_private=HERE, public_url="https://clinic.example"),
        ):
            yield House(web, module_database)


@pytest_asyncio.fixture(loop_scope="module")
async def receiver():
    async with Receiver() as running:
        yield running


async def room(person, name="Room 1"):
    answer = await person("POST", "/rooms", {"name": name})
    assert answer.status_code == 201, answer.text
    return answer


living = pytest.mark.asyncio(loop_scope="module")


@living
async def test_an_event_arrives_signed_as_the_specification_says(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    assert hook.secret.startswith("whsec_")
    made = await room(hook.me)
    await until(lambda: receiver.has(1))
    (got,) = receiver.got
    assert got.signed(hook.secret)
    assert not got.signed("whsec_" + "A" * 43 + "=")
    assert not got._replace(body=got.body.replace(b"Room 1", b"Room 2")).signed(hook.secret)
    assert got.headers["content-type"] == "application/json"
    said, event = got.said, got.said["data"]
    assert set(said) == {"type", "timestamp", "data"}
    assert (said["type"], said["timestamp"], event["event"]) == ("RoomAdded", event["recordedAt"], "RoomAdded")
    assert (event["position"], event["entityId"], event["data"]["name"]) == (int(made.headers["x-position"]), made.json()["id"], "Room 1")
    told = msgspec.json.decode(msgspec.json.encode(heard()))
    body = {"$ref": told["components"]["messages"]["webhook"]["payload"]["$ref"], "components": told["components"]}
    assert list(Draft202012Validator(body).iter_errors(said)) == []
    await until(lambda: house.reads(hook, "delivered"))
    assert house.log(hook, "id::text", "attempts", "status_code") == [(got.id, 1, 204)]


@living
async def test_a_webhook_hears_what_it_asked_for_of_its_own_clinic(house, receiver):
    async with Receiver() as all_of_it, Receiver() as far_away:
        hook = await house.hooked(receiver, "RoomChanged", "RoomDeleted")
        everything = await house.hooked(all_of_it, admin=hook.me)
        await house.hooked(far_away)
        await hook.me("PUT", everything.at, {"url": all_of_it.url, "description": "All"})
        made = (await room(hook.me)).json()
        await hook.me("PUT", f"/rooms/{made['id']}", {"name": "Room 2"})
        await house.web.sign_in(await house.web.account(hook.clinic, "doctor"))  # of sessions nobody hears but whose they are
        await hook.me("DELETE", f"/rooms/{made['id']}")
        await until(lambda: receiver.has(2))
        await until(lambda: all_of_it.has(3))
        assert sorted(receiver.types) == ["RoomChanged", "RoomDeleted"]
        assert sorted(all_of_it.types) == ["RoomAdded", "RoomChanged", "RoomDeleted"], "nor of webhooks, whose addresses may be secrets"
        assert far_away.got == []
        assert {got.id for got in receiver.got}.isdisjoint(got.id for got in all_of_it.got)
        assert all(got.signed(everything.secret) and not got.signed(hook.secret) for got in all_of_it.got)


@living
async def test_nothing_personal_leaves_the_house(house, receiver):
    hook = await house.hooked(receiver, "PatientRegistered")
    await hook.me("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg", "email": "noor@example.org", "notes": "afraid of drills"})
    await until(lambda: receiver.has(1))
    assert "givenName" not in receiver.got[0].said["data"]["data"]
    assert not any(secret in receiver.got[0].body for secret in (b"Noor", b"Zwanenburg", b"noor@", b"drills", b"sealed"))


@living
async def test_the_same_change_is_the_same_event_whichever_door_it_came_through(house, receiver):
    """A session, a program's key, and the program itself."""
    hook = await house.hooked(receiver, "RoomAdded")
    key = (await hook.me("POST", "/clinic/api-keys", {"name": "Site", "scopes": ["settings.rooms.manage"]})).json()["key"]
    await room(hook.me)
    await house.web.client.post("/api/v1/protected/rooms", json={"name": "Room 2"}, headers={"x-api-key": key})
    await house.web.services.handler.handle(AddRoom(name="Room 3"), who(hook.clinic))
    await until(lambda: receiver.has(3))
    said = sorted((got.said["data"] for got in receiver.got), key=lambda event: event["position"])
    assert [event["data"].pop("name") for event in said] == ["Room 1", "Room 2", "Room 3"]
    assert len({msgspec.json.encode({**event, **dict.fromkeys(("position", "entityId", "recordedAt", "actor", "correlationId"))}) for event in said}) == 1


@living
async def test_what_fails_comes_again_later_under_the_same_id(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    answers = [Answer(500, b"Oops, ask sam@example.org"), Answer(429, b"", {"retry-after": "600"}), Answer(301, b"", {"location": receiver.url}), Answer(200, b"thanks")]
    receiver.says = lambda _: answers[len(receiver.got) - 1]
    waits = []
    await room(hook.me)
    for attempt in range(1, 4):
        await until(lambda: attempted(house, hook, attempt))  # noqa: B023 - at once
        waits += house.log(hook, "extract(epoch from due_at - now())::float8")
        house.hurry(hook)
    await until(lambda: house.reads(hook, "delivered"))
    first, second, third = (wait for wait, in waits)
    assert 3 < first <= 5.5
    assert 595 < second <= 600
    assert 1790 < third <= 1980
    assert len({got.id for got in receiver.got}) == 1
    assert all(got.signed(hook.secret) for got in receiver.got)
    assert len({got.body for got in receiver.got}) == 1
    detail = (await hook.me("GET", f"/webhooks/deliveries/{receiver.got[0].id}")).json()
    assert [(one["statusCode"], one["answer"], one["error"]) for one in detail["tried"]] == [
        (200, "thanks", None), (301, "", "answered 301"), (429, "", "answered 429"), (500, "Oops, ask <address>", "answered 500")]
    assert all(0 <= one["milliseconds"] < 10_000 for one in detail["tried"])
    assert (detail["status"], detail["attempts"], detail["statusCode"], detail["error"]) == ("delivered", 4, 200, None)


async def attempted(house, hook, count):
    return [(count,)] == house.log(hook, "attempts")


async def answers(hook, status):
    """Say whether it is read so by now: read models lie a little behind."""
    return (await hook.me("GET", hook.at)).status_code == status


@living
async def test_the_log_is_the_clinics_own_and_can_be_filtered(house, receiver):
    hook = await house.hooked(receiver)
    made = (await room(hook.me)).json()
    await hook.me("DELETE", f"/rooms/{made['id']}")
    await until(lambda: house.reads(hook, "delivered", "delivered"))

    async def log(**query):
        return [one["type"] for one in (await hook.me("GET", "/webhooks/deliveries", params=query)).json()["items"]]

    assert sorted(await log(webhookId=hook.id, status="delivered")) == ["RoomAdded", "RoomDeleted"]
    assert await log(type="RoomDeleted", entityId=made["id"]) == ["RoomDeleted"]
    assert await log(status="failed") == await log(queuedAtTo="2026-01-01T00:00:00Z") == []
    await until(lambda: answers(hook, 200))
    entry = (await hook.me("GET", hook.at)).json()
    assert (entry["enabled"], entry["failingSince"], entry["deliveredAt"] is not None, "secret" in entry) == (True, None, True, False)
    other = await house.clinic()
    assert (await other("GET", "/webhooks/deliveries")).json()["items"] == []
    failure(await other("GET", f"/webhooks/deliveries/{receiver.got[0].id}"), 404, "NOT_FOUND")
    failure(await other("GET", "/webhooks/deliveries", params={"webhookId": hook.id}), 404, "NOT_FOUND")
    failure(await other("POST", f"{hook.at}/deliveries/{receiver.got[0].id}/resend", {}), 404, "NOT_FOUND")
    failure(await (await house.web.person(hook.clinic, "doctor"))("GET", "/webhooks"), 403, "FORBIDDEN")


@living
async def test_one_delivery_is_sent_again_or_whatever_has_failed(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    await room(hook.me)
    await until(lambda: house.reads(hook, "delivered"))
    assert (await hook.me("POST", f"{hook.at}/deliveries/{receiver.got[0].id}/resend", {})).status_code == 200
    await until(lambda: receiver.has(2))
    assert len({got.id for got in receiver.got}) == 1
    failure(await hook.me("POST", f"{hook.at}/deliveries/{uuid4()}/resend", {}), 404, "NOT_FOUND")
    await until(lambda: house.reads(hook, "delivered"))
    for name in ("Room 2", "Room 3"):
        await room(hook.me, name)
    await until(lambda: house.reads(hook, *["delivered"] * 3))
    house.run("update webhook_deliveries set status = 'failed', queued_at = now() - (attempts || ' days')::interval where webhook_id = %s returning 1", hook.id)
    since = (datetime.now(UTC) - timedelta(hours=36)).isoformat()
    await hook.me("POST", f"{hook.at}/resend-failed", {"since": since})
    await until(lambda: house.reads(hook, "failed", "delivered", "delivered"))
    assert len(receiver.got) == 6
    failure(await hook.me("POST", f"{hook.at}/resend-failed", {"since": "2026-01-01T00:00:00"}), 400, "BODY_INVALID")


@living
async def test_a_test_reaches_the_webhook_it_is_for_and_no_other(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    async with Receiver() as other:
        await house.hooked(other, admin=hook.me)
        assert (await hook.me("POST", f"{hook.at}/test", {})).status_code == 200
        await room(hook.me)
        await until(lambda: receiver.has(2))
        await until(lambda: other.has(1))
        assert sorted(receiver.types) == ["RoomAdded", "WebhookTestAsked"]
        assert other.types == ["RoomAdded"]


@living
async def test_two_secrets_sign_while_one_replaces_the_other(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    fresh = (await hook.me("POST", f"{hook.at}/rotate-secret", {})).json()["secret"]
    await room(hook.me)
    await until(lambda: receiver.has(1))
    assert (receiver.got[0].signed(fresh), receiver.got[0].signed(hook.secret)) == (True, True)
    house.run("update webhook_targets set secrets = jsonb_set(secrets, '{1,until}', to_jsonb(now() - interval '1 second')) where id = %s returning 1", hook.id)
    await room(hook.me, "Room 2")
    await until(lambda: receiver.has(2))
    assert (receiver.got[1].signed(fresh), receiver.got[1].signed(hook.secret)) == (True, False)
    last = (await hook.me("POST", f"{hook.at}/rotate-secret", {"overlap": 0})).json()["secret"]
    await room(hook.me, "Room 3")
    await until(lambda: receiver.has(3))
    assert [receiver.got[2].signed(secret) for secret in (last, fresh, hook.secret)] == [True, False, False]
    dump = str(house.run("select convert_from(state, 'UTF8') from stored_events where originator_id = %s", hook.id)) + str(house.run("select * from vault"))
    assert "secretId" in dump
    assert not any(secret.removeprefix("whsec_") in dump for secret in (hook.secret, fresh, last))


@living
async def test_the_secret_is_shown_once_even_to_whoever_repeats_the_request(house, receiver):
    me = await house.clinic()
    answers = [await me("POST", "/webhooks", {"url": receiver.url}, headers={"idempotency-key": "one"}) for _ in range(2)]
    first, second = (answer.json() for answer in answers)
    assert (first["id"], second["secret"], first["secret"] is not None) == (second["id"], None, True)


@living
@pytest.mark.parametrize(("wish", "code"), [
    ({"url": "https://10.0.0.1/"}, "WEBHOOK_URL_PRIVATE"), ({"url": "https://169.254.169.254/"}, "WEBHOOK_URL_PRIVATE"), ({"url": "https://[fe80::1]/"}, "WEBHOOK_URL_PRIVATE"),
    ({"url": "https://127.1/"}, "WEBHOOK_URL_INVALID"), ({"url": "https://sam:secret@example.org/"}, "BODY_INVALID"), ({"url": "ftp://example.org/"}, "BODY_INVALID"),
    ({"url": "https://example.org/", "events": ["ToothWhitened"]}, "EVENT_UNKNOWN"), ({"url": "https://example.org/", "events": ["PlanDefined"]}, "EVENTS_NOT_HEARD"),
    ({"url": "https://example.org/", "events": ["SessionStarted"]}, "EVENTS_NOT_HEARD"), ({"url": "https://example.org/", "events": ["WebhookAdded"]}, "EVENTS_NOT_HEARD"), ({"url": "https://example.org/", "private": True}, "BODY_INVALID"),
])
async def test_what_cannot_be_sent_to_is_refused_at_once(house, receiver, wish, code):
    failure(await (await house.clinic())("POST", "/webhooks", wish), 400, code)


@living
async def test_a_receiver_that_is_gone_is_left_alone_at_once_and_the_clinic_is_told(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    receiver.says = lambda _: Answer(410)
    await room(hook.me)
    await until(lambda: house.reads(hook, "failed"))
    await room(hook.me, "Room 2")  # before anybody has put it on record
    await tend(house.web.services)
    await tend(house.web.services)
    events = house.run("select topic, convert_from(state, 'UTF8')::json->>'why' from stored_events where originator_id = %s order by originator_version", hook.id)
    assert events == [("WebhookAdded", None), ("WebhookDisabled", "gone")]
    await until(lambda: told(house, hook))
    await until(lambda: off_because(hook, "gone"))
    assert len(receiver.got) == 1
    failure(await hook.me("POST", f"{hook.at}/test", {}), 409, "WEBHOOK_OFF")
    receiver.says = lambda _: Answer(200)
    await hook.me("POST", f"{hook.at}/enable", {})
    await hook.me("POST", f"{hook.at}/resend-failed", {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
    await until(lambda: house.reads(hook, "delivered", "delivered"))
    assert (len(receiver.got), len({got.id for got in receiver.got})) == (3, 2), "what came in between waited for the record, and has failed with the rest"


async def off_because(hook, why):
    entry = (await hook.me("GET", hook.at)).json()
    return (entry["enabled"], entry["offBecause"]) == (False, why)


async def told(house, hook):
    found = house.run("select recipient_kind, template from letters where clinic_id = %s order by recipient_kind", hook.clinic)
    return found == [("accounts", "webhooks.disabled"), ("clinics", "webhooks.disabled")]


@living
async def test_a_receiver_that_took_nothing_for_three_days_is_given_up(house, receiver):
    """After the last attempt of a delivery, unless something else has got through since its first."""
    hook = await house.hooked(receiver, "RoomAdded", "RoomDeleted")
    receiver.says = lambda got: Answer(500 if got.said["type"] == "RoomAdded" else 200)
    made = (await room(hook.me)).json()
    await until(lambda: attempted(house, hook, 1))
    await hook.me("DELETE", f"/rooms/{made['id']}")
    await until(lambda: house.reads(hook, "queued", "delivered"))
    last = "update webhook_deliveries set tries = 9, due_at = now(), tried_at = tried_at - %s::interval where webhook_id = %s and status = 'queued' returning 1"
    house.run(last, "3 days", hook.id)
    await until(lambda: house.reads(hook, "failed", "delivered"))
    assert house.run("select stopped from webhook_targets where id = %s", hook.id) == [(None,)], "that event is at fault, not the receiver"
    await room(hook.me, "Room 2")
    await until(lambda: tried(house, hook, 10, 1, 1))
    house.run(last, "-1 second", hook.id)
    await until(lambda: house.reads(hook, "failed", "delivered", "failed"))
    assert house.run("select stopped from webhook_targets where id = %s", hook.id) == [("failing",)]
    await tend(house.web.services)
    await until(lambda: told(house, hook))


async def tried(house, hook, *tries):
    return [tries for tries, in house.log(hook, "tries")] == list(tries)


@living
async def test_a_receiver_that_took_nothing_for_five_days_is_given_up_whatever_it_asks_for(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    receiver.says = lambda _: Answer(503, b"", {"retry-after": "86400"})
    await room(hook.me)
    await until(lambda: attempted(house, hook, 1))
    house.run("update webhook_targets set failing_since = now() - interval '5 days 1 minute' where id = %s returning 1", hook.id)
    house.hurry(hook)
    await until(lambda: attempted(house, hook, 2))
    assert house.run("select stopped from webhook_targets where id = %s", hook.id) == [("failing",)]


@living
async def test_what_waits_for_a_webhook_that_is_switched_off_or_deleted_has_failed(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    receiver.says = lambda _: Answer(500)
    await room(hook.me)
    await until(lambda: attempted(house, hook, 1))
    await hook.me("POST", f"{hook.at}/disable", {})
    await until(lambda: house.reads(hook, "failed"))
    await room(hook.me, "Room 2")
    failure(await hook.me("POST", f"{hook.at}/disable", {}), 409, "WEBHOOK_OFF")
    await hook.me("POST", f"{hook.at}/enable", {})
    await room(hook.me, "Room 3")
    await until(lambda: house.reads(hook, "failed", "queued"))
    await hook.me("DELETE", hook.at)
    await until(lambda: house.reads(hook, "failed", "failed"))
    assert house.log(hook, "error") == [("the webhook was switched off",), ("the webhook was deleted",)]
    assert house.run("select * from webhook_targets where id = %s", hook.id) == house.run("select * from vault where owner = %s", hook.id) == []
    await until(lambda: answers(hook, 404))


@living
async def test_what_waits_goes_where_the_webhook_leads_now(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    receiver.says = lambda _: Answer(500)
    await room(hook.me)
    await until(lambda: attempted(house, hook, 1))
    async with Receiver() as other:
        answer = await hook.me("PUT", hook.at, {"url": other.url, "description": "Moved"})
        assert (answer.json()["url"], answer.json()["events"]) == (other.url, [])
        await until(lambda: moved(house, hook, other))
        house.hurry(hook)
        await until(lambda: other.has(1))


async def moved(house, hook, other):
    return house.run("select url from webhook_targets where id = %s", hook.id) == [(other.url,)]


@living
async def test_a_slow_receiver_holds_up_nobody_but_itself(house, receiver):
    hook, go_on = await house.hooked(receiver, "RoomAdded"), asyncio.Event()

    async def slowly(_):
        await go_on.wait()
        return Answer(200)

    receiver.says = slowly
    async with Receiver() as quick:
        await house.hooked(quick, "RoomAdded", admin=hook.me)
        for number in range(12):
            await room(hook.me, f"Room {number}")
        await until(lambda: quick.has(12))
        assert receiver.most_at_once == 5
        go_on.set()
        await until(lambda: house.reads(hook, *["delivered"] * 12))
        assert receiver.most_at_once == 5
        assert len({got.id for got in receiver.got}) == len(receiver.got) == 12


@living
async def test_a_clinic_with_many_slow_receivers_has_fifteen_under_way(house, receiver):
    me, go_on = await house.clinic(), asyncio.Event()

    async def slowly(_):
        await go_on.wait()
        return Answer(200)

    receiver.says = slowly
    hooks = [await house.hooked(receiver, "RoomAdded", admin=me) for _ in range(4)]
    for number in range(6):
        await room(me, f"Room {number}")
    async with Receiver() as quick:
        neighbour = await house.hooked(quick, "RoomAdded")
        await room(neighbour.me)
        await until(lambda: quick.has(1))
        await until(lambda: receiver.has(15))
        assert receiver.most_at_once == 15
    go_on.set()
    for hook in hooks:
        await until(lambda: house.reads(hook, *["delivered"] * 6))  # noqa: B023 - at once
    assert receiver.most_at_once == 15


@living
async def test_a_deactivated_clinic_is_sent_nothing(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded", "ClinicDeactivated", "ClinicReactivated")
    handler, root = house.web.services.handler, who(hook.clinic, "superadmin")
    await room(hook.me)
    await handler.handle(DeactivateClinic(reason="A mistake"), root, id=hook.clinic)
    await handler.handle(AddRoom(name="Room 2"), who(hook.clinic))
    await handler.handle(ReactivateClinic(), root, id=hook.clinic)
    await handler.handle(AddRoom(name="Room 3"), who(hook.clinic))
    await until(lambda: receiver.has(3))
    assert [got.said["data"]["data"].get("name") for got in sorted(receiver.got, key=lambda got: got.said["data"]["position"])] == ["Room 1", None, "Room 3"]


@living
async def test_nothing_is_sent_for_a_clinic_that_is_deleted_and_its_secrets_go(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    receiver.says = lambda _: Answer(500)
    await room(hook.me)
    await until(lambda: attempted(house, hook, 1))
    await house.web.services.handler.handle(DeleteClinic(name="Grachten", reason="Opened by mistake"), who(hook.clinic, "superadmin"), id=hook.clinic)
    await until(lambda: house.reads(hook, "failed"))
    assert house.run("select * from webhook_targets where id = %s", hook.id) == house.run("select * from vault where owner = %s", hook.id) == []


@living
async def test_rebuilding_read_models_sends_nothing_again(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    await room(hook.me)
    await until(lambda: house.reads(hook, "delivered"))
    await asyncio.to_thread(rebuild, house.database.url("owner"), ["webhooks", "rooms"], kek=house.web.services.settings.kek)
    await room(hook.me, "Room 2")
    await until(lambda: house.reads(hook, "delivered", "delivered"))
    assert len(receiver.got) == 2
    await until(lambda: answers(hook, 200))


@living
async def test_an_erasure_takes_along_what_receivers_have_answered(house, receiver):
    hook = await house.hooked(receiver, "PatientRegistered")
    receiver.says = lambda _: Answer(200, b"Noor Zwanenburg is welcome")
    patient = (await hook.me("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg"})).json()["id"]
    await until(lambda: house.reads(hook, "delivered"))
    found = "select count(answer) from webhook_attempts where clinic_id = %s"
    assert house.run(found, hook.clinic) == [(1,)]
    answer = await hook.me("POST", "/privacy/erasures", {"personId": patient, "reason": "She asked", "despiteRetention": True})
    assert answer.status_code == 200, answer.text
    await until(lambda: nothing(house, found, hook.clinic))


@living
async def test_what_was_asked_before_an_erasure_and_answered_after_it_is_not_kept(house, receiver):
    hook, go_on = await house.hooked(receiver, "RoomAdded"), asyncio.Event()

    async def slowly(_):
        await go_on.wait()
        return Answer(200, b"Noor Zwanenburg is welcome")

    receiver.says = slowly
    patient = (await hook.me("POST", "/patients", {"givenName": "Noor", "familyName": "Zwanenburg"})).json()["id"]
    await room(hook.me)
    await until(lambda: receiver.has(1))
    await hook.me("POST", "/privacy/erasures", {"personId": patient, "reason": "She asked", "despiteRetention": True})
    await until(lambda: blanked(house, hook))
    go_on.set()
    await until(lambda: house.reads(hook, "delivered"))
    assert house.run("select status_code, answer from webhook_attempts where clinic_id = %s", hook.clinic) == [(200, None)]


async def blanked(house, hook):
    return house.run("select blanked_at is not null from webhook_targets where id = %s", hook.id) == [(True,)]


async def nothing(house, sql, *values):
    return house.run(sql, *values) == [(0,)]


@living
async def test_health_tells_of_webhooks(house, receiver):
    said = (await house.web.client.get("/health")).json()["webhooks"]
    assert set(said) == {"queued", "overdueSeconds", "failing"}
    assert said["failing"] >= 1, "some fail by now"
    assert "anamnesis_webhooks_failing" in (await house.web.client.get("/metrics")).text


@living
async def test_a_courier_sees_secrets_of_webhooks_and_no_others(house, receiver):
    await house.hooked(receiver)
    kinds = dict(house.run("select kind, id from vault"))
    with psycopg.connect(house.database.url("courier"), autocommit=True) as courier:
        for statement in ("select * from vault", "select * from vault_get(gen_random_uuid())", "select * from webhooks_given_up()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                courier.execute(statement)
        seen = courier.execute("select id from webhook_secrets(%s)", (list(kinds.values()),)).fetchall()
    assert seen == [(kinds["webhook"],)]
    assert "password" in kinds
    with psycopg.connect(house.database.url("gateway"), autocommit=True) as gateway:
        assert gateway.execute("select count(*) from webhook_deliveries").fetchone() == (0,)
        for statement in ("delete from webhook_deliveries", "select * from webhook_secrets(array[]::uuid[])", "select * from webhooks_claim(1)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                gateway.execute(statement)


def block(language):
    """A piece of code of the guide."""
    return GUIDE.read_text("utf-8").split(f"```{language}\n")[1].split("```")[0]


@living
async def test_the_guides_own_code_verifies_what_is_sent(house, receiver):
    hook = await house.hooked(receiver, "RoomAdded")
    await hook.me("POST", f"{hook.at}/rotate-secret", {})
    await room(hook.me)
    await until(lambda: receiver.has(1))
    (got,) = receiver.got
    code: dict[str, Any] = {}
    exec(block("python"), code)  # noqa: S102 - ours
    assert code["verify"](got.headers, got.body, hook.secret) == got.said
    for headers, body, secret in (
        (got.headers, got.body + b" ", hook.secret), (got.headers, got.body, "whsec_c2VjcmV0"), ({**got.headers, "webhook-timestamp": "1767607200"}, got.body, hook.secret),
    ):
        with pytest.raises(ValueError, match=r"not signed|too old"):
            code["verify"](headers, body, secret)


@pytest.mark.interop
async def test_the_guides_code_for_node_verifies_what_is_sent(tmp_path):
    (tmp_path / "verify.mjs").write_text(block("javascript"))
    (tmp_path / "main.mjs").write_text("""
        import { verify } from './verify.mjs'
        const [headers, body, secret] = JSON.parse(process.argv[2])
        try { console.log(verify(headers, Buffer.from(body), secret).type) } catch (error) { console.log(error.message) }
    """)

    def said(body, secret, now):
        signed = pushing.headers(DELIVERY, now, b'{"type":"RoomAdded"}', [b"t" * 32, b"s" * 32])
        done = subprocess.run(["node", tmp_path / "main.mjs", json.dumps([signed, body, secret])], capture_output=True, text=True, check=True)  # noqa: S607
        return done.stdout.strip()

    secret, now = "whsec_" + base64.b64encode(b"s" * 32).decode(), datetime.now(UTC)
    assert said('{"type":"RoomAdded"}', secret, now) == "RoomAdded"
    assert said('{"type":"RoomAdded"} ', secret, now) == said('{"type":"RoomAdded"}', "whsec_c2VjcmV0", now) == "not signed with this secret"
    assert said('{"type":"RoomAdded"}', secret, now - timedelta(minutes=6)) == "too old"


@living
async def test_the_guides_commands_do_what_it_says(house):
    clinic = await house.web.clinic()
    email = await house.web.account(clinic, "admin")
    prose = re.sub("(?s)```.*?```", "", GUIDE.read_text("utf-8"))
    typed = "\n".join(["set -eu", *(line.removeprefix("    ") for line in prose.splitlines() if line.startswith("    "))])
    typed = typed.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{house.web.port}").replace("admin@amsterdam.example", email).replace("anamnesis-demo", PASSWORD)
    done = await asyncio.to_thread(subprocess.run, ["bash", "-c", typed], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"True\n\[\]\n([0-9a-f-]{36})\nwhsec_\n\1\n", done.stdout), done.stdout


async def test_killed_in_the_middle_it_goes_on_and_nothing_is_lost_or_doubled(database, tmp_path):
    """A courier is killed while a receiver has its request in hand; whoever goes on sends the same deliveries under the same ids."""
    settings = replace(database.settings("courier"), data_dir=tmp_path, webhooks_private=HERE)
    command = [sys.executable, "-m", "anamnesis", "worker", "courier"]
    first = spawn(command, env=settings.environment(), log=tmp_path / "first.log")
    async with town_of(database) as town, Receiver() as receiver:
        added = await town(AddWebhook(url=receiver.url, events=["RoomAdded"], secret_id=await kept(database, town), private=True))
        for number in range(8):
            await town(AddRoom(name=f"Room {number} more"))

        def die(_):
            os.kill(first.pid, signal.SIGKILL)
            return Answer(200)

        receiver.says = die
        await until(lambda: receiver.has(1), 30)
        first.wait()
        receiver.says = lambda _: Answer(200)
        assert first.returncode == -signal.SIGKILL
        house = House(None, database)
        hook = SimpleNamespace(id=added.id)
        async with carrying(database, None, data_dir=tmp_path, webhooks_private=HERE, count=2):
            await until(lambda: house.reads(hook, *["delivered"] * 8), 30)
        ids = [got.id for got in receiver.got]
        assert {str(id_) for id_, in house.log(hook, "id")} == set(ids)
        assert (len(set(ids)), max(Counter(ids).values()) <= 2) == (8, True), "what was in hand comes twice, and nothing more often"


@pytest.mark.soak
async def test_couriers_that_are_killed_again_and_again_lose_nothing_and_make_up_nothing(database, tmp_path):
    settings = replace(database.settings("courier"), data_dir=tmp_path, webhooks_private=HERE)
    house, kills, dice = House(None, database), 25, Random(7)

    def start():
        return spawn([sys.executable, "-m", "anamnesis", "worker", "courier"], env=settings.environment(), log=tmp_path / f"{uuid4()}.log")

    async with town_of(database) as town, Receiver() as receiver:

        async def slowly(_):
            await asyncio.sleep(dice.random() / 20)
            return Answer(200 if dice.random() < 0.9 else 500)

        receiver.says = slowly
        hooks = [
            (await town(AddWebhook(url=receiver.url, events=["RoomAdded"], secret_id=await kept(database, town), private=True))).id for _ in range(3)]
        couriers, positions = [start(), start()], []
        for kill in range(kills):
            positions += [(await town(AddRoom(name=f"Room {kill}/{number}"))).position for number in range(20)]
            await asyncio.sleep(0.5 + dice.random())
            couriers[kill % 2].kill()
            couriers[kill % 2].wait()
            couriers[kill % 2] = start()
        receiver.says = lambda _: Answer(200)

        async def over():
            house.run("update webhook_deliveries set due_at = least(due_at, now()) where status = 'queued' and owner is null returning 1")
            return house.run("select count(*) from webhook_deliveries where status <> 'delivered'") == [(0,)]

        await until(over, 60)
        for courier in couriers:
            courier.terminate()
            courier.wait()
    made = {(str(hook), position) for hook, position in house.run("select webhook_id, position from webhook_deliveries")}
    assert made == {(str(hook), position) for hook in hooks for position in positions}
    ids = {str(id_) for id_, in house.run("select id from webhook_deliveries")}
    assert {got.id for got in receiver.got} == ids
    assert len(ids) == len(made) == 3 * 20 * kills
    failed, noted = house.run("select count(*) filter (where status_code = 500), count(*) from webhook_attempts")[0]
    assert failed > 0
    assert len(receiver.got) - noted <= kills * 15, "no more than what was under way comes without a note"


async def kept(database, town):
    """A secret in the vault."""
    return await Vault(town.handler.lanes, database.settings("gateway").kek).put_sealed(uuid4(), b"s" * 32, "webhook")


async def test_old_deliveries_are_forgotten(database, tmp_path):
    async with town_of(database) as town, Receiver() as receiver:
        await town(AddWebhook(url=receiver.url, secret_id=await kept(database, town), private=True))
        house = House(None, database)
        async with carrying(database, None, data_dir=tmp_path, webhooks_private=HERE):
            await town(AddRoom(name="Room 7"))
            await until(lambda: receiver.has(1))
        house.run("update webhook_deliveries set queued_at = now() - interval '31 days' returning 1")
        async with carrying(database, None, data_dir=tmp_path, webhooks_private=HERE):
            await until(lambda: nothing(house, "select count(*) from webhook_deliveries"))
    assert house.run("select count(*) from webhook_attempts") == [(0,)]

