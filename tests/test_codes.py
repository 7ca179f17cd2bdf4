"""Single-use codes on a real database: once means once, five tries mean five, whoever hurries."""

import asyncio
import re
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest

from commands.kit.codes import Codes, Whose
from projections.kit.lanes import Lanes

RESET, INVITE = "password.reset", "staff.invitation"
KEY = b"k" * 32


@asynccontextmanager
async def process(database, key=KEY):
    """One process's codes."""
    lanes = Lanes(database.url("gateway"))
    await lanes.open()
    try:
        yield Codes(lanes, key)
    finally:
        await lanes.close()


@pytest.fixture
async def codes(module_database):
    async with process(module_database) as made:
        yield made


@pytest.fixture
def owner(module_database):
    with psycopg.connect(module_database.url("owner"), autocommit=True) as connection:
        yield connection


def age(owner):
    """Let every code's time run out."""
    owner.execute("update link_codes set expires_at = now()")
    owner.execute("update digit_codes set expires_at = now()")


def other(code):
    """Six digits that are not these."""
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_a_link_token_names_its_subject_once(codes):
    subject, clinic = uuid4(), uuid4()
    token = await codes.issue(RESET, subject, 60, clinic)
    assert re.fullmatch(r"[\w-]{43}", token)
    assert await codes.peek(RESET, token) == subject
    assert await codes.whose(RESET, token) == Whose(subject, clinic)
    assert await codes.redeem(RESET, token) == subject
    assert await codes.redeem(RESET, token) is None
    assert await codes.peek(RESET, token) is None


async def test_a_token_serves_its_own_purpose_only(codes):
    subject = uuid4()
    token = await codes.issue(RESET, subject, 60)
    assert await codes.peek(INVITE, token) is None
    assert await codes.redeem(INVITE, token) is None
    assert await codes.redeem(RESET, token) == subject


@pytest.mark.parametrize("token", ["", "x", "\0", "é" * 43, "A" * 100_000])
async def test_whatever_is_no_token_names_nobody(codes, token):
    assert await codes.peek(RESET, token) is None
    assert await codes.redeem(RESET, token) is None


async def test_of_twenty_who_redeem_at_once_in_two_processes_one_wins(module_database, codes):
    subject = uuid4()
    async with process(module_database) as others:
        for _ in range(5):
            token = await codes.issue(RESET, subject, 60)
            found = await asyncio.gather(*(c.redeem(RESET, token) for c in (codes, others) * 10))
            assert (found.count(subject), found.count(None)) == (1, 19)


async def test_of_twenty_with_the_right_digits_one_wins(module_database, codes):
    subject = uuid4()
    async with process(module_database) as others:
        for _ in range(5):
            code = await codes.issue_digits(RESET, subject, 60)
            found = await asyncio.gather(*(c.redeem_digits(RESET, subject, code) for c in (codes, others) * 10))
            assert found.count(True) == 1


async def test_digits_bear_five_tries_even_at_once(codes, owner):
    subject = uuid4()
    code = await codes.issue_digits(RESET, subject, 60)
    guesses = await asyncio.gather(*(codes.redeem_digits(RESET, subject, other(code)) for _ in range(50)))
    assert not any(guesses)
    assert owner.execute("select tries from digit_codes where subject = %s", (subject,)).fetchone() == (5,)
    assert not await codes.redeem_digits(RESET, subject, code), "five were five"
    assert await codes.redeem_digits(RESET, subject, await codes.issue_digits(RESET, subject, 60)), "a new code has tries of its own"


async def test_the_fifth_try_still_counts(codes):
    subject = uuid4()
    code = await codes.issue_digits(RESET, subject, 60)
    for _ in range(4):
        assert not await codes.redeem_digits(RESET, subject, other(code))
    assert await codes.redeem_digits(RESET, subject, code)
    assert not await codes.redeem_digits(RESET, subject, code)


async def test_new_digits_make_the_older_void_and_leave_others_alone(codes):
    subject, neighbour = uuid4(), uuid4()
    theirs = await codes.issue_digits(RESET, neighbour, 60)
    invited = await codes.issue_digits(INVITE, subject, 60)
    old = new = await codes.issue_digits(RESET, subject, 60)
    while new == old:
        new = await codes.issue_digits(RESET, subject, 60)
    assert not await codes.redeem_digits(RESET, subject, old)
    assert await codes.redeem_digits(RESET, subject, new)
    assert await codes.redeem_digits(RESET, neighbour, theirs)
    assert await codes.redeem_digits(INVITE, subject, invited)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "\0" * 6, "9" * 100_000])
async def test_whatever_is_no_code_opens_nothing(codes, code):
    subject = uuid4()
    await codes.issue_digits(RESET, subject, 60)
    assert not await codes.redeem_digits(RESET, subject, code)
    assert not await codes.redeem_digits(RESET, uuid4(), code)


async def test_what_has_expired_opens_nothing_and_is_swept_away(codes, owner):
    subject = uuid4()
    token, code = await codes.issue(RESET, subject, 60), await codes.issue_digits(RESET, subject, 60)
    age(owner)
    assert await codes.peek(RESET, token) is None
    assert await codes.redeem(RESET, token) is None
    assert not await codes.redeem_digits(RESET, subject, code)
    await codes.issue(INVITE, uuid4(), 60)
    assert owner.execute("select (select count(*) from link_codes), (select count(*) from digit_codes)").fetchone() == (1, 0)


async def test_what_is_withdrawn_opens_nothing(codes):
    subject, neighbour = uuid4(), uuid4()
    tokens = [await codes.issue(RESET, subject, 60) for _ in range(2)]
    code, kept = await codes.issue_digits(RESET, subject, 60), await codes.issue(RESET, neighbour, 60)
    await codes.withdraw(RESET, subject)
    assert [await codes.redeem(RESET, token) for token in tokens] == [None, None]
    assert not await codes.redeem_digits(RESET, subject, code)
    assert await codes.redeem(RESET, kept) == neighbour


async def test_the_database_alone_gives_no_code_away(module_database, codes, owner):
    subject = uuid4()
    token, code = await codes.issue(RESET, subject, 60), await codes.issue_digits(RESET, subject, 60)
    written = str(owner.execute("select * from link_codes").fetchall()) + str(owner.execute("select * from digit_codes").fetchall())
    assert token not in written
    assert code not in written
    async with process(module_database, b"another key".ljust(32)) as elsewhere:
        assert not await elsewhere.redeem_digits(RESET, subject, code), "the digits are worth nothing without the key"


async def test_a_process_may_use_the_codes_and_never_read_them(module_database):
    with psycopg.connect(module_database.url("gateway"), autocommit=True) as gateway:
        for statement in ("select * from link_codes", "select * from digit_codes"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                gateway.execute(statement)
    with psycopg.connect(module_database.url("projector"), autocommit=True) as projector, pytest.raises(psycopg.errors.InsufficientPrivilege):
        projector.execute("select link_redeem(''::bytea, '')")
