import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recsys_vae.errors import DataError
from recsys_vae.models import catalog, compiled_model
from recsys_vae.models.compiled_model import CompiledModel
from recsys_vae.models.loading import create_to_ask
from recsys_vae.models.mult_vae import MultVAEConfig
from recsys_vae.native import products
from recsys_vae.protocols import FactorizedRecommender, VectorsByRows
from recsys_vae.training.activity import activity_without_torch, measure_activity
from tests.worlds import SMALL, csr, two_tastes

HISTORIES = csr([[0, 1, 5], [], [7, 8, 9, 11]], 12)
NAMES = ("mult-dae", "mult-vae", "rec-vae")

pytestmark = pytest.mark.skipif(not products.suits(), reason="nothing is compiled here")


def pair(name: str) -> tuple[Any, CompiledModel]:
    """A model and what stands for it, with the same weights."""
    torch.manual_seed(0)
    config: Any = SMALL[name]
    model: Any = catalog.create(name, 12, config)
    model.load_tensors(model.tensors())
    stand_in = create_to_ask(name, 12, config)
    assert isinstance(stand_in, CompiledModel)
    stand_in.load_tensors(model.tensors())
    return model, stand_in


@pytest.mark.parametrize("name", NAMES)
def test_it_encodes_and_scores_as_the_model_does(name: str) -> None:
    model, stand_in = pair(name)
    assert isinstance(stand_in, FactorizedRecommender)
    assert isinstance(stand_in, VectorsByRows)
    np.testing.assert_array_equal(stand_in.encode(HISTORIES), model.encode(HISTORIES))
    np.testing.assert_array_equal(stand_in.item_vectors(), model.item_vectors())
    np.testing.assert_array_equal(stand_in.some_item_vectors(2, 7), model.some_item_vectors(2, 7))
    np.testing.assert_allclose(stand_in.score(HISTORIES), model.score(HISTORIES), rtol=1e-5, atol=1e-6)
    again = pickle.loads(pickle.dumps(stand_in))
    np.testing.assert_array_equal(again.encode(HISTORIES), model.encode(HISTORIES))


@pytest.mark.parametrize("name", ["mult-vae", "rec-vae"])
def test_its_code_is_as_active_as_the_models(name: str) -> None:
    model, stand_in = pair(name)
    histories = two_tastes().matrix
    expected, found = measure_activity(model, histories), activity_without_torch(stand_in, histories)
    assert found.active_units == expected.active_units
    np.testing.assert_allclose(found.kl, expected.kl, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_do_not_fit_are_refused(name: str) -> None:
    model, stand_in = pair(name)
    tensors = model.tensors()
    for change in (
        {"output.bias": np.zeros(11, np.float32)},
        {"unknown": np.zeros(1, np.float32)},
        {"output.bias": np.full(12, np.nan, np.float32)},
        {"output.bias": np.full(12, 1e9, np.float32)},
        {"output.bias": np.zeros(12)},
    ):
        with pytest.raises(DataError):
            stand_in.load_tensors(tensors | change)
    with pytest.raises(DataError, match="another configuration"):
        stand_in.load_tensors({key: value for key, value in tensors.items() if key != "output.bias"})


def test_only_plain_models_are_asked_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = MultVAEConfig(hidden=16, latent=4)
    for other in (replace(plain, metadata=(2,)), replace(plain, weights="log"), replace(plain, dislikes=1.0)):
        assert not isinstance(create_to_ask("mult-vae", 12, other), CompiledModel)
    assert not isinstance(create_to_ask("ease", 12, SMALL["ease"]), CompiledModel)
    monkeypatch.setattr(compiled_model, "library", lambda: None)
    assert not isinstance(create_to_ask("mult-vae", 12, plain), CompiledModel)
