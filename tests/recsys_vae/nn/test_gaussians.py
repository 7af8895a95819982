import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from recsys_vae.nn.gaussians import DiagonalGaussian, active_units, free_bits, log_mixture, nearest_gaussian
from recsys_vae.nn.schedules import cyclical, falling, linear


def test_noise_has_standard_deviation_one() -> None:
    posterior = DiagonalGaussian(torch.zeros(20_000, 2), torch.zeros(20_000, 2))
    drawn = posterior.sample(torch.Generator().manual_seed(0))
    assert drawn.std(dim=0).tolist() == pytest.approx([1.0, 1.0], abs=0.02)


def test_draws_have_the_mean_and_deviation_asked_for() -> None:
    posterior = DiagonalGaussian(torch.full((50_000, 1), 3.0), torch.full((50_000, 1), 0.5).square().log())
    drawn = posterior.sample(torch.Generator().manual_seed(0))
    assert (drawn.mean().item(), drawn.std().item()) == pytest.approx((3.0, 0.5), abs=0.02)


def test_kl_is_summed_over_latents_and_equals_torch_distributions() -> None:
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    ours = DiagonalGaussian(mean, log_variance).kl_to_standard_normal()
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    prior = Independent(Normal(torch.zeros(5, 7), torch.ones(5, 7)), 1)
    torch.testing.assert_close(ours.sum(dim=1), kl_divergence(posterior, prior))


def test_the_kl_weight_runs_on_progress() -> None:
    assert [linear(p, target=0.2, over=0.5) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.0, 0.1, 0.2, 0.2])
    assert linear(0.0, target=0.2, over=0.0) == 0.2


def test_free_bits_count_a_quiet_dimension_at_the_floor_and_do_not_push_it() -> None:
    mean = torch.tensor([[2.0, 0.1], [0.0, 0.1]], requires_grad=True)
    kl = DiagonalGaussian(mean, torch.zeros(2, 2)).kl_to_standard_normal()  # means 1.0 and 0.005 nats
    total = free_bits(kl, 0.25)
    assert total.item() == pytest.approx(1.0 + 0.25)
    total.backward()
    assert mean.grad is not None
    assert mean.grad.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_without_a_floor_free_bits_are_the_plain_kl() -> None:
    kl = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert free_bits(kl).item() == pytest.approx(5.5)


def test_the_cyclical_weight_rises_and_returns() -> None:
    weights = [cyclical(p / 8, target=0.4, cycles=2, over=0.5) for p in range(9)]
    assert weights == pytest.approx([0.0, 0.2, 0.4, 0.4, 0.0, 0.2, 0.4, 0.4, 0.4])


def test_the_learning_rate_falls_at_the_end_only() -> None:
    assert [falling(p, start=1.0, over=0.5) for p in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1.0, 1.0, 0.5, 0.0])
    assert falling(1.0, start=1.0, over=0.0) == 1.0


def test_densities_and_divergences_equal_torch_distributions() -> None:
    mean, log_variance, z = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
    ours, other = DiagonalGaussian(mean, log_variance), DiagonalGaussian(z, log_variance.flip(0))
    theirs = Normal(mean, (0.5 * log_variance).exp())
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    expected = kl_divergence(theirs, Normal(z, (0.5 * log_variance.flip(0)).exp()))
    torch.testing.assert_close(ours.kl_to(other), expected)
    standard = DiagonalGaussian(torch.zeros(1, 1), torch.zeros(1, 1))
    torch.testing.assert_close(ours.kl_to(standard), ours.kl_to_standard_normal())


def test_a_mixture_equals_torch_distributions_also_far_from_the_origin_and_in_bfloat16_surroundings() -> None:
    generator = torch.Generator().manual_seed(0)
    means = 50 + 2 * torch.randn(6, 9, generator=generator)
    log_variances = torch.randn(6, 9, generator=generator) - 2
    z = 50 + 2 * torch.randn(4, 9, generator=generator)
    shares = Categorical(torch.ones(6))
    theirs = MixtureSameFamily(shares, Independent(Normal(means, (0.5 * log_variances).exp()), 1))
    with torch.autocast("cpu", torch.bfloat16):
        found = log_mixture(z, DiagonalGaussian(means, log_variances))
    torch.testing.assert_close(found, theirs.log_prob(z), rtol=1e-5, atol=1e-4)


def test_the_gaussian_nearest_to_two_points_lies_between_them() -> None:
    parts = DiagonalGaussian(torch.tensor([[-1.0, 3.0], [1.0, 3.0]]), torch.tensor([[0.5, 1.0], [1.5, 3.0]]).log())
    found = nearest_gaussian(parts)
    assert found.mean.tolist() == [[0.0, 3.0]]
    torch.testing.assert_close(found.log_variance.exp(), torch.tensor([[1.0 + 1.0, 2.0]]))


def test_a_unit_is_active_where_its_mean_varies_between_users() -> None:
    means = torch.tensor([[0.0, 5.0, 0.05], [0.3, 5.0, -0.05]])  # variances 0.0225, 0, 0.0025
    assert active_units(means) == 1
    assert active_units(means, threshold=0.001) == 2


def test_a_product_of_gaussians_adds_precisions_and_averages_means_by_them() -> None:
    # Precisions 1 and 3, means 0 and 4: precision 4, mean 3. With weight 0 nothing changes.
    one = DiagonalGaussian(torch.zeros(2, 1), torch.zeros(2, 1))
    other = DiagonalGaussian(torch.full((2, 1), 4.0), torch.full((2, 1), -math.log(3.0)))
    product = one.times(other, torch.tensor([[1.0], [0.0]]))
    assert product.mean.squeeze(1).tolist() == pytest.approx([3.0, 0.0])
    assert product.log_variance.squeeze(1).tolist() == pytest.approx([-math.log(4.0), 0.0])
