"""Clinics: opened once, changed often, never moved to another zone."""

from datetime import date, timedelta

import pytest
from msgspec import ValidationError, convert

from commands.clinics import (
    ChangeClinic,
    ChangeClinicPlan,
    DeactivateClinic,
    DeleteClinic,
    LicenseClinic,
    OpenClinic,
    ReactivateClinic,
    SwitchModule,
    SyncClinicModules,
    ToggleClinicModule,
)
from domain.clinics import (
    Clinic,
    ClinicChanged,
    ClinicDeactivated,
    ClinicDeleted,
    ClinicLicensed,
    ClinicModulesReset,
    ClinicModuleSwitched,
    ClinicNameDiffers,
    ClinicNeedsName,
    ClinicNotActive,
    ClinicOpened,
    ClinicPlanChanged,
    ClinicReactivated,
    ClinicStillActive,
    ModuleBeyondPlan,
    ModuleWithheld,
)
from domain.kit import NotFound, ZoneUnknown
from domain.kit.grants import MODULES, granted
from domain.kit.licences import Licence
from projections.clinics import active_modules, clinics
from schemas.clinics import ClinicRow
from tests.kit import THIS, facts, given, noon

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


def test_a_clinic_is_deleted_by_its_name_and_is_not_there_any_more():
    deleted = ClinicDeleted(name="Grachten", reason="They moved to another product")
    given(opened).when(DeleteClinic(name="grachten", reason="They moved to another product")).refused(ClinicNameDiffers)
    given(opened).when(DeleteClinic(name="Grachten", reason="They moved to another product")).then(deleted)
    for command in (
        DeleteClinic(name="Grachten", reason="Twice"), ReactivateClinic(), LicenseClinic(plan="Pro"), ChangeClinic(name="Grachten"),
        SyncClinicModules(), ToggleClinicModule(module="lab", on=False), ChangeClinicPlan(plan="Pro+"),
    ):
        given(opened, deleted).when(command).refused(NotFound)


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
