"""Models that are about to be loaded."""

import sys
from typing import Any

from recsys_vae.models import catalog
from recsys_vae.models.compiled_model import CompiledModel, suits
from recsys_vae.models.configs.blend import parts_of
from recsys_vae.models.entry import class_at
from recsys_vae.protocols import Recommender


def create_to_load(name: str, n_items: int, config: Any) -> Recommender:
    """A model that `load_tensors` is called of next: as `catalog.create`, but for random weights: none is drawn."""
    for part in (name, *(one.model for one in parts_of(config))):
        class_at(catalog.entry(part).place)
    if "torch" not in sys.modules:  # none of them needs it
        return catalog.create(name, n_items, config)
    from recsys_vae.nn.initial_values import Undrawn

    with Undrawn():
        return catalog.create(name, n_items, config)


def create_to_ask(name: str, n_items: int, config: Any) -> Recommender:
    """The same of a model that is only asked for scores and vectors: where that is possible, one without torch."""
    is_own = catalog.entry(name) is catalog.CATALOG.get(name)
    return CompiledModel(n_items, config) if is_own and suits(config) else create_to_load(name, n_items, config)
