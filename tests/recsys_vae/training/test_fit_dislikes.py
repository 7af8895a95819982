"""Who is shown dislikes while learning: models that take them, and no other."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.models import catalog
from recsys_vae.protocols import Float32Array, Tensors
from recsys_vae.training.fit import ModelSpec, fit
from tests.worlds import SMALL


class Recorder:
    """Keeps what it was fitted to."""

    n_items = 2

    def __init__(self, *, is_signed: bool) -> None:
        self.is_signed = is_signed
        self.seen: list[list[float]] = []

    def fit(self, interactions: csr_array) -> None:
        self.seen = interactions.toarray().tolist()

    def score(self, histories: csr_array) -> Float32Array:
        return np.zeros(histories.shape, dtype=np.float32)

    def tensors(self) -> Tensors:
        return {}

    def load_tensors(self, tensors: Tensors) -> None:
        pass


@pytest.mark.parametrize(("is_signed", "seen"), [(True, [[2.0, -3.0]]), (False, [[2.0, 0.0]])])
def test_models_learn_from_dislikes_where_they_take_them(
    monkeypatch: pytest.MonkeyPatch, is_signed: bool, seen: list[list[float]]
) -> None:
    model = Recorder(is_signed=is_signed)
    monkeypatch.setattr(catalog, "create", lambda *_: model)
    liked, disliked = (csr_array(np.array([row], dtype=np.float32)) for row in ([2, 0], [0, 3]))
    fit(ModelSpec("ease", SMALL["ease"]), liked, dislikes=disliked)
    assert model.seen == seen
