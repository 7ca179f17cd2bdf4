"""What may be seen of what patients do not want to be written."""

import datetime as dt
from typing import ClassVar

from domain.kit import Frozen, Id, PatientId
from domain.message_wishes import MessageTopic, WishWay
from schemas.kit import Row


class MessageWishesRow(Row):
    """What a patient does not want to be written: noted for one of their records, by the clinic or by the link in a message."""

    table: ClassVar[str] = "message_wishes"
    permission: ClassVar[str] = "patients.view_detail"
    own: ClassVar[dict[str, str]] = {"patient": "patient_id"}
    indexes: ClassVar[tuple[str, ...]] = ("patient_id",)
    id: Id
    patient_id: PatientId
    unwanted: list[MessageTopic]
    way: WishWay
    noted_at: dt.datetime
    noted_by: Id


class MessageWishesOfPatient(Frozen):
    """What a patient, under whichever of their records, does not want to be written."""

    patient_id: PatientId
    unwanted: list[MessageTopic]


class MessageLink(Frozen):
    """What the link of a message is about: from whom, about what, and whether that is wanted. It says nothing about anybody."""

    topic: MessageTopic
    clinic_name: str
    wanted: bool
