import json
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split, read_manifest
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.evaluation.splits import PROTOCOLS
from tests.pipelines.logs_of_tastes import dataset, frame


@pytest.fixture
def tastes(tmp_path: Path) -> DatasetDir:
    log = frame()
    return dataset(tmp_path / "tastes", log, log.select("user_id", "item_id").gather_every(4))


def test_without_any_split_the_command_that_makes_one_is_named(tastes: DatasetDir) -> None:
    with pytest.raises(
        ConfigError, match=r"no split yet, so none named 'temporal'.*recsys split tastes --protocol strong"
    ):
        read_manifest(tastes, "temporal")


OPTIONS: dict[str, dict[str, float]] = {"strong": {"min_items": 2, "heldout": 10}, "given": {"validation": 0.34}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_loaded_is_what_was_cut(tastes: DatasetDir, protocol: str) -> None:
    chosen = recipe(protocol, **OPTIONS.get(protocol, {}))
    cut = chosen.cut(tastes)
    manifest = make_split(tastes, chosen)
    loaded = load_split(tastes, protocol)
    assert loaded.train.fingerprint() == cut.train.fingerprint()
    assert (loaded.refit is None) == (cut.refit is None)
    assert loaded.training_part.fingerprint() == cut.training_part.fingerprint()
    for part in ("validation", "test"):
        found, expected = loaded.part(part), cut.part(part)
        assert found.users == expected.users
        assert (found.histories != expected.histories).nnz == (found.targets != expected.targets).nnz == 0
        assert found.overlap() == 0
        assert manifest.sizes[part]["targets"] == found.targets.nnz > 0
        assert manifest.sizes[part]["users"] == np.count_nonzero(np.diff(found.targets.indptr))
    assert loaded.counts == manifest.counts == cut.counts
    assert loaded.notes == manifest.notes == cut.notes
    assert loaded.windows == cut.windows
    assert bool(loaded.windows) == (protocol == "temporal")
    assert loaded.protocol == protocol


def test_users_of_a_split_are_those_who_are_asked(tmp_path: Path) -> None:
    """Held-out users with one known item have nothing to predict: they are counted, and not among the users."""
    log = frame(100)
    one_item = log.filter(pl.col("user_id") < "u050").group_by("user_id").first().select(log.columns)
    others = log.filter(pl.col("user_id") >= "u050")
    found = dataset(tmp_path / "few", pl.concat([one_item, others]))
    manifest = make_split(found, recipe("strong", min_items=1, heldout=20))
    for part in ("validation", "test"):
        left_out = manifest.counts[f"{part}_users_without_targets"]
        assert left_out > 0
        assert manifest.sizes[part]["users"] == 20 - left_out


def test_arrays_are_mapped_and_writing_to_them_leaves_the_files_alone(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("strong", min_items=2))
    first = load_split(tastes, "strong").train.matrix
    assert isinstance(_root(first.data), np.memmap)
    first.data[:] = 7
    assert set(load_split(tastes, "strong").train.matrix.data) == {1.0}


def test_the_manifest_tells_how_it_was_made(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("temporal", validation_from=datetime(2024, 1, 5), test_from=datetime(2024, 1, 8)), "jan")
    content = json.loads((tastes.split_path("jan") / "split.json").read_text())
    assert content["recipe"]["protocol"] == "temporal"
    assert content["recipe"]["test_from"].startswith("2024-01-08")
    assert content["dataset"] == "tastes"
    assert tastes.splits() == ["jan"]
    assert read_manifest(tastes, "jan").sizes["train"]["users"] == load_split(tastes, "jan").train.n_users


def test_an_unknown_split_is_named_with_those_that_exist(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("strong", min_items=2))
    with pytest.raises(UnknownNameError, match="Did you mean 'strong'"):
        load_split(tastes, "strnog")
    with pytest.raises(UnknownNameError):
        load_split(tastes, "../../tastes/splits/strong")


def test_other_content_under_the_same_name_makes_a_split_stale(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("last-out"))
    frame().head(-1).write_parquet(tastes.interactions_path)
    with pytest.raises(DataError, match="recsys split tastes --protocol last-out --name last-out"):
        load_split(tastes, "last-out")


def test_the_same_content_written_again_does_not(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("last-out"))
    frame().write_parquet(tastes.interactions_path, compression="uncompressed", row_group_size=17)
    assert load_split(tastes, "last-out").protocol == "last-out"


def test_a_damaged_split_says_so(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("last-out"))
    path = tastes.split_path("last-out") / "test" / "targets" / "indices.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="Make it again"):
        load_split(tastes, "last-out")
    path.unlink()
    with pytest.raises(DataError, match="damaged"):
        load_split(tastes, "last-out")


@pytest.mark.parametrize("text", ["{", '{"format": 99}', '{"format": 1}', "[]"])
def test_an_unreadable_manifest_says_so(tastes: DatasetDir, text: str) -> None:
    make_split(tastes, recipe("last-out"))
    (tastes.split_path("last-out") / "split.json").write_text(text)
    with pytest.raises(DataError, match="Make it again"):
        load_split(tastes, "last-out")


def test_a_failed_split_leaves_the_old_one(tastes: DatasetDir) -> None:
    make_split(tastes, recipe("strong", min_items=2), "mine")
    before = read_manifest(tastes, "mine")
    with pytest.raises(ConfigError):
        make_split(tastes, recipe("strong", heldout=30, min_items=2), "mine")
    assert read_manifest(tastes, "mine") == before
    assert [path.name for path in (tastes.path / "splits").iterdir()] == ["mine"]


def test_a_name_is_no_path(tastes: DatasetDir) -> None:
    with pytest.raises(ConfigError, match="cannot name a split"):
        make_split(tastes, recipe("last-out"), "../elsewhere")


def test_given_needs_a_published_test_part(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="given_test"):
        make_split(dataset(tmp_path / "plain", frame()), recipe("given"))


def test_temporal_needs_times(tmp_path: Path) -> None:
    timeless = frame().with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC")))
    with pytest.raises(DataError, match="240 of 240 rows are of pairs without one"):
        make_split(dataset(tmp_path / "timeless", timeless), recipe("temporal"))


def _root(array: np.ndarray) -> object:
    while not isinstance(array, np.memmap) and isinstance(array.base, np.ndarray):
        array = array.base
    return array
