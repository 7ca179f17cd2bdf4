"""Money: integers of minor units, rounded once, half away from zero; shares that sum exactly to the whole."""

from collections.abc import Sequence

BASIS = 10_000  # rates are basis points: 2100 is 21 %
MINOR = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "OMR": 3, "TND": 3, "JOD": 3}  # digits after the point, where not two


def rounded(numerator: int, denominator: int) -> int:
    """Return numerator / denominator, rounded half away from zero."""
    sign = -1 if (numerator < 0) != (denominator < 0) else 1
    return sign * ((2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator)))


def percent(amount: int, basis_points: int) -> int:
    """Return that many basis points of an amount, rounded once."""
    return rounded(amount * basis_points, BASIS)


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to weights by largest remainder: the shares sum exactly to the amount.

    With all weights zero the shares are equal as nearly as they can be.
    """
    if not weights:
        return []
    total = sum(weights)
    if not total:
        weights, total = [1] * len(weights), len(weights)
    parts = [divmod(amount * w, total) for w in weights]
    left = amount - sum(q for q, _ in parts)
    order = sorted(range(len(parts)), key=lambda i: (-parts[i][1], i))
    winners = set(order[:left])
    return [q + (i in winners) for i, (q, _) in enumerate(parts)]


def in_words(amount: int, currency: str) -> str:
    """Return an amount as it stands on paper: 1,234.50 EUR."""
    digits = MINOR.get(currency, 2)
    whole, part = divmod(abs(amount), 10**digits)
    return f"{'-' if amount < 0 else ''}{whole:,}{f'.{part:0{digits}}' if digits else ''} {currency}"
