import numpy as np
import pytest
import torch
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.models.h_vamp import HVamp, HVampConfig
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseRows
from tests.worlds import csr

HISTORIES = csr([[0, 1, 5], [2, 3], [4], [1, 2, 3, 4]], 8)
ROWS = SparseRows.from_csr(HISTORIES, "cpu")


def fresh(**settings: object) -> HVamp:
    torch.manual_seed(0)
    return HVamp(8, HVampConfig(**{"hidden": 6, "latent": 3, "pseudo_inputs": 4, **settings}))  # type: ignore[arg-type]


def loss(model: HVamp, *, kl_weight: float = 0.2, free_bits: float = 0.0) -> Loss:
    return model.loss(ROWS, Objective(kl_weight, torch.Generator().manual_seed(0), free_bits))


def test_a_pseudo_history_equal_to_a_users_has_that_users_posterior() -> None:
    model = fresh(pseudo_histories=True)
    with torch.no_grad():
        model.pseudo_inputs.copy_(functional.normalize(torch.from_numpy(HISTORIES.toarray()), dim=1))
    parts, posterior = model.prior_parts(), model.posterior(ROWS.l2_normalised())
    torch.testing.assert_close(parts.mean, posterior.mean[:, 3:])
    torch.testing.assert_close(parts.log_variance, posterior.log_variance[:, 3:])


def test_a_pseudo_input_after_the_first_layer_does_the_same() -> None:
    model = fresh()
    with torch.no_grad():
        model.pseudo_inputs.copy_(model.upper_in(ROWS.l2_normalised()))
    torch.testing.assert_close(model.prior_parts().mean, model.posterior(ROWS.l2_normalised()).mean[:, 3:])


def test_pseudo_histories_stay_between_no_and_yes() -> None:
    model = fresh(pseudo_histories=True)
    with torch.no_grad():
        model.pseudo_inputs[:] = torch.tensor([-5.0, 0.0, 1.0, 5.0]).unsqueeze(1)
    means = model.prior_parts().mean
    torch.testing.assert_close(means[0], means[1])
    torch.testing.assert_close(means[2], means[3])
    assert (means[1] - means[2]).abs().max() > 0.01


@pytest.mark.parametrize("pseudo_histories", [False, True])
def test_the_pseudo_inputs_learn(pseudo_histories: bool) -> None:
    model = fresh(pseudo_histories=pseudo_histories)
    loss(model).total.backward()
    gradient = model.pseudo_inputs.grad
    assert gradient is not None
    assert (gradient.abs().sum(dim=1) > 0).all()


def test_by_default_their_number_does_not_grow_with_the_catalogue() -> None:
    assert fresh().pseudo_inputs.shape == (4, 12)
    assert fresh(pseudo_histories=True).pseudo_inputs.shape == (4, 8)


def test_the_kl_is_weighted_once_and_reported_unweighted() -> None:
    model = fresh()
    free, weighed = loss(model, kl_weight=0.0), loss(model, kl_weight=0.5)
    torch.testing.assert_close(weighed.total, free.total + 0.5 * free.kl)
    assert free.kl == weighed.kl


def test_free_bits_above_the_kl_leave_only_the_floor_of_both_codes() -> None:
    found = loss(fresh(), kl_weight=0.5, free_bits=100.0)
    torch.testing.assert_close(found.total, found.nll + 0.5 * 100.0 * (3 + 3))


def test_a_lower_code_that_adds_nothing_to_the_upper_one_is_idle() -> None:
    model = fresh()
    with torch.no_grad():
        model.lower_in.weight.zero_()  # z1 sees z2 only, and through the layers of its prior
        model.lower_in.bias.zero_()
    model.lower_code.load_state_dict(model.prior_in.state_dict())
    model.lower_out.load_state_dict(model.prior_out.state_dict())
    rows = ROWS.l2_normalised()
    kl = model.posterior(rows).kl_to(model.idle(rows))
    torch.testing.assert_close(kl[:, :3], torch.zeros(4, 3))
    assert (kl[:, 3:].sum(dim=1) > 0).all()


def test_prediction_uses_the_means_of_both_codes() -> None:
    model = fresh()
    rows = ROWS.l2_normalised()
    joint = model.decoder_in(model.posterior(rows).mean)
    expected = joint[:, :6] * torch.sigmoid(joint[:, 6:])
    torch.testing.assert_close(model.hidden(ROWS), expected)
    assert model.encode(HISTORIES).shape == (4, 7)
    np.testing.assert_allclose(model.encode(HISTORIES)[:, :6], expected.detach().numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"pseudo_inputs": 0}, {"dropout": 1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        HVampConfig(**settings)  # type: ignore[arg-type]
