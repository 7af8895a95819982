"""A second stage in a bundle: it comes back as it was, and what is damaged is refused before LightGBM sees it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from recsys_vae.bundles.bundle import ITEMS, Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Provenance, file_hashes, plugins_of, read_manifest, verify_files, write_manifest
from recsys_vae.bundles.second_stage import RANKER, TREES, check_further, counted_columns
from recsys_vae.errors import BundleVersionError, DataError, MissingExtraError
from recsys_vae.extras import Deferred
from recsys_vae.second_stage import trees
from tests.recsys_vae.test_bundle_values import KNOWN, POPULAR, SHELVES, WORLD, change, refused
from tests.second_stages import NEEDS_LIGHTGBM, with_latest_first
from tests.worlds import untrained

pytestmark = NEEDS_LIGHTGBM
TABLE = pl.DataFrame({"item_id": WORLD.items.values, "year": np.arange(200) % 7, "kind": ["x", "y"] * 100})
FURTHER = "ranker-1.safetensors"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "b"
    measured = Provenance(metrics={"ndcg@100": 0.5}, metrics_on="split:strong/validation")
    write_bundle(
        path, untrained("ease", 200), WORLD.items, popularity=WORLD.item_counts(), provenance=measured,
        item_table=TABLE, shelves=SHELVES,
        tiers=Tiers(schema=KNOWN, segments=POPULAR),
    )  # fmt: skip
    return path


@pytest.fixture
def ranked(plain: Path, tmp_path: Path) -> Path:
    return with_latest_first(plain, tmp_path / "ranked", [untrained("mult-vae", 200)])


def test_it_comes_back_as_it_was(plain: Path, ranked: Path) -> None:
    old, new = read_manifest(plain), read_manifest(ranked)
    verify_files(ranked, new)
    assert new.version != old.version
    assert new.files.keys() - old.files.keys() == {RANKER, TREES, FURTHER}
    assert plugins_of(new).keys() == {"lightgbm"}  # what a logged model needs installed
    assert plugins_of(old) == {}
    assert new.provenance.metrics_on == "split:strong/validation, before the second stage"
    found = Bundle.load(ranked).ranker
    assert found is not None
    assert list(found.candidates.columns.numbers) == ["popularity", "recent", "growth", "age", "year"]
    assert list(found.candidates.columns.shares) == ["kind"]
    [(name, model)] = found.candidates.further
    assert name == "mult-vae"
    histories = WORLD.matrix[:3]
    as_made = untrained("mult-vae", 200)
    as_made.load_tensors(as_made.tensors())  # layers that were taken over sum in another order
    np.testing.assert_array_equal(model.score(histories), as_made.score(histories))
    assert found.trees.score(np.zeros((1, found.trees.n_features), np.float32)).tolist() == [0]


def test_another_second_stage_takes_its_place(ranked: Path) -> None:
    with_latest_first(ranked, ranked, depth=5)
    found = Bundle.load(ranked).ranker
    assert found is not None
    assert (found.candidates.depth, found.candidates.further) == (5, [])
    assert not (ranked / FURTHER).exists()
    assert read_manifest(ranked).provenance.metrics_on.count("second stage") == 1


def test_what_a_bundle_counts_of_items_is_finite_but_for_the_age_of_what_nobody_touched() -> None:
    windows = replace(SHELVES.lists.windows, ages=np.where(np.arange(200) == 3, -1, 2).astype(np.float32))  # type: ignore[type-var]
    found = counted_columns(replace(SHELVES.lists, windows=windows), WORLD.item_counts().astype(np.float32))
    assert np.flatnonzero(np.isnan(found["age"])).tolist() == [3]
    assert all(np.isfinite(found[name]).all() for name in ("popularity", "recent", "growth"))
    assert np.exp(found["popularity"]).sum() == pytest.approx(1)


def rewritten(path: Path, **changed: Any) -> None:
    (path / RANKER).write_text(json.dumps(json.loads((path / RANKER).read_text()) | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth": 0}, "a number from 1"),
        ({"depth": True}, "a number from 1"),
        ({"numbers": ["year"]}, "these columns and models give"),
        ({"numbers": ["popularity", "recent", "growth", "age", "kind"]}, "holds no numbers"),
        ({"values": ["colour"]}, "no column 'colour'"),
        ({"values": 3}, "as names"),
        ({"numbers": ["recent", "popularity", "growth", "age", "year"]}, "these columns and models give"),
        ({"has_position": 1}, "true or false"),
        ({"models": [{}]}, "There is no 'model'"),
        ({"models": [{"model": 1, "settings": {}, "version": ""}]}, "Expected a model's name"),
        ({"models": [{"model": "ease", "settings": {}, "version": ""}]}, "contradicts its manifest"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(ranked: Path, changed: dict[str, Any], message: str) -> None:
    rewritten(ranked, **changed)
    assert message in refused(ranked)


def test_names_that_a_newer_version_may_write_are_said_to_be_such(ranked: Path) -> None:
    rewritten(ranked, objective="listwise")
    write_manifest(ranked, replace(read_manifest(ranked), files=file_hashes(ranked)))
    with pytest.raises(BundleVersionError, match="objective"):
        Bundle.load(ranked)


def test_damaged_trees_weights_and_tables_are_refused(ranked: Path) -> None:
    text, weights = (ranked / TREES).read_text(), load_file(ranked / FURTHER)
    (ranked / TREES).write_text(text.replace("left_child=-1", "left_child=7"))
    assert "make no tree" in refused(ranked)
    (ranked / TREES).write_text(text[: len(text) // 2])
    assert "end of trees" in refused(ranked)
    (ranked / TREES).write_text(text)
    name = min(weights)
    change(ranked / FURTHER, **{name: np.full_like(weights[name], np.nan)})
    assert "not finite" in refused(ranked)
    change(ranked / FURTHER, **weights)
    pl.read_parquet(ranked / ITEMS).drop("year").write_parquet(ranked / ITEMS)
    assert "no column 'year'" in refused(ranked)


def test_without_lightgbm_a_bundle_with_a_second_stage_says_what_to_install(
    plain: Path, ranked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.setattr(trees, "lightgbm", Deferred("lightgbm"))
    with pytest.raises(MissingExtraError, match=r"recsys-vae\[ranker\]"):
        Bundle.load(ranked)
    assert Bundle.load(plain).ranker is None


def test_models_that_need_more_than_histories_stand_first_or_nowhere() -> None:
    check_further("it", untrained("ease", 12))
    for name in ("sasrec", "conditional-vae"):
        with pytest.raises(DataError, match="go by histories alone"):
            check_further("it", untrained(name, 12))
