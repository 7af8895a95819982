"""What every index promises: the k best allowed items, exactly, ties by item row."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from recsys_vae.errors import ConfigError, RetrievalError, UnknownNameError
from recsys_vae.protocols import Index, TopK
from recsys_vae.retrieval import faiss_index
from recsys_vae.retrieval.block_writer import write_blocks
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.retrieval.faiss_index import EF_SEARCH, KINDS, FaissIndex, IndexReport, build_index, load_index
from recsys_vae.retrieval.ondisk import OnDiskIndex

rng = np.random.default_rng(0)
N, D = 600, 6
VECTORS = rng.integers(-6, 7, (N, D)).astype(np.float32)
QUERIES = rng.integers(-6, 7, (40, D)).astype(np.float32)


def brute_force(query: np.ndarray, k: int, hidden: set[int]) -> list[int]:
    scores = VECTORS @ query
    return sorted(set(range(N)) - hidden, key=lambda row: (-scores[row], row))[:k]


class Uncompiled:
    """An index as it searches where nothing is compiled."""

    def __init__(self, index: Index) -> None:
        self._index, self.name, self.n_items = index, index.name, index.n_items

    def search(self, *arguments: Any, **options: Any) -> TopK:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RECSYS_NATIVE", "0")
            return self._index.search(*arguments, **options)


def build(name: str) -> Index:
    if name.endswith("uncompiled"):
        return Uncompiled(build(name.removesuffix("uncompiled").rstrip(", ") or "torch"))
    if name == "torch":
        return TorchIndex(VECTORS)
    if name == "ondisk":
        with TemporaryDirectory() as folder:
            write_blocks(Path(folder) / "index", VECTORS)
            return OnDiskIndex(Path(folder) / "index", VECTORS)
    index = build_index(VECTORS, name.partition(" ")[0], queries=QUERIES, min_recall=0.5)
    if name == "flat by faiss":  # which is asked where the loops would be slower for one query
        index._exact.is_steady = False
    if name.startswith("ivf"):
        index._index.nprobe = index._index.nlist  # look into every cell: nothing is approximate then
        index._refined *= N  # and let the vectors themselves order what codes find
    return index


EXACT = ("torch", "uncompiled", "flat", "ondisk", "ondisk, uncompiled")
INDEXES = {name: build(name) for name in (*EXACT, "flat by faiss", "hnsw", "ivf", "ivfpq")}


@pytest.fixture(params=list(INDEXES))
def index(request: pytest.FixtureRequest) -> Index:
    return INDEXES[request.param]


def test_finds_what_brute_force_finds(index: Index) -> None:
    found = index.search(QUERIES, 20)
    for row, query in enumerate(QUERIES):
        assert found.rows[row].tolist() == brute_force(query, 20, set())
        assert (found.scores[row] == (VECTORS @ query)[found.rows[row]]).all()


@pytest.mark.parametrize("d", [6, 32])
@pytest.mark.parametrize("kind", ["torch", "flat"])
def test_a_query_has_the_same_scores_alone_and_in_any_batch(kind: str, d: int) -> None:
    draw = np.random.default_rng(0)
    vectors, queries = (draw.standard_normal((n, d), dtype=np.float32) for n in (700, 70))
    index = TorchIndex(vectors) if kind == "torch" else build_index(vectors)
    exact = index if isinstance(index, TorchIndex) else index._exact
    if not exact.is_steady:
        pytest.skip("the loops of this processor are slower for one query, and not asked")
    together = index.search(queries, 20)
    for n in (1, 2, 3, 4, 8, 9, 33):
        found, alone = index.search(queries[:n], 20), index.search(queries[n : n + 1], 20)
        assert (found.rows == together.rows[:n]).all()
        assert (found.scores == together.scores[:n]).all()
        assert (alone.rows == together.rows[n]).all()
        assert (alone.scores == together.scores[n]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.floats(0.0, 1.0), st.floats(0.0, 0.5), st.integers(0, 2**31))
@pytest.mark.parametrize("name", [*EXACT, "flat by faiss", "hnsw", "ivf", "ivfpq"])
def test_exactly_k_of_the_allowed_come_back_in_order(name: str, k: int, allowed: float, seen: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    flags = draw.random(N) < allowed
    excluded = csr_array(random_array((3, N), density=seen, format="csr", dtype=np.float32, rng=draw))
    excluded.sort_indices()
    found = INDEXES[name].search(QUERIES[:3], k, flags, excluded)
    for row in range(3):
        hidden = set(np.flatnonzero(~flags)) | set(excluded[[row]].indices)
        allowed_rows = sorted(set(range(N)) - hidden)
        expected = brute_force(QUERIES[row], k, hidden)
        got = found.rows[row][found.rows[row] >= 0].tolist()
        assert len(got) == min(k, len(allowed_rows))
        if name in EXACT:
            assert got == expected
        else:  # approximate: distinct, allowed, best first
            assert len(set(got)) == len(got)
            assert set(got) <= set(allowed_rows)
            assert (np.diff(found.scores[row][: len(got)]) <= 0).all()


def test_one_query_alone_finds_what_it_finds_among_others(index: Index) -> None:
    for query in QUERIES[:10]:
        assert index.search(query[None, :], 20).rows[0].tolist() == brute_force(query, 20, set())


def test_more_than_there_is_fills_up_with_nothing(index: Index) -> None:
    found = index.search(QUERIES[:1], N + 5)
    assert sorted(found.rows[0][:N].tolist()) == list(range(N))
    assert (found.rows[0][N:] == -1).all()
    assert np.isneginf(found.scores[0][N:]).all()


def test_nothing_allowed_gives_nothing(index: Index) -> None:
    assert (index.search(QUERIES[:2], 3, np.zeros(N, dtype=bool)).rows == -1).all()


def test_no_queries_give_no_lists(index: Index) -> None:
    assert index.search(np.empty((0, D), np.float32), 3).rows.shape == (0, 3)


def test_bad_questions_are_refused(index: Index) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        index.search(QUERIES, 0)
    with pytest.raises(RetrievalError, match="expected"):
        index.search(QUERIES[:, :-1], 3)
    with pytest.raises(RetrievalError, match="float32"):
        index.search(QUERIES.astype(np.float64), 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_answers_the_same(tmp_path: Path, kind: str) -> None:
    index = INDEXES[kind]
    assert isinstance(index, FaissIndex)
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index", VECTORS, index.report)
    assert isinstance(loaded, FaissIndex)
    loaded._refined = index._refined
    assert (loaded.search(QUERIES, 10).rows == index.search(QUERIES, 10).rows).all()
    with pytest.raises(RetrievalError, match="holds 600 vectors"):
        load_index(tmp_path / "index", VECTORS[:-1], index.report)


def test_an_approximate_index_below_its_target_is_refused() -> None:
    vectors = rng.standard_normal((4000, 32)).astype(np.float32)
    with pytest.raises(RetrievalError, match=r"below the target of 1\.0"):
        build_index(vectors, "ivf", queries=rng.standard_normal((50, 32)).astype(np.float32), min_recall=1.0)


def test_below_its_measured_selectivity_an_approximate_index_scans() -> None:
    index = FaissIndex(None, VECTORS, IndexReport("hnsw", 1.0, 0.5))  # asking FAISS would fail: there is none
    allowed = np.arange(N) % 3 == 0
    found = index.search(QUERIES[:1], 5, allowed)
    assert found.rows[0].tolist() == brute_force(QUERIES[0], 5, set(np.flatnonzero(~allowed)))


def test_unknown_kinds_and_unmeasurable_indexes_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="flat"):
        build_index(VECTORS, "flt")
    with pytest.raises(RetrievalError, match="queries"):
        build_index(VECTORS, "hnsw")
    with pytest.raises(RetrievalError, match="at least 16 items"):
        build_index(VECTORS[:15], "ivfpq", queries=QUERIES)
    with pytest.raises(ConfigError, match="min_recall"):
        build_index(VECTORS, "flat", min_recall=0)


@pytest.mark.parametrize("bias", [False, True])
def test_a_graph_finds_the_largest_products_of_vectors_whose_norms_or_biases_differ_much(bias: bool) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((4000, 24), dtype=np.float32)
    queries = draw.standard_normal((100, 24), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    spread = np.log1p(draw.permutation(len(vectors))).astype(np.float32)
    if bias:
        vectors[:, -1], queries[:, -1] = -0.8 * spread, 1
    else:
        vectors *= np.exp(-0.3 * spread)[:, None]
    index = build_index(vectors, "hnsw", queries=queries, min_recall=0.97)
    assert index.report.recall >= 0.97
    assert index._index.hnsw.efSearch == EF_SEARCH[0]


def test_a_graph_looks_at_as_many_candidates_as_the_recall_that_is_asked_for_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    vectors, queries = (draw.standard_normal((n, 40), dtype=np.float32) for n in (3000, 60))
    monkeypatch.setattr(faiss_index, "LINKS", 4)
    few, many = (build_index(vectors, "hnsw", queries=queries, min_recall=least) for least in (0.1, 0.95))
    assert few._index.hnsw.efSearch == EF_SEARCH[0]
    assert few.report.recall < 0.95 <= many.report.recall
    many.save(tmp_path / "index")
    again = load_index(tmp_path / "index", vectors, many.report)
    assert isinstance(again, FaissIndex)
    assert again._index.hnsw.efSearch == many._index.hnsw.efSearch > EF_SEARCH[0]
