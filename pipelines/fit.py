"""Fitting: one call for any model of the catalogue, closed form or by gradient."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models import catalog
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.variational import Variational
from recsys_vae.protocols import ClosedFormRecommender, Float32Array, Recommender
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.tracking import Tracker


@dataclass(frozen=True)
class ModelSpec:
    """Which model, and how it is trained.

    Attributes:
        name: in the catalogue.
        config: its configuration.
        training: settings of the loop; closed-form models pass over them.
    """

    name: str
    config: Any
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def is_trained_by_gradient(self) -> bool:
        """Whether the training settings matter."""
        return issubclass(catalog.entry(self.name).model, Trainable)

    @property
    def is_variational(self) -> bool:
        """Whether there is a KL to weigh."""
        return issubclass(catalog.entry(self.name).model, Variational)


@dataclass(frozen=True)
class Fitted:
    """A model that has learned.

    Attributes:
        model: it.
        epochs: passes over the data that its weights have seen; 0 for closed-form models.
        seconds: that it took.
        history, latent_kl: of training by gradient, see `training.loop.TrainingResult`.
    """

    model: Recommender
    epochs: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    latent_kl: Float32Array = field(default_factory=lambda: np.empty((0, 0), np.float32), compare=False)


def check_processes(spec: ModelSpec, group: Group) -> None:
    """Refuse several processes where one does all the work.

    Raises:
        ConfigError: the model is not trained by gradient.
    """
    if group.size > 1 and not spec.is_trained_by_gradient:
        raise ConfigError(f"{spec.name} is solved in closed form, by one process: start it without torchrun.")


def fit(
    spec: ModelSpec,
    interactions: csr_array,
    *,
    validation: HeldOut | None = None,
    tracker: Tracker | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    epochs: int | None = None,
    group: Group = ALONE,
) -> Fitted:
    """Fit a model with fresh weights to interactions, shape (n_users, n_items).

    Args:
        epochs: take this many of the planned epochs, for a model whose best epoch is already chosen.
        validation, tracker, checkpoint, resume, group: see `training.loop.train`.
    """
    torch.manual_seed(spec.training.seed)
    model = catalog.create(spec.name, interactions.shape[1], spec.config)
    if isinstance(model, ClosedFormRecommender):
        started = time.perf_counter()
        model.fit(interactions)
        return Fitted(model, 0, time.perf_counter() - started)
    if not isinstance(model, Trainable):
        raise ConfigError(f"Model {spec.name} is neither fitted in closed form nor trained by gradient.")
    result = train(
        model,
        interactions,
        spec.training,
        validation=validation,
        tracker=tracker,
        checkpoint=checkpoint,
        resume=resume,
        stop_after=epochs,
        progress=True,
        group=group,
    )
    return Fitted(model, result.best_epoch, result.seconds, result.history, result.latent_kl)
