"""Small saved image models of scikit-learn's digits, untrained: what commands say and write does not depend on it."""

from pathlib import Path
from typing import Any

import torch

from recsys_vae.images.models import catalog
from recsys_vae.images.saved import Origin, save_image_model

SETTINGS: dict[str, dict[str, Any]] = {
    "ae": {"hidden": "8", "latent": 2},
    "vae": {"hidden": "8", "latent": 4},
    "conditional-vae": {"hidden": "8", "latent": 4, "classes": 10},
    "denoising-ae": {"channels": 2, "latent": 4, "noise": "masking", "level": 0.5},
    "vq-vae": {"codes": 8, "width": 4, "channels": 4, "blocks": 1},
}
HISTORY = [{"loss": 30.0, "validation_loss": 31.0}, {"loss": 25.0, "validation_loss": 28.0}]


def saved(name: str, folder: Path, *, run_id: str | None = None) -> str:
    """Save a model of digits in a folder; returns its directory as the command line takes it."""
    torch.manual_seed(0)
    model = catalog.create(name, (1, 8, 8), catalog.configure(name, SETTINGS[name]))
    pixels = "static" if model.config.likelihood == "bernoulli" else "grayscale"
    origin = Origin(dataset="digits", labels=list("0123456789"), pixels=pixels, run_id=run_id)
    save_image_model(folder / name, model, origin, HISTORY)
    return str(folder / name)
