import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from recsys_vae.errors import ConfigError, UnknownNameError
from tests.pipelines.evaluation.test_evaluate import ease_bundle
from tests.pipelines.logs_of_tastes import dataset, frame


@pytest.fixture
def tastes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetDir:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    return dataset(tmp_path / "datasets" / "tastes", frame(100))


def run(*arguments: str) -> str:
    found = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_split_and_evaluate_from_the_command_line(tastes: DatasetDir, tmp_path: Path) -> None:
    told = run("split", "tastes", "--protocol", "strong", "--min-items", "2", "--heldout", "20", "--name", "mine")
    assert "validation 20 users" in told
    bundle = ease_bundle(tmp_path / "bundle", load_split(tastes, "mine").train, "split:mine/train")
    ask = ("evaluate", str(bundle), "tastes", "--split", "mine", "--baselines", "popularity")
    table = run(*ask, "--report", str(tmp_path / "report.html"))
    assert "recall@20[all]" in table
    assert (tmp_path / "report.html").is_file()
    found = json.loads(run(*ask, "--json", "--metrics", "recall@2, mrr"))
    assert list(found["models"]["ease"]) == ["recall@2", "mrr"]
    other = ease_bundle(tmp_path / "other", load_split(tastes, "mine").train, "split:mine/train")
    both = run("evaluate", str(bundle), str(other), "tastes", "--split", "mine", "--metrics", "mrr")
    assert "ease bundle minus the others" in both
    assert "+0.0000 (+0.0000 to +0.0000)" in both


def test_rules_groups_and_repeats_from_the_command_line(tastes: DatasetDir, tmp_path: Path) -> None:
    run("split", "tastes", "--protocol", "strong", "--min-items", "2", "--heldout", "20")
    users = [f"u{number:03}" for number in range(100)]
    pl.DataFrame({"user_id": users, "sex": ["f", "m"] * 50}).write_parquet(tastes.users_path)
    train = load_split(tastes, "strong").train
    bundle = ease_bundle(tmp_path / "bundle", train, "split:strong/train")
    asked = load_split(tastes, "strong").test.users.values
    pl.DataFrame({"user_id": asked, "item_id": "i000", "propensity": 0.5, "reward": 1}).write_csv(
        tmp_path / "shown.csv"
    )
    ask = ("evaluate", str(bundle), "tastes", "--split", "strong", "--metrics", "recall@2,gini@2", "--k", "2")
    further = ("--by", "sex", "--at-least", "1:long-tail", "--impressions", str(tmp_path / "shown.csv"))
    table = run(*ask, *further)
    assert "re-ranked" in table
    assert "by sex of the users" in table
    assert "SNIPS" in table
    found = json.loads(run(*ask, *further, "--repeat", "allow", "--json"))
    assert found["rules"] == {"k": 2, "rules": "at least 1 of long-tail"}
    with pytest.raises(ConfigError, match="--at-most 'brand' is not understood"):
        run(*ask, "--at-most", "brand")


def test_what_a_log_without_order_cannot_have_is_not_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    dataset(tmp_path / "datasets" / "timed", frame(60))
    dataset(tmp_path / "datasets" / "untimed", frame(60).with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))))
    advice = {}
    for name in ("timed", "untimed"):
        ask = ["split", name, "--protocol", "strong", "--heldout", "3", "--min-items", "3"]
        advice[name] = CliRunner().invoke(build(), ask).stderr
    assert "(--heldout 15), or ask everybody who has two: --protocol last-out." in advice["timed"]
    assert "Hold out more users (--heldout 15)." in advice["untimed"]
    assert "last-out" not in advice["untimed"]
    assert "--min-items" not in advice["untimed"]  # nobody has fewer


def test_figures_of_one_user_say_so_and_have_no_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    tiny = dataset(tmp_path / "datasets" / "tiny", frame(12))
    told = CliRunner().invoke(build(), ["split", "tiny", "--protocol", "strong", "--min-items", "2"])
    assert "warning: The test part asks one user: nothing says how sure they are. Hold out more" in told.stderr
    bundle = ease_bundle(tmp_path / "bundle", load_split(tiny, "strong").train, "split:strong/train")
    ask = ("evaluate", str(bundle), "tiny", "--split", "strong", "--baselines", "popularity")
    found = CliRunner().invoke(build(), [*ask, "--report", str(tmp_path / "report.html")], catch_exceptions=False)
    assert "nan" not in found.output
    assert "(no interval)" in found.stdout
    assert "figures come from one user" in found.stderr
    assert "recall@20, recall@50, ndcg@100" in found.stderr
    assert "Choose a smaller k, as in recall@1 or ndcg@1." in found.stderr
    page = (tmp_path / "report.html").read_text()
    assert "beside popularity" in page
    assert "of one user" in page
    assert "no interval" in page
    assert "nan" not in page.lower().replace("finan", "")
    content = json.loads(run(*ask, "--json"))
    assert len(content["warnings"]) == 2
    assert {(found["low"], found["high"]) for found in content["differences"]} == {(None, None)}


def test_split_says_what_is_left_out_and_who_is_asked_all_the_same(tastes: DatasetDir) -> None:
    told = run("split", "tastes", "--protocol", "temporal")
    assert "asked too" in told
    lines = [line for line in told.splitlines() if "without history" in line]
    assert lines
    assert all(line.strip().startswith("asked too") for line in lines)


def test_a_cut_in_time_at_given_moments(tastes: DatasetDir) -> None:
    run(
        "split",
        "tastes",
        "--protocol",
        "temporal",
        "--validation-from",
        "2024-01-08",
        "--test-from",
        "2024-01-12T12:00:00",
    )
    assert tastes.splits() == ["temporal"]


def test_a_dataset_that_was_never_ingested_is_an_error(tastes: DatasetDir) -> None:
    with pytest.raises(UnknownNameError, match="tastes"):
        run("split", "taste", "--protocol", "strong")
