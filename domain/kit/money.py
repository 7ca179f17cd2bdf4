"""Money: integers of minor units, rounded once, half away from zero; shares that sum exactly to the whole."""

from collections.abc import Sequence

BASIS = 10_000  # rates are basis points: 2100 is 21 %


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
