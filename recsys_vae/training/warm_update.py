"""Warm update: the update of a model that is trained by gradient, or of a blend that holds one."""

import time
from dataclasses import replace

import numpy as np

from recsys_vae.data.signals import shown_to
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend, Part
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.updatable import WARM, Updatable
from recsys_vae.models.weighting import options_of
from recsys_vae.protocols import ClosedFormRecommender, Int64Array, Recommender
from recsys_vae.training.fit import Fitted, ModelSpec, fit, solve, suited
from recsys_vae.training.update_run import Update, UpdateRun
from recsys_vae.training.warm_start import WarmStart


def warm_update(parent: Recommender, run: UpdateRun) -> Update:
    """Train a model further on what came in and on a sample of the rest; the parent stays as it is.

    Of a blend each part is trained further or updated; the shares stay.

    The epochs of what is made are the parent's: there its KL schedule stands, and so many a full training takes again.
    """
    if isinstance(parent, Blend):
        return _blend(parent, run)
    assert isinstance(parent, Trainable)
    start = WarmStart(
        parent,
        rows=_rows_learned(run),
        has_news=np.isin(np.arange(run.change.after.n_users), _users_with_news(parent, run)),
        epochs_before=run.epochs_before,
        number=run.number,
        content=run.content if run.item_metadata is None else run.item_metadata,
        config=run.warm_start,
    )
    fitted = fit(
        run.spec,
        run.change.to_learn,
        validation=run.validation,
        tracker=run.tracker,
        checkpoint=run.checkpoint,
        resume=run.resume,
        metadata=run.metadata,
        item_metadata=run.item_metadata,
        order=run.order,
        warm_start=start,
        progress=run.progress,
    )
    figures = {"epochs": fitted.epochs, "replay": run.warm_start.replay, "beta": fitted.history[-1]["kl_weight"]}
    return Update(replace(fitted, epochs=run.epochs_before), WARM, figures)


def _rows_learned(run: UpdateRun) -> Int64Array:
    """The parent's row of each item; -1 of new items, and of those that nobody had touched: content had placed them."""
    rows, counts = run.change.item_rows, run.change.before.item_counts()
    return np.where((rows >= 0) & (counts[rows] > 0), rows, -1)


def _users_with_news(parent: Trainable, run: UpdateRun) -> Int64Array:
    """Rows of the users of whom the parent is shown something else than before."""
    options, change = options_of(parent.config), run.change
    if options.is_plain:
        return change.changed_after
    return change.differing_after(lambda histories: options.inputs(shown_to(parent, histories)))


def _further(part: Part, model: Recommender, number: int, run: UpdateRun) -> tuple[Recommender, float]:
    """A further part of a blend after the change, and the seconds that it took."""
    started = time.perf_counter()
    if isinstance(model, Updatable):
        return model.updated(run.change).model, time.perf_counter() - started
    if isinstance(model, Trainable):
        place = run.checkpoint
        place = None if place is None else place.with_name(f"{place.stem}-{number}{place.suffix}")
        spec = ModelSpec(part.model, part.config, suited(run.spec.training, part.model))
        own = replace(run, spec=spec, epochs_before=part.epochs, checkpoint=place, tracker=None, metadata=None)
        fitted = warm_update(model, own).fitted
        return fitted.model, fitted.seconds
    made = catalog.create(part.model, run.change.after.n_items, part.config)
    assert isinstance(made, ClosedFormRecommender)
    return made, solve(made, run.change.to_learn)


def _blend(parent: Blend, run: UpdateRun) -> Update:
    part = parent.config.autoencoder
    made = warm_update(parent.autoencoder, replace(run, spec=ModelSpec(part.model, part.config, run.spec.training)))
    blend = catalog.create(run.spec.name, run.change.after.n_items, parent.config)
    assert isinstance(blend, Blend)
    assert isinstance(made.fitted.model, Trainable)
    blend.autoencoder, seconds = made.fitted.model, made.fitted.seconds
    if isinstance(parent.linear, Updatable):
        updated = parent.linear.updated(run.change).model
        assert isinstance(updated, type(parent.linear))
        blend.linear = updated
    else:
        seconds += solve(blend.linear, run.change.to_learn)
    for number, (part, model) in enumerate(zip(parent.config.more, parent.more, strict=True), start=1):
        blend.more[number - 1], spent = _further(part, model, number, run)
        seconds += spent
    fitted = Fitted(blend, made.fitted.epochs, seconds, made.fitted.history, made.fitted.latent_kl)
    return replace(made, fitted=fitted)
