"""Who may do what: every permission key, the plan it needs, who holds it by default, and what a clinic may change about that.

A line of the table reads: key, lowest plan, holders on Pro, holders on Pro+ and Enterprise, roles that can never lose it. D doctor, R receptionist,
P patient, o patient on their own rows only; an admin holds every key of the clinic's plan and a superadmin every key. A test compares the table with
the reference (`tests/spec/permissions.csv`).

What somebody may really do (`effective`) is decided key by key, in layers: what the role holds by default on the clinic's plan; the clinic's template
for the role; the person's own override; and the floor, which gives back what a role cannot work without. What the plan does not reach, and whatever
belongs to a module that is off, no layer can give; nor, to a patient, what is no patient's. Admins hold all of their plan: nothing is said about them.

What may go wrong: a clinic that falls back to a lower plan keeps templates that name more than it has; they are ignored, not refused, and count again
when the plan rises. Only what is asked for anew is looked at (`agreed`).
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from domain.kit.model import Forbidden, Invalid, Refused

Role = Literal["superadmin", "admin", "doctor", "receptionist", "patient"]
Plan = Literal["Pro", "Pro+", "Enterprise"]
OptionalModule = Literal[
    "ai_insights", "lead_inbox", "inventory", "lab", "bridge", "inpatient", "insurance", "payroll", "expenses", "recalls", "reports", "messaging",
]
Layer = Literal["role", "plan", "module", "template", "override", "floor"]
Key = Annotated[str, Meta(max_length=80, pattern=r"^[a-z_]+(\.[a-z_]+)*$", examples=["patients.export", "inventory.view", "ai.shorten_expand"])]
Wishes = Annotated[dict[Key, bool], Meta(max_length=400, description="Permission keys that are given (true) or taken away (false).")]


class Module(NamedTuple):
    """An optional part of the product that a clinic may switch off."""

    prefix: str
    plan: Plan
    about: str


class PermissionUnknown(Invalid):
    """There is no such permission key."""


class PermissionReserved(Refused):
    """Patients only ever hold what concerns themselves. Leave this key to the staff."""


class FloorIrrevocable(Refused):
    """Nobody can do this role's work without that permission. It cannot be taken away."""


class AdminHoldsAll(Refused):
    """Admins hold everything that the clinic's plan has; nothing is given to them or taken from them."""


class ModuleDisabled(Forbidden):
    """This part of the product is switched off in your clinic. An admin can have it switched on."""


class PlanUpgradeRequired(Forbidden):
    """Your clinic's plan does not include this. An admin can upgrade it."""


TABLE = """
appointments.view                         Pro  DRo DRo DR
appointments.view_detail                  Pro  DRo DRo DR
appointments.create                       Pro  DR  DR  -
appointments.edit                         Pro  DR  DR  -
appointments.delete                       Pro  DR  DR  -
appointments.change_status                Pro  DR  DR  -
appointments.send_summary                 Pro  DR  DR  -
appointments.view_all_doctors             Pro  DR  DR  -
appointments.block_time                   Pro  D   D   -
appointments.export                       Pro  -   -   -

patients.view                             Pro  DR  DR  DR
patients.view_detail                      Pro  DRo DRo DR
patients.create                           Pro  DR  DR  -
patients.edit                             Pro  DR  DR  -
patients.delete                           Pro  D   D   -
patients.invite_portal                    Pro  DR  DR  -
patients.view_medical_history             Pro  DR  DR  -
patients.export                           Pro  -   -   -
patients.merge                            Pro  -   -   -

clinical.dental_chart.view                Pro  Do  Do  -
clinical.dental_chart.create              Pro  D   D   -
clinical.dental_chart.edit                Pro  D   D   -
clinical.dental_chart.initialize          Pro  D   D   -
clinical.notes.view                       Pro  Do  Do  D
clinical.notes.create                     Pro  D   D   D
clinical.notes.edit                       Pro  D   D   -
clinical.notes.delete                     Pro  D   D   -
clinical.treatment_plans.view             Pro  DRo DRo -
clinical.treatment_plans.create           Pro  D   D   -
clinical.treatment_plans.edit             Pro  D   D   -
clinical.treatment_plans.delete           Pro  D   D   -
clinical.treatment_plans.complete         Pro  D   D   -
clinical.treatment_plans.approve          Pro  D   D   -
clinical.treatment_plans.accept           Pro  o   o   -
clinical.treatment_plans.ai_presentation  Pro  D   D   -
clinical.treatment_plans.share            Pro  D   D   -
clinical.treatment_plans.revoke_share     Pro  D   D   -
clinical.vital_signs.view                 Pro  D   D   -
clinical.vital_signs.record               Pro  D   D   -
clinical.consent.view                     Pro  DRo DRo -
clinical.consent.upload                   Pro  DR  DR  -
clinical.prescriptions.view               Pro  DRo DRo D
clinical.prescriptions.create             Pro  D   D   D
clinical.prescriptions.edit               Pro  D   D   -
clinical.prescriptions.delete             Pro  D   D   -
clinical.prescriptions.manage_template    Pro  D   D   -
clinical.medications.view                 Pro  D   D   -
clinical.medications.create               Pro  D   D   -
clinical.medications.delete               Pro  D   D   -
clinical.procedures.view                  Pro  D   D   D
clinical.procedures.create                Pro  D   D   -
clinical.procedures.edit                  Pro  D   D   -
clinical.procedures.delete                Pro  D   D   -
clinical.patient_files.view               Pro  DRo DRo D
clinical.patient_files.upload             Pro  DR  DR  -
clinical.patient_files.edit               Pro  D   D   -
clinical.patient_files.delete             Pro  D   D   -
clinical.recalls.view                     Pro  DR  DR  -
clinical.recalls.create                   Pro  DR  DR  -
clinical.recalls.edit                     Pro  DR  DR  -
clinical.recalls.delete                   Pro  DR  DR  -
clinical.recalls.batch_generate           Pro  DR  DR  -
clinical.ipd.view                         Pro+ -   D   -
clinical.ipd.admit                        Pro+ -   D   -
clinical.ipd.edit                         Pro+ -   D   -
clinical.ipd.discharge                    Pro+ -   D   -

billing.invoices.view                     Pro  DRo DRo R
billing.invoices.view_detail              Pro  DRo DRo -
billing.invoices.create                   Pro  DR  DR  -
billing.invoices.edit                     Pro  DR  DR  -
billing.invoices.send                     Pro  DR  DR  -
billing.invoices.convert                  Pro  -   -   -
billing.invoices.share                    Pro  DR  DR  -
billing.invoices.revoke_share             Pro  D   D   -
billing.receipts.view                     Pro  DRo DRo -
billing.receipts.create                   Pro  DR  DR  -
billing.receipts.send                     Pro  DR  DR  -
billing.receipts.share                    Pro  D   D   -
billing.payments.view                     Pro  DRo DRo -
billing.payments.record                   Pro  DR  DR  -
billing.installments.view                 Pro  DRo DRo -
billing.installments.create               Pro  D   D   -
billing.installments.generate_invoice     Pro  D   D   -
billing.quotations.view                   Pro  DRo DRo -
billing.quotations.create                 Pro  DR  DR  -
billing.quotations.edit                   Pro  D   D   -
billing.quotations.delete                 Pro  D   D   -
billing.quotations.send                   Pro  DR  DR  -
billing.quotations.reissue                Pro  D   D   -
billing.quotations.share                  Pro  D   D   -
billing.expenses.view                     Pro  -   -   -
billing.expenses.manage                   Pro  -   -   -
billing.expenses.delete                   Pro  -   -   -
billing.expenses.view_eod                 Pro  -   -   -
billing.payroll.view                      Pro  -   -   -
billing.payroll.manage                    Pro  -   -   -
billing.payroll.run                       Pro  -   -   -
billing.payroll.view_commissions          Pro  D   D   -
billing.insurance.view                    Pro+ -   D   -
billing.insurance.create                  Pro+ -   D   -
billing.insurance.edit                    Pro+ -   D   -
billing.insurance.manage_attachments      Pro+ -   D   -

inventory.view                            Pro  DR  DR  -
inventory.create                          Pro+ -   R   -
inventory.edit                            Pro+ -   R   -
inventory.adjust_stock                    Pro  R   R   -
inventory.view_alerts                     Pro  DR  DR  -
inventory.manage_suppliers                Pro+ -   R   -

lab.cases.view                            Pro  DR  DR  -
lab.cases.create                          Pro  DR  DR  -
lab.cases.update_status                   Pro  DR  DR  -
lab.services.view                         Pro  DR  DR  -
lab.services.manage                       Pro  D   D   -
lab.services.delete                       Pro  D   D   -
lab.laboratories.view                     Pro  DR  DR  -
lab.laboratories.create                   Pro  D   D   -
lab.laboratories.edit                     Pro  D   D   -
lab.laboratories.delete                   Pro  D   D   -

bridge.view                               Pro+ -   DR  -
bridge.capture                            Pro+ -   D   -
bridge.manage                             Pro+ -   -   -

comms.messages.view                       Pro  DRo DRo -
comms.messages.send_patient               Pro  DRo DRo -
comms.messages.send_staff                 Pro  DR  DR  -
comms.messages.delete                     Pro  D   D   -
comms.messages.check_window               Pro  DR  DR  -
comms.messages.mark_read                  Pro  DRo DRo -
comms.templates.view                      Pro  DR  DR  -
comms.templates.manage                    Pro  -   -   -
comms.bulk.send                           Pro  D   D   -

reports.financial                         Pro  -   D   -
reports.stats                             Pro  DR  DR  -
reports.revenue                           Pro+ -   D   -

ai.patient_brief                          Pro+ -   D   -
ai.clinical_assist                        Pro+ -   D   -
ai.shorten_expand                         Pro  D   D   -
ai.recall_message                         Pro+ -   D   -
ai.dicom_analysis.view                    Pro+ -   D   -
ai.dicom_analysis.run                     Pro+ -   D   -
ai.daily_brief                            Pro  D   DR  -
ai.appointment_nudges                     Pro  DR  DR  -
ai.monthly_summary                        Pro+ -   D   -
ai.treatment_plan_presentation            Pro  D   D   -
ai.revenue_forecast                       Pro+ -   D   -
ai.churn_risk                             Pro+ -   D   -
ai.payment_reminder                       Pro  DR  DR  -
ai.eod_summary                            Pro  D   D   -
ai.grammar_rewrite                        Pro  DR  DR  -

settings.staff.view                       Pro  D   D   -
settings.staff.create                     Pro  -   -   -
settings.staff.edit                       Pro  -   -   -
settings.staff.remove                     Pro  -   -   -
settings.staff.manage_permissions         Pro  -   -   -
settings.staff.resend_invitation          Pro  -   -   -
settings.staff.refresh_access             Pro  -   -   -
settings.rooms.view                       Pro  -   -   -
settings.rooms.manage                     Pro  -   -   -
settings.branding.view                    Pro  -   -   -
settings.branding.edit                    Pro  -   -   -
settings.email_templates.view             Pro  -   -   -
settings.email_templates.edit             Pro  -   -   -
settings.email_templates.test             Pro  -   -   -
settings.signatures.view                  Pro  D   DR  -
settings.signatures.manage                Pro+ -   DR  -
settings.signatures.delete                Pro  D   D   -
settings.referrals.view                   Pro  -   -   -
settings.referrals.manage                 Pro  -   -   -
settings.referrals.delete                 Pro  -   -   -
settings.appointment_types.manage         Pro  -   -   -
settings.working_hours.manage             Pro  -   -   -
settings.modules.manage                   Pro  -   -   -

notifications.view_all                    Pro  -   -   -
notifications.manage                      Pro  DRo DRo -

audit.logs.view                           Pro  -   -   -
audit.logs.export                         Pro  -   -   -
audit.activity.view                       Pro  D   D   -

leads.view                                Pro  R   R   -
leads.manage                              Pro  R   R   -
leads.convert                             Pro  R   R   -
leads.configure                           Pro  -   -   -
"""

# keys of ours, for what the reference leaves unguarded
TABLE += """
appointments.overbook                      Pro  DR  DR  -
billing.payments.refund                    Pro  DR  DR  -
billing.till.manage                        Pro  DR  DR  -
billing.till.reopen                        Pro  -   -   -
billing.invoices.credit                    Pro  DR  DR  -
billing.invoices.write_off                 Pro  -   -   -
appointments.remind                        Pro  DR  DR  -
settings.reminders.manage                  Pro  -   -   -
appointments.view_board                    Pro  DR  DR  -
appointments.show_code                     Pro  DR  DR  -
"""

# optional modules: what their keys begin with, and the lowest plan that has them
MODULES: dict[OptionalModule, Module] = {
    "ai_insights": Module("ai.", "Pro", "Briefs, drafts and forecasts by AI."),
    "lead_inbox": Module("leads.", "Pro", "Enquiries from the clinic's website."),
    "inventory": Module("inventory.", "Pro", "Stock, suppliers and alerts."),
    "lab": Module("lab.", "Pro", "Cases sent to dental laboratories."),
    "bridge": Module("bridge.", "Pro+", "X-ray and other devices in the clinic."),
    "inpatient": Module("clinical.ipd.", "Pro+", "Admission and discharge of inpatients."),
    "insurance": Module("billing.insurance.", "Pro+", "Claims to insurers."),
    "payroll": Module("billing.payroll.", "Pro", "Salaries and commissions."),
    "expenses": Module("billing.expenses.", "Pro", "What the clinic spends, and the end of the day."),
    "recalls": Module("clinical.recalls.", "Pro", "Patients who are due to come again."),
    "reports": Module("reports.", "Pro", "Figures about money and visits."),
    "messaging": Module("comms.", "Pro", "Messages to patients and among staff."),
}

# flat keys of old, which stored templates and overrides may still name
LEGACY = """
view_appointments: appointments.view appointments.view_detail
edit_appointments: appointments.create appointments.edit appointments.delete appointments.change_status appointments.send_summary
view_patients: patients.view patients.view_detail
edit_patients: patients.create patients.edit patients.delete patients.invite_portal
view_billing: billing.invoices.view billing.invoices.view_detail billing.receipts.view billing.payments.view billing.quotations.view
  billing.installments.view
process_payments: billing.payments.record billing.receipts.create billing.receipts.send billing.invoices.create billing.invoices.edit
  billing.invoices.send
view_reports: reports.financial reports.stats reports.revenue
view_clinical_records: clinical.dental_chart.view clinical.notes.view clinical.treatment_plans.view clinical.vital_signs.view clinical.consent.view
  clinical.prescriptions.view clinical.medications.view clinical.procedures.view clinical.patient_files.view clinical.recalls.view clinical.ipd.view
edit_clinical_records: clinical.dental_chart.create clinical.dental_chart.edit clinical.notes.create clinical.notes.edit
  clinical.treatment_plans.create clinical.treatment_plans.edit clinical.treatment_plans.approve clinical.prescriptions.create
  clinical.prescriptions.edit clinical.medications.create clinical.procedures.create clinical.procedures.edit clinical.patient_files.edit
  clinical.recalls.create clinical.recalls.edit clinical.ipd.edit
manage_inventory: inventory.view inventory.create inventory.edit inventory.adjust_stock inventory.view_alerts inventory.manage_suppliers
send_messages: comms.messages.view comms.messages.send_patient comms.messages.send_staff comms.messages.mark_read
manage_lab_cases: lab.cases.view lab.cases.create lab.cases.update_status lab.services.view lab.laboratories.view
"""

RANKS = ("receptionist", "doctor", "admin", "superadmin")
LETTER = {"doctor": "D", "receptionist": "R", "patient": "P"}


class Grant(NamedTuple):
    """One line of the table."""

    key: str
    plan: Plan
    pro: str
    more: str
    floor: str


@cache
def table() -> dict[str, Grant]:
    """Return the grants by key."""
    lines = (Grant(*line.split()) for line in TABLE.splitlines() if line.strip())  # type: ignore[arg-type]
    return {grant.key: grant for grant in lines}


@cache
def granted(role: Role, plan: Plan = "Pro") -> frozenset[str]:
    """Return the keys a role holds by default on a plan; a patient's `own` keys are among them and limit rows, not routes."""
    rows = table().values()
    if role == "superadmin":
        return frozenset(table())
    if role == "admin":
        return frozenset(g.key for g in rows if reaches(plan, g.plan))
    letters = {"P", "o"} if role == "patient" else {LETTER.get(role, "?")}  # whoever has no role has nothing by it
    return frozenset(g.key for g in rows if letters & set(g.more if reaches(plan, "Pro+") else g.pro))


def reaches(plan: str, needed: str) -> bool:
    """Say whether a plan includes what a plan is needed for; Enterprise has what Pro+ has, and whatever is below Pro what Pro has."""
    return needed == "Pro" or plan in {"Pro+", "Enterprise"}


@cache
def module_of(key: str) -> OptionalModule | None:
    """Return the optional module that a key belongs to."""
    return next((name for name, module in MODULES.items() if key.startswith(module.prefix)), None)


@cache
def legacy() -> dict[str, tuple[str, ...]]:
    """Return what each flat key of old stands for."""
    return {name: tuple(keys.split()) for name, keys in (line.split(":") for line in LEGACY.replace("\n ", "").splitlines() if line)}


def expanded(wishes: Mapping[str, bool]) -> dict[str, bool]:
    """Return wishes with the flat keys of old spelled out; a key that is named itself goes before one of old that stands for it."""
    old = {key: wish for name, wish in wishes.items() for key in legacy().get(name, ())}
    return {**old, **{key: wish for key, wish in wishes.items() if key not in legacy()}}


class Effective(NamedTuple):
    """What somebody may do, and for every key of the table which layer gave it or took it."""

    keys: frozenset[str]
    layers: Mapping[str, Layer]


def effective(
    role: Role, plan: Plan = "Pro", *, off: frozenset[str] = frozenset(),
    template: Mapping[str, bool] | None = None, override: Mapping[str, bool] | None = None,
) -> Effective:
    """Return what a role may do: on a plan, without the modules that are off, with the clinic's template and the person's override."""
    return _effective(role, plan, off, frozenset((template or {}).items()), frozenset((override or {}).items()))


@lru_cache(maxsize=4096)
def _effective(
    role: Role, plan: Plan, off: frozenset[str], template: frozenset[tuple[str, bool]], override: frozenset[tuple[str, bool]],
) -> Effective:
    said: list[tuple[Layer, dict[str, bool]]] = [("template", expanded(dict(template))), ("override", expanded(dict(override)))]
    decided = {grant.key: _decided(grant, role, plan, off, said) for grant in table().values()}
    return Effective(frozenset(key for key, (held, _) in decided.items() if held), {key: layer for key, (_, layer) in decided.items()})


def _decided(grant: Grant, role: Role, plan: Plan, off: frozenset[str], said: list[tuple[Layer, dict[str, bool]]]) -> tuple[bool, Layer]:
    """Return whether a key is held, and the last layer that changed that."""
    key = grant.key
    if role == "superadmin" or not conceivable(grant, role):
        return role == "superadmin", "role"
    if not reaches(plan, grant.plan):
        return False, "plan"
    if module_of(key) in off:
        return False, "module"
    held = key in granted(role, plan)
    by: Layer = "plan" if held or key in granted(role, "Enterprise") else "role"
    for layer, wishes in said if role != "admin" else []:
        if wishes.get(key, held) is not held:
            held, by = not held, layer
    return (True, "floor") if not held and irrevocable(grant, role) else (held, by)


def conceivable(grant: Grant, role: Role) -> bool:
    """Say whether a role could be given a key at all: a patient only what some patient holds."""
    return role != "patient" or bool({"P", "o"} & set(grant.pro + grant.more))


def irrevocable(grant: Grant, role: Role) -> bool:
    """Say whether a role can never lose a key."""
    return LETTER.get(role, "?") in grant.floor


def outranks(role: str, other: str) -> bool:
    """Say whether a role ranks above another; whatever is no role of the staff ranks below them all."""
    return _rank(role) > _rank(other)


def _rank(role: str) -> int:
    return RANKS.index(role) if role in RANKS else -1


def why_not(key: str, role: Role, plan: Plan, off: frozenset[str] = frozenset()) -> Literal["module", "plan", "forbidden"]:
    """Return what stands between a role and a key it lacks: what the plan lacks, a module that is off, or just somebody's word."""
    grant = table().get(key)
    if grant is None or not conceivable(grant, role):
        return "forbidden"
    if not reaches(plan, grant.plan):
        return "plan"
    if module_of(key) in off:
        return "module"
    return "plan" if key in granted(role, "Enterprise") - granted(role, plan) else "forbidden"


def refusal(key: str, role: Role, plan: Plan, off: frozenset[str] = frozenset()) -> Forbidden:
    """Return how somebody who lacks a key is refused."""
    match why_not(key, role, plan, off):
        case "module":
            return ModuleDisabled(permission=key, module=module_of(key))
        case "plan":
            return PlanUpgradeRequired(permission=key, plan=plan)
        case _:
            return Forbidden(permission=key)


def agreed(role: Role, plan: Plan, wishes: Mapping[str, bool]) -> dict[str, bool]:
    """Return what a clinic wishes for a role or one of its people, or refuse it: no wish may promise what would be ignored.

    A flat key of old stands for many; those of them that cannot be had are left out, as nobody has named them.
    """
    if role in {"superadmin", "admin"}:
        raise AdminHoldsAll
    for key, wish in wishes.items():
        if key not in legacy():
            _agree(key, role, plan, wish=wish)
    return dict(wishes)


def _agree(key: str, role: Role, plan: Plan, *, wish: bool) -> None:
    if (grant := table().get(key)) is None:
        raise PermissionUnknown(permission=key)
    if wish and not conceivable(grant, role):
        raise PermissionReserved(permission=key)
    if wish and not reaches(plan, grant.plan):
        raise PlanUpgradeRequired(permission=key, plan=plan)
    if not wish and irrevocable(grant, role):
        raise FloorIrrevocable(permission=key)
