"""Fit a prior over the codes of a saved VQ model, so that it can draw images; the saved model then carries it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.artifacts.workspace import check_workspace, clear_workspace
from pipelines.images.datasets import load_images_for
from pipelines.images.splits import ImageParts
from pipelines.images.train import EXPERIMENT, ImageOutput
from recsys_vae.errors import ConfigError, ModelError, UnknownNameError
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.priors.prior_config import PriorConfig
from recsys_vae.images.saved import WRITTEN, ImageManifest, SavedImageModel, load_image_model, save_image_model
from recsys_vae.images.training.code_prior import fit_prior
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.settings import with_plain_settings
from recsys_vae.training.checkpoint import saved_run_id
from recsys_vae.training.tracking import tracked_run

CHECKPOINT = "prior.safetensors"
DECIDED = ("prior", "classes", "pixels")
"""Settings that the command or the saved model decides."""


@dataclass(frozen=True)
class FittedPrior:
    """What a fit made.

    Attributes:
        manifest: of the saved model, that now carries the prior.
        nats: -log p(codes) of the validation part, an image.
        codes: of an image.
        epoch: epochs that the kept weights have seen.
        run_id: at the tracking server.
    """

    manifest: ImageManifest
    nats: float
    codes: int
    epoch: int
    run_id: str | None

    @property
    def bits(self) -> float:
        """That an image's codes take."""
        return self.nats / math.log(2)


def fit_saved_prior(
    directory: Path,
    kind: str,
    settings: Mapping[str, Any],
    *,
    data: str | None = None,
    by_class: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> FittedPrior:
    """Fit a prior to the codes of the images that a model has learned from, and write the model with it in place.

    Args:
        directory: of the saved model.
        kind: pixelcnn or transformer.
        settings: of the prior (`prior_width` ...) and of its training, by name.
        data: where these images lie now, if not where they lay.
        by_class: whether the prior is conditional on the labels.

    Raises:
        ModelError: the model has no codes.
        UnknownNameError: no such setting.
        ConfigError: a value out of its range, labels asked for where there are none, or an interrupted fit that is
            neither resumed nor removed.
    """
    saved, output = load_image_model(directory), ImageOutput(directory, overwrite=True)
    check_workspace(output, resume, WRITTEN)
    model = _quantized(saved)
    prior, training = _divided(settings, saved.manifest.origin.pixels)
    parts = load_images_for(data or saved.manifest.origin.dataset, saved.manifest.shape)
    torch.manual_seed(training.seed)
    distribution = model.add_prior(kind, classes=_classes(parts) if by_class else 0, **prior)
    checkpoint = output.workspace / CHECKPOINT
    experiment, run_id = f"{EXPERIMENT}-{Path(parts.name).name}", saved_run_id(checkpoint) if resume else None
    with tracked_run(experiment, f"{saved.manifest.model}-prior", run_id=run_id) as tracker:
        tracker.log_parameters({"model": saved.manifest.version, "prior": kind} | prior | dict(settings))
        result = fit_prior(
            model,
            parts.train,
            training,
            validation=parts.validation,
            tracker=tracker,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
        )
        told = {"validation_prior_nats": result.validation_loss}
        origin = replace(saved.manifest.origin, metrics=dict(saved.manifest.origin.metrics) | told)
        manifest = save_image_model(directory, model, origin, saved.history, saved.examples)
    clear_workspace(output.workspace)
    return FittedPrior(manifest, result.validation_loss, distribution.layout.length, result.epoch, tracker.run_id)


def _quantized(saved: SavedImageModel) -> VectorQuantized:
    if not isinstance(saved.model, VectorQuantized):
        raise ModelError(
            f"A prior over codes is for models with a codebook, and this is a {saved.manifest.model}: train a vq-vae "
            "or vq-vae-2."
        )
    return saved.model


def _divided(settings: Mapping[str, Any], pixels: str) -> tuple[dict[str, Any], ImageTrainingConfig]:
    """Settings of the prior, and of its training."""
    own, of_training = ({item.name for item in fields(kind)} for kind in (PriorConfig, ImageTrainingConfig))
    known = (own | of_training).difference(DECIDED)
    if unknown := sorted(settings.keys() - known):
        raise UnknownNameError("setting of a prior", unknown[0], known)
    named = {name: value for name, value in settings.items() if name in own}
    prior = with_plain_settings(PriorConfig(), named, of="the prior")
    rest = {name: value for name, value in settings.items() if name not in own}
    training = with_plain_settings(ImageTrainingConfig(pixels=pixels), rest, of="training")
    return {name: getattr(prior, name) for name in named}, training


def _classes(parts: ImageParts) -> int:
    if not parts.labels:
        raise ConfigError(
            f"{parts.name} has no labels, so a prior cannot be conditional on them: leave --by-class out."
        )
    return len(parts.labels)
