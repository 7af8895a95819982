from pathlib import Path

import pytest
import torch

from recsys_vae.errors import ConfigError, ModelError, UnknownNameError
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.saved import load_image_model
from recsys_vae.training.tracking import connect
from tests.pipelines.commands.saved_images import saved
from tests.pipelines.images.commands.test_figures import run

TINY = ("--set", "prior_width=8", "--set", "prior_layers=1", "--epochs", "1", "--batch-size", "500", "--device", "cpu")


def test_a_fitted_prior_draws_by_class_and_leaves_the_model_as_it_was(tmp_path: Path, mlflow_home: Path) -> None:
    model = saved("vq-vae", tmp_path)
    before = load_image_model(Path(model)).model
    told = run("fit-prior", model, "--prior", "transformer", "--by-class", *TINY)
    assert "transformer over 4 codes an image, epoch 1; on validation " in told
    run("sample", model, "--to", str(tmp_path / "classes.png"), "--by-class", "--n", "2")
    found = load_image_model(Path(model))
    assert isinstance(found.model, VectorQuantized)
    assert found.model.config.classes == 10
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.model(x), before(x))
    nats = found.manifest.origin.metrics["validation_prior_nats"]
    assert f"{nats:.2f} nats" in told
    run_id = told.split()[-1]
    assert connect().get_run(run_id).data.metrics["validation_loss"] == pytest.approx(nats)


def test_what_has_no_codes_or_no_such_setting_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this is a vae"):
        run("fit-prior", saved("vae", tmp_path))
    model = saved("vq-vae", tmp_path)
    with pytest.raises(UnknownNameError, match="prior_width"):
        run("fit-prior", model, "--set", "prior_widht=8")
    with pytest.raises(UnknownNameError, match="transformer"):
        run("fit-prior", model, "--prior", "transfomer", *TINY)


def test_an_interrupted_fit_is_not_started_over_unasked(tmp_path: Path) -> None:
    model = saved("vq-vae", tmp_path)
    (tmp_path / ".vq-vae.training").mkdir()
    (tmp_path / ".vq-vae.training" / "prior.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="--resume"):
        run("fit-prior", model, *TINY)
