"""Invite codes: minted, used so often as they say, revoked."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from commands.invite_codes import MintInviteCode, RevokeInviteCode
from domain.invite_codes import InviteCodeMinted, InviteCodeRevoked, InviteCodeRevokedAlready, InviteCodeUsed
from domain.kit import PLATFORM, NotFound
from projections.invite_codes import invite_codes
from tests.kit import facts, given, noon
from tests.served import failure, served, working
from tests.test_signups import AMSTERDAM, sign_up, somebody

minted = InviteCodeMinted(label="Fair", uses=2, expires_at=noon.now + timedelta(days=30))
PATH = "/admin/invite-codes"


def test_a_code_is_minted_and_revoked_once():
    given().when(MintInviteCode(label="Fair", uses=2)).then(minted)
    given(minted).when(RevokeInviteCode(reason="Leaked")).then(InviteCodeRevoked(reason="Leaked"))
    given(minted, InviteCodeRevoked()).when(RevokeInviteCode()).refused(InviteCodeRevokedAlready)
    given().when(RevokeInviteCode()).refused(NotFound)


def test_its_row_counts():
    row = None
    for fact in facts(minted, InviteCodeUsed(signup_id=uuid4()), InviteCodeRevoked(reason="Leaked")):
        row = invite_codes(row, fact)
    assert (row.label, row.uses, row.used, row.revoked, row.reason) == ("Fair", 2, 1, True, "Leaked")


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server, proxies="127.0.0.0/8") as serving, working(module_database, nats_server):
        yield serving


async def test_a_code_of_one_use_lets_one_clinic_in(whole):
    root = await whole.person(PLATFORM, "superadmin")
    made = (await root("POST", PATH, {"label": "Fair"})).json()
    answers = await asyncio.gather(*(sign_up(whole, somebody(), inviteCode=made["code"], **AMSTERDAM) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] + [410] * 7
    (won,) = [answer.json() for answer in answers if answer.status_code == 202]
    assert won["status"] == "approved"
    for answer in answers:
        if answer.status_code != 202:
            failure(answer, 410, "INVITE_CODE_OVER")
    again = (await root("POST", PATH, {"uses": 5})).json()
    gone = await root("DELETE", f"{PATH}/{again['id']}")
    failure(await sign_up(whole, somebody(), inviteCode=again["code"]), 410, "INVITE_CODE_OVER")
    failure(await sign_up(whole, somebody(), inviteCode="no such code"), 410, "INVITE_CODE_OVER")
    seen = await root.seen(gone)
    rows = {row["id"]: row for row in (await root("GET", PATH, headers=seen)).json()["items"]}
    assert (rows[made["id"]]["used"], rows[again["id"]]["revoked"]) == (1, True)
    assert made["code"] not in str(rows)
    (came,) = (await root("GET", f"/signups?inviteId={made['id']}", headers=seen)).json()["items"]
    assert (came["id"], came["way"], came["status"]) == (won["requestId"], "invite", "approved")
    admin = await whole.person(await whole.clinic(), "admin")
    for method, path, body in (("POST", PATH, {}), ("GET", PATH, None), ("GET", f"{PATH}/{made['id']}", None), ("DELETE", f"{PATH}/{made['id']}", None)):
        failure(await admin(method, path, body), 403, "FORBIDDEN")
