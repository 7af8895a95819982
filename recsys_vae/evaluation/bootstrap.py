"""Paired bootstrap: how sure the difference between two models is, over the users who were asked."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.metrics import Float64Array

ENTRIES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A difference between two means, ours minus theirs, with its percentile interval.

    Attributes:
        difference: of the means over users.
        low: lower end; NaN where there is one user, whom every resample holds: that is no certainty.
        high: upper end, likewise.
        confidence: share of the resamples between them, 0.95 for a 95 % interval.
    """

    difference: float
    low: float
    high: float
    confidence: float

    @property
    def is_known(self) -> bool:
        """Whether there are users enough for an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign of the difference is settled at that confidence."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    ours: Float64Array, theirs: Float64Array, *, n_resamples: int = 5_000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Resample users with replacement, both models on the same users.

    Args:
        ours: values of one metric, shape (n_users,), or (n_seeds, n_users) from several training seeds: averaged first.
        theirs: the same users in the same order; the number of seeds may differ.

    Raises:
        ConfigError: the users differ in number, there are none, or a setting is out of its range.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; percentile interval.
    """
    ours, theirs = average_over_seeds(ours), average_over_seeds(theirs)
    if ours.shape != theirs.shape:
        raise ConfigError(f"A paired comparison needs the same users on both sides; got {len(ours)} and {len(theirs)}.")
    return bootstrap_means((ours - theirs)[:, None], n_resamples=n_resamples, confidence=confidence, seed=seed)[0]


def bootstrap_means(
    differences: Float64Array, *, n_resamples: int = 5_000, confidence: float = 0.95, seed: int = 0
) -> list[Interval]:
    """Intervals of several mean differences from the same resamples.

    Args:
        differences: shape (n_users, n_metrics), ours minus theirs.
    """
    if not differences.size:
        raise ConfigError("There are no users to resample.")
    if n_resamples < 100 or not 0 < confidence < 1:
        raise ConfigError(f"At least 100 resamples and a confidence in 0..1; got {n_resamples} and {confidence}.")
    means = np.concatenate(
        [weights @ differences for weights in _resamples(len(differences), n_resamples, np.random.default_rng(seed))]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    if len(differences) == 1:
        low, high = np.full((2, differences.shape[1]), np.nan)
    observed = differences.mean(axis=0)
    return [
        Interval(float(middle), float(bottom), float(top), confidence)
        for middle, bottom, top in zip(observed, low, high, strict=True)
    ]


def average_over_seeds(values: Float64Array) -> Float64Array:
    """Mean over training seeds, shape (n_users,); values of one seed pass through."""
    if values.ndim == 1:
        return values
    averaged: Float64Array = values.mean(axis=0)
    return averaged


def across_seeds(means: Sequence[float]) -> tuple[float, float]:
    """Mean over training seeds and its standard error, sd / sqrt(n); NaN for one seed."""
    values = np.asarray(means, dtype=np.float64)
    if not values.size:
        raise ConfigError("There are no seeds to average over.")
    spread = float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("nan")
    return float(values.mean()), spread


def _resamples(n_users: int, n_resamples: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Weights of the users in each resample, shape (some, n_users), rows sum to 1; few at a time."""
    at_once = max(1, ENTRIES_AT_ONCE // n_users)
    for start in range(0, n_resamples, at_once):
        size = min(at_once, n_resamples - start)
        drawn = rng.integers(n_users, size=(size, n_users)) + n_users * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n_users).reshape(size, n_users) / n_users
