import math

import pytest

from pipelines.checks.distances import jensen_shannon_distance, population_stability_index
from pipelines.checks.sketch import SAMPLE, Sketch


def test_the_stability_index_by_hand():
    assert population_stability_index([10, 30], [10, 30]) == 0
    p, q = (9.5 / 40, 30.5 / 40), (29.5 / 40, 10.5 / 40)
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert population_stability_index([9, 30], [29, 10]) == pytest.approx(expected)
    assert math.isfinite(population_stability_index([0, 5], [5, 0]))


def test_the_jensen_shannon_distance_by_hand():
    assert jensen_shannon_distance({"a": 1, "b": 1}, {"b": 2, "a": 2}, (2, 4)) == 0
    assert jensen_shannon_distance({"a": 1}, {"b": 2}, (1, 2)) == 1
    half = jensen_shannon_distance({"a": 1, "b": 1}, {"a": 1}, (2, 1))
    divergence = (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25) + math.log2(1 / 0.75)) / 2
    assert half == pytest.approx(math.sqrt(divergence))
    assert jensen_shannon_distance({}, {}, (0, 0)) == 0


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
