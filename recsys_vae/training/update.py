"""Updating: one call for any model of the catalogue, as `fit` is for fitting.

A model that is `Updatable` learns the difference alone. One that is trained by gradient begins where it stood, by a
function of WARM_STARTS. Any other that is solved in closed form is fitted to what there is after the change.
"""

import time
from collections.abc import Callable, Mapping

from recsys_vae.errors import ModelError
from recsys_vae.models import catalog
from recsys_vae.models.blend import Blend
from recsys_vae.models.elsa import ELSA
from recsys_vae.models.trainable import Trainable
from recsys_vae.models.updatable import REFIT, WARM, Updatable, Updated
from recsys_vae.protocols import ClosedFormRecommender, Recommender
from recsys_vae.training.fit import Fitted
from recsys_vae.training.update_run import Update, UpdateRun
from recsys_vae.training.warm_elsa import warm_start_elsa
from recsys_vae.training.warm_update import warm_update

WARM_STARTS: tuple[tuple[type, Callable[[Recommender, UpdateRun], Update]], ...] = (
    (ELSA, warm_start_elsa),
    (Blend, warm_update),
    (Trainable, warm_update),
)
"""Classes of models and how they are trained further; the first that a model is an instance of counts."""


def plan(parent: Recommender, run: UpdateRun) -> Mapping[str, float | str]:
    """How a model would be updated, without doing it.

    Raises:
        ModelError: it cannot be.
    """
    if isinstance(parent, Updatable):
        return parent.plan(run.change)
    return {"how": REFIT if _warm_start_of(parent, run) is None else WARM}


def update(parent: Recommender, run: UpdateRun) -> Update:
    """A model that has learned `run.change.after`, made of one that has learned `run.change.before`; that one stays.

    Raises:
        ModelError: the model cannot be updated.
    """
    started = time.perf_counter()
    if isinstance(parent, Updatable):
        made = parent.updated(run.change)
    elif warm_start := _warm_start_of(parent, run):
        return warm_start(parent, run)
    else:
        made = _refitted(run)
    return Update(Fitted(made.model, 0, time.perf_counter() - started), made.how, made.figures)


def takes_settings(parent: Recommender) -> bool:
    """Whether `UpdateRun.warm_start` has an effect on the update of a model."""
    return next((start for kind, start in WARM_STARTS if isinstance(parent, kind)), None) is warm_update


def _warm_start_of(parent: Recommender, run: UpdateRun) -> Callable[[Recommender, UpdateRun], Update] | None:
    """How a model is trained further; None where it is solved in closed form."""
    found = next((start for kind, start in WARM_STARTS if isinstance(parent, kind)), None)
    if found is None and not isinstance(parent, ClosedFormRecommender):
        raise ModelError(f"{run.spec.name} cannot be updated: train and publish it again on the new data.")
    if run.erased and found is not None:
        raise ModelError(
            f"{run.spec.name} cannot forget users by further training: what its weights have learned of them stays. "
            "Ingest the data without them, then train and publish it again."
        )
    return found


def _refitted(run: UpdateRun) -> Updated:
    model = catalog.create(run.spec.name, run.change.after.n_items, run.spec.config)
    assert isinstance(model, ClosedFormRecommender)
    model.fit(run.learned_from(model))
    return Updated(model, REFIT)
