"""Staff: hired, changed, gone and back again."""

from uuid import UUID

from msgspec.structs import replace

from commands.staff import ChangeStaff, DeactivateStaff, HireStaff, OverrideStaffPermissions, ReactivateStaff
from domain.clinics import Clinic, ClinicOpened
from domain.kit import Elsewhere, only
from domain.kit.grants import AdminHoldsAll, FloorIrrevocable, PlanUpgradeRequired, granted
from domain.kit.licences import Licence
from domain.seats import DoctorLimitReached, Seat, SeatEvent, SeatFreed, SeatRole, Seats, SeatTaken, UserLimitReached, seats_of
from domain.staff import (
    CannotEmpowerYourself,
    CannotRemoveYourself,
    GrantBeyondYourOwn,
    Profile,
    Staff,
    StaffChanged,
    StaffDeactivated,
    StaffHired,
    StaffNotActive,
    StaffPermissionsOverridden,
    StaffReactivated,
    StaffStillActive,
)
from projections.staff import staff
from schemas.staff import StaffRow
from tests.kit import CLINIC, THIS, facts, given, noon

hired = StaffHired(name="Dr Sam Visser", email="sam@example.org", role="doctor", speciality="Orthodontics", colour="#3366cc")
boss = StaffHired(name="Ada", email="ada@example.org", role="admin")
gone = StaffDeactivated()
myself = replace(noon, subject=THIS)
pro = Clinic.replay([ClinicOpened(name="Grachten", zone="UTC", currency="EUR", plan="Pro")])


def overriding(*events, at=noon):
    return given(*events, at=at).looking(clinic=pro)


def seated(*roles: SeatRole) -> Seats:
    """Seats taken in these roles; the first is theirs who are spoken of."""
    return Seats(held={UUID(int=THIS.int + n): Seat(role=role) for n, role in enumerate(roles)})


def licensed(users: int | None = None, doctors: int | None = None) -> Clinic:
    return Clinic(licence=Licence(users=users, doctors=doctors))


def saved(event: SeatEvent) -> Elsewhere:
    return Elsewhere(state=Seats, id=seats_of(CLINIC), events=[event])


def taken(role: SeatRole) -> Elsewhere:
    return saved(SeatTaken(holder=THIS, role=role))


free = {"seats": Seats(), "clinic": Clinic()}
freed = saved(SeatFreed(holder=THIS))


def test_somebody_is_hired():
    command = HireStaff(name="Dr Sam Visser", email="sam@example.org", role="doctor", speciality="Orthodontics", colour="#3366cc")
    given().looking(**free).when(command).then(hired, taken("doctor"))


def test_patients_are_booked_with_doctors_and_with_admins_who_are_doctors():
    assert Staff.replay([hired]).treats
    assert Staff.replay([boss]).treats
    assert not Staff.replay([StaffHired(name="Bo", email="bo@example.org", role="receptionist")]).treats
    assert not Staff.replay([hired, gone]).treats
    assert not Staff().treats


def test_a_change_replaces_the_profile():
    changed = StaffChanged(name="Sam de Wit", email="sam@example.org", role="receptionist")
    command = ChangeStaff(name="Sam de Wit", email="sam@example.org", role="receptionist")
    given(hired).looking(seats=seated("doctor"), clinic=Clinic()).when(command).then(changed, taken("receptionist"))
    given(hired).looking(seats=seated("receptionist"), clinic=Clinic()).when(command).then(changed)
    given(hired, gone).looking(**free).when(command).then(changed)
    assert Staff.replay([hired, changed]).role == "receptionist"


def test_staff_leave_and_come_back():
    given(hired).looking(seats=seated("doctor")).when(DeactivateStaff()).then(gone, freed)
    given(hired, gone).looking(seats=Seats()).when(DeactivateStaff()).refused(StaffNotActive)
    given(hired, gone).looking(**free).when(ReactivateStaff()).then(StaffReactivated(), taken("doctor"))
    given(hired).looking(**free).when(ReactivateStaff()).refused(StaffStillActive)


def test_nobody_is_hired_beyond_the_licence():
    doctor = HireStaff(name="Dr Sam Visser", email="sam@example.org", role="doctor")
    desk = HireStaff(name="Bo", email="bo@example.org", role="receptionist")
    others = Seats(held={UUID(int=1): Seat(role="doctor"), UUID(int=2): Seat(role="admin")})
    given().looking(seats=others, clinic=licensed(users=2)).when(desk).refused(UserLimitReached)
    given().looking(seats=others, clinic=licensed(users=2)).when(doctor).refused(UserLimitReached)
    why = given().looking(seats=others, clinic=licensed(users=3, doctors=1)).when(doctor).refused(DoctorLimitReached)
    assert (why.status, why.details) == (403, {"limit": 1})
    given().looking(seats=others, clinic=licensed(users=3, doctors=1)).when(desk).then(StaffHired(**only(Profile, desk)), taken("receptionist"))
    given(hired, gone).looking(seats=others, clinic=licensed(doctors=1)).when(ReactivateStaff()).refused(DoctorLimitReached)


def test_a_receptionist_does_not_become_the_doctor_too_many():
    desk = StaffHired(name="Bo", email="bo@example.org", role="receptionist")
    command = ChangeStaff(name="Bo", email="bo@example.org", role="doctor")
    given(desk).looking(seats=seated("receptionist", "doctor"), clinic=licensed(doctors=1)).when(command).refused(DoctorLimitReached)


def test_a_licence_made_smaller_changes_nobody():
    """Whoever has a seat keeps it, and may be something else that is not limited."""
    small = licensed(users=1, doctors=0)
    same = ChangeStaff(name="Sam", email="sam@example.org", role="doctor")
    given(hired).looking(seats=seated("doctor", "admin"), clinic=small).when(same).then(StaffChanged(**only(Profile, same)))
    less = ChangeStaff(name="Sam", email="sam@example.org", role="receptionist")
    given(hired).looking(seats=seated("doctor", "admin"), clinic=small).when(less).then(StaffChanged(**only(Profile, less)), taken("receptionist"))


def test_nobody_removes_themselves():
    given(boss, at=myself).looking(seats=Seats()).when(DeactivateStaff()).refused(CannotRemoveYourself)
    given(boss, at=myself).looking(seats=seated("admin"), clinic=Clinic()).when(ChangeStaff(name="Ada", email="ada@example.org", role="doctor")).refused(CannotRemoveYourself)
    given(boss, at=myself).looking(seats=seated("admin"), clinic=Clinic()).when(ChangeStaff(name="Ada L", email="ada@example.org", role="admin")).then(
        StaffChanged(name="Ada L", email="ada@example.org", role="admin"),
    )


def test_a_member_of_staff_as_they_are_seen():
    row = None
    for fact in facts(hired, gone, StaffReactivated(), StaffChanged(name="Sam", email="sam@example.org", phone="0612345678", role="doctor")):
        row = staff(row, fact)
    assert row == StaffRow(
        id=THIS, name="Sam", email="sam@example.org", phone="0612345678", role="doctor", speciality=None, colour=None, active=True)


def test_without_the_key_a_member_of_staff_has_no_name_but_still_a_role():
    blank = replace(hired, name=None, email=None, phone=None)
    row = None
    for fact in facts(blank, gone):
        row = staff(row, fact)
    assert row is not None
    assert (row.name, row.role, row.active) == (None, "doctor", False)
    assert Staff.replay([blank]) == Staff.replay([hired])


def test_somebody_is_given_and_refused_things():
    wishes = {"patients.export": True, "patients.delete": False}
    said = StaffPermissionsOverridden(permissions=wishes, before={})
    overriding(hired).when(OverrideStaffPermissions(permissions=wishes)).then(said)
    assert Staff.replay([hired, said]).overrides == wishes
    overriding(hired, said).when(OverrideStaffPermissions(permissions={})).then(StaffPermissionsOverridden(permissions={}, before=wishes))


def test_an_override_that_could_never_count_is_refused():
    overriding(hired).when(OverrideStaffPermissions(permissions={"clinical.ipd.view": True})).refused(PlanUpgradeRequired)
    overriding(hired).when(OverrideStaffPermissions(permissions={"patients.view": False})).refused(FloorIrrevocable)
    overriding(boss).when(OverrideStaffPermissions(permissions={"patients.delete": False})).refused(AdminHoldsAll)
    overriding(hired, gone).when(OverrideStaffPermissions(permissions={})).refused(StaffNotActive)


def test_nobody_gives_what_they_do_not_hold_nor_anything_to_themselves():
    trusted = replace(noon, grants=granted("doctor") | {"settings.staff.manage_permissions"})
    refused = overriding(hired, at=trusted).when(OverrideStaffPermissions(permissions={"patients.export": True})).refused(GrantBeyondYourOwn)
    assert refused.details == {"permissions": ["patients.export"]}
    overriding(hired, at=trusted).when(OverrideStaffPermissions(permissions={"manage_inventory": True})).refused(GrantBeyondYourOwn)
    kept = StaffPermissionsOverridden(permissions={"patients.export": True}, before={})
    wishes = {"patients.export": True, "patients.delete": False}
    overriding(hired, kept, at=trusted).when(OverrideStaffPermissions(permissions=wishes)).then(
        StaffPermissionsOverridden(permissions=wishes, before={"patients.export": True}),
    )
    overriding(hired, at=replace(trusted, subject=THIS)).when(OverrideStaffPermissions(permissions={})).refused(CannotEmpowerYourself)
