"""`recsys update` on a small dataset that grows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.training.train import Output
from pipelines.updating.erasure import NOBODY, without
from pipelines.updating.update import course_of, default_output, stands, update_bundle
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.item_lists import ItemLists, ListRules
from recsys_vae.bundles.lineage import Lineage
from recsys_vae.bundles.manifest import Provenance, read_manifest
from recsys_vae.bundles.shelves import Shelves
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BundleError, ConfigError, EmptyDataError, UnknownNameError
from recsys_vae.models import catalog, linear_update
from recsys_vae.protocols import ClosedFormRecommender
from recsys_vae.training.tracking import connect
from tests.pipelines import logs_of_tastes
from tests.pipelines.logs_of_tastes import START
from tests.worlds import SMALL

HOURS = 240
"""Hours that the log lasts; its users are spread over all of them."""


@pytest.fixture(autouse=True)
def _low_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_update, "WORTH_IT", np.inf)


def log(hours: int = HOURS) -> pl.DataFrame:
    """Its first hours; an item and some users come in the last ones only."""
    everything = logs_of_tastes.frame(60)
    late = pl.col("timestamp") >= START + pl.duration(hours=200)
    user, item = pl.col("user_id"), pl.col("item_id")
    everything = everything.filter(late | ~user.is_in(["u003", "u008"])).filter(late | (item != "i005"))
    return everything.filter(pl.col("timestamp") < START + pl.duration(hours=hours))


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return logs_of_tastes.dataset(mlflow_home / "datasets" / "tastes", log(180))


def grow(dataset: DatasetDir, hours: int = HOURS) -> None:
    log(hours).write_parquet(dataset.interactions_path)


def fitted(name: str, interactions: Interactions) -> ClosedFormRecommender:
    model = catalog.create(name, interactions.n_items, SMALL[name])
    assert isinstance(model, ClosedFormRecommender)
    model.fit(interactions.matrix)
    return model


def published(dataset: DatasetDir, path: Path, name: str = "ease") -> Path:
    """As `recsys publish` writes it."""
    everything = encode(dataset.interactions())
    told = Provenance(
        dataset=dataset.name,
        dataset_fingerprint=everything.fingerprint(),
        trained_on="all",
        training_cutoff=dataset.latest(),
        metrics={"ndcg@100": 0.5},
        metrics_on="split:strong/test, by ease-0",
    )
    model = fitted(name, everything)
    write_bundle(path, model, everything.items, popularity=everything.item_counts(), provenance=told)
    return path


def updated(source: Path, dataset: DatasetDir, to: Path, erased: IdMap = NOBODY) -> Bundle:
    course = course_of(source, dataset, erased=erased)
    update_bundle(course, Output(to, registered_name="tastes"))
    return Bundle.load(to)


def assert_equals_fit(bundle: Bundle, interactions: Interactions) -> None:
    assert bundle.items == interactions.items
    np.testing.assert_array_equal(bundle.popularity, interactions.item_counts())
    wanted = fitted(bundle.manifest.model, interactions)
    np.testing.assert_allclose(
        bundle.model.score(interactions.matrix), wanted.score(interactions.matrix), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["ease", "edlae", "popularity", "graph-filter", "ials"])
def test_an_updated_bundle_is_that_of_all_data_and_says_where_it_comes_from(
    dataset: DatasetDir, tmp_path: Path, name: str
) -> None:
    source = published(dataset, tmp_path / "shipped", name)
    parent = read_manifest(source)
    grow(dataset)
    bundle = updated(source, dataset, tmp_path / "next")
    if name not in ("graph-filter", "ials"):
        assert_equals_fit(bundle, encode(dataset.interactions()))
    provenance = bundle.manifest.provenance
    assert (provenance.trained_on, provenance.training_cutoff) == ("all", dataset.latest())
    assert (provenance.metrics, provenance.metrics_on) == ({"ndcg@100": 0.5}, "split:strong/test, by ease-0")
    lineage = Lineage.of(bundle.manifest)
    assert lineage is not None
    assert lineage.parent == parent.version
    assert lineage.how == {"popularity": "refit", "graph-filter": "warm", "ials": "warm"}.get(name, "exact")
    assert lineage.updates_since_full == (0 if name == "popularity" else 1)
    assert (lineage.came_in["new_users"], lineage.came_in["new_items"]) == (11, 1)
    challenger = connect().get_model_version_by_alias("tastes", "challenger")
    assert challenger.tags["bundle"] == bundle.version


def test_lists_that_could_not_be_made_again_are_refused_before_anything_is_learned(
    dataset: DatasetDir, tmp_path: Path
) -> None:
    learned_from = encode(dataset.interactions())
    told = Provenance(dataset=dataset.name, dataset_fingerprint=learned_from.fingerprint(), trained_on="all")
    lists = Shelves(ItemLists(ListRules(bought=("purchase",))))
    write_bundle(
        tmp_path / "b", fitted("ease", learned_from), learned_from.items, popularity=learned_from.item_counts(),
        provenance=told, shelves=lists,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="--bought: no event to learn from is of the kinds purchase"):
        course_of(tmp_path / "b", dataset)


def test_updates_make_a_chain(dataset: DatasetDir, tmp_path: Path) -> None:
    source = published(dataset, tmp_path / "shipped")
    grow(dataset, 210)
    first = updated(source, dataset, default_output(source, read_manifest(source)))
    assert (tmp_path / "shipped-u1").is_dir()
    grow(dataset)
    again = default_output(tmp_path / "shipped-u1", first.manifest)
    second = updated(tmp_path / "shipped-u1", dataset, again)
    assert again == tmp_path / "shipped-u2"
    assert_equals_fit(second, encode(dataset.interactions()))
    lineage = Lineage.of(second.manifest)
    assert lineage is not None
    assert lineage.last_full == read_manifest(source).version
    assert list(lineage.chain) == [lineage.last_full, first.version]
    assert lineage.updates_since_full == 2


def test_an_erased_user_is_gone_as_if_never_seen_and_stays_gone(dataset: DatasetDir, tmp_path: Path) -> None:
    source = published(dataset, tmp_path / "shipped")
    gone = IdMap.from_values(["u000", "u001", "nobody"])
    first = updated(source, dataset, tmp_path / "first", gone)
    assert_equals_fit(first, without(encode(dataset.interactions()), gone))
    told = first.manifest.lineage["came_in"]
    assert (told["gone_users"], told["erased_users"]) == (2, 3)
    assert course_of(tmp_path / "first", dataset, erased=gone).counts.is_none
    grow(dataset)
    second = updated(tmp_path / "first", dataset, tmp_path / "second", gone)
    assert_equals_fit(second, without(encode(dataset.interactions()), gone))
    with pytest.raises(EmptyDataError, match="nothing left"):
        course_of(source, dataset, erased=encode(dataset.interactions()).users)


def test_a_bundle_of_a_split_follows_the_split(dataset: DatasetDir, tmp_path: Path) -> None:
    grow(dataset, 200)
    make_split(dataset, recipe("temporal", validation_from=START.replace(day=6), test_from=START.replace(day=7)))
    train = load_split(dataset, "temporal").train
    source = tmp_path / "chosen"
    told = Provenance(
        dataset=dataset.name, dataset_fingerprint=train.fingerprint(), trained_on="split:temporal/train",
        training_cutoff=dataset.latest(before=load_split(dataset, "temporal").windows["validation"]),
    )  # fmt: skip
    write_bundle(source, fitted("ease", train), train.items, popularity=train.item_counts(), provenance=told)
    grow(dataset)
    make_split(dataset, recipe("temporal", validation_from=START.replace(day=9), test_from=START.replace(day=10)))
    bundle = updated(source, dataset, tmp_path / "next")
    part = load_split(dataset, "temporal").training_part
    assert bundle.manifest.provenance.trained_on.startswith("split:temporal/")
    assert bundle.manifest.provenance.dataset_fingerprint == part.fingerprint()
    assert_equals_fit(bundle, part)


def test_what_was_learned_is_needed_as_it_was(dataset: DatasetDir, tmp_path: Path) -> None:
    source = published(dataset, tmp_path / "shipped")
    old = logs_of_tastes.dataset(tmp_path / "old", log(180))
    log().with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))).write_parquet(dataset.interactions_path)
    with pytest.raises(BundleError, match="--from"):
        course_of(source, dataset)
    assert course_of(source, dataset, before=old).counts.new_users == 11


def test_only_updates_are_replaced_and_a_repeated_one_is_recognised(dataset: DatasetDir, tmp_path: Path) -> None:
    source = published(dataset, tmp_path / "shipped")
    other = published(dataset, tmp_path / "other")
    grow(dataset)
    course = course_of(source, dataset)
    output = Output(tmp_path / "next", registered_name="tastes")
    assert not stands(output, course)
    update_bundle(course, output)
    assert stands(output, course)
    assert not stands(replace(output, path=other), course)


def run(*arguments: str | Path) -> str:
    found = CliRunner().invoke(build(), [str(argument) for argument in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_the_command_says_what_came_in_and_writes_nothing_where_there_is_nothing_to_do(
    dataset: DatasetDir, tmp_path: Path
) -> None:
    source = published(dataset, tmp_path / "shipped")
    assert "Nothing came in" in run("update", source, "tastes")
    grow(dataset)
    told = run("update", source, "tastes", "--dry-run")
    assert "11 users came in" in told
    assert "1 items came in" in told
    assert "how exact, rank" in told
    assert not (tmp_path / "shipped-u1").exists()
    told = run("update", source, "tastes")
    assert "1 updates since" in told
    assert "alias challenger" in told
    assert "is that update already" in run("update", source, "tastes")
    for place in (source, published(dataset, tmp_path / "other")):
        with pytest.raises(ConfigError, match=r"bundle of `recsys update`|bundle itself"):
            run("update", source, "tastes", "--to", place, "--overwrite")


def test_a_log_in_place_of_the_dataset_is_appended_to_it_first(mlflow_home: Path, tmp_path: Path) -> None:
    early, late = tmp_path / "early.csv", tmp_path / "late.csv"
    log(180).write_csv(early)
    log().filter(pl.col("timestamp") >= START + pl.duration(hours=180)).write_csv(late)
    run("ingest", early, "--to", "tastes")
    grown = DatasetDir.open("tastes")
    source = published(grown, tmp_path / "shipped")
    with pytest.raises(ConfigError, match="--append --dry-run"):
        run("update", source, late, "--dry-run")
    told = run("update", source, late)
    assert "tastes: 1 logs taken" in told
    assert "11 users came in" in told
    assert_equals_fit(Bundle.load(tmp_path / "shipped-u1"), encode(grown.interactions()))
    with pytest.raises(UnknownNameError):
        run("update", source, "elsewhere")
