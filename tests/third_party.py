"""A small distribution that adds models by entry point, as pip would have left it in a folder of `sys.path`."""

import shutil
from pathlib import Path

NAME, VERSION = "damped-models", "0.3"
MODULE = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys_vae.models.entry import Entry
from recsys_vae.models.search_space import Real, SearchSpace


@dataclass(frozen=True)
class DampedConfig:
    SEARCH_SPACE: ClassVar[SearchSpace] = {"power": Real(0.1, 1.0)}

    power: float = 0.5


class Damped:
    def __init__(self, n_items, config):
        self.config = config
        self.counts = np.zeros(n_items, np.float32)

    @property
    def n_items(self):
        return len(self.counts)

    def fit(self, interactions):
        self.counts = np.bincount(interactions.indices, minlength=self.n_items).astype(np.float32)

    def score(self, histories):
        return np.tile(self.counts**self.config.power, (histories.shape[0], 1)).astype(np.float32)

    def tensors(self):
        return {"counts": self.counts}

    def load_tensors(self, tensors):
        self.counts = tensors["counts"]


ENTRY = Entry(DampedConfig, Damped, "popularity, damped")


def made():
    return ENTRY
"""


def install(folder: Path, points: dict[str, str] | None = None, *, name: str = NAME, module: str = MODULE) -> Path:
    """Write the package `damped_models` and the metadata of its distribution; returns the folder.

    Args:
        points: entry points, value by name of the model.
    """
    (folder / "damped_models").mkdir(parents=True, exist_ok=True)
    (folder / "damped_models" / "__init__.py").write_text(module)
    metadata = folder / f"{name.replace('-', '_')}-{VERSION}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n")
    lines = [f"{model} = {value}" for model, value in (points or {"damped": "damped_models:ENTRY"}).items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[recsys_vae.models]", *lines, ""]))
    return folder


def uninstall(folder: Path) -> None:
    """Remove what `install` wrote."""
    for path in folder.glob("damped_models*"):
        shutil.rmtree(path)
