from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.directory import DatasetDir
from pipelines.evaluation.plots import plot_latents
from pipelines.training.fit import ModelSpec
from pipelines.training.latent_report import PLOT, TABLE, as_csv
from pipelines.training.train import Output, train_bundle
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.tracking import connect
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.worlds import SMALL

TRAINING = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.01, device="cpu")


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def test_the_table_has_a_line_an_epoch_and_a_column_a_latent() -> None:
    text = as_csv(np.array([[0.5, 0.0], [1.25, 0.123456]], np.float32))
    assert text == "epoch,latent_0,latent_1\n1,0.5,0\n2,1.25,0.12346\n"


def test_the_plot_says_how_many_are_active() -> None:
    svg = plot_latents(np.array([0.0, 0.5, 0.25], np.float32), 2)
    assert svg.startswith("<svg")
    assert "2 of 3 latents active" in svg


def test_a_run_keeps_every_epochs_latents(dataset: DatasetDir, tmp_path: Path) -> None:
    spec = ModelSpec("mult-vae", SMALL["mult-vae"], TRAINING)
    trained = train_bundle(dataset, "strong", spec, Output(tmp_path / "bundle"), resume=False)
    client, run_id = connect(), str(trained.run_id)
    table = pl.read_csv(client.download_artifacts(run_id, TABLE, str(tmp_path)))
    assert table.columns == ["epoch", "latent_0", "latent_1", "latent_2", "latent_3"]
    assert table["epoch"].to_list() == [1, 2, 3]
    told = [m.value for m in client.get_metric_history(run_id, "latent_kl_max")]
    assert table.drop("epoch").max_horizontal().to_list() == pytest.approx(told, rel=1e-4)
    active = [m.value for m in client.get_metric_history(run_id, "active_units")]
    assert len(active) == 3
    svg = Path(client.download_artifacts(run_id, PLOT, str(tmp_path))).read_text()
    assert f"{active[trained.manifest.provenance.epochs - 1]:.0f} of 4 latents active" in svg


def test_a_run_without_latents_keeps_none(dataset: DatasetDir, tmp_path: Path) -> None:
    spec = ModelSpec("mult-dae", SMALL["mult-dae"], TRAINING)
    trained = train_bundle(dataset, "strong", spec, Output(tmp_path / "bundle"), resume=False)
    assert not connect().list_artifacts(str(trained.run_id), "latents")
