"""RepeatHead: what users buy again, when, and how that stands beside what they have never bought.

A user who has bought i on n days, the last of them `age` days ago, buys it on the next visit with

    P = sigmoid(<w, f>),   f: log-odds of the item's reorder rate, log n, log share of n in all that the user bought,
                              r = log((age + 1) / (gap + 1)), its positive part, r^2, log of all that the user bought

    reorder rate of i   (buyers of i who came back + m rate) / (buyers of i + m)             rate, gap: of all items
    gap of i            (sum of days between purchases of i + m gap) / (their number + m)
    gap of (u, i)       (span + gap_i) / (n - 1 + 1)                            the user's own, shrunk to the item's

Reorder rate, gap and the Gamma-shrunk personal rate are Bhagat et al.'s signals; their product takes these to be
independent and the hazard to have one shape. Here w is learned: a logistic regression on the last visit of all users,
the item's figures being counted before it.

What a user has never bought comes from another model, by its scores s. The next visit has lambda new items, log-linear
in what the user bought (Poisson regression), which fall on unbought items as softmax(s / T) says. So both are expected
numbers in the next visit, and one list by their size has the highest expected recall.

Source: Bhagat, Muralidharan, Lobzhanidze & Vishwanath, Buy It Again: Modeling Repeat Purchase Recommendations, KDD
2018, sec. 3. Wan, Wang, Liu, Bennett & McAuley, Representing and Recommending Shopping Baskets with Complementarity,
Compatibility and Loyalty, CIKM 2018, model loyalty as a share of personal frequency, the third of the features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of
from recsys_vae.data.histories import check_histories
from recsys_vae.data.purchases import Purchases, Visits
from recsys_vae.data.signals import REPEATS, Repeat
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.regression import logistic, poisson
from recsys_vae.protocols import Float32Array, Int64Array, Tensors

N_FEATURES, N_USER_FEATURES = 8, 3
TEMPERATURES = np.geomspace(1e-3, 1e2, 101)
"""Tried, in units of the scores' spread."""
SCORES_AT_ONCE = 1 << 20
"""That are blended at a time."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RepeatConfig:
    """How much is needed to believe an item's own figures.

    Attributes:
        prior: m, buyers and gaps of the average item that each item has besides its own.
    """

    prior: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.prior < np.inf:
            raise ConfigError(f"prior is a number of buyers above 0, got {self.prior}.")


class RepeatHead:
    """Reorder probabilities of what users have bought, and their mixture with another model's scores.

    Attributes:
        config: its configuration.
    """

    def __init__(self, n_items: int, config: RepeatConfig | None = None) -> None:
        self.config = config or RepeatConfig()
        self._rates = np.full(n_items, 0.5, dtype=np.float32)
        self._gaps = np.ones(n_items, dtype=np.float32)
        self._weights = np.zeros(N_FEATURES, dtype=np.float32)
        self._new_items = np.zeros(N_USER_FEATURES, dtype=np.float32)
        self._temperature = np.ones(1, dtype=np.float32)

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return len(self._rates)

    def fit(self, visits: Visits) -> None:
        """Learn w and lambda on each user's last visit, then count the items' figures over all of them.

        Raises:
            DataError: nobody came twice, or nobody bought anything again.
        """
        if visits.shape[1] != self.n_items:
            raise DataError(f"These visits are of {visits.shape[1]} items, expected {self.n_items}.")
        before, last = visits.without_last()
        at = visits.last_days()
        known = before.purchases(at)
        again = _is_in(known.counts, last.matrix())
        if not again.any():
            raise DataError("Nobody bought anything again: there are no repeat purchases to learn from.")
        self._count(before)
        self._weights = logistic(self._features(known), again.astype(np.float64)).astype(np.float32)
        came_back = np.diff(known.counts.indptr) > 0
        new = np.diff(last.matrix().indptr) - np.bincount(known.users, again, minlength=visits.shape[0])
        self._new_items = poisson(_user_features(known)[came_back], new[came_back]).astype(np.float32)
        self._count(visits)

    def calibrate(self, scores: Float32Array, purchases: Purchases, targets: csr_array) -> None:
        """Choose the temperature at which softmax(s / T) says best which new items the next visit has.

        Args:
            scores: of a model that has not seen that visit, shape (n, n_items).
            purchases: before it.
            targets: the visit, shape (n, n_items).
        """
        owners = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
        is_new = ~_is_in(targets, purchases.counts)
        owners, items = owners[is_new], targets.indices[is_new]
        if not len(owners):
            return
        unbought = _without(scores, purchases.counts)
        spread = float(np.nanmean(np.nanstd(np.where(np.isfinite(unbought), unbought, np.nan), axis=1))) or 1.0
        likelihoods = [_log_softmax(unbought, t * spread)[owners, items].mean() for t in TEMPERATURES]
        self._temperature = np.array([TEMPERATURES[int(np.argmax(likelihoods))] * spread], dtype=np.float32)

    def onto(self, rows: Int64Array) -> "RepeatHead":
        """The same over other items; one that is new has the mean rate and gap of those that are known.

        Args:
            rows: of each item, its row so far, -1 of new ones, shape (n,).
        """
        found, is_known = RepeatHead(len(rows), self.config), rows >= 0
        for name in ("_rates", "_gaps"):
            values = getattr(self, name)
            mean = values.mean() if len(values) else getattr(found, name)
            setattr(found, name, np.where(is_known, values[rows] if len(values) else 0, mean).astype(np.float32))
        found._weights, found._new_items, found._temperature = self._weights, self._new_items, self._temperature
        return found

    def probabilities(self, purchases: Purchases) -> csr_array:
        """Of buying each item again on the next visit: the pattern of the purchases, float32, shape (n, n_items)."""
        check_histories(purchases.counts, self.n_items)
        data = _sigmoid(self._features(purchases) @ self._weights.astype(np.float64)).astype(np.float32)
        counts = purchases.counts
        return csr_array((data, counts.indices, counts.indptr), shape=counts.shape)

    def again(self, purchases: Purchases) -> Float32Array:
        """`blended` with `only`, for scores that are finite: they make no difference then."""
        bought, found = self.probabilities(purchases), np.full(purchases.counts.shape, -np.inf, dtype=np.float32)
        found[purchases.users, bought.indices] = _log(bought)
        return found

    def blended(self, scores: Float32Array, purchases: Purchases, repeat: Repeat = "allow") -> Float32Array:
        """Logarithms of expected numbers in the next visit, shape (n, n_items); -inf for what is not asked for.

        Args:
            scores: of any model; those of items that were bought are not looked at. -inf stays -inf.
            purchases: of the same users.
            repeat: `allow` everything, `exclude` what was bought, or `only` that.

        Raises:
            ConfigError: another word for `repeat`.
        """
        if repeat not in REPEATS:
            raise ConfigError(f"repeat is one of {', '.join(REPEATS)}; got {repeat!r}.")
        bought, found = self.probabilities(purchases), np.full(scores.shape, -np.inf, dtype=np.float32)
        if repeat != "only":
            new = self._log_new(purchases)
            for some in _blocks(scores.shape):
                scaled = _without(scores[some], bought[some]) / self.temperature
                found[some] = scaled + (new[some] - _log_sums(scaled))[:, None]
        if repeat != "exclude":
            rows = purchases.users
            is_allowed = np.isfinite(scores[rows, bought.indices])
            found[rows, bought.indices] = np.where(is_allowed, _log(bought), -np.inf)
        return found

    def as_new(self, others: Float32Array, scores: Float32Array, purchases: Purchases) -> Float32Array:
        """Likewise of new items that are not among the n_items, shape (n, n_others).

        Args:
            others: their scores, on the scale of `scores`.
            scores: of all items, shape (n, n_items).
            purchases: of the same users.
        """
        sums = _log_sums(_without(scores, purchases.counts) / self.temperature)
        offsets = self._log_new(purchases) - sums
        return np.asarray(others / self.temperature + offsets[:, None], dtype=np.float32)

    @property
    def temperature(self) -> float:
        """T, what scores are divided by."""
        return float(self._temperature[0])

    def tensors(self) -> Tensors:
        """Figures of the items, weights, temperature and the configuration."""
        return {
            "prior": np.array([self.config.prior], dtype=np.float32),
            "rates": self._rates,
            "gaps": self._gaps,
            "weights": self._weights,
            "new_items": self._new_items,
            "temperature": self._temperature,
        }

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over what was learned.

        Raises:
            DataError: it is of another catalogue, or out of range.
        """
        self.config = RepeatConfig(float(floats_of(tensors, "prior", (1,))[0]))
        rates, gaps = (floats_of(tensors, name, (self.n_items,)) for name in ("rates", "gaps"))
        weights, new_items = (
            floats_of(tensors, "weights", (N_FEATURES,)),
            floats_of(tensors, "new_items", (N_USER_FEATURES,)),
        )
        temperature = floats_of(tensors, "temperature", (1,))
        if len(rates) and not (0 < rates.min() <= rates.max() < 1 and 0 <= gaps.min() <= gaps.max() < 1e9):
            raise DataError("Expected reorder rates between 0 and 1 and gaps of at least 0 days.")
        if not temperature[0] > 1e-12 or max(np.abs(weights).max(), np.abs(new_items).max()) > 1e3:
            raise DataError("Expected a temperature above 0 and weights that a fit leaves.")
        self._rates, self._gaps, self._weights = rates, gaps, weights
        self._new_items, self._temperature = new_items, temperature

    def _log_new(self, purchases: Purchases) -> Array:
        """log lambda of each user, shape (n,)."""
        return np.asarray(_user_features(purchases) @ self._new_items)

    def _count(self, visits: Visits) -> None:
        """Reorder rates and gaps of the items."""
        found, prior = visits.purchases(), self.config.prior
        items, counts, spans = found.counts.indices, found.counts.data, found.spans.data
        buyers, returned, gaps, days = (
            np.bincount(items, values, minlength=self.n_items)
            for values in (np.ones(len(items)), counts > 1, counts - 1, spans)
        )
        rate = (returned.sum() + 1) / (buyers.sum() + 2)
        gap = days.sum() / max(gaps.sum(), 1)
        self._rates = ((returned + prior * rate) / (buyers + prior)).astype(np.float32)
        self._gaps = ((days + prior * gap) / (gaps + prior)).astype(np.float32)

    def _features(self, purchases: Purchases) -> Array:
        """One row an entry of the purchases, shape (nnz, N_FEATURES)."""
        items, rates = purchases.counts.indices, self._rates.astype(np.float64)
        counts, ages, spans = (getattr(purchases, name).data.astype(np.float64) for name in ("counts", "ages", "spans"))
        totals = np.bincount(purchases.users, counts, minlength=purchases.counts.shape[0])[purchases.users]
        due = np.log((ages + 1) / ((spans + self._gaps[items]) / counts + 1))
        odds = np.log(rates / (1 - rates))[items]
        columns = (odds, np.log(counts), np.log(counts / totals), due, np.maximum(due, 0), due**2, np.log(totals))
        return np.stack([np.ones_like(counts), *columns], axis=1)


def _log(probabilities: csr_array) -> Float32Array:
    """Of each entry, shape (nnz,)."""
    return np.asarray(np.log(np.maximum(probabilities.data, 1e-30)), dtype=np.float32)


def _user_features(purchases: Purchases) -> Array:
    """1, and logarithms of the items and of the purchases of each user, shape (n, N_USER_FEATURES)."""
    counts = purchases.counts
    totals = np.bincount(purchases.users, counts.data, minlength=counts.shape[0])
    return np.stack([np.ones(len(totals)), np.log1p(np.diff(counts.indptr)), np.log1p(totals)], axis=1)


def _is_in(matrix: csr_array, other: csr_array) -> NDArray[np.bool_]:
    """Whether each entry of a matrix is one of another's, too; shape (nnz,)."""
    width = matrix.shape[1]
    pairs, others = (
        np.repeat(np.arange(one.shape[0]), np.diff(one.indptr)) * width + one.indices for one in (matrix, other)
    )
    found: NDArray[np.bool_] = np.isin(pairs, others, kind="sort")
    return found


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows, a few at a time, so that what is made of them stays small beside the scores."""
    at_once = max(1, SCORES_AT_ONCE // max(1, shape[1]))
    return (slice(start, start + at_once) for start in range(0, shape[0], at_once))


def _without(scores: Float32Array, bought: csr_array) -> Array:
    """Scores, -inf for what was bought."""
    found = scores.astype(np.float64)
    found[np.repeat(np.arange(bought.shape[0]), np.diff(bought.indptr)), bought.indices] = -np.inf
    return found


def _log_softmax(scores: Array, temperature: float) -> Array:
    scaled = scores / temperature
    return np.asarray(scaled - _log_sums(scaled)[:, None])


def _log_sums(scaled: Array) -> Array:
    """log of the sum of exp of each row, shape (n,); 0 for a row of -inf alone."""
    highest = scaled.max(axis=1)
    highest = np.where(np.isfinite(highest), highest, 0)
    sums = np.exp(scaled - highest[:, None]).sum(axis=1)
    return np.asarray(highest + np.log(np.where(sums > 0, sums, 1)))


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
