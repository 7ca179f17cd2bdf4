"""Sessions in cookies: what is given, what is taken for what, and what another site's page cannot make a browser do."""

from uuid import uuid4

import pytest

from gateway.kit.cookies import Cookies, CookiesUnsafe, CsrfTokenWrong, OtherOrigin, Tokens, same_origin, wanted
from tests.served import PASSWORD, PROTECTED, failure, served

KEY = b"k" * 32
SITE = {b"host": b"clinic.example"}


def tokens(session=None):
    return Tokens(session or uuid4(), "aaa.bbb.ccc", 900, "rrr", 2_592_000)


def jar(headers):
    """What a browser would send back, and each cookie's attributes."""
    said = [value.decode().split("; ") for name, value in headers if name == b"set-cookie"]
    pairs = [one[0].partition("=")[::2] for one in said]
    return b"; ".join(f"{name}={value}".encode() for name, value in pairs), {name: set(one[1:]) for (name, _), one in zip(pairs, said, strict=True)}


def test_over_https_every_cookie_is_bound_to_this_host_and_only_the_csrf_token_can_be_read_by_a_page():
    cookies = Cookies(KEY)
    sent, attributes = jar(cookies.give(tokens(), SITE, secure=True))
    assert set(attributes) == {"__Host-anamnesis-access", "__Host-anamnesis-refresh", "__Host-anamnesis-csrf"}
    for name, said in attributes.items():
        assert {"Path=/", "Secure", "SameSite=Lax"} <= said
        assert not any(part.startswith("Domain") for part in said)
        assert ("HttpOnly" in said) is (not name.endswith("csrf"))
    assert "Max-Age=900" in attributes["__Host-anamnesis-access"]
    assert cookies.bearer({b"cookie": sent}, secure=True) == b"Bearer aaa.bbb.ccc"
    assert cookies.refresh({b"cookie": sent}, secure=True) == "rrr"
    _, gone = jar(cookies.take_back(secure=True))
    assert all("Max-Age=0" in said for said in gone.values())
    assert gone.keys() == attributes.keys()


@pytest.mark.parametrize("name", [b"127.0.0.1:8000", b"localhost", b"[::1]:8000"])
def test_over_plain_http_only_this_machine_gets_any(name):
    cookies = Cookies(KEY)
    sent, attributes = jar(cookies.give(tokens(), {b"host": name}, secure=False))
    assert all("Secure" not in said for said in attributes.values())
    assert cookies.bearer({b"cookie": sent}, secure=False) == b"Bearer aaa.bbb.ccc"
    assert cookies.bearer({b"cookie": sent}, secure=True) is None, "a cookie from plain http is worth nothing over https"
    for stranger in (b"clinic.example", b"localhost.evil.example", b"", b"[", b"127.0.0.1.evil.example:80"):
        with pytest.raises(CookiesUnsafe):
            cookies.give(tokens(), {b"host": stranger}, secure=False)


def test_a_cookie_that_comes_twice_or_is_another_is_none():
    cookies = Cookies(KEY)
    for sent in (b"", b"other=1", b"__Host-anamnesis-access=", b"__Host-anamnesis-access=a; __Host-anamnesis-access=b", b"x__Host-anamnesis-access=a"):
        assert cookies.bearer({b"cookie": sent}, secure=True) is None
    assert cookies.bearer({b"cookie": b"a=1;__Host-anamnesis-access=t;b=2"}, secure=True) == b"Bearer t"


def test_the_csrf_token_is_the_sessions_own():
    cookies, session = Cookies(KEY), uuid4()
    good = {**SITE, b"x-csrf-token": cookies.csrf(session).encode()}
    cookies.check(good, session, secure=True)
    for bad in (SITE, {**SITE, b"x-csrf-token": b""}, {**SITE, b"x-csrf-token": cookies.csrf(uuid4()).encode()}, {**SITE, b"x-csrf-token": "é".encode()},
                {**SITE, b"x-csrf-token": Cookies(b"x" * 32).csrf(session).encode()}):
        with pytest.raises(CsrfTokenWrong):
            cookies.check(bad, session, secure=True)
    with pytest.raises(OtherOrigin):
        cookies.check({**good, b"origin": b"https://evil.example"}, session, secure=True)


@pytest.mark.parametrize(("headers", "ours"), [
    ({}, True), ({b"origin": b"https://clinic.example"}, True), ({b"origin": b"https://CLINIC.example"}, True), ({b"sec-fetch-site": b"same-origin"}, True),
    ({b"sec-fetch-site": b"none"}, True), ({b"origin": b"http://clinic.example"}, False), ({b"origin": b"https://clinic.example.evil.example"}, False),
    ({b"origin": b"https://clinic.example:8443"}, False), ({b"origin": b"null"}, False), ({b"sec-fetch-site": b"cross-site"}, False),
    ({b"sec-fetch-site": b"same-site"}, False), ({b"origin": b"https://clinic.example", b"sec-fetch-site": b"cross-site"}, False),
])
def test_another_sites_page_is_told_apart(headers, ours):
    if ours:
        same_origin({**SITE, **headers}, secure=True)
    else:
        with pytest.raises(OtherOrigin):
            same_origin({**SITE, **headers}, secure=True)


def test_a_client_asks_for_cookies_by_a_header_that_no_form_can_send():
    assert wanted({b"x-session": b"cookies"})
    assert wanted({b"x-session": b" Cookies "})
    assert not wanted({b"x-session": b"bearer"})
    assert not wanted({})


async def test_a_page_signs_in_works_goes_on_and_leaves_without_ever_seeing_a_token(module_database):
    async with served(module_database) as web:
        email = await web.account(await web.clinic(), "admin")
        browser, wish = web.client, {"x-session": "cookies"}
        opened = await browser.post("/api/v1/auth/signin", json={"email": email, "password": PASSWORD}, headers=wish)
        assert (opened.status_code, opened.json()["accessToken"], opened.json()["refreshToken"]) == (200, None, None)
        given = dict(browser.cookies)
        assert not [value for value in given.values() if value in opened.text]
        assert (await browser.get(PROTECTED + "/rooms")).status_code == 200
        room, csrf = {"name": "Room 1", "type": "surgery"}, {"x-csrf-token": given["anamnesis-csrf"]}
        failure(await browser.post(PROTECTED + "/rooms", json=room), 403, "CSRF_TOKEN_WRONG")
        failure(await browser.post(PROTECTED + "/rooms", json=room, headers={**csrf, "origin": "https://evil.example"}), 403, "OTHER_ORIGIN")
        assert (await browser.post(PROTECTED + "/rooms", json=room, headers=csrf)).status_code == 201
        failure(await browser.post("/api/v1/auth/refresh", json={}, headers={"sec-fetch-site": "cross-site"}), 403, "OTHER_ORIGIN")
        assert (await browser.post("/api/v1/auth/refresh", json={})).json()["accessToken"] is None
        assert browser.cookies["anamnesis-refresh"] != given["anamnesis-refresh"]
        assert (await browser.get(PROTECTED + "/rooms")).status_code == 200
        failure(await browser.get("/api/v1/auth/logout", headers={"sec-fetch-site": "cross-site"}), 403, "OTHER_ORIGIN")
        assert (await browser.post("/api/v1/auth/logout", headers=csrf)).status_code == 204
        assert dict(browser.cookies) == {}
        failure(await browser.get(PROTECTED + "/rooms"), 401, "SIGN_IN_REQUIRED")


async def test_a_bearer_is_a_bearer_whatever_cookies_come_along(module_database):
    async with served(module_database) as web:
        admin = await web.person(await web.clinic(), "admin")
        answer = await admin("POST", "/rooms", {"name": "Room 1", "type": "surgery"}, headers={"cookie": "anamnesis-access=x", "origin": "https://evil.example"})
        assert answer.status_code == 201
        failure(await web.client.get(PROTECTED + "/rooms", headers={"cookie": "anamnesis-access=x"}), 401, "TOKEN_INVALID")
        failure(await web.client.post("/api/v1/auth/refresh", json={}), 401, "REFRESH_INVALID")
