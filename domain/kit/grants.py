"""Who may do what: every permission key, the plan it needs, and who holds it by default.

A line reads: key, lowest plan, holders on Pro, holders on Pro+ and Enterprise, roles that can never lose it. D doctor, R receptionist, P patient,
o patient on their own rows only; an admin holds every key of the clinic's plan and a superadmin every key. A test compares the table with the
reference (`tests/spec/permissions.csv`).
"""

from functools import cache
from typing import Literal, NamedTuple

Role = Literal["superadmin", "admin", "doctor", "receptionist", "patient"]
Plan = Literal["Pro", "Pro+", "Enterprise"]

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
"""

LETTER = {"doctor": "D", "receptionist": "R", "patient": "P"}


class Grant(NamedTuple):
    """One line of the table."""

    key: str
    plan: str
    pro: str
    more: str
    floor: str


@cache
def table() -> dict[str, Grant]:
    """Return the grants by key."""
    lines = (Grant(*line.split()) for line in TABLE.splitlines() if line.strip())
    return {grant.key: grant for grant in lines}


@cache
def granted(role: Role, plan: Plan = "Pro") -> frozenset[str]:
    """Return the keys a role holds by default on a plan; a patient's `own` keys are among them and limit rows, not routes."""
    rows = table().values()
    if role == "superadmin":
        return frozenset(table())
    if role == "admin":
        return frozenset(g.key for g in rows if plan != "Pro" or g.plan == "Pro")
    letters = {"P", "o"} if role == "patient" else {LETTER[role]}
    return frozenset(g.key for g in rows if letters & set(g.pro if plan == "Pro" else g.more))
