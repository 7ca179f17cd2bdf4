"""What patients do not want to be written, as rows."""

from domain.kit import Fact
from domain.message_wishes import MessageWishesChanged, MessageWishEvent
from projections.kit import projects
from schemas.message_wishes import MessageWishesRow


@projects(MessageWishesRow, of=MessageWishEvent)
def message_wishes(row: MessageWishesRow | None, fact: Fact) -> MessageWishesRow | None:
    match fact.event:
        case MessageWishesChanged(patient_id=patient, unwanted=unwanted, way=way):
            return MessageWishesRow(id=fact.id, patient_id=patient, unwanted=unwanted, way=way, noted_at=fact.recorded_at, noted_by=fact.actor)
    return row
