"""The document of the API: as committed, true to the reference, and every example in it true to its own schema."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from gateway.app import openapi
from tests.laws.project import GOLDEN, SPEC
from tests.laws.schema import misfits

Json = dict[str, Any]

SLICE = {  # group of the reference -> the addresses that come later
    "Appointments": {"/appointments/{id}/send-summary", "/appointments/{id}/share-link"},
    "Rooms / Operatories": set[str](),
    "Activity Timeline": set[str](),
    "Audit Logs": set[str](),
    "SSE / Real-time Events": set[str](),
    "Reports": {"/reports/financial-statement"},
    "Patients": {"/patients/profile", "/patients/profile/medical", "/patients/check-account/{email}", "/patients/invite"},
    "Invoices": {"/invoices/{id}/send", "/invoices/{id}/pdf", "/invoices/{id}/share"},
    "Permission Templates": set[str](),
    "Email Templates": set[str](),
    "Clinic API Keys": set[str](),
    "Staff": {"/staff/refresh-patient-access"},
}
SIGNING = {"/api/v1/auth/signin", "/api/v1/auth/refresh", "/api/v1/auth/logout"}

KEYS = {  # where the reference's key is not the whole truth -> ours, and why
    ("PUT", "/api/v1/protected/appointments/doctor-schedules/{doctorId}"): "appointments.block_time",  # one's own; others' take working_hours.manage
    ("PUT", "/api/v1/protected/patients/{id}/medical"): "patients.edit",  # and view_medical_history, which the rule asks for
}


@pytest.fixture(scope="module")
def document() -> Json:
    return openapi()


@pytest.fixture(scope="module")
def wanted() -> list[dict[str, str]]:
    """The addresses of the slice, as the reference has them."""
    with (SPEC / "endpoints.csv").open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["system"] == "OdontoX"]
    return [line for line in lines if in_slice(line)]


def in_slice(line: dict[str, str]) -> bool:
    later = SLICE.get(line["group"])
    return line["path"] in SIGNING if later is None else line["path"].removeprefix("/api/v1/protected") not in later


def plain(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path).rstrip("/")


def unserved(document: Json, wanted: list[dict[str, str]]) -> Iterator[str]:
    """Yield the addresses that are missing, or take another key than the reference says."""
    served = {(method.upper(), plain(path)): operation for path, item in document["paths"].items() for method, operation in item.items()}
    for line in wanted:
        if (operation := served.get((line["method"], plain(line["path"])))) is None:
            yield f"{line['method']} {line['path']} is not served"
            continue
        access = KEYS.get((line["method"], line["path"]), line["access"].removeprefix("perm:").removeprefix("role:"))
        ours = {"signed in": "auth", None: "public"}.get(operation.get("x-permission"), operation.get("x-permission"))
        if ours != access:
            yield f"{line['method']} {line['path']} takes {ours}, not {access}"


def false_examples(document: Json) -> Iterator[str]:
    """Yield the examples that their own schema would not let in."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for where, content in contents(document, operation):
                for example in [*([content["example"]] if "example" in content else []), *named(document, content)]:
                    yield from (f"{method.upper()} {path} {where}: {misfit}" for misfit in misfits(document, content["schema"], example))


def contents(document: Json, operation: Json) -> Iterator[tuple[str, Json]]:
    for where, holder in [("request", operation.get("requestBody", {})), *operation["responses"].items()]:
        for content in deref(document, holder).get("content", {}).values():
            yield where, content


def named(document: Json, content: Json) -> Iterator[Any]:
    for example in content.get("examples", {}).values():
        yield deref(document, example)["value"]


def deref(document: Json, thing: Json) -> Json:
    while "$ref" in thing:
        *_, family, name = thing["$ref"].split("/")
        thing = document["components"][family][name]
    return thing


def test_the_document_is_the_committed_one(document: Json) -> None:
    """A change of the API is a change of this file, to be read in review: `anamnesis openapi > tests/golden/openapi.json`."""
    assert json.loads((GOLDEN / "openapi.json").read_text("utf-8")) == json.loads(json.dumps(document))


def test_the_document_is_the_same_in_every_process(document: Json) -> None:
    """Whatever the order in which that process's sets give their members."""
    asked = subprocess.run([sys.executable, "-m", "anamnesis", "openapi"], env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, check=True)
    assert json.dumps(json.loads(asked.stdout)) == json.dumps(document)


def test_the_slice_is_served_under_the_keys_of_the_reference(document: Json, wanted: list[dict[str, str]]) -> None:
    assert len(wanted) >= 36
    assert list(unserved(document, wanted)) == []


def test_a_missing_address_or_another_key_is_caught(document: Json, wanted: list[dict[str, str]]) -> None:
    worse = deepcopy(document)
    del worse["paths"]["/api/v1/protected/rooms"]
    worse["paths"]["/api/v1/protected/invoices"]["get"]["x-permission"] = "reports.stats"
    del worse["paths"]["/api/v1/protected/audit-logs"]["get"]["x-permission"]
    assert len(list(unserved(worse, wanted))) == 4


def test_every_example_is_true_to_its_schema(document: Json) -> None:
    assert list(false_examples(document)) == []


def test_a_false_example_is_caught(document: Json) -> None:
    worse = deepcopy(document)
    request = worse["paths"]["/api/v1/protected/invoices/{id}/payments"]["post"]["requestBody"]["content"]["application/json"]
    request["example"] = {"amount": 0, "method": "seashells"}
    assert len(list(false_examples(worse))) == 2


def test_every_operation_says_what_it_answers_when_it_fails(document: Json) -> None:
    """Whoever must sign in can be told to; whoever needs a key can lack it; a body can be wrong; an id in the path can be unknown."""
    assert [fault for path, item in document["paths"].items() for operation in item.values() for fault in silent(path, operation)] == []
    operation = {"operationId": "PullTooth", "summary": "", "responses": {"200": {}}, "x-permission": "teeth.pull", "requestBody": {}}
    assert len(list(silent("/teeth/{id}", operation))) == 6


def silent(path: str, operation: Json) -> Iterator[str]:
    due = {"500": True, "401": "x-permission" in operation, "403": operation.get("x-permission", "signed in") != "signed in"}
    due |= {"400": "requestBody" in operation, "404": "{" in path}
    name = operation["operationId"]
    yield from (f"{name} does not say what a {status} looks like" for status, wanted in due.items() if wanted and status not in operation["responses"])
    if not operation["summary"]:
        yield f"{name} does not say what it is for"
