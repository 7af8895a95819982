"""Blends from the weight to the published bundle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines import cli
from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import recipe
from pipelines.dataset.splits import make_split
from pipelines.training.fit import ModelSpec, check_processes, fit
from pipelines.training.model_settings import specify
from pipelines.training.publish import publish_bundle
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.recommender import FallbackChain
from recsys_vae.training.blend_weight import choose_shares, choose_weight
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.parallel import Group
from service.app import create_app
from service.settings import Settings
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.recsys_vae.training.held_out import WORLD, held_out
from tests.worlds import SMALL, csr, untrained

METRIC = "ndcg@3"
TRAINING = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.01, device="cpu", validation_metric=METRIC)
FIXED = ModelSpec("blend", SMALL["blend"], TRAINING)
OPEN = replace(FIXED, config=replace(SMALL["blend"], weight=0.0))  # type: ignore[type-var]


@pytest.fixture
def dataset(mlflow_home: Path) -> DatasetDir:
    return dataset_of_tastes(mlflow_home / "datasets" / "tastes")


def test_the_weight_with_the_highest_value_is_taken() -> None:
    blend, validation = untrained("blend", 12), held_out()
    assert isinstance(blend, Blend)
    values = choose_weight(blend, validation, METRIC)
    assert len(values) == 11
    assert set(np.arange(1, 10) / 10) <= set(values)
    assert values[blend.config.weight] == max(values.values())
    assert values[blend.config.weight] == evaluate(blend, validation, [METRIC]).means[METRIC]
    assert blend.config.weight > 0.2  # the autoencoder has learned nothing, and EASE knows the tastes


def test_a_blend_is_fitted_part_by_part() -> None:
    fitted = fit(OPEN, WORLD.matrix, validation=held_out())
    assert isinstance(fitted.model, Blend)
    assert fitted.config.weight > 0
    alone = fit(ModelSpec("mult-vae", OPEN.config.autoencoder.config, TRAINING), WORLD.matrix, validation=held_out())
    solved = fit(ModelSpec("ease", OPEN.config.linear.config), WORLD.matrix)
    np.testing.assert_array_equal(fitted.model.autoencoder.score(WORLD.matrix), alone.model.score(WORLD.matrix))
    np.testing.assert_array_equal(fitted.model.linear.score(WORLD.matrix), solved.model.score(WORLD.matrix))
    assert fitted.epochs == alone.epochs
    assert fitted.latent_kl.shape == alone.latent_kl.shape


def test_a_finished_autoencoder_is_not_trained_again(tmp_path: Path) -> None:
    checkpoint = tmp_path / "choose.safetensors"
    first = fit(OPEN, WORLD.matrix, validation=held_out(), checkpoint=checkpoint)
    again = fit(OPEN, WORLD.matrix, validation=held_out(), checkpoint=checkpoint, resume=True)
    assert again.history == first.history  # users per second among it
    assert again.config == first.config
    np.testing.assert_array_equal(again.model.score(WORLD.matrix), first.model.score(WORLD.matrix))


def test_a_fixed_weight_stays_and_an_open_one_needs_validation() -> None:
    assert fit(FIXED, WORLD.matrix, validation=held_out()).config.weight == 0.4
    with pytest.raises(ConfigError, match="set weight"):
        fit(OPEN, WORLD.matrix)


def test_training_settings_are_the_autoencoders() -> None:
    spec = specify("blend", {"kl_weight": "0.3", "autoencoder.hidden": "8", "linear.l2": "7"})
    assert spec.training.kl_weight == 0.3
    assert (spec.config.autoencoder.config.hidden, spec.config.linear.config.l2) == (8, 7.0)
    check_processes(spec, Group(0, 2))
    with pytest.raises(ConfigError, match="no KL"):
        specify("blend", {"autoencoder": "mult-dae", "kl_weight": "0.3"})


def test_the_command_line_trains_publishes_and_recommends(dataset: DatasetDir, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> str:
        ended = CliRunner().invoke(cli.build(), [*map(str, arguments)], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.output

    settings = ("autoencoder.hidden=16", "autoencoder.latent=4", "linear=graph-filter", "linear.rank=2")
    options = [option for setting in settings for option in ("--set", setting)]
    run(
        "train", "tastes", "--model", "blend", *options, "--epochs", "3", "--device", "cpu", "--to", tmp_path / "chosen"
    )
    run("evaluate", tmp_path / "chosen", "tastes", "--split", "strong")
    for command in (
        ("publish", tmp_path / "chosen", "tastes", "--to", tmp_path / "shipped"),
        ("recommend", tmp_path / "shipped", "tastes", "--to", tmp_path / "lists.parquet", "--k", "3"),
    ):
        before = sorted(tmp_path.rglob("*"))
        assert "would" in run(*command, "--dry-run")
        assert sorted(tmp_path.rglob("*")) == before
        run(*command)
    chosen, shipped = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("chosen", "shipped"))
    assert chosen["settings"]["weight"] > 0
    assert shipped["settings"] == chosen["settings"]
    assert shipped["settings"]["linear.rank"] == 2
    assert shipped["provenance"]["epochs"] == chosen["provenance"]["epochs"]
    assert shipped["provenance"]["trained_on"] == "all"


def test_the_weight_is_kept_when_a_blend_is_trained_again_on_validation_too(
    dataset: DatasetDir, tmp_path: Path
) -> None:
    make_split(dataset, recipe("last-out"))
    output = Output(tmp_path / "bundle", registered_name="tastes")
    trained = train_bundle(dataset, "last-out", OPEN, output, resume=False)
    assert trained.manifest.provenance.trained_on == "split:last-out/refit"
    assert trained.manifest.settings["weight"] > 0
    publish_bundle(output.path, dataset, replace(output, path=tmp_path / "shipped"), resume=False)
    shipped = Bundle.load(tmp_path / "shipped").manifest.settings
    assert shipped == Bundle.load(tmp_path / "bundle").manifest.settings
    assert shipped["weight"] == trained.manifest.settings["weight"]


OF_FOUR = {
    "autoencoder": "mult-vae", "autoencoder.hidden": 16, "autoencoder.latent": 4, "linear": "popularity",
    "more": "ease,mult-dae", "more.2.hidden": 8,
}  # fmt: skip


def test_shares_of_more_parts_lie_on_the_simplex_and_the_best_are_taken() -> None:
    validation = held_out()
    fitted = fit(ModelSpec("blend", catalog.configure("blend", OF_FOUR), TRAINING), WORLD.matrix, validation=validation)
    blend, shares = fitted.model, fitted.config.shares
    assert isinstance(blend, Blend)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0  # parts without a share are gone
    assert len(blend.parts) == len(shares)
    assert all(len(tried) == 4 and sum(tried) == pytest.approx(1) for tried in fitted.shares)
    best = evaluate(blend, validation, [METRIC]).means[METRIC]
    assert best == pytest.approx(max(fitted.shares.values()), abs=1e-9)
    assert "ease" in [part.model for part in fitted.config.more]  # which knows the tastes
    alone = fit(ModelSpec("mult-dae", catalog.configure("mult-dae", {"hidden": 8}), TRAINING), WORLD.matrix,
                validation=validation)  # fmt: skip
    for part, model in zip(fitted.config.more, blend.more, strict=True):
        if part.model == "mult-dae":
            assert part.epochs == alone.epochs
            np.testing.assert_array_equal(model.score(WORLD.matrix), alone.model.score(WORLD.matrix))


def test_where_shares_tie_the_first_tried_stays() -> None:
    blend = Blend(12, catalog.configure("blend", {"more": "ease"}))
    for part in blend.parts[1:]:
        part.fit(WORLD.matrix)  # type: ignore[attr-defined]
    before = choose_shares(blend, held_out(), METRIC)
    assert blend.config.shares == pytest.approx(next(shares for shares, value in before.items()
                                                     if value == max(before.values())))  # fmt: skip


def test_a_blend_of_more_is_trained_published_updated_and_served(dataset: DatasetDir, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> None:
        ended = CliRunner().invoke(cli.build(), [*map(str, arguments)], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output

    told = OF_FOUR | {"weight": 0.2, "more.1.share": 0.3, "more.2.share": 0.1}
    options = [option for name, value in told.items() for option in ("--set", f"{name}={value}")]
    run("train", "tastes", "--model", "blend", *options, "--epochs", "3", "--to", tmp_path / "chosen")
    run("publish", tmp_path / "chosen", "tastes", "--to", tmp_path / "shipped")
    more = pl.read_parquet(dataset.interactions_path)
    later = more.head(6).with_columns(
        user_id=pl.lit("v"), timestamp=pl.lit(more["timestamp"].max()) + pl.duration(days=1)
    )
    pl.concat([more, later]).write_parquet(dataset.interactions_path)
    run("update", tmp_path / "shipped", "tastes", "--to", tmp_path / "next", "--set", "epochs=1")
    run("recommend", tmp_path / "next", "tastes", "--to", tmp_path / "lists.parquet", "--k", "3")
    chosen, shipped, updated = (Bundle.load(tmp_path / name) for name in ("chosen", "shipped", "next"))
    assert chosen.manifest.settings == shipped.manifest.settings == updated.manifest.settings
    assert shipped.manifest.settings["more.2.epochs"] > 0
    histories = csr([[0, 1, 2]], 12)
    wanted = FallbackChain(updated).recommend(histories, 3)
    with TestClient(create_app(Settings(bundle=tmp_path / "next", store=f"sqlite:///{tmp_path}/e.db"))) as client:
        sent = updated.items.ids(np.array([0, 1, 2]))
        found = client.post("/v1/recommendations", json={"history": sent, "k": 3}).json()["items"]
    assert [item["item_id"] for item in found] == updated.items.ids(wanted.rows[0])
