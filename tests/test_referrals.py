"""Referral sources and their links, and whoever comes by one."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from commands.kit.links import Links, Named
from commands.referral_leads import (
    ConvertReferralLead,
    DismissReferralLead,
    NoteReferralContact,
    ReopenReferralLead,
    SubmitReferralLead,
)
from commands.referrals import (
    AddReferralSource,
    ChangeReferralSource,
    DeleteReferralSource,
    MakeReferralLink,
    WithdrawReferralLink,
)
from domain.kit import Elsewhere, NotFound
from domain.patients import Patient, PatientNotActive, PatientSourceSet
from domain.referral_leads import (
    ConsentMissing,
    ContactMissing,
    ReferralLeadContacted,
    ReferralLeadConverted,
    ReferralLeadDismissed,
    ReferralLeadOpen,
    ReferralLeadReopened,
    ReferralLeadSettled,
    ReferralLeadSubmitted,
)
from domain.referrals import (
    ReferralLinkGone,
    ReferralLinkMade,
    ReferralLinkMissing,
    ReferralLinkWithdrawn,
    ReferralNeedsName,
    ReferralNotInUse,
    ReferralSource,
    ReferralSourceAdded,
    ReferralSourceChanged,
    ReferralSourceDeleted,
)
from tests.clinic import stored
from tests.kit import given
from tests.served import failure, served, working
from tests.test_signups import street

KEY = "0" * 32
SOURCE, NOOR = uuid4(), uuid4()
added = ReferralSourceAdded(kind="practitioner", name="Dr Maas", name_key=KEY)
made = ReferralLinkMade(number=1)
lead = ReferralLeadSubmitted(referral_id=SOURCE, name="Ada", phone="+31 6 1234 5678", consent=True)
submit = SubmitReferralLead(referral_id=SOURCE, number=1, name="Ada", phone="+31 6 1234 5678", consent=True)
linked = ReferralSource.replay([added, made])


def test_a_source_is_added_changed_and_deleted():
    given().looking(key=KEY).when(AddReferralSource(kind="practitioner", name="Dr Maas")).then(added)
    given().looking(key=KEY).when(AddReferralSource(kind="practitioner", name=" \t")).refused(ReferralNeedsName)
    changed = ReferralSourceChanged(kind="insurer", name="Dr Maas", name_key=KEY, active=False)
    given(added).looking(key=KEY).when(ChangeReferralSource(kind="insurer", name="Dr Maas", active=False)).then(changed)
    given(added).when(DeleteReferralSource()).then(ReferralSourceDeleted())
    gone = ReferralSource.replay([added, made, ReferralSourceDeleted()])
    assert (gone.claims(), gone.link, gone.active) == (frozenset(), None, False)
    for command in (DeleteReferralSource(), MakeReferralLink(), WithdrawReferralLink()):
        given(added, ReferralSourceDeleted()).when(command).refused(NotFound)


def test_it_has_one_link_and_the_one_before_leads_nowhere():
    given(added).when(MakeReferralLink()).then(made)
    given(added, made).when(MakeReferralLink()).then(ReferralLinkMade(number=2))
    given(added, made).when(WithdrawReferralLink()).then(ReferralLinkWithdrawn(number=1))
    given(added, made, ReferralLinkWithdrawn(number=1)).when(MakeReferralLink()).then(ReferralLinkMade(number=2))
    given(added).when(WithdrawReferralLink()).refused(ReferralLinkMissing)
    idle = ReferralSourceChanged(kind="insurer", name="Dr Maas", name_key=KEY, active=False)
    given(added, idle).when(MakeReferralLink()).refused(ReferralNotInUse)
    for history in ([added], [added, made, ReferralLinkMade(number=2)], [added, made, idle], [added, made, ReferralSourceDeleted()]):
        given().looking(source=ReferralSource.replay(history)).when(submit).refused(ReferralLinkGone)


def test_somebody_comes_by_a_link():
    given().looking(source=linked).when(submit).then(lead)
    given().looking(source=linked).when(SubmitReferralLead(referral_id=SOURCE, number=1, name="Ada", phone="+31 6 1234 5678")).refused(ConsentMissing)
    given().looking(source=linked).when(SubmitReferralLead(referral_id=SOURCE, number=1, name="Ada", consent=True)).refused(ContactMissing)


def test_a_lead_is_seen_to():
    contacted, dismissed = ReferralLeadContacted(note="Monday"), ReferralLeadDismissed(reason="A joke")
    given(lead).when(NoteReferralContact(note="Monday")).then(contacted)
    given(lead).when(DismissReferralLead(reason="A joke")).then(dismissed)
    given(lead, dismissed).when(NoteReferralContact()).refused(ReferralLeadSettled)
    given(lead, dismissed).when(ReopenReferralLead()).then(ReferralLeadReopened())
    given(lead, dismissed, ReferralLeadReopened()).when(NoteReferralContact(note="Monday")).then(contacted)
    given(lead).when(ReopenReferralLead()).refused(ReferralLeadOpen)
    converted = ReferralLeadConverted(patient_id=NOOR, source="practitioner")
    convert = ConvertReferralLead(patient_id=NOOR)
    given(lead).looking(source=linked, patient=Patient(registered=True)).when(convert).then(
        converted, Elsewhere(state=Patient, id=NOOR, events=[PatientSourceSet(source="practitioner")]))
    given(lead).looking(source=linked, patient=Patient(registered=True, source="practitioner")).when(convert).then(converted)
    given(lead).looking(source=linked, patient=Patient(registered=True, archived=True)).when(convert).refused(PatientNotActive)
    given(lead, converted).looking(source=linked, patient=Patient(registered=True)).when(convert).refused(ReferralLeadSettled)
    given(lead, converted).when(ReopenReferralLead()).then(ReferralLeadReopened())


def test_a_token_names_what_it_was_made_for_and_nothing_else_does():
    links, token = Links(b"k" * 32), Links(b"k" * 32).token("referral", SOURCE, 3)
    assert links.read("referral", token) == Named(SOURCE, 3)
    assert links.read("survey", token) is None
    assert Links(b"l" * 32).read("referral", token) is None
    for n in range(0, len(token), 5):
        other = token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :]
        assert links.read("referral", other) is None
    for nonsense in ("", "x", "é" * 48, token[:-4], token + "AAAA", "=" * 48, "\0" * 48):
        assert links.read("referral", nonsense) is None


@dataclass
class House:
    """A clinic with a link that is handed out."""

    web: Any
    clinic: UUID
    boss: Any
    source: str
    token: str
    seen: dict[str, str]

    @classmethod
    async def open(cls, web: Any) -> "House":
        clinic = await web.clinic()
        boss = await web.person(clinic, "admin")
        answer = await boss("POST", "/referrals", {"name": "Dr Maas", "kind": "practitioner", "email": "maas@practice.example"})
        assert answer.status_code == 201, answer.text
        source = answer.json()["id"]
        link = await boss("POST", f"/referrals/{source}/link", {})
        assert link.status_code == 201, link.text
        return cls(web, clinic, boss, source, link.json()["token"], {"x-position": link.headers["x-position"]})

    async def come(self, headers: dict[str, str] | None = None, **said: Any) -> Any:
        body = {"token": self.token, "name": "Ada Kok", "email": "ada@kok.example", "wish": "A crown for Zwartbol", "consent": True, **said}
        answer = await self.web.client.post("/api/v1/public-referrals/", json=body, headers=headers or street())
        if "x-position" in answer.headers:
            self.seen = {"x-position": answer.headers["x-position"]}
        return answer

    async def leads(self, person: Any = None, **query: Any) -> Any:
        return (await (person or self.boss)("GET", "/referral-leads", params=query, headers=self.seen)).json()["items"]


@pytest.fixture
async def web(module_database, nats_server):
    async with served(module_database, nats_server, proxies="127.0.0.0/8") as serving, working(module_database, nats_server):
        serving.database = module_database
        yield serving


async def test_somebody_comes_by_a_link_and_becomes_a_patient(web):
    house = await House.open(web)
    page = (await web.client.get(f"/api/v1/public-referrals/{house.token}")).json()
    assert page == {"clinicId": str(house.clinic), "clinicName": "Grachten"}
    taken = await house.come()
    assert (taken.status_code, taken.json()) == (202, {"accepted": True})
    assert b"Zwartbol" not in b"".join(event.body for event in stored(web.database))
    desk = await web.person(house.clinic, "receptionist")
    (row,) = await house.leads(desk, status="new", kind="practitioner")
    assert (row["name"], row["wish"], row["referralName"]) == ("Ada Kok", "A crown for Zwartbol", "Dr Maas")
    failure(await desk("GET", "/referrals"), 403, "FORBIDDEN")
    failure(await (await web.person(house.clinic, "doctor"))("GET", "/referral-leads"), 403, "FORBIDDEN")
    assert (await desk("POST", f"/referral-leads/{row['id']}/contact", {"note": "Monday"})).status_code == 200
    patient = (await desk("POST", "/patients", {"givenName": "Ada", "familyName": "Kok", "source": "search"})).json()["id"]
    done = await desk("POST", f"/referral-leads/{row['id']}/convert", {"patientId": patient})
    assert (done.status_code, done.json()["status"]) == (200, "converted"), done.text
    house.seen = {"x-position": done.headers["x-position"]}
    assert (await house.boss("GET", f"/patients/{patient}", headers=house.seen)).json()["source"] == "practitioner"
    figures = (await house.boss("GET", "/analytics/referral-sources", headers=house.seen)).json()["items"]
    assert [(one["source"], one["patients"]) for one in figures] == [("practitioner", 1)]
    (entry,) = (await house.boss("GET", "/referrals", headers=house.seen)).json()["items"]
    assert (entry["leads"], entry["converted"]) == (1, 1)

    ask = {"personId": patient, "reason": "They asked", "despiteRetention": True}
    assert (await house.boss("POST", "/privacy/erasures", ask, headers=house.seen)).status_code == 200
    head = await house.boss("POST", "/rooms", {"name": "Attic"})
    left = (await house.boss("GET", f"/referral-leads/{row['id']}", headers={"x-position": head.headers["x-position"]})).json()
    assert [left[name] for name in ("name", "email", "phone", "wish", "note")] == [None] * 5  # whoever is forgotten is so as a lead too


async def test_a_link_that_does_not_count_any_more_is_as_if_it_had_never_been(web):
    house = await House.open(web)
    old = house.token
    house.token = (await house.boss("POST", f"/referrals/{house.source}/link", {})).json()["token"]
    assert (await house.come()).status_code == 202
    for token in (old, "x", "A" * 48, house.token[:-1] + ("A" if house.token[-1] != "A" else "B")):
        failure(await house.come(token=token), 404, "REFERRAL_LINK_GONE")
        failure(await web.client.get(f"/api/v1/public-referrals/{token}"), 404, "REFERRAL_LINK_GONE")
    shown = (await house.boss("GET", f"/referrals/{house.source}/link", headers=house.seen)).json()
    assert (shown["token"], shown["number"]) == (house.token, 2)
    await house.boss("PUT", f"/referrals/{house.source}", {"name": "Dr Maas", "kind": "practitioner", "active": False})
    failure(await house.come(), 404, "REFERRAL_LINK_GONE")
    await house.boss("PUT", f"/referrals/{house.source}", {"name": "Dr Maas", "kind": "practitioner"})
    assert (await house.come()).status_code == 202
    await house.boss("DELETE", f"/referrals/{house.source}/link")
    failure(await house.come(), 404, "REFERRAL_LINK_GONE")
    gone = await house.boss("DELETE", f"/referrals/{house.source}")
    house.seen = {"x-position": gone.headers["x-position"]}
    assert (await house.boss("GET", "/referrals", headers=house.seen)).json()["items"] == []
    assert {one["referralName"] for one in await house.leads()} == {"Dr Maas"}
    assert (await house.boss("POST", "/referrals", {"name": "dr  maas", "kind": "event"})).status_code == 201  # its name is free again


async def test_a_name_is_one_sources_alone(web):
    house = await House.open(web)
    failure(await house.boss("POST", "/referrals", {"name": "DR  MAAS ", "kind": "insurer"}), 409, "NAME_TAKEN")
    answers = await asyncio.gather(*(house.boss("POST", "/referrals", {"name": "A fair", "kind": "event"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_the_door_bears_whatever_is_pushed_through(web):
    house = await House.open(web)
    for said in ({"name": ""}, {"name": "x" * 201}, {"wish": "x" * 2001}, {"email": "nobody"}, {"phone": "call me"}, {"token": ""}, {"token": "x" * 129}, {"name": 7},
                 {"website": "http://spam.example"}, {"name": "   "}):
        failure(await house.come(**said), 400, "BODY_INVALID")
    failure(await house.come(consent=False), 400, "CONSENT_MISSING")
    failure(await house.come(email=None), 400, "CONTACT_MISSING")
    failure(await house.come(name="A\0B"), 400, "TEXT_UNSTORABLE")
    assert await house.leads() == []
    headers = street()
    answers = await asyncio.gather(*(house.come(headers) for _ in range(14)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [429] * 4
    stranger = await web.person(await web.clinic(), "admin")
    for method, path, body in (
        ("GET", f"/referrals/{house.source}", None), ("GET", f"/referrals/{house.source}/link", None), ("POST", f"/referrals/{house.source}/link", {}),
        ("DELETE", f"/referrals/{house.source}", None), ("PUT", f"/referrals/{house.source}", {"name": "Mine", "kind": "other"}),
    ):
        failure(await stranger(method, path, body), 404, "NOT_FOUND")
    row = (await house.leads())[0]["id"]
    failure(await stranger("GET", f"/referral-leads/{row}"), 404, "NOT_FOUND")
    failure(await stranger("POST", f"/referral-leads/{row}/dismiss", {}), 404, "NOT_FOUND")


async def test_of_many_addresses_one_link_lets_a_hundred_through(web):
    house = await House.open(web)
    answers = await asyncio.gather(*(house.come(street()) for _ in range(105)))
    assert sorted(answer.status_code for answer in answers) == [202] * 100 + [429] * 5


async def test_a_lead_and_a_source_are_forgotten_when_asked(web):
    house = await House.open(web)
    assert (await house.come()).status_code == 202
    (row,) = await house.leads()
    ask = {"kind": "referral_leads", "personId": row["id"], "reason": "They asked"}
    assert (await house.boss("POST", "/privacy/erasures", ask, headers=house.seen)).json()["left"]["keys"] == 0
    source = {"kind": "referrals", "personId": house.source, "reason": "They asked"}
    failure(await house.boss("POST", "/privacy/erasures", source), 409, "PERSON_STILL_ACTIVE")
    await house.boss("DELETE", f"/referrals/{house.source}")
    done = await house.boss("POST", "/privacy/erasures", source)
    assert (done.status_code, done.json()["left"]["rows"]) == (200, {}), done.text
    head = await house.boss("POST", "/rooms", {"name": "Attic"})
    (left,) = (await house.boss("GET", "/referral-leads", headers={"x-position": head.headers["x-position"]})).json()["items"]
    assert (left["name"], left["email"], left["referralName"]) == (None, None, None)
