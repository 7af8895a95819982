import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from recsys_vae.evaluation.target_ranks import first_ranks
from recsys_vae.native import top_k
from recsys_vae.native.products import products
from recsys_vae.native.quantised import quantise
from recsys_vae.native.ranks import ranks
from recsys_vae.protocols import NEVER

LEVELS = ("avx2", "avxvnni", "avx512", "avx512bf16", "amx")
"""Those that multiply 8-bit integers."""


def drawn(kind: str, draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Numbers that bounds tell apart; few values, so that scores tie; differences far below what 8 bits can tell."""
    if kind == "whole":
        return draw.integers(-2, 3, (n, d)).astype(np.float32)
    numbers = draw.standard_normal((n, d), dtype=np.float32)
    return numbers if kind == "normal" else (1 + 1e-4 * numbers).astype(np.float32)


def pattern(draw: np.random.Generator, shape: tuple[int, int], density: float) -> csr_array:
    found = csr_array(random_array(shape, density=density, format="csr", dtype=np.float32, rng=draw))
    found.sort_indices()
    return found


@pytest.mark.parametrize("kind", ["normal", "whole", "alike"])
@pytest.mark.parametrize(("n", "n_items", "d", "k"), [(1, 700, 17, 20), (70, 5000, 33, 9), (530, 900, 129, 1000)])
def test_lists_and_places_are_those_of_a_scan_in_float32(
    compiled: str, kind: str, n: int, n_items: int, d: int, k: int
) -> None:
    draw = np.random.default_rng(0)
    queries, vectors = drawn(kind, draw, n, d), drawn(kind, draw, n_items, d)
    hidden, targets = pattern(draw, (n, n_items), 0.05), pattern(draw, (n, n_items), 4 / n_items)
    items = quantise(vectors)
    assert items is not None
    found = ranks(queries, items, k, hidden, targets)
    np.testing.assert_array_equal(found.rows, top_k.search(queries, vectors, k, None, hidden).rows)
    asked = np.flatnonzero(np.diff(targets.indptr))
    expected = first_ranks(products(queries, vectors)[asked], hidden[asked], targets[asked])
    np.testing.assert_array_equal(found.first[asked], expected)
    assert (np.delete(found.first, asked) == NEVER).all()


def test_queries_beyond_what_bounds_hold_are_scanned_for_in_float32(compiled: str) -> None:
    draw = np.random.default_rng(1)
    queries, vectors = drawn("normal", draw, 3, 40), drawn("normal", draw, 800, 40)
    queries[1] *= 1e16
    hidden, targets = pattern(draw, (3, 800), 0.1), pattern(draw, (3, 800), 0.02)
    items = quantise(vectors)
    assert items is not None
    found = ranks(queries, items, 5, hidden, targets)
    np.testing.assert_array_equal(found.rows, top_k.search(queries, vectors, 5, None, hidden).rows)
    np.testing.assert_array_equal(found.first, first_ranks(products(queries, vectors), hidden, targets))
