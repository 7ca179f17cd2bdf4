"""What a patient may ask who has scanned the code at the entrance."""

from typing import Any

from commands.kit import Command, Decision, Look
from commands.queue import arrival, numbers
from domain.appointments import Appointment
from domain.attendance import NotExpected, ensure_in_time
from domain.kit import At
from domain.series import Series


class ArriveByCode(Command):
    """Say that you are here, for your appointment of today; who says so twice is noted once."""

    state = Appointment
    permission = "public"

    async def gather(self, look: Look) -> dict[str, Any]:
        return await numbers(look)

    def decide(self, appointment: Appointment, at: At, *, numbers: Series) -> Decision:
        visit = appointment.arranged
        if visit is None or visit.on != at.today or appointment.status in {"cancelled", "no-show", "completed"}:
            raise NotExpected
        if appointment.status in {"arrived", "in-chair"}:
            return []
        ensure_in_time(visit.starts_at, visit.ends_at, at.now)
        return arrival(appointment, at, numbers, "code")
