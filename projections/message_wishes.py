"""What patients do not want to be written, as rows."""

from uuid import UUID

from domain.kit import Fact
from domain.message_wishes import MessageTopic, MessageWishesChanged, MessageWishEvent, message_wishes_of
from projections.erasures import records_of
from projections.kit import projects
from projections.kit.reading import Reader
from schemas.message_wishes import MessageWishesRow


@projects(MessageWishesRow, of=MessageWishEvent)
def message_wishes(row: MessageWishesRow | None, fact: Fact) -> MessageWishesRow | None:
    match fact.event:
        case MessageWishesChanged(patient_id=patient, unwanted=unwanted, way=way):
            return MessageWishesRow(id=fact.id, patient_id=patient, unwanted=unwanted, way=way, noted_at=fact.recorded_at, noted_by=fact.actor)
    return row


async def kept_under(reader: Reader, patient: UUID) -> list[UUID]:
    """Return the ids under which it is kept what a patient does not want, one for each of their records."""
    return [message_wishes_of(record) for record in await records_of(reader, patient)]


async def unwanted_of(reader: Reader, patient: UUID) -> list[MessageTopic]:
    """Return what a patient does not want to be written, under whichever of their records it was noted."""
    found = await reader.find(MessageWishesRow, patient_id=await records_of(reader, patient))
    return sorted({topic for row in found for topic in row.unwanted})
