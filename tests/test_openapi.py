"""The description of the API is complete, true to the code, and readable without the internet."""

import json
import re
from collections import Counter
from typing import Any

import msgspec
import pytest

from commands.appointments import BookAppointment
from commands.rooms import ChangeRoom
from domain.kit.grants import table
from gateway.app import MODULES, openapi
from gateway.kit.document import refusals_of
from gateway.kit.errors import Failure
from gateway.kit.routes import CommandRoute
from tests.laws.test_names import PSEUDO
from tests.served import failure, served

DOCUMENT = openapi()
OPERATIONS = [(path, method, o) for path, item in DOCUMENT["paths"].items() for method, o in item.items()]


def ids(value: Any) -> str:
    return value if isinstance(value, str) else ""


def references(value: Any) -> list[str]:
    """Every $ref in a document."""
    match value:
        case dict():
            return ([value["$ref"]] if isinstance(value.get("$ref"), str) else []) + [r for v in value.values() for r in references(v)]
        case list():
            return [r for v in value for r in references(v)]
    return []


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_reference_leads_somewhere_and_nothing_is_left_lying_about():
    used = set(references(DOCUMENT))
    assert all(resolve(r) for r in used)
    for kind in ("schemas", "examples", "parameters", "headers"):
        for name in DOCUMENT["components"][kind]:
            if kind != "headers" or name != "Retry-After":
                assert f"#/components/{kind}/{name}" in used, f"{kind}/{name} is used nowhere"


def test_operations_have_names_of_their_own():
    counted = Counter(o["operationId"] for _, _, o in OPERATIONS)
    assert [name for name, n in counted.items() if n > 1] == []


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=ids)
def test_an_operation_says_what_it_takes(path, method, operation):
    assert operation["summary"]
    assert operation["tags"]
    permission = operation.get("x-permission")
    assert (permission is None) == (operation["security"] == [])
    assert {name for one in operation["security"] for name in one} <= DOCUMENT["components"]["securitySchemes"].keys()
    assert ({"adminKey": []} in operation["security"]) is (permission == "superadmin")
    assert permission is None or permission in table() or permission in {*PSEUDO, "signed in"}
    named = {p["name"] for p in map(whole, operation["parameters"]) if p["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))
    assert ("requestBody" in operation) <= (method != "get")


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=ids)
def test_an_operation_says_what_may_go_wrong(path, method, operation):
    answers = operation["responses"]
    assert [s for s in answers if s.startswith(("2", "3"))]
    expected = {"500"} | ({"401"} if operation["security"] else set()) | ({"404"} if "{" in path else set())
    expected |= {"400", "413", "415"} if "requestBody" in operation else set()
    expected |= {"403"} if operation.get("x-permission") not in (None, "signed in") else set()
    assert expected <= set(answers), f"{method} {path}"
    for status, answer in answers.items():
        if int(status) >= 400:
            content = answer["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Failure"}
            for code, reference in content["examples"].items():
                shown = msgspec.convert(resolve(reference["$ref"])["value"], Failure)
                assert (shown.code, bool(shown.error)) == (code, True)


def test_example_bodies_are_what_the_routes_take():
    routes = {h.operation_id: h.opt["route"] for router in MODULES for h in _handlers(router) if isinstance(h.opt.get("route"), CommandRoute)}
    checked = 0
    for _, _, operation in OPERATIONS:
        if "requestBody" in operation and operation["operationId"] in routes:
            how = routes[operation["operationId"]]
            body = dict(operation["requestBody"]["content"]["application/json"]["example"])
            taken = {p["name"]: p["schema"] for p in map(whole, operation["parameters"]) if p["in"] == "path"}
            body |= {how.names[field]: example(taken[parameter]) for parameter, field in how.fields.items()}
            msgspec.json.decode(json.dumps(body), type=how.command)
            checked += 1
    assert checked > 20


def whole(described: Any) -> Any:
    """A part of the document, or what it refers to."""
    return resolve(described["$ref"]) if "$ref" in described else described


def example(schema: Any) -> str:
    """A value for a path's parameter."""
    known = whole(schema)
    word = "00000000-0000-0000-0000-000000000000" if known.get("format") == "uuid" else "sample"
    return str(known.get("enum", [word])[0])


def test_refusals_are_found_by_following_the_rule():
    assert "NameTaken" in {r.__name__ for r in refusals_of(ChangeRoom)}
    assert {"TimeTaken", "DoctorNotWorking", "OverbookingNeedsReason"} <= {r.__name__ for r in refusals_of(BookAppointment)}
    assert "NameTaken" not in {r.__name__ for r in refusals_of(BookAppointment)}


def test_the_document_is_the_same_every_time():
    assert openapi() == DOCUMENT


async def test_the_page_and_the_document_are_served_and_need_nothing_from_elsewhere(module_database):
    async with served(module_database) as web:
        document = await web.client.get("/schema/openapi.json")
        assert document.json() == json.loads(json.dumps(DOCUMENT))
        page = await web.client.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "schema/openapi.json" in page.text
        assert re.findall(r"https?://|//cdn|@import|src=", page.text) == []
        assert "default-src 'none'" in page.headers["content-security-policy"]
        failure(await web.client.get("/docs/more"), 404, "ADDRESS_UNKNOWN")


def _handlers(router: Any) -> list[Any]:
    return [h for route in router.routes for h in getattr(route, "route_handlers", [])]
