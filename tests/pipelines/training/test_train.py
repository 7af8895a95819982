import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from pipelines.training import publish as publish_module
from pipelines.training import train as train_module
from pipelines.training.decay import Decay
from pipelines.training.fit import ModelSpec
from pipelines.training.publish import publish_bundle, spec_of, split_of
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.item_lists import ListRules
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.errors import BundleError, BundleVersionError, ConfigError, RetrievalError, UnknownNameError
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.tracking import connect
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.prepared import Prepared, Started
from tests.worlds import SMALL, two_tastes, untrained

TRAINING = TrainingConfig(epochs=5, batch_size=16, learning_rate=0.01, device="cpu")
VAE = ModelSpec("mult-vae", SMALL["mult-vae"], TRAINING)
EASE = ModelSpec("ease", SMALL["ease"])


@pytest.fixture
def dataset(tmp_path: Path, mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "bundle", registered_name="tastes")


@pytest.mark.parametrize("spec", [VAE, EASE], ids=["gradient", "closed form"])
def test_train_writes_a_bundle_and_tells_the_tracker(dataset: DatasetDir, output: Output, spec: ModelSpec) -> None:
    trained = train_bundle(dataset, "strong", spec, output, resume=False)
    bundle = Bundle.load(output.path)
    provenance = bundle.manifest.provenance
    assert provenance.trained_on == "split:strong/train"
    assert provenance.metrics_on == "split:strong/validation"
    assert provenance.metrics["ndcg@100"] == trained.evaluation.means["ndcg@100"]
    assert provenance.n_users == 40
    assert bundle.item_table["title"][0] == f"Title of {bundle.items.values[0]}"
    run = connect().get_run(str(trained.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == spec.name
    assert "ndcg_at_100" in run.data.metrics
    challenger = connect().get_model_version_by_alias("tastes", "challenger")
    assert str(challenger.version) == trained.registered_version
    assert not output.workspace.exists()


@pytest.mark.parametrize(("spec", "chosen"), [(VAE, True), (EASE, False)], ids=["gradient", "closed form"])
def test_what_has_no_epochs_chooses_none(
    dataset: DatasetDir, output: Output, capsys: pytest.CaptureFixture[str], spec: ModelSpec, chosen: bool
) -> None:
    make_split(dataset, recipe("last-out"))
    train_bundle(dataset, "last-out", spec, output, resume=False)
    told = capsys.readouterr().out
    assert "training again on the training and the validation part together" in told
    assert ("best epoch" in told) == chosen
    assert Bundle.load(output.path).manifest.provenance.training_cutoff == dataset.latest()


def test_publish_measures_on_test_then_learns_from_everybody(dataset: DatasetDir, output: Output) -> None:
    train_bundle(dataset, "strong", VAE, output, resume=False)
    shipped = replace(output, path=output.path.with_name("shipped"))
    trained = publish_bundle(output.path, dataset, shipped, resume=False)
    source, bundle = Bundle.load(output.path), Bundle.load(shipped.path)
    provenance = bundle.manifest.provenance
    assert (provenance.trained_on, provenance.n_users) == ("all", 60)
    assert provenance.metrics_on == f"split:strong/test, by {source.version}"
    assert provenance.epochs == source.manifest.provenance.epochs
    assert trained.registered_version == "2"
    with pytest.raises(BundleError, match="learned from all data"):
        split_of(bundle)
    with pytest.raises(BundleError, match="learned from all data"):
        publish_bundle(shipped.path, dataset, output, resume=False)


def test_a_training_that_this_version_does_not_know_is_not_repeated() -> None:
    world = two_tastes()
    bundle = Bundle.unwritten(untrained("mult-vae", 12), world.items, world.item_counts(), Tiers())

    def trained(**settings: object) -> Bundle:
        manifest = replace(bundle.manifest, provenance=Provenance(training=settings))
        return replace(bundle, manifest=manifest)

    assert spec_of(trained(epochs=3)).training == TrainingConfig(epochs=3)
    for settings in ({"momentum": 0.9}, {"epochs": 2.5}):
        with pytest.raises(BundleVersionError, match=r"momentum|epochs"):
            spec_of(trained(**settings))


def test_ages_are_counted_from_a_moment_only_where_there_is_a_half_life(dataset: DatasetDir, output: Output) -> None:
    decay = Decay(10.0, now=datetime(2024, 2, 1))
    train_bundle(dataset, "strong", EASE, output, resume=False, decay=decay)
    segments = Bundle.load(output.path).tiers.segments
    assert segments is not None
    assert segments.half_life == 10.0
    train_bundle(dataset, "strong", EASE, replace(output, path=output.path.with_name("plain")), resume=False)
    shipped = replace(output, path=output.path.with_name("shipped"))
    with pytest.raises(ConfigError, match="has no half-life"):
        publish_bundle(output.path.with_name("plain"), dataset, shipped, resume=False, now=datetime(2024, 2, 1))


def test_publish_reads_the_test_part_once(dataset: DatasetDir, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    train_bundle(dataset, "strong", EASE, output, resume=False)
    asked = []
    measure = publish_module.measure_served
    monkeypatch.setattr(publish_module, "measure_served", lambda *a, **k: (asked.append(a), measure(*a, **k))[1])
    publish_bundle(output.path, dataset, replace(output, path=output.path.with_name("shipped")), resume=False)
    assert len(asked) == 1


def test_publish_refuses_what_was_trained_on_an_earlier_making_of_the_split(
    dataset: DatasetDir, output: Output
) -> None:
    train_bundle(dataset, "strong", EASE, output, resume=False)
    make_split(dataset, recipe("strong", heldout=10, min_items=4, fold_in=0.5, seed=1))
    with pytest.raises(BundleError, match="earlier making of split 'strong'"):
        publish_bundle(output.path, dataset, replace(output, path=output.path.with_name("shipped")), resume=False)
    assert not output.path.with_name("shipped").exists()


def test_an_interrupted_run_is_not_started_over_unasked(dataset: DatasetDir, output: Output) -> None:
    output.workspace.mkdir()
    (output.workspace / "choose.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="--resume"):
        train_bundle(dataset, "strong", VAE, output, resume=False)


def test_an_index_below_its_target_leaves_no_bundle(
    dataset: DatasetDir, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RetrievalError("below the target")

    monkeypatch.setattr("recsys_vae.bundles.bundle.write_index", refuse)
    with pytest.raises(RetrievalError):
        train_bundle(dataset, "strong", VAE, replace(output, index="hnsw"), resume=False)
    assert not output.path.exists()
    assert sorted(p.name for p in output.workspace.iterdir()) == ["choose.safetensors"]  # the training is not lost


def test_an_index_without_item_vectors_is_refused(dataset: DatasetDir, output: Output) -> None:
    with pytest.raises(ConfigError, match="no effect"):
        train_bundle(dataset, "strong", EASE, replace(output, index="hnsw"), resume=False)


def test_kinds_that_no_event_has_are_refused_before_the_training(
    dataset: DatasetDir, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "fit", None)
    with pytest.raises(ConfigError, match="of the kinds purchse; the kinds are"):
        train_bundle(dataset, "strong", EASE, replace(output, lists=ListRules(bought=("purchse",))), resume=False)


def test_unknown_splits_are_refused(dataset: DatasetDir, output: Output) -> None:
    with pytest.raises(UnknownNameError, match="strong"):
        train_bundle(dataset, "strang", VAE, output, resume=False)


def test_train_killed_at_any_moment_resumes_to_the_same_bundle(
    dataset: DatasetDir, tmp_path: Path, prepared: Prepared
) -> None:
    """SIGKILL the command line while it trains; --resume writes the bundle that an undisturbed run writes."""
    command = ["train", str(dataset.path), "--device", "cpu", "--set", "hidden=64", "--set", "latent=8"]
    command += ["--epochs", "100", "--patience", "0", "--batch-size", "10"]

    def start(to: str, *more: str) -> Started:
        return prepared.recsys(*command, "--to", str(tmp_path / to), *more)

    killed = start("killed", "--checkpoint-seconds", "0")
    checkpoint = tmp_path / ".killed.training" / "choose.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    assert not (tmp_path / "killed").exists()
    assert start("killed").wait() == 1  # not without --resume
    assert start("killed", "--resume").wait() == 0
    assert start("whole").wait() == 0
    files = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("killed", "whole")]
    assert files[0]["files"] == files[1]["files"]
    assert files[0]["version"] == files[1]["version"]
    runs = connect().search_runs([connect().get_experiment_by_name("tastes").experiment_id])
    assert len(runs) == 2  # the resumed run went on in its own


@pytest.mark.slow
def test_sigterm_ends_the_command_line_in_time_and_marks_its_run(dataset: DatasetDir, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "train", str(dataset.path), "--to", str(tmp_path / "bundle")]
    command += ["--epochs", "100000", "--patience", "0", "--checkpoint-seconds", "0", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    checkpoint = tmp_path / ".bundle.training" / "choose.safetensors"
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        told = process.communicate(timeout=30)[1]
    assert process.returncode == 143
    assert "terminated; nothing half-written is left; training goes on with --resume" in told
    (run,) = connect().search_runs([connect().get_experiment_by_name("tastes").experiment_id])
    assert run.info.status == "KILLED"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.training", "home"]
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
