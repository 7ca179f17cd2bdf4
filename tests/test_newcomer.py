"""A newcomer's first hour, over HTTP, on the demo that `anamnesis up --demo small` makes: what README promises, and what the figures say."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from anamnesis.scratch import Scratch

CLINICS = ("amsterdam", "newyork", "adelaide")
README = Path(__file__).parent.parent / "README.md"


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


def test_the_first_ten_minutes(demo: Scratch) -> None:
    """Book the first free slot, repeat it, bill, pay, and read the timeline: each step sees the one before."""
    admin = Visitor(demo.url, "admin@amsterdam.example")
    patient = admin.get("patients", limit=1)["items"][0]["id"]
    doctor = admin.get("appointments/doctor-schedules")["items"][0]["doctorId"]
    day = str(date.today() + timedelta(days=7))  # noqa: DTZ011
    slot = admin.get("appointments/available-slots", doctorId=doctor, date=day, days=7, duration=30)["items"][0]["startLocal"]
    wish = {"patientId": patient, "doctorId": doctor, "start": slot, "duration": 30}

    booked = admin.post("appointments", wish, **{"idempotency-key": "first-booking"})
    again = admin.post("appointments", wish, **{"idempotency-key": "first-booking"})
    taken = admin.post("appointments", wish)
    invoice = admin.post("invoices", {"patientId": patient, "issue": True, "lines": [
        {"description": "Check-up", "doctorId": doctor, "quantity": 1, "unitPrice": 8500, "taxRate": 0}]})
    paid = admin.post(f"invoices/{invoice.json()['id']}/payments", {"amount": 8500, "method": "card"})
    timeline = admin.get(f"activity/invoices/{invoice.json()['id']}", position=paid.headers["x-position"])

    assert (booked.status_code, again.json(), taken.json()["code"]) == (201, booked.json(), "TIME_TAKEN")
    assert (paid.json()["status"], paid.json()["due"]) == ("paid", 0)
    assert [entry["action"] for entry in timeline["items"]] == ["InvoiceSettled", "PaymentRecorded", "InvoiceIssued", "InvoiceDrafted"]


def test_the_readme_names_what_is_there(demo: Scratch) -> None:
    """Every address and login in the README exists."""
    text = README.read_text("utf-8")
    served = {re.sub(r"{\w+}", "*", path) for path in httpx.get(f"{demo.url}/schema/openapi.json").json()["paths"]}
    named = {re.sub(r"\$\w+", "*", path) for path in re.findall(r"\$API(/(?:auth|protected)[\w/$-]*)", text)}

    assert len(named) >= 7
    assert {f"/api/v1{path}" for path in named} - served - {"/api/v1/protected/activity/invoices/*"} == set()
    for email in re.findall(r"[\w.]+@[\w.]+\.example", text):
        assert email in demo.output.read_text()
