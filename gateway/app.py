"""The API as a whole: which modules it has."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar
from litestar.types import ControllerRouterHandler

from domain.accounts import Account
from domain.api_keys import ApiKey
from domain.clinics import Clinic
from domain.emergencies import Emergency, emergency_of
from domain.patients import Patient, PatientReinstated, PatientReplaced, PatientsUnmerged
from domain.permission_templates import PermissionTemplate, template_of
from domain.staff import Staff
from gateway import (
    absences,
    accounts,
    activity,
    analytics,
    api_keys,
    appointment_sheets,
    appointment_types,
    appointments,
    attendance,
    audit,
    balances,
    billing,
    booking_deposits,
    calendar_feeds,
    card_payments,
    charts,
    clinics,
    closed_days,
    commission_rules,
    commissions,
    consents,
    credits,  # noqa: A004 - what it is called
    dashboards,
    demo_requests,
    docs,
    duplicates,
    email_templates,
    emergencies,
    entrance,
    erasures,
    events,
    expenses,
    factors,
    favourites,
    fee_schedules,
    figures,
    group_sessions,
    health,
    holds,
    households,
    import_runs,
    imports,
    installments,
    insurance_claims,
    insurance_covers,
    insurance_payers,
    invite_codes,
    invoices,
    lead_forms,
    leads,
    letters,
    message_wishes,
    mobile,
    passkeys,
    patient_notes,
    patients,
    payment_accounts,
    payroll,
    people,
    permission_templates,
    places,
    plans,
    portal_invitations,
    portraits,
    procedure_costs,
    public_documents,
    queue,
    quotations,
    rebuilds,
    recall_campaigns,
    recalls,
    receipts,
    recurrences,
    referral_leads,
    referral_payouts,
    referrals,
    relations,
    reminders,
    reports,
    retention,
    revenue,
    rooms,
    schedules,
    screens,
    seats,
    sessions,
    signups,
    slot_offers,
    staff,
    subscription_invoices,
    subscriptions,
    sync,
    tills,
    trends,
    trials,
    upgrades,
    visit_fees,
    waiting_list,
    webhooks,
    why,
    zones,
)
from gateway.kit.app import Gateway, desk
from gateway.kit.document import Json
from gateway.kit.members import Kinds
from gateway.kit.services import Services

BASE: Sequence[ControllerRouterHandler] = (
    accounts.router, people.router, portraits.router, entrance.router, entrance.switching, entrance.impersonating, entrance.keys, sessions.router, factors.router, factors.platform, passkeys.router, staff.door, staff.users, appointments.public, portal_invitations.door, events.router, events.feed, health.health, health.metrics, docs.schema, docs.docs, docs.asyncapi, docs.events,
)
MODULES: Sequence[ControllerRouterHandler] = tuple(module.router for module in (
    absences, activity, analytics, api_keys, appointment_sheets, appointment_types, appointments, attendance, audit, balances, billing, booking_deposits, calendar_feeds, card_payments, charts, clinics, closed_days, commission_rules, commissions, consents, credits, dashboards, demo_requests, duplicates, email_templates, emergencies, erasures, expenses, favourites, fee_schedules, figures, group_sessions, holds, households, import_runs, imports, insurance_claims, insurance_covers, insurance_payers, installments, invite_codes, invoices, lead_forms, leads, letters, message_wishes, mobile, patient_notes, patients, payment_accounts, payroll, permission_templates, places, plans, portal_invitations, procedure_costs, public_documents, quotations,
    queue, rebuilds, receipts, recall_campaigns, recalls, recurrences, referral_leads, referral_payouts, referrals, relations, reminders, reports, retention, revenue, rooms, schedules, screens, seats, signups, slot_offers, staff, subscription_invoices, subscriptions, sync, trends, tills, trials, upgrades, visit_fees, waiting_list, webhooks, why, zones,
))


TURNING = frozenset(event.__name__ for event in (PatientReplaced, PatientsUnmerged, PatientReinstated))
KINDS = Kinds(Clinic, Staff, Account, PermissionTemplate, ApiKey, template_of, Emergency, emergency_of, Patient, TURNING)


def create_app(settings: Any, modules: Sequence[ControllerRouterHandler] = MODULES) -> Gateway:
    """Return the application; `settings` has database_url, nats_url, mac_key, bus_key, kek, signing_key and objects."""
    return Gateway(services_of(settings), route_handlers=[*BASE, *modules], openapi_config=None)


def services_of(settings: Any) -> Services:
    """Return what the application leans on, not yet open."""
    return Services(settings, KINDS, [sessions.sweep, clinics.tend, webhooks.tend, recalls.Tending(), reminders.tend, installments.tend, card_payments.tend, visit_fees.tend, waiting_list.Tending(), zones.tend, import_runs.tend, recall_campaigns.tend])


def openapi(modules: Sequence[ControllerRouterHandler] = MODULES) -> Json:
    """Return the OpenAPI document; nothing needs to run for it."""
    return docs.described(Litestar([*BASE, *modules], dependencies={"desk": desk}, openapi_config=None, logging_config=None))
