import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from recsys_vae.native.top_k import search
from tests.worlds import csr

pytestmark = pytest.mark.usefixtures("compiled")


def brute_force(scores: np.ndarray, k: int, hidden: set[int]) -> list[int]:
    return sorted(set(range(scores.size)) - hidden, key=lambda row: (-scores[row], row))[:k]


@settings(max_examples=60, deadline=None)
@given(
    n=st.sampled_from([0, 1, 15, 17, 64, 130]),
    n_items=st.sampled_from([0, 1, 5, 6, 7, 601]),
    d=st.sampled_from([1, 2, 16, 33]),
    k=st.sampled_from([1, 3, 40, 700]),
    allowed=st.sampled_from([None, 0.0, 0.03, 0.8]),
    seen=st.sampled_from([None, 0.0, 0.4]),
    seed=st.integers(0, 2**31),
)
def test_equals_a_full_sort(
    n: int, n_items: int, d: int, k: int, allowed: float | None, seen: float | None, seed: int
) -> None:
    """Integers, so that scores are exact and tie often; sizes that fill tiles and panels, and that do not."""
    draw = np.random.default_rng(seed)
    queries = draw.integers(-3, 4, (n, d)).astype(np.float32)
    vectors = draw.integers(-3, 4, (n_items, d)).astype(np.float32)
    flags = None if allowed is None else draw.random(n_items) < allowed
    excluded = None
    if seen is not None:
        excluded = csr_array(random_array((n, n_items), density=seen, format="csr", dtype=np.float32, rng=draw))
        excluded.sort_indices()
    found = search(queries, vectors, k, flags, excluded)
    assert found.rows.shape == found.scores.shape == (n, k)
    for row in range(n):
        scores = vectors @ queries[row]
        hidden = set() if flags is None else set(np.flatnonzero(~flags))
        hidden |= set() if excluded is None else set(excluded[[row]].indices)
        expected = brute_force(scores, k, hidden)
        assert found.rows[row].tolist() == expected + [-1] * (k - len(expected))
        assert found.scores[row].tolist() == [*scores[expected], *[-np.inf] * (k - len(expected))]


def test_scores_equal_the_product_to_rounding() -> None:
    draw = np.random.default_rng(0)
    queries = draw.standard_normal((70, 200), dtype=np.float32)
    vectors = draw.standard_normal((3000, 200), dtype=np.float32)
    found = search(queries, vectors, 100, None, None)
    exact = queries.astype(np.float64) @ vectors.T
    np.testing.assert_allclose(found.scores, np.take_along_axis(exact, found.rows, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.scores, -np.sort(-exact, axis=1)[:, :100], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [3, 100, 300])
def test_the_number_of_threads_changes_nothing(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few queries the items are dealt out, with many the queries."""
    draw = np.random.default_rng(0)
    queries, vectors = (draw.integers(-3, 4, (size, 8)).astype(np.float32) for size in (n, 500))
    excluded = csr_array(random_array((n, 500), density=0.2, format="csr", dtype=np.float32, rng=draw))
    alone = search(queries, vectors, 10, None, excluded)
    monkeypatch.setattr("recsys_vae.native.top_k.threads", lambda: 5)
    together = search(queries, vectors, 10, None, excluded)
    assert (together.rows == alone.rows).all()
    assert (together.scores == alone.scores).all()


def test_zero_and_minus_zero_tie() -> None:
    found = search(np.array([[1.0]], np.float32), np.array([[-0.0], [0.0], [-0.0]], np.float32), 3, None, None)
    assert found.rows.tolist() == [[0, 1, 2]]


def test_what_has_no_score_never_comes_back() -> None:
    vectors = np.array([[np.nan], [-np.inf], [-5.0], [np.inf]], np.float32)
    found = search(np.array([[1.0]], np.float32), vectors, 4, None, None)
    assert found.rows.tolist() == [[3, 2, -1, -1]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_may_lie_in_memory_as_they_like(order: str) -> None:
    vectors = np.asarray(np.arange(12, dtype=np.float32).reshape(4, 3), order=order)  # type: ignore[call-overload]
    found = search(np.ones((2, 6), np.float32)[:, ::2], vectors, 2, None, csr([[3], [0, 2]], 4))
    assert found.rows.tolist() == [[2, 1], [3, 1]]
    assert found.scores.tolist() == [[21, 12], [30, 12]]
