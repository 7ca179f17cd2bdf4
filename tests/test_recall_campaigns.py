"""Campaigns: whoever has not come for long is written to once in a window, whatever is changed and however many look; at day, in their language, and not if they do not want it."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.appointments import ChangeAppointmentStatus
from commands.patients import ChangePatientPreferences, MergePatients, RegisterPatient
from commands.recall_campaigns import (
    Callee,
    CallForCampaign,
    CancelRecallCampaign,
    ChangeRecallCampaign,
    DraftRecallCampaign,
    FinishRecallCampaign,
    PauseRecallCampaign,
    StartRecallCampaign,
)
from domain.kit import Elsewhere, only
from domain.patients import Patient
from domain.recall_campaigns import (
    CampaignAudienceEmpty,
    CampaignCallQueued,
    CampaignCallSkipped,
    CampaignDatesImpossible,
    CampaignNotRunning,
    CampaignOver,
    CampaignStartedAlready,
    Plan,
    RecallCampaign,
    RecallCampaignCancelled,
    RecallCampaignChanged,
    RecallCampaignDrafted,
    RecallCampaignFinished,
    RecallCampaignPaused,
    RecallCampaignResumed,
    RecallCampaignStarted,
    call_of,
    recall_of,
    window_of,
)
from domain.recalls import Recall, RecallScheduled
from gateway.recall_campaigns import tend
from projections.kit.rebuild import verify
from tests.clinic import Town
from tests.kit import given, noon
from tests.mail import text
from tests.served import failure, today_there, until
from tests.test_reminders import town  # noqa: F401 - a fixture

NOOR, OURS = uuid4(), uuid4()
PLAN = Plan(name="Spring", kind="check-up", starts_on=noon.today)
drafted = RecallCampaignDrafted(**only(Plan, PLAN))
begun = (drafted, RecallCampaignStarted())
LONG_AGO = datetime(2024, 3, 11, 9)  # noqa: DTZ001 - as people say it


# --- a campaign's life


def test_a_campaign_is_drafted_changed_and_started():
    given().when(DraftRecallCampaign(**only(Plan, PLAN))).then(drafted)
    other = replace(PLAN, months=6, message="We have moved.")
    given(drafted).when(ChangeRecallCampaign(**only(Plan, other))).then(RecallCampaignChanged(**only(Plan, other)))
    given(drafted).when(ChangeRecallCampaign(**only(Plan, PLAN))).then()
    given(drafted).when(StartRecallCampaign()).then(RecallCampaignStarted())
    given(*begun).when(StartRecallCampaign()).then()


def test_it_is_paused_goes_on_and_is_cancelled_for_good():
    given(*begun).when(PauseRecallCampaign()).then(RecallCampaignPaused())
    given(*begun, RecallCampaignPaused()).when(StartRecallCampaign()).then(RecallCampaignResumed())
    given(drafted).when(PauseRecallCampaign()).refused(CampaignNotRunning)
    given(*begun).when(CancelRecallCampaign()).then(RecallCampaignCancelled())
    for command in (StartRecallCampaign(), PauseRecallCampaign(), ChangeRecallCampaign(**only(Plan, PLAN))):
        given(*begun, RecallCampaignCancelled()).when(command).refused(CampaignOver)
    given(*begun).when(FinishRecallCampaign()).then(RecallCampaignFinished())
    given(*begun, RecallCampaignFinished()).when(CancelRecallCampaign()).refused(CampaignOver)
    given(*begun, RecallCampaignPaused()).when(FinishRecallCampaign()).then()


@pytest.mark.parametrize(("change", "refusal"), [
    ({"within_months": 12}, CampaignAudienceEmpty), ({"age_from": 40, "age_to": 39}, CampaignAudienceEmpty),
    ({"starts_on": noon.today - timedelta(days=1)}, CampaignDatesImpossible), ({"starts_on": noon.today + timedelta(days=800)}, CampaignDatesImpossible),
])
def test_what_means_nobody_is_refused(change, refusal):
    given().when(DraftRecallCampaign(**{**only(Plan, PLAN), **change})).refused(refusal)


@pytest.mark.parametrize("change", [{"starts_on": noon.today + timedelta(days=1)}, {"repeat_months": 6}, {"kind": "hygiene"}])
def test_what_its_windows_hang_on_stays_once_it_has_started(change):
    given(*begun).when(ChangeRecallCampaign(**{**only(Plan, PLAN), **change})).refused(CampaignStartedAlready)
    given(drafted).when(ChangeRecallCampaign(**{**only(Plan, PLAN), **change})).then(RecallCampaignChanged(**{**only(Plan, PLAN), **change}))


@forall(st.dates(date(2020, 1, 1), date(2026, 1, 1)), st.integers(0, 3000), st.none() | st.integers(1, 24))
def test_windows_follow_each_other_without_a_gap(starts, days, repeat):
    assert window_of(starts, repeat, starts - timedelta(days=1)) is None
    assert window_of(starts, repeat, starts) == 0
    found = [window_of(starts, repeat, starts + timedelta(days=n)) for n in (days, days + 1)]
    assert found[1] - found[0] in ({0} if repeat is None else {0, 1})


# --- a patient's call


GOOD = Callee(reachable=True, wanted=True, opened=None, ours=False, had=False)
call = CallForCampaign(campaign_id=OURS, patient_id=NOOR, window=0)
whom = {"campaign_id": OURS, "patient_id": NOOR, "window": 0}
CALL = call_of(OURS, NOOR, 0)
queued = CampaignCallQueued(**whom, recall_id=recall_of(CALL))


def at(*events, campaign=begun, patient=Patient(registered=True), awake=None, **callee):  # noqa: B008 - frozen
    return given(*events).looking(campaign=RecallCampaign.replay(campaign), patient=patient, callee=replace(GOOD, **callee), awake=awake)


def test_a_patient_is_called_once_and_has_a_recall():
    made = RecallScheduled(patient_id=NOOR, kind="check-up", date=noon.today, channel="email", batch_id=OURS)
    at().when(call).then(queued, Elsewhere(state=Recall, id=recall_of(CALL), events=[made]))
    at(queued).when(call).then()
    opened = uuid4()
    at(opened=opened, ours=True).when(call).then(CampaignCallQueued(**whom, recall_id=opened))


def test_nobody_is_called_at_night_nor_by_a_campaign_that_is_not_under_way_nor_twice_under_two_records():
    at(awake=noon.now).when(call).then()
    for campaign in ((drafted,), (*begun, RecallCampaignPaused()), (*begun, RecallCampaignCancelled())):
        at(campaign=campaign).when(call).then()
    at(had=True).when(call).then()
    at().when(replace(call, window=1)).then()


@pytest.mark.parametrize(("why", "there"), [
    ("unwanted", {"wanted": False}), ("unreachable", {"reachable": False}), ("called-already", {"opened": uuid4()}),
    ("inactive", {"patient": Patient(registered=True, archived=True)}),
])
def test_whoever_is_not_called_has_a_reason_once(why, there):
    skipped = CampaignCallSkipped(**whom, why=why)
    at(**there).when(call).then(skipped)
    at(skipped, **there).when(call).then()


# --- on the running system


class House:
    """A clinic with patients who came long ago, and a courier."""

    def __init__(self, yard, place, boss):
        self.yard, self.place, self.boss, self.web = yard, place, boss, yard.web

    @classmethod
    async def open(cls, yard):
        place = await Town.open(yard.web.services.handler, datetime(2024, 3, 4, 9, tzinfo=UTC))
        place.now = None
        house = cls(yard, place, await yard.web.person(place.id, "admin"))
        await house.done("PUT", "/reminders/settings", {"enabled": False, "windows": [120], "quiet": None})
        return house

    async def came(self, hour, on=LONG_AGO, language=None, patient=None, **other):
        email = f"noor-{uuid4().hex[:8]}@example.org"
        if patient is None:
            patient = (await self.place(RegisterPatient(given_name="Noor", family_name="Zwanenburg", **{"email": email, **other}))).id
        if language:
            await self.place(ChangePatientPreferences(language=language), patient)
        start = on + timedelta(minutes=30 * hour)
        visit = (await self.place(self.place.visit(start, patient_id=patient), now=start.replace(tzinfo=UTC))).id
        for status in ("arrived", "in-chair", "completed"):
            last = await self.place(ChangeAppointmentStatus(status=status), visit)
        self.seen(last.position)
        return str(patient), email

    def seen(self, position):
        self.headers = {"x-position": str(max(int(position), int(getattr(self, "headers", {"x-position": 0})["x-position"])))}

    async def done(self, method, path, body=None, status=200, **options):
        answer = await self.boss(method, path, body, headers=getattr(self, "headers", {}), **options)
        assert answer.status_code == status, answer.text
        self.seen(answer.headers.get("x-position", 0))
        return answer.json()

    async def drafted(self, **other):
        return (await self.done("POST", "/recall-campaigns", {"name": "Spring", "kind": "check-up", "startsOn": str(today_there()), **other}, 201))["id"]

    async def started(self, **other):
        campaign = await self.drafted(**other)
        await self.done("POST", f"/recall-campaigns/{campaign}/start")
        await self.entry(campaign)
        return campaign

    async def entry(self, campaign):
        return await self.done("GET", f"/recall-campaigns/{campaign}")

    async def tend(self, gateways=1, now=None):
        await asyncio.gather(*(tend(self.web.services, now) for _ in range(gateways)))
        with psycopg.connect(self.web.owner_url) as owner:
            self.seen(owner.execute("select position from chain_heads where clinic_id = %s", (self.place.id,)).fetchone()[0])

    async def calls(self, **query):
        return (await self.done("GET", "/recall-campaigns/calls", params=query))["items"]

    async def until_settled(self, campaign, count):
        async def settled():
            found = await self.calls(campaignId=campaign)
            return len(found) >= count and all(one["status"] != "queued" for one in found)

        await until(settled, 20)
        return await self.calls(campaignId=campaign)

    def letters(self, email):
        return [message for message in self.yard.post.box.taken if email in message["To"]]


on_the_system = pytest.mark.asyncio(loop_scope="module")


@on_the_system
async def test_each_is_written_to_once_in_their_language_and_it_is_seen_what_came_of_it(town):  # noqa: F811
    house = await House.open(town)
    (noor, mail), (ana, correo), (silent, _) = await house.came(0), await house.came(1, language="es-MX"), await house.came(2, email=None)
    asked = {"kind": "check-up"}
    seen = await house.done("POST", "/recall-campaigns/preview", asked)
    assert (seen["found"], seen["reachable"], seen["unwanted"], [one["patientId"] for one in seen["items"]]) == (3, 2, 0, [noor, ana, silent])
    campaign = await house.started(message="We have moved.")
    await house.tend(gateways=8)
    calls = await house.until_settled(campaign, 3)
    assert {one["patientId"]: (one["status"], one["skipped"]) for one in calls} == {noor: ("sent", None), ana: ("sent", None), silent: ("skipped", "unreachable")}
    await house.done("PUT", f"/recall-campaigns/{campaign}", {"name": "Spring, again", "kind": "check-up", "startsOn": str(today_there()), "months": 6})
    await house.entry(campaign)
    await house.tend(gateways=4)
    assert (await house.entry(campaign))["status"] == "finished"
    (letter,), (carta,) = house.letters(mail), house.letters(correo)
    assert (letter["Content-Language"], carta["Content-Language"]) == ("en", "es")
    assert "We have moved." in text(letter)
    for secret in ("Zwanenburg", "check-up", "Visser", "2024"):
        assert secret not in str(letter)
    (recall,) = (await house.done("GET", "/patient-recalls", params={"patientId": noor}))["items"]
    assert (recall["batchId"], recall["channel"], recall["status"]) == (campaign, "email", "scheduled")
    await house.done("POST", f"/patient-recalls/{recall['id']}/decline", {"reason": "Not now"})
    (other,) = (await house.done("GET", "/patient-recalls", params={"patientId": ana}))["items"]
    visit = await house.place(house.place.visit(datetime.combine(today_there() + timedelta(days=3), LONG_AGO.time()), patient_id=UUID(ana)))
    await house.done("POST", f"/patient-recalls/{other['id']}/book", {"appointmentId": str(visit.id)})
    told = await house.entry(campaign)
    assert {name: told[name] for name in ("calls", "queued", "sent", "failed", "skipped", "booked", "declined")} == {
        "calls": 3, "queued": 0, "sent": 2, "failed": 0, "skipped": 1, "booked": 1, "declined": 1}
    with psycopg.connect(house.web.owner_url) as owner:
        said = b"".join(row[0] for row in owner.execute("select state from stored_events where stream_kind in ('recall_campaigns', 'campaign_calls')"))
    assert mail.encode() not in said


@on_the_system
async def test_who_is_meant_is_told_by_all_that_is_asked(town):  # noqa: F811
    house = await House.open(town)
    (old, _), (young, _) = await house.came(0, birth_date=date(1950, 1, 1)), await house.came(1, birth_date=date(2010, 1, 1))
    (recent, _) = await house.came(2, on=LONG_AGO + timedelta(days=500))
    await house.done("POST", f"/patients/{young}/groups", {"add": ["Orthodontics"]})
    elsewhere = await house.place.hire()

    async def found(**asked):
        return {one["patientId"] for one in (await house.done("POST", "/recall-campaigns/preview", {"kind": "check-up", "months": 1, **asked}))["items"]}

    assert await found() == {old, young, recent}
    months = (today_there() - LONG_AGO.date()).days // 30 - 6
    assert await found(months=months) == {old, young}
    assert await found(withinMonths=months) == {recent}
    assert await found(ageFrom=60) == {old}
    assert await found(ageTo=20) == {young}
    assert await found(groups=["Orthodontics", "VIP"]) == {young}
    assert await found(doctorId=str(elsewhere)) == set()
    assert await found(doctorId=str(house.place.doctor)) == {old, young, recent}
    place = await house.done("POST", "/places", {"name": "Noord"}, 201)
    assert await found(placeId=place["id"]) == set()
    failure(await house.boss("POST", "/recall-campaigns/preview", {"kind": "check-up", "doctorId": str(uuid4())}), 404, "NOT_FOUND")
    failure(await house.boss("POST", "/recall-campaigns/preview", {"kind": "check-up", "ageFrom": 3, "ageTo": 2}), 400, "CAMPAIGN_AUDIENCE_EMPTY")


@on_the_system
async def test_by_one_click_nobody_is_written_to_any_more_about_coming_again(town):  # noqa: F811
    house = await House.open(town)
    noor, mail = await house.came(0)
    campaign = await house.started(repeatMonths=6)
    await house.tend()
    await house.until_settled(campaign, 1)
    (letter,) = house.letters(mail)
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path, web = letter["List-Unsubscribe"].strip("<>").removeprefix("https://app.example"), house.web.client
    assert "Do not tell me any more" in (await web.get(path, headers={"accept": "text/html"})).text
    clicked = await web.post(path, content="List-Unsubscribe=One-Click", headers={"content-type": "application/x-www-form-urlencoded"})
    assert clicked.json() == {"topic": "recalls", "clinicName": "Grachten", "wanted": False}

    async def noted():
        return (await house.boss("GET", f"/message-wishes/patient/{noor}")).json()["unwanted"] == ["recalls"]

    await until(noted)
    assert (await house.done("POST", "/recall-campaigns/preview", {"kind": "screening"}))["unwanted"] == 1
    later = datetime.now(UTC) + timedelta(days=200)
    await house.tend(now=later)
    await house.tend(now=later)
    assert [(one["round"], one["skipped"]) for one in await house.calls(campaignId=campaign)] == [(1, "unwanted"), (0, None)]
    assert (await house.entry(campaign))["status"] == "running"


@on_the_system
async def test_what_waits_is_not_sent_once_it_is_cancelled_and_waits_while_it_is_paused(town):  # noqa: F811
    house = await House.open(town)
    people = [await house.came(n) for n in range(2)]
    campaign = await house.drafted()
    await house.tend()
    assert await house.calls(campaignId=campaign) == []
    await house.done("POST", f"/recall-campaigns/{campaign}/start")
    await house.done("POST", f"/recall-campaigns/{campaign}/pause")
    await house.entry(campaign)
    await house.tend()
    assert await house.calls(campaignId=campaign) == []
    who = replace(house.place.admin, role="house", grants=frozenset())
    await house.done("POST", f"/recall-campaigns/{campaign}/start")
    command = CallForCampaign(campaign_id=UUID(campaign), patient_id=UUID(people[0][0]), window=0)
    (receipts, cancelled) = await asyncio.gather(
        asyncio.gather(*(house.web.services.handler.handle(command, who) for _ in range(8))), house.boss("POST", f"/recall-campaigns/{campaign}/cancel"))
    assert (len(receipts), cancelled.status_code) == (8, 200)
    house.seen(cancelled.headers["x-position"])
    await house.tend()
    with psycopg.connect(house.web.owner_url) as owner:
        count = owner.execute("select count(*) from stored_events where clinic_id = %s and topic like 'CampaignCall%%'", (house.place.id,)).fetchone()[0]
    assert count <= 1
    assert len(house.letters(people[0][1])) <= 1
    assert house.letters(people[1][1]) == []
    failure(await house.boss("POST", f"/recall-campaigns/{campaign}/start"), 409, "CAMPAIGN_OVER")


@on_the_system
async def test_two_records_that_are_one_have_one_call(town):  # noqa: F811
    house = await House.open(town)
    (one, mail), (other, second) = await house.came(0), await house.came(1)
    campaign = await house.started()
    await house.tend()
    await house.until_settled(campaign, 2)
    (recall,) = (await house.done("GET", "/patient-recalls", params={"patientId": other}))["items"]
    await house.done("DELETE", f"/patient-recalls/{recall['id']}")
    third, third_mail = await house.came(2)
    await house.place(MergePatients(loser_id=UUID(other)), UUID(third))
    fresh = await house.started()
    await house.tend()
    assert {line["patientId"]: line["skipped"] for line in await house.calls(campaignId=fresh)} == {third: None}
    assert (len(house.letters(mail)), len(house.letters(second)), one in {line["patientId"] for line in await house.calls(campaignId=campaign)}) == (1, 1, True)
    await house.until_settled(fresh, 1)
    assert len(house.letters(third_mail)) == 1


@on_the_system
async def test_who_may_and_what_is_another_clinics_is_not_there(town):  # noqa: F811
    house = await House.open(town)
    campaign = await house.drafted()
    stranger = await town.web.person(await town.web.clinic(), "admin")
    failure(await stranger("GET", f"/recall-campaigns/{campaign}"), 404, "NOT_FOUND")
    failure(await stranger("POST", f"/recall-campaigns/{campaign}/start"), 404, "NOT_FOUND")
    failure(await stranger("GET", "/recall-campaigns/calls", params={"campaignId": campaign}), 404, "NOT_FOUND")
    patient = await town.web.person(house.place.id, "patient", house.place.patient)
    failure(await patient("GET", "/recall-campaigns"), 403, "FORBIDDEN")


@on_the_system
async def test_live_rows_are_the_rebuilt_ones(town):  # noqa: F811
    report = verify(town.database.url("owner"), ["recall_campaigns", "campaign_calls"], kek=town.database.settings("owner").kek)
    assert [(outcome.name, outcome.differing, outcome.compared) for outcome in report.outcomes] == [("recall_campaigns", 0, True), ("campaign_calls", 0, True)]


