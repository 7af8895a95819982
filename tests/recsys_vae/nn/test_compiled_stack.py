import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.rec_vae import RecVAE, RecVAEConfig
from recsys_vae.native import products

HISTORIES = csr_array(np.array([[1, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 1, 0]], dtype=np.float32))

Model = MultDAE | MultVAE | RecVAE

pytestmark = pytest.mark.skipif(not products.suits(), reason="nothing is compiled here")


def loaded(seed: int) -> list[Model]:
    """Models that are ready to predict."""
    torch.manual_seed(seed)
    models = [
        MultDAE(5, MultDAEConfig(hidden=7)),
        MultVAE(5, MultVAEConfig(hidden=7, latent=3)),
        RecVAE(5, RecVAEConfig(hidden=7, latent=3)),
    ]
    for model in models:
        model.load_tensors(model.tensors())
    return models


def by_layers(model: Model) -> np.ndarray:
    """Its queries, one layer after the other."""
    with torch.inference_mode():
        rows = model.rows(HISTORIES)
        compiled, model._compiled = model._compiled, None
        hidden = model.hidden(rows)
        model._compiled = compiled
    return np.hstack([hidden.numpy(), np.ones((3, 1))])


def is_compiled(model: Model) -> bool:
    assert model._compiled is not None
    with torch.inference_mode():
        return model._compiled(model.rows(HISTORIES)) is not None


@pytest.mark.parametrize("model", loaded(0), ids=lambda model: type(model).__name__)
def test_one_call_finds_what_the_layers_find_one_after_the_other(model: Model) -> None:
    assert is_compiled(model)
    np.testing.assert_allclose(model.encode(HISTORIES), by_layers(model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("model", "other"), list(zip(loaded(0), loaded(1), strict=True)))
def test_other_weights_are_followed(model: Model, other: Model) -> None:
    before = model.encode(HISTORIES)
    model.load_tensors(other.tensors())
    assert is_compiled(model)
    assert not np.allclose(model.encode(HISTORIES), before)
    assert (model.encode(HISTORIES) == other.encode(HISTORIES)).all()


@pytest.mark.parametrize("model", loaded(0), ids=lambda model: type(model).__name__)
def test_what_has_learned_is_not_compiled(model: Model) -> None:
    assert model._compiled is not None
    assert model._compiled(model.rows(HISTORIES)) is None  # with gradients
    model.hidden(model.rows(HISTORIES)).sum().backward()
    assert not is_compiled(model)


@pytest.mark.parametrize("model", loaded(0), ids=lambda model: type(model).__name__)
def test_copies_read_their_own_weights(model: Model) -> None:
    before = model.encode(HISTORIES)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            for name, weight in other.named_parameters():
                if name in ("encoder.weight", "encoder_in.weight", "encoder.first.weight"):
                    weight.zero_()
        assert (model.encode(HISTORIES) == before).all()
        assert (other.encode(HISTORIES) != before).any()
