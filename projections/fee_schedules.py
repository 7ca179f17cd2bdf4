"""How a schedule's events become rows of fees, and what they say of a patient's procedures."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from domain.fee_schedules import (
    Contract,
    EstimatedLine,
    Fee,
    FeeScheduleEvent,
    FeesSet,
    PriceUnknown,
    estimated,
    fee_on,
    fee_schedule_of,
)
from domain.kit import Fact
from projections.insurance_covers import covers_on
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.fee_schedules import Estimate, FeeRow, SuggestedPrice
from schemas.insurance_payers import PayerRow

Key = tuple[UUID, str, date]


def of_fees(fact: Fact) -> Iterable[Key]:
    event: Any = fact.event
    return [(fact.id, fee.procedure_code, fee.valid_from) for fee in event.fees]


@projects(FeeRow, of=FeeScheduleEvent, key=of_fees)
def fees(_: FeeRow | None, fact: Fact, key: Key) -> FeeRow | None:
    event: Any = fact.event
    if not isinstance(event, FeesSet):
        return None
    fee = next(one for one in event.fees if (one.procedure_code, one.valid_from) == key[1:])
    return FeeRow(
        schedule_id=fact.id, payer_id=event.payer_id, standard=event.payer_id is None, procedure_code=fee.procedure_code, valid_from=fee.valid_from,
        price=fee.price, description=fee.description, procedure_class=fee.procedure_class, valid_to=fee.valid_to)


async def of_codes(reader: Reader, owner: UUID, codes: Sequence[str], on: date) -> dict[str, Fee]:
    """Return what procedures cost on a day by the schedule of a payer, or of the clinic."""
    rows = await reader.find(FeeRow, schedule_id=fee_schedule_of(owner), procedure_code=list(codes))
    found = {code: fee_on([row for row in rows if row.procedure_code == code], on) for code in codes}
    return {code: fee for code, fee in found.items() if fee is not None}


async def suggested(reader: Reader, patient: UUID, code: str, on: date, currency: str) -> SuggestedPrice:
    """Return what a procedure would cost a patient on a day."""
    for cover in (await covers_on(reader, patient, on))[:1]:
        if fee := (await of_codes(reader, cover.payer_id, [code], on)).get(code):
            return SuggestedPrice(
                patient_id=patient, procedure_code=code, date=on, price=fee.price, currency=currency, schedule="payer", payer_id=cover.payer_id, cover_id=cover.id)
    own = (await of_codes(reader, reader.clinic, [code], on)).get(code)
    return SuggestedPrice(
        patient_id=patient, procedure_code=code, date=on, price=own.price if own else None, currency=currency, schedule="standard" if own else None)


async def estimate(reader: Reader, patient: UUID, wanted: Sequence[tuple[str, int, int | None]], on: date, currency: str) -> Estimate:
    """Return who is likely to bear procedures: each a code, how often, and its price unless the clinic's own schedule says it."""
    codes = list(dict.fromkeys(code for code, _, _ in wanted))
    own = await of_codes(reader, reader.clinic, codes, on)
    covers = await covers_on(reader, patient, on)
    payers = {payer.id: payer for payer in await reader.find(PayerRow, id=[cover.payer_id for cover in covers])} if covers else {}
    theirs = {cover.payer_id: await of_codes(reader, cover.payer_id, codes, on) for cover in covers}
    lines: list[EstimatedLine] = []
    for code, quantity, price in wanted:
        contracts = [contract(payers[cover.payer_id], theirs[cover.payer_id].get(code), own.get(code)) for cover in covers if cover.payer_id in payers]
        unit = price if price is not None else own[code].price if code in own else next((one.fee for one in contracts if one.fee is not None), None)
        if unit is None:
            raise PriceUnknown(procedureCode=code)
        lines.append(estimated(code, quantity, unit, contracts))
    return Estimate(
        patient_id=patient, date=on, currency=currency, covers=[cover.id for cover in covers], lines=lines, price=sum(line.price for line in lines),
        payers_bear=sum(share.bears for line in lines for share in line.payers), write_off=sum(line.write_off for line in lines),
        patient_share=sum(line.patient_share for line in lines))


def contract(payer: PayerRow, fee: Fee | None, own: Fee | None) -> Contract:
    """Return what a payer has agreed to about a procedure, whose class its own schedule says, or the clinic's."""
    known = fee or own
    return Contract(
        payer_id=payer.id, contractual=payer.write_off == "contractual", coverage={one.procedure_class: one.percent for one in payer.coverage},
        fee=fee.price if fee else None, procedure_class=known.procedure_class if known else None)
