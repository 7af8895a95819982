from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys_vae.errors import ConfigError
from recsys_vae.top_k import top_k
from tests.worlds import csr


@pytest.fixture(autouse=True, params=["numpy", "torch"], scope="module")
def selected_by(request: pytest.FixtureRequest) -> Iterator[str]:
    """Torch selects where it is loaded and has several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if request.param == "numpy" else 2)
    yield request.param
    torch.set_num_threads(before)


def test_ties_go_to_the_smaller_row() -> None:
    found = top_k(np.array([[1, 3, 3, 3, 0]], dtype=np.float32), 2)
    assert found.rows.tolist() == [[1, 2]]
    assert found.scores.tolist() == [[3, 3]]


def test_what_is_not_allowed_never_comes_back_however_low_the_rest() -> None:
    scores = np.array([[9, -5, -7, 8]], dtype=np.float32)
    found = top_k(scores, 4, allowed=np.array([True, True, True, False]), excluded=csr([[0]], 4))
    assert found.rows.tolist() == [[1, 2, -1, -1]]
    assert found.scores.tolist() == [[-5, -7, -np.inf, -np.inf]]


@given(arrays(np.float32, (3, 9), elements=st.integers(-2, 2)), st.integers(1, 12), st.sets(st.integers(0, 8)))
def test_equals_a_full_sort(scores: np.ndarray, k: int, allowed: set[int]) -> None:
    flags = np.isin(np.arange(9), list(allowed))
    found = top_k(scores.copy(), k, allowed=flags)
    for row, values in enumerate(scores):
        expected = sorted(allowed, key=lambda item: (-values[item], item))[:k]
        assert found.rows[row][: len(expected)].tolist() == expected
        assert (found.rows[row][len(expected) :] == -1).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([3, 1000]))
def test_wide_rows_equal_a_full_sort(seed: int, k: int, levels: int) -> None:
    """Wide enough to be searched in blocks, whose number does not divide the width; with many ties and with few."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (4, 203)).astype(np.float32)
    scores[0, 5:] = -np.inf
    found = top_k(scores.copy(), k)
    for row, values in enumerate(scores):
        expected = [item for item in np.argsort(-values, kind="stable")[:k] if np.isfinite(values[item])]
        assert found.rows[row][: len(expected)].tolist() == expected
        assert found.scores[row][: len(expected)].tolist() == values[expected].tolist()


def test_no_rows_and_no_items_give_empty_lists() -> None:
    assert top_k(np.empty((0, 5), np.float32), 3).rows.shape == (0, 3)
    assert top_k(np.empty((2, 0), np.float32), 3).rows.tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(k: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        top_k(np.zeros((1, 2), np.float32), k)


def test_masks_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match="allowed"):
        top_k(np.zeros((1, 2), np.float32), 1, allowed=np.ones(3, bool))
    with pytest.raises(ConfigError, match="excluded"):
        top_k(np.zeros((1, 2), np.float32), 1, excluded=csr([[0]], 3))
