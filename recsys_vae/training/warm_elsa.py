"""Warm start of ELSA: the factors of an earlier training, with rows for the items that came in, trained further.

A new item begins at the direction in which the histories that hold it point. All users are learned from again, a share
of the epochs that the factors have seen: the factors of all items move with those of new ones.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.data.change import Change
from recsys_vae.data.signals import shown_to
from recsys_vae.models.elsa import ELSA
from recsys_vae.models.updatable import WARM
from recsys_vae.models.weighting import options_of
from recsys_vae.protocols import Float32Array, Recommender
from recsys_vae.training.fit import Fitted
from recsys_vae.training.loop import train
from recsys_vae.training.update_run import Update, UpdateRun

SHARE = 0.2
"""Of the epochs that the parent has seen, at least 1."""


def warm_start_elsa(parent: Recommender, run: UpdateRun) -> Update:
    """An ELSA that has learned the change, trained from the factors of its parent."""
    assert isinstance(parent, ELSA)
    training = run.spec.training
    torch.manual_seed(training.seed)
    model = ELSA(run.change.after.n_items, parent.config)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(_factors(parent, model, run.change)))
    epochs = max(1, math.ceil(SHARE * (run.epochs_before or training.epochs)))
    result = train(
        model,
        run.learned_from(model),
        replace(training, epochs=epochs),
        tracker=run.tracker,
        checkpoint=run.checkpoint,
        resume=run.resume,
        progress=run.progress,
    )
    fitted = Fitted(model, run.epochs_before + result.best_epoch, result.seconds, result.history, result.latent_kl)
    return Update(fitted, WARM, {"epochs": result.best_epoch})


def _factors(parent: ELSA, fresh: ELSA, change: Change) -> Float32Array:
    """Rows of the parent; of new items the sum of the histories that hold them, as long as a row of the parent."""
    before = parent.tensors()["weight"].astype(np.float32)
    found = fresh.tensors()["weight"].astype(np.float32)
    is_new = change.item_rows < 0
    found[~is_new] = before[change.item_rows[~is_new]]
    if not is_new.any():
        return found
    shown = options_of(parent.config).inputs(shown_to(parent, change.to_learn))
    lengths = np.linalg.norm(found, axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny)
    known = np.where(is_new[:, None], 0, found / lengths).astype(np.float32)
    sums = csr_array(shown.T)[np.flatnonzero(is_new)] @ (shown @ known)
    size = np.linalg.norm(sums, axis=1, keepdims=True)
    scale = float(np.linalg.norm(before, axis=1).mean())
    found[is_new] = np.where(size > 0, scale * sums / np.where(size > 0, size, 1), found[is_new])
    return found
