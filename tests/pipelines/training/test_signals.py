"""Signals from a log to a bundle, its figures and its batch: one rule of evidence all along."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import taste_of
from pipelines.dataset.histories import read_histories
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from pipelines.evaluation.evaluate import evaluate_bundle
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.recommend import recommend_all
from pipelines.training.fit import ModelSpec
from pipelines.training.publish import is_published_from, publish_bundle
from pipelines.training.train import Output, is_trained_as, train_bundle
from pipelines.updating.update import course_of
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import SignalRules, signed
from tests.worlds import SMALL

EASE = ModelSpec("ease", SMALL["ease"])
HALF_LIFE = 5.0


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    """Users who buy six items of their taste, some of them twice, and hide two of the other."""
    rng, rows = np.random.default_rng(0), []
    for user in range(40):
        own, other = (range(12), range(12, 24)) if user % 2 else (range(12, 24), range(12))
        for day, item in enumerate(rng.choice(own, 6, replace=False)):
            rows.append((f"u{user:02}", f"i{item:02}", "buy", day))
            rows += [(f"u{user:02}", f"i{item:02}", "buy", day + 9)] if day == 2 else []
        rows += [(f"u{user:02}", f"i{item:02}", "hide", 20) for item in rng.choice(other, 5, replace=False)]
    log = mlflow_home / "log.csv"
    lines = [f"{user},{item},{kind},{10**9 + 86_400 * day}" for user, item, kind, day in rows]
    log.write_text("user_id,item_id,event_type,timestamp\n" + "\n".join(lines) + "\n")
    made = DatasetDir(mlflow_home / "datasets" / "shop")
    ingest(Source((log,)), made, CleaningRules(event_weights=(("buy", 2.0),), dislikes=("hide",)))
    make_split(made, recipe("strong", heldout=8, fold_in=0.5))
    return made


def test_a_half_life_goes_from_training_to_figures_publishing_and_batch(dataset: DatasetDir, tmp_path: Path) -> None:
    chosen, shipped = Output(tmp_path / "chosen"), Output(tmp_path / "shipped")
    trained = train_bundle(dataset, "strong", EASE, chosen, resume=False, half_life=HALF_LIFE)
    wanted = SignalRules(dislikes=("hide",), event_weights=(("buy", 2.0),), half_life=HALF_LIFE)
    assert Bundle.load(chosen.path).signals == wanted
    assert is_trained_as(trained.manifest, dataset, "strong", EASE, chosen, half_life=HALF_LIFE)
    assert not is_trained_as(trained.manifest, dataset, "strong", EASE, chosen)
    run = evaluate_bundle(chosen.path, dataset, "strong", baselines=("ease:l2=7",))
    assert {"dislike@20", "recall@20"} <= set(run.metrics)
    published = publish_bundle(chosen.path, dataset, shipped, resume=False)
    assert Bundle.load(shipped.path).signals == wanted
    assert is_published_from(published.manifest, chosen.path, dataset)
    assert course_of(shipped.path, dataset).counts.is_none
    recommend_all(Bundle.load(shipped.path), dataset, tmp_path / "lists.parquet", k=24, keep_seen=True)
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert dataset.dislikes() is not None
    hidden = dataset.dislikes().collect()  # type: ignore[union-attr]
    assert lists.join(hidden, on=("user_id", "item_id")).is_empty()
    assert lists.height == 40 * 24 - hidden.height


@pytest.mark.parametrize("half_life", [math.inf, HALF_LIFE])
def test_a_batch_sees_what_training_saw(dataset: DatasetDir, half_life: float) -> None:
    liked, disliked = taste_of(dataset, half_life=half_life)
    chunks = list(read_histories(dataset, liked.items, 7, half_life=half_life))
    assert IdMap(pl.concat([chunk.users for chunk in chunks])) == liked.users
    found = np.concatenate([chunk.histories.toarray() for chunk in chunks])
    np.testing.assert_array_equal(found, signed(liked.matrix, disliked).toarray())
    assert found.max() <= 2.0
    assert (found < 0).sum() == 40 * 5


def test_users_who_only_dislike_are_known_too(dataset: DatasetDir) -> None:
    items = taste_of(dataset).liked.items
    table = pl.read_parquet(dataset.dislikes_path)
    pl.concat([table, table.head(1).with_columns(user_id=pl.lit("zz"))]).write_parquet(dataset.dislikes_path)
    [chunk] = list(read_histories(dataset, items, 50, IdMap.from_values(["zz"])))
    assert (chunk.histories.data < 0).all()
    assert chunk.histories.nnz == 1


def test_bundles_without_rules_say_nothing(tmp_path: Path, dataset: DatasetDir) -> None:
    plain = replace(dataset, path=tmp_path / "plain")
    log = tmp_path / "log.csv"
    dataset.interactions().select("user_id", "item_id").collect().write_csv(log)
    ingest(Source((log,)), plain, CleaningRules())
    make_split(plain, recipe("strong", heldout=8, fold_in=0.5))
    trained = train_bundle(plain, "strong", EASE, Output(tmp_path / "bundle"), resume=False)
    assert trained.manifest.signals == {}
    assert '"signals"' not in (tmp_path / "bundle" / "manifest.json").read_text()
    assert Bundle.load(tmp_path / "bundle").signals == SignalRules()
