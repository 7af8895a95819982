"""Trees: boosted regression trees over features of candidates. With `learning`, the only import of LightGBM."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.extras import Deferred
from recsys_vae.native import library
from recsys_vae.protocols import Float32Array
from recsys_vae.second_stage.tree_text import TreeText

lightgbm: Any = Deferred("lightgbm")
FEW = 4096
"""Rows up to which one thread is as fast as several."""


class Trees:
    """An ensemble that scores candidates.

    Args:
        text: of it, in LightGBM's format.
        n_features: of the candidates.

    Raises:
        DataError: the text is damaged.
        MissingExtraError: LightGBM is not installed.
    """

    def __init__(self, text: str, n_features: int) -> None:
        self._text = TreeText.parse(text, n_features)
        _ = self._booster

    @property
    def n_trees(self) -> int:
        """How many there are."""
        return len(self._text.trees)

    @property
    def n_features(self) -> int:
        """Width of what they score."""
        return self._text.n_features

    def score(self, features: Float32Array) -> NDArray[np.float64]:
        """Sums of the trees' values, shape (n,), of features of shape (n, n_features); NaN is what is not known."""
        if not len(features):
            return np.zeros(0)
        threads = 1 if len(features) <= FEW else library.threads()
        return np.asarray(self._booster.predict(features, raw_score=True, num_threads=threads), dtype=np.float64)

    def __str__(self) -> str:
        return str(self._text)

    @cached_property
    def _booster(self) -> Any:
        return lightgbm.Booster(model_str=str(self._text))
