"""What each route must answer to whom, computed from the tables of the specification by code that imports nothing of the product.

`spec/routes.csv` has a row for each route: its guard as the reference lists it (with the corrections that the list needs), or as follows from what the reference says
of its like; and what it takes beside that, as the walk uses it. `spec/permissions.csv` says who holds a key on which plan.
"""

import csv
from pathlib import Path
from typing import NamedTuple

SPEC = Path(__file__).parent / "spec"
STAFF = ("admin", "doctor", "receptionist")
ROLES = (*STAFF, "patient", "superadmin", "key", "nobody")
PLANS = ("Pro", "Pro+", "Enterprise")
OURS = {
    "appointments.overbook": "appointments.create", "billing.payments.refund": "billing.payments.record", "billing.invoices.credit": "billing.payments.record",
    "billing.invoices.write_off": "settings.working_hours.manage", "appointments.remind": "appointments.create",
    "settings.reminders.manage": "settings.working_hours.manage", "appointments.view_board": "appointments.create", "appointments.show_code": "appointments.create",
    "billing.payroll.view_commissions": "appointments.block_time",
    "billing.till.manage": "billing.payments.record", "billing.till.reopen": "billing.expenses.delete",
}  # not in the reference -> like which
ROLES_ONLY = "role:"  # a key that some roles hold for other things
ONESELF = {"public", "self"}  # what is open to all, and what everybody may do about himself

Route = tuple[str, str]  # method and path


def _lines(name: str) -> list[dict[str, str]]:
    with (SPEC / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Guard(NamedTuple):
    """What a route takes."""

    word: str
    also: str


GUARDS: dict[Route, Guard] = {(line["method"], line["path"]): Guard(line["guard"], line["also"]) for line in _lines("routes.csv")}
TABLE = {line["key"]: line for line in _lines("permissions.csv")}
TABLE.update({key: TABLE[like] for key, like in OURS.items()})


class Answer(NamedTuple):
    """Whether somebody is let through; if not, the status and code of the refusal."""

    let_through: bool
    status: int = 0
    code: str = ""


YES = Answer(let_through=True)
NO = Answer(let_through=False, status=403, code="FORBIDDEN")
NOT_ON_THIS_PLAN = Answer(let_through=False, status=403, code="PLAN_UPGRADE_REQUIRED")
NOT_SIGNED_IN = Answer(let_through=False, status=401, code="SIGN_IN_REQUIRED")


def answer(route: Route, role: str, plan: str) -> Answer:
    """Return how a route must answer somebody of a role in a clinic on a plan."""
    guard = GUARDS[route]
    if guard.word == "public":
        return YES
    if role == "nobody":
        return NOT_SIGNED_IN
    found = [asked(word, role, plan) for word in guard if word]
    return next((one for one in found if not one.let_through), YES)


def asked(word: str, role: str, plan: str) -> Answer:
    """Return what follows from one word of a guard."""
    if role == "superadmin" or word == "signed in":
        return YES
    if word.startswith(ROLES_ONLY):
        return YES if role in word.removeprefix(ROLES_ONLY).split("|") else NO
    if word in TABLE:
        return held(word, role, plan)
    mine = {"self": (*STAFF, "patient"), "admin": ("admin",), "superadmin": ()}[word]
    return YES if role in mine else NO


def held(key: str, role: str, plan: str) -> Answer:
    """Return whether a role holds a key on a plan by default; one that it would hold on a higher plan is refused for the plan's sake."""
    line = TABLE[key]
    if role == "patient":
        return NO if line["patient"] == "no" else YES
    if line["min_plan"] != "Pro" and plan == "Pro":
        return NOT_ON_THIS_PLAN
    if role in {"admin", "key"}:  # the key has every scope that its issuer, an admin, could give it
        return YES if line["admin"] == "yes" else NO
    on_pro, above = line[f"{role}_pro"] == "yes", line[f"{role}_proplus"] == "yes"
    if on_pro if plan == "Pro" else above:
        return YES
    return NOT_ON_THIS_PLAN if above else NO
