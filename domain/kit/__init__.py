"""What every aggregate is made of. Imports nothing of ours."""

from domain.kit.clock import TimeMissing, TimeRepeated, ZoneUnknown, day, instant, midnight, span, wall, zone
from domain.kit.model import (
    PLATFORM,
    AccountId,
    AppointmentId,
    At,
    Claim,
    ClinicId,
    Elsewhere,
    Event,
    Fact,
    Forbidden,
    Frozen,
    Id,
    Invalid,
    InvoiceId,
    Minutes,
    Money,
    Note,
    NotFound,
    PatientId,
    Personal,
    Positive,
    Reason,
    Ref,
    Refused,
    RoomId,
    StaffId,
    State,
    Text,
    TimeClaim,
    UniqueClaim,
    only,
)

__all__ = [
    "PLATFORM", "AccountId", "AppointmentId", "At", "Claim", "ClinicId", "Elsewhere", "Event", "Fact", "Forbidden", "Frozen", "Id", "Invalid",
    "InvoiceId", "Minutes", "Money", "NotFound", "Note", "PatientId", "Personal", "Positive", "Reason", "Ref", "Refused", "RoomId", "StaffId",
    "State", "Text", "TimeClaim", "TimeMissing", "TimeRepeated", "UniqueClaim", "ZoneUnknown", "day", "instant", "midnight", "only", "span", "wall",
    "zone",
]
