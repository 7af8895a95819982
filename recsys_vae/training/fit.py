"""Fitting: one call for any model of the catalogue, closed form or by gradient."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.data.signals import shown_to, signed
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.models.configs.blend import Part, Parts
from recsys_vae.models.configs.hybrid import HybridOptions
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.item_parts import ItemPart, item_tables_of
from recsys_vae.protocols import ClosedFormRecommender, Float32Array, Recommender
from recsys_vae.training.blend_weight import choose_shares, choose_weight
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.sharded_run import is_finished
from recsys_vae.training.spec import LEARNER, LINEAR, ModelSpec, default_training, suited
from recsys_vae.training.tracking import Tracker
from recsys_vae.training.warm_start import WarmStart

__all__ = ["Fitted", "KeptParts", "ModelSpec", "default_training", "fit", "solve", "suited"]


@dataclass(frozen=True)
class Fitted:
    """A model that has learned.

    Attributes:
        model: it.
        epochs: passes over the data that its weights have seen; 0 for closed-form models.
        seconds: that it took; of a blend, the autoencoder's and the linear part's together.
        history: of training by gradient, see `training.loop.TrainingResult`.
        latent_kl: of training by gradient, as there.
        weights: of a blend of two whose weight was open, the validation metric by weight, of all that were tried.
        shares: likewise of a blend of more, by the shares of its parts.
    """

    model: Recommender
    epochs: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)
    latent_kl: Float32Array = field(default_factory=lambda: np.empty((0, 0), np.float32), compare=False)
    weights: dict[float, float] = field(default_factory=dict)
    shares: dict[tuple[float, ...], float] = field(default_factory=dict)

    @property
    def config(self) -> Any:
        """Configuration of the model, with what was chosen on validation in it: to be fitted again on more data."""
        return self.model.config  # type: ignore[attr-defined]


@dataclass
class KeptParts:
    """Parts of blends that are the same from fit to fit, and so fitted once.

    Attributes:
        names: as settings of theirs begin: `autoencoder`, `linear`, `more.1`; all that decides them is the same in
            every fit that is given these.
        fitted: those that have been, by name.
    """

    names: frozenset[str] = frozenset()
    fitted: dict[str, Fitted] = field(default_factory=dict)

    def of(self, name: str, made: Callable[[], Fitted]) -> Fitted:
        """A part as it was fitted, without the seconds that it took; made where it was not, or is none of these."""
        if name in self.fitted:
            return replace(self.fitted[name], seconds=0.0)
        found = made()
        if name in self.names:
            self.fitted[name] = found
        return found


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
    order: csr_array | None = None,
    warm_start: WarmStart | None = None,
    progress: bool = False,
    dislikes: csr_array | None = None,
    by_gradient_alone: bool = False,
    kept: KeptParts | None = None,
) -> Fitted:
    """Fit a model with fresh weights, or those of a parent, to interactions, shape (n_users, n_items).

    Of a blend, first the autoencoder, its best epoch chosen as if it were alone, then the linear part and further ones,
    likewise; then the shares, by the metric that chose the epoch. In a group of processes all but the first train the
    autoencoder only. What is not listed here is as in `training.loop.train`.

    Args:
        interactions: may be signed; models that take no dislikes are shown what is liked.
        epochs: take this many of the planned epochs, for a model whose best epoch is already chosen.
        dislikes: what the users dislike, weights above 0, of the shape of the interactions; models that take no
            dislikes never see them.
        order: of the interactions, in their pattern; models that do not go by it pass over it.
        warm_start: go on from a parent that was trained with the training settings of `spec`, on those whom it names; a
            linear part is still solved on all.
        by_gradient_alone: leave out of a blend what is not trained here, for workers whose checkpoint is what counts.
        kept: parts of a blend that earlier fits have fitted, or this one is to fit for later ones.

    Raises:
        ConfigError: the model is asked to take metadata that are not given.
        ConfigError: the shares of a blend are open, and there is nobody to choose it on.
        ConfigError: the parent of a warm start is solved in closed form, or configured otherwise.
    """
    torch.manual_seed(spec.training.seed)
    if spec.training.shard_items and warm_start is None:
        model = _made_in_parts(spec, interactions.shape[1], group, checkpoint if resume else None)
    else:
        model = catalog.create(spec.name, interactions.shape[1], spec.config)
    if isinstance(model, ClosedFormRecommender):
        if warm_start is not None:
            raise ConfigError(f"{spec.name} is solved in closed form: there is no training to go on with. Fit it anew.")
        return _solved(model, interactions, dislikes)
    learner = model.autoencoder if isinstance(model, Blend) else model
    if not isinstance(learner, Trainable):
        raise ConfigError(f"Model {spec.name} is neither fitted in closed form nor trained by gradient.")
    _check_metadata(learner, metadata, item_metadata)
    blend = model if isinstance(model, Blend) and group.is_first and not by_gradient_alone else None
    if blend and not blend.config.weight and validation is None:
        raise ConfigError("The weight of a blend is chosen on validation, and there is none here: set weight.")
    training, learned_from = spec.training, _shown(learner, interactions, dislikes)
    if warm_start is not None:
        warm_start.begin(learner, learned_from, order)
        training = warm_start.training(training)

    def trained() -> Fitted:
        result = train(
            learner,
            learned_from,
            training,
            validation=validation,
            tracker=tracker,
            checkpoint=checkpoint,
            resume=resume,
            stop_after=epochs,
            progress=progress,
            group=group,
            metadata=metadata,
            item_metadata=item_metadata,
            order=order,
            started_from=warm_start.fingerprint() if warm_start else "",
            replay=warm_start.replay if warm_start else None,
        )
        return Fitted(learner, result.best_epoch, result.seconds, result.history, result.latent_kl)

    if not blend:
        return replace(trained(), model=model)
    kept = kept or KeptParts()
    alone = kept.of(LEARNER, trained)
    linear = kept.of(LINEAR, lambda: _solved(blend.linear, interactions, dislikes))
    blend.autoencoder, blend.linear = alone.model, linear.model  # type: ignore[assignment]
    seconds = alone.seconds + linear.seconds
    seconds += _fit_more(blend, spec, interactions, dislikes, validation, checkpoint, order, kept, resume=resume)
    weights: dict[float, float] = {}
    shares: dict[tuple[float, ...], float] = {}
    if validation is not None and not blend.config.weight:
        if blend.more:
            shares = choose_shares(blend, validation, spec.training.validation_metric)
        else:
            weights = choose_weight(blend, validation, spec.training.validation_metric)
        if tracker is not None:
            tracker.log_metrics({"linear_weight": blend.config.weight}, alone.epochs)
    return replace(alone, model=blend, seconds=seconds, weights=weights, shares=shares)


def _made_in_parts(spec: ModelSpec, n_items: int, group: Group, resumed: Path | None) -> Recommender:
    """A model with fresh weights, this process's of the item tables; none where those of a complete run are there."""
    if resumed is not None and is_finished(resumed):
        with torch.device("meta"):
            return catalog.create(spec.name, n_items, spec.config)
    dtype = getattr(torch, spec.training.table_precision)
    with item_tables_of(ItemPart(group.rank, group.size, dtype)):
        return catalog.create(spec.name, n_items, spec.config)


def _fit_more(
    blend: Blend,
    spec: ModelSpec,
    interactions: csr_array,
    dislikes: csr_array | None,
    validation: HeldOut | None,
    checkpoint: Path | None,
    order: csr_array | None,
    kept: KeptParts,
    *,
    resume: bool,
) -> float:
    """Fit the further parts of a blend, each as if it were alone; returns the seconds that they took."""
    seconds, parts = 0.0, []

    def alone(number: int, part: Part) -> Fitted:
        place = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-{number}{checkpoint.suffix}")
        return fit(
            ModelSpec(part.model, part.config, suited(spec.training, part.model)),
            interactions,
            validation=validation,
            checkpoint=place,
            resume=resume,
            epochs=part.epochs or None,
            order=order,
            dislikes=dislikes,
        )

    for number, part in enumerate(blend.config.more, start=1):
        fitted = kept.of(f"more.{number}", partial(alone, number, part))
        blend.more[number - 1] = fitted.model
        parts.append(replace(part, epochs=fitted.epochs))
        seconds += fitted.seconds
    blend.config = replace(blend.config, more=Parts(parts))
    return seconds


def _solved(model: ClosedFormRecommender, interactions: csr_array, dislikes: csr_array | None) -> Fitted:
    return Fitted(model, 0, solve(model, _shown(model, interactions, dislikes)))


def _shown(model: Recommender, interactions: csr_array, dislikes: csr_array | None) -> csr_array:
    """What a model learns from: signed where it takes dislikes."""
    return shown_to(model, signed(interactions, dislikes))


def _check_metadata(learner: Trainable, metadata: csr_array | None, item_metadata: csr_array | None) -> None:
    config = learner.config
    if not isinstance(config, HybridOptions):
        return
    for name, asked, given in (
        ("user_metadata", config.user_metadata, metadata),
        ("item_metadata", config.item_metadata, item_metadata),
    ):
        if asked and given is None:
            raise ConfigError(f"{name} asks for metadata that are not given; a blend hands none on. Leave it out.")


def solve(model: ClosedFormRecommender, interactions: csr_array) -> float:
    """Fit a model in closed form, to what it may be shown of signed interactions; returns the seconds that it took."""
    started = time.perf_counter()
    model.fit(shown_to(model, interactions))
    return time.perf_counter() - started
