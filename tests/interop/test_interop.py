"""Programs of other makes against the real thing: a browser reads the documentation, five clients follow the event stream, four programs read a calendar."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
import vobject
from ical.calendar_stream import IcsCalendarStream

from anamnesis.scratch import Scratch
from domain.kit.calendars import Occasion, changes, written
from tests.cutting import Cutting
from tests.following import END, Told, busy, by_httpx, by_requests, straight

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=10000", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Scratch]:
    with Scratch(demo="small") as running:
        yield running


def program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} is installed here")
    return found


def signed_in(url: str) -> tuple[str, dict[str, str]]:
    answer = httpx.post(f"{url}/api/v1/auth/signin", json={"email": "admin@amsterdam.example", "password": "anamnesis-demo"})
    token = answer.json()["accessToken"]
    return token, {"authorization": f"Bearer {token}"}


def test_a_browser_shows_every_address_without_the_internet(demo: Scratch, tmp_path: Path) -> None:
    """The documentation page needs nothing from elsewhere and leaves no operation out."""
    browser = program(*BROWSERS)
    command = [browser, *QUIET, f"--user-data-dir={tmp_path}", "--dump-dom", f"{demo.url}/docs"]
    page = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    document: dict[str, Any] = httpx.get(f"{demo.url}/schema/openapi.json").json()
    operations = [(path, operation) for path, item in document["paths"].items() for operation in item.values()]

    missing = [path for path, operation in operations if path not in page or operation["summary"].partition("`")[0].replace("&", "&amp;")[:20] not in page]
    assert len(operations) > 40
    assert not missing


def test_four_programs_read_the_same_calendar(demo: Scratch, tmp_path: Path) -> None:
    """Two from PyPI, two from npm: a doctor's calendar under its secret address, and every half hour around each change of the clocks."""
    installed(tmp_path, "calendar.mjs")
    _, headers = signed_in(demo.url)
    with httpx.Client(base_url=demo.url, headers=headers, timeout=30) as client:
        busiest = client.get("/api/v1/protected/appointments", params={"limit": 1}).json()["items"][0]["doctorId"]
        url = client.put(f"/api/v1/protected/calendar-feeds/{busiest}").json()["url"]
    feed = httpx.get(demo.url + urlsplit(url).path, timeout=30).text
    assert feed.count("BEGIN:VEVENT") > 5
    for text in (feed, around_the_changes()):
        told = [read_by_ical(text), read_by_vobject(text), *(by_npm(make, text, tmp_path) for make in ("ical.js", "node-ical"))]
        assert told[0] == told[1] == told[2] == told[3]
        assert len(told[0]) == text.count("BEGIN:VEVENT")


def around_the_changes() -> str:
    """A calendar with something every half hour around each change of the clocks, in zones of all kinds."""
    found: list[Occasion] = []
    for zone in ("Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Chatham", "America/Santiago"):
        for change in changes(zone, 2026, 2026):
            for minutes in range(-180, 181, 30):
                start, number = change.at + timedelta(minutes=minutes), len(found)
                found.append(Occasion(
                    id=UUID(int=number + 1), sequence=number % 5, starts_at=start, ends_at=start + timedelta(minutes=45), zone=zone, summary=f'Crown; {zone}, "é"',
                    cancelled=number % 7 == 0))
    return written("PUBLISH", found, datetime.now(UTC), "Grachten", timedelta(minutes=15))


def read_by_ical(text: str) -> dict[str, list[Any]]:
    return {
        str(one.uid): [milliseconds(one.dtstart), milliseconds(one.dtend), one.summary, one.status.value if one.status else None, one.sequence]
        for one in IcsCalendarStream.calendar_from_ics(text).events}


def read_by_vobject(text: str) -> dict[str, list[Any]]:
    return {
        one.uid.value: [milliseconds(one.dtstart.value), milliseconds(one.dtend.value), one.summary.value, one.status.value, int(one.sequence.value)]
        for one in vobject.readOne(text).vevent_list}


def by_npm(make: str, text: str, folder: Path) -> dict[str, list[Any]]:
    told = subprocess.run([program("node"), "calendar.mjs", make], input=text, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout
    read: dict[str, list[Any]] = json.loads(told)
    return read


def milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def installed(folder: Path, program_: str) -> None:
    """Install the packages beside one of our programs that uses them."""
    program("node")
    for name in (program_, "package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run([program("npm"), "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=120)


MAKES = ("eventsource", "event-source-polyfill", "launchdarkly-eventsource")
TYPES = ("RoomAdded", "PatientRegistered")


async def test_five_clients_read_the_same_through_lines_that_are_cut_at_any_byte(demo: Scratch, tmp_path: Path) -> None:
    """Two from PyPI, three from npm, of which one asks by query, each over a bad line of its own, while the clinic is at work."""
    await asyncio.to_thread(installed, tmp_path, "follow.mjs")
    token, headers = signed_in(demo.url)
    async with httpx.AsyncClient(base_url=f"{demo.url}/api/v1/protected", headers=headers, timeout=30) as client, AsyncExitStack() as lines:

        async def admin(method: str, path: str, body: dict[str, str]) -> httpx.Response:
            return await client.request(method, path, json=body)

        start = (await client.get("/audit-logs?limit=1")).json()["items"][0]["seq"]
        await busy(admin, 16, last="and on")
        path = f"/api/v1/protected/sse/clinic-events?types={','.join(TYPES)}&lastEventId={start}"
        bad = [await lines.enter_async_context(Cutting(demo.url, seed, most=6000)) for seed in range(5)]
        found = await asyncio.gather(
            busy(admin, 40), by_httpx(bad[0].url + path, headers), asyncio.to_thread(by_requests, bad[1].url + path, headers),
            *(by_node(tmp_path, make, line.url + path, token) for make, line in zip(MAKES, bad[2:], strict=True)))
        wanted = await asyncio.to_thread(straight, demo.url + path, headers)
    for make, told in zip(("httpx-sse", "requests-sse", *MAKES), found[1:], strict=True):
        assert told == wanted, make
    assert len(wanted) > 70
    assert min(len(line.cuts) for line in bad) > 3


async def by_node(folder: Path, make: str, url: str, token: str) -> list[Told]:
    command = [program("node"), "follow.mjs", make, url, token, END, *TYPES]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, wrong = await process.communicate()
    assert process.returncode == 0, f"{make}: {wrong.decode()}"
    return [(id_, kind, data) for id_, kind, data in json.loads(said)]


PASSKEY = """
const [email, password, done] = arguments;
const api = async (path, body, token) => {
  const headers = {"content-type": "application/json", ...(token ? {authorization: `Bearer ${token}`} : {})};
  const answer = await fetch(`/api/v1/auth${path}`, {method: "POST", headers, body: JSON.stringify(body)});
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(said)}`);
  return said;
};
(async () => {
  const session = await api("/signin", {email, password});
  const creation = PublicKeyCredential.parseCreationOptionsFromJSON(await api("/passkeys/register/options", {password}, session.accessToken));
  const made = await navigator.credentials.create({publicKey: creation});
  await api("/passkeys/register", {credential: made.toJSON(), name: "Chromium"}, session.accessToken);
  const request = PublicKeyCredential.parseRequestOptionsFromJSON(await api("/passkeys/authenticate/options", {}));
  const shown = await navigator.credentials.get({publicKey: request});
  const opened = await api("/passkeys/authenticate", {credential: shown.toJSON()});
  return {before: session.user.id, after: opened.user.id};
})().then(done, error => done({error: String(error)}));
"""
VIRTUAL = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True, "isUserConsenting": True}


@contextmanager
def driven(browser: str, driver: str, profile: Path) -> Iterator[httpx.Client]:
    """A browser that does as it is told, by the W3C's WebDriver."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any("started successfully" in line for line in process.stdout)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"binary": browser, "args": arguments}, "timeouts": {"script": 30_000}}
        with httpx.Client(timeout=60) as plain:
            begun = plain.post(f"http://127.0.0.1:{port}/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/session/{begun['sessionId']}", timeout=60) as client:
            yield client
            client.delete(str(client.base_url).rstrip("/"))
    finally:
        process.terminate()
        process.wait()


def test_a_browsers_own_authenticator_registers_and_signs_in(demo: Scratch, tmp_path: Path) -> None:
    """Chromium with a virtual device: what its own WebAuthn makes of our options, and we of its answers."""
    with driven(program(*BROWSERS), program("chromedriver"), tmp_path) as browser:
        assert browser.post("/webauthn/authenticator", json=VIRTUAL).status_code == 200
        assert browser.post("/url", json={"url": f"{demo.url.replace('127.0.0.1', 'localhost')}/docs"}).status_code == 200
        arguments = ["receptionist@amsterdam.example", "anamnesis-demo"]
        told = browser.post("/execute/async", json={"script": PASSKEY, "args": arguments}).json()["value"]
    assert "error" not in told, told
    assert told["before"] == told["after"]
