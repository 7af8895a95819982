import math

import numpy as np
import pytest

from pipelines.checks.distances import (
    jensen_shannon_distance,
    popularity_drift,
    population_stability_index,
)
from pipelines.checks.sketch import SAMPLE, Sketch


def test_the_stability_index_by_hand():
    assert population_stability_index([10, 30], [10, 30]) == 0
    p, q = (9.5 / 40, 30.5 / 40), (29.5 / 40, 10.5 / 40)
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert population_stability_index([9, 30], [29, 10]) == pytest.approx(expected)
    assert math.isfinite(population_stability_index([0, 5], [5, 0]))


def test_the_jensen_shannon_distance_by_hand():
    assert jensen_shannon_distance(np.array([1, 1]), np.array([2, 2])) == 0
    assert jensen_shannon_distance(np.array([1, 0]), np.array([0, 2])) == 1
    divergence = (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25) + math.log2(1 / 0.75)) / 2
    assert jensen_shannon_distance(np.array([1, 1]), np.array([1, 0])) == pytest.approx(math.sqrt(divergence))


def test_two_samples_of_one_popularity_do_not_drift_and_others_do():
    random = np.random.default_rng(1)
    shares = 1 / np.arange(1, 2001)
    others = np.roll(shares, 300)

    def sample(weights, size):
        counts = random.multinomial(size, weights / weights.sum())
        return {f"i{item}": int(counts[item]) for item in np.argsort(-counts)[:1000] if counts[item]}

    for size in (200, 2000, 200_000):
        assert popularity_drift(sample(shares, size), sample(shares, size), (size, size)) < 0.15
    assert popularity_drift(sample(shares, 20_000), sample(others, 20_000), (20_000, 20_000)) > 0.6
    assert popularity_drift({"a": 15}, {"b": 13}, (15, 13)) == pytest.approx(1, abs=1e-6)
    assert popularity_drift({"a": 5}, {"b": 3}, (5, 3)) == 0  # too few to tell
    assert popularity_drift({}, {}, (0, 0)) == 0


def test_a_small_sample_holds_all_and_is_exact():
    one, other = Sketch.of("abcd", 4), Sketch.of("cdef", 4)
    assert one.share_absent(other) == 0.5
    assert Sketch.of([], 0).share_absent(one) is None
    assert not any(hashed == "a" for hashed in one.hashes)


def test_a_large_sample_estimates():
    before = Sketch.of((f"u{n}" for n in range(40_000)), 40_000)
    now = Sketch.of((f"u{n}" for n in range(20_000, 60_000)), 40_000)
    assert abs(len(before.hashes) - SAMPLE) < 300
    assert now.share_absent(before) == pytest.approx(0.5, abs=0.04)
