"""Who may call what, as the reference documents it: each address of its list that is served is guarded as the list says, or says here why not."""

import csv
import re
from pathlib import Path
from typing import Any

from gateway.app import openapi

SPEC = Path(__file__).parent / "spec"
WORDS = {"auth": "signed in", "header:X-OdontoX-Token": "public", "role:superadmin": "superadmin", "role:admin": "admin", "role:admin|superadmin": "admin"}
BILLING, MONEY, ONESELF, MINE = "admin", "superadmin", "self", "admin"

# address -> how it is guarded, where that is otherwise than listed: the list lets anybody signed in (or a key of the clinic's own billing) do these
STRICTER = {
    "POST /protected/billing/license-requests": BILLING, "GET /protected/billing/license-requests": BILLING,
    "PATCH /protected/billing/license-requests/{}": BILLING, "GET /protected/billing/invoices/next-number": BILLING,
    "POST /protected/billing/invoices/{}/portal": BILLING, "POST /protected/billing/upgrade-requests": BILLING,
    "GET /protected/billing/payment-methods": BILLING, "PATCH /protected/billing/payment-methods/{}/default": BILLING,
    "DELETE /protected/billing/payment-methods/{}": BILLING, "POST /protected/billing/referral-payouts": BILLING,
    "GET /protected/billing/referral-payouts": BILLING,
    # the platform bills its clinics, not they themselves
    "POST /protected/billing/invoices": MONEY, "POST /protected/billing/invoices/{}/send": MONEY,
    "POST /protected/billing/invoices/{}/mark-paid": MONEY, "POST /protected/billing/upgrade-invite-token": MONEY,
    # a clinic's turnover is not for everybody who works there
    "GET /protected/stats/revenue": "reports.revenue",
    # a token that signs in is made by whoever is signed in
    "POST /auth/generate-ott": ONESELF,
    # whoever may see the appointment; a patient their own
    "GET /protected/appointments/{}/share-link": "appointments.view_detail",
    # patients, who hold no key to edit records, about themselves; and whose address is in the portal is no patient's affair
    "PUT /protected/patients/profile": ONESELF, "GET /protected/patients/check-account/{}": "patients.view",
    # a write is no matter of the key for reading, nor of anybody's
    "PUT /protected/patients/{}/medical": "patients.edit", "PUT /protected/appointments/doctor-schedules/{}": "appointments.block_time",
}
# `admin` is the clinic's, or a superadmin
EITHER = {
    "GET /protected/clinics/{}", "GET /protected/clinics/{}/users", "GET /protected/licenses/{}", "GET /protected/licenses/{}/usage",
    "GET /protected/mobile/permissions/clinic/{}/{}", "GET /protected/analytics/financial-summary",
}
# whoever is signed in, by a session and not by a key: it is about himself
ABOUT_ONESELF = {
    "GET /protected/patients/profile", "PUT /protected/patients/profile/medical",
    "GET /protected/users/me/clinics", "GET /protected/notifications/live-feed",
    "POST /auth/2fa/setup/init", "POST /auth/2fa/setup/verify", "GET /auth/2fa/status", "DELETE /auth/2fa/disable", "POST /auth/2fa/regenerate-codes",
    "POST /auth/passkeys/register/options", "POST /auth/passkeys/register", "GET /auth/passkeys", "PATCH /auth/passkeys/{}", "DELETE /auth/passkeys/{}",
    "POST /auth/2fa/backup-codes/request-email", "POST /auth/2fa/backup-codes/view",
    "POST /auth/impersonation/exit", "GET /protected/billing/overview", "GET /protected/clinic/modules/active", "GET /protected/clinics/context",
    "GET /protected/stats/doctor", "GET /protected/stats/receptionist", "GET /protected/stats/patient", "GET /protected/stats/patient/summary",
    "GET /protected/stats/patient/appointments", "GET /protected/stats/patient/billing", "GET /protected/stats/patient/records",
    "POST /protected/clinics/context/switch", "GET /protected/clinics/subscription-plans", "GET /protected/payment/status", "GET /protected/subscription-plans",
}


def address(method: str, path: str) -> str:
    return f"{method.upper()} {re.sub(r'{[^}]*}|:[A-Za-z]+', '{}', path).removeprefix('/api/v1').rstrip('/')}"


def listed() -> dict[str, str]:
    with (SPEC / "endpoints.csv").open(encoding="utf-8") as file:
        return {address(line["method"], line["path"]): line["access"] for line in csv.DictReader(file) if line["system"] == "OdontoX"}


def guards(document: Any) -> dict[str, str]:
    return {address(m, path): told.get("x-permission", "public") for path, item in document["paths"].items() for m, told in item.items()}


def wanted(where: str, access: str) -> str:
    if where in STRICTER:
        return STRICTER[where]
    if where in EITHER:
        return MINE
    if where in ABOUT_ONESELF:
        return ONESELF
    guard = access.removeprefix("auth;").partition(";")[0]
    return WORDS.get(guard, guard.removeprefix("perm:"))


def test_every_address_of_the_reference_is_guarded_as_it_says() -> None:
    served, named = guards(openapi()), listed()
    both = served.keys() & named.keys()
    assert len(both) > 120
    assert {where: served[where] for where in both} == {where: wanted(where, named[where]) for where in both}
    assert {*STRICTER, *EITHER, *ABOUT_ONESELF} <= both
    assert [where for where in STRICTER if WORDS.get(named[where], named[where].removeprefix("perm:")) == STRICTER[where]] == []
