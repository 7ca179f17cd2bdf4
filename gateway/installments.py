"""Where instalment plans live on the web, and where their terms become invoices by themselves."""

import asyncio
import datetime as dt
from collections import Counter
from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.params import PathParameter, QueryParameter

from commands.installments import (
    BillDueTerm,
    CancelInstallmentPlan,
    ChangeInstallmentTerms,
    CreateInstallmentPlan,
    GenerateInstallmentInvoice,
    PauseInstallmentPlan,
    ResumeInstallmentPlan,
    SplitInvoice,
)
from commands.kit.receipt import house
from domain.kit import PLATFORM, NotFound, Refused
from gateway.kit import Desk, act, browse, create, fetch
from gateway.kit.query import no_query
from gateway.kit.routes import own_column
from gateway.kit.services import Services
from projections.installments import DueTermOf, due, of_treatment_plan
from schemas.installments import DueInvoices, InstallmentEntry, InstallmentPlanRow, TreatmentInstallments

TreatmentPlanId = Annotated[UUID, PathParameter(description="Id of the treatment plan.")]
Only = Annotated[UUID | None, QueryParameter(name="clinicId", description="Only this clinic's; all clinics' if not given.")]
MANY = 5000  # terms that are billed in one round
TOGETHER = 25  # of which so many are under way


@get("/by-treatment-plan/{treatmentPlanId:uuid}", operation_id="ListInstallmentsOfTreatmentPlan", summary="List: the instalment plans of a treatment plan", opt={
    "permission": InstallmentPlanRow.permission})
async def of_treatment(desk: Desk, treatmentPlanId: TreatmentPlanId) -> TreatmentInstallments:  # noqa: N803
    """The latest first; each as it stands today."""
    no_query(desk.call.query())
    whose = desk.who.subject if own_column(InstallmentPlanRow, desk.who) else None
    return TreatmentInstallments(treatment_plan_id=treatmentPlanId, items=await of_treatment_plan(desk.reader, treatmentPlanId, whose))


@post("/cron/generate-due-invoices", operation_id="GenerateDueInvoices", status_code=200, opt={"permission": "superadmin", "refusals": [NotFound]})
async def generate(desk: Desk, clinic: Only = None) -> DueInvoices:
    """Bill all terms whose day has come.

    It happens by itself once a minute; asking for it again, or by several at once, bills nothing twice.
    """
    no_query(desk.call.query(), ("clinicId",))
    if clinic is not None:
        await desk.within(clinic)
    return await bill(desk.call.services, None, clinic)


async def tend(services: Services, now: dt.datetime | None = None) -> None:
    """Bill whatever is due, each term once, however many gateways look; `now` is another moment than this one, if a test says so."""
    await bill(services, now, None)


async def bill(services: Services, now: dt.datetime | None, clinic: UUID | None) -> DueInvoices:
    found = await due(services.reading.lanes, now or dt.datetime.now(dt.UTC), clinic, MANY)
    done: Counter[str] = Counter()
    for first in range(0, len(found), TOGETHER):
        done.update(await asyncio.gather(*(billed(services, one, now) for one in found[first : first + TOGETHER])))
    return DueInvoices(found=len(found), generated=done["generated"], already=done["already"], failed=done["failed"])


async def billed(services: Services, one: DueTermOf, now: dt.datetime | None) -> str:
    """Bill a term; none keeps the others waiting, and whoever else sees to it at the same moment finds it done."""
    try:
        receipt = await services.handler.handle(BillDueTerm(number=one.number), house(PLATFORM, one.clinic), id=one.plan, now=now)
    except Refused:  # the plan was paused or changed meanwhile, or the database is away: the next round looks again
        return "failed"
    return "generated" if receipt.position else "already"


router = Router("/api/v1/protected", tags=["Billing"], route_handlers=[
    Router("/installments", route_handlers=[
        browse(
            "/", InstallmentEntry, by=["patient_id", "treatment_plan_id", "invoice_id", "status", "overdue", "next_due_on..", "created_at.."], sort="-created_at",
            sorts=["next_due_on", "open", "overdue_amount", "total"], csv=True),
        of_treatment,
        fetch("/{id:uuid}", InstallmentEntry),
        create("/", CreateInstallmentPlan),
        act("/{id:uuid}/terms", ChangeInstallmentTerms, "PUT"),
        act("/{id:uuid}/pause", PauseInstallmentPlan),
        act("/{id:uuid}/resume", ResumeInstallmentPlan),
        act("/{id:uuid}", CancelInstallmentPlan, "DELETE"),
        act("/{termId:uuid}/generate-invoice", GenerateInstallmentInvoice),
        generate,
    ]),
    create("/invoices/{invoiceId:uuid}/installments", SplitInvoice),
])
