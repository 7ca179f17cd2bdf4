"""Plans: offered by default, changed by the platform, tried once."""

from datetime import timedelta

from commands.clinics import CreateProTrial
from commands.plans import ChangePlan, SeedPlans
from domain.clinics import Clinic, ClinicHasLicence, ClinicLicensed, ClinicOpened, TrialOver
from domain.kit import PLATFORM, Elsewhere, only
from domain.plans import DEFAULTS, Offer, PlanChanged, PlanDefined, PlanOffer, plan_of
from projections.plans import plan_row, plans
from tests.kit import THIS, facts, given, noon

pro, more, most = (PlanDefined(plan=plan, **only(Offer, offer)) for plan, offer in DEFAULTS.items())
opened = ClinicOpened(name="Grachten", zone="Europe/Amsterdam", currency="EUR", plan="Pro")
trial = ClinicLicensed(plan="Pro", users=10, doctors=3, until=noon.today + timedelta(days=89), trial=True, reason="A trial of 90 days")


def test_the_plans_are_offered_as_they_are_by_default():
    others = [Elsewhere(state=PlanOffer, id=plan_of(event.plan), events=[event]) for event in (more, most)]
    given().looking(more=PlanOffer(), most=PlanOffer()).when(SeedPlans()).then(pro, *others)
    given().looking(more=PlanOffer.replay([more]), most=PlanOffer()).when(SeedPlans()).then(pro, others[1])
    given(pro).looking(more=PlanOffer.replay([more]), most=PlanOffer.replay([most])).when(SeedPlans()).then()


def test_a_plan_is_changed_in_what_is_named_and_in_nothing_else():
    cheaper = PlanChanged(**only(Offer, pro) | {"monthly": 79_00, "doctors": None})
    command = ChangePlan(monthly=79_00, doctors=None)
    given(pro).when(command).then(cheaper)
    given(pro, cheaper).when(command).then()
    given(pro).when(ChangePlan()).then()


def test_ids_of_plans_are_the_platforms():
    assert len({plan_of(plan) for plan in DEFAULTS} | {PLATFORM}) == 4


def test_a_clinic_tries_pro_once():
    command = CreateProTrial(clinic_id=THIS)
    given(opened).looking(plan=PlanOffer.replay([pro])).when(command).then(trial)
    given(opened).looking(plan=PlanOffer()).when(command).then(trial)
    week = CreateProTrial(clinic_id=THIS, days=7)
    given(opened).looking(plan=PlanOffer()).when(week).then(
        ClinicLicensed(plan="Pro", users=10, doctors=3, until=noon.today + timedelta(days=6), trial=True, reason="A trial of 7 days"))
    given(opened, trial).looking(plan=PlanOffer()).when(command).refused(TrialOver)
    paid = ClinicLicensed(plan="Pro+", users=5)
    given(opened, paid).looking(plan=PlanOffer()).when(command).refused(ClinicHasLicence)
    given(opened, trial, paid).looking(plan=PlanOffer()).when(command).refused(TrialOver)
    assert Clinic.replay([opened, trial, paid]).licence.trial is False


def test_a_plan_as_it_is_seen():
    row = None
    for fact in facts(more, PlanChanged(**only(Offer, more) | {"monthly": 1, "offered": False}), id=plan_of("Pro+")):
        row = plans(row, fact)
    assert row is not None
    assert (row.plan, row.monthly, row.offered, row.users) == ("Pro+", 1, False, 30)
    assert {"bridge", "inpatient", "insurance"} <= set(row.modules)
    assert not {"bridge", "inpatient", "insurance"} & set(plan_row("Pro", DEFAULTS["Pro"]).modules)
