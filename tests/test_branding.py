"""Branding: pictures are what their bytes say, belong to their clinic, and are shown to everybody."""

import struct
import zlib

import pytest

from commands.clinics import RemoveClinicBranding, SetClinicBranding
from domain.clinics import Asset, ClinicBrandingRemoved, ClinicBrandingSet, ClinicOpened
from domain.kit import NotFound, only
from gateway.kit.images import PictureTooLarge, PictureUnreadable, sniffed
from tests.kit import given
from tests.served import PROTECTED, failure, served, working

opened = ClinicOpened(name="Grachten", zone="Europe/Amsterdam", currency="EUR", plan="Pro")
logo = Asset(digest="ab" * 32, media="image/png", size=100)


def png(width: int = 2, height: int = 1) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x7f" * min(width, 8) for _ in range(min(height, 8))))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GIF = b"GIF89a" + struct.pack("<HH", 3, 2) + b"\0\0\0;"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08" + struct.pack(">HH", 5, 7) + b"\3\1\x22\0\2\x11\1\3\x11\1\xff\xd9"
WEBP = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (9).to_bytes(3, "little") + (3).to_bytes(3, "little")
LOSSLESS = b"RIFF" + struct.pack("<I", 18) + b"WEBPVP8L" + struct.pack("<I", 5) + b"\x2f" + struct.pack("<I", 6 | 4 << 14)
ICO = b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 4, 22) + b"data"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def test_a_logo_is_set_replaced_and_removed():
    said = ClinicBrandingSet(type="logo", **only(Asset, logo))
    given(opened).when(SetClinicBranding(type="logo", **only(Asset, logo))).then(said)
    given(opened, said).when(SetClinicBranding(type="logo", **only(Asset, logo))).then()
    given(opened, said).when(RemoveClinicBranding(type="logo")).then(ClinicBrandingRemoved(type="logo"))
    given(opened, said).when(RemoveClinicBranding(type="favicon")).refused(NotFound)
    given(opened, said, ClinicBrandingRemoved(type="logo")).when(RemoveClinicBranding(type="logo")).refused(NotFound)


@pytest.mark.parametrize(("body", "told"), [
    (png(), ("image/png", 2, 1)), (GIF, ("image/gif", 3, 2)), (JPEG, ("image/jpeg", 7, 5)), (WEBP, ("image/webp", 10, 4)),
    (LOSSLESS, ("image/webp", 7, 5)), (ICO, ("image/x-icon", 16, 16)),
])
def test_a_picture_is_what_its_bytes_say(body, told):
    assert tuple(sniffed(body)) == told


@pytest.mark.parametrize("body", [
    b"", SVG, b"<html><script>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0", b"RIFF....WEBPVP8 ", ICO[:-1], b"\0\0\1\0\0\0", png(0, 1), b"%PDF-1.7",
])
def test_what_is_no_picture_is_refused(body):
    with pytest.raises(PictureUnreadable):
        sniffed(body)


def test_pictures_are_bounded():
    for body in (png(5000, 1), png(1, 5000), png() + b"\0" * (512 << 10)):
        with pytest.raises(PictureTooLarge):
            sniffed(body)


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


async def upload(person, clinic, body, **form):
    path = f"{PROTECTED}/clinics/{clinic}/branding"
    return await person.web.client.post(path, files={"file": ("my logo.svg", body, "image/svg+xml")}, data=form, headers=person.headers)


async def test_a_clinic_shows_its_logo_to_everybody(whole):
    clinic = await whole.clinic()
    admin = await whole.person(clinic, "admin")
    done = await upload(admin, clinic, png(), type="logo")
    assert (done.status_code, done.json()["logo"]["media"], done.json()["favicon"]) == (200, "image/png", None), done.text
    seen = {"x-position": done.headers["x-position"]}
    info = (await whole.client.get(f"/api/v1/branding/{clinic}/info", headers=seen)).json()
    assert (info["name"], info["faviconUrl"]) == ("Grachten", None)
    shown = await whole.client.get(info["logoUrl"])
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, png(), "image/png")
    assert shown.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in shown.headers["content-security-policy"]
    plain = await whole.client.get(f"/api/v1/branding/{clinic}/logo")
    assert plain.headers["cache-control"] == "public, max-age=300"
    again = await whole.client.get(f"/api/v1/branding/{clinic}/logo", headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    failure(await whole.client.get(f"/api/v1/branding/{clinic}/favicon"), 404, "NOT_FOUND")
    failure(await whole.client.get(f"/api/v1/branding/{clinic}/header"), 400, "QUERY_INVALID")
    gone = await admin("DELETE", f"/clinics/{clinic}/branding/logo")
    assert (gone.status_code, gone.json()["logo"]) == (200, None)
    failure(await whole.client.get(f"/api/v1/branding/{clinic}/logo", headers={"x-position": gone.headers["x-position"]}), 404, "NOT_FOUND")


async def test_a_picture_may_come_bare_and_is_called_what_it_is(whole):
    clinic = await whole.clinic()
    admin = await whole.person(clinic, "admin")
    path = f"{PROTECTED}/clinics/{clinic}/branding"
    done = await whole.client.post(f"{path}?type=favicon", content=ICO, headers={**admin.headers, "content-type": "image/png"})
    assert (done.status_code, done.json()["favicon"]["media"]) == (200, "image/x-icon")
    failure(await whole.client.post(path, content=ICO, headers={**admin.headers, "content-type": "image/png"}), 400, "BODY_INVALID")
    failure(await whole.client.post(f"{path}?type=logo", content=b"{}", headers={**admin.headers, "content-type": "application/json"}), 415, "BODY_UNEXPECTED")
    broken = {**admin.headers, "content-type": "multipart/form-data; boundary=x"}
    failure(await whole.client.post(path, content=b"--y\r\nnothing", headers=broken), 400, "BODY_INVALID")


async def test_only_those_who_may_change_a_clinics_looks_and_only_their_own(whole):
    clinic, other = await whole.clinic(), await whole.clinic()
    admin, doctor = await whole.person(clinic, "admin"), await whole.person(clinic, "doctor")
    failure(await upload(admin, other, png(), type="logo"), 404, "NOT_FOUND")
    failure(await upload(doctor, clinic, png(), type="logo"), 403, "FORBIDDEN")
    failure(await admin("DELETE", f"/clinics/{other}/branding/logo"), 404, "NOT_FOUND")
    failure(await upload(admin, clinic, SVG, type="logo"), 400, "PICTURE_UNREADABLE")
    failure(await upload(admin, clinic, png(), type="header"), 400, "BODY_INVALID")
    failure(await upload(admin, clinic, png() + b"\0" * (600 << 10), type="logo"), 413, "PICTURE_TOO_LARGE")
    failure(await whole.client.get(f"/api/v1/branding/{admin.id}/info"), 404, "NOT_FOUND")
