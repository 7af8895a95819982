"""Latents: the KL by latent dimension of a whole training run, as a table and a plot in the tracked run."""

from io import StringIO

import numpy as np

from pipelines.evaluation.plots import plot_latents
from pipelines.training.fit import Fitted
from recsys_vae.protocols import Float32Array
from recsys_vae.training.tracking import MlflowTracker

TABLE, PLOT = "latents/kl_by_epoch.csv", "latents/kl.svg"
"""Artifacts of the run: every epoch, and the epoch whose weights were kept."""


def log_latents(tracker: MlflowTracker, fitted: Fitted) -> None:
    """Tell the tracker what became of the latents; nothing where the model has none."""
    if not fitted.latent_kl.size:
        return
    kept = fitted.epochs - 1
    active = int(fitted.history[kept]["active_units"])
    tracker.log_text(as_csv(fitted.latent_kl), TABLE)
    tracker.log_text(plot_latents(fitted.latent_kl[kept], active), PLOT)


def as_csv(latent_kl: Float32Array) -> str:
    """One line an epoch, one column a latent dimension, in nats.

    Args:
        latent_kl: shape (epochs, d).
    """
    epochs, latents = latent_kl.shape
    text = StringIO()
    rows = np.column_stack([np.arange(1, epochs + 1), latent_kl])
    header = ",".join(["epoch", *(f"latent_{number}" for number in range(latents))])
    np.savetxt(text, rows, fmt=["%d", *["%.5g"] * latents], delimiter=",", header=header, comments="")
    return text.getvalue()
