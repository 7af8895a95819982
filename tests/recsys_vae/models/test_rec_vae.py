import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.models.rec_vae import DENSE_LAYERS, RecVAE, RecVAEConfig, log_composite
from recsys_vae.nn.gaussians import DiagonalGaussian
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import Dense, SparseRows
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from tests.worlds import csr, two_tastes

HISTORIES = csr([[0, 1, 5], [2, 3], [4], [1, 2, 3, 4]], 8)
CONFIG = RecVAEConfig(hidden=6, latent=3)
TRAINING = TrainingConfig(epochs=8, batch_size=8, learning_rate=0.01, device="cpu", precision="float32")


def fresh(config: RecVAEConfig = CONFIG, n_items: int = 8) -> RecVAE:
    torch.manual_seed(0)
    return RecVAE(n_items, config)


def still(model: RecVAE) -> RecVAE:
    """Without variance: z is the posterior mean."""
    torch.nn.init.zeros_(model.encoder.log_variance.weight)
    torch.nn.init.constant_(model.encoder.log_variance.bias, -60.0)
    return model


def loss(model: RecVAE, *, kl_weight: float = 0.2, free_bits: float = 0.0, seed: int = 0) -> Loss:
    objective = Objective(kl_weight, torch.Generator().manual_seed(seed), free_bits)
    return model.loss(SparseRows.from_csr(HISTORIES, "cpu"), objective)


def normal(x: float, mean: float, variance: float) -> float:
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def test_the_prior_is_a_mixture_in_each_dimension() -> None:
    old = DiagonalGaussian(torch.tensor([[2.0, -1.0]]), torch.tensor([[4.0, 0.25]]).log())
    found = log_composite(torch.tensor([[0.5, 3.0]]), old).exp()
    wide = math.exp(10)
    expected = [
        0.15 * normal(0.5, 0, 1) + 0.75 * normal(0.5, 2, 4) + 0.1 * normal(0.5, 0, wide),
        0.15 * normal(3, 0, 1) + 0.75 * normal(3, -1, 0.25) + 0.1 * normal(3, 0, wide),
    ]
    assert found[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_the_encoder_adds_up_all_layers_before() -> None:
    model = fresh()
    rows = SparseRows.from_csr(HISTORIES, "cpu").l2_normalised()
    dense = functional.normalize(torch.from_numpy(HISTORIES.toarray()), dim=1)
    encoder = model.encoder
    outputs: list[torch.Tensor] = []
    for number, norm in enumerate(encoder.norms):
        affine = (
            dense @ encoder.first.weight + encoder.first.bias if not number else encoder.layers[number - 1](outputs[-1])
        )
        summed = affine + sum(outputs)
        outputs.append(norm(summed * torch.sigmoid(summed)))
    assert len(outputs) == 5
    torch.testing.assert_close(model.posterior(rows).mean, encoder.mean(outputs[-1]))
    torch.testing.assert_close(model.posterior(rows).log_variance, encoder.log_variance(outputs[-1]))


def test_the_kl_of_a_user_counts_in_proportion_to_the_history() -> None:
    """One user of three items: with reference length 1.5 the KL counts twice."""
    rows = SparseRows.from_csr(HISTORIES[:1], "cpu")
    model = fresh(replace(CONFIG, reference_length=1.5))
    found = model.loss(rows, Objective(0.1, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(found.total, found.nll + 0.1 * 2 * found.kl)


def test_the_default_strength_is_the_papers_gamma() -> None:
    assert TrainingConfig().kl_weight / RecVAEConfig().reference_length == pytest.approx(0.005)


def test_free_bits_above_the_kl_leave_only_the_floor() -> None:
    found = loss(fresh(replace(CONFIG, reference_length=1.0)), kl_weight=0.5, free_bits=1000.0)
    torch.testing.assert_close(found.total, found.nll + 0.5 * 1000.0 * 3)


def test_input_is_dropped_while_the_encoder_learns_only() -> None:
    model = still(fresh())
    model.begin_epoch(0)
    assert loss(model, kl_weight=0.0).total != loss(model, kl_weight=0.0, seed=1).total
    model.begin_epoch(3)
    torch.testing.assert_close(loss(model, kl_weight=0.0).total, loss(model, kl_weight=0.0, seed=1).total)


def test_encoder_and_decoder_learn_in_turns() -> None:
    """Three passes for the encoder, then it is copied, then one for the decoder, and so on."""
    states = [fresh(n_items=12).state_dict()]
    for epochs in range(1, 6):
        model = fresh(n_items=12)
        train(model, two_tastes().matrix, TRAINING, stop_after=epochs)
        states.append({name: value.clone() for name, value in model.state_dict().items()})

    def moved(part: str) -> list[bool]:
        names = [name for name in states[0] if name.startswith(part)]
        return [any(not a[n].equal(b[n]) for n in names) for a, b in pairwise(states)]

    assert moved("encoder.") == [True, True, True, False, True]
    assert moved("output.") == [False, False, False, True, False]
    assert moved("old_encoder.") == [False, False, False, True, False]
    assert all(v.equal(states[4]["old_" + n]) for n, v in states[4].items() if n.startswith("encoder."))


def test_a_posterior_that_stayed_pays_nothing_for_where_it_is() -> None:
    """However far from the origin, q = q_old is log 4/3 from the prior, less what the wide normal adds there."""
    model = fresh()
    torch.nn.init.constant_(model.encoder.mean.bias, 30.0)
    model.begin_epoch(3)
    assert loss(model).kl.item() / 3 == pytest.approx(math.log(4 / 3), abs=0.005)


def test_queries_are_the_latents_and_a_one() -> None:
    model = fresh()
    rows = SparseRows.from_csr(HISTORIES, "cpu").l2_normalised()
    queries = model.encode(HISTORIES)
    assert queries.shape == (4, 4)
    np.testing.assert_allclose(queries[:, :3], model.posterior(rows).mean.detach().numpy(), rtol=1e-5, atol=1e-7)
    assert (queries[:, 3] == 1).all()


def test_a_bundle_carries_no_old_encoder() -> None:
    model, other = fresh(), fresh()
    torch.nn.init.ones_(model.encoder.mean.bias)
    tensors = model.tensors()
    assert not [name for name in tensors if name.startswith("old")]
    other.load_tensors(tensors)
    assert (other.old_encoder.mean.bias == 1).all()


def test_layers_that_nothing_is_predicted_by_are_not_packed() -> None:
    model = fresh()
    model.load_tensors(fresh().tensors())
    packed = {name for name, layer in model.named_modules() if isinstance(layer, Dense) and layer.packed is not None}
    assert packed <= {"encoder.mean", *(f"encoder.layers.{number}" for number in range(DENSE_LAYERS))}


@pytest.mark.parametrize(
    "settings", [{"latent": 0}, {"dropout": 1.0}, {"reference_length": 0.0}, {"encoder_passes": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RecVAEConfig(**settings)  # type: ignore[arg-type]
