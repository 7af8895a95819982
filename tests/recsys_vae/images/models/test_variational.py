"""The variational models against torch.distributions, and what each adds to the bound."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.images.models.beta_vae import BetaVAE, BetaVAEConfig
from recsys_vae.images.models.categorical_vae import CategoricalVAE, CategoricalVAEConfig
from recsys_vae.images.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.images.models.conv_vae import ConvVAE, ConvVAEConfig
from recsys_vae.images.models.pixelcnn_vae import PixelCNNVAE, PixelCNNVAEConfig
from recsys_vae.images.models.vae import VAE, VAEConfig
from recsys_vae.images.models.variational import Variational, log_mean_exp
from recsys_vae.nn.gaussians import DiagonalGaussian

SHAPE = (1, 6, 6)


def images(n: int = 5) -> torch.Tensor:
    return torch.bernoulli(torch.full((n, *SHAPE), 0.4), generator=torch.Generator().manual_seed(1))


def labels(n: int = 5) -> torch.Tensor:
    return torch.arange(n) % 3


def models() -> list[Variational]:
    torch.manual_seed(0)
    return [
        VAE(SHAPE, VAEConfig(latent=3, hidden="8")),
        VAE(SHAPE, VAEConfig(latent=3, hidden="8", importance_samples=4)),
        VAE(SHAPE, VAEConfig(latent=3, hidden="8", free_bits=0.2)),
        ConvVAE(SHAPE, ConvVAEConfig(latent=3, channels=2)),
        BetaVAE(SHAPE, BetaVAEConfig(latent=3, hidden="8")),
        BetaVAE(SHAPE, BetaVAEConfig(latent=3, hidden="8", capacity=2.0)),
        ConditionalVAE(SHAPE, ConditionalVAEConfig(latent=3, hidden="8", classes=3)),
        CategoricalVAE(SHAPE, CategoricalVAEConfig(latent=3, categories=4, hidden="8")),
        PixelCNNVAE(SHAPE, PixelCNNVAEConfig(latent=3, hidden=8, width=4, decoder_layers=2)),
    ]


def repeated_noise() -> Callable[..., torch.Tensor]:
    """In place of a tensor's own draws: five rows of noise over and over, so that copies of a batch share it."""
    drawn: dict[torch.Size, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(2)

    def fill(tensor: torch.Tensor, **_: object) -> torch.Tensor:
        rows = drawn.setdefault(tensor.shape[1:], torch.rand(5, *tensor.shape[1:], generator=generator))
        return tensor.copy_(rows.repeat(len(tensor) // 5, *[1] * (tensor.ndim - 1)))

    return fill


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_a_duplicated_batch_leaves_the_loss_unchanged(model: Variational, monkeypatch: pytest.MonkeyPatch) -> None:
    for draw in ("normal_", "exponential_"):
        monkeypatch.setattr(torch.Tensor, draw, repeated_noise())
    x, y = images(), labels()
    once, twice = model.loss(x, y, beta=0.7), model.loss(x.repeat(2, 1, 1, 1), y.repeat(2), beta=0.7)
    for part in ("total", "reconstruction", "regularizer"):
        torch.testing.assert_close(getattr(twice, part), getattr(once, part))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_loss_is_the_elbo_of_torch_distributions(likelihood: str) -> None:
    torch.manual_seed(0)
    model, x = VAE(SHAPE, VAEConfig(latent=3, hidden="8", likelihood=likelihood, deviation=0.5)), images()
    torch.manual_seed(3)
    loss = model.loss(x)

    torch.manual_seed(3)
    mean, log_variance = model.encoder(x.flatten(1)).chunk(2, dim=1)
    q = Independent(Normal(mean, torch.exp(log_variance / 2)), 1)
    z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
    outputs = model.decode(z)
    p = Bernoulli(logits=outputs) if likelihood == "bernoulli" else Normal(outputs, 0.5)
    kl = kl_divergence(q, Independent(Normal(torch.zeros(5, 3), torch.ones(5, 3)), 1))
    torch.testing.assert_close(loss.reconstruction, -Independent(p, 3).log_prob(x).mean())
    torch.testing.assert_close(loss.regularizer, kl.mean())
    torch.testing.assert_close(loss.total, loss.reconstruction + kl.mean())


def test_the_weighted_bound_is_a_log_mean_of_ratios_of_densities() -> None:
    torch.manual_seed(0)
    model, x = VAE(SHAPE, VAEConfig(latent=3, hidden="8", importance_samples=4)), images()
    torch.manual_seed(3)
    loss = model.loss(x)

    torch.manual_seed(3)
    mean, log_variance = model.encoder(x.flatten(1)).chunk(2, dim=1)
    q, prior = Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)
    ratios = []
    for _ in range(4):
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        likelihood = Bernoulli(logits=model.decode(z)).log_prob(x).sum(dim=(1, 2, 3))
        ratios.append((likelihood + (prior.log_prob(z) - q.log_prob(z)).sum(dim=1)).exp().double())
    torch.testing.assert_close(loss.total.double(), -torch.stack(ratios).mean(dim=0).log().mean())


def test_one_importance_sample_is_the_elbo() -> None:
    torch.manual_seed(0)
    model, x = VAE(SHAPE, VAEConfig(latent=3, hidden="8")), images()
    posterior = model.posterior(x)
    reconstruction, log_ratio = model.joint(x, None, posterior, 4_000)
    estimates = -log_mean_exp((log_ratio - reconstruction).view(1, -1)).view(4_000, 5)
    expected = (reconstruction.mean(dim=0) + posterior.kl_to_standard_normal().sum(dim=1)).detach()
    assert ((estimates.mean(dim=0) - expected).abs() < 4 * estimates.std(dim=0) / 4_000**0.5).all()


def test_free_bits_floor_each_latent_in_training_only() -> None:
    model, x = VAE(SHAPE, VAEConfig(latent=3, hidden="8", free_bits=0.5)), images()
    for parameter in model.encoder.parameters():
        torch.nn.init.zeros_(parameter)
    assert model.loss(x).regularizer.item() == pytest.approx(1.5)
    model.eval()
    assert model.loss(x).regularizer.item() == 0.0


def test_beta_prices_the_kl_and_capacity_its_distance() -> None:
    torch.manual_seed(0)
    plain, x = BetaVAE(SHAPE, BetaVAEConfig(latent=3, hidden="8", beta=4.0)), images()
    loss = plain.loss(x, beta=0.5)
    torch.testing.assert_close(loss.total, loss.reconstruction + 2.0 * loss.regularizer)

    held = BetaVAE(SHAPE, BetaVAEConfig(latent=3, hidden="8", beta=4.0, capacity=6.0, capacity_epochs=3))
    for epoch, capacity in ((0, 0.0), (2, 4.0), (9, 6.0)):
        held.begin_epoch(epoch)
        loss = held.loss(x)
        torch.testing.assert_close(loss.total, loss.reconstruction + 4.0 * (loss.regularizer - capacity).abs())


def test_labels_reach_encoder_and_decoder() -> None:
    torch.manual_seed(0)
    model, x = ConditionalVAE(SHAPE, ConditionalVAEConfig(latent=3, hidden="8", classes=3)), images(1)
    z, one, two = torch.zeros(1, 3), torch.tensor([1]), torch.tensor([2])
    assert not torch.equal(model.encode(x, one), model.encode(x, two))
    assert not torch.equal(model.decode(z, one), model.decode(z, two))
    with pytest.raises(DataError, match="give a label"):
        model.loss(x)
    with pytest.raises(DataError, match="0 to 2"):
        model.sample(1, torch.tensor([3]))


def test_samples_follow_their_labels_and_generator() -> None:
    torch.manual_seed(0)
    model = ConditionalVAE(SHAPE, ConditionalVAEConfig(latent=3, hidden="8", classes=3))
    draws = [model.sample(4, labels(4), torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], model.sample(4, labels(4).flip(0), torch.Generator().manual_seed(5)))
    assert model.sample(4).shape == (4, *SHAPE)


def test_watch_tells_a_collapsed_posterior() -> None:
    torch.manual_seed(0)
    model, x = VAE(SHAPE, VAEConfig(latent=3, hidden="8")), images()
    torch.nn.init.zeros_(model.encoder[-1].weight)
    torch.nn.init.zeros_(model.encoder[-1].bias)
    assert set(model.watch(x).values()) == {0.0}
    model.encoder[-1].weight.data[1] = 1.0  # of the second mean
    watched = model.watch(x)
    assert watched["active_units"] == 1.0
    assert watched["latent_kl_median"] == 0.0
    expected = model.encode(x)[:, 1].square().mean().item() / 2
    assert [watched["latent_kl_max"], watched["latent_kl_mean"]] == pytest.approx([expected, expected / 3])


def test_posteriors_have_a_mean_a_row() -> None:
    for model in models():
        assert len(model.encode(images(), labels())) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"latent": 0}, "at least one dimension"),
        ({"importance_samples": 0}, "at least one sample"),
        ({"free_bits": -0.1}, "at least 0"),
        ({"free_bits": 0.1, "importance_samples": 2}, "set one of"),
        ({"likelihood": "poisson"}, "no likelihood named"),
        ({"hidden": "400,20"}, "joined by hyphens"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VAEConfig(**settings)  # type: ignore[arg-type]


def test_a_price_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        BetaVAEConfig(beta=-1.0)
    with pytest.raises(ConfigError, match="importance_samples 1"):
        BetaVAEConfig(importance_samples=2)
    with pytest.raises(ConfigError, match="at least 0"):
        ConditionalVAEConfig(classes=-1)


def test_gaussian_posteriors_are_in_float32_under_autocast() -> None:
    model = VAE(SHAPE, VAEConfig(latent=3, hidden="8"))
    with torch.autocast("cpu", torch.bfloat16):
        posterior = model.posterior(images())
    assert isinstance(posterior, DiagonalGaussian)
    assert posterior.mean.dtype == torch.float32
