"""The verb learn-ranker, from bundles of a split to lists as a file and over HTTP."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines import cli
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.evaluation.evaluate import evaluate_bundle
from pipelines.recommend import recommend_all
from pipelines.training import beside
from pipelines.training.ranker import learn_ranker, with_trees_of
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import BundleError, EmptyDataError, RecsysError, SchemaError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.recommender import FallbackChain
from recsys_vae.second_stage.learning import LearningConfig
from service.app import create_app
from service.settings import Settings
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.second_stages import NEEDS_LIGHTGBM
from tests.worlds import untrained

pytestmark = NEEDS_LIGHTGBM
CONFIG = LearningConfig(leaves=3, least=2, most_trees=5, folds=2)


@pytest.fixture(scope="module")
def tastes(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    return dataset_of_tastes(tmp_path_factory.mktemp("datasets") / "tastes")


def bundle_of(tastes: DatasetDir, path: Path, model: str, trained_on: str = "split:strong/train") -> Path:
    train = load_split(tastes, "strong").train
    origin = Provenance(
        dataset="tastes", trained_on=trained_on, dataset_fingerprint=train.fingerprint(), n_users=train.n_users
    )
    write_bundle(path, untrained(model, train.n_items), train.items, popularity=train.item_counts(), provenance=origin)
    return path


@pytest.fixture(scope="module")
def first(tastes: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tastes, tmp_path_factory.mktemp("first") / "b", "mult-vae")


@pytest.fixture(scope="module")
def other(tastes: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tastes, tmp_path_factory.mktemp("other") / "b", "ease")


@pytest.fixture(scope="module")
def ranked(tastes: DatasetDir, first: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("ranked") / "b"
    said = recsys("learn-ranker", str(first), str(tastes.path), "--with", str(other), "--to", str(to))
    assert "users they have not seen" in said
    assert "warning: The trees learn from 10 users" in said
    return to


def recsys(*arguments: str) -> str:
    done = CliRunner().invoke(cli.build(), list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_batch_endpoint_and_evaluation_give_the_lists_of_one_bundle(
    tastes: DatasetDir, first: Path, ranked: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(ranked)
    chain, test = FallbackChain(bundle), load_split(tastes, "strong").test
    run = evaluate_bundle(ranked, tastes, "strong", others=[first], metrics=["ndcg@5"])
    assert run.results[0].label.endswith("(served)")
    assert run.results[1].label.endswith("(bare)")
    assert run.results[0].evaluation.means == evaluate(chain, test, ["ndcg@5"]).means
    recommend_all(bundle, tastes, tmp_path / "lists", k=5, chunk=7)
    lists = pl.read_parquet(tmp_path / "lists").partition_by("user_id", as_dict=True)
    histories = tastes.interactions().collect().partition_by("user_id", as_dict=True)
    with TestClient(create_app(Settings(bundle=ranked, store=f"sqlite:///{tmp_path / 'events.db'}"))) as client:
        for user, batch in list(lists.items())[:10]:
            sent = histories[user]["item_id"].to_list()
            answer = client.post("/v1/recommendations", json={"history": sent, "k": 5}).json()
            assert answer["scorer"] == "ranker"
            assert [item["item_id"] for item in answer["items"]] == batch["item_id"].to_list()


def test_what_it_has_learned_from_is_no_test(tastes: DatasetDir, ranked: Path) -> None:
    with pytest.raises(BundleError, match="has learned from the validation part"):
        evaluate_bundle(ranked, tastes, "strong", part="validation")


def test_a_dry_run_writes_nothing(tastes: DatasetDir, first: Path, tmp_path: Path) -> None:
    recsys("learn-ranker", str(first), str(tastes.path), "--to", str(tmp_path / "b"), "--dry-run")
    assert not (tmp_path / "b").exists()


def test_trees_move_to_the_same_models_of_all_data(tastes: DatasetDir, ranked: Path, tmp_path: Path) -> None:
    shipped, beside = (bundle_of(tastes, tmp_path / name, name, "all") for name in ("mult-vae", "ease"))
    to = tmp_path / "b"
    places = [str(path) for path in (shipped, tastes.path, beside, ranked, to)]
    recsys("learn-ranker", *places[:2], "--with", places[2], "--trees-of", places[3], "--to", places[4])
    old, new = Bundle.load(ranked).ranker, Bundle.load(to).ranker
    assert old is not None
    assert new is not None
    assert str(new.trees) == str(old.trees)
    with pytest.raises(BundleError, match="rank what mult-vae, ease find"):
        with_trees_of(Bundle.load(ranked), Bundle.load(beside), [Bundle.load(shipped)])
    with pytest.raises(BundleError, match="has no second stage"):
        with_trees_of(Bundle.load(shipped), Bundle.load(shipped), [])
    with pytest.raises(BundleError, match="learned from all data"):
        learn_ranker(Bundle.load(shipped), [], tastes, config=CONFIG)


def test_models_of_other_items_are_refused(tastes: DatasetDir, first: Path, tmp_path: Path) -> None:
    others = IdMap.from_values(f"x{number:02}" for number in range(12))
    write_bundle(
        tmp_path / "b", untrained("ease", 12), others, popularity=np.ones(12), provenance=Provenance()
    )  # fmt: skip
    with pytest.raises(BundleError):
        learn_ranker(Bundle.load(first), [Bundle.load(tmp_path / "b")], tastes, config=CONFIG)


def test_bundles_that_do_not_go_together_are_refused_before_any_training(
    tastes: DatasetDir, first: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "fit", None)

    def refused(*arguments: str | Path) -> str:
        places = map(str, (first, tastes.path, *arguments, "--train", "ease", "--to", tmp_path / "b"))
        with pytest.raises(RecsysError) as error:
            CliRunner().invoke(cli.build(), ["learn-ranker", *places], catch_exceptions=False)
        return str(error.value)

    elsewhere = bundle_of(tastes, tmp_path / "elsewhere", "ease", "split:given/refit")
    said = refused("--with", other, "--with", elsewhere)
    assert f"{elsewhere} was trained on split:given/refit" in said
    assert "recsys train tastes --split strong --model ease" in said
    order = bundle_of(tastes, tmp_path / "order", "sasrec")
    assert f"sasrec of {order} goes by the order" in refused("--with", order)
    few = shown(tastes, tmp_path / "shown.csv")
    pl.read_csv(few).filter(pl.col("user_id") == pl.col("user_id").first()).write_csv(few)
    assert "1 users have a list" in refused("--impressions", few)
    assert "cannot name a registered model" in refused("--register-as", "a/b")


def test_trees_of_few_users_and_trees_that_are_worse_are_told(tastes: DatasetDir, first: Path) -> None:
    learned = learn_ranker(Bundle.load(first), [], tastes, config=CONFIG)
    few = learned.cautions[0]
    assert few.startswith(f"The trees learn from {learned.users} users")
    many = replace(learned, users=30, before=0.85, after=0.7)
    assert many.cautions == [
        "The first stage alone is better for users that the trees have not seen (0.8500 against 0.7000): leave the "
        "second stage out."
    ]
    assert replace(many, after=0.85).cautions == []


def shown(tastes: DatasetDir, path: Path, *, with_position: bool = True) -> Path:
    """Everything that validation users do not have, in one list each; targets are taken, in first place always."""
    asked, items = load_split(tastes, "strong").validation, load_split(tastes, "strong").train.items
    rows = []
    for user, name in enumerate(asked.users.values.to_list()):
        targets = set(asked.targets[[user]].indices.tolist())
        rest = [row for row in range(len(items)) if row not in asked.histories[[user]].indices]
        for position, row in enumerate(sorted(rest, key=lambda row: row not in targets), start=1):
            rows.append((name, items.ids(np.array([row]))[0], 1.0 if row in targets else 0.0, "home", position))
    table = pl.DataFrame(rows, ["user_id", "item_id", "reward", "list_id", "position"], orient="row")
    (table if with_position else table.drop("position")).write_csv(path)
    return path


def test_impressions_teach_what_is_taken_and_their_position_stays_with_them(
    tastes: DatasetDir, first: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(first)
    path = shown(tastes, tmp_path / "shown.csv")
    learned = learn_ranker(bundle, [], tastes, impressions=path, config=CONFIG)
    assert learned.found == 1
    assert learned.pairs == pl.read_csv(path).height
    assert learned.ranker.candidates.names[-1] == "position"
    assert learned.after == 1  # the place alone tells what was taken
    # When lists are made all stand in one place, so it moves nothing.
    pairs = learned.ranker.candidates.of(FallbackChain(bundle).score(load_split(tastes, "strong").test.histories),
                                         load_split(tastes, "strong").test.histories)  # fmt: skip
    assert set(pairs.features[:, -1].tolist()) == {1.0}
    blind = learn_ranker(
        bundle, [], tastes, impressions=shown(tastes, tmp_path / "blind.csv", with_position=False), config=CONFIG
    )
    assert "position" not in blind.ranker.candidates.names


def test_impressions_that_do_not_fit_are_refused(tastes: DatasetDir, first: Path, tmp_path: Path) -> None:
    bundle, table = Bundle.load(first), pl.DataFrame({"user_id": ["nobody"], "item_id": ["i000"], "reward": [1]})
    table.write_csv(tmp_path / "a.csv")
    with pytest.raises(EmptyDataError, match="None of the 1 impressions"):
        learn_ranker(bundle, [], tastes, impressions=tmp_path / "a.csv", config=CONFIG)
    table.drop("reward").write_csv(tmp_path / "b.csv")
    with pytest.raises(SchemaError, match="no column reward"):
        learn_ranker(bundle, [], tastes, impressions=tmp_path / "b.csv", config=CONFIG)
