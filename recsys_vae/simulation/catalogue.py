"""Catalogue: the items of a world, and the law by which a taste draws them.

An item i of popularity rank r_i weighs w_i = r_i^-zipf and belongs to two tastes, to its home by a_ik = 0.8 and to
another one by 0.2. Taste k draws, on day d, among the items that have come by then (arrival_i <= d),

    p(i | k, d) = w_i a_ik l(g_i, d) / Z_k(d),    Z_k(d) = sum of the numerators over the items that have come,

where l is the lift of the item's season and trend. Tastes have prior probability pi_k = sum_i w_i a_ik / sum_i w_i: so
where nothing changes with time, users at large choose item i with probability w_i / sum w, which is Zipf's law exactly.

An item is drawn from the alias table of its taste, which knows no days, and drawn again unless it has come and a coin
of its lift falls right: that is the law above, at constant cost an item.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.simulation.alias import alias_table
from recsys_vae.simulation.calendar import GROUPS, Calendar
from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.streams import Stream, stream

AT_HOME: Final = 0.8
LONGEST_RATE: Final = 0.95


class Catalogue:
    """Items by number, from 0; arrays are of shape (items,) unless something else is said.

    Attributes:
        weights: w, by popularity rank.
        tastes: of each item its home and the other one, shape (items, 2).
        shares: w_i a_ik of these, over the sum of the taste's, shape (items, 2).
        prior: pi, shape (tastes,).
        arrivals: day on which it comes.
        groups: of season and trend.
        reorder_rates: how likely one that was bought is bought once more.
        reorder_days: mean time until then.
        totals: Z by taste and day, in shares of the whole taste, shape (tastes, days).
    """

    def __init__(self, settings: WorldSettings, calendar: Calendar) -> None:
        self.settings, self._lifts = settings, calendar.lifts.astype(np.float32)
        n, k = settings.items, settings.tastes
        draw = stream(settings.seed, Stream.ITEMS)
        ranks = draw.permutation(n)
        self.weights = (ranks + 1.0) ** -settings.zipf
        home = draw.integers(0, k, n)
        head = ranks < k  # the most popular: one of each taste, there from the first day
        home[head] = ranks[head]
        self.tastes = np.stack([home, (home + draw.integers(1, max(2, k), n)) % k], axis=1).astype(np.int16)
        self.arrivals = np.where(draw.random(n) < settings.new_items, draw.integers(1, settings.days + 1, n), 0)
        self.arrivals = np.where(head, 0, self.arrivals.clip(max=settings.days - 1)).astype(np.int16)
        self.groups = draw.integers(0, GROUPS, n).astype(np.int8)
        lasting = draw.random(n) < settings.reordered
        rates = (settings.reorder_rate * draw.uniform(0.5, 1.5, n)).clip(max=LONGEST_RATE)
        self.reorder_rates = np.where(lasting, rates, 0).astype(np.float32)
        self.reorder_days = (settings.reorder_days * draw.lognormal(-0.245, 0.7, n)).clip(1).astype(np.float32)
        masses = self.weights[:, None] * [AT_HOME, 1 - AT_HOME]
        of_taste = np.bincount(self.tastes.ravel(), masses.ravel(), minlength=k)
        self.prior = of_taste / of_taste.sum()
        self.shares = masses / of_taste[self.tastes]
        self._build_tables()
        self.totals = self._normalisers(calendar)

    def draw(
        self, draw: np.random.Generator, tastes: NDArray[np.integer], days: NDArray[np.integer]
    ) -> NDArray[np.int32]:
        """An item of each taste on its day, shape (n,)."""
        found = np.empty(len(tastes), dtype=np.int32)
        open_places = np.arange(len(tastes))
        while len(open_places):
            of, day = tastes[open_places], days[open_places]
            places = draw.random(len(of)) * self._sizes[of]
            buckets = places.astype(np.int64)
            places -= buckets
            buckets += self._starts[of]
            items = np.where(places < self._keeps[buckets], self._own[buckets], self._other[buckets])
            taken = draw.random(len(of), dtype=np.float32) < self._lifts[self.groups[items], day]
            taken &= self.arrivals[items] <= day
            found[open_places[taken]] = items[taken]
            open_places = open_places[~taken]
        return found

    def draw_any(self, draw: np.random.Generator, days: NDArray[np.integer]) -> NDArray[np.int32]:
        """Any item that has come, all alike."""
        by_arrival = self._by_arrival
        come = np.searchsorted(self.arrivals[by_arrival], days, side="right")
        return by_arrival[(draw.random(len(days)) * come).astype(np.int64)]

    def come(self, day: int) -> int:
        """Items that have come by a day."""
        return int((self.arrivals <= day).sum())

    def _build_tables(self) -> None:
        k = self.settings.tastes
        order = np.argsort(self.tastes.ravel(), kind="stable")
        own = (order // 2).astype(np.int32)
        sizes = np.bincount(self.tastes.ravel(), minlength=k)
        self._starts, self._sizes = np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes.astype(np.float64)
        self._own, self._other = own, np.empty(len(own), dtype=np.int32)
        self._keeps = np.empty(len(own), dtype=np.float32)
        shares = self.shares.ravel()[order]
        for start, size in zip(self._starts, sizes, strict=True):
            part = slice(start, start + size)
            self._keeps[part], other = alias_table(shares[part])
            self._other[part] = own[part][other]
        self._by_arrival = np.argsort(self.arrivals, kind="stable").astype(np.int32)

    def _normalisers(self, calendar: Calendar) -> NDArray[np.float64]:
        k, days = self.settings.tastes, self.settings.days
        places = (self.tastes.astype(np.int64) * days + self.arrivals[:, None]) * GROUPS + self.groups[:, None]
        masses = np.bincount(places.ravel(), self.shares.ravel(), minlength=k * days * GROUPS)
        come = masses.reshape(k, days, GROUPS).cumsum(axis=1)
        return np.asarray(np.einsum("kdg,gd->kd", come, calendar.lifts))
