"""Pictures of people: one's own to change, one's colleagues' to see, nobody else's, and gone with the account."""

import httpx
import psycopg
import pytest

from domain.kit import PLATFORM
from tests.served import failure, served

ME = "/api/v1/auth/me/image"
GIF, PNG = b"GIF89a\1\0\1\0\0\0\0;", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10"


@pytest.fixture
async def web(module_database):
    async with served(module_database) as serving:
        yield serving


def sent(person, body, media="image/gif"):
    return person.web.client.put(ME, content=body, headers={**person.headers, "content-type": media})


async def test_a_picture_is_shown_replaced_and_taken_down(web):
    sam = await web.person(await web.clinic(), "doctor")
    failure(await web.client.get(ME, headers=sam.headers), 404, "NOT_FOUND")
    first = (await sent(sam, GIF)).json()
    shown = await web.client.get(ME, headers=sam.headers)
    assert (shown.content, shown.headers["content-type"], shown.headers["etag"]) == (GIF, "image/gif", f'"{first["id"]}"')
    assert (shown.headers["x-content-type-options"], shown.headers["cache-control"].split(",")[0]) == ("nosniff", "private")
    assert (await web.client.get(ME, headers={**sam.headers, "if-none-match": shown.headers["etag"]})).status_code == 304
    files = {"file": ("me.png", PNG, "text/html")}
    again = await web.client.put(ME, files=files, headers=sam.headers)
    assert (again.json()["media"], again.json()["id"] != first["id"]) == ("image/png", True)
    assert (await web.client.get(ME, headers=sam.headers)).content == PNG
    assert (await web.client.delete(ME, headers=sam.headers)).status_code == 204
    failure(await web.client.get(ME, headers=sam.headers), 404, "NOT_FOUND")


async def test_what_is_no_picture_is_not_taken(web):
    sam = await web.person(await web.clinic(), "doctor")
    for body, media, status, code in (
        (b"<svg onload=alert(1)>", "image/svg+xml", 400, "PICTURE_UNREADABLE"), (GIF + b"x" * (512 << 10), "image/gif", 413, "PICTURE_TOO_LARGE"),
        (GIF, "text/html", 415, "BODY_UNEXPECTED"),
    ):
        answer = await sent(sam, body, media)
        assert answer.json()["code"] == code, answer.text
        assert answer.status_code in {status, 400, 413, 415}
    failure(await web.client.get(ME, headers=sam.headers), 404, "NOT_FOUND")
    failure(await web.client.put(ME, content=GIF, headers={"content-type": "image/gif"}), 401, "SIGN_IN_REQUIRED")


async def test_colleagues_see_it_and_nobody_else(web):
    clinic, other = await web.clinic(), await web.clinic()
    sam, colleague, stranger, patient = [
        await web.person(c, role) for c, role in ((clinic, "doctor"), (clinic, "receptionist"), (other, "admin"), (clinic, "patient"))]
    await sent(sam, GIF)
    await sent(patient, GIF)
    path = f"/users/{sam.id}/image"
    assert (await colleague("GET", path)).content == GIF
    for person in (stranger, patient):
        failure(await person("GET", path), 404, "NOT_FOUND")
    failure(await colleague("GET", f"/users/{patient.id}/image"), 404, "NOT_FOUND")


async def test_it_lies_nowhere_in_the_open_and_goes_with_the_account(web):
    sam, root = await web.person(await web.clinic(), "doctor"), await web.person(PLATFORM, "superadmin")
    marked = GIF + b"zebulon was here"
    await sent(sam, marked)

    def kept() -> list[bytes]:
        with psycopg.connect(web.owner_url) as owner:
            return [bytes(secret) for (secret,) in owner.execute("select secret from vault where owner = %s and kind = 'picture'", [sam.id])]

    assert len(kept()) == 1
    assert not any(b"zebulon" in secret for secret in kept())
    assert (await root("DELETE", f"/admin/users/{sam.id}")).status_code == 200
    assert kept() == []


async def test_nobody_who_acts_for_somebody_changes_their_picture(web):
    clinic = await web.clinic()
    sam, root = await web.person(clinic, "doctor"), await web.person(PLATFORM, "superadmin")
    acting = (await root("POST", f"/admin/users/{sam.id}/impersonate", {"clinicId": str(clinic), "reason": "Help"})).json()["accessToken"]
    answer: httpx.Response = await web.client.put(ME, content=GIF, headers={"authorization": f"Bearer {acting}", "content-type": "image/gif"})
    failure(answer, 403, "NOT_WHILE_IMPERSONATING")
