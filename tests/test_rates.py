"""How much may be asked for: per account and per address, among several gateways, behind proxies; and doors that count exactly."""

import asyncio
import time
from timeit import repeat
from uuid import uuid4

import psycopg
import pytest

from commands.kit.doors import DEMOS, FEEDS, AccountLocked, Doors
from commands.kit.errors import RateLimited
from gateway.kit.proxies import Proxies
from gateway.kit.rates import ACCOUNT, ADDRESS, Meter, client
from projections.kit.lanes import Lanes
from tests.served import PROTECTED, Person, failure, served, until

ROOMS = f"{PROTECTED}/rooms"


def standing(answer):
    return tuple(int(answer.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))


async def asked(person, times):
    return [(await person("GET", "/rooms")).status_code for _ in range(times)]


# --- at the gateway


async def test_every_answer_says_how_much_more_may_be_asked_for(module_database):
    async with served(module_database, rate_account=600, rate_address=6000) as web:
        admin = await web.person(await web.clinic(), "admin")
        first, second = await admin("GET", "/rooms"), await admin("POST", "/rooms", {"name": "Room 1"})
        assert standing(first) == (600, 599, 1)
        assert standing(second) in {(600, 598, 1), (600, 599, 1)}
        assert first.headers["ratelimit-policy"] == "600;w=60"
        refused = await web.client.get(ROOMS)
        failure(refused, 401, "SIGN_IN_REQUIRED")
        assert standing(refused)[0] == 6000, "nobody has an address only"
        assert standing(await web.client.get("/no-such-thing"))[0] == 6000
        assert standing(await admin("PUT", "/rooms"))[0] == 6000, "Litestar's own way"


async def test_an_account_that_asks_too_much_waits_and_nobody_else_does(module_database):
    async with served(module_database, rate_account=120) as web:
        clinic = await web.clinic()
        admin, other = await web.person(clinic, "admin"), await web.person(clinic, "admin")
        codes = await asyncio.gather(*(admin("GET", "/rooms") for _ in range(150)))
        accepted = sum(answer.status_code == 200 for answer in codes)
        assert 120 <= accepted <= 125, "a minute's worth, and what was paid off meanwhile"
        refused = next(answer for answer in codes if answer.status_code == 429)
        (detail,) = failure(refused, 429, "RATE_LIMITED")
        assert (detail["limit"], detail["window"], str(detail["retryAfter"])) == (120, 60, refused.headers["retry-after"])
        assert standing(refused)[:2] == (120, 0)
        assert (await other("GET", "/rooms")).status_code == 200

        async def again():
            return (await admin("GET", "/rooms")).status_code == 200

        await until(again, 3)


async def test_an_address_counts_whoever_comes_from_it_even_before_it_is_known_who(module_database):
    async with served(module_database, rate_address=60) as web:
        admin = await web.person(await web.clinic(), "admin")
        codes = [answer.status_code for answer in await asyncio.gather(*(web.client.get(ROOMS, headers={"authorization": "Bearer x"}) for _ in range(70)))]
        assert 59 <= codes.count(401) <= 62
        failure(await admin("GET", "/rooms"), 429, "RATE_LIMITED")
        failure(await web.sign_in("nobody@clinic.example"), 429, "RATE_LIMITED")


async def test_what_was_asked_of_one_gateway_counts_at_the_other(module_database):
    async with served(module_database, rate_account=60) as here, served(module_database, rate_account=60) as there:
        person = await here.person(await here.clinic(), "admin")
        elsewhere = Person(there, person.session)
        assert set(await asked(person, 30)) == {200}
        await here.services.rates.settle()
        assert set(await asked(elsewhere, 10)) == {200}
        await there.services.rates.settle()
        answer = await elsewhere("GET", "/rooms")
        assert 17 <= standing(answer)[1] <= 21, "thirty elsewhere, eleven here"
        await there.services.rates.settle()
        await here.services.rates.settle()
        assert 16 <= (await asked(person, 30)).count(200) <= 22


async def test_gateways_settle_by_themselves_and_forget_who_owes_nothing(module_database):
    async with served(module_database, rate_account=120) as here, served(module_database, rate_account=120) as there:
        person = await here.person(await here.clinic(), "admin")
        await asked(person, 12)  # half a second each

        async def brought():
            return not any(bucket.unsettled for bucket in here.services.rates.account.buckets.values())

        await until(brought, 5)
        await asked(Person(there, person.session), 1)
        meter = there.services.rates.account

        async def told():
            return any(bucket.paid_off - time.monotonic() > 2 * meter.cost for bucket in meter.buckets.values())

        await until(told, 5)

        async def forgotten():
            return not meter.buckets

        await until(forgotten, 15)


async def test_what_could_not_be_settled_is_settled_later(module_database):
    lanes = Lanes(module_database.url("gateway"))
    async with served(module_database, rate_account=600) as web:
        person = await web.person(await web.clinic(), "admin")
        rates = web.services.rates
        await rates.close()
        await asked(person, 5)
        rates._lanes, working = lanes, rates._lanes
        with pytest.raises(Exception, match="ReadUnavailable"):
            await rates.settle()
        rates._lanes = working
        (bucket,) = rates.account.buckets.values()
        assert bucket.unsettled == 5
        await rates.settle()
        assert bucket.unsettled == 0
        assert 3 * rates.account.cost < bucket.paid_off - time.monotonic() < 6 * rates.account.cost


async def test_forwarded_addresses_count_only_from_proxies_that_are_configured(module_database):
    forged = [{"x-forwarded-for": f"203.0.113.{n}"} for n in range(1, 31)]
    async with served(module_database, rate_address=20) as web:
        codes = [(await web.client.get("/.well-known/jwks.json", headers=headers)).status_code for headers in forged]
        assert codes.count(429) > 5, "the header changes nothing"
    async with served(module_database, rate_address=20, proxies="127.0.0.0/8") as web:
        codes = [(await web.client.get("/.well-known/jwks.json", headers=headers)).status_code for headers in forged]
        assert 429 not in codes
        codes = [(await web.client.get(ROOMS, headers=forged[0])).status_code for _ in range(25)]
        assert codes.count(429) > 3, "one client is one client, on the short way too"


@pytest.mark.parametrize(("said", "client_is"), [
    ([], "10.0.0.9"), (["203.0.113.7"], "203.0.113.7"), (["203.0.113.7, 10.0.0.1"], "203.0.113.7"), (["6.6.6.6, 203.0.113.7, 10.0.0.1"], "203.0.113.7"),
    (["6.6.6.6", "203.0.113.7, 10.0.0.1"], "203.0.113.7"), (["6.6.6.6, 203.0.113.7", "10.0.0.1"], "203.0.113.7"), (["203.0.113.7:5123"], "203.0.113.7"),
    (["[2001:db8::1]:443"], "2001:db8::1"), (["2001:0DB8::0001"], "2001:db8::1"), (["6.6.6.6, nonsense"], "10.0.0.9"), (["6.6.6.6, nonsense, 10.0.0.1"], "10.0.0.1"),
    (["10.0.0.2"], "10.0.0.2"), ([""], "10.0.0.9"), (["1" * 5000], "10.0.0.9"),
])
def test_the_client_is_the_last_address_that_is_no_proxy(said, client_is):
    headers = [(b"x-forwarded-for", text.encode()) for text in said]
    scope = {"client": ("10.0.0.9", 1), "scheme": "http", "headers": headers}
    assert Proxies("10.0.0.0/8").client(scope, dict(headers)) == client_is
    assert Proxies("10.0.0.1").client(scope, dict(headers)) == "10.0.0.9", "this peer is no proxy"
    assert Proxies("").client(scope, dict(headers)) == "10.0.0.9"


def test_a_proxys_word_says_whether_the_client_speaks_tls():
    for listed, secure in (("10.0.0.9", True), ("", False)):
        assert Proxies(listed).secure({"client": ("10.0.0.9", 1), "scheme": "http"}, {b"x-forwarded-proto": b"https"}) is secure
    assert Proxies("").secure({"client": ("10.0.0.9", 1), "scheme": "https"}, {})


def test_an_ipv6_client_is_its_network():
    assert client("2001:db8:0:1::1") == client("2001:db8:0:1:ffff::2") != client("2001:db8:0:2::1")
    assert (client("192.0.2.1"), client("fe80::1%eth0"), client("")) == ("192.0.2.1", "fe80::/64", "")


def test_counting_costs_next_to_nothing():
    """Two limits and the headers of one, as each request of somebody signed in has them: some microsecond, whoever else is at work on this machine."""
    account, address, key = Meter("account", ACCOUNT * 10**6), Meter("address", ADDRESS * 10**6), uuid4()

    def once():
        address.take("192.0.2.1")
        account.headers(account.take(key))

    assert min(repeat(once, number=2000, repeat=20)) / 2000 < 4e-6


def test_a_meter_has_room_for_a_crowd_only():
    meter = Meter("address", 60)
    for n in range(100_500):
        meter.take(n)
    meter.sweep()
    assert len(meter.buckets) == 100_000
    assert 0 not in meter.buckets


# --- doors


@pytest.fixture
async def doors(module_database):
    """Two gateways' doors."""
    lanes = [Lanes(module_database.url("gateway")) for _ in range(2)]
    for one in lanes:
        await one.open()
    yield [Doors(one, b"k" * 32) for one in lanes]
    for one in lanes:
        await one.close()


async def tries(doors, number, purpose, subject, address):
    """Guess so often at once, at both gateways; return how many were let through."""
    outcomes = await asyncio.gather(*(doors[n % 2].guess(purpose, subject, address) for n in range(number)), return_exceptions=True)
    assert {type(o) for o in outcomes} <= {int, AccountLocked}
    return sum(isinstance(o, int) for o in outcomes)


async def test_guesses_are_counted_exactly_whatever_is_guessed_and_wherever(doors):
    someone, address = uuid4().hex, uuid4().hex
    assert await tries(doors, 7, "password", someone, address) == 7
    assert await tries(doors, 30, "code", someone, address) == 3, "codes and passwords count together"
    with pytest.raises(AccountLocked) as locked:
        await doors[1].guess("pin", someone, address)
    assert 890 <= locked.value.details["retry_after"] <= 900
    assert await tries(doors, 5, "password", uuid4().hex, address) == 5, "somebody else's account is open"


async def test_being_right_strikes_off_guesses_of_that_purpose_only(doors):
    someone, address = uuid4().hex, uuid4().hex
    assert await tries(doors, 6, "code", someone, address) == 6
    for _ in range(5):
        assert await tries(doors, 3, "password", someone, address) == 3
        await doors[0].right(await doors[0].guess("password", someone, address))
    assert await tries(doors, 9, "code", someone, address) == 4, "whoever knows the password has no more codes to guess"


async def test_many_addresses_lock_an_account_for_strangers_but_not_where_its_owner_was_right(doors):
    someone, home = uuid4().hex, uuid4().hex
    await doors[0].right(await doors[0].guess("password", someone, home))
    for n in range(10):
        assert await tries(doors, 10, "password", someone, f"{someone} {n}") == 10
    assert await tries(doors, 1, "password", someone, "yet another") == 0
    assert await tries(doors, 12, "password", someone, home) == 10, "at home he has his own ten"


async def test_one_address_guesses_at_fifty_accounts_at_most(doors):
    address = uuid4().hex
    outcomes = await asyncio.gather(*(doors[n % 2].guess("password", uuid4().hex, address) for n in range(80)), return_exceptions=True)
    assert sum(isinstance(o, int) for o in outcomes) == 50


@pytest.mark.parametrize(("door", "most", "seconds"), [(DEMOS, 5, 3600), (FEEDS, 30, 900)])
async def test_doors_for_anybody_let_so_many_through_exactly(module_database, doors, door, most, seconds):
    address = uuid4().hex
    outcomes = await asyncio.gather(*(doors[n % 2].enter(door, address) for n in range(most + 20)), return_exceptions=True)
    refused = [o for o in outcomes if o is not None]
    assert (len(outcomes) - len(refused), {type(o) for o in refused}) == (most, {RateLimited})
    assert all(seconds - 10 <= o.details["retry_after"] <= seconds for o in refused)
    assert await doors[0].enter(door, "elsewhere") is None
    with psycopg.connect(module_database.url("owner"), autocommit=True) as owner:
        owner.execute("update door_attempts set at = at - make_interval(secs => %s)", [seconds])
        assert await doors[0].enter(door, address) is None
        assert "elsewhere" not in str(owner.execute("select * from door_attempts").fetchall())
