"""Collaborative filtering with variational and denoising autoencoders: arrays in, arrays out.

Names are imported when they are first asked for: `import recsys_vae` alone imports neither torch nor numpy.
"""

from importlib import import_module

TYPE_CHECKING = False  # importing it from typing takes longer than all else here
if TYPE_CHECKING:
    from recsys_vae.data.interactions import Interactions
    from recsys_vae.estimators.estimator import Estimator
    from recsys_vae.estimators.models import (
        EASE,
        EDLAE,
        ELSA,
        IALS,
        SVAE,
        Blend,
        ConditionalVAE,
        GraphFilter,
        HVamp,
        MultDAE,
        MultVAE,
        Popularity,
        RecVAE,
        SASRec,
    )
    from recsys_vae.estimators.served import ServedModel, load
    from recsys_vae.estimators.splitting import split
    from recsys_vae.evaluation.evaluate import evaluate
    from recsys_vae.evaluation.ordered_splits import Events

__version__ = "0.1.0"

__all__ = [
    "EASE",
    "EDLAE",
    "ELSA",
    "IALS",
    "SVAE",
    "Blend",
    "ConditionalVAE",
    "Estimator",
    "Events",
    "GraphFilter",
    "HVamp",
    "Interactions",
    "MultDAE",
    "MultVAE",
    "Popularity",
    "RecVAE",
    "SASRec",
    "ServedModel",
    "__version__",
    "evaluate",
    "load",
    "split",
]

_PLACES = {
    "data.interactions": ("Interactions",),
    "estimators.estimator": ("Estimator",),
    "estimators.served": ("ServedModel", "load"),
    "estimators.splitting": ("split",),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.ordered_splits": ("Events",),
}
"""Public names by the module that has them; those that are not listed are classes of `estimators.models`."""
_MODULES = dict.fromkeys(__all__, "estimators.models") | {
    name: module for module, names in _PLACES.items() for name in names
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
