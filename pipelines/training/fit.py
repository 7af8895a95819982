"""Fitting, as the command line does it: with a bar, and with a word on what was chosen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scipy.sparse import csr_array

from pipelines.sizing.training_memory import Need, check_memory
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.models.cost import Sizes
from recsys_vae.training import fit as fitting
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import Fitted, KeptParts, ModelSpec
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.sharded_run import is_finished
from recsys_vae.training.tracking import Tracker

__all__ = ["Fitted", "KeptParts", "ModelSpec", "check_processes", "check_room", "fit", "spec_told"]


def spec_told(model: str, settings: Mapping[str, Any], training: Mapping[str, Any]) -> ModelSpec:
    """A model and its training as a manifest tells of them, to be repeated.

    Raises:
        ConfigError, UnknownNameError: there is a name or a value that this version does not know.
    """
    config = catalog.configure(model, settings)
    return ModelSpec(model, config, catalog.with_settings(TrainingConfig(), training, of="training"))


def check_processes(spec: ModelSpec, group: Group) -> None:
    """Refuse several processes where one does all the work.

    Raises:
        ConfigError: the model is not trained by gradient.
    """
    if group.size > 1 and not spec.is_trained_by_gradient:
        raise ConfigError(f"{spec.name} is solved in closed form, by one process: start it without torchrun.")


def check_room(spec: ModelSpec, interactions: csr_array, group: Group, resumed: Path | None) -> Need | None:
    """What a training takes of this process; None where workers have done it and their weights are mapped.

    Raises:
        ConfigError: it takes more memory than is free; the message says what would fit.
    """
    if spec.training.shard_items and resumed is not None and is_finished(resumed):
        return None
    return check_memory(spec.name, spec.config, Sizes.of(interactions), spec.training, workers=group.size)


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
    metadata: csr_array | None = None,
    item_metadata: csr_array | None = None,
    dislikes: csr_array | None = None,
    order: csr_array | None = None,
    by_gradient_alone: bool = False,
    kept: KeptParts | None = None,
) -> Fitted:
    """Fit a model with fresh weights, see `recsys_vae.training.fit.fit`, and show how it goes.

    Raises:
        ConfigError: it takes more memory than is free; the message says what would fit.
    """
    check_room(spec, interactions, group, checkpoint if resume else None)
    fitted = fitting.fit(
        spec,
        interactions,
        validation=validation,
        tracker=tracker,
        checkpoint=checkpoint,
        resume=resume,
        epochs=epochs,
        group=group,
        metadata=metadata,
        item_metadata=item_metadata,
        order=order,
        progress=True,
        dislikes=dislikes,
        by_gradient_alone=by_gradient_alone,
        kept=kept,
    )
    if fitted.weights and isinstance(fitted.model, Blend):
        weight, metric = fitted.model.config.weight, spec.training.validation_metric
        print(f"weight {weight:g} of the linear part: {metric} {fitted.weights[weight]:.4f} on validation", flush=True)
    if fitted.shares and isinstance(fitted.model, Blend):
        config, metric = fitted.model.config, spec.training.validation_metric
        names = (config.autoencoder.model, config.linear.model, *(part.model for part in config.more))
        told = ", ".join(f"{name} {share:g}" for name, share in zip(names, config.shares, strict=True))
        print(f"shares {told}: {metric} {max(fitted.shares.values()):.4f} on validation", flush=True)
    return fitted
