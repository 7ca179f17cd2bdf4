"""Words that payers, covers, claims and fee schedules have in common."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from domain.kit.model import Frozen, Ref
from domain.kit.money import BASIS

PayerId = Annotated[UUID, Ref("insurance_payers")]
CoverId = Annotated[UUID, Ref("insurance_covers")]
InsuranceClaimId = Annotated[UUID, Ref("insurance_claims")]

Rank = Literal["primary", "secondary"]
"""Who is asked first: the payer of the primary cover, then that of the secondary one."""
ProcedureClass = Literal["diagnostic", "preventive", "basic", "major", "orthodontic", "other"]
Percent = Annotated[int, Meta(ge=0, le=BASIS, description="Basis points: 8000 is 80 %.")]


class ClassCoverage(Frozen):
    """How much of a class of procedures a payer usually bears."""

    procedure_class: ProcedureClass
    percent: Percent


FeeScheduleId = Annotated[UUID, Ref("fee_schedules")]
