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
