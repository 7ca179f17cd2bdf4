"""Where the figures live on the web."""

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import QueryParameter

from commands.kit.receipt import own_column
from domain.kit import NotFound, day
from domain.kit.sources import Source
from gateway.kit import Desk, browse
from gateway.kit.forms import FORMS, As, Plot, PlotTooWide, Series, told
from gateway.kit.forms import money as amounts
from gateway.kit.query import no_query
from projections.figures import cohorts, doctors_named, growth, leads, lines_of, performance, sources, value
from projections.reports import EARLIEST, LATEST, PeriodImpossible, PeriodTooLong, period
from schemas.figures import (
    Bucket,
    Cohorting,
    CohortLine,
    DoctorPerformance,
    Growth,
    LeadFigures,
    LeadSources,
    LifetimeValue,
    PatientGrowth,
    Performance,
    ReferralSources,
    RetentionCohorts,
    SourceFigures,
    ValueGroup,
)
from schemas.lifetimes import Lifetime
from schemas.visits import VisitRow

From = Annotated[date | None, QueryParameter(name="from", description="The first day; the first of the month if not given.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day, included; today if not given.")]
FirstVisitFrom = Annotated[date | None, QueryParameter(name="from", description="Only patients first seen on this day or later.")]
FirstVisitTo = Annotated[date | None, QueryParameter(name="to", description="Only patients first seen on this day or earlier.")]
RegisteredFrom = Annotated[date | None, QueryParameter(name="from", description="Only patients registered on this day or later.")]
RegisteredTo = Annotated[date | None, QueryParameter(name="to", description="Only patients registered on this day or earlier.")]
Year = Annotated[int | None, QueryParameter(name="year", ge=EARLIEST, le=LATEST, description="Only the cohorts of this year; the last twelve months if not given.")]
Doctor = Annotated[UUID | None, QueryParameter(name="doctorId", description="Only this doctor.")]
FirstDoctor = Annotated[UUID | None, QueryParameter(name="doctorId", description="Only patients whose first visit was with this doctor.")]
Only = Annotated[Source | None, QueryParameter(name="source", description="Only patients who heard of the clinic so.")]
By = Annotated[Bucket | None, QueryParameter(name="groupBy", description="A line for each day or month; one for all of them if not given.")]
In = Annotated[Bucket, QueryParameter(name="groupBy", description="A line for each day or month.")]
Groups = Annotated[Cohorting | None, QueryParameter(name="groupBy", description="Also by the month of the first visit, or by source.")]

COUNTED = {"permission": VisitRow.permission, **FORMS, "refusals": [PlotTooWide]}
VALUED = {"permission": Lifetime.permission, **FORMS, "refusals": [PlotTooWide]}
MONEY = Lifetime.permission


@get("/doctor-performance", operation_id="GetDoctorPerformance", opt={**COUNTED, "refusals": [PeriodImpossible, PeriodTooLong, NotFound, PlotTooWide]})
async def performed(desk: Desk, since: From = None, until: To = None, doctor: Doctor = None, by: By = None, form: As = "json") -> Response[DoctorPerformance]:
    """Show: what each doctor did.

    Visits by what became of them, minutes booked and in the chair, late starts, different and new patients and, for those with `reports.revenue`, money.
    A doctor who may not see all doctors' appointments sees their own figures only.
    """
    no_query(desk.call.query(), ("from", "to", "doctorId", "groupBy", "format"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    await ensure_ours(desk, doctor)
    found = await performance(desk.reader, first, last, by, doctor, own(desk), money=MONEY in desk.who.grants)
    made = DoctorPerformance(since=first, until=last, currency=clinic.currency, items=found)
    names = await doctors_named(desk.reader, (one.doctor_id for one in found))
    return told(desk, made, form, "doctor-performance", Performance, found, lambda say: Plot(
        say("Doctors"), [f"{names.get(one.doctor_id) or say('None')} {one.day or one.month or ''}".strip() for one in found],
        [Series(say("Completed"), [one.completed for one in found]), Series(say("Cancelled"), [one.cancelled for one in found]), Series(say("Missed"), [one.no_show for one in found])]))


@get("/patient-growth", operation_id="GetPatientGrowth", opt={**COUNTED, "refusals": [PeriodImpossible, PeriodTooLong, PlotTooWide]})
async def grew(desk: Desk, since: From = None, until: To = None, source: Only = None, by: In = "day", form: As = "json") -> Response[PatientGrowth]:
    """Show: how the number of patients grew.

    New, active and returning patients of each day or month, and how many had been registered by its end.
    """
    no_query(desk.call.query(), ("from", "to", "source", "groupBy", "format"))
    first, last = period(since, until, day(datetime.now(UTC), (await desk.clinic()).zone))
    found = await growth(desk.reader, first, last, by, source)
    return told(desk, PatientGrowth(since=first, until=last, items=found), form, "patient-growth", Growth, found, lambda say: Plot(
        say("Patients"), [str(one.day or one.month) for one in found],
        [Series(say("New"), [one.new_patients for one in found]), Series(say("Active"), [one.active for one in found])]))


@get("/patient-ltv/summary", operation_id="GetLifetimeValue", opt=VALUED)
async def valued(
    desk: Desk, since: FirstVisitFrom = None, until: FirstVisitTo = None, source: Only = None, by: Groups = None, form: As = "json",
) -> Response[LifetimeValue]:
    """Show: what patients came to so far, together and on average.

    Those who were forgotten since go on to count. Without `groupBy` a sheet has one line.
    """
    no_query(desk.call.query(), ("from", "to", "source", "groupBy", "format"))
    made = await value(desk.reader, since, until, by, source, (await desk.clinic()).currency)
    whole = ValueGroup(**{name: getattr(made, name) for name in ValueGroup.__struct_fields__ if hasattr(made, name)})
    groups = made.groups if by else [whole]
    return told(desk, made, form, "patient-ltv", ValueGroup, groups, lambda say: Plot(
        say("Lifetime value"), [str(one.month or one.source or (say("Not said") if by else say("All"))) for one in groups], [Series(say("Received"), [one.received for one in groups])],
        amounts(made.currency)))


@get("/cohort", operation_id="GetRetentionCohorts", opt={**COUNTED, "refusals": [NotFound, PlotTooWide]})
async def retained(desk: Desk, year: Year = None, doctor: FirstDoctor = None, source: Only = None, form: As = "json") -> Response[RetentionCohorts]:
    """Show: who comes back.

    For each month, the patients whose first completed visit lay in it, and how many of them were seen in each month after. A sheet has a line for each cell.
    """
    no_query(desk.call.query(), ("year", "doctorId", "source", "format"))
    today = day(datetime.now(UTC), (await desk.clinic()).zone)
    first, last = (date(year, 1, 1), date(year, 12, 31)) if year else (twelve_months(today), today)
    await ensure_ours(desk, doctor)
    found = await cohorts(desk.reader, first, last, doctor, own(desk), source, today)
    return told(desk, RetentionCohorts(items=found), form, "cohort", CohortLine, lines_of(found), lambda say: Plot(
        say("Retention"), [f"{one.month:%Y-%m} +{cell.since}" for one in found for cell in one.months], [Series(say("Seen"), [cell.patients for one in found for cell in one.months])]))


@get("/referral-sources", operation_id="GetReferralSources", opt=COUNTED)
async def referred(desk: Desk, since: RegisteredFrom = None, until: RegisteredTo = None, source: Only = None, form: As = "json") -> Response[ReferralSources]:
    """Show: how patients heard of the clinic.

    How many in each way, their visits and, for those with `reports.revenue`, what they came to.
    """
    no_query(desk.call.query(), ("from", "to", "source", "format"))
    found = await sources(desk.reader, since, until, source, money=MONEY in desk.who.grants)
    made = ReferralSources(since=since, until=until, currency=(await desk.clinic()).currency, items=found)
    return told(desk, made, form, "referral-sources", SourceFigures, found, lambda say: Plot(
        say("Where patients come from"), [one.source or say("Not said") for one in found], [Series(say("Patients"), [one.patients for one in found])]))


@get("/lead-sources", operation_id="GetLeadSources", opt={"permission": "leads.view", **FORMS, "refusals": [PeriodImpossible, PlotTooWide]})
async def wrote(desk: Desk, since: From = None, until: To = None, form: As = "json") -> Response[LeadSources]:
    """Show: by which doors people wrote to the clinic, and what became of them.

    Each form of its website and each referral source's link: how many wrote on those days, how many are patients by now and, for those with `reports.revenue`, what they came to.
    """
    no_query(desk.call.query(), ("from", "to", "format"))
    clinic = await desk.clinic()
    first, last = period(since, until, day(datetime.now(UTC), clinic.zone))
    found = await leads(desk.reader, first, last, clinic.zone, money=MONEY in desk.who.grants)
    return told(desk, LeadSources(since=first, until=last, currency=clinic.currency, items=found), form, "lead-sources", LeadFigures, found, lambda say: Plot(
        say("Who wrote"), [one.name or say("None") for one in found], [Series(say("Leads"), [one.leads for one in found]), Series(say("Patients"), [one.converted for one in found])]))


def own(desk: Desk) -> UUID | None:
    """Return beside whom somebody may see nobody."""
    return desk.who.subject if own_column(VisitRow, desk.who) else None


async def ensure_ours(desk: Desk, doctor: UUID | None) -> None:
    if doctor and not await desk.known("staff", doctor):
        raise NotFound(kind="staff", id=str(doctor))


def twelve_months(today: date) -> date:
    """Return the first day of the month eleven months before this one."""
    months = 12 * today.year + today.month - 12
    return date(months // 12, months % 12 + 1, 1)


router = Router("/api/v1/protected/analytics", tags=["Reports"], route_handlers=[
    performed,
    grew,
    browse(
        "/patient-ltv", Lifetime, by=["source", "first_doctor_id", "first_visit..", "last_visit..", "registered_on.."], sort="-received",
        sorts=["billed", "collected", "visits", "first_visit", "last_visit", "registered_on"], only={"nameless": False}, csv=True),
    valued,
    retained,
    referred,
    wrote,
    browse("/visits", VisitRow, by=["doctor_id", "status", "day.."], sort="-day", sorts=["starts_at"], csv=True),
])
