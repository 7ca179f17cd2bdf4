"""Clinics: each keeps its own time zone, currency and plan; everything else belongs to one of them."""

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta
from msgspec.structs import replace

from domain.kit import Event, Frozen, Invalid, State, Text, only, zone

Plan = Literal["Pro", "Pro+", "Enterprise"]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["EUR"])]
Zone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone.", examples=["Europe/Amsterdam"])]
Line = Annotated[str, Meta(max_length=500)]


class Details(Frozen):
    """What a clinic says about itself."""

    name: Text
    address: Line = ""
    phone: Line = ""
    email: Line = ""


class ClinicOpened(Event, Details):
    zone: Zone
    currency: Currency
    plan: Plan


class ClinicChanged(Event, Details): ...


class ClinicPlanChanged(Event):
    plan: Plan


ClinicEvent = ClinicOpened | ClinicChanged | ClinicPlanChanged


class ClinicNeedsName(Invalid):
    """A clinic has a name."""


class Clinic(State):
    """A clinic; its zone and currency are settled when it opens."""

    kind: ClassVar[str] = "clinics"
    name: str = ""
    zone: str = "UTC"
    currency: str = "EUR"
    plan: Plan = "Pro"

    def evolve(self, event: ClinicEvent) -> Self:
        match event:
            case ClinicOpened():
                return replace(self, name=event.name, zone=event.zone, currency=event.currency, plan=event.plan)
            case ClinicChanged(name=name):
                return replace(self, name=name)
            case ClinicPlanChanged(plan=plan):
                return replace(self, plan=plan)

    def open(self, details: Details, zone_name: str, currency: str, plan: Plan) -> list[Event]:
        if not details.name.strip():
            raise ClinicNeedsName
        zone(zone_name)
        return [ClinicOpened(**only(Details, details), zone=zone_name, currency=currency, plan=plan)]

    def change(self, details: Details) -> list[Event]:
        if not details.name.strip():
            raise ClinicNeedsName
        return [ClinicChanged(**only(Details, details))]

    def change_plan(self, plan: Plan) -> list[Event]:
        return [] if plan == self.plan else [ClinicPlanChanged(plan=plan)]
