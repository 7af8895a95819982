"""What stands beside a model comes along when `recsys publish` and `recsys update` make the bundle again."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from pipelines.training.repeats import learn_repeats
from recsys_vae.bundles.additions import with_ranker
from recsys_vae.bundles.bundle import REPEAT, Bundle
from recsys_vae.bundles.manifest import verify_files
from recsys_vae.bundles.second_stage import ModelPart, counted_columns
from recsys_vae.errors import BundleError
from recsys_vae.models.edlae import EDLAE
from recsys_vae.recommender import FallbackChain
from tests.pipelines import logs_of_tastes
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.second_stages import NEEDS_LIGHTGBM, candidates_of, latest_first

pytestmark = NEEDS_LIGHTGBM


def log(n_users: int) -> pl.DataFrame:
    """The log of two tastes, from the 60th user on two months later; some come back to what they touched first."""
    user = pl.col("user_id")
    late = pl.when(user >= "u060").then(pl.duration(days=60)).otherwise(pl.duration(days=0))
    once = logs_of_tastes.frame(70).filter(user < f"u{n_users:03}").with_columns(pl.col("timestamp") + late)
    again = once.filter(pl.int_range(pl.len()).over("user_id") < 1 + pl.col("user_id").str.slice(1).cast(int) % 3)
    return pl.concat([once, again.with_columns(pl.col("timestamp") + pl.duration(days=30))])


def write(dataset: DatasetDir, n_users: int) -> None:
    """As ingest keeps it."""
    events, pair = log(n_users), ["user_id", "item_id"]
    latest = events.sort("timestamp").unique(pair, keep="last", maintain_order=True).sort(pair)
    latest.write_parquet(dataset.interactions_path)
    repeated = events.filter(pl.len().over(pair) > 1)
    repeated.sort(*pair, "timestamp").write_parquet(dataset.repeats_path)


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    made = dataset_of_tastes(mlflow_home / "datasets" / "tastes", 70)
    write(made, 60)
    make_split(made, recipe("strong", heldout=10, min_items=4, fold_in=0.5))
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def recsys(*arguments: str) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    return done.output


@pytest.fixture
def measured(dataset: DatasetDir, tmp_path: Path) -> Path:
    """Of EASE, with a head and a second stage over two further models, one of them trained by gradient."""
    trained = {
        "ease": ("--set", "l2=20"),
        "edlae": ("--set", "l2=30"),
        "mult-dae": ("--set", "hidden=6", "--epochs", "2", "--batch-size", "16"),
    }
    for name, options in trained.items():
        recsys("train", str(dataset.path), "--model", name, *options, "--to", str(tmp_path / name))
    first, *others = (Bundle.load(tmp_path / name) for name in trained)
    found = latest_first(candidates_of(first, [one.model for one in others]), "popularity")
    to = tmp_path / "measured"
    with_ranker(tmp_path / "ease", to, found, [ModelPart.of(one.manifest) for one in others])
    recsys("learn-repeats", str(to), str(dataset.path), "--to", str(to))
    return to


def check(made: Path, measured: Path, dataset: DatasetDir) -> Bundle:
    """It has all that the measured one had, of what the dataset holds now."""
    old, new, everything = Bundle.load(measured), Bundle.load(made), encode(dataset.interactions())
    verify_files(made, new.manifest)
    assert new.ranker is not None
    assert old.ranker is not None
    assert str(new.ranker.trees) == str(old.ranker.trees)
    assert new.ranker.candidates.names == old.ranker.candidates.names
    assert [name for name, _ in new.ranker.candidates.further] == ["edlae", "mult-dae"]
    wanted = EDLAE(everything.n_items, old.ranker.candidates.further[0][1].config)  # type: ignore[attr-defined]
    wanted.fit(everything.matrix)
    found = new.ranker.candidates.further[0][1].score(everything.matrix)
    np.testing.assert_allclose(found, wanted.score(everything.matrix), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(new.popularity, everything.item_counts())
    counted = counted_columns(new.shelves.lists, new.popularity)
    assert counted.keys() == {"popularity", "recent", "growth", "age"}
    for name, values in counted.items():
        np.testing.assert_array_equal(new.ranker.candidates.columns.numbers[name], values)
    assert [(part.epochs > 0, bool(part.training)) for part in new.ranker_parts] == [(False, False), (True, True)]
    assert {part.learned_from for part in new.ranker_parts} == {everything.fingerprint()}
    learned = learn_repeats(dataset, new)
    assert new.repeat is not None
    assert new.manifest.provenance.repeat_cutoff == learned.cutoff
    for name, tensor in learned.head.tensors().items():
        np.testing.assert_array_equal(new.repeat.tensors()[name], tensor)
    assert FallbackChain(new).scorer == "ranker"
    return new


def test_publish_keeps_head_and_second_stage(dataset: DatasetDir, measured: Path, tmp_path: Path) -> None:
    said = recsys("publish", str(measured), str(dataset.path), "--to", str(tmp_path / "shipped"))
    assert "head learned again from" in said
    new = check(tmp_path / "shipped", measured, dataset)
    parent = Bundle.load(measured).manifest
    assert new.manifest.provenance.metrics_on == f"split:strong/test, by {parent.version}"
    assert "lightgbm" in new.manifest.libraries
    bare = tmp_path / "bare"
    recsys("publish", str(measured), str(dataset.path), "--to", str(bare), "--drop-ranker", "--drop-repeats")
    assert Bundle.load(bare).ranker is None
    assert Bundle.load(bare).repeat is None


def test_update_keeps_head_and_second_stage(dataset: DatasetDir, measured: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    recsys("publish", str(measured), str(dataset.path), "--to", str(shipped))
    write(dataset, 70)
    said = recsys("update", str(shipped), str(dataset.path), "--to", str(tmp_path / "next"))
    assert "head learned again from" in said
    new = check(tmp_path / "next", measured, dataset)
    assert new.manifest.lineage["parent"] == Bundle.load(shipped).version
    assert "is that update already" in recsys("update", str(shipped), str(dataset.path), "--to", str(tmp_path / "next"))
    done = run("update", str(shipped), str(dataset.path), "--to", str(tmp_path / "bare"), "--drop-ranker")
    assert done.exit_code == 0, done.output
    assert Bundle.load(tmp_path / "bare").ranker is None
    assert Bundle.load(tmp_path / "bare").repeat is not None


def test_a_second_stage_that_cannot_be_kept_is_refused_before_anything_is_computed(
    dataset: DatasetDir, measured: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(measured)
    assert bundle.ranker is not None
    old = [ModelPart(part.model, part.settings, part.version) for part in bundle.ranker_parts]
    with_ranker(measured, tmp_path / "old", bundle.ranker, old)
    done = run("publish", str(tmp_path / "old"), str(dataset.path), "--to", str(tmp_path / "b"))
    assert isinstance(done.exception, BundleError)
    assert "how its mult-dae was trained" in str(done.exception)
    assert "--drop-ranker" in str(done.exception)
    table = pl.read_parquet(dataset.items_path)
    years = table.with_columns(year=pl.int_range(pl.len()))
    years.write_parquet(dataset.items_path)
    for path in ("ease", "edlae"):
        recsys("train", str(dataset.path), "--model", path, "--to", str(tmp_path / path), "--overwrite")
    with_year = latest_first(candidates_of(Bundle.load(tmp_path / "ease")), "year")
    with_ranker(tmp_path / "ease", tmp_path / "year", with_year, [])
    table.write_parquet(dataset.items_path)
    done = run("publish", str(tmp_path / "year"), str(dataset.path), "--to", str(tmp_path / "b"))
    assert "no column 'year'" in str(done.exception)
    assert not (tmp_path / "b").exists()


def test_trees_do_not_forget(dataset: DatasetDir, measured: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.txt").write_text("u000\n")
    asked = ("update", str(measured), str(dataset.path), "--to", str(tmp_path / "b"), "--erase")
    done = run(*asked, str(tmp_path / "gone.txt"))
    assert "who are to be forgotten" in str(done.exception)
    recsys(*asked, str(tmp_path / "gone.txt"), "--drop-ranker")
    without = learn_repeats(dataset, Bundle.load(measured), Bundle.load(measured).items)
    found = Bundle.load(tmp_path / "b").repeat
    assert found is not None
    assert not np.array_equal(found.tensors()["rates"], without.head.tensors()["rates"])


def test_a_head_stays_where_nothing_can_be_learned(dataset: DatasetDir, measured: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    dropped = ("--drop-ranker",)
    recsys("publish", str(measured), str(dataset.path), "--to", str(shipped), *dropped)
    dataset.repeats_path.unlink()
    more = log(64).filter(pl.col("user_id") > "u059").unique(["user_id", "item_id"], keep="first", maintain_order=True)
    more = more.with_columns(item_id=pl.col("item_id").replace("i003", "z"))
    pl.concat([pl.read_parquet(dataset.interactions_path), more]).write_parquet(dataset.interactions_path)
    said = recsys("update", str(shipped), str(dataset.path), "--to", str(tmp_path / "next"))
    assert "head stays as it was: Nobody bought anything again" in said
    old, new = Bundle.load(shipped), Bundle.load(tmp_path / "next")
    assert old.repeat is not None
    assert new.repeat is not None
    assert REPEAT in new.manifest.files
    rows = old.items.rows(new.items.values)
    before, after = old.repeat.tensors()["rates"], new.repeat.tensors()["rates"]
    np.testing.assert_array_equal(after[rows >= 0], before[rows[rows >= 0]])
    assert after[rows < 0] == pytest.approx(before.mean())
    assert new.manifest.provenance.repeat_cutoff == old.manifest.provenance.repeat_cutoff
