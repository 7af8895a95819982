import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines import cli
from pipelines.commands.compare import seconds_of
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.selection import compare as compare_module
from pipelines.selection import course as course_module
from pipelines.selection import trials
from pipelines.selection.compare import Compared, Question, compare, default_metric, plan
from pipelines.selection.outcome import as_json, train_command
from pipelines.selection.page import render
from pipelines.selection.schedule import next_job
from pipelines.training.model_settings import read_settings, specify
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.tracking import connect
from tests.pipelines.datasets_of_tastes import dataset_of_tastes

SMALL = TrainingConfig(epochs=8, patience=0, batch_size=16, device="cpu")
ONLY = ("popularity", "ease", "mult-dae", "blend")


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def question(dataset: DatasetDir, only: tuple[str, ...] = ONLY, **settings: Any) -> Question:
    return Question(dataset, **({"budget": 600.0, "training": SMALL, "only": only} | settings))


def tried(compared: Compared) -> list[tuple[object, ...]]:
    return sorted((one.model, one.choice, one.until, one.value, one.epochs) for one in compared.record.done)


def test_a_comparison_recommends_what_trains_to_the_figures_that_it_shows(dataset: DatasetDir, tmp_path: Path) -> None:
    found = compare(question(dataset))
    assert found.record.is_complete
    assert set(found.record.standings) == set(ONLY)
    assert found.recommendation.pick == "ease"  # the two tastes are linear
    assert found.recommendation.metric == "ndcg@2"
    file = read_settings(found.settings_path)
    output = Output(tmp_path / "bundle", registered_name="tastes")
    train_bundle(dataset, "strong", specify(file.model, file.settings), output, resume=False)
    validation = load_split(dataset, "strong").validation
    bare = evaluate(Bundle.load(output.path).model, validation, ["ndcg@2"]).means["ndcg@2"]
    assert bare == pytest.approx(found.record.standings["ease"].means["ndcg@2"])
    assert train_command(found).startswith("recsys train tastes --split strong --settings ")
    assert not list(found.question.folder.glob("*.safetensors"))


def test_the_test_part_is_not_read(dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_test(*arguments: Any) -> object:
        return replace(load_split(*arguments), test=None)

    monkeypatch.setattr(trials, "load_split", without_test)
    assert compare(question(dataset, ("popularity", "ease"))).recommendation.n_users == 10


def test_an_interrupted_comparison_goes_on_as_it_would_have(
    dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 12

    def interrupted(*arguments: Any, **options: Any) -> object:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return trials.train_so_far(*arguments, **options)

    monkeypatch.setattr(course_module, "train_so_far", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(question(dataset))
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="--resume"):
        compare(question(dataset))
    resumed = compare(question(dataset), resume=True)
    assert tried(resumed) == tried(compare(question(dataset, name="undisturbed")))
    again = compare(question(dataset), resume=True)  # nothing is left to do
    assert tried(again) == tried(resumed)
    assert again.recommendation == resumed.recommendation


def test_a_comparison_of_something_else_is_not_gone_on_with(dataset: DatasetDir) -> None:
    compare(question(dataset, ("popularity",)))
    with pytest.raises(ConfigError, match="other settings or data \\(metric"):
        compare(question(dataset, ("popularity",), metric="mrr"), resume=True)
    assert compare(question(dataset, ("popularity",), metric="mrr"), resume=True, afresh=True).record.is_complete


def test_a_time_too_short_for_anything_leaves_nothing_and_says_what_would_do(dataset: DatasetDir) -> None:
    short = question(dataset, ("popularity", "ease"), budget=1e-9)
    for _ in range(2):
        with pytest.raises(DataError, match=r"run it again with --budget \d+0s"):
            compare(short)
        assert not short.folder.exists()


def test_what_is_not_there_to_be_resumed_begins_and_says_so(
    dataset: DatasetDir, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("monday", "munday", "munday"):
        compare(question(dataset, ("popularity",), name=name), resume=True)
    assert dataset.comparisons() == ["monday", "munday"]
    told = capsys.readouterr().err
    assert told.count("no comparison munday to resume: it begins now. There are: monday.") == 1


def test_whom_there_was_no_time_for_is_said(dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(candidates: Any, done: Any, budget: float, left: float) -> Any:
        return None if done and left < float("inf") else next_job(candidates, done, budget, left)

    with monkeypatch.context() as cut_off:
        cut_off.setattr(course_module, "next_job", first)
        found = compare(question(dataset, ("popularity", "ease")))
    assert found.recommendation.pick == "popularity"
    assert found.cautions[0].startswith("There was no time for ease: 600 s are too few.")
    whole = compare(question(dataset, ("popularity", "ease")), resume=True)
    assert whole.record.is_complete
    assert not [caution for caution in whole.cautions if "no time" in caution]


def test_a_model_that_fails_is_named_and_the_others_go_on(dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(task: Any, spec: Any, **options: Any) -> object:
        if spec.name == "ease":
            raise DataError("it has no <order>")
        return trials.train_so_far(task, spec, **options)

    monkeypatch.setattr(course_module, "train_so_far", failing)
    found = compare(question(dataset, ("popularity", "ease")))
    assert found.recommendation.pick == "popularity"
    assert as_json(found)["failed"] == {"ease": "it has no <order>"}
    assert "it has no &lt;order&gt;" in render(found, "recsys train")


def test_what_does_not_fit_is_left_out_with_its_reason(dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_module, "free_memory", lambda: 3000.0)
    contest = plan(question(dataset, ()))[2]
    assert [one.name for one in contest.candidates] == ["popularity"]
    assert "GiB of memory" in contest.left_out["ease"]
    assert "metadata of users" in contest.left_out["conditional-vae"]
    assert "blend" not in contest.left_out
    with pytest.raises(ConfigError, match="nothing to compare \\(ease: it takes"):
        plan(question(dataset, ("ease",)))


def test_bad_questions_are_refused(dataset: DatasetDir) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ease'"):
        plan(question(dataset, ("eas",)))
    with pytest.raises(UnknownNameError, match="strong"):
        plan(question(dataset, split="strang"))
    with pytest.raises(UnknownNameError, match="metric"):
        plan(question(dataset, metric="ndgc@10"))
    with pytest.raises(ConfigError, match="budget"):
        plan(question(dataset, budget=0.0))
    with pytest.raises(ConfigError, match="cannot name a comparison"):
        compare(question(dataset, name="../elsewhere"))


def test_the_page_is_one_file_that_shows_every_model(dataset: DatasetDir) -> None:
    found = compare(question(dataset))
    page = render(found, train_command(found))
    assert not re.search(r"<script|<link|@import|(src|href)=\"(?!#)", page)
    assert page.count("<svg") == page.count("</svg>") == 2 + len(ONLY) - 1
    for name in ONLY:
        assert f"<td>{name}</td>" in page
    assert f"{found.record.standings['ease'].means['ndcg@2']:.4f}" in page
    assert "nan" not in page.lower().replace("finan", "")


def test_lists_of_a_small_catalogue_are_short() -> None:
    assert [default_metric(n) for n in (2, 15, 199, 200)] == ["ndcg@1", "ndcg@3", "ndcg@39", "ndcg@100"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("30", 30)])
def test_budgets(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 minutes", "-1m", "0s"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ConfigError, match="10m"):
        seconds_of(text)


def run(*arguments: str) -> Any:
    found = CliRunner().invoke(cli.build(), arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found


def test_the_command_line_compares_says_why_and_tracks(dataset: DatasetDir) -> None:
    ask = ("compare", "tastes", "--models", "popularity,ease", "--budget", "5m", "--seed", "3")
    told = run(*ask, "--dry-run").stdout
    assert "ease" in told
    assert "9 choices of settings" in told
    assert not dataset.comparison_path("strong").exists()
    assert json.loads(run(*ask, "--name", "other", "--json").stdout)["trials"] == 10
    found = run(*ask)
    assert "recsys train tastes --split strong --settings" in found.stdout
    assert "warning: The figures come from 10 users" in found.stderr
    plain = json.loads(run(*ask, "--resume", "--json").stdout)
    assert plain["pick"] == "ease"
    assert plain["models"]["popularity"]["is_worse"]
    assert Path(plain["page"]).is_file()
    experiment = connect().get_experiment_by_name("tastes").experiment_id
    tracked, _ = connect().search_runs([experiment])  # the other one has its own
    assert tracked.data.params["pick"] == "ease"


def test_train_without_a_model_takes_what_a_small_comparison_recommends(
    dataset: DatasetDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_module, "choose_candidates", _only("popularity", "ease"))
    told = run("train", "tastes", "--to", str(tmp_path / "one"), "--seed", "5").stdout
    assert "No model is named: comparing for up to 2m" in told
    assert Bundle.load(tmp_path / "one").manifest.model == "ease"
    monkeypatch.setattr(course_module, "train_so_far", None)  # the comparison is there
    run("train", "tastes", "--to", str(tmp_path / "two"), "--seed", "5")
    settings = ("--set", "hidden=8", "--set", "latent=2", "--epochs", "2")
    run("train", "tastes", "--to", str(tmp_path / "named"), *settings)
    assert Bundle.load(tmp_path / "named").manifest.model == "mult-vae"


def _only(*names: str) -> Any:
    choose = compare_module.choose_candidates

    def chosen(*arguments: Any, **options: Any) -> Any:
        return choose(*arguments, **(options | {"only": names}))

    return chosen


def test_of_tiny_data_it_says_what_can_be_known(mlflow_home: Path) -> None:
    """40 users, 12 items; four of the users are asked."""
    from pipelines.dataset.split_recipes import recipe
    from pipelines.dataset.splits import make_split
    from tests.pipelines import logs_of_tastes

    tiny = logs_of_tastes.dataset(mlflow_home / "datasets" / "tiny", logs_of_tastes.frame(40))
    make_split(tiny, recipe("strong", heldout=2, min_items=4, fold_in=0.5))
    found = run("compare", "tiny", "--models", "popularity,ease,edlae", "--budget", "5m")
    assert "figures come from 2 users" in found.stderr
    assert "cannot be seen with 2 users" in found.stderr or "measurably" in found.stdout
