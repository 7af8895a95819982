"""Distances between two distributions: how far a dataset has drifted."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

LEAST = 10
"""Events of an item that is compared by itself, before and now together."""
DRAWS = 20
"""Pairs of samples by which chance is estimated."""


def population_stability_index(before: Sequence[int], now: Sequence[int]) -> float:
    """Population stability index (PSI) of counts in the same classes: sum of (q - p) ln(q / p).

    It is the symmetrised Kullback-Leibler divergence in nats; below 0.1 is usually read as no drift, above 0.25 as
    much (Siddiqi 2006). Half a count is added to each class, so that an empty one is no infinity.
    """
    p, q = (_smoothed(counts) for counts in (before, now))
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def popularity_drift(before: Mapping[str, int], now: Mapping[str, int], totals: tuple[int, int]) -> float:
    """Jensen-Shannon distance, in base 2, of two samples, less what chance makes of it: 0 (no drift) to 1.

    Two samples of few events over many items differ without any drift. So items with fewer than `LEAST` events in both
    together count as one; and from the divergence, the distance squared, that is taken which pairs of such samples,
    drawn from both together, have on average. What is left is scaled so that samples with nothing in common stay at 1.
    The distance is that of Endres and Schindelin 2003.

    Args:
        before: counts of the most frequent things. One that only the other names counts as the rarest of them here, or
            as none where all are named.
        now: likewise.
        totals: counts of all things, before and now; what is left of them is one more thing.
    """
    if not all(totals):
        return 0.0 if totals[0] == totals[1] else 1.0
    named = sorted(before.keys() | now.keys())
    absent = [min(one.values(), default=0) if sum(one.values()) < total else 0
              for one, total in zip((before, now), totals, strict=True)]  # fmt: skip
    found = [[one.get(name, none) for name in named] for one, none in zip((before, now), absent, strict=True)]
    counts = np.array(found, np.float64).reshape(2, -1)
    counts = counts[:, counts.sum(axis=0) >= LEAST]
    counts = np.c_[counts, np.maximum(np.array(totals) - counts.sum(axis=1), 0)]
    random = np.random.default_rng(0)
    pooled = counts.sum(axis=0) / counts.sum()
    drawn = [_divergence(*(random.multinomial(total, pooled) for total in totals)) for _ in range(DRAWS)]
    chance = float(np.mean(drawn))
    return math.sqrt(max(_divergence(*counts) - chance, 0.0) / (1 - chance)) if chance < 1 else 0.0


def jensen_shannon_distance(before: np.ndarray, now: np.ndarray) -> float:
    """Jensen-Shannon distance of two arrays of counts, in base 2, from 0 (the same) to 1 (nothing in common)."""
    return math.sqrt(_divergence(before, now))


def _divergence(before: np.ndarray, now: np.ndarray) -> float:
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    gains = [float((one[one > 0] * np.log2(one[one > 0] / middle[one > 0])).sum()) for one in (p, q)]
    return max(sum(gains) / 2, 0.0)


def _smoothed(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + len(counts) / 2
    return [(count + 0.5) / total for count in counts]
