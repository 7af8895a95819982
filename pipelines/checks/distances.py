"""Distances between two distributions: how far a dataset has drifted."""

import math
from collections.abc import Mapping, Sequence


def population_stability_index(before: Sequence[int], now: Sequence[int]) -> float:
    """Population stability index (PSI) of counts in the same classes: sum of (q - p) ln(q / p).

    It is the symmetrised Kullback-Leibler divergence in nats; below 0.1 is usually read as no drift, above 0.25 as
    much (Siddiqi 2006). Half a count is added to each class, so that an empty one is no infinity.
    """
    p, q = (_smoothed(counts) for counts in (before, now))
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def jensen_shannon_distance(before: Mapping[str, int], now: Mapping[str, int], totals: tuple[int, int]) -> float:
    """Jensen-Shannon distance, in base 2, from 0 (the same) to 1 (nothing in common); Endres and Schindelin 2003.

    Args:
        before: counts of the most frequent things; those that only the other one names count as none here.
        now: likewise.
        totals: counts of all things, before and now; what is left of them is one more thing.
    """
    if not all(totals):
        return 0.0 if totals[0] == totals[1] else 1.0
    named = sorted(before.keys() | now.keys())
    p, q = (
        [counts.get(name, 0) / total for name in named] for counts, total in zip((before, now), totals, strict=True)
    )
    pairs = [*zip(p, q, strict=True), (max(1 - math.fsum(p), 0.0), max(1 - math.fsum(q), 0.0))]
    return math.sqrt(max(math.fsum(_gain(a, a, b) + _gain(b, a, b) for a, b in pairs) / 2, 0.0))


def _gain(share: float, one: float, other: float) -> float:
    return share * math.log2(2 * share / (one + other)) if share else 0.0


def _smoothed(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + len(counts) / 2
    return [(count + 0.5) / total for count in counts]
