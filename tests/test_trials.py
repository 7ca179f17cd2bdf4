"""Trials: who tries, who stays, who has gone; by month, as the licences say."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.clinics import ClinicDeleted, ClinicLicensed
from projections.trials import trials
from schemas.trials import TrialRow
from tests.kit import THIS, facts
from tests.served import failure, served, working

JAN = datetime(2026, 1, 5, tzinfo=UTC)
MAR = datetime(2026, 3, 5, tzinfo=UTC)
trial = ClinicLicensed(plan="Pro", until=date(2026, 4, 5), trial=True)
bought = ClinicLicensed(plan="Pro+")


def folded(*told: Any) -> TrialRow | None:
    row = None
    for event, start in told:
        (fact,) = facts(event, start=start)
        row = trials(row, fact)
    return row


def test_a_trial_starts_is_prolonged_and_becomes_a_subscription_once():
    running = TrialRow(id=THIS, started_on=JAN.date(), until=date(2026, 4, 5), running=True, plan="Pro")
    assert folded((trial, JAN)) == running
    longer = ClinicLicensed(plan="Pro", until=date(2026, 5, 5), trial=True)
    assert folded((trial, JAN), (longer, MAR)).until == date(2026, 5, 5)
    done = folded((trial, JAN), (bought, MAR))
    assert (done.running, done.converted_on, done.plan) == (False, MAR.date(), "Pro+")
    assert folded((trial, JAN), (bought, MAR), (ClinicLicensed(plan="Pro"), MAR + timedelta(days=1))) == done
    assert folded((bought, JAN)) is None
    assert folded((trial, JAN), (ClinicDeleted(name="x", reason="x"), MAR)).until == MAR.date()


async def test_what_became_of_them_is_told_by_month(database: Any, nats_server: Any) -> None:
    """Two start today, one of them buys, one has run out, and a clinic that never tried does not count."""
    async with served(database, nats_server) as web, working(database, nats_server):
        from domain.kit import PLATFORM  # noqa: PLC0415

        root, today = await web.person(PLATFORM, "superadmin"), datetime.now(UTC).date()
        first, second, _ = [await web.clinic() for _ in range(3)]
        licence = {"plan": "Pro", "trial": True, "until": (today - timedelta(days=1)).isoformat()}
        for clinic in (first, second):
            assert (await root("POST", f"/licenses/{clinic}/upgrade", licence)).status_code == 200
        answer = await root("POST", f"/licenses/{first}/upgrade", {"plan": "Pro+"})
        told = (await root("GET", "/admin/trial-insights", headers=await root.seen(answer))).json()
        assert {name: told[name] for name in ("started", "running", "converted", "expired", "conversionRate", "medianDays")} == {
            "started": 2, "running": 0, "converted": 1, "expired": 1, "conversionRate": 5_000, "medianDays": 0,
        }
        months = {month["month"]: (month["started"], month["converted"], month["expired"]) for month in told["months"]}
        this, last = today.replace(day=1).isoformat(), (today - timedelta(days=1)).replace(day=1).isoformat()
        assert months == ({this: (2, 1, 1)} if this == last else {this: (2, 1, 0), last: (0, 0, 1)})
        failure(await (await web.person(first, "admin"))("GET", "/admin/trial-insights"), 403, "FORBIDDEN")
