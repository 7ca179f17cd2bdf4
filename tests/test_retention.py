"""What a clinic must keep, for how long, and on whose word."""

from datetime import date
from uuid import uuid5

import pytest
from hypothesis import given as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.retention import LiftLegalHold, PlaceLegalHold, SetRetention
from domain.retention import (
    PERIODS,
    Hold,
    LegalHoldBinds,
    LegalHoldLifted,
    LegalHoldNotYours,
    LegalHoldPlaced,
    LegalHoldUnknown,
    Retention,
    RetentionBinds,
    RetentionSet,
    RetentionTooShort,
    later,
)
from projections.retention import legal_holds, retention
from tests.kit import ACTOR, THIS, facts, given, noon

FIRST = uuid5(THIS, "holds/1")
NOOR, JAN = uuid5(THIS, "noor"), uuid5(THIS, "jan")
root = replace(noon, role="superadmin")
placed = LegalHoldPlaced(hold_id=FIRST, reason="A lawsuit")


def test_records_may_be_kept_longer_than_the_law_wants_and_not_shorter():
    longer = SetRetention(periods={"patients": 30, "invoices": 7})
    given().when(longer).then(RetentionSet(periods=longer.periods, before={}))
    given(RetentionSet(periods=longer.periods, before={})).when(longer).then()
    refused = given().when(SetRetention(periods={"patients": 4})).refused(RetentionTooShort)
    assert refused.details == {"kind": "patients", "minimum": 5}
    assert all(0 < period.minimum <= period.usual and period.source for period in PERIODS.values())


def test_a_hold_is_placed_and_lifted_by_whoever_may():
    given().when(PlaceLegalHold(reason="A lawsuit")).then(placed)
    given(placed).when(PlaceLegalHold(reason="Another", patient_id=NOOR)).then(
        LegalHoldPlaced(hold_id=uuid5(THIS, "holds/2"), reason="Another", patient_id=NOOR))
    lift = LiftLegalHold(hold_id=FIRST, reason="Settled")
    given(placed).when(lift).then(LegalHoldLifted(hold_id=FIRST, reason="Settled"))
    given(placed, LegalHoldLifted(hold_id=FIRST, reason="Settled")).when(lift).refused(LegalHoldUnknown)
    given(at=root).when(PlaceLegalHold(reason="A lawsuit")).then(ours := replace(placed, platform=True))
    given(ours).when(lift).refused(LegalHoldNotYours)
    given(ours, at=root).when(lift).then(LegalHoldLifted(hold_id=FIRST, reason="Settled"))


def test_a_hold_on_one_patient_binds_her_records_and_the_clinic_as_a_whole():
    kept = Retention(holds={FIRST: Hold(patient=NOOR)})
    with pytest.raises(LegalHoldBinds):
        kept.ensure_deletable(noon.today, {}, NOOR)
    with pytest.raises(LegalHoldBinds):
        kept.ensure_all_deletable(noon.today, None)
    kept.ensure_deletable(noon.today, {}, JAN)
    with pytest.raises(LegalHoldBinds):
        Retention(holds={FIRST: Hold()}).ensure_deletable(noon.today, {}, JAN)


@hypothesis(
    st.dates(date(1990, 1, 1), date(2030, 1, 1)), st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.sampled_from(sorted(PERIODS)), st.integers(5, 60))
def test_a_record_is_free_from_the_day_on_which_its_years_are_over(last, today, kind, years):
    kept = Retention(periods={kind: max(years, PERIODS[kind].minimum)})
    due = later(last, kept.years(kind))
    if today >= due:
        kept.ensure_deletable(today, {kind: last})
    else:
        with pytest.raises(RetentionBinds) as bound:
            kept.ensure_deletable(today, {kind: last})
        assert bound.value.details == {"kind": kind, "until": due.isoformat()}


def test_years_end_where_the_calendar_does():
    assert later(date(2024, 2, 29), 1) == date(2025, 3, 1)
    assert later(date(2024, 2, 29), 4) == date(2028, 3, 1)
    assert later(date(9990, 1, 1), 20) == date.max


def test_a_hold_as_it_is_seen():
    history = facts(placed, LegalHoldLifted(hold_id=FIRST, reason="Settled"))
    row, all_ = None, None
    for fact in history:
        row, all_ = legal_holds(row, fact, (FIRST,)), retention(all_, fact)
    assert row is not None
    assert all_ is not None
    assert (row.id, row.open, row.placed_by, row.lifted_by, row.lift_reason, all_.holds) == (FIRST, False, ACTOR, ACTOR, "Settled", [])
