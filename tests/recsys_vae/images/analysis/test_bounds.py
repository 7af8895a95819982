import math

import pytest
import torch

from recsys_vae.errors import ConfigError
from recsys_vae.images.analysis.bounds import importance_weighted_nll, negative_elbo
from recsys_vae.images.models.categorical_vae import CategoricalVAE, CategoricalVAEConfig
from recsys_vae.images.models.vae import VAE, VAEConfig

SHAPE = (1, 4, 4)


def images(n: int = 6) -> torch.Tensor:
    return torch.bernoulli(torch.full((n, *SHAPE), 0.4), generator=torch.Generator().manual_seed(1))


def vae(**settings: float) -> VAE:
    torch.manual_seed(0)
    model = VAE(SHAPE, VAEConfig(latent=2, hidden="8", **settings))  # type: ignore[arg-type]
    for parameter in model.decoder.parameters():  # codes matter more, so that the bounds are far apart
        parameter.data.mul_(2.0)
    model.encoder[-1].bias.data[2:] = 0.7  # posteriors wider than the true ones, so that few samples weigh evenly
    return model


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_the_bound_tightens_with_samples_towards_the_likelihood() -> None:
    model, x = vae(), images()
    bounds = [importance_weighted_nll(model, x.repeat(50, 1, 1, 1), samples=k).mean().item() for k in (1, 5, 50)]
    assert bounds[0] > bounds[1] > bounds[2]
    axis = torch.linspace(-6, 6, 121)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        logits = model.decode(grid).flatten(1)
        log_px = -torch.nn.functional.softplus(logits).sum(dim=1) + x.flatten(1) @ logits.T
        log_prior = -grid.square().sum(dim=1) / 2 - math.log(2 * math.pi) + 2 * math.log(0.1)
        exact = -torch.logsumexp(log_px + log_prior, dim=1)
    torch.testing.assert_close(importance_weighted_nll(model, x, samples=5_000), exact, atol=0.04, rtol=0.0)


def test_one_sample_is_the_elbo_in_expectation() -> None:
    model, x = vae(), images(2)
    reconstruction, kl = negative_elbo(model, x, samples=4_000)
    single = importance_weighted_nll(model, x.repeat_interleave(4_000, 0), samples=1).view(2, -1)
    assert ((single.mean(dim=1) - reconstruction - kl).abs() < 5 * single.std(dim=1) / 4_000**0.5).all()


def test_chunks_and_training_settings_change_nothing() -> None:
    x = images()
    whole, chunked = (negative_elbo(vae(), x, samples=2_000, chunk=chunk, generator=generator()) for chunk in (9**9, 2))
    torch.testing.assert_close(whole[1], chunked[1])
    torch.testing.assert_close(whole[0], chunked[0], atol=0.3, rtol=0.0)
    floored = vae(free_bits=0.5)
    assert floored.training
    torch.testing.assert_close(negative_elbo(floored, x, generator=generator())[1], whole[1])
    assert floored.training


def test_categorical_codes_are_weighed_as_exact_draws() -> None:
    torch.manual_seed(0)
    model, x = CategoricalVAE(SHAPE, CategoricalVAEConfig(latent=2, categories=3, hidden="8")), images()
    codes = torch.stack([torch.eye(3)[[i, j]] for i in range(3) for j in range(3)])
    with torch.no_grad():
        logits = model.decode(codes).flatten(1)
        log_px = -torch.nn.functional.softplus(logits).sum(dim=1) + x.flatten(1) @ logits.T
    exact = -torch.logsumexp(log_px, dim=1) + math.log(9)
    torch.testing.assert_close(importance_weighted_nll(model, x, samples=3_000), exact, atol=0.05, rtol=0.0)


def test_no_sample_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one sample"):
        importance_weighted_nll(vae(), images(), samples=0)
