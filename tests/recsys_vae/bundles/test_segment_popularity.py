import math

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.errors import ConfigError, DataError
from tests.worlds import csr

# Users 0 and 1 are in segment 0, user 2 in segment 1; user 3 in none. Items are touched 3, 2, 1 times.
INTERACTIONS = csr([[0, 1], [0], [1, 2], [0]], 3)
METADATA = csr([[0], [0], [1], []], 2)
BOTH = np.array([True, True])
SHARES = np.array([3.5, 2.5, 1.5]) / 7.5


def learned(shrinkage: float = 2.0, segments: np.ndarray = BOTH) -> SegmentPopularity:
    return SegmentPopularity.learn(INTERACTIONS, METADATA, segments, shrinkage=shrinkage)


def test_segments_are_shrunk_towards_everybody() -> None:
    # Segment 0 has items 0, 0, 1: three interactions, and two from the prior.
    expected = np.log((np.array([2, 1, 0]) + 2 * SHARES) / (3 + 2))
    assert learned().score(METADATA[:1])[0] == pytest.approx(expected, rel=1e-5)


def test_users_in_no_segment_get_what_is_popular_with_everybody() -> None:
    assert learned().score(METADATA[3:])[0] == pytest.approx(np.log(SHARES), rel=1e-5)


def test_a_user_in_two_segments_is_scored_as_if_they_were_independent() -> None:
    model = learned()
    first, second = model.score(csr([[0], [1]], 2)) - np.log(SHARES)
    assert model.score(csr([[0, 1]], 2))[0] == pytest.approx(np.log(SHARES) + first + second, rel=1e-4)


def test_strong_shrinkage_leaves_nothing_of_a_segment() -> None:
    assert learned(1e9).score(METADATA[:1])[0] == pytest.approx(np.log(SHARES), rel=1e-5)


def test_columns_that_are_no_segments_do_not_count() -> None:
    model = learned(segments=np.array([False, True]))
    assert model.score(METADATA[:1])[0] == pytest.approx(np.log(SHARES), rel=1e-5)


def test_weights_of_interactions_count() -> None:
    aged = csr_array(INTERACTIONS * np.float32(0.5))
    shares = np.array([2.0, 1.5, 1.0]) / 4.5
    found = SegmentPopularity.learn(aged, METADATA, BOTH, shrinkage=2.0)
    assert found.log_shares == pytest.approx(np.log(shares), rel=1e-5)


def test_it_survives_its_file() -> None:
    model = learned()
    again = SegmentPopularity.from_tensors(model.tensors(), 3, 2)
    assert (again.score(METADATA) == model.score(METADATA)).all()
    assert (again.shrinkage, again.half_life) == (2.0, math.inf)
    with pytest.raises(DataError, match=r"log_shares .* of shape \(3,\), expected floats of shape \(4\)"):
        SegmentPopularity.from_tensors(model.tensors(), 4, 2)


def test_shrinkage_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        learned(0.0)
