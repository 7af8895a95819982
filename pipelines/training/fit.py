"""Fitting, as the command line does it: with a bar, and with a word on what was chosen."""

from pathlib import Path

from scipy.sparse import csr_array

from pipelines.sizing.training_memory import check_memory
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.blend import Blend
from recsys_vae.models.cost import Sizes
from recsys_vae.training import fit as fitting
from recsys_vae.training.fit import Fitted, ModelSpec
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.tracking import Tracker

__all__ = ["Fitted", "ModelSpec", "check_processes", "fit"]


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
    metadata: csr_array | None = None,
    item_metadata: csr_array | None = None,
    dislikes: csr_array | None = None,
    order: csr_array | None = None,
) -> Fitted:
    """Fit a model with fresh weights, see `recsys_vae.training.fit.fit`, and show how it goes.

    Raises:
        ConfigError: it takes more memory than is free; the message says what would fit.
    """
    check_memory(spec.name, spec.config, Sizes.of(interactions))
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
    )
    if fitted.weights and isinstance(fitted.model, Blend):
        weight, metric = fitted.model.config.weight, spec.training.validation_metric
        print(f"weight {weight:g} of the linear part: {metric} {fitted.weights[weight]:.4f} on validation", flush=True)
    return fitted
