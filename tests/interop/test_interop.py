"""Programs of other makes against the real thing: a browser reads the documentation, Node follows the event stream."""

import json
import shutil
import subprocess
from collections.abc import Iterator
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
