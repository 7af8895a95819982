"""Newcomers in lists: items that the bundle does not hold, by what their content predicts, or at places kept for them.

Where a bundle maps content to vectors, a newcomer has a score like any other item, and its place by it. The others
nobody can score: a share of the places, which a setting gives, goes to some of them, drawn by a hash of the request's
seed. Equal seeds draw alike in every process, and what is drawn changes little when newcomers come and go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_vae.data.purchases import DAY
from recsys_vae.protocols import Float32Array, Int64Array
from service.ranking.arrivals import Arrivals
from service.ranking.results import Answer, Float64Array, Query, RankedItem, shortest
from service.ranking.served_model import Catalogue

EXPLORE, BY_EXPLORATION = "explore", "exploration"
"""Source of such an item, and what pushed it up."""
T = TypeVar("T")
MIXERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def seed_of(who: str, now: int) -> str:
    """What newcomers are drawn by for somebody, the same for a day; `now` in microseconds since 1970, UTC."""
    return f"{who} {now // DAY}"


def exploring(query: Query, share: float, seed: str) -> Query:
    """With places for newcomers, a share of all."""
    return replace(query, explore=share, seed=seed) if share else query


@dataclass(frozen=True, eq=False)
class Guests:
    """Newcomers that come into a list, in the order of their slots.

    Attributes:
        slots: places in the list, from 0, ascending.
        ids: of the newcomers.
        numbers: of the newcomers.
        scores: of each; NaN where nobody knows.
        fields: of each, where some were asked for; else empty.
        n_left: newcomers that may come back on later pages.
    """

    slots: Int64Array
    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    scores: NDArray[np.float64]
    fields: tuple[dict[str, Any], ...]
    n_left: int

    def __len__(self) -> int:
        return len(self.slots)

    def before(self, n: int) -> "Guests":
        """Those that come among the first n of the list."""
        kept = int(np.searchsorted(self.slots, n))
        left = self.n_left + len(self) - kept
        return Guests(
            self.slots[:kept], self.ids[:kept], self.numbers[:kept], self.scores[:kept], self.fields[:kept], left
        )


NOBODY = Guests(np.zeros(0, np.int64), (), (), np.zeros(0), (), 0)


def by_score(arrivals: Arrivals, k: int, scores: Float32Array, found: Float64Array) -> Guests:
    """Newcomers whose scores put them among the best k.

    Args:
        arrivals: that may come back and have a score.
        k: items wanted.
        scores: of these, without boosts; they are written to.
        found: scores of the items that are there without them, best first.
    """
    arrivals.boost(scores)
    best = np.lexsort((arrivals.numbers, -scores))[:k]  # by number: places differ between processes
    told = shortest(scores[best])
    # Of equal scores, items that the model has learned from come first.
    slots = np.searchsorted(-found, -told, side="right") + np.arange(len(best))
    kept = slots < k
    n_left = len(scores) - int(kept.sum())
    return _guests(arrivals, slots[kept], arrivals.eligible[best[kept]], told[kept], n_left)


def drawn(arrivals: Arrivals, query: Query, n_found: int) -> Guests:
    """Newcomers for the places that are kept for them, and for those that nothing else can fill.

    Args:
        arrivals: that may come back and that nobody can score.
        query: which says how many, and by what they are drawn.
        n_found: items that are there without them.
    """
    eligible = arrivals.eligible
    seed = int.from_bytes(blake2b(query.seed.encode(), digest_size=8, person=b"recsys-explore").digest())
    n = _n_drawn(int(query.k * query.explore + (seed >> 11) / 2**53), query.k, len(eligible), n_found)
    places = eligible[np.argsort(_hashed(arrivals.numbers, seed), kind="stable")[:n]]
    length = min(query.k, n_found + n)
    slots = np.sort(np.argsort(_hashed(np.arange(length), seed ^ MIXERS[0]), kind="stable")[:n])
    return _guests(arrivals, slots, places, np.full(n, np.nan), len(eligible) - n)


class Eligible:
    """Newcomers that may be drawn, as ids; they keep their places, so it needs no lock."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._newcomers = arrivals.newcomers
        self._flags = np.zeros(len(self._newcomers), dtype=np.bool_)
        self._flags[arrivals.eligible] = True

    def __contains__(self, item_id: object) -> bool:
        return any(place < len(self._flags) and self._flags[place] for place in self._newcomers.places((str(item_id),)))


def numbers_drawn(query: Query, n_eligible: int, n_found: int) -> list[tuple[int, float]]:
    """How many newcomers `drawn` may give, each with its probability over the seeds."""
    kept, chance = divmod(query.k * query.explore, 1)
    both = ((int(kept), 1 - chance), (int(kept) + 1, chance))
    return [(_n_drawn(kept, query.k, n_eligible, n_found), chance) for kept, chance in both if chance]


def _n_drawn(kept: int, k: int, n_eligible: int, n_found: int) -> int:
    """Newcomers in a list that keeps so many places for them."""
    return min(n_eligible, k, max(kept, k - n_found))


def merged(item_ids: Sequence[str], guests: Guests) -> list[str]:
    """Ids of a list with newcomers at their slots."""
    return list(_woven(tuple(item_ids), guests.slots.tolist(), guests.ids))


def _guests(arrivals: Arrivals, slots: Int64Array, places: Int64Array, scores: Float64Array, n_left: int) -> Guests:
    newcomers = arrivals.newcomers
    ids = tuple(newcomers.ids[place] for place in places.tolist())
    numbers = tuple(newcomers.numbers[place] for place in places.tolist())
    fields = arrivals.fields.values(places) if arrivals.fields else ()
    return Guests(slots, ids, numbers, scores, tuple(fields), n_left)


def mixed(catalogue: Catalogue, answer: Answer, query: Query, guests: Guests, source: str, reason: str) -> Answer:
    """An answer with newcomers at their slots, before the items that were there."""
    slots = guests.slots.tolist()
    own, first = iter(answer.items), len(query.after.shown) + 1 if query.after else 1
    ids = dict(zip(slots, guests.ids, strict=True))
    scores = dict(zip(slots, guests.scores.tolist(), strict=True))
    items: list[RankedItem] = []
    because = () if query.explain else None
    for slot in range(len(answer.items) + len(guests)):
        if slot not in ids:
            items.append(next(own)._replace(rank=first + slot))
            continue
        score = _near(items, answer.items) if np.isnan(scores[slot]) else scores[slot]
        items.append(RankedItem(first + slot, ids[slot], score, because))
    numbers = (len(catalogue) + number for number in guests.numbers)
    return replace(
        answer,
        items=tuple(items),
        sources=_woven(answer.sources, slots, [source] * len(guests)),
        reasons=_woven(answer.reasons, slots, [reason] * len(guests)) if query.explain else (),
        fields=_woven(answer.fields, slots, guests.fields) if query.fields else (),
        shown=tuple(sorted((*answer.shown, *numbers))),
        has_more=answer.has_more or guests.n_left > 0,
    )


def _near(before: list[RankedItem], own: Sequence[RankedItem]) -> float:
    """A score that fits beside those of its neighbours."""
    return before[-1].score if before else own[0].score if own else 0.0


def _woven(own: tuple[T, ...], slots: list[int], guests: Sequence[T]) -> tuple[T, ...]:
    def woven() -> Iterator[T]:
        rest, at = iter(own), dict(zip(slots, guests, strict=True))
        for slot in range(len(own) + len(guests)):
            yield at[slot] if slot in at else next(rest)

    return tuple(woven())


def _hashed(numbers: Int64Array, seed: int) -> NDArray[np.uint64]:
    """SplitMix64 of each number, begun by the seed (Steele, Lea and Flood, OOPSLA 2014)."""
    mix = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mix = (mix ^ (mix >> np.uint64(30))) * np.uint64(MIXERS[0])
    mix = (mix ^ (mix >> np.uint64(27))) * np.uint64(MIXERS[1])
    return np.asarray(mix ^ (mix >> np.uint64(31)))
