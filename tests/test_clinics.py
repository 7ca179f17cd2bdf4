"""Clinics: opened once, changed often, never moved to another zone."""

import pytest
from msgspec import ValidationError, convert

from commands.clinics import ChangeClinic, ChangeClinicPlan, OpenClinic
from domain.clinics import Clinic, ClinicChanged, ClinicNeedsName, ClinicOpened, ClinicPlanChanged
from domain.kit import ZoneUnknown
from projections.clinics import clinics
from schemas.clinics import ClinicRow
from tests.kit import THIS, facts, given

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


def test_a_clinic_as_it_is_seen():
    row = None
    for fact in facts(opened, moved, ClinicPlanChanged(plan="Enterprise")):
        row = clinics(row, fact)
    assert row == ClinicRow(
        id=THIS, name="Grachten Noord", address="Dijk 1", phone="020 123", email="hi@example.org", zone="Europe/Amsterdam", currency="EUR",
        plan="Enterprise",
    )
