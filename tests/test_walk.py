"""A walk through the whole API: every operation with valid input, its answer held to the document, its effect seen in a second read.

It is walked in `test_matrix`, which then sends the same requests again in everybody else's name.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from time import monotonic
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from pyotp import TOTP

from commands.kit.codes import bearing
from commands.kit.receipt import house
from commands.visit_fees import ChargeVisitFee
from domain.kit import PLATFORM
from domain.kit.links import link_of
from domain.portal_invitations import PORTAL
from tests.authenticator import Authenticator
from tests.client import client
from tests.clinic import handling
from tests.served import ZONE, today_there, until
from tests.till import KEY, sign
from tests.walk import OPERATIONS, PASSWORD, Api, Json, Operation, Person, Request, undocumented

TODAY = today_there()
MONDAY = TODAY + timedelta(days=14 - TODAY.weekday())
WEEK = [[{"start": "08:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}]] * 5 + [[], []]
LINES = [{"description": "Crown", "procedureCode": "D2740", "quantity": 2, "unitPrice": 25_000, "taxRate": 2100}]
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|pm_[0-9]+till")
LOGO = b"GIF89a\1\0\1\0\0\0\0;"

# whoever may not be asked again in somebody else's name: it would end their session
LAST_CALLS = {"SignOut", "SignOutByLink"}


def at(clock: str, on: date = MONDAY) -> str:
    return datetime.combine(on, time.fromisoformat(clock)).isoformat()


@pytest.fixture
async def caller(stack: Any) -> AsyncIterator[Api]:
    async with handling(stack) as handler, client(stack.url) as wire:
        api = Api(wire, handler, stack.settings("gateway"))
        api.till = stack.till
        api.owner_url = stack.database_url("owner")
        yield api


async def opened(api: Api, name: str) -> tuple[UUID, Person]:
    """Open a clinic, and give it an admin."""
    root = await api.superadmin()
    clinic = await root("OpenClinic", {"name": name, "zone": "Europe/Amsterdam", "currency": "EUR", "plan": "Pro"})
    await root("ChangeClinicPlan", {"plan": "Pro+"}, id=clinic["id"])
    return UUID(clinic["id"]), await api.person(UUID(clinic["id"]), "admin")


async def clinics(me: Person, ids: Json) -> None:
    assert (await me("GetClinicContext"))["plan"] == "Pro+"
    await me("ChangeClinic", {"name": "Grachten", "phone": "+31 20 123 4567"}, id=me.clinic)
    assert (await me("GetClinicRow", id=me.clinic))["phone"] == "+31 20 123 4567"
    root = await me.api.superadmin()
    licence = {"plan": "Pro+", "users": 40, "doctors": 20, "until": (TODAY + timedelta(days=365)).isoformat(), "reason": "A year, paid"}
    await root("LicenseClinic", licence, id=me.clinic)
    await root("DeactivateClinic", {"reason": "A mistake"}, id=me.clinic)
    await root("ReactivateClinic", {}, id=me.clinic)
    gone = (await root("OpenClinic", {"name": "Gone", "zone": "UTC", "currency": "EUR"}))["id"]
    assert (await root("DeleteClinic", query={"name": "Gone", "reason": "Opened by mistake"}, id=gone))["deleted"]
    assert gone in {one["id"] for one in (await root("BrowseDeletedClinicRow"))["items"]}
    assert str(me.clinic) in {one["id"] for one in (await root("BrowseCurrentClinic", query={"limit": "200", "plan": "Pro+"}))["items"]}
    await me("SetClinicBranding", LOGO, query={"type": "logo"}, id=me.clinic)
    nobody = Person(me.api, {}, "", me.clinic)
    nobody.position = me.position
    assert (await nobody("GetBrandingInfo", clinicId=me.clinic))["logoUrl"]
    await nobody("GetBrandingPicture", clinicId=me.clinic, which="logo")
    assert (await me("RemoveClinicBranding", id=me.clinic, which="logo"))["logo"] is None
    await me("SetClinicBranding", LOGO, query={"type": "logo"}, id=me.clinic)
    assert (await me("GetLicence", clinicId=me.clinic))["users"]["limit"] == 40
    assert (await me("GetLicenceUse", clinicId=me.clinic))["doctors"] == {"used": 0, "limit": 20}
    assert (await me("CheckSeat", clinicId=me.clinic, role="doctor"))["allowed"]


async def leaving(me: Person, ids: Json) -> None:
    """A clinic is closed, and kept after all; and what binds it meanwhile."""
    await me("SetRetention", {"periods": {"invoices": 12}}, clinicId=me.clinic)
    assert {one["kind"]: one["years"] for one in (await me("GetRetention", clinicId=me.clinic))["items"]}["invoices"] == 12
    await me("PlaceLegalHold", {"reason": "A lawsuit"}, clinicId=me.clinic)
    (hold,) = (await me("BrowseLegalHoldRow", query={"open": "true"}, clinicId=me.clinic))["items"]
    assert (await me("CloseClinic", {"name": "Grachten", "reason": "I retire", "password": PASSWORD}, id=me.clinic))["closingUntil"]
    await me("LiftLegalHold", query={"reason": "Settled"}, clinicId=me.clinic, holdId=hold["id"])
    assert (await me("KeepClinic", id=me.clinic))["closingUntil"] is None
    assert (await me("BrowseLegalHoldRow", clinicId=me.clinic))["items"][0]["liftReason"] == "Settled"


async def modules(me: Person, ids: Json) -> None:
    root = await me.api.superadmin()
    await me("SwitchModule", {"on": False}, id=me.clinic, module="lab")
    assert "lab" not in (await me("GetActiveModules"))["modules"]
    await root("ToggleClinicModule", {"module": "lab", "on": True}, id=me.clinic)
    await root("ToggleClinicModule", {"module": "payroll", "on": False}, id=me.clinic)
    await root("SyncClinicModules", {}, id=me.clinic)
    me.position = root.position
    assert {"lab", "payroll"} <= set((await me("GetClinicContext"))["modules"])
    shown = (await root("GetClinicModules", clinicId=me.clinic))["modules"]
    assert {one["module"] for one in shown} == {one["module"] for one in (await root("ListAvailableModules"))["items"]}


async def plans(me: Person, ids: Json) -> None:
    root = await me.api.superadmin()
    await root("SeedPlans", {})
    pro = (await root("ListPlans"))["items"][0]
    await root("ChangePlan", {"monthly": 89_00}, id=pro["id"])
    me.position = root.position
    assert (await me("ListPlans"))["items"][0]["monthly"] == 89_00
    assert [one["current"] for one in (await me("ListOfferedPlans"))["items"]] == [False, True, False]
    newcomer = (await root("OpenClinic", {"name": "Newcomer", "zone": "UTC", "currency": "EUR"}))["id"]
    assert (await root("CreateProTrial", {"clinicId": newcomer}))["trial"]


async def staff(me: Person, ids: Json) -> None:
    sam = {"name": "Dr Sam Visser", "email": "sam@example.org", "role": "doctor"}
    ids["staff"] = doctor = (await me("HireStaff", sam))["id"]
    await me("ChangeStaff", {**sam, "speciality": "Orthodontics"}, id=doctor)
    assert (await me("GetStaffRow", id=doctor))["speciality"] == "Orthodontics"
    leaver = (await me("HireStaff", {"name": "Bo Smit", "email": "bo@example.org", "role": "receptionist"}))["id"]
    await me("DeactivateStaff", id=leaver)
    assert [one["id"] for one in (await me("BrowseStaffRow", query={"active": "true"}))["items"]] == [doctor]
    await me("ReactivateStaff", {}, id=leaver)
    assert (await me("GetStaffRow", id=leaver))["active"]


async def invitations(me: Person, ids: Json) -> None:
    """The links are what the courier would write into the letters."""
    nobody = Person(me.api, {}, "", me.clinic)
    email = f"kim-{me.clinic.hex}@example.org"
    asked = (await me("InviteStaff", {"email": email, "name": "Kim", "role": "receptionist"}))["id"]
    await me("ResendStaffInvitation", {"language": "es"}, id=asked)
    (open_,) = (await me("BrowseStaffInvitationRow"))["items"]
    assert (open_["email"], open_["sent"]) == (email, 2)
    token = await me.api.codes.issue("staff-invitation", UUID(asked), 600)
    assert (await nobody("GetStaffInvitation", token=token))["hasAccount"] is False
    await nobody("AcceptStaffInvitation", {"password": "seven purple herons wade", "name": "Kim Li"}, token=token)
    other = (await me("InviteStaff", {"email": f"no-{email}", "role": "doctor"}))["id"]
    await me("CancelStaffInvitation", id=other)
    assert (await me("BrowseStaffInvitationRow"))["items"] == []
    hired = await me("HireStaff", {"name": "Lou", "email": f"lou-{email}", "role": "receptionist"})
    setup = {"token": await me.api.codes.issue("password-setup", UUID(hired["accountId"]), 600)}
    assert (await nobody("VerifySetupToken", setup))["name"] == "Lou"
    await nobody("SetFirstPassword", {**setup, "password": "seven purple herons wade"})
    users = {user["name"]: user["status"] for user in (await me("BrowseClinicUser", clinicId=me.clinic))["items"]}
    assert users["Kim Li"] == users["Lou"] == "active"
    for gone in (asked, hired["id"]):
        await me("DeactivateStaff", id=gone)


async def api_keys(me: Person, ids: Json) -> None:
    """A key does what it is for, until it is revoked."""
    made = await me("IssueApiKey", {"name": "Website", "scopes": ["settings.rooms.view"]})
    site = Person(me.api, {"accessToken": made["key"]}, "key", me.clinic)
    assert (await site.send(request_of(OPERATIONS["BrowseCurrentRoom"]))).status_code == 200
    assert [key["hint"] for key in (await me("BrowseApiKeyEntry"))["items"]] == [made["hint"]]
    await me("RevokeApiKey", keyId=made["id"])
    assert (await site.send(request_of(OPERATIONS["BrowseCurrentRoom"]))).status_code == 401


async def webhooks(me: Person, ids: Json) -> None:
    """A receiver that nobody has heard of: what is sent to it fails, and stands in the log."""
    made = await me("AddWebhook", {"url": "https://hooks.example.org/anamnesis", "events": ["RoomAdded"]})
    assert made["secret"].startswith("whsec_")
    id_ = made["id"]
    assert (await me("ChangeWebhook", {"url": "https://hooks.example.org/other", "description": "Their books"}, id=id_))["events"] == []
    assert (await me("RotateWebhookSecret", {"overlap": 1}, id=id_))["secret"] != made["secret"]
    await me("SendWebhookTest", {}, id=id_)
    (sent,) = await delivery(me, id_, "queued")
    assert not (await me("DisableWebhook", {}, id=id_))["enabled"]
    assert await delivery(me, id_, "failed") == [sent]
    assert (await me("GetWebhookDeliveryDetail", id=sent))["error"] == "the webhook was switched off"
    assert (await me("EnableWebhook", {}, id=id_))["enabled"]
    assert [one["id"] for one in (await me("BrowseWebhookEntry", query={"enabled": "true"}))["items"]] == [id_]
    await me("ResendDelivery", {}, id=id_, delivery=sent)
    assert await delivery(me, id_, "queued") == [sent]
    await me("ResendFailedDeliveries", {"since": f"{TODAY - timedelta(days=1)}T00:00:00Z"}, id=id_)
    assert (await me("GetWebhookEntry", id=id_))["formerSecretUntil"]
    await me("DeleteWebhook", id=id_)


async def delivery(me: Person, webhook: str, status: str) -> list[str]:
    """Return a webhook's deliveries of that status, once there are any."""
    found: list[str] = []

    async def there() -> bool:
        found[:] = [one["id"] for one in (await me("BrowseWebhookDeliveryRow", query={"webhookId": webhook, "status": status}))["items"]]
        return bool(found)

    await until(there)
    return found


async def mobile(me: Person, ids: Json) -> None:
    await me("SwitchMobileModule", {"enabled": False}, clinicId=me.clinic, role="doctor", module="chat")
    shown = {one["module"]: one["shown"] for one in (await me("GetMobilePermissionsOfRole", clinicId=me.clinic, role="doctor"))["modules"]}
    assert (shown["chat"], shown["finance"]) == (False, True)
    assert all(one["shown"] for one in (await me("GetMobilePermissions"))["modules"])


async def permissions(me: Person, ids: Json) -> None:
    """The role's template, then the person's override, and the explanation of both."""
    await me("SetPermissionTemplate", {"permissions": {"patients.export": True, "patients.merge": True}}, role="doctor")
    assert [one["role"] for one in (await me("BrowsePermissionTemplateRow"))["items"]] == ["doctor"]
    await me("OverrideStaffPermissions", {"permissions": {"patients.merge": False}}, id=ids["staff"])
    told = {one["key"]: (one["held"], one["layer"]) for one in (await me("GetStaffPermissions", id=ids["staff"]))["permissions"]}
    assert [told[f"patients.{what}"] for what in ("export", "merge", "view")] == [(True, "template"), (False, "override"), (True, "plan")]
    await me("OverrideStaffPermissions", {"permissions": {}}, id=ids["staff"])
    await me("ResetPermissionTemplate", role="doctor")
    assert (await me("BrowsePermissionTemplateRow"))["items"] == []


async def subscriptions(me: Person, ids: Json) -> None:
    """The clinic pays by card, looks at it, and has two ways to pay of which it drops one."""
    till, nobody = me.api.till, Person(me.api, {}, "", me.clinic)
    assert (await me("GetPaymentStatus"))["status"] == "none"
    checkout = (await me("StartCheckout", {"plan": "Pro+"}))["id"]
    subscription = till.pay(checkout)
    message = till.completed(checkout)
    assert (await nobody("HearStripe", json.loads(message), headers={"stripe-signature": sign(message)}))["changed"]
    me.position = nobody.position = await head(me)
    assert (await me("GetPaymentStatus"))["status"] == "active"
    overview = await me("GetBillingOverview")
    assert (overview["plan"], overview["price"], overview["doctors"]) == ("Pro+", 19_900, {"used": 1, "limit": 10})
    assert (await me("OpenPortal", {"returnUrl": "https://clinic.example/billing"}))["url"].startswith(till.url)
    ids["methods"] = spare = till.save_card(subscription["customer"], "0005")
    await me("PreferPaymentMethod", {}, id=spare)
    first, second = (await me("BrowsePaymentMethods"))["items"]
    assert (first["last4"], first["default"], second["last4"]) == ("0005", True, "4242")
    await me("RemovePaymentMethod", id=second["id"])
    assert [one["id"] for one in (await me("BrowsePaymentMethods"))["items"]] == [spare]


async def subscription_invoices(me: Person, ids: Json) -> None:
    root = await me.api.superadmin()
    items = [{"description": "Pro+, a year", "quantity": 1, "unitPrice": 99_000, "taxRate": 2100}]
    bill = {"clinicId": str(me.clinic), "currency": "EUR", "items": items, "periodFrom": "2026-01-01", "periodTo": "2026-12-31"}
    number = (await me("GetNextSubscriptionNumber"))["number"]
    ids["subscription_invoices"] = invoice = (await root("CreateSubscriptionInvoice", bill))["id"]
    issued = await root("SendSubscriptionInvoice", {}, id=invoice)
    assert (issued["number"], issued["total"], issued["due"]) == (number, 119_790, 119_790)
    me.position = root.position
    assert (await me("GetSubscriptionInvoiceRow", id=invoice))["status"] == "issued"
    assert (await me("GetBillingOverview"))["owed"] == [{"currency": "EUR", "amount": 119_790}]
    assert (await me("PrintSubscriptionInvoice", id=invoice)).startswith("%PDF-")
    assert (await me("OpenPortalOfInvoice", {}, id=invoice))["url"].startswith(me.api.till.url)
    assert (await root("MarkSubscriptionInvoicePaid", {"method": "transfer", "reference": "NL55 1"}, id=invoice))["status"] == "paid"
    other = (await root("CreateSubscriptionInvoice", bill))["id"]
    await root("IssueSubscriptionInvoice", {}, id=other)
    await root("VoidSubscriptionInvoice", {"reason": "Billed twice"}, id=other)
    await root("DiscardSubscriptionInvoice", id=(await root("CreateSubscriptionInvoice", bill))["id"])
    me.position = root.position
    assert [(one["id"], one["status"]) for one in (await me("BrowseSubscriptionInvoiceRow"))["items"]] == [(other, "void"), (invoice, "paid")]
    assert (await root("ReportOrphanedInvoices", query={"olderThanDays": 3650}))["drafts"] == 0
    assert (await root("CleanUpInvoices", {"olderThanDays": 3650})) == {"found": 0, "discarded": 0, "skipped": 0}


async def upgrades(me: Person, ids: Json) -> None:
    root, nobody = await me.api.superadmin(), Person(me.api, {}, "", me.clinic)
    ids["upgrade_requests"] = seats = (await me("RequestSeats", {"doctors": 30}))["id"]
    await me("ChangeSeatRequest", {"users": 60, "doctors": 30}, id=seats)
    assert [one["users"] for one in (await me("BrowseSeatRequests"))["items"]] == [60]
    assert (await root("DecideUpgradeRequest", {"decision": "approved", "reason": "Agreed"}, id=seats))["status"] == "approved"
    link = await root("MintUpgradeInvite", {"clinicId": str(me.clinic), "plan": "Enterprise", "pricing": {"price": 19_900, "currency": "EUR"}})
    assert (await nobody("GetUpgradeOffer", token=link["token"]))["plan"] == "Enterprise"
    asked = (await nobody("AnswerUpgradeInvite", {"contact": "Anna, anna@example.org"}, token=link["token"]))["requestId"]
    ids["upgrade_invites"] = link["id"]
    root.position = nobody.position = await head(me)
    assert asked in [one["id"] for one in (await root("BrowseAllUpgradeRequests", query={"clinic": str(me.clinic), "status": "pending"}))["items"]]
    await root("DecideUpgradeRequest", {"decision": "rejected", "reason": "Stay for now"}, id=asked)
    plan = (await me("RequestUpgrade", {"plan": "Enterprise", "note": "We grow"}))["id"]
    await root("DecideUpgradeRequest", {"decision": "rejected", "reason": "One more year"}, id=plan)
    me.position = root.position
    assert {one["status"] for one in (await me("BrowseUpgradeRequestRow"))["items"]} == {"approved", "rejected"}
    second = await root("MintUpgradeInvite", {"clinicId": str(me.clinic), "plan": "Enterprise"})
    await root("WithdrawUpgradeInvite", id=second["id"])
    found = (await root("BrowseUpgradeInviteRow", query={"clinic": str(me.clinic)}))["items"]
    assert [one["status"] for one in found] == ["withdrawn", "answered"]


async def referral_payouts(me: Person, ids: Json) -> None:
    root = await me.api.superadmin()
    ids["clinic_referrals"] = referral = (await me("ReferClinic", {"clinicName": "Dental Kraków", "email": "office@dental.example"}))["id"]
    slip = (await me("ReferClinic", {"clinicName": "Nobody"}))["id"]
    await me("WithdrawClinicReferral", id=slip)
    assert {one["status"] for one in (await me("BrowseClinicReferralRow"))["items"]} == {"made", "withdrawn"}
    ids["referral_payouts"] = payout = (await me("RequestReferralPayout", {"referrals": [referral], "amount": 25_000}))["id"]
    root.position = me.position
    assert [one["clinicName"] for one in (await root("BrowseAllClinicReferrals", query={"clinic": str(me.clinic), "status": "made"}))["items"]] == ["Dental Kraków"]
    assert [one["asked"] for one in (await root("BrowseAllReferralPayouts", query={"clinic": str(me.clinic)}))["items"]] == [25_000]
    assert (await root("DecideReferralPayout", {"decision": "approved", "amount": 20_000}, id=payout))["approved"] == 20_000
    await root("SendReferralPayoutForm", {}, id=payout)
    assert (await root("PrintReferralPayout", id=payout)).startswith("%PDF-")
    me.position = root.position
    assert [(one["status"], one["formSentOn"] is not None) for one in (await me("BrowseReferralPayoutRow"))["items"]] == [("approved", True)]


async def billing(me: Person, ids: Json) -> None:
    """What the platform sees of it all; a clinic of its own terms, and one that tries."""
    root = await me.api.superadmin()
    other = (await root("OpenClinic", {"name": "Trial", "zone": "UTC", "currency": "EUR"}))["id"]
    await root("LicenseClinic", {"plan": "Pro", "trial": True, "until": (TODAY + timedelta(days=90)).isoformat()}, id=other)
    root.position = await head(me)
    assert other in [one["id"] for one in (await root("BrowseTrialRow", query={"running": "true", "limit": 200}))["items"]]
    assert (await root("GetTrialInsights"))["running"] > 0
    terms = {"plan": "Enterprise", "users": 10, "price": 50_000, "currency": "EUR", "interval": "year"}
    until = (TODAY + timedelta(days=365)).isoformat()
    agreed = await root("AgreeCustomSubscription", {**terms, "clinicId": other, "until": until, "reason": "Signed on paper"})
    assert (agreed["status"], agreed["agreedUntil"]) == ("custom", until)
    root.position = await head(me)
    (row,) = (await root("BrowseClinicBillingRow", query={"clinic": other}))["items"]
    assert (row["plan"], row["trial"], row["users"], row["status"]) == ("Enterprise", False, 10, "custom")
    told = [one["action"] for one in (await root("BrowseBillingLogRow", query={"clinic": other}))["items"]]
    assert set(told[:2]) == {"ClinicLicensed", "CustomSubscriptionAgreed"}


async def head(me: Person) -> str:
    """Return the position of the latest event there is."""
    with psycopg.connect(me.api.owner_url) as connection:
        return str(connection.execute("select position from store_head").fetchone()[0])


async def signups(me: Person, ids: Json) -> None:
    """A clinic comes in by the platform's word, another by a code, a third not at all; links and digits are what the courier would write."""
    root, nobody = await me.api.superadmin(), Person(me.api, {}, "", me.clinic)
    ada = {"name": "Ada Kok", "email": f"ada-{me.clinic.hex}@example.org", "clinicName": "Singel"}
    asked = (await nobody("SubmitSignup", ada))["requestId"]
    assert (await nobody("GetSignupStatus", requestId=asked))["status"] == "pending"
    root.position = await head(me)
    assert asked in [one["id"] for one in (await root("BrowsePendingSignups", query={"email": ada["email"]}))["items"]]
    await root("ApproveSignup", {}, id=asked)
    await nobody("ResendActivation", requestId=asked)
    token = await me.api.codes.issue("onboarding", UUID(asked), 600)
    assert (await nobody("GetOnboarding", token=token))["clinicName"] == "Singel"
    await nobody("BeginOnboarding", {"token": token})
    await nobody("SendOnboardingCode", {"token": token})
    await until(lambda: coded(root, asked), 20)
    code = await me.api.codes.issue_digits("onboarding-code", UUID(asked), 600)
    opening = {"token": token, "code": code, "password": "seven purple herons wade", "zone": "Europe/Amsterdam", "currency": "EUR", "country": "NL"}
    opened = await nobody("CompleteOnboarding", opening)
    root.position = await head(me)
    assert (await root("GetSignupRow", id=asked))["clinic"] == opened["clinicId"]
    invite = await root("MintInviteCode", {"label": "A fair", "uses": 2})
    assert (await nobody("SubmitSignup", {**ada, "inviteCode": invite["code"]}))["status"] == "approved"
    await root("RevokeInviteCode", id=invite["id"])
    assert ((await root("GetInviteCodeRow", id=invite["id"]))["used"], (await root("BrowseInviteCodeRow"))["items"][0]["revoked"]) == (1, True)
    slip = (await nobody("SubmitSignup", ada))["requestId"]
    await root("RejectSignup", {"reason": "Asked twice"}, id=slip)
    assert [one["id"] for one in (await root("BrowseSignupRow", query={"email": ada["email"], "status": "rejected"}))["items"]] == [slip]
    await nobody("RequestDemo", {"name": "Ada Kok", "email": ada["email"], "message": "Show me"})
    root.position = await head(me)
    (wish,) = (await root("BrowseDemoRequestRow", query={"email": ada["email"]}))["items"]
    await root("HandleDemoRequest", {"status": "contacted", "note": "Called"}, id=wish["id"])
    assert (await root("GetDemoRequestRow", id=wish["id"]))["status"] == "contacted"


async def coded(root: Person, signup: str) -> bool:
    """Say whether the letter with the digits is out, so that other digits replace them and not they those."""
    query = {"recipient": signup, "template": "signup.code"}
    return [one["status"] for one in (await root("BrowsePlatformLetterRow", query=query))["items"]] == ["delivered"]


async def rooms(me: Person, ids: Json) -> None:
    ids["rooms"] = room = (await me("AddRoom", {"name": "Room 1"}))["id"]
    await me("ChangeRoom", {"name": "Garden room", "type": "surgery"}, id=room)
    gone = (await me("AddRoom", {"name": "Cellar"}))["id"]
    await me("DeleteRoom", id=gone)
    assert [(one["id"], one["name"], one["type"]) for one in (await me("BrowseCurrentRoom"))["items"]] == [(room, "Garden room", "surgery")]
    await offered(me, ids)


async def offered(me: Person, ids: Json) -> None:
    """Where patients are seen, for what, and on which days they are not."""
    ids["places"] = place = (await me("OpenPlace", {"name": "Noord"}))["id"]
    await me("ChangePlace", {"name": "Noord", "address": "Buiksloterweg 1, Amsterdam"}, id=place)
    assert (await me("GetPlaceRow", id=place))["address"] == "Buiksloterweg 1, Amsterdam"
    await me("ClosePlace", id=(await me("OpenPlace", {"name": "Zuid"}))["id"])
    assert [one["id"] for one in (await me("BrowseCurrentPlace"))["items"]] == [place]
    ids["appointment_types"] = kind = (await me("AddAppointmentType", {"name": "Implant", "minutes": 60}))["id"]
    await me("ChangeAppointmentType", {"name": "Implant", "minutes": 60, "roomType": "surgery", "colour": "#cc3366"}, id=kind)
    assert (await me("GetAppointmentTypeRow", id=kind))["roomType"] == "surgery"
    await me("DeleteAppointmentType", id=(await me("AddAppointmentType", {"name": "Whitening"}))["id"])
    assert [one["id"] for one in (await me("BrowseCurrentAppointmentType", query={"roomType": "surgery"}))["items"]] == [kind]
    assert "NL" in {one["country"] for one in (await me("ListHolidayCountries"))["items"]}
    await me("SetClosedDays", {"country": "NL", "worked": [MONDAY.isoformat()], "added": []})
    assert (await me("GetClosedDays"))["country"] == "NL"
    assert len((await me("ListClosedDays", query={"year": MONDAY.year}))["items"]) > 5


async def schedules(me: Person, ids: Json) -> None:
    await me("SetDoctorSchedule", {"week": WEEK, "slotMinutes": 30}, doctorId=ids["staff"])
    (schedule,) = (await me("BrowseDoctorSchedules"))["items"]
    assert (schedule["doctorName"], schedule["week"][5]) == ("Dr Sam Visser", [])
    await me("BlockTime", {"doctorId": ids["staff"], "start": at("15:00"), "end": at("17:00"), "reason": "A course"})
    ids["blocks"] = (await me("BlockTime", {"roomId": ids["rooms"], "start": at("08:00"), "end": at("09:00")}))["id"]
    assert len((await me("BrowseBlockEntry", query={"dateFrom": MONDAY.isoformat()}))["items"]) == 2
    await me("UnblockTime", id=ids["blocks"])
    assert len((await me("BrowseBlockEntry"))["items"]) == 1


async def patients(me: Person, ids: Json) -> None:
    noor = {"givenName": "Noor", "familyName": "Bakker", "birthDate": "1990-05-17", "phone": "+31 6 1234 5678", "source": "recommendation"}
    ids["patients"] = patient = (await me("RegisterPatient", noor))["id"]
    await me("ChangePatient", {**noor, "familyName": "Bakker-Smit", "email": "noor@example.org"}, id=patient)
    assert (await me("GetPatientRow", id=patient))["email"] == "noor@example.org"
    history = {"allergies": [{"name": "Penicillin", "since": "2001-01-01"}], "conditions": [], "medications": []}
    await me("ChangeMedicalHistory", history, id=patient)
    assert (await me("GetMedicalHistoryRow", id=patient))["allergies"][0]["name"] == "Penicillin"
    await me("ArchivePatient", id=patient)
    assert [one["id"] for one in (await me("BrowsePatientRow", query={"archived": "true"}))["items"]] == [patient]
    await me("RestorePatient", {}, id=patient)
    assert [one["id"] for one in (await me("SearchPatients", query={"q": "nóor smit"}))["items"]] == [patient]
    twin = (await me("RegisterPatient", {**noor, "source": None}))["id"]
    assert (await me("PreviewMerge", id=patient, loserId=twin))["moved"] == []
    assert [one["id"] for one in (await me("MergePatients", {"loserId": twin}, id=patient))["mergedRecords"]] == [twin]
    assert (await me("UnmergePatients", {"loserId": twin, "reason": "They are sisters"}, id=patient))["mergedRecords"] == []
    await me("MergePatients", {"loserId": twin}, id=patient)
    await patient_extras(me, patient)
    await histories(me, patient)
    await imported(me)


async def imported(me: Person) -> None:
    """Who comes in from another program's list is archived again, so that what follows counts as if nobody had come."""
    file = b"id;name;dob\n77;Ada Import;1990-12-31\n78;;\n"
    tried = await me("ValidatePatientImport", file)
    assert (tried["created"], tried["rejected"]) == (1, 1)
    ran = await me("RunPatientImport", file)
    assert {**ran, "dryRun": True, "runId": None} == tried
    assert (await me("GetImportRunEntry", id=ran["runId"]))["status"] == "finished"
    assert [one["line"] for one in (await me("BrowseImportLineRow", query={"runId": ran["runId"], "step": "rejected"}))["items"]] == [3]
    assert "Ada,Import,1990-12-31" in await me("ExportPatients", query={"archived": "false"})
    root = await me.api.superadmin()
    root.position = me.position
    again = await root("RunImport", file, {"clinicId": str(me.clinic)})
    assert (again["created"], again["unchanged"]) == (0, 1)
    assert (await root("ValidateImport", file, {"clinicId": str(me.clinic)}))["unchanged"] == 1
    assert (await me("CancelImport", id=ran["runId"]))["status"] == "finished"
    assert (await me("PreviewImportUndo", id=ran["runId"]))["archived"] == 1
    assert (await me("UndoImport", id=ran["runId"]))["status"] == "undoing"
    begun = await me("BeginPatientImport", b"id;name;dob\n78;;\n")

    async def over() -> bool:
        found = {one["id"]: one["status"] for one in (await me("BrowseImportRunEntry"))["items"]}
        return (found.get(ran["runId"]), found.get(begun["id"])) == ("undone", "finished")

    await until(over)
    (ada,) = (await me("SearchPatients", query={"q": "Ada Import"}))["items"]
    assert ada["archived"]


async def patient_extras(me: Person, patient: str) -> None:
    await me("BlockPatient", {"reason": "Owes three visits"}, id=patient)
    assert [one["id"] for one in (await me("BrowsePatientRow", query={"blocked": "true"}))["items"]] == [patient]
    assert not (await me("UnblockPatient", query={"reason": "Has paid"}, id=patient))["blocked"]
    assert (await me("ChangePatientGroups", {"add": ["Orthodontics", "VIP"]}, id=patient))["groups"] == ["Orthodontics", "VIP"]
    assert (await me("GroupPatients", {"patientIds": [patient], "remove": ["VIP"]}))["items"] == [{"patientId": patient, "skipped": None}]
    assert (await me("ListPatientGroups"))["items"] == [{"name": "Orthodontics", "patients": 1}]
    assert [one["id"] for one in (await me("BrowsePatientRow", query={"group": "Orthodontics"}))["items"]] == [patient]
    await me("FavourPatient", {}, patientId=patient)
    assert [one["id"] for one in (await me("BrowsePatientRow", query={"favouritesOnly": "true"}))["items"]] == [patient]
    assert (await me("GetPatientStatistics"))["favourites"] == 1
    await me("UnfavourPatient", patientId=patient)
    (found,) = (await me("CheckDuplicates", {"givenName": "Nor", "familyName": "Bakker-Smit", "birthDate": "1990-05-17"}))["items"]
    assert (found["patient"]["id"], found["grade"], found["reasons"]) == (patient, "likely", ["similar-name-and-birth-date"])
    anna = {"relation": "parent", "guardian": True, "name": "Anna", "email": "anna@example.org"}
    relation = (await me("AddRelation", anna, patientId=patient))["id"]
    await me("ChangeRelation", {**anna, "payer": True}, id=relation)
    assert [(one["name"], one["payer"]) for one in (await me("ListRelations", patientId=patient))["items"]] == [("Anna", True)]
    assert (await me("EndRelation", query={"reason": "Of age"}, id=relation))["ended"]
    note = (await me("WritePatientNote", {"text": "Prefers the morning"}, patientId=patient))["id"]
    await me("AmendPatientNote", {"text": "Prefers the afternoon"}, id=note)
    assert (await me("PinPatientNote", {}, id=note))["pinned"]
    assert (await me("GetPatientNoteRow", id=note))["earlier"][0]["text"] == "Prefers the morning"
    assert [one["id"] for one in (await me("ListPatientNotes", patientId=patient))["items"]] == [note]
    assert not (await me("UnpinPatientNote", id=note))["pinned"]
    assert (await me("RemovePatientNote", query={"reason": "Moved to nights"}, id=note))["removed"]


async def histories(me: Person, patient: str) -> None:
    added = await me("AddMedicalEntry", {"what": "medications", "name": "Ibuprofen", "dosage": "400 mg"}, id=patient)
    one = {"id": patient, "entryId": added["id"]}
    assert (await me("AmendMedicalEntry", {"name": "Ibuprofen", "dosage": "200 mg", "reason": "Less will do"}, **one))["dosage"] == "200 mg"
    assert (await me("EndMedicalEntry", {"reason": "Healed"}, **one))["status"] == "ended"
    assert (await me("ReopenMedicalEntry", {}, **one))["status"] == "active"
    assert (await me("RefuteMedicalEntry", {"reason": "Another one's"}, **one))["status"] == "entered-in-error"
    sister = (await me("RegisterPatient", {"givenName": "Zus", "familyName": "Mol", "email": "noor@example.org"}))["id"]
    pair = {"patientId": patient, "otherId": sister}
    assert {one["other"]["id"] for one in (await me("ListDuplicates", query={"grade": "possible"}))["items"]} == {sister}
    assert (await me("DismissDuplicate", {**pair, "reason": "They are sisters"}))["dismissed"]
    assert (await me("ListDuplicates", query={"grade": "possible"}))["found"] == 0
    assert len((await me("BrowseDuplicateRow"))["items"]) == 1
    assert not (await me("ReopenDuplicate", pair))["dismissed"]
    await me("AddRelation", {"relation": "sibling", "relatedId": sister}, patientId=patient)
    assert len((await me("GetHousehold", patientId=patient))["members"]) == 2
    await me("ArchivePatient", id=sister)
    await me("ChangePatientPreferences", {"language": "nl", "ways": ["phone"]}, id=patient)
    assert (await me("GetPatientPreferences", id=patient))["ways"] == ["phone"]


async def consents(me: Person, ids: Json) -> None:
    """A clinic asks whether it may take photos, in better words than before; a patient agrees, and thinks better of it."""
    photos = {"name": "Photos", "purpose": "photos", "text": "Photos are taken."}
    ids["consent_forms"] = form = (await me("DefineConsentForm", photos))["id"]
    assert (await me("ReviseConsentForm", {**photos, "text": "Photos are taken, for your record alone."}, id=form))["version"] == 2
    await me("RetireConsentForm", query={"reason": "Not used"}, id=form)
    await me("RestoreConsentForm", {}, id=form)
    assert [one["text"] for one in (await me("GetConsentFormRow", id=form))["versions"]] == [photos["text"], "Photos are taken, for your record alone."]
    assert [one["id"] for one in (await me("BrowseConsentFormRow"))["items"]] == [form]
    said = {"patientId": ids["patients"], "formId": form, "way": "paper"}
    ids["consents"] = (await me("RecordConsent", said))["id"]
    assert ids["patients"] not in {one["patientId"] for one in (await me("ListMissingConsents", query={"formId": form}))["items"]}
    await me("WithdrawConsent", {**said, "reason": "Thought better of it"})
    assert (await me("ListConsentsOfPatient", patientId=ids["patients"]))["items"][0]["status"] == "withdrawn"
    assert [one["withdrawn"] for one in (await me("BrowseConsentRow", query={"formId": form}))["items"]] == [True]


async def devices(me: Person, ids: Json) -> None:
    noor, twin, device = ids["patients"], str(uuid4()), str(uuid4())

    async def push(action: str, values: Json, id_: str = noor) -> Json:
        (outcome,) = (await me("PushChanges", {"deviceId": device, "changes": [{"op": str(uuid4()), "action": action, "id": id_, "values": values}]}))["items"]
        return outcome

    pulled = await me("PullChanges", {"limit": 1000})
    assert noor in {one["row"]["id"] for one in pulled["changes"]["patients"]["changed"]}
    kept = await push("ChangePatient", {"phone": "+31 6 99"})  # of which it does not say what it knew
    assert kept["outcome"] == "conflict"
    assert (await me("GetSyncConflictRow", id=kept["conflictId"]))["values"] == {"phone": "+31 6 99"}
    assert (await me("ApplySyncConflict", {}, id=kept["conflictId"]))["status"] == "applied"
    who = await me("GetPatientRow", id=noor)
    born = {"givenName": who["givenName"], "familyName": who["familyName"], "birthDate": who["birthDate"]}
    doubled = await push("RegisterPatient", born, twin)
    assert (doubled["outcome"], doubled["alike"]) == ("applied", [noor])
    assert [one["id"] for one in (await me("BrowseSyncConflictRow", query={"status": "open"}))["items"]] == [doubled["conflictId"]]
    assert (await me("DismissSyncConflict", {"reason": "Two sisters"}, id=doubled["conflictId"]))["status"] == "dismissed"
    await me("ArchivePatient", id=twin)


async def appointments(me: Person, ids: Json) -> None:
    free = {"doctorId": ids["staff"], "date": MONDAY.isoformat(), "roomId": ids["rooms"]}
    starts = [slot["startLocal"] for slot in (await me("BrowseAvailableSlots", query=free))["items"]]
    assert starts[:2] == [at("08:00"), at("08:30")]
    first = {"from": MONDAY.isoformat(), "typeId": ids["appointment_types"], "doctorId": ids["staff"], "roomType": "surgery", "patientId": ids["patients"], "most": 1}
    assert [slot["startLocal"] for slot in (await me("ListFirstFreeSlots", query=first))["items"]] == starts[:1]
    wanted = {"doctorId": ids["staff"], "roomId": ids["rooms"], "start": starts[0], "duration": 30}
    hold = await held(me, wanted, free)
    visit = (await me("BookAppointment", {**wanted, "patientId": ids["patients"], "notes": "Afraid of drills", "holdId": hold}))["id"]
    ids["appointments"] = visit
    assert at("08:00") not in [slot["startLocal"] for slot in (await me("BrowseAvailableSlots", query=free))["items"]]
    await me("ChangeAppointment", {**wanted, "start": at("10:00")}, id=visit)
    assert (await me("GetAppointmentRow", id=visit))["startLocal"] == at("10:00")
    await answered(me, visit)
    await reminded(me, ids)
    await followed(me, ids)
    for status in ("arrived", "in-chair", "completed"):
        await me("ChangeAppointmentStatus", {"status": status}, id=visit)
    (entry,) = (await me("BrowseCalendarEntry", query={"doctorId": ids["staff"], "status": "completed"}))["items"]
    assert (entry["patientName"], entry["roomName"]) == ("Noor Bakker-Smit", "Garden room")
    assert (await me("GetAppointmentConflicts", id=visit))["items"] == []
    assert [one["kind"] for one in (await me("BrowseConflicts", query={"from": MONDAY.isoformat(), "to": MONDAY.isoformat()}))["items"]] == []
    slip = (await me("BookAppointment", {**wanted, "patientId": ids["patients"]}))["id"]
    await me("RemoveAppointment", id=slip)
    monday = {"from": MONDAY.isoformat(), "to": MONDAY.isoformat()}
    shown = await me("GetCalendar", query=monday)
    assert ([one["id"] for one in shown["appointments"]], len(shown["blocks"])) == ([visit], 1)
    assert await me("GetCalendar", query={**monday, "asOf": me.position}) == shown
    chart = await me("GetChart", id=ids["patients"])
    assert [one["id"] for one in chart["appointments"]] == [visit]
    assert await me("GetChart", query={"asOf": me.position}, id=ids["patients"]) == chart
    sheet = await me("ExportAppointments", query={"patientId": ids["patients"]})
    assert visit in sheet
    assert (await me("PrintAppointments", query={"date": TODAY.isoformat()})).startswith("%PDF-")


async def held(me: Person, wanted: Json, free: Json) -> str:
    """Hold the time, give it back, and hold it again for longer."""
    first = (await me("HoldTime", wanted))["id"]
    assert at("08:00") not in [slot["startLocal"] for slot in (await me("BrowseAvailableSlots", query=free))["items"]]
    await me("ReleaseHold", id=first)
    hold: str = (await me("HoldTime", {**wanted, "minutes": 10}))["id"]
    assert (await me("ExtendHold", {"minutes": 30}, id=hold))["extended"]
    assert [one["id"] for one in (await me("BrowseHoldRow"))["items"]] == [hold]
    assert (await me("GetHoldRow", id=hold))["startLocal"] == at("08:00")
    return hold


async def answered(me: Person, visit: str) -> None:
    """The patient confirms by a link, which is then taken back."""
    nobody = Person(me.api, {}, "", me.clinic)
    assert (await me("SendAppointmentSummary", {"language": "es"}, id=visit))["summaryAskedAt"]
    token = (await me("ShareAppointment", id=visit))["token"]
    assert (await nobody("GetSharedAppointment", token=token))["startLocal"] == at("10:00")
    assert "BEGIN:VTIMEZONE" in await nobody("DownloadSharedAppointment", token=token)
    assert "METHOD:PUBLISH" in await me("DownloadAppointment", id=visit)
    assert (await nobody("AnswerAppointment", {"token": token, "response": "confirm"}))["status"] == "confirmed"
    me.position = nobody.position
    shown = await me("GetAppointmentRow", id=visit)
    assert (shown["confirmedBy"], shown["linkedUntil"]) == ("patient", shown["endsAt"])
    assert (await me("RevokeAppointmentLink", id=visit))["linkedUntil"] is None


async def followed(me: Person, ids: Json) -> None:
    """The doctor's calendar is read by a program that has its address, until that is taken back."""
    doctor = ids["staff"]
    assert (await me("GetCalendarFeed", doctorId=doctor))["url"] is None
    token = (await me("OpenCalendarFeed", doctorId=doctor))["url"].split("/")[-2]
    await Person(me.api, {}, "", me.clinic)("ReadCalendarFeed", token=token)
    assert [one["doctorId"] for one in (await me("BrowseCalendarFeedRow"))["items"]] == [doctor]
    assert (await me("CloseCalendarFeed", doctorId=doctor))["url"] is None


async def reminded(me: Person, ids: Json) -> None:
    """The patient is reminded by hand, and then does not want to be written to; by the link that the courier would write into the letter, and by the desk."""
    nobody, visit, noor = Person(me.api, {}, "", me.clinic), ids["appointments"], ids["patients"]
    await me("ChangeReminderSettings", {"enabled": True, "windows": [2880, 120], "quiet": None})
    assert (await me("GetReminderSettings"))["windows"] == [2880, 120]
    ids["reminders"] = sent = (await me("SendReminder", {"appointmentId": visit}))["id"]
    assert [one["id"] for one in (await me("BrowseReminderEntry", query={"appointmentId": visit}))["items"]] == [sent]
    assert (await me("GetReminderEntry", id=sent))["status"] in {"queued", "sent"}
    shown = await me("ListRemindersOfAppointment", appointmentId=visit)
    assert ([one["id"] for one in shown["items"]], [one["minutes"] for one in shown["planned"]]) == ([sent], [2880, 120])
    link = {"topic": "reminders", "token": me.api.links.token("unsubscribe/reminders", UUID(noor), 1)}
    assert (await nobody("GetMessageLink", **link))["wanted"]
    assert not (await nobody("RefuseMessages", **link))["wanted"]
    assert (await nobody("WelcomeMessages", **link))["wanted"]
    await me("ChangeMessageWishes", {"unwanted": ["reminders"]}, patientId=noor)
    assert (await me("GetMessageWishesOfPatient", patientId=noor))["unwanted"] == ["reminders"]
    await me("ChangeMessageWishes", {"unwanted": []}, patientId=noor)
    assert (await me("BrowseMessageWishesRow", query={"patientId": noor}))["items"][0]["unwanted"] == []


async def portal(me: Person, ids: Json) -> None:
    """A patient is asked in, comes, and says how they are reached and what they suffer from. The link is what the courier would write into the letter."""
    nobody, password = Person(me.api, {}, "", me.clinic), "seven purple herons wade"
    email = f"jip-{me.clinic.hex}@example.org"
    ids["guest"] = jip = (await me("RegisterPatient", {"givenName": "Jip", "familyName": "Mol", "email": email}))["id"]
    asked = (await me("InvitePatient", {"patientId": jip}))["id"]
    await me("ResendPortalInvitation", {"language": "es"}, id=asked)
    await me("CancelPortalInvitation", id=asked)
    await me("InvitePatient", {"patientId": jip})
    (open_,) = (await me("BrowsePortalInvitationRow", query={"status": "invited"}))["items"]
    assert (open_["id"], open_["patientId"], open_["sent"]) == (asked, jip, 1)
    token = bearing(UUID(asked), await me.api.codes.issue(PORTAL, link_of(UUID(asked), 3), 600, me.clinic))
    assert (await nobody("GetPortalInvitation", token=token))["hasAccount"] is False
    assert not (await me("CheckPortalAccount", email=email))["exists"]
    await nobody("AcceptPortalInvitation", {"password": password}, token=token)
    assert (await me("CheckPortalAccount", email=email))["exists"]
    guest = Person(me.api, await nobody("SignIn", {"email": email, "password": password}), "patient", me.clinic)
    await guest("ReportMedicalHistory", {"allergies": [{"name": "Latex"}], "conditions": [], "medications": []})
    assert (await guest("ChangeOwnRecord", {"phone": "+31 6 8765 4321"}))["email"] == email
    shown = await guest("GetOwnRecord")
    assert (shown["phone"], shown["reported"]["allergies"][0]["name"]) == ("+31 6 8765 4321", "Latex")
    await guest("ChangeOwnPreferences", {"language": "es"})
    assert (await guest("GetOwnPreferences"))["language"] == "es"
    guest.position = max(guest.position, me.position)
    (asked_for,) = (await guest("ListOwnConsents"))["items"]
    form = {"formId": asked_for["formId"]}
    assert (await guest("GiveOwnConsent", {"version": asked_for["formVersion"]}, **form))["way"] == "portal"
    assert (await guest("WithdrawOwnConsent", {}, **form))["withdrawn"]
    me.position = guest.position


async def absences(me: Person, ids: Json) -> None:
    """A room is under water: what was booked there is moved, and moved back when it is dry sooner than they thought."""
    on = MONDAY + timedelta(weeks=7)
    visit = await me("BookAppointment", {"patientId": ids["patients"], "doctorId": ids["staff"], "roomId": ids["rooms"], "start": f"{on}T10:00:00", "duration": 30})
    blocked = await me("BlockTime", {"roomId": ids["rooms"], "start": f"{on}T08:00:00", "end": f"{on}T18:00:00", "reason": "Water", "despiteBookings": True})
    wanted = {"blockId": blocked["id"], "rule": [{"action": "move"}]}
    settled = await me("SettleAbsence", wanted)
    ids["absences"] = absence = settled["id"]
    assert [(one["appointmentId"], one["outcome"]) for one in settled["items"]] == [(visit["id"], "moved")]
    assert [one["id"] for one in (await me("BrowseAbsenceRow", query={"blockId": blocked["id"]}))["items"]] == [absence]
    assert (await me("GetAbsenceRow", id=absence))["visits"][0]["now"]["startLocal"] > f"{on}T18:00:00"
    await me("UnblockTime", id=blocked["id"])
    assert (await me("UndoAbsence", {}, id=absence))["moved"] == 1
    assert (await me("GetAppointmentRow", id=visit["id"]))["startLocal"] == f"{on}T10:00:00"
    await me("RemoveAppointment", id=visit["id"])


async def clocks(me: Person, ids: Json) -> None:
    """The clinic finds that it was opened in the wrong time zone, and is put right."""
    assert (await me("ChangeClinicZone", {"zone": "Europe/London"}, query={"dryRun": "true"}, id=me.clinic))["done"] is False
    there = await me("ChangeClinicZone", {"zone": "Europe/London", "reason": "It was entered wrongly"}, id=me.clinic)
    assert (there["done"], there["overlapping"]) == (True, [])
    assert (await me("ChangeClinicZone", {"zone": "Europe/Amsterdam"}, id=me.clinic))["moved"] == there["moved"]


async def recurrences(me: Person, ids: Json) -> None:
    """A patient comes every week for a while, then at another time, and then not any more."""
    start = f"{(MONDAY + timedelta(weeks=8)).isoformat()}T10:00:00"
    wanted = {
        "patientId": ids["patients"], "doctorId": ids["staff"], "start": start, "duration": 15, "rule": {"unit": "days", "every": 7, "count": 4}}
    booked = await me("BookAppointmentSeries", wanted)
    ids["recurrences"] = series = booked["id"]
    assert (booked["done"], booked["refused"]) == (4, 0)
    assert (await me("ChangeAppointmentSeries", {"scope": "following", "occurrence": 3, "time": "11:00"}, id=series))["done"] == 2
    assert [one["time"] for one in (await me("GetRecurrenceRow", id=series))["occurrences"]] == ["10:00", "10:00", "11:00", "11:00"]
    assert (await me("ExtendAppointmentSeries", {"count": 1}, id=series))["done"] == 1
    assert (await me("CancelAppointmentSeries", {"scope": "all", "reason": "Healed"}, id=series))["done"] == 5
    assert {one["status"] for one in (await me("ListSeriesVisits", id=series))["items"]} == {"cancelled"}
    assert [one["id"] for one in (await me("BrowseRecurrenceRow", query={"patientId": ids["patients"]}))["items"]] == [series]


async def recalls(me: Person, ids: Json) -> None:
    """A patient is called back, thinks about it, and comes; and nobody else needs to be called."""
    due = (TODAY + timedelta(days=30)).isoformat()
    call = {"patientId": ids["patients"], "kind": "hygiene", "date": due, "message": "Time to clean", "doctorId": ids["staff"]}
    ids["recalls"] = recall = (await me("ScheduleRecall", call))["id"]
    assert (await me("ChangeRecall", {"message": "Time to polish", "channel": "sms"}, id=recall))["date"] == due
    await me("NoteRecallAttempt", {"outcome": "no-answer", "nextDate": TODAY.isoformat()}, id=recall)
    (entry,) = (await me("BrowseRecallEntry", query={"status": "contacted", "overdue": "false", "patientId": ids["patients"]}))["items"]
    assert (entry["date"], entry["doctorName"], entry["attempts"]) == (TODAY.isoformat(), "Dr Sam Visser", 1)
    assert (await me("BookRecall", {"appointmentId": ids["appointments"]}, id=recall))["status"] == "booked"
    await me("ReopenRecall", {}, id=recall)
    await me("DeclineRecall", {"reason": "Not now"}, id=recall)
    await me("ReopenRecall", {"date": due}, id=recall)
    await me("CancelRecall", query={"reason": "Moved away"}, id=recall)
    assert (await me("GetRecallRow", id=recall))["closedBecause"] == "Moved away"
    await me("RefuseRecalls", {"reason": "Calls too often"}, patientId=ids["patients"])
    assert (await me("ListRecallsOfPatient", patientId=ids["patients"]))["unwanted"]
    assert (await me("BrowseRecallWishRow", query={"patientId": ids["patients"]}))["items"][0]["unwanted"]
    await me("WelcomeRecalls", patientId=ids["patients"])
    await campaign(me)
    cohort = {"kind": "hygiene", "months": 12, "doctorId": ids["staff"]}
    assert (await me("GenerateRecalls", {**cohort, "dryRun": True}))["found"] == (await me("GenerateRecalls", cohort))["created"] == 0


async def campaign(me: Person) -> None:
    """Everybody who has not been there for ten years is written to, and there is nobody."""
    whom = {"kind": "screening", "months": 120}
    assert (await me("PreviewRecallCampaign", whom))["found"] == 0
    plan = {**whom, "name": "Spring", "startsOn": (TODAY + timedelta(days=30)).isoformat()}
    spring = (await me("DraftRecallCampaign", plan))["id"]
    assert (await me("ChangeRecallCampaign", {**plan, "message": "We have moved."}, id=spring))["message"] == "We have moved."
    assert (await me("StartRecallCampaign", {}, id=spring))["status"] == "running"
    assert (await me("PauseRecallCampaign", {}, id=spring))["status"] == "paused"
    assert (await me("GetRecallCampaignEntry", id=spring))["calls"] == 0
    await me("CancelRecallCampaign", {}, id=spring)
    assert [one["status"] for one in (await me("BrowseRecallCampaignEntry", query={"kind": "screening"}))["items"]] == ["cancelled"]
    assert (await me("BrowseCampaignCallEntry", query={"campaignId": spring}))["items"] == []


async def leads(me: Person, ids: Json) -> None:
    """The clinic's website has a form; somebody writes, and becomes a patient."""
    page = {"origin": "https://www.grachten.example"}
    made = await me("CreateLeadForm", {"label": "Contact page", "allowedOrigins": [page["origin"]]})
    ids["lead_forms"] = form = made["id"]
    assert (await me("ChangeLeadForm", {"label": "Home page"}, id=form))["label"] == "Home page"
    token = (await me("RotateLeadFormToken", {}, id=form))["token"]
    assert token != made["token"]
    assert [one["label"] for one in (await me("ListLeadForms"))["items"]] == ["Home page"]
    nobody = Person(me.api, {}, "", me.clinic)
    await nobody("PreflightLead", headers={**page, "access-control-request-method": "POST"})
    wish = {"firstName": "Cor", "lastName": "Maas", "email": "cor@maas.example", "subject": "A crown", "customFields": {"insurer": "Zilver"}}
    taken = await nobody("SubmitLead", wish, headers={**page, "x-odontox-token": token})
    me.position = nobody.position
    (lead,) = (await me("BrowseLeadEntry", query={"status": "new", "formId": form}))["items"]
    assert (taken["ok"], lead["id"], lead["formLabel"]) == (True, taken["leadId"], "Home page")
    ids["leads"] = id_ = lead["id"]
    await me("ChangeLeadStatus", {"status": "contacted", "note": "Comes on Monday"}, id=id_)
    done = await me("ConvertLead", {"gender": "male"}, id=id_)
    assert (done["lead"]["status"], (await me("GetLeadRow", id=id_))["patientId"]) == ("converted", done["lead"]["patientId"])
    assert ("form", form, 1) in {(one["kind"], one["id"], one["converted"]) for one in (await me("GetLeadSources"))["items"]}
    await me("DisableLeadForm", id=form)
    assert [one["active"] for one in (await me("ListLeadForms"))["items"]] == [False]


async def deleted_leads(me: Person, ids: Json) -> None:
    """Somebody who wrote to a clinic asks the platform to be forgotten."""
    root = await me.api.superadmin()
    root.position = me.position
    (trace,) = [one for one in (await root("BrowseLeadTraceRow", query={"clinic": str(me.clinic)}))["items"] if one["id"] == ids["leads"]]
    assert trace["email"] == "cor@maas.example"
    report = await root("DeleteLead", query={"reason": "He asked"}, id=ids["leads"])
    assert (report["kind"], report["left"]["rows"]) == ("leads", {})
    me.position = root.position
    assert (await me("BrowseLeadEntry"))["items"] == []


async def referrals(me: Person, ids: Json) -> None:
    """A practice has a link; somebody comes by it."""
    maas = {"name": "Dr Maas", "kind": "practitioner", "email": "maas@practice.example"}
    ids["referrals"] = source = (await me("AddReferralSource", maas))["id"]
    await me("ChangeReferralSource", {**maas, "phone": "+31 20 123 4567"}, id=source)
    link = await me("MakeReferralLink", {}, id=source)
    assert (await me("GetReferralLink", id=source)) == link
    nobody = Person(me.api, {}, "", me.clinic)
    assert (await nobody("GetReferralInvitation", token=link["token"]))["clinicId"] == str(me.clinic)
    await nobody("SubmitReferralLead", {"token": link["token"], "name": "Ada Kok", "phone": "+31 6 1234 5678", "wish": "A crown", "consent": True})
    me.position = nobody.position
    (lead,) = (await me("BrowseReferralLeadEntry", query={"status": "new", "referralId": source}))["items"]
    ids["referral_leads"] = id_ = lead["id"]
    assert (lead["name"], lead["referralName"]) == ("Ada Kok", "Dr Maas")
    await me("NoteReferralContact", {"note": "Comes on Monday"}, id=id_)
    await me("DismissReferralLead", {"reason": "A joke"}, id=id_)
    await me("ReopenReferralLead", {}, id=id_)
    ada = (await me("RegisterPatient", {"givenName": "Ada", "familyName": "Kok"}))["id"]
    await me("ConvertReferralLead", {"patientId": ada}, id=id_)
    assert (await me("GetReferralLeadRow", id=id_))["patientId"] == ada
    assert (await me("GetPatientRow", id=ada))["source"] == "practitioner"
    assert [(one["leads"], one["converted"]) for one in (await me("BrowseReferralEntry"))["items"]] == [(1, 1)]
    await me("WithdrawReferralLink", id=source)
    assert (await me("GetReferralRow", id=source))["link"] is None
    other = (await me("AddReferralSource", {"name": "A fair", "kind": "event"}))["id"]
    await me("DeleteReferralSource", id=other)


async def invoices(me: Person, ids: Json) -> None:
    bill = {"patientId": ids["patients"], "lines": [{**LINES[0], "doctorId": ids["staff"]}]}
    first = (await me("GetNextInvoiceNumber"))["number"]
    ids["invoices"] = invoice = (await me("CreateInvoice", bill))["id"]
    await me("EditInvoice", {"lines": bill["lines"], "discount": {"percent": 1000}, "notes": "Ten off"}, id=invoice)
    issued = await me("IssueInvoice", {}, id=invoice)
    assert (issued["number"], issued["total"], issued["due"]) == (first, 54_450, 54_450)
    await me("RecordPayment", {"amount": 20_000, "method": "card"}, id=invoice)
    await me("MarkInvoicePaid", {"method": "cash"}, id=invoice)
    paid, rest = (await me("BrowsePayments", id=invoice))["items"]
    assert (paid["amount"], rest["amount"], rest["method"]) == (20_000, 34_450, "cash")
    await me("RefundPayment", {"paymentId": paid["id"], "amount": 450, "reason": "A courtesy"}, id=invoice)
    assert {k: v for k, v in (await me("GetInvoiceRow", id=invoice)).items() if k in ("status", "due", "refunded")} == {
        "status": "partly-paid", "due": 450, "refunded": 450,
    }
    voided = (await me("CreateInvoice", {**bill, "issue": True}))["id"]
    await me("VoidInvoice", {"reason": "Billed twice"}, id=voided)
    discarded = (await me("CreateInvoice", bill))["id"]
    await me("DeleteInvoice", id=discarded)
    ids["draft"] = draft = (await me("CreateInvoice", bill))["id"]
    found = {one["id"]: one["status"] for one in (await me("BrowseInvoiceRow", query={"patientId": ids["patients"]}))["items"]}
    assert found == {invoice: "partly-paid", voided: "void", draft: "draft"}
    then = await me("BrowseInvoiceRow", query={"patientId": ids["patients"], "asOf": me.position})
    assert {one["id"]: one["status"] for one in then["items"]} == found


async def quotations(me: Person, ids: Json) -> None:
    """One becomes an invoice, one expires in vain, one is given out by a link and answered; an invoice is given out as well."""
    nobody = Person(me.api, {}, "", me.clinic)
    offer = {"patientId": ids["patients"], "lines": LINES}
    first = (await me("GetNextQuotationNumber"))["number"]
    ids["quotations"] = quotation = (await me("CreateQuotation", offer))["id"]
    await me("EditQuotation", {"lines": LINES, "notes": "Two visits"}, id=quotation)
    assert (await me("IssueQuotation", {}, id=quotation))["number"] == first
    await me("AcceptQuotation", {}, id=quotation)
    invoice = (await me("ConvertQuotation", {}, id=quotation))["invoiceId"]
    assert (await me("GetInvoiceRow", id=invoice))["notes"] == "Two visits"
    await me("DeleteInvoice", id=invoice)
    other = (await me("CreateQuotation", offer))["id"]
    token = (await me("ShareQuotation", id=other))["token"]
    assert (await nobody("GetPublicDocument", token=token))["document"] == "quotations"
    assert (await nobody("PrintPublicDocument", token=token))[:4] == "%PDF"
    await nobody("DeclinePublicDocument", {}, token=token)
    assert (await nobody("AcceptPublicDocument", token=token))["status"] == "accepted"
    await me("RevokeQuotationLink", id=other)
    await me("DeclineQuotation", {"reason": "Too dear"}, id=other)
    assert (await me("ReissueQuotation", {}, id=other))["status"] == "sent"
    noor = {"givenName": "Noor", "familyName": "Bakker", "birthDate": "1990-05-17", "phone": "+31 6 1234 5678", "source": "recommendation"}
    await me("ChangePatient", {**noor, "email": "noor@example.org"}, id=ids["patients"])
    await me("SendQuotation", {}, id=other)
    await me("PrintQuotation", id=other)
    await me("WithdrawQuotation", {"reason": "Another dentist"}, id=other)
    await me("SendInvoice", {}, id=ids["invoices"])
    payment = (await me("BrowsePayments", id=ids["invoices"]))["items"][0]["id"]
    ids["receipts"] = receipt = (await me("IssueReceipt", {"invoiceId": ids["invoices"], "paymentId": payment}))["id"]
    assert (await me("GetReceiptEntry", id=receipt))["refunded"] == 450
    assert [one["amount"] for one in (await me("BrowseReceiptEntry", query={"invoiceId": ids["invoices"]}))["items"]] == [20_000]
    await me("SendReceipt", {}, id=receipt)
    await me("PrintReceipt", id=receipt)
    assert (await me("ShareReceipt", id=receipt))["token"]
    await me("RevokeReceiptLink", id=receipt)
    assert (await me("ShareInvoice", id=ids["invoices"]))["url"].startswith("http")
    await me("RevokeInvoiceLink", id=ids["invoices"])
    await me("PrintInvoice", id=ids["invoices"])
    found = {one["id"]: one["status"] for one in (await me("BrowseQuotationEntry", query={"patientId": ids["patients"]}))["items"]}
    assert found == {quotation: "converted", other: "withdrawn"} == {id_: (await me("GetQuotationEntry", id=id_))["status"] for id_ in found}


async def installments(me: Person, ids: Json) -> None:
    """One plan becomes invoices and is changed, put off and ended; another one divides an invoice."""
    treatment = str(uuid4())
    wanted = {"patientId": ids["patients"], "treatmentPlanId": treatment, "lines": [{"description": "Crown", "amount": 9_000}]}
    plan = await me("CreateInstallmentPlan", {**wanted, "rhythm": {"count": 3, "firstDueOn": TODAY.isoformat()}})
    ids["installments"] = plan["id"]
    billed = await me("GenerateInstallmentInvoice", {"early": True}, termId=plan["terms"][0]["id"])
    assert billed["terms"][0]["invoiceId"]
    changed = await me("ChangeInstallmentTerms", {"rhythm": {"count": 1, "firstDueOn": (TODAY + timedelta(days=40)).isoformat()}, "reason": "All at once"}, id=plan["id"])
    assert [term["amount"] for term in changed["terms"]] == [3_000, 6_000]
    await me("PauseInstallmentPlan", {"reason": "Abroad"}, id=plan["id"])
    assert (await me("ResumeInstallmentPlan", {"postpone": True}, id=plan["id"]))["status"] == "active"
    seen = await me("GetInstallmentEntry", id=plan["id"])
    assert (seen["billed"], seen["open"], len(seen["history"])) == (3_000, 9_000, 1)
    assert [one["id"] for one in (await me("ListInstallmentsOfTreatmentPlan", treatmentPlanId=treatment))["items"]] == [plan["id"]]
    assert [one["id"] for one in (await me("BrowseInstallmentEntry", query={"patientId": ids["patients"]}))["items"]] == [plan["id"]]
    whole = (await me("CreateInvoice", {"patientId": ids["patients"], "lines": LINES, "issue": True}))["id"]
    divides = (await me("SplitInvoice", {"rhythm": {"count": 2, "firstDueOn": TODAY.isoformat(), "unit": "weeks"}}, invoiceId=whole))["id"]
    assert (await me("CancelInstallmentPlan", id=divides))["status"] == "cancelled"
    root = await me.api.superadmin()
    assert (await root("GenerateDueInvoices", query={"clinicId": str(me.clinic)}))["failed"] == 0


async def payroll(me: Person, ids: Json) -> None:
    """Somebody is paid for a month, in a run that is worked out anew, approved, paid and taken back."""
    eva = {"name": "Eva Jansen", "salaryKind": "hourly", "salary": 2_500, "startsOn": "2019-01-01"}
    ids["payroll_employees"] = employee = (await me("AddPayrollEmployee", eva))["id"]
    await me("ChangePayrollEmployee", {**eva, "bankAccount": "NL91 ABNA 0417 1643 00"}, id=employee)
    assert (await me("GetPayrollEmployeeRow", id=employee))["bankAccount"]
    wrong = (await me("OpenPayrollPeriod", {"startsOn": "2019-01-01", "endsOn": "2019-02-28"}))["id"]
    await me("RemovePayrollPeriod", id=wrong)
    ids["payroll_periods"] = period = (await me("OpenPayrollPeriod", {"name": "January", "startsOn": "2019-01-01", "endsOn": "2019-01-31", "paysOn": "2019-02-01"}))["id"]
    assert (await me("GetPayrollPeriodRow", id=period))["name"] == "January"
    ids["payroll_runs"] = run = (await me("DraftPayrollRun", {"periodId": period, "employees": [employee]}))["id"]
    await me("ChangePayrollRun", {"entries": [{"employeeId": employee, "minutes": 90, "bonuses": [{"description": "Weekend", "amount": 50}]}]}, id=run)
    await me("ApprovePayrollRun", {}, id=run)
    assert (await me("PayPayrollRun", {}, id=run))["status"] == "paid"
    assert (await me("GetPayrollRunRow", id=run))["net"] == 3_800
    assert [one["name"] for one in (await me("BrowsePayslipEntry", query={"runId": run}))["items"]] == ["Eva Jansen"]
    assert (await me("VoidPayrollRun", {"reason": "Wrong hours"}, id=run))["status"] == "void"
    assert [one["id"] for one in (await me("BrowsePayrollRunRow", query={"periodId": period}))["items"]] == [run]
    assert [one["id"] for one in (await me("BrowsePayrollPeriodRow"))["items"]] == [period]
    assert [one["id"] for one in (await me("BrowsePayrollEmployeeRow"))["items"]] == [employee]


async def commissions(me: Person, ids: Json) -> None:
    """A doctor gets a share of what they bill, which says of which invoices."""
    doctor = ids["staff"]
    terms = {"doctorId": doctor, "basis": "billed", "rate": 3_000, "validFrom": "2019-01-01"}
    wrong = (await me("MakeCommissionRule", {**terms, "procedureCode": "D1110"}))["id"]
    await me("RemoveCommissionRule", {}, id=wrong)
    ids["commission_rules"] = rule = (await me("MakeCommissionRule", terms))["id"]
    await me("ChangeCommissionRule", {**terms, "rate": 4_000}, id=rule)
    assert (await me("GetCommissionRuleRow", id=rule))["rate"] == 4_000
    assert [one["id"] for one in (await me("BrowseCommissionRuleRow", query={"doctorId": doctor}))["items"]] == [rule]
    (figures,) = (await me("GetCommissions", query={"doctorId": doctor}))["items"]
    lines = (await me("BrowseCommissionLine", query={"doctorId": doctor, "counted": "true", "limit": "200"}))["items"]
    assert figures["commission"] == sum(line["commission"] for line in lines)
    assert figures["lines"] == len(lines) > 0


async def insured(me: Person, ids: Json) -> None:
    """A payer with its fees, and a patient whom it insures."""
    coverage = [{"procedureClass": "major", "percent": 5_000}]
    ids["insurance_payers"] = payer = (await me("AddPayer", {"name": "Zilveren Kruis", "payerNumber": "3311"}))["id"]
    await me("ChangePayer", {"name": "Zilveren Kruis", "payerNumber": "3311", "writeOff": "contractual", "coverage": coverage}, id=payer)
    await me("ArchivePayer", id=payer)
    await me("RestorePayer", {}, id=payer)
    assert [one["id"] for one in (await me("BrowsePayerRow"))["items"]] == [payer]
    assert (await me("GetPayerRow", id=payer))["writeOff"] == "contractual"
    sheet = b"procedureCode,fee,class,validFrom\nD2740,300.00,major,2020-01-01\n"
    assert (await me("ValidateFeeImport", sheet, query={"payerId": payer}))["created"] == (await me("RunFeeImport", sheet, query={"payerId": payer}))["created"] == 1
    await me("SetFees", {"fees": [{"procedureCode": "D2740", "price": 40_000, "validFrom": "2020-01-01"}, {"procedureCode": "D1", "price": 1, "validFrom": "2020-01-01"}]})
    await me("RemoveFees", {"fees": [{"procedureCode": "D1", "validFrom": "2020-01-01"}]})
    assert {(one["standard"], one["price"]) for one in (await me("BrowseFeeRow"))["items"]} == {(False, 30_000), (True, 40_000)}
    ids["insurance_covers"] = cover = (await me("AddCover", {"patientId": ids["patients"], "payerId": payer, "memberNumber": "W1", "validFrom": "2020-01-01"}))["id"]
    await me("ChangeCover", {"payerId": payer, "memberNumber": "W123", "validFrom": "2020-01-01"}, id=cover)
    spare = (await me("AddCover", {"patientId": ids["patients"], "payerId": payer, "memberNumber": "W2", "validFrom": "2020-01-01", "rank": "secondary"}))["id"]
    await me("RemoveCover", id=spare)
    assert (await me("GetCoverEntry", id=cover))["memberNumber"] == "W123"
    assert [one["id"] for one in (await me("BrowseCoverEntry", query={"patientId": ids["patients"]}))["items"]] == [cover]
    assert (await me("GetEligibility", query={"patientId": ids["patients"]}))["insured"]
    assert (await me("GetSuggestedPrice", query={"patientId": ids["patients"], "procedureCode": "D2740"}))["price"] == 30_000
    told = await me("EstimateShares", {"patientId": ids["patients"], "lines": [{"procedureCode": "D2740"}]})
    assert (told["payersBear"], told["writeOff"], told["patientShare"]) == (15_000, 10_000, 15_000)


async def insurance(me: Person, ids: Json) -> None:
    """A claim is answered, paid, appealed and replaced; one is denied; and what is beyond the payer's fees is written off."""
    bill, cover = {"patientId": ids["patients"], "lines": [{"description": "Crown", "procedureCode": "D2740", "unitPrice": 40_000}], "issue": True}, ids["insurance_covers"]
    invoice = (await me("CreateInvoice", bill))["id"]
    ids["insurance_claims"] = claim = (await me("CreateInsuranceClaim", {"invoiceId": invoice, "coverId": cover}))["id"]
    await me("UpdateInsuranceClaim", {"notes": "For the crown"}, id=claim)
    await me("SubmitInsuranceClaim", {}, id=claim)
    await me("WithdrawInsuranceClaim", {}, id=claim)
    await me("SubmitInsuranceClaim", {}, id=claim)
    file = (await me("AttachToInsuranceClaim", LOGO, id=claim))["attachments"][0]["id"]
    assert [one["id"] for one in (await me("ListClaimAttachments", id=claim))["items"]] == [file]
    await me("GetClaimAttachment", id=claim, fileId=file)
    await me("DetachFromInsuranceClaim", id=claim, fileId=file)
    answer = {"lines": [{"line": 1, "approved": 15_000, "adjustments": [{"group": "CO", "code": "45", "amount": 25_000}]}]}
    await me("AnswerInsuranceClaim", answer, id=claim)
    await me("AppealInsuranceClaim", {"reason": "The X-ray shows it"}, id=claim)
    await me("AnswerInsuranceClaim", answer, id=claim)
    payment = (await me("PayInsuranceClaim", {"amount": 5_000}, id=claim))["payments"][0]["id"]
    await me("ReverseInsurancePayment", {"paymentId": payment, "reason": "Another patient's"}, id=claim)
    off = (await me("PreviewClaimWriteOff", id=claim))["amount"]
    assert off == 10_000
    await me("WriteOffInsuranceClaim", {"amount": off}, id=claim)
    assert (await me("GetInvoiceRow", id=invoice))["due"] == 30_000
    other = (await me("ReplaceInsuranceClaim", {"submit": True}, replacesId=claim))["id"]
    await me("AcceptInsuranceClaim", {}, id=other)
    await me("PayInsuranceClaim", {}, id=other)
    assert (await me("GetInsuranceClaimEntry", id=other))["status"] == "paid"
    borne = await me("GetInvoiceCoverage", invoiceId=invoice)
    assert (borne["paidByPayers"], borne["writtenOff"], borne["patientShare"], borne["due"]) == (30_000, 10_000, 0, 0)
    second = (await me("CreateInvoice", bill))["id"]
    denied, voided = [(await me("CreateInsuranceClaim", {"invoiceId": second, "coverId": cover, "lines": [{"line": 1, "amount": 20_000}], "submit": True}))["id"] for _ in range(2)]
    await me("DenyInsuranceClaim", {"code": "29"}, id=denied)
    await me("VoidInsuranceClaim", {"reason": "Sent twice"}, id=voided)
    await me("DeleteInsuranceClaim", id=(await me("CreateInsuranceClaim", {"invoiceId": second, "coverId": cover}))["id"])
    assert (await me("GetInvoiceRow", id=second))["due"] == 40_000  # a denial changes no balance
    found = {one["id"]: one["status"] for one in (await me("BrowseInsuranceClaimEntry", query={"patientId": ids["patients"]}))["items"]}
    assert found == {claim: "replaced", other: "paid", denied: "denied", voided: "void"}
    assert {one["id"] for one in (await me("ListClaimsOfPatient", patientId=ids["patients"]))["items"]} == {*found}
    assert {one["status"] for one in (await me("GetClaimFigures"))["ages"]} == {*found.values()}


async def card_payments(me: Person, ids: Json) -> None:
    """Two invoices are paid by card through their links; one of them had been paid at the desk in between."""
    till, nobody = me.api.till, Person(me.api, {}, "", me.clinic)
    keys = {"secretKey": KEY, "webhookSecret": "whsec_clinic"}
    assert (await me("ConnectPaymentAccount", keys))["connected"]
    assert (await me("GetPaymentAccount"))["hint"] == "till"
    bills = [(await me("CreateInvoice", {"patientId": ids["patients"], "lines": LINES, "issue": True}))["id"] for _ in range(2)]
    tokens = [(await me("ShareInvoice", id=bill))["token"] for bill in bills]
    nobody.position = me.position
    codes = [(await nobody("PayPublicDocument", {}, token=token))["url"].rpartition("/")[2] for token in tokens]
    await nobody("GoToCheckout", token=tokens[1])
    await me("MarkInvoicePaid", {"method": "cash"}, id=bills[1])
    for code in codes:
        till.pay_once(code)
        message = till.completed(code)
        header = {"stripe-signature": sign(message, "whsec_clinic")}
        assert (await nobody("HearCardPayment", json.loads(message), headers=header, clinicId=me.clinic))["changed"]
    me.position = nobody.position = await head(me)
    by = {card["invoiceId"]: card for card in (await me("BrowseCardPaymentRow"))["items"]}
    assert [by[bill]["status"] for bill in bills] == ["applied", "credited"]
    spare = by[bills[1]]
    assert (await me("ReturnCardPayment", {"amount": spare["credited"], "reason": "Paid twice"}, id=spare["id"]))["returned"] == spare["amount"]
    assert (await me("GetCardPaymentRow", id=spare["id"]))["kept"] == 0
    await deposited(me, ids)
    await me("DisconnectPaymentAccount")


async def deposited(me: Person, ids: Json) -> None:
    """A visit is booked for which a deposit is asked, and its patient pays it by their link."""
    nobody = Person(me.api, {}, "", me.clinic)
    kind = (await me("AddAppointmentType", {"name": "Implant surgery", "minutes": 30, "deposit": 10_000}))["id"]
    visit = (await me("BookAppointment", {
        "doctorId": ids["staff"], "patientId": ids["patients"], "typeId": kind, "start": at("17:30", MONDAY + timedelta(days=2)), "overbook": True, "reason": "A walk"}))["id"]
    assert (await me("GetBookingDeposit", id=visit))["status"] == "unpaid"
    token = (await me("ShareAppointment", id=visit))["token"]
    nobody.position = me.position
    assert (await nobody("PayDeposit", token=token))["amount"] == 10_000
    assert visit in {one["id"] for one in (await me("BrowseBookingDeposit"))["items"]}
    await me("RemoveAppointment", id=visit)


async def expenses(me: Person, ids: Json) -> None:
    """What the day cost, one thing of which was none; and what is left of it."""
    today = str(today_there())
    rent = {"category": "rent", "description": "April", "amount": 120_000, "tax": 20_826, "spentOn": today, "vendor": "Singel Offices", "reference": "F-118"}
    ids["expenses"] = expense = (await me("RecordExpense", rent))["id"]
    assert (await me("CorrectExpense", {**rent, "amount": 121_000, "tax": 21_000}, id=expense))["corrections"] == 1
    wrong = (await me("RecordExpense", {**rent, "category": "materials", "amount": 5_000, "tax": 0, "method": "cash"}))["id"]
    await me("StrikeOutExpense", {"reason": "Paid privately"}, id=wrong)
    assert (await me("GetExpenseRow", id=wrong))["struckOut"] is True
    assert [one["id"] for one in (await me("BrowseCurrentExpense", query={"category": "rent"}))["items"]] == [expense]
    assert [(one["category"], one["amount"], one["tax"]) for one in (await me("GetExpenseTotals"))["categories"]] == [("rent", 121_000, 21_000)]
    came = await me("GetEndOfDay", query={"date": today})
    assert (came["spent"], came["received"] - came["refunded"] - came["reversed"] - came["spent"]) == (121_000, came["net"])
    assert "121000" in (await me("TellEndOfDay", {"date": today}))["summary"]


async def credited(me: Person, ids: Json) -> None:
    """Somebody pays beforehand, for another one as well, and gets back what is too much; what was billed or booked wrongly is put right."""
    one = (await me("RegisterPatient", {"givenName": "Mees", "familyName": "Mol"}))["id"]
    child = (await me("RegisterPatient", {"givenName": "Tess", "familyName": "Mol"}))["id"]
    await me("AddRelation", {"relation": "parent", "relatedId": one, "payer": True}, patientId=child)
    await me("ReceiveDeposit", {"amount": 500, "method": "card", "purpose": "Implant"}, patientId=one)
    wrong = (await me("ReceiveDeposit", {"amount": 70, "method": "cash"}, patientId=one))["id"]
    (deposit,) = [kept["id"] for kept in (await me("BrowseDepositRow", query={"patientId": one}))["items"] if kept["amount"] == 70]
    await me("ReverseDeposit", {"reason": "Somebody else's"}, patientId=one, depositId=deposit)
    bills = [
        (await me("CreateInvoice", {"patientId": whose, "lines": [{"description": "Crown", "unitPrice": price} for price in prices], "issue": True}))["id"]
        for whose, prices in ((one, (300, 400)), (child, (200,)))]
    assert (await me("ApplyCredit", {"amount": 300}, id=bills[0]))["due"] == 400
    await me("SettleInvoices", {"amount": 650, "method": "transfer", "patients": [child], "excess": "credit"}, patientId=one)
    assert (await me("GetPatientBalance", patientId=one))["balance"] == -250
    (paid, rest) = (await me("BrowsePayments", id=bills[0]))["items"]
    assert (paid["method"], rest["amount"]) == ("credit", 400)
    await me("ReallocatePayment", {"allocations": [{"line": 1, "amount": 200}]}, id=bills[0], paymentId=paid["id"])
    await me("ReversePayment", {"reason": "Another account's"}, id=bills[0], paymentId=rest["id"])
    assert (await me("CreditInvoice", {"reason": "Chipped", "amount": 100}, id=bills[0]))["due"] == 400
    assert (await me("WriteOffInvoice", {"reason": "Moved away"}, id=bills[0]))["due"] == 0
    note = (await me("BrowseCreditNoteRow", query={"invoiceId": bills[0], "cause": "credit-note"}))["items"][0]
    assert (await me("GetCreditNoteRow", id=note["id"]))["total"] == 100
    assert (await me("PrintCreditNote", id=note["id"]))[:4] == "%PDF"
    await me("ReturnCredit", {"amount": 350, "method": "cash", "reason": "Asked for it"}, patientId=one)
    assert [row["id"] for row in (await me("BrowseCreditRow", query={"patientId": one}))["items"]] == [wrong]
    assert (await me("GetPatientBalance", patientId=one))["balance"] == (await me("GetPatientStatement", patientId=one))["closing"] == 0


async def tills(me: Person, ids: Json) -> None:
    """The clinic's own till, a week ago: counted, opened again, and counted anew."""
    week_ago = (TODAY - timedelta(days=7)).isoformat()
    till = (await me("OpenTill", {"day": week_ago, "opening": 10_000}))["id"]
    should = await me("GetTillNow", query={"date": week_ago})
    assert (should["id"], should["status"]) == (till, "open")
    count = {"pieces": [{"value": 5_000, "count": 1}], "reason": "Half of it was taken to the bank", "left": 5_000}
    assert (await me("CloseTill", count, id=till))["difference"] == 5_000 - should["expected"]
    assert (await me("ReopenTill", {"reason": "Counted the wrong drawer"}, id=till))["reopened"] == 1
    await me("CloseTill", {"counted": should["expected"]}, id=till)
    assert (await me("GetTillEntry", id=till))["difference"] == 0
    assert till in {one["id"] for one in (await me("BrowseTillEntry"))["items"]}


async def visit_fees(me: Person, ids: Json) -> None:
    """Whoever misses a visit pays by the clinic's rule, which is looked after each minute; and one who comes after all does not."""
    rules = {"enabled": True, "grace": 0, "rules": [{"noShow": 5_000, "lateCancellation": 2_500}]}
    assert (await me("ChangeFeeSettings", rules))["enabled"]
    assert (await me("GetFeeSettings"))["rules"][0]["noShow"] == 5_000
    wanted = {"doctorId": ids["staff"], "roomId": ids["rooms"], "duration": 30, "patientId": ids["patients"], "overbook": True, "reason": "A walk"}
    missed, late = [(await me("BookAppointment", {**wanted, "start": at(clock, MONDAY + timedelta(days=1))}))["id"] for clock in ("15:00", "16:00")]
    for visit in (missed, late):
        await me("ChangeAppointmentStatus", {"status": "no-show"}, id=visit)
    fee = await charged(me, missed)
    assert (await me("BrowseVisitFeeRow", query={"appointmentId": missed}))["items"][0]["status"] == "charged"
    assert (await me("WaiveVisitFee", {"reason": "Was in hospital"}, id=fee))["waiveReason"] == "Was in hospital"
    assert (await me("GetVisitFeeRow", id=fee))["status"] == "waived"
    assert (await me("UndoMissedAppointment", {}, id=late))["status"] == "booked"
    await me("RemoveAppointment", id=late)


async def charged(me: Person, visit: str) -> str:
    """What a gateway does by itself each minute."""
    receipt = await me.api.handler.handle(ChargeVisitFee(appointment_id=UUID(visit)), house(PLATFORM, me.clinic))
    me.position = str(receipt.position)
    return str(receipt.id)


async def letters(me: Person, ids: Json) -> None:
    """Words of the clinic's own, a letter to try them, what became of it, and the same for the platform."""
    words = {"language": "en", "subject": "Greetings from {{clinic}}", "body": "Dear {{name}},\n\nhow are you?"}
    await me("ChangeEmailTemplate", words, key="sample")
    shown = await me("GetEmailTemplate", key="sample")
    assert (await me("PreviewEmailTemplate", {"language": "en"}, key="sample"))["subject"] == "Greetings from Grachten Dental"
    assert {one["language"]: one["source"] for one in shown["words"]} == {"en": "clinic", "es": "system"}
    await me("SendSampleLetter", {"language": "en"}, key="sample")
    await me("ResetEmailTemplate", key="sample")
    assert shown["words"] != (await me("BrowseEmailTemplates"))["items"][-1]["words"]
    letter = await settled(me, "LetterRow")
    await me("ResendLetter", {}, letter=letter["id"])
    root = await me.api.superadmin()
    await root("CreateSystemTemplate", {**words, "key": f"news.n{me.clinic.hex}", "about": "News for all"})
    await root("ChangeSystemTemplate", words, key="sample")
    assert (await root("GetSystemTemplate", key="sample"))["words"][0]["source"] == "platform"
    assert (await root("PreviewSystemTemplate", {"subject": "Try {{name}}"}, key="sample"))["subject"] == "Try Noor Bakker"
    await root("ResetSystemTemplate", query={"language": "en"}, key="sample")
    await root("SendSystemSample", {}, key="sample")
    await root("SeedSystemTemplates", {})
    assert f"news.n{me.clinic.hex}" in [one["key"] for one in (await root("BrowseSystemTemplates"))["items"]]
    assert (await settled(root, "PlatformLetterRow", "sample"))["template"] == "sample"


async def settled(person: Person, row: str, template: str | None = None) -> Json:
    """Wait until a courier has seen to a letter, maybe to one of that template, and return it."""
    deadline = monotonic() + 20
    while not (found := [one for one in (await person(f"Browse{row}"))["items"] if one["status"] != "queued" and template in {None, one["template"]}]):
        assert monotonic() < deadline, "no courier has seen to the letter"
        await asyncio.sleep(0.05)
    letter: Json = await person(f"Get{row}", id=found[0]["id"])
    return letter


async def figures(me: Person, ids: Json) -> None:
    """What the day came to: two invoices of which one is void, two payments, a refund, one completed visit."""
    (day,) = (await me("BrowseRevenueDayRow", query={"doctorId": ids["staff"]}))["items"]
    assert (day["billed"], day["collected"], day["refunded"], day["voided"]) == (54_450 + 60_500, 54_450, 450, 60_500)
    (visits,) = (await me("BrowseAppointmentDayRow", query={"dayFrom": MONDAY.isoformat(), "dayTo": MONDAY.isoformat()}))["items"]
    assert (visits["booked"], visits["completed"]) == (1, 1)
    month = {"from": (TODAY - timedelta(days=1)).isoformat(), "to": (TODAY + timedelta(days=1)).isoformat()}
    collected = (await me("GetFinancialSummary", query={**month, "groupBy": "doctor"}))["collected"]
    revenue = sum(group["collected"] for group in (await me("GetRevenue", query=month))["groups"])
    assert (await me("GetClinicFinances", query=month))["collected"] == revenue == collected >= 54_450
    assert (await me("GetStats", query={**month, "to": (MONDAY + timedelta(days=1)).isoformat()}))["appointments"]["completed"] == 1
    until_then = {**month, "to": MONDAY.isoformat()}
    (did,) = (await me("GetDoctorPerformance", query={**until_then, "doctorId": ids["staff"]}))["items"]
    assert (did["completed"], did["patients"], did["newPatients"]) == (1, 1, 1)
    assert did["collected"] in {54_450, None}  # the front desk sees no money
    grown = (await me("GetPatientGrowth", query={**until_then, "groupBy": "month"}))["items"]
    assert sum(one["newPatients"] for one in grown) == grown[-1]["total"] >= 1
    (worth,) = (await me("BrowseLifetime", query={"source": "recommendation"}))["items"]
    assert (worth["patientId"], worth["received"] >= 54_000, worth["visits"]) == (ids["patients"], True, 1)
    assert (await me("BrowseLifetime", query={"format": "csv"})).startswith("patientId,registeredOn,source,visits,")
    assert (await me("GetLifetimeValue", query={"groupBy": "source"}))["groups"][0]["source"] == "recommendation"
    (retained,) = (await me("GetRetentionCohorts", query={"year": str(MONDAY.year)}))["items"]
    assert retained["months"][0] == {"since": 0, "patients": 1, "share": 1.0}
    (heard,) = [one for one in (await me("GetReferralSources"))["items"] if one["source"] == "recommendation"]
    assert heard["patients"] == 1
    assert heard["received"] in {worth["received"], None}
    (visit,) = (await me("BrowseVisitRow", query={"status": "completed"}))["items"]
    assert (visit["id"], visit["moves"], visit["minutes"]) == (ids["appointments"], 1, 30)
    summed = await me("GetFinancialSummary", query=month)
    assert (await me("GetFinancialStatement", query={**month, "groupBy": "quarter"}))["received"] == summed["received"]
    assert (await me("GetRevenueSummary", query=month))["current"]["received"] == summed["received"]
    assert ids["staff"] in {one["doctorId"] for one in (await me("GetRevenueOverTime", query={**month, "groupBy": "doctor"}))["items"]}
    assert (await me("GetAgeing", query={"patients": "true"}))["due"] == summed["outstanding"]
    assert (await me("GetAppointmentTrends", query={**until_then, "groupBy": "status"}))["total"]["completed"] == 1
    why = await me("GetWhy", query={**until_then, "figure": "completed"})
    assert [(line["event"], line["id"]) for line in why["items"]] == [("AppointmentCompleted", ids["appointments"])]
    await me("SetProcedureCost", {"material": 20_00, "lab": 80_00}, procedureCode="D2740")
    assert (await me("BrowseProcedureCostRow"))["items"][0]["lab"] == 80_00
    assert {one["procedureCode"] for one in (await me("GetProcedureProfitability", query=month))["items"]} >= {"D2740"}
    await me("DropProcedureCost", query={"since": TODAY.isoformat()}, procedureCode="D2740")


async def screens(me: Person, ids: Json) -> None:
    """What the app shows, and what each role sees first."""
    for screen in ("GetDashboardScreen", "GetAppointmentsScreen", "GetPatientsScreen", "GetFinanceScreen"):
        told = await me(screen, query={"source": "mobile"})
        assert (told["success"], told["meta"]["cached"]) == (True, False)
    assert (await me("BrowseOverdueInvoice"))["items"] == []
    assert (await me("GetAdminDashboard"))["currency"] == "EUR"
    doctor, desk, guest = [await me.api.person(me.clinic, role, UUID(ids[whose]) if whose else None) for role, whose in (("doctor", "staff"), ("receptionist", ""), ("patient", "patients"))]
    for somebody in (doctor, desk, guest):
        somebody.position = me.position
    assert (await doctor("GetDoctorDashboard"))["doctorId"] == ids["staff"]
    assert (await desk("GetReceptionDashboard"))["tasks"]
    whole = await guest("GetPatientDashboard")
    assert whole["summary"] == await guest("GetPatientSummary")
    assert whole["appointments"] == await guest("ListOwnVisits", query={"limit": "20"})
    assert whole["billing"] == await guest("ListOwnInvoices", query={"limit": "20"})
    assert whole["records"] == await guest("GetOwnRecords")


async def records(me: Person, ids: Json) -> None:
    told = (await me("GetActivity", entityType="appointment", entityId=ids["appointments"]))["items"]
    assert [step["action"] for step in told][:2] == ["AppointmentCompleted", "PatientSeated"]
    glass = await me("BreakGlass", {"reason": "Found unconscious"}, patientId=ids["patients"])
    assert (await me("BrowseEmergencyRow", query={"patientId": ids["patients"]}))["items"][0]["id"] == glass["id"]
    await me("EndEmergency", id=glass["id"])
    assert (await me("BrowseChartLookRow", query={"patient": ids["patients"]}))["items"][0]["address"] == "127.0.0.1"
    await me("BrowseDeniedRequestRow")
    gone = (await me("RegisterPatient", {"givenName": "Jip", "familyName": "Mol"}))["id"]
    assert (await me("ExportPatient", id=gone))["events"][0]["said"]["givenName"] == "Jip"
    assert [look["what"] for look in (await me("ListChartLooks", id=gone))["items"]] == ["export"]
    assert (await me("AskErasure", {"personId": gone, "reason": "Entered twice", "despiteRetention": True}))["left"]["keys"] == 0
    assert (await me("BrowseErasureRow", query={"personId": gone}))["items"][0]["status"] == "erased"
    await me("WishSignedHead")
    signed = await me("ListSignedHeads")  # the notary makes its rounds meanwhile
    assert {head["key"] for head in signed["items"]} <= set(signed["publicKeys"])
    lines = (await me("BrowseAuditLog", query={"entityId": ids["invoices"], "action": "PaymentRefunded"}))["items"]
    user, (line,) = me.session["user"]["id"], lines
    origin = line["origin"]
    assert (line["actor"], origin["account"], origin["onBehalfOf"], origin["address"]) == (user, user, None, "127.0.0.1")
    assert origin["agent"].startswith("python-httpx")
    head, *taken = [json.loads(line) for line in (await me("ExportClinic", id=me.clinic)).splitlines()]
    told = [(one["position"], one["hash"]) for one in taken if "event" in one]
    with psycopg.connect(me.api.owner_url) as connection:
        there = connection.execute(
            "select notification_id, hash from stored_events where clinic_id = %s and notification_id <= %s order by 1", [me.clinic, head["position"]]).fetchall()
    assert told == [(position, b64encode(seal).decode()) for position, seal in there]
    assert taken[-1]["event"] == "ClinicExported"
    assert (await me("GetVerifier")).startswith('"""Checks an auditor')
    assert await me("ExportEvidence", id=me.clinic)
    patients = [one["value"]["id"] for one in taken if one.get("row") == "patients"]
    registered = {one["stream"]: one["said"]["givenName"] for one in taken if one.get("event") == "PatientRegistered"}
    assert (ids["patients"] in patients, set(patients)) == (True, set(registered))
    assert {stream for stream, name in registered.items() if name is None} == {gone}


async def events(me: Person, ids: Json) -> None:
    """Everything so far comes out of the stream, and with a ticket in place of the header."""
    ticket = (await me("TakeStreamTicket"))["ticket"]
    path = OPERATIONS["ClinicEvents"].path
    query = {"lastEventId": "0", "ticket": ticket, "types": "RoomAdded"}
    async with me.api.client.stream("GET", path, params=query) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("data:") and ids["rooms"] in line:
                break
    me.api.called.append(Request(OPERATIONS["ClinicEvents"], path, {"entityType": "rooms", "entityId": ids["rooms"]}, None))
    path, mine = OPERATIONS["LiveFeed"].path, me.session["user"]["id"]
    async with me.api.client.stream("GET", path, params={"lastEventId": "0", "types": "SessionStarted"}, headers=me.headers) as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                assert mine in line
                break
    me.api.called.append(Request(OPERATIONS["LiveFeed"], path, {}, None))
    assert "RoomAddedMessage" in json.loads(await me("GetEventSchemas"))["$defs"]
    assert json.loads(await me("GetEventSchema", name="RoomAdded"))["title"] == "RoomAddedMessage"


async def accounts(me: Person, ids: Json) -> None:
    """Somebody of their own, for passwords and sessions end here."""
    guest = await me.api.person(me.clinic, "receptionist")
    mine, root = guest.session["user"]["id"], await me.api.superadmin()
    assert (await guest("ChangeProfile", {"name": "Kim Smit", "language": "es"}))["name"] == "Kim Smit"
    assert (await guest("GetMe"))["language"] == "es"
    await guest("ChangePassword", {"currentPassword": PASSWORD, "newPassword": (second := "a quieter horse")})
    nobody = Person(me.api, {}, "", me.clinic)
    who = {"email": guest.email}
    for operation in ("ForgotPassword", "DiscoverClinics"):
        assert (await nobody(operation, who))["accepted"]
    digits = await me.api.codes.issue_digits("password-code", UUID(mine), 60)
    assert (await nobody("VerifyResetCode", {**who, "otp": digits}))["valid"]
    await nobody("ResetPasswordByCode", {**who, "otp": digits, "newPassword": (third := "a louder horse")})
    token = await me.api.codes.issue("password-reset", UUID(mine), 60)
    await nobody("ResetPasswordByLink", {"token": token, "newPassword": (fourth := "no horse at all")})
    for password, status in ((second, 401), (third, 401), (fourth, 200)):
        answer = await nobody.send(Request(OPERATIONS["SignIn"], OPERATIONS["SignIn"].path, {}, {**who, "password": password}))
        assert answer.status_code == status
    guest = Person(me.api, await nobody("MobileSignIn", {**who, "password": fourth, "preCheck": {"method": "pin", "passed": True}}), "receptionist", me.clinic)
    await guest("ChoosePin", {"pin": "2580", "password": fourth})
    await guest("SetProfileImage", LOGO)
    await guest("GetProfileImage")
    await me("GetColleagueImage", id=mine)
    await guest("RemoveProfileImage")
    desk = Person(me.api, await nobody("SignIn", {**who, "password": fourth, "client": "device"}), "receptionist", me.clinic)
    desk = Person(me.api, await desk("QuickSwitch", {"accountId": mine, "pin": "2580"}), "receptionist", me.clinic)
    await guest("DropPin")
    ott = (await desk("TakeOneTimeToken"))["token"]
    other = Person(me.api, await nobody("ExchangeOneTimeToken", {"token": ott}), "receptionist", me.clinic)
    other = Person(me.api, await other("SwitchClinic", {"clinicId": str(me.clinic)}), "receptionist", me.clinic)
    open_ones = (await other("BrowseSessions"))["items"]
    assert {one["client"] for one in open_ones} == {"web", "mobile", "device"}
    await other("EndOneSession", id=next(one["id"] for one in open_ones if one["client"] == "mobile"))
    await other("EndOtherSessions")
    assert len((await other("BrowseSessions"))["items"]) == 1
    acting = Person(me.api, await root("Impersonate", {"clinicId": str(me.clinic), "reason": "They called for help"}, id=mine), "receptionist", me.clinic)
    assert (await acting("GetMe"))["impersonatorId"] == root.session["user"]["id"]
    assert (await acting("LeaveImpersonation"))["user"]["role"] == "superadmin"
    assert mine in [one["id"] for one in (await root("BrowseAccountRow", query={"sort": "-openedAt"}))["items"]]


async def people(me: Person, ids: Json) -> None:
    """The platform's people see to everybody else."""
    root = await me.api.superadmin()
    email = f"pat-{me.clinic.hex}@example.org"
    kim = (await root("CreateSuperadmin", {"email": email, "name": "Pat"}))["id"]
    assert (await root("ResendAccountInvite", id=kim))["hasPassword"] is False
    assert (await root("ChangePlatformRole", {"accountId": kim, "role": "none"}))["superadmin"] is False
    assert (await root("ChangeAccount", {"name": "Pat Lund", "language": "es"}, id=kim))["name"] == "Pat Lund"
    hired = await root("AddToClinic", {"clinicId": str(me.clinic), "role": "receptionist"}, id=kim)
    await root("OverrideUserPermissions", {"permissions": {"patients.export": False}}, id=kim, clinicId=me.clinic)
    assert [one["name"] for one in (await root("ListClinicsOfAccount", id=kim))["items"]] == ["Grachten"]
    assert kim in {one["id"] for one in (await root("BrowseMemberships", query={"limit": "200"}))["items"]}
    assert kim in {one["id"] for one in (await root("BrowseUsers", query={"email": email}))["items"]}
    assert kim not in {one["id"] for one in (await root("BrowseMultiClinicUsers", query={"limit": "200"}))["items"]}
    assert (await root("RemoveFromClinic", id=kim, clinicId=me.clinic))["items"] == []
    me.position = root.position
    assert (await me("GetStaffRow", id=hired["id"]))["status"] == "removed"
    assert (await root("ChangeAccountStatus", {"status": "suspended", "reason": "A trial"}, id=kim))["status"] == "suspended"
    assert (await root("ChangeAccountStatus", {"status": "active"}, id=kim))["status"] == "active"
    assert (await root("ForcePasswordReset", id=kim))["hasPassword"] is False
    assert (await root("DeleteAccount", id=kim))["status"] == "deleted"
    asked = (await root("InviteToClinic", {"clinicId": str(me.clinic), "email": email, "name": "Pat", "role": "doctor"}))["id"]
    assert asked in {one["id"] for one in (await root("BrowseInvitations", query={"clinic": str(me.clinic)}))["items"]}
    await root("ResendInvitation", {}, id=asked)
    await me("CancelStaffInvitation", id=asked)
    patient = {"givenName": "Noor", "familyName": "Bakker", "email": f"noor-{me.clinic.hex}@example.org"}
    ids["portal"] = noor = (await me("RegisterPatient", patient))["id"]
    assert (await me("RefreshPatientAccess", {"patientId": noor}))["patientId"] == noor
    assert [one["current"] for one in (await me("ListMyClinics"))["items"]] == [True]


async def second_factors(me: Person, ids: Json) -> None:
    """An app, lost; codes by mail, lost; and each way in and out."""
    guest, root = await me.api.person(me.clinic, "receptionist"), await me.api.superadmin()
    nobody, mine = Person(me.api, {}, "", me.clinic), guest.session["user"]["id"]
    who, here = {"email": guest.email, "password": PASSWORD}, {"password": PASSWORD}

    async def half() -> str:
        answer = await nobody.send(Request(OPERATIONS["SignIn"], OPERATIONS["SignIn"].path, {}, who))
        token: str = answer.json()["details"][0]["mfaToken"]
        return token

    async def digits(purpose: str, sent: int) -> str:
        """Digits that replace those of the letter, once it is out."""
        async def out() -> bool:
            query = {"recipient": mine, "template": "account.second-factor-code"}
            return [one["status"] for one in (await root("BrowsePlatformLetterRow", query=query))["items"]].count("delivered") >= sent

        await until(out, 20)
        return await me.api.codes.issue_digits(purpose, UUID(mine), 60)

    app = TOTP((await guest("BeginSecondFactorSetup", {"method": "totp"}))["secret"])
    codes = (await guest("ConfirmSecondFactorSetup", {"code": app.at(moment := datetime.now(UTC))}))["codes"]
    assert (await guest("GetSecondFactorStatus"))["methods"] == ["totp", "recovery"]
    await nobody("VerifySecondFactor", {"mfaToken": await half(), "code": app.at(moment, counter_offset=1)})
    await nobody("RecoverSignIn", {"mfaToken": await half(), "recoveryCode": codes[0]})
    assert len((await guest("RegenerateRecoveryCodes", here))["codes"]) == 10
    await guest("MailRecoveryCodes", here)
    link = await me.api.codes.issue("recovery-codes", UUID(mine), 60)
    assert len((await guest("ViewRecoveryCodes", {"token": link}))["codes"]) == 10
    await guest("SwitchSecondFactorOff", here)
    await guest("SendSetupCode", {})
    await guest("ConfirmMfaSetup", {"method": "email", "code": await digits("second-factor-setup", 1)})
    await nobody("SendSecondFactorCode", {"mfaToken": (token := await half())})
    await nobody("VerifyMfa", {"mfaToken": token, "code": await digits("second-factor", 2)})
    assert (await nobody("RequestSecondFactorReset", {"email": guest.email}))["accepted"]
    await nobody("ResetSecondFactor", {**who, "token": await me.api.codes.issue("second-factor-reset", UUID(mine), 60)})
    guest = Person(me.api, await nobody("SignIn", who), "receptionist", me.clinic)
    app = TOTP((await guest("BeginTotpSetup", {}))["secret"])
    await guest("ConfirmSecondFactorSetup", {"code": app.now()})
    assert (await root("ForceSecondFactorOff", id=mine))["secondFactor"] is None


async def passkeys(me: Person, ids: Json) -> None:
    """A telephone opens the account, until it is sold."""
    guest, nobody = await me.api.person(me.clinic, "receptionist"), Person(me.api, {}, "", me.clinic)
    telephone = Authenticator(f"http://localhost:{me.api.client.base_url.port}")
    made = telephone.create(await guest("BeginPasskey", {"password": PASSWORD}))
    kept = (await guest("AddPasskey", {"credential": made, "name": "Telephone"}))["id"]
    used = telephone.get(await nobody("BeginPasskeySignIn"))
    assert (await nobody("SignInWithPasskey", {"credential": used}))["user"]["id"] == guest.session["user"]["id"]
    assert (await guest("RenamePasskey", {"name": "Old telephone"}, id=kept))["items"] == (await guest("BrowsePasskeys"))["items"]
    await guest("RemovePasskey", id=kept)


async def sessions(me: Person, ids: Json) -> None:
    """Going on, and ending it: afterwards the token opens nothing."""
    nobody = Person(me.api, {}, "", me.clinic)
    assert "P-256" in str(await nobody("Keys"))
    fresh = await nobody("RefreshSession", {"refreshToken": me.session["refreshToken"]})
    assert fresh["user"]["id"] == me.session["user"]["id"]
    for way in ("SignOut", "SignOutByLink"):
        guest = await me.api.person(me.clinic, "receptionist")
        await guest("GetClinicContext")
        await guest(way)
        assert (await guest.send(request_of(OPERATIONS["GetClinicContext"]))).status_code == 401


async def rebuilds(me: Person, ids: Json) -> None:
    """A read model is made anew, twice, for there is no way back past the erasure before the first; and the one before serves again."""
    root = await me.api.superadmin()
    for _ in range(2):
        await root("AskRebuild", {"readModels": ["rooms"]})
        await once_ended(root)
    assert [v["active"] for v in (await root("ListReadModels"))["items"] if v["name"] == "rooms"] == [False, True]
    asked = await root("GoBackToReadModel", {}, name="rooms")
    await once_ended(root)
    assert (await root("GetRebuildRow", id=asked["id"]))["status"] == "done"
    asked = await root("AskRebuild", {"readModels": ["rooms"], "clinic": str(me.clinic), "fresh": True})
    await root("CancelRebuild", {}, id=asked["id"])
    await once_ended(root)
    asked = await root("BackfillPatientSearch", {})
    await once_ended(root)
    assert (await root("GetRebuildRow", id=asked["id"]))["status"] == "done"


async def once_ended(root: Person) -> None:
    async def none_open() -> bool:
        found = (await root("BrowseRebuildRow"))["items"]
        return all(one["status"] not in {"asked", "running"} for one in found)

    await until(none_open)


async def waiting_list(me: Person, ids: Json) -> None:
    """Two want to come earlier; one is offered a time and takes it by the link, the other is offered times by the desk, and gives up."""
    doctor, nobody = ids["staff"], Person(me.api, {}, "", me.clinic)
    await me("ChangeWaitingListSettings", {"automatic": False, "answer": 60})
    assert (await me("GetWaitingListSettings"))["answer"] == 60
    jip, kok = [(await me("RegisterPatient", {"givenName": "Jip", "familyName": name}))["id"] for name in ("Kok", "Smit")]
    wish = {"doctorId": doctor, "duration": 30, "earliest": MONDAY.isoformat(), "until": MONDAY.isoformat()}
    ids["waiting_list"] = first = (await me("AddWaitingEntry", {**wish, "patientId": jip, "rank": "high"}))["id"]
    other = (await me("AddWaitingEntry", {**wish, "patientId": kok, "times": [{"weekdays": ["monday"], "end": "12:00"}]}))["id"]
    assert (await me("ChangeWaitingEntry", {**wish, "rank": "urgent", "note": "In pain"}, id=first))["rank"] == "urgent"
    assert [one["id"] for one in (await me("BrowseWaitingListEntry", query={"status": "waiting"}))["items"]] == [first, other]
    slot = (await me("ListSlotsForWaiting", id=first))["items"][0]
    found = await me("ListSuitedByTime", query={"doctorId": doctor, "start": slot["startsAt"]})
    assert [one["id"] for one in found["items"]] == [first, other]
    offered = {"doctorId": doctor, "start": slot["startsAt"], "roomId": slot["rooms"][0]["id"] if slot["rooms"] else None}
    ids["slot_offers"] = offer = (await me("OfferSlot", {**offered, "entryId": first}))["id"]
    assert [one["id"] for one in (await me("BrowseSlotOfferEntry", query={"status": "open"}))["items"]] == [offer]
    await me("DeclineSlotOffer", {"reason": "Away"}, id=offer)
    again = (await me("OfferSlot", {**offered, "entryId": other, "minutes": 30}))["id"]
    assert (await me("WithdrawSlotOffer", id=again))["status"] == "withdrawn"
    accepted = await me("AcceptSlotOffer", {}, id=(await me("OfferSlot", {**offered, "entryId": first}))["id"])
    await me("RemoveAppointment", id=accepted["appointmentId"])
    third = (await me("OfferSlot", {**offered, "entryId": other}))["id"]
    token = me.api.links.token("slot-offer", UUID(third), 1)
    assert (await nobody("GetSlotOffer", token=token))["status"] == "open"
    assert (await nobody("AnswerSlotOffer", {"response": "decline"}, token=token))["status"] == "declined"
    me.position = nobody.position
    assert (await me("GetSlotOfferEntry", id=third))["way"] == "link"
    assert (await me("RemoveWaitingEntry", query={"reason": "Went elsewhere"}, id=other))["status"] == "removed"
    await me("ReopenWaitingEntry", {}, id=other)
    assert (await me("GetWaitingListEntry", id=other))["unanswered"] == 0
    await me("RemoveWaitingEntry", id=other)


async def group_sessions(me: Person, ids: Json) -> None:
    """A course for two, in which one has a seat; it is moved, and does not take place after all."""
    wish = {"doctorId": ids["staff"], "date": (MONDAY + timedelta(weeks=9)).isoformat(), "duration": 30}
    slot = (await me("BrowseAvailableSlots", query=wish))["items"][-1]
    wanted = {"doctorId": ids["staff"], "start": slot["startsAt"], "duration": 30, "type": "Back school", "capacity": 2}
    ids["group_sessions"] = group = (await me("PlanGroupSession", wanted))["id"]
    visit = (await me("BookAppointment", {"patientId": ids["patients"], "doctorId": ids["staff"], "start": slot["startsAt"], "groupId": group}))["id"]
    assert [one["id"] for one in (await me("BrowseCalendarEntry", query={"groupId": group}))["items"]] == [visit]
    assert [(one["id"], one["seatsLeft"]) for one in (await me("BrowseGroupSessionEntry", query={"status": "planned"}))["items"]] == [(group, 1)]
    assert (await me("ChangeGroupSession", {**wanted, "capacity": 3, "notes": "Mats"}, id=group))["capacity"] == 3
    assert (await me("GetGroupSessionEntry", id=group))["taken"] == 1
    assert (await me("CancelGroupSession", query={"reason": "Ill"}, id=group))["status"] == "cancelled"
    assert (await me("GetAppointmentRow", id=visit))["status"] == "cancelled"
    await me("RemoveAppointment", id=visit)


async def waiting(me: Person, ids: Json) -> None:
    """Somebody has an appointment and somebody has none; one is seen, the other has to go, comes back and scans the code at the entrance."""
    now = datetime.now(ZoneInfo(ZONE)).replace(second=0, microsecond=0, tzinfo=None)
    wanted = {"doctorId": ids["staff"], "roomId": ids["rooms"], "start": now.isoformat(), "duration": 30, "overbook": True, "reason": "In pain"}
    jip = (await me("RegisterPatient", {"givenName": "Jip", "familyName": "Kok"}))["id"]
    visit = (await me("BookAppointment", {**wanted, "patientId": jip}))["id"]
    link = (await me("ShareAppointment", id=visit))["token"]
    await me("GetAppointmentRow", id=visit)
    here = await me("CheckIn", {"appointmentId": visit})
    assert (here["id"], here["number"], here["status"]) == (visit, 1, "WAITING")
    ids["queue"] = entry = (await me("QueuePatient", {"patientId": ids["patients"], "notes": "A cracked tooth"}))["id"]
    await me("RankQueueEntry", {"rank": "high", "reason": "In pain"}, id=visit)
    await me("RankQueueEntry", {"rank": "urgent", "reason": "Bleeding"}, id=entry)
    await me("PlaceQueueEntry", {"doctorId": ids["staff"], "roomId": ids["rooms"]}, id=entry)
    queue = await me("GetQueue", query={"doctorId": ids["staff"], "active": "true"})
    assert [(one["number"], one["before"]) for one in queue["items"]] == [(2, 0), (1, 1)]
    assert [line["number"] for line in (await me("GetQueueBoard"))["items"]] == [2, 1]
    await me("MoveQueueEntry", {"status": "IN_PROGRESS"}, id=entry)
    (session,) = (await me("GetActiveSession", query={"doctorId": ids["staff"]}))["items"]
    assert (session["now"]["id"], session["next"]["id"]) == (entry, visit)
    await me("MoveQueueEntry", {"status": "COMPLETED"}, id=entry)
    assert (await me("GetQueueEntry", id=entry))["endedAt"]
    await me("MoveQueueEntry", {"status": "CANCELLED", "reason": "The parking meter"}, id=visit)
    code, nobody = (await me("GetEntranceCode"))["token"], Person(me.api, {}, "", me.clinic)
    assert (await me("DrawEntranceCode")).startswith("<?xml")
    await me("PaintEntranceCode")
    assert (await nobody("SeeEntrance", token=code))["clinicName"] == "Grachten"
    assert (await nobody("Arrive", {"code": code, "link": link}))["number"] == 1
    await me("RemoveAppointment", id=visit)


async def operations(me: Person, ids: Json) -> None:
    nobody = Person(me.api, {}, "", me.clinic)
    assert (await nobody("Health"))["status"] == "ok"
    assert "anamnesis_tracked_position" in await nobody("Metrics")


def request_of(operation: Operation) -> Request:
    return Request(operation, operation.path, {}, None)


CHAPTERS = [
    clinics,
    modules,
    plans,
    staff,
    permissions, invitations, api_keys, webhooks, mobile,
    rooms,
    schedules,
    patients,
    consents,
    portal,
    appointments,
    absences,
    clocks,
    recurrences,
    waiting_list,
    group_sessions,
    recalls,
    invoices,
    quotations,
    installments,
    payroll,
    commissions,
    insured, insurance,
    card_payments,
    expenses,
    tills,
    visit_fees,
    letters,
    figures,
    credited, screens,
    subscriptions,
    subscription_invoices,
    upgrades,
    referral_payouts,
    billing,
    referrals,
    leads, deleted_leads,
    waiting,
    devices,
    records,
    events,
    accounts,
    second_factors,
    passkeys,
    signups,
    sessions,
    operations,
    people, leaving, rebuilds,
]


async def walked(api: Api) -> tuple[Person, Json]:
    """Walk through all of it, in a new clinic."""
    _, me = await opened(api, "Grachten")
    ids: Json = {"clinics": str(me.clinic)}
    for chapter in CHAPTERS:
        await chapter(me, ids)
    return me, ids


def test_the_walk_would_notice_an_answer_that_is_not_documented() -> None:
    """Bad samples: a status, a header, a field and a type that the document does not know."""
    fetch = OPERATIONS["GetNextInvoiceNumber"]
    headers = {"x-request-id": "1", "content-type": "application/json"}
    good = httpx.Response(200, headers=headers, json={"number": "2026-000001"})
    assert undocumented(fetch, good) == []
    for bad in (
        httpx.Response(201, headers=headers, json={"number": "2026-000001"}), httpx.Response(200, json={"number": "2026-000001"}),
        httpx.Response(200, headers=headers, json={"number": "1", "more": 1}), httpx.Response(200, headers=headers, json={"number": 1}),
        httpx.Response(200, headers=headers, json={}), httpx.Response(200, headers={**headers, "content-type": "text/html"}, text=""),
        httpx.Response(200, headers={**headers, "content-type": "application/json; charset=utf-8; charset=utf-8"}, json={"number": "2026-000001"}),
    ):
        assert undocumented(fetch, bad), bad.text
