"""The public holidays of countries, as the `holidays` package knows them; it is loaded when the first one is asked for."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache


def countries() -> dict[str, list[str]]:
    """Return the countries whose holidays are known (ISO 3166-1), with their parts that have some of their own (ISO 3166-2, without the country)."""
    import holidays  # noqa: PLC0415 - a tenth of a second that few processes need

    return dict(sorted(holidays.list_supported_countries(include_aliases=False).items()))


@lru_cache(maxsize=4096)
def holidays_of(country: str, part: str | None, year: int) -> Mapping[date, str]:
    """Return the public holidays of a year and what they are called there; none for a country that is not known."""
    import holidays  # noqa: PLC0415 - as above

    try:
        language = getattr(holidays, country).default_language
        return dict(holidays.country_holidays(country, subdiv=part, years=year, expand=False, language=language))
    except (AttributeError, NotImplementedError):  # a country or a part that the package has dropped since
        return {}
