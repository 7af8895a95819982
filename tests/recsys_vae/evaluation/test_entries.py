import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from recsys_vae.evaluation import entries
from tests.worlds import csr

DENSE = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 7)), elements=st.integers(0, 2).map(float))


@given(DENSE, st.integers(0, 2**32))
def test_pick_keeps_the_chosen_entries_and_no_others(dense: np.ndarray, seed: int) -> None:
    matrix = csr_array(dense)
    chosen = np.random.default_rng(seed).random(matrix.nnz) < 0.5
    picked, rest = entries.pick(matrix, chosen), entries.pick(matrix, ~chosen)
    assert picked.nnz == chosen.sum()
    assert (picked.toarray() + rest.toarray() == dense).all()
    assert picked.has_canonical_format


@given(DENSE, st.integers(0, 4), st.integers(0, 2**32))
def test_draw_takes_so_many_of_each_row(dense: np.ndarray, wanted: int, seed: int) -> None:
    matrix = csr_array(dense)
    per_row = np.minimum(entries.row_lengths(matrix), wanted)
    chosen = entries.draw(matrix, per_row, np.random.default_rng(seed))
    assert entries.row_lengths(entries.pick(matrix, chosen)).tolist() == per_row.tolist()


def test_draw_gives_every_entry_of_a_row_the_same_chance() -> None:
    matrix, rng = csr([[0, 2, 3, 5]], 6), np.random.default_rng(0)
    times = sum(entries.draw(matrix, np.array([1]), rng).astype(int) for _ in range(4000))
    assert np.abs(times / 4000 - 0.25).max() < 0.03


@given(DENSE, st.data())
def test_keep_columns_equals_dense_indexing(dense: np.ndarray, data: st.DataObject) -> None:
    columns = np.array(sorted(data.draw(st.sets(st.integers(0, dense.shape[1] - 1)))), dtype=np.int64)
    assert (entries.keep_columns(csr_array(dense), columns).toarray() == dense[:, columns]).all()


@given(DENSE)
def test_contains_knows_every_cell(dense: np.ndarray) -> None:
    keys = np.arange(dense.size)
    assert (entries.contains(csr_array(dense), keys) == (dense.ravel() > 0)).all()
