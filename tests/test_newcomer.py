"""A newcomer's first hour, over HTTP, on the demo that `anamnesis up --demo small` makes: what README promises, and what the figures say."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from anamnesis.scratch import Scratch
from tests.test_stack import anamnesis, is_one_line

CLINICS = ("amsterdam", "newyork", "adelaide")
README = Path(__file__).parent.parent / "README.md"
GUIDE = README.parent / "docs" / "integrators.md"
FIGURES = README.parent / "docs" / "analysts.md"
DESK = README.parent / "docs" / "guides" / "front-desk.md"
WEBSITE = README.parent / "docs" / "guides" / "website-leads.md"
MONEY = README.parent / "docs" / "guides" / "money.md"
MONTH = README.parent / "docs" / "guides" / "month-end.md"


class Visitor:
    """Somebody with a login and no other knowledge than the documentation."""

    def __init__(self, url: str, email: str) -> None:
        self.web = httpx.Client(base_url=f"{url}/api/v1", timeout=30)
        answer = self.web.post("/auth/signin", json={"email": email, "password": "anamnesis-demo"})
        self.web.headers["authorization"] = f"Bearer {answer.json()['accessToken']}"

    def get(self, path: str, **params: Any) -> Any:
        answer = self.web.get(f"/protected/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.web.post(f"/protected/{path}", json=body, headers=headers)


@pytest.fixture(scope="module")
def demo() -> Iterator[Scratch]:
    with Scratch(demo="small") as running:
        yield running


def test_the_figures_of_the_demo_are_believable(demo: Scratch) -> None:
    """The shares that the demo promises, as the analytics tell them, over the two years that lie behind."""
    today = date.today()  # noqa: DTZ011 - the demo ends on the machine's own day
    counts: dict[str, int] = {}
    for clinic in CLINICS:
        figures = Visitor(demo.url, f"admin@{clinic}.example").get(
            "reports/stats", **{"from": str(today - timedelta(days=730)), "to": str(today - timedelta(days=1))})["appointments"]
        for name, number in figures.items():
            counts[name] = counts.get(name, 0) + number

    assert counts["booked"] > 700
    assert 0.15 <= counts["rescheduled"] / counts["booked"] <= 0.25
    assert 0.05 <= counts["noShow"] / counts["booked"] <= 0.10
    assert 0 < counts["lateCancelled"] < counts["cancelled"] < counts["completed"]


def test_days_and_doctors_sum_to_the_clinic(demo: Scratch) -> None:
    """Revenue by day and doctor, summed by hand, is what the financial summary says."""
    admin = Visitor(demo.url, "admin@newyork.example")
    span = {"from": "2020-01-01", "to": str(date.today())}  # noqa: DTZ011
    rows, cursor = [], None
    while True:
        page = admin.get("analytics/revenue", limit=200, **({"cursor": cursor} if cursor else {}))
        rows += page["items"]
        if not (cursor := page["next"]):
            break
    summary = admin.get("reports/financial-summary", **span)

    assert len(rows) > 200
    for name in ("billed", "collected", "refunded", "voided"):
        assert sum(row[name] for row in rows if row["day"] <= span["to"]) == summary[name]
    assert summary["collected"] > summary["refunded"] > 0


def test_the_first_ten_minutes(demo: Scratch, tmp_path: Path) -> None:
    """README's commands as they stand there, typed into a shell: book, repeat it, bill, pay, ask the past; a second terminal hears of all of it."""
    chapter = README.read_text("utf-8").partition("## The first ten minutes")[2].partition("\n## ")[0]
    lines = [line.removeprefix("    ") for line in chapter.splitlines() if line.startswith("    ")]
    watch, book = lines.index(next(line for line in lines if "clinic-events" in line)), lines.index(next(line for line in lines if "first-booking" in line))
    again, anew = lines[book : book + 2], [lines[book].replace("-H 'Idempotency-Key: first-booking'", ""), lines[book + 1]]
    lines[watch] += " > heard & until grep -q retry heard; do sleep 0.1; done"
    lines[book + 2 : book + 2] = [*again, *anew]
    script = ["set -euo pipefail", "trap 'kill %1' EXIT", *lines, "until grep -q InvoiceSettled heard; do sleep 0.1; done"]
    typed = "\n".join(script).replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode == 0, done.stderr
    booked, repeated, refused, paid, timeline, issued, summary = documents(done.stdout)

    assert (booked["status"], repeated, refused["code"]) == ("booked", booked, "TIME_TAKEN")
    assert (paid["status"], paid["due"]) == ("paid", 0)
    assert [entry["action"] for entry in timeline["items"]] == ["InvoiceSettled", "PaymentRecorded", "InvoiceIssued", "InvoiceDrafted"]
    assert (issued["id"], issued["status"], issued["due"]) == (paid["id"], "issued", 8500)
    assert summary["collected"] >= 8500
    heard = re.findall(r"^event: (\w+)", (tmp_path / "heard").read_text(), re.MULTILINE)
    assert heard == ["AppointmentBooked", "InvoiceDrafted", "InvoiceIssued", "NumberAllotted", "PaymentRecorded", "InvoiceSettled"]


def test_the_guide_for_integrators(demo: Scratch, tmp_path: Path) -> None:
    """Its commands as they stand there: a key, a stream, the same resumed and opened, and the schemas."""
    lines = [line.removeprefix("    ") for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("    ")]
    typed = "\n".join(["set -eu", *lines]).replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode == 0, done.stderr
    heard = [json.loads(said) for said in re.findall(r"^data: (.*)", done.stdout, re.MULTILINE)]
    assert [event["position"] for event in heard] == [heard[0]["position"]] * 2
    assert [event["data"].get("familyName") for event in heard] == [None, "de Vries"]
    assert "['clinicEvents', 'liveFeed', 'webhooks', 'pages']" in done.stdout
    assert done.stdout.endswith("3.1.0\n")


def test_the_guide_for_analysts(demo: Scratch, tmp_path: Path) -> None:
    """Its commands as they stand there: every figure, sheets of them, and proof that all of it follows from the events."""
    lines = [line.removeprefix("    ") for line in FIGURES.read_text("utf-8").splitlines() if line.startswith("    ")]
    typed = "\n".join(["set -eu", *lines]).replace("http://127.0.0.1:8000", demo.url).replace("curl -s ", "curl -sS --fail-with-body ")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "ANAMNESIS_DATA_DIR": str(demo.data_dir), "COLUMNS": "400"}
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=90, cwd=tmp_path, env=env, check=False)  # noqa: S607
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr)

    told, end = [], done.stdout.index("month,patients,since,seen,share")
    told = documents(done.stdout[:end])
    _, _, did, grown, _, worth, cohorts, sources, missed, revenue, finances, stats, statement, weeks, procedures, *_, hours, profit, _ = told
    assert sum(item["completed"] for item in did["items"]) == stats["appointments"]["completed"] > 20
    assert sum(group["received"] for group in revenue["groups"]) == finances["received"] > 0
    assert grown["items"][-1]["total"] >= worth["patients"] > 50
    assert sum(group["received"] for group in worth["groups"]) == worth["received"] > 0
    assert {one["months"][0]["share"] for one in cohorts["items"]} == {1.0}
    assert any(0 < cell["share"] < 1 for one in cohorts["items"] for cell in one["months"])
    assert len([item for item in sources["items"] if item["received"]]) >= 3
    assert {item["status"] for item in missed["items"]} == {"no-show"}
    assert statement["received"] == weeks["received"] == finances["received"]
    assert sum(item["revenue"] for item in procedures["items"]) == procedures["revenue"] < weeks["revenue"] == finances["revenue"]
    assert sum(item["count"] for item in hours["items"]) == stats["appointments"]["booked"]
    assert profit["netRevenue"] == statement["netRevenue"] == profit["profit"]  # nobody has said what a procedure costs
    assert (tmp_path / "revenue.svg").read_text("utf-8").startswith("<svg ")
    assert {line["source"] for line in csv.DictReader((tmp_path / "ltv.csv").open(encoding="utf-8"))} == {"search"}
    assert done.stderr.count("The new versions serve.") == 1


def test_a_morning_at_the_desk(demo: Scratch, tmp_path: Path) -> None:
    """The receptionist's guide as it stands there: each line does what the text around it says."""
    lines = [line.removeprefix("    ") for line in DESK.read_text("utf-8").splitlines() if line.startswith("    ")]
    typed = "\n".join(["set -euo pipefail", *lines]).replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=90, cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode == 0, (done.stdout, done.stderr)

    _, strangers, again, alike, *told = done.stdout.splitlines()
    assert (strangers, again) == ("0", "True")
    assert "name-and-birth-date" in alike
    assert told == [
        "True", "True", "True", "['added', 'amended']", "True", "['Sanne Vermeer']", "Prefers to be called after four", "['Anxious']", "1",
        "1", "True", "TIME_TAKEN", "False", "booked", "confirmed", "True", "STALE_VERSION",
        "['AppointmentSummaryAsked', 'AppointmentLinkShared', 'AppointmentRescheduled', 'AppointmentConfirmed', 'AppointmentSummaryAsked', 'AppointmentLinkShared', 'AppointmentBooked']",
        "3", "True", "{'cancelled'}", "True", "False True", "['reminders']", "REMINDER_UNWANTED", "arrived", "in-chair", "completed", "WRONG_STATUS",
        "[('WAITING', 0)]", "RANK_NEEDS_REASON", "0", "IN_PROGRESS", "True", "COMPLETED", "QUEUE_STEP_REFUSED", "PAYMENT_TOO_LARGE", "paid", "True", "True", "PATIENT_IS_BLOCKED", "False", "0"]


def test_the_contact_form_of_a_website(demo: Scratch, tmp_path: Path) -> None:
    """The guide's commands as they stand there; and its page, whose fields are the form's and whose call is answered."""
    guide = WEBSITE.read_text("utf-8")
    page = guide.partition("```html\n")[2].partition("```")[0]
    lines = [line.removeprefix("    ") for line in guide.replace(page, "").splitlines() if line.startswith("    ")]
    typed = "\n".join(["set -euo pipefail", *lines]).replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=90, cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.splitlines() == [
        "access-control-allow-origin: https://www.grachten.example", "True", "LEAD_ORIGIN_FORBIDDEN", "LEAD_CONTACT_MISSING", "['Contact page']", "A crown, please",
        "contacted", "LEAD_NEEDS_GENDER", "Zwartbol converted", "True", "LEAD_TOKEN_INVALID", "False", "converted"]

    fields = set(re.findall(r'name="(\w+)"', page))
    (method,), (address,) = re.findall(r'method: "(\w+)"', page), re.findall(r'fetch\("([^"]+)"', page)
    headers = json.loads(re.findall(r"headers: ({.*?})", page)[0])
    form = httpx.get(f"{demo.url}/schema/openapi.json").json()["components"]["schemas"]["WebsiteForm"]["properties"]
    assert {"firstName", "email", "phone", "website"} <= fields <= form.keys()
    token = Visitor(demo.url, "admin@newyork.example").web.post("/leads/form-configs", json={"label": "Home page"}).json()["token"]
    said = {"firstName": "Ada", "email": "ada@kok.example", "sourceUrl": "https://a.example", "referrer": ""}
    sent = httpx.request(method, address.replace("http://127.0.0.1:8000", demo.url), json=said, headers={**headers, "X-OdontoX-Token": token})
    assert (sent.status_code, sent.json()["ok"], headers["X-OdontoX-Token"]) == (201, True, "TOKEN")


def test_from_a_quotation_to_the_end_of_the_day(demo: Scratch, tmp_path: Path) -> None:
    """The guide to the clinic's money as it stands there."""
    lines = [line.removeprefix("    ") for line in MONEY.read_text("utf-8").splitlines() if line.startswith("    ")]
    typed = "\n".join(["set -euo pipefail", *lines]).replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=90, cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.splitlines() == [
        "sent 80999 15120 96119", "Κλειώ Vermeer 96119", "%PDF", "accepted", "QUOTATION_CONVERTED_ALREADY", "issued 96119", "%PDF", "partly-paid 46119",
        "RECEIPT_ISSUED_ALREADY", "1000", "50000 1000", "1", "120000 20826", "True True True", "NARRATOR_NOT_CONFIGURED"]


def test_month_end(demo: Scratch, tmp_path: Path) -> None:
    """The bookkeeper's guide as it stands there."""
    lines = [line.removeprefix("    ") for line in MONTH.read_text("utf-8").splitlines() if line.startswith("    ")]
    typed = "\n".join(["set -euo pipefail", *lines]).replace("http://127.0.0.1:8000", demo.url)
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=90, cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.splitlines() == [
        "PAYMENT_TOO_LARGE", "paid 0", "80000 1000 79000", "partly-paid 79000", "[26334, 26333, 26333] 79000", "10000 69000", "partly-paid 500", "500 0", "True 69000",
        "['items', 'next']", "True", "DIFFERENCE_NEEDS_REASON", "-50", "3000", "True True", "approved 1", "True True", "billed,voided,credited,writtenOff,revenue", "<svg"]


def documents(text: str) -> list[Any]:
    """Return the JSON documents that were printed one after another."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def test_the_readme_names_what_is_there(demo: Scratch) -> None:
    """Every address in the README is served, and everybody who signs in there exists, signs up or is invited there."""
    text = README.read_text("utf-8")
    served = {re.sub(r"{\w+}", "*", path) for path in httpx.get(f"{demo.url}/schema/openapi.json").json()["paths"]}
    named = {re.sub(r"\$\w+", "*", path) for path in re.findall(r"\$API(/(?:auth|protected)[\w/$-]*)", text)}

    assert len(named) >= 7
    assert {f"/api/v1{path}" for path in named} - served - {"/api/v1/protected/activity/invoices/*"} == set()
    invited = set(re.findall(r"/(?:staff/invite|auth/signup) .*?([\w.]+@[\w.]+\.example)", text))
    emails = set(re.findall(r"[\w.]+@[\w.]+\.example", text))
    assert (len(invited), len(emails - invited) > 0) == (2, True)
    for email in emails - invited:
        assert email in demo.output.read_text()


def test_the_demo_is_looked_after_by_the_cli(demo: Scratch) -> None:
    said = demo.output.read_text()
    line = said[said.index("token=$(") :]
    assert all(role in said for role in ("admin", "doctor", "receptionist", "patient"))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=60)  # noqa: S607
    assert '"familyName"' in done.stdout
    assert not any(secret in said for secret in demo.installation.secrets.values())
    for arguments in (["projections", "rebuild", "invoices"], ["projections", "verify"], ["parked", "list"], ["events", "show", "5"]):
        told = anamnesis(*arguments, "--data-dir", demo.data_dir)
        assert told.returncode == 0, (arguments, told.stderr)
    assert is_one_line(anamnesis("projections", "rebuild", "nothing", "--data-dir", demo.data_dir), "there is no read model nothing")
    with psycopg.connect(demo.database_url("owner"), autocommit=True) as connection:
        connection.execute("update patients set archived = not archived where id = (select id from patients limit 1)")
    told = anamnesis("projections", "verify", "patients", "--data-dir", demo.data_dir)
    assert told.returncode == 1
    assert "differs" in told.stderr


def test_it_stops_quietly_whoever_listens_and_goes_on_later(demo: Scratch) -> None:
    """Somebody who follows the events is let go; no process complains; the next start has the same clinics."""
    logs = [demo.data_dir / "logs" / f"{name}.log" for name in ("gateway-1", "relay", "projector-1")]
    before = [log.stat().st_size for log in logs]
    admin = Visitor(demo.url, "admin@adelaide.example")
    with admin.web.stream("GET", "/protected/sse/clinic-events") as stream:
        heard = stream.iter_lines()
        assert next(heard).startswith("retry:")
        assert demo.stop() == 0
        assert [line for line in heard if line.startswith("event:")] == []  # it ends, whole
    for log, size in zip(logs, before, strict=True):
        assert re.findall(r'.*"level":"(?:warning|error|critical)".*', log.read_text()[size:]) == [], log
    demo.start()
    assert demo.output.read_text().count("Demo logins") == 2
    Visitor(demo.url, "admin@adelaide.example").get("patients", limit=1)
