"""Devices that go on without a connection: they come to know all that they may see, and what they did is done once or kept until somebody has looked at it."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from commands.kit.handling import Who
from commands.staff import HireStaff
from commands.sync import DismissSyncConflict, KeepSyncConflict, NoteSyncConflictApplied
from domain.kit import NotFound, only
from domain.kit.grants import effective
from domain.sync import SetAside, SyncConflict, SyncConflictKept, SyncConflictOver, SyncConflictSettled
from tests.kit import given
from tests.served import Person, Web, failure, today_there

NOOR, DEVICE = uuid4(), uuid4()
wanted = SetAside(device_id=DEVICE, action="ChangePatient", entity_id=NOOR, patient_id=NOOR, base=7, code="CHANGED_ELSEWHERE", fields=["phone"], values={"phone": "1"})
kept = SyncConflictKept(**only(SetAside, wanted))


def test_what_a_device_wanted_is_kept_once_and_settled_once() -> None:
    given().looking(patient=None).when(KeepSyncConflict(**only(SetAside, wanted))).then(kept)
    given(kept).looking(patient=None).when(KeepSyncConflict(**only(SetAside, wanted))).then()
    given(kept).when(DismissSyncConflict(reason="The other one is right")).then(SyncConflictSettled(patient_id=NOOR, how="dismissed", reason="The other one is right"))
    given(kept).when(NoteSyncConflictApplied()).then(applied := SyncConflictSettled(patient_id=NOOR, how="applied"))
    given(kept, applied).when(DismissSyncConflict()).refused(SyncConflictOver)
    given().when(DismissSyncConflict()).refused(NotFound)
    assert SyncConflict.replay([kept, applied]).settled


# against a gateway ---------------------------------------------------------------------------------------------------------------------------------


class Device:
    """A front end that works without a connection, by the rules of the document: a copy of each kind, a mark, and what it has done since."""

    def __init__(self, person: Person, limit: int = 500) -> None:
        self.person = person
        self.id = uuid4()
        self.limit = limit
        self.mark: str | None = None
        self.rows: dict[str, dict[str, Any]] = {}
        self.positions: dict[str, int] = {}
        self.pages = 0

    async def pull(self) -> Any:
        """Catch up."""
        while True:
            asked = {"limit": self.limit, **({"mark": self.mark} if self.mark else {})}
            answer = await self.person("POST", "/sync/pull", asked)
            assert answer.status_code == 200, answer.text
            told = answer.json()
            for kind, changes in told["changes"].items():
                copy = self.rows.setdefault(kind, {})
                for one in changes.get("changed", []):
                    copy[one["row"]["id"]] = one["row"]
                    self.positions[one["row"]["id"]] = one["position"]
                for gone in changes.get("removed", []):
                    copy.pop(gone, None)
            for kind in told["withheld"]:
                self.rows.pop(kind, None)
            self.mark, self.pages = told["mark"], self.pages + 1
            if not told["more"]:
                return told

    def did(self, action: str, id_: str, values: dict[str, Any] | None = None, *, op: str | None = None) -> dict[str, Any]:
        """Return what it hands in of something that it did."""
        base = self.positions.get(id_)
        return {"op": op or str(uuid4()), "action": action, "id": id_, "values": values or {}, **({"base": base} if base else {})}

    async def push(self, *changes: dict[str, Any]) -> list[dict[str, Any]]:
        """Hand in what it did."""
        answer = await self.person("POST", "/sync/push", {"deviceId": str(self.id), "changes": list(changes)})
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        for one in items:
            if one.get("position"):
                self.positions[one["id"]] = one["position"]
        return items

    def person_of(self, id_: str) -> Any:
        return self.rows["patients"][id_]


class Ground:
    """A clinic with a doctor who is always there."""

    def __init__(self, web: Web, clinic: UUID, boss: Person, doctor: UUID) -> None:
        self.web, self.clinic, self.boss, self.doctor = web, clinic, boss, doctor

    @classmethod
    async def open(cls, web: Web) -> "Ground":
        clinic = await web.clinic()
        boss = await web.person(clinic, "admin")
        root = Who(actor=uuid4(), clinic=clinic, role="superadmin", grants=effective("superadmin").keys)
        doctor = (await web.services.handler.handle(HireStaff(name="Dr Sam Visser", email=f"{uuid4().hex}@clinic.example", role="doctor"), root)).id
        assert (await boss("PUT", f"/appointments/doctor-schedules/{doctor}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})).status_code == 200
        return cls(web, clinic, boss, doctor)

    def visit(self, patient: str, hour: int = 10) -> dict[str, Any]:
        return {"patientId": patient, "doctorId": str(self.doctor), "start": f"{today_there() + timedelta(days=7)}T{hour:02}:00:00", "duration": 30}


def person(given_name: str = "Noor", family_name: str = "Jansen", **more: Any) -> dict[str, Any]:
    return {"givenName": given_name, "familyName": family_name, **more}


@pytest.mark.asyncio(loop_scope="module")
async def test_two_devices_without_a_connection_lose_nothing(web: Web) -> None:
    ground = await Ground.open(web)
    here, there = Device(ground.boss), Device(await web.person(ground.clinic, "receptionist"))
    noor, note, visit = str(uuid4()), str(uuid4()), str(uuid4())
    made = await here.push(
        here.did("RegisterPatient", noor, person(phone="020 111")), here.did("WritePatientNote", note, {"patientId": noor, "text": "Afraid of drills"}),
        here.did("BookAppointment", visit, ground.visit(noor)))
    assert [one["outcome"] for one in made] == ["applied"] * 3, made
    assert (made[0]["row"]["phone"], made[2]["row"]["startLocal"]) == ("020 111", ground.visit(noor)["start"])
    for device in (here, there):
        await device.pull()
        assert (device.person_of(noor)["phone"], device.rows["patient_notes"][note]["text"], device.rows["appointments"][visit]["status"]) == (
            "020 111", "Afraid of drills", "booked")

    # both change what the other one does not: both stand
    (mine,) = await here.push(here.did("ChangePatient", noor, {"phone": "020 222"}))
    (theirs,) = await there.push(there.did("ChangePatient", noor, {"email": "noor@example.org", "sex": "female"}))
    assert (mine["outcome"], theirs["outcome"]) == ("applied", "applied"), theirs
    assert (theirs["row"]["phone"], theirs["row"]["email"], theirs["row"]["familyName"]) == ("020 222", "noor@example.org", "Jansen")

    # both change the same: whoever came first stands, and the other word is kept
    clash = there.did("ChangePatient", noor, {"phone": "020 333"})
    await here.pull()
    await here.push(here.did("ChangePatient", noor, {"phone": "020 444"}))
    (lost,) = await there.push(clash)
    assert (lost["outcome"], lost["code"], lost["fields"]) == ("conflict", "CHANGED_ELSEWHERE", ["phone"])
    (again,) = await there.push(clash)
    assert (again["outcome"], again["conflictId"]) == ("conflict", lost["conflictId"])
    await here.pull()
    assert here.person_of(noor)["phone"] == "020 444"
    conflict = here.rows["sync_conflicts"][lost["conflictId"]]
    assert (conflict["values"], conflict["status"], conflict["deviceId"], conflict["patientId"]) == ({"phone": "020 333"}, "open", str(there.id), noor)
    applied = await ground.boss("POST", f"/sync/conflicts/{lost['conflictId']}/apply", {})
    assert (applied.status_code, applied.json()["status"]) == (200, "applied"), applied.text
    failure(await ground.boss("POST", f"/sync/conflicts/{lost['conflictId']}/dismiss", {}), 409, "SYNC_CONFLICT_OVER")
    failure(await ground.boss("POST", f"/sync/conflicts/{lost['conflictId']}/apply", {}), 409, "SYNC_CONFLICT_OVER")
    await here.pull()
    assert (here.person_of(noor)["phone"], here.person_of(noor)["email"]) == ("020 333", "noor@example.org")

    # a time that somebody else has taken, an appointment that somebody has removed
    await there.pull()
    other = str(uuid4())
    (taken,) = await there.push(there.did("BookAppointment", other, ground.visit(noor)))
    assert (taken["outcome"], taken["code"]) == ("conflict", "TIME_TAKEN")
    moved = there.did("ChangeAppointment", visit, {"start": ground.visit(noor, 14)["start"]})
    assert (await ground.boss("DELETE", f"/appointments/{visit}")).status_code in {200, 204}
    (gone,) = await there.push(moved)
    assert (gone["outcome"], gone["code"]) == ("conflict", "REMOVED_ELSEWHERE")
    await there.pull()
    assert visit not in there.rows["appointments"]
    dismissed = await ground.boss("POST", f"/sync/conflicts/{taken['conflictId']}/dismiss", {"reason": "She comes another day"})
    assert (dismissed.json()["status"], dismissed.json()["reason"]) == ("dismissed", "She comes another day")
    open_ = (await ground.boss("GET", "/sync/conflicts", params={"status": "open"}, headers=await ground.boss.seen(dismissed))).json()["items"]
    assert [one["id"] for one in open_] == [gone["conflictId"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_same_person_entered_on_two_devices_is_two_records_that_somebody_looks_at(web: Web) -> None:
    ground = await Ground.open(web)
    here, there = Device(ground.boss), Device(ground.boss)
    first, second, visit = str(uuid4()), str(uuid4()), str(uuid4())
    born = person(birthDate="1988-04-12", phone="+31 6 1234 5678")
    (one,) = await here.push(here.did("RegisterPatient", first, born))
    assert (one["outcome"], one["alike"], one["conflictId"]) == ("applied", [], None)
    sent = [there.did("RegisterPatient", second, born), there.did("BookAppointment", visit, ground.visit(second))]
    two, booked = await there.push(*sent)
    assert (two["outcome"], two["alike"], booked["outcome"]) == ("applied", [first], "applied")
    assert [(item["outcome"], item["conflictId"]) for item in await there.push(*sent)] == [("applied", two["conflictId"]), ("applied", None)]
    await here.pull()
    assert (here.rows["sync_conflicts"][two["conflictId"]]["code"], set(here.rows["patients"])) == ("PATIENT_MAY_BE_KNOWN", {first, second})
    failure(await ground.boss("POST", f"/sync/conflicts/{two['conflictId']}/apply", {}), 400, "NOTHING_TO_APPLY")
    merged = await ground.boss("POST", f"/patients/{first}/merge", {"loserId": second})
    assert merged.status_code == 200, merged.text
    (late,) = await there.push(there.did("ChangePatient", second, {"phone": "020 1"}))
    assert (late["outcome"], late["code"]) == ("conflict", "PATIENT_MERGED")
    await here.pull()
    assert (here.person_of(second)["mergedInto"], here.rows["appointments"][visit]["patientId"]) == (first, first)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_device_gets_what_its_user_may_see_page_by_page_and_is_told_what_is_gone(web: Web) -> None:
    ground = await Ground.open(web)
    desk = Device(ground.boss)
    patients = [str(uuid4()) for _ in range(23)]
    await desk.push(*[desk.did("RegisterPatient", id_, person(f"N{n}")) for n, id_ in enumerate(patients)])
    visits = [str(uuid4()) for _ in range(2)]
    other = await Ground.open(web)
    second = (await web.services.handler.handle(
        HireStaff(name="Dr Bo", email=f"{uuid4().hex}@clinic.example", role="doctor"),
        Who(actor=uuid4(), clinic=ground.clinic, role="superadmin", grants=effective("superadmin").keys))).id
    assert (await ground.boss("PUT", f"/appointments/doctor-schedules/{second}", {"week": [[{"start": "00:00", "end": "24:00"}]] * 7})).status_code == 200
    booked = await desk.push(
        desk.did("BookAppointment", visits[0], ground.visit(patients[0])),
        desk.did("BookAppointment", visits[1], {**ground.visit(patients[1]), "doctorId": str(second)}))
    assert [one["outcome"] for one in booked] == ["applied"] * 2, booked

    whole, paged = Device(ground.boss, 1000), Device(ground.boss, 5)
    await whole.pull()
    await paged.pull()
    assert paged.rows == whole.rows
    assert set(whole.rows["patients"]) == set(patients)
    assert (whole.pages, paged.pages > len(patients) // 5) == (1, True)
    told = await paged.pull()
    assert (told["changes"], told["more"], told["withheld"]) == ({}, False, [])

    # one doctor sees their own appointments; a visit that goes to another one is gone
    doctor = Device(await web.person(ground.clinic, "doctor", ground.doctor))
    await doctor.pull()
    restricted = "appointments.view_all_doctors" not in effective("doctor").keys
    assert set(doctor.rows["appointments"]) == (set(visits[:1]) if restricted else set(visits))
    moved = await ground.boss("PUT", f"/appointments/{visits[0]}", {**ground.visit(patients[0]), "doctorId": str(second), "patientId": None} | {"patientId": patients[0]})
    if moved.status_code == 400:
        body = {key: value for key, value in ground.visit(patients[0]).items() if key != "patientId"}
        moved = await ground.boss("PUT", f"/appointments/{visits[0]}", {**body, "doctorId": str(second), "start": f"{body['start'][:11]}15:00:00"})
    assert moved.status_code == 200, moved.text
    told = await doctor.pull()
    assert (visits[0] in told["changes"]["appointments"]["removed"]) is restricted
    (theirs,) = await doctor.push(doctor.did("ChangeAppointmentStatus", visits[1], {"status": "arrived"}))
    assert theirs["outcome"] == ("refused" if restricted else "applied")

    # whoever is forgotten is forgotten on devices that ask again
    erased = await ground.boss("POST", "/privacy/erasures", {"kind": "patients", "personId": patients[2], "reason": "Asked", "despiteRetention": True})
    assert erased.status_code in {200, 201}, erased.text
    await whole.pull()
    assert whole.person_of(patients[2])["givenName"] is None
    (unkept,) = await whole.push(whole.did("ChangePatient", patients[2], {"phone": "020 1"}))
    assert (unkept["outcome"], unkept["conflictId"]) == ("refused", None)

    # nothing of another clinic's
    stranger = Device(other.boss)
    outcomes = await stranger.push(
        stranger.did("ChangePatient", patients[0], {"phone": "1"}), stranger.did("RegisterPatient", patients[0], person()),
        stranger.did("BookAppointment", str(uuid4()), {**other.visit(patients[0])}), stranger.did("ArchivePatient", patients[0]))
    assert {one["outcome"] for one in outcomes} == {"refused"}, outcomes
    assert patients[0] not in (await stranger.pull())["changes"].get("patients", {})


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_odd_is_refused_by_itself_and_nothing_else_with_it(web: Web) -> None:
    ground = await Ground.open(web)
    device = Device(ground.boss)
    noor = str(uuid4())
    outcomes = await device.push(
        device.did("RegisterPatient", str(uuid4()), {"givenName": "Noor"}), device.did("RegisterPatient", str(uuid4()), {**person(), "birthDate": "2999-01-01"}),
        device.did("RegisterPatient", noor, person()), device.did("ChangePatient", noor, {"shoeSize": 41}), device.did("BookAppointment", noor, ground.visit(noor)),
        device.did("WritePatientNote", str(uuid4()), {"patientId": "nobody", "text": "x"}), device.did("ChangePatient", str(uuid4()), {"phone": "1"}))
    assert [one["outcome"] for one in outcomes] == ["refused", "refused", "applied", "refused", "refused", "refused", "refused"], outcomes
    for body, problem in (
        ({}, "BODY_INVALID"), ({"deviceId": str(uuid4()), "changes": []}, "BODY_INVALID"),
        ({"deviceId": str(uuid4()), "changes": [{"op": str(uuid4()), "action": "DeleteEverything", "id": noor}]}, "BODY_INVALID"),
    ):
        failure(await ground.boss("POST", "/sync/push", body), 400, problem)
    for mark in ("x", "e30", "eyJwYXRpZW50cyI6WzEsMiwzXX0"):
        answer = await ground.boss("POST", "/sync/pull", {"mark": mark})
        if mark == "e30":
            assert answer.status_code == 200
        else:
            failure(answer, 400, "MARK_INVALID")
    failure(await ground.boss("POST", "/sync/conflicts/" + str(uuid4()) + "/apply", {}), 404, "NOT_FOUND")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_same_handed_in_many_times_at_once_happens_once(web: Web) -> None:
    ground = await Ground.open(web)
    devices = [Device(ground.boss) for _ in range(6)]
    noor, op = str(uuid4()), str(uuid4())
    await asyncio.gather(*(device.push(device.did("RegisterPatient", noor, person(), op=op)) for device in devices))
    values = {"phone": "020 1", "email": "x@example.org", "address": "Dijk 1", "nationalId": "7", "notes": "Afraid", "givenName": "Nora"}
    outcomes = await asyncio.gather(*(device.push(device.did("ChangePatient", noor, {name: value})) for device, (name, value) in zip(devices, values.items(), strict=True)))
    assert [one["outcome"] for (one,) in outcomes] == ["applied"] * len(values), outcomes
    await devices[0].pull()
    row = devices[0].person_of(noor)
    assert {name: row[name] for name in values} == values
    steps = (await ground.boss("GET", f"/activity/patients/{noor}")).json()["items"]
    assert [one["action"] for one in steps].count("PatientRegistered") == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_devices_do_they_come_to_the_same_and_every_word_is_somewhere(web: Web, seed: int) -> None:
    """Three devices go on and off at random; in the end all have the clinic's own rows, and each word that any of them entered was taken or kept."""
    chance = Random(seed)
    ground = await Ground.open(web)
    devices = [Device(ground.boss, chance.choice([2, 7, 500])) for _ in range(3)]
    said: dict[str, tuple[str, str]] = {}
    waiting: dict[UUID, list[dict[str, Any]]] = {device.id: [] for device in devices}
    everybody: list[str] = []
    for number in range(60):
        device = chance.choice(devices)
        match chance.choice(["register", "change", "change", "change", "push", "pull"]):
            case "register":
                everybody.append(id_ := str(uuid4()))
                waiting[device.id].append(device.did("RegisterPatient", id_, person(f"P{number}", f"Q{uuid4().hex}")))
            case "change" if mine := [id_ for id_ in device.rows.get("patients", {}) if id_ in device.positions]:
                id_, name = chance.choice(mine), chance.choice(["phone", "address", "notes"])
                change = device.did("ChangePatient", id_, {name: (word := f"020 {number}" if name == "phone" else f"{name} {number}")})
                waiting[device.id].append(change)
                said[change["op"]] = (id_, word)
            case "push" if waiting[device.id]:
                outcomes = await device.push(*waiting[device.id])
                assert {one["outcome"] for one in outcomes} <= {"applied", "conflict"}, outcomes
                waiting[device.id] = waiting[device.id] if chance.random() < 0.2 else []  # an answer that was lost: it is all sent again
            case "pull":
                await device.pull()
    for device in devices:
        if waiting[device.id]:
            await device.push(*waiting[device.id])
    for device in devices:
        await device.pull()
    assert devices[0].rows == devices[1].rows == devices[2].rows
    fresh = Device(ground.boss)
    await fresh.pull()
    assert fresh.rows == devices[0].rows
    kept_ = {(one["entityId"], str(word)) for one in fresh.rows.get("sync_conflicts", {}).values() for word in (one["values"] or {}).values()}
    for id_, word in said.values():
        history = (await ground.boss("GET", f"/activity/patients/{id_}", params={"limit": 200})).json()["items"]
        taken = any(word in (step["after"] or {}).values() for step in history)
        assert taken or (id_, word) in kept_, (id_, word)
