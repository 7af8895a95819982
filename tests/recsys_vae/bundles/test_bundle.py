import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.errors import BundleCorruptError, BundleVersionError, DataError, MissingExtraError
from recsys_vae.extras import Deferred
from recsys_vae.models import catalog
from recsys_vae.recommender import FallbackChain
from recsys_vae.retrieval import faiss_index
from tests.worlds import by_row, csr, scores, two_tastes, untrained

WORLD = two_tastes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "bundle", "mult-vae")


def written(path: Path, model: str) -> Path:
    write_bundle(
        path,
        untrained(model, 12),
        WORLD.items,
        popularity=WORLD.item_counts(),
        provenance=Provenance(dataset="two-tastes", trained_on="split:strong/train", metrics={"recall@20": 0.5}),
        item_table=pl.DataFrame({"item_id": ["i001", "i001", "unknown"], "title": ["One", "Uno", "Nobody's"]}),
    )
    return path


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_a_loaded_bundle_scores_as_the_model_did(tmp_path: Path, name: str) -> None:
    model = untrained(name, 12)
    path = tmp_path / "bundle"
    manifest = write_bundle(path, model, WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance())
    bundle = Bundle.load(path)
    model.load_tensors(model.tensors())  # layers that were taken over sum in another order
    assert (scores(bundle.model, WORLD.matrix) == scores(model, WORLD.matrix)).all()
    assert bundle.version == manifest.version == f"{name}-{manifest.version.rpartition('-')[2]}"
    assert (bundle.index is None) == (name in ("ease", "edlae", "graph-filter", "blend"))


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_a_bundle_that_is_only_asked_answers_alike(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "bundle", name)
    whole, asked = Bundle.load(path), Bundle.load(path, to_ask=True)
    histories = WORLD.matrix
    order = by_row(histories)
    expected, found = (FallbackChain(bundle).recommend(histories, 5, order=order) for bundle in (whole, asked))
    assert (found.rows == expected.rows).all()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


def test_a_bundle_that_is_only_asked_is_verified_all_the_same(path: Path) -> None:
    index = path / "index.faiss"
    index.write_bytes(index.read_bytes()[:-4] + b"\0\0\1\0")
    with pytest.raises(BundleCorruptError, match="checksum"):
        Bundle.load(path, to_ask=True)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest.pop("checksum")
    manifest["files"]["index.faiss"] = sha256(index.read_bytes()).hexdigest()
    manifest["checksum"] = sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleCorruptError, match="contradicts its manifest"):
        Bundle.load(path, to_ask=True)


def test_the_item_table_follows_the_rows_of_the_model(path: Path) -> None:
    bundle = Bundle.load(path)
    assert bundle.item_table["item_id"].to_list() == WORLD.items.values.to_list()
    assert bundle.item_table["title"].to_list()[:3] == [None, "One", None]
    assert bundle.popularity.tolist() == WORLD.item_counts().tolist()
    assert bundle.manifest.provenance.metrics == {"recall@20": 0.5}


def test_nothing_in_a_bundle_is_a_pickle_or_names_a_user(path: Path) -> None:
    assert sorted(p.name for p in path.iterdir()) == [
        "index.faiss",
        "items.parquet",
        "manifest.json",
        "weights.safetensors",
    ]
    for file in path.iterdir():
        content = file.read_bytes()
        assert not content.startswith(b"\x80")
        assert b"u001" not in content


@pytest.mark.parametrize("file", ["manifest.json", "weights.safetensors", "items.parquet", "index.faiss"])
def test_one_changed_byte_anywhere_is_found(path: Path, file: str) -> None:
    content = bytearray((path / file).read_bytes())
    for place in (0, len(content) // 2, len(content) - 1):
        changed = content.copy()
        changed[place] ^= 1
        (path / file).write_bytes(changed)
        with pytest.raises(BundleCorruptError, match=file):
            Bundle.load(path)


@pytest.mark.parametrize("file", ["manifest.json", "weights.safetensors", "items.parquet", "index.faiss"])
def test_truncated_and_missing_files_are_found(path: Path, file: str) -> None:
    content = (path / file).read_bytes()
    (path / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleCorruptError, match=file):
        Bundle.load(path)
    (path / file).unlink()
    with pytest.raises(BundleCorruptError, match=file):
        Bundle.load(path)


def test_the_manifest_of_something_else_is_not_called_altered(path: Path) -> None:
    (path / "manifest.json").write_text('{"format_version": 1, "files": {}}')  # as of a simulated log
    with pytest.raises(BundleCorruptError, match="is not the manifest of a bundle"):
        Bundle.load(path)


def test_a_number_changed_in_the_manifest_is_found(path: Path) -> None:
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"recall@20": 0.5', '"recall@20": 0.9'))
    with pytest.raises(BundleCorruptError, match="checksum"):
        Bundle.load(path)


def test_another_format_is_refused_with_advice(path: Path) -> None:
    content = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(content | {"format_version": 99}))
    with pytest.raises(BundleVersionError, match="99"):
        Bundle.load(path)


def rewrite(path: Path, **changes: object) -> None:
    """Change entries of the manifest, with a checksum that fits; None takes an entry away."""
    content = json.loads((path / "manifest.json").read_text()) | changes
    content = {name: value for name, value in content.items() if value is not None and name != "checksum"}
    checksum = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(content | {"checksum": checksum}))


def test_what_a_newer_version_tells_of_a_bundles_origin_is_passed_over(path: Path) -> None:
    rewrite(path, provenance={"dataset": "two-tastes", "weather": "fine"}, kind="bundle", chain=None)
    assert Bundle.load(path).manifest.provenance == Provenance(dataset="two-tastes")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"temperature": 0.7}, "temperature"),
        ({"ladder": {"warmth": 0.7}}, "warmth"),
        ({"ladder": {"bare": [[0, "nearest"]]}}, "nearest"),
        ({"index": {"kind": "flat", "recall": 1.0, "min_selectivity": 0.0, "bits": 8}}, "bits"),
        ({"settings": {"depth": 3}}, "depth"),
        ({"model": "mamba"}, "mamba"),
    ],
)
def test_what_decides_an_answer_and_is_not_known_is_of_another_version(
    path: Path, changes: dict[str, object], named: str
) -> None:
    rewrite(path, **changes)
    with pytest.raises(BundleVersionError, match=f"another version: .*'{named}'"):
        Bundle.load(path)


@pytest.mark.parametrize("changes", [{"provenance": None}, {"provenance": [1]}, {"n_items": None}])
def test_a_manifest_that_lacks_something_is_refused(path: Path, changes: dict[str, object]) -> None:
    rewrite(path, **changes)
    with pytest.raises(BundleCorruptError, match="incomplete"):
        Bundle.load(path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleCorruptError, match="not a bundle"):
        Bundle.load(tmp_path)


def test_writing_again_replaces_whole(path: Path) -> None:
    written(path, "ease")
    assert Bundle.load(path).manifest.model == "ease"
    assert not (path / "index.faiss").exists()


def test_parts_of_different_catalogues_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="11 items"):
        write_bundle(
            tmp_path / "b", untrained("ease", 11), WORLD.items, popularity=np.ones(12), provenance=Provenance()
        )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an installation without the extra."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(faiss_index, "faiss", Deferred("faiss"))


def test_without_faiss_a_flat_index_is_searched_by_the_exact_scorer(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path, histories = written(tmp_path / "bundle", "mult-vae"), csr([[0, 1], []], 12)
    expected = FallbackChain(Bundle.load(path)).recommend(histories, 5)
    request.getfixturevalue("without_faiss")
    bundle = Bundle.load(path)
    assert bundle.index is not None
    assert bundle.index.vectors.tolist() == bundle.model.item_vectors().tolist()  # type: ignore[attr-defined]
    found = FallbackChain(bundle).recommend(histories, 5)
    assert (found.rows.tolist(), found.scorer) == (expected.rows.tolist(), "torch")
    assert found.scores == pytest.approx(expected.scores, rel=1e-5)


def test_without_faiss_an_approximate_index_says_what_to_install(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = untrained("mult-vae", 12)
    queries = model.encode(WORLD.matrix)  # type: ignore[attr-defined]
    write_bundle(
        tmp_path / "bundle", model, WORLD.items, popularity=WORLD.item_counts(), provenance=Provenance(),
        index_kind="hnsw", index_queries=queries,
    )  # fmt: skip
    request.getfixturevalue("without_faiss")
    with pytest.raises(MissingExtraError, match=r"faiss.*recsys-vae\[cpu\]"):
        Bundle.load(tmp_path / "bundle")
