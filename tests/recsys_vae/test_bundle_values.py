"""Bundles whose checksums fit and whose values do not: refused before anything computes with them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import INDEX, ITEMS, SCHEMA, SEGMENTS, WEIGHTS, Bundle, Tiers, write_bundle
from recsys_vae.bundles.item_lists import ItemLists, ListRules, Windows, segments_only
from recsys_vae.bundles.manifest import MANIFEST, Provenance, file_hashes, read_manifest, write_manifest
from recsys_vae.bundles.neighbours import Neighbours
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.shelves import Shelves
from recsys_vae.data.co_occurrence import co_views, lifts
from recsys_vae.data.features import Field, Schema
from recsys_vae.errors import BundleCorruptError, BundleError, BundleVersionError, DataError
from recsys_vae.models import catalog
from recsys_vae.retrieval.block_writer import write_blocks
from recsys_vae.retrieval.index_files import BLOCKS_FILE, KINDS
from tests.worlds import two_tastes, untrained

WORLD = two_tastes(n_items=200)
RECORDS = [{"taste": "left" if user % 2 else "right", "about": "one two", "age": user} for user in range(40)]
KNOWN = Schema.learn((Field("taste", "category"), Field("about", "text"), Field("age", "number")), RECORDS)
POPULAR = SegmentPopularity.learn(
    WORLD.matrix, KNOWN.encode(RECORDS), np.array([True, True, False, False, False, False]), shrinkage=1.0
)
BEGUN = WORLD.matrix[:20], WORLD.matrix[20:40]
TASTES = segments_only(KNOWN.encode(RECORDS[:20]), np.array([True, True, False, False, False, False]))
SHELVES = Shelves(
    ItemLists(
        ListRules(),
        Windows(
            np.arange(200, dtype=np.float32),
            *(np.asarray(part.sum(axis=0), np.float32) for part in BEGUN),
            *(csr_array(TASTES.T @ part).astype(np.float32) for part in BEGUN),
        ),
    ),
    Neighbours(
        co_views(WORLD.matrix, damping=0.3, longest=200, most=5),
        lifts(csr_array(WORLD.matrix > 0).astype(np.float32), shrinkage=1.0, at_least=1, most=5),
    ),
)


def written(path: Path, model: str = "elsa", index: str = "flat") -> Path:
    made = untrained(model, 200, metadata=KNOWN.widths)
    queries = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    write_bundle(
        path,
        made,
        WORLD.items,
        popularity=WORLD.item_counts(),
        provenance=Provenance(),
        tiers=Tiers(schema=KNOWN, segments=POPULAR),
        shelves=SHELVES,
        index_kind=index,
        index_queries=queries,
        min_recall=0.01,
    )
    return path


def refused(path: Path) -> str:
    """Why a bundle is not loaded, once its manifest fits its files again."""
    write_manifest(path, replace(read_manifest(path), files=file_hashes(path)))
    with pytest.raises(BundleCorruptError) as caught:
        Bundle.load(path)
    return str(caught.value)


def change(path: Path, **changed: Any) -> None:
    save_file({name: np.ascontiguousarray(value) for name, value in (load_file(path) | changed).items()}, path)


def test_the_bundle_that_the_others_differ_from_is_in_order(tmp_path: Path) -> None:
    for index in KINDS:
        Bundle.load(written(tmp_path / index, index=index))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lifts.indices", lambda a: a + 200, "names columns"),
        ("lifts.indices", lambda a: -a, "names columns"),
        ("lifts.indptr", lambda a: a[::-1], "row starts"),
        ("lifts.data", lambda a: a * np.nan, "not finite"),
        ("log_shares", lambda a: a[:-1], "shape"),
        ("log_shares", lambda a: a - np.inf, "not finite"),
        ("floors", lambda a: np.append(a, a), "shape"),
        ("settings", lambda a: np.append(0.0, a[1:]), "half-life"),
        ("settings", lambda a: a[:1], "half-life"),
    ],
)
def test_segments_out_of_range_are_refused(tmp_path: Path, name: str, value: Any, message: str) -> None:
    path = written(tmp_path / "b")
    change(path / SEGMENTS, **{name: value(load_file(path / SEGMENTS)[name])})
    assert message in refused(path)


@pytest.mark.parametrize("model", list(catalog.CATALOG))
@pytest.mark.parametrize("wrong", [np.nan, np.inf, "type", "shape", "missing"])
def test_weights_that_are_not_finite_or_of_another_kind_are_refused(tmp_path: Path, model: str, wrong: Any) -> None:
    path = written(tmp_path / "b", model)
    tensors = load_file(path / WEIGHTS)
    name = next(name for name, value in sorted(tensors.items()) if value.dtype == np.float32 and value.size)
    whole = tensors.pop(name).copy()
    if isinstance(wrong, float):
        whole.flat[0] = wrong
    changed = {"type": np.ones(whole.shape, np.int64), "shape": np.zeros((1, *whole.shape), np.float32)}
    save_file(tensors | ({} if wrong == "missing" else {name: changed.get(wrong, whole)}), path / WEIGHTS)
    assert "contradicts its manifest" in refused(path)


@pytest.mark.parametrize(
    ("model", "name"),
    [("rec-vae", "encoder.norms.4.weight"), ("conditional-vae", "prior_out.weight")],
)
def test_weights_so_large_that_scores_would_overflow_are_refused(tmp_path: Path, model: str, name: str) -> None:
    path = written(tmp_path / "b", model)
    change(path / WEIGHTS, **{name: np.full_like(load_file(path / WEIGHTS)[name], 3e38)})
    assert "contradicts its manifest" in refused(path)


def test_rows_of_a_graph_out_of_range_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b", "graph-filter")
    change(path / WEIGHTS, **{"local.indices": load_file(path / WEIGHTS)["local.indices"] + 10**6})
    assert "names columns" in refused(path)


@pytest.mark.parametrize(
    "counts", [[-1] * 200, [0.5] * 200, [None] + [1] * 199, ["many"] * 200], ids=["negative", "part", "null", "text"]
)
def test_popularity_that_is_no_count_is_refused(tmp_path: Path, counts: list[Any]) -> None:
    path = written(tmp_path / "b")
    pl.read_parquet(path / ITEMS).with_columns(popularity=pl.Series(counts)).write_parquet(path / ITEMS)
    assert "popularity" in refused(path)


def test_items_out_of_order_or_missing_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b")
    table = pl.read_parquet(path / ITEMS)
    for wrong in (table.reverse(), table.head(-1), table.drop("item_id"), table.with_columns(item_id=pl.lit("x"))):
        wrong.write_parquet(path / ITEMS)
        assert "contradicts its manifest" in refused(path)


@pytest.mark.parametrize(
    ("block", "changed", "message"),
    [
        (0, {"values": ["right", "left"]}, "ascend"),
        (0, {"values": [1, 2]}, "ascend"),
        (0, {"kind": "sentence"}, "is of kind 'sentence'"),
        (1, {"weights": [1.0]}, "1 weights for 2 values"),
        (1, {"weights": [1.0, float("nan")]}, "not finite"),
        (2, {"deviation": 0.0}, "not above 0"),
        (2, {"mean": "old"}, "not the schema"),
    ],
)
def test_a_schema_that_is_none_is_refused(tmp_path: Path, block: int, changed: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "b")
    content = json.loads((path / SCHEMA).read_text())
    content["blocks"][block] |= changed
    (path / SCHEMA).write_text(json.dumps(content))
    assert message in refused(path)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf", "ivfpq"])
def test_an_index_of_another_kind_or_with_numbers_that_are_none_is_refused(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "b", index=kind)
    index = faiss.read_index(str(path / INDEX))
    width, graph = index.d, faiss.IndexHNSWFlat(index.d, 4, index.metric_type)
    faiss.write_index(faiss.IndexFlat(width, index.metric_type), str(path / INDEX))
    assert "holds 0 vectors" in refused(path)
    for made in (faiss.IndexFlatL2(width), faiss.IndexFlatIP(width), graph):
        made.add(np.full((200, width), np.nan, np.float32))
        faiss.write_index(made, str(path / INDEX))
        why = refused(path)
        # A graph's vectors have a dimension more by distances than by inner products.
        assert any(told in why for told in ("not finite", "expected one of kind", "expected 200 of width")), why


def test_an_index_over_other_vectors_than_the_models_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b")
    index = faiss.read_index(str(path / INDEX))
    vectors = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    vectors[7] += 1
    faiss.write_index(index, str(path / INDEX))
    assert "other vectors than the model has" in refused(path)


def test_an_index_on_disk_of_another_catalogue_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b", index="ondisk")
    assert Bundle.load(path).index is not None
    shape = Bundle.load(path).model.item_vectors().shape
    write_blocks(path / BLOCKS_FILE, np.ones(shape, np.float32))
    assert "other vectors than the model has" in refused(path)
    write_blocks(path / BLOCKS_FILE, np.ones((shape[0] + 1, shape[1]), np.float32))
    assert f"expected {shape[0]} of width" in refused(path)


def test_a_graph_that_leads_out_of_the_index_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b", index="hnsw")
    index = faiss.read_index(str(path / INDEX))
    neighbours = faiss.vector_to_array(index.hnsw.neighbors)
    neighbours[0] = 10**6
    faiss.copy_array_to_vector(neighbours, index.hnsw.neighbors)
    faiss.write_index(index, str(path / INDEX))
    assert "index" in refused(path)


def test_lists_that_name_vectors_twice_or_none_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "b", index="ivf")
    index = faiss.read_index(str(path / INDEX))
    index.invlists.resize(0, 0)
    faiss.write_index(index, str(path / INDEX))
    assert "does not hold" in refused(path)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"kind": "magic"}, BundleVersionError),  # as a newer version may write it
        ({"more": 1}, BundleVersionError),
        ({"recall": float("nan")}, BundleCorruptError),
        ({"min_selectivity": 7}, BundleCorruptError),
    ],
)
def test_a_report_that_is_none_is_refused(tmp_path: Path, changed: dict[str, Any], refusal: type[BundleError]) -> None:
    path = written(tmp_path / "b")
    manifest = read_manifest(path)
    write_manifest(path, replace(manifest, index={**manifest.index, **changed}))
    with pytest.raises(refusal, match=r"manifest|another version"):
        Bundle.load(path)


def test_a_model_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    model = untrained("ease", 200)
    model.tensors()["weights"][0, 1] = np.nan
    with pytest.raises(DataError, match="weights holds 1 numbers that are not finite"):
        write_bundle(tmp_path / "b", model, WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance())
    assert not (tmp_path / "b" / MANIFEST).exists()
