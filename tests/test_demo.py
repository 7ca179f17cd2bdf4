"""The demo: two believable years of three clinics, made by the real commands, the same for the same seed and day."""

import hmac
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from anamnesis import demo
from anamnesis.demo.places import PLACES, easter, nth
from anamnesis.installation import Installation
from anamnesis.trouble import Trouble
from commands.kit.ids import mac_content
from commands.kit.vault import HASHER
from domain.kit import PLATFORM, zone
from domain.kit.codec import classes, decode
from projections.kit.keys import KeyRing
from projections.kit.rebuild import verify
from projections.kit.stored import COLUMNS, Stored
from tests.test_store import chain_of

UNTIL = date(2026, 3, 20)  # the days when the clocks change lie in it, both ways and on both halves of the globe
MIDNIGHT = datetime(2026, 3, 20, tzinfo=UTC)


class Made:
    """A database with a demo in it."""

    def __init__(self, database, seed, *, apart=None):
        self.database = database
        home = database.postgres.home
        roles = {role: database.url(role) for role in ("owner", "gateway", "relay", "projector", "courier", "notary")}
        self.installation = Installation(home.path, home.secrets(), roles, dict.fromkeys(("gateway", "relay", "projector", "courier"), "nats://nowhere:1"))
        demo.run(self.installation, size="small", seed=seed, until=UNTIL, told=lambda *_: None, apart=apart)
        self.events = [Stored(*row) for row in self.rows(f"select {COLUMNS} from stored_events order by notification_id")]  # noqa: S608 - constants
        self.topics = Counter(event.topic for event in self.events)

    def rows(self, query, *params):
        with psycopg.connect(self.database.url(), autocommit=True) as conn:
            return conn.execute(query, params).fetchall()

    def bodies(self, topic):
        return [msgspec.json.decode(event.body) for event in self.events if event.topic == topic]

    def share(self, topic, of="AppointmentBooked"):
        return self.topics[topic] / self.topics[of]


@pytest.fixture(scope="module")
def made(make_database):
    return Made(make_database(), seed=1)


def test_a_small_demo_has_about_ten_thousand_events(made):
    assert 8_000 <= len(made.events) <= 13_000


# who signs in, how clinics pay, who insures patients and what is written to people is no part of the story
OTHERS = {f"domain.{module}" for module in (
    "accounts", "sessions", "plans", "email_templates", "letters", "subscriptions", "subscription_invoices",
    "upgrades", "referral_payouts", "signups", "invite_codes", "demo_requests", "referrals", "referral_leads", "leads", "lead_forms", "insurance_payers", "insurance_covers", "insurance_claims", "fee_schedules")}
UNTOLD = {  # events that the demo's story does without -> why
    **dict.fromkeys(["ClinicDeactivated", "ClinicReactivated", "ClinicDeleted", "ClinicExported", "EvidenceExported", "ClinicClosing", "ClinicClosingReminded", "ClinicKept"], "its clinics thrive"),
    **dict.fromkeys([
        "AppointmentSeriesBooked", "AppointmentSeriesExtended", "AppointmentSeriesChanged", "AppointmentSeriesCancelled", "AppointmentSeriesReassigned"], "its people book one visit at a time"),
    **dict.fromkeys(["AbsenceSettled", "AbsenceUndone"], "its doctors are never ill"),
    **dict.fromkeys(["AppointmentRetimed", "BlockRetimed", "GroupSessionRetimed", "HoldRetimed", "ClinicZoneChanged", "ClinicClocksSet"], "its clinics stay where they are"),
    **dict.fromkeys(["EmergencyOpened", "EmergencyClosed"], "nobody lies unconscious before somebody who may not look"),
    **dict.fromkeys([
        "QuotationDrafted", "QuotationEdited", "QuotationIssued", "QuotationSent", "QuotationAccepted", "QuotationDeclined", "QuotationReissued", "QuotationConverted",
        "QuotationWithdrawn"], "nobody of it asks beforehand what it will cost"),
    **dict.fromkeys(["InvoiceCredited", "PaymentReallocated", "PaymentReversed"], "nobody of it bills or books anything wrongly"),
    **dict.fromkeys(["CreditReceived", "CreditReversed", "CreditGained", "CreditUsed", "CreditReturned", "CreditReassigned", "CreditApplied"], "its people pay what they are billed"),
    **dict.fromkeys(["InvoiceSent", "ReceiptIssued", "ReceiptSent", "DocumentShared", "DocumentLinkRevoked", "DocumentViewed"], "its bills are handed over on paper"),
    **dict.fromkeys([
        "InstallmentPlanMade", "InstallmentTermsChanged", "InstallmentPlanPaused", "InstallmentPlanResumed", "InstallmentPlanCancelled", "InstallmentTermBilled",
        "InstallmentPlanReassigned"], "its patients pay at once"),
    **dict.fromkeys([
        "PayrollEmployeeAdded", "PayrollEmployeeChanged", "PeriodSettled", "PeriodReleased", "PayrollPeriodOpened", "PayrollPeriodTaken", "PayrollPeriodGivenBack",
        "PayrollPeriodRemoved", "PayrollRunDrafted", "PayrollRunChanged", "PayrollRunApproved", "PayrollRunPaid", "PayrollRunVoided"], "another program pays its people"),
    **dict.fromkeys(["CommissionRuleMade", "CommissionRuleChanged", "CommissionRuleRemoved"], "likewise"),
    **dict.fromkeys(["ProcedureCostSet", "ProcedureCostDropped"], "what procedures cost them neither"),
    **dict.fromkeys(["ExpenseRecorded", "ExpenseCorrected", "ExpenseStruckOut"], "what its clinics spend is not told"),
    **dict.fromkeys(["FeeSettingsChanged", "VisitFeeCharged", "VisitFeeSpared", "VisitFeeWaived", "VisitFeeWithdrawn"], "its clinics forgive whoever does not come"),
    **dict.fromkeys(["TillOpened", "TillClosed", "TillReopened"], "nobody counts its tills"),
    **dict.fromkeys([
        "PaymentAccountConnected", "PaymentAccountDisconnected", "CheckoutOpened", "CheckoutLapsed", "CardPaymentReceived", "CardPaymentReturned"],
        "its patients pay at the desk"),
    **dict.fromkeys(["PersonErased", "ErasureRefused"], "nobody asks to be forgotten"),
    **dict.fromkeys(["RetentionSet", "LegalHoldPlaced", "LegalHoldLifted"], "they keep their records as usual, and nobody sues"),
    **dict.fromkeys(["ClinicBrandingSet", "ClinicBrandingRemoved"], "a demo has no pictures"),
    **dict.fromkeys([
        "StaffInvited", "StaffInvitationResent", "StaffInvitationCancelled", "StaffJoined", "StaffAccountGiven"], "its people were there from the beginning"),
    **dict.fromkeys([
        "PatientsMerged", "PatientReplaced", "PatientsUnmerged", "PatientReinstated", "AppointmentReassigned", "InvoiceReassigned", "QuotationReassigned", "ReceiptReassigned"], "everybody is registered once"),
    **dict.fromkeys([
        "PatientAccessRefreshed", "PatientContactChanged", "MedicalHistoryReported", "PortalInvited", "PortalInvitationCancelled", "PortalJoined"],
        "nobody of it uses the portal"),
    **dict.fromkeys(["ReminderSettingsChanged", "ReminderQueued", "ReminderSkipped", "MessageWishesChanged"], "its patients forget nothing"),
    **dict.fromkeys([
        "WaitingEntryAdded", "WaitingEntryChanged", "WaitingEntryRemoved", "WaitingEntryServed", "WaitingEntryEnded", "WaitingEntryReopened", "WaitingEntryReassigned",
        "WaitingListSettingsChanged", "SlotOffered", "SlotOfferAccepted", "SlotOfferDeclined", "SlotOfferLapsed", "SlotOfferWithdrawn"], "nobody of it wants to come earlier"),
    **dict.fromkeys([
        "GroupSessionPlanned", "GroupSessionMoved", "GroupSessionChanged", "GroupSessionCancelled", "GroupSeatTaken", "GroupSeatKept"], "everybody is seen alone"),
    **dict.fromkeys(["PlaceOpened", "PlaceChanged", "PlaceClosed"], "each of its clinics is in one place"),
    **dict.fromkeys(["AppointmentTypeAdded", "AppointmentTypeChanged", "AppointmentTypeDeleted"], "its visits are called as they come"),
    **dict.fromkeys(["CalendarFeedOpened", "CalendarFeedClosed"], "its doctors look at the wall"),
    **dict.fromkeys(["MissUndone", "ArrivalUndone", "SeatingUndone", "TurnRanked"], "whoever has arrived stays, and is seen in turn"),
    **dict.fromkeys([
        "PatientQueued", "QueueEntryStarted", "QueueEntryReturned", "QueueEntryCompleted", "QueueEntryCancelled", "QueueEntryPlaced", "QueueEntryRanked", "QueueEntryReassigned"],
        "everybody has an appointment"),
    **dict.fromkeys(["TimeHeld", "HoldExtended", "HoldReleased", "HoldUsed"], "its desk books at once"),
    **dict.fromkeys(["AppointmentLinkShared", "AppointmentLinkRevoked", "AppointmentSummaryAsked"], "its patients answer by telephone"),
    **dict.fromkeys([
        "RecallScheduled", "RecallRearranged", "RecallReworded", "RecallAttempted", "RecallBooked", "RecallDeclined", "RecallCancelled", "RecallReopened", "RecallReassigned",
        "RecallsRefused", "RecallsWelcomed"], "its patients come again by themselves"),
    **dict.fromkeys([
        "PatientBlocked", "PatientUnblocked", "PatientGroupsChanged", "PatientFavoured", "PatientUnfavoured", "PatientNoteWritten", "PatientNoteAmended", "PatientNotePinned",
        "PatientNoteUnpinned", "PatientNoteRemoved", "RelationAdded", "RelationChanged", "RelationEnded"], "its desk knows everybody by heart"),
    **dict.fromkeys([
        "RecallCampaignDrafted", "RecallCampaignChanged", "RecallCampaignStarted", "RecallCampaignPaused", "RecallCampaignResumed", "RecallCampaignCancelled",
        "RecallCampaignFinished", "CampaignCallQueued", "CampaignCallSkipped"], "its patients come again by themselves"),
    **dict.fromkeys(["ImportStarted", "ImportCancelled", "ImportFinished", "ImportUndoStarted", "ImportUndone"], "its patients came one by one"),
    **dict.fromkeys(["SyncConflictKept", "SyncConflictSettled"], "its front ends have a connection"),
    **dict.fromkeys([
        "MedicalEntryAdded", "MedicalEntryAmended", "MedicalEntryEnded", "MedicalEntryRefuted", "MedicalEntryReopened"], "its doctors enter a history as a whole"),
    **dict.fromkeys([
        "ConsentFormDefined", "ConsentFormRevised", "ConsentFormRetired", "ConsentFormRestored", "ConsentGiven", "ConsentWithdrawn"], "its consents are on paper"),
    **dict.fromkeys(["DuplicateDismissed", "DuplicateReopened"], "nobody in it is taken for another one"),
    "PatientPreferencesChanged": "nobody in it is asked",
    "PatientSourceSet": "everybody says at once how they came",
    **dict.fromkeys(["ApiKeyIssued", "ApiKeyRevoked", "MobileModuleSwitched"], "no program or telephone comes to it"),
    **dict.fromkeys([
        "WebhookAdded", "WebhookChanged", "WebhookSecretRotated", "WebhookEnabled", "WebhookDisabled", "WebhookTestAsked", "WebhookResendAsked", "WebhookDeleted"], "likewise"),
    **dict.fromkeys(["PermissionTemplateSet", "PermissionTemplateReset", "StaffPermissionsOverridden"], "its people do as their roles say"),
}


def test_every_kind_of_event_occurs(made):
    told = {name for name, cls in classes().items() if cls.__module__.startswith("domain.") and cls.__module__ not in OTHERS} - set(UNTOLD)
    assert set(made.topics) >= told
    assert not set(made.topics) & set(UNTOLD)


def test_whoever_arrives_gets_the_next_number_of_the_day(made):
    numbers = defaultdict(list)
    for event in made.events:
        if event.topic == "PatientArrived":
            said = msgspec.json.decode(event.body)
            numbers[event.clinic, said["on"]].append(said["turn"]["number"])
    assert len(numbers) > 100
    assert all(given == list(range(1, len(given) + 1)) for given in numbers.values())


def test_people_behave_as_people_do(made):
    assert 0.15 <= made.share("AppointmentRescheduled") <= 0.25
    assert 0.05 <= made.share("PatientMissed") <= 0.10
    assert 0.05 <= made.share("AppointmentCancelled") <= 0.18
    assert 0.10 <= sum(body["late"] for body in made.bodies("AppointmentCancelled")) / made.topics["AppointmentCancelled"] <= 0.70
    assert 0.01 <= made.share("PaymentRefunded", of="PaymentRecorded") <= 0.06


def test_some_pay_in_parts_some_later_and_some_not_at_all(made):
    payments = Counter(event.stream for event in made.events if event.topic == "PaymentRecorded")
    issued = {event.stream: msgspec.json.decode(event.body) for event in made.events if event.topic == "InvoiceIssued"}
    days = [
        date.fromisoformat(msgspec.json.decode(event.body)["paidOn"]) - date.fromisoformat(issued[event.stream]["issuedOn"])
        for event in made.events if event.topic == "PaymentRecorded"
    ]
    assert 0.05 <= sum(count > 1 for count in payments.values()) / len(issued) <= 0.25
    assert 0.10 <= sum(day > timedelta(days=1) for day in days) / len(days) <= 0.60
    assert 0.02 <= 1 - len(payments) / len(issued) <= 0.15


def test_most_patients_are_regulars_and_many_come_as_a_family(made):
    visits = Counter(body["patientId"] for body in made.bodies("AppointmentBooked"))
    ring = key_ring(made)
    homes = Counter(opened(event, ring).address for event in made.events if event.topic == "PatientRegistered")
    assert sum(count > 1 for count in visits.values()) / len(visits) > 0.5
    assert sum(count for count in homes.values() if count > 1) / homes.total() > 0.3


def test_nobody_works_on_a_holiday(made):
    zones = dict(made.rows("select clinic_id, convert_from(state, 'UTF8')::json ->> 'zone' from stored_events where topic = 'ClinicOpened'"))
    places = {place.zone: place for place in PLACES}
    held = [(places[zones[e.clinic]], date.fromisoformat(msgspec.json.decode(e.body)["on"])) for e in made.events if e.topic == "PatientSeated"]
    assert not [on for place, on in held if on in place.holidays(on.year)]
    assert all(exception["on"] for body in made.bodies("ScheduleSet") for exception in body["exceptions"])
    assert (easter(2025), easter(2026), easter(2027)) == (date(2025, 4, 20), date(2026, 4, 5), date(2027, 3, 28))
    assert (nth(2025, 11, 3, 4), nth(2025, 5, 0, -1)) == (date(2025, 11, 27), date(2025, 5, 26))


def test_the_zones_lie_on_both_sides_of_greenwich(made):
    zones = {body["zone"]: body["currency"] for body in made.bodies("ClinicOpened")}
    offsets = {datetime(2026, 1, 15, tzinfo=UTC).astimezone(zone(name)).utcoffset() for name in zones}
    assert len(zones) == len(set(zones.values())) == 3
    assert min(offsets) < timedelta() < max(offsets)


def test_the_history_is_two_years_long_and_goes_on(made):
    lived = [event for event in made.events if event.clinic != PLATFORM]  # its accounts are opened when it is made
    first, last = (datetime.fromtimestamp(event.recorded_us / 1e6, UTC) for event in (lived[0], lived[-1]))
    assert MIDNIGHT - timedelta(days=731) <= first <= MIDNIGHT - timedelta(days=729)
    assert MIDNIGHT - timedelta(days=1) <= last < MIDNIGHT
    ahead = [body["on"] for body in made.bodies("AppointmentBooked") if body["on"] > UNTIL.isoformat()]
    assert len(ahead) > 20
    assert min(ahead) <= (UNTIL + timedelta(days=4)).isoformat()  # over a weekend at most


def test_time_never_runs_backwards_in_a_clinic(made):
    times = defaultdict(list)
    for event in made.events:
        times[event.clinic].append(event.recorded_us)
    assert len(times.keys() - {PLATFORM}) == 3
    assert all(earlier <= later for each in times.values() for earlier, later in pairwise(each))


def test_nobody_is_in_two_places_at_once(made):
    clashes = made.rows("""
        select * from (
            select resource, starting, ending, lag(ending) over (partition by resource order by starting) as before from time_claims where not forced
        ) c where before > starting""")
    assert made.rows("select count(*) from time_claims where not forced")[0][0] > 1_000
    assert made.rows("select count(*) from time_claims where forced")[0][0] > 0
    assert not clashes


def test_positions_are_dense_and_the_chain_is_unbroken(made):
    assert [event.position for event in made.events] == list(range(1, len(made.events) + 1))
    assert {event.position: event.hash for event in made.events} == chain_of(made.events)


def test_every_event_carries_the_mac_of_this_installation(made):
    key = made.installation.settings("gateway").mac_key
    for e in made.events:
        content = mac_content(e.event_id, e.clinic, e.stream, e.version, e.topic, e.actor, e.command, e.body)
        assert hmac.compare_digest(e.mac, hmac.digest(key, content, "sha256"))


def test_every_event_can_be_read_and_its_personal_data_with_the_key(made):
    """Decoding checks every constraint that a request would have met."""
    ring = key_ring(made)
    for event in made.events:
        opened(event, ring)
    registered = [opened(event, ring) for event in made.events if event.topic == "PatientRegistered"]
    names = {event.given_name for event in registered}
    assert None not in names
    assert any(not name.isascii() for name in names)


def lasting_events(made):
    """Return the story; who may sign in to it has passwords of its own each time."""
    return [lasting(event) for event in made.events if event.kind != "accounts"]


def test_the_same_seed_and_day_make_the_same_history(made, make_database):
    again = Made(make_database(), seed=1)
    assert lasting_events(again) == lasting_events(made)


def test_made_apart_each_clinic_is_the_same_and_all_of_it_is_shown(made, make_database):
    apart = Made(make_database(), seed=1, apart=True)
    assert by_clinic(apart) == by_clinic(made)
    assert {at for (at,) in apart.rows("select position from projector_tracking")} == {len(apart.events)}
    assert apart.rows("select owner from projector_tracking where owner is not null") == []
    report = verify(apart.database.url("owner"), kek=apart.installation.settings("owner").kek)
    assert report.equal
    assert report.position == len(apart.events)


def test_another_seed_makes_another_history():
    def commands(seed):
        return [(ask.at, ask.id, ask.command) for ask in demo.asks(demo.houses("small", seed, UNTIL))]

    assert commands(1) == commands(1)
    assert commands(1) != commands(2)


def test_there_is_a_login_for_each_role_of_each_clinic(made):
    logins = demo.logins(made.installation)
    ring = key_ring(made)
    told = [(event.stream, opened(event, ring)) for event in made.events if event.kind == "accounts"]
    emails = {stream: said.email for stream, said in told if type(said).__name__ == "AccountOpened"}
    places = [(stream, said) for stream, said in told if type(said).__name__ == "PlaceGiven"]
    clinics = {event.clinic for event in made.events if event.topic == "ClinicOpened"}
    streams = {event.stream for event in made.events}
    assert {login.email for login in logins} == set(emails.values())
    assert {login.role for login in logins} == {"superadmin", "admin", "doctor", "receptionist", "patient"}
    assert Counter(said.clinic_id for _, said in places) == dict.fromkeys(clinics, 4)
    assert all(said.subject_id in streams for _, said in places)
    secrets = {said.secret_id: stream for stream, said in told if type(said).__name__ == "PasswordChanged"}
    kept = made.rows("select id, owner, convert_from(secret, 'UTF8') from vault")
    assert {id_: owner for id_, owner, _ in kept} == secrets
    assert all(HASHER.verify(hashed, logins[0].password) for _, _, hashed in kept)


def test_a_database_with_events_is_left_alone(made):
    with pytest.raises(Trouble, match="this database has events"):
        demo.run(made.installation, size="small", seed=2)
    assert made.rows("select position from store_head") == [(len(made.events),)]


def key_ring(made):
    """Return the keys of everybody in the demo."""
    ring = KeyRing(made.installation.settings("gateway").kek)
    with psycopg.connect(made.database.url(), autocommit=True) as conn:
        ring.warm_sync(conn, [event.person for event in made.events])
    return ring


def opened(event, ring):
    """Return an event with its personal data."""
    return decode(event.topic, event.body, event_id=event.event_id, person=event.person, key_of=ring.key_of)


def lasting(event):
    """Return what two demos of one seed and day have in common: all but what is drawn anew for secrecy, and what rests on that."""
    body = {name: value for name, value in msgspec.json.decode(event.body).items() if name != "sealed"}
    drawn = {"event_id", "mac", "hash", "body"}
    return body, [getattr(event, field) for field in Stored.__struct_fields__ if field not in drawn]


def by_clinic(made):
    """Return what two demos of one seed and day have in common of each clinic, in whatever order the clinics' events lie between each other."""
    found = defaultdict(list)
    for event in made.events:
        if event.kind != "accounts":
            found[event.clinic].append(lasting(replace(event, position=0)))
    return found
