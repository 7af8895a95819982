from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from recsys_vae.native import quantised, top_k
from recsys_vae.native.quantised import Quantised, counted_search, quantise

LEVELS = ("avx2", "avxvnni", "avx512", "avx512bf16", "amx")
"""Those that multiply 8-bit integers."""

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


@pytest.fixture(autouse=True)
def _any_size(compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "SMALLEST", 0)


def coded(vectors: np.ndarray) -> Quantised:
    found = quantise(vectors)
    assert found is not None
    return found


def normal(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    return draw.standard_normal((n, d), dtype=np.float32)


def whole(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Few values, so that scores tie often."""
    return draw.integers(-2, 3, (n, d)).astype(np.float32)


def uneven(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Rows and columns of very different sizes, and rows of zeros."""
    sizes = np.exp(draw.normal(0, 2, (n, 1))) * np.exp(draw.normal(0, 1, (1, d)))
    return (normal(draw, n, d) * sizes * (draw.random((n, 1)) < 0.9)).astype(np.float32)


def alike(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Differences far below what 8 bits can tell."""
    return (1 + 1e-4 * normal(draw, n, d)).astype(np.float32)


def extreme(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Numbers all of the largest size: of one sign, or of signs that alternate one by one, in pairs or in fours."""
    signs = np.array([(np.arange(d) // run % 2) * -2 + 1 for run in (d, 1, 2, 4)])
    rows = signs[draw.integers(0, 4, n)] * draw.choice([-1, 1], (n, 1))
    rows[draw.random((n, d)) < 0.02] *= -1  # so that scores differ
    return rows.astype(np.float32)


def spiked(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """A few large numbers side by side."""
    rows = normal(draw, n, d)
    rows[:, 4:12] = draw.choice([-50, 50], (n, 1)) + rows[:, 4:12]
    return rows


@settings(max_examples=120, deadline=None)
@given(
    make=st.sampled_from([normal, whole, uneven, alike, extreme, spiked]),
    n=st.sampled_from([0, 1, 4, 5, 8, 9, 16, 17, 40, 64, 130]),
    n_items=st.sampled_from([1, 6, 7, 601, 3000]),
    d=st.sampled_from([16, 17, 21, 33, 129, 201, 257, 401]),
    k=st.sampled_from([1, 20, 700]),
    allowed=st.sampled_from([None, 0.0, 0.03, 0.8]),
    seen=st.sampled_from([None, 0.0, 0.1]),
    seed=st.integers(0, 2**31),
)
def test_lists_are_those_of_a_scan_in_float32_bit_for_bit(
    make: Draw, n: int, n_items: int, d: int, k: int, allowed: float | None, seen: float | None, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    queries, vectors = make(draw, n, d), make(draw, n_items, d)
    flags = None if allowed is None else draw.random(n_items) < allowed
    excluded = None
    if seen is not None:
        excluded = csr_array(random_array((n, n_items), density=seen, format="csr", dtype=np.float32, rng=draw))
        excluded.sort_indices()
    expected = top_k.search(queries, vectors, k, flags, excluded)
    found = quantised.search(queries, coded(vectors), k, flags, excluded)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("run", [1, 2, 4, 200])
@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_of_the_largest_codes_do_not_overflow(run: int, sign: int) -> None:
    """One item is the query itself, one its opposite: saturated sums would put others first."""
    query = np.ones((1, 201), dtype=np.float32)
    query[0, :200] = (np.arange(200) // run % 2) * -2 + 1
    vectors = np.ones((2000, 201), dtype=np.float32) * query * sign
    vectors[:, :200] *= np.where(np.random.default_rng(0).random((2000, 200)) < 0.1, -1, 1)
    vectors[700], vectors[900] = query[0], -query[0]
    expected = top_k.search(query, vectors, 3, None, None)
    found, scanned = counted_search(query, coded(vectors), 3, None, None)
    assert scanned == 0
    assert found.rows[0, 0] == expected.rows[0, 0] == 700
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_ordinary_vectors_have_few_candidates_and_inseparable_ones_are_scanned() -> None:
    draw = np.random.default_rng(0)
    queries, vectors = normal(draw, 64, 201), normal(draw, 20_000, 201)
    vectors[:, -1] *= 100  # a bias of another size than the rest
    queries[:, -1] = 1
    assert counted_search(queries, coded(vectors), 20, None, None)[1] == 0
    same = alike(draw, 20_000, 32)
    assert counted_search(same[:64], coded(same), 20, None, None)[1] == 64


def test_queries_that_are_not_finite_get_what_a_scan_gives_them() -> None:
    draw = np.random.default_rng(0)
    queries, vectors = normal(draw, 4, 16), normal(draw, 100, 16)
    queries[0, 3], queries[1, 5], queries[2, 0] = np.nan, np.inf, 1e30
    expected = top_k.search(queries, vectors, 5, None, None)
    found = quantised.search(queries, coded(vectors), 5, None, None)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("n", [3, 300])
def test_the_number_of_threads_changes_nothing(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    queries, items = whole(draw, n, 20), coded(whole(draw, 500, 20))
    alone = quantised.search(queries, items, 10, None, None)
    monkeypatch.setattr("recsys_vae.native.quantised.threads", lambda: 5)
    together = quantised.search(queries, items, 10, None, None)
    np.testing.assert_array_equal(together.rows, alone.rows)
    np.testing.assert_array_equal(together.scores, alone.scores)


def test_vectors_that_are_not_finite_or_narrow_have_no_codes() -> None:
    draw = np.random.default_rng(0)
    for value in (np.nan, -np.inf, 1e30):
        broken = normal(draw, 100, 32)
        broken[7, 7] = value
        assert quantise(broken) is None
    assert quantise(normal(draw, 100, 8)) is None


def test_codes_of_few_vectors_are_for_few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    items = coded(normal(np.random.default_rng(0), 100, 32))
    assert quantised.suits(1000, 10, items)
    assert not quantised.suits(1, 5000, items)
    monkeypatch.setattr(quantised, "SMALLEST", 2**18)
    assert quantised.suits(8, 10, items)
    assert not quantised.suits(9, 10, items)


@pytest.mark.parametrize("n", [1, 2, 4, 7])
@pytest.mark.parametrize(
    ("n_items", "d", "k"), [(3000, 130, 20), (3001, 201, 3001), (2999, 257, 700), (70_003, 17, 20), (3000, 321, 1)]
)
def test_a_coarse_look_at_first_changes_nothing(n: int, n_items: int, d: int, k: int) -> None:
    """Whatever may come back: all, most, one, none; and where scores tie or are all the same."""
    draw = np.random.default_rng(d)
    for make in (normal, whole, uneven):
        queries, vectors = make(draw, n, d), make(draw, n_items, d)
        vectors[: n_items // 3] = vectors[n_items // 3 : n_items // 3 * 2]
        items = coded(vectors)
        assert items.tiles is not None
        for share in (None, 0.9, 0.3):
            flags = None if share is None else draw.random(n_items) < share
            excluded = csr_array(random_array((n, n_items), density=0.01, format="csr", dtype=np.float32, rng=draw))
            excluded.sort_indices()
            expected = top_k.search(queries, vectors, k, flags, excluded)
            found = quantised.search(queries, items, k, flags, excluded)
            np.testing.assert_array_equal(found.rows, expected.rows)
            np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_coarse_look_finds_nothing_that_is_excluded() -> None:
    draw = np.random.default_rng(0)
    queries, items = normal(draw, 3, 201), coded(normal(draw, 3000, 201))
    best = quantised.search(queries, items, 40, None, None).rows
    all_but_one = csr_array(np.repeat((np.arange(3000) != best[0, 30])[None], 3, axis=0).astype(np.float32))
    assert (quantised.search(queries, items, 5, None, all_but_one).rows[:, 0] == best[0, 30]).all()
    assert (quantised.search(queries, items, 5, None, csr_array(np.ones((3, 3000), dtype=np.float32))).rows == -1).all()
    seen = np.zeros((3, 3000), dtype=np.float32)
    np.put_along_axis(seen, best[:, :30], 1.0, axis=1)
    np.testing.assert_array_equal(quantised.search(queries, items, 10, None, csr_array(seen)).rows, best[:, 30:])


def test_wide_and_few_vectors_have_no_tiles() -> None:
    draw = np.random.default_rng(0)
    assert coded(normal(draw, 3000, 601)).tiles is None
    assert coded(normal(draw, 100, 201)).tiles is None
