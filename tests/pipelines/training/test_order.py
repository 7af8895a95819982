"""A model that goes by order, from a split to lists."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pipelines.artifacts import pyfunc_model
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import taste_of
from pipelines.dataset.histories import read_histories
from pipelines.dataset.order import OrderInShards, read_order
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import measure_served
from pipelines.recommend import embed_users, recommend_all
from pipelines.training.fit import ModelSpec
from pipelines.training.publish import publish_bundle
from pipelines.training.train import Output, train_bundle
from pipelines.updating.update import course_of, update_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import liked
from recsys_vae.errors import DataError
from recsys_vae.evaluation.splits import HeldOut, order_of
from recsys_vae.models import catalog
from recsys_vae.recommender import FallbackChain
from recsys_vae.training.config import TrainingConfig
from tests.pipelines import logs_of_tastes
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.pipelines.updating.test_update_of_dislikes import ingested
from tests.worlds import SMALL

TRAINING = TrainingConfig(epochs=2, batch_size=16, learning_rate=0.01, device="cpu")
SASREC = ModelSpec("sasrec", SMALL["sasrec"], TRAINING)
BLEND = ModelSpec(
    "blend",
    catalog.configure("blend", {"autoencoder": "sasrec", "autoencoder.width": 8, "linear.l2": 1.0, "weight": 0.4}),
    TRAINING,
)


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def without_order(dataset: DatasetDir, share: float = 1.0) -> None:
    frame = pl.read_parquet(dataset.interactions_path)
    lost = pl.int_range(pl.len()) < share * pl.len()
    changed = frame.with_columns(pl.when(lost).then(None).otherwise("timestamp").alias("timestamp"))
    changed.write_parquet(dataset.interactions_path)


def times(dataset: DatasetDir, part: HeldOut, items: pl.Series) -> list[list[object]]:
    """Times of each user's shown items, in the order that the part says."""
    assert part.order is not None
    table = dataset.interactions().select("user_id", "item_id", "timestamp").collect()
    known = {(user, item): time for user, item, time in table.iter_rows()}
    found = []
    for row, user in enumerate(part.users.values):
        ours = part.order[[row]]
        by_place = np.argsort(ours.data)
        found.append([known[user, items[int(item)]] for item in ours.indices[by_place]])
    return found


@pytest.mark.parametrize("protocol", ["strong", "temporal", "last-out"])
def test_splits_keep_the_order_of_every_history(dataset: DatasetDir, protocol: str) -> None:
    options = {"heldout": 10, "min_items": 4} if protocol == "strong" else {}
    assert all("order" in sizes for sizes in make_split(dataset, recipe(protocol, **options)).sizes.values())
    split = load_split(dataset, protocol)
    assert split.train_order is not None
    assert split.train_order.nnz == split.train.matrix.nnz
    for part in (split.validation, split.test):
        for one in times(dataset, part, split.train.items.values):
            assert one == sorted(one)  # type: ignore[type-var]
    assert (split.refit is None) == (split.refit_order is None)


def test_a_split_of_the_given_protocol_keeps_it_too(mlflow_home: Path) -> None:
    frame = logs_of_tastes.frame(20)
    found = logs_of_tastes.dataset(mlflow_home / "datasets" / "given", frame, frame[::5].select("user_id", "item_id"))
    make_split(found, recipe("given", validation=0.4))
    split = load_split(found, "given")
    assert split.refit_order is not None
    assert split.refit is not None
    assert split.refit_order.nnz == split.refit.matrix.nnz
    for one in times(found, split.test, split.train.items.values):
        assert one == sorted(one)  # type: ignore[type-var]


def test_without_times_there_is_no_order_and_that_is_said(dataset: DatasetDir, tmp_path: Path) -> None:
    without_order(dataset)
    assert not any(
        "order" in sizes for sizes in make_split(dataset, recipe("strong", heldout=10, min_items=4)).sizes.values()
    )
    assert load_split(dataset, "strong").train_order is None
    with pytest.raises(DataError, match=r"sasrec goes by the order .* recsys split tastes --protocol strong"):
        train_bundle(dataset, "strong", SASREC, Output(tmp_path / "bundle"), resume=False)


def test_a_few_rows_without_a_time_count_as_the_oldest(dataset: DatasetDir) -> None:
    without_order(dataset, 2 / 240)
    places = read_order(dataset)
    frame = pl.read_parquet(dataset.interactions_path).head(2)
    user = places.users.rows(frame["user_id"])[0]
    first = places.matrix[[user]]
    oldest = set(first.indices[first.data <= 2].tolist())
    assert oldest == set(places.items.rows(frame["item_id"]).tolist())
    without_order(dataset, 0.5)
    with pytest.raises(DataError, match="has no order"):
        read_order(dataset)


@pytest.mark.parametrize("spec", [SASREC, BLEND], ids=["sasrec", "blend"])
def test_from_a_split_to_lists(dataset: DatasetDir, tmp_path: Path, spec: ModelSpec) -> None:
    output = Output(tmp_path / "bundle", registered_name="tastes")
    trained = train_bundle(dataset, "strong", spec, output, resume=False)
    bundle, split = Bundle.load(output.path), load_split(dataset, "strong")
    served = measure_served(bundle, split.validation, ["ndcg@100"])
    assert served.means["ndcg@100"] == pytest.approx(trained.evaluation.means["ndcg@100"])
    shipped = replace(output, path=tmp_path / "shipped")
    publish_bundle(output.path, dataset, shipped, resume=False)
    published = Bundle.load(shipped.path)
    report = recommend_all(published, dataset, tmp_path / "lists.parquet", k=3, chunk=7)
    assert report.users == 60
    chain, places = FallbackChain(published), read_order(dataset)
    answers = chain.recommend(_ones(places), 3, order=places.matrix)
    listed = pl.read_parquet(tmp_path / "lists.parquet").sort("user_id", "rank")
    assert listed["item_id"].to_list() == published.items.values.gather(answers.rows.ravel()).to_list()


@pytest.mark.parametrize("rows", [1, 40, 10_000])
@pytest.mark.parametrize("chunk", [3, 100])
def test_places_in_shards_are_those_of_all_at_once(mlflow_home: Path, rows: int, chunk: int) -> None:
    shop = ingested(mlflow_home)  # events that are repeated, and some that speak against an item
    whole, items, order = read_order(shop), taste_of(shop).liked.items, OrderInShards(shop, rows)
    n_users = 0
    for part in read_histories(shop, items, chunk, IdMap.from_values([*whole.users.values, "zz", "aa"])):
        likes, users = liked(part.histories), IdMap(part.users)
        found = order.of(likes, users, items)
        assert found.nnz == likes.nnz
        if likes.nnz:
            assert (found != order_of(likes, users, items, whole)).nnz == 0
        assert order.held_rows < 40 + rows
        n_users += len(users)
    assert n_users == whole.n_users + 2


def _ones(places):  # type: ignore[no-untyped-def]
    return places.binarised().matrix


def test_lists_of_requests_are_those_of_the_order_given(dataset: DatasetDir, tmp_path: Path) -> None:
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(dataset, "strong", SASREC, output, resume=False)
    bundle = Bundle.load(output.path)
    chain, ids = FallbackChain(bundle), bundle.items.values.to_list()
    forth, back = (pyfunc_model.recommend(chain, pd.DataFrame({"history": [h]})) for h in (ids[:3], ids[2::-1]))
    assert not np.allclose(sorted(forth["scores"][0]), sorted(back["scores"][0]))
    assert embed_users(bundle, dataset, tmp_path / "users.parquet") == 60


def test_a_bundle_goes_on_with_what_came_in(dataset: DatasetDir, tmp_path: Path) -> None:
    everything = pl.read_parquet(dataset.interactions_path)
    everything.filter(pl.col("timestamp") < everything["timestamp"].max()).write_parquet(dataset.interactions_path)
    make_split(dataset, recipe("strong", heldout=10, min_items=3, fold_in=0.5))
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(dataset, "strong", SASREC, output, resume=False)
    shipped = replace(output, path=tmp_path / "shipped")
    publish_bundle(output.path, dataset, shipped, resume=False)
    everything.write_parquet(dataset.interactions_path)
    updated = replace(output, path=tmp_path / "updated")
    update_bundle(course_of(shipped.path, dataset), updated)
    assert Bundle.load(updated.path).manifest.provenance.lineage["how"] == "warm"
