import math
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipelines.training.idle_settings import idle_settings
from recsys_vae.models.catalog import configure
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.spec import ModelSpec

ALIKE = csr_array(np.array([[1.0, 0.0, 1.0]], dtype=np.float32))
WEIGHED = csr_array(np.array([[1.0, 0.0, 2.0]], dtype=np.float32))
NONE = csr_array((1, 3), dtype=np.float32)
PARTS = {"autoencoder": "mult-vae", "linear": "ease"}


@pytest.mark.parametrize(
    ("model", "settings", "weights", "dislikes", "half_life", "told"),
    [
        ("ease", {}, WEIGHED, None, 1.0, ["give it --set weights=value."]),
        ("ease", {"weights": "log"}, WEIGHED, None, 1.0, []),
        ("sasrec", {}, WEIGHED, None, 1.0, ["sasrec takes no weights"]),
        ("blend", PARTS | {"linear.weights": "value"}, WEIGHED, None, 1.0, []),
        ("blend", PARTS, WEIGHED, None, 1.0, ["--set autoencoder.weights=value or --set linear.weights=value."]),
        ("ease", {"weights": "value"}, ALIKE, None, math.inf, ["the same weight"]),
        ("ease", {"dislikes": 0.5}, WEIGHED, None, math.inf, ["speaks against"]),
        ("ease", {"dislikes": 0.5}, WEIGHED, NONE, math.inf, ["speaks against"]),
        ("ease", {"dislikes": 0.5}, WEIGHED, ALIKE, math.inf, []),
        ("ease", {}, ALIKE, None, math.inf, []),
    ],
)
def test_what_has_no_effect_is_told(
    model: str, settings: dict[str, Any], weights: csr_array, dislikes: csr_array | None, half_life: float,
    told: list[str],
) -> None:  # fmt: skip
    spec = ModelSpec(model, configure(model, settings), TrainingConfig())
    found = list(idle_settings(spec, weights, dislikes, half_life))
    assert len(found) == len(told)
    assert all(part in note for part, note in zip(told, found, strict=True))
