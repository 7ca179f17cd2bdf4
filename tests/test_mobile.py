"""Mobile: which parts of the app a role has on a telephone."""

import pytest

from commands.mobile import SwitchMobileModule
from domain.kit.grants import granted
from domain.mobile import SCREENS, MobileModuleSwitched, MobilePermissions, mobile_of, open_to
from projections.mobile import mobile_permissions
from schemas.mobile import MobilePermissionRow
from tests.kit import CLINIC, THIS, facts, given, noon
from tests.served import failure, served, working

WHERE = "/mobile/permissions"
off = MobileModuleSwitched(role="doctor", module="finance", enabled=False)
on = MobileModuleSwitched(role="doctor", module="finance", enabled=True)


def test_a_part_is_switched_off_and_on_once():
    given().when(SwitchMobileModule(role="doctor", module="finance", enabled=False)).then(off)
    given(off).when(SwitchMobileModule(role="doctor", module="finance", enabled=False)).then()
    given(off).when(SwitchMobileModule(role="doctor", module="finance", enabled=True)).then(on)
    given().when(SwitchMobileModule(role="doctor", module="finance", enabled=True)).then()
    assert MobilePermissions.replay([off, on]) == MobilePermissions()
    assert SwitchMobileModule(role="doctor", module="chat", enabled=True).stream(noon) == mobile_of(CLINIC, "doctor")


def test_a_part_takes_its_permission_and_one_of_its_roles():
    """As the reference says of each screen."""
    roles = ("admin", "doctor", "receptionist", "patient")
    table = {module: {role for role in roles if open_to(module, role, granted(role))} for module in SCREENS}
    assert table == {
        "dashboard": set(roles), "appointments": set(roles), "patients": {"admin", "doctor", "receptionist"}, "finance": {"admin", "doctor", "patient"},
        "chat": set(roles), "lab-work": {"admin", "doctor", "receptionist"}, "inventory": {"admin", "doctor", "receptionist"},
    }
    assert not open_to("chat", "doctor", granted("doctor") - {"comms.messages.view"})


def test_what_is_off_as_it_is_seen():
    row = None
    for fact in facts(off, MobileModuleSwitched(role="doctor", module="chat", enabled=False), on):
        row = mobile_permissions(row, fact)
    assert row == MobilePermissionRow(id=THIS, role="doctor", off=["chat"])


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


def shown(answer):
    assert answer.status_code == 200, answer.text
    return {line["module"] for line in answer.json()["modules"] if line["shown"]}


async def test_an_admin_switches_parts_off_for_a_role(whole):
    clinic = await whole.clinic()
    admin, doctor = await whole.person(clinic, "admin"), await whole.person(clinic, "doctor")
    assert shown(await doctor("GET", WHERE)) == set(SCREENS)
    switched = await admin("PATCH", f"{WHERE}/clinic/{clinic}/doctor/finance", {"enabled": False})
    assert (switched.status_code, switched.json()["off"]) == (200, ["finance"])
    seen = await admin.seen(switched)
    assert shown(await doctor("GET", WHERE, headers=seen)) == set(SCREENS) - {"finance"}
    assert shown(await admin("GET", f"{WHERE}/clinic/{clinic}/doctor", headers=seen)) == set(SCREENS) - {"finance"}
    assert shown(await admin("GET", f"{WHERE}/clinic/{clinic}/receptionist", headers=seen)) == set(SCREENS) - {"finance"}  # whose screen it is not
    assert shown(await admin("GET", WHERE, headers=seen)) == set(SCREENS)


async def test_only_an_admin_and_only_in_his_own_clinic(whole):
    clinic, far = await whole.clinic(), await whole.clinic()
    admin, doctor = await whole.person(clinic, "admin"), await whole.person(clinic, "doctor")
    for method, path in (("GET", "doctor"), ("PATCH", "doctor/chat")):
        body = {"enabled": False} if method == "PATCH" else None
        failure(await admin(method, f"{WHERE}/clinic/{far}/{path}", body), 404, "NOT_FOUND")
        failure(await doctor(method, f"{WHERE}/clinic/{clinic}/{path}", body), 403, "FORBIDDEN")
    failure(await admin("PATCH", f"{WHERE}/clinic/{clinic}/doctor/x-ray", {"enabled": False}), 400, "BODY_INVALID")
    failure(await admin("PATCH", f"{WHERE}/clinic/{clinic}/superadmin/chat", {"enabled": False}), 400, "BODY_INVALID")
