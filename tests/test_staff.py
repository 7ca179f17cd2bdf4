"""Staff: hired, changed, gone and back again."""

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.staff import (
    CancelStaffInvitation,
    ChangeStaff,
    DeactivateStaff,
    GiveStaffAccount,
    HireStaff,
    InviteStaff,
    JoinStaff,
    OverrideStaffPermissions,
    ReactivateStaff,
    ResendStaffInvitation,
)
from domain.clinics import Clinic, ClinicOpened
from domain.kit import Elsewhere, NotFound, only
from domain.kit.grants import AdminHoldsAll, FloorIrrevocable, PlanUpgradeRequired, granted
from domain.kit.licences import Licence
from domain.seats import DoctorLimitReached, Seat, SeatEvent, SeatFreed, SeatRole, Seats, SeatTaken, UserLimitReached, seats_of
from domain.staff import (
    CannotEmpowerYourself,
    CannotRemoveYourself,
    GrantBeyondYourOwn,
    InvitationOpen,
    InvitationOver,
    Profile,
    Staff,
    StaffAccountGiven,
    StaffChanged,
    StaffDeactivated,
    StaffHired,
    StaffInvitationCancelled,
    StaffInvitationResent,
    StaffInvited,
    StaffInvitedAlready,
    StaffJoined,
    StaffNotActive,
    StaffPermissionsOverridden,
    StaffReactivated,
    StaffStillActive,
)
from projections.staff import invitations, staff
from schemas.staff import StaffInvitationRow, StaffRow
from tests.kit import ACTOR, CLINIC, THIS, facts, given, noon

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
    trusted = replace(noon, role="doctor", grants=granted("doctor") | {"settings.staff.manage_permissions"})
    refused = overriding(hired, at=trusted).when(OverrideStaffPermissions(permissions={"patients.export": True})).refused(GrantBeyondYourOwn)
    assert refused.details == {"permissions": ["patients.export"]}
    overriding(hired, at=trusted).when(OverrideStaffPermissions(permissions={"manage_inventory": True})).refused(GrantBeyondYourOwn)
    kept = StaffPermissionsOverridden(permissions={"patients.export": True}, before={})
    wishes = {"patients.export": True, "patients.delete": False}
    overriding(hired, kept, at=trusted).when(OverrideStaffPermissions(permissions=wishes)).then(
        StaffPermissionsOverridden(permissions=wishes, before={"patients.export": True}),
    )
    overriding(hired, at=replace(trusted, subject=THIS)).when(OverrideStaffPermissions(permissions={})).refused(CannotEmpowerYourself)


ACCOUNT = UUID(int=77)
week = noon.now + timedelta(days=7)
asked = StaffInvited(name="Bo Smit", email="bo@example.org", role="receptionist", expires_at=week)
tomorrow = replace(noon, now=noon.now + timedelta(days=1))
too_late = replace(noon, now=week)


def kept(role: SeatRole, until=week) -> Elsewhere:
    return saved(SeatTaken(holder=THIS, role=role, until=until))


def test_somebody_is_invited_and_keeps_a_seat_for_a_week():
    command = InviteStaff(name="Bo Smit", email="bo@example.org", role="receptionist")
    given().looking(**free, known=False).when(command).then(asked, kept("receptionist"))
    given().looking(**free, known=True).when(command).refused(StaffInvitedAlready)
    given().looking(seats=seated("doctor"), clinic=licensed(users=1), known=False).when(command).then(asked, kept("receptionist"))
    others = Seats(held={UUID(int=1): Seat(role="doctor", until=week)})
    given().looking(seats=others, clinic=licensed(users=1), known=False).when(command).refused(UserLimitReached)
    given(at=too_late).looking(seats=others, clinic=licensed(users=1), known=False).when(command).then(
        replace(asked, expires_at=too_late.now + timedelta(days=7)), kept("receptionist", too_late.now + timedelta(days=7)))


def test_whoever_is_invited_does_not_work_here_yet():
    invited = Staff.replay([asked])
    assert (invited.active, invited.treats, invited.role) == (False, False, "receptionist")
    change = ChangeStaff(name="Bo", email="eve@example.org", role="receptionist")
    given(asked).looking(**free).when(change).refused(InvitationOpen)
    given(asked).looking(seats=Seats()).when(DeactivateStaff()).refused(InvitationOpen)
    given(asked).looking(**free).when(ReactivateStaff()).refused(InvitationOpen)
    overriding(asked).when(OverrideStaffPermissions(permissions={})).refused(InvitationOpen)
    given(asked).when(GiveStaffAccount(account_id=ACCOUNT)).refused(InvitationOpen)


def test_an_invitation_is_accepted_once_within_its_week():
    joined, join = StaffJoined(account_id=ACCOUNT), JoinStaff(account_id=ACCOUNT)
    held = {"seats": Seats(held={THIS: Seat(role="receptionist", until=week)}), "clinic": licensed(users=1)}
    given(asked, at=tomorrow).looking(**held).when(join).then(joined, kept("receptionist", None))
    given(asked, at=too_late).looking(**held).when(join).refused(InvitationOver)
    given(asked, joined).looking(**held).when(join).refused(InvitationOver)
    given(asked, StaffInvitationCancelled()).looking(**held).when(join).refused(InvitationOver)
    given(hired).looking(**held).when(join).refused(InvitationOver)
    now = Staff.replay([asked, joined])
    assert (now.active, now.account, now.role) == (True, ACCOUNT, "receptionist")


def test_an_invitation_is_sent_again_also_when_it_has_run_out():
    later = too_late.now + timedelta(days=7)
    again = StaffInvitationResent(expires_at=later)
    given(asked, at=too_late).looking(**free).when(ResendStaffInvitation()).then(again, kept("receptionist", later))
    given(asked, again, at=too_late).looking(**free).when(JoinStaff(account_id=ACCOUNT)).then(StaffJoined(account_id=ACCOUNT), kept("receptionist", None))
    for over in ([hired], [asked, StaffJoined(account_id=ACCOUNT)], [asked, StaffInvitationCancelled()]):
        given(*over).looking(**free).when(ResendStaffInvitation()).refused(NotFound)


def test_an_invitation_is_cancelled_and_its_seat_free():
    given(asked).looking(seats=seated("receptionist")).when(CancelStaffInvitation()).then(StaffInvitationCancelled(), freed)
    given(asked, StaffInvitationCancelled()).looking(seats=Seats()).when(CancelStaffInvitation()).refused(NotFound)
    given(hired).looking(seats=seated("doctor")).when(CancelStaffInvitation()).refused(NotFound)


def test_an_account_is_given_once():
    given(hired).when(GiveStaffAccount(account_id=ACCOUNT)).then(StaffAccountGiven(account_id=ACCOUNT))
    given(hired, StaffAccountGiven(account_id=ACCOUNT)).when(GiveStaffAccount(account_id=ACCOUNT)).then()


@pytest.mark.parametrize(("role", "able"), [
    ("superadmin", {"admin", "doctor", "receptionist"}), ("admin", {"admin", "doctor", "receptionist"}), ("doctor", {"doctor", "receptionist"}),
    ("receptionist", {"receptionist"}), ("patient", set()), ("key", set()), ("house", set()),
])
def test_nobody_takes_on_raises_or_removes_whoever_ranks_above_them(role, able):
    """Whoever was given the key for it by a template or an override is not thereby an admin."""
    me = replace(noon, role=role)
    for wanted in ("admin", "doctor", "receptionist"):
        who = {"name": "Bo", "email": "bo@example.org", "role": wanted}
        member = StaffHired(**who)
        tries = [
            given(at=me).looking(**free).when(HireStaff(**who)), given(at=me).looking(**free, known=False).when(InviteStaff(**who)),
            given(hired, at=me).looking(**free).when(ChangeStaff(**who)), given(member, at=me).looking(seats=Seats()).when(DeactivateStaff()),
            given(member, gone, at=me).looking(**free).when(ReactivateStaff()),
        ]
        for n, attempt in enumerate(tries):
            if wanted in able and (n != 2 or "doctor" in able):
                assert attempt.decide()
            else:
                attempt.refused(GrantBeyondYourOwn)


def test_an_invitation_as_it_is_seen():
    row = member = None
    later = week + timedelta(days=1)
    for fact in facts(asked, StaffInvitationResent(expires_at=later)):
        row, member = invitations(row, fact), staff(member, fact)
    assert row == StaffInvitationRow(
        clinic=CLINIC, id=THIS, name="Bo Smit", email="bo@example.org", role="receptionist", invited_at=noon.now, invited_by=ACTOR, sent_at=noon.now, sent=2,
        expires_at=later)
    assert (member.status, member.active) == ("invited", False)
    (cancelled,) = facts(StaffInvitationCancelled())
    assert (invitations(row, cancelled), staff(member, cancelled)) == (None, None)
    (joined,) = facts(StaffJoined(account_id=ACCOUNT))
    assert invitations(row, joined) is None
    member = staff(member, joined)
    assert (member.status, member.active, member.account_id, member.name) == ("active", True, ACCOUNT, "Bo Smit")
