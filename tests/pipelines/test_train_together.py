"""`recsys train` and `recsys publish` in two processes, as torchrun starts them."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.training.fit import ModelSpec, check_processes
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import ConfigError
from recsys_vae.models.mult_dae import MultDAEConfig
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.parallel import Group
from recsys_vae.training.tracking import connect
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.prepared import Prepared
from tests.worlds import SMALL

ROOT = Path(__file__).parents[2]
TORCHRUN = ["--standalone", "--nproc-per-node", "2", "--no-python"]
SETTINGS = ["--model", "mult-dae", "--set", "hidden=8", "--set", "dropout=0", "--epochs", "5", "--batch-size", "7"]
SETTINGS += ["--learning-rate", "0.01", "--device", "cpu", "--precision", "float32"]
STILL = MultDAEConfig(hidden=8, dropout=0.0)


def together(prepared: Prepared, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*prepared.command("torch.distributed.run"), *TORCHRUN, *prepared.command(), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def test_two_processes_make_one_bundle_and_one_run(dataset: DatasetDir, tmp_path: Path, prepared: Prepared) -> None:
    done = together(prepared, "train", str(dataset.path), "--to", str(tmp_path / "two"), *SETTINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("registered") == 1
    assert done.stderr.count("training 5 epochs:   0%") == 1
    (run,) = connect().search_runs([connect().get_experiment_by_name("tastes").experiment_id])
    assert run.info.status == "FINISHED"
    assert {"ndcg_at_100", "loss", "users_per_second"} <= run.data.metrics.keys()

    training = TrainingConfig(epochs=5, batch_size=7, learning_rate=0.01, device="cpu", precision="float32")
    trained = train_bundle(
        dataset, "strong", ModelSpec("mult-dae", STILL, training), Output(tmp_path / "one"), resume=False
    )
    two = Bundle.load(tmp_path / "two")
    assert two.manifest.provenance.metrics == pytest.approx(trained.manifest.provenance.metrics, abs=1e-6)
    for name, value in Bundle.load(tmp_path / "one").model.tensors().items():
        np.testing.assert_allclose(two.model.tensors()[name], value, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_two_processes_publish(dataset: DatasetDir, tmp_path: Path, prepared: Prepared) -> None:
    spec = ModelSpec("mult-vae", SMALL["mult-vae"], TrainingConfig(epochs=2, batch_size=7, device="cpu"))
    train_bundle(dataset, "strong", spec, Output(tmp_path / "chosen"), resume=False)
    done = together(prepared, "publish", str(tmp_path / "chosen"), str(dataset.path), "--to", str(tmp_path / "shipped"))
    assert done.returncode == 0, done.stderr
    assert Bundle.load(tmp_path / "shipped").manifest.provenance.n_users == 60


@pytest.mark.slow
def test_two_processes_that_share_out_the_items_make_the_bundle_of_one(
    dataset: DatasetDir, tmp_path: Path, prepared: Prepared
) -> None:
    config = MultDAEConfig(hidden=8, l2=0.0)
    training = TrainingConfig(
        epochs=5, batch_size=7, device="cpu", precision="float32", likelihood="sampled", leaves=2, shard_items=True
    )
    asked = ["--model", "mult-dae", "--set", "hidden=8", "--set", "l2=0", "--epochs", "5", "--batch-size", "7"]
    asked += ["--device", "cpu", "--precision", "float32", "--likelihood", "sampled", "--leaves", "2", "--shard-items"]
    done = together(prepared, "train", str(dataset.path), "--to", str(tmp_path / "two"), *asked)
    assert done.returncode == 0, done.stderr
    spec, one = ModelSpec("mult-dae", config, training), Output(tmp_path / "one")
    trained = train_bundle(dataset, "strong", spec, one, resume=False)
    two = Bundle.load(tmp_path / "two")
    assert two.manifest.files == trained.manifest.files
    assert two.manifest.provenance.metrics == trained.manifest.provenance.metrics
    assert not one.workspace.exists()


def test_verbs_that_do_not_train_want_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = CliRunner().invoke(build(), ["models"])
    assert isinstance(refused.exception, ConfigError)
    assert "recsys models is for one process" in str(refused.exception)


def test_closed_form_models_want_one_process() -> None:
    check_processes(ModelSpec("ease", SMALL["ease"]), Group())
    check_processes(ModelSpec("mult-vae", SMALL["mult-vae"]), Group(0, 2))
    with pytest.raises(ConfigError, match="without torchrun"):
        check_processes(ModelSpec("ease", SMALL["ease"]), Group(0, 2))
