"""Permission templates: what a clinic gives its roles, or takes from them."""

import pytest

from commands.permission_templates import ResetPermissionTemplate, SetPermissionTemplate
from domain.clinics import Clinic, ClinicOpened
from domain.kit.grants import AdminHoldsAll, FloorIrrevocable, PermissionReserved, PermissionUnknown, PlanUpgradeRequired
from domain.permission_templates import PermissionTemplate, PermissionTemplateReset, PermissionTemplateSet, template_of
from projections.permission_templates import permission_templates
from schemas.permission_templates import PermissionTemplateRow
from tests.kit import ACTOR, CLINIC, THIS, facts, given, noon
from tests.served import failure, served, working

CUSTOM = "/clinic/permission-templates"
pro = Clinic.replay([ClinicOpened(name="Grachten", zone="UTC", currency="EUR", plan="Pro")])
front = {"patients.delete": True, "patients.create": False}
arranged = PermissionTemplateSet(role="receptionist", permissions=front, before={})


def test_a_role_is_given_and_refused_things():
    given().looking(clinic=pro).when(SetPermissionTemplate(role="receptionist", permissions=front)).then(arranged)
    fewer = PermissionTemplateSet(role="receptionist", permissions={"lab.cases.view": False}, before=front)
    given(arranged).looking(clinic=pro).when(SetPermissionTemplate(role="receptionist", permissions={"lab.cases.view": False})).then(fewer)


def test_a_reset_says_what_was_there_and_happens_once():
    given(arranged).when(ResetPermissionTemplate(role="receptionist")).then(PermissionTemplateReset(role="receptionist", before=front))
    given().when(ResetPermissionTemplate(role="receptionist")).then()
    assert PermissionTemplate.replay([arranged, PermissionTemplateReset(role="receptionist", before=front)]) == PermissionTemplate()


@pytest.mark.parametrize(("role", "wish", "why"), [
    ("doctor", {"clinical.ipd.view": True}, PlanUpgradeRequired),
    ("doctor", {"clinical.notes.view": False}, FloorIrrevocable),
    ("receptionist", {"billing.invoices.view": False}, FloorIrrevocable),
    ("patient", {"patients.create": True}, PermissionReserved),
    ("doctor", {"teeth.whiten": True}, PermissionUnknown),
    ("admin", {"lab.cases.view": False}, AdminHoldsAll),
    ("superadmin", {}, AdminHoldsAll),
])
def test_what_could_never_count_is_refused(role, wish, why):
    given().looking(clinic=pro).when(SetPermissionTemplate(role=role, permissions=wish)).refused(why)


def test_each_clinic_has_one_template_a_role():
    command = SetPermissionTemplate(role="doctor", permissions={})
    assert command.stream(noon) == template_of(CLINIC, "doctor") == ResetPermissionTemplate(role="doctor").stream(noon)
    assert len({template_of(clinic, role) for clinic in (CLINIC, THIS) for role in ("doctor", "receptionist")}) == 4


def test_a_template_as_it_is_seen():
    row = None
    for fact in facts(PermissionTemplateReset(role="receptionist", before={}), arranged):
        row = permission_templates(row, fact)
    assert row == PermissionTemplateRow(id=THIS, role="receptionist", permissions=front, changed_at=noon.now, changed_by=ACTOR)
    (fact,) = facts(PermissionTemplateReset(role="receptionist", before=front))
    assert permission_templates(row, fact) is None


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


async def listed(person, headers):
    answer = await person("GET", CUSTOM, headers=headers)
    assert answer.status_code == 200, answer.text
    return {line["role"]: line["permissions"] for line in answer.json()["items"]}


async def test_an_admin_arranges_the_roles_and_only_his_clinics(whole):
    clinic = await whole.clinic()
    admin, doctor, other = await whole.person(clinic, "admin"), await whole.person(clinic, "doctor"), await whole.person(await whole.clinic(), "admin")
    put = await admin("PUT", f"{CUSTOM}/receptionist", {"permissions": front})
    assert (put.status_code, put.json()["permissions"]) == (200, front)
    seen = await admin.seen(put)
    assert await listed(admin, seen) == {"receptionist": front}
    assert await listed(other, {}) == {}
    for method, path, body in (("GET", CUSTOM, None), ("PUT", f"{CUSTOM}/doctor", {"permissions": {}}), ("DELETE", f"{CUSTOM}/doctor", None)):
        failure(await doctor(method, path, body), 403, "FORBIDDEN")
    assert (await other("DELETE", f"{CUSTOM}/receptionist")).status_code == 200  # their own, which differs in nothing
    assert await listed(admin, seen) == {"receptionist": front}
    gone = await admin("DELETE", f"{CUSTOM}/receptionist")
    assert await listed(admin, await admin.seen(gone)) == {}


async def test_what_cannot_be_is_told_apart(whole):
    admin = await whole.person(await whole.clinic(), "admin")
    failure(await admin("PUT", f"{CUSTOM}/doctor", {"permissions": {"clinical.notes.view": False}}), 409, "FLOOR_IRREVOCABLE")
    failure(await admin("PUT", f"{CUSTOM}/admin", {"permissions": {"lab.cases.view": False}}), 409, "ADMIN_HOLDS_ALL")
    failure(await admin("PUT", f"{CUSTOM}/doctor", {"permissions": {"teeth.whiten": True}}), 400, "PERMISSION_UNKNOWN")
    failure(await admin("PUT", f"{CUSTOM}/patient", {"permissions": {"patients.create": True}}), 409, "PERMISSION_RESERVED")
    failure(await admin("PUT", f"{CUSTOM}/dentist", {"permissions": {}}), 400, "BODY_INVALID")
    failure(await admin("PUT", f"{CUSTOM}/doctor", {"permissions": {"lab.cases.view": "yes"}}), 400, "BODY_INVALID")
    failure(await admin("PUT", f"{CUSTOM}/doctor", {"permissions": {}, "clinicId": str(admin.id)}), 400, "BODY_INVALID")
