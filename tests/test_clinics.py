"""Clinics: opened once, changed often, never moved to another zone."""

from datetime import date, timedelta
from uuid import uuid4

import pytest
from msgspec import ValidationError, convert
from msgspec.structs import replace

from commands.clinics import (
    ChangeClinic,
    ChangeClinicPlan,
    CloseClinic,
    DeactivateClinic,
    DeleteClinic,
    FinishClosing,
    KeepClinic,
    LicenseClinic,
    OpenClinic,
    ReactivateClinic,
    RemindClosing,
    SwitchModule,
    SyncClinicModules,
    ToggleClinicModule,
)
from domain.clinics import (
    GRACE,
    REMINDER,
    Clinic,
    ClinicChanged,
    ClinicClosing,
    ClinicClosingAlready,
    ClinicClosingReminded,
    ClinicDeactivated,
    ClinicDeleted,
    ClinicExported,
    ClinicKept,
    ClinicLicensed,
    ClinicModulesReset,
    ClinicModuleSwitched,
    ClinicNameDiffers,
    ClinicNeedsName,
    ClinicNotActive,
    ClinicNotClosing,
    ClinicOpened,
    ClinicPlanChanged,
    ClinicReactivated,
    ClinicStillActive,
    ModuleBeyondPlan,
    ModuleWithheld,
)
from domain.kit import PLATFORM, NotFound, ZoneUnknown
from domain.kit.grants import MODULES, granted
from domain.kit.licences import Licence
from domain.retention import Hold, LegalHoldBinds, Retention, RetentionBinds
from domain.seats import Seats
from projections.clinics import active_modules, clinics
from schemas.clinics import ClinicRow
from tests.kit import ACTOR, THIS, facts, given, noon
from tests.served import failure, served, working

opened = ClinicOpened(name="Grachten", zone="Europe/Amsterdam", currency="EUR", plan="Pro")
moved = ClinicChanged(name="Grachten Noord", address="Dijk 1", phone="020 123", email="hi@example.org")


def test_a_clinic_opens_with_its_zone_and_currency():
    given().when(OpenClinic(name="Grachten", zone="Europe/Amsterdam", currency="EUR")).then(opened)
    clinic = Clinic.replay([opened])
    assert (clinic.name, clinic.zone, clinic.currency, clinic.plan) == ("Grachten", "Europe/Amsterdam", "EUR", "Pro")


def test_a_zone_that_does_not_exist_is_refused():
    given().when(OpenClinic(name="Grachten", zone="Europe/Gotham", currency="EUR")).refused(ZoneUnknown)
    given().when(OpenClinic(name="Grachten", zone="../etc/passwd", currency="EUR")).refused(ZoneUnknown)


def test_a_clinic_has_a_name():
    given().when(OpenClinic(name="  ", zone="UTC", currency="EUR")).refused(ClinicNeedsName)
    given(opened).when(ChangeClinic(name=" ")).refused(ClinicNeedsName)


def test_a_change_replaces_what_a_clinic_says_about_itself():
    command = ChangeClinic(name="Grachten Noord", address="Dijk 1", phone="020 123", email="hi@example.org")
    given(opened).when(command).then(moved)


def test_zone_and_currency_cannot_be_changed_by_the_way():
    with pytest.raises(ValidationError, match="unknown field"):
        convert({"name": "Grachten", "zone": "Asia/Tokyo"}, ChangeClinic)


def test_a_plan_is_changed_once():
    given(opened).when(ChangeClinicPlan(plan="Pro+")).then(ClinicPlanChanged(plan="Pro+"))
    given(opened).when(ChangeClinicPlan(plan="Pro")).then()


licensed = ClinicLicensed(plan="Pro+", users=10, doctors=3, until=date(2027, 1, 4), trial=False, reason="A year, paid")


def test_a_licence_replaces_the_one_before():
    command = LicenseClinic(plan="Pro+", users=10, doctors=3, until=date(2027, 1, 4), reason="A year, paid")
    given(opened).when(command).then(licensed)
    given(opened, licensed).when(command).then()
    clinic = Clinic.replay([opened, licensed])
    assert clinic.licence == Licence(plan="Pro+", users=10, doctors=3, until=date(2027, 1, 4))
    assert Clinic.replay([opened, licensed, ClinicPlanChanged(plan="Pro")]).licence.users == 10


def test_a_licence_holds_on_its_last_day_and_not_after():
    licence = Licence(until=noon.today)
    assert not licence.ended(noon.today)
    assert licence.ended(noon.today + timedelta(days=1))
    assert not Licence().ended(date.max)


withheld = ClinicModuleSwitched(module="lead_inbox", on=False, by="platform")
unwanted = ClinicModuleSwitched(module="lead_inbox", on=False, by="clinic")
back = ClinicModuleSwitched(module="lead_inbox", on=True, by="clinic")


def test_modules_are_on_where_the_plan_reaches_them():
    assert Clinic.replay([opened]).modules == [name for name in MODULES if name not in {"bridge", "inpatient", "insurance"}]
    assert Clinic.replay([opened, ClinicPlanChanged(plan="Pro+")]).modules == list(MODULES)
    assert Clinic.replay([opened, ClinicPlanChanged(plan="Enterprise")]).modules == list(MODULES)


def test_the_keys_of_a_module_are_those_of_the_table():
    for module in MODULES.values():
        gated = [key for key in granted("admin", module.plan) if key.startswith(module.prefix)]
        assert gated
        assert module.plan == "Pro" or not [key for key in granted("admin", "Pro") if key.startswith(module.prefix)]


def test_a_clinic_switches_a_module_off_and_on_again():
    given(opened).when(SwitchModule(module="lead_inbox", on=False)).then(unwanted)
    given(opened, unwanted).when(SwitchModule(module="lead_inbox", on=False)).then()
    given(opened, unwanted).when(SwitchModule(module="lead_inbox", on=True)).then(back)
    assert Clinic.replay([opened, unwanted]).off == {"lead_inbox"}
    assert Clinic.replay([opened, unwanted, back]).off == frozenset()


def test_what_the_platform_withholds_stays_off_until_it_says_otherwise():
    given(opened).when(ToggleClinicModule(module="lead_inbox", on=False)).then(withheld)
    given(opened, withheld).when(ToggleClinicModule(module="lead_inbox", on=False)).then()
    given(opened, withheld).when(SwitchModule(module="lead_inbox", on=True)).refused(ModuleWithheld)
    given(opened, unwanted).when(ToggleClinicModule(module="lead_inbox", on=False)).then(withheld)
    on = ClinicModuleSwitched(module="lead_inbox", on=True, by="platform")
    given(opened, unwanted, withheld).when(ToggleClinicModule(module="lead_inbox", on=True)).then(on)
    assert Clinic.replay([opened, unwanted, withheld, on]).off == frozenset()


def test_a_module_beyond_the_plan_cannot_be_switched_on():
    given(opened).when(ToggleClinicModule(module="bridge", on=True)).refused(ModuleBeyondPlan)
    given(opened).when(SwitchModule(module="bridge", on=True)).refused(ModuleBeyondPlan)
    given(opened).when(ToggleClinicModule(module="bridge", on=False)).then(ClinicModuleSwitched(module="bridge", on=False, by="platform"))


def test_modules_are_as_the_plan_has_them_again():
    given(opened, withheld, unwanted).when(SyncClinicModules()).then(ClinicModulesReset())
    given(opened).when(SyncClinicModules()).then()
    assert Clinic.replay([opened, withheld, unwanted, ClinicModulesReset()]).off == frozenset()


def test_a_clinic_is_deactivated_and_reactivated():
    gone = ClinicDeactivated(reason="Does not pay")
    given(opened).when(DeactivateClinic(reason="Does not pay")).then(gone)
    given(opened, gone).when(DeactivateClinic(reason="Still does not pay")).refused(ClinicNotActive)
    given(opened, gone).when(ReactivateClinic()).then(ClinicReactivated())
    given(opened).when(ReactivateClinic()).refused(ClinicStillActive)
    assert not Clinic.replay([opened, gone]).active


free = {"retention": Retention(), "seats": Seats()}
used = {**free, "seats": Seats(used_ever=True)}
ends = noon.now + GRACE
closing = ClinicClosing(until=ends, reason="I retire", by=ACTOR)
deleted = ClinicDeleted(name="Grachten", reason="I retire")
closed = CloseClinic(name="Grachten", reason="I retire")
later = replace(noon, now=ends, today=ends.date())


def test_a_clinic_is_deleted_by_its_name_and_is_not_there_any_more():
    delete = DeleteClinic(name="Grachten", reason="I retire")
    given(opened).looking(**free).when(DeleteClinic(name="grachten", reason="I retire")).refused(ClinicNameDiffers)
    given(opened).looking(**free).when(delete).then(deleted)
    given(opened, deleted).looking(**free).when(delete).refused(NotFound)
    for command in (
        ReactivateClinic(), LicenseClinic(plan="Pro"), ChangeClinic(name="Grachten"), closed, KeepClinic(),
        SyncClinicModules(), ToggleClinicModule(module="lab", on=False), ChangeClinicPlan(plan="Pro+"),
    ):
        given(opened, deleted).when(command).refused(NotFound)


def test_where_somebody_worked_records_are_kept_until_they_are_taken_along():
    delete = DeleteClinic(name="Grachten", reason="I retire")
    bound = given(opened).looking(**used).when(delete).refused(RetentionBinds)
    assert bound.details == {"kind": "patients", "until": "2046-01-05"}
    given(opened, ClinicExported()).looking(**used).when(delete).refused(RetentionBinds)  # what came after it is not in it
    given(opened, closing, ClinicExported()).looking(**used).when(delete).then(deleted)
    held = {**used, "retention": Retention(holds={THIS: Hold()})}
    given(opened, closing, ClinicExported()).looking(**held).when(delete).refused(LegalHoldBinds)


def test_a_clinic_is_closed_kept_reminded_of_and_gone():
    given(opened).when(replace(closed, name="Kanal")).refused(ClinicNameDiffers)
    given(opened).when(closed).then(closing)
    given(opened, closing).when(closed).refused(ClinicClosingAlready)
    given(opened).when(KeepClinic()).refused(ClinicNotClosing)
    given(opened, closing).when(KeepClinic()).then(ClinicKept())
    assert Clinic.replay([opened, closing, ClinicKept()]) == Clinic.replay([opened])
    soon = replace(noon, now=ends - REMINDER)
    reminded = ClinicClosingReminded(until=ends, by=ACTOR)
    given(opened, closing).when(RemindClosing()).then()
    given(opened, closing, at=soon).when(RemindClosing()).then(reminded)
    given(opened, closing, reminded, at=soon).when(RemindClosing()).then()
    kept = {"retention": Retention()}
    given(opened, closing, ClinicExported(), at=soon).looking(**kept).when(FinishClosing()).then()
    given(opened, closing, ClinicExported(), at=later).looking(**kept).when(FinishClosing()).then(deleted)
    given(opened, closing, at=later).looking(**kept).when(FinishClosing()).refused(RetentionBinds)
    given(opened, closing, ClinicExported(), at=later).looking(retention=Retention(holds={THIS: Hold()})).when(FinishClosing()).refused(LegalHoldBinds)
    given(opened, closing, ClinicKept(), at=later).looking(**kept).when(FinishClosing()).refused(ClinicNotClosing)


def test_a_clinic_as_it_is_seen():
    row = None
    for fact in facts(opened, moved, ClinicPlanChanged(plan="Enterprise")):
        row = clinics(row, fact)
    assert row == ClinicRow(
        id=THIS, name="Grachten Noord", address="Dijk 1", phone="020 123", email="hi@example.org", zone="Europe/Amsterdam", currency="EUR",
        plan="Enterprise",
    )


def test_licence_modules_and_standing_as_they_are_seen():
    row = None
    for fact in facts(opened, licensed, withheld, unwanted, ClinicDeactivated(reason="Does not pay")):
        row = clinics(row, fact)
    assert row is not None
    assert (row.plan, row.users, row.doctors, row.until, row.active) == ("Pro+", 10, 3, date(2027, 1, 4), False)
    assert (row.withheld, row.unwanted) == (["lead_inbox"], ["lead_inbox"])
    assert active_modules(row).modules == [name for name in MODULES if name != "lead_inbox"]
    for fact in facts(ClinicModulesReset(), ClinicReactivated(), ClinicDeleted(name="Grachten", reason="Closed")):
        row = clinics(row, fact)
    assert row is not None
    assert (row.withheld, row.unwanted, row.active, row.deleted) == ([], [], False, True)


@pytest.fixture
async def whole(module_database, nats_server):
    async with served(module_database, nats_server) as serving, working(module_database, nats_server):
        yield serving


async def test_a_clinic_is_licensed_used_up_and_looked_at(whole):
    clinic = await whole.clinic("Pro")
    admin, root = await whole.person(clinic, "admin"), await whole.person(PLATFORM, "superadmin")
    answer = await root("POST", f"/licenses/{clinic}/upgrade", {"plan": "Pro", "users": 2, "doctors": 1, "until": "2099-12-31"})
    assert (answer.status_code, answer.json()["users"]) == (200, 2), answer.text
    hired = await admin("POST", "/staff/create", {"name": "Dr Sam", "email": "sam@clinic.example", "role": "doctor"})
    assert hired.status_code == 201
    seen = await seen_by(hired)
    assert (await admin("GET", f"/licenses/{clinic}/usage", headers=seen)).json() == {"users": {"used": 1, "limit": 2}, "doctors": {"used": 1, "limit": 1}}
    status = (await root("GET", f"/licenses/{clinic}", headers=seen)).json()
    assert (status["plan"], status["until"], status["ended"], status["doctors"]) == ("Pro", "2099-12-31", False, {"used": 1, "limit": 1})
    for role, allowed, why in (("doctor", False, "DOCTOR_LIMIT_REACHED"), ("receptionist", True, None)):
        said = await admin("GET", f"/licenses/{clinic}/check/{role}", headers=seen)
        assert said.json() == {"role": role, "allowed": allowed, "code": why}
    failure(await admin("GET", f"/licenses/{clinic}/check/janitor"), 400, "QUERY_INVALID")
    second = {"name": "Dr Bo", "email": "bo@clinic.example", "role": "doctor"}
    assert failure(await admin("POST", "/staff/create", second), 403, "DOCTOR_LIMIT_REACHED") == [{"limit": 1}]
    assert (await admin("POST", "/staff/create", {**second, "role": "receptionist"})).status_code == 201
    failure(await admin("POST", "/staff/create", {**second, "role": "receptionist"}), 403, "USER_LIMIT_REACHED")


async def seen_by(answer):
    return {"x-position": answer.headers["x-position"]}


async def test_licences_and_modules_are_the_platforms_to_give(whole):
    clinic, other = await whole.clinic("Pro"), await whole.clinic("Pro")
    admin, root = await whole.person(clinic, "admin"), await whole.person(PLATFORM, "superadmin")
    for method, path, body in (
        ("POST", f"/licenses/{clinic}/upgrade", {"plan": "Enterprise"}), ("GET", "/clinics", None), ("GET", "/clinics/deletions/history", None),
        ("POST", f"/clinics/{clinic}/deactivate", {"reason": "Why not"}), ("DELETE", f"/clinics/{clinic}?name=Grachten&reason=No", None),
        ("GET", "/superadmin/modules/available", None), ("GET", f"/superadmin/modules/clinics/{clinic}", None),
        ("POST", f"/superadmin/modules/clinics/{clinic}/toggle", {"module": "lab", "on": True}),
    ):
        failure(await admin(method, path, body), 403, "FORBIDDEN")
    for path in (f"/licenses/{other}", f"/licenses/{other}/usage", f"/licenses/{other}/check/doctor", f"/clinics/{other}"):
        failure(await admin("GET", path), 404, "NOT_FOUND")
    failure(await admin("PUT", f"/clinics/{other}", {"name": "Mine"}), 404, "NOT_FOUND")
    doctor = await whole.person(clinic, "doctor")
    failure(await doctor("GET", f"/licenses/{clinic}"), 403, "FORBIDDEN")
    failure(await doctor("PUT", f"/clinics/{clinic}/modules/lab", {"on": False}), 403, "FORBIDDEN")
    failure(await root("GET", f"/licenses/{uuid4()}"), 404, "NOT_FOUND")
    assert len((await root("GET", "/superadmin/modules/available")).json()["items"]) == len(MODULES)


async def test_a_module_goes_off_and_says_who_did_it(whole):
    clinic = await whole.clinic("Pro")
    admin, root = await whole.person(clinic, "admin"), await whole.person(PLATFORM, "superadmin")
    await admin("PUT", f"/clinics/{clinic}/modules/recalls", {"on": False})
    done = await root("POST", f"/superadmin/modules/clinics/{clinic}/toggle", {"module": "lab", "on": False})
    failure(await admin("PUT", f"/clinics/{clinic}/modules/lab", {"on": True}), 403, "MODULE_WITHHELD")
    failure(await admin("PUT", f"/clinics/{clinic}/modules/bridge", {"on": True}), 403, "MODULE_BEYOND_PLAN")
    failure(await admin("PUT", f"/clinics/{clinic}/modules/teeth", {"on": True}), 400, "BODY_INVALID")
    shown = (await root("GET", f"/superadmin/modules/clinics/{clinic}", headers=await seen_by(done))).json()["modules"]
    assert {one["module"]: one["because"] for one in shown if one["because"]} == {
        "lab": "platform", "recalls": "clinic", "bridge": "plan", "inpatient": "plan", "insurance": "plan"}
    working_here = (await admin("GET", "/clinic/modules/active", headers=await seen_by(done))).json()["modules"]
    assert working_here == (await admin("GET", "/clinics/context", headers=await seen_by(done))).json()["modules"]
    assert working_here == [one["module"] for one in shown if one["active"]]


async def test_the_platform_sees_all_clinics_and_those_that_are_gone(whole):
    kept, gone = await whole.clinic("Pro"), await whole.clinic("Enterprise")
    root = await whole.person(PLATFORM, "superadmin")
    failure(await root("DELETE", f"/clinics/{gone}?name=grachten&reason=Closed"), 400, "CLINIC_NAME_DIFFERS")
    done = await root("DELETE", f"/clinics/{gone}?name=Grachten&reason=Closed")
    assert done.status_code == 200, done.text
    seen = await seen_by(done)
    listed = {one["id"] for one in (await root("GET", "/clinics?limit=200", headers=seen)).json()["items"]}
    assert str(kept) in listed
    assert str(gone) not in listed
    (line,) = [one for one in (await root("GET", "/clinics/deletions/history", headers=seen)).json()["items"] if one["id"] == str(gone)]
    assert (line["name"], line["reason"], line["deletedBy"]) == ("Grachten", "Closed", str(root.id))
    assert (await root("GET", f"/clinics/{kept}", headers=seen)).json()["plan"] == "Pro"
    failure(await root("PUT", f"/clinics/{gone}/subscription", {"plan": "Pro"}), 404, "NOT_FOUND")


async def test_plans_are_shown_to_whoever_is_signed_in(whole):
    clinic = await whole.clinic("Pro")
    admin, root = await whole.person(clinic, "admin"), await whole.person(PLATFORM, "superadmin")
    assert [one["plan"] for one in (await admin("GET", "/subscription-plans")).json()["items"]] == ["Pro", "Pro+", "Enterprise"]
    for _ in range(2):
        assert (await root("POST", "/subscription-plans/seed-defaults", {})).status_code == 200
    pro, *_, most = (await root("GET", "/subscription-plans")).json()["items"]
    cheaper = await root("PATCH", f"/subscription-plans/{pro['id']}", {"monthly": 79_00})
    assert (cheaper.status_code, cheaper.json()["monthly"], cheaper.json()["yearly"]) == (200, 79_00, pro["yearly"])
    done = await root("PATCH", f"/subscription-plans/{most['id']}", {"offered": False})
    failure(await root("PATCH", f"/subscription-plans/{pro['id']}", {"monthly": -1}), 400, "BODY_INVALID")
    failure(await root("PATCH", f"/subscription-plans/{uuid4()}", {"monthly": 1}), 404, "NOT_FOUND")
    failure(await admin("PATCH", f"/subscription-plans/{pro['id']}", {"monthly": 1}), 403, "FORBIDDEN")
    seen = (await admin("GET", "/clinics/subscription-plans", headers=await seen_by(done))).json()["items"]
    assert [(one["plan"]["plan"], one["current"]) for one in seen] == [("Pro", True), ("Pro+", False)]
    tried = await root("POST", "/subscription-plans/create-pro-trial", {"clinicId": str(clinic), "days": 14})
    assert (tried.status_code, tried.json()["trial"], tried.json()["users"]) == (200, True, 10)
    failure(await root("POST", "/subscription-plans/create-pro-trial", {"clinicId": str(clinic)}), 409, "TRIAL_OVER")
    failure(await root("POST", "/subscription-plans/create-pro-trial", {"clinicId": str(uuid4())}), 404, "NOT_FOUND")
