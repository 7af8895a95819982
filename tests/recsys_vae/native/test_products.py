import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.native import top_k
from recsys_vae.native.products import LINE, Packed, products

pytestmark = pytest.mark.usefixtures("compiled")

SIZES = {
    "n": st.sampled_from([0, 1, 2, 5, 7, 17, 64, 65, 130]),
    "m": st.sampled_from([1, 3, 16, 17, 63, 64, 65, 200]),
    "d": st.sampled_from([1, 2, 16, 33]),
    "seed": st.integers(0, 2**31),
}


def whole(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Whole numbers, so that products are exact."""
    return draw.integers(-3, 4, (n, d)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_packed_columns_times_rows(n: int, m: int, d: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows, matrix, bias = whole(draw, n, d), whole(draw, m, d), whole(draw, 1, m)[0]
    packed = Packed.of(matrix)
    assert (packed.times(rows) == rows @ matrix.T).all()
    assert (packed.times(rows, bias) == rows @ matrix.T + bias).all()


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_queries_times_vectors(n: int, m: int, d: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    queries, vectors = whole(draw, n, d), whole(draw, m, d)
    assert (products(queries, vectors) == queries @ vectors.T).all()
    rows = np.sort(draw.choice(m, (m + 1) // 2, replace=False))
    assert (products(queries, vectors, rows) == queries @ vectors[rows].T).all()


def test_a_row_has_the_same_numbers_alone_and_in_any_batch() -> None:
    draw = np.random.default_rng(0)
    rows, matrix = (draw.standard_normal((n, 201), dtype=np.float32) for n in (70, 130))
    bias, packed = draw.standard_normal(130, dtype=np.float32), Packed.of(matrix)
    together, scores = packed.times(rows, bias), products(rows, matrix)
    np.testing.assert_allclose(scores, rows @ matrix.T, rtol=1e-4, atol=1e-4)
    for n in range(1, 70):
        assert (packed.times(rows[:n], bias) == together[:n]).all()
        assert (packed.times(rows[n : n + 1], bias) == together[n]).all()
        assert (products(rows[:n], matrix) == scores[:n]).all()
        assert (products(rows[n : n + 1], matrix) == scores[n]).all()


def test_scores_are_those_of_the_search() -> None:
    draw = np.random.default_rng(0)
    queries, vectors = (draw.standard_normal((n, 33), dtype=np.float32) for n in (5, 300))
    found = top_k.search(queries, vectors, 300, None, None)
    assert (np.take_along_axis(products(queries, vectors), found.rows, axis=1) == found.scores).all()


@pytest.mark.parametrize("n", [1, 3, 100])
def test_the_number_of_threads_changes_nothing(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    rows, matrix = (draw.standard_normal((size, 40), dtype=np.float32) for size in (n, 90))
    packed = Packed.of(matrix)
    alone = packed.times(rows), products(rows, matrix)
    monkeypatch.setattr("recsys_vae.native.products.threads", lambda: 5)
    assert (packed.times(rows) == alone[0]).all()
    assert (products(rows, matrix) == alone[1]).all()


def test_copies_begin_on_a_cache_line_too() -> None:
    packed = Packed.of(np.arange(30, dtype=np.float32).reshape(10, 3))
    rows = np.ones((2, 3), np.float32)
    kept = [copy.deepcopy(packed) for _ in range(20)] + [pickle.loads(pickle.dumps(packed)) for _ in range(20)]
    assert {one.panels.ctypes.data % LINE for one in kept} == {0}
    assert all((one.times(rows) == packed.times(rows)).all() for one in kept)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_may_lie_in_memory_as_they_like(order: str) -> None:
    matrix = np.asarray(np.arange(12, dtype=np.float32).reshape(4, 3), order=order)  # type: ignore[call-overload]
    rows = np.ones((2, 6), np.float32)[:, ::2]
    assert Packed.of(matrix).times(rows).tolist() == [[3, 12, 21, 30]] * 2
    assert products(rows, matrix).tolist() == [[3, 12, 21, 30]] * 2
