"""Kept models: the best trial of each model so far, with what it has learned, until all are measured as served."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

from recsys_vae.atomic import atomic_file
from recsys_vae.models import catalog
from recsys_vae.models.loading import create_to_load
from recsys_vae.protocols import Recommender


def keep_model(path: Path, name: str, model: Recommender) -> None:
    """Write a trained model with its configuration."""
    settings = {"model": name, "settings": json.dumps(catalog.settings_of(model))}
    with atomic_file(path) as temporary:
        save_file({key: value.copy(order="C") for key, value in model.tensors().items()}, temporary, settings)


def load_model(path: Path, n_items: int) -> Recommender:
    """The model as it was written."""
    with safe_open(path, framework="np") as file:
        about = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no dictionary
    config = catalog.configure(about["model"], json.loads(about["settings"]))
    model = create_to_load(about["model"], n_items, config)
    model.load_tensors(tensors)
    return model
