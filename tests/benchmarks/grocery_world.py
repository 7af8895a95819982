"""A simulated grocer: households who run out of what they use, try what they have not had, and throw nothing away.

Items are staples (back within one to two weeks), stock (three to eight weeks) or are bought once, and stand in
categories that households like more or less. A household comes every few days. On a visit it buys again what it is
loyal to and has run out of, each with a gap of its own, and tries a few items of its tastes. Nothing of the models is
used.
"""

from dataclasses import dataclass

import numpy as np

from recsys_vae.data.purchases import Visits


@dataclass(frozen=True)
class World:
    """How large it is.

    Attributes:
        households, items, categories: how many.
        days: of the log.
        tries: new items a visit, on average.
    """

    households: int = 1000
    items: int = 800
    categories: int = 40
    days: int = 270
    tries: float = 1.2


def simulate(world: World, seed: int) -> Visits:
    """The log of a world; the same for the same seed."""
    draw = np.random.default_rng(seed)
    shelf = _Shelf(world, draw)
    rows = [(household, item, day) for household in range(world.households) for item, day in shelf.life(draw)]
    users, items, days = np.array(rows, dtype=np.int64).T
    order = np.lexsort((items, days, users))
    return Visits(users[order], items[order], days[order], (world.households, world.items))


class _Shelf:
    """Items as the world has them."""

    def __init__(self, world: World, draw: np.random.Generator) -> None:
        n = world.items
        self.world = world
        kind = draw.choice(3, n, p=[0.3, 0.35, 0.35])
        self.gap = np.choose(kind, [draw.uniform(5, 14, n), draw.uniform(20, 60, n), np.full(n, np.inf)])
        self.loyalty = np.choose(kind, [draw.beta(5, 3, n), draw.beta(4, 4, n), np.zeros(n)])
        self.category = draw.integers(0, world.categories, n)
        self.appeal = draw.zipf(1.6, n).clip(max=200) ** 0.5

    def life(self, draw: np.random.Generator) -> list[tuple[int, int]]:
        """(item, day) of one household, each once."""
        tastes = draw.dirichlet(np.full(self.world.categories, 0.15))
        chances = self.appeal * tastes[self.category] + 1e-9
        pace, visit_gap = draw.lognormal(0, 0.25), draw.uniform(3, 10)
        due: dict[int, float] = {}
        tried: set[int] = set()
        found, day = [], draw.uniform(0, visit_gap)
        while day < self.world.days:
            basket = [item for item, when in due.items() if when <= day]
            for item in self._tries(draw, chances, tried):
                tried.add(item)
                if draw.random() < self.loyalty[item]:
                    basket.append(item)
                else:
                    found.append((item, int(day)))
            for item in basket:
                found.append((item, int(day)))
                due[item] = day + self.gap[item] * pace * draw.lognormal(0, 0.3)
                if draw.random() < 0.04:  # has had enough of it
                    del due[item]
            day += max(1.0, draw.gamma(4, visit_gap / 4))
        return sorted(set(found))

    def _tries(self, draw: np.random.Generator, chances: np.ndarray, tried: set[int]) -> list[int]:
        open_to = chances.copy()
        open_to[list(tried)] = 0
        # More at first, when everything is new.
        wanted = min(draw.poisson(self.world.tries * (1 + 4 * np.exp(-len(tried) / 10))), int((open_to > 0).sum()))
        return [int(i) for i in draw.choice(len(chances), wanted, replace=False, p=open_to / open_to.sum())]
