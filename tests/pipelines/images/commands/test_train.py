import inspect
import json
import os
import signal
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from pipelines import cli
from pipelines.images.commands.group import GROUPS
from pipelines.images.train import ImageModelSpec, specify_image_model
from recsys_vae.errors import ConfigError, RecsysError, UnknownNameError
from recsys_vae.images.models import catalog
from recsys_vae.images.saved import load_image_model
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.training.saver import CheckpointSaver
from recsys_vae.training.tracking import connect

TINY = ("--set", "hidden=8", "--set", "latent=3", "--epochs", "2", "--device", "cpu", "--batch-size", "500")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.build(), ["images", *map(str, arguments)])


def train(to: Path, *more: str | Path) -> Result:
    return run("train", "--model", "ae", "--data", "digits", "--to", to, *TINY, *more)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "pictures" / ("even" if number % 2 == 0 else "odd") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (9, 9, 3), np.uint8)).save(path)
    return tmp_path / "pictures"


def test_train_saves_a_model_and_tells_the_tracker(tmp_path: Path, mlflow_home: Path) -> None:
    result = train(tmp_path / "model")
    assert result.exit_code == 0, result.output
    assert "on digits, grayscale pixels: 1,437 images" in result.output
    saved = load_image_model(tmp_path / "model")
    origin = saved.manifest.origin
    assert (origin.dataset, origin.n_images, origin.epochs, len(saved.history)) == ("digits", 1437, 2, 2)
    assert origin.metrics["validation_loss"] == saved.history[1]["validation_loss"]
    assert f"{origin.metrics['validation_loss']:.3f}" in result.output
    assert list(origin.labels) == list("0123456789")
    tracked = connect().get_run(str(origin.run_id))
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["model.latent"] == "3"
    assert tracked.data.metrics["validation_loss"] == pytest.approx(origin.metrics["validation_loss"])
    assert [path.name for path in tmp_path.iterdir() if "model" in path.name] == ["model"]  # the checkpoint is gone


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_run_is_resumed_to_the_same_model(
    tmp_path: Path, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = CheckpointSaver.save_if_due

    def press(saver: CheckpointSaver, state: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        step(saver, state)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointSaver, "save_if_due", press)
        assert train(tmp_path / "model").exit_code == cli.INTERRUPTED
    assert not (tmp_path / "model").exists()
    unasked = train(tmp_path / "model")
    assert isinstance(unasked.exception, ConfigError)
    assert "--resume" in str(unasked.exception)
    assert train(tmp_path / "model", "--resume").exit_code == 0
    assert train(tmp_path / "whole").exit_code == 0
    resumed, whole = (load_image_model(tmp_path / name).model.state_dict() for name in ("model", "whole"))
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
    runs = connect().search_runs([connect().get_experiment_by_name("images-digits").experiment_id])
    assert [found.info.status for found in runs] == ["FINISHED", "FINISHED"]  # the first one went on in its own run


def test_a_folder_is_read_in_colour_and_files_passed_over_are_named(
    tmp_path: Path, mlflow_home: Path, pictures: Path
) -> None:
    (pictures / "even" / "broken.png").write_bytes(b"no picture")
    options = ("--size", "8", "--colour", "--set", "channels=2", "--set", "latent=2", "--epochs", "1")
    result = run("train", "--model", "conv-ae", "--data", pictures, "--to", tmp_path / "model", *options)
    assert result.exit_code == 0, result.output
    assert "passed over even/broken.png: its content is none of PNG" in result.output
    manifest = load_image_model(tmp_path / "model").manifest
    assert manifest.shape == (3, 8, 8)
    assert list(manifest.origin.labels) == ["even", "odd"]
    assert manifest.origin.dataset == str(pictures)


def test_every_whole_number_among_the_options_has_a_least_value_and_less_is_refused() -> None:
    images = typer.Typer()
    for group in GROUPS:
        import_module(f"pipelines.images.commands.{group}").mount(images)
    seen = set()
    for verb in images.registered_commands:
        for name, kind in inspect.signature(verb.callback or run).parameters.items():
            declared, *extras = get_args(kind.annotation) or (kind.annotation,)
            if declared in (int, int | None):
                seen.add(name)
                assert extras[0].min is not None, (verb.callback, name)
    assert seen >= {"size", "epochs", "batch_size", "seed", "n", "label", "steps", "image", "dimensions", "pairs"}
    for option in ("--size", "--epochs", "--batch-size"):
        result = run("train", "--model", "ae", "--data", "shapes", "--to", "x", option, "0")
        assert result.exit_code == 2
        assert option in result.output


def test_what_is_complete_is_not_replaced_unasked(tmp_path: Path, mlflow_home: Path) -> None:
    (tmp_path / "model").mkdir()
    refused = train(tmp_path / "model")
    assert isinstance(refused.exception, ConfigError)
    assert "--overwrite" in str(refused.exception)
    assert train(tmp_path / "model", "--overwrite").exit_code == 0
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["kind"] == "image model"


@pytest.mark.usefixtures("recsys_home")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "aee", "--data", "digits"), "Did you mean 'ae'"),
        (("--model", "ae", "--data", "digit"), "Did you mean 'digits'"),
        (("--model", "ae", "--data", "digits", "--set", "latents=3"), "Did you mean 'latent'"),
        (("--model", "ae", "--data", "digits", "--set", "latent=0"), "at least 1"),
        (("--model", "ae", "--data", "digits", "--size", "9"), "size is for shapes"),
        (("--model", "conv-ae", "--data", "digits", "--set", "halvings=5"), "halved 5 times"),
        (("--model", "ae", "--data", "digits", "--set", "seed=-1"), "seed is a whole number from 0"),
        (("--model", "ae", "--data", "shapes", "--size", "9"), "32 to 64 pixels wide"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("train", *arguments, "--to", tmp_path / "model")
    assert isinstance(result.exception, RecsysError)
    assert message in str(result.exception)
    assert not (tmp_path / "model").exists()


def test_models_are_listed_with_their_settings() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(cli.build(), ["images", "models"])
    assert result.exit_code == 0
    assert all(name in result.output for name in catalog.CATALOG)
    assert "sparsity=l1" in result.output


def test_no_model_has_a_setting_of_the_same_name_as_one_of_the_training() -> None:
    of_training = set(ImageTrainingConfig.__dataclass_fields__)
    for name, entry in catalog.CATALOG.items():
        assert not of_training & set(entry.config.__dataclass_fields__), name


def test_settings_go_to_the_model_or_to_its_training() -> None:
    spec = specify_image_model("ae", {"latent": "3", "epochs": "7", "keep_best": "false"})
    assert (spec.config.latent, spec.training.epochs, spec.training.keep_best) == (3, 7, False)
    with pytest.raises(UnknownNameError, match="setting of ae"):
        specify_image_model("ae", {"channels": 3})


def test_a_conditional_model_takes_the_classes_of_its_images() -> None:
    from dataclasses import dataclass, replace

    from pipelines.images.datasets import load_images

    @dataclass(frozen=True)
    class Conditional:
        classes: int = 2

    parts = load_images("digits")
    assert ImageModelSpec("any", Conditional()).with_classes_of(parts).config.classes == 10
    assert ImageModelSpec("any", Conditional(0)).with_classes_of(parts).config.classes == 0
    with pytest.raises(ConfigError, match="subfolders"):
        ImageModelSpec("any", Conditional()).with_classes_of(replace(parts, labels=()))
