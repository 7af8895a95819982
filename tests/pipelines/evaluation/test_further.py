"""What evaluate is asked besides: metrics beyond accuracy, groups of users, rules of re-ranking, impressions."""

import json
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.evaluation.evaluate import METRICS, evaluate_bundle
from pipelines.evaluation.further import Further, named_metrics
from pipelines.evaluation.impressions import read_impressions
from pipelines.evaluation.report import render
from pipelines.evaluation.results import as_json
from pipelines.evaluation.user_groups import groups_of
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, SchemaError, UnknownNameError
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.reranking.rules import Quota, Rules, parse_rules
from tests.pipelines.logs_of_tastes import dataset, frame


@pytest.fixture(scope="module")
def tastes(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    found = dataset(tmp_path_factory.mktemp("further") / "tastes", frame(200))
    users = [f"u{number:03}" for number in range(150)]
    pl.DataFrame(
        {"user_id": users, "sex": ["f", "m"] * 75, "age": [str(20 + n % 50) for n in range(150)]}
    ).write_parquet(found.users_path)
    make_split(found, recipe("strong", min_items=2, heldout=70))
    return found


@pytest.fixture(scope="module")
def bundle(tastes: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    train, path = load_split(tastes, "strong").train, tmp_path_factory.mktemp("bundles") / "ease"
    model = EASE(train.n_items, EASEConfig(l2=1.0))
    model.fit(train.matrix)
    origin = Provenance(dataset="tastes", dataset_fingerprint=train.fingerprint(), trained_on="split:strong/train")
    items = train.items.values
    table = pl.DataFrame(
        {
            "item_id": items,
            "genres": [[("a", "b")[place % 2]] for place in range(len(items))],
            "price": [1.0 + place for place in range(len(items))],
            "own": [place == 0 for place in range(len(items))],
        }
    )
    write_bundle(path, model, train.items, popularity=train.item_counts(), provenance=origin, item_table=table)
    return path


@pytest.fixture(scope="module")
def shown(tastes: DatasetDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of two items drawn evenly for the users who are asked; targets are clicked."""
    asked, rng = load_split(tastes, "strong").test, np.random.default_rng(0)
    items, n_items = asked.targets.shape[1], load_split(tastes, "strong").train.items
    rows = []
    for user, name in enumerate(asked.users.values.to_list()):
        for number in range(5):
            for item in rng.choice(items, 2, replace=False):
                clicked = float(asked.targets[user, item] > 0)
                rows.append((name, f"{name}-{number}", n_items.ids(np.array([item]))[0], 2 / items, clicked))
    path = tmp_path_factory.mktemp("shown") / "shown.csv"
    names = ["user_id", "list_id", "item_id", "propensity", "reward"]
    frame = pl.DataFrame([*rows, ("stranger", "x", "i000", 0.5, 1.0)], schema=names, orient="row")
    frame.write_csv(path)
    return path


def test_metrics_beyond_accuracy_come_with_errors_and_differences(tastes: DatasetDir, bundle: Path) -> None:
    names = ["recall@2", "value@2[price]", "recall@2[repeat]", "miscalibration@2[genres]", "gini@2"]
    run = evaluate_bundle(bundle, tastes, "strong", baselines=["popularity"], metrics=names)
    found = json.loads(json.dumps(as_json(run), allow_nan=False))["models"]["ease"]
    assert found["value@2[price]"]["standard_error"] > 0
    assert found["gini@2"]["standard_error"] > 0
    assert found["recall@2[repeat]"] == {"mean": None, "standard_error": None}  # targets are no repeats here
    assert {d.metric for d in run.differences} == {"recall@2", "value@2[price]", "miscalibration@2[genres]"}
    page = render(run)
    assert "nan" not in page.lower().replace("finan", "")
    assert "KL divergence of the list" in page


def test_beyond_stands_for_the_columns_with_several_values(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", metrics=["beyond"])
    assert run.metrics == [
        "gini@20", "popularity-lift@20", "diversity@20", "miscalibration@20[genres]", "diversity@20[genres]"
    ]  # fmt: skip
    assert named_metrics(["accuracy", "mrr"], METRICS, pl.DataFrame()) == METRICS


def test_the_cost_of_rules_is_a_difference(tastes: DatasetDir, bundle: Path) -> None:
    rules = Rules(quotas=(Quota(1, "own=true"),))
    run = evaluate_bundle(bundle, tastes, "strong", metrics=["recall@2", "mrr"], further=Further(rules=rules, k=2))
    assert [result.label for result in run.results] == ["ease", "ease (re-ranked)"]
    assert run.bare == 0
    cost = {d.metric: d.interval for d in run.differences}
    means = [result.evaluation.means["recall@2"] for result in run.results]
    assert cost["recall@2"].difference == pytest.approx(means[0] - means[1])
    assert cost["recall@2"].low > 0  # half of the users do not like the item that has to be there
    assert as_json(run)["rules"] == {"k": 2, "rules": "at least 1 of own=true"}
    assert "by rules: at least 1 of own=true" in render(run)


def test_groups_of_users_and_their_gap(tastes: DatasetDir, bundle: Path) -> None:
    run = evaluate_bundle(bundle, tastes, "strong", metrics=["recall@2", "mrr"], further=Further(by="sex"))
    groups = {group.name: group for group in run.groups["recall@2"]}
    assert groups.keys() == {"f", "m", "(unknown)"}
    assert sum(group.size for group in groups.values()) == run.ours.evaluation.n_users
    told = as_json(run)["groups"]
    assert (told["by"], told["metrics"]["mrr"][0]["group"]) == ("sex", run.groups["mrr"][0].name)
    assert "By sex of the users" in render(run)


def test_numbers_are_cut_into_groups(tastes: DatasetDir) -> None:
    users = IdMap.from_values([f"u{number:03}" for number in range(160)])
    found = groups_of(tastes, "age", users)
    assert found[155] is None
    assert len(set(found[:150])) == 5
    assert re.fullmatch(r"20\W\d\d", str(found[0]))
    with pytest.raises(UnknownNameError, match="Did you mean 'sex'"):
        groups_of(tastes, "sexe", users)


def test_what_lists_would_have_earned(tastes: DatasetDir, bundle: Path, shown: Path) -> None:
    further = Further(k=2, impressions=shown, rules=parse_rules([], ["1:own=true"], None))
    run = evaluate_bundle(bundle, tastes, "strong", baselines=["popularity"], metrics=["precision@2"], further=further)
    told = json.loads(json.dumps(as_json(run), allow_nan=False))["counterfactual"]
    assert (told["of_other_users"], told["of_unknown_items"], told["impressions"]) == (1, 0, 700)
    for result in run.results:
        # A click is a target in the list: what IPS estimates is the precision of the list.
        truth = result.evaluation.means["precision@2"]
        ips = told["models"][result.label]["ips"]
        assert abs(ips["mean"] - truth) < 4 * ips["standard_error"]
    assert told["models"]["popularity"]["dr"]["served_minus_this"]["low"] > 0
    assert "served_minus_this" not in told["models"]["ease"]["dr"]
    assert "What the lists would have earned" in render(run)


def test_estimates_from_too_little_are_warned_of(tastes: DatasetDir, bundle: Path, tmp_path: Path) -> None:
    asked = load_split(tastes, "strong").test.users.values
    path = tmp_path / "few.parquet"
    pl.DataFrame({"user_id": asked[:2], "item_id": ["i000", "none"], "propensity": [0.5, 0.5], "reward": [1, 0]}
                 ).write_parquet(path)  # fmt: skip
    run = evaluate_bundle(bundle, tastes, "strong", metrics=["mrr"], further=Further(k=2, impressions=path))
    assert any("effective impressions" in caution for caution in run.cautions)
    assert run.shown is not None
    assert run.shown.n_unknown == 1
    page = render(run)
    assert "nan" not in page.lower().replace("finan", "")


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        ("user_id,item_id,reward\nu000,i000,1\n", SchemaError, "no column propensity"),
        ("user_id,item_id,propensity,reward\nnobody,i000,1,1\n", EmptyDataError, "None of the 1 impressions"),
        ("user_id,item_id,propensity,reward\nu000,i000,much,1\n", DataError, "no propensity that is a number"),
        ("user_id,item_id,propensity,reward\nu000,i000,2,1\n", DataError, "at most 1"),
        ('user_id,item_id,propensity,reward\n"u000,i000,2,1\n', DataError, "cannot be read"),
    ],
)
def test_impressions_that_do_not_fit(content: str, error: type[Exception], match: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.csv"
    path.write_text(content)
    with pytest.raises(error, match=match):
        read_impressions(path, IdMap.from_values(["u000"]), IdMap.from_values(["i000"]))


def test_other_files_and_words_are_named(tmp_path: Path) -> None:
    nobody = IdMap.from_values(["u"])
    with pytest.raises(DataError, match="no file"):
        read_impressions(tmp_path / "none.csv", nobody, nobody)
    (tmp_path / "shown.xlsx").write_text("")
    with pytest.raises(DataError, match="endings"):
        read_impressions(tmp_path / "shown.xlsx", nobody, nobody)


def test_a_column_that_is_not_there_is_an_error(tastes: DatasetDir, bundle: Path) -> None:
    with pytest.raises(UnknownNameError, match="column of the items"):
        evaluate_bundle(bundle, tastes, "strong", metrics=["value@2[cost]"])
    with pytest.raises(UnknownNameError, match="column of the users"):
        evaluate_bundle(bundle, tastes, "strong", metrics=["mrr"], further=Further(by="country"))
    with pytest.raises(ConfigError, match="Write N:GROUP"):
        evaluate_bundle(
            bundle, tastes, "strong", metrics=["mrr"], further=Further(rules=Rules(quotas=(Quota(1, "o"),)))
        )
    assert math.isinf(Further().largest_weight)
