"""Programs of other makes against the real thing: a browser reads the documentation, Node follows the event stream."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from anamnesis.scratch import Scratch

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


def test_node_follows_the_stream_through_disconnects(demo: Scratch, tmp_path: Path) -> None:
    """The npm package `eventsource`, thrown off after each event, sees every event once and in order."""
    node, npm = program("node"), program("npm")
    shutil.copy(HERE / "stream.mjs", tmp_path)
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "eventsource@4"], cwd=tmp_path, check=True, timeout=120)
    token, headers = signed_in(demo.url)
    api = f"{demo.url}/api/v1/protected"
    start = int(httpx.get(f"{api}/audit-logs?limit=1", headers=headers).json()["items"][0]["seq"])
    made = [int(httpx.post(f"{api}/rooms", json={"name": f"Interop {n}"}, headers=headers).headers["x-position"]) for n in range(20)]

    url = f"{api}/sse/clinic-events?lastEventId={start}"
    command = [node, "stream.mjs", url, token, str(len(made)), "RoomAdded", "message"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)

    assert [int(seen) for seen in json.loads(done.stdout)] == made


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
