"""The packaging, checked as far as a machine without Docker can."""

import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from anamnesis.cli import app
from anamnesis.installation import DATABASE_ROLE
from anamnesis.settings import NEEDS, OPTIONS, Settings, known_variables
from anamnesis.stack.home import fresh_secrets
from anamnesis.stack.nats import configuration, free_port, greets, portable_configuration
from anamnesis.stack.nats import program as nats_program
from anamnesis.stack.process import spawn, terminate

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.txt", "requirements-dev.txt")
OURS = ("migrate", "relay", "projector", "courier", "notary", "builder", "gateway")
IMAGES = {"postgres": "postgres:18", "nats": "nats:2"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def environment_file():
    """What `anamnesis secrets > .env` writes."""
    done = CliRunner().invoke(app, ["secrets"])
    assert done.exit_code == 0
    return dict(line.split("=", 1) for line in done.output.splitlines())


def _filled(text: str, values: dict[str, str]) -> str:
    """As compose does: `${NAME:?...}` from the environment file, where it must be; `${NAME:-}` may be missing."""
    return re.sub(r"\$\{(\w+)(?::([?-])[^}]*)?\}", lambda match: values.get(match[1], "") if match[2] == "-" else values[match[1]], text)


def test_official_images_and_our_own(compose):
    services = compose["services"]
    assert set(services) == {*IMAGES, *OURS}
    assert {name: services[name]["image"] for name in IMAGES} == IMAGES
    assert all(services[name]["build"] == "." for name in OURS)


def test_every_service_runs_a_command_that_exists(compose):
    for name in OURS:
        done = CliRunner().invoke(app, [*compose["services"][name]["command"], "--help"])
        assert done.exit_code == 0, (name, done.output)
    assert CliRunner().invoke(app, ["worker", "no-such-worker", "--help"]).exit_code != 0


def test_every_variable_is_known_and_every_secret_is_made(compose, environment_file):
    for name in (*OURS, "nats"):
        variables = {variable for variable in compose["services"][name]["environment"] if variable.startswith("ANAMNESIS_")}
        assert variables <= known_variables(), name
    used = set(re.findall(r"\$\{(\w+)(?!\w|:-)", (ROOT / "compose.yaml").read_text()))
    assert used == set(environment_file) <= known_variables()
    assert set(re.findall(r"ANAMNESIS_\w+", (ROOT / "Dockerfile").read_text())) <= known_variables()


@pytest.mark.parametrize("kind", ["gateway", "relay", "projector", "courier", "notary", "builder"])
def test_each_process_can_read_its_settings_and_gets_no_more(compose, environment_file, kind):
    env = {name: _filled(value, environment_file) for name, value in compose["services"][kind]["environment"].items()}
    settings = Settings.read(kind, env)
    assert f"anamnesis_{DATABASE_ROLE.get(kind, kind)}:" in settings.database_url
    assert (f"//{kind}:" in settings.nats_url) == ("nats_url" in NEEDS[kind])
    kept = {"data_dir"} if kind == "courier" else set()  # its mailbox
    needed, given = [{f"ANAMNESIS_{name.upper()}" for name in names} for names in (NEEDS[kind], {*OPTIONS.get(kind, ()), *kept})]
    assert needed <= set(env) <= needed | given


def test_gateways_and_workers_can_be_scaled(compose):
    for name in OURS[1:]:
        assert "container_name" not in compose["services"][name]
    first, last = compose["services"]["gateway"]["ports"][0].split(":")[0].split("-")
    assert int(last) - int(first) >= 3


def test_waiting_is_for_services_that_exist(compose):
    services = compose["services"]
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed]
    for name in OURS[1:]:
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_mounted_and_copied_files_exist(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in compose["volumes"]
    copied = [shlex.split(line)[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY") and "--from" not in line]
    assert copied
    allowed = set((ROOT / ".dockerignore").read_text().split())
    for source in (path for paths in copied for path in paths):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed, f"{source} is not sent to the builder"


def test_the_image_holds_every_package_of_the_program():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    for package in packages:
        name = package.rstrip("*")
        assert f"COPY {name} {name}\n" in dockerfile


def test_the_mounted_nats_configuration_is_the_embedded_one():
    text = (ROOT / "nats.conf").read_text()
    assert text.strip() == portable_configuration("0.0.0.0:4222", "/data")
    passwords = fresh_secrets()
    filled = re.sub(r"\$(ANAMNESIS_\w+)", lambda match: f'"{passwords[match[1].removeprefix("ANAMNESIS_").lower()]}"', text)
    assert filled.strip() == configuration(passwords, "0.0.0.0:4222", "/data")


async def test_a_real_nats_takes_that_configuration_and_its_passwords_from_the_environment(environment_file, tmp_path):
    import nats  # noqa: PLC0415 - one test's client

    port = free_port("127.0.0.1")
    path = tmp_path / "nats.conf"
    path.write_text(portable_configuration(f"127.0.0.1:{port}", str(tmp_path / "store")))
    passwords = {name: value for name, value in environment_file.items() if name.startswith("ANAMNESIS_NATS")}
    server = spawn([nats_program(), "-c", path], env=passwords, log=tmp_path / "log")
    try:
        while not greets("127.0.0.1", port):
            assert server.poll() is None, (tmp_path / "log").read_text()
        connection = await nats.connect(f"nats://relay:{passwords['ANAMNESIS_NATS_RELAY_PASSWORD']}@127.0.0.1:{port}")
        await connection.close()
    finally:
        terminate(server, 15, 10)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_and_hash_everything_and_name_no_host(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"://|index-url|find-links|trusted-host|file:|@ ", text)
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) > 30
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_locks_hold_every_dependency_and_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime, everything = (dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS)
    names = {re.split(r"[\[<>=]", wanted)[0] for wanted in project["dependencies"]}
    assert names <= set(runtime)
    assert {re.split(r"[\[<>=]", wanted)[0] for wanted in project["optional-dependencies"]["dev"]} <= set(everything)
    assert runtime.items() <= everything.items()


def test_the_makefile_has_its_targets_and_every_recipe_is_a_command_that_exists():
    for target in ("up", "test", "check", "soak", "interop", "bench", "lock"):
        done = subprocess.run(["/usr/bin/env", "make", "--dry-run", "-C", ROOT, target], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for words in re.findall(r"\$\(BIN\)/anamnesis (.*)", (ROOT / "Makefile").read_text()):
        assert CliRunner().invoke(app, [*words.split(), "--help"]).exit_code == 0


def test_ci_runs_what_a_developer_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in steps
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert {"make check", "make test"} <= set(script.read_text().splitlines())


def test_help_imports_nothing_heavy():
    code = "import sys; from anamnesis.cli import app; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"litestar", "psycopg", "nats", "eventsourcing", "cryptography", "uvicorn", "gateway"}
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "anamnesis", "--help"], capture_output=True, check=True)
    assert time.monotonic() - started < 3
