"""Chance that keeps its shares: one card in five means one in five, in a small history as in a large one."""

from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Deck(Generic[T]):
    """Cards dealt without putting them back, shuffled anew when the last is gone."""

    def __init__(self, rng: Random, cards: dict[T, int]) -> None:
        self._rng = rng
        self._cards = [card for card, count in cards.items() for _ in range(count)]
        self._left: list[T] = []

    def deal(self) -> T:
        """Return the next card."""
        if not self._left:
            self._left = self._cards.copy()
            self._rng.shuffle(self._left)
        return self._left.pop()

    def put_back(self, card: T) -> None:
        """Let a card that could not be played be the next."""
        self._left.append(card)


def one_in(rng: Random, count: int) -> Deck[bool]:
    """Return a deck with one yes among so many cards."""
    return Deck(rng, {True: 1, False: count - 1})
