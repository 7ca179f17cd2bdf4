"""Clinics: each keeps its own time zone, currency and licence; everything else belongs to one of them."""

from datetime import date, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from msgspec import Meta, field
from msgspec.structs import replace

from domain.kit import (
    AccountId,
    Colour,
    Event,
    Forbidden,
    Frozen,
    Invalid,
    NotFound,
    Reason,
    Refused,
    State,
    Text,
    day,
    only,
    zone,
)
from domain.kit.grants import MODULES, OptionalModule, Plan, reaches
from domain.kit.letters import Language, letter
from domain.kit.licences import Licence

Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["EUR"])]
Zone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone.", examples=["Europe/Amsterdam"])]
Line = Annotated[str, Meta(max_length=500)]
CountryCode = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 code.", examples=["NL"])]
AssetType = Literal["logo", "favicon"]
Digest = Annotated[str, Meta(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file.", examples=["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"])]
Switcher = Literal["platform", "clinic"]
ClinicLanguage = Annotated[Language | None, Meta(description="In which the clinic writes to people who have chosen none; English if it has not said.")]
Notice = Annotated[int, Meta(ge=0, le=720, description="Hours before a visit from which on patients cannot cancel it by themselves; 0: they can until it begins.")]

GRACE = timedelta(days=30)  # in which a clinic that is being closed can be kept
REMINDER = timedelta(days=7)  # before it is over


class Details(Frozen):
    """What a clinic says about itself."""

    name: Text
    address: Line = ""
    phone: Line = ""
    email: Line = ""
    theme: Colour | None = None
    country: CountryCode | None = None
    cancel_notice: Notice = 0
    language: ClinicLanguage = None


class Asset(Frozen):
    """A picture of the clinic's, as it is stored."""

    digest: Digest
    media: Literal["image/png", "image/jpeg", "image/gif", "image/webp", "image/x-icon"]
    size: Annotated[int, Meta(ge=1, le=1 << 20, description="Bytes.")]


class ClinicOpened(Event, Details):
    zone: Zone
    currency: Currency
    plan: Plan


class ClinicChanged(Event, Details): ...


class ClinicPlanChanged(Event):
    plan: Plan


class ClinicLicensed(Event, Licence):
    reason: Reason | None = None


class ClinicModuleSwitched(Event):
    module: OptionalModule
    on: bool
    by: Switcher


class ClinicModulesReset(Event): ...


class ClinicBrandingSet(Event, Asset):
    type: AssetType


class ClinicBrandingRemoved(Event):
    type: AssetType


class ClinicZoneChanged(Event):
    """The clinic's clocks are another zone's from now on. What people were told stands: what is to come is at the same time on the wall."""

    zone: Zone
    was_zone: Zone
    reason: Reason | None = None


class ClinicClocksSet(Event):
    """All that is to come is at the clinic's clocks again: so much was moved, and of that so much is where something else is as well."""

    moved: Annotated[int, Meta(ge=0)]
    overlapping: Annotated[int, Meta(ge=0)]


class ClinicDeactivated(Event):
    reason: Reason


class ClinicReactivated(Event): ...


class ClinicDeleted(Event):
    name: Text
    reason: Reason


class ClinicClosing(Event):
    """The clinic is being closed: from now on it can only be looked at and taken along, and after `until` it is deleted, unless that is taken back."""

    until: Annotated[datetime, Meta(tz=True)]
    reason: Reason
    by: AccountId


class ClinicClosingReminded(Event):
    """It is about to be deleted, and whoever wanted that is told so."""

    until: Annotated[datetime, Meta(tz=True)]
    by: AccountId


class ClinicKept(Event):
    """It is not being closed any more."""


class ClinicExported(Event):
    """Everything of the clinic was taken along, by whoever the envelope names."""


class EvidenceExported(Event):
    """An auditor's export of the clinic's history was taken, by whoever the envelope names."""


ClinicEvent = (
    ClinicOpened | ClinicChanged | ClinicPlanChanged | ClinicLicensed | ClinicModuleSwitched | ClinicModulesReset | ClinicBrandingSet
    | ClinicBrandingRemoved | ClinicDeactivated
    | ClinicReactivated | ClinicDeleted | ClinicExported | EvidenceExported | ClinicClosing | ClinicClosingReminded | ClinicKept
    | ClinicZoneChanged | ClinicClocksSet
)


class ClinicNeedsName(Invalid):
    """A clinic has a name."""


class ClinicNotActive(Refused):
    """That clinic is deactivated already."""


class ClinicStillActive(Refused):
    """That clinic is active already."""


class ClinicClosingAlready(Refused):
    """That clinic is being closed already."""


class ClinicNotClosing(Refused):
    """That clinic is not being closed."""


class ClinicNameDiffers(Invalid):
    """Type the clinic's name exactly as it is, to show that you mean this one."""


class ModuleWithheld(Forbidden):
    """The platform has switched that module off for this clinic. Ask it to switch the module on."""


class ModuleBeyondPlan(Forbidden):
    """The clinic's plan does not reach that module. Upgrade the plan first."""


class TrialOver(Refused):
    """That clinic has had its trial. Give it a licence instead."""


class ClinicHasLicence(Refused):
    """That clinic has a licence that is no trial. Change the licence instead."""


class Closing(Frozen):
    """That a clinic is being closed: since when, until when it can be kept, why, and on whose word; and what has been done about it."""

    since: date
    until: datetime
    reason: str
    by: UUID
    reminded: bool = False
    taken: bool = False  # whether everything has been taken along since


class Clinic(State):
    """A clinic; its currency is settled when it opens."""

    kind: ClassVar[str] = "clinics"
    name: str = ""
    zone: str = "UTC"
    currency: str = "EUR"
    cancel_notice: int = 0  # hours
    licence: Licence = Licence()
    licensed: bool = False  # whether the licence is more than what it opened with
    tried: bool = False
    withheld: frozenset[OptionalModule] = frozenset()  # modules that the platform has switched off
    unwanted: frozenset[OptionalModule] = frozenset()  # modules that the clinic itself has switched off
    assets: dict[AssetType, Asset] = field(default_factory=dict)
    active: bool = True
    deleted: bool = False
    closing: Closing | None = None
    language: Language | None = None
    setting_clocks: bool = False  # whether it is in another zone, and not all that is to come has followed yet

    def evolve(self, event: ClinicEvent) -> Self:  # noqa: C901, PLR0911, PLR0912 - one case per event
        match event:
            case ClinicOpened():
                return replace(self, name=event.name, zone=event.zone, currency=event.currency, cancel_notice=event.cancel_notice, licence=Licence(plan=event.plan), language=event.language)
            case ClinicChanged(name=name, cancel_notice=notice, language=language):
                return replace(self, name=name, cancel_notice=notice, language=language)
            case ClinicPlanChanged(plan=plan):
                return replace(self, licence=replace(self.licence, plan=plan))
            case ClinicLicensed():
                return replace(self, licence=Licence(**only(Licence, event)), licensed=True, tried=self.tried or event.trial)
            case ClinicModuleSwitched():
                return self._switched(event)
            case ClinicModulesReset():
                return replace(self, withheld=frozenset(), unwanted=frozenset())
            case ClinicBrandingSet(type=which):
                return replace(self, assets={**self.assets, which: Asset(**only(Asset, event))})
            case ClinicBrandingRemoved(type=which):
                return replace(self, assets={name: asset for name, asset in self.assets.items() if name != which})
            case ClinicZoneChanged(zone=zone_name):
                return replace(self, zone=zone_name, setting_clocks=True)
            case ClinicClocksSet():
                return replace(self, setting_clocks=False)
            case ClinicDeactivated():
                return replace(self, active=False)
            case ClinicReactivated():
                return replace(self, active=True)
            case ClinicDeleted():
                return replace(self, active=False, deleted=True)
            case ClinicClosing(until=until, reason=reason, by=by):
                return replace(self, closing=Closing(since=day(until - GRACE, self.zone), until=until, reason=reason, by=by))
            case ClinicClosingReminded() if self.closing:
                return replace(self, closing=replace(self.closing, reminded=True))
            case ClinicKept():
                return replace(self, closing=None)
            case ClinicExported() if self.closing:
                return replace(self, closing=replace(self.closing, taken=True))
            case ClinicExported() | EvidenceExported() | ClinicClosingReminded():
                return self

    def _switched(self, event: ClinicModuleSwitched) -> Self:
        module = frozenset({event.module})
        if event.on:
            return replace(self, withheld=self.withheld - module, unwanted=self.unwanted - module)
        if event.by == "platform":
            return replace(self, withheld=self.withheld | module)
        return replace(self, unwanted=self.unwanted | module)

    @property
    def plan(self) -> Plan:
        """What permissions hang on."""
        return self.licence.plan

    @property
    def off(self) -> frozenset[OptionalModule]:
        """The modules that are switched off, whoever did it."""
        return self.withheld | self.unwanted

    @property
    def modules(self) -> list[OptionalModule]:
        """The optional modules that work here: reached by the plan and not switched off."""
        return [name for name, module in MODULES.items() if name not in self.off and reaches(self.plan, module.plan)]

    def open(self, details: Details, zone_name: str, currency: str, plan: Plan) -> list[Event]:
        if not details.name.strip():
            raise ClinicNeedsName
        zone(zone_name)
        return [ClinicOpened(**only(Details, details), zone=zone_name, currency=currency, plan=plan)]

    def found(self, details: Details, zone_name: str, currency: str, trial: Licence, days: int, now: datetime) -> list[Event]:
        """Open a clinic with a trial; one that is open already stays what it is."""
        if self.name:
            return []
        opened = self.open(details, zone_name, currency, trial.plan)
        return [*opened, *self.replay(opened).start_trial(trial.plan, day(now, zone_name), days, trial.users, trial.doctors)]

    def change(self, details: Details) -> list[Event]:
        self.ensure_there()
        if not details.name.strip():
            raise ClinicNeedsName
        return [ClinicChanged(**only(Details, details))]

    def change_zone(self, zone_name: str, reason: str | None) -> list[Event]:
        """Go by another zone's clocks from now on."""
        self.ensure_there()
        zone(zone_name)
        return [] if zone_name == self.zone else [ClinicZoneChanged(zone=zone_name, was_zone=self.zone, reason=reason)]

    def clocks_set(self, moved: int, overlapping: int) -> list[Event]:
        """Note that all that is to come has followed."""
        return [ClinicClocksSet(moved=moved, overlapping=overlapping)] if self.setting_clocks else []

    def change_plan(self, plan: Plan) -> list[Event]:
        self.ensure_there()
        return [] if plan == self.plan else [ClinicPlanChanged(plan=plan)]

    def license(self, licence: Licence, reason: str | None = None) -> list[Event]:
        """Replace the licence as a whole; seats taken beyond it stay taken, and no more are given out."""
        self.ensure_there()
        wanted = Licence(**only(Licence, licence))
        return [] if wanted == self.licence else [ClinicLicensed(**only(Licence, wanted), reason=reason)]

    def start_trial(self, plan: Plan, today: date, days: int, users: int | None, doctors: int | None) -> list[Event]:
        """Let a clinic try a plan, once, from today on."""
        self.ensure_there()
        if self.tried:
            raise TrialOver
        if self.licensed:
            raise ClinicHasLicence
        until = date.fromordinal(min(today.toordinal() + days - 1, date.max.toordinal()))
        return [ClinicLicensed(plan=plan, users=users, doctors=doctors, until=until, trial=True, reason=f"A trial of {days} days")]

    def switch(self, module: OptionalModule, *, on: bool, by: Switcher) -> list[Event]:
        self.ensure_there()
        if on and not reaches(self.plan, MODULES[module].plan):
            raise ModuleBeyondPlan(module=module, plan=MODULES[module].plan)
        if by == "clinic" and on and module in self.withheld:
            raise ModuleWithheld(module=module)
        switched_off = self.withheld if by == "platform" else self.unwanted
        already = module not in self.off if on else module in switched_off
        return [] if already else [ClinicModuleSwitched(module=module, on=on, by=by)]

    def reset_modules(self) -> list[Event]:
        self.ensure_there()
        return [ClinicModulesReset()] if self.off else []

    def brand(self, which: AssetType, asset: Asset) -> list[Event]:
        self.ensure_there()
        return [] if self.assets.get(which) == asset else [ClinicBrandingSet(type=which, **only(Asset, asset))]

    def remove_branding(self, which: AssetType) -> list[Event]:
        self.ensure_there()
        if which not in self.assets:
            raise NotFound(kind="branding", id=which)
        return [ClinicBrandingRemoved(type=which)]

    def deactivate(self, reason: str) -> list[Event]:
        self.ensure_there()
        if not self.active:
            raise ClinicNotActive
        return [ClinicDeactivated(reason=reason)]

    def export(self) -> list[Event]:
        self.ensure_there()
        return [ClinicExported()]

    def give_evidence(self) -> list[Event]:
        self.ensure_there()
        return [EvidenceExported()]

    def reactivate(self) -> list[Event]:
        self.ensure_there()
        if self.active:
            raise ClinicStillActive
        return [ClinicReactivated()]

    def delete(self, name: str, reason: str) -> list[Event]:
        self.ensure_there()
        if name != self.name:
            raise ClinicNameDiffers
        return [ClinicDeleted(name=name, reason=reason)]

    def close(self, name: str, reason: str, by: UUID, now: datetime) -> list[Event]:
        """Begin to close it: there are thirty days to take everything along, or to think again."""
        self.ensure_there()
        if self.closing is not None:
            raise ClinicClosingAlready
        if name != self.name:
            raise ClinicNameDiffers
        return [ClinicClosing(until=now + GRACE, reason=reason, by=by)]

    def keep(self) -> list[Event]:
        self._ensure_closing()
        return [ClinicKept()]

    def remind(self, now: datetime) -> list[Event]:
        """Have whoever closes it told that it is about to be deleted."""
        closing = self._ensure_closing()
        due = not closing.reminded and closing.until - REMINDER <= now < closing.until
        return [ClinicClosingReminded(until=closing.until, by=closing.by)] if due else []

    def finish(self, now: datetime) -> list[Event]:
        """Delete it, once its time is over."""
        closing = self._ensure_closing()
        return [ClinicDeleted(name=self.name, reason=closing.reason)] if closing.until <= now else []

    def keeps_since(self, today: date) -> date | None:
        """Return since when its records have not changed, by the day on which they can have changed last; None if it has taken them along."""
        if self.closing is None:
            return today
        return None if self.closing.taken else self.closing.since

    def _ensure_closing(self) -> Closing:
        self.ensure_there()
        if self.closing is None:
            raise ClinicNotClosing
        return self.closing

    def ensure_there(self) -> None:
        if self.deleted:
            raise NotFound


CLOSING_LETTER = letter(
    "clinic.closing", "Tells whoever closes a clinic until when it can be kept, and to take everything along.", {"until": "2026-03-31"},
    en=("{{clinic}} is being closed", """
Dear {{name}},

You are closing {{clinic}}. Nothing in it changes any more. Until {{until}} you can take that back; after that it is deleted, as soon as you have taken everything along.

If this was not you, sign in and keep the clinic, and choose another password.
"""),
    es=("{{clinic}} se va a cerrar", """
Hola, {{name}}:

Está cerrando {{clinic}}. Ya no se puede cambiar nada en ella. Hasta el {{until}} puede echarse atrás; después se eliminará, en cuanto se lo haya llevado todo.

Si no ha sido usted, inicie sesión, conserve la clínica y elija otra contraseña.
"""),
)

REMINDER_LETTER = letter(
    "clinic.closing-soon", "Tells whoever closes a clinic that its time is nearly over.", {"until": "2026-03-31"},
    en=("{{clinic}} is deleted soon", """
Dear {{name}},

On {{until}} {{clinic}} is deleted. Take everything along before then; or keep it.
"""),
    es=("{{clinic}} se eliminará pronto", """
Hola, {{name}}:

El {{until}} se eliminará {{clinic}}. Lléveselo todo antes; o consérvela.
"""),
)
