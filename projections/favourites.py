"""Whom somebody has marked, as rows."""

from collections.abc import Iterable

from domain.favourites import FavouriteEvent, PatientFavoured, PatientUnfavoured
from domain.kit import Fact
from projections.kit import projects
from projections.kit.declare import Key
from schemas.favourites import FavouriteRow


def marked(fact: Fact) -> Iterable[Key]:
    match fact.event:
        case PatientFavoured(patient_id=patient) | PatientUnfavoured(patient_id=patient):
            yield (fact.actor, patient)


@projects(FavouriteRow, of=FavouriteEvent, key=marked)
def favourites(_: FavouriteRow | None, fact: Fact, key: Key) -> FavouriteRow | None:
    if isinstance(fact.event, PatientUnfavoured):
        return None
    account, patient = key
    return FavouriteRow(account_id=account, patient_id=patient, marked_at=fact.recorded_at)
