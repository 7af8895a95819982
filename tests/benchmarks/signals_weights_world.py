"""Simulated logs of which the truth is known: what a user would give an item now, in units of an average item.

    affinity a_ui = <p_u, q_i>, standardised over all pairs; value v_ui = exp(a_ui)

- `weights`: users meet items by popularity more than by taste; how much of an item they take is its value, with noise.
- `dislikes`: the same, but all that is told is whether it was more or less than the user's own median.
- `half-life`: taste drives what users meet, and each user's has changed within the year; the value is that of now.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.signals import SignalRules, evidence
from recsys_vae.protocols import Scorer
from recsys_vae.top_k import top_k

N_USERS, N_ASKED, N_ITEMS, WIDTH, EVENTS, K = 3_600, 400, 400, 8, 40, 20
DAY = 86_400_000_000
NEW_TASTE = 60
"""Days since a user's taste changed; a year is on record."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class World:
    """A log and its truth; the last `N_ASKED` users are asked, the others learned from.

    Attributes:
        value: shape (n_users, n_items).
        users, items, weights, times: one entry an event; weights below 0 where it is a dislike, least recent first.
    """

    value: Array
    users: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: Array
    times: NDArray[np.int64]

    def histories(self, rules: SignalRules | None = None, *, signs: bool = True) -> csr_array:
        """Signed histories by the rules, shape (n_users, n_items); without signs a dislike counts as a like."""
        weights = self.weights if signs else np.abs(self.weights)
        found = evidence(self.users, self.items, weights, self.times, rules or SignalRules(keep="sum"))
        return csr_array((found.weights, (found.users, found.items)), shape=self.value.shape, dtype=np.float32)

    def reached(self, model: Scorer, histories: csr_array) -> Array:
        """Mean true value of the `K` items that each asked user gets, shape (N_ASKED,); nobody gets what was met."""
        met = self.histories(signs=False)[-N_ASKED:]
        best = top_k(model.score(histories[-N_ASKED:]), K, excluded=met).rows
        found: Array = np.take_along_axis(self.value[-N_ASKED:], best, axis=1).mean(axis=1)
        return found


def world(scenario: str, seed: int) -> World:
    """The log of a scenario."""
    rng = np.random.default_rng([seed, sorted(SCENARIOS).index(scenario)])
    return SCENARIOS[scenario](rng)


def _affinities(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two tastes of every user, shapes (n_users, n_items), standardised."""
    items = rng.normal(size=(N_ITEMS, WIDTH))
    tastes = [rng.normal(size=(N_USERS + N_ASKED, WIDTH)) @ items.T / np.sqrt(WIDTH) for _ in range(2)]
    return tastes[0], tastes[1]


def _met(rng: np.random.Generator, pull: Array, n: int) -> NDArray[np.int64]:
    """Items that each user meets, without repeats, shape (n_users, n), drawn by exp(pull): Gumbel's top n."""
    return np.argsort(-(pull + rng.gumbel(size=pull.shape)), axis=1)[:, :n]


def _popularity(rng: np.random.Generator) -> Array:
    return rng.normal(scale=1.0, size=N_ITEMS)


def _log(value: Array, items: NDArray[np.int64], weights: Array, days: Array) -> World:
    n = items.shape[1]
    return World(
        value,
        np.repeat(np.arange(len(value)), n),
        items.ravel().astype(np.int64),
        weights.ravel(),
        (days * DAY).astype(np.int64).ravel(),
    )


def _weights(rng: np.random.Generator) -> World:
    affinity, _ = _affinities(rng)
    value = np.exp(affinity)
    items = _met(rng, _popularity(rng) + 0.3 * affinity, EVENTS)
    taken = np.take_along_axis(value, items, axis=1) * np.exp(rng.normal(scale=0.5, size=items.shape))
    return _log(value, items, taken, np.tile(np.arange(EVENTS, dtype=np.float64), (len(value), 1)))


def _dislikes(rng: np.random.Generator) -> World:
    found = _weights(rng)
    taken = found.weights.reshape(-1, EVENTS)
    signs = np.where(taken < np.median(taken, axis=1, keepdims=True), -1.0, 1.0)
    return World(found.value, found.users, found.items, signs.ravel(), found.times)


def _half_life(rng: np.random.Generator) -> World:
    old, new = _affinities(rng)
    popularity = _popularity(rng)
    recent = EVENTS // 4
    items = np.hstack([_met(rng, popularity + old, EVENTS - recent), _met(rng, popularity + new, recent)])
    days = np.hstack(
        [
            np.sort(rng.uniform(0, 365 - NEW_TASTE, (len(old), EVENTS - recent)), axis=1),
            np.sort(rng.uniform(365 - NEW_TASTE, 365, (len(old), recent)), axis=1),
        ]
    )
    return _log(np.exp(new), items, np.ones(items.shape), days)


SCENARIOS = {"weights": _weights, "dislikes": _dislikes, "half-life": _half_life}
