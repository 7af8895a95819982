import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.native.ridge import CACHE_LINE, Regressions, on_cache_lines

pytestmark = pytest.mark.usefixtures("compiled")


def drawn(d: int, lengths: list[int], seed: int) -> tuple[Regressions, np.ndarray, np.ndarray]:
    """Regressions with so many entries each, over 90 rows; some targets are 0, as of what is disliked."""
    draw = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.concatenate([draw.choice(90, length, replace=False) for length in lengths]).astype(np.int32)
    weights = draw.uniform(0.1, 4.0, len(rows)).astype(np.float32)
    targets = (weights * draw.integers(0, 2, len(rows))).astype(np.float32)
    regressions = Regressions(starts, rows, weights, targets, draw.uniform(0.5, 2, len(lengths)).astype(np.float32))
    return regressions, draw.standard_normal((90, d), np.float32), draw.uniform(0, 5, d).astype(np.float32)


def by_torch(of: Regressions, vectors: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Exactly, without compiled code."""
    d = vectors.shape[1]
    return of.solved_by_torch(vectors, base, np.empty((len(of), d), np.float32), d)


def solved_plainly(of: Regressions, vectors: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The normal equations of each, in float64."""
    found = np.zeros((len(of), vectors.shape[1]))
    for i, (start, end) in enumerate(zip(of.starts[:-1], of.starts[1:], strict=True)):
        y, w = vectors[of.rows[start:end]].astype(np.float64), of.weights[start:end].astype(np.float64)
        system = np.diag(base.astype(np.float64) + of.penalties[i]) + y.T @ (w[:, None] * y)
        found[i] = np.linalg.solve(system, y.T @ of.targets[start:end])
    return found


@settings(max_examples=15, deadline=None)
@given(d=st.sampled_from([1, 2, 5, 6, 16, 31, 67]), seed=st.integers(0, 2**31))
def test_both_systems_give_the_normal_equations_solution(d: int, seed: int) -> None:
    """As many entries as dimensions, one fewer, one more, none, and numbers that fill vectors and tiles or do not."""
    lengths = [d, max(d - 1, 0), d + 1, 0, 1, 13, 64, 90]
    regressions, vectors, base = drawn(d, lengths, seed)
    wanted = solved_plainly(regressions, vectors, base)
    for found in (regressions.solve(vectors, base), by_torch(regressions, vectors, base)):
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def stepped_plainly(
    of: Regressions, vectors: np.ndarray, base: np.ndarray, start: np.ndarray, block: int
) -> np.ndarray:
    """Each block of the normal equations in turn, in float64, the others being what they are by then."""
    found = start.astype(np.float64)
    for i, (begin, end) in enumerate(zip(of.starts[:-1], of.starts[1:], strict=True)):
        y, w = vectors[of.rows[begin:end]].astype(np.float64), of.weights[begin:end].astype(np.float64)
        system, right = (
            np.diag(base.astype(np.float64) + of.penalties[i]) + y.T @ (w[:, None] * y),
            y.T @ of.targets[begin:end],
        )
        for first in range(0, vectors.shape[1], block if end - begin >= block else vectors.shape[1]):
            part = slice(first, first + block if end - begin >= block else None)
            others = right[part] - system[part] @ found[i] + system[part, part] @ found[i, part]
            found[i, part] = np.linalg.solve(system[part, part], others)
    return found


@settings(max_examples=10, deadline=None)
@given(
    size=st.sampled_from([(5, 2), (16, 16), (31, 16), (64, 32), (67, 32), (48, 16), (20, 64)]),
    seed=st.integers(0, 2**31),
)
def test_a_block_is_solved_given_the_others(size: tuple[int, int], seed: int) -> None:
    """Blocks that fill vectors and dimensions or do not; rows of fewer entries than a block are solved exactly."""
    d, block = size
    regressions, vectors, base = drawn(d, [block, block - 1, block + 1, 0, 1, 13, 64, 90], seed)
    start = np.random.default_rng(seed).standard_normal((8, d), np.float32)
    wanted = stepped_plainly(regressions, vectors, base, start, min(block, d))
    found = regressions.solve(vectors, base, start, block)
    in_torch = regressions.solved_by_torch(vectors, base, start.copy(), min(block, d))
    for one in (found, in_torch):
        np.testing.assert_allclose(one, wanted, atol=2e-5 * np.abs(wanted).max())


def test_a_block_of_all_dimensions_is_the_exact_step() -> None:
    regressions, vectors, base = drawn(16, [0, 3, 40, 90], seed=0)
    start = np.full((4, 16), 7, np.float32)
    exact = regressions.solve(vectors, base)
    for block in (0, 16, 32):
        np.testing.assert_array_equal(regressions.solve(vectors, base, start, block), exact)
    np.testing.assert_array_equal(start, 7)


def test_blocks_again_and_again_reach_the_solution() -> None:
    regressions, vectors, base = drawn(20, [90, 40], seed=0)
    found = np.zeros((2, 20), np.float32)
    for _ in range(60):
        found = regressions.solve(vectors, base, found, 8)
    wanted = solved_plainly(regressions, vectors, base)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_torch_takes_them_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    regressions, vectors, base = drawn(8, [3, 20, 0, 7, 7, 90, 1], seed=1)
    whole = by_torch(regressions, vectors, base)
    monkeypatch.setattr("recsys_vae.native.ridge.NUMBERS", 200)
    np.testing.assert_allclose(by_torch(regressions, vectors, base), whole, rtol=1e-4, atol=1e-6)


def test_nothing_to_solve() -> None:
    regressions, vectors, base = drawn(3, [0, 0], seed=0)
    assert (regressions.solve(vectors, base) == 0).all()
    assert (by_torch(regressions, vectors, base) == 0).all()


def test_certainty_beyond_float32_stays_finite() -> None:
    """All entries alike and of a weight that hides the penalty: pivots that rounding makes negative count as 1."""
    n, ones = 40, np.ones((90, 3), np.float32) * 1e3
    rows, weights = np.arange(n, dtype=np.int32), np.full(n, 1e6, np.float32)
    regressions = Regressions(np.array([0, n]), rows, weights, weights, np.full(1, 1e-3, np.float32))
    assert np.isfinite(regressions.solve(ones, np.zeros(3, np.float32))).all()


def test_vectors_begin_on_a_cache_line() -> None:
    begun_elsewhere = np.arange(65, dtype=np.float32)[1:].reshape(4, 16)
    for vectors in (begun_elsewhere, begun_elsewhere.T):
        aligned = on_cache_lines(vectors)
        assert aligned.ctypes.data % CACHE_LINE == 0
        assert aligned.flags.c_contiguous
        np.testing.assert_array_equal(aligned, vectors)
    again = on_cache_lines(begun_elsewhere)
    assert on_cache_lines(again) is again
