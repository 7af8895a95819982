import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from recsys_vae.errors import ConfigError
from recsys_vae.images.models.categorical_vae import CategoricalCode, CategoricalVAE, CategoricalVAEConfig

SHAPE = (1, 4, 4)


def code(*, temperature: float = 1.0, hard: bool = False, n: int = 2) -> CategoricalCode:
    logits = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]).log_softmax(dim=-1).expand(n, 2, 3)
    return CategoricalCode(logits, temperature, hard)


def test_soft_draws_lie_on_the_simplex_and_sharpen_as_the_temperature_falls() -> None:
    warm = code().sample(torch.Generator().manual_seed(0))
    cold = code(temperature=0.05).sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(warm.sum(dim=-1), torch.ones(2, 2))
    assert warm.max() < 0.99
    assert torch.equal(warm.argmax(dim=-1), cold.argmax(dim=-1))
    assert (cold.amax(dim=-1) > warm.amax(dim=-1)).all()


def test_hard_draws_are_one_hot_with_the_gradient_of_soft_ones() -> None:
    gradients = []
    for hard in (False, True):
        logits = torch.zeros(1, 2, 3, requires_grad=True)
        drawn = CategoricalCode(logits.log_softmax(dim=-1), 0.7, hard).sample(torch.Generator().manual_seed(0))
        (drawn * torch.arange(6.0).view(2, 3)).sum().backward()
        gradients.append(logits.grad)
        one_hot = torch.isclose(drawn, drawn.round(), atol=1e-6).all()
        assert bool(one_hot) is hard
    torch.testing.assert_close(gradients[0], gradients[1])


def test_argmax_draws_have_the_probabilities() -> None:
    shares = code(hard=True, n=20_000).sample(torch.Generator().manual_seed(0)).mean(dim=0)
    torch.testing.assert_close(shares, code().mean[0], atol=0.015, rtol=0.0)


def test_kl_and_log_prob_equal_torch_distributions() -> None:
    own, uniform = code(), CategoricalCode(torch.full((1, 2, 3), -math.log(3)))
    q, p = Categorical(logits=own.log_probabilities), Categorical(logits=uniform.log_probabilities)
    torch.testing.assert_close(own.kl_to(uniform), kl_divergence(q, p))
    values = torch.tensor([[0, 2], [1, 1]])
    torch.testing.assert_close(own.log_prob(torch.nn.functional.one_hot(values, 3)), q.log_prob(values))


def test_temperature_falls_to_its_floor_and_evaluation_draws_one_hot() -> None:
    model = CategoricalVAE(SHAPE, CategoricalVAEConfig(latent=2, categories=3, hidden="8", temperature_decay=0.5))
    fallen = []
    for epoch in (0, 1, 5):
        model.begin_epoch(epoch)
        fallen.append(model.temperature.item())
    assert fallen == pytest.approx([1.0, math.exp(-0.5), 0.5])
    x = torch.zeros(1, *SHAPE)
    assert not model.posterior(x).hard
    model.eval()
    assert model.posterior(x).hard


def test_a_variable_is_active_when_its_probabilities_vary() -> None:
    model = CategoricalVAE(SHAPE, CategoricalVAEConfig(latent=2, categories=5, hidden=""))
    x = torch.cat([torch.zeros(1, *SHAPE), torch.ones(1, *SHAPE)])
    for parameter in model.encoder.parameters():
        torch.nn.init.zeros_(parameter)
    assert model.watch(x)["active_units"] == 0.0
    model.encoder[0].weight.data[7] = 0.06  # raises the logit of one category of the second variable by almost 1
    assert model.watch(x)["active_units"] == 1.0


@pytest.mark.parametrize(
    "settings", [{"categories": 1}, {"temperature": 0.4}, {"temperature_decay": -1.0}, {"importance_samples": 2}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        CategoricalVAEConfig(**settings)  # type: ignore[arg-type]
