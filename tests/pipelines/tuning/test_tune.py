import json
import shlex
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from scipy.sparse import csr_array
from typer.testing import CliRunner

from pipelines import cli
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.training.fit import fit
from pipelines.training.model_settings import read_settings, specify
from pipelines.training.train import Output, train_bundle
from pipelines.tuning import tune as tune_module
from pipelines.tuning.search import Search
from pipelines.tuning.tune import PARENT, Tuned, tune
from pipelines.tuning.verdict import best_of
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import ConfigError, DataError, UnknownNameError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.training import fit as fit_module
from recsys_vae.training.loop import train
from recsys_vae.training.tracking import connect
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.prepared import Prepared, Started

VAE = {"hidden": 8, "latent": 2, "batch_size": 16, "epochs": 6, "patience": 0, "device": "cpu"}
"""Fixed; learning rate, dropout and KL weight are searched."""


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def drawn(tuned: Tuned) -> list[tuple[object, ...]]:
    return [(o.number, o.settings, o.value, o.pruned) for o in tuned.outcomes]


def runs(dataset: DatasetDir, parent: str | None = None) -> list:  # type: ignore[type-arg]
    experiment = connect().get_experiment_by_name(dataset.name).experiment_id
    found = connect().search_runs([experiment], order_by=["attributes.start_time"])
    return [run for run in found if run.data.tags.get(PARENT) == parent]


def test_a_closed_form_model_is_tuned_on_validation(dataset: DatasetDir) -> None:
    search = Search.of("ease", {}, metric="recall@5")
    tuned = tune(dataset, search, trials=4)
    split = load_split(dataset, "strong")
    values = [
        evaluate(fit(search.spec(o.settings), split.train.matrix).model, split.validation, ["recall@5"]).means
        for o in tuned.outcomes
    ]
    assert [o.value for o in tuned.outcomes] == [value["recall@5"] for value in values]
    assert tuned.outcomes[0].settings == {"l2": 500.0}
    assert tuned.best == best_of(tuned.outcomes)
    assert tuned.best.value == max(value["recall@5"] for value in values)
    # Everybody who is asked has a history, and its model answers them.
    assert tuned.best.facts["served"] == pytest.approx(tuned.best.value)


def test_the_test_part_is_not_read(dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_test(*arguments: Any) -> object:
        return replace(load_split(*arguments), test=None)

    monkeypatch.setattr(tune_module, "load_split", without_test)
    assert len(tune(dataset, Search.of("ease", {}), trials=2).outcomes) == 2


def test_every_trial_is_a_run_below_that_of_the_search(dataset: DatasetDir) -> None:
    tuned = tune(dataset, Search.of("mult-vae", VAE), trials=6)
    parent = connect().get_run(tuned.run_id)
    children = runs(dataset, tuned.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_ndcg_at_100"] == tuned.best.value
    assert float(parent.data.params["best.dropout"]) == tuned.best.settings["dropout"]
    assert [run.info.run_name for run in children] == [f"mult-vae-trial-{n}" for n in range(1, 7)]
    assert {run.info.status for run in children} == {"FINISHED"}
    for run, outcome in zip(children, tuned.outcomes, strict=True):
        assert float(run.data.params["training.learning_rate"]) == outcome.settings["learning_rate"]
        assert run.data.tags["trial"] == ("pruned" if outcome.pruned else "complete")
        assert run.info.run_id == outcome.facts["run_id"]
    assert [path.path for path in connect().list_artifacts(tuned.run_id)] == ["best.toml"]


def test_a_trial_that_lags_behind_is_cut_short(dataset: DatasetDir) -> None:
    tuned = tune(dataset, Search.of("mult-vae", VAE | {"epochs": 10}), trials=8)
    pruned = [outcome for outcome in tuned.outcomes if outcome.pruned]
    assert pruned
    assert not tuned.outcomes[0].pruned
    for outcome in pruned:
        history = connect().get_metric_history(outcome.facts["run_id"], "ndcg_at_100")
        assert len(history) < 10
        assert outcome.value == history[-1].value
    whole = next(outcome for outcome in tuned.outcomes if not outcome.pruned)
    assert len(connect().get_metric_history(whole.facts["run_id"], "loss")) == 10


def test_a_study_that_is_not_there_to_be_resumed_begins_and_says_so(
    dataset: DatasetDir, capsys: pytest.CaptureFixture[str]
) -> None:
    for study in (None, "other", "other"):
        tune(dataset, Search.of("ease", {}), study=study, trials=1, resume=True)
    told = capsys.readouterr().err
    assert told.count("no study other to resume: it begins now. There are: ease-strong.") == 1


def test_a_resumed_study_does_what_is_left_in_the_same_run(dataset: DatasetDir) -> None:
    search = Search.of("ease", {})
    first = tune(dataset, search, trials=2)
    with pytest.raises(ConfigError, match="--resume"):
        tune(dataset, search, trials=4)
    resumed = tune(dataset, search, trials=4, resume=True)
    assert drawn(resumed)[:2] == drawn(first)
    assert len(resumed.outcomes) == 4
    again = tune(dataset, search, trials=4, resume=True)  # nothing is left to do
    assert drawn(again) == drawn(resumed)
    assert {first.run_id, resumed.run_id, again.run_id} == {run.info.run_id for run in runs(dataset)}


def test_after_the_time_no_trial_is_begun(dataset: DatasetDir) -> None:
    with pytest.raises(DataError, match="no time"):
        tune(dataset, Search.of("ease", {}), trials=3, minutes=0)
    assert len(tune(dataset, Search.of("ease", {}), trials=2, resume=True).outcomes) == 2


def test_a_diverging_trial_is_counted_and_the_search_goes_on(
    dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan_at_high_l2(model: object, held_out: HeldOut, metrics: list[str], **options: object) -> object:
        if model.config.l2 > 500:  # type: ignore[attr-defined]
            raise DataError("The model's scores hold NaN.")
        return evaluate(model, held_out, metrics, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tune_module, "evaluate", nan_at_high_l2)
    tuned = tune(dataset, Search.of("ease", {}), trials=6)
    failed = [outcome for outcome in tuned.outcomes if outcome.pruned]
    assert failed
    assert {outcome.facts["reason"] for outcome in failed} == {"The model's scores hold NaN."}
    assert all(np.asarray(outcome.settings["l2"]) > 500 for outcome in failed)


def test_what_cannot_be_searched_is_refused(dataset: DatasetDir) -> None:
    with pytest.raises(ConfigError, match="nothing to tune"):
        Search.of("popularity", {})
    with pytest.raises(ConfigError, match="nothing to tune"):
        tune(dataset, Search.of("ease", {"l2": 3.0}), trials=1)
    with pytest.raises(ConfigError, match="no effect"):
        Search.of("ease", {"epochs": 3})
    with pytest.raises(UnknownNameError):
        Search.of("ease", {}, metric="ndgc@100")
    with pytest.raises(ConfigError, match="at least 1"):
        tune(dataset, Search.of("ease", {}), trials=0)
    with pytest.raises(ConfigError, match="cannot name a study"):
        tune(dataset, Search.of("ease", {}), trials=1, study="../elsewhere")
    with pytest.raises(UnknownNameError, match="strong"):
        tune(dataset, Search.of("ease", {}, split="strang"), trials=1)
    assert not (dataset.path / "studies").exists()


def test_the_best_settings_train_to_the_value_that_was_found(dataset: DatasetDir, tmp_path: Path) -> None:
    tuned = tune(dataset, Search.of("mult-vae", VAE, metric="recall@5", seed=3), trials=3)
    file = read_settings(tuned.settings_path)
    spec = specify(file.model, file.settings)
    output = Output(tmp_path / "from-file", registered_name="tastes")
    trained = train_bundle(dataset, "strong", spec, output, resume=False)
    best = evaluate(Bundle.load(output.path).model, load_split(dataset, "strong").validation, ["recall@5"])
    assert best.means["recall@5"] == tuned.best.value
    assert trained.manifest.provenance.epochs == tuned.best.facts["epochs"]
    words = shlex.split(tuned.command)
    assert words[0] == "recsys"
    said = CliRunner().invoke(cli.build(), [*words[1:-1], str(tmp_path / "from-words")])
    assert said.exit_code == 0, said.output
    assert Bundle.load(tmp_path / "from-words").manifest.files == trained.manifest.files


def test_the_command_line_tunes_trains_from_the_file_and_lets_set_override_it(
    dataset: DatasetDir, tmp_path: Path
) -> None:
    run = CliRunner().invoke
    tuned = run(cli.build(), ["tune", "tastes", "--model", "ease", "--trials", "3", "--seed", "1"])
    assert tuned.exit_code == 0, tuned.output
    assert "recsys train tastes --split strong --model ease --set l2=" in tuned.output
    file = dataset.study_path("ease-strong") / "best.toml"
    arguments = ["train", "tastes", "--settings", str(file), "--to"]
    assert run(cli.build(), [*arguments, str(tmp_path / "as-found")]).exit_code == 0
    assert run(cli.build(), [*arguments, str(tmp_path / "changed"), "--set", "l2=7"]).exit_code == 0
    found, changed = (Bundle.load(tmp_path / name).manifest.settings for name in ("as-found", "changed"))
    assert found == read_settings(file).settings
    assert changed == found | {"l2": 7.0}


def test_tune_killed_during_a_trial_goes_on_with_it(dataset: DatasetDir, prepared: Prepared) -> None:
    """SIGKILL the command line in its first trial; --resume ends with the trials of an undisturbed search."""
    fixed = VAE | {"batch_size": 10, "epochs": 30}
    command = ["tune", "tastes", "--model", "mult-vae", "--trials", "2"]
    command += [word for name, value in fixed.items() for word in ("--set", f"{name}={value}")]

    def start(*more: str) -> Started:
        return prepared.recsys(*command, *more)

    def losses(run_id: str) -> list[Any]:
        return list(connect().get_metric_history(run_id, "loss"))

    killed = start("--checkpoint-seconds", "0")
    checkpoint = dataset.study_path("mult-vae-strong") / "trial.safetensors"
    deadline = time.monotonic() + 120
    while _epochs_saved(checkpoint) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    (parent,) = runs(dataset)
    (child,) = runs(dataset, parent.info.run_id)
    told = len(losses(child.info.run_id))
    assert start().wait() == 1  # not without --resume
    assert start("--resume").wait() == 0
    search = Search.of("mult-vae", fixed)
    resumed = tune(dataset, search, trials=2, resume=True)  # to read it: nothing is left to do
    assert drawn(resumed) == drawn(tune(dataset, search, trials=2, study="whole"))
    assert resumed.run_id == parent.info.run_id
    children = runs(dataset, parent.info.run_id)
    assert [run.info.run_name for run in children] == ["mult-vae-trial-1", "mult-vae-trial-2"]
    assert {run.info.status for run in children} == {"FINISHED"}
    assert children[0].info.run_id == child.info.run_id
    assert 30 <= len(losses(child.info.run_id)) <= told + 25  # it went on from its checkpoint


def _epochs_saved(checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    with safe_open(checkpoint, framework="pt") as file:
        return int(json.loads(file.metadata()["state"])["epoch"])


def test_a_blend_is_tuned_by_the_settings_of_its_parts(dataset: DatasetDir) -> None:
    fixed = {"autoencoder": "mult-dae", "autoencoder.hidden": 8, "more": "edlae", "more.1.dropout": 0.3}
    fixed |= {"epochs": 4, "batch_size": 16, "patience": 0, "device": "cpu"}
    search = Search.of("blend", fixed, metric="ndcg@5")
    tuned = tune(dataset, search, trials=3)
    assert set(tuned.search.space) == {"autoencoder.dropout", "autoencoder.l2", "learning_rate", "weight_decay",
                                       "linear.l2", "more.1.l2"}  # fmt: skip
    split = load_split(dataset, "strong")
    best = fit(search.spec(tuned.best.settings), split.train.matrix, validation=split.validation)
    assert evaluate(best.model, split.validation, ["ndcg@5"]).means["ndcg@5"] == tuned.best.value
    assert best.shares  # chosen on validation in every trial
    settings = read_settings(tuned.settings_path)
    assert settings.settings["linear.l2"] == tuned.best.settings["linear.l2"]
    assert settings.settings["weight"] == 0
    assert f"--set more.1.l2={tuned.best.settings['more.1.l2']}" in tuned.command


def test_parts_of_a_blend_that_no_trial_changes_are_fitted_once(
    dataset: DatasetDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def counted(model: object, *arguments: Any, **options: Any) -> Any:
        trained.append(type(model).__name__)
        return train(model, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fit_module, "train", counted)
    fixed = {f"autoencoder.{name}": value for name, value in {"hidden": 8, "dropout": 0.3, "l2": 0.01}.items()}
    fixed |= {"autoencoder": "mult-dae", "learning_rate": 0.01, "batch_size": 16, "weight_decay": 0.0, "epochs": 3}
    fixed |= {"more": "mult-dae", "more.1.hidden": 6, "patience": 0, "device": "cpu"}
    search = Search.of("blend", fixed, metric="ndcg@5")
    tuned = tune(dataset, search, trials=2)
    assert set(tuned.search.fixed_parts) == {"autoencoder"}
    assert trained == ["MultDAE"] * 3  # the further one has settings that are searched
    split = load_split(dataset, "strong")
    alone = fit(search.spec(tuned.outcomes[1].settings), split.train.matrix, validation=split.validation)
    assert evaluate(alone.model, split.validation, ["ndcg@5"]).means["ndcg@5"] == tuned.outcomes[1].value


def test_what_parts_of_a_blend_make_of_weights_is_searched_where_they_differ() -> None:
    search = Search.of("blend", {"autoencoder": "elsa"})
    assert {"autoencoder.weights", "linear.weights", "linear.dislikes", "autoencoder.factors"} <= set(search.space)
    train = csr_array(np.array([[1, 2], [2, 0]], dtype=np.float32))
    assert "linear.weights" in search.among(train, None).space
    assert "linear.dislikes" not in search.among(train, None).space
    assert "linear.weights" not in search.among(csr_array(train > 0, dtype=np.float32), train).space
    assert search.weighs(search.first() | {"linear.weights": "log"})
    assert not search.weighs(search.first())
